package paths

import "math"

// Grid is a symmetric set of levels for weights: scale times the integers
// [Lo, Hi], or scale times {−1, +1} for one bit.
type Grid struct{ Bits int } // 1 to 8

// Lo is the least integer of the grid: of the range of two's complement, or −1
// for one bit.
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

// Round writes the grid's nearest integers to w/scale, half to even. The
// division is in float32, as ONNX QuantizeLinear and FakeQuantize divide.
func (q Grid) Round(dst []int8, w []float32, scale float32) {
	if q.Bits == 1 {
		for i, x := range w {
			dst[i] = 1
			if x < 0 {
				dst[i] = -1
			}
		}
		return
	}
	lo, hi := float64(q.Lo()), float64(q.Hi())
	for i, x := range w {
		dst[i] = int8(max(lo, min(hi, math.RoundToEven(float64(x/scale)))))
	}
}

// The search of [Grid.BestScale], in units of the scale that puts the largest
// weight at the end of the range: wide grids are best near 1, where the error
// varies quickly, narrow ones far below, where it varies slowly.
const (
	nearTries    = 32 // evenly spaced from nearHigh to nearLow
	nearHigh     = 1.05
	nearLow      = 0.85
	farTries     = 32       // in equal ratios from nearLow down to meanFraction
	meanFraction = 0.75     // of the mean magnitude, at the end of the range
	polish       = 8        // steps after the search
	leastScale   = 0x1p-126 // the smallest normal number
)

// BestScale is the scale of least squared error for one channel. For one bit it
// is α = mean|θ|, with error ‖θ‖² − ‖θ‖₁²/d (THEORY section 3), 0 for a channel
// of zeros. Otherwise scales are tried from the one at which the largest weight
// is at the end of the range down to one at which the mean magnitude nearly is,
// and the best is polished by alternating between rounding and least squares. It
// is never worse than the first of them, and 1 for a channel of zeros.
func (q Grid) BestScale(w []float32) float32 {
	top, sum := 0.0, 0.0
	for _, x := range w {
		a := math.Abs(float64(x))
		top = max(top, a)
		sum += a
	}
	switch {
	case q.Bits == 1:
		return float32(sum / float64(max(1, len(w))))
	case top == 0:
		return 1
	}
	best := top / float64(q.Hi())
	bestErr, next := q.fit(w, best)
	full, far := best, min(nearLow, meanFraction*sum/float64(len(w))/top)
	for i := range nearTries + farTries {
		s := full * (nearHigh - (nearHigh-nearLow)*float64(i)/nearTries)
		if i >= nearTries {
			s = full * nearLow * math.Pow(far/nearLow, float64(i-nearTries)/(farTries-1))
		}
		if e, after := q.fit(w, s); e < bestErr {
			best, bestErr, next = s, e, after
		}
	}
	for range polish {
		e, after := q.fit(w, next)
		if !(e < bestErr) {
			break
		}
		best, bestErr, next = next, e, after
	}
	return float32(max(leastScale, min(math.MaxFloat32, best)))
}

// fit is the squared error at a scale and the least-squares scale for the
// integers that scale rounds to. An error that is not a number compares as worse
// than any.
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
	return sqErr, xq / qq
}
