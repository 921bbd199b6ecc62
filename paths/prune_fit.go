package paths

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// Tune fine-tunes a copy of a model that a path made, before it is measured.
// Masks name the weights that stay zero, nil for none; remask, if not nil, is the
// run's [train.Options].Remask. It must be deterministic, so that equal t still
// gives equal models.
type Tune func(ctx context.Context, g *graph.Graph, masks map[string]*train.Mask, remask train.Remask) (*graph.Graph, error)

// Schedule is when weights are removed in the course of fine-tuning.
type Schedule string

// The schedules.
const (
	// OneShot removes all weights at once, then fine-tunes.
	OneShot Schedule = "oneshot"

	// Cubic removes them in the course of one fine-tuning, most of them early:
	//
	//	s(x) = t − t·(1−x)³,   x the share of the removing part of the run
	//
	// ranked by what the weights have become; the last third of the run recovers.
	//
	// Source: M. Zhu and S. Gupta, "To prune, or not to prune", arXiv:1710.01878
	// (2017), equation 1 with initial sparsity 0.
	Cubic Schedule = "cubic"

	// Lottery fine-tunes in rounds. After each, a fifth of the weights left is
	// removed, ranked by what they have become, and the others go back to what they
	// were: to the model given, or to what [Options].Rewind made of it. The last
	// round's removal leaves the share 1−t; its fine-tuning is not undone.
	//
	// Sources: J. Frankle and M. Carbin, "The lottery ticket hypothesis", ICLR 2019,
	// strategy 1 and section 2; J. Frankle et al., "Linear mode connectivity and the
	// lottery ticket hypothesis", ICML 2020, for rewinding to an early state.
	Lottery Schedule = "lottery"
)

// Schedules lists them all.
var Schedules = []Schedule{OneShot, Cubic, Lottery}

// ParseSchedule reads a schedule's name; "" means OneShot.
func ParseSchedule(s string) (Schedule, error) {
	if s == "" {
		return OneShot, nil
	}
	for _, k := range Schedules {
		if string(k) == s {
			return k, nil
		}
	}
	return "", fmt.Errorf("schedule %q: want oneshot, cubic or lottery", s)
}

// The constants of the schedules.
const (
	cubicShare    = 2.0 / 3 // of the run in which the cubic schedule removes weights
	cubicRemovals = 30      // how many times it does
	lotteryShare  = 0.2     // of the weights left that a round removes
)

// fitting is how models of the path are fine-tuned, with what was done so far.
type fitting struct {
	tune     Tune
	schedule Schedule
	rewind   Tune

	start  *graph.Graph // that rounds begin from; nil before the first
	rounds []round      // made so far; all t share them
}

// round is one of the lottery's.
type round struct {
	masks   map[string]*train.Mask
	trained *graph.Graph
}

// fitted is the model at t in (0, 1), fine-tuned. Where nothing is removed it is
// the one given.
func (p *Prune) fitted(ctx context.Context, t float64) (*graph.Graph, error) {
	if t, _ = p.removals(t); t == 0 {
		return p.g, nil
	}
	switch p.fitting.schedule {
	case Cubic:
		return p.fitting.tune(ctx, p.g, p.Masks(0), p.Grow(t))
	case Lottery:
		return p.ticket(ctx, t)
	}
	masks := p.Masks(t)
	return p.fitting.tune(ctx, Masked(p.g, masks), masks, nil)
}

// Grow is the cubic schedule up to t for one run of training, of this model or one
// with parameters of the same names. Masks of the run before the first step are to
// be those of t = 0.
func (p *Prune) Grow(t float64) train.Remask {
	masks := p.Masks(0)
	last := 0
	return func(step, steps int, g *graph.Graph) map[string]*train.Mask {
		end := max(1, int(cubicShare*float64(steps)))
		removal := min(cubicRemovals, step*cubicRemovals/end)
		if step >= end {
			removal = cubicRemovals
		}
		if removal == last {
			return nil
		}
		last = removal
		x := 1 - float64(removal)/cubicRemovals
		masks = p.again(g, masks, t-t*x*x*x)
		return masks
	}
}

// ticket is the lottery's winner at t.
func (p *Prune) ticket(ctx context.Context, t float64) (*graph.Graph, error) {
	left := 1.0
	for i := 0; ; i++ {
		r, err := p.round(ctx, i, 1-left)
		if err != nil {
			return nil, err
		}
		left *= 1 - lotteryShare
		if left <= 1-t+1e-12 {
			masks := p.again(r.trained, r.masks, t)
			return p.fitting.tune(ctx, Masked(p.fitting.start, masks), masks, nil)
		}
	}
}

// round is the i-th, before which the fraction t is removed; those before it are
// made.
func (p *Prune) round(ctx context.Context, i int, t float64) (r round, err error) {
	f := &p.fitting
	if i < len(f.rounds) {
		return f.rounds[i], nil
	}
	if i == 0 {
		f.start = p.g
		if f.rewind != nil {
			if f.start, err = f.rewind(ctx, p.g, nil, nil); err != nil {
				return r, err
			}
		}
		r.masks = p.Masks(0)
	} else {
		r.masks = p.again(f.rounds[i-1].trained, f.rounds[i-1].masks, t)
	}
	if r.trained, err = f.tune(ctx, Masked(f.start, r.masks), r.masks, nil); err != nil {
		return r, err
	}
	f.rounds = append(f.rounds, r)
	return r, nil
}

// again ranks the weights by what they are in g, a model with parameters of the
// same names, and removes the fraction t. What masks have removed stays so, and
// counts.
func (p *Prune) again(g *graph.Graph, masks map[string]*train.Mask, t float64) map[string]*train.Mask {
	now := make(map[string][]float32, len(p.layers))
	for _, q := range g.Params {
		if masks[q.Name] != nil {
			now[q.Name] = p.scoresNow(q, masks[q.Name].Keep)
		}
	}
	next := make(map[string]*train.Mask, len(p.layers))
	for i := range p.groups {
		r := &p.groups[i]
		var scores [][]float32
		for _, k := range r.layers {
			l := p.layers[k]
			if p.pattern.Of > 0 {
				next[l.Name()] = &train.Mask{Keep: p.pattern.keepMost(l, now[l.Name()], p.most(t))}
				continue
			}
			scores = append(scores, p.pattern.blockScores(l, now[l.Name()]))
		}
		if p.pattern.Of == 0 {
			p.mark(next, r.layers, keepLargest(p.pool, scores, removed(t, r.total)))
		}
	}
	return next
}

// scoresNow are the scores of what the weights have become: 0 where they are
// removed, above it where they are not, even of a weight of zero. Gradients stay
// those of the model given.
func (p *Prune) scoresNow(q *graph.Param, keep []bool) []float32 {
	w := tensor.Data[float32](q.Data)
	s := make([]float32, len(w))
	d := p.gradients[q.Name]
	for i, x := range w {
		if !keep[i] {
			continue
		}
		if d != nil {
			x *= d[i]
		}
		s[i] = min(math.MaxFloat32, max(math.SmallestNonzeroFloat32, abs32(x)))
	}
	return s
}
