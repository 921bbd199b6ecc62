package compress

import (
	"context"
	"errors"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/engine"
)

// TestRunOverTheCapIsRefused before any work, with what takes the memory.
func TestRunOverTheCapIsRefused(t *testing.T) {
	job := smallJob(t)
	told := false
	job.MaxMemory, job.Estimated = 1<<20, func(MemoryEstimate) { told = true }
	job.Progress = func(stage string, _ float64) {
		if stage != "preparing" {
			t.Errorf("got to %q before the refusal", stage)
		}
	}
	_, err := runInto(t, context.Background(), job)
	var short *engine.MemoryError
	if !errors.As(err, &short) || short.Limit != 1<<20 || short.Need <= 1<<20 || told {
		t.Errorf("got %v, want a memory error of more than %d bytes", err, 1<<20)
	}
}

// TestEstimateOfMemory: the parts make up the sum; fine-tuning and calibration
// count where there are any; and a cap leaves less room for garbage.
func TestEstimateOfMemory(t *testing.T) {
	job := smallJob(t)
	job.Budget = compactify.Budget{Kind: compactify.MetricDrop, Limit: 50}
	estimate := func(change func(*Job)) map[string]int {
		t.Helper()
		j := job
		var got MemoryEstimate
		j.Estimated = func(m MemoryEstimate) { got = m }
		change(&j)
		w := &work{Job: j, result: newResult(j)}
		if err := w.prepare(context.Background()); err != nil {
			t.Fatal(err)
		}
		parts, sum := make(map[string]int), 0
		for _, p := range got.Parts {
			parts[p.What] = p.Bytes
			sum += p.Bytes
		}
		if sum != got.Bytes || got.Bytes != w.result.MemoryBytes || got.Need > got.Bytes || got.Need < ProgramBytes {
			t.Errorf("got %+v of parts that sum to %d", got, sum)
		}
		return parts
	}
	tuned := estimate(func(*Job) {})
	if tuned["fine-tuning"] == 0 || tuned["examples"] < 900*2*4 {
		t.Errorf("with fine-tuning: got %v", tuned)
	}
	plain := estimate(func(j *Job) { j.Finetune, j.Activation = -1, true })
	if plain["fine-tuning"] != 0 || plain["calibration"] == 0 || plain["evaluation"] == 0 {
		t.Errorf("without fine-tuning, with 8-bit activations: got %v", plain)
	}
	capped := estimate(func(j *Job) { j.MaxMemory = 8 * ProgramBytes })
	if capped["garbage to be collected"] > tuned["garbage to be collected"] {
		t.Errorf("garbage: got %v under a cap, %v without", capped, tuned)
	}
}
