package kernel

import "math"

// QuantizeRows rounds x [rows, cols] to integers, row i in units of scale[i]:
//
//	dst[i, j] ← clamp(roundHalfToEven(x[i, j]/scale[i]), lo, hi)
//
// as ONNX QuantizeLinear with zero point 0. A NaN gives lo. scale holds one
// positive element per row.
func QuantizeRows(p *Pool, dst []int8, x, scale []float32, cols int, lo, hi int8) {
	rows := len(scale)
	checkSize("dst", len(dst), rows, cols)
	checkSize("x", len(x), rows, cols)
	j := p.quantize.get()
	j.q, j.x, j.scale, j.cols, j.lo, j.hi, j.back = dst, x, scale, cols, float32(lo), float32(hi), false
	j.run(p, rows)
}

// DequantizeRows computes dst[i, j] ← scale[i]·q[i, j].
func DequantizeRows(p *Pool, dst []float32, q []int8, scale []float32, cols int) {
	rows := len(scale)
	checkSize("dst", len(dst), rows, cols)
	checkSize("q", len(q), rows, cols)
	j := p.quantize.get()
	j.q, j.x, j.scale, j.cols, j.back = q, dst, scale, cols, true
	j.run(p, rows)
}

// quantizing is a conversion in progress; see [job].
type quantizing struct {
	q        []int8
	x, scale []float32
	cols     int
	lo, hi   float32
	back     bool
	set      Set
	body     func(worker, lo, hi int)
}

func (j *quantizing) run(p *Pool, rows int) {
	j.set = p.set
	if j.body == nil {
		j.body = j.part
	}
	if err := p.For(rows, 1+(1<<14)/max(1, j.cols), j.body); err != nil {
		panic(err)
	}
	j.q, j.x, j.scale = nil, nil, nil
	p.quantize.put(j)
}

func (j *quantizing) part(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		x, q, scale := j.x[i*j.cols:][:j.cols], j.q[i*j.cols:][:j.cols], j.scale[i]
		if j.back {
			n := dequantizeBulk(j.set, x, q, scale)
			for c, v := range q[n:] {
				x[n+c] = scale * float32(v)
			}
			continue
		}
		n := quantizeBulk(j.set, q, x, scale, j.lo, j.hi)
		quantizeRow(q[n:], x[n:], scale, j.lo, j.hi)
	}
}

// toInteger rounds half to even what is added to it, if that is below 2²².
const toInteger = 0x1.8p23

func quantizeRow(q []int8, x []float32, scale, lo, hi float32) {
	for c, v := range x {
		v /= scale
		if !(v > lo) {
			v = lo
		}
		if v > hi {
			v = hi
		}
		q[c] = int8(math.Float32bits(v + toInteger))
	}
}
