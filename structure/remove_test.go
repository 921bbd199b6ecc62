package structure

import (
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

func twoLayers(t *testing.T) *graph.Graph {
	s := newSketch(1)
	return s.finish(t, s.dense("b", s.Op("Relu", s.dense("a", s.in(3), 4)), 2))
}

// TestRemoveRefuses: what does not exist, and what would leave nothing.
func TestRemoveRefuses(t *testing.T) {
	g := twoLayers(t)
	before := g.Digest()
	for _, c := range []struct {
		selection map[string][]int
		want      string
	}{
		{map[string][]int{"z": {0}}, `remove from graph "sketch": group "z": there is none of this name`},
		{map[string][]int{"a": {4}}, `group "a": channel: got 4, want 0 to 3`},
		{map[string][]int{"a": {-1}}, `group "a": channel: got -1, want 0 to 3`},
		{map[string][]int{"a": {0, 1, 2, 3}}, `axis 1: nothing is left of its 4 channels`},
	} {
		if _, err := Remove(g, c.selection); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("remove %v: got error %v, want one with %q", c.selection, err, c.want)
		}
	}
	g.Opset[""] = 13
	if _, err := Analyze(g); err == nil || !strings.Contains(err.Error(), "opset: got 13, want 26: upgrade it") {
		t.Errorf("an old opset: got error %v, want one that says to upgrade", err)
	}
	g.Opset[""] = graph.LatestOpset
	if _, err := Remove(g, map[string][]int{"a": {0, 2, 2}}); err != nil {
		t.Errorf("a channel named twice: got error %v, want it removed once", err)
	}
	if g.Digest() != before {
		t.Error("the graph was modified")
	}
}

// TestRemoveShares: tensors that lose nothing are not copied, and what is cut is
// what the index says.
func TestRemoveShares(t *testing.T) {
	g := twoLayers(t)
	small, err := Remove(g, map[string][]int{"a": {1, 2}})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range small.Params {
		old := g.Params[slices.IndexFunc(g.Params, func(q *graph.Param) bool { return q.Name == p.Name })]
		switch p.Name {
		case "a bias":
			if want := []float64{old.Data.At(0), old.Data.At(3)}; !slices.Equal(p.Data.Float64s(), want) {
				t.Errorf("%q: got %v, want %v", p.Name, p.Data.Float64s(), want)
			}
		case "b bias":
			if &p.Data.Raw()[0] != &old.Data.Raw()[0] {
				t.Errorf("%q was copied", p.Name)
			}
		}
	}
}

// TestRemoveQuantised: integers of 4 bits with a scale for each channel are cut
// like floats, though two of them share a byte.
func TestRemoveQuantised(t *testing.T) {
	s := newSketch(1)
	q := tensor.New(tensor.Int4, 3, 5)
	for i := range q.Len() {
		q.Set(i, float64(i%15-7))
	}
	w := s.With("DequantizeLinear", graph.Attributes{graph.Int("axis", 1)}, s.Param("q", q), s.positive("scale", 5))
	g := s.finish(t, s.dense("b", s.Op("Relu", s.Op("MatMul", s.in(3), w)), 2))
	a, err := Analyze(g)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(a), []string{"q 5 channels: q.1×1 scale.0×1 b.0×1"}; !slices.Equal(got, want) {
		t.Fatalf("groups: got %v, want %v", got, want)
	}
	small := checkRemoval(t, a, map[string][]int{"q": {0, 3}}, map[string]int{"N": 2})
	p := small.Params[slices.IndexFunc(small.Params, func(p *graph.Param) bool { return p.Name == "q" })]
	if want := []float64{-6, -5, -3, -1, 0, 2, 4, 5, 7}; p.Data.DType() != tensor.Int4 || !slices.Equal(p.Data.Float64s(), want) {
		t.Errorf("got %v %v, want int4 %v", p.Data, p.Data.Float64s(), want)
	}
}

// TestRemovable takes channels in turn until one would leave an axis empty.
func TestRemovable(t *testing.T) {
	a, err := Analyze(twoLayers(t))
	if err != nil {
		t.Fatal(err)
	}
	order := []Channel{{"a", 2}, {"z", 0}, {"a", 2}, {"a", 9}, {"a", 0}, {"a", 3}, {"a", 1}}
	if got, want := a.Removable(order), []Channel{{"a", 2}, {"a", 0}, {"a", 3}}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}
