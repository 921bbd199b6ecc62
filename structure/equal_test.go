package structure

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// rounding is how far the outputs of a smaller graph may be from those of the
// zeroed one, of the largest: sums of other lengths round differently.
const rounding = 1e-4

// zeroed is the graph with all slices of the selected channels zero: what
// removing them must be equal to.
func zeroed(a *Analysis, selection map[string][]int) *graph.Graph {
	c, m := a.graph.Clone()
	byValue := c.ParamsByValue()
	for id, list := range selection {
		for _, tie := range a.Group(id).Ties {
			p := byValue[m[tie.Param.Value]]
			p.Data = p.Data.Clone()
			size, inner := 1, p.Data.Len()
			if tie.Axis >= 0 {
				size = p.Data.Shape()[tie.Axis]
				inner, _ = tensor.Size(p.Data.Shape()[tie.Axis+1:])
			}
			gone := make([]bool, size)
			for _, k := range list {
				if tie.Axis < 0 {
					gone[0] = true
					continue
				}
				for _, i := range tie.Index[k] {
					gone[i] = true
				}
			}
			for i, n := 0, p.Data.Len(); i < n; i++ {
				if gone[i/inner%size] {
					p.Data.Set(i, 0)
				}
			}
		}
	}
	return c
}

// draw selects channels at random, each with the given probability, as long as
// no axis is left empty.
func draw(a *Analysis, r *rand.Rand, probability float64) map[string][]int {
	var order []Channel
	for _, g := range a.Groups {
		for k := range g.Channels {
			if r.Float64() < probability {
				order = append(order, Channel{g.ID, k})
			}
		}
	}
	return Selection(a.Removable(order))
}

// checkRemoval removes channels and compares with the zeroed original.
func checkRemoval(t *testing.T, a *Analysis, selection map[string][]int, dims map[string]int) *graph.Graph {
	t.Helper()
	small, err := a.Remove(selection)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range small.Outputs {
		if !v.Type.Equal(a.graph.Outputs[i].Type) {
			t.Errorf("output %q: got %v, want %v", v.Name, v.Type, a.graph.Outputs[i].Type)
		}
	}
	want := outputs(t, zeroed(a, selection), dims)
	got := outputs(t, small, dims)
	for i := range want {
		if err := testkit.Close(got[i], want[i], rounding); err != nil {
			t.Errorf("output %d without %v: %v", i, selection, err)
		}
	}
	return small
}

// outputs runs a graph on made-up inputs: normal numbers, and small integers.
func outputs(t *testing.T, g *graph.Graph, dims map[string]int) [][]float64 {
	t.Helper()
	p, err := engine.Compile(g, engine.Options{Dims: dims})
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(5, 6))
	var in []tensor.Tensor
	for _, v := range p.Inputs() {
		shape, ok := v.Static()
		if !ok {
			t.Fatalf("input %v: want sizes for all axes", v)
		}
		x := tensor.New(v.DType, shape...)
		for i := range x.Len() {
			if v.DType.IsFloat() {
				x.Set(i, r.NormFloat64())
			} else {
				x.Set(i, float64(r.IntN(4)))
			}
		}
		in = append(in, x)
	}
	out := make([]tensor.Tensor, len(g.Outputs))
	if err := p.Run(context.Background(), in, out); err != nil {
		t.Fatal(err)
	}
	var list [][]float64
	for _, x := range out {
		values := x.Float64s()
		if slices.ContainsFunc(values, func(v float64) bool { return math.IsNaN(v) }) {
			t.Fatal("an output is not a number")
		}
		list = append(list, values)
	}
	return list
}

func describe(a *Analysis) []string {
	var list []string
	for _, g := range a.Groups {
		kind := string(g.Kind)
		if g.Channels == 1 {
			kind = strings.TrimSuffix(kind, "s")
		}
		s := fmt.Sprintf("%s %d %s:", g.ID, g.Channels, kind)
		for _, t := range g.Ties {
			times := 0
			if len(t.Index) > 0 {
				times = len(t.Index[0])
			}
			s += fmt.Sprintf(" %s.%d×%d", t.Param.Name, t.Axis, times)
		}
		list = append(list, s)
	}
	return list
}
