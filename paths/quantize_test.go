package paths

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// sumTolerance is for outputs of graphs that hold the same weights: sums may be
// taken in another order, by other kernels.
const sumTolerance = 1e-5

func allAt(bits int) map[string]Scheme {
	m := make(map[string]Scheme)
	for _, name := range layerNames {
		m[name] = Scheme{Bits: bits}
	}
	return m
}

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
		at := TOfBits(b)
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

// rounded is g with the named layers' weights replaced by the floats that
// integer and scale make: quantisation written out.
func rounded(t *testing.T, g *graph.Graph, schemes map[string]Scheme) *graph.Graph {
	t.Helper()
	c, _ := g.Clone()
	for _, l := range c.Layers() {
		scheme, ok := schemes[l.Name()]
		if !ok || scheme.IsFloat() {
			continue
		}
		b := scheme.Bits
		w := tensor.Data[float32](l.Param.Data)
		channel := ChannelOf(l)
		rows := make([][]float32, l.Channels())
		for i, x := range w {
			rows[channel(i)] = append(rows[channel(i)], x)
		}
		out := make([]float32, len(w))
		for i, x := range w {
			q, s := make([]int8, 1), Grid{b}.BestScale(rows[channel(i)])
			Grid{b}.Round(q, []float32{x}, s)
			out[i] = float32(q[0]) * s
		}
		l.Param.Data = tensor.Of(out, l.Param.Data.Shape()...)
	}
	return c
}

// TestQuantizeWeightsComputesTheRounding: the graph of integers, scales and
// DequantizeLinear, run by the engine, equals the model with rounded weights,
// for every kind of layer and every width.
func TestQuantizeWeightsComputesTheRounding(t *testing.T) {
	g := everyLayer(t)
	for bits := 1; bits <= 8; bits++ {
		q, err := QuantizeWeights(nil, g, allAt(bits))
		if err != nil {
			t.Fatal(err)
		}
		if err := testkit.Close(evaluate(t, q), evaluate(t, rounded(t, g, allAt(bits))), sumTolerance); err != nil {
			t.Errorf("%d bits: %v", bits, err)
		}
		checkIntegers(t, q, bits)
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
			if int(v) < (Grid{bits}).Lo() || int(v) > (Grid{bits}).Hi() || bits == 1 && v == 0 {
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
	if err := testkit.Close(evaluate(t, q), evaluate(t, rounded(t, g, bits)), sumTolerance); err != nil {
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

// TestChannelMaps: ChannelOf and channelIndex are inverse to one another.
func TestChannelMaps(t *testing.T) {
	for _, c := range []struct {
		shape []int
		axis  int
	}{{[]int{4, 3}, 0}, {[]int{4, 3}, 1}, {[]int{2, 3, 5, 7}, 0}, {[]int{2, 3, 5, 7}, 1}, {[]int{2, 3, 4}, 2}} {
		l := graph.Layer{Param: &graph.Param{Data: tensor.New(tensor.Float32, c.shape...)}, Axis: c.axis}
		n, channel, at := l.Param.Data.Len(), ChannelOf(l), channelIndex(c.shape, c.axis)
		seen := make([]bool, n)
		for ch := range c.shape[c.axis] {
			for k := range n / c.shape[c.axis] {
				i := at(ch, k)
				if seen[i] || channel(i) != ch {
					t.Errorf("shape %v along %d: position %d of channel %d is element %d of channel %d", c.shape, c.axis, k, ch, i, channel(i))
				}
				seen[i] = true
			}
		}
	}
}

// TestHardenComputesTheSame: fake-quantised weights, with the scales they start
// from and with others as training leaves them, and the integers they become.
func TestHardenComputesTheSame(t *testing.T) {
	g := everyLayer(t)
	r := rand.New(rand.NewPCG(15, 16))
	for bits := 2; bits <= 8; bits++ {
		soft, err := FakeQuantizeWeights(nil, g, allAt(bits))
		if err != nil {
			t.Fatal(err)
		}
		if err := testkit.Close(evaluate(t, soft), evaluate(t, rounded(t, g, allAt(bits))), sumTolerance); err != nil {
			t.Errorf("%d bits, fake-quantised against rounded: %v", bits, err)
		}
		for _, p := range soft.Params {
			if strings.HasSuffix(p.Name, "_step") {
				p.Data = p.Data.Clone()
				for i, s := range tensor.Data[float32](p.Data) {
					p.Data.Set(i, float64(s)*(0.5+r.Float64()))
				}
			}
		}
		hard, err := Harden(soft)
		if err != nil {
			t.Fatal(err)
		}
		if err := testkit.Close(evaluate(t, hard), evaluate(t, soft), sumTolerance); err != nil {
			t.Errorf("%d bits, hardened against fake-quantised: %v", bits, err)
		}
		checkIntegers(t, hard, bits)
		if slices.ContainsFunc(hard.Nodes, func(n *graph.Node) bool { return n.Op == "FakeQuantize" }) {
			t.Errorf("%d bits: a FakeQuantize is left", bits)
		}
		if slices.ContainsFunc(hard.Params, func(p *graph.Param) bool { return strings.HasSuffix(p.Name, "_step") }) {
			t.Errorf("%d bits: a trained step is left", bits)
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
		hard, err := Harden(soft)
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
		hard, err := Harden(soft)
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
