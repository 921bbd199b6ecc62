package train

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/tensor"
)

// TestEarlyStopping: weights go from 0 towards 1, and the validation examples would have
// ½. Training ends Patience epochs after the one that came nearest, and returns that.
func TestEarlyStopping(t *testing.T) {
	set, valid := table(t, data.Regress, []float64{1, 1}), table(t, data.Regress, []float64{1, 0.5}, []float64{1, 0.5}, []float64{1, 0.5})
	for _, patience := range []int{0, 1, 3, 100} {
		var weights []float64
		m, epochs := mustRun(t, linear(t, 1, 0), set, Options{Optimizer: SGD, Rate: 0.05, Epochs: 30, Validation: valid, Patience: patience,
			Look: func(_ Epoch, m *graph.Graph) error { weights = append(weights, param(t, m, "w")[0]); return nil }})
		best := 0
		for e, w := range weights {
			if math.Abs(w-0.5) < math.Abs(weights[best]-0.5) {
				best = e
			}
			if got, want := epochs[e].ValidLoss, (w-0.5)*(w-0.5); math.Abs(got-want) > stepTolerance || !math.IsNaN(epochs[e].ValidMetric) {
				t.Errorf("patience %d, epoch %d: validation: got loss %v, metric %v, want %v and none", patience, e+1, got, epochs[e].ValidMetric, want)
			}
		}
		wantEpochs, want := min(30, best+1+patience), weights[best]
		if patience == 0 { // without patience it is but a record
			wantEpochs, want = 30, weights[29]
		}
		if len(epochs) != wantEpochs {
			t.Errorf("patience %d: got %d epochs, want %d, the best being the %dth", patience, len(epochs), wantEpochs, best+1)
		}
		if got := param(t, m, "w")[0]; got != want {
			t.Errorf("patience %d: weights: got %v, want %v", patience, got, want)
		}
	}
}

// normalised is a small network with a convolution and a batch normalisation.
func normalised(t testing.TB) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "normalised", Opset: map[string]int{"": graph.LatestOpset}}
	b, r := graph.NewBuilder(g, "v"), stream.New(1, "test/normalised", 0)
	p := func(name string, mean, deviation float64, shape ...int) *graph.Value {
		w := tensor.New(tensor.Float32, shape...)
		for i := range w.Len() {
			w.Set(i, mean+deviation*r.NormFloat64())
		}
		return b.Param(name, w)
	}
	y := b.Input("input", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(1), tensor.Fixed(28), tensor.Fixed(28)}})
	y = b.With("Conv", graph.Attributes{graph.Ints("kernel_shape", 5, 5), graph.Ints("strides", 4, 4)}, y, p("conv", 0, 0.2, 3, 1, 5, 5), p("conv.bias", 0, 0, 3))
	y = b.With("BatchNormalization", graph.Attributes{graph.Int("training_mode", 1), graph.Float("momentum", 0.9)}, y,
		p("scale", 1, 0, 3), p("shift", 0, 0, 3), p("mean", 0, 0, 3), p("variance", 1, 0, 3))
	y = b.With("Flatten", graph.Attributes{graph.Int("axis", 1)}, b.Op("Relu", y))
	y = b.Op("Relu", b.Op("Gemm", y, p("fc1", 0, 0.15, 108, 12), p("fc1.bias", 0, 0, 12)))
	g.Outputs = []*graph.Value{b.Op("Gemm", y, p("fc2", 0, 0.4, 12, 10), p("fc2.bias", 0, 0, 10))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestValidationLossIsTheObjective: what is measured after an epoch is the mean loss of
// the finished model, without dropout and smoothing, whatever the batches leave over.
func TestValidationLossIsTheObjective(t *testing.T) {
	plain, err := NewModel("mlp:784-12-10", []int{28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	set, valid := glyphs(t, 32), glyphs(t, 45).Subset([]int{44, 43, 42, 41, 40, 39, 38, 37, 36, 35, 34, 33, 32})
	for name, g := range map[string]*graph.Graph{"plain": plain, "normalised": normalised(t)} {
		for _, batch := range []int{8, 16, 32} {
			m, epochs := mustRun(t, g, set, Options{Batch: batch, Epochs: 2, Validation: valid, Dropout: Dropout{Hidden: 0.5}, Smoothing: 0.2})
			f, err := NewObjective(m, valid, ObjectiveOptions{})
			if err != nil {
				t.Fatal(err)
			}
			want, err := f.Loss(t.Context(), f.Point())
			if err != nil {
				t.Fatal(err)
			}
			if got := epochs[1].ValidLoss; math.Abs(got-want) > 1e-5*want {
				t.Errorf("%s, batches of %d: validation loss: got %v, want %v", name, batch, got, want)
			}
			hits := 0
			for i := range valid.Len() {
				x := make([]float32, 784)
				valid.Fill(x, i)
				if TopClass(forward(t, Finish(m), 1, x...).Float32s()) == valid.Label(i) {
					hits++
				}
			}
			if got, want := epochs[1].ValidMetric, float64(hits)/13; got != want {
				t.Errorf("%s, batches of %d: accuracy: got %v, want %v", name, batch, got, want)
			}
		}
	}
}

func TestValidationRefuses(t *testing.T) {
	set := table(t, data.Classify, []float64{1, 2, 0}, []float64{3, 4, 1})
	for name, valid := range map[string]*data.Set{
		"none": set.Subset(nil), "without labels": set.Unlabeled(), "numbers": table(t, data.Regress, []float64{1, 2, 0.5}),
		"other classes": table(t, data.Classify, []float64{1, 2, 0}, []float64{3, 4, 1}, []float64{3, 4, 2}),
		"other shapes":  table(t, data.Classify, []float64{1, 2, 7, 0}, []float64{3, 4, 7, 1}),
	} {
		if _, _, err := Run(context.Background(), linear(t, 2, 1, 2, 3, 4), set, Options{Validation: valid, Patience: 1}); err == nil || !strings.Contains(err.Error(), "validation") {
			t.Errorf("%s: got error %v, want one about validation", name, err)
		}
	}
}
