package compress

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// Form is what a model's weights take in one form: bytes, and time on this CPU.
// Nothing is said of its accuracy: weights are rounded or set to zero without
// looking at any example.
type Form struct {
	Name    string
	Bytes   int            // of weights and scales, as the ledger counts them
	Latency engine.Latency // of a run on made-up inputs
	Compact int            // products that run on few-bit integers or a sparse form
	Problem string         // why there is no such form, or no time for it; "" if there is
}

// formMaker makes a form of a model, whose weights it must not change.
type formMaker struct {
	name string
	make func(g *graph.Graph) (*graph.Graph, error)
}

// forms are the forms that [MeasureForms] tries, float32 first.
var forms = []formMaker{
	{"float32", func(g *graph.Graph) (*graph.Graph, error) { return g, nil }},
	{"8 bits", withBits(8)},
	{"8 bits, activations too", withActivations},
	{"4 bits", withBits(4)},
	{"2 bits", withBits(2)},
	{"1 bit (stored as 2)", withBits(1)},
	{"50 % zero, 2:4", withZeros(paths.TwoOfFour, paths.TwoOfFour.T())},
	{"90 % zero, blocks of 16", withZeros(paths.Sixteen, 0.9)},
	{"90 % zero, anywhere", withZeros(paths.Pattern{}, 0.9)},
}

// MeasureForms brings the weights of a model into every form and times it, for the
// given time each. A form that is impossible has a Problem; the error is that of a
// context that ended. Progress, if not nil, is called with the share done.
func MeasureForms(ctx context.Context, g *graph.Graph, o engine.Options, each time.Duration, progress func(float64)) ([]Form, error) {
	var list []Form
	for i, m := range forms {
		if progress != nil {
			progress(float64(i) / float64(len(forms)))
		}
		f := Form{Name: m.name}
		if err := f.measure(ctx, m, g, o, each); err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			f.Problem = err.Error()
		}
		list = append(list, f)
	}
	return list, nil
}

func (f *Form) measure(ctx context.Context, m formMaker, g *graph.Graph, o engine.Options, each time.Duration) error {
	if len(g.Layers()) == 0 && m.name != forms[0].name {
		return errors.New("the model has no float32 weights of convolutions or matrix products of their own")
	}
	weights := 0
	for _, l := range g.Layers() {
		if d := l.Param.Data.DType(); d != tensor.Float32 {
			return fmt.Errorf("weight %q: number type: got %v, want float32", l.Name(), d)
		}
		weights += l.Param.Data.Len()
	}
	if err := engine.CheckMemory(4 * weights); err != nil { // forms are made by output channel, in a copy
		return err
	}
	c, err := m.make(g)
	if err != nil {
		return err
	}
	ledger := c.Ledger(0)
	f.Bytes = ledger.Payload + ledger.Scales
	p, err := engine.Compile(c, o)
	if err != nil {
		return err
	}
	f.Compact = p.CompactSteps()
	f.Latency, err = engine.MeasureLatency(ctx, p, each)
	return err
}

// withBits rounds the weights of all layers.
func withBits(bits int) func(*graph.Graph) (*graph.Graph, error) {
	return func(g *graph.Graph) (*graph.Graph, error) {
		return paths.QuantizeWeights(nil, g, paths.Uniform(g, paths.Scheme{Bits: bits}))
	}
}

// withActivations rounds weights and activations to 8 bits. Time does not depend
// on the ranges, which are made up: they only tell activations that cannot be
// negative from others.
func withActivations(g *graph.Graph) (*graph.Graph, error) {
	c, err := withBits(8)(g)
	if err != nil {
		return nil, err
	}
	producer, ranges := c.Producers(), make(map[string]paths.Range)
	for _, v := range paths.Activations(c) {
		r := paths.Range{Lo: -4, Hi: 4}
		if n := producer[v]; n != nil && slices.Contains([]string{"Relu", "Clip", "Sigmoid", "Softmax", "MaxPool"}, n.Kind()) {
			r.Lo = 0
		}
		ranges[v.Name] = r
	}
	return paths.QuantizeActivations(c, ranges)
}

// withZeros removes a share of every layer's weights by a pattern.
func withZeros(pattern paths.Pattern, share float64) func(*graph.Graph) (*graph.Graph, error) {
	return func(g *graph.Graph) (*graph.Graph, error) {
		p, err := paths.NewPrune(g, paths.Options{PerLayer: true, Pattern: pattern})
		if err != nil {
			return nil, err
		}
		c, err := p.At(context.Background(), share)
		if err != nil {
			return nil, err
		}
		chooseEncodings(c)
		return c, nil
	}
}
