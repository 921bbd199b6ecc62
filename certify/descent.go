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
	c, ok := j.begin("a step of gradient descent at the model lowers L + λR")
	if !ok {
		return c, nil
	}
	c.Verdict = compactify.Supported
	if err := j.freshStep(ctx, &c); err != nil {
		return c, err
	}
	if r := j.s.Record; r != nil {
		if c.suppose(isDescent(r), "the run's steps were gradient descent: the optimiser is %s", r.Optimizer) && r.Descent != nil {
			c.Statement = "the steps of the run, and one more, lower L + λR; with momentum, the total energy"
		}
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

// rate is the η of a fresh step: that of the last epoch, or if there is none the inverse of
// the curvature, halved until the step lowers the loss: curvature at one point is no
// bound of it along the step.
func (j *judge) rate(ctx context.Context) (eta float64, own bool, err error) {
	if r := j.s.Record; r != nil && len(r.Epochs) > 0 && j.plain() {
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

// plain reports whether the run's steps were of plain gradient descent on L + λR, so
// that its rate is one for a fresh step.
func (j *judge) plain() bool {
	r := j.s.Record
	_, normalises := following(j.s.Model)
	return r.Optimizer == "sgd" && r.Momentum == 0 && !normalises && (r.Loss == "" || r.Loss == j.s.usualLoss())
}

// step is one of gradient descent with the proximal step of λ‖θ‖², on a part of the
// examples.
type step struct {
	eta, lambda float64
	next, d     []float64
	square      float64 // ‖d‖²
	fall        float64 // of L + λ‖θ‖²
	kappa       float64 // 2(L(θ′) − L(θ) − ⟨g, d⟩)/‖d‖²
}

func (s step) edge() float64 { return 2/s.eta + 2*s.lambda }

// take takes a step of a rate from the model, where the loss is before and its
// gradient g.
func (j *judge) take(ctx context.Context, eta, before float64, g []float64) (step, error) {
	s := step{eta: eta, lambda: j.now.l2, next: make([]float64, len(g))}
	for i, x := range j.theta {
		s.next[i] = (x - eta*g[i]) / (1 + 2*eta*s.lambda)
	}
	after, err := j.part.Loss(ctx, s.next)
	s.d = minus(s.next, j.theta)
	s.square = dot(s.d, s.d)
	s.fall = before - after + s.lambda*(dot(j.theta, j.theta)-dot(s.next, s.next))
	s.kappa = 2 * (after - before - dot(g, s.d)) / s.square
	return s, err
}

// maxHalvings of a rate that was not asked for.
const maxHalvings = 40

// freshStep takes a step of gradient descent at the model and measures κ, the edge
// 2/η + 2λ and ρ = η(F(θ) − F(θ′))/‖d‖²; κ against dᵀH(ξ)d/‖d‖² along the step, and
// F on all examples too.
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
	s, err := j.take(ctx, eta, before, g)
	for k := 0; k < maxHalvings && !own && err == nil && !(s.fall >= 0) && s.square > 0; k++ {
		s, err = j.take(ctx, s.eta/2, before, g)
	}
	if err != nil {
		return err
	}
	c.add("rate", s.eta)
	c.add("edge", s.edge())
	c.add("kappa", s.kappa)
	c.add("rho", s.eta*s.fall/s.square)
	c.add("step_length", math.Sqrt(s.square))
	c.add("fall", s.fall)
	c.add("examples", float64(j.part.Examples()))
	if !own {
		c.note("the rate of the fresh step is 1/(λ_max(H) + 2λ), or less where that raises the loss: the subject has none of its own")
	}
	if s.square == 0 {
		c.note("the gradient is exactly zero: there is no step")
		return nil
	}
	least, most, err := j.curvatureAlong(ctx, s.d)
	if err != nil {
		return err
	}
	c.add("curvature_along_least", least)
	c.add("curvature_along_most", most)
	if (s.kappa < least || s.kappa > most) && j.form.Kinks {
		c.note("κ is not among the curvatures along the step: kinks, as of ReLU, bend L too, and no Hessian shows them")
	}
	return j.wholeStep(ctx, c, s, own)
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

// wholeStep measures the step on all examples. One of the run's own rate under which F
// rises is a witness.
func (j *judge) wholeStep(ctx context.Context, c *Claim, s step, own bool) error {
	before, err := j.lossHere(ctx)
	if err != nil {
		return err
	}
	after, err := j.whole.Loss(ctx, s.next)
	if err != nil {
		return err
	}
	rise := after - before + s.lambda*(dot(s.next, s.next)-dot(j.theta, j.theta))
	c.add("loss_before", before)
	c.add("loss_after", after)
	c.add("rise_on_all", rise)
	if !(rise > lossTolerance*(1+math.Abs(before))) && !math.IsNaN(rise) {
		return nil
	}
	comparison := "κ exceeds 2/η + 2λ"
	if !(s.kappa > s.edge()) {
		comparison = "on the part of the examples κ does not exceed 2/η + 2λ"
	}
	if !own {
		c.weaken(compactify.Inconclusive)
		c.note("the step lowers L + λ‖θ‖² over the part of the examples, and raises it over all by %.6g", rise)
		return nil
	}
	c.refute("", "the step of the run's last rate, %g, at the model raises L + λ‖θ‖² over all examples by %.6g: %s", s.eta, rise, comparison)
	c.evidence = j.compare("row8", "a step of gradient descent", j.theta, s.next, train.Penalty{Kind: train.L2, Lambda: train.Always(s.lambda)})
	return nil
}
