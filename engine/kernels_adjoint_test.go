package engine

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// adjointTolerance bounds the relative difference of two inner products of some
// thousand terms in float64.
const adjointTolerance = 1e-12

func inner(a, b tensor.Tensor) float64 {
	sum := 0.0
	for i, v := range a.Float64s() {
		sum += v * b.At(i)
	}
	return sum
}

func agree(t *testing.T, name string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > adjointTolerance*(1+math.Abs(want)) {
		t.Errorf("%s: inner products differ: got %v, want %v", name, got, want)
	}
}

// TestConvolutionGradientsAreAdjoint: ⟨w∗x, dy⟩ = ⟨x, GradX(w, dy)⟩ =
// ⟨w, GradW(x, dy)⟩ for one, two and three axes, with strides, dilations, pads
// and groups.
func TestConvolutionGradientsAreAdjoint(t *testing.T) {
	cases := []struct {
		name  string
		x, w  []int
		attrs graph.Attributes
	}{
		{"1d", []int{2, 4, 19}, []int{6, 2, 3}, graph.Attributes{graph.Ints("strides", 2), graph.Ints("pads", 1, 2), graph.Int("group", 2)}},
		{"2d", []int{2, 3, 9, 11}, []int{5, 3, 3, 2}, graph.Attributes{graph.Ints("dilations", 2, 1), graph.Ints("pads", 1, 0, 2, 1)}},
		{"depthwise", []int{2, 4, 8, 8}, []int{4, 1, 3, 3}, graph.Attributes{graph.Int("group", 4), graph.Ints("strides", 2, 2)}},
		{"3d", []int{2, 4, 5, 6, 7}, []int{4, 2, 3, 2, 3}, graph.Attributes{graph.Int("group", 2), graph.Ints("strides", 1, 2, 2),
			graph.Ints("pads", 1, 0, 1, 0, 1, 2), graph.Ints("dilations", 2, 1, 1)}},
	}
	r := rand.New(rand.NewPCG(3, 4))
	for _, c := range cases {
		x, w := random(r, tensor.Float64, c.x...), random(r, tensor.Float64, c.w...)
		y := run(t, Options{}, "Conv", c.attrs, 1, 2, x, w)[0]
		dy := random(r, tensor.Float64, y.Shape()...)
		dx := run(t, Options{}, "compactify.ConvGradX", c.attrs, 1, 2, w, dy, tensor.Ints(c.x...))[0]
		dw := run(t, Options{}, "compactify.ConvGradW", append(c.attrs, graph.Ints("kernel_shape", c.w[2:]...)), 1, 2, x, dy)[0]
		agree(t, c.name+" x", inner(x, dx), inner(y, dy))
		agree(t, c.name+" w", inner(w, dw), inner(y, dy))
	}
}

// TestPoolingGradientsAreAdjoint: average pooling against its gradient, and the
// maxima that MaxPoolGather picks against those that MaxPoolScatter puts back.
func TestPoolingGradientsAreAdjoint(t *testing.T) {
	cases := []struct {
		name  string
		x     []int
		attrs graph.Attributes
	}{
		{"1d", []int{2, 3, 20}, graph.Attributes{graph.Ints("kernel_shape", 3), graph.Ints("strides", 2), graph.Ints("pads", 1, 1)}},
		{"2d", []int{2, 3, 9, 10}, graph.Attributes{graph.Ints("kernel_shape", 3, 2), graph.Ints("strides", 2, 2), graph.Int("ceil_mode", 1)}},
		{"2d pads count", []int{2, 3, 9, 10}, graph.Attributes{graph.Ints("kernel_shape", 3, 3), graph.Ints("pads", 1, 1, 1, 1), graph.Int("count_include_pad", 1)}},
		{"3d", []int{2, 3, 6, 5, 7}, graph.Attributes{graph.Ints("kernel_shape", 2, 3, 2), graph.Ints("strides", 2, 1, 2), graph.Ints("pads", 0, 1, 1, 0, 1, 0)}},
	}
	r := rand.New(rand.NewPCG(5, 6))
	for _, c := range cases {
		x, shape := random(r, tensor.Float64, c.x...), tensor.Ints(c.x...)
		y := run(t, Options{}, "AveragePool", c.attrs, 1, 1, x)[0]
		dy := random(r, tensor.Float64, y.Shape()...)
		dx := run(t, Options{}, "compactify.AveragePoolGrad", c.attrs, 1, 1, dy, shape)[0]
		agree(t, c.name+" average", inner(x, dx), inner(y, dy))

		attrs := c.attrs.Without("count_include_pad")
		top := run(t, Options{}, "MaxPool", attrs, 2, 1, x)
		dx = run(t, Options{}, "compactify.MaxPoolScatter", nil, 1, 2, dy, top[1], shape)[0]
		picked := run(t, Options{}, "compactify.MaxPoolGather", nil, 1, 2, x, top[1])[0]
		agree(t, c.name+" max", inner(x, dx), inner(top[0], dy))
		if !picked.Equal(top[0]) {
			t.Errorf("%s: the elements at MaxPool's indices are not its maxima", c.name)
		}
	}
}

// TestNarrowTypesRoundOnce: an operator on float16 is the one on float32,
// rounded to nearest even.
func TestNarrowTypesRoundOnce(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for _, d := range []tensor.DType{tensor.Float16, tensor.BFloat16, tensor.Float8E5M2} {
		x, y := random(r, d, 5, 7), random(r, d, 7, 3)
		got := run(t, Options{}, "MatMul", nil, 1, 2, x, y)[0]
		a, _ := x.Convert(tensor.Float32)
		b, _ := y.Convert(tensor.Float32)
		want, _ := run(t, Options{}, "MatMul", nil, 1, 2, a, b)[0].Convert(d)
		if !got.Equal(want) {
			t.Errorf("%v: got %v, want %v", d, got.Float64s(), want.Float64s())
		}
	}
}

// TestPackedElementsMove: 4-bit elements, two to a byte, change places one by
// one.
func TestPackedElementsMove(t *testing.T) {
	x := tensor.New(tensor.Int4, 3, 3)
	for i := range 9 {
		x.Set(i, float64(i-4))
	}
	got := run(t, Options{}, "Transpose", nil, 1, 1, x)[0]
	for i := range 9 {
		if want := x.At(i%3*3 + i/3); got.At(i) != want {
			t.Errorf("element %d: got %v, want %v", i, got.At(i), want)
		}
	}
}
