package certify

import (
	"context"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/train"
)

// gradientAtZero is g(0) over all examples.
func (j *judge) gradientAtZero(ctx context.Context) ([]float64, error) {
	if j.gradZero != nil {
		return j.gradZero, nil
	}
	zero, g := make([]float64, len(j.theta)), make([]float64, len(j.theta))
	l, err := j.whole.Gradient(ctx, zero, g)
	if err != nil {
		return nil, err
	}
	j.gradZero = g
	if _, ok := j.known[atZero]; !ok {
		j.known[atZero] = l
	}
	return g, nil
}

// fixedPoint is what θ = 0 is without a penalty, over a part of the examples.
func (j *judge) fixedPoint(ctx context.Context) (train.FixedPoint, error) {
	if j.fixed != nil {
		return *j.fixed, nil
	}
	p, err := train.FixedPointAtZero(ctx, j.part, 0, train.FixedOptions{Seed: j.o.Seed, Products: products})
	if err == nil {
		j.fixed = &p
	}
	return p, err
}

// gradientTolerance is up to which g(0), over all examples, counts as zero.
func (j *judge) gradientTolerance() float64 {
	return gradientPrecision * (1 + math.Abs(j.known[atZero])) * math.Sqrt(float64(len(j.theta)))
}

// atZero is row 6.
func (j *judge) atZero(ctx context.Context) (Claim, error) {
	c, ok := j.begin("θ = 0 is a fixed point of the gradient flow of L + λ‖θ‖²")
	if !ok {
		return c, nil
	}
	if !c.suppose(j.now.l1 == 0 && j.now.group == 0, "the penalty is differentiable at 0: λ‖θ‖², or none") {
		c.Verdict = compactify.NotApplicable
		return c, nil
	}
	p, err := j.fixedPoint(ctx)
	if err != nil {
		return c, err
	}
	p = p.With(j.now.l2)
	g, err := j.gradientAtZero(ctx)
	if err != nil {
		return c, err
	}
	c.add("gradient_at_zero", norm(g))
	c.add("gradient_tolerance", p.GradTolerance)
	c.add("lambda", p.Lambda)
	if p.Curvature != train.NoCurvature {
		c.add("hessian_min", p.LambdaMin)
		c.add("hessian_min_error", p.LambdaMinBound)
		c.add("margin", p.Margin()) // λ_min H(0) + 2λ
		c.add("floor", p.LambdaFloor)
	}
	c.add("examples", float64(j.part.Examples()))
	c.Verdict = p.Verdict
	if !c.suppose(p.Verdict != compactify.NotApplicable, "L has a gradient at 0") {
		c.note("%s", p.Reason)
		return c, nil
	}
	fixed := p.Kind != train.NotFixed
	// Of a part of the examples g(0) need not be that of all.
	if whole := norm(g) <= j.gradientTolerance(); j.form.Degree < 2 && whole != fixed {
		fixed = whole
		c.Verdict = compactify.Supported
		if whole {
			c.Verdict = compactify.Inconclusive
			c.note("g(0) is zero over all examples; the second order is of a part of them, where it is not")
		}
	}
	c.suppose(fixed, "g(0) = 0")
	if !fixed {
		c.Statement = "θ = 0 is not a fixed point of the gradient flow of L + λ‖θ‖²"
		c.note("‖g(0)‖ = %.6g", norm(g))
		return c, nil
	}
	if p.Kind != train.FixedUnknown && p.Kind != train.NotFixed {
		article := "a "
		if p.Kind == train.Attractor {
			article = "an "
		}
		c.Statement = "θ = 0 is " + article + string(p.Kind) + " of the gradient flow of L + λ‖θ‖²"
	}
	c.note("%s", p.Reason)
	if p.Curvature == train.ByDirection {
		c.note("L has no Hessian at 0: the extremes are of its second derivative along directions")
	}
	return c, nil
}

// gradientPrecision is the error of an entry of a mean gradient in float32.
const gradientPrecision = 1e-6

// arrivalPenalty is the penalty whose arrival is judged: the subject's own, or ‖θ‖²
// where it has none.
func (j *judge) arrivalPenalty(c *Claim) (p train.Penalty, lambda float64, ok bool) {
	var own []train.Penalty
	for _, p := range j.s.Penalties {
		if p.Kind != train.MaxNorm {
			own = append(own, p)
		}
	}
	switch len(own) {
	case 0:
		c.note("the subject has no penalty: λ‖θ‖² is taken")
		return train.Penalty{Kind: train.L2}, math.NaN(), true
	case 1:
		return own[0], own[0].Lambda.At(0, 1), true
	}
	return p, 0, false
}

// arrival is row 5.
func (j *judge) arrival(ctx context.Context) (Claim, error) {
	c, ok := j.begin("θ = 0 is the global minimiser of L + λR exactly for λ ≥ λ_arr = sup (L(0) − L(θ))/R(θ)")
	if !ok {
		return c, nil
	}
	p, lambda, ok := j.arrivalPenalty(&c)
	if !c.suppose(ok, "one penalty λR") {
		c.Verdict = compactify.NotApplicable
		return c, nil
	}
	fixed, err := j.fixedPoint(ctx)
	if err != nil {
		return c, err
	}
	g, err := j.gradientAtZero(ctx)
	if err != nil {
		return c, err
	}
	if fixed.Curvature == train.NoCurvature && j.form.Degree < 2 {
		fixed.GradNorm, fixed.GradTolerance = norm(g), j.gradientTolerance() // over all examples
	}
	candidates := [][]float64{j.theta}
	start, err := j.initial()
	if err != nil {
		return c, err
	}
	o := j.arrivalOptions()
	if start != nil && o.Ascent > 0 {
		candidates = append(candidates, start)
	}
	more, err := j.places()
	if err != nil {
		return c, err
	}
	candidates = append(candidates, more...)
	o.Candidates, o.Fixed = candidates, &fixed
	a, err := train.FindArrival(ctx, j.whole, p, o)
	if err != nil {
		return c, err
	}
	j.describeArrival(&c, p, lambda, a)
	j.claimedArrival(&c, a)
	return c, nil
}

// arrivalOptions search less where a pass over all examples takes longer: a lower
// bound stays one.
func (j *judge) arrivalOptions() train.ArrivalOptions {
	o := train.ArrivalOptions{Scales: 16, Ascent: 8, Floor: lowerBound, Seed: j.o.Seed}
	pass := multiplications(j.s.Model) * float64(j.s.Set.Len())
	switch {
	case pass > 1e11:
		o.Scales, o.Ascent = 6, 0
	case pass > 2e10:
		o.Ascent = 0
	case pass > 5e9:
		o.Ascent = 3
	}
	return o
}

func (j *judge) describeArrival(c *Claim, p train.Penalty, lambda float64, a train.Arrival) {
	lower := a.Lower()
	if !math.IsNaN(lambda) {
		c.add("lambda", lambda)
	}
	c.add("loss_at_zero", a.Loss0)
	c.add("kkt", a.KKT)
	c.add("searched", a.Searched)
	if a.Witness != nil {
		c.add("witness_loss", a.WitnessLoss)
		c.add("witness_norm", norm(a.Witness))
	}
	c.add("lower", lower)
	c.add("upper", a.Upper)
	convex := c.suppose(j.form.Affine, "the answer is affine in θ, so that L is convex")
	if a.KKTReason != "" {
		c.note("KKT: %s", a.KKTReason)
	}
	c.note("upper bound: %s", a.UpperReason)
	switch {
	case math.IsInf(lower, 1):
		c.Statement = "no λ makes θ = 0 a minimiser of L + λ‖θ‖²: g(0) is not 0"
		c.Verdict = compactify.Supported
		if a.KKT > 0 && norm(j.gradZero) > 100*j.gradientTolerance() {
			c.Verdict = compactify.Verified
		}
	case convex:
		c.Verdict = compactify.Verified
		c.note("for a convex loss the condition of first order at 0 is exact")
	case !math.IsInf(a.Upper, 1):
		c.Verdict = compactify.Verified
		c.Statement += ": λ_arr lies between lower and upper"
	case lower > 0:
		c.Verdict = compactify.Supported
		c.Statement = "θ = 0 is not the global minimiser of L + λR for λ < lower"
		c.note("from which λ on it is, is not known: there is no upper bound of λ_arr for this network")
	default:
		c.Verdict = compactify.Inconclusive
	}
	switch {
	case math.IsNaN(lambda):
	case lambda < lower:
		c.note("at λ = %g the global minimiser is not 0", lambda)
	case lambda >= a.Upper:
		c.note("at λ = %g the global minimiser is 0", lambda)
	}
}
