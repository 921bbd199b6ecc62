package paths

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func TestParsePattern(t *testing.T) {
	for text, want := range map[string]Pattern{
		"": {}, "none": {}, "2:4": TwoOfFour, "1:4": {Most: 1, Of: 4}, "7:8": {Most: 7, Of: 8}, "16x1": Sixteen, "4x4": {Rows: 4, Columns: 4},
	} {
		got, err := ParsePattern(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
		if back, err := ParsePattern(got.String()); err != nil || back != got {
			t.Errorf("%q written as %q: got %+v, %v, want the same", text, got.String(), back, err)
		}
	}
	for _, text := range []string{"4:2", "4:4", "0:4", "-1:4", "2:", "2:4:8", "0x4", "4x", "x", "16", "2:5000", "100x100", "9223372036854775807x2", "2.5:4", "half"} {
		if p, err := ParsePattern(text); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("pattern %q: want", text)) {
			t.Errorf("%q: got %+v, %v, want an error that says what is wanted", text, p, err)
		}
	}
}

// layer is a weight [outputs, inputs] read by a Gemm with transB.
func gemmLayer(t testing.TB, outputs, inputs int, w ...float32) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "gemm", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(inputs)}})
	g.Outputs = []*graph.Value{b.With("Gemm", graph.Attributes{graph.Int("transB", 1)}, x, b.Param("w", tensor.Of(w, outputs, inputs)))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestPatternsByHand prunes small matrices by patterns.
func TestPatternsByHand(t *testing.T) {
	for _, c := range []struct {
		name            string
		outputs, inputs int
		w               []float32
		pattern         string
		t               float64
		want            []float64
	}{
		{"2:4, a group and a rest of two", 1, 6, []float32{1, -4, 3, 2, 5, -6}, "2:4", 0.5, []float64{0, -4, 3, 0, 5, -6}},
		{"of equal ones the earlier go", 1, 4, []float32{1, -1, 1, 1}, "2:4", 0.5, []float64{0, 0, 1, 1}},
		{"1:4, before and at its t", 1, 4, []float32{1, 2, 3, 4}, "1:4", 0.74, []float64{0, 0, 3, 4}},
		{"1:4", 1, 4, []float32{1, 2, 3, 4}, "1:4", 0.75, []float64{0, 0, 0, 4}},
		{"1:4 at the end", 1, 4, []float32{1, 2, 3, 4}, "1:4", 1, []float64{0, 0, 0, 0}},
		{"groups do not span channels", 2, 2, []float32{1, 2, 3, 4}, "1:2", 0.5, []float64{0, 2, 0, 4}},
		{"2x1, norms 5 and √10", 2, 2, []float32{3, 1, 4, 3}, "2x1", 0.5, []float64{3, 0, 4, 0}},
		{"2x2 with edges, by root mean squares 4, 5 and 6", 3, 2, []float32{4, 4, 4, 4, 5, 5}, "2x2", 0.5, []float64{0, 0, 0, 0, 5, 5}},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		m, err := mustPrune(t, gemmLayer(t, c.outputs, c.inputs, c.w...), Options{Pattern: p}).At(context.Background(), c.t)
		if err != nil {
			t.Fatal(err)
		}
		if got := param(t, m, "w").Float64s(); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

// TestPatternsHoldInEveryLayer checks, for every kind of layer and along its own
// input axis by ONNX's definitions, that groups keep at most N and blocks are all or
// nothing, that the end is zero, and that nothing comes back on the way.
func TestPatternsHoldInEveryLayer(t *testing.T) {
	inputAxes := []int{1, 0, 1, 0, 0} // of the layers of everyLayer
	g := everyLayer(t)
	for _, text := range []string{"none", "2:4", "1:3", "2x1", "3x2"} {
		pattern, _ := ParsePattern(text)
		for _, perLayer := range []bool{false, true} {
			p := mustPrune(t, g, Options{Pattern: pattern, PerLayer: perLayer})
			before := p.Masks(0)
			for _, x := range []float64{0.1, 0.25, 0.5, 2. / 3, 0.9, 1} {
				masks := p.Masks(x)
				for i, l := range g.Layers() {
					keep := masks[l.Name()].Keep
					checkPattern(t, fmt.Sprintf("%s, layer %s, t=%v", text, l.Name(), x), keep, l.Param.Data.Shape(), l.Axis, inputAxes[i], pattern, p.most(x))
					for j := range keep {
						if x == 1 && keep[j] {
							t.Errorf("%s, layer %s: weight %d is left at t=1", text, l.Name(), j)
						}
						if keep[j] && !before[l.Name()].Keep[j] {
							t.Errorf("%s, layer %s: weight %d came back at t=%v", text, l.Name(), j, x)
						}
					}
				}
				before = masks
			}
		}
	}
}

// checkPattern groups the elements of a weight by their coordinates.
func checkPattern(t *testing.T, what string, keep []bool, shape []int, out, in int, p Pattern, most int) {
	t.Helper()
	kept, sizes := make(map[string]int), make(map[string]int)
	at := make([]int, len(shape))
	for i := range keep {
		for k, rest := len(shape)-1, i; k >= 0; k-- {
			at[k], rest = rest%shape[k], rest/shape[k]
		}
		group := slices.Clone(at)
		if p.Of > 0 {
			group[in] /= p.Of
		} else if !p.single() {
			group[out] /= p.Rows
			group[in] /= p.Columns
		}
		key := fmt.Sprint(group)
		sizes[key]++
		if keep[i] {
			kept[key]++
		}
	}
	for key, n := range sizes {
		switch {
		case p.Of > 0 && kept[key] != min(n, most):
			t.Errorf("%s: group %s of %d: got %d kept, want %d", what, key, n, kept[key], min(n, most))
		case p.Of == 0 && kept[key] != 0 && kept[key] != n:
			t.Errorf("%s: block %s: got %d of %d kept, want all or none", what, key, kept[key], n)
		}
	}
}

// TestPruneByGradients: the score is |θ·g|, and of blocks its root mean square.
func TestPruneByGradients(t *testing.T) {
	g := gemmLayer(t, 1, 4, 4, -3, 2, 1)
	gradients := map[string][]float32{"w": {1, 1, 10, 0}} // scores 4, 3, 20, 0
	p := mustPrune(t, g, Options{Gradients: gradients})
	for i, want := range [][]float64{{4, -3, 2, 1}, {4, -3, 2, 0}, {4, 0, 2, 0}, {0, 0, 2, 0}, {0, 0, 0, 0}} {
		m, err := p.At(context.Background(), float64(i)/4)
		if err != nil {
			t.Fatal(err)
		}
		if got := param(t, m, "w").Float64s(); !slices.Equal(got, want) {
			t.Errorf("%d of 4 removed: got %v, want %v", i, got, want)
		}
	}
	if got := p.Threshold(1); got != 20 {
		t.Errorf("threshold at t=1: got %v, want 20, the largest score", got)
	}
	p = mustPrune(t, g, Options{Gradients: gradients, Pattern: Pattern{Rows: 1, Columns: 2}})
	if got, want := p.Threshold(0.5), float64(float32(math.Sqrt(12.5))); got != want { // (4² + 3²)/2
		t.Errorf("threshold of the block (4, 3): got %v, want %v", got, want)
	}
}

// TestPruneRefuses names what cannot be ranked.
func TestPruneRefuses(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	for _, c := range []struct {
		w         []float32
		gradients map[string][]float32
		want      string
	}{
		{[]float32{1, nan}, nil, `weight "w": element 1: got NaN, want a finite number`},
		{[]float32{inf, 1}, nil, `weight "w": element 0: got -Inf, want a finite number`},
		{[]float32{1, 2}, map[string][]float32{"w": {1}}, `weight "w": gradients: got 1, want 2`},
		{[]float32{1, 2}, map[string][]float32{}, `weight "w": gradients: got 0, want 2`},
		{[]float32{1, 2}, map[string][]float32{"w": {1, nan}}, `weight "w": gradient of element 1: got NaN`},
	} {
		_, err := NewPrune(gemmLayer(t, 1, 2, c.w...), Options{Gradients: c.gradients})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("weights %v, gradients %v: got error %v, want %q in it", c.w, c.gradients, err, c.want)
		}
	}
}

// TestRankingIsTheSameAtAnyThreads compares pools, over scores that are many enough
// to be split and full of ties.
func TestRankingIsTheSameAtAnyThreads(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	scores := [][]float32{make([]float32, 300_000), make([]float32, 5)}
	for _, s := range scores {
		for i := range s {
			s[i] = float32(r.IntN(1000)) * 0.01
		}
	}
	pool := kernel.NewPool(3, kernel.Portable)
	defer pool.Close()
	for _, k := range []int{0, 1, 123_456, 300_005} {
		want := keepLargest(nil, scores, k)
		got := keepLargest(pool, scores, k)
		if !slices.Equal(slices.Concat(got...), slices.Concat(want...)) {
			t.Errorf("the %d smallest: several threads keep others than one", k)
		}
		left := 0
		for _, keep := range slices.Concat(got...) {
			if keep {
				left++
			}
		}
		if left != 300_005-k {
			t.Errorf("the %d smallest: got %d left, want %d", k, left, 300_005-k)
		}
	}
}

// TestWithoutSmallestIsMasked: the short way to a model is the long one's.
func TestWithoutSmallestIsMasked(t *testing.T) {
	for name, g := range map[string]*graph.Graph{"every layer": everyLayer(t), "ties": vector(t, 1, -1, 0, 1, 1, -2)} {
		for _, perLayer := range []bool{false, true} {
			p := mustPrune(t, g, Options{PerLayer: perLayer})
			for i := range 21 {
				x := float64(i) / 20
				if got, want := p.withoutSmallest(x), Masked(g, p.Masks(x)); got.Digest() != want.Digest() {
					t.Errorf("%s, per layer %v, t=%v: two models", name, perLayer, x)
				}
			}
		}
	}
}
