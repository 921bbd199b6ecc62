package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strings"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/paths"
)

// profile is the section on one path.
type profile struct {
	ID, Name, About string
	Charts          []template.HTML
	Legend          []legendEntry
	Sentences       []string
	Columns         []string
	Rows            [][]string
}

type legendEntry struct{ Class, Text string }

// pathNames are the headings of the paths in words.
var pathNames = map[string]string{
	"prune":          "Removing weights",
	"prune-channels": "Removing channels",
	"prune-blocks":   "Removing residual blocks",
	"quantize":       "Fewer bits per weight",
	"lowrank":        "Lower rank",
	"l2":             "Training with a ridge penalty",
	"l1":             "Training with a lasso penalty",
	"elastic":        "Training with an elastic net",
	"group":          "Training with a group lasso",
	"maxnorm":        "Training with bounded norms",
	"dropout":        "Training with dropout",
}

// penalties are the kinds of paths that go up in λ, from 0 to ∞.
var penalties = []string{"l2", "l1", "elastic", "group"}

// newProfile draws a curve under a budget; metric names what was measured beside the
// loss, and chosen, if not nil, is how far the
// run went on this path.
func newProfile(id string, c compress.Curve, b compactify.Budget, metric string, chosen *compress.Leg) profile {
	p := profile{ID: id, Name: pathNames[c.Kind]}
	if p.Name == "" {
		p.Name = "Path " + c.Kind
	} else {
		p.Name += " (path " + c.Kind + ")"
	}
	d := drawing{c: c, b: b, metric: metric, chosen: chosen, id: id}
	if len(c.Points) > 0 {
		p.Charts = []template.HTML{d.loss(), d.spent()}
		if trains(c.Kind) {
			p.Charts = append(p.Charts, d.norm())
		}
		p.Legend = d.legend()
	}
	for _, s := range d.sentences() {
		p.Sentences = append(p.Sentences, strings.ReplaceAll(s, "t = ", "t\u00a0=\u00a0"))
	}
	p.Columns, p.Rows = d.table()
	return p
}

// drawing is a curve on its way to charts.
type drawing struct {
	c      compress.Curve
	b      compactify.Budget
	metric string
	chosen *compress.Leg
	id     string
}

func (d drawing) column(of func(compress.CurvePoint) float64) []float64 {
	var list []float64
	for _, p := range d.c.Points {
		list = append(list, of(p))
	}
	return list
}

func lossOf(p compress.CurvePoint) float64  { return float64(p.Loss) }
func spentOf(p compress.CurvePoint) float64 { return float64(p.Spent) }
func paramOf(p compress.CurvePoint) float64 { return float64(p.Param) }

// rungs reports whether the path's few steps crowd at one end, as bits do: such
// an axis is drawn as a ladder.
func (d drawing) rungs() bool {
	t := d.column(func(p compress.CurvePoint) float64 { return float64(p.T) })
	if len(t) < 3 || len(t) > 12 {
		return false
	}
	for i := 1; i < len(t); i++ {
		if !(t[i] > t[i-1]) {
			return false
		}
	}
	return t[1]-t[0] > 0.5
}

// xAxis is t with round ticks, or a ladder of the path's steps.
func (d drawing) xAxis() axis {
	var stops []float64
	var labels []string
	for _, p := range d.c.Points {
		stops = append(stops, float64(p.T))
		labels = append(labels, words.Significant(float64(p.Param), 3))
		if math.IsNaN(float64(p.Param)) {
			labels[len(labels)-1] = words.Significant(float64(p.T), 2)
		}
	}
	if d.rungs() {
		name := "steps of the path, from t = 0 to t = 1"
		if d.c.Kind == "quantize" {
			name = "bits per weight, from t = 0 to t = 1"
		}
		return newLadder(name, stops, labels)
	}
	if d.overLambda() {
		return newLogAxis("λ (logarithmic)", d.column(paramOf)).withEnds("0", "∞")
	}
	name := "t"
	switch d.c.Kind {
	case "maxnorm":
		name = "t = 1 − c/c_max, c the largest norm of a unit's weights"
	case "dropout":
		name = "t: probability of dropping"
	case "prune":
		name = "t: share of weights removed"
	case "prune-channels":
		name = "t: share of channels removed"
	case "prune-blocks":
		name = "t: share of blocks removed"
	}
	return newAxis(name, []float64{0, 1})
}

// overLambda reports whether the axis is λ: of a path of λ that was measured at more
// than one λ between 0 and ∞.
func (d drawing) overLambda() bool {
	n := 0
	for _, x := range d.column(paramOf) {
		if x > 0 && finite(x) {
			n++
		}
	}
	return n > 1 && slices.Contains(penalties, d.c.Kind)
}

// x is where a point stands on the axis.
func (d drawing) x(t, param jsonnum.Float) float64 {
	if d.overLambda() {
		return float64(param)
	}
	return float64(t)
}

// base is a chart with the x axis, the chosen point and the points' positions.
func (d drawing) base(suffix string, y axis, of func(compress.CurvePoint) float64, text func(float64) string) *chart {
	c := &chart{id: d.id + suffix, x: d.xAxis(), y: y, line: true}
	for _, p := range d.c.Points {
		c.points = append(c.points, dot{x: d.x(p.T, p.Param), y: of(p), to: of(p), class: "point",
			title: fmt.Sprintf("t = %s%s: %s", words.Significant(float64(p.T), 4), d.lambdaText(p), text(of(p)))})
	}
	for _, p := range d.c.Points {
		if p.T == d.c.FurthestT {
			c.marks = append(c.marks, dot{x: d.x(p.T, p.Param), y: of(p), to: of(p), class: "furthest", shape: "ring",
				title: fmt.Sprintf("furthest point inside the budget: t = %s", words.Significant(float64(p.T), 4))})
		}
	}
	if d.chosen != nil {
		t := d.x(d.chosen.T, d.chosen.Param)
		c.rules = append(c.rules, rule{at: t, vertical: true, class: "chosen"})
		text := words.Significant(t, 3)
		if c.x.stops != nil {
			text = words.Significant(float64(d.chosen.Param), 2)
		}
		c.x.note(t, text, "chosen", beside)
	}
	return c
}

// lambdaText names λ where it is the axis.
func (d drawing) lambdaText(p compress.CurvePoint) string {
	if !d.overLambda() {
		return ""
	}
	return ", λ = " + words.Significant(float64(p.Param), 3)
}

// loss is the whole profile, with the limit at t=1 in the notation of one-sided
// limits: an open circle for the left limit, a full one for the value.
func (d drawing) loss() template.HTML {
	values := d.column(lossOf)
	if finite(float64(d.c.BudgetLoss)) {
		values = append(values, float64(d.c.BudgetLoss))
	}
	y := newAxis(words.LossAxis(d.metric), values)
	if lo, hi := span(values); lo > 0 && hi/lo > 30 {
		y = newLogAxis(logarithmic(words.LossAxis(d.metric)), values)
	}
	c := d.base("-loss", y, lossOf, d.lossText)
	if finite(float64(d.c.BudgetLoss)) {
		c.rules = append(c.rules, rule{at: float64(d.c.BudgetLoss), class: "limit"})
		c.y.note(float64(d.c.BudgetLoss), words.Significant(float64(d.c.BudgetLoss), 3), "limit", above)
	}
	d.limitAtOne(c)
	c.title = "Loss along the path " + d.c.Kind
	c.desc = fmt.Sprintf("Line chart of %d measured models. The loss starts at %s for the original at t = 0 and is %s at t = 1.",
		len(d.c.Points), words.Number(values[0]), words.Number(float64(d.c.Limit.LossAt)))
	return c.render()
}

// lossText writes a loss in its unit.
func (d drawing) lossText(x float64) string { return words.Loss(d.metric, x) }

// usedText writes how much of the budget is used up.
func (d drawing) usedText(x float64) string {
	if d.b.Kind == compactify.MinSNR {
		return words.Amount(d.b.Kind, x)
	}
	return words.Number(x) + " spent"
}

// logarithmic says on an axis's name how it is divided.
func logarithmic(name string) string {
	if inner, ok := strings.CutSuffix(name, ")"); ok {
		return inner + ", logarithmic)"
	}
	return name + " (logarithmic)"
}

// limitAtOne marks the left limit and the value at t=1.
func (d drawing) limitAtOne(c *chart) {
	n := len(d.c.Points)
	if n < 2 || d.c.Points[n-1].T != 1 {
		return
	}
	left, at := float64(d.c.Limit.LossLeft), float64(d.c.Limit.LossAt)
	before, last := d.c.Points[n-2], d.c.Points[n-1]
	from, to := d.x(before.T, before.Param), d.x(last.T, last.Param)
	if d.c.Limit.Verdict != compactify.Supported {
		c.bridges = append(c.bridges, [2]dot{{x: from, y: left}, {x: to, y: left}})
		c.marks = append(c.marks, dot{x: to, y: left, to: left, class: "left-limit", shape: "open", title: "left limit at t = 1: " + d.lossText(left)})
	}
	c.marks = append(c.marks, dot{x: to, y: at, to: at, class: "boundary", shape: "diamond", title: "value at t = 1: " + d.lossText(at)})
}

// spent shows how the budget is used up, close to its limit: what lies far
// beyond is an arrow at that end.
func (d drawing) spent() template.HTML {
	values := d.column(spentOf)
	shown := append([]float64{d.b.Limit}, values...)
	clipped := false
	if d.b.Kind != compactify.MinSNR && d.b.Limit > 0 {
		shown, clipped = within(values, 4*d.b.Limit)
		shown = append(shown, 0, 1.5*d.b.Limit)
	}
	y := newAxis(words.SpentLabel(d.b.Kind), shown)
	c := d.base("-spent", y, spentOf, d.usedText)
	c.rules = append(c.rules, rule{at: d.b.Limit, class: "limit"})
	c.y.note(d.b.Limit, words.Significant(d.b.Limit, 3), "limit", above)
	c.title = "How the path " + d.c.Kind + " uses up the budget"
	if d.b.Kind == compactify.MinSNR {
		c.title = "Signal-to-noise ratio along the path " + d.c.Kind
	}
	c.desc = fmt.Sprintf("Line chart. The limit is %s; the furthest measured point inside it is at t = %s.", words.Amount(d.b.Kind, d.b.Limit), words.Number(float64(d.c.FurthestT)))
	if clipped {
		c.desc += " The axis ends near the limit; points beyond are arrows at its ends."
	}
	return c.render()
}

// norm shows how the weights shrink on the way to the boundary.
func (d drawing) norm() template.HTML {
	normOf := func(p compress.CurvePoint) float64 { return float64(p.Norm) }
	values := d.column(normOf)
	c := d.base("-norm", newAxis("‖θ‖", append(values, 0)), normOf, func(x float64) string { return "‖θ‖ = " + words.Number(x) })
	c.title = "Norm of the weights along the path " + d.c.Kind
	c.desc = fmt.Sprintf("Line chart of %d measured models. The norm starts at %s for the original at t = 0 and ends at %s.",
		len(values), words.Number(values[0]), words.Number(values[len(values)-1]))
	return c.render()
}

// within keeps the values up to a bound.
func within(values []float64, bound float64) (kept []float64, clipped bool) {
	for _, v := range values {
		if v <= bound {
			kept = append(kept, max(v, -bound))
		} else {
			clipped = true
		}
	}
	return kept, clipped
}

func (d drawing) legend() []legendEntry {
	list := []legendEntry{{"point", "a measured model"}}
	if finite(float64(d.c.FurthestT)) {
		list = append(list, legendEntry{"furthest", "the furthest inside the budget, this path alone"})
	}
	if d.chosen != nil {
		list = append(list, legendEntry{"chosen", "how far the run went, fine-tuned and with all paths together"})
	}
	list = append(list, legendEntry{"limit", "the budget's limit"})
	if n := len(d.c.Points); n > 1 && d.c.Points[n-1].T == 1 {
		if d.c.Limit.Verdict != compactify.Supported {
			list = append(list, legendEntry{"left-limit", "the loss just before t = 1"})
		}
		list = append(list, legendEntry{"boundary", "the loss at t = 1"})
	}
	return list
}

// sentences says in words what the charts show.
func (d drawing) sentences() []string {
	c := d.c
	if len(c.Points) == 0 {
		return []string{"Nothing was measured on this path."}
	}
	var list []string
	switch {
	case !finite(float64(c.FurthestT)):
		list = append(list, "No measured point of this path is inside the budget, not even the original.")
	case c.FurthestT == 1:
		list = append(list, "The budget was measured to hold all the way to t = 1.")
	default:
		between := "Between the two nothing was measured."
		if d.rungs() {
			between = "Between the two the path has no other model."
		}
		how := "Without fine-tuning, the"
		if trains(c.Kind) {
			how = "The"
		}
		list = append(list, fmt.Sprintf("%s budget was measured to hold up to t = %s%s; at the next measured point, t = %s%s, it does not. %s",
			how, words.Significant(float64(c.FurthestT), 4), d.param(float64(c.FurthestT)), words.Significant(float64(c.Bracket[1]), 4), d.param(float64(c.Bracket[1])), between))
	}
	if finite(float64(c.HorizonT)) && finite(float64(c.FurthestT)) && c.HorizonT < c.FurthestT {
		list = append(list, fmt.Sprintf("It fails in between: the first stretch inside the budget ends at t = %s, and good models lie beyond the gap.", words.Significant(float64(c.HorizonT), 4)))
	}
	return append(list, d.boundarySentence()...)
}

// trains reports whether the models of a kind of path are trained on the way.
func trains(kind string) bool {
	return slices.ContainsFunc(paths.Kinds, func(k paths.Kind) bool { return k.Name == kind && k.Trains })
}

func (d drawing) param(t float64) string {
	for _, p := range d.c.Points {
		if float64(p.T) == t && finite(float64(p.Param)) {
			switch d.c.Kind {
			case "quantize":
				return fmt.Sprintf(" (%s bits)", words.Significant(float64(p.Param), 3))
			case "prune":
				return fmt.Sprintf(" (%s of the weights removed)", words.Percent(float64(p.Param), 1))
			case "prune-channels":
				return fmt.Sprintf(" (%s of the channels removed)", words.Percent(float64(p.Param), 1))
			case "prune-blocks":
				return fmt.Sprintf(" (%s of the blocks removed)", words.Percent(float64(p.Param), 1))
			case "l2", "l1", "elastic", "group":
				return fmt.Sprintf(" (λ = %s)", words.Significant(float64(p.Param), 3))
			case "maxnorm":
				return fmt.Sprintf(" (c = %s)", words.Significant(float64(p.Param), 3))
			case "dropout":
				return fmt.Sprintf(" (%s kept)", words.Percent(float64(p.Param), 1))
			}
		}
	}
	return ""
}

// boundarySentence says what is known of t = 1.
func (d drawing) boundarySentence() []string {
	l := d.c.Limit
	if !finite(float64(l.LossAt)) {
		return nil
	}
	text := fmt.Sprintf("At t = 1 stands the boundary model (%s); its loss is %s, and %s at the last point measured before it. ",
		orElse(l.Boundary, "unnamed"), d.lossText(float64(l.LossAt)), words.Number(float64(l.LossLeft)))
	switch l.Verdict {
	case compactify.Supported:
		text += "Within the tolerance the two agree, which supports that the loss is continuous there."
	case compactify.Refuted:
		text += "The path has finitely many steps and jumps at its last one: the loss is not continuous there."
	default:
		text += "Whether the loss is continuous there was not settled."
	}
	list := []string{text}
	if finite(float64(d.c.ArrivalT)) && d.c.ArrivalT < 1 {
		list = append(list, fmt.Sprintf("From t = %s%s on, every measured model already equals the boundary model.", words.Significant(float64(d.c.ArrivalT), 4), d.param(float64(d.c.ArrivalT))))
	}
	return list
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// table holds the figures behind the charts.
func (d drawing) table() (columns []string, rows [][]string) {
	columns = []string{"t", words.LossName(d.metric), "metric", words.UsedName(d.b.Kind), "bytes", "examples"}
	hasMetric := words.HasMetric(d.metric)
	if !hasMetric {
		columns = slices.Delete(columns, 2, 3)
	}
	named := map[string]string{"prune": "removed", "prune-channels": "removed", "prune-blocks": "removed", "quantize": "bits",
		"l2": "λ", "l1": "λ", "elastic": "λ", "group": "λ", "maxnorm": "c", "dropout": "kept"}[d.c.Kind]
	if named != "" {
		columns = append([]string{columns[0], named}, columns[1:]...)
	}
	if trains(d.c.Kind) {
		columns = append(columns, "‖θ‖")
	}
	for _, p := range d.c.Points {
		row := []string{words.Significant(float64(p.T), 4)}
		if named != "" {
			row = append(row, words.Significant(float64(p.Param), 4))
		}
		row = append(row, words.Number(float64(p.Loss)))
		if hasMetric {
			row = append(row, words.Number(float64(p.Metric)))
		}
		row = append(row, words.Amount(d.b.Kind, float64(p.Spent)), words.Grouped(p.Bytes), words.Grouped(p.Examples))
		if trains(d.c.Kind) {
			row = append(row, words.Number(float64(p.Norm)))
		}
		rows = append(rows, row)
	}
	return columns, rows
}
