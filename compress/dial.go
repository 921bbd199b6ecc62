package compress

import (
	"context"
	"math"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/structure"
)

// dial is one thing that the search turns, a setting at a time, to make a model
// smaller: how a layer is stored, or how many channels a group has.
type dial struct {
	name     string    // of the layer or the group
	group    bool      // it is a group
	channels int       // of the group
	settings []setting // the first is the original's
	harm     []float64 // what each does to the probe's answers, all other dials untouched
}

// setting is what a dial says of its layer or group.
type setting struct {
	scheme  paths.Scheme
	zeros   float64 // share of the weights that is held at zero
	removed int     // channels
}

// kind is the kind of path that a setting of a dial moves along.
func (d *dial) kind(at int) string {
	switch {
	case d.group:
		return removeChannels
	case d.settings[at].zeros > 0:
		return "prune"
	}
	return "quantize"
}

// put makes a setting part of a plan.
func (d *dial) put(p *Plan, at int) {
	s := d.settings[at]
	switch {
	case at == 0:
	case d.group:
		p.Removed[d.name] = s.removed
	default:
		p.Schemes[d.name] = s.scheme
		if s.zeros > 0 {
			p.Zeros[d.name] = s.zeros
		}
	}
}

// rungs are the widths that ONNX stores without waste, widest first, with the
// opset that each needs.
var rungs = []struct{ bits, opset int }{{8, LeastOpset}, {4, 21}, {2, 25}}

// LeastOpset is the oldest opset that has weights in bytes with a scale per channel.
const LeastOpset = 13

// widths are those that a job allows. Where activations are integers, 4 and 2 bits
// must be asked for: ONNX Runtime multiplies bytes, and unpacks narrower weights to
// floats at every run, which takes longer than if all were floats.
func (w *work) widths() []int {
	var list []int
	for _, r := range rungs {
		asked := slices.Contains(w.Bits, r.bits) || len(w.Bits) == 0 && (r.bits == 8 || !w.Activation)
		if asked && (w.Opset == 0 || w.Opset >= r.opset) {
			list = append(list, r.bits)
		}
	}
	return list
}

// shares are how many of a layer's weights are removed where only those that are
// left are stored, each as a byte with its index. Below the first it takes more
// than two bits per weight.
var shares = []float64{0.93, 0.96, 0.98, 0.99}

// sparseLayer is the share of all weights that a layer must hold to be worth the
// measurements of its sparse forms.
const sparseLayer = 0.5

// cuts is into how many steps the channels of a group are divided.
const cuts = 8

// dials lists what may be turned, each setting measured by itself.
func (w *work) dials(ctx context.Context) ([]*dial, error) {
	list := append(w.layerDials(), w.groupDials()...)
	steps, done := 0, 0
	for _, d := range list {
		steps += len(d.settings) - 1
	}
	for _, d := range list {
		if err := w.measureDial(ctx, d, func() {
			done++
			w.progress("measuring layers", float64(done)/float64(steps))
		}); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// layerDials are the widths and the sparse forms of each layer.
func (w *work) layerDials() []*dial {
	layers := w.graph.Layers()
	total := 0
	for _, l := range layers {
		total += l.Param.Data.Len()
	}
	var list []*dial
	for _, l := range layers {
		d := &dial{name: l.Name(), settings: []setting{{scheme: paths.Scheme{Bits: 32}}}}
		if w.goes("quantize") {
			for _, bits := range w.widths() {
				d.settings = append(d.settings, setting{scheme: paths.Scheme{Bits: bits}})
			}
		}
		if w.goes("prune") && w.goes("quantize") && slices.Contains(w.widths(), 8) && float64(l.Param.Data.Len()) >= sparseLayer*float64(total) {
			for _, share := range shares {
				d.settings = append(d.settings, setting{scheme: paths.Scheme{Bits: 8}, zeros: share})
			}
		}
		list = append(list, d)
	}
	return list
}

// groupDials are the numbers of channels of each group. One at least is left.
func (w *work) groupDials() []*dial {
	var list []*dial
	for _, g := range w.groups() {
		d := &dial{name: g.ID, group: true, channels: g.Channels, settings: []setting{{}}}
		for i := 1; i <= cuts; i++ {
			n := min(g.Channels*i/cuts, g.Channels-1)
			if g.Kind == structure.Block {
				n = 0
			}
			if n > d.settings[len(d.settings)-1].removed {
				d.settings = append(d.settings, setting{removed: n})
			}
		}
		if g.Kind == structure.Block {
			d.settings = append(d.settings, setting{removed: 1}) // the whole of it
			d.channels = 2                                       // as if one were left: the odds are 1
		}
		if len(d.settings) > 1 {
			list = append(list, d)
		}
	}
	return list
}

// measureDial finds the harm of every setting. Of channels and zeros one setting is measured, and
// the others follow a law: what fine-tuning cannot win back grows as the square of
// removed to left, where what is measured before it soon stops growing.
func (w *work) measureDial(ctx context.Context, d *dial, step func()) error {
	d.harm = make([]float64, len(d.settings))
	for i := 1; i < len(d.settings); i++ {
		step()
		if d.base(i) != i {
			continue
		}
		var err error
		if d.harm[i], err = w.harmOf(ctx, d, i); err != nil {
			return err
		}
	}
	for i := range d.harm {
		if base := d.base(i); base != i {
			d.harm[i] = d.harm[base] * d.odds(i) / d.odds(base)
		}
	}
	return nil
}

// harmOf measures a setting of a dial by itself.
func (w *work) harmOf(ctx context.Context, d *dial, at int) (float64, error) {
	p := Plan{}.clone()
	d.put(&p, at)
	g, err := w.modelOf(p)
	if err != nil {
		return 0, err
	}
	m, err := w.probing.Evaluate(ctx, g)
	return harm(w.Budget.Kind, m), err
}

// base is the setting by whose measured harm that of a setting is known.
func (d *dial) base(at int) int {
	switch {
	case d.group:
		return len(d.settings) / 2
	case d.settings[at].zeros > 0:
		return slices.IndexFunc(d.settings, func(s setting) bool { return s.zeros > 0 })
	}
	return at
}

// odds is the square of removed to left, of the channels or the weights.
func (d *dial) odds(at int) float64 {
	s := d.settings[at]
	if !d.group {
		return math.Pow(s.zeros/(1-s.zeros), 2)
	}
	return math.Pow(float64(s.removed)/float64(d.channels-s.removed), 2)
}

// harm is how far a model's answers are from the original's, in what the budget is
// about: mean KL, or the relative squared error of the worst of all outputs where they
// are no distributions or the budget is an SNR.
func harm(of compactify.BudgetKind, m compactify.Measure) float64 {
	if of == compactify.MinSNR || math.IsNaN(m.KL) {
		return math.Pow(10, -m.SNR/10)
	}
	return m.KL
}
