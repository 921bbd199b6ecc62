package paths

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// sumTolerance is for outputs of graphs that hold the same weights: sums may be
// taken in another order, by other kernels.
const sumTolerance = 1e-5

func TestLayersOfTheFixture(t *testing.T) {
	var names []string
	var got []int
	for _, l := range everyLayer(t).Layers() {
		names, got = append(names, l.Name()), append(got, l.Axis)
	}
	if !slices.Equal(names, layerNames) || !slices.Equal(got, axes) {
		t.Errorf("layers: got %v along %v, want %v along %v", names, got, layerNames, axes)
	}
}

// TestWidths: t = (32 − b)/31, and between two widths the wider one holds.
func TestWidths(t *testing.T) {
	p := &Quantize{}
	for b := 1; b <= 8; b++ {
		at := TOfBits(float64(b))
		if want := float64(32-b) / 31; at != want || p.Param(at) != float64(b) {
			t.Errorf("%d bits: got t=%v with %v bits, want %v", b, at, p.Param(at), want)
		}
		wider := float64(b + 1)
		if b == 8 {
			wider = 32
		}
		if got := p.Param(at - 1e-6); got != wider {
			t.Errorf("just before %d bits: got %v, want %v", b, got, wider)
		}
	}
	for bits, want := range map[int]int{1: 2, 2: 2, 3: 4, 4: 4, 5: 8, 8: 8, 32: 32} {
		if got := StoredBits(bits); got != want {
			t.Errorf("a grid of %d bits is stored at %d, want %d", bits, got, want)
		}
	}
}

// everyScheme has every width, granularity, kind of grid and fit.
var everyScheme = []Scheme{
	{Bits: 8}, {Bits: 7}, {Bits: 6}, {Bits: 5}, {Bits: 4}, {Bits: 3}, {Bits: 2}, {Bits: 1},
	{Bits: 2, Ternary: true}, {Bits: 2, Ternary: true, Block: 2}, {Bits: 2, Ternary: true, Block: PerTensor, Fit: FitMinMax},
	{Bits: 8, Asymmetric: true}, {Bits: 4, Asymmetric: true, Fit: FitMinMax}, {Bits: 3, Asymmetric: true}, {Bits: 2, Asymmetric: true},
	{Bits: 8, Block: PerTensor}, {Bits: 4, Block: PerTensor, Asymmetric: true}, {Bits: 2, Block: PerTensor, Asymmetric: true}, {Bits: 1, Block: PerTensor},
	{Bits: 8, Block: 2, Asymmetric: true}, {Bits: 4, Block: 2}, {Bits: 4, Block: 2, Asymmetric: true}, {Bits: 4, Asymmetric: true}, {Bits: 2, Block: 2}, {Bits: 2, Block: 2, Asymmetric: true}, {Bits: 1, Block: 3}, {Bits: 4, Block: 64},
	{Bits: 8, Fit: FitMinMax}, {Bits: 4, Fit: FitPercentile}, {Bits: 4, Fit: FitPercentile, Asymmetric: true}, {Bits: 4, Fit: FitEntropy}, {Bits: 8, Fit: FitEntropy, Asymmetric: true},
	{Bits: 4, Fit: FitFixedPoint}, {Bits: 8, Fit: FitFixedPoint, Block: PerTensor}, {Bits: 2, Fit: FitFixedPoint, Block: 2},
}

// writtenOut is g with the named layers' weights replaced by the floats that
// integers and scales make: quantisation written out, weight by weight.
func writtenOut(t *testing.T, g *graph.Graph, schemes map[string]Scheme) *graph.Graph {
	t.Helper()
	c, _ := g.Clone()
	for _, l := range c.Layers() {
		s, ok := schemes[l.Name()]
		if !ok || s.IsFloat() {
			continue
		}
		s, _ = s.On(l)
		w, f, groups := tensor.Data[float32](l.Param.Data), newFitter(s, kernel.Best()), groupsOf(l, s)
		scale, rows := groups.scaleOf(), make([][]float32, groups.count)
		for i, x := range w {
			rows[scale(i)] = append(rows[scale(i)], x)
		}
		out := make([]float32, len(w))
		for i, x := range w {
			q, at := make([]byte, 1), f.level(rows[scale(i)])
			f.round(kernel.Portable, q, []float32{x}, at)
			out[i] = float32(f.integer(q[0])-at.zero) * at.scale
		}
		l.Param.Data = tensor.Of(out, l.Param.Data.Shape()...)
	}
	return c
}

// TestQuantizeWeightsComputesTheRounding: the graph of integers, scales and
// DequantizeLinear, run by the engine, equals the model with rounded weights,
// for every kind of layer and every scheme.
func TestQuantizeWeightsComputesTheRounding(t *testing.T) {
	g := everyLayer(t)
	for _, s := range everyScheme {
		q, err := QuantizeWeights(nil, g, Uniform(g, s))
		if err != nil {
			t.Fatal(err)
		}
		if err := testkit.Close(evaluate(t, q), evaluate(t, writtenOut(t, g, Uniform(g, s))), sumTolerance); err != nil {
			t.Errorf("%v: %v", s, err)
		}
		if s == (Scheme{Bits: s.Bits}) {
			checkIntegers(t, q, s.Bits)
		}
	}
}

// checkIntegers: every stored integer is on the grid, in the narrowest type, and
// the floats are gone.
func checkIntegers(t *testing.T, q *graph.Graph, bits int) {
	t.Helper()
	for i, name := range layerNames {
		p := param(t, q, name+"_q")
		if p.DType().Bits() != StoredBits(bits) {
			t.Errorf("weight %q at %d bits: stored as %v", name, bits, p)
		}
		for k, v := range p.Float64s() {
			if int(v) < bitGrid(bits).lo || int(v) > bitGrid(bits).hi || bits == 1 && v == 0 {
				t.Errorf("weight %q at %d bits, element %d: got %v, want an integer of the grid", name, bits, k, v)
			}
		}
		if got, want := param(t, q, name+"_s").Len(), channels[i]; got != want {
			t.Errorf("weight %q: got %d scales, want one for each of %d output channels", name, got, want)
		}
	}
	if q.Param(q.Inputs[0]) != nil || slices.ContainsFunc(q.Params, func(p *graph.Param) bool { return slices.Contains(layerNames, p.Name) }) {
		t.Errorf("%d bits: a float weight is still stored", bits)
	}
}

func TestQuantizeWeightsByLayer(t *testing.T) {
	g := everyLayer(t)
	bits := map[string]Scheme{"conv": {Bits: 4}, "matmul": {Bits: 2}, "up": {Bits: 32}, "no such layer": {Bits: 8}}
	q, err := QuantizeWeights(nil, g, bits)
	if err != nil {
		t.Fatal(err)
	}
	if err := testkit.Close(evaluate(t, q), evaluate(t, writtenOut(t, g, bits)), sumTolerance); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"up", "out in", "in out"} {
		if a, b := param(t, g, name).Raw(), param(t, q, name).Raw(); &a[0] != &b[0] {
			t.Errorf("weight %q: copied, want it shared: it is not named or stays float", name)
		}
	}
	for _, b := range []int{0, -1, 9, 16} {
		if _, err := QuantizeWeights(nil, g, map[string]Scheme{"conv": {Bits: b}}); err == nil || !strings.Contains(err.Error(), `weight "conv": bits: got`) {
			t.Errorf("%d bits: got error %v, want one that names the weight", b, err)
		}
	}
}

// TestZeroChannelsStayZero at every width, one bit included, whose grid has no
// zero.
func TestZeroChannelsStayZero(t *testing.T) {
	for bits := 1; bits <= 8; bits++ {
		g := product(t, tensor.Of([]float32{1, 0, -2, 0, 3, 0}, 3, 2))
		q, err := QuantizeWeights(nil, g, map[string]Scheme{"w1": {Bits: bits}})
		if err != nil {
			t.Fatal(err)
		}
		for i, y := range evaluate(t, q) {
			if i%2 == 1 && y != 0 {
				t.Errorf("%d bits: output of a zero channel: got %v, want 0", bits, y)
			}
		}
	}
}

// TestGroups: every weight lies in the strip of just one scale, that which scaleOf
// gives, and gather and scatter undo one another.
func TestGroups(t *testing.T) {
	for _, c := range []struct {
		shape       []int
		axis, block int
		scales      []int // shape
		per         int   // weights of the first scale
	}{
		{[]int{4, 3}, 0, PerChannel, []int{4}, 3},
		{[]int{4, 3}, 1, PerChannel, []int{3}, 4},
		{[]int{2, 3, 5, 7}, 0, PerChannel, []int{2}, 105},
		{[]int{2, 3, 5, 7}, 1, PerChannel, []int{3}, 70},
		{[]int{2, 3, 4}, 2, PerChannel, []int{4}, 6},
		{[]int{2, 3, 4}, 2, PerTensor, nil, 24},
		{[]int{7, 4}, 0, 3, []int{3, 4}, 3},
		{[]int{4, 7}, 1, 3, []int{4, 3}, 3},
		{[]int{2, 8, 3, 3}, 1, 4, []int{2, 2, 3, 3}, 4},
		{[]int{5, 2, 3}, 0, 2, []int{3, 2, 3}, 2},
	} {
		g := newGroups(c.shape, c.axis, c.block)
		x, y := make([]float32, sizeOf(c.shape)), make([]float32, sizeOf(c.shape))
		for i := range x {
			x[i] = float32(i) + 1
		}
		if !slices.Equal(g.shape, c.scales) || g.count != sizeOf(c.scales) || g.strip(0).len() != c.per {
			t.Errorf("%v, %d along %d: got scales %v (%d) for %d weights, want %v for %d", c.shape, c.block, c.axis, g.shape, g.count, g.strip(0).len(), c.scales, c.per)
		}
		scale := g.scaleOf()
		for k := range g.count {
			at, n := g.strip(k), g.neighbours(k)
			rows := make([]float32, n*at.len())
			gather(at, n, rows, x)
			for i, v := range rows {
				if got, want := scale(int(v)-1), k+i/at.len(); got != want {
					t.Errorf("%v, %d along %d: element %v is of scale %d and of %d", c.shape, c.block, c.axis, v-1, want, got)
				}
			}
			scatter(at, n, y, rows)
		}
		if !slices.Equal(x, y) {
			t.Errorf("%v, %d along %d: scattered: got %v, want %v", c.shape, c.block, c.axis, y, x)
		}
	}
}

// TestHardenComputesTheSame: fake-quantised weights, with the scales they start
// from and with others as training leaves them, and the integers they become.
func TestHardenComputesTheSame(t *testing.T) {
	g := everyLayer(t)
	r := rand.New(rand.NewPCG(15, 16))
	for _, s := range everyScheme {
		if s.Bits == 1 || s.Fit == FitFixedPoint {
			continue
		}
		soft, err := FakeQuantizeWeights(nil, g, Uniform(g, s))
		if err != nil {
			t.Fatal(err)
		}
		if err := testkit.Close(evaluate(t, soft), evaluate(t, writtenOut(t, g, Uniform(g, s))), sumTolerance); err != nil {
			t.Errorf("%v, fake-quantised against rounded: %v", s, err)
		}
		for _, p := range soft.Params {
			if strings.HasSuffix(p.Name, "_step") {
				p.Data = p.Data.Clone()
				for i, s := range tensor.Data[float32](p.Data) {
					p.Data.Set(i, float64(s)*(0.5+r.Float64()))
				}
			}
		}
		hard, err := Harden(nil, soft)
		if err != nil {
			t.Fatal(err)
		}
		if err := testkit.Close(evaluate(t, hard), evaluate(t, soft), sumTolerance); err != nil {
			t.Errorf("%v, hardened against fake-quantised: %v", s, err)
		}
		if s == (Scheme{Bits: s.Bits}) {
			checkIntegers(t, hard, s.Bits)
		}
		if slices.ContainsFunc(hard.Nodes, func(n *graph.Node) bool { return n.Op == "FakeQuantize" }) {
			t.Errorf("%v: a FakeQuantize is left", s)
		}
		if slices.ContainsFunc(hard.Params, func(p *graph.Param) bool {
			return strings.HasSuffix(p.Name, "_step") || strings.HasSuffix(p.Name, "_offset")
		}) {
			t.Errorf("%v: a trained step or its zero point is left", s)
		}
	}
}

// TestHardenDividesAsTraining: where w/s falls on the middle between two levels
// in float32 alone, the stored integer must be the one that was trained with.
func TestHardenDividesAsTraining(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	apart := 0 // weights that division in float64 rounds to another level
	for range 50 {
		s := 0.01 + r.Float32()
		w := make([]float32, 16)
		for i := range w {
			w[i] = s * (float32(i) - 8.5)
			if math.RoundToEven(float64(w[i]/s)) != math.RoundToEven(float64(w[i])/float64(s)) {
				apart++
			}
		}
		soft, err := FakeQuantizeWeights(nil, vector(t, w...), map[string]Scheme{"w1": {Bits: 4}})
		if err != nil {
			t.Fatal(err)
		}
		param(t, soft, "w1_step").Set(0, float64(s))
		hard, err := Harden(nil, soft)
		if err != nil {
			t.Fatal(err)
		}
		for i, q := range param(t, hard, "w1_q").Float64s() {
			if want := max(-8, min(7, math.RoundToEven(float64(w[i]/s)))); q != want {
				t.Errorf("weight %v at scale %v: got %v, want %v as in training", w[i], s, q, want)
			}
		}
	}
	if apart == 0 {
		t.Error("no weight tells the two divisions apart")
	}
}

func TestHardenMakesScalesPositive(t *testing.T) {
	for _, s := range []float32{-0.5, 0, float32(math.Copysign(0, -1))} {
		soft, err := FakeQuantizeWeights(nil, vector(t, 1, -2, 0.5), map[string]Scheme{"w1": {Bits: 4}})
		if err != nil {
			t.Fatal(err)
		}
		param(t, soft, "w1_step").Set(0, float64(s))
		hard, err := Harden(nil, soft)
		if err != nil {
			t.Fatal(err)
		}
		if got := param(t, hard, "w1_s").At(0); !(got > 0) {
			t.Errorf("trained scale %v: got %v, want a positive one", s, got)
		}
	}
}

func TestFakeQuantizeRefuses(t *testing.T) {
	for _, bits := range []int{0, 1, 9} {
		if _, err := FakeQuantizeWeights(nil, vector(t, 1), map[string]Scheme{"w1": {Bits: bits}}); err == nil || !strings.Contains(err.Error(), "want 2 to 8") {
			t.Errorf("%d bits: got error %v, want one that says 2 to 8", bits, err)
		}
	}
	double := product(t, tensor.Of([]float64{1, 2}, 2, 1))
	if _, err := FakeQuantizeWeights(nil, double, map[string]Scheme{"w1": {Bits: 4}}); err == nil || !strings.Contains(err.Error(), "want float32") {
		t.Errorf("float64 weights: got error %v, want one that names the type", err)
	}
	if _, err := QuantizeWeights(nil, double, map[string]Scheme{"w1": {Bits: 4}}); err == nil || !strings.Contains(err.Error(), "want float32") {
		t.Errorf("float64 weights: got error %v, want one that names the type", err)
	}
}

// TestStepGradient: the factor of LSQ, 1/√(N·Q) with N weights for a step and Q
// levels above zero, by granularity and grid.
func TestStepGradient(t *testing.T) {
	for _, c := range []struct {
		s    Scheme
		n, q float64
	}{
		{Scheme{Bits: 4}, 6, 7},
		{Scheme{Bits: 4, Block: PerTensor}, 24, 7},
		{Scheme{Bits: 4, Block: 3}, 3, 7},
		{Scheme{Bits: 3, Asymmetric: true}, 6, 7},
		{Scheme{Bits: 2, Ternary: true}, 6, 1},
	} {
		soft, err := FakeQuantizeWeights(nil, product(t, normal(rand.New(rand.NewPCG(1, 2)), 6, 4)), map[string]Scheme{"w1": c.s})
		if err != nil {
			t.Fatal(err)
		}
		if got, want := soft.Nodes[0].Attrs.Float("step_gradient", 0), 1/math.Sqrt(c.n*c.q); math.Abs(got-want) > 1e-7 {
			t.Errorf("%v: got %v, want 1/√(%v·%v) = %v", c.s, got, c.n, c.q, want)
		}
	}
}

// TestTrainingRefusals: what cannot be trained, by name.
func TestTrainingRefusals(t *testing.T) {
	for _, c := range []struct {
		s    Scheme
		want string
	}{
		{Scheme{Bits: 1}, "want 2 to 8"},
		{Scheme{Bits: 4, Fit: FitFixedPoint}, "a learned step leaves the grid"},
		{Scheme{Bits: 4, Ternary: true}, "ternary: got 4 bits, want 2"},
		{Scheme{Bits: 2, Ternary: true, Asymmetric: true}, "no zero point"},
		{Scheme{Bits: 4, Block: 1}, "block: got 1, want at least 2"},
		{Scheme{Bits: 4, Block: -2}, "block: got -2"},
		{Scheme{Bits: 4, Fit: 17}, "fit: got 17"},
	} {
		if _, err := FakeQuantizeWeights(nil, vector(t, 1), map[string]Scheme{"w1": c.s}); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), `"w1"`) {
			t.Errorf("%+v: got error %v, want one that names the weight and says %q", c.s, err, c.want)
		}
	}
}
