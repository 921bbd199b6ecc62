package graph

import (
	"math"
	"slices"
	"testing"

	"github.com/compactify/compactify/tensor"
)

// TestEffectiveWeights dequantises with one scale, one per row and one per block
// of two; the wanted numbers are (q − zero)·scale by hand.
func TestEffectiveWeights(t *testing.T) {
	q := tensor.Of([]int8{1, 2, 3, 4, 5, 6, 7, 8}, 2, 4)
	for _, c := range []struct {
		name  string
		scale tensor.Tensor
		zero  []tensor.Tensor
		attrs Attributes
		want  []float64
	}{
		{"one scale", tensor.Of([]float32{0.5}), nil, nil, []float64{0.5, 1, 1.5, 2, 2.5, 3, 3.5, 4}},
		{"per row", tensor.Of([]float32{1, 2}, 2), []tensor.Tensor{tensor.Of([]int8{1, 5}, 2)}, Attributes{Int("axis", 0)},
			[]float64{0, 1, 2, 3, 0, 2, 4, 6}},
		{"blocks of two", tensor.Of([]float32{1, 2, 3, 4}, 2, 2), nil, Attributes{Int("axis", -1), Int("block_size", 2)},
			[]float64{1, 2, 6, 8, 15, 18, 28, 32}},
	} {
		b := NewBuilder(&Graph{Opset: map[string]int{DomainONNX: LatestOpset}}, "t")
		in := []*Value{b.Param("q", q), b.Param("s", c.scale)}
		for _, z := range c.zero {
			in = append(in, b.Param("z", z))
		}
		b.With("DequantizeLinear", c.attrs, in...)
		list := b.Graph().EffectiveWeights()
		if len(list) != 1 {
			t.Fatalf("%s: got %d weights, want 1", c.name, len(list))
		}
		var got []float64
		squares := 0.0
		for i := range q.Len() {
			got = append(got, list[0].At(i))
			squares += c.want[i] * c.want[i]
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
		if got := b.Graph().Norm(); math.Abs(got-math.Sqrt(squares)) > 1e-12 {
			t.Errorf("%s: norm: got %v, want %v", c.name, got, math.Sqrt(squares))
		}
	}
}
