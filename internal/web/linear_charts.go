package web

import (
	"fmt"
	"html/template"
	"math"
	"slices"
	"strconv"

	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/linear"
)

// lambdaAxis is linear for an exact path, whose curves are straight there.
func (v linearView) lambdaAxis() axis {
	var list []float64
	zero := ""
	for _, p := range v.course() {
		list = append(list, p.Lambda)
		if p.Lambda == 0 {
			zero = "0"
		}
	}
	a := newLogAxis("penalty λ", list).withEnds(zero, "")
	if v.s.Exact {
		a = newAxis("penalty λ", list)
	}
	a.note(v.LambdaMax, "λmax", "shore", beside)
	if c := v.s.Validation; c != nil {
		for _, chosen := range []tick{{c.Lambda1SE, "1se", "chosen"}, {c.LambdaMin, "min", "chosen"}} {
			if !a.named(chosen) {
				a.note(chosen.at, chosen.label, chosen.mark, beside)
			}
		}
	}
	return a
}

// named reports whether a line is so near that its name and that of t would touch.
func (a axis) named(t tick) bool {
	const bold = boldLetter / letter
	return slices.ContainsFunc(a.ticks, func(o tick) bool {
		return o.mark != "" && math.Abs(a.position(o.at)-a.position(t.at)) < bold*beside(o.label, t.label)
	})
}

// rules mark the boundary and what cross-validation chose.
func (v linearView) rules() []rule {
	list := []rule{{at: v.LambdaMax, vertical: true, class: "shore"}}
	if c := v.s.Validation; c != nil {
		list = append(list, rule{at: c.LambdaMin, vertical: true, class: "chosen"}, rule{at: c.Lambda1SE, vertical: true, class: "chosen"})
	}
	return list
}

// over is a chart of a figure of every point; what connects them is the caller's to say.
func (v linearView) over(id, title, desc, label string, of func(i int) float64) chart {
	c := chart{id: id, title: title, desc: desc, x: v.lambdaAxis(), rules: v.rules()}
	var ys []float64
	for i, p := range v.Points {
		y := of(i)
		ys = append(ys, y)
		c.points = append(c.points, dot{x: p.Lambda, y: y, to: y, class: "point", shape: "small", title: fmt.Sprintf("λ = %s: %s", words.Number(p.Lambda), words.Number(y))})
	}
	c.y = newAxis(label, ys)
	return c
}

// walk draws the coefficients and what they explain.
func (v linearView) walk() figure {
	curves := v.largest(drawnCurves)
	label := "coefficient"
	if v.scaled() {
		label = "coefficient × standard deviation"
	}
	c := chart{id: "coefficients", title: "The coefficients over λ", x: v.lambdaAxis(), rules: v.rules(),
		desc: "Each line is the coefficient of a column; penalised ones are 0 at the boundary, the largest λ."}
	ys := []float64{0}
	var f figure
	for k := len(curves) - 1; k >= 0; k-- { // the largest on top
		t := trace{class: "rest"}
		if k < namedCurves {
			t.class = "c" + strconv.Itoa(k+1)
		}
		for i, p := range v.course() {
			t.points = append(t.points, dot{x: p.Lambda, y: curves[k].values[i]})
		}
		ys = append(ys, curves[k].values...)
		c.traces = append(c.traces, t)
	}
	c.y = newAxis(label, ys)
	if !math.IsInf(v.LambdaMax, 1) && v.s.Unpenalised < v.Features {
		c.marks = append(c.marks, dot{x: v.LambdaMax, y: 0, to: 0, class: "boundary", shape: "diamond", title: "the boundary: " + v.null() + " from λ = " + words.Number(v.LambdaMax) + " on"})
		f.Legend = append(f.Legend, legendEntry{"boundary", "the boundary λmax, from which on " + v.null()})
	}
	for k := range min(namedCurves, len(curves)) {
		f.Legend = append(f.Legend, legendEntry{"c" + strconv.Itoa(k+1), v.name(curves[k].index)})
	}
	if len(curves) > namedCurves {
		f.Legend = append(f.Legend, legendEntry{"rest", "others"})
	}
	if v.s.Validation != nil {
		f.Legend = append(f.Legend, legendEntry{"chosen", "what cross-validation chose"})
	}
	f.Charts = []template.HTML{c.render(), v.explained()}
	if n := v.ever(); n > len(curves) {
		f.Sentences = append(f.Sentences, fmt.Sprintf("Drawn are the %d coefficients that go furthest from 0, of %s that are not 0 somewhere on the path.", len(curves), words.Grouped(n)))
	}
	return f
}

// explained draws the share of the deviance that is gone.
func (v linearView) explained() template.HTML {
	c := v.over("explained", "What is explained over λ", "The share of the deviance of the model without penalised columns that is gone.", "share of the deviance explained, %", func(i int) float64 { return 100 * v.Points[i].Explained })
	if !v.exactly() {
		c.line = true
		return c.render()
	}
	t := trace{class: "c1"}
	var ys []float64
	course := v.course()
	for i, p := range course {
		if i > 0 {
			t.points = append(t.points, parabola(course[i-1], p)...)
		}
		t.points = append(t.points, dot{x: p.Lambda, y: 100 * p.Explained})
		ys = append(ys, 100*p.Explained)
	}
	c.traces, c.y = []trace{t}, newAxis(c.y.label, ys)
	return c.render()
}

// parabola is what is explained, in %, between two neighbouring breakpoints. There the
// penalty P is linear in λ and the loss L has L′ = −λP′, as the derivative of the least
// objective L + λP is P: so L is linear in λ².
func parabola(above, below linear.Point) (list []dot) {
	const pieces = 12
	for k := 1; k < pieces; k++ {
		lambda := above.Lambda + (below.Lambda-above.Lambda)*float64(k)/pieces
		share := (above.Lambda - lambda) * (above.Lambda + lambda) / ((above.Lambda - below.Lambda) * (above.Lambda + below.Lambda))
		list = append(list, dot{x: lambda, y: 100 * (above.Explained + share*(below.Explained-above.Explained))})
	}
	return list
}

// support draws how many coefficients are not 0: of an exact path in steps, as between
// two breakpoints the columns are the same; otherwise at the points alone.
func (v linearView) support() template.HTML {
	c := v.over("support", "How many columns have a coefficient", "The number of coefficients that are not 0, over λ.", "columns with a coefficient", func(i int) float64 { return float64(len(v.Points[i].Support(v.Features))) })
	if !v.exactly() {
		c.y.ticks = wholeTicks(c.y.ticks)
		return c.render()
	}
	t := trace{class: "c1"}
	ys := []float64{0}
	breaks := v.s.Breakpoints.Points
	for i, b := range breaks[:len(breaks)-1] {
		n := float64(len(b.Support))
		ys = append(ys, n)
		t.points = append(t.points, dot{x: b.Lambda, y: n}, dot{x: breaks[i+1].Lambda, y: n})
	}
	for _, p := range c.points {
		ys = append(ys, p.y)
	}
	c.traces, c.y = []trace{t}, newAxis(c.y.label, ys)
	c.y.ticks = wholeTicks(c.y.ticks)
	return c.render()
}

// ever counts the coefficients that are not 0 somewhere.
func (v linearView) ever() int {
	seen := make(map[int]bool)
	for _, p := range v.course() {
		for _, at := range p.Index {
			seen[at] = true
		}
	}
	return len(seen)
}

// proof draws the gaps and the number of columns.
func (v linearView) proof() figure {
	var f figure
	f.Charts = append(f.Charts, v.support())
	if !v.s.Exact {
		f.Charts = append([]template.HTML{v.gaps()}, f.Charts...)
		f.Legend = []legendEntry{{"limit", "the gap allowed"}, {"point", "a point of the path"}}
		f.Sentences = append(f.Sentences, fmt.Sprintf("At every λ the objective is at most the gap above its minimum, as a dual point proves: at worst %s of the objective, at λ = %s.", gapWords(v.worst().Gap), words.Number(v.worst().Lambda)))
	} else {
		f.Sentences = append(f.Sentences, "The path was computed in rational numbers: every point is the minimum, without a gap.")
		if v.scaled() {
			f.Sentences = append(f.Sentences, "The columns are divided by their standard deviations, which were rounded to float64 first and then taken as exact.")
		}
	}
	c := v.Checks
	if c.Monotone && c.Concave && len(c.Beaten) == 0 {
		f.Sentences = append(f.Sentences, "The penalty falls and the loss rises with λ, the least objective is concave in λ, and no point has a smaller objective than another at the other's λ.")
	} else {
		f.Sentences = append(f.Sentences, fmt.Sprintf("The penalty is monotone in λ: %v; the least objective is concave: %v; %s.", c.Monotone, c.Concave, words.Count(len(c.Beaten), "point is beaten by another", "points are beaten by others")))
	}
	if b := v.s.Breakpoints; b != nil && b.Verdict != "" {
		f.Sentences = append(f.Sentences, sentence(fmt.Sprintf("the path has %s: %s; %s", words.Count(len(b.Points), "breakpoint", "breakpoints"), b.Verdict, b.Reason)))
	}
	return f
}

// gaps draws them on a logarithmic axis with a place for 0.
func (v linearView) gaps() template.HTML {
	c := chart{id: "gaps", title: "The duality gap over λ", desc: "How far the objective can be from its minimum, relative to it.", x: v.lambdaAxis(),
		rules: append(v.rules(), rule{at: v.s.Gap, class: "limit", text: "allowed"})}
	ys := []float64{v.s.Gap}
	zero := ""
	for _, p := range v.Points {
		ys = append(ys, p.Gap)
		if p.Gap == 0 {
			zero = "0"
		}
		c.points = append(c.points, dot{x: p.Lambda, y: p.Gap, to: p.Gap, class: "point", title: fmt.Sprintf("λ = %s: gap %s", words.Number(p.Lambda), gapWords(p.Gap))})
	}
	c.y = newLogAxis("duality gap, relative to the objective", ys).withEnds(zero, "")
	c.y.hi *= 3 // room for the text above the limit
	return c.render()
}

// held draws the losses of cross-validation.
func (v linearView) held() *figure {
	c := v.s.Validation
	if c == nil {
		return nil
	}
	drawn := chart{id: "held-out", title: "The held-out loss over λ", desc: "The mean loss on the folds that a model had not seen, with one standard error.", x: v.lambdaAxis(), rules: v.rules(), line: true}
	var ys []float64
	for _, p := range c.Points {
		ys = append(ys, p.Loss, p.Loss+p.StandardError)
		drawn.points = append(drawn.points, dot{x: p.Lambda, y: p.Loss, to: p.Loss + p.StandardError, class: "point", shape: "small",
			title: fmt.Sprintf("λ = %s: loss %s ± %s", words.Number(p.Lambda), words.Number(p.Loss), words.Significant(p.StandardError, 2))})
	}
	drawn.y = newAxis("held-out loss", ys)
	best, simple := c.Points[c.Best], c.Points[c.Simplest]
	drawn.rules = append(drawn.rules, rule{at: best.Loss + best.StandardError, class: "limit"})
	drawn.marks = []dot{{x: best.Lambda, y: best.Loss, to: best.Loss, class: "furthest", shape: "ring", title: "the least loss"}}
	metric := v.Family.MetricName()
	return &figure{Charts: []template.HTML{drawn.render()},
		Legend: []legendEntry{{"point", "mean over the folds"}, {"whisker", "one standard error"}, {"furthest", "the least"}, {"limit", "the least and one standard error"}, {"chosen", "λ of the least loss, and the largest within one error of it"}},
		Sentences: []string{fmt.Sprintf("Over %d folds the least loss is %s, at λ = %s (%s %s). The largest λ whose loss is within one standard error of it is %s: loss %s, %s %s.", c.Count,
			words.Number(best.Loss), words.Number(best.Lambda), metric, words.Metric(metric, best.Metric), words.Number(simple.Lambda), words.Number(simple.Loss), metric, words.Metric(metric, simple.Metric))}}
}
