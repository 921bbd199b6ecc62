package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/train"
	"github.com/spf13/cobra"
)

// regularFlags say how walks train that are of regularised training.
type regularFlags struct {
	lambda      string
	alpha, rate float64
}

// defaultLambda is the schedule of [paths.Regular] as a flag.
const defaultLambda = "geom:1e-8..1e2"

func (f *regularFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.lambda, "lambda", defaultLambda, "l2, l1, elastic, group: λ of the first place behind t = 0 and of the last, with equal factors\nin between: geom:A..B")
	flags.Float64Var(&f.alpha, "alpha", 0.5, "elastic: the share of ‖θ‖₁ in the penalty, above 0 to 1")
	flags.Float64Var(&f.rate, "rate", 0.1, "l2, l1, elastic, group, maxnorm, dropout: the largest step size of training, which falls to 0 at each place; the\ncurvature at the model may ask for a smaller one")
}

// penalties are the kinds of paths that have a λ.
var penalties = []string{"l2", "l1", "elastic", "group"}

// ends translates --lambda.
func (f *regularFlags) ends() ([2]float64, error) {
	s, err := train.ParseSchedule(f.lambda)
	if err != nil {
		return [2]float64{}, usage(fmt.Errorf("--lambda: %w", err))
	}
	a, b := s.Ends(2)
	if !strings.HasPrefix(f.lambda, "geom:") || !(b > a) {
		return [2]float64{}, usage(fmt.Errorf("--lambda %s: want geom:A..B with A below B: a walk goes up in equal factors", f.lambda))
	}
	return [2]float64{a, b}, nil
}

// check finds mistakes, which are errors of usage.
func (f *regularFlags) check(c *cobra.Command, kind paths.Kind) error {
	set := c.Flags().Changed
	switch {
	case set("lambda") && !slices.Contains(penalties, kind.Name):
		return usage(fmt.Errorf("--lambda: of no meaning to walk %s: want l2, l1, elastic or group", kind.Name))
	case set("alpha") && kind.Name != "elastic":
		return usage(fmt.Errorf("--alpha: of no meaning to walk %s: want elastic", kind.Name))
	case set("rate") && !kind.Trains:
		return usage(fmt.Errorf("--rate: of no meaning to walk %s: want a kind that trains: l2, l1, elastic, group, maxnorm or dropout", kind.Name))
	case set("targets") && kind.Trains:
		return usage(fmt.Errorf("--targets: of no meaning to walk %s: it learns labels", kind.Name))
	case !(f.alpha > 0 && f.alpha <= 1):
		return usage(fmt.Errorf("--alpha: got %v, want a number above 0, at most 1", f.alpha))
	case !(f.rate > 0 && f.rate < math.Inf(1)):
		return usage(fmt.Errorf("--rate: got %v, want a number above 0", f.rate))
	}
	_, err := f.ends()
	return err
}

// regularOptions are the settings of a path of regularised training.
func (a *app) regularOptions(f walkFlags, kind string, g *graph.Graph, parts compress.Parts, eval *compress.Evaluator) (paths.Regular, []string, error) {
	lambda, err := f.ends()
	if err != nil {
		return paths.Regular{}, nil, err
	}
	if !parts.Training.Labeled() {
		return paths.Regular{}, nil, fmt.Errorf("walk %s: the path trains on labels, and the data set %q has none", kind, parts.Training.Name())
	}
	r := paths.Regular{Set: parts.Training, Lambda: lambda, Rungs: max(1, f.grid-1), Alpha: f.alpha, Epochs: f.finetune, Rate: f.rate, Seed: a.seed, Output: eval.Output(),
		Step: func(done float64) { a.report.progress("training "+kind, done) }}
	bytes, err := train.Estimate(g, parts.Training, train.Options{Optimizer: train.SGD, Momentum: 0.9, Penalties: []train.Penalty{{Kind: train.L2}}})
	if err != nil {
		return r, nil, err
	}
	note := fmt.Sprintf("training: %s at each of about %d places, in about %s beyond model and data",
		words.Count(parts.Training.Len(), "example", "examples"), f.grid+max(0, f.approach)+max(0, f.refine), words.Size(bytes))
	a.note("%s", note)
	return r, []string{note}, nil
}

// regularPath is a path of regularised training.
type regularPath interface {
	compactify.Path
	Stops() []paths.Stop
	Settings() paths.Regular
}

// regularised is what a walk of regularised training adds to the result.
type regularised struct {
	Lambda        string         `json:"lambda,omitempty"` // as --lambda
	Alpha         float64        `json:"alpha,omitempty"`
	Epochs        int            `json:"epochs_per_point"`
	Rate          jsonnum.Float  `json:"rate"`
	Training      []trainedStop  `json:"training"`             // every place, on the examples that train
	Minimisers    []minimiser    `json:"minimisers,omitempty"` // the same as claims to minimise L + λR
	Checks        *pathChecks    `json:"checks,omitempty"`     // of those claims; not of dropout, which minimises an expectation
	Arrival       *arrivalResult `json:"arrival,omitempty"`
	ArrivalLambda *jsonnum.Float `json:"arrival_lambda,omitempty"` // the least measured λ from which on the models are zero, if that is not disproved
	LossJumps     []lossJump     `json:"loss_jumps"`               // between measured neighbours, above 0.1 nats, the largest first

	kind    string
	witness []compactify.Minimiser // of the lower bound of the arrival, if there is one
}

type trainedStop struct {
	T          jsonnum.Float `json:"t"`
	Param      jsonnum.Float `json:"param"`
	Loss       jsonnum.Float `json:"loss"`    // L, without penalty and dropout
	Penalty    jsonnum.Float `json:"penalty"` // R, without λ; of maxnorm the largest norm of a unit
	Norm       jsonnum.Float `json:"norm"`    // ‖θ‖₂
	Weights    int           `json:"weights"`
	Zeros      int           `json:"zeros"`
	Groups     int           `json:"groups"` // units and channels
	ZeroGroups int           `json:"zero_groups"`
	Kept       bool          `json:"kept,omitempty"`  // training made nothing better: the weights of the place before
	Limit      bool          `json:"limit,omitempty"` // the model at t = 1 is better, and stands here
}

type minimiser struct {
	T       jsonnum.Float `json:"t"`
	Lambda  jsonnum.Float `json:"lambda"`
	Loss    jsonnum.Float `json:"loss"`
	Penalty jsonnum.Float `json:"penalty"`
	Given   bool          `json:"given,omitempty"`
	File    string        `json:"file,omitempty"` // in the folder, if the model is kept
}

type pathChecks struct {
	Monotone   bool          `json:"monotone"`
	Concave    *bool         `json:"concave,omitempty"` // not of maxnorm
	Slack      jsonnum.Float `json:"slack"`             // differences of L up to this are rounding
	Violations []violation   `json:"violations"`
}

// violation is a place that is proved not to hold the global minimiser.
type violation struct {
	T        jsonnum.Float `json:"t"`
	Lambda   jsonnum.Float `json:"lambda"`    // of maxnorm the radius
	BeatenBy jsonnum.Float `json:"beaten_by"` // λ, or the radius, of the place whose weights do better there
	Scale    jsonnum.Float `json:"scale"`     // 1, or what those weights are multiplied by: the witness of the arrival's lower bound
	By       jsonnum.Float `json:"by"`        // how much smaller L + λR is, or L

	witness bool // what does better is that witness
}

type arrivalResult struct {
	KKT          jsonnum.Float   `json:"kkt"`
	KKTReason    string          `json:"kkt_why"`
	Lower        jsonnum.Float   `json:"lower"`
	LowerWitness *arrivalWitness `json:"lower_witness,omitempty"`
	Upper        jsonnum.Float   `json:"upper"`
	UpperWhy     string          `json:"upper_why"`
}

// arrivalWitness is a multiple of a place's weights that does better than zero for every
// λ below the bound.
type arrivalWitness struct {
	Lambda jsonnum.Float `json:"lambda"` // of the place
	Scale  jsonnum.Float `json:"scale"`  // 0: moved on from there by ascent
	Loss   jsonnum.Float `json:"loss"`
}

type lossJump struct {
	From jsonnum.Float `json:"from"`
	To   jsonnum.Float `json:"to"`
	Rise jsonnum.Float `json:"rise"`
}

// lossRounding is the relative error of a mean loss in float32 arithmetic.
const lossRounding = 1e-6

// largeJump is the least change of the loss that is listed, in nats.
const largeJump = 0.1

// regularised describes the walk of a path that trains; nil if it is another. The
// models of the worst violation are kept.
func (w *walker) regularised(ctx context.Context, f walkFlags, p compactify.Profile, r *walkResult) (*regularised, error) {
	path, ok := w.path.(regularPath)
	if !ok {
		return nil, nil
	}
	settings := path.Settings()
	out := &regularised{Epochs: settings.Epochs, Rate: jsonnum.Float(settings.Rate), LossJumps: []lossJump{}, kind: p.Kind}
	stops := path.Stops()
	for _, s := range stops {
		out.Training = append(out.Training, trainedStop{T: jsonnum.Float(s.T), Param: jsonnum.Float(s.Param), Loss: jsonnum.Float(s.Loss), Penalty: jsonnum.Float(s.Penalty), Norm: jsonnum.Float(s.Norm),
			Weights: s.Weights, Zeros: s.Zeros, Groups: s.Groups, ZeroGroups: s.ZeroGroups, Kept: s.Kept, Limit: s.Limit})
	}
	for _, j := range p.Jumps(largeJump) {
		out.LossJumps = append(out.LossJumps, lossJump{jsonnum.Float(j.From), jsonnum.Float(j.To), jsonnum.Float(j.Rise)})
	}
	switch path := path.(type) {
	case *paths.MaxNorm:
		out.Checks = newChecks(compactify.CheckNested(path.Minimisers(), lossRounding), stops, false)
	case *paths.Penalised:
		out.Lambda = f.lambda
		if p.Kind == "elastic" {
			out.Alpha = f.alpha
		}
		if err := w.arrive(ctx, out, path, r); err != nil {
			return nil, err
		}
		claims := path.Minimisers()
		found := compactify.CheckMinimality(append(claims, out.witness...), lossRounding)
		out.Checks = newChecks(found, stops, true)
		if a := out.Arrival; a != nil && a.LowerWitness != nil {
			out.Checks.scaled(*a.LowerWitness)
		}
		if err := w.keepWorst(ctx, found.Beaten, stops, r); err != nil {
			return nil, err
		}
		for i, c := range claims {
			out.Minimisers = append(out.Minimisers, minimiser{T: jsonnum.Float(stops[i].T), Lambda: jsonnum.Float(c.Lambda), Loss: jsonnum.Float(c.Loss),
				Penalty: jsonnum.Float(c.Penalty), Given: c.Given, File: w.files[stops[i].T]})
		}
		out.claimArrival(stops)
	}
	r.Notes = append(r.Notes, out.proofs()...)
	return out, nil
}

// withoutZeros is a model without the channels that training made zero, if it answers
// the same without them.
func (w *walker) withoutZeros(ctx context.Context, g *graph.Graph, r *walkResult) (*graph.Graph, error) {
	smaller, cut, err := paths.CutZeros(g)
	if err != nil || cut == 0 {
		return g, nil // not every graph can be cut; the model is as good as it is
	}
	whole, err := w.eval.Evaluate(ctx, g)
	if err != nil {
		return nil, err
	}
	less, err := w.eval.Evaluate(ctx, smaller)
	if err != nil || !(math.Abs(less.Loss-whole.Loss) <= lossRounding*(1+math.Abs(whole.Loss))) {
		return g, ctx.Err()
	}
	r.UnitsCut = cut
	r.Notes = append(r.Notes, fmt.Sprintf("the furthest model is without %s that training made zero, and answers the same", words.Count(cut, "unit or channel", "units and channels")))
	return smaller, nil
}

func newChecks(m compactify.Minimality, stops []paths.Stop, penalty bool) *pathChecks {
	c := &pathChecks{Monotone: m.Monotone, Slack: jsonnum.Float(m.Slack), Violations: []violation{}}
	if penalty {
		c.Concave = &m.Concave
	}
	for _, b := range m.Beaten {
		v := violation{T: jsonnum.Float(stops[b.Point].T), Lambda: jsonnum.Float(stops[b.Point].Param), Scale: 1, By: jsonnum.Float(b.Gap), witness: b.By == len(stops)}
		if !v.witness {
			v.BeatenBy = jsonnum.Float(stops[b.By].Param)
		}
		c.Violations = append(c.Violations, v)
	}
	return c
}

// scaled fills in what the witness of the arrival is.
func (c *pathChecks) scaled(witness arrivalWitness) {
	for i := range c.Violations {
		if v := &c.Violations[i]; v.witness {
			v.BeatenBy, v.Scale = witness.Lambda, witness.Scale
		}
	}
}

// keepWorst writes both models of the violation by most, so that it can be seen again.
func (w *walker) keepWorst(ctx context.Context, list []compactify.Beaten, stops []paths.Stop, r *walkResult) error {
	if len(list) == 0 || ctx.Err() != nil { // a model may have to be trained again
		return nil
	}
	worst := list[0]
	for _, b := range list {
		if b.Gap > worst.Gap {
			worst = b
		}
	}
	for _, i := range []int{worst.Point, worst.By} {
		if i == len(stops) {
			continue // the witness of the arrival, which is kept
		}
		t := stops[i].T
		if w.files[t] != "" {
			continue
		}
		name, err := w.putAt(ctx, t)
		if err != nil {
			return err
		}
		r.Files.Witness = append(r.Files.Witness, name)
	}
	return nil
}

// arrivalFile is the model that does better than zero for every λ below the lower bound
// of the arrival.
const arrivalFile = "arrival-witness.onnx"

// arrive brackets λ_arr and keeps the model that the lower bound rests on.
func (w *walker) arrive(ctx context.Context, out *regularised, path *paths.Penalised, r *walkResult) error {
	w.report.progress("looking for the arrival at zero", 0)
	found, at, err := path.Arrival(ctx, w.seed)
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		return err
	}
	out.Arrival = &arrivalResult{KKT: jsonnum.Float(found.KKT), KKTReason: found.KKTReason, Lower: jsonnum.Float(found.Lower()), Upper: jsonnum.Float(found.Upper), UpperWhy: found.UpperReason}
	if found.Witness == nil {
		return nil
	}
	out.Arrival.LowerWitness = &arrivalWitness{Lambda: jsonnum.Float(at), Scale: jsonnum.Float(found.Scale), Loss: jsonnum.Float(found.WitnessLoss)}
	out.witness = []compactify.Minimiser{{Loss: found.WitnessLoss, Penalty: path.R(found.Witness), Given: true}}
	file, err := compress.Encode(path.Objective().Model(found.Witness))
	if err == nil {
		_, err = w.folder.Put(arrivalFile, file)
	}
	r.Files.Arrival = w.folder.Path(arrivalFile)
	return err
}

// claimArrival says from which measured λ on the walk's models are zero, unless the
// lower bound disproves it.
func (out *regularised) claimArrival(stops []paths.Stop) {
	if out.Arrival == nil {
		return
	}
	for i := len(stops) - 1; i >= 0 && stops[i].Penalty == 0 && stops[i].Param >= float64(out.Arrival.Lower); i-- {
		if stops[i].T < 1 && stops[i].T > 0 {
			x := jsonnum.Float(stops[i].Param)
			out.ArrivalLambda = &x
		}
	}
}

// maxProofs is how many violations are told in words.
const maxProofs = 3

// proofs are notes on the violations.
func (out *regularised) proofs() []string {
	if out.Checks == nil {
		return nil
	}
	name, what := "λ", "L + λR"
	if out.kind == "maxnorm" {
		name, what = "c", "L inside that ball"
	}
	var notes []string
	list := slices.Clone(out.Checks.Violations)
	slices.SortStableFunc(list, func(a, b violation) int { return cmp.Compare(b.By, a.By) })
	for i, v := range list {
		if i == maxProofs {
			notes = append(notes, fmt.Sprintf("the same of %s, see checks in --json", words.Count(len(list)-maxProofs, "more point", "more points")))
			break
		}
		times := ""
		if v.Scale != 1 {
			times = fmt.Sprintf(" times %s", words.Number(float64(v.Scale)))
		}
		notes = append(notes, fmt.Sprintf("the point at %s = %s is proved not to be the global minimiser: the weights of %s = %s%s do better there, by %s of %s",
			name, words.Number(float64(v.Lambda)), name, words.Number(float64(v.BeatenBy)), times, words.Number(float64(v.By)), what))
	}
	return notes
}

// text is the table of what training came to.
func (out *regularised) text(w io.Writer) {
	if out == nil {
		return
	}
	name, penalty := "λ", "R"
	switch out.kind {
	case "maxnorm":
		name, penalty = "c", "largest norm"
	case "dropout":
		name, penalty = "keep", ""
	}
	fmt.Fprintf(w, "\ntraining  L on the examples that train, %s at each place from the weights of the place before\n", words.Count(out.Epochs, "epoch", "epochs"))
	row := func(cells ...string) []string {
		if penalty == "" {
			return append(cells[:2:2], cells[3:]...)
		}
		return cells
	}
	rows := [][]string{row(name, "L", penalty, "‖θ‖", "zeros", "units gone")}
	every := (len(out.Training) + maxWalkRows - 1) / maxWalkRows
	for i, s := range out.Training {
		if i%every != 0 && s.T != 1 {
			continue
		}
		mark := ""
		switch {
		case s.Limit:
			mark = "  the model at t = 1 is better"
		case s.Kept:
			mark = "  weights of the place before"
		}
		rows = append(rows, row(words.Significant(float64(s.Param), 3), words.Number(float64(s.Loss)), words.Number(float64(s.Penalty)), words.Number(float64(s.Norm)),
			words.Percent(float64(s.Zeros)/float64(max(1, s.Weights)), 1), fmt.Sprintf("%d of %d%s", s.ZeroGroups, s.Groups, mark)))
	}
	columns(w, rows)
	if out.Checks != nil {
		fmt.Fprintf(w, "checks    %s\n", out.Checks.words())
	}
	if out.Arrival != nil {
		fmt.Fprintf(w, "arrival   %s\n", out.Arrival.words())
	}
}

// words says from where on zero is a minimiser.
func (a *arrivalResult) words() string {
	switch {
	case math.IsInf(float64(a.Lower), 1):
		return "zero is a minimiser for no finite λ: " + a.KKTReason
	case math.IsInf(float64(a.Upper), 1):
		return fmt.Sprintf("zero is no minimiser below λ = %s; from where on it is, is not proved: %s", words.Number(float64(a.Lower)), a.UpperWhy)
	}
	return fmt.Sprintf("zero is a minimiser from a λ on that lies between %s and %s", words.Number(float64(a.Lower)), words.Number(float64(a.Upper)))
}

// words says what the checks came to.
func (c *pathChecks) words() string {
	if len(c.Violations) == 0 {
		return "nothing disproves that every point is the global minimiser"
	}
	return words.Count(len(c.Violations), "point is", "points are") + " proved not to be the global minimiser"
}
