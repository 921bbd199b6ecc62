package engine

import (
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// The gradient of a layer costs two more of its products: one for the input, one
// for the weight.
func TestCost(t *testing.T) {
	g := &graph.Graph{Name: "cost", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	x := b.Input("x", tensor.TypeOf(tensor.Float32, 2, 4, 8, 8))
	w := b.Input("w", tensor.TypeOf(tensor.Float32, 6, 2, 3, 3))
	v := b.Input("v", tensor.TypeOf(tensor.Float32, 6*6*6, 5))
	y := b.With("Conv", attrs{graph.Int("group", 2)}, x, w)
	loss := b.With("ReduceSum", attrs{graph.Int("keepdims", 0)}, b.Op("MatMul", b.Op("Flatten", y), v))
	g.Outputs = []*graph.Value{loss}
	conv, product := 2*6*6*6*(2*3*3), 2*5*(6*6*6)
	p, err := Compile(g, Options{Unfused: true})
	if err != nil || b.Err() != nil {
		t.Fatal(err, b.Err())
	}
	if got, want := p.Cost().Products, conv+product; got != want {
		t.Errorf("forward: got %d products, want %d", got, want)
	}
	d, err := Gradient(g, loss, []*graph.Value{x, w, v})
	if err != nil {
		t.Fatal(err)
	}
	if p, err = Compile(d, Options{Unfused: true}); err != nil {
		t.Fatal(err)
	}
	if got, want := p.Cost().Products, 3*(conv+product); got != want {
		t.Errorf("with gradients: got %d products, want %d", got, want)
	}
}
