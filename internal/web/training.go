package web

import (
	"bytes"
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/train"
)

// TrainingSummary is what the page of a training run shows beside the run's record.
// Everything but Title may be left out.
type TrainingSummary struct {
	Title string // of the page

	MetricName string  // such as "top-1 accuracy"; "none" or "" for none
	Metric     float64 // of the model that was kept, on the held-out examples; NaN if not measured
	HeldOut    int     // how many examples that were

	Threshold float64 // ‖θ‖ up to which a model counts as at the boundary θ = 0; 0 for none

	Loss      string      // what the loss is, such as "squared hinge"; "" means a cross-entropy in nats
	Sharpness []Sharpness // of the Hessian on the way, in ascending order of epochs

	Boundary   []string // where the run tends to: sentences
	Bounds     []string // bounds on ‖θ‖, each with its verdict: sentences
	FixedPoint string   // what θ = 0 is to the gradient flow: a sentence or more
	Notes      []string // sentences
}

// Sharpness is the largest eigenvalue of the Hessian of the mean loss after an epoch.
type Sharpness struct {
	Epoch   int // counted from 1
	Largest float64
	Bound   float64 // an eigenvalue is this near
}

// Training renders the record of a training run as one self-contained HTML page.
// Figures that were not measured are left out or named as such; they are never an
// error.
func Training(r *train.Record, s TrainingSummary) ([]byte, error) {
	var b bytes.Buffer
	err := render(&b, "training.html", newTraining(r, s))
	return b.Bytes(), err
}

// training is what the page shows, in the order in which it shows it.
type training struct {
	Title, Headline, Lead, Near string
	Tiles                       []tile
	Walk                        figure
	Descent                     *figure // nil if nothing is known of it
	Boundary, Bounds            []string
	FixedPoint                  string
	Notes                       []string
	Columns                     []string
	Rows                        [][]string
	Shown, Caption, Part        string
	Settings                    []term
}

// figure is a group of charts with what they say.
type figure struct {
	Heading   string
	Charts    []template.HTML
	Legend    []legendEntry
	Sentences []string
}

func newTraining(r *train.Record, s TrainingSummary) training {
	if !finite(s.Threshold) || s.Threshold < 0 {
		s.Threshold = 0
	}
	v := run{r: placed(r), s: s, flow: flowOf(r)}
	v.x = v.progress()
	p := training{Title: s.Title, Headline: v.headline(), Lead: v.lead(), Near: v.near(), Tiles: v.tiles(), Walk: v.walk(), Descent: v.descent(),
		Boundary: sentences(s.Boundary), Bounds: sentences(s.Bounds), FixedPoint: sentence(s.FixedPoint), Notes: sentences(s.Notes), Settings: v.settings()}
	p.Columns, p.Rows, p.Shown = v.epochs()
	p.Part = v.part()
	p.Caption = "Loss and accuracy are means of an epoch's batches, all else is as it was after the epoch"
	if v.flow != nil {
		p.Caption = "At the end of each part of the time, over all training examples"
	}
	return p
}

// placed is the record of a run that may have been stopped before its models were
// measured: what was not is NaN, and the last norm is that of the last epoch.
func placed(r *train.Record) *train.Record {
	none := train.PlaceRecord{}
	if r.Initial != none || r.Final != none || r.Zero != none {
		return r
	}
	nan := jsonnum.Float(math.NaN())
	c := *r
	c.Initial = train.PlaceRecord{Loss: nan, Norm: nan, Penalty: nan}
	c.Final, c.Zero = c.Initial, c.Initial
	if n := len(r.Epochs); n > 0 {
		c.Final.Norm = r.Epochs[n-1].Norm
	}
	return &c
}

// sentence writes a remark as one.
func sentence(s string) string {
	if s == "" {
		return ""
	}
	if c := s[0]; 'a' <= c && c <= 'z' {
		s = string(c-'a'+'A') + s[1:]
	}
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}

// subscripts are the indices of formulas in sentences.
var subscripts = strings.NewReplacer("L_λ", "L<sub>λ</sub>", "λ_min", "λ<sub>min</sub>", "λ_max", "λ<sub>max</sub>", "θ_g", "θ<sub>g</sub>", "θ_t", "θ<sub>t</sub>")

// formulas writes a sentence with its subscripts.
func formulas(s string) template.HTML {
	return template.HTML(subscripts.Replace(template.HTMLEscapeString(s)))
}

func sentences(list []string) []string {
	var out []string
	for _, s := range list {
		if s != "" {
			out = append(out, sentence(s))
		}
	}
	return out
}

// run is a record on its way to a page.
type run struct {
	r    *train.Record
	s    TrainingSummary
	x    progress
	flow *train.FlowRecord // nil if steps were taken
}

// hasMetric reports whether the kept model was measured on held-out examples.
func (v run) hasMetric() bool {
	return v.s.MetricName != "" && words.HasMetric(v.s.MetricName) && finite(v.s.Metric) && v.s.HeldOut > 0
}

// atBoundary reports whether the kept model counts as θ = 0.
func (v run) atBoundary() bool {
	norm := float64(v.r.Final.Norm)
	return norm == 0 || norm <= v.s.Threshold
}

func (v run) headline() string {
	s, norm, loss := orElse(v.r.Arch, "a network"), float64(v.r.Final.Norm), float64(v.r.Final.Loss)
	switch {
	case v.atBoundary() && len(v.r.Epochs) > 0:
		s += " at its boundary"
	case v.hasMetric():
		name := strings.ReplaceAll(v.s.MetricName, "-", "\u2011") // no line ends within
		return s + ": " + name + " " + words.Metric(v.s.MetricName, v.s.Metric) + ", ‖θ‖ = " + words.Significant(norm, 3)
	}
	if !finite(norm) {
		return s
	}
	s += ": ‖θ‖ = " + words.Significant(norm, 3)
	if finite(loss) {
		s += ", loss " + v.loss(loss)
	}
	return s
}

// optimisers are the names of the record in words.
var optimisers = map[string]string{"sgd": "stochastic gradient descent", "momentum": "stochastic gradient descent with momentum", "nesterov": "Nesterov's momentum",
	"adam": "Adam", "adamw": "AdamW", "lbfgs": "L-BFGS"}

// lead says what was trained, on what, how, and how good it became.
func (v run) lead() string {
	r := v.r
	s := fmt.Sprintf("%s learned %s", orElse(r.Arch, "A network"), words.Count(r.Data.Examples, "example", "examples"))
	if r.Data.Source != "" {
		s += " of " + r.Data.Source
	}
	if r.Data.Classes > 0 {
		s += " in " + words.Count(r.Data.Classes, "class", "classes")
	}
	if v.flow != nil {
		s += fmt.Sprintf(" along the gradient flow, for a time of %s", words.Number(float64(v.flow.Reached)))
	} else {
		s += v.course()
	}
	if p := v.penalties(); p != "" {
		s += ", with " + p
	}
	s += "."
	if v.hasMetric() {
		s += fmt.Sprintf(" On %s, of which none was used to train, the %s is %s.", words.Count(v.s.HeldOut, "example", "examples"), v.s.MetricName, words.Metric(v.s.MetricName, v.s.Metric))
	}
	return s
}

// course is for how long and by what steps.
func (v run) course() string {
	r := v.r
	s := " for " + words.Count(len(r.Epochs), "epoch", "epochs")
	if r.Planned > len(r.Epochs) {
		s += fmt.Sprintf(" of %s planned", words.Grouped(r.Planned))
	}
	if r.Optimizer != "" {
		s += " by " + orElse(optimisers[r.Optimizer], r.Optimizer)
	}
	return s
}

// penaltyForms are the penalties as formulas.
var penaltyForms = map[train.PenaltyKind]string{
	train.L2:         "λ‖θ‖²",
	train.L1:         "λ‖θ‖₁",
	train.ElasticNet: "λ(α‖θ‖₁ + (1 − α)‖θ‖²)",
	train.GroupLasso: "λ·Σ√|g|·‖θ_g‖",
}

// penalties names the penalties with their schedules.
func (v run) penalties() string {
	var list []string
	for _, p := range v.r.Penalties {
		if p.Kind == train.MaxNorm {
			list = append(list, fmt.Sprintf("the incoming weights of each unit no longer than c = %s", p.Schedule))
			continue
		}
		s := fmt.Sprintf("the penalty %s, λ = %s", orElse(penaltyForms[p.Kind], string(p.Kind)), p.Schedule)
		if p.Kind == train.ElasticNet {
			alpha := float64(p.Alpha)
			if alpha == 0 {
				alpha = 0.5
			}
			s += ", α = " + words.Number(alpha)
		}
		list = append(list, s)
	}
	return strings.Join(list, ", and ")
}

// near says how near the kept model is to the boundary θ = 0.
func (v run) near() string {
	from, to := float64(v.r.Initial.Norm), float64(v.r.Final.Norm)
	if !finite(to) {
		return ""
	}
	s := "‖θ‖ is " + words.Number(to)
	if finite(from) {
		verb := "fell"
		if to > from {
			verb = "grew"
		}
		s = fmt.Sprintf("‖θ‖ %s from %s to %s", verb, words.Number(from), words.Number(to))
	}
	switch {
	case to == 0:
		s += ": the model stands on the boundary θ = 0."
	case v.atBoundary():
		s += fmt.Sprintf(", below the threshold %s: the model counts as at the boundary θ = 0.", words.Number(v.s.Threshold))
	case v.s.Threshold > 0:
		s += fmt.Sprintf(", %s times the threshold %s below which a model counts as at the boundary θ = 0.", words.Significant(to/v.s.Threshold, 3), words.Number(v.s.Threshold))
	default:
		s += "."
	}
	final, zero := float64(v.r.Final.Loss), float64(v.r.Zero.Loss)
	if !finite(final) || !finite(zero) {
		return s
	}
	s += fmt.Sprintf(" Its loss over the training examples is %s; at θ = 0 it is L(0) = %s", v.loss(final), v.loss(zero))
	if gap := math.Abs(final - zero); gap < 0.01*math.Abs(zero) {
		s += fmt.Sprintf(", %s away", words.Significant(gap, 2))
	}
	return s + "."
}

// loss writes a loss in its unit.
func (v run) loss(x float64) string {
	if v.nats() && finite(x) {
		return words.Significant(x, 5) + " nats"
	}
	return words.Significant(x, 5)
}

// nats reports whether the loss has that unit.
func (v run) nats() bool { return v.s.Loss == "" && v.r.Data.Classes > 0 }

// lossName names the loss on an axis.
func (v run) lossName() string {
	if v.nats() {
		return "loss (nats per example)"
	}
	return orElse(v.s.Loss, "loss")
}

func (v run) tiles() []tile {
	r := v.r
	if len(r.Epochs) == 0 {
		return nil
	}
	var list []tile
	if loss := float64(r.Final.Loss); finite(loss) {
		list = append(list, tile{"loss over the training examples", known(float64(r.Initial.Loss)), words.Number(loss), "at θ = 0: " + words.Number(float64(r.Zero.Loss))})
	}
	if norm := float64(r.Final.Norm); finite(norm) {
		remark := ""
		if v.s.Threshold > 0 {
			remark = "at the boundary below " + words.Number(v.s.Threshold)
		}
		list = append(list, tile{"‖θ‖", known(float64(r.Initial.Norm)), words.Number(norm), remark})
	}
	if v.hasMetric() {
		list = append(list, tile{v.s.MetricName, "", words.Metric(v.s.MetricName, v.s.Metric), words.Count(v.s.HeldOut, "held-out example", "held-out examples")})
	}
	first, last := float64(r.Epochs[0].Lambda), float64(r.Epochs[len(r.Epochs)-1].Lambda)
	switch {
	case first != last:
		list = append(list, tile{v.x.symbol, words.Significant(first, 3), words.Significant(last, 3), "first and last " + v.part()})
	case last != 0:
		list = append(list, tile{v.x.symbol, "", words.Significant(last, 3), "first and last " + v.part()})
	}
	return list
}

// known writes a number, and nothing if there is none.
func known(x float64) string {
	if !finite(x) {
		return ""
	}
	return words.Number(x)
}

// settings are what a run is made of.
func (v run) settings() []term {
	r := v.r
	list := []term{
		{"Architecture", orElse(r.Arch, "unknown"), ""},
		{"Data", orElse(r.Data.Source, "unknown"), words.Count(r.Data.Examples, "example", "examples") + " trained"},
		{"SHA-256 of the examples", orElse(r.Data.Hash, "unknown"), ""},
	}
	if v.flow != nil {
		list = append(list, v.flowSettings()...)
	} else {
		list = append(list, term{"Optimiser", orElse(r.Optimizer, "unknown"), ""}, term{"Rate η", orElse(r.Rate, "unknown"), ""},
			term{"Examples per step", words.Grouped(r.Batch), ""})
	}
	if r.Momentum != 0 && v.flow == nil {
		list = append(list, term{"Momentum μ", words.Number(float64(r.Momentum)), ""})
	}
	for _, p := range r.Penalties {
		list = append(list, term{"Penalty " + string(p.Kind), p.Schedule, penaltyForms[p.Kind]})
	}
	for _, d := range []struct {
		name string
		p    float64
	}{{"values of the input", r.Dropout.Input}, {"values that dense layers read", r.Dropout.Hidden}, {"weights", r.Dropout.Weights}} {
		if d.p > 0 {
			list = append(list, term{"Dropout", words.Percent(d.p, 1), "of the " + d.name})
		}
	}
	if r.Smoothing != 0 {
		list = append(list, term{"Label smoothing", words.Number(float64(r.Smoothing)), "share of each target spread over all classes"})
	}
	list = append(list, term{"Seed", fmt.Sprint(r.Seed), "names every random stream"})
	for _, f := range []term{{"Model before", r.Files.Initial, ""}, {"Model after", r.Files.Model, ""}, {"Largest rise", r.Files.Rise, "both models, the batch and the figures of that step"}} {
		if f.Value != "" {
			list = append(list, f)
		}
	}
	return list
}

// part is what a run is divided into.
func (v run) part() string {
	if v.flow != nil {
		return "part"
	}
	return "epoch"
}

// maxRows bounds the table of epochs.
const maxRows = 30

// epochs is the table, evenly thinned with both ends.
func (v run) epochs() (columns []string, rows [][]string, shown string) {
	list := v.columns()
	columns = append(columns, v.part())
	for _, c := range list {
		columns = append(columns, c.name)
	}
	n := len(v.r.Epochs)
	for _, i := range thinned(n, maxRows) {
		row := []string{words.Grouped(i + 1)}
		for _, c := range list {
			row = append(row, c.text(v.r.Epochs[i]))
		}
		rows = append(rows, row)
	}
	shown = words.Count(n, v.part(), v.part()+"s")
	if len(rows) < n {
		shown = fmt.Sprintf("%d of %s", len(rows), shown)
	}
	return columns, rows, shown
}

// thinned lists at most most of n indices at equal distances, first and last included.
func thinned(n, most int) []int {
	var list []int
	if n <= most {
		for i := range n {
			list = append(list, i)
		}
		return list
	}
	for k := range most {
		list = append(list, (2*k*(n-1)+most-1)/(2*(most-1)))
	}
	return list
}

type column struct {
	name string
	of   func(train.EpochRecord) float64
	text func(train.EpochRecord) string
}

// columns are those in which there is something to read.
func (v run) columns() []column {
	number := func(name string, of func(train.EpochRecord) float64) column {
		return column{name, of, func(e train.EpochRecord) string { return words.Number(of(e)) }}
	}
	share := func(name string, of func(train.EpochRecord) float64) column {
		return column{name, of, func(e train.EpochRecord) string { return words.Percent(of(e), 2) }}
	}
	all := []column{
		number(v.x.symbol, lambdaOf),
		number("rate η", func(e train.EpochRecord) float64 { return float64(e.Rate) }),
		number("loss", trainLossOf),
		share("accuracy", accuracyOf),
		number("validation loss", validLossOf),
		share("validation accuracy", validAccuracyOf),
		number("‖θ‖", normOf),
		number("penalty", func(e train.EpochRecord) float64 { return float64(e.Penalty) }),
		number("schedule term", scheduleOf),
		{"zeros", zerosOf, func(e train.EpochRecord) string { return words.Grouped(e.Zeros) }},
	}
	var list []column
	for _, c := range all {
		for _, e := range v.r.Epochs {
			if x := c.of(e); x != 0 && !math.IsNaN(x) {
				list = append(list, c)
				break
			}
		}
	}
	return list
}

func lambdaOf(e train.EpochRecord) float64        { return float64(e.Lambda) }
func trainLossOf(e train.EpochRecord) float64     { return float64(e.Loss) }
func accuracyOf(e train.EpochRecord) float64      { return float64(e.Metric) }
func validLossOf(e train.EpochRecord) float64     { return float64(e.ValidLoss) }
func validAccuracyOf(e train.EpochRecord) float64 { return float64(e.ValidMetric) }
func normOf(e train.EpochRecord) float64          { return float64(e.Norm) }
func scheduleOf(e train.EpochRecord) float64      { return float64(e.Schedule) }
func zerosOf(e train.EpochRecord) float64         { return float64(e.Zeros) }
