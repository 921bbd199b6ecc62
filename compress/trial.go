package compress

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/train"
)

// trial is one plan, carried out and measured on the selection examples.
type trial struct {
	plan     Plan
	epochs   int          // of fine-tuning,
	way      way          // which was done so
	narrow   *graph.Graph // the model before its weights were rounded
	float    *graph.Graph // the same weights in a graph of the original's shape
	model    *graph.Graph
	bytes    int
	measure  compactify.Measure
	contract Contract
	varied   *Contract // on the changed examples; nil if there are none
	joint    *Contract // on the examples and their changed copies together; nil if that is not defined
	doubted  *Contract // by what the original's probabilities say that changed answers cost; nil if they cannot be trusted
	tooFew   bool      // the selection examples are too few for an interval
	lucky    float64   // by how much the interval is widened, because the luckiest of many plans is chosen or the held-out examples differ; 0 counts as 1
	warm     bool      // fine-tuned from the weights of another trial
	chosen   bool
}

// fits reports whether a trial may be exported.
func (t *trial) fits() bool { return t.contract.budget().Within(t.needs()) }

// needs is the budget a trial asks for: the worse end of the interval on the
// selection examples, alone, together with their changed copies or by the original's
// probabilities, whichever tells most, and at least the estimate on the changed
// copies. Where
// the examples are so few that not even the original itself would be within the
// limit, the interval says nothing; then twice the estimate counts instead.
func (t *trial) needs() float64 {
	need, worse := t.careful(t.contract), math.Max
	for _, c := range []*Contract{t.joint, t.doubted} {
		if c != nil {
			need = min(need, t.careful(*c))
		}
	}
	if t.contract.Kind == string(compactify.MinSNR) {
		worse = math.Min
	} else if t.tooFew {
		need = 2 * float64(t.contract.Measured)
	}
	if t.varied != nil {
		need = worse(need, float64(t.varied.Measured))
	}
	return need
}

// careful is the worse end of an interval, which luck widens.
func (t *trial) careful(c Contract) float64 {
	measured := float64(c.Measured)
	if t.lucky <= 1 || c.worst() == measured { // both may be infinite decibels
		return c.worst()
	}
	return measured + t.lucky*(c.worst()-measured)
}

// used is the share of the budget that a trial uses up, at least a thousandth.
func (t *trial) used() float64 {
	need, limit := t.needs(), t.contract.budget().Limit
	if t.contract.Kind == string(compactify.MinSNR) {
		return math.Pow(10, (limit-need)/10)
	}
	return max(1e-3, need/max(limit, 1e-12))
}

// With few selection examples, chance decides more between plans than what they cost
// in right answers. Below fewExamples the interval is one of 99 %, not of 95 %.
const (
	fewExamples = 500
	luck        = 2.5758 / normal95

	normal95OneSided = 1.6448536269514722
)

// lucky is by how much the interval on the n selection examples is widened. An SNR
// differs by many decibels from example to example, so what counts for it is where
// the worse end of the interval on the m held-out examples will be: their mean lies
// within half a width times √(1 + n/m) of this one, and their own interval is √(n/m)
// as wide. Nineteen times in twenty it is not worse.
func (w *work) lucky() float64 {
	n, m := float64(w.chosen.Len()), float64(max(1, w.HeldOut.Len()))
	switch {
	case w.Budget.Kind == compactify.MinSNR:
		return normal95OneSided/normal95*math.Sqrt(1+n/m) + math.Sqrt(n/m)
	case w.Budget.Kind == compactify.MetricDrop && n < fewExamples:
		return luck
	}
	return 1
}

func (t *trial) record() Trial {
	varied, joint, doubted := nan, nan, nan
	if t.doubted != nil {
		doubted = jsonnum.Float(t.doubted.worst())
	}
	if t.varied != nil {
		varied = t.varied.Measured
	}
	if t.joint != nil {
		joint = jsonnum.Float(t.joint.worst())
	}
	return Trial{Bytes: t.bytes, MeanBits: jsonnum.Float(t.plan.meanBits(t.narrow)), Sparsity: jsonnum.Float(t.plan.sparsity(t.narrow)),
		Channels: t.plan.channels(), Tuned: t.epochs, Warm: t.warm, Spent: t.contract.Measured, Worst: jsonnum.Float(t.contract.worst()), Varied: varied, Joint: joint, Doubted: doubted,
		KL: jsonnum.Float(t.measure.KL), Fits: t.fits(), Chosen: t.chosen}
}

// modelOf makes the model of a plan from weights of the original, without tuning.
func (w *work) modelOf(p Plan) (*graph.Graph, error) { return w.modelFrom(w.graph, p) }

// modelFrom makes the model of a plan from other weights in a graph of the
// original's shape.
func (w *work) modelFrom(original *graph.Graph, p Plan) (*graph.Graph, error) {
	g, err := w.channels.narrowed(original, p)
	if err != nil {
		return nil, err
	}
	masks, err := p.masks(g)
	if err != nil {
		return nil, err
	}
	q, err := paths.QuantizeWeights(w.Pool, paths.Masked(g, masks), p.Schemes)
	if err != nil || original != w.graph {
		return q, err
	}
	return w.corrected(g, q, p.Schemes), nil
}

// try carries a plan out and measures it, fine-tuned if epochs > 0 and the model
// allows it. A plan that was tried before is not tried again.
func (w *work) try(ctx context.Context, p Plan, epochs int, stage func(float64)) (*trial, error) {
	if !w.tunable() {
		epochs = 0
	}
	if t := w.tried(p, epochs); t != nil {
		w.count.hits++
		return t, nil
	}
	t := &trial{plan: p, epochs: epochs, way: w.way, tooFew: w.tooFew, lucky: w.lucky(), float: w.graph}
	var err error
	if t.narrow, err = w.channels.narrowed(w.graph, t.plan); err != nil {
		return nil, err
	}
	if t.epochs > 0 {
		err = w.tuned(ctx, t, stage)
		if errors.Is(err, train.ErrUntrainable) {
			w.Finetune = -1
			w.notes = append(w.notes, fmt.Sprintf("not fine-tuned: %v", err))
			return w.try(ctx, t.plan, 0, nil)
		}
		if errors.Is(err, train.ErrDiverged) {
			w.notes = append(w.notes, fmt.Sprintf("a plan was measured without fine-tuning, which failed: %v", err))
			return w.try(ctx, t.plan, 0, nil)
		}
	}
	if t.epochs == 0 {
		t.model, err = w.modelOf(t.plan)
	}
	if err == nil && w.Activation {
		t.model, err = w.roundActivations(ctx, t.model)
	}
	if err != nil {
		return nil, err
	}
	if err := w.judge(ctx, t); err != nil {
		return nil, err
	}
	w.trials = append(w.trials, t)
	return t, w.point("trial", t.record())
}

// tried is the trial of a plan with so many epochs; nil if there is none.
func (w *work) tried(p Plan, epochs int) *trial {
	for _, t := range w.trials {
		if t.epochs == epochs && (epochs == 0 || t.way == w.way) && t.plan.key() == p.key() {
			return t
		}
	}
	return nil
}

// tuned fine-tunes a plan's model, from the weights of the original, of the nearest
// larger trial or of an earlier one of the same plan, whichever answers best before
// tuning.
func (w *work) tuned(ctx context.Context, t *trial, stage func(float64)) error {
	start, err := w.start(ctx, t)
	if err != nil {
		return err
	}
	narrow, err := w.channels.narrowed(start, t.plan)
	if err != nil {
		return err
	}
	masks, err := t.plan.masks(narrow)
	if err != nil {
		return err
	}
	float, hard, err := w.tune(ctx, narrow, t.plan, masks, t.epochs, stage)
	if err != nil {
		return err
	}
	w.count.tunings++
	t.narrow, t.model = float, hard
	t.float = w.channels.widened(start, t.narrow, t.plan)
	return nil
}

// start is the model that the fine-tuning of a plan starts from.
func (w *work) start(ctx context.Context, t *trial) (*graph.Graph, error) {
	starts := []*graph.Graph{w.graph}
	if wide := w.widerTrial(t.plan); wide != nil {
		starts = append(starts, wide.float)
	}
	if before := w.tried(t.plan, t.epochs/longer); before != nil && before.epochs > 0 {
		starts = append(starts, before.float)
	}
	if len(starts) == 1 {
		return w.graph, nil
	}
	least, best := math.Inf(1), w.graph
	for _, g := range starts {
		rounded, err := w.modelFrom(g, t.plan)
		if err != nil {
			return nil, err
		}
		m, err := w.probing.Evaluate(ctx, rounded)
		if err != nil {
			return nil, err
		}
		if h := harm(w.Budget.Kind, m); h < least {
			least, best, t.warm = h, g, g != w.graph
		}
	}
	return best, nil
}

// widerTrial is the smallest fine-tuned trial that fits and holds all that a plan
// holds; nil if there is none.
func (w *work) widerTrial(p Plan) *trial {
	var best *trial
	for _, t := range w.trials {
		if t.epochs > 0 && t.fits() && t.plan.holds(p) && (best == nil || t.bytes < best.bytes) {
			best = t
		}
	}
	return best
}

// judge measures a trial's model.
func (w *work) judge(ctx context.Context, t *trial) error {
	j, err := w.choosing.judge(ctx, t.model)
	if err != nil {
		return err
	}
	t.measure, t.contract, t.bytes = j.measure, j.contract, j.measure.Bytes
	t.doubted = w.byProbabilities(j)
	if w.varied == nil {
		return nil
	}
	v, err := w.varied.judge(ctx, t.model)
	if err != nil {
		return err
	}
	t.varied, t.joint = &v.contract, w.together(j, v)
	return nil
}

// together judges a model on the selection examples and their changed copies, nil
// if the budget is of no drop of accuracy. The copies make the interval narrower, but
// never the estimate smaller: a model that was fine-tuned on such copies may answer
// them better than the original, and tells nothing by that of plain examples.
func (w *work) together(plain, varied judgement) *Contract {
	task := w.choosing.Task()
	if w.Budget.Kind != compactify.MetricDrop || task != Classification && task != Imitation {
		return nil
	}
	original := slices.Concat(w.choosing.original.Score, w.varied.original.Score)
	estimate, lo, hi := DropInterval(len(plain.score), original, slices.Concat(plain.score, varied.score))
	return plain.contract.narrowed(estimate, lo, hi)
}

// byProbabilities judges a model by what its changed answers cost as the original
// sees them: an answer that it gave 0.48 of its probability where its own has 0.5
// loses 0.02 right answers in the mean, which tells more than the one label does. It
// needs an original that is right as often as it believes, or less often: then the
// cost is what it says, or less. It is nil for others and for budgets of no drop of
// accuracy.
func (w *work) byProbabilities(plain judgement) *Contract {
	o := w.choosing.original
	if w.Budget.Kind != compactify.MetricDrop || o.Task != Classification || o.Sure < mean(o.Score) {
		return nil
	}
	return plain.contract.narrowed(DropInterval(len(plain.doubt), plain.doubt, make([]float64, len(plain.doubt))))
}

// narrowed is a contract of the width of another estimate's interval, and of the
// larger of both estimates.
func (c Contract) narrowed(estimate, lo, hi float64) *Contract {
	c.Measured = jsonnum.Float(max(float64(c.Measured), estimate))
	c.CI95 = [2]jsonnum.Float{c.Measured - jsonnum.Float(estimate-lo), c.Measured + jsonnum.Float(hi-estimate)}
	return &c
}
