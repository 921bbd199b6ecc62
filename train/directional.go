package train

import (
	"context"
	"math"
	"slices"

	"github.com/compactify/compactify/internal/stream"
)

// nearZero is the first distance from θ = 0 at which derivatives are compared with
// those at 0.
const nearZero = 1e-3

// direction is random, of unit length.
func (z *zeroPoint) direction(i int) []float64 {
	r := stream.New(z.o.Seed, "train/direction", uint64(i))
	v := make([]float64, z.f.Dim())
	for k := range v {
		v[k] = r.NormFloat64()
	}
	scaleTo(v, 1/length(v), v)
	return v
}

// change writes (g(εv) − g(0))/ε.
func (z *zeroPoint) change(ctx context.Context, v []float64, epsilon float64, r []float64) error {
	x := make([]float64, len(v))
	scaleTo(x, epsilon, v)
	if _, err := z.f.Gradient(ctx, x, r); err != nil {
		return err
	}
	for i := range r {
		r[i] = (r[i] - z.g0[i]) / epsilon
	}
	return nil
}

// smoothAlong reports whether the gradient tends to g(0) along random directions:
// where the answer has kinks of first order it jumps.
func (z *zeroPoint) smoothAlong(ctx context.Context) (bool, error) {
	far, near := make([]float64, z.f.Dim()), make([]float64, z.f.Dim())
	for i := range 2 {
		v := z.direction(i)
		if err := z.change(ctx, v, nearZero, far); err != nil {
			return false, err
		}
		if err := z.change(ctx, v, nearZero/64, near); err != nil {
			return false, err
		}
		// Differences, not quotients: one that does not shrink with ε is a jump.
		a, b := nearZero*length(far), nearZero/64*length(near)
		if b > a/8 && b > z.precision*(1+length(z.g0)) {
			return false, nil
		}
	}
	return true, nil
}

// agreement is how far two vectors may differ, relative to their lengths, when one
// is a difference quotient.
const agreement = 0.01

// hessianExists compares the change of the gradient along random directions with
// Hessian-vector products at 0.
func (z *zeroPoint) hessianExists(ctx context.Context) (bool, error) {
	n := z.f.Dim()
	hv, r := make([]float64, n), make([]float64, n)
	for i := range 2 {
		v := z.direction(i)
		if err := z.f.HessianVector(ctx, make([]float64, n), v, hv); err != nil {
			return false, err
		}
		if err := z.change(ctx, v, nearZero, r); err != nil {
			return false, err
		}
		size := max(length(hv), length(r))
		for k := range r {
			r[k] -= hv[k]
		}
		if length(r) > agreement*size+z.precision/nearZero {
			return false, nil
		}
	}
	return true, nil
}

// directional searches the extremes of the second derivative along directions.
//
// r(v) = lim (g(εv) − g(0))/ε is homogeneous of degree 1, and ½⟨r(v), v⟩ is the
// second-order term with gradient r(v): v ← cv ∓ r(v), scaled to unit length, moves
// it down or up if c is at least the steepest change of r.
func (z *zeroPoint) directional(ctx context.Context) error {
	z.p.Curvature, z.p.converged = ByDirection, true
	each := max(2, z.o.Gradients/(2*z.o.Directions))
	var ends [2][]float64
	for i := range z.o.Directions {
		for e, sign := range []float64{-1, 1} {
			value, err := z.climb(ctx, z.direction(i), sign, each)
			if err != nil {
				return err
			}
			ends[e] = append(ends[e], value)
		}
	}
	z.p.LambdaMin, z.p.LambdaMax = slices.Min(ends[0]), slices.Max(ends[1])
	z.p.LambdaMinBound, z.p.LambdaMaxBound = slices.Max(ends[0])-z.p.LambdaMin, z.p.LambdaMax-slices.Min(ends[1])
	return nil
}

// climb moves a direction to where the form is extreme, until four steps bring less
// than a thousandth or the steps run out, and returns the form's best value. The
// extremes tend to lie where many examples are at their kinks at once, so that r(v)
// need not become a multiple of v.
func (z *zeroPoint) climb(ctx context.Context, v []float64, sign float64, steps int) (best float64, err error) {
	r := make([]float64, len(v))
	c, before := 0.0, math.Inf(-1)
	best = math.Inf(-1)
	for k := range steps {
		if err := z.change(ctx, v, nearZero, r); err != nil {
			return 0, err
		}
		best = max(best, sign*dot(r, v))
		if k%4 == 3 {
			if best-before <= 1e-3*math.Abs(best) {
				break
			}
			before = best
		}
		c = max(c, length(r))
		for i := range v {
			v[i] = c*v[i] + sign*r[i]
		}
		size := length(v)
		if size == 0 {
			break // the form is zero about v, or v is where it is extreme the other way
		}
		scaleTo(v, 1/size, v)
	}
	return sign * best, nil
}
