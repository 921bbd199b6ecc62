package paths

import (
	"context"
	"errors"
	"math"

	"github.com/compactify/compactify/internal/calculus"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/train"
)

// The constants of the first rate. Gradient descent with momentum μ is stable on a
// quadratic of curvature M for η < 2(1+μ)/M; a batch of the path's training is more
// curved than the mean over the probe, so that a part of that is taken.
const (
	rateProbe    = 256 // examples
	rateProducts = 12  // with the Hessian
	rateShare    = 0.5 // of 1/M
)

// newProbe is the objective over a few of the examples.
func (l *ladder) newProbe() (*train.Objective, error) {
	n := l.o.Set.Len()
	some := make([]int, min(n, rateProbe))
	for i := range some {
		some[i] = i * n / len(some)
	}
	return train.NewObjective(l.base, l.o.Set.Subset(some), train.ObjectiveOptions{Pool: l.pool, Output: l.o.Output})
}

// firstRate is η of the first training: what the settings say, but no more than the
// curvature at the model given allows. Where the model has no second derivatives, only
// the settings count.
func (l *ladder) firstRate(ctx context.Context) (float64, error) {
	m, err := sharpest(ctx, l.probe, l.o.Seed)
	switch {
	case errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded):
		return 0, err
	case err != nil || !(m > 0) || !finite(m):
		return l.o.Rate, nil
	}
	return min(l.o.Rate, rateShare/m), nil
}

// The factors that warm starts are tried with: √½, ½, … down to 1/64.
const (
	shrinkSteps = 12
	shrinkBy    = math.Sqrt2
)

// shrunk is the multiple of weights, by at most 1, with the least L + λR over the probe,
// and whether it is another than the weights themselves. One step of λ may ask for
// much smaller weights than few steps of training can reach.
func (p *Penalised) shrunk(ctx context.Context, t float64, theta []float64) (_ []float64, changed bool, err error) {
	best, factor := math.Inf(1), 1.0
	x := make([]float64, len(theta))
	scale := func(c float64) {
		for i, v := range theta {
			x[i] = c * v
		}
	}
	c := 1.0
	for range shrinkSteps + 1 {
		scale(c)
		loss, err := p.probe.Loss(ctx, x)
		if err != nil {
			return nil, false, err
		}
		if value := loss + p.param(t)*p.r(x); value < best {
			best, factor = value, c
		}
		c /= shrinkBy
	}
	scale(factor)
	return x, factor < 1, nil
}

// sharpest is the largest |curvature| of a function at its own point that a few steps
// of the power method find: a lower bound of the largest there is.
func sharpest(ctx context.Context, f *train.Objective, seed uint64) (float64, error) {
	product := calculus.HessianAt(f, f.Point())
	v, hv := make([]float64, f.Dim()), make([]float64, f.Dim())
	r := stream.New(seed, "paths/curvature", 0)
	for i := range v {
		v[i] = r.Float64() - 0.5
	}
	m := 0.0
	for range rateProducts {
		length := 0.0
		for _, x := range v {
			length += x * x
		}
		if length = math.Sqrt(length); !(length > 0) || !finite(length) {
			return m, nil
		}
		for i := range v {
			v[i] /= length
		}
		if err := product(ctx, v, hv); err != nil {
			return 0, err
		}
		m = 0
		for _, x := range hv {
			m += x * x
		}
		m = math.Sqrt(m)
		v, hv = hv, v
	}
	return m, nil
}
