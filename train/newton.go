package train

import (
	"context"
	"math"

	"github.com/compactify/compactify/internal/calculus"
)

// Ridge is f(x) + λ‖x − center‖² as a function; a nil center is 0.
func Ridge(f calculus.Curved, lambda float64, center []float64) calculus.Curved {
	return anchored{f, lambda, center}
}

type anchored struct {
	f      calculus.Curved
	lambda float64
	center []float64
}

func (r anchored) Dim() int { return r.f.Dim() }

func (r anchored) from(i int) float64 {
	if r.center == nil {
		return 0
	}
	return r.center[i]
}

func (r anchored) Gradient(ctx context.Context, x, g []float64) (float64, error) {
	value, err := r.f.Gradient(ctx, x, g)
	sum := 0.0
	for i := range g {
		d := x[i] - r.from(i)
		g[i] += 2 * r.lambda * d
		sum += d * d
	}
	return value + r.lambda*sum, err
}

func (r anchored) HessianVector(ctx context.Context, x, v, hv []float64) error {
	err := r.f.HessianVector(ctx, x, v, hv)
	for i := range hv {
		hv[i] += 2 * r.lambda * v[i]
	}
	return err
}

// newton moves x to a minimiser of f by Newton's method, the steps solved by
// conjugate gradients, until ‖g‖ is at most the tolerance or products of the
// Hessian run out or nothing falls any more. It returns the last ‖g‖.
//
// Source: J. Nocedal and S. Wright, "Numerical optimization", 2nd edition,
// algorithm 7.1.
func newton(ctx context.Context, f calculus.Curved, x []float64, tolerance float64, products int) (float64, error) {
	n := f.Dim()
	g, p, next, gNext := make([]float64, n), make([]float64, n), make([]float64, n), make([]float64, n)
	value, err := f.Gradient(ctx, x, g)
	for products > 0 && err == nil && length(g) > tolerance {
		var used int
		if used, err = conjugate(ctx, f, x, g, p, min(0.01, math.Sqrt(length(g)))*length(g), products); err != nil {
			break
		}
		products -= used
		slope := dot(g, p)
		moved := false
		for t := 1.0; t > 1e-10 && !moved; t /= 2 {
			for i := range x {
				next[i] = x[i] + t*p[i]
			}
			var there float64
			if there, err = f.Gradient(ctx, next, gNext); err != nil {
				return length(g), err
			}
			// Near the minimiser values differ by rounding only, and gradients tell more.
			flat := math.Abs(there-value) <= 1e-13*math.Abs(value) && length(gNext) < length(g)
			if there <= value+1e-4*t*slope && there < value || flat {
				copy(x, next)
				copy(g, gNext)
				value, moved = there, true
			}
		}
		if !moved {
			break
		}
	}
	return length(g), err
}

// conjugate writes an approximate solution of H·p = −g to p, with H at x: conjugate
// gradients until the residual is at most the tolerance, or a direction curves down,
// which is p if it is the first.
func conjugate(ctx context.Context, f calculus.Curved, x, g, p []float64, tolerance float64, products int) (used int, err error) {
	n := len(x)
	r, d, hd := make([]float64, n), make([]float64, n), make([]float64, n)
	clear(p)
	scaleTo(r, -1, g)
	copy(d, r)
	rr := dot(r, r)
	for used < products && math.Sqrt(rr) > tolerance {
		used++
		if err := f.HessianVector(ctx, x, d, hd); err != nil {
			return used, err
		}
		curvature := dot(d, hd)
		if !(curvature > 0) {
			if used == 1 {
				copy(p, d)
			}
			break
		}
		a := rr / curvature
		for i := range p {
			p[i] += a * d[i]
			r[i] -= a * hd[i]
		}
		before := rr
		rr = dot(r, r)
		for i := range d {
			d[i] = r[i] + rr/before*d[i]
		}
	}
	return used, nil
}
