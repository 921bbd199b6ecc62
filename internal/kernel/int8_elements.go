package kernel

// Int8Quantize computes y = saturate(roundHalfToEven(x/scale) + zero), as ONNX
// QuantizeLinear does for bytes; a NaN gives 0.
func Int8Quantize(p *Pool, y []uint8, x []float32, scale float32, zero uint8) {
	checkLength("y", len(y), len(x))
	j := int8Jobs.get()
	j.op, j.y, j.real = int8OpQuantize, y, x
	z := float32(zero)
	j.s = int8Scalars{scale, -z, 255 - z, integerBits(zero)}
	j.run(p, len(x))
}

// Int8Dequantize computes y = float32(x − zero)·scale.
func Int8Dequantize(p *Pool, y []float32, x []uint8, scale float32, zero uint8) {
	checkLength("y", len(y), len(x))
	j := int8Jobs.get()
	j.op, j.real, j.a = int8OpDequantize, y, x
	j.s = int8Scalars{scale, integerBits(zero)}
	j.run(p, len(x))
}

// Int8Add computes the [Int8Sum] of a, less zeroA, and b.
func Int8Add(p *Pool, y, a, b []uint8, zeroA uint8, s *Int8Sum) {
	checkLength("a", len(a), len(y))
	checkLength("b", len(b), len(y))
	j := int8Jobs.get()
	j.op, j.y, j.a, j.b = int8OpAdd, y, a, b
	j.s = s.scalars()
	j.s[0] = integerBits(zeroA)
	j.run(p, len(y))
}

// Int8Flip computes y = x XOR 128, which turns signed bytes into unsigned ones
// that are 128 more, and back. y may be x.
func Int8Flip(p *Pool, y, x []uint8) {
	checkLength("y", len(y), len(x))
	j := int8Jobs.get()
	j.op, j.y, j.a = int8OpFlip, y, x
	j.run(p, len(y))
}

// int8Job is a loop over elements in progress; see [job].
type int8Job struct {
	op      int8Op
	kernels *int8Kernels
	y, a, b []uint8
	real    []float32
	s       int8Scalars
	body    func(worker, lo, hi int)
}

type int8Op uint8

const (
	int8OpQuantize int8Op = iota
	int8OpDequantize
	int8OpAdd
	int8OpFlip
)

var int8Jobs freeList[int8Job]

// int8ElementGrain is the number of elements worth a thread of their own.
const int8ElementGrain = 1 << 15

func (j *int8Job) run(p *Pool, n int) {
	j.kernels = int8KernelsOf(p.set)
	if j.body == nil {
		j.body = j.part
	}
	if err := p.For(n, int8ElementGrain, j.body); err != nil {
		panic(err)
	}
	j.y, j.a, j.b, j.real = nil, nil, nil, nil
	int8Jobs.put(j)
}

func (j *int8Job) part(_, lo, hi int) {
	switch j.op {
	case int8OpQuantize:
		j.kernels.quantize(j.y[lo:hi], j.real[lo:hi], &j.s)
	case int8OpDequantize:
		j.kernels.dequantize(j.real[lo:hi], j.a[lo:hi], &j.s)
	case int8OpAdd:
		j.kernels.add(j.y[lo:hi], j.a[lo:hi], j.b[lo:hi], &j.s)
	case int8OpFlip:
		for i, v := range j.a[lo:hi] {
			j.y[lo+i] = v ^ 0x80
		}
	}
}

// Int8Mean averages the pixels of images of bytes:
//
//	y[n, c] = (Σ_i x[n, i, c]/pixels − zero)·scale,   x [images, pixels, channels]
//
// with exact sums and one rounding to float32.
func Int8Mean(y []float32, x []uint8, images, pixels, channels int, scale float32, zero uint8) {
	checkSize("y", len(y), images, channels)
	checkSize("x", len(x), images, pixels*channels)
	for n := range images {
		out := y[n*channels:][:channels]
		for first := 0; first < channels; first += int8Lanes {
			var sums [int8Lanes]int64
			lanes := sums[:min(int8Lanes, channels-first)]
			for at := n*pixels*channels + first; at < (n+1)*pixels*channels; at += channels {
				for c, v := range x[at:][:len(lanes)] {
					lanes[c] += int64(v)
				}
			}
			for c, sum := range lanes {
				out[first+c] = float32(float64(sum-int64(pixels)*int64(zero)) * float64(scale) / float64(pixels))
			}
		}
	}
}

// Int8MaxPool is a maximum over windows of bytes, channels last:
// x [N, H, W, C], y [N, OH, OW, C]. Pads never win. It may not run twice at once.
type Int8MaxPool struct {
	pool    *Pool
	kernels *int8Kernels
	s       PoolShape
	pitch   int
	copied  bool
	pads    []uint8 // a row outside of the image
	space   int
	taps    []int
	x, y    []uint8
	ws      []byte
	body    func(worker, lo, hi int)
}

// NewInt8MaxPool prepares a pooling of a valid shape.
func NewInt8MaxPool(p *Pool, s PoolShape) *Int8MaxPool {
	m := &Int8MaxPool{pool: p, kernels: int8KernelsOf(p.set), s: s}
	m.copied = s.PT+s.PB+s.PL+s.PR > 0 || s.needed() > s.H || (s.OW-1)*s.SW+(s.KW-1)*s.DW+1 > s.W
	m.pitch = s.W * s.C
	if m.copied {
		m.pitch = max(s.W+s.PL+s.PR, (s.OW-1)*s.SW+(s.KW-1)*s.DW+1) * s.C
		m.pads = make([]uint8, m.pitch)
		m.space = roundUp64(((s.KH-1)*s.DH + 1) * m.pitch)
	}
	for i := range s.KH * s.KW {
		m.taps = append(m.taps, i/s.KW*s.DH*m.pitch+i%s.KW*s.DW*s.C)
	}
	m.body = m.part
	return m
}

// needed is the height that the windows span.
func (s *PoolShape) needed() int { return (s.OH-1)*s.SH + (s.KH-1)*s.DH + 1 }

// Workspace is the bytes of scratch that a run needs.
func (m *Int8MaxPool) Workspace() int { return m.pool.threads * m.space }

// Run pools x into y.
func (m *Int8MaxPool) Run(x, y []uint8, ws []byte) {
	s := &m.s
	checkLen("int8 max pooling", "x", len(x), s.N*s.H*s.W*s.C)
	checkLen("int8 max pooling", "y", len(y), s.N*s.OH*s.OW*s.C)
	checkLen("int8 max pooling", "scratch", len(ws), m.Workspace())
	m.x, m.y, m.ws = x, y, ws
	if err := m.pool.For(s.N*s.OH, 1+int8ElementGrain/max(1, s.OW*s.C*len(m.taps)), m.body); err != nil {
		panic(err)
	}
	m.x, m.y, m.ws = nil, nil, nil
}

// part computes output rows [lo, hi), counted over all images.
func (m *Int8MaxPool) part(worker, lo, hi int) {
	s := &m.s
	for i := lo; i < hi; i++ {
		x := m.x[i/s.OH*s.H*s.W*s.C:][:s.H*s.W*s.C]
		top := i%s.OH*s.SH - s.PT
		if m.copied {
			rows := m.ws[worker*m.space:][:m.space]
			copyPadded(rows, x, top, (s.KH-1)*s.DH+1, s.H, s.W*s.C, s.PL*s.C, m.pads)
			x = rows
		} else {
			x = x[top*m.pitch:]
		}
		y := m.y[i*s.OW*s.C:][:s.OW*s.C]
		for c := 0; c < s.C; c += depthwiseLanes {
			m.kernels.maxima(s.OW, x[c:], s.SW*s.C, m.taps, min(depthwiseLanes, s.C-c), y[c:], s.C)
		}
	}
}
