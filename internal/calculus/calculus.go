// Package calculus works on smooth functions of many variables: the ends of
// the spectrum of their Hessians ([Lanczos]), their gradient flow ([Flow]) and
// their minimisation by a quasi-Newton method ([LBFGS]).
//
// It knows vectors and no models: a training loss, a polynomial of a test and a
// matrix all come as a [Function], a [Curved] or a [Product]. Everything is
// computed in float64, in a fixed order: the same input gives the same bits.
package calculus

import "context"

// Function is a function F: R^n → R with its gradient.
//
// Methods must not keep or change x, and must give equal values for equal x.
// They need not be safe for concurrent use.
type Function interface {
	// Dim is n, the number of variables.
	Dim() int

	// Gradient returns F(x) and writes ∇F(x) to g; x and g have length Dim and do
	// not overlap. A value outside the domain of F is +Inf or NaN, not an error.
	Gradient(ctx context.Context, x, g []float64) (float64, error)
}

// Curved is a [Function] with second derivatives.
type Curved interface {
	Function

	// HessianVector writes ∇²F(x)·v to hv; x, v and hv have length Dim, and hv
	// overlaps neither.
	HessianVector(ctx context.Context, x, v, hv []float64) error
}
