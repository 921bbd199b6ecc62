package compress

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// BlameJob asks which layer of a compressed model costs what. Model and Eval are
// required.
type BlameJob struct {
	Model    *graph.Graph // the original, as [Prepare] leaves it
	Eval     *Evaluator   // of the original
	Compact  *graph.Graph // a compressed form of it; nil: every layer as Scheme says
	Scheme   paths.Scheme
	Budget   compactify.Budget // what the repair aims at
	Progress func(done float64)
}

// Blame is which layer costs what, the worst first, and what would mend it.
type Blame struct {
	MetricName string        `json:"metric_name"`
	Examples   int           `json:"examples"`
	Baseline   BlameMeasure  `json:"baseline"`
	Compressed BlameMeasure  `json:"compressed"`     // all layers compressed
	File       *BlameMeasure `json:"file,omitempty"` // the compressed file itself; what it loses beyond Compressed is not due to weights
	Layers     []LayerBlame  `json:"layers"`
	Repaired   Repaired      `json:"repaired"`
	Notes      []string      `json:"notes,omitempty"`
}

// BlameMeasure is one model on the examples.
type BlameMeasure struct {
	Metric jsonnum.Float `json:"metric"`
	Loss   jsonnum.Float `json:"loss"`
	KL     jsonnum.Float `json:"kl"`
	SNR    jsonnum.Float `json:"snr_db"` // of the outputs
	Spent  jsonnum.Float `json:"spent"`  // of the budget, in its unit
	Fits   bool          `json:"fits"`   // the estimate is inside the budget
}

// LayerBlame is what one layer costs.
type LayerBlame struct {
	Name           string        `json:"name"`
	Kind           string        `json:"kind"`
	Form           string        `json:"form"`  // how the weight is stored, in words
	Bytes          int           `json:"bytes"` // of the original's weight
	BytesAfter     int           `json:"bytes_after"`
	SNR            jsonnum.Float `json:"snr_db"`          // of the weights themselves
	OutputSNR      jsonnum.Float `json:"output_snr_db"`   // of the outputs with only this layer compressed
	KL             jsonnum.Float `json:"kl"`              // of the outputs with only this layer compressed
	MetricOnly     jsonnum.Float `json:"metric_only"`     // with only this layer compressed
	MetricRestored jsonnum.Float `json:"metric_restored"` // with all layers but this one compressed
	KLRestored     jsonnum.Float `json:"kl_restored"`
	Fix            *Fix          `json:"fix,omitempty"` // the least change that mends most of it; nil where nothing needs mending
}

// Fix is a change of one layer, measured with all other layers compressed.
type Fix struct {
	Form   string        `json:"form"` // how the weight would be stored instead
	Bytes  int           `json:"bytes"`
	Metric jsonnum.Float `json:"metric"`
	KL     jsonnum.Float `json:"kl"`
	SNR    jsonnum.Float `json:"snr_db"` // of the outputs
}

// Repaired is the model after fixes, the worst layer first, until it fits the
// budget.
type Repaired struct {
	BlameMeasure
	Fixes []RepairStep `json:"fixes"`
}

// RepairStep is one fix on the way to a model that fits, and what the model
// spends of the budget after it.
type RepairStep struct {
	Layer string        `json:"layer"`
	From  string        `json:"from"`
	To    string        `json:"to"`
	Bytes int           `json:"bytes"` // what the fix adds to the file
	Spent jsonnum.Float `json:"spent"`
}

// asFloat leaves a weight as it is.
var asFloat = paths.Scheme{Bits: 32}

// form is one way to store a layer: the weights as the model computes with them.
type form struct {
	scheme paths.Scheme
	bytes  int // of integers, scales and zero points
	data   tensor.Tensor
}

// blamer measures models that differ from the original in some of its weights.
type blamer struct {
	BlameJob
	layers   []graph.Layer
	now      map[string]form // how each layer is compressed, by name
	original compactify.Measure
	done     int // measurements
	expected int
}

// MeasureBlame measures each layer of a compressed model by itself: with only it
// compressed, and with only it restored; and mends the model, worst layer first,
// until it fits the budget or nothing is compressed any more.
func MeasureBlame(ctx context.Context, job BlameJob) (*Blame, error) {
	b := &blamer{BlameJob: job, layers: job.Model.Layers(), now: make(map[string]form)}
	if b.Budget == (compactify.Budget{}) {
		b.Budget = compactify.DefaultBudget
	}
	notes, err := b.compress()
	if err != nil {
		return nil, err
	}
	b.expected = 3 + 4*len(b.layers)
	r := &Blame{MetricName: b.Eval.MetricName(), Examples: b.Eval.Len(), Layers: []LayerBlame{}, Notes: notes}
	if b.original, err = b.Eval.Evaluate(ctx, b.Model); err != nil {
		return nil, err
	}
	r.Baseline = b.measureOf(b.original)
	all, err := b.measure(ctx, b.now)
	if err != nil {
		return nil, err
	}
	r.Compressed = b.measureOf(all)
	if b.Compact != nil {
		m, err := b.Eval.Evaluate(ctx, b.Compact)
		if err != nil {
			return nil, err
		}
		file := b.measureOf(m)
		r.File = &file
	}
	suspects, err := b.suspects(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range suspects {
		if err := b.propose(ctx, harm(b.Budget.Kind, all), s); err != nil {
			return nil, err
		}
		r.Layers = append(r.Layers, s.LayerBlame)
	}
	r.Repaired, err = b.repair(ctx, all, suspects)
	return r, err
}

// suspect is a layer with its distances: how far answers are from the original's
// with only it compressed, and with only it restored.
type suspect struct {
	LayerBlame
	layer          graph.Layer
	only, restored float64
}

// suspects measures all layers that are compressed, the worst first.
func (b *blamer) suspects(ctx context.Context) ([]*suspect, error) {
	var list []*suspect
	for _, l := range b.layers {
		if _, ok := b.now[l.Name()]; !ok {
			continue
		}
		s, err := b.suspect(ctx, l)
		if err != nil {
			return nil, err
		}
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(x, y *suspect) int { return cmp.Compare(y.only, x.only) })
	return list, nil
}

// compress fills in how each layer is stored; the notes name layers that cannot be
// compared.
func (b *blamer) compress() ([]string, error) {
	if len(b.layers) == 0 {
		return nil, fmt.Errorf("blame graph %q: %s", b.Model.Name, paths.NoLayers(b.Model))
	}
	compact := b.Compact
	if compact == nil {
		var err error
		schemes := make(map[string]paths.Scheme)
		for _, l := range b.layers {
			schemes[l.Name()] = b.Scheme
		}
		if compact, err = paths.QuantizeWeights(b.Eval.pool, b.Model, schemes); err != nil {
			return nil, err
		}
	}
	plain, forms := dequantized(compact)
	pairs, err := pairLayers(b.layers, plain.Layers())
	if err != nil {
		return nil, err
	}
	var notes []string
	for i, l := range b.layers {
		f, ok := forms[pairs[i].Name()]
		if !ok {
			f = form{scheme: asFloat, bytes: pairs[i].Param.StoredBytes(), data: pairs[i].Param.Data}
		}
		f, err := f.like(l, pairs[i])
		if err != nil {
			notes = append(notes, err.Error())
			continue
		}
		b.now[l.Name()] = f
	}
	if len(b.now) == 0 {
		return nil, fmt.Errorf("blame graph %q: no layer of the compressed model belongs to one of the original: %s", b.Model.Name, notes[0])
	}
	return notes, nil
}

// with is the original with the given layers' weights in place of its own.
func (b *blamer) with(forms map[string]form) *graph.Graph {
	c, _ := b.Model.Clone()
	for _, l := range c.Layers() {
		if f, ok := forms[l.Name()]; ok {
			l.Param.Data = f.data
		}
	}
	return c
}

func (b *blamer) measure(ctx context.Context, forms map[string]form) (compactify.Measure, error) {
	m, err := b.Eval.Evaluate(ctx, b.with(forms))
	b.done++
	if b.Progress != nil {
		b.Progress(min(1, float64(b.done)/float64(max(b.done, b.expected))))
	}
	return m, err
}

func (b *blamer) measureOf(m compactify.Measure) BlameMeasure {
	return BlameMeasure{Metric: jsonnum.Float(m.Metric), Loss: jsonnum.Float(m.Loss), KL: jsonnum.Float(m.KL), SNR: jsonnum.Float(m.SNR),
		Spent: jsonnum.Float(b.Budget.Spent(b.original, m)), Fits: b.Budget.Holds(b.original, m)}
}

func (b *blamer) suspect(ctx context.Context, l graph.Layer) (*suspect, error) {
	f := b.now[l.Name()]
	only, err := b.measure(ctx, map[string]form{l.Name(): f})
	if err != nil {
		return nil, err
	}
	restored, err := b.measure(ctx, b.but(l.Name(), nil))
	if err != nil {
		return nil, err
	}
	d := LayerBlame{Name: l.Name(), Kind: l.Nodes[0].Kind(), Form: describeScheme(f.scheme), Bytes: l.Param.StoredBytes(), BytesAfter: f.bytes,
		SNR: jsonnum.Float(weightSNR(l.Param.Data, f.data)), OutputSNR: jsonnum.Float(only.SNR), KL: jsonnum.Float(only.KL),
		MetricOnly: jsonnum.Float(only.Metric), MetricRestored: jsonnum.Float(restored.Metric), KLRestored: jsonnum.Float(restored.KL)}
	return &suspect{d, l, harm(b.Budget.Kind, only), harm(b.Budget.Kind, restored)}, nil
}

// but is how all layers are stored, but for one: restored, or in another form.
func (b *blamer) but(name string, other *form) map[string]form {
	forms := make(map[string]form, len(b.now))
	for k, f := range b.now {
		forms[k] = f
	}
	delete(forms, name)
	if other != nil {
		forms[name] = *other
	}
	return forms
}

// weightSNR compares weights with what became of them, in dB.
func weightSNR(before, after tensor.Tensor) float64 {
	var power, noise float64
	for i, n := 0, before.Len(); i < n; i++ {
		x, y := before.At(i), after.At(i)
		power += x * x
		noise += (x - y) * (x - y)
	}
	return decibels(power, noise)
}

// worthMending is the share of the whole distance that a layer must be to blame for
// to be given a fix, and mends the share of that which a fix must take away.
const (
	worthMending = 0.05
	mends        = 0.9
)

// propose finds the fix of least bytes that takes away nearly all a layer is to
// blame for; before is the distance with all layers compressed.
func (b *blamer) propose(ctx context.Context, before float64, d *suspect) error {
	gain := before - d.restored
	if !(gain >= worthMending*before) || gain == 0 {
		return nil
	}
	for _, s := range relaxations(d.layer, b.now[d.Name].scheme) {
		f, err := b.formAs(d.layer, s)
		if err != nil {
			return err
		}
		m, err := b.measure(ctx, b.but(d.Name, &f))
		if err != nil {
			return err
		}
		if before-harm(b.Budget.Kind, m) >= mends*gain {
			d.Fix = &Fix{Form: describeScheme(f.scheme), Bytes: f.bytes, Metric: jsonnum.Float(m.Metric), KL: jsonnum.Float(m.KL), SNR: jsonnum.Float(m.SNR)}
			return nil
		}
	}
	return nil
}

// relaxations are the ways to store a layer that lose less than the given one, in
// order of their bytes: per channel if there are several, more bits, in floating
// point.
func relaxations(l graph.Layer, s paths.Scheme) []paths.Scheme {
	var list []paths.Scheme
	if s.Block == paths.PerTensor && l.Param.Data.Shape()[l.Axis] > 1 {
		list = append(list, paths.Scheme{Bits: s.Bits, Asymmetric: s.Asymmetric, Ternary: s.Ternary})
	}
	for _, bits := range []int{4, 8} {
		if bits > s.Bits {
			list = append(list, paths.Scheme{Bits: bits, Asymmetric: s.Asymmetric})
		}
	}
	return append(list, asFloat)
}

// formAs stores a layer of the original as a scheme says.
func (b *blamer) formAs(l graph.Layer, s paths.Scheme) (form, error) {
	if s.IsFloat() {
		return form{scheme: s, bytes: l.Param.StoredBytes(), data: l.Param.Data}, nil
	}
	q, err := paths.QuantizeWeights(b.Eval.pool, b.Model, map[string]paths.Scheme{l.Name(): s})
	if err != nil {
		return form{}, err
	}
	plain, forms := dequantized(q)
	for i, layer := range plain.Layers() {
		if f, ok := forms[layer.Name()]; ok {
			return f.like(l, plain.Layers()[i])
		}
	}
	return form{}, fmt.Errorf("layer %q as %s: not found in the quantised graph", l.Name(), describeScheme(s))
}

// repair mends the model, always the layer that by itself is furthest from the
// original, until it fits the budget.
func (b *blamer) repair(ctx context.Context, all compactify.Measure, suspects []*suspect) (Repaired, error) {
	r := Repaired{Fixes: []RepairStep{}}
	open := slices.Clone(suspects)
	for !b.Budget.Holds(b.original, all) && len(open) > 0 {
		worst := slices.MaxFunc(open, func(x, y *suspect) int { return cmp.Compare(x.only, y.only) })
		from := b.now[worst.Name]
		to, err := b.formAs(worst.layer, relaxations(worst.layer, from.scheme)[0])
		if err != nil {
			return r, err
		}
		only, err := b.measure(ctx, map[string]form{worst.Name: to})
		if err != nil {
			return r, err
		}
		b.now[worst.Name], worst.only = to, harm(b.Budget.Kind, only)
		if all, err = b.measure(ctx, b.now); err != nil {
			return r, err
		}
		r.Fixes = append(r.Fixes, RepairStep{Layer: worst.Name, From: describeScheme(from.scheme), To: describeScheme(to.scheme),
			Bytes: to.bytes - from.bytes, Spent: jsonnum.Float(b.Budget.Spent(b.original, all))})
		if to.scheme.IsFloat() {
			open = slices.DeleteFunc(open, func(s *suspect) bool { return s == worst })
		}
	}
	r.BlameMeasure = b.measureOf(all)
	return r, nil
}
