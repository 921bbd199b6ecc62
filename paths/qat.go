package paths

import (
	"errors"
	"fmt"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Quantisation-aware training works on a model in which every quantised weight
// θ passes through FakeQuantize(θ, s): the forward pass sees the grid, the
// backward pass the identity, and both θ and the step s are learned.
// [FakeQuantizeWeights] makes that model, [Harden] turns it into one that stores
// integers.

// FakeQuantizeWeights puts a FakeQuantize with a learned scale per output
// channel in front of the readers of the named layers, at 2 to 8 bits each. One
// bit has no zero to train through and is refused. A nil pool is one thread.
func FakeQuantizeWeights(p *kernel.Pool, g *graph.Graph, schemes map[string]Scheme) (*graph.Graph, error) {
	c, _ := g.Clone()
	b := graph.NewBuilder(c, "fq_")
	for _, l := range c.Layers() {
		s, ok := schemes[l.Name()]
		if !ok || s.IsFloat() {
			continue
		}
		if err := s.check(2); err != nil {
			return nil, fmt.Errorf("train weight %q on a grid: %w", l.Name(), err)
		}
		r, err := roundLayer(p, l, s)
		switch {
		case errors.Is(err, errEmpty):
		case err != nil:
			return nil, fmt.Errorf("train on a grid: %w", err)
		default:
			fakeQuantize(c, b, l, r)
		}
	}
	return c, b.Err()
}

func fakeQuantize(g *graph.Graph, b *graph.Builder, l graph.Layer, r *rounded) {
	scale := b.Param(l.Name()+"_step", tensor.Of(r.scales, r.groups.shape...))
	n := &graph.Node{Domain: graph.DomainInternal, Op: "FakeQuantize",
		In:    []*graph.Value{l.Param.Value, scale},
		Out:   []*graph.Value{b.Value(l.Param.Type)},
		Attrs: graph.Attributes{graph.Int("axis", l.Axis), graph.Int("bits", r.scheme.Bits), graph.Int("signed", 1)}}
	if err := b.Facts().Infer(n); err != nil {
		b.Fail(err)
		return
	}
	for _, reader := range l.Nodes {
		for i, v := range reader.In {
			if v == l.Param.Value {
				reader.In[i] = n.Out[0]
			}
		}
	}
	g.InsertBefore(l.Nodes[0], n)
}

// Harden replaces every FakeQuantize of a weight by the integers it rounds to
// and a DequantizeLinear. The model computes the same.
func Harden(p *kernel.Pool, g *graph.Graph) (*graph.Graph, error) {
	c, _ := g.Clone()
	b := graph.NewBuilder(c, "q_")
	params := c.ParamsByValue()
	for _, n := range slices.Clone(c.Nodes) {
		if n.Kind() != "compactify.FakeQuantize" {
			continue
		}
		w, s := params[n.In[0]], params[n.In[1]]
		if w == nil || s == nil {
			return nil, fmt.Errorf("harden %s: want a stored weight and scale", n)
		}
		c.Replace(n.Out[0], w.Value)
		c.Remove(n)
		l := graph.Layer{Param: w, Nodes: c.Consumers()[w.Value], Axis: n.Attrs.Int("axis", 0)}
		r, err := roundTo(p, l, Scheme{Bits: n.Attrs.Int("bits", 8)}, absolute(tensor.Data[float32](s.Data)), nil)
		if err != nil {
			return nil, fmt.Errorf("harden: %w", err)
		}
		dequantize(c, b, l, r)
		c.RemoveParams(func(p *graph.Param) bool { return p == s })
	}
	return c, b.Err()
}

// absolute makes trained scales positive, as runtimes expect them: a scale that
// crossed zero describes the same levels but for the one at the end of the range,
// and one at zero is replaced by the smallest normal number.
func absolute(s []float32) []float32 {
	out := make([]float32, len(s))
	for i, x := range s {
		out[i] = max(abs32(x), leastScale)
	}
	return out
}
