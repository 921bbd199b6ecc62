package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// A chain with two outputs, a sum and operands of every kind gives the same bits
// at one to three threads, in every set of instructions, and allocates nothing.
func TestChainBitsAndAllocations(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	g := &graph.Graph{Name: "chain", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	var in []tensor.Tensor
	input := func(name string, shape ...int) *graph.Value {
		in = append(in, random(r, tensor.Float32, shape...))
		return b.Input(name, in[len(in)-1].Type())
	}
	x, column, row, image := input("x", 5, 12, 31, 33), input("column", 12, 1, 1), input("row", 33), input("image", 5, 1, 31, 33)
	y := b.Op("Add", b.Op("Mul", b.Op("Sub", x, column), row), image)
	z := b.Op("Tanh", y)
	axes := b.Const(tensor.Of([]int64{0, 2, 3}, 3))
	g.Outputs = []*graph.Value{y, z, b.Op("ReduceSum", b.Op("Mul", z, z), axes)}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	for set := kernel.Portable; set <= kernel.Best(); set++ {
		var want []tensor.Tensor
		for threads := 1; threads <= 3; threads++ {
			pool := kernel.NewPool(threads, set)
			defer pool.Close()
			p, got := compiled(t, g, Options{Pool: pool}, in...)
			if count(p, chainKind) != 1 || p.Steps() != 1 {
				t.Fatalf("steps: got %d of which %d chains, want 1 chain", p.Steps(), count(p, chainKind))
			}
			if want == nil {
				want = got
			}
			for i := range want {
				if !slices.Equal(got[i].Raw(), want[i].Raw()) {
					t.Errorf("%s, %d threads: output %d differs from that of one thread", set, threads, i)
				}
			}
			out := make([]tensor.Tensor, len(g.Outputs))
			if n := testing.AllocsPerRun(5, func() { _ = p.Run(context.Background(), in, out) }); n != 0 {
				t.Errorf("%s, %d threads: got %v allocations per run, want 0", set, threads, n)
			}
		}
	}
}
