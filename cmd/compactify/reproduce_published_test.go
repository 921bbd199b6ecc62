package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/internal/published"
)

// TestExperimentTable: rows, differences and the gap are those of the answers, on the
// page and in the JSON.
func TestExperimentTable(t *testing.T) {
	e := published.Experiment{Name: "some", About: "Somebody: something", Source: "a paper", Notes: []string{"a note"},
		Rows: []published.Row{{Name: "plain", Error: 2}, {Name: "better", Error: 1, Spread: 0.1}, {Name: "worse", Error: 1}},
		Gap:  published.Gap{Published: 1, Least: 0.5}}
	wrong := func(n int) []float64 { // of a thousand
		return append(make([]float64, n), slices.Repeat([]float64{1}, 1000-n)...)
	}
	r := &experimentResult{Table: "some", Length: published.Short, Rows: []experimentRow{}, experiment: &e, missing: 3, command: "compactify reproduce some"}
	for i, n := range []int{20, 12, 40} {
		runs := []published.Run{{Seed: 1, Error: float64(n) / 10, Epoch: 7, Epochs: 9, Seconds: 2}}
		r.add(published.Result{Row: e.Rows[i], Runs: runs, Right: wrong(n), Examples: 1000})
		if i == 1 && !strings.Contains(string(r.markdown()), "Not finished: 1 row is missing.") {
			t.Errorf("an unfinished page: got\n%s", r.markdown())
		}
	}
	page := string(r.markdown())
	for _, want := range []string{
		"# Somebody: something\n", "Written by `compactify reproduce some --out FILE`", "Published: a paper.", "* a note\n",
		"| plain | 2.00 % | 2.00 % [", "| better | 1.00 ± 0.10 % | 1.20 % [0.", "] | 0.80 pp [0.", "| −2.00 pp [−2.", "| 1.00 pp | 1 | 9 | 7 | 2 | yes |", "| **no** |",
		"better errs by 0.80 pp [", "less than plain; published 1.00 pp, required 0.50 pp: reached.",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q:\n%s", want, page)
		}
	}
	var b bytes.Buffer
	if r.text(&b); !strings.Contains(b.String(), "1.00 ± 0.10 %") {
		t.Errorf("got text\n%s", b.String())
	}
	object, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Rows []struct {
			Name, Source        string
			Published, Measured float64
			OK                  bool
		}
		Gap struct {
			Row, Than string
			OK        bool
		}
	}
	if err := json.Unmarshal(object, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 3 || got.Rows[1].Measured != 1.2 || got.Rows[1].Source != "a paper" || !got.Rows[1].OK || got.Rows[2].OK || got.Gap.Row != "better" || got.Gap.Than != "plain" || !got.Gap.OK {
		t.Errorf("got JSON %s", object)
	}
}

func TestChosenRows(t *testing.T) {
	for _, e := range published.Experiments {
		for _, row := range e.Rows {
			if rows, err := chosenRows(&e, []string{row.Name}); err != nil || len(rows) != 1 || strings.Contains(row.Name, ",") {
				t.Errorf("%s: row %q cannot be asked for: %v", e.Name, row.Name, err)
			}
		}
	}
}
