package certify

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/train"
)

// isDescent reports whether the run's optimiser has a function that cannot rise for
// small steps: gradient descent, with or without momentum, not Adam.
func isDescent(r *train.Record) bool {
	switch r.Optimizer {
	case "sgd", "momentum", "nesterov", "flow", "lbfgs":
		return true
	}
	return false
}

// descent is row 8.
func (j *judge) descent(ctx context.Context) (Claim, error) {
	c, ok := j.begin("a step of gradient descent lowers L + λR, and raises it if and only if the curvature κ along it exceeds 2/η + 2λ")
	if !ok {
		return c, nil
	}
	c.Verdict = compactify.Supported
	if err := j.freshStep(ctx, &c); err != nil {
		return c, err
	}
	if r := j.s.Record; r != nil {
		c.suppose(isDescent(r), "the run's steps were gradient descent: the optimiser is %s", r.Optimizer)
		j.recorded(&c)
		if err := j.recordedRise(ctx, &c); err != nil {
			return c, err
		}
		if err := j.balance(ctx, &c); err != nil {
			return c, err
		}
	}
	return c, nil
}

// sampleName names a measured step.
func sampleName(s train.SampleRecord) string { return fmt.Sprintf("step %d", s.Step) }

// consistent is how far recorded figures of one step may differ, relative to what
// they are made of, for float32 arithmetic on a batch.
const consistent = 1e-3

// recorded checks the measured steps against the identities of their figures.
func (j *judge) recorded(c *Claim) {
	r := j.s.Record
	if r.Descent == nil {
		c.note("the run was not monitored")
		return
	}
	d := r.Descent
	c.add("steps", float64(d.Steps))
	c.add("measured", float64(d.Measured))
	c.add("increases", float64(d.Increases))
	c.add("max_kappa", float64(d.MaxKappa))
	c.add("largest_rise", float64(d.Largest))
	wrong, first := 0, ""
	for i, at := range j.samplePenalties() {
		s := d.Samples[i]
		if problem := contradiction(s, at); problem != "" {
			if wrong++; first == "" {
				first = sampleName(s) + ": " + problem
			}
		}
	}
	c.add("contradictions", float64(wrong))
	c.note("recorded steps were measured on their own batch%s, before and after", masks(r))
	if wrong > 0 {
		c.refute(train.RecordFile, "the record contradicts itself at %d steps; %s", wrong, first)
	}
}

func masks(r *train.Record) string {
	if d := r.Dropout; d.Input > 0 || d.Hidden > 0 || d.Weights > 0 {
		return " under its own masks"
	}
	return ""
}

// contradiction says what of a sample's figures cannot all be true, "" if nothing:
//
//	F rises if and only if κ > edge
//	F − L = λ‖θ‖² where that is the only penalty
//
// Differences near the rounding of a loss decide nothing.
func contradiction(s train.SampleRecord, at lambdas) string {
	rise, scale := float64(s.ObjectiveAfter-s.Objective), 1+math.Abs(float64(s.Objective))
	gap := float64(s.Kappa - s.Edge)
	near := math.Abs(gap) <= consistent*(math.Abs(float64(s.Kappa))+math.Abs(float64(s.Edge)))
	if math.Abs(rise) > lossTolerance*scale && !near && (rise > 0) != (gap > 0) {
		return fmt.Sprintf("the objective changed by %.3g, κ is %.6g and the edge %.6g", rise, float64(s.Kappa), float64(s.Edge))
	}
	if at.only() {
		penalty := at.l2 * float64(s.Norm) * float64(s.Norm)
		if got := float64(s.ObjectiveAfter - s.LossAfter); math.Abs(got-penalty) > consistent*(penalty+lossTolerance*scale) {
			return fmt.Sprintf("the objective exceeds the loss by %.6g, λ‖θ‖² is %.6g", got, penalty)
		}
	}
	return ""
}

// recordedRise replays the rise that the run kept.
func (j *judge) recordedRise(ctx context.Context, c *Claim) error {
	r := j.s.Record
	if r.Descent == nil || r.Descent.Increases == 0 {
		return nil
	}
	if !isDescent(r) {
		c.note("%d measured steps raised the objective: %s has no function that must fall", r.Descent.Increases, r.Optimizer)
		return nil
	}
	if j.s.Rise == nil {
		c.note("%d measured steps raised %s; the folder holds no witness", r.Descent.Increases, r.Descent.Function)
		c.weaken(compactify.Inconclusive)
		return nil
	}
	p, err := replayRise(ctx, j.s, j.s.Rise, j.o)
	if err != nil {
		return err
	}
	if !p.Confirmed {
		c.refute(train.RecordFile, "the witness of the largest rise does not come out again")
		return nil
	}
	c.evidence = nil // the folder has one
	c.refute(j.s.Witness, "%d of %d measured steps raised %s; the largest rise, at step %d, comes out again", r.Descent.Increases, r.Descent.Measured, r.Descent.Function, j.s.Rise.Step)
	return nil
}

// rate is the η of a fresh step: that of the last epoch, or without one the inverse of
// the curvature.
func (j *judge) rate(ctx context.Context) (eta float64, own bool, err error) {
	if r := j.s.Record; r != nil && len(r.Epochs) > 0 {
		if eta := float64(r.Epochs[len(r.Epochs)-1].Rate); eta > 0 && !math.IsInf(eta, 1) {
			return eta, true, nil
		}
	}
	h, err := j.curvatureAt(ctx, atModel, j.theta)
	if err != nil {
		return 0, false, err
	}
	return 1 / max(h.most+h.mostBound+2*j.now.l2, 1e-3), false, nil
}

// freshStep takes a step of gradient descent at the model, with the proximal step of
// λ‖θ‖², on a part of the examples, and measures
//
//	κ = 2(L(θ′) − L(θ) − ⟨g, d⟩)/‖d‖²,  edge = 2/η + 2λ,  ρ = η(F(θ) − F(θ′))/‖d‖²
//
// κ against dᵀH(ξ)d/‖d‖² along the step, and F on all examples too.
func (j *judge) freshStep(ctx context.Context, c *Claim) error {
	eta, own, err := j.rate(ctx)
	if err != nil {
		return err
	}
	g := make([]float64, len(j.theta))
	before, err := j.part.Gradient(ctx, j.theta, g)
	if err != nil {
		return err
	}
	next := make([]float64, len(g))
	for i, x := range j.theta {
		next[i] = (x - eta*g[i]) / (1 + 2*eta*j.now.l2)
	}
	d := minus(next, j.theta)
	after, err := j.part.Loss(ctx, next)
	if err != nil {
		return err
	}
	lambda := j.now.l2
	square := dot(d, d)
	fall := before - after + lambda*(dot(j.theta, j.theta)-dot(next, next))
	kappa := 2 * (after - before - dot(g, d)) / square
	c.add("rate", eta)
	c.add("edge", 2/eta+2*lambda)
	c.add("kappa", kappa)
	c.add("rho", eta*fall/square)
	c.add("step_length", math.Sqrt(square))
	c.add("fall", fall)
	c.add("examples", float64(j.part.Examples()))
	if !own {
		c.note("the fresh step has the rate 1/(λ_max(H) + 2λ): the subject has none of its own")
	}
	if square == 0 {
		c.note("the gradient is exactly zero: there is no step")
		return nil
	}
	least, most, err := j.curvatureAlong(ctx, d)
	if err != nil {
		return err
	}
	c.add("curvature_along_least", least)
	c.add("curvature_along_most", most)
	if !(math.Abs(fall) < math.Inf(1)) {
		c.note("the step of rate %g ends where the loss is not finite", eta)
	}
	return j.wholeStep(ctx, c, next, kappa > 2/eta+2*lambda)
}

// curvatureAlong is the range of dᵀHd/‖d‖² at five points of the segment from the
// model.
func (j *judge) curvatureAlong(ctx context.Context, d []float64) (least, most float64, err error) {
	least, most = math.Inf(1), math.Inf(-1)
	hv := make([]float64, len(d))
	for k := range 5 {
		if err := j.part.HessianVector(ctx, along(j.theta, float64(k)/4, d), d, hv); err != nil {
			return 0, 0, err
		}
		curve := dot(d, hv) / dot(d, d)
		least, most = min(least, curve), max(most, curve)
	}
	return least, most, nil
}

// wholeStep measures the step on all examples and keeps it as a witness if F rises.
func (j *judge) wholeStep(ctx context.Context, c *Claim, next []float64, above bool) error {
	before, err := j.lossHere(ctx)
	if err != nil {
		return err
	}
	after, err := j.whole.Loss(ctx, next)
	if err != nil {
		return err
	}
	lambda := j.now.l2
	rise := after - before + lambda*(dot(next, next)-dot(j.theta, j.theta))
	c.add("loss_before", before)
	c.add("loss_after", after)
	c.add("rise_on_all", rise)
	if !(rise > lossTolerance*(1+math.Abs(before))) && !math.IsNaN(rise) {
		return nil
	}
	c.refute("", "the step of rate %g at the model raises L + λ‖θ‖² over all examples by %.6g: κ %s 2/η + 2λ", c.Numbers.Get("rate"), rise, comparison(above))
	c.evidence = j.compare("row8", "a step of gradient descent", j.theta, next, train.Penalty{Kind: train.L2, Lambda: train.Always(lambda)})
	return nil
}

func comparison(above bool) string {
	if above {
		return "exceeds"
	}
	return "on the part of the examples does not exceed"
}
