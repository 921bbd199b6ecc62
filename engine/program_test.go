package engine

import (
	"context"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// addTwice is z = (x + w) + x with a symbolic batch.
func addTwice() *graph.Graph {
	g := &graph.Graph{Name: "add", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(2)}})
	w := b.Param("w", tensor.Of([]float32{1, 2, 3, 4}, 2, 2))
	g.Outputs = append(g.Outputs, b.Op("Add", b.Op("Add", x, w), x))
	return g
}

func TestProgramRunsWithoutAllocating(t *testing.T) {
	p, err := Compile(addTwice(), Options{Dims: map[string]int{"N": 2}, Unfused: true})
	if err != nil {
		t.Fatal(err)
	}
	in, out := []tensor.Tensor{tensor.Of([]float32{1, 1, 1, 1}, 2, 2)}, make([]tensor.Tensor, 1)
	allocs := testing.AllocsPerRun(10, func() {
		if err := p.Run(context.Background(), in, out); err != nil {
			t.Fatal(err)
		}
	})
	if allocs != 0 {
		t.Errorf("allocations per run: got %v, want 0", allocs)
	}
	if got, want := out[0], tensor.Of([]float32{3, 4, 5, 6}, 2, 2); !got.Equal(want) {
		t.Errorf("output: got %v, want %v", got.Float64s(), want.Float64s())
	}
	if p.Memory() != 16 {
		t.Errorf("arena: got %d bytes, want 16: the second sum takes over the memory of the first", p.Memory())
	}
}
