package paths

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
)

// grid is a set of levels for weights: s·(q − z) for the integers q of [lo, hi].
// Symmetric grids have z = 0. One bit has the levels −s and +s alone.
type grid struct {
	lo, hi     int
	signs      bool
	asymmetric bool
}

// level is the free part of a grid: its scale s and zero point z.
type level struct {
	scale float32
	zero  int
}

// grid is the set of levels of a scheme. Symmetric grids take the range of two's
// complement, but for fixed point, whose range is {−B..B}.
func (s Scheme) grid() grid {
	half := 1 << (s.Bits - 1)
	switch {
	case s.Bits == 1:
		return grid{lo: -1, hi: 1, signs: true}
	case s.Ternary:
		return grid{lo: -1, hi: 1}
	case s.Asymmetric:
		return grid{hi: 2*half - 1, asymmetric: true}
	case s.Fit == FitFixedPoint:
		return grid{lo: 1 - half, hi: half - 1}
	}
	return grid{lo: -half, hi: half - 1}
}

// round writes the bytes of the nearest integers to w/s + z, halves to even. The
// division is in float32, as ONNX QuantizeLinear and FakeQuantize divide.
func (q grid) round(set kernel.Set, dst []byte, w []float32, at level) {
	if !q.signs {
		kernel.QuantizeRow(set, dst, w, at.scale, q.lo-at.zero, q.hi-at.zero, at.zero)
		return
	}
	for i, x := range w {
		dst[i] = 1
		if x < 0 {
			dst[i] = 0xff
		}
	}
}

// integer is what a byte stands for.
func (q grid) integer(b byte) int {
	if q.asymmetric {
		return int(b)
	}
	return int(int8(b))
}

// clips reports whether a weight lies beyond the levels, by more than half a step
// from the last, so that rounding alone does not say how far it is moved.
func (q grid) clips(x float32, at level) bool {
	v := float64(x / at.scale)
	if q.signs {
		return math.Abs(v) > 2 // the step between −s and +s is 2s
	}
	v = math.RoundToEven(v) + float64(at.zero)
	return v < float64(q.lo) || v > float64(q.hi)
}

// step is Δ, the distance of two levels.
func (q grid) step(at level) float64 {
	if q.signs {
		return 2 * float64(at.scale)
	}
	return float64(at.scale)
}

// error is Σ(w − s·(q − z))² for the q nearest to w/s + z, or something above
// limit if it is above that, and the least-squares scale for those q.
func (q grid) error(set kernel.Set, w []float32, at level, limit float64) (sqErr, next float64) {
	e, xq, qq := kernel.GridError(set, w, at.scale, q.lo-at.zero, q.hi-at.zero, limit)
	return e, xq / qq
}

// divisor brings a scale to what float32 can divide by.
func divisor(s float64) float32 {
	if !(s > leastScale) { // a NaN too
		return leastScale
	}
	return float32(min(math.MaxFloat32, s))
}

const leastScale = 0x1p-126 // the smallest normal number
