package paths

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// modelOf builds a model over x, float32 [N, 6], with random weights.
func modelOf(t *testing.T, body func(b *graph.Builder, w func(name string, shape ...int) *graph.Value, x *graph.Value) *graph.Value) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "model", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	r := rand.New(rand.NewPCG(5, 6))
	w := func(name string, shape ...int) *graph.Value {
		d := tensor.New(tensor.Float32, shape...)
		for i := range d.Len() {
			d.Set(i, r.NormFloat64())
		}
		return b.Param(name, d)
	}
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(6)}})
	g.Outputs = []*graph.Value{body(b, w, x)}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	return g
}

func answer(t *testing.T, g *graph.Graph) []float32 {
	t.Helper()
	p, err := engine.Compile(g, engine.Options{Dims: map[string]int{"N": 2}, Unfused: true})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]tensor.Tensor, len(p.Outputs()))
	x := tensor.Of([]float32{0.5, 3, 1, 0, 2, -1, 1, 2, 0, 5, -2, 0.25}, 2, 6)
	if err := p.Run(context.Background(), []tensor.Tensor{x}, out); err != nil {
		t.Fatal(err)
	}
	return slices.Clone(out[0].Float32s())
}

// TestEveryKindOfLayer: with integers in place of its weights a model answers what
// it answers with the floats that they stand for, whatever operator reads them and
// in whatever body.
func TestEveryKindOfLayer(t *testing.T) {
	sequence := func(b *graph.Builder, x *graph.Value) *graph.Value { // [1, N, 6]
		return b.Op("Unsqueeze", x, b.Const(tensor.Ints(0)))
	}
	type weights = func(name string, shape ...int) *graph.Value
	for _, c := range []struct {
		name   string
		layers int
		body   func(b *graph.Builder, w weights, x *graph.Value) *graph.Value
	}{
		{"LSTM", 2, func(b *graph.Builder, w weights, x *graph.Value) *graph.Value {
			return b.With("LSTM", graph.Attributes{graph.Int("hidden_size", 3)}, sequence(b, x), w("W", 1, 12, 6), w("R", 1, 12, 3))
		}},
		{"GRU, both directions", 2, func(b *graph.Builder, w weights, x *graph.Value) *graph.Value {
			return b.With("GRU", graph.Attributes{graph.Int("hidden_size", 3), graph.Text("direction", "bidirectional")}, sequence(b, x), w("W", 2, 9, 6), w("R", 2, 9, 3))
		}},
		{"a table", 1, func(b *graph.Builder, w weights, x *graph.Value) *graph.Value {
			return b.Op("Gather", w("rows", 7, 5), b.With("Cast", graph.Attributes{graph.Int("to", int(tensor.Int64))}, x))
		}},
		{"a constant on the left", 1, func(b *graph.Builder, w weights, x *graph.Value) *graph.Value {
			return b.Op("MatMul", w("left", 5, 6), b.Op("Transpose", x))
		}},
		{"a Gemm of a constant, transposed", 1, func(b *graph.Builder, w weights, x *graph.Value) *graph.Value {
			return b.With("Gemm", graph.Attributes{graph.Int("transA", 1), graph.Int("transB", 1)}, w("left", 6, 5), x)
		}},
		{"grouped and depthwise ConvTranspose", 2, func(b *graph.Builder, w weights, x *graph.Value) *graph.Value {
			x = b.Op("Reshape", x, b.Const(tensor.Ints(0, 2, 3)))
			x = b.With("ConvTranspose", graph.Attributes{graph.Int("group", 2)}, x, w("depthwise", 2, 1, 2))
			return b.With("ConvTranspose", graph.Attributes{graph.Int("group", 2)}, x, w("grouped", 2, 3, 2))
		}},
		{"Einsum", 1, func(b *graph.Builder, w weights, x *graph.Value) *graph.Value {
			return b.With("Einsum", graph.Attributes{graph.Text("equation", "nk,kjm->njm")}, x, w("right", 6, 2, 3))
		}},
		{"in a branch", 1, func(b *graph.Builder, w weights, x *graph.Value) *graph.Value {
			shared := w("w", 6, 3)
			sub := &graph.Graph{Name: "then", Opset: b.Graph().Opset}
			sub.Outputs = []*graph.Value{graph.NewBuilder(sub, "then").Op("MatMul", x, shared)}
			other := &graph.Graph{Name: "else", Opset: b.Graph().Opset}
			other.Outputs = []*graph.Value{graph.NewBuilder(other, "else").Op("Relu", x)}
			top := b.With("ReduceMax", graph.Attributes{graph.Int("keepdims", 0)}, x)
			return b.With("If", graph.Attributes{graph.Subgraph("then_branch", sub), graph.Subgraph("else_branch", other)},
				b.Op("Greater", top, b.Const(tensor.Scalar(float32(0)))))
		}},
	} {
		for _, scheme := range everyScheme {
			t.Run(fmt.Sprintf("%s/%v", c.name, scheme), func(t *testing.T) {
				g := modelOf(t, c.body)
				if n := len(g.Layers()); n != c.layers {
					t.Fatalf("layers: got %d, want %d", n, c.layers)
				}
				q, err := QuantizeWeights(nil, g, Uniform(g, scheme))
				if err != nil {
					t.Fatal(err)
				}
				if err := q.Validate(); err != nil {
					t.Fatal(err)
				}
				floats := writtenOut(t, g, Uniform(g, scheme))
				if got, want := answer(t, q), answer(t, floats); !slices.Equal(got, want) {
					t.Errorf("answers: got %v, want %v", got, want)
				}
			})
		}
	}
}
