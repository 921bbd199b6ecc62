package compress

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/run"
)

// scripted makes a trial of rung i that fits up to the edge, and records the
// order.
func scripted(edge int, order *[]int) func(i int) (*trial, error) {
	return func(i int) (*trial, error) {
		*order = append(*order, i)
		t := &trial{bytes: 1000 - i}
		t.contract = Contract{Kind: "pp", Limit: 1, CI95: [2]jsonnum.Float{0, 2}}
		if i <= edge {
			t.contract.CI95[1] = 1
		}
		return t, nil
	}
}

// TestLastThatFits finds every edge of every short list from every guess, none
// twice, and within 3 + ⌈log₂ n⌉ trials without a guess.
func TestLastThatFits(t *testing.T) {
	never := func(int, int) bool { return false }
	for n := 1; n <= 40; n++ {
		for edge := -1; edge < n; edge++ {
			for guess := -1; guess < n; guess++ {
				var order []int
				best, err := lastThatFits(n, guess, never, halfway, scripted(edge, &order))
				if err != nil || (best == nil) != (edge < 0) || best != nil && best.bytes != 1000-edge {
					t.Fatalf("%d plans, the first %d fit, guess %d: got %+v, error %v", n, edge+1, guess, best, err)
				}
				seen := make(map[int]bool)
				for _, i := range order {
					if seen[i] || i < 0 || i >= n {
						t.Errorf("%d plans, guess %d: tried %v, want each at most once", n, guess, order)
					}
					seen[i] = true
				}
				if most := 3 + int(math.Ceil(math.Log2(float64(n)))); guess < 0 && len(order) > most {
					t.Errorf("%d plans, edge %d: %d trials, want at most %d", n, edge, len(order), most)
				}
				if guess >= 0 && guess == edge && len(order) > 5+int(math.Log2(float64(n))) {
					t.Errorf("%d plans, edge %d guessed: tried %v", n, edge, order)
				}
			}
		}
	}
	var order []int
	if _, err := lastThatFits(9, -1, never, halfway, scripted(8, &order)); err != nil || !reflect.DeepEqual(order, []int{8}) {
		t.Errorf("everything fits: tried %v, error %v, want the last alone", order, err)
	}
	order = nil
	close := func(lo, hi int) bool { return hi-lo <= 8 }
	if best, err := lastThatFits(64, -1, close, halfway, scripted(40, &order)); err != nil || best.bytes < 1000-40 || best.bytes > 1000-32 {
		t.Errorf("near enough: tried %v, got %+v, error %v", order, best, err)
	}
	stop := errors.New("stop")
	if _, err := lastThatFits(9, -1, never, halfway, func(int) (*trial, error) { return nil, stop }); err != stop {
		t.Errorf("an error: got %v, want it back", err)
	}
}

// TestNeeds: the worse of the two opinions counts, and twice the estimate where
// the examples are too few for an interval.
func TestNeeds(t *testing.T) {
	pp := func(measured, hi float64) Contract {
		return Contract{Kind: "pp", Limit: 1, Measured: jsonnum.Float(measured), CI95: [2]jsonnum.Float{-1, jsonnum.Float(hi)}}
	}
	snr := Contract{Kind: "snr", Limit: 30, Measured: 33, CI95: [2]jsonnum.Float{31, 35}}
	lower := snr
	lower.Measured = 29
	inf := jsonnum.Float(math.Inf(1))
	silent := Contract{Kind: "snr", Limit: 30, Measured: inf, CI95: [2]jsonnum.Float{inf, inf}}
	varied, joint, worse := pp(0.9, 2), pp(0.4, 0.8), pp(1.2, 1.6)
	for _, c := range []struct {
		name string
		t    trial
		want float64
		fits bool
	}{
		{"interval", trial{contract: pp(0.2, 0.7)}, 0.7, true},
		{"second opinion", trial{contract: pp(0.2, 0.7), varied: &varied}, 0.9, true},
		{"few examples", trial{contract: pp(0.4, 1.6), tooFew: true}, 0.8, true},
		{"few examples, too far", trial{contract: pp(0.6, 1.6), tooFew: true}, 1.2, false},
		{"ratio", trial{contract: snr}, 31, true},
		{"together with the copies", trial{contract: pp(0.5, 1.1), joint: &joint, varied: &joint}, 0.8, true},
		{"copies that are worse by themselves", trial{contract: pp(0.5, 1.1), joint: &joint, varied: &worse}, 1.2, false},
		{"few plans, luck", trial{contract: pp(0.2, 0.9), lucky: luck}, 1.1199454756425664, false},
		{"no noise at all", trial{contract: silent, lucky: 2}, math.Inf(1), true},
		{"by probabilities", trial{contract: pp(0.5, 1.1), doubted: &joint}, 0.8, true},
		{"by probabilities, against the copies", trial{contract: pp(0.5, 1.1), doubted: &joint, varied: &worse}, 1.2, false},
		{"ratio, second opinion", trial{contract: snr, varied: &lower}, 29, false},
	} {
		if got := c.t.needs(); got != c.want && !(math.Abs(got-c.want) < 1e-12) || c.t.fits() != c.fits {
			t.Errorf("%s: needs %v and fits %v, want %v and %v", c.name, got, c.t.fits(), c.want, c.fits)
		}
	}
}

// TestOriginalFits: whatever the number of selection examples, the original itself is
// inside the budget, so that something can be chosen. With 150 to 260 the interval
// of 95 % is inside one percentage point, and that of 99 % is not.
func TestOriginalFits(t *testing.T) {
	job := smallJob(t)
	job.Finetune = -1
	job.Budget = compactify.DefaultBudget
	for _, n := range []int{60, 440, 900} {
		job.Train, job.HeldOut = clouds(t, n), clouds(t, 300)
		w := prepared(t, job)
		var err error
		if w.folder, err = run.Create(filepath.Join(t.TempDir(), "out"), false); err != nil {
			t.Fatal(err)
		}
		original, err := w.try(context.Background(), Plan{}.clone(), 0, nil)
		if err != nil {
			t.Fatal(err)
		}
		if !original.fits() {
			t.Errorf("%d selection examples: the original needs %v of %v", w.chosen.Len(), original.needs(), job.Budget)
		}
	}
}

// TestSNRKeepsAMarginForHeldOutExamples: with n examples to choose by and n held
// out, the worse end of the held-out interval lies 1 + 0.84·√2 half widths from the
// estimate, 95 times in a hundred; with fewer held out, further. 0.84 is the 95 %
// point of the normal distribution in half widths, 1.645/1.960.
func TestSNRKeepsAMarginForHeldOutExamples(t *testing.T) {
	set := clouds(t, 120)
	for _, c := range []struct {
		chosen, heldOut int
		want            float64
	}{{60, 60, 1 + 1.644854/1.959964*math.Sqrt2}, {60, 15, 2 + 1.644854/1.959964*math.Sqrt(5)}} {
		w := &work{Job: Job{Budget: compactify.Budget{Kind: compactify.MinSNR, Limit: 30}, HeldOut: firstExamples(set, c.heldOut)}, chosen: firstExamples(set, c.chosen)}
		if got := w.lucky(); math.Abs(got-c.want) > 1e-5 {
			t.Errorf("%d to choose by, %d held out: got %v half widths, want %v", c.chosen, c.heldOut, got, c.want)
		}
	}
}

// TestProgressNeverFalls: the share of the work that is done only grows, to all but
// the end.
func TestProgressNeverFalls(t *testing.T) {
	job := smallJob(t)
	job.Budget.Limit = 3
	last, stages := 0.0, make(map[string]bool)
	job.Progress = func(stage string, done float64) {
		if done < last-1e-9 || done > 1 {
			t.Errorf("%s: got %v of the work done after %v", stage, done, last)
		}
		last = max(last, done)
		stages[stage] = true
	}
	if _, err := runInto(t, context.Background(), job); err != nil {
		t.Fatal(err)
	}
	if last < 0.9 || len(stages) < 6 {
		t.Errorf("got %v of the work done at the end, stages %v", last, stages)
	}
}

// TestDivideWithoutTraining: where nothing is trained, what does not calibrate
// selects, and the parts stay disjoint.
func TestDivideWithoutTraining(t *testing.T) {
	set, heldOut := clouds(t, 2000), clouds(t, 100)
	for _, c := range []struct {
		trains              bool
		training, selection int
	}{{true, 1600, 400}, {false, maxProbe, 2000 - maxProbe}} {
		p, err := Divide(set, heldOut, c.trains, 1)
		if err != nil || p.Training.Len() != c.training || p.Selection.Len() != c.selection || p.Calibration.Len() != maxProbe {
			t.Errorf("trains %v: got %d, %d and %d examples, error %v, want %d, %d and %d", c.trains, p.Training.Len(), p.Selection.Len(), p.Calibration.Len(), err, c.training, c.selection, maxProbe)
		}
	}
}
