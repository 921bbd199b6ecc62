package paths

import (
	"errors"
	"fmt"
	"math"
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

// FakeQuantizeWeights puts a FakeQuantize with learned scales in front of the
// readers of the named layers, each by its scheme as [Scheme.On] gives it, at 2 to
// 8 bits. Zero points, where there are any, stay what they are. The gradients of a
// scale are multiplied by 1/√(N·Q), for N weights that share it and Q levels above
// zero, so that steps and weights learn at rates that fit one another.
//
// One bit has no zero to train through, and a learned step would leave the grid
// {−B..B}/2^k: both are refused. A nil pool is one thread.
//
// Source: S. Esser et al., "Learned step size quantization", ICLR 2020, sections
// 2.1 and 2.2.
func FakeQuantizeWeights(p *kernel.Pool, g *graph.Graph, schemes map[string]Scheme) (*graph.Graph, error) {
	c, _ := g.Clone()
	b := graph.NewBuilder(c, "fq_")
	for _, l := range c.Layers() {
		s, ok := schemes[l.Name()]
		if !ok || s.IsFloat() {
			continue
		}
		err := s.check(2)
		if err == nil && s.Fit == FitFixedPoint {
			err = fmt.Errorf("fit fixed-point: a learned step leaves the grid {−B..B}/2^k: want another fit")
		}
		if err != nil {
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
	q := r.scheme.grid()
	in := []*graph.Value{l.Param.Value, b.Param(l.Name()+"_step", tensor.Of(r.scales, r.groups.shape...))}
	if r.zeros != nil {
		zeros := make([]float32, len(r.zeros))
		for i, z := range r.zeros {
			zeros[i] = float32(z)
		}
		in = append(in, b.Param(l.Name()+"_offset", tensor.Of(zeros, r.groups.shape...)))
	}
	share := float64(l.Param.Data.Len()) / float64(r.groups.count)
	n := &graph.Node{Domain: graph.DomainInternal, Op: "FakeQuantize", In: in, Out: []*graph.Value{b.Value(l.Param.Type)},
		Attrs: graph.Attributes{graph.Int("axis", r.groups.axis), graph.Int("bits", r.scheme.Bits), graph.Int("signed", asInt(!q.asymmetric)),
			graph.Int("narrow", asInt(r.scheme.Ternary)), graph.Int("block_size", max(0, r.scheme.Block)), graph.Float("step_gradient", float32(1/math.Sqrt(share*float64(q.hi))))}}
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

func asInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Harden replaces every FakeQuantize of a weight by the integers it rounds to
// and a DequantizeLinear. The model computes the same. A nil pool is one thread.
func Harden(p *kernel.Pool, g *graph.Graph) (*graph.Graph, error) {
	c, _ := g.Clone()
	b := graph.NewBuilder(c, "q_")
	params := c.ParamsByValue()
	for _, n := range slices.Clone(c.Nodes) {
		if n.Kind() != "compactify.FakeQuantize" {
			continue
		}
		w, step, offset := params[n.In[0]], params[n.In[1]], params[n.Input(2)]
		if w == nil || step == nil || n.Input(2) != nil && offset == nil {
			return nil, fmt.Errorf("harden %s: want a stored weight, scale and zero point", n)
		}
		c.Replace(n.Out[0], w.Value)
		c.Remove(n)
		l := graph.Layer{Param: w, Nodes: c.Consumers()[w.Value], Axis: n.Attrs.Int("axis", 0)}
		s, groups := trainedScheme(n, step), newGroups(w.Data.Shape(), l.Axis, blockOf(n, step))
		if s.Block > 1 && w.Data.Rank() == 2 {
			l.Axis = 1 - l.Axis // blocks lie along the inputs
		}
		var zeros []float32
		if offset != nil {
			zeros = tensor.Data[float32](offset.Data)
		}
		r, err := roundTo(p, l, s, groups, absolute(tensor.Data[float32](step.Data)), zeros)
		if err != nil {
			return nil, fmt.Errorf("harden: %w", err)
		}
		dequantize(p, c, b, l, r)
		c.RemoveParams(func(p *graph.Param) bool { return p == step || p == offset })
	}
	return c, b.Err()
}

// trainedScheme is what a FakeQuantize was made of, but for the fit, which
// training has made meaningless.
func trainedScheme(n *graph.Node, step *graph.Param) Scheme {
	return Scheme{Bits: n.Attrs.Int("bits", 8), Ternary: n.Attrs.Int("narrow", 0) != 0, Asymmetric: n.Attrs.Int("signed", 1) == 0, Block: blockOf(n, step)}
}

func blockOf(n *graph.Node, step *graph.Param) int {
	switch block := n.Attrs.Int("block_size", 0); {
	case block > 0:
		return block
	case step.Data.Rank() == 0:
		return PerTensor
	}
	return PerChannel
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
