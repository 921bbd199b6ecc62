package compress

import (
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// TestRoundsInputs: the products that ONNX Runtime 1.32 was seen to fuse, and those
// that it was seen to leave, by comparing its levels of optimisation.
func TestRoundsInputs(t *testing.T) {
	for _, c := range []struct {
		kind   string
		attrs  graph.Attributes
		stored bool // the weight is stored in integers
		want   bool
	}{
		{"MatMul", nil, true, true},
		{"MatMul", nil, false, false},
		{"Gemm", nil, true, true},
		{"Gemm", graph.Attributes{graph.Int("transB", 1)}, true, false},
		{"Gemm", graph.Attributes{graph.Int("transA", 1)}, true, false},
	} {
		g := &graph.Graph{Name: "product", Opset: map[string]int{"": graph.LatestOpset}}
		b := graph.NewBuilder(g, "v")
		x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Fixed(2), tensor.Fixed(2)}})
		w := b.Param("w", tensor.Of([]float32{1, 2, 3, 4}, 2, 2))
		if c.stored {
			w = b.Op("DequantizeLinear", b.Param("q", tensor.Of([]int8{1, 2, 3, 4}, 2, 2)), b.Param("s", tensor.Of([]float32{0.5})))
		}
		g.Outputs = []*graph.Value{b.With(c.kind, c.attrs, x, w)}
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		if got := storesIntegers(g); got != c.stored {
			t.Errorf("%s %v: stores integers: got %v, want %v", c.kind, c.attrs, got, c.stored)
		}
		if got := roundsInputs(g); got != c.want {
			t.Errorf("%s %v, stored %v: got %v, want %v", c.kind, c.attrs, c.stored, got, c.want)
		}
	}
}
