package main

import (
	"cmp"
	"fmt"
	"io"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/internal/words"
)

// summarize writes a run's result as a table that needs no manual.
func summarize(w io.Writer, r *compress.Result, name string) {
	b := compactify.Budget{Kind: compactify.BudgetKind(r.Budget.Kind), Limit: float64(r.Budget.Limit)}
	metric := r.Baseline.MetricName
	before, after := r.Baseline, r.Compact
	fmt.Fprintf(w, "%s, measured on %s of %s\n\n", name, words.Count(r.Budget.Examples, "held-out example", "held-out examples"), cmp.Or(r.Data.Eval, r.Data.Source))
	rows := [][]string{{"", "before", "after", ""},
		{"size on disk", words.Size(before.Bytes), words.Size(after.Bytes), words.Smaller(before.Bytes, after.Bytes)}}
	if !math.IsNaN(float64(before.Metric)) {
		rows = append(rows, []string{metric, words.Metric(metric, float64(before.Metric)), words.Metric(metric, float64(after.Metric)), ""})
	}
	rows = append(rows,
		[]string{words.LossName(metric), words.Number(float64(before.Loss)), words.Number(float64(after.Loss)), ""},
		[]string{"weights not zero", words.Grouped(before.Params), words.Grouped(after.ParamsNonzero), "(before: all weights)"},
		[]string{"time per example", words.Milliseconds(float64(before.LatencyMS)), words.Milliseconds(float64(after.LatencyMS)), words.Speed(float64(before.LatencyMS), float64(after.LatencyMS))},
		[]string{"  95 % interval", interval(before.Latency), interval(after.Latency), "(of the median, on this CPU)"})
	columns(w, rows)
	fmt.Fprintf(w, "\nbudget    %s: %s\n", r.Budget.Verdict, words.Limit(b, metric))
	measured := words.Amount(b.Kind, float64(r.Budget.Measured))
	if b.Kind == compactify.MinSNR {
		measured += " (" + words.NoiseShare(float64(r.Budget.Measured)) + ")"
	}
	fmt.Fprintf(w, "          measured %s, 95 %% interval %s to %s\n", measured,
		words.Amount(b.Kind, float64(r.Budget.CI95[0])), words.Amount(b.Kind, float64(r.Budget.CI95[1])))
	for i, leg := range r.Paths {
		head := "how       "
		if i > 0 {
			head = "          "
		}
		fmt.Fprintf(w, "%s%s\n", head, legText(leg))
	}
	v := r.Verify
	fmt.Fprintf(w, "verified  the file, read back: largest difference %s, allowed %s; %s between nodes compared\n",
		words.Number(float64(v.MaxAbsErr)), words.Number(float64(v.Tolerance)), words.Count(v.Nodes, "value", "values"))
	fmt.Fprintf(w, "          fast kernels against portable ones: largest difference %s, allowed %s\n", words.Number(float64(v.Fast)), words.Number(float64(v.FastLimit)))
	fmt.Fprintf(w, "search    %s measured, %s fine-tuned, %s measured before\n", words.Count(r.Evaluations, "model", "models"), words.Grouped(r.Tunings), words.Grouped(r.CacheHits))
	for _, x := range r.Repairs {
		fmt.Fprintf(w, "repaired  %s: %s instead of %s, then %s\n", x.Name, x.To, x.From, words.Used(b.Kind, float64(x.Spent)))
	}
	for i, note := range r.Notes {
		head := "note      "
		if i < len(r.Warnings) {
			head = "warning   "
		}
		fmt.Fprintf(w, "%s%s\n", head, note)
	}
	fmt.Fprintf(w, "\nmodel     %s\nreport    %s  (opens in a browser)\n", r.Files.Model, r.Files.Report)
}

// interval is the interval of a latency.
func interval(l compress.Latency) string {
	return words.Milliseconds(float64(l.LatencyLow)) + " to " + words.Milliseconds(float64(l.LatencyHigh))
}

func legText(leg compress.Leg) string {
	switch leg.Kind {
	case "prune":
		return words.Percent(float64(leg.Param), 1) + " of the weights removed"
	case "prune-channels":
		return words.Percent(float64(leg.Param), 1) + " of the channels removed, the layers are narrower"
	case "prune-blocks":
		return words.Percent(float64(leg.Param), 1) + " of the residual blocks removed"
	case "quantize":
		return words.Significant(float64(leg.Param), 3) + " bits per weight instead of 32"
	}
	return fmt.Sprintf("path %s to t = %s", leg.Kind, words.Significant(float64(leg.T), 3))
}
