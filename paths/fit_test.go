package paths

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func fitted(s Scheme, w []float32) level { return newFitter(s, kernel.Best()).level(w) }

// TestLevels: scales and zero points that can be told by hand.
func TestLevels(t *testing.T) {
	thousand := make([]float32, 1000) // 0.001 to 1
	for i := range thousand {
		thousand[i] = float32(i+1) / 1000
	}
	for _, c := range []struct {
		name  string
		s     Scheme
		w     []float32
		scale float64
		zero  int
	}{
		{"both ends", Scheme{Bits: 4, Fit: FitMinMax}, []float32{-8, 3}, 1, 0},
		{"the upper end", Scheme{Bits: 4, Fit: FitMinMax}, []float32{-7, 14}, 2, 0},
		{"zeros", Scheme{Bits: 4, Fit: FitMinMax}, []float32{0, 0}, 1, 0},
		{"zeros at one bit", Scheme{Bits: 1}, []float32{0, 0}, 0, 0},
		{"zeros with a zero point", Scheme{Bits: 4, Asymmetric: true}, []float32{0, 0}, 1, 0},
		{"a span around 0", Scheme{Bits: 4, Fit: FitMinMax, Asymmetric: true}, []float32{-5, 10}, 1, 5},
		{"positive weights", Scheme{Bits: 4, Fit: FitMinMax, Asymmetric: true}, []float32{15, 30}, 2, 0},
		{"negative weights", Scheme{Bits: 4, Fit: FitMinMax, Asymmetric: true}, []float32{-15, -30}, 2, 15},
		{"a constant", Scheme{Bits: 8, Fit: FitMinMax, Asymmetric: true}, []float32{255, 255}, 1, 0},
		{"all but a thousandth", Scheme{Bits: 8, Fit: FitPercentile}, thousand, 0.999 / 127, 0},
		{"all but a thousandth, negative", Scheme{Bits: 8, Fit: FitPercentile}, []float32{-128}, 1, 0},
		{"half a thousandth at each end", Scheme{Bits: 8, Fit: FitPercentile, Asymmetric: true}, thousand, 1 / 255.0, 0},
		{"a fixed point", Scheme{Bits: 4, Fit: FitFixedPoint}, []float32{0.25, -0.75, 1.75}, 0.25, 0},
		{"a fixed point beyond 1", Scheme{Bits: 3, Fit: FitFixedPoint}, []float32{4, -12, 8}, 4, 0},
		{"three levels", Scheme{Bits: 2, Ternary: true}, []float32{3, -3, 0.5, 0}, 3, 0}, // 36/2 against 6.5²/3 = 14.1
		{"three levels, more at the ends", Scheme{Bits: 2, Ternary: true}, []float32{3, -3, 2.5, 0}, 8.5 / 3, 0},
		{"one bit", Scheme{Bits: 1}, []float32{3, -1}, 2, 0},
	} {
		got := fitted(c.s, c.w)
		if math.Abs(float64(got.scale)-c.scale) > 1e-6*c.scale || got.zero != c.zero {
			t.Errorf("%s: got %+v, want the scale %v and zero point %d", c.name, got, c.scale, c.zero)
		}
	}
}

// TestTernary: no other scale has a smaller error; for a Gaussian it is that of
// the best quantiser of three levels.
//
// Source: J. Max, "Quantizing for minimum distortion", IRE Transactions on
// Information Theory 6 (1960), table I, N = 3: 0.1902.
func TestTernary(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	s := Scheme{Bits: 2, Ternary: true}
	q := s.grid()
	for _, d := range distributions {
		w := sample(r, 500, d.draw)
		got := q.sqError(w, fitted(s, w))
		for k := 1; k <= 2000; k++ {
			if e := q.sqError(w, level{scale: float32(maxAbs(w) * float64(k) / 2000)}); e < got*(1-1e-6) {
				t.Errorf("%s: squared error: got %v, want at most %v, that of %d/2000 of the largest", d.name, got, e, k)
			}
		}
	}
	w := sample(r, 200_000, (*rand.Rand).NormFloat64)
	_, l2 := squares(w)
	if got := q.sqError(w, fitted(s, w)) / l2; math.Abs(got-0.1902) > 0.002 {
		t.Errorf("Gaussian: relative squared error: got %v, want 0.1902", got)
	}
}

// TestFixedPoint: the scale is a power of two of which neither neighbour is
// better, and weights of such a grid come back exactly.
func TestFixedPoint(t *testing.T) {
	r := rand.New(rand.NewPCG(23, 24))
	for _, bits := range []int{2, 3, 4, 8} {
		s := Scheme{Bits: bits, Fit: FitFixedPoint}
		q := s.grid()
		if q.lo != -q.hi {
			t.Fatalf("%d bits: got the integers [%d, %d], want {−B..B}", bits, q.lo, q.hi)
		}
		for _, d := range distributions {
			w := sample(r, 1000, d.draw)
			at := fitted(s, w)
			if f, _ := math.Frexp(float64(at.scale)); f != 0.5 {
				t.Errorf("%s at %d bits: Δ: got %v, want a power of two", d.name, bits, at.scale)
			}
			e := q.sqError(w, at)
			if half := q.sqError(w, level{scale: at.scale / 2}); half < e {
				t.Errorf("%s at %d bits: Δ = %v: squared error %v, half of it %v", d.name, bits, at.scale, e, half)
			}
		}
		var w []float32
		for v := q.lo; v <= q.hi; v++ {
			w = append(w, 0.0625*float32(v))
		}
		if at := fitted(s, w); at.scale != 0.0625 {
			t.Errorf("%d bits: Δ of a grid of 1/16: got %v", bits, at.scale)
		}
	}
}

// TestZeroPointsPay: weights of one sign leave half of a symmetric grid unused,
// so that a zero point quarters the squared error, and least squares are never
// worse than min-max.
func TestZeroPointsPay(t *testing.T) {
	r := rand.New(rand.NewPCG(25, 26))
	w := sample(r, 20_000, func(r *rand.Rand) float64 { return r.Float64() })
	sym, asym := Scheme{Bits: 6, Fit: FitMinMax}, Scheme{Bits: 6, Fit: FitMinMax, Asymmetric: true}
	a, b := sym.grid().sqError(w, fitted(sym, w)), asym.grid().sqError(w, fitted(asym, w))
	if want := (63.0 / 31) * (63.0 / 31); math.Abs(a/b/want-1) > 0.05 {
		t.Errorf("squared error without and with a zero point: got the ratio %v, want %v", a/b, want)
	}
	for _, d := range distributions {
		for _, bits := range []int{2, 3, 4, 8} {
			w := sample(r, 300, d.draw)
			s := Scheme{Bits: bits, Asymmetric: true}
			least := s.grid().sqError(w, fitted(s, w))
			s.Fit = FitMinMax
			if plain := s.grid().sqError(w, fitted(s, w)); least > plain*(1+1e-6) {
				t.Errorf("%s at %d bits: squared error: got %v, want at most that of min-max, %v", d.name, bits, least, plain)
			}
		}
	}
}

// TestEntropy: a range of evenly spread weights stays whole, and a few outliers
// are clipped.
func TestEntropy(t *testing.T) {
	r := rand.New(rand.NewPCG(27, 28))
	s := Scheme{Bits: 8, Fit: FitEntropy}
	even := sample(r, 50_000, distributions[1].draw)
	if got, want := fitted(s, even).scale, float32(maxAbs(even)/128); got < 0.95*want || got > 1.05*want {
		t.Errorf("uniform weights: scale: got %v, want about that of the whole range, %v", got, want)
	}
	peaked := append(sample(r, 50_000, (*rand.Rand).NormFloat64), 40, -40)
	if got := fitted(s, peaked).scale * 127; got > 12 || got < 2 {
		t.Errorf("a normal distribution with two outliers at 40: range: got %v, want a few standard deviations", got)
	}
	if kl := divergence([]float64{3, 3, 3, 3}, 0, 3, 2); math.Abs(kl) > 1e-12 {
		t.Errorf("equal counts in pairs: got KL %v, want 0", kl)
	}
	// P = (3, 1)/4, Q = (1, 1)/2: KL = ¾ ln 1.5 + ¼ ln 0.5, but for the smoothing.
	if kl, want := divergence([]float64{3, 1}, 0, 1, 1), 0.75*math.Log(1.5)+0.25*math.Log(0.5); math.Abs(kl-want) > 1e-3 {
		t.Errorf("one level for counts 3 and 1: got KL %v, want %v", kl, want)
	}
}

// TestRoundings: THEORY row 14. The error of the weights that are not clipped is
// below Δ√d/2 whatever the scheme; for fine grids its square is Δ²/12 each (oracle
// 22); what is clipped is counted.
func TestRoundings(t *testing.T) {
	g := everyLayer(t)
	for _, s := range everyScheme {
		list, err := Roundings(nil, g, Uniform(g, s))
		if err != nil {
			t.Fatal(err)
		}
		if len(list) != len(layerNames) {
			t.Fatalf("%v: got %d layers, want %d", s, len(list), len(layerNames))
		}
		for _, r := range append(list, Total(list)) {
			if !(r.Inside <= r.Bound*(1+1e-6)) || r.Error < r.Inside || r.Clipped < 0 || r.Clipped > r.Weights || !(r.Step > 0) {
				t.Errorf("%v: got %+v, want an error within the bound", s, r)
			}
			if s.Fit == FitMinMax && s.Bits > 2 && r.Clipped > 0 {
				t.Errorf("%v: got %d weights clipped, want none", s, r.Clipped)
			}
		}
	}
	const n = 100_000
	w := sample(rand.New(rand.NewPCG(29, 30)), n, func(r *rand.Rand) float64 { return 0.99 * (2*r.Float64() - 1) })
	r, err := Roundings(nil, vector(t, w...), map[string]Scheme{"w1": {Bits: 8, Fit: FitFixedPoint}})
	if err != nil {
		t.Fatal(err)
	}
	step := r[0].Step // 2^−7, of which 127 reach 0.992
	if want := step * math.Sqrt(n) / 2; step != 0x1p-7 || math.Abs(r[0].Bound-want) > 1e-9*want || r[0].Clipped != 0 {
		t.Errorf("uniform weights: got %+v, want Δ = 2^−7 and the bound Δ√d/2 = %v", r[0], want)
	}
	if want := step * math.Sqrt(n/12.0); math.Abs(r[0].Error/want-1) > 0.01 {
		t.Errorf("uniform weights: error: got %v, want Δ√(d/12) = %v", r[0].Error, want)
	}
	clipped, err := Roundings(nil, vector(t, -8, 8, 0.1, -0.1), map[string]Scheme{"w1": {Bits: 1}})
	if err != nil {
		t.Fatal(err)
	}
	if r := clipped[0]; r.Clipped != 0 || math.Abs(r.Step-2*4.05) > 1e-6 {
		t.Errorf("one bit: got %+v, want Δ = 2α = 8.1 and nothing beyond 2α", r)
	}
}

// TestBlocksFallBack: a layer with fewer inputs than a block says so.
func TestBlocksFallBack(t *testing.T) {
	g := product(t, normal(rand.New(rand.NewPCG(31, 32)), 40, 3), normal(rand.New(rand.NewPCG(33, 34)), 3, 5))
	list, err := Roundings(nil, g, Uniform(g, Scheme{Bits: 4, Block: 16}))
	if err != nil {
		t.Fatal(err)
	}
	if list[0].Reason != "" || list[0].Scheme.Block != 16 || list[1].Scheme.Block != PerChannel || !strings.Contains(list[1].Reason, "has 3 inputs per channel along axis 0") {
		t.Errorf("got %+v", list)
	}
}

// TestBadWeights: what is no number is refused by name, at every granularity, and
// what is empty stays as it is.
func TestBadWeights(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		for _, block := range []int{PerChannel, PerTensor, 2} {
			w := normal(rand.New(rand.NewPCG(35, 36)), 4, 3)
			w.Set(7, bad)
			g := product(t, w)
			for name, do := range map[string]func() error{
				"quantize": func() error { _, err := QuantizeWeights(nil, g, Uniform(g, Scheme{Bits: 4, Block: block})); return err },
				"fake quantize": func() error {
					_, err := FakeQuantizeWeights(nil, g, Uniform(g, Scheme{Bits: 4, Block: block}))
					return err
				},
				"say what it is": func() error { _, err := Roundings(nil, g, Uniform(g, Scheme{Bits: 4, Block: block})); return err },
			} {
				if err := do(); err == nil || !strings.Contains(err.Error(), `weight "w1": element 7: got `) {
					t.Errorf("%s weights with %v: got error %v, want one that names the element", name, bad, err)
				}
			}
		}
	}
	for _, shape := range [][]int{{0, 3}, {3, 0}} {
		g := product(t, tensor.New(tensor.Float32, shape...))
		q, err := QuantizeWeights(nil, g, Uniform(g, Scheme{Bits: 4}))
		if err != nil || q.Param(q.Params[0].Value) == nil || q.Params[0].Name != "w1" {
			t.Errorf("%v: got error %v, want the weight as it was", shape, err)
		}
		list, err := Roundings(nil, g, Uniform(g, Scheme{Bits: 4}))
		if err != nil || len(list) != 1 || list[0].Reason != "holds no weights" {
			t.Errorf("%v: got %+v, error %v, want the reason", shape, list, err)
		}
	}
	for _, d := range []tensor.DType{tensor.Float64, tensor.Float16} {
		g := product(t, tensor.New(d, 2, 2))
		if _, err := Roundings(nil, g, Uniform(g, Scheme{Bits: 4})); err == nil || !strings.Contains(err.Error(), `weight "w1"`) || !strings.Contains(err.Error(), "want float32") {
			t.Errorf("%v: got error %v, want one that names the weight", d, err)
		}
	}
}

// TestThreadsGiveTheSameWeights: whatever shares a scale.
func TestThreadsGiveTheSameWeights(t *testing.T) {
	pool := kernel.NewPool(3, kernel.Best())
	defer pool.Close()
	g := product(t, normal(rand.New(rand.NewPCG(37, 38)), 96, 120))
	for _, s := range everyScheme {
		var got [2]*graph.Graph
		for i, p := range []*kernel.Pool{nil, pool} {
			var err error
			if got[i], err = QuantizeWeights(p, g, Uniform(g, s)); err != nil {
				t.Fatal(err)
			}
		}
		for i, p := range got[0].Params {
			if !p.Data.Equal(got[1].Params[i].Data) {
				t.Errorf("%v: %q differs between one thread and three", s, p.Name)
			}
		}
	}
}
