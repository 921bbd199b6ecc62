package compress

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/paths"
)

// prepared is a job that is ready to search.
func prepared(t *testing.T, job Job) *work {
	t.Helper()
	w := &work{Job: job, result: newResult(job)}
	if err := w.prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestCorrectionsAreMeasured: each is applied if it leaves less harm, always or
// never where the user says so; and the model computes the same.
func TestCorrectionsAreMeasured(t *testing.T) {
	job := smallJob(t)
	job.Activation, job.Finetune = true, -1
	w := prepared(t, job)
	c := w.result.Corrections
	best := math.Inf(1)
	applied := map[string]bool{"none": true, "equalize": c.Equalized > 0, "smooth": c.Smoothed > 0, "bias-correction": c.Biases}
	var what []string
	for _, x := range c.Tried {
		what = append(what, x.What)
		if applied[x.What] != (float64(x.Harm) < worthwhile*best) {
			t.Errorf("%s: harm %v after %v, applied %v", x.What, x.Harm, best, applied[x.What])
		}
		if applied[x.What] {
			best = float64(x.Harm)
		}
	}
	if want := []string{"none", "equalize", "smooth", "bias-correction"}; !slices.Equal(what, want) {
		t.Errorf("tried %v, want %v", what, want)
	}

	job.Equalize, job.Smooth, job.CorrectBias = Always, 0.75, Always
	forced := prepared(t, job)
	if c = forced.result.Corrections; c.Equalized == 0 || c.Smoothed == 0 || !c.Biases || c.Alpha != 0.75 {
		t.Errorf("forced: got %+v", c)
	}
	o, err := forced.choosing.Outcomes(context.Background(), forced.graph)
	if err != nil {
		t.Fatal(err)
	}
	for i, noise := range o.Signals[0].Noise {
		if noise != 0 {
			t.Fatalf("equalised and smoothed: example %d is answered with an error of %v, want the same to the last bit", i, noise)
		}
	}

	job.Equalize, job.Smooth, job.CorrectBias = Never, -1, Never
	if c = prepared(t, job).result.Corrections; c.Equalized != 0 || c.Smoothed != 0 || c.Biases || len(c.Tried) != 1 || c.String() != "" {
		t.Errorf("forbidden: got %+v", c)
	}
}

// TestNothingRoundedNothingCorrected: where weights are only removed there is
// nothing to correct.
func TestNothingRoundedNothingCorrected(t *testing.T) {
	job := smallJob(t)
	job.Paths, job.Finetune = []string{"prune"}, -1
	if c := prepared(t, job).result.Corrections; c != nil {
		t.Errorf("got %+v, want none", c)
	}
}

// TestMoments against sums by hand, in batches of one and two.
func TestMoments(t *testing.T) {
	job := smallJob(t)
	job.Budget = compactify.Budget{Kind: compactify.LossRise, Limit: 10}
	w := prepared(t, job)
	seen, err := w.moments(context.Background(), w.graph)
	if err != nil {
		t.Fatal(err)
	}
	got := seen[w.graph.Inputs[0].Name]
	want := paths.Moments{Mean: make([]float64, 2), Peak: make([]float64, 2)}
	x := make([]float32, 2)
	for i := range w.ranging.Len() {
		w.ranging.Fill(x, i)
		for c, v := range x {
			want.Mean[c] += float64(v) / float64(w.ranging.Len())
			want.Peak[c] = max(want.Peak[c], math.Abs(float64(v)))
		}
	}
	for c := range x {
		if math.Abs(got.Mean[c]-want.Mean[c]) > 1e-9 || got.Peak[c] != want.Peak[c] {
			t.Errorf("channel %d: got mean %v and peak %v, want %v and %v", c, got.Mean[c], got.Peak[c], want.Mean[c], want.Peak[c])
		}
	}
	// Two channels of two elements each, two examples.
	m := paths.Moments{Mean: make([]float64, 2), Peak: make([]float64, 2)}
	addMoments(m, []float32{1, 2, -3, 4, 5, 6, 7, -8}, []int{2})
	if !slices.Equal(m.Mean, []float64{14, 0}) || !slices.Equal(m.Peak, []float64{6, 8}) {
		t.Errorf("got %+v, want sums 14 and 0, peaks 6 and 8", m)
	}
}

func TestCorrectionsInWords(t *testing.T) {
	c := Corrections{Equalized: 1, Smoothed: 2, Alpha: jsonnum.Float(0.5), Biases: true}
	if got, want := c.String(), "equalised the weights on both sides of 1 seam between layers; smoothed the activations of 2 seams (α = 0.5); corrected biases for the mean of what rounding changes"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
