// Package testkit holds what the tests of several packages share. Only tests
// import it.
package testkit

import (
	"fmt"
	"math"
	"slices"
)

// Gradient approximates the gradient of f at x by central differences,
//
//	∂f/∂xᵢ ≈ (f(x + h·eᵢ) − f(x − h·eᵢ)) / 2h,   h = ∛ε·max(1, |xᵢ|)
//
// with ε the spacing of float64 at 1: the step that balances the truncation,
// h²·f‴/6, against the rounding, ε·f/h; both are some 10⁻¹⁰ for functions of
// size 1. x is altered meanwhile and restored.
//
// Source: W. Press et al., "Numerical Recipes", 3rd edition, section 5.7.
func Gradient(f func(x []float64) float64, x []float64) []float64 {
	grad := make([]float64, len(x))
	for i, xi := range x {
		h := math.Cbrt(0x1p-52) * max(1, math.Abs(xi))
		x[i] = xi + h
		right, up := f(x), x[i]
		x[i] = xi - h
		left, down := f(x), x[i]
		x[i] = xi
		grad[i] = (right - left) / (up - down)
	}
	return grad
}

// Close compares two vectors entry by entry. The tolerance is rtol times the
// largest magnitude in want, at least 1. The error names the worst entry.
func Close(got, want []float64, rtol float64) error {
	if len(got) != len(want) {
		return fmt.Errorf("length: got %d, want %d", len(got), len(want))
	}
	scale, worst, at := 1.0, 0.0, 0
	for i, w := range want {
		scale = max(scale, math.Abs(w))
		// A NaN in one of them alone is the worst difference there is.
		if d := math.Abs(got[i] - w); d > worst || math.IsNaN(d) {
			worst, at = d, i
			if math.IsNaN(d) {
				break
			}
		}
	}
	if !(worst <= rtol*scale) || slices.ContainsFunc(got, math.IsNaN) {
		return fmt.Errorf("entry %d of %d: got %v, want %v within %.3g", at, len(want), got[at], want[at], rtol*scale)
	}
	return nil
}
