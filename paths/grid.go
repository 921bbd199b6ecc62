package paths

import "math"

// Grid is a symmetric set of levels for weights: scale times the integers
// [Lo, Hi], or scale times {−1, +1} for one bit.
type Grid struct{ Bits int }

// Lo and Hi are the least and largest integer of the grid: two's complement of
// the given width.
func (q Grid) Lo() int {
	if q.Bits == 1 {
		return -1
	}
	return -(1 << (q.Bits - 1))
}

// Hi is the largest integer of the grid.
func (q Grid) Hi() int {
	if q.Bits == 1 {
		return 1
	}
	return 1<<(q.Bits-1) - 1
}

// Round writes the grid's nearest integers to w/scale, half to even.
func (q Grid) Round(dst []int8, w []float32, scale float32) {
	if q.Bits == 1 {
		for i, x := range w {
			dst[i] = 1
			if math.Signbit(float64(x)) && x != 0 {
				dst[i] = -1
			}
		}
		return
	}
	lo, hi := float64(q.Lo()), float64(q.Hi())
	for i, x := range w {
		dst[i] = int8(max(lo, min(hi, math.RoundToEven(float64(x)/float64(scale)))))
	}
}

// BestScale is the scale of least squared error for one channel. For one bit it
// is α = mean|θ|, with error ‖θ‖² − ‖θ‖₁²/d (THEORY section 3). Otherwise the
// scales that put the largest weight at a fraction of the range are searched,
// and the best is polished by alternating between rounding and least squares.
// A channel of zeros has scale 1.
func (q Grid) BestScale(w []float32) float32 {
	top, sum := 0.0, 0.0
	for _, x := range w {
		a := math.Abs(float64(x))
		top = max(top, a)
		sum += a
	}
	if top == 0 {
		return 1
	}
	if q.Bits == 1 {
		return float32(sum / float64(len(w)))
	}
	best, bestErr := 0.0, math.Inf(1)
	full := top / float64(q.Hi())
	const tries = 64
	for i := range tries {
		s := full * (1.05 - 0.85*float64(i)/tries)
		if e, _ := q.fit(w, s); e < bestErr {
			best, bestErr = s, e
		}
	}
	for range 8 {
		e, next := q.fit(w, best)
		if e > bestErr || next <= 0 {
			break
		}
		bestErr = e
		if next == best {
			break
		}
		if e, _ := q.fit(w, next); e >= bestErr {
			break
		}
		best = next
	}
	return float32(best)
}

// fit is the squared error at a scale and the least-squares scale for the
// integers that scale rounds to.
func (q Grid) fit(w []float32, s float64) (sqErr, next float64) {
	lo, hi := float64(q.Lo()), float64(q.Hi())
	inv := 1 / s
	var xq, qq float64
	for _, x := range w {
		v := max(lo, min(hi, math.RoundToEven(float64(x)*inv)))
		d := float64(x) - s*v
		sqErr += d * d
		xq += float64(x) * v
		qq += v * v
	}
	if qq == 0 {
		return sqErr, 0
	}
	return sqErr, xq / qq
}
