package linear

import (
	"math"
	"testing"
)

var testTerms = []term{
	{1, 0, math.Inf(-1), math.Inf(1)},
	{1, 2, math.Inf(-1), math.Inf(1)},
	{0, 2, math.Inf(-1), math.Inf(1)},
	{0.5, 0, 0, math.Inf(1)},
	{0.5, 0.25, -0.75, 2},
	{0, 0, -1, 1},
	{1, 0, -1, 0},
	{3, 1, 0, 0},
}

func (h term) value(t float64) float64 { return h.a*math.Abs(t) + h.b/2*t*t }

// TestConjugate compares the conjugate, the excess and the step of one coordinate
// with maxima over a fine grid.
func TestConjugate(t *testing.T) {
	for _, h := range testTerms {
		lo, hi := max(h.lower, -8), min(h.upper, 8)
		for c := -3.0; c <= 3; c += 0.25 {
			got := h.conjugate(c)
			best, least, at := math.Inf(-1), math.Inf(1), 0.0
			const q = 1.5
			for i := 0; i <= 1<<14; i++ {
				x := lo + (hi-lo)*float64(i)/(1<<14)
				best = max(best, c*x-h.value(x))
				if v := q/2*x*x - c*x + h.value(x); v < least {
					least, at = v, x
				}
			}
			if math.IsInf(got, 1) {
				if best < 1 { // grows with the grid's end
					t.Errorf("%+v: conjugate(%v): got +Inf, on a grid %v", h, c, best)
				}
			} else if math.Abs(got-best) > 1e-4 {
				t.Errorf("%+v: conjugate(%v): got %v, on a grid %v", h, c, got, best)
			}
			if x := h.step(q, c); math.Abs(x-at) > 2e-3 {
				t.Errorf("%+v: step(%v, %v): got %v, on a grid %v", h, q, c, x, at)
			}
			for _, x := range []float64{-0.75, -0.5, 0, 0.1, 1, 2} {
				if x < h.lower || x > h.upper || math.IsInf(got, 1) {
					continue
				}
				if e, want := h.excess(x, c), h.value(x)+got-c*x; math.Abs(e-want) > 1e-12 {
					t.Errorf("%+v: excess(%v, %v): got %v, want %v", h, x, c, e, want)
				}
			}
		}
	}
}

// TestViolation: no excess exactly where the distance to the subgradients is 0.
func TestViolation(t *testing.T) {
	for _, h := range testTerms {
		for c := -3.0; c <= 3; c += 0.125 {
			for _, x := range []float64{-1, -0.75, -0.5, 0, 0.5, 1, 2} {
				if x < h.lower || x > h.upper {
					continue
				}
				if e, v := h.excess(x, c), h.violation(x, c); (e < 1e-14) != (v < 1e-14) {
					t.Errorf("%+v at %v, c = %v: excess %v, violation %v", h, x, c, e, v)
				}
			}
		}
	}
}
