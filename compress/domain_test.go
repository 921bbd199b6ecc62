package compress

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// moved are examples of clouds, all moved and stretched.
func moved(t *testing.T, n int, by, stretch float64) *data.Set {
	t.Helper()
	set := clouds(t, n)
	var rows [][]float64
	x := make([]float64, 2)
	for i := range n {
		set.Fill64(x, i)
		rows = append(rows, []float64{stretch*x[0] + by, stretch*x[1] + by, float64(set.Label(i))})
	}
	return numbers(t, data.Classify, rows...)
}

// TestForeignExamplesAreWarnedOf with the figures that were measured; those of the
// same source are not.
func TestForeignExamplesAreWarnedOf(t *testing.T) {
	job := smallJob(t)
	job.Finetune = -1
	job.Equalize = Always // which scales values within the model, not the examples
	job.Budget = compactify.Budget{Kind: compactify.MetricDrop, Limit: 100}
	for name, c := range map[string]struct {
		heldOut *data.Set
		foreign bool
	}{
		"same":      {clouds(t, 300), false},
		"moved":     {moved(t, 300, 6, 1), true},
		"stretched": {moved(t, 300, 0, 10), true},
	} {
		job.HeldOut = c.heldOut
		r, err := runInto(t, context.Background(), job)
		if r == nil {
			t.Fatal(err)
		}
		if len(r.Domains) != 2 || r.Domains[0].Foreign || r.Domains[0].Set != "selection" || r.Domains[1].Foreign != c.foreign || r.Domains[1].Examples != 300 {
			t.Errorf("%s: got %+v", name, r.Domains)
		}
		warned := slices.ContainsFunc(r.Notes, func(n string) bool {
			return strings.HasPrefix(n, "warning: the held-out examples are unlike the calibration examples")
		})
		if warned != c.foreign {
			t.Errorf("%s: warned %v: %q", name, warned, r.Notes)
		}
		if r.Corrections.Equalized == 0 {
			t.Errorf("%s: nothing was equalised", name)
		}
	}
}

// TestFewCalibrationExamples: one is enough to work, and is warned of.
func TestFewCalibrationExamples(t *testing.T) {
	job := smallJob(t)
	job.Activation, job.Finetune, job.Calibrate = true, -1, 1
	job.Budget = compactify.Budget{Kind: compactify.MetricDrop, Limit: 100}
	r, err := runInto(t, context.Background(), job)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(r.Notes, func(n string) bool { return strings.HasPrefix(n, "calibrated on 1 example:") }) || r.Activations.Examples != 1 {
		t.Errorf("got %q", r.Notes)
	}
	for _, x := range r.Activations.Tried {
		if math.IsNaN(float64(x.Harm)) {
			t.Errorf("got %+v", x)
		}
	}
}

// TestNormalizationOfTraining: a batch normalisation that was trained on inputs a
// hundred times as small says so.
func TestNormalizationOfTraining(t *testing.T) {
	g := &graph.Graph{Name: "normalised", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(2)}})
	vector := func(name string, v ...float32) *graph.Value { return b.Param(name, tensor.Of(v, len(v))) }
	x = b.With("BatchNormalization", nil, x, vector("scale", 1, 1), vector("bias", 0, 0), vector("mean", 0, -0.6), vector("variance", 3, 3))
	g.Outputs = []*graph.Value{b.Op("MatMul", x, b.Param("w", tensor.Of([]float32{1, -1, 0, 0.3, 0.5, -1}, 2, 3)))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	job := Job{Model: g, ModelBytes: 1000, Seed: 1, Pool: onePool(t), Budget: compactify.Budget{Kind: compactify.LossRise, Limit: 10}, Finetune: -1}
	for stretch, foreign := range map[float64]bool{1: false, 100: true} {
		job.Train = moved(t, 600, 0, stretch)
		w := prepared(t, job)
		d := w.result.Domains
		if len(d) == 0 || d[0].Set != "training" || d[0].Foreign != foreign {
			t.Errorf("inputs stretched by %v: got %+v", stretch, d)
		}
		if warned := slices.ContainsFunc(w.notes, func(n string) bool { return strings.Contains(n, "unlike those that the model was trained on") }); warned != foreign {
			t.Errorf("inputs stretched by %v: got %q", stretch, w.notes)
		}
	}
}
