package paths

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// products makes y = x·w with x [N, 5], w [5, n] and the given operators, all of
// which read w; their results are added.
func products(t *testing.T, n int, ops ...string) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "product", Opset: map[string]int{graph.DomainONNX: graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(5)}})
	w := b.Param("w", normal(rand.New(rand.NewPCG(1, 2)), 5, n))
	var y *graph.Value
	for _, op := range ops {
		z := b.Op(op, x, w)
		if y != nil {
			z = b.Op("Add", y, z)
		}
		y = z
	}
	y.Name = "y"
	g.Outputs = []*graph.Value{y}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestStoredForm checks that no int2 matrix of a row length that does not fill
// bytes feeds a MatMul, or a Gemm with transB = 0, directly: see stored.go.
func TestStoredForm(t *testing.T) {
	cases := []struct {
		name  string
		ops   []string
		n     int
		bits  int
		shape []int    // of the integers
		nodes []string // of the quantised graph
	}{
		{"MatMul, 2 bits, 10", []string{"MatMul"}, 10, 2, []int{10, 5}, []string{"DequantizeLinear", "Transpose", "MatMul"}},
		{"MatMul, 1 bit, 3", []string{"MatMul"}, 3, 1, []int{3, 5}, []string{"DequantizeLinear", "Transpose", "MatMul"}},
		{"MatMul, square", []string{"MatMul"}, 5, 2, []int{5, 5}, []string{"DequantizeLinear", "Transpose", "MatMul"}},
		{"MatMul, 2 bits, 8", []string{"MatMul"}, 8, 2, []int{5, 8}, []string{"DequantizeLinear", "MatMul"}},
		{"MatMul, 4 bits, 10", []string{"MatMul"}, 10, 4, []int{5, 10}, []string{"DequantizeLinear", "MatMul"}},
		{"Gemm, 2 bits, 10", []string{"Gemm"}, 10, 2, []int{10, 5}, []string{"DequantizeLinear", "Gemm"}},
		{"Gemm, 2 bits, 4", []string{"Gemm"}, 4, 2, []int{5, 4}, []string{"DequantizeLinear", "Gemm"}},
		{"shared", []string{"MatMul", "Gemm", "MatMul"}, 6, 2, []int{6, 5},
			[]string{"DequantizeLinear", "Transpose", "MatMul", "Gemm", "Add", "MatMul", "Add"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			g := products(t, c.n, c.ops...)
			q, err := QuantizeWeights(nil, g, map[string]Scheme{"w": {Bits: c.bits}})
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Infer(); err != nil {
				t.Fatal(err)
			}
			checkStored(t, q, c.shape, c.nodes)
			checkMeaning(t, g, q, c.bits)
		})
	}
}

// TestHardenStoresAlike checks that training leads to the same form.
func TestHardenStoresAlike(t *testing.T) {
	for _, op := range []string{"MatMul", "Gemm"} {
		g := products(t, 10, op)
		soft, err := FakeQuantizeWeights(nil, g, map[string]Scheme{"w": {Bits: 2}})
		if err != nil {
			t.Fatal(err)
		}
		hard, err := Harden(nil, soft)
		if err != nil {
			t.Fatal(err)
		}
		want, err := QuantizeWeights(nil, g, map[string]Scheme{"w": {Bits: 2}})
		if err != nil {
			t.Fatal(err)
		}
		var nodes []string
		for _, n := range want.Nodes {
			nodes = append(nodes, n.Kind())
		}
		checkStored(t, hard, []int{10, 5}, nodes)
		checkMeaning(t, g, hard, 2)
	}
}

func checkStored(t *testing.T, q *graph.Graph, shape []int, nodes []string) {
	t.Helper()
	var kinds []string
	for _, n := range q.Nodes {
		kinds = append(kinds, n.Kind())
		if n.Kind() == "Gemm" && n.Attrs.Int("transB", 0) == 1 != (shape[1] == 5) {
			t.Errorf("Gemm of integers %v: transB: got %d", shape, n.Attrs.Int("transB", 0))
		}
	}
	if !slices.Equal(kinds, nodes) {
		t.Errorf("nodes: got %v, want %v", kinds, nodes)
	}
	if got := q.Params[0].Data.Shape(); !slices.Equal(got, shape) {
		t.Errorf("stored integers: got %v, want %v", got, shape)
	}
	if len(q.Params) != 2 {
		t.Errorf("parameters: got %d, want integers and scales", len(q.Params))
	}
}

// checkMeaning compares the quantised graph with the original on rounded weights,
// and those with the stored integers, found through StoredWeight.
func checkMeaning(t *testing.T, g, q *graph.Graph, bits int) {
	t.Helper()
	want := writtenOut(t, g, map[string]Scheme{"w": {Bits: bits}})
	if err := testkit.Close(evaluate(t, q), evaluate(t, want), sumTolerance); err != nil {
		t.Error(err)
	}
	l := g.Layers()[0]
	stored, ok := StoredWeight(q, l, Scheme{Bits: bits})
	if !ok {
		t.Fatal("the stored weight is not found")
	}
	for i, w := range tensor.Data[float32](want.Params[0].Data) {
		if got := float32(stored.At(i)); got != w {
			t.Fatalf("weight %d: got %v, want %v", i, got, w)
		}
	}
}

// TestActivationsBeforeTwoBits checks that what enters a layer of 2-bit weights
// is not rounded, and what enters one of 4-bit weights is.
func TestActivationsBeforeTwoBits(t *testing.T) {
	for bits, want := range map[int]int{1: 0, 2: 0, 4: 1, 8: 1} {
		q, err := QuantizeWeights(nil, products(t, 8, "MatMul"), map[string]Scheme{"w": {Bits: bits}})
		if err != nil {
			t.Fatal(err)
		}
		if got := len(Activations(q)); got != want {
			t.Errorf("activations to round at %d bits: got %d, want %d", bits, got, want)
		}
	}
}
