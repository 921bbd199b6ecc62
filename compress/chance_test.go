package compress

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
)

// TestWilson: the example of R. G. Newcombe, "Two-sided confidence intervals for the
// single proportion", Statistics in Medicine 17 (1998), table I, method 3.
func TestWilson(t *testing.T) {
	for _, c := range []struct {
		right, n int
		lo, hi   float64
	}{
		{81, 263, 0.2553, 0.3662},
		{15, 148, 0.0624, 0.1605},
		{0, 20, 0, 0.1611},
		{1, 29, 0.0061, 0.1718},
	} {
		lo, hi := wilson(float64(c.right)/float64(c.n), c.n)
		if math.Abs(lo-c.lo) > 5e-5 || math.Abs(hi-c.hi) > 5e-5 {
			t.Errorf("%d of %d: got %.4f to %.4f, want %.4f to %.4f", c.right, c.n, lo, hi, c.lo, c.hi)
		}
	}
}

// TestHardlyBetterThanChance: labels that have nothing to do with the answers, and labels
// that always name the same class.
func TestHardlyBetterThanChance(t *testing.T) {
	rows := func(label func(i int) float64) [][]float64 {
		var list [][]float64
		for i := range 60 {
			list = append(list, []float64{float64(i % 2), float64(1 - i%2), label(i)}) // the top entry is 1 − i mod 2
		}
		return list
	}
	for _, c := range []struct {
		name  string
		label func(i int) float64
		says  string
	}{
		{"right", func(i int) float64 { return float64(1 - i%2) }, ""},
		{"wrong", func(i int) float64 { return float64(i % 2) }, "answers 0.0 % of the 60 held-out examples right, always answering their most frequent class 50.0 %"},
		{"unrelated", func(i int) float64 { return float64(i / 2 % 2) }, "answers 50.0 % of the 60 held-out examples right"},
		{"mostly unrelated", func(i int) float64 {
			if i < 48 {
				return float64(i / 2 % 2)
			}
			return float64(1 - i%2)
		}, "answers 60.0 % of the 60 held-out examples right"},
		{"mostly right", func(i int) float64 {
			if i < 20 {
				return float64(i / 2 % 2)
			}
			return float64(1 - i%2)
		}, ""},
		{"nearly all of one class", func(i int) float64 { return float64(i / 59) }, "most frequent class 98.3 %"},
	} {
		e, err := NewEvaluator(context.Background(), scaled(t, 2, 1, ""), numbers(t, data.Classify, rows(c.label)...), "", onePool(t), nil)
		if err != nil {
			t.Fatal(err)
		}
		o, err := e.Outcomes(context.Background(), scaled(t, 2, 1, ""))
		if err != nil {
			t.Fatal(err)
		}
		if got := e.hardlyBetterThanChance("held-out", o); (c.says == "") != (got == "") || !strings.Contains(got, c.says) {
			t.Errorf("%s: got %q, want %q in it", c.name, got, c.says)
		}
	}
}

// TestRunWarnsOfChance: a model that has learnt other labels than those it is judged
// by. The warning comes before the search, and once.
func TestRunWarnsOfChance(t *testing.T) {
	for name, turn := range map[string]func(*Job){
		"selection": func(job *Job) { job.Train = turned(t, 900); job.HeldOut = turned(t, 300) },
		"held-out":  func(job *Job) { job.HeldOut = turned(t, 300) },
	} {
		job := smallJob(t)
		job.Finetune = -1
		job.Notes = []string{"of the caller"}
		turn(&job)
		var told []string
		searching := false
		job.Warn = func(text string) { told = append(told, text) }
		job.Progress = func(stage string, _ float64) {
			searching = searching || strings.HasPrefix(stage, "walking") && len(told) == 0
		}
		r, err := runInto(t, context.Background(), job)
		var noFit *NoFitError
		if r == nil || err != nil && !errors.As(err, &noFit) {
			t.Fatal(err)
		}
		if len(told) != 1 || len(r.Warnings) != 1 || r.Warnings[0] != told[0] || !strings.Contains(told[0], name+" examples right") {
			t.Fatalf("%s: told %q, warnings %q, want one of the %s examples", name, told, r.Warnings, name)
		}
		if len(r.Notes) < 2 || r.Notes[0] != told[0] || r.Notes[1] != "of the caller" {
			t.Errorf("%s: got notes %q, want the warning first, then the caller's", name, r.Notes)
		}
		if late := searching; late != (name == "held-out") {
			t.Errorf("%s: the search began before the warning: got %v", name, late)
		}
	}
}

// turned are the clouds of [smallJob] under labels that each belong to the next cloud.
func turned(t *testing.T, n int) *data.Set {
	t.Helper()
	s := clouds(t, n)
	var rows [][]float64
	x := make([]float32, 2)
	for i := range n {
		s.Fill(x, i)
		rows = append(rows, []float64{float64(x[0]), float64(x[1]), float64((s.Label(i) + 1) % 3)})
	}
	return numbers(t, data.Classify, rows...)
}
