package certify

import (
	"context"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/stream"
)

// inwards is row 7.
func (j *judge) inwards(ctx context.Context) (Claim, error) {
	c, ok := j.begin("far from 0 the flow of L + λR points inwards, ⟨θ, ∇(L + λR)⟩ > 0: infinity repels")
	if !ok {
		return c, nil
	}
	if j.now.none() || j.now.l1 == 0 && j.now.l2 == 0 && j.now.group == 0 {
		return j.outwards(ctx)
	}
	zero, err := j.lossAtZero(ctx)
	if err != nil {
		return c, err
	}
	c.add("lambda", max(j.now.l2, j.now.l1, j.now.group))
	c.add("loss_at_zero", zero)
	j.boundedBelow(&c)
	if math.IsNaN(zero) || math.IsInf(zero, 0) {
		c.Verdict = compactify.Inconclusive
		c.note("L(0) is not finite")
		return c, nil
	}
	if degree, how := j.order(); c.suppose(degree > 0, "%s", how) {
		c.add("degree", degree)
		c.add("radius", j.inwardRadius(degree*(zero-lowerBound)))
		c.add("norm", norm(j.theta))
		c.Verdict = compactify.Verified
		c.note("⟨θ, ∇L⟩ ≥ −k(L(0) − L̲) for every θ with a gradient, as ℓ(0) ≥ ℓ(z) − ⟨∇ℓ(z), z⟩ for the convex loss ℓ of an answer z, and ⟨θ, ∂z/∂θ⟩ = kz")
		return c, nil
	}
	return c, j.spheres(ctx, &c)
}

// order is k with ⟨θ, ∇L(θ)⟩ ≥ k(L(θ) − L(0)) for every θ: the degree of a
// homogeneous answer (Euler), 1 for a convex L. 0 if neither is known.
func (j *judge) order() (k float64, how string) {
	switch {
	case j.form.Degree > 0:
		return float64(j.form.Degree), "the answer is homogeneous in θ: z(cθ) = cᵏz(θ) for c ≥ 0"
	case j.form.Affine:
		return 1, "the answer is affine in θ, so that L is convex"
	}
	return 0, "the answer is homogeneous or affine in θ"
}

// inwardRadius is where ⟨θ, ∂(λR)⟩ = 2λ₂‖θ‖² + λ₁‖θ‖₁ + λ_gΣ√|g|‖θ_g‖ exceeds the
// depth.
func (j *judge) inwardRadius(depth float64) float64 {
	l := j.now
	l.l2 *= 2
	return l.ball(depth)
}

// How many spheres are sampled, each twice as large as the one before, and random
// directions on each.
const (
	sphereCount  = 6
	sphereRandom = 8
)

// spheres samples the sign of ⟨θ, ∇(L + λR)⟩ at the directions of the model, of θ₀ and
// at random ones.
func (j *judge) spheres(ctx context.Context, c *Claim) error {
	n := len(j.theta)
	var directions [][]float64
	add := func(v []float64) {
		if size := norm(v); size > 0 {
			u := make([]float64, n)
			for i, x := range v {
				u[i] = x / size
			}
			directions = append(directions, u)
		}
	}
	add(j.theta)
	start, err := j.initial()
	if err != nil {
		return err
	}
	add(start)
	for i := range sphereRandom {
		r := stream.New(j.o.Seed, "certify/sphere", uint64(i))
		v := make([]float64, n)
		for k := range v {
			v[k] = r.NormFloat64()
		}
		add(v)
	}
	unit := max(norm(j.theta), norm(start), 1)
	g := make([]float64, n)
	from, least, inside := math.Inf(1), math.NaN(), math.NaN()
	for k := sphereCount - 1; k >= 0; k-- {
		radius := math.Ldexp(unit, k)
		worst := math.Inf(1)
		for _, u := range directions {
			x := along(make([]float64, n), radius, u)
			if _, err := j.part.Gradient(ctx, x, g); err != nil {
				return err
			}
			inner := dot(g, x) + 2*j.now.l2*radius*radius
			if j.now.l1 > 0 || j.now.group > 0 {
				inner += (j.now.l1 + j.now.group) * radius // at least: ‖θ‖₁ and Σ√|g|‖θ_g‖ are no less than ‖θ‖
			}
			worst = min(worst, inner/(radius*radius))
		}
		if !(worst > 0) {
			inside = worst
			break
		}
		from, least = radius, worst
	}
	c.add("directions", float64(len(directions)))
	c.add("largest_radius", math.Ldexp(unit, sphereCount-1))
	c.add("inwards_from", from)
	c.add("least_inner_product", least)   // over ‖θ‖², on that sphere,
	c.add("inner_product_inside", inside) // and on the next smaller one if some direction points outwards there
	c.add("examples", float64(j.part.Examples()))
	if math.IsInf(from, 1) {
		c.Verdict = compactify.Inconclusive
		c.note("on the largest sphere some direction points outwards: the radius, if there is one, is larger")
		return nil
	}
	c.Verdict = compactify.Supported
	c.note("a bound of ‖∇L‖ over all θ is not known for this network: signs were sampled on spheres")
	return nil
}

// outwards judges where the flow goes without a penalty.
func (j *judge) outwards(ctx context.Context) (Claim, error) {
	c := Claim{Statement: "without a penalty the loss decides where the flow goes far out"}
	linear := c.suppose(j.form.Affine && j.form.Degree == 1, "the answer is linear in θ")
	classes := c.suppose(j.s.Set.Classes() > 0 && j.whole.Columns() > 1, "L is a cross-entropy of two or more classes")
	if !linear || !classes {
		c.suppose(false, "λ > 0")
		c.Verdict = compactify.NotApplicable
		return c, nil
	}
	return c, j.separable(ctx, &c)
}
