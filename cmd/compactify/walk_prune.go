package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/spf13/cobra"
)

// pruneFlags say how walk prune removes weights.
type pruneFlags struct {
	score, pattern, schedule string
	rewind                   int
	perLayer, exact          bool
}

func (f *pruneFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVar(&f.perLayer, "per-layer", false, "prune, prune-channels: the same fraction of every layer")
	flags.StringVar(&f.score, "score", "magnitude", "prune, prune-channels, prune-blocks: what goes first: magnitude, least |θ|, or taylor, least |θ·∂L/∂θ| over calibration examples\n(of labels; without, of labels drawn from the model's answers)")
	flags.StringVar(&f.pattern, "pattern", "none", "prune: what goes together: none, N:M (of every M successive inputs of a channel N stay; at t = 1 none),\nor ROWSxCOLUMNS blocks of output channels by inputs, such as 16x1")
	flags.StringVar(&f.schedule, "schedule", "oneshot", "prune, with --finetune: oneshot, cubic (in the course of the training) or lottery (in rounds,\neach a fifth of what is left, rewound)")
	flags.IntVar(&f.rewind, "rewind", 0, "lottery: rewind to the weights after this many epochs of training; 0: to the model's own")
	flags.BoolVar(&f.exact, "exact", false, "prune: measure at every threshold at which the loss can jump, for small models")
}

// structured are the kinds that cut out what else is scored like weights.
var structured = []string{"prune-channels", "prune-blocks"}

// pruneFlagNames are the flags that walk prune alone takes.
var pruneFlagNames = []string{"pattern", "schedule", "rewind", "exact"}

// check finds mistakes, which are errors of usage. tuned says whether there is
// fine-tuning.
func (f *pruneFlags) check(c *cobra.Command, kind string, tuned bool) error {
	for _, name := range pruneFlagNames {
		if kind != "prune" && c.Flags().Changed(name) {
			return usage(fmt.Errorf("--%s: of no meaning to walk %s: want prune", name, kind))
		}
	}
	if scored := kind == "prune" || slices.Contains(structured, kind); !scored && c.Flags().Changed("score") {
		return usage(fmt.Errorf("--score: of no meaning to walk %s: want prune, prune-channels or prune-blocks", kind))
	}
	_, patternErr := paths.ParsePattern(f.pattern)
	s, scheduleErr := paths.ParseSchedule(f.schedule)
	switch {
	case f.score != "magnitude" && f.score != "taylor":
		return usage(fmt.Errorf("--score %q: want magnitude or taylor", f.score))
	case patternErr != nil:
		return usage(fmt.Errorf("--pattern: %w", patternErr))
	case scheduleErr != nil:
		return usage(fmt.Errorf("--schedule: %w", scheduleErr))
	case s != paths.OneShot && !tuned:
		return usage(fmt.Errorf("--schedule %s: of no meaning without training: want --finetune EPOCHS with it", s))
	case f.rewind < 0 || f.rewind > 0 && s != paths.Lottery:
		return usage(fmt.Errorf("--rewind %d: want 0 or more epochs, with --schedule lottery", f.rewind))
	case f.exact && tuned:
		return usage(errors.New("--exact: fine-tunes at every weight: want it without --finetune"))
	}
	return nil
}

// tuneFlags say how a walk fine-tunes.
type tuneFlags struct {
	finetune int
	targets  string
}

func (f *tuneFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.IntVar(&f.finetune, "finetune", 0, "epochs of training at each point before it is measured; t = 0 and t = 1 stay as they are\n(l2, l1, elastic, group, maxnorm, dropout: 2 unless given, more of few examples)")
	flags.StringVar(&f.targets, "targets", "original", "what fine-tuning learns: the original's answers, or labels")
}

func (f *tuneFlags) check(c *cobra.Command, kind string) error {
	k, _ := findKind(kind, true)
	switch {
	case f.finetune < 0:
		return usage(fmt.Errorf("--finetune: got %d epochs, want 0 or more", f.finetune))
	case f.targets != "original" && f.targets != "labels":
		return usage(fmt.Errorf("--targets %q: want original or labels", f.targets))
	case f.finetune == 0 && c.Flags().Changed("targets") && !k.Trains:
		return usage(errors.New("--targets: of no meaning without training: want --finetune EPOCHS with it"))
	}
	return nil
}

// walkOptions adds to the options of a path what the flags of pruning and
// fine-tuning say, and measures the gradients by which weights are scored. Notes are
// for the result.
func (a *app) walkOptions(ctx context.Context, f walkFlags, o paths.Options, kind string, g *graph.Graph, parts compress.Parts, eval *compress.Evaluator) (_ paths.Options, notes []string, err error) {
	if kind == "prune" {
		o.Pattern, _ = paths.ParsePattern(f.pattern)
		o.Schedule, _ = paths.ParseSchedule(f.schedule)
		if o.Pattern == (paths.Pattern{}) {
			notes = append(notes, compress.ZerosNote(g))
		}
		if note := compress.AloneNote(g); note != "" {
			notes = append(notes, note)
		}
	}
	if k, _ := findKind(kind, true); k.Trains {
		o.Regular, notes, err = a.regularOptions(f, kind, g, parts, eval)
		return o, notes, err
	}
	if f.finetune > 0 {
		t := &compress.Tuning{Graph: g, Training: parts.Training, Judge: eval, Labels: f.targets == "labels", Seed: a.seed, Pool: a.pool,
			Note: func(s string) { a.note("%s", s) }}
		bytes, err := t.Check()
		if err != nil {
			return o, nil, err
		}
		notes = append(notes, fmt.Sprintf("fine-tuning: %s of %s at each point, in about %s beyond model and data",
			words.Count(f.finetune, "epoch", "epochs"), words.Count(parts.Training.Len(), "example", "examples"), words.Size(bytes)))
		o.Tune = t.For(f.finetune)
		if f.rewind > 0 {
			o.Rewind = t.For(f.rewind)
		}
	}
	for _, n := range notes {
		a.note("%s", n)
	}
	if f.score == "taylor" {
		step := func(done float64) { a.report.progress("scoring weights", done) }
		o.Gradients, err = compress.Gradients(ctx, g, parts.Calibration, eval, a.seed, a.pool, step)
	}
	return o, notes, err
}

// pruning is what walk prune adds to the result.
type pruning struct {
	Score       string           `json:"score"`
	Pattern     string           `json:"pattern"`
	Schedule    string           `json:"schedule,omitempty"` // with fine-tuning
	Jumps       []jump           `json:"jumps"`              // those measured on both sides
	JumpsExact  bool             `json:"jumps_exact"`        // whether these are all there are
	ArrivalTau  jsonnum.Float    `json:"arrival_tau"`        // the threshold that leaves the zero model, max|θ|
	FurthestTau jsonnum.Float    `json:"furthest_tau"`
	BracketTau  [2]jsonnum.Float `json:"bracket_tau"` // of the edge of the budget
}

// jump is a threshold that some scores equal, and what passing it does to the loss.
type jump struct {
	Tau        jsonnum.Float `json:"tau"`
	T          jsonnum.Float `json:"t"`
	Removed    int           `json:"removed"` // weights, from tau on
	LossBefore jsonnum.Float `json:"loss_before"`
	LossAfter  jsonnum.Float `json:"loss_after"`
}

// pruned describes a profile of a pruning path; nil if the path is another.
func (f *walkFlags) pruned(path compactify.Path, curve compress.Curve) *pruning {
	p, ok := path.(*paths.Prune)
	if !ok {
		return nil
	}
	tau := func(t jsonnum.Float) jsonnum.Float { return jsonnum.Float(p.Threshold(float64(t))) }
	r := &pruning{Score: f.score, Pattern: f.pattern, Jumps: []jump{}, JumpsExact: len(curve.Points) > 0,
		ArrivalTau: tau(1), FurthestTau: tau(curve.FurthestT), BracketTau: [2]jsonnum.Float{tau(curve.Bracket[0]), tau(curve.Bracket[1])}}
	if f.finetune > 0 {
		r.Schedule = f.schedule
	}
	for _, j := range compress.JumpTable(curve.Points, p) {
		r.Jumps = append(r.Jumps, jump{Tau: jsonnum.Float(j.Tau), T: jsonnum.Float(j.T), Removed: j.Removed, LossBefore: jsonnum.Float(j.Before), LossAfter: jsonnum.Float(j.After)})
	}
	r.JumpsExact = len(r.Jumps) == len(curve.Points)-1
	return r
}

func (p *pruning) text(w io.Writer) {
	if p == nil {
		return
	}
	of := "measured"
	if p.JumpsExact {
		of = "all there are"
	}
	fmt.Fprintf(w, "\nthreshold τ: the budget holds at %s and is broken at the next, %s; all weights are zero from %s on\n",
		words.Number(float64(p.FurthestTau)), words.Number(float64(p.BracketTau[1])), words.Number(float64(p.ArrivalTau)))
	fmt.Fprintf(w, "jumps     %d thresholds with the loss on both sides, %s\n", len(p.Jumps), of)
}
