package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	store "github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/internal/web"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/spf13/cobra"
)

// walkFlags are the settings of walk.
type walkFlags struct {
	dataFlags
	gridFlags
	pruneFlags
	tuneFlags
	regularFlags
	budget, output         string
	grid, approach, refine int
	strict, dry            bool
	toTheJump              bool // refine until the edge of the budget is a jump, where the path has any
}

func (a *app) walkCommand() *cobra.Command {
	var f walkFlags
	long := `Follow one path from the model at t = 0 to its boundary at t = 1, and measure on
the way what it costs.

At t = 1 stands the smallest model of the kind: all weights zero, one channel
per layer, or one bit per weight. The walk finds the furthest t at which the budget was measured to hold,
and compares the loss just before t = 1 with the loss there. Measured is on the
selection examples, so that held-out ones stay unseen; models are fine-tuned before
that only with --finetune.

The paths l2, l1, elastic, group, maxnorm and dropout train at every place, each from
the weights of the place before (--finetune epochs, 2 unless given), towards the exact
model at t = 1. Their loss and penalty on the examples that train are compared: where
the weights of another place have the smaller L + λR, the point is proved not to be the
global minimiser. "arrival" brackets the λ from which on zero is one.

A model that is pruned changes only where the threshold τ passes the size of a
weight. So walk prune measures at such places, follows the budget's edge down to two
neighbouring ones, and lists as "jumps" those with the loss on both sides.
Files hold 8, 4 or 2 bits per weight: at 7 bits a model takes the bytes of 8.

Channels are cut out with everything that depends on them, across residual sums,
concatenations, depthwise convolutions, reshapes, heads and gates; --dry-run lists
what goes together, what is refused and why, and proves the shapes, without
measuring.

Kinds:
`
	for _, k := range paths.Kinds {
		long += fmt.Sprintf("    %-14s %s\n", k.Name, k.About)
	}
	c := &cobra.Command{
		Use:     "walk KIND MODEL",
		Short:   "Measure what one way of making a model smaller costs, from start to end",
		Long:    long,
		Example: "  compactify walk prune model.onnx --data digits/\n  compactify walk quantize model.onnx --data digits/ --budget 0.05nats --json\n  compactify walk prune-channels model.onnx --dry-run\n  compactify walk quantize model.onnx --data digits/ --granularity block:32 --asymmetric --fit minmax\n  compactify walk prune model.onnx --data digits/ --finetune 5 --schedule cubic --score taylor\n  compactify walk prune model.onnx --data digits/ --pattern 2:4\n  compactify walk l2 model.onnx --data digits/ --lambda geom:1e-8..1e2\n  compactify walk group model.onnx --data digits/ --finetune 4 --budget 0.05nats",
		Args:    want("KIND", "MODEL"),
		RunE: func(c *cobra.Command, args []string) error {
			scheme, err := f.scheme(c, args[0])
			if err == nil {
				err = errors.Join(f.pruneFlags.check(c, args[0], f.finetune > 0), f.tuneFlags.check(c, args[0]))
			}
			if k, unknown := findKind(args[0], true); err == nil && unknown == nil {
				err = f.regularFlags.check(c, k)
			}
			if err != nil {
				return err
			}
			f.toTheJump = !c.Flags().Changed("refine") && f.finetune == 0
			return a.walk(c.Context(), f, scheme, args[0], args[1])
		},
	}
	f.dataFlags.add(c)
	f.gridFlags.add(c, "quantize: ")
	f.pruneFlags.add(c)
	f.tuneFlags.add(c)
	f.regularFlags.add(c)
	flags := c.Flags()
	flags.StringVar(&f.budget, "budget", compactify.DefaultBudget.String(), "what may be lost: 1pp, 0.05nats, kl:0.01 or snr:30")
	flags.StringVar(&f.output, "output", "", "the model's output that answers (default: the first)")
	flags.IntVar(&f.grid, "grid", 16, "equal steps from t = 0 to t = 1, for paths without steps of their own")
	flags.IntVar(&f.approach, "approach", 4, "further points just before t = 1")
	flags.IntVar(&f.refine, "refine", 6, "bisections at the budget's edge (prune, without --finetune: as many as it takes)")
	flags.BoolVar(&f.dry, "dry-run", false, "prune-channels, prune-blocks: print the groups of channels and what is refused, and stop")
	flags.BoolVar(&f.strict, "strict", false, "exit 4 if the loss is measured not to be continuous at t = 1")
	return c
}

// walkResult is the JSON object of walk.
type walkResult struct {
	compress.Curve
	Model         string    `json:"model"`
	Budget        string    `json:"budget"`
	WouldFitBytes int       `json:"would_fit_bytes,omitempty"` // the size of the furthest model if that is more than --max-bytes
	UnitsCut      int       `json:"units_cut,omitempty"`       // out of the furthest model, as they were zero
	MetricName    string    `json:"metric_name"`
	Examples      int       `json:"examples"`
	Files         walkFiles `json:"files"`
	Finetune      int       `json:"finetune,omitempty"` // epochs at each point
	*pruning
	*regularised
	Data    *data.Origin  `json:"data"`              // of the examples that train
	Grids   []roundingRow `json:"grids,omitempty"`   // quantize: rounding at each point, all layers together
	Layers  []roundingRow `json:"layers,omitempty"`  // quantize: rounding at the furthest point
	Latency *walkLatency  `json:"latency,omitempty"` // prune-channels, prune-blocks: on this CPU
	Notes   []string      `json:"notes,omitempty"`
	Seed    uint64        `json:"seed"`
	Seconds float64       `json:"seconds"`
}

// walkFiles are the models kept and the page that shows the profile.
type walkFiles struct {
	Furthest string   `json:"furthest,omitempty"` // the furthest inside the budget; rejected if it is larger than --max-bytes
	Pattern  string   `json:"pattern,omitempty"`  // that with N of every M weights
	Last     []string `json:"last"`               // the last ones before t=1, and that at t=1
	Witness  []string `json:"witness,omitempty"`  // a point that is proved not to be the minimiser, and what does better, unless they are among the others
	Arrival  string   `json:"arrival,omitempty"`  // what does better than zero for every λ below the lower bound of the arrival
	Report   string   `json:"report"`
}

// walk runs the command. After Ctrl-C the part that was measured is kept.
func (a *app) walk(ctx context.Context, f walkFlags, scheme paths.Scheme, kind, model string) error {
	start := time.Now()
	k, err := findKind(kind, true)
	if err != nil {
		return err
	}
	steps, err := f.steps()
	if err != nil {
		return err
	}
	options := paths.Options{PerLayer: f.perLayer, Pool: a.pool, Scheme: scheme}
	if f.dry {
		return a.dryRun(ctx, model, k, options)
	}
	original, _, err := a.readModel(model)
	if err != nil {
		return err
	}
	e, err := f.openFor(a, inputsOf(original))
	if err != nil {
		return err
	}
	f.warnDefault(a, model)
	g, notes, err := compress.Prepare(original)
	if err != nil {
		return err
	}
	if scheme.Ternary && scheme.Asymmetric {
		notes = append(notes, "the levels −1, 0 and +1 have no zero point: --asymmetric is for the steps from 8 to 2 bits")
	}
	parts, err := compress.Divide(e.train, e.heldOut, true, a.seed)
	if err != nil {
		return err
	}
	eval, err := compress.NewEvaluator(ctx, g, parts.Selection, f.output, a.pool, compress.FileSize)
	if err != nil {
		return f.meant(err)
	}
	eval.JudgeFor(steps.Budget)
	options, more, err := a.walkOptions(ctx, f, options, kind, g, parts, eval)
	if err != nil {
		return err
	}
	path, err := k.New(g, options)
	if err != nil {
		return err
	}
	folder, err := a.folder()
	if err != nil {
		return err
	}
	w := walker{app: a, path: path, budget: steps.Budget, folder: folder, model: model, tuned: f.finetune > 0 || k.Trains, trains: k.Trains, pattern: options.Pattern}
	r, err := w.walk(ctx, kind, eval, steps)
	if r == nil {
		return a.sealed(folder, err)
	}
	r.Model, r.MetricName, r.Examples, r.Notes = model, eval.MetricName(), eval.Len(), slices.Concat(notes, more, r.Notes)
	r.Finetune, r.pruning = f.finetune, f.pruned(path, r.Curve)
	if gridErr := r.roundings(path); gridErr != nil {
		return errors.Join(err, a.sealed(folder, gridErr))
	}
	var moreErr error
	if r.regularised, moreErr = w.regularised(ctx, f, w.profile, r); moreErr != nil {
		return errors.Join(err, a.sealed(folder, moreErr))
	}
	if r.regularised != nil {
		r.Finetune = r.regularised.Epochs
	}
	if pageErr := w.page(r); pageErr != nil {
		return errors.Join(err, a.sealed(folder, pageErr))
	}
	if err == nil {
		err = w.latencies(ctx, r)
	}
	origin := f.origin(a.seed)
	origin.Cuts = parts.TrainingCuts
	origin = origin.Describe(parts.Training)
	r.Data = &origin
	r.Seed, r.Seconds = a.seed, time.Since(start).Seconds()
	if putErr := putResult(folder, r); putErr != nil {
		return errors.Join(err, a.sealed(folder, putErr))
	}
	if sealErr := a.seal(folder); sealErr != nil {
		return errors.Join(err, sealErr)
	}
	if printErr := a.print(r, func(w io.Writer) { r.text(w) }); printErr != nil || err != nil {
		return errors.Join(err, printErr)
	}
	if r.WouldFitBytes > 0 {
		return &tooLargeError{what: fmt.Sprintf("path %s: the furthest model inside the budget", kind), got: r.WouldFitBytes, want: int(a.maxBytes)}
	}
	if f.strict && r.Limit.Verdict == compactify.Refuted {
		return &refutedError{fmt.Sprintf("path %s: the loss is not continuous at t=1: %.4g before, %.4g there", kind, float64(r.Limit.LossLeft), float64(r.Limit.LossAt))}
	}
	return nil
}

// putResult keeps what the command prints.
func putResult(folder *store.Folder, r *walkResult) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		_, err = folder.Put(compress.ResultFile, append(text, '\n'))
	}
	return err
}

// The most points of a walk: more steps than anyone waits for, and as many halvings
// as a float64 below 1 can tell apart.
const (
	maxGrid     = 10000
	maxApproach = 32
	maxRefine   = 64
)

// steps translates flags. Mistakes in them are errors of usage.
func (f *walkFlags) steps() (compactify.Steps, error) {
	b, err := compactify.ParseBudget(f.budget)
	if err != nil {
		return compactify.Steps{}, usage(fmt.Errorf("--budget: %w", err))
	}
	for _, n := range []struct {
		flag             string
		got, least, most int
	}{{"grid", f.grid, 1, maxGrid}, {"approach", f.approach, 0, maxApproach}, {"refine", f.refine, 0, maxRefine}} {
		if n.got < n.least || n.got > n.most {
			return compactify.Steps{}, usage(fmt.Errorf("--%s: got %d, want %d to %d", n.flag, n.got, n.least, n.most))
		}
	}
	none := func(n int) int {
		if n == 0 {
			return -1 // the steps' way to say none
		}
		return n
	}
	refine := none(f.refine)
	if f.toTheJump {
		refine = 0 // which means six where there are no jumps, as --refine does
	}
	return compactify.Steps{Budget: b, Grid: f.grid, Approach: none(f.approach), Refine: refine, Exact: f.exact}, nil
}

// walker is one walk on its way into a folder.
type walker struct {
	*app
	path   compactify.Path
	eval   *compress.Evaluator
	budget compactify.Budget
	folder *store.Folder
	model  string // its file
	tuned  bool   // models are dear to make twice
	trains bool   // the path is one of regularised training

	pattern paths.Pattern
	profile compactify.Profile
	files   map[float64]string       // models at t that the folder holds, by name
	last    *graph.Graph             // that was measured
	points  []compactify.Point       // so far
	models  map[float64]*graph.Graph // of those that will be kept, as things stand, if tuned
}

// Evaluate implements [compactify.Evaluator]: it remembers the model.
func (w *walker) Evaluate(ctx context.Context, g *graph.Graph) (compactify.Measure, error) {
	w.last = g
	return w.eval.Evaluate(ctx, g)
}

// remember keeps the model of a point, and forgets those that will not be written.
func (w *walker) remember(q compactify.Point) {
	if !w.tuned {
		return
	}
	i, _ := slices.BinarySearchFunc(w.points, q.T, func(p compactify.Point, t float64) int { return cmp.Compare(p.T, t) })
	w.points = slices.Insert(w.points, i, q)
	w.models[q.T] = w.last
	p := compactify.Profile{Points: w.points}
	furthest, _, _ := p.Furthest(w.budget)
	for t := range w.models {
		if t != furthest && t != w.pattern.T() && t < p.Points[max(0, len(p.Points)-lastModels-1)].T {
			delete(w.models, t)
		}
	}
}

// expected is about how many points a walk measures.
func (w *walker) expected(s compactify.Steps) int {
	if p, ok := w.path.(compactify.Stepped); ok {
		return len(p.Steps())
	}
	return s.Grid + max(0, s.Approach) + max(0, s.Refine) + 1
}

// walk measures the path and keeps models and report. The result is nil if
// nothing is worth keeping.
func (w *walker) walk(ctx context.Context, kind string, eval *compress.Evaluator, s compactify.Steps) (*walkResult, error) {
	if err := w.folder.Asked(w.asked()); err != nil {
		return nil, err
	}
	done, total := 0, w.expected(s)
	var pointErr error
	s.Observe = func(q compactify.Point) {
		done++
		w.report.progress("walking "+kind, float64(done)/float64(max(total, done)))
		w.remember(q)
		one := compress.NewCurve(compactify.Profile{Kind: kind, Points: []compactify.Point{q}}, w.budget)
		pointErr = errors.Join(pointErr, w.folder.Point(one.Points[0]))
	}
	w.report.progress("walking "+kind, 0)
	w.eval, w.models, w.files = eval, make(map[float64]*graph.Graph), make(map[float64]string)
	profile, err := compactify.Walk(ctx, kind, w.path, w, s)
	if stopped := errors.Is(err, context.Canceled) && len(profile.Points) > 1; pointErr != nil || (err != nil && !stopped) {
		return nil, errors.Join(err, pointErr)
	}
	w.profile = profile
	r := &walkResult{Curve: compress.NewCurve(profile, w.budget), Budget: w.budget.String()}
	if keepErr := w.keep(context.WithoutCancel(ctx), r, profile); keepErr != nil {
		return nil, keepErr
	}
	return r, err
}

// lastModels is how many models before t=1 are kept.
const lastModels = 2

// keep writes the furthest model and the last ones.
func (w *walker) keep(ctx context.Context, r *walkResult, p compactify.Profile) error {
	if err := w.keepFurthest(ctx, r, p); err != nil {
		return err
	}
	r.Files.Last = []string{}
	for _, q := range p.Points[max(1, len(p.Points)-lastModels-1):] {
		name, err := w.putAt(ctx, q.T)
		if err != nil {
			return err
		}
		r.Files.Last = append(r.Files.Last, name)
	}
	if t := w.pattern.T(); t < 1 {
		name, err := w.put(ctx, fmt.Sprintf("%d-of-%d.onnx", w.pattern.Most, w.pattern.Of), t)
		if err != nil {
			return err
		}
		r.Files.Pattern = name
	}
	return nil
}

// findings are sentences on what was found beside the profile.
func (r *walkResult) findings() []string {
	var list []string
	if out := r.regularised; out != nil && out.Checks != nil {
		list = append(list, out.Checks.words())
	}
	if out := r.regularised; out != nil && out.Arrival != nil {
		list = append(list, out.Arrival.words())
	}
	return append(list, r.Notes...)
}

// page writes the page of the walk.
func (w *walker) page(r *walkResult) error {
	r.Files.Report = filepath.Join(w.folder.Dir(), compress.ReportFile)
	_, err := w.folder.PutFunc(compress.ReportFile, func(to io.Writer) error {
		return web.WalkReport(to, r.Curve, w.budget, w.eval.MetricName(), "Compactify walk: path "+r.Kind+" of "+filepath.Base(w.model), r.findings()...)
	})
	return err
}

// keepFurthest writes the furthest model inside the budget, unless that is the
// original, under the name that its size earns.
func (w *walker) keepFurthest(ctx context.Context, r *walkResult, p compactify.Profile) error {
	t, _, ok := p.Furthest(w.budget)
	if !ok {
		return nil
	}
	g, err := w.at(ctx, t)
	if err == nil && w.trains {
		g, err = w.withoutZeros(ctx, g, r)
	}
	if err != nil {
		return err
	}
	file, err := compress.Encode(g)
	if err != nil {
		return err
	}
	name := "furthest.onnx"
	if w.checkSize(name, len(file)) != nil {
		name, r.WouldFitBytes = "furthest.rejected.onnx", len(file)
	}
	if t == 0 {
		return nil
	}
	r.Files.Furthest = w.folder.Path(name)
	_, err = w.folder.Put(name, file)
	return err
}

// at is the model at t.
func (w *walker) at(ctx context.Context, t float64) (*graph.Graph, error) {
	if g := w.models[t]; g != nil {
		return g, nil
	}
	return w.path.At(ctx, t)
}

// putAt writes the model at t under its place's name.
func (w *walker) putAt(ctx context.Context, t float64) (string, error) {
	text := strconv.FormatFloat(t, 'g', 6, 64)
	if t < 1 && text == "1" {
		text = strconv.FormatFloat(t, 'g', -1, 64)
	}
	w.files[t] = "t-" + text + ".onnx"
	return w.put(ctx, w.files[t], t)
}

// put writes the model at t.
func (w *walker) put(ctx context.Context, name string, t float64) (string, error) {
	file, err := w.file(ctx, t)
	if err != nil {
		return "", err
	}
	_, err = w.folder.Put(name, file)
	return w.folder.Path(name), err
}

// file is the model at t as a file.
func (w *walker) file(ctx context.Context, t float64) ([]byte, error) {
	g, err := w.at(ctx, t)
	if err != nil {
		return nil, err
	}
	return compress.Encode(g)
}

// maxWalkRows is about how many points are printed; --json has them all.
const maxWalkRows = 60

func (r *walkResult) text(w io.Writer) {
	kind := compactify.BudgetKind("")
	if b, err := compactify.ParseBudget(r.Budget); err == nil {
		kind = b.Kind
	}
	rows := [][]string{r.row("t", "parameter", words.LossName(r.MetricName), r.MetricName, words.UsedName(kind), "size")}
	every := (len(r.Points) + maxWalkRows - 1) / maxWalkRows
	for i, p := range r.Points {
		if i%every != 0 && p.T != r.FurthestT && p.T != 1 {
			continue
		}
		mark := ""
		if p.T == r.FurthestT {
			mark = "  ← furthest inside the budget"
		}
		rows = append(rows, r.row(words.Significant(float64(p.T), 5), words.Significant(float64(p.Param), 4), words.Number(float64(p.Loss)),
			words.Metric(r.MetricName, float64(p.Metric)), words.Amount(kind, float64(p.Spent)), words.Size(p.Bytes)+mark))
	}
	columns(w, rows)
	r.gridText(w)
	r.pruning.text(w)
	r.regularised.text(w)
	for _, note := range r.Notes {
		fmt.Fprintf(w, "note      %s\n", note)
	}
	fmt.Fprintf(w, "\nat t = 1  %s; loss %s before, %s there: continuity %s\n", r.Limit.Boundary, words.Number(float64(r.Limit.LossLeft)), words.Number(float64(r.Limit.LossAt)), r.Limit.Verdict)
	fmt.Fprintf(w, "measured  on %s; %s\n", words.Count(r.Examples, "selection example", "selection examples"), r.tuning())
	r.Latency.text(w)
	fmt.Fprintf(w, "report    %s  (opens in a browser)\n", r.Files.Report)
}

// row is a row of the table: without the metric where there is none.
func (r *walkResult) row(t, param, loss, metric, spent, size string) []string {
	if !words.HasMetric(r.MetricName) {
		return []string{t, param, loss, spent, size}
	}
	return []string{t, param, loss, metric, spent, size}
}

// tuning says in words how models were fine-tuned.
func (r *walkResult) tuning() string {
	if r.Finetune == 0 {
		return "without fine-tuning"
	}
	if r.regularised != nil {
		return "trained for " + words.Count(r.Finetune, "epoch", "epochs") + " at each place"
	}
	return "fine-tuned for " + words.Count(r.Finetune, "epoch", "epochs")
}
