package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/structure"
)

// dryRun is the JSON object of walk --dry-run.
type dryRun struct {
	Model string `json:"model"`
	Kind  string `json:"kind"`
	*compress.Structure
	Notes []string `json:"notes,omitempty"`
}

// dryRun prints what a path would cut out, without measuring anything.
func (a *app) dryRun(ctx context.Context, model string, k paths.Kind, o paths.Options) error {
	if !slices.Contains(structured, k.Name) {
		return usage(fmt.Errorf("--dry-run: of no meaning to walk %s: want prune-channels or prune-blocks", k.Name))
	}
	original, _, err := a.readModel(model)
	if err != nil {
		return err
	}
	g, notes, err := compress.Prepare(original)
	if err != nil {
		return err
	}
	path, err := k.New(g, o)
	p, _ := path.(compress.StructuredPath)
	var found *structure.Analysis
	var none *paths.NothingError
	switch {
	case errors.As(err, &none):
		found, p = none.Analysis, nil
		notes = append(notes, none.Error())
	case err != nil:
		return err
	default:
		found = p.Analysis()
	}
	s, err := compress.DescribeStructure(ctx, g, found, k.Name == "prune-blocks", p)
	if err != nil {
		return err
	}
	r := dryRun{Model: model, Kind: k.Name, Structure: s, Notes: notes}
	return a.print(r, func(w io.Writer) { r.text(w) })
}

func (r *dryRun) text(w io.Writer) {
	for _, g := range r.Groups {
		each := "each frees"
		if g.Channels == 1 {
			each = "frees"
		}
		name, unit := g.Name, strings.TrimSuffix(g.Kind, "s")
		if g.Kind == "block" {
			name = strings.TrimPrefix(name, "block ")
		}
		fmt.Fprintf(w, "group     %s: %s, %d can go, %s %s\n", name, words.Count(g.Channels, unit, unit+"s"), g.Removable, each, words.Size(g.Bytes))
		for _, t := range g.Params {
			switch {
			case t.Axis < 0:
				fmt.Fprintf(w, "          zero if %s is\n", t.Name)
			case t.Each == 1:
				fmt.Fprintf(w, "          with %s, axis %d\n", t.Name, t.Axis)
			default:
				fmt.Fprintf(w, "          with %s, axis %d, %d indices each\n", t.Name, t.Axis, t.Each)
			}
		}
	}
	for _, f := range r.Refused {
		fmt.Fprintf(w, "refused   %s, %s: %s\n", f.Name, words.Count(f.Channels, "channel", "channels"), f.Reason)
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note      %s\n", note)
	}
	if r.Proof.Removals == 0 {
		return
	}
	fmt.Fprintf(w, "\nshapes    proven: %s tried, %s inferred anew and as expected, inputs and outputs unchanged\n",
		words.Count(r.Proof.Removals, "removal", "removals"), words.Count(r.Proof.Shapes, "shape", "shapes"))
	fmt.Fprintf(w, "size      %s, at t = 1 %s\n", words.Size(r.Sizes.Bytes), words.Size(r.Sizes.Least))
}

// walkLatency is how long one example takes in this program before and after,
// on this CPU.
type walkLatency struct {
	Original *latencyInfo `json:"original"`
	Furthest *latencyInfo `json:"furthest,omitempty"` // nil if the furthest model is the original
}

// latencies measures what a walk that changes the structure gained. What cannot be
// timed, as a model may need other sizes of unknown dimensions, is noted: the
// profile stands without it.
func (w *walker) latencies(ctx context.Context, r *walkResult) error {
	if _, ok := w.path.(compress.StructuredPath); !ok {
		return nil
	}
	measure := func(t float64) (*latencyInfo, error) {
		g, err := w.at(ctx, t)
		if err != nil {
			return nil, err
		}
		l, _, err := w.timeOne(ctx, g)
		return l, err
	}
	w.report.progress("timing", 0)
	original, err := measure(0)
	var furthest *latencyInfo
	if err == nil && r.FurthestT > 0 {
		furthest, err = measure(float64(r.FurthestT))
	}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		r.Notes = append(r.Notes, fmt.Sprintf("not timed: %v", err))
	default:
		r.Latency = &walkLatency{Original: original, Furthest: furthest}
	}
	return nil
}

func (l *walkLatency) text(w io.Writer) {
	if l == nil {
		return
	}
	fmt.Fprintf(w, "latency   %s per example (%s)", words.Milliseconds(float64(l.Original.MedianMS)), l.Original.interval())
	if l.Furthest != nil {
		fmt.Fprintf(w, ", furthest %s (%s): %s×", words.Milliseconds(float64(l.Furthest.MedianMS)), l.Furthest.interval(),
			words.Fixed(float64(l.Original.MedianMS/l.Furthest.MedianMS), 2))
	}
	fmt.Fprintln(w)
}
