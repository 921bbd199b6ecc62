package kernel

import (
	"math"
	"math/bits"
	"unsafe"
)

// Signs is a matrix W [n, k] of weights α(j)·{−1, +1}, one bit each, for products
// with the signs of x:
//
//	y[i, j] = α(j) · Σ_p sign(x[i, p]) · sign(W[j, p])
//
// where sign(0) = 0, as ONNX Sign has it; a NaN counts by its sign bit. The sum is exact, in integers:
// the number of x other than zero less twice that of differing signs, an
// exclusive or and a population count. Source: M. Rastegari et al., "XNOR-Net",
// ECCV 2016, section 3.2.
type Signs struct {
	n, k  int
	words int      // of 32 inner indices
	data  []uint32 // by panel of sixteen outputs, word, output; a set bit is −1
	alpha []float32
}

// NewSigns stores the signs of w, whose element (j, p) is w[j·sj+p·sp], and α.
func NewSigns(n, k int, w []float32, sj, sp int, alpha []float32) *Signs {
	checkStrided(n, k, len(w), sj, sp)
	checkLength("alpha", len(alpha), n)
	s := &Signs{n: n, k: k, words: ceilDiv(k, 32), alpha: alpha}
	s.data = make([]uint32, ceilDiv(n, lanes)*lanes*s.words)
	for j := range n {
		for p := range k {
			s.data[(j/lanes*s.words+p/32)*lanes+j%lanes] |= math.Float32bits(w[j*sj+p*sp]) >> 31 << (p % 32)
		}
	}
	return s
}

// Bytes is what the matrix occupies.
func (s *Signs) Bytes() int { return 4 * (len(s.data) + len(s.alpha)) }

// signSet is the assembly for one instruction set.
type signSet struct {
	count func(*int)
	rows  int // that count takes at most
	pack  func(*int)
}

type signProduct struct {
	s           *Signs
	pool        *Pool
	m           int
	bias, y     []float32
	sign, mask  []uint32   // of x, by row
	nonzero     []int32    // by row
	differences []int32    // by worker
	args        []signArgs // by worker
	packing     packArgs
	body        func(worker, lo, hi int)
}

// Product implements [Form].
func (s *Signs) Product(p *Pool, m int) func(x, bias, y []float32) {
	q := &signProduct{s: s, pool: p, m: m, sign: make([]uint32, m*s.words), mask: make([]uint32, m*s.words),
		nonzero: make([]int32, m), differences: make([]int32, p.threads*4*lanes), args: make([]signArgs, p.threads)}
	q.body = q.panels
	return q.run
}

func (q *signProduct) run(x, bias, y []float32) {
	s := q.s
	checkForm(q.m, s.n, s.k, x, bias, y)
	for i := range q.m {
		q.pack(i, x[i*s.k:][:s.k])
	}
	q.bias, q.y = bias, y
	q.pool.spread(ceilDiv(s.n, lanes), s.words*q.m*lanes, q.body)
	q.bias, q.y = nil, nil
}

// packArgs are the operands of the assembly that packs whole words.
type packArgs struct {
	words      int
	x          *float32
	sign, mask *uint32
}

// pack stores the signs of row i as bits.
func (q *signProduct) pack(i int, x []float32) {
	sign, mask := q.sign[i*q.s.words:][:q.s.words], q.mask[i*q.s.words:][:q.s.words]
	whole := 0
	if f := signKernels[q.pool.set].pack; f != nil && len(x) >= 32 {
		whole = len(x) / 32
		q.packing = packArgs{whole, &x[0], &sign[0], &mask[0]}
		f((*int)(unsafe.Pointer(&q.packing)))
	}
	clear(sign[whole:])
	clear(mask[whole:])
	for p := whole * 32; p < len(x); p++ {
		b := math.Float32bits(x[p])
		sign[p/32] |= b >> 31 << (p % 32)
		if b<<1 != 0 {
			mask[p/32] |= 1 << (p % 32)
		}
	}
	n := 0
	for _, w := range mask {
		n += bits.OnesCount32(w)
	}
	q.nonzero[i] = int32(n)
}

// signArgs are the operands of the assembly: y [rows, 16] ← the number of bits of
// (data xor x) and mask. Steps are in bytes.
type signArgs struct {
	rows, words int
	data        *uint32
	x, mask     *uint32
	xStep       int
	y           *int32
	yStep       int
}

func (q *signProduct) panels(worker, lo, hi int) {
	s, set := q.s, &signKernels[q.pool.set]
	counts := q.differences[worker*4*lanes:][:4*lanes]
	for panel := lo; panel < hi; panel++ {
		data := s.data[panel*s.words*lanes:][:s.words*lanes]
		for i := 0; i < q.m; i += set.rows {
			rows := min(set.rows, q.m-i)
			sign, mask := q.sign[i*s.words:(i+rows)*s.words], q.mask[i*s.words:(i+rows)*s.words]
			if set.count == nil {
				signsPortable(counts, data, sign, mask)
			} else {
				q.args[worker] = signArgs{rows, s.words, &data[0], &sign[0], &mask[0], 4 * s.words, &counts[0], 4 * lanes}
				set.count((*int)(unsafe.Pointer(&q.args[worker])))
			}
			q.store(counts, i, rows, panel*lanes)
		}
	}
}

// store turns counts of differing signs into outputs.
func (q *signProduct) store(counts []int32, i, rows, j int) {
	n := q.s.n
	for r := range rows {
		for l := range min(lanes, n-j) {
			v := float32(float32(q.nonzero[i+r]-2*counts[r*lanes+l]) * q.s.alpha[j+l])
			if q.bias != nil {
				v += q.bias[j+l]
			}
			q.y[(i+r)*n+j+l] = v
		}
	}
}

// signsPortable counts for one row.
func signsPortable(counts []int32, data, sign, mask []uint32) {
	clear(counts)
	for w, m := range mask {
		row, s := data[w*lanes:][:lanes], sign[w]
		for l := range row {
			counts[l] += int32(bits.OnesCount32((row[l] ^ s) & m))
		}
	}
}
