// node check.mjs MANIFEST.json...
//
// Runs exported models in ONNX Runtime and compares what they compute with what
// their exporter said they compute. A manifest is a JSON array of
//
//	{ model, tolerance_off, tolerance_on, atol, rtol, cases: [{ inputs, outputs }] }
//
// where inputs and outputs are arrays of { name, dtype, dims, file }, dtype is an
// ONNX Runtime name ("float32", "int64", ...), and every file holds raw
// little-endian values in row-major order. Paths are relative to the manifest.
//
// Each model runs on one thread, once with graph optimisation off and once with
// all of it. A floating-point output y passes when
//
//	max|Δ| ≤ atol + tolerance · max|y|
//
// with tolerance_off or tolerance_on, and, where rtol > 0, also
// |Δᵢ| ≤ atol + rtol · |yᵢ| for each element. Integers and booleans must agree
// within atol. A missing tolerance counts as 0: the export must then be exact.
//
// One line per model and level, a summary, exit status 1 on any failure and 2 on
// wrong usage.

import fs from 'node:fs';
import path from 'node:path';
import ort from 'onnxruntime-node';

// With optimisation on, ONNX Runtime fuses an integer DequantizeLinear and its
// MatMul into a kernel that rounds *activations* to int8. Level 0 keeps them in
// the model's own type: what is checked is the export, not that rounding.
const exactMatMul = { 'session.qdq_matmulnbits_accuracy_level': '0' };

const levels = [
  { name: 'off', tolerance: 'tolerance_off', options: { graphOptimizationLevel: 'disabled' } },
  { name: 'on', tolerance: 'tolerance_on', options: { graphOptimizationLevel: 'all', extra: exactMatMul } },
];

// What each number type is stored in. ONNX Runtime hands float16 over as bits.
const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
  bool: Uint8Array,
};

const floats = new Set(['float16', 'float32', 'float64']);

// readTensor returns the typed array of the tensor described by t.
function readTensor(dir, t) {
  const file = path.join(dir, t.file);
  const type = arrays[t.dtype];
  if (!type) throw new Error(`read ${t.file}: dtype: got ${JSON.stringify(t.dtype)}, want one of ${Object.keys(arrays).join(' ')}`);
  const bytes = fs.readFileSync(file);
  const want = t.dims.reduce((n, d) => n * d, 1) * type.BYTES_PER_ELEMENT;
  if (bytes.length !== want) throw new Error(`read ${t.file}: size of ${t.dtype}[${t.dims}]: got ${bytes.length} bytes, want ${want}`);
  // A copy: node's buffers are not aligned to the element's size.
  return new type(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
}

// halfToNumber decodes IEEE 754 binary16.
function halfToNumber(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** -24;
  return sign * (1024 + fraction) * 2 ** (exponent - 25);
}

// decoder returns the function from a stored value of a type to its number.
const decoder = (dtype) => (dtype === 'float16' ? halfToNumber : Number);

// difference is |a − b|: 0 where both are the same infinity or both NaN, and
// infinite where only one of them is finite.
function difference(a, b) {
  if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return 0;
  const d = Math.abs(a - b);
  return Number.isNaN(d) ? Infinity : d;
}

// compare measures got against want, both typed arrays of one length.
// maxAbs is the largest finite |want|; worst is the largest |Δ|; excess is the
// first element beyond atol + rtol·|want|, or -1.
function compare(dtype, got, want, atol, rtol) {
  const number = decoder(dtype);
  let worst = 0;
  let worstAt = -1;
  let maxAbs = 0;
  let excess = -1;
  for (let i = 0; i < want.length; i++) {
    const w = number(want[i]);
    // 64-bit integers are subtracted before they are rounded to a double.
    const d = typeof want[i] === 'bigint'
      ? Math.abs(Number(got[i] - want[i]))
      : difference(number(got[i]), w);
    if (d > worst) [worst, worstAt] = [d, i];
    if (Number.isFinite(w)) maxAbs = Math.max(maxAbs, Math.abs(w));
    if (excess < 0 && rtol > 0 && !(d <= atol + rtol * Math.abs(w))) excess = i;
  }
  return { worst, worstAt, maxAbs, excess };
}

// checkOutput returns the measured max|Δ|/max|y|; it throws where the output
// differs by more than it may.
function checkOutput(dir, got, want, atol, rtol, tolerance) {
  const at = `output ${JSON.stringify(want.name)}`;
  if (!got) throw new Error(`${at}: not among the model's outputs`);
  if (got.type !== want.dtype) throw new Error(`${at}: dtype: got ${got.type}, want ${want.dtype}`);
  if (got.dims.length !== want.dims.length || got.dims.some((d, i) => d !== want.dims[i])) {
    throw new Error(`${at}: dims: got [${got.dims}], want [${want.dims}]`);
  }
  const values = readTensor(dir, want);
  const c = compare(want.dtype, got.data, values, atol, rtol);
  const limit = atol + (floats.has(want.dtype) ? tolerance * c.maxAbs : 0);
  const number = decoder(want.dtype);
  const element = (i) => `at ${i}: got ${number(got.data[i])}, want ${number(values[i])}`;
  if (!(c.worst <= limit)) {
    throw new Error(`${at}: max|Δ| = ${c.worst.toExponential(2)}, limit ${limit.toExponential(2)} (max|y| = ${c.maxAbs.toPrecision(4)}); ${element(c.worstAt)}`);
  }
  if (c.excess >= 0) throw new Error(`${at}: |Δ| > ${atol} + ${rtol}·|y| ${element(c.excess)}`);
  return c.maxAbs > 0 ? c.worst / c.maxAbs : c.worst;
}

// checkLevel loads the model at one optimisation level and runs its cases. It
// returns the worst max|Δ|/max|y| over cases and outputs.
async function checkLevel(dir, entry, level) {
  const { model, cases = [], atol = 0, rtol = 0, [level.tolerance]: tolerance = 0 } = entry;
  if (cases.length === 0) throw new Error('no cases: nothing would be compared');
  const session = await ort.InferenceSession.create(path.join(dir, model), {
    ...level.options,
    executionProviders: ['cpu'],
    intraOpNumThreads: 1,
    interOpNumThreads: 1,
    logSeverityLevel: 3, // errors; warnings about unused initialisers are not ours to print
  });
  let worst = 0;
  try {
    for (const [i, { inputs, outputs }] of cases.entries()) {
      try {
        if (outputs.length === 0) throw new Error('no outputs: nothing would be compared');
        const feeds = {};
        for (const t of inputs) feeds[t.name] = new ort.Tensor(t.dtype, readTensor(dir, t), t.dims);
        const results = await session.run(feeds);
        for (const t of outputs) worst = Math.max(worst, checkOutput(dir, results[t.name], t, atol, rtol, tolerance));
      } catch (err) {
        throw new Error(`case ${i}: ${err.message}`);
      }
    }
  } finally {
    await session.release();
  }
  return { worst, tolerance };
}

async function main(manifests) {
  if (manifests.length === 0) {
    console.error('usage: node check.mjs MANIFEST.json...');
    return 2;
  }
  console.log(`ONNX Runtime ${ort.env.versions.node} on ${process.platform}/${process.arch}, 1 thread`);
  const failures = [];
  let checks = 0;
  for (const manifest of manifests) {
    const entries = JSON.parse(fs.readFileSync(manifest, 'utf8'));
    if (!Array.isArray(entries) || entries.length === 0) {
      failures.push(`${manifest}: no models`);
      continue;
    }
    for (const entry of entries) {
      for (const level of levels) {
        checks++;
        const label = `${entry.model} optimisation ${level.name}`;
        try {
          const { worst, tolerance } = await checkLevel(path.dirname(manifest), entry, level);
          console.log(`ok    ${label}: max|Δ|/max|y| = ${worst.toExponential(2)}, tolerance ${tolerance.toExponential(2)}, ${entry.cases.length} case(s)`);
        } catch (err) {
          console.log(`FAIL  ${label}: ${err.message}`);
          failures.push(`${label}: ${err.message}`);
        }
      }
    }
  }
  if (failures.length === 0) {
    console.log(`export check: ${checks} checks passed`);
    return 0;
  }
  console.error(`export check: ${failures.length} of ${checks} checks failed:`);
  for (const f of failures) console.error(`  ${f}`);
  return 1;
}

process.exitCode = await main(process.argv.slice(2));
