package engine

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// fusionCase is a graph of float64 values that some pass rewrites.
type fusionCase struct {
	name  string
	build func(b *graph.Builder, x, w *graph.Value) *graph.Value
	shape []int // of x
	w     []int
	gone  string // an operator of which the gradient's program has fewer, fused
}

func fusionCases() []fusionCase {
	pads := attrs{graph.Ints("pads", 1, 1, 1, 1)}
	pool := attrs{graph.Ints("kernel_shape", 2, 2), graph.Ints("strides", 2, 2)}
	overlapping := attrs{graph.Ints("kernel_shape", 3, 3), graph.Ints("strides", 2, 2)}
	return []fusionCase{
		{"conv and relu", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			return b.Op("Relu", b.With("Conv", pads, x, w))
		}, []int{2, 3, 6, 7}, []int{4, 3, 3, 3}, "Relu"},
		{"conv over three axes and relu", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			return b.Op("Relu", b.Op("Conv", x, w))
		}, []int{2, 2, 4, 5, 4}, []int{3, 2, 2, 2, 2}, "Relu"},
		{"relu and pooling", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			return b.With("MaxPool", pool, b.Op("Relu", b.With("Conv", pads, x, w)))
		}, []int{2, 3, 6, 6}, []int{4, 3, 3, 3}, "Relu"},
		{"pooling of odd sizes", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			return b.Op("Mul", b.With("MaxPool", pool, x), w)
		}, []int{2, 3, 7, 9}, []int{3, 1, 1}, "MaxPool"},
		{"relu and overlapping pooling", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			return b.With("MaxPool", overlapping, b.Op("Relu", b.With("Conv", pads, x, w)))
		}, []int{2, 3, 9, 9}, []int{4, 3, 3, 3}, "Relu"},
		{"relu that two read", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			y := b.With("Conv", pads, x, w)
			return b.Op("Add", b.Op("Mul", b.Op("Relu", y), y), b.Op("Relu", y))
		}, []int{2, 3, 5, 5}, []int{4, 3, 3, 3}, "Relu"},
		{"expanded operands", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			wide := b.Op("Expand", w, b.Op("Shape", x))
			return b.Op("Sub", b.Op("Mul", wide, x), b.Op("Div", b.Op("Add", x, wide), wide))
		}, []int{3, 2, 5}, []int{2, 1}, "Expand"},
		{"an operand expanded for a shape that nothing else has", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			wide := b.Op("Expand", w, b.Op("Shape", x))
			twice := b.Op("Expand", w, b.Op("Shape", x))
			return b.Op("Add", b.Op("Mul", wide, twice), b.Op("Sub", x, b.Op("Expand", w, b.Op("Shape", x))))
		}, []int{3, 2, 5}, []int{2, 1}, "Expand"},
		{"a chain with rows, columns and numbers", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			half, row := b.Const(tensor.Scalar(0.5)), b.Const(tensor.Of([]float64{1, 2, 3, 4, 5}, 5))
			y := b.Op("Add", b.Op("Mul", b.Op("Sub", x, w), row), half)
			return b.Op("Div", b.Op("Tanh", y), b.Op("Max", b.Op("Exp", b.Op("Neg", y)), b.Op("Abs", x)))
		}, []int{3, 211, 5}, []int{211, 1}, "Tanh"},
		{"two chains with a sum between them", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			y := b.Op("Sigmoid", b.Op("Mul", x, w))
			mean := b.With("ReduceMean", attrs{graph.Int("keepdims", 1)}, y)
			return b.Op("LeakyRelu", b.Op("Clip", b.Op("Sub", b.Op("Sqrt", y), mean), b.Const(tensor.Scalar(-0.1)), b.Const(tensor.Scalar(0.1))))
		}, []int{40, 77}, []int{40, 1}, "Sqrt"},
		{"a chain from a chain's middle", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			y := b.Op("Add", x, w)
			z := b.Op("Transpose", b.Op("Reciprocal", b.Op("Mul", y, y)))
			return b.Op("Add", b.Op("Relu", b.Op("Neg", y)), b.Op("Transpose", b.Op("Log", z)))
		}, []int{9, 9}, []int{1, 9}, "Reciprocal"},
		{"equal expressions", func(b *graph.Builder, x, w *graph.Value) *graph.Value {
			two := func() *graph.Value { return b.Const(tensor.Scalar(2.0)) }
			return b.Op("Mul", b.Op("Exp", b.Op("Div", x, two())), b.Op("Sin", b.Op("Div", x, two())))
		}, []int{3, 5}, []int{1}, "Div"},
	}
}

// equalToRounding allows for sums in another order.
func equalToRounding(x, y []float64) bool {
	return slices.EqualFunc(x, y, func(a, b float64) bool {
		return a == b || math.Abs(a-b) <= 1e-12*(1+math.Abs(b)) || a != a && b != b
	})
}

// A fused program computes the same as one with a step for each node: outputs and
// gradients agree to rounding.
func TestFusionChangesNothing(t *testing.T) {
	for _, c := range fusionCases() {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(11, 12))
			x, w := random(r, tensor.Float64, c.shape...), random(r, tensor.Float64, c.w...)
			g := &graph.Graph{Name: c.name, Opset: map[string]int{"": graph.LatestOpset}}
			b := graph.NewBuilder(g, "t")
			xs, ws := b.Input("x", x.Type()), b.Input("w", w.Type())
			y := c.build(b, xs, ws)
			loss := b.With("ReduceSum", attrs{graph.Int("keepdims", 0)}, b.Op("Mul", y, y))
			g.Outputs = []*graph.Value{y, loss}
			if err := b.Err(); err != nil {
				t.Fatal(err)
			}
			d, err := Gradient(g, loss, []*graph.Value{xs, ws})
			if err != nil {
				t.Fatal(err)
			}
			plain, want := compiled(t, d, Options{Unfused: true}, x, w)
			fused, got := compiled(t, d, Options{}, x, w)
			for i := range want {
				if !equalToRounding(got[i].Float64s(), want[i].Float64s()) {
					t.Errorf("output %d: fused and unfused differ", i)
				}
			}
			if before, after := count(plain, c.gone), count(fused, c.gone); after >= before {
				t.Errorf("steps of %s: got %d of %d, want fewer", c.gone, after, before)
			}
		})
	}
}

// The gradient of a Relu before a pooling runs over the pooled elements.
func TestReluGradientMovesBehindPooling(t *testing.T) {
	g := &graph.Graph{Name: "pooled", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	x := b.Input("x", tensor.TypeOf(tensor.Float32, 2, 3, 8, 8))
	y := b.With("MaxPool", attrs{graph.Ints("kernel_shape", 2, 2), graph.Ints("strides", 2, 2)}, b.Op("Relu", x))
	loss := b.With("ReduceSum", attrs{graph.Int("keepdims", 0)}, b.Op("Mul", y, y))
	d, err := Gradient(g, loss, []*graph.Value{x})
	if err != nil || b.Err() != nil {
		t.Fatal(err, b.Err())
	}
	p, err := Compile(d, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range p.steps {
		if st.node.Kind() == "compactify.ReluGrad" || st.node.Kind() == chainKind && slices.Contains(chainCodeOf(st.node).ops, "ReluGrad") {
			if got, want := st.node.Out[0].Type, tensor.TypeOf(tensor.Float32, 2, 3, 4, 4); !got.Equal(want) {
				t.Errorf("gradient of the Relu: got %v, want %v", got, want)
			}
			return
		}
	}
	t.Error("the program has no step for the Relu's gradient")
}

func compiled(t *testing.T, g *graph.Graph, o Options, in ...tensor.Tensor) (*Program, []tensor.Tensor) {
	t.Helper()
	p, err := Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]tensor.Tensor, len(g.Outputs))
	if err := p.Run(context.Background(), in, out); err != nil {
		t.Fatal(err)
	}
	return p, out
}

// count is the number of steps that are of one kind.
func count(p *Program, kind string) int {
	n := 0
	for _, st := range p.steps {
		if st.node.Kind() == kind {
			n++
		}
	}
	return n
}
