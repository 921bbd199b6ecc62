package certify

import (
	"context"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/train"
)

// radius of the ball that holds every θ with L + λR ≤ C, for C − L̲ = excess:
//
//	λ₂‖θ‖² + (λ₁ + λ_g)‖θ‖ ≤ λ₂‖θ‖² + λ₁‖θ‖₁ + λ_g Σ√|g|‖θ_g‖ ≤ C − L̲
//
// as ‖θ‖₂ ≤ ‖θ‖₁ and ‖θ‖₂ ≤ Σ‖θ_g‖. With λ₂ alone it is √((C − L̲)/λ₂). +Inf without
// a penalty.
func (l lambdas) ball(excess float64) float64 {
	b := l.l1 + l.group
	switch {
	case excess < 0:
		return math.NaN()
	case l.l2 > 0:
		// The form of the root that does not cancel.
		return 2 * excess / (b + math.Sqrt(b*b+4*l.l2*excess))
	case b > 0:
		return excess / b
	}
	return math.Inf(1)
}

// coercive is the hypothesis that the penalty grows with ‖θ‖ in every direction.
func (j *judge) coercive(c *Claim) bool {
	holds := j.now.l1 > 0 || j.now.l2 > 0 || j.now.group > 0
	return c.suppose(holds, "the penalty λR(θ) tends to infinity with ‖θ‖: λ > 0 for ‖θ‖², ‖θ‖₁ or the group lasso")
}

// boundedBelow is the hypothesis that L ≥ L̲.
func (j *judge) boundedBelow(c *Claim) bool {
	what := "a cross-entropy"
	if j.s.Set.Classes() == 0 {
		what = "a mean of squares"
	}
	return c.suppose(true, "L ≥ L̲ = 0: it is %s", what)
}

// sublevel is row 2.
func (j *judge) sublevel(ctx context.Context) (Claim, error) {
	c, ok := j.begin("every θ with L(θ) + λR(θ) ≤ C lies in a ball whose radius follows from C − L̲ and λ, √((C−L̲)/λ) for λ‖θ‖²")
	if !ok {
		return c, nil
	}
	j.boundedBelow(&c)
	if !j.coercive(&c) {
		c.Verdict = compactify.NotApplicable
		return c, nil
	}
	c.Verdict = compactify.Verified
	here, err := j.lossHere(ctx)
	if err != nil {
		return c, err
	}
	level, of := here+j.penalty(j.theta), "the model"
	start, err := j.initial()
	if err != nil {
		return c, err
	}
	if start != nil {
		l, err := j.loss(ctx, atInitial, start)
		if err != nil {
			return c, err
		}
		level, of = l+j.penalty(start), "the initial model"
		c.add("norm_initial", norm(start))
		c.add("loss_initial", l)
	}
	r := j.now.ball(level - lowerBound)
	c.add("level", level)
	c.add("lower_bound", lowerBound)
	c.add("lambda", max(j.now.l2, j.now.l1, j.now.group))
	c.add("radius", r)
	c.add("norm", norm(j.theta))
	c.add("loss", here)
	c.add("objective", here+j.penalty(j.theta))
	c.note("C is L + λR at %s, λ as it was in the end", of)
	if math.IsNaN(r) || math.IsInf(r, 1) {
		c.Verdict = compactify.Inconclusive
		c.note("L is not finite there in float32: the radius is not known")
		return c, nil
	}
	if here+j.penalty(j.theta) > level {
		c.note("the model is outside the sublevel set: L + λR is larger there")
	} else if norm(j.theta) > r*(1+lossTolerance) {
		c.refute("", "the model is in the sublevel set, its norm outside the ball")
	}
	if j.s.Record != nil {
		j.iterates(&c, r)
		return c, j.recordedPlaces(ctx, &c)
	}
	return c, nil
}

// recordedPlaces holds what the record says of θ₀, the model and 0 against what comes
// out again.
func (j *judge) recordedPlaces(ctx context.Context, c *Claim) error {
	r := j.s.Record
	here, err := j.lossHere(ctx)
	if err != nil {
		return err
	}
	j.placed(c, "the model", r.Final, here, j.s.Model.Norm())
	zero, err := j.lossAtZero(ctx)
	if err != nil {
		return err
	}
	j.placed(c, "θ = 0", r.Zero, zero, 0)
	if j.start == nil {
		return nil
	}
	l, err := j.initialLoss(ctx)
	if err != nil {
		return err
	}
	j.placed(c, "the initial model", r.Initial, l, j.s.Initial.Norm())
	return nil
}

// placed compares one of them; NaN is what was not recorded.
func (j *judge) placed(c *Claim, what string, p train.PlaceRecord, loss, size float64) {
	if l := float64(p.Loss); !math.IsNaN(l) && !agrees(loss, l) {
		c.refute(train.RecordFile, "the record gives %s the loss %.9g: it is %.9g", what, l, loss)
	}
	if n := float64(p.Norm); !math.IsNaN(n) && math.Abs(size-n) > lossTolerance*(1+size) {
		c.refute(train.RecordFile, "the record gives %s the norm %.9g: it is %.9g", what, n, size)
	}
}

// refute sets the verdict, with the file in the folder that is the witness.
func (c *Claim) refute(file, format string, args ...any) {
	c.Verdict = compactify.Refuted
	if file != "" {
		c.Witness = &file
	}
	c.note(format, args...)
}

// iterates checks every iterate of the record: against the ball of the penalty at its
// own step, whose bound holds for the loss of any batch, and that the figures of one
// step agree with each other.
func (j *judge) iterates(c *Claim, r float64) {
	record := j.s.Record
	outside := 0
	for _, e := range record.Epochs {
		if float64(e.Norm) > r {
			outside++
		}
	}
	checked, wrong, largest := 0, 0, 0.0
	first := ""
	for i, at := range j.samplePenalties() {
		s := record.Descent.Samples[i]
		own := at.ball(float64(s.ObjectiveAfter) - lowerBound)
		if !(own > 0) || math.IsInf(own, 1) {
			continue
		}
		checked++
		share := float64(s.Norm) / own
		largest = max(largest, share)
		if !(share <= 1+10*lossTolerance) {
			if wrong++; first == "" {
				first = sampleName(s)
			}
		}
	}
	c.add("epochs_outside", float64(outside))
	c.add("epochs", float64(len(record.Epochs)))
	c.add("steps_checked", float64(checked))
	c.add("largest_share_of_radius", largest)
	if outside > 0 {
		c.note("%d of %d epochs ended outside the ball of C: λ was smaller then, or L + λR had risen above C", outside, len(record.Epochs))
	}
	if wrong > 0 {
		c.refute(train.RecordFile, "%d recorded steps contradict the bound: the norm of %s is larger than its own objective allows", wrong, first)
	}
}

// samplePenalties are the λ's of the measured steps.
func (j *judge) samplePenalties() []lambdas {
	r := j.s.Record
	if r == nil || r.Descent == nil {
		return nil
	}
	byEpoch := make(map[int]lambdas)
	list := make([]lambdas, len(r.Descent.Samples))
	for i, s := range r.Descent.Samples {
		l, ok := byEpoch[s.Epoch]
		if !ok {
			l = lambdasAt(r, s.Epoch)
			byEpoch[s.Epoch] = l
		}
		list[i] = l
	}
	return list
}

// existence is row 3.
func (j *judge) existence(ctx context.Context) (Claim, error) {
	c, ok := j.begin("L + λR has a minimiser")
	if !ok {
		return c, nil
	}
	j.boundedBelow(&c)
	coercive := j.coercive(&c)
	jump := jumps(j.s.Model)
	continuous := c.suppose(jump == "", "L is continuous: every operator of the model that θ reaches is%s", unless(jump))
	switch {
	case !coercive:
		c.Verdict = compactify.NotApplicable
		c.note("without a coercive penalty the infimum need not be attained: on separable data L tends to 0 at infinity only")
		return c, nil
	case !continuous:
		c.Verdict = compactify.Inconclusive
		return c, nil
	}
	c.Verdict = compactify.Verified
	shift := 2 * j.now.l2
	c.add("two_lambda", shift)
	if c.suppose(j.form.Affine, "the answer is affine in θ, so that L is convex") {
		if j.now.l2 > 0 {
			c.Statement = "L + λR has exactly one minimiser"
		} else {
			c.note("L + λR is convex; without a term λ‖θ‖² its minimiser need not be the only one")
		}
		return c, nil
	}
	h, err := j.curvatureAt(ctx, atModel, j.theta)
	if err != nil {
		return c, err
	}
	z, err := j.curvatureAtZero(ctx)
	if err != nil {
		return c, err
	}
	c.add("hessian_min", min(h.least, z.least))
	c.add("hessian_max", max(h.most, z.most))
	c.add("examples", float64(h.examples))
	convex := min(h.least-h.leastBound, z.least-z.leastBound)+shift > 0
	c.suppose(convex, "2λ exceeds the downward curvature of L at the model and at 0")
	if convex {
		c.note("that the minimiser is the only one is not proved: 2λ exceeds the curvature of L where it was measured, a bound over all θ is not known")
	} else {
		c.note("that the minimiser is the only one is not proved: L + λR is not convex")
	}
	return c, nil
}

// unless names an operator that breaks a rule.
func unless(operator string) string {
	if operator == "" {
		return ""
	}
	return ", " + operator + " is not known to be"
}

// bounded is row 4.
func (j *judge) bounded(ctx context.Context) (Claim, error) {
	c, ok := j.begin("the model is no farther from 0 than the penalty allows")
	if !ok {
		return c, nil
	}
	l2 := j.now.only()
	if !c.suppose(l2, "the penalty is λ‖θ‖² with λ > 0, and no other") {
		c.Verdict = compactify.NotApplicable
		return c, j.scales(ctx, &c)
	}
	j.boundedBelow(&c)
	lambda, size := j.now.l2, norm(j.theta)
	here, err := j.lossHere(ctx)
	if err != nil {
		return c, err
	}
	zero, err := j.lossAtZero(ctx)
	if err != nil {
		return c, err
	}
	c.add("norm", size)
	c.add("lambda", lambda)
	c.add("loss_at_zero", zero)
	c.add("objective", here+lambda*size*size)
	c.Verdict = compactify.Inconclusive
	if c.suppose(here+lambda*size*size <= zero, "L(θ) + λ‖θ‖² ≤ L(0) at the model") {
		bound := math.Sqrt((zero - lowerBound) / lambda)
		c.add("bound", bound)
		c.Verdict = compactify.Verified
		c.Statement += ": L(θ) + λ‖θ‖² ≤ L(0), so that ‖θ‖ ≤ √((L(0)−L̲)/λ)"
	}
	if err := j.criticalBound(ctx, &c, lambda, size); err != nil {
		return c, err
	}
	if err := j.trainingBound(ctx, &c); err != nil {
		return c, err
	}
	return c, j.scales(ctx, &c)
}

// criticalBound is that of all critical points, ‖g(0)‖/(2λ − M) if 2λ > M.
func (j *judge) criticalBound(ctx context.Context, c *Claim, lambda, size float64) error {
	g, err := j.gradientAtZero(ctx)
	if err != nil {
		return err
	}
	c.add("gradient_at_zero", norm(g))
	c.add("leading_term", norm(g)/(2*lambda)) // of the minimiser as λ → ∞
	m, global, err := j.lipschitz(ctx)
	if err != nil {
		return err
	}
	if !global {
		h, err := j.curvatureAt(ctx, atModel, j.theta)
		if err != nil {
			return err
		}
		z, err := j.curvatureAtZero(ctx)
		if err != nil {
			return err
		}
		m = max(h.most+h.mostBound, z.most+z.mostBound, -h.least+h.leastBound, -z.least+z.leastBound)
	}
	c.add("lipschitz", m)
	if !c.suppose(2*lambda > m, "2λ exceeds the Lipschitz constant M of ∇L") {
		return nil
	}
	bound := norm(g) / (2*lambda - m)
	c.add("bound_critical", bound)
	if global {
		c.note("every critical point has ‖θ‖ ≤ ‖g(0)‖/(2λ−M): M bounds the Hessian over all θ, up to the rounding of an eigenvalue")
	} else {
		c.note("every critical point would have ‖θ‖ ≤ ‖g(0)‖/(2λ−M) if M, measured at the model and at 0 on a part of the examples, held everywhere")
	}
	if c.Verdict == compactify.Inconclusive && size <= bound {
		c.Verdict = compactify.Supported
		c.Statement += ": the bound of critical points, ‖g(0)‖/(2λ−M), holds"
	}
	return nil
}

// trainingBound is ‖θ_t‖² ≤ ‖θ₀‖² + (L(θ₀) − L̲)/λ(0) along a descent whose λ does not
// fall.
func (j *judge) trainingBound(ctx context.Context, c *Claim) error {
	start, err := j.initial()
	if start == nil || err != nil {
		return err
	}
	r := j.s.Record
	first := lambdasAt(r, 1).l2
	rising := true
	for e := 2; e <= len(r.Epochs); e++ {
		rising = rising && lambdasAt(r, e).l2 >= lambdasAt(r, e-1).l2
	}
	if !c.suppose(rising && first > 0, "λ > 0 from the start and never fell") {
		return nil
	}
	l, err := j.loss(ctx, atInitial, start)
	if err != nil {
		return err
	}
	bound := math.Sqrt(dot(start, start) + (l-lowerBound)/first)
	largest := norm(j.theta)
	for _, e := range r.Epochs {
		largest = max(largest, float64(e.Norm))
	}
	if r.Descent != nil {
		for _, s := range r.Descent.Samples {
			largest = max(largest, float64(s.Norm))
		}
	}
	c.add("bound_along_training", bound)
	c.add("largest_norm_seen", largest)
	holds := largest <= bound*(1+lossTolerance)
	if holds && c.Verdict == compactify.Inconclusive {
		c.Verdict = compactify.Supported
		c.Statement += ": ‖θ_t‖² ≤ ‖θ₀‖² + (L(θ₀)−L̲)/λ(0) held at every recorded step"
	}
	if !holds {
		c.note("a recorded norm exceeds √(‖θ₀‖² + (L(θ₀)−L̲)/λ(0)): the training was no descent of L + λ‖θ‖²")
	}
	return nil
}

// scales says whether θ → 0 changes the function at all.
func (j *judge) scales(ctx context.Context, c *Claim) error {
	v, batches, err := j.invariance(ctx)
	if err != nil {
		return err
	}
	c.add("change_when_scaled", v.Whole)
	c.add("scale_invariant_share", v.Share)
	if v.Any() {
		c.note("%.4g %% of ‖θ‖² is in parameters whose length does not matter, f(cθ) = f(θ): a penalty shrinks them without the function tending to that of θ = 0", 100*v.Share)
		if batches {
			c.note("that is with normalisations that follow the batch, as in training")
		}
	}
	return nil
}
