package certify

import (
	"context"
	"errors"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/calculus"
	"github.com/compactify/compactify/train"
)

// curvature is the ends of the spectrum of the Hessian of L over the part of the
// examples, without the penalty.
type curvature struct {
	least, leastBound float64
	most, mostBound   float64
	examples          int
	converged         bool
}

// products bounds the Hessian-vector products for one pair of ends.
const products = 120

// curvatureAt finds the ends of the spectrum at x. Equal names must stand for equal
// points. A Hessian that is not finite gives NaN.
func (j *judge) curvatureAt(ctx context.Context, name string, x []float64) (curvature, error) {
	if c, ok := j.curved[name]; ok {
		return c, nil
	}
	s, err := calculus.Lanczos(ctx, len(x), calculus.HessianAt(j.part, x), calculus.LanczosOptions{
		Largest: 1, Smallest: 1, Products: products, Tolerance: 1e-4, Seed: j.o.Seed})
	nan := math.NaN()
	c := curvature{nan, nan, nan, nan, j.part.Examples(), false}
	switch {
	case errors.Is(err, calculus.ErrNotFinite):
	case err != nil:
		return c, err
	default:
		c = curvature{s.Smallest[0].Value, s.Smallest[0].Bound, s.Largest[0].Value, s.Largest[0].Bound, j.part.Examples(), s.Converged}
	}
	j.curved[name] = c
	return c, nil
}

// curvatureAtZero is that of L at 0; of its second derivative along directions where
// there is no Hessian.
func (j *judge) curvatureAtZero(ctx context.Context) (curvature, error) {
	p, err := j.fixedPoint(ctx)
	if err != nil {
		return curvature{}, err
	}
	if p.Curvature == train.NoCurvature {
		return j.curvatureAt(ctx, atZero, make([]float64, len(j.theta)))
	}
	return curvature{p.LambdaMin, p.LambdaMinBound, p.LambdaMax, p.LambdaMaxBound, j.part.Examples(), true}, nil
}

// bounds M, a Lipschitz constant of ∇L over all θ, of a loss that is convex in θ; ok
// is false if there is none known.
//
// With an answer z = A(x)θ that is linear in θ, H(θ) is the mean of AᵀH_zA. Of the
// squared error H_z = 2I everywhere. Of the cross-entropy of K classes H_z(z) ≼
// ½(I − 11ᵀ/K) = (K/2)·H_z(0), as H_z(z) = diag(p) − ppᵀ has the kernel 1 and no
// eigenvalue above ½. So M = (K/2)·λ_max H(0), and λ_max H(0) for the squared error.
func (j *judge) lipschitz(ctx context.Context) (m float64, ok bool, err error) {
	if !j.form.Affine || j.form.Degree != 1 {
		return math.NaN(), false, nil
	}
	s, err := calculus.Lanczos(ctx, len(j.theta), calculus.HessianAt(j.whole, make([]float64, len(j.theta))), calculus.LanczosOptions{
		Largest: 1, Products: products, Tolerance: 1e-5, Seed: j.o.Seed})
	if err != nil {
		return math.NaN(), false, err
	}
	m = s.Largest[0].Value + s.Largest[0].Bound
	if k := j.whole.Columns(); j.s.Set.Classes() > 0 {
		m *= float64(k) / 2
	}
	return m, true, nil
}

// following is the model with its batch normalisations as in training, where they
// follow the batch.
func following(g *graph.Graph) (*graph.Graph, bool) {
	c, _ := g.Clone()
	found := false
	for _, n := range c.Nodes {
		if n.Kind() == "BatchNormalization" {
			n.Attrs, found = append(n.Attrs.Without("training_mode"), graph.Int("training_mode", 1)), true
		}
	}
	return c, found
}

// invariance finds the parameters whose length does not matter.
func (j *judge) invariance(ctx context.Context) (train.Invariance, bool, error) {
	g, found := following(j.whole.Model(j.theta))
	if !found {
		g = j.s.Model
	}
	v, err := train.ScaleInvariance(ctx, g, j.s.Set, train.ObjectiveOptions{Pool: j.o.Pool, Output: j.s.Output})
	return v, found, err
}
