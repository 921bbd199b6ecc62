package certify

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify"
)

// pruning is row 12: what removing all weights of layers with |θ_i| ≤ τ does, as τ
// grows. Biases stay.
func (j *judge) pruning(ctx context.Context) (Claim, error) {
	c, ok := j.begin("pruning at τ reaches zero exactly at τ = max|θ_i|, changes the model at the values |θ_i| only, and |ΔL| ≤ ‖g‖‖Δ‖ + M‖Δ‖²/2")
	if !ok {
		return c, nil
	}
	at := j.prunable()
	if !c.suppose(len(at) > 0, "the model has float32 weights of layers") {
		c.Verdict = compactify.NotApplicable
		return c, nil
	}
	steps := magnitudes(j.theta, at)
	c.Verdict = compactify.Verified
	c.add("weights", float64(len(at)))
	c.add("thresholds", float64(len(steps)))
	c.add("arrival_tau", steps[len(steps)-1])
	if problem := j.enumerate(at, steps); problem != "" {
		c.refute("", "%s", problem)
		return c, nil
	}
	c.note("that the model changes at the |θ_i| only, and is zero from the largest on, is verified by enumeration of all %d thresholds", len(steps))
	if err := j.changes(ctx, &c, at, steps); err != nil {
		return c, err
	}
	if j.s.Walk != nil && j.s.Path == "prune" {
		return c, j.walkedPrune(&c, at)
	}
	return c, nil
}

// prunable lists the entries of θ that are weights of layers.
func (j *judge) prunable() []int {
	layer := make(map[string]bool)
	for _, l := range j.whole.Model(j.theta).Layers() {
		layer[l.Name()] = true
	}
	var list []int
	for _, b := range j.whole.Blocks() {
		if layer[b.Name] {
			for i := range b.Len {
				list = append(list, b.At+i)
			}
		}
	}
	return list
}

// magnitudes are the different |θ_i|, ascending.
func magnitudes(x []float64, at []int) []float64 {
	list := make([]float64, len(at))
	for k, i := range at {
		list[k] = math.Abs(x[i])
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// pruned is x without the weights up to τ.
func pruned(x []float64, at []int, tau float64) []float64 {
	y := slices.Clone(x)
	for _, i := range at {
		if math.Abs(y[i]) <= tau {
			y[i] = 0
		}
	}
	return y
}

// enumerate goes through the thresholds: the number of weights left falls at each of
// them, stays in between, and is 0 at the last one and not before. It returns what is
// not so.
func (j *judge) enumerate(at []int, steps []float64) string {
	sorted := make([]float64, len(at))
	for k, i := range at {
		sorted[k] = math.Abs(j.theta[i])
	}
	slices.Sort(sorted)
	removed := func(tau float64) int { return upTo(sorted, tau) }
	before := 0
	for k, tau := range steps {
		next := math.Inf(1)
		if k+1 < len(steps) {
			next = steps[k+1]
		}
		here := removed(tau)
		between := removed(math.Nextafter(next, 0))
		if here <= before && !(k == 0 && tau == 0) || between != here {
			return fmt.Sprintf("at τ = %g: %d weights are removed before it, %d there and %d just before the next", tau, before, here, between)
		}
		if last := k+1 == len(steps); last != (here == len(at)) {
			return fmt.Sprintf("at τ = %g: %d of %d weights are removed", tau, here, len(at))
		}
		before = here
	}
	return ""
}

// upTo counts the entries of an ascending list that are at most x.
func upTo(sorted []float64, x float64) int {
	i, found := slices.BinarySearch(sorted, x)
	for found && i < len(sorted) && sorted[i] == x {
		i++
	}
	return i
}

// The shares of weights at whose thresholds the change of the loss is held against
// its bound, and the pieces of the segment on which M is measured.
var prunedShares = []float64{0.1, 0.3, 0.5, 0.7, 0.9, 1}

const segmentPieces = 16

// changes measures |ΔL| against ‖g‖‖Δ‖ + M‖Δ‖²/2, both on a part of the examples, with
// M the steepest change of ∇L along Δ between successive points of the segment: a
// lower bound of its Lipschitz constant there.
func (j *judge) changes(ctx context.Context, c *Claim, at []int, steps []float64) error {
	g := make([]float64, len(j.theta))
	before, err := j.part.Gradient(ctx, j.theta, g)
	if err != nil {
		return err
	}
	worst, lowered := 0.0, 0.0
	for _, share := range prunedShares {
		tau := steps[min(int(share*float64(len(steps))), len(steps)-1)]
		delta := minus(pruned(j.theta, at, tau), j.theta)
		if norm(delta) == 0 {
			continue
		}
		m, after, err := j.steepest(ctx, g, delta)
		if err != nil {
			return err
		}
		bound := norm(g)*norm(delta) + m*dot(delta, delta)/2
		worst = max(worst, math.Abs(after-before)/bound)
		lowered = min(lowered, after-before)
		if share == 1 {
			c.add("change_at_zero", after-before)
			c.add("bound_at_zero", bound)
			c.add("m_at_zero", m)
		}
	}
	c.add("gradient", norm(g))
	c.add("largest_share_of_bound", worst)
	c.add("largest_fall", -lowered)
	c.add("examples", float64(j.part.Examples()))
	if !c.suppose(worst <= 1+lossTolerance, "|ΔL| is within its bound at the thresholds tried, with M as measured along the segments") {
		c.weaken(compactify.Inconclusive)
		c.note("the bound was exceeded: between the points where M was measured ∇L changes more steeply")
		return nil
	}
	c.weaken(compactify.Supported)
	c.note("the bound of |ΔL| is supported: M is measured along the segments, not bounded")
	if lowered < 0 {
		c.note("pruning lowers L by %.3g at some threshold: no contradiction, θ is not a minimiser along every axis", -lowered)
	}
	return nil
}

// steepest is the largest |⟨∇L(θ+s₂Δ) − ∇L(θ+s₁Δ), Δ⟩|/((s₂−s₁)‖Δ‖²) for successive
// points of the segment, and the loss at its end.
func (j *judge) steepest(ctx context.Context, g, delta []float64) (m, after float64, err error) {
	last := dot(g, delta)
	here := make([]float64, len(g))
	for k := 1; k <= segmentPieces; k++ {
		if after, err = j.part.Gradient(ctx, along(j.theta, float64(k)/segmentPieces, delta), here); err != nil {
			return 0, 0, err
		}
		slope := dot(here, delta)
		m = max(m, math.Abs(slope-last)*segmentPieces/dot(delta, delta))
		last = slope
	}
	return m, after, nil
}

// walkedPrune checks the models that a pruning walk kept: what is zero stays so
// further on, and at t = 1 all prunable weights are.
func (j *judge) walkedPrune(c *Claim, at []int) error {
	places, err := j.places()
	if err != nil {
		return err
	}
	back, left := 0, 0
	for k, x := range places {
		left = 0
		for _, i := range at {
			if x[i] != 0 {
				left++
				if k > 0 && places[k-1][i] == 0 {
					back++
				}
			}
		}
	}
	last := j.s.Models[len(j.s.Models)-1]
	c.add("walk_models", float64(len(places)))
	c.add("walk_weights_back", float64(back))
	if back > 0 {
		c.refute(last.File, "%d weights that were zero at some t are not at a later one", back)
	}
	if last.T == 1 && left > 0 {
		c.refute(last.File, "%d weights are not zero at t = 1", left)
	}
	return nil
}
