package engine

import (
	"context"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// TestWorkerPanicIsAnError: a kernel that panics on a goroutine of the pool is
// an error that names its node, and the program runs again.
func TestWorkerPanicIsAnError(t *testing.T) {
	const op = "test.Panics"
	kernels[op] = func(s *site) (func() error, error) {
		return s.parallel(1<<20, 1, func(worker, _, _ int) {
			if worker == 1 && s.in[0].At(0) != 0 {
				panic("of worker 1")
			}
		}), nil
	}
	defer delete(kernels, op)
	pool := kernel.NewPool(2, kernel.Portable)
	defer pool.Close()
	x := &graph.Value{Name: "x", Type: tensor.TypeOf(tensor.Float32, 1)}
	y := &graph.Value{Name: "y", Type: tensor.TypeOf(tensor.Float32, 1)}
	g := &graph.Graph{Inputs: []*graph.Value{x}, Outputs: []*graph.Value{y}, Opset: map[string]int{graph.DomainONNX: graph.LatestOpset},
		Nodes: []*graph.Node{{Name: "culprit", Domain: "test", Op: "Panics", In: []*graph.Value{x}, Out: []*graph.Value{y}}}}
	p, err := Compile(g, Options{Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]tensor.Tensor, 1)
	err = p.Run(context.Background(), []tensor.Tensor{tensor.Of([]float32{1}, 1)}, out)
	if err == nil || !strings.Contains(err.Error(), `"culprit"`) || !strings.Contains(err.Error(), "of worker 1") {
		t.Errorf("got error %v, want one that names node and cause", err)
	}
	if err := p.Run(context.Background(), []tensor.Tensor{tensor.Of([]float32{0}, 1)}, out); err != nil {
		t.Errorf("after a panic: %v", err)
	}
}
