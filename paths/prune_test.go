package paths

import (
	"cmp"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

func mustPrune(t testing.TB, g *graph.Graph, o Options) *Prune {
	t.Helper()
	p, err := NewPrune(g, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestKeepLargestAgainstSorting compares the counting selection with a stable
// sort by magnitude: ties go by position.
func TestKeepLargestAgainstSorting(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	draws := map[string]func() float32{
		"normal":     func() float32 { return float32(r.NormFloat64()) },
		"many ties":  func() float32 { return float32(r.IntN(7) - 3) },
		"any finite": func() float32 { return finiteFloat(r) },
		"low bits": func() float32 {
			return math.Float32frombits(math.Float32bits(-1.5) + uint32(r.IntN(5)))
		},
	}
	for name, draw := range draws {
		for range 30 {
			data := make([][]float32, 1+r.IntN(3))
			n := 0
			for i := range data {
				data[i] = make([]float32, r.IntN(20))
				n += len(data[i])
				for j := range data[i] {
					data[i][j] = draw()
				}
			}
			for k := range n + 1 {
				if got, want := slices.Concat(keepLargest(nil, data, k)...), keepBySorting(slices.Concat(data...), k); !slices.Equal(got, want) {
					t.Fatalf("%s: the %d smallest of %v: got %v kept, want %v", name, k, data, got, want)
				}
			}
		}
	}
}

func finiteFloat(r *rand.Rand) float32 {
	for {
		if x := math.Float32frombits(r.Uint32()); x-x == 0 {
			return x
		}
	}
}

func keepBySorting(w []float32, k int) []bool {
	order := make([]int, len(w))
	keep := make([]bool, len(w))
	for i := range order {
		order[i], keep[i] = i, true
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Compare(math.Abs(float64(w[a])), math.Abs(float64(w[b])))
	})
	for _, i := range order[:k] {
		keep[i] = false
	}
	return keep
}

// TestPruneIsAStepFunction checks oracle 28 and row 12: the model, seen as a
// function of t, changes only where the threshold passes one of the sorted |θ|,
// it is right-continuous there, and it is zero exactly from the maximum on.
func TestPruneIsAStepFunction(t *testing.T) {
	w := []float32{0.5, -2, 0.125, 1, -0.25, 3, -0.75} // n = 7
	sorted := []float64{0.125, 0.25, 0.5, 0.75, 1, 2, 3}
	p := mustPrune(t, vector(t, w...), Options{})
	n := len(w)
	for k := range n + 1 {
		at := float64(k) / float64(n)
		ts := []float64{at}
		if k < n {
			ts = append(ts, math.Nextafter(at, 1)+1e-9, at+0.5/float64(n), float64(k+1)/float64(n)-1e-9)
		}
		for _, x := range ts {
			tau := 0.0
			if k > 0 {
				tau = sorted[k-1]
			}
			if got := p.Threshold(x); got != tau {
				t.Errorf("threshold at t=%v: got %v, want %v, the largest of the %d smallest", x, got, tau, k)
			}
			g, err := p.At(context.Background(), x)
			if err != nil {
				t.Fatal(err)
			}
			for i, got := range param(t, g, "w1").Float64s() {
				want := float64(w[i])
				if math.Abs(want) <= tau {
					want = 0
				}
				if got != want {
					t.Errorf("weight %d at t=%v: got %v, want %v", i, x, got, want)
				}
			}
		}
	}
}

// TestPruneIsTheProximalPoint: row 12, hard thresholding at τ minimises
// ½‖x − θ‖² + λ‖x‖₀ with λ = τ²/2, whatever coordinate is switched.
func TestPruneIsTheProximalPoint(t *testing.T) {
	w := []float32{0.5, -2, 0.125, 1, -0.25, 3, -0.75}
	p := mustPrune(t, vector(t, w...), Options{})
	for _, x := range []float64{0.2, 0.5, 0.8} {
		tau := p.Threshold(x)
		g, _ := p.At(context.Background(), x)
		for i, v := range param(t, g, "w1").Float64s() {
			kept, dropped := tau*tau/2, float64(w[i])*float64(w[i])/2
			if v == 0 && dropped > kept || v != 0 && kept > dropped {
				t.Errorf("t=%v, weight %v: got %v, want the cheaper of keeping for %v and dropping for %v", x, w[i], v, kept, dropped)
			}
		}
	}
}

// TestRemovedCounts: t = k/n removes k weights for every k and n, although k/n
// is rounded.
func TestRemovedCounts(t *testing.T) {
	for n := range 400 {
		for k := range n + 1 {
			if got := removed(float64(k)/float64(max(1, n)), n); got != k {
				t.Fatalf("removed(%d/%d): got %d, want %d", k, n, got, k)
			}
		}
	}
	if got := removed(0.5-1e-6, 1000); got != 499 {
		t.Errorf("removed just below a half of 1000: got %d, want 499", got)
	}
}

func TestPruneGlobalAndPerLayer(t *testing.T) {
	g := product(t, tensor.Of([]float32{1, 2, 3, 4}, 2, 2), tensor.Of([]float32{10, 20}, 2, 1))
	for _, c := range []struct {
		perLayer bool
		t        float64
		first    []float64
		second   []float64
	}{
		{false, 0.5, []float64{0, 0, 0, 4}, []float64{10, 20}}, // 3 of 6
		{true, 0.5, []float64{0, 0, 3, 4}, []float64{0, 20}},   // 2 of 4 and 1 of 2
		{true, 0.25, []float64{0, 2, 3, 4}, []float64{10, 20}}, // 1 of 4 and ⌊0.5⌋ of 2
	} {
		m, err := mustPrune(t, g, Options{PerLayer: c.perLayer}).At(context.Background(), c.t)
		if err != nil {
			t.Fatal(err)
		}
		if got := param(t, m, "w1").Float64s(); !slices.Equal(got, c.first) {
			t.Errorf("per layer %v at %v: first: got %v, want %v", c.perLayer, c.t, got, c.first)
		}
		if got := param(t, m, "w2").Float64s(); !slices.Equal(got, c.second) {
			t.Errorf("per layer %v at %v: second: got %v, want %v", c.perLayer, c.t, got, c.second)
		}
	}
}

// TestPruneTiesGoByPosition: of equal magnitudes the earlier layer and the lower
// index go first.
func TestPruneTiesGoByPosition(t *testing.T) {
	g := product(t, tensor.Of([]float32{1, -1, 1, -1}, 2, 2), tensor.Of([]float32{-1, 1}, 2, 1))
	p := mustPrune(t, g, Options{})
	for k := range 7 {
		m, _ := p.At(context.Background(), float64(k)/6)
		for i, x := range append(param(t, m, "w1").Float64s(), param(t, m, "w2").Float64s()...) {
			if (x == 0) != (i < k) {
				t.Errorf("%d of 6 equal weights removed: weight %d is %v", k, i, x)
			}
		}
	}
}

func TestPruneSharesWhatItKeeps(t *testing.T) {
	g := product(t, tensor.Of([]float32{1, 2, 3, 4}, 2, 2), tensor.Of([]float32{10, 20}, 2, 1))
	m, _ := mustPrune(t, g, Options{}).At(context.Background(), 0.5)
	if a, b := param(t, g, "w2").Raw(), param(t, m, "w2").Raw(); &a[0] != &b[0] {
		t.Error("a layer that lost nothing was copied, want it shared")
	}
	if a, b := param(t, g, "w1").Raw(), param(t, m, "w1").Raw(); &a[0] == &b[0] {
		t.Error("a layer that lost weights is shared with the trained model")
	}
}

func TestPruneHandsMasksToTune(t *testing.T) {
	g := vector(t, 3, 1, 2, 4)
	var masks map[string]*train.Mask
	tune := func(_ context.Context, g *graph.Graph, m map[string]*train.Mask, _ train.Remask) (*graph.Graph, error) {
		masks = m
		return g, nil
	}
	if _, err := mustPrune(t, g, Options{Tune: tune}).At(context.Background(), 0.5); err != nil {
		t.Fatal(err)
	}
	if want := []bool{true, false, false, true}; !slices.Equal(masks["w1"].Keep, want) {
		t.Errorf("mask of (3, 1, 2, 4) at a half: got %v, want %v", masks["w1"].Keep, want)
	}
}
