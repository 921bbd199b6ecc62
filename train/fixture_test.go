package train

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

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

// linear is y = x·w with the given weights, without a bias.
func linear(t testing.TB, out int, w ...float32) *graph.Graph {
	t.Helper()
	return build(t, len(w)/out, func(b *graph.Builder, x *graph.Value) *graph.Value {
		return b.Op("MatMul", x, b.Param("w", tensor.Of(w, len(w)/out, out)))
	})
}

// build makes a model of one flat input.
func build(t testing.TB, in int, body func(b *graph.Builder, x *graph.Value) *graph.Value) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "built", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	g.Outputs = []*graph.Value{body(b, b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(in)}}))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

func param(t testing.TB, g *graph.Graph, name string) []float64 {
	t.Helper()
	for _, p := range g.Params {
		if p.Name == name {
			return p.Data.Float64s()
		}
	}
	t.Fatalf("no parameter %q", name)
	return nil
}

// openGlyphs makes the built-in images once.
var openGlyphs = sync.OnceValues(func() (data.Source, error) { return data.Open("glyphs", data.Options{Seed: 1}) })

// glyphs is a few built-in images.
func glyphs(t testing.TB, n int) *data.Set {
	t.Helper()
	src, err := openGlyphs()
	if err != nil {
		t.Fatal(err)
	}
	idx := make([]int, n)
	for i := range idx {
		idx[i] = i
	}
	return src.Test.Subset(idx)
}

func mustRun(t testing.TB, g *graph.Graph, set *data.Set, o Options) (*graph.Graph, []Epoch) {
	t.Helper()
	m, epochs, err := Run(context.Background(), g, set, o)
	if err != nil {
		t.Fatal(err)
	}
	return m, epochs
}

// forward runs a model on zeros but for its first entries, on n examples.
func forward(t testing.TB, g *graph.Graph, n int, x ...float32) tensor.Tensor {
	t.Helper()
	p, err := engine.Compile(g, engine.Options{Dims: map[string]int{"N": n}})
	if err != nil {
		t.Fatal(err)
	}
	shape, _ := p.Inputs()[0].Static()
	in, out := tensor.New(tensor.Float32, shape...), make([]tensor.Tensor, len(p.Outputs()))
	copy(tensor.Data[float32](in), x)
	if err := p.Run(context.Background(), []tensor.Tensor{in}, out); err != nil {
		t.Fatal(err)
	}
	return out[0].Clone()
}
