package conformance

import (
	"context"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/structure"
	"github.com/compactify/compactify/tensor"
)

// removalTolerance is how far sums of other lengths may be apart, of the
// largest term.
const removalTolerance = 1e-4

// TestRemovalFromEveryOperator makes parameters of the inputs of every node test
// and sums up its outputs with a weight for every index of every axis,
//
//	Σ_ijk y[i,j,k]·u[i]·v[j]·w[k]
//
// so that nothing but the operator itself says which slots go together. Removing
// any of them must give what zeroing them does.
func TestRemovalFromEveryOperator(t *testing.T) {
	removed, refused := make(map[string]int), make(map[string]bool)
	for _, c := range readNodeTests(t) {
		_, m, ok := c.oneNode()
		if !ok {
			continue
		}
		g := summed(m)
		if g == nil {
			continue
		}
		kind := m.node.Kind()
		a, err := structure.Analyze(g)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if len(a.Groups) == 0 {
			refused[kind] = true
			continue
		}
		for seed := range uint64(3) {
			n, err := tryRemoval(a, g, seed)
			if err != nil {
				t.Errorf("%s (%s): %v", c.name, kind, err)
				break
			}
			removed[kind] += n
		}
	}
	for kind := range removed {
		delete(refused, kind)
	}
	t.Logf("of %d operators slots were removed; nothing can be removed of %v", len(removed), slices.Sorted(maps.Keys(refused)))
	if len(removed) < 100 {
		t.Errorf("slots were removed of %d operators, want at least 100", len(removed))
	}
}

// summed is the node over parameters, its outputs summed with weights; nil where
// that cannot be made.
func summed(m malformed) *graph.Graph {
	g := &graph.Graph{Name: "summed", Opset: map[string]int{graph.DomainONNX: graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	n := *m.node
	n.In = make([]*graph.Value, len(m.in))
	for i, t := range m.in {
		if !t.IsZero() {
			n.In[i] = b.Param(fmt.Sprint("in", i), t)
		}
	}
	n.Out = slices.Clone(n.Out)
	for i, v := range n.Out {
		if v != nil {
			n.Out[i] = b.Value(tensor.Type{DType: v.Type.DType})
		}
	}
	b.Append(&n)
	r := rand.New(rand.NewPCG(1, 1))
	var sum *graph.Value
	for i, y := range n.Out {
		if y == nil || b.Err() != nil || !y.Type.DType.IsFloat() && !y.Type.DType.IsInteger() && y.Type.DType != tensor.Bool {
			continue
		}
		shape, ok := y.Type.Static()
		if !ok || len(shape) > 8 {
			return nil
		}
		y = b.With("Cast", graph.Attributes{graph.Int("to", int(tensor.Float32))}, y)
		letters := "abcdefgh"[:len(shape)]
		terms, in := []string{letters}, []*graph.Value{y}
		for k, d := range shape {
			w := tensor.New(tensor.Float32, d)
			for j := range d {
				w.Set(j, 0.5+r.Float64())
			}
			terms, in = append(terms, letters[k:k+1]), append(in, b.Param(fmt.Sprintf("out%d.%d", i, k), w))
		}
		s := b.With("Einsum", graph.Attributes{graph.Text("equation", strings.Join(terms, ",")+"->")}, in...)
		if sum != nil {
			s = b.Op("Add", sum, s)
		}
		sum = s
	}
	if sum == nil || b.Err() != nil || g.Validate() != nil {
		return nil
	}
	g.Outputs = []*graph.Value{sum}
	return g
}

// tryRemoval removes slots drawn by seed and compares with the graph in which
// they are zero. It returns how many were removed.
func tryRemoval(a *structure.Analysis, g *graph.Graph, seed uint64) (int, error) {
	r := rand.New(rand.NewPCG(seed, 2))
	var order []structure.Channel
	for _, group := range a.Groups {
		for c := range group.Channels {
			if r.IntN(2) == 0 {
				order = append(order, structure.Channel{Group: group.ID, Index: c})
			}
		}
	}
	r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	order = a.Removable(order)
	small, err := a.Remove(structure.Selection(order))
	if err != nil {
		return 0, err
	}
	want, err := scalar(zeroedSlots(a, g, order))
	if err != nil || math.IsNaN(want) || math.IsInf(want, 0) {
		return 0, nil // the operator does not run, or not at zero
	}
	got, err := scalar(small)
	if err != nil {
		return 0, err
	}
	if math.Abs(got-want) > removalTolerance*max(1, math.Abs(want)) {
		return 0, fmt.Errorf("without %v: got %v, want %v", order, got, want)
	}
	return len(order), nil
}

// zeroedSlots is the graph with the slices of channels at zero.
func zeroedSlots(a *structure.Analysis, g *graph.Graph, list []structure.Channel) *graph.Graph {
	c, m := g.Clone()
	params := c.ParamsByValue()
	for _, channel := range list {
		for _, tie := range a.Group(channel.Group).Ties {
			p := params[m[tie.Param.Value]]
			p.Data = p.Data.Clone()
			shape := p.Data.Shape()
			inner, _ := tensor.Size(shape[tie.Axis+1:])
			for i := range p.Data.Len() {
				if slices.Contains(tie.Index[channel.Index], i/inner%shape[tie.Axis]) {
					p.Data.Set(i, 0)
				}
			}
		}
	}
	return c
}

// scalar runs a graph without inputs.
func scalar(g *graph.Graph) (float64, error) {
	p, err := engine.Compile(g, engine.Options{})
	if err != nil {
		return 0, err
	}
	out := make([]tensor.Tensor, 1)
	if err := p.Run(context.Background(), nil, out); err != nil {
		return 0, err
	}
	return out[0].At(0), nil
}
