package paths

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// everyLayer is a model with a weight of every kind of layer: two convolutions
// that share their weights, a transposed convolution, Gemm both ways round and
// MatMul.
func everyLayer(t testing.TB) *graph.Graph {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	g := &graph.Graph{Name: "every layer", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	weight := func(name string, shape ...int) *graph.Value { return b.Param(name, normal(r, shape...)) }
	same := graph.Attributes{graph.Ints("kernel_shape", 3, 3), graph.Ints("pads", 1, 1, 1, 1)}
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(2), tensor.Fixed(4), tensor.Fixed(4)}})
	shared := weight("conv", 2, 2, 3, 3)
	x = b.Op("Relu", b.With("Conv", same, x, shared, weight("bias", 2)))
	x = b.Op("Relu", b.With("Conv", same, x, shared))
	x = b.With("ConvTranspose", graph.Attributes{graph.Ints("strides", 2, 2)}, x, weight("up", 2, 3, 2, 2))
	x = b.With("Flatten", graph.Attributes{graph.Int("axis", 1)}, b.With("MaxPool",
		graph.Attributes{graph.Ints("kernel_shape", 4, 4), graph.Ints("strides", 4, 4)}, x))
	x = b.With("Gemm", graph.Attributes{graph.Int("transB", 1)}, x, weight("out in", 5, 12), weight("gemm bias", 5))
	x = b.Op("Gemm", x, weight("in out", 5, 6))
	y := b.Op("MatMul", x, weight("matmul", 6, 4))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*graph.Value{y}
	return g
}

// residual is a model of three blocks x + f(x), the last one f a single layer.
func residual(t testing.TB) *graph.Graph {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	g := &graph.Graph{Name: "residual", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	weight := func(name string, shape ...int) *graph.Value { return b.Param(name, normal(r, shape...)) }
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(3)}})
	x = b.Op("MatMul", x, weight("in", 3, 4))
	for _, name := range []string{"a", "b"} {
		f := b.Op("Relu", b.Op("MatMul", x, weight(name+"1", 4, 6)))
		f = b.Op("Add", b.Op("MatMul", f, weight(name+"2", 6, 4)), weight(name+" bias", 4))
		x = b.Op("Relu", b.Op("Add", x, f))
	}
	x = b.Op("Relu", b.Op("Add", b.Op("MatMul", x, weight("c", 4, 4)), x))
	y := b.Op("MatMul", x, weight("out", 4, 2))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*graph.Value{y}
	return g
}

// layerNames are the layers of everyLayer, axes those of their output channels,
// by ONNX's definitions of the operators, and channels how many there are.
var (
	layerNames = []string{"conv", "up", "out in", "in out", "matmul"}
	axes       = []int{0, 1, 0, 1, 1}
	channels   = []int{2, 3, 5, 6, 4}
)

func normal(r *rand.Rand, shape ...int) tensor.Tensor {
	x := tensor.New(tensor.Float32, shape...)
	for i, data := 0, tensor.Data[float32](x); i < len(data); i++ {
		data[i] = float32(r.NormFloat64())
	}
	return x
}

// evaluate runs a model of one input and one output on three fixed examples.
func evaluate(t testing.TB, g *graph.Graph) []float64 {
	t.Helper()
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	p, err := engine.Compile(g, engine.Options{Dims: map[string]int{"N": 3}})
	if err != nil {
		t.Fatal(err)
	}
	shape, _ := p.Inputs()[0].Static()
	out := make([]tensor.Tensor, 1)
	if err := p.Run(context.Background(), []tensor.Tensor{normal(rand.New(rand.NewPCG(3, 4)), shape...)}, out); err != nil {
		t.Fatal(err)
	}
	return out[0].Float64s()
}

// param returns a parameter's data by name.
func param(t testing.TB, g *graph.Graph, name string) tensor.Tensor {
	t.Helper()
	for _, p := range g.Params {
		if p.Name == name {
			return p.Data
		}
	}
	t.Fatalf("graph %q: no parameter %q", g.Name, name)
	return tensor.Tensor{}
}

// vector is a one-layer model y = x·w.
func vector(t testing.TB, w ...float32) *graph.Graph {
	t.Helper()
	return product(t, tensor.Of(w, len(w), 1))
}

// product is y = x·w₁·w₂·….
func product(t testing.TB, weights ...tensor.Tensor) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "product", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	x := b.Input("x", tensor.Type{DType: weights[0].DType(), Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(weights[0].Shape()[0])}})
	for i, w := range weights {
		x = b.Op("MatMul", x, b.Param("w"+string(rune('1'+i)), w))
	}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*graph.Value{x}
	return g
}

// table is a data set of numbers, the last column of each row its label.
func table(t testing.TB, task data.Task, rows ...[]float64) *data.Set {
	t.Helper()
	var text strings.Builder
	for _, row := range rows {
		text.WriteString(strings.Trim(strings.Join(strings.Fields(fmt.Sprint(row)), ","), "[]") + "\n")
	}
	file := filepath.Join(t.TempDir(), "table.csv")
	if err := os.WriteFile(file, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	src, err := data.Open(file, data.Options{Task: task})
	if err != nil {
		t.Fatal(err)
	}
	return src.Train
}
