package main

import (
	"context"
	"fmt"
	"io"
	"math"
	"time"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/spf13/cobra"
)

// blameFlags are the settings of blame.
type blameFlags struct {
	dataFlags
	gridFlags
	budget, output, compact string
	bits                    int
}

func (a *app) blameCommand() *cobra.Command {
	var f blameFlags
	c := &cobra.Command{
		Use:   "blame MODEL",
		Short: "Say which layer costs what when a model is compressed, and what would mend it",
		Long: `Say which layer costs what when a model is compressed, and what would mend it.

All layers of MODEL are stored with --bits, or as they are in the file that
--compact names, a compressed form of MODEL. Each is then measured twice: with only
it compressed, and with only it restored. The worst comes first:

    SNR         of the weights: the original's against the rounded ones
    KL          of the answers from the original's, with only this layer compressed
    outputs     their SNR against the original's, with only this layer compressed
    only        the metric with only this layer compressed
    restored    the metric with all layers but this one compressed
    fix         the change of least bytes that takes away nearly all the layer is to
                blame for, measured with all others compressed

At last the worst layers are mended, one after the other, until the model fits the
budget. Measured is on the selection examples, so that held-out ones stay unseen; no
fine-tuning is done. run does the same repair by itself where a budget fails.`,
		Example: "  compactify blame model.onnx --data digits/ --bits 4\n  compactify blame model.onnx --data digits/ --compact model.int8.onnx --json",
		Args:    want("MODEL"),
		RunE:    func(c *cobra.Command, args []string) error { return a.blame(c.Context(), f, args[0]) },
	}
	f.dataFlags.add(c)
	f.gridFlags.add(c, "")
	flags := c.Flags()
	flags.StringVar(&f.budget, "budget", compactify.DefaultBudget.String(), "what may be lost: 1pp, 0.05nats, kl:0.01 or snr:30")
	flags.StringVar(&f.output, "output", "", "the model's output that answers (default: the first)")
	flags.IntVar(&f.bits, "bits", 4, "bits per weight, 1 to 8")
	flags.StringVar(&f.compact, "compact", "", "a compressed form of MODEL to judge, instead of --bits")
	return c
}

// blameResult is the JSON object of blame.
type blameResult struct {
	*compress.Blame
	Model   string  `json:"model"`
	Compact string  `json:"compact,omitempty"`
	Budget  string  `json:"budget"`
	Seed    uint64  `json:"seed"`
	Seconds float64 `json:"seconds"`
}

func (a *app) blame(ctx context.Context, f blameFlags, model string) error {
	start := time.Now()
	budget, err := compactify.ParseBudget(f.budget)
	if err != nil {
		return usage(fmt.Errorf("--budget: %w", err))
	}
	job := compress.BlameJob{Budget: budget}
	if job.Scheme, err = f.scheme(); err != nil {
		return err
	}
	if job.Model, err = a.readPrepared(model); err != nil {
		return err
	}
	if f.compact != "" {
		if job.Compact, err = a.readPrepared(f.compact); err != nil {
			return err
		}
	}
	e, err := f.openFor(a, inputsOf(job.Model))
	if err != nil {
		return err
	}
	f.warnDefault(a, model)
	parts, err := compress.Divide(e.train, e.heldOut, true, a.seed)
	if err != nil {
		return err
	}
	if job.Eval, err = compress.NewEvaluator(ctx, job.Model, parts.Selection, f.output, a.pool, nil); err != nil {
		return f.meant(err)
	}
	job.Eval.JudgeFor(budget)
	job.Progress = func(done float64) { a.report.progress("measuring layers", done) }
	b, err := compress.MeasureBlame(ctx, job)
	if err != nil {
		return err
	}
	r := &blameResult{Blame: b, Model: model, Compact: f.compact, Budget: budget.String(), Seed: a.seed, Seconds: time.Since(start).Seconds()}
	return a.print(r, func(w io.Writer) { r.text(w, budget) })
}

// scheme is how all layers are stored. Mistakes are errors of usage.
func (f *blameFlags) scheme() (paths.Scheme, error) {
	set := f.command.Flags()
	for _, name := range append([]string{"bits"}, gridFlagNames...) {
		if f.compact != "" && set.Changed(name) {
			return paths.Scheme{}, usage(fmt.Errorf("--%s and --compact exclude each other", name))
		}
	}
	s, err := f.gridFlags.scheme(f.command, "quantize")
	if err != nil {
		return s, err
	}
	if s.Bits = f.bits; s.Ternary && !set.Changed("bits") {
		s.Bits = 2
	}
	if s.Bits < 1 || s.Bits > 8 {
		return s, usage(fmt.Errorf("--bits: got %d, want 1 to 8", s.Bits))
	}
	return s, nil
}

// readPrepared reads a model and brings it into the form that is worked on.
func (a *app) readPrepared(path string) (*graph.Graph, error) {
	g, _, err := a.readModel(path)
	if err != nil {
		return nil, err
	}
	g, _, err = compress.Prepare(g)
	return g, err
}

func (r *blameResult) text(w io.Writer, b compactify.Budget) {
	metric := func(x float64) string { return words.Metric(r.MetricName, x) }
	decibels := func(x jsonnum.Float) string { return words.Amount(compactify.MinSNR, float64(x)) }
	rows := [][]string{{"layer", "kind", "stored as", "SNR", "KL", "outputs", "only", "restored", "fix"}}
	for _, l := range r.Layers {
		fix := ""
		if l.Fix != nil {
			fix = l.Fix.Form + ": " + decibels(l.Fix.SNR)
			if !math.IsNaN(float64(l.Fix.KL)) {
				fix = fmt.Sprintf("%s: %s, KL %s", l.Fix.Form, metric(float64(l.Fix.Metric)), words.Number(float64(l.Fix.KL)))
			}
		}
		rows = append(rows, []string{l.Name, l.Kind, l.Form, decibels(l.SNR), words.Number(float64(l.KL)),
			decibels(l.OutputSNR), metric(float64(l.MetricOnly)), metric(float64(l.MetricRestored)), fix})
	}
	columns(w, rows)
	judged := func(m compress.BlameMeasure) string {
		used := words.UsedOf(b, float64(m.Spent))
		if !words.HasMetric(r.MetricName) {
			return used
		}
		return metric(float64(m.Metric)) + ", " + used
	}
	fmt.Fprintln(w)
	if words.HasMetric(r.MetricName) {
		fmt.Fprintf(w, "original    %s\n", metric(float64(r.Baseline.Metric)))
	}
	fmt.Fprintf(w, "compressed  %s\n", judged(r.Compressed))
	if r.File != nil {
		fmt.Fprintf(w, "the file    %s\n", judged(*r.File))
	}
	for _, s := range r.Repaired.Fixes {
		fmt.Fprintf(w, "repair      %s: %s instead of %s, %+d bytes: %s\n", s.Layer, s.To, s.From, s.Bytes, words.Used(b.Kind, float64(s.Spent)))
	}
	if len(r.Repaired.Fixes) > 0 {
		fmt.Fprintf(w, "repaired    %s\n", judged(r.Repaired.BlameMeasure))
	}
	for _, n := range r.Notes {
		fmt.Fprintf(w, "note        %s\n", n)
	}
	fmt.Fprintf(w, "measured    on %s; without fine-tuning\n", words.Count(r.Examples, "selection example", "selection examples"))
}
