package compress

import (
	"context"
	"testing"

	"github.com/compactify/compactify"
)

// TestRepair: where a plan is outside the budget, the layer that mends most per byte
// is set a step back; the outcome is never larger than what was found before, and a
// repair that is said to fit is among the trials.
func TestRepair(t *testing.T) {
	repaired := false
	for _, limit := range []float64{0.002, 0.005, 0.01, 0.02, 0.05} {
		job := smallJob(t)
		job.Finetune, job.Budget = -1, compactify.Budget{Kind: compactify.KLFrom, Limit: limit}
		r, err := runInto(t, context.Background(), job)
		if r == nil {
			t.Fatal(err)
		}
		for _, x := range r.Repairs {
			repaired = true
			found := false
			for _, trial := range r.Trials {
				found = found || trial.Bytes == x.Bytes && trial.Spent == x.Spent && trial.Fits == x.Fits
			}
			if !found || x.Name == "" || x.From == x.To {
				t.Errorf("kl:%v: repair %+v: no trial is like it", limit, x)
			}
		}
		for _, trial := range r.Trials {
			if err == nil && trial.Fits && trial.Bytes < r.Compact.Bytes-8 {
				t.Errorf("kl:%v: a trial of %d bytes fits, chosen were %d", limit, trial.Bytes, r.Compact.Bytes)
			}
		}
	}
	if !repaired {
		t.Error("no budget led to a repair")
	}
}
