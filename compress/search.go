package compress

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/train"
)

// rungs are the widths a layer may have, widest first: what ONNX stores without
// waste.
var rungs = []int{8, 4, 2}

// sensitivity is what narrowing one layer alone does to the probe's answers:
// mean KL from the original by width (squared output error for other tasks).
type sensitivity map[int]float64

// sensitivities measures each layer at each width, all others untouched.
func (w *work) sensitivities(ctx context.Context) (map[string]sensitivity, error) {
	all := make(map[string]sensitivity)
	layers := w.graph.Layers()
	for i, l := range layers {
		s := make(sensitivity)
		for k, bits := range rungs[1:] {
			g, err := paths.QuantizeWeights(w.Pool, w.graph, map[string]paths.Scheme{l.Name(): {Bits: bits}})
			if err != nil {
				return nil, err
			}
			m, err := w.probing.Evaluate(ctx, g)
			if err != nil {
				return nil, err
			}
			s[bits] = harm(m)
			w.progress("measuring layers", float64(i*2+k+1)/float64(2*len(layers)))
		}
		all[l.Name()] = s
	}
	return all, nil
}

// harm is how far a model's answers are from the original's.
func harm(m compactify.Measure) float64 {
	if m.KL > 0 {
		return m.KL
	}
	return math.Pow(10, -m.SNR/10)
}

// ladder lists combinations of widths from all-8-bit to all-2-bit. Each step
// narrows the one layer for which the harm per saved byte is least.
func (w *work) ladder(cost map[string]sensitivity) []map[string]int {
	layers := w.graph.Layers()
	at := make(map[string]int) // index into rungs
	bits := make(map[string]int)
	for _, l := range layers {
		bits[l.Name()] = rungs[0]
	}
	list := []map[string]int{maps.Clone(bits)}
	for {
		best, bestRate := "", math.Inf(1)
		for _, l := range layers {
			i := at[l.Name()]
			if i+1 == len(rungs) {
				continue
			}
			from, to := rungs[i], rungs[i+1]
			saved := float64(l.Param.Data.Len()*(from-to)) / 8
			rate := (cost[l.Name()][to] - cost[l.Name()][from]) / saved
			if rate < bestRate {
				best, bestRate = l.Name(), rate
			}
		}
		if best == "" {
			return list
		}
		at[best]++
		bits[best] = rungs[at[best]]
		list = append(list, maps.Clone(bits))
	}
}

// trial is one combination, tuned and measured on the selection examples.
type trial struct {
	combination
	meanBits float64
	epochs   int
	model    *graph.Graph
	bytes    int
	measure  compactify.Measure
	contract Contract
	varied   *Contract // on the changed examples; nil if there are none
	tooFew   bool      // the selection examples are too few for an interval
	chosen   bool
}

// fits reports whether a trial may be exported.
func (t *trial) fits() bool { return t.contract.budget().Within(t.needs()) }

// needs is the budget a trial asks for: the worse end of the interval on the
// selection examples, and at least the estimate on their changed copies. Where
// the examples are so few that not even the original itself would be within the
// limit, the interval says nothing; then twice the estimate counts instead.
func (t *trial) needs() float64 {
	need, worse := t.contract.worst(), math.Max
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

func (t *trial) record() Trial {
	varied := nan
	if t.varied != nil {
		varied = t.varied.Measured
	}
	return Trial{Bytes: t.bytes, MeanBits: jsonnum.Float(t.meanBits), Sparsity: jsonnum.Float(t.fraction), Tuned: t.epochs,
		Spent: t.contract.Measured, Worst: jsonnum.Float(t.contract.worst()), Varied: varied, KL: jsonnum.Float(t.measure.KL), Fits: t.fits(), Chosen: t.chosen}
}

// meanBits is the average width of the layers' weights, 32 where none is chosen.
func (w *work) meanBits(bits map[string]int) float64 {
	total, weights := 0.0, 0.0
	for _, l := range w.graph.Layers() {
		b, ok := bits[l.Name()]
		if !ok {
			b = 32
		}
		n := float64(l.Param.Data.Len())
		total += n * float64(b)
		weights += n
	}
	return total / weights
}

// try measures one combination, fine-tuned if epochs > 0 and the model allows it.
func (w *work) try(ctx context.Context, c combination, epochs int, stage func(float64)) (*trial, error) {
	t := &trial{combination: c, meanBits: w.meanBits(c.bits), epochs: epochs, tooFew: w.tooFew}
	if !w.tunable() {
		t.epochs = 0
	}
	base, masks, err := w.pruned(c.fraction)
	if err != nil {
		return nil, err
	}
	if t.epochs > 0 {
		t.model, err = w.tune(ctx, c.bits, masks, epochs, stage)
		if errors.Is(err, train.ErrUntrainable) {
			w.Finetune, t.epochs = -1, 0
			w.notes = append(w.notes, fmt.Sprintf("not fine-tuned: %v", err))
		}
	}
	if t.epochs == 0 {
		t.model, err = paths.QuantizeWeights(w.Pool, base, schemes(c.bits))
	}
	if err == nil && w.Activation {
		t.model, err = w.roundActivations(ctx, t.model)
	}
	if err != nil {
		return nil, err
	}
	o, err := w.choosing.Outcomes(ctx, t.model)
	if err != nil {
		return nil, err
	}
	t.measure = w.choosing.Summarize(o)
	t.contract = newContract(w.Budget, w.original, o)
	if w.varied != nil {
		if o, err = w.varied.Outcomes(ctx, t.model); err != nil {
			return nil, err
		}
		c := newContract(w.Budget, w.varying, o)
		t.varied = &c
	}
	if t.bytes, err = FileSize(t.model); err != nil {
		return nil, err
	}
	w.trials = append(w.trials, t)
	return t, w.point("trial", t.record())
}

// pruned is the model with a fraction of its weights removed, and the masks that
// keep them so.
func (w *work) pruned(fraction float64) (*graph.Graph, map[string]*train.Mask, error) {
	if fraction == 0 {
		return w.graph, nil, nil
	}
	p, err := paths.NewPrune(w.graph, paths.Options{Pool: w.Pool})
	if err != nil {
		return nil, nil, err
	}
	g, err := p.At(context.Background(), fraction)
	return g, p.Masks(fraction), err
}

// combination is one point of the joint path: bits by layer (none: float32) and
// the fraction of weights removed.
type combination struct {
	bits     map[string]int
	fraction float64
}

// schemes are the plain ones of so many bits each.
func schemes(bits map[string]int) map[string]paths.Scheme {
	all := make(map[string]paths.Scheme, len(bits))
	for name, n := range bits {
		all[name] = paths.Scheme{Bits: n}
	}
	return all
}

// search finds the smallest combination that fits. Down the list models get
// smaller and, on the whole, worse; the edge is found by bisection, each
// combination fine-tuned from the original. Without fine-tuning the same is done
// with rounded weights.
func (w *work) search(ctx context.Context) (*trial, error) {
	epochs := 0
	if w.tunable() {
		epochs = w.tuneEpochs()
	}
	list, err := w.combinations(ctx)
	if err != nil {
		return nil, err
	}
	tries := 2 + int(math.Ceil(math.Log2(float64(len(list))))) // expected, for the progress bar
	done := 0
	// Each is tried as it is rounded; if that does not fit, fine-tuned.
	return lastThatFits(len(list), func(i int) (*trial, error) {
		defer func() { done++ }()
		t, err := w.try(ctx, list[i], 0, nil)
		if err != nil || t.fits() || epochs == 0 {
			return t, err
		}
		return w.try(ctx, list[i], epochs, func(share float64) {
			w.progress(fmt.Sprintf("fine-tuning combination %d", done+1), (float64(done)+share)/float64(max(tries, done+1)))
		})
	})
}

// fractions are how much is removed where pruning alone makes a model smaller.
// Below about a third no layer is smaller in a sparse encoding; layers that lose
// more than others are from there on.
var fractions = []float64{0, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.925, 0.95, 0.97, 0.98, 0.99}

// combinations lists what is worth trying, largest first: the ladder of widths
// if quantising is among the paths, otherwise fractions removed.
func (w *work) combinations(ctx context.Context) ([]combination, error) {
	var list []combination
	if !slices.Contains(w.kinds(), "quantize") {
		for _, f := range fractions {
			list = append(list, combination{fraction: f})
		}
		return list, nil
	}
	cost, err := w.sensitivities(ctx)
	if err != nil {
		return nil, err
	}
	for _, bits := range w.ladder(cost) {
		list = append(list, combination{bits: bits})
	}
	return list, nil
}

// lastThatFits looks for the last of n combinations that fits, on the assumption
// that those before it fit as well; nil if none is found. It tries the last
// first: often everything fits. Then it halves; the edge is more often near the
// small end, so the first cut is there.
func lastThatFits(n int, try func(i int) (*trial, error)) (*trial, error) {
	best, err := try(n - 1)
	if err != nil || best.fits() {
		return best, err
	}
	best = nil
	lo, hi := -1, n-1 // lo fits (or nothing does), hi does not
	for mid := max((lo+hi)/2, hi*3/4); hi-lo > 1; mid = (lo + hi) / 2 {
		t, err := try(mid)
		if err != nil {
			return nil, err
		}
		if t.fits() {
			lo, best = mid, t
		} else {
			hi = mid
		}
	}
	return best, nil
}

// polish fine-tunes a combination that fitted as it was rounded, and keeps the
// result if its interval ends nearer to the original.
func (w *work) polish(ctx context.Context, best *trial) (*trial, error) {
	if best.epochs > 0 || !w.tunable() {
		return best, nil
	}
	t, err := w.try(ctx, best.combination, w.tuneEpochs(), func(done float64) { w.progress("polishing", done) })
	if err == nil && t.fits() && t.bytes <= best.bytes && w.nearer(t, best) {
		return t, nil
	}
	return best, err
}
