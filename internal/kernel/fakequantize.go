package kernel

import "math"

// MaxGrid bounds the integers of [FakeQuantize]: rounding by an addition is
// exact up to here in float32.
const MaxGrid = 1 << 22

// FakeQuantize rounds to the nearest point of a grid, ties to even:
//
//	dst[i, j] ← s·clamp(round(x[i, j]/s), lo, hi),   s = scale[i mod len(scale)]
//
// for dense row-major matrices [rows, cols]. lo and hi are integers of at most
// [MaxGrid] in magnitude. A NaN stays. dst may be x.
func FakeQuantize[T Float](p *Pool, dst, x, scale []T, cols int, lo, hi T) {
	checkLength("x", len(x), len(dst))
	if len(x) == 0 {
		return
	}
	if len(scale) == 1 { // rows do not matter
		j := newJob[T](p, opFakeQuantize)
		j.dst, j.x, j.factors = dst, x, gridFactors(scale[0], lo, hi)
		j.run(len(x), 1<<12)
		return
	}
	j := newJob[T](p, rowsFakeQuantize)
	j.dst, j.x, j.y, j.rows, j.cols = dst, x, scale, len(x)/cols, cols
	checkSize("x", len(x), j.rows, cols)
	j.factors = gridFactors(0, lo, hi)
	j.run(j.rows, 1+(1<<12)/cols)
}

// gridFactors are the scalars of a grid: its step and bounds, the number that
// rounds to an integer when added, and the bits of a magnitude.
func gridFactors[T Float](scale, lo, hi T) factors[T] {
	f := factors[T]{scale, lo, hi}
	switch f := any(&f).(type) {
	case *factors[float32]:
		f[3], f[4] = toInteger, math.Float32frombits(1<<31-1)
	case *factors[float64]:
		f[3] = 0x1.8p52
	}
	return f
}

func fakeQuantize[T Float](dst, x []T, s *factors[T]) {
	scale := s[0]
	for i, v := range x {
		dst[i] = scale * (T(clamped(v/scale, s)+s[3]) - s[3])
	}
}

// clamped is v held to the grid's range; a NaN stays.
func clamped[T Float](v T, s *factors[T]) T {
	if v < s[1] {
		v = s[1]
	}
	if v > s[2] {
		v = s[2]
	}
	return v
}

// FakeQuantizeGrad computes the gradients of [FakeQuantize]'s x and scale from
// that of its output, as if rounding had the derivative 1. With v = x/s:
//
//	dx[i, j] ← dy[i, j] where lo ≤ v ≤ hi, 0 elsewhere
//	dscale[c] ← Σ_{i mod len(scale) = c, j} dy[i, j]·(round(v) − v where lo ≤ v ≤ hi, else the nearer bound)
//
// Sums over up to 8192 elements of a row are in the lane order of [Sum], those of
// blocks and rows in float64. dx may be dy, not x.
//
// Source: S. Esser et al., "Learned step size quantization", ICLR 2020,
// equations 2 and 3.
func FakeQuantizeGrad[T Float](p *Pool, dx, dscale, dy, x, scale []T, cols int, lo, hi T) {
	checkLength("dx", len(dx), len(x))
	checkLength("dy", len(dy), len(x))
	checkLength("dscale", len(dscale), len(scale))
	clear(dscale)
	if len(x) == 0 {
		return
	}
	if len(scale) == 1 { // rows do not matter
		cols = len(x)
	}
	j := newJob[T](p, rowsFakeQuantizeGrad)
	j.dst, j.x, j.y, j.z, j.scale, j.rows, j.cols = dscale, x, dy, dx, scale, len(x)/cols, cols
	checkSize("x", len(x), j.rows, cols)
	j.factors = gridFactors(0, lo, hi)
	if cols < laneCount {
		j.run(len(scale), laneCount+(1<<12)/j.rows)
		return
	}
	blocks := ceilDiv(cols, blockSize)
	j.partials = grow(j.partials, j.rows*blocks)
	j.spread(j.rows*blocks, 1+(1<<12)/min(cols, blockSize))
	for c := range dscale {
		sum := 0.0
		for i := c; i < j.rows; i += len(scale) {
			for _, v := range j.partials[i*blocks : (i+1)*blocks] {
				sum += float64(v)
			}
		}
		dscale[c] = T(sum)
	}
	j.free()
}

// grid puts a scale beside the job's bounds, where worker's kernels read it.
func (j *job[T]) grid(worker int, scale T) *factors[T] {
	s := &j.scalars[worker]
	*s = j.factors
	s[0] = scale
	return s
}

// gridRows rounds rows [lo, hi).
func (j *job[T]) gridRows(worker, lo, hi int) {
	for i := lo; i < hi; i++ {
		dst, x := j.dst[i*j.cols:][:j.cols], j.x[i*j.cols:][:j.cols]
		elements(j.pool.set, opFakeQuantize, dst, x, nil, nil, j.grid(worker, j.y[i%len(j.y)]))
	}
}

// gridGrad differentiates blocks [lo, hi) of rows, or where rows are short, all
// rows of scales [lo, hi).
func (j *job[T]) gridGrad(worker, lo, hi int) {
	if j.cols < laneCount {
		j.gridGradShort(worker, lo, hi)
		return
	}
	blocks := ceilDiv(j.cols, blockSize)
	lanes := &j.lanes[worker]
	for b := lo; b < hi; b++ {
		i, k := b/blocks, b%blocks*blockSize
		at, end := i*j.cols+k, i*j.cols+min(j.cols, k+blockSize)
		dx, dy, x, s := j.z[at:end], j.y[at:end], j.x[at:end], j.grid(worker, j.scale[i%len(j.scale)])
		clear(lanes[:])
		n := bulk(j.pool.set, opFakeQuantizeGrad, lanes[:], x, dy, dx, s)
		for ; n < len(x); n += laneCount {
			for l := range min(laneCount, len(x)-n) {
				d, slope := gridDerivative(dy[n+l], x[n+l], s)
				dx[n+l] = d
				lanes[l] += slope
			}
		}
		j.partials[b] = foldLanes(lanes, opSumLanes)
	}
}

// gridGradShort sums in float64, over rows in order.
func (j *job[T]) gridGradShort(worker, lo, hi int) {
	var sums [laneCount]float64
	for ; lo < hi; lo += laneCount {
		end := min(hi, lo+laneCount)
		clear(sums[:])
		for first := 0; first < j.rows; first += len(j.scale) {
			for c := lo; c < end; c++ {
				s := j.grid(worker, j.scale[c])
				for at, n := (first+c)*j.cols, j.cols; n > 0; at, n = at+1, n-1 {
					d, slope := gridDerivative(j.y[at], j.x[at], s)
					j.z[at] = d
					sums[c-lo] += float64(slope)
				}
			}
		}
		for c := lo; c < end; c++ {
			j.dst[c] = T(sums[c-lo])
		}
	}
}

// gridDerivative is dy·∂y/∂x and dy·∂y/∂s at one element.
func gridDerivative[T Float](dy, x T, s *factors[T]) (dx, ds T) {
	v := x / s[0]
	c := clamped(v, s)
	q := T(c+s[3]) - s[3]
	if v == c {
		return dy, T(dy * (q - v))
	}
	return 0, T(dy * q)
}
