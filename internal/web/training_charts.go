package web

import (
	"fmt"
	"html/template"
	"math"

	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/train"
)

// progress is the axis along which a run is drawn: λ where it is scheduled over more
// than a decade, otherwise epochs.
type progress struct {
	axis
	symbol   string // of λ: "c" for the radius of max-norm
	lambda   bool   // the axis is λ
	infinity bool   // and has a place for λ = ∞, where θ = 0 is the limit
	falls    bool   // λ falls, and the run goes from right to left
}

func (v run) progress() progress {
	p := progress{symbol: "λ"}
	var lambdas []float64
	rises, falls := true, true
	for i, e := range v.r.Epochs {
		lambdas = append(lambdas, float64(e.Lambda))
		if i > 0 {
			rises = rises && e.Lambda > v.r.Epochs[i-1].Lambda
			falls = falls && e.Lambda < v.r.Epochs[i-1].Lambda
		}
	}
	radius := v.radiusAlone()
	if radius {
		p.symbol = "c"
	}
	lo, hi := span(lambdas)
	if len(lambdas) < 2 || !(rises || falls) || !(lo > 0 && hi > 10*lo) || !finite(lambdas[0]) {
		n := float64(len(v.r.Epochs))
		p.axis = newAxis(v.axisName(), []float64{0, max(n, 1)})
		p.ticks = wholeTicks(p.ticks)
		return p
	}
	p.lambda, p.falls = true, falls
	if radius {
		p.axis = newLogAxis("c, the largest norm of a unit's weights (logarithmic)", lambdas)
		return p
	}
	p.axis = newLogAxis("λ (logarithmic)", lambdas)
	if rises {
		p.infinity = true
		p.axis = p.withEnds("", "∞")
	}
	return p
}

// axisName names the axis of epochs.
func (v run) axisName() string {
	if v.flow != nil {
		return "part of the time"
	}
	return "epoch"
}

// radiusAlone reports whether the λ of the record is the radius of max-norm.
func (v run) radiusAlone() bool {
	for _, p := range v.r.Penalties {
		if p.Kind != train.MaxNorm {
			return false
		}
	}
	return len(v.r.Penalties) > 0
}

// wholeTicks keeps those at whole numbers.
func wholeTicks(ticks []tick) []tick {
	var kept []tick
	for _, t := range ticks {
		if t.at == math.Round(t.at) {
			kept = append(kept, tick{at: t.at, label: words.Grouped(int(t.at))})
		}
	}
	return kept
}

// place is where the i-th epoch, counted from 0, stands on the axis, and its name.
func (v run) place(i int) (x float64, name string) {
	name = v.part() + " " + words.Grouped(i+1)
	if l := float64(v.r.Epochs[i].Lambda); v.x.lambda {
		return l, fmt.Sprintf("%s, %s = %s", name, v.x.symbol, words.Significant(l, 3))
	}
	return float64(i + 1), name
}

// trace is one figure of all epochs.
func (v run) trace(class, what string, of func(train.EpochRecord) float64, text func(float64) string) trace {
	t := trace{class: class, dots: len(v.r.Epochs) <= 60}
	shape := ""
	if class == "valid" {
		shape = "open"
	}
	for i, e := range v.r.Epochs {
		x, name := v.place(i)
		y := of(e)
		t.points = append(t.points, dot{x: x, y: y, to: y, class: "point " + class, shape: shape, title: fmt.Sprintf("%s: %s %s", name, what, text(y))})
	}
	return t
}

func (v run) column(of func(train.EpochRecord) float64) []float64 {
	var list []float64
	for _, e := range v.r.Epochs {
		list = append(list, of(e))
	}
	return list
}

// measured reports whether any of the values is there.
func measured(values []float64) bool {
	for _, x := range values {
		if finite(x) {
			return true
		}
	}
	return false
}

// walk is the figure of the run itself.
func (v run) walk() figure {
	f := figure{Heading: "The run, " + v.part() + " by " + v.part()}
	if v.x.lambda {
		f.Heading = "The walk along " + v.x.symbol
	}
	if len(v.r.Epochs) == 0 {
		f.Sentences = []string{"No " + v.part() + " was finished."}
		return f
	}
	f.Charts = append(f.Charts, v.lossChart(), v.normChart())
	if measured(v.column(accuracyOf)) {
		f.Charts = append(f.Charts, v.accuracyChart())
	}
	if _, most := span(append(v.column(zerosOf), 0)); v.anyZeros() {
		f.Charts = append(f.Charts, v.zerosChart(most))
	}
	f.Legend = v.walkLegend()
	f.Sentences = v.walkSentences()
	return f
}

func (v run) anyZeros() bool {
	for _, e := range v.r.Epochs {
		if e.Zeros > 0 {
			return true
		}
	}
	return false
}

func (v run) walkLegend() []legendEntry {
	what := "after an epoch; loss and accuracy: mean of its batches, as they were seen"
	if v.flow != nil {
		what = "at the end of a part of the time, over all training examples"
	}
	list := []legendEntry{{"train", what}}
	if measured(v.column(validLossOf)) {
		list = append(list, legendEntry{"valid", "on the validation examples after the epoch"})
	}
	if finite(float64(v.r.Zero.Loss)) || v.s.Threshold > 0 {
		list = append(list, legendEntry{"shore", "the boundary θ = 0: its loss, and the norm that counts as it"})
	}
	if v.x.infinity {
		list = append(list, legendEntry{"boundary", "the limit, θ = 0"})
	}
	return list
}

func (v run) walkSentences() []string {
	var list []string
	if v.x.lambda {
		way := "from left to right"
		if v.x.falls {
			way = "from right to left, as " + v.x.symbol + " falls"
		}
		list = append(list, fmt.Sprintf("Every point is one %s; the run goes %s. Of the penalties only the first has its %s on the axis; the losses are without penalties.", v.part(), way, v.x.symbol))
		if len(v.r.Penalties) < 2 {
			list[0] = fmt.Sprintf("Every point is one %s; the run goes %s. The losses are without the penalty.", v.part(), way)
		}
	}
	if d := v.r.Dropout; d.Hidden > 0 || d.Input > 0 || d.Weights > 0 {
		list = append(list, "Losses and accuracies in training are those under dropout, as the batches were seen.")
	}
	return list
}

func (v run) lossChart() template.HTML {
	values := append(v.column(trainLossOf), v.column(validLossOf)...)
	zero := float64(v.r.Zero.Loss)
	t := v.trace("train", "loss", trainLossOf, v.loss)
	if v.flow != nil { // whose losses are over all examples as well
		t = v.fromStart(t, float64(v.r.Initial.Loss), "loss ", v.loss)
		values = append(values, t.points[0].y)
	}
	values = append(values, zero)
	name := v.lossName()
	y := newAxis(name, values)
	if lo, hi := span(values); lo > 0 && hi/lo > 30 {
		y = newLogAxis(logarithmic(name), values)
	}
	c := &chart{id: "loss", x: v.x.axis, y: y, title: "Loss"}
	c.traces = append(c.traces, t)
	if measured(v.column(validLossOf)) {
		c.traces = append(c.traces, v.trace("valid", "validation loss", validLossOf, v.loss))
	}
	c.desc = fmt.Sprintf("Line chart of %s. The loss starts at %s and ends at %s.", words.Count(len(v.r.Epochs), v.part(), v.part()+"s"),
		v.loss(float64(v.r.Epochs[0].Loss)), v.loss(float64(v.r.Epochs[len(v.r.Epochs)-1].Loss)))
	if finite(zero) {
		c.rules = append(c.rules, v.shore(c, zero, "L(0) = "+words.Number(zero)))
		c.desc += fmt.Sprintf(" A line marks the loss at θ = 0, %s.", v.loss(zero))
		if v.x.infinity {
			c.marks = append(c.marks, dot{x: math.Inf(1), y: zero, to: zero, class: "boundary", shape: "diamond", title: "λ = ∞, θ = 0: loss " + v.loss(zero)})
		}
	}
	return c.render()
}

// shore is the line of the boundary, named at that of its ends where the run is
// further away.
func (v run) shore(c *chart, at float64, text string) rule {
	r := rule{at: at, class: "shore", text: text}
	points := c.traces[0].points
	leftmost, rightmost := points[0], points[len(points)-1]
	if v.x.falls {
		leftmost, rightmost = rightmost, leftmost
	}
	away := func(p dot) float64 { return math.Abs(c.y.position(p.y) - c.y.position(at)) }
	r.right = away(rightmost) > away(leftmost)
	return r
}

// fromStart puts the value before training in front of the trace, where the axis has
// a place for it.
func (v run) fromStart(t trace, y float64, what string, text func(float64) string) trace {
	if !v.x.lambda && finite(y) {
		t.points = append([]dot{{x: 0, y: y, to: y, class: "point train", title: "before training: " + what + text(y)}}, t.points...)
	}
	return t
}

func (v run) normChart() template.HTML {
	var values []float64
	zero := v.x.infinity
	t := v.fromStart(v.trace("train", "‖θ‖ =", normOf, words.Number), float64(v.r.Initial.Norm), "‖θ‖ = ", words.Number)
	for _, p := range t.points {
		x := p.y
		if x > 0 {
			values = append(values, x)
		}
		zero = zero || x == 0
	}
	lo, hi := span(values)
	if v.s.Threshold > 0 {
		values = append(values, v.s.Threshold)
	}
	y := newAxis("‖θ‖", append(values, 0))
	if lo > 0 && hi/lo > 10 {
		y = newLogAxis("‖θ‖ (logarithmic)", values)
		if zero {
			y = y.withEnds("0", "")
		}
	}
	c := &chart{id: "norm", x: v.x.axis, y: y, title: "Norm of the weights"}
	c.traces = append(c.traces, t)
	c.desc = fmt.Sprintf("Line chart. The norm of all weights is %s at first and %s at last.",
		words.Number(float64(v.r.Epochs[0].Norm)), words.Number(float64(v.r.Epochs[len(v.r.Epochs)-1].Norm)))
	if v.s.Threshold > 0 {
		c.rules = append(c.rules, v.shore(c, v.s.Threshold, "threshold "+words.Significant(v.s.Threshold, 3)))
		c.desc += fmt.Sprintf(" Below %s a model counts as at the boundary.", words.Number(v.s.Threshold))
	}
	if v.x.infinity {
		c.marks = append(c.marks, dot{x: math.Inf(1), class: "boundary", shape: "diamond", title: "λ = ∞: θ = 0"})
	}
	return c.render()
}

func (v run) accuracyChart() template.HTML {
	percent := func(of func(train.EpochRecord) float64) func(train.EpochRecord) float64 {
		return func(e train.EpochRecord) float64 { return 100 * of(e) }
	}
	text := func(x float64) string { return words.Percent(x/100, 2) }
	trained, valid := percent(accuracyOf), percent(validAccuracyOf)
	c := &chart{id: "accuracy", x: v.x.axis, y: newAxis("accuracy (%)", append(v.column(trained), v.column(valid)...)), title: "Accuracy"}
	c.traces = append(c.traces, v.trace("train", "accuracy", trained, text))
	if measured(v.column(validAccuracyOf)) {
		c.traces = append(c.traces, v.trace("valid", "validation accuracy", valid, text))
	}
	c.desc = fmt.Sprintf("Line chart. The accuracy is %s at first and %s at last.", text(trained(v.r.Epochs[0])), text(trained(v.r.Epochs[len(v.r.Epochs)-1])))
	return c.render()
}

func (v run) zerosChart(most float64) template.HTML {
	name, by := "weights that are exactly zero", 1.0
	if most >= 10000 {
		name, by = "thousands of weights that are exactly zero", 1000
	}
	of := func(e train.EpochRecord) float64 { return float64(e.Zeros) / by }
	c := &chart{id: "zeros", x: v.x.axis, y: newAxis(name, append(v.column(of), 0)), title: "Weights that are exactly zero"}
	c.traces = append(c.traces, v.trace("train", "zero weights:", of, func(x float64) string { return words.Grouped(int(math.Round(x * by))) }))
	c.desc = fmt.Sprintf("Line chart. At last %s exactly zero.", words.Count(v.r.Epochs[len(v.r.Epochs)-1].Zeros, "weight is", "weights are"))
	return c.render()
}
