package paths

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// seamed is a model with a seam of every kind: convolution, depthwise convolution,
// grouped convolution, pooling and flattening into a Gemm, MatMul with an added
// bias, a normalisation that two products read; and behind a sigmoid none.
func seamed(t testing.TB) *graph.Graph {
	t.Helper()
	r := rand.New(rand.NewPCG(11, 12))
	g := &graph.Graph{Name: "seamed", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	same := graph.Attributes{graph.Ints("kernel_shape", 3, 3), graph.Ints("pads", 1, 1, 1, 1)}
	uneven := func(name string, shape ...int) *graph.Value {
		w := normal(r, shape...)
		data := tensor.Data[float32](w)
		for i := range data { // rows and columns of very different sizes
			data[i] *= float32(math.Exp(2 * float64(i%5-i%3)))
		}
		return b.Param(name, w)
	}
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(2), tensor.Fixed(4), tensor.Fixed(4)}})
	x = b.Op("Relu", b.With("Conv", same, x, uneven("c1", 4, 2, 3, 3), uneven("b1", 4)))
	x = b.With("LeakyRelu", graph.Attributes{graph.Float("alpha", 0.25)}, b.With("Conv", append(graph.Attributes{graph.Int("group", 4)}, same...), x, uneven("depthwise", 4, 1, 3, 3)))
	x = b.With("Conv", append(graph.Attributes{graph.Int("group", 2)}, same...), x, uneven("grouped", 6, 2, 3, 3), uneven("b2", 6))
	x = b.With("MaxPool", graph.Attributes{graph.Ints("kernel_shape", 2, 2), graph.Ints("strides", 2, 2)}, x)
	x = b.With("Flatten", graph.Attributes{graph.Int("axis", 1)}, x)
	x = b.With("Gemm", graph.Attributes{graph.Int("transB", 1)}, x, uneven("gemm", 5, 24), uneven("b3", 5))
	x = b.Op("Relu", b.Op("Add", b.Op("MatMul", x, uneven("matmul", 5, 7)), uneven("b4", 7)))
	x = b.Op("Sigmoid", b.Op("MatMul", x, uneven("last seam", 7, 6)))
	x = b.With("LayerNormalization", nil, x, uneven("scale", 6), uneven("shift", 6))
	y := b.Op("Add", b.Op("MatMul", x, uneven("left", 6, 3)), b.Op("MatMul", x, uneven("right", 6, 3)))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*graph.Value{y}
	return g
}

// TestSeams finds all of them, and no other.
func TestSeams(t *testing.T) {
	var channels, readers []int
	for _, s := range Seams(seamed(t)) {
		channels, readers = append(channels, s.Channels), append(readers, len(s.read))
	}
	if want := []int{4, 4, 6, 5, 7, 6}; !slices.Equal(channels, want) {
		t.Errorf("channels of the seams: got %v, want %v", channels, want)
	}
	if want := []int{1, 1, 1, 1, 1, 2}; !slices.Equal(readers, want) {
		t.Errorf("layers that read them: got %v, want %v", readers, want)
	}
}

// TestEqualizedModelIsTheSame to the last bit, and its channels are equal to within
// the power of two.
func TestEqualizedModelIsTheSame(t *testing.T) {
	g := seamed(t)
	before := g.Digest()
	q, count := Equalize(g)
	if g.Digest() != before {
		t.Error("the model given was changed")
	}
	if got, want := evaluate(t, q), evaluate(t, g); count != 6 || !slices.Equal(got, want) {
		t.Errorf("%d seams: got %v, want %v", count, got, want)
	}
	for _, s := range Seams(q) {
		made, read := s.largest(s.divided[:s.weights]), s.largest(s.read)
		for c := range made {
			if ratio := math.Abs(math.Log2(made[c] / read[c])); ratio > 1+1e-9 { // a factor of 2 moves the ratio by 4
				t.Errorf("%s, channel %d: got %v and %v, want them within a factor of 2", s.Name, c, made[c], read[c])
			}
		}
	}
	if again, count := Equalize(q); count != 0 || again.Digest() != q.Digest() {
		t.Errorf("equalised twice: %d seams changed, want none", count)
	}
}

// TestSmoothedModelIsTheSame to the last bit, and α says how far the peaks go over
// into the weights: all of them at 1.
func TestSmoothedModelIsTheSame(t *testing.T) {
	g := seamed(t)
	seen := make(map[string]Moments)
	for _, in := range LayerInputs(g) {
		m := Moments{Peak: make([]float64, in.Value.Type.Shape[in.Axis].Size)}
		for i := range m.Peak {
			m.Peak[i] = math.Exp2(float64(i%7) - 3)
		}
		seen[in.Value.Name] = m
	}
	want := evaluate(t, g)
	for _, alpha := range []float64{0, 0.5, 1} {
		q, count := Smooth(g, seen, alpha)
		if got := evaluate(t, q); count == 0 || !slices.Equal(got, want) {
			t.Errorf("α = %v, %d seams: got %v, want %v", alpha, count, got, want)
		}
	}
	q, _ := Smooth(g, seen, 1)
	scale, smoothed := param(t, g, "scale").Float64s(), param(t, q, "scale").Float64s()
	for i := range scale {
		if got := scale[i] / smoothed[i]; got != math.Exp2(float64(i%7)-3) {
			t.Errorf("α = 1, channel %d: divided by %v, want its peak", i, got)
		}
	}
	if same, count := Smooth(g, nil, 0.5); count != 0 || same.Digest() != g.Digest() {
		t.Error("without calibration: something changed")
	}
}

// TestDeadChannelsStay: a channel that nothing reads, or that is always zero, has
// no factor.
func TestDeadChannelsStay(t *testing.T) {
	w1, w2 := tensor.Of([]float32{0, 1, 2, 0, 3, 4}, 2, 3), tensor.Of([]float32{1, 2, 0, 0, 64, 64}, 3, 2)
	g := product(t, w1, w2)
	q, count := Equalize(g)
	if got, want := evaluate(t, q), evaluate(t, g); count != 1 || !slices.Equal(got, want) {
		t.Errorf("%d seams: got %v, want %v", count, got, want)
	}
	if got := param(t, q, "w1").Float64s(); got[0] != 0 || got[1] != 1 || got[4] != 3 || got[2] != 8 || got[5] != 16 { // √(4/64) = 1/4
		t.Errorf("got %v, want only the last column changed, by 4", got)
	}
}

// TestBiasCorrectionRestoresTheMean of a linear model exactly, for biases that are
// there and such that are added.
func TestBiasCorrectionRestoresTheMean(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 9))
	g := &graph.Graph{Name: "linear", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(6)}})
	x = b.With("Gemm", graph.Attributes{graph.Float("alpha", 2)}, x, b.Param("w1", normal(r, 6, 5)))
	x = b.With("Gemm", graph.Attributes{graph.Int("transB", 1), graph.Float("beta", 0.5)}, x, b.Param("w2", normal(r, 4, 5)), b.Param("b2", normal(r, 4)))
	g.Outputs = []*graph.Value{b.Op("Add", b.Op("MatMul", x, b.Param("w3", normal(r, 4, 3))), b.Param("b3", normal(r, 3)))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	schemes := Uniform(g, Scheme{Bits: 2})
	q, err := QuantizeWeights(nil, g, schemes)
	if err != nil {
		t.Fatal(err)
	}
	corrected, count := CorrectBias(g, q, schemes, meansOn(t, g))
	want, rough, got := meanOutput(t, g), meanOutput(t, q), meanOutput(t, corrected)
	for i := range want {
		if math.Abs(got[i]-want[i]) > 1e-4*max(1, math.Abs(want[i])) {
			t.Errorf("mean output %d: got %v, want %v (without correction %v)", i, got[i], want[i], rough[i])
		}
	}
	if count != 3 || slices.Equal(rough, got) {
		t.Errorf("corrected %d biases, want 3", count)
	}
}

// meanOutput is the mean of evaluate's examples.
func meanOutput(t *testing.T, g *graph.Graph) []float64 {
	y := evaluate(t, g)
	mean := make([]float64, len(y)/3)
	for i, v := range y {
		mean[i%len(mean)] += v / 3
	}
	return mean
}

// meansOn are the means of the layers' inputs [N, C] over evaluate's examples.
func meansOn(t *testing.T, g *graph.Graph) map[string]Moments {
	seen := make(map[string]Moments)
	for _, in := range LayerInputs(g) {
		watch, copies := g.Clone()
		b := graph.NewBuilder(watch, "watch")
		watch.Outputs = []*graph.Value{b.Op("Identity", copies[in.Value])}
		seen[in.Value.Name] = Moments{Mean: meanOutput(t, watch)}
	}
	return seen
}
