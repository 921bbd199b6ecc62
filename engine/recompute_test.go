package engine

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// deepNet is the gradient of a network of many layers, each with an activation
// that the gradient reads again: a plain chain, or residual blocks with a view
// in each.
func deepNet(t *testing.T, residual bool) (*graph.Graph, []tensor.Tensor) {
	t.Helper()
	r := rand.New(rand.NewPCG(3, 4))
	g := &graph.Graph{Name: "deep", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	x := random(r, tensor.Float32, 16, 8, 4)
	in := []tensor.Tensor{x}
	y := b.Input("x", x.Type())
	wrt := []*graph.Value{y}
	for range 10 {
		w := random(r, tensor.Float32, 4, 4)
		in = append(in, w)
		v := b.Input(b.Fresh(), w.Type())
		wrt = append(wrt, v)
		z := b.Op("Tanh", b.Op("MatMul", y, v))
		z = b.Op("Mul", b.Op("Sigmoid", z), b.Op("Exp", z))
		if residual {
			flat := b.Op("Reshape", z, b.Const(tensor.Ints(16*8, 4)))
			z = b.Op("Add", b.Op("Reshape", b.Op("Sin", flat), b.Const(tensor.Ints(16, 8, 4))), y)
		}
		y = z
	}
	loss := b.With("ReduceSum", attrs{graph.Int("keepdims", 0)}, y)
	g.Outputs = []*graph.Value{loss}
	d, err := Gradient(g, loss, wrt)
	if err != nil || b.Err() != nil {
		t.Fatal(err, b.Err())
	}
	return d, in
}

// A program that has less memory computes some tensors twice, and the same bits.
func TestRecomputing(t *testing.T) {
	for _, residual := range []bool{false, true} {
		g, in := deepNet(t, residual)
		plain, want := compiled(t, g, Options{}, in...)
		if plain.Recomputed() != (Recomputation{}) {
			t.Errorf("residual %t: recomputed with all the memory there is: got %+v, want nothing", residual, plain.Recomputed())
		}
		for _, share := range []float64{0.9, 0.8, 0.7} {
			room := int(share * float64(plain.Memory()))
			c, err := newCompiler(g, Options{})
			if err == nil {
				err = c.rewrite()
			}
			if err != nil {
				t.Fatal(err)
			}
			need := plain.Memory()
			p, plan, err := c.shrink(&MemoryError{Need: need, Limit: room})
			if err != nil {
				t.Errorf("residual %t, %.0f %% of %d bytes: %v", residual, 100*share, need, err)
				continue
			}
			p.arena = plan.allocate()
			if p.Memory() > room || p.Steps() <= plain.Steps() {
				t.Errorf("residual %t, %.0f %%: got %d bytes in %d steps, want at most %d in more than %d",
					residual, 100*share, p.Memory(), p.Steps(), room, plain.Steps())
			}
			if got, want := p.Recomputed(), (Recomputation{p.Steps() - plain.Steps(), need - p.Memory()}); got != want {
				t.Errorf("residual %t, %.0f %%: recomputed: got %+v, want %+v", residual, 100*share, got, want)
			}
			t.Logf("residual %t: %d bytes in %d steps, from %d in %d", residual, p.Memory(), p.Steps(), plain.Memory(), plain.Steps())
			got := make([]tensor.Tensor, len(want))
			if err := p.Run(context.Background(), in, got); err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if !slices.Equal(got[i].Raw(), want[i].Raw()) {
					t.Errorf("residual %t, %.0f %%: output %d differs", residual, 100*share, i)
				}
			}
		}
	}
}

// What cannot be done in less memory is refused with the least that was found.
func TestRecomputingGivesUp(t *testing.T) {
	g, _ := deepNet(t, true)
	c, err := newCompiler(g, Options{})
	if err == nil {
		err = c.rewrite()
	}
	if err != nil {
		t.Fatal(err)
	}
	need, err := c.leastMemory()
	if err != nil {
		t.Fatal(err)
	}
	refused := &MemoryError{Need: need, Limit: 100}
	if _, _, err := c.shrink(refused); err != refused || refused.Need >= need {
		t.Errorf("got %v, want a refusal with a need below %d", err, need)
	}
}
