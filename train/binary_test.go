package train

import (
	"bytes"
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// binaryModel is a small network of dense layers with normalisations.
func binaryModel(t testing.TB) *graph.Graph {
	t.Helper()
	g, err := Architecture{Name: "mlp:784-24-10", BatchNorm: true, NormOutput: true, NormEpsilon: 1e-4, Init: GlorotUniform}.Model([]int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// binaryOptions is the published recipe at another scale.
func binaryOptions(mode BinaryMode) Options {
	return Options{Epochs: 4, Batch: 16, Optimizer: SGD, Rates: Geometric(0.1, 0.01), Loss: SquaredHinge, Seed: 5, Binary: Binary{Mode: mode}}
}

// TestBinaryForms: after training, deterministic layers hold two values, ±H with the
// H of the paper's code, and stochastic ones real values within them.
func TestBinaryForms(t *testing.T) {
	set := glyphs(t, 64)
	for _, mode := range []BinaryMode{Deterministic, Stochastic} {
		m, epochs := mustRun(t, binaryModel(t), set, binaryOptions(mode))
		if first, last := epochs[0], epochs[3]; !(last.Loss < first.Loss) {
			t.Errorf("%s: loss: got %v after %v", mode, last.Loss, first.Loss)
		}
		for name, fans := range map[string]int{"fc1.weight": 784 + 24, "fc2.weight": 24 + 10} {
			h := float64(float32(math.Sqrt(1.5 / float64(fans))))
			inside, at := 0, 0
			for _, w := range param(t, m, name) {
				switch {
				case math.Abs(w) == h:
					at++
				case math.Abs(w) < h:
					inside++
				default:
					t.Fatalf("%s: %s: got %v, want at most %v", mode, name, w, h)
				}
			}
			if at == 0 || (inside > 0) != (mode == Stochastic) {
				t.Errorf("%s: %s: got %d weights at ±H and %d between", mode, name, at, inside)
			}
		}
		for _, x := range param(t, m, "fc1.bn.scale") {
			if x == 1 {
				t.Errorf("%s: a normalisation's scale did not train", mode)
			}
		}
	}
}

// TestBinaryStatistics: with one batch of all examples, the normalisations of the form
// for use see what they see in training, so that both answer alike.
func TestBinaryStatistics(t *testing.T) {
	set := glyphs(t, 32)
	for _, mode := range []BinaryMode{Deterministic, Stochastic} {
		o := binaryOptions(mode)
		o.Batch = 32
		m, _ := mustRun(t, binaryModel(t), set, o)
		rows := make([]float32, 32*784)
		for i := range 32 {
			set.Fill(rows[i*784:(i+1)*784], i)
		}
		batch, use := forward(t, m, 32, rows...).Float64s(), forward(t, Finish(m), 32, rows...).Float64s()
		for i := range batch {
			if math.Abs(batch[i]-use[i]) > 1e-4 {
				t.Fatalf("%s: answer %d: got %v, want %v", mode, i, use[i], batch[i])
			}
		}
	}
}

// TestBinaryDraws: the mean of many draws of one weight is the weight, and draws at
// the ends are sure: E w_b = w, THEORY oracle 23, variance H² − w².
func TestBinaryDraws(t *testing.T) {
	const n, h = 1 << 16, 0.25
	for _, w := range []float32{-1, -h, -0.1, 0, 0.2, h, 3} {
		data := slices.Repeat([]float32{w}, n)
		b := &binarizer{of: &binaryLayer{w: &weight{data: data}, h: h}, key: 7}
		b.drawRange(0, 0, n/2)
		sum := 0.0
		for _, x := range data {
			if math.Abs(float64(x)) != h {
				t.Fatalf("got %v, want ±%v", x, h)
			}
			sum += float64(x)
		}
		mean := math.Max(-h, math.Min(h, float64(w)))
		deviation := math.Sqrt((h*h - mean*mean) / n)
		if got := sum / n; math.Abs(got-mean) > 4.5*deviation {
			t.Errorf("w = %v: mean: got %v, want %v ± %v", w, got, mean, deviation)
		}
	}
}

// TestBinaryStep is one step by hand: z = w·x at w_b = ±H with H = √(1.5/2), loss
// (z − y)², so that the real weight moves by −η·2(z − y)x with z = w_b·x.
func TestBinaryStep(t *testing.T) {
	set := table(t, data.Regress, []float64{2, 0.5}) // x = 2, y = 0.5
	g := build(t, 1, func(b *graph.Builder, x *graph.Value) *graph.Value {
		return b.Op("MatMul", x, b.Param("w", tensor.Of([]float32{0.1}, 1, 1)))
	})
	var seen float64
	o := Options{Batch: 1, Optimizer: SGD, Rate: 0.01, Binary: Binary{Mode: Deterministic},
		Save: func(s *State) error { seen = float64(s.weights[0].data[0]); return nil }}
	m, epochs := mustRun(t, g, set, o)
	h := math.Sqrt(1.5 / 2)
	if want := (2*h - 0.5) * (2*h - 0.5); math.Abs(epochs[0].Loss-want) > 1e-6 {
		t.Errorf("loss: got %v, want %v", epochs[0].Loss, want)
	}
	if want := 0.1 - 0.01*2*(2*h-0.5)*2; math.Abs(seen-want) > 1e-6 {
		t.Errorf("real weight: got %v, want %v", seen, want)
	}
	if got := param(t, m, "w")[0]; math.Abs(got-h) > 1e-7 {
		t.Errorf("binary weight: got %v, want %v", got, h)
	}
	// A long step ends at the border.
	o.Rate = 10
	if mustRun(t, g, set, o); math.Abs(seen+h) > 1e-7 {
		t.Errorf("after a long step: got %v, want %v", seen, -h)
	}
}

// TestBinaryRepeats: threads do not matter, and going on from a checkpoint gives the
// same bytes; the best epoch by accuracy on validation examples included.
func TestBinaryRepeats(t *testing.T) {
	set := glyphs(t, 64)
	o := binaryOptions(Stochastic)
	o.Validation, o.Patience, o.ByMetric = glyphs(t, 40), 9, true
	var half []byte
	o.Save = func(s *State) (err error) {
		if len(s.Epochs) == 2 {
			half, err = s.Encode()
		}
		return err
	}
	want, epochs := mustRun(t, binaryModel(t), set, o)
	o.Pool = kernel.NewPool(3, kernel.Best())
	if got, _ := mustRun(t, binaryModel(t), set, o); got.Digest() != want.Digest() {
		t.Error("three threads give another model")
	}
	state, err := DecodeState(bytes.Clone(half))
	if err != nil {
		t.Fatal(err)
	}
	o.From = state
	got, resumed := mustRun(t, binaryModel(t), set, o)
	if got.Digest() != want.Digest() || resumed[3].ValidLoss != epochs[3].ValidLoss {
		t.Error("going on from a checkpoint gives another model")
	}
	best := slices.MaxFunc(epochs, func(a, b Epoch) int { return int(math.Copysign(1, a.ValidMetric-b.ValidMetric)) })
	hits := 0
	for i := range o.Validation.Len() {
		x := make([]float32, 784)
		o.Validation.Fill(x, i)
		if TopClass(tensor.Data[float32](forward(t, Finish(want), 1, x...))) == o.Validation.Label(i) {
			hits++
		}
	}
	if got := float64(hits) / float64(o.Validation.Len()); got != best.ValidMetric {
		t.Errorf("accuracy of the model returned: got %v, want the best epoch's %v", got, best.ValidMetric)
	}
}

func TestBinaryRefuses(t *testing.T) {
	set := glyphs(t, 8)
	for _, c := range []struct {
		o    Options
		says string
	}{
		{Options{Binary: Binary{Mode: "ternary"}}, `binary weights "ternary": want deterministic or stochastic`},
		{Options{Binary: Binary{Mode: Stochastic}, Monitor: &Monitor{}}, "no descent to monitor"},
		{Options{Binary: Binary{Mode: Stochastic}, Masks: map[string]*Mask{"fc1.weight": nil}}, "want no masks"},
		{Options{Binary: Binary{Mode: Stochastic}, Frozen: map[string]bool{"fc1.weight": true, "fc2.weight": true}}, "no convolution or matrix product"},
	} {
		if _, _, err := Run(context.Background(), binaryModel(t), set, c.o); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: got error %v, want one that says %q", c.o, err, c.says)
		}
	}
}

// TestBinaryConvolutions: fans count the kernel, as in the published code.
func TestBinaryConvolutions(t *testing.T) {
	g, err := Architecture{Name: "lenet5", BatchNorm: true}.Model([]int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, _ := mustRun(t, g, glyphs(t, 16), Options{Batch: 8, Binary: Binary{Mode: Deterministic}})
	h := float64(float32(math.Sqrt(1.5 / (25 * (6 + 16)))))
	for _, w := range param(t, m, "conv2.weight") {
		if math.Abs(w) != h {
			t.Fatalf("got %v, want ±%v", w, h)
		}
	}
}
