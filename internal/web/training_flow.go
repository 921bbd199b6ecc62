package web

import (
	"encoding/json"
	"fmt"
	"html/template"

	"github.com/compactify/compactify/internal/calculus"
	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/train"
)

// flowOf is what the record says of a gradient flow; nil if it is of another run.
func flowOf(r *train.Record) *train.FlowRecord {
	if r.Flow == nil {
		return nil
	}
	var f train.FlowRecord
	if json.Unmarshal(*r.Flow, &f) != nil {
		return nil
	}
	return &f
}

// flowFigure shows how the flow comes to rest and how exactly it was followed.
func (v run) flowFigure() *figure {
	f := &figure{Sentences: v.flowSentences()}
	if len(v.flow.Points) > 1 {
		f.Charts = []template.HTML{v.gradientChart(), v.balanceChart()}
		f.Legend = []legendEntry{{"train", "at the end of a part of the time"}}
	}
	return f
}

// along is one figure of the flow over its time.
func (v run) along(what string, of func(train.FlowPoint) float64) (t trace, times, values []float64) {
	t = trace{class: "train", dots: len(v.flow.Points) <= 60}
	for _, p := range v.flow.Points {
		x, y := float64(p.Time), of(p)
		times, values = append(times, x), append(values, y)
		t.points = append(t.points, dot{x: x, y: y, to: y, class: "point train", title: fmt.Sprintf("time %s: %s %s", words.Number(x), what, words.Number(y))})
	}
	return t, times, values
}

func (v run) gradientChart() template.HTML {
	t, times, values := v.along("‖∇‖ =", func(p train.FlowPoint) float64 { return float64(p.Gradient) })
	c := &chart{id: "gradient", title: "Norm of the gradient along the flow", x: newAxis("time", times), y: newLogAxis("norm of the gradient of L + λ‖θ‖² (logarithmic)", values), traces: []trace{t}}
	c.desc = fmt.Sprintf("Line chart of %s. The norm of the gradient is %s at the start and %s at the end.", words.Count(len(values), "time", "times"), words.Number(values[0]), words.Number(values[len(values)-1]))
	return c.render()
}

func (v run) balanceChart() template.HTML {
	t, times, values := v.along("L + λ‖θ‖² =", func(p train.FlowPoint) float64 { return float64(p.Objective) })
	y := newAxis("L + λ‖θ‖²", values)
	if lo, hi := span(values); lo > 0 && hi/lo > 30 {
		y = newLogAxis(logarithmic("L + λ‖θ‖²"), values)
	}
	c := &chart{id: "objective", title: "Penalised loss along the flow", x: newAxis("time", times), y: y, traces: []trace{t}}
	c.desc = fmt.Sprintf("Line chart of %s. The penalised loss is %s at the start and %s at the end.", words.Count(len(values), "time", "times"), words.Number(values[0]), words.Number(values[len(values)-1]))
	return c.render()
}

// flowEnds say why a flow ended before its time.
var flowEnds = map[calculus.FlowEnd]string{
	calculus.FlowCritical:  "the gradient is zero up to the tolerance, a critical point",
	calculus.FlowEscaped:   "‖θ‖ passed the radius that counts as infinity",
	calculus.FlowBudget:    "the evaluations allowed were used up",
	calculus.FlowNotFinite: "the loss or its gradient is not finite however short the step",
	calculus.FlowStalled:   "no step is short enough for the tolerance; the loss is not smooth there, or its gradient has noise",
}

// flowSentences say how the flow was followed and how far its balance is off.
func (v run) flowSentences() []string {
	f := v.flow
	s := fmt.Sprintf("The gradient flow θ′ = −∇(L + λ‖θ‖²) over all examples was followed to time %s of %s in %s", words.Number(float64(f.Reached)), words.Number(float64(f.Time)), words.Count(f.Steps, "step", "steps"))
	if f.Implicit > 0 {
		s += fmt.Sprintf(", %s of them by the implicit method", words.Grouped(f.Implicit))
	}
	if f.Rejected > 0 {
		s += fmt.Sprintf("; %s taken again with a smaller size", words.Count(f.Rejected, "more was", "more were"))
	}
	s += "."
	if why := flowEnds[f.End]; why != "" {
		s += fmt.Sprintf(" It ended there: %s.", why)
	}
	list := []string{s}
	rises := "The penalised loss fell in every step."
	if f.Rises > 0 {
		rises = fmt.Sprintf("The penalised loss rose in %s, by %s at most.", words.Count(f.Rises, "step", "steps"), words.Number(float64(f.MaxRise)))
	}
	balance := fmt.Sprintf(" Along the exact flow it falls by what is dissipated, ∫‖∇‖² = %s", words.Number(float64(f.Dissipated)))
	if f.Schedule != 0 {
		balance += fmt.Sprintf(", and changes by what the schedule of λ adds, %s", words.Number(float64(f.Schedule)))
	}
	balance += fmt.Sprintf(". What is left of that balance here is %s, a share of %s of what was dissipated: the error of the integration.", words.Number(float64(f.Balance)), words.Significant(float64(f.Relative), 2))
	return append(list, rises+balance, fmt.Sprintf("The path from the first weights to the last is %s long.", words.Number(float64(f.Length))))
}

// flowSettings are those of a flow.
func (v run) flowSettings() []term {
	f := v.flow
	arithmetic := "float32"
	if f.Double {
		arithmetic = "float64"
	}
	return []term{
		{"Gradient flow", "to time " + words.Number(float64(f.Time)), fmt.Sprintf("%s and %s", words.Count(f.Gradients, "gradient", "gradients"), words.Count(f.Products, "product with the Hessian", "products with the Hessian"))},
		{"Tolerance", words.Number(float64(f.Tolerance)), "of a step's error"},
		{"Arithmetic", arithmetic, ""},
	}
}
