package certify

import (
	"context"
	"math"

	"github.com/compactify/compactify"
)

// smallGradient is the share of the gradient at the start, or of (1 + L)/‖θ‖ without
// one, below which a model counts as nearly critical.
const smallGradient = 1e-3

// convergence is row 10.
func (j *judge) convergence(ctx context.Context) (Claim, error) {
	c, ok := j.begin("training came to a critical point of L + λR")
	if !ok {
		return c, nil
	}
	if !c.suppose(j.now.group == 0 && math.IsInf(j.now.radius, 1), "the penalty is λ‖θ‖², λ‖θ‖₁ or their sum") {
		c.Verdict = compactify.NotApplicable
		return c, nil
	}
	g, err := j.gradient(ctx)
	if err != nil {
		return c, err
	}
	size := norm(j.leastSubgradient(j.theta, g))
	here := j.known[atModel] + j.penalty(j.theta)
	scale := (1 + here) / max(norm(j.theta), math.SmallestNonzeroFloat64)
	c.add("gradient", size)
	c.add("norm", norm(j.theta))
	c.add("objective", here)
	start, err := j.initial()
	if err != nil {
		return c, err
	}
	if start != nil {
		if scale, err = j.from(ctx, &c, start); err != nil {
			return c, err
		}
	}
	c.add("relative_gradient", size/scale)
	if err := j.flowLength(&c); err != nil {
		return c, err
	}
	h, err := j.curvatureAt(ctx, atModel, j.theta)
	if err != nil {
		return c, err
	}
	least := h.least + 2*j.now.l2
	c.add("hessian_min", least) // of L + λ₂‖θ‖²
	c.add("hessian_min_error", h.leastBound)
	c.add("hessian_max", h.most+2*j.now.l2)
	c.add("examples", float64(h.examples))
	if !c.suppose(size <= smallGradient*scale, "the gradient of L + λR is small against that at the start: at most %g of it", smallGradient) {
		c.Verdict = compactify.Inconclusive
		c.note("the model is not near a critical point: training ended before it got there")
		return c, nil
	}
	c.Verdict = compactify.Supported
	switch {
	case least < -h.leastBound:
		c.note("L + λR curves down along some direction: a saddle, which almost no orbit tends to")
	case least > h.leastBound:
		c.note("no direction was found along which L + λR curves down: like a minimum")
	}
	return c, nil
}

// from measures the way from θ₀ and returns the gradient's norm there.
func (j *judge) from(ctx context.Context, c *Claim, start []float64) (float64, error) {
	g := make([]float64, len(start))
	l, err := j.whole.Gradient(ctx, start, g)
	if err != nil {
		return 0, err
	}
	j.known[atInitial] = l
	size := norm(j.leastSubgradient(start, g))
	c.add("gradient_at_start", size)
	c.add("distance_from_start", norm(minus(j.theta, start)))
	return max(size, math.SmallestNonzeroFloat64), nil
}

// leastSubgradient is the shortest subgradient of L + λ₁‖θ‖₁ + λ₂‖θ‖² at x, whose
// gradient of L is g.
func (j *judge) leastSubgradient(x, g []float64) []float64 {
	s := make([]float64, len(x))
	for i, v := range x {
		d := g[i] + 2*j.now.l2*v
		switch {
		case v > 0:
			d += j.now.l1
		case v < 0:
			d -= j.now.l1
		default:
			d = math.Copysign(max(0, math.Abs(d)-j.now.l1), d)
		}
		s[i] = d
	}
	return s
}
