package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/published"
	"github.com/compactify/compactify/internal/words"
)

// experimentTables are the tables of papers.
func experimentTables() []table {
	var list []table
	for _, e := range published.Experiments {
		list = append(list, table{name: e.Name, about: e.About, experiment: &e})
	}
	return list
}

// chosenRows are the rows of an experiment that --only asks for.
func chosenRows(e *published.Experiment, only []string) ([]published.Row, error) {
	var rows []published.Row
	for _, r := range e.Rows {
		if len(only) == 0 || slices.Contains(only, r.Name) {
			rows = append(rows, r)
		}
	}
	for _, name := range only {
		if !slices.ContainsFunc(e.Rows, func(r published.Row) bool { return r.Name == name }) {
			return nil, usage(fmt.Errorf("--only %q: there is no such row", name))
		}
	}
	return rows, nil
}

// experimentResult is the JSON object of reproduce for a paper's table. Errors are
// percentages of the test examples, differences percentage points.
type experimentResult struct {
	Table   string           `json:"table"`
	Length  published.Length `json:"length"`
	Rows    []experimentRow  `json:"rows"`
	Gap     *experimentGap   `json:"gap,omitempty"`
	File    string           `json:"file,omitempty"`
	Machine string           `json:"machine"`
	Date    string           `json:"date"`
	Version string           `json:"version"`
	Seed    uint64           `json:"seed"`
	Seconds float64          `json:"seconds"`

	experiment *published.Experiment
	results    []published.Result
	command    string
	missing    int // rows that are still to come
}

// experimentRow is one network.
type experimentRow struct {
	Name      string           `json:"name"`
	Published float64          `json:"published"`
	Spread    float64          `json:"spread,omitempty"` // published with it, after ±
	Source    string           `json:"source"`
	Measured  jsonnum.Float    `json:"measured"`
	CI95      [2]jsonnum.Float `json:"ci95"` // over test examples
	OK        bool             `json:"ok"`
	Against   *experimentGap   `json:"against,omitempty"`
	Runs      []published.Run  `json:"runs"`
}

// experimentGap is how much smaller one row's error is than another's.
type experimentGap struct {
	Row       string           `json:"row"`                // that has the smaller error, or should
	Than      string           `json:"than"`               // the other
	Published float64          `json:"published"`          // of the two
	Required  float64          `json:"required,omitempty"` // 0: nothing is
	Measured  jsonnum.Float    `json:"measured"`
	CI95      [2]jsonnum.Float `json:"ci95"` // paired, over test examples
	OK        bool             `json:"ok"`
}

// reproduceExperiment trains the networks of a paper's table.
func (a *app) reproduceExperiment(ctx context.Context, f reproduceFlags, e *published.Experiment) error {
	start := time.Now()
	rows, err := chosenRows(e, f.only)
	if err != nil {
		return err
	}
	source, err := data.Open(filepath.Join(f.data, e.Data), data.Options{Seed: a.seed})
	if err != nil {
		return err
	}
	r := &experimentResult{Table: e.Name, Length: published.Short, Rows: []experimentRow{}, File: a.out, Machine: machine(),
		Date: start.UTC().Format(time.DateOnly), Version: compress.Version, Seed: a.seed, experiment: e, missing: len(rows), command: "compactify reproduce " + e.Name}
	switch {
	case f.quick:
		r.Length, r.command = published.Quick, r.command+" --quick"
	case f.full:
		r.Length, r.command = published.Full, r.command+" --full"
	}
	err = e.Run(ctx, source, rows, published.Setting{Length: r.Length, Seed: a.seed, Pool: a.pool, Progress: a.report.progress, Done: func(row published.Result) error {
		r.add(row)
		r.Seconds = time.Since(start).Seconds()
		if a.out == "" {
			return nil
		}
		if err := a.writeFile(a.out, r.markdown()); err != nil {
			return err
		}
		a.force = true // from here on the file is this run's own
		return nil
	}})
	if err != nil {
		return err
	}
	return a.print(r, func(w io.Writer) { r.text(w) })
}

// add takes a row that was computed.
func (r *experimentResult) add(x published.Result) {
	percent, lo, hi := x.Error()
	row := experimentRow{Name: x.Row.Name, Published: x.Row.Error, Spread: x.Row.Spread, Source: r.experiment.Source,
		Measured: jsonnum.Float(percent), CI95: [2]jsonnum.Float{jsonnum.Float(lo), jsonnum.Float(hi)}, OK: x.OK(), Runs: x.Runs}
	r.results, r.missing = append(r.results, x), r.missing-1
	first := r.results[0]
	if first.Row.Name == r.experiment.Rows[0].Name && x.Row.Name != first.Row.Name {
		row.Against = newGap(x, first, 0)
	}
	r.Rows = append(r.Rows, row)
	if best := published.Best(r.results); row.Against != nil && r.experiment.Gap.Least > 0 && best.Row.Name != first.Row.Name {
		r.Gap = newGap(best, first, r.experiment.Gap.Least)
		r.Gap.Published = r.experiment.Gap.Published
	}
}

// newGap compares two rows on the same examples.
func newGap(x, than published.Result, required float64) *experimentGap {
	points, lo, hi := x.Less(than)
	return &experimentGap{Row: x.Row.Name, Than: than.Row.Name, Published: than.Row.Error - x.Row.Error, Required: required,
		Measured: jsonnum.Float(points), CI95: [2]jsonnum.Float{jsonnum.Float(lo), jsonnum.Float(hi)}, OK: points >= required}
}

var experimentHead = []string{"network", "published error", "measured error [95 % interval]", "less than the first row [paired 95 %]", "published less", "networks", "epochs", "kept", "seconds", "ok"}

// cells are what the table shows of a row.
func (r experimentRow) cells() []string {
	name, ok := r.Name, "**no**"
	if r.OK {
		ok = "yes"
	}
	printed := words.Fixed(r.Published, 2) + " %"
	if r.Spread > 0 {
		printed = words.Fixed(r.Published, 2) + " ± " + words.Fixed(r.Spread, 2) + " %"
	}
	less, lessPublished := "", ""
	if g := r.Against; g != nil {
		less, lessPublished = g.measured(), words.Fixed(g.Published, 2)+" pp"
	}
	var kept []string
	seconds := 0.0
	for _, x := range r.Runs {
		kept = append(kept, fmt.Sprint(x.Epoch))
		seconds += x.Seconds
	}
	return []string{name, printed, fmt.Sprintf("%s %% [%s, %s]", words.Fixed(float64(r.Measured), 2), words.Fixed(float64(r.CI95[0]), 2), words.Fixed(float64(r.CI95[1]), 2)),
		less, lessPublished, fmt.Sprint(len(r.Runs)), fmt.Sprint(r.Runs[0].Epochs), strings.Join(kept, ", "), fmt.Sprintf("%.0f", seconds), ok}
}

// measured is the difference with its interval.
func (g experimentGap) measured() string {
	return fmt.Sprintf("%s pp [%s, %s]", words.Fixed(float64(g.Measured), 2), words.Fixed(float64(g.CI95[0]), 2), words.Fixed(float64(g.CI95[1]), 2))
}

// sentence says whether the gap is as required.
func (g experimentGap) sentence() string {
	verdict := "reached"
	if !g.OK {
		verdict = "not reached"
	}
	return fmt.Sprintf("%s errs by %s less than %s; published %s pp, required %s pp: %s.", g.Row, g.measured(), g.Than, words.Fixed(g.Published, 2), words.Fixed(g.Required, 2), verdict)
}

// lengths say how long the networks trained.
var lengths = map[published.Length]string{
	published.Quick: "just long enough to see that it runs; the errors say nothing yet",
	published.Short: "shortened; --full trains as long as published",
	published.Full:  "as long as published",
}

// markdown is the table as a page.
func (r *experimentResult) markdown() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# %s\n\nWritten by `%s --out FILE`, version %s, seed %d, on %s, %s. No figure is typed by hand.\n", r.experiment.About, r.command, r.Version, r.Seed, r.Date, r.Machine)
	fmt.Fprintf(&b, "Training was %s.\n\nPublished: %s.\n\n", lengths[r.Length], r.experiment.Source)
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.Join(experimentHead, " | "), strings.Repeat("---|", len(experimentHead)))
	for _, row := range r.Rows {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row.cells(), " | "))
	}
	if r.missing > 0 {
		fmt.Fprintf(&b, "\nNot finished: %s missing.\n", words.Count(r.missing, "row is", "rows are"))
	}
	if r.Gap != nil {
		fmt.Fprintf(&b, "\n%s\n", r.Gap.sentence())
	}
	fmt.Fprintf(&b, "\nA row is ok if its error is not larger than published, spread included, or only within its interval.\n\n")
	for _, note := range r.experiment.Notes {
		fmt.Fprintf(&b, "* %s\n", note)
	}
	return b.Bytes()
}

func (r *experimentResult) text(w io.Writer) {
	rows := [][]string{experimentHead}
	for _, row := range r.Rows {
		rows = append(rows, row.cells())
	}
	columns(w, rows)
	if r.Gap != nil {
		fmt.Fprintf(w, "\n%s\n", r.Gap.sentence())
	}
	fmt.Fprintf(w, "training was %s\n", lengths[r.Length])
}
