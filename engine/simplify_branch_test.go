package engine

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// TestSimplifyTakesBranches: two conditions on a shape, the second of which is
// decided once the first is, in branches that use one name for what they make.
func TestSimplifyTakesBranches(t *testing.T) {
	g := &graph.Graph{Name: "branches", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	x := b.Input("x", double(2, 3))
	branch := func(op string, of *graph.Value) *graph.Graph {
		y := &graph.Value{Name: "made", Type: tensor.Type{DType: tensor.Float64}}
		return &graph.Graph{Name: op, Nodes: []*graph.Node{{Op: op, In: values{of}, Out: values{y}}}, Outputs: values{y}}
	}
	choose := func(of *graph.Value, rank int) *graph.Value {
		cond := b.Op("Equal", b.Op("Size", b.Op("Shape", of)), b.Const(tensor.Scalar(int64(rank))))
		return b.With("If", attrs{graph.Subgraph("then_branch", branch("Sin", of)), graph.Subgraph("else_branch", branch("Exp", of))}, cond)
	}
	first := choose(x, 2)
	g.Outputs = values{b.Op("Neg", choose(first, 3)), first}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	s, notes, err := Simplify(g)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Error(err)
	}
	if !slices.Contains(notes, "took 2 branches whose condition is constant") {
		t.Errorf("notes: got %q", notes)
	}
	in := list{random(rand.New(rand.NewPCG(1, 2)), tensor.Float64, 2, 3)}
	want := copies(evaluator(t, g)(in))
	for i, got := range evaluator(t, s)(in) {
		if err := testkit.Close(got.Float64s(), want[i].Float64s(), 0); err != nil {
			t.Errorf("output %d: %v", i, err)
		}
	}
}
