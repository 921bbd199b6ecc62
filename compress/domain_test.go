package compress

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
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
