package web

import (
	"fmt"
	"html/template"
	"math"
	"strings"

	"github.com/compactify/compactify/internal/words"
	"github.com/compactify/compactify/train"
)

// descent is the figure of the measured steps; nil without a monitor.
func (v run) descent() *figure {
	if v.flow != nil {
		return v.flowFigure()
	}
	d := v.r.Descent
	if d == nil {
		return nil
	}
	f := &figure{Sentences: v.descentSentences()}
	if len(d.Samples) == 0 {
		return f
	}
	f.Charts = []template.HTML{v.curvatureChart()}
	f.Legend = []legendEntry{{"kappa", "κ of a measured step"}, {"edge", "its edge: above it the objective rises"}}
	if d.Increases > 0 {
		f.Legend = append(f.Legend, legendEntry{"rise", "the " + d.Function + " rose"})
	}
	if len(v.sharpness()) > 0 {
		f.Legend = append(f.Legend, legendEntry{"sharpness", "largest eigenvalue of the Hessian of the mean loss, after an epoch"})
	}
	if len(d.Samples) > maxDrawn {
		f.Sentences = append(f.Sentences, fmt.Sprintf("Of every %s neighbouring measured steps the chart shows the one with the largest κ, and the largest rise.",
			words.Grouped((len(d.Samples)+maxDrawn-1)/maxDrawn)))
	}
	return f
}

// maxDrawn bounds the steps of a chart.
const maxDrawn = 240

// buckets are samples in at most most groups of neighbours.
func buckets(samples []train.SampleRecord, most int) [][]train.SampleRecord {
	size := max(1, (len(samples)+most-1)/most)
	var list [][]train.SampleRecord
	for len(samples) > 0 {
		n := min(size, len(samples))
		list = append(list, samples[:n])
		samples = samples[n:]
	}
	return list
}

// rise is by how much the counted function rose in a step; NaN if that is not known.
func rise(s train.SampleRecord) float64 { return float64(s.EnergyAfter - s.Energy) }

// riseShown is the share of the function that counts as a rise, as in the monitor.
const riseShown = 1e-6

func rose(s train.SampleRecord) bool { return rise(s) > riseShown*math.Abs(float64(s.Energy)) }

// curvatures are the marks of the chart of the steps. What is not above 0 has a place
// of its own below the logarithmic axis.
type curvatures struct {
	steps, values []float64 // on the axes
	below         bool
	kappa, rises  []dot
	edge, sharp   []dot
}

// place is where a curvature is drawn.
func (c *curvatures) place(x float64) float64 {
	if x > 0 && finite(x) {
		c.values = append(c.values, x)
		return x
	}
	if x <= 0 {
		c.below = true
		return 0
	}
	return math.NaN()
}

func (c *curvatures) add(group []train.SampleRecord) {
	top, up := group[0], -1
	for i, s := range group {
		if s.Kappa > top.Kappa || math.IsNaN(float64(top.Kappa)) {
			top = s
		}
		if rose(s) && (up < 0 || rise(s) > rise(group[up])) {
			up = i
		}
	}
	at := func(s train.SampleRecord, class, shape, what string) dot {
		y := c.place(float64(s.Kappa))
		return dot{x: float64(s.Step), y: y, to: y, class: class, shape: shape,
			title: fmt.Sprintf("step %s: %sκ = %s, edge %s", words.Grouped(s.Step), what, words.Number(float64(s.Kappa)), words.Number(float64(s.Edge)))}
	}
	c.steps = append(c.steps, float64(top.Step))
	c.kappa = append(c.kappa, at(top, "kappa", "small", ""))
	c.edge = append(c.edge, dot{x: float64(top.Step), y: c.place(float64(top.Edge))})
	if up >= 0 {
		s := group[up]
		c.rises = append(c.rises, at(s, "rise", "diamond-small", "rise by "+words.Number(rise(s))+"; "))
	}
}

// sharpness is where the largest eigenvalues are drawn: at the last steps of their
// epochs, in so far as these are known.
func (v run) sharpness() []dot {
	var list []dot
	perEpoch := float64(v.r.Descent.Steps) / float64(max(1, len(v.r.Epochs)))
	for _, s := range v.s.Sharpness {
		if x := perEpoch * float64(s.Epoch); s.Epoch >= 1 && s.Epoch <= len(v.r.Epochs) && finite(s.Largest) && s.Largest > 0 {
			list = append(list, dot{x: x, y: s.Largest, to: s.Largest + s.Bound, class: "sharpness", shape: "open",
				title: fmt.Sprintf("after epoch %s: largest eigenvalue of the Hessian %s ± %s", words.Grouped(s.Epoch), words.Number(s.Largest), words.Number(s.Bound))})
		}
	}
	return list
}

func (v run) curvatureChart() template.HTML {
	d := v.r.Descent
	var m curvatures
	for _, group := range buckets(d.Samples, maxDrawn) {
		m.add(group)
	}
	m.sharp = v.sharpness()
	for _, s := range m.sharp {
		m.steps, m.values = append(m.steps, s.x), append(m.values, s.y)
	}
	c := &chart{id: "curvature", title: "Curvature along the measured steps against its edge", points: m.kappa, traces: []trace{{class: "edge", points: m.edge}},
		marks: append(m.rises, m.sharp...), x: newAxis("step", append(m.steps, 0)), y: newLogAxis("curvature (logarithmic)", m.values)}
	c.x.ticks = wholeTicks(c.x.ticks)
	if m.below {
		c.y = c.y.withEnds("≤ 0", "")
	}
	c.desc = fmt.Sprintf("Scatter chart of %s with a line for the edge. The largest κ is %s; %s above the edge.",
		words.Count(d.Measured, "measured step", "measured steps"), words.Number(float64(d.MaxKappa)), words.Count(d.AtEdge, "is", "are"))
	return c.render()
}

// descentSentences say what the monitor saw.
func (v run) descentSentences() []string {
	d := v.r.Descent
	if d.Measured == 0 {
		return []string{fmt.Sprintf("None of %s was measured.", words.Count(d.Steps, "step", "steps"))}
	}
	list := []string{v.risesSentence(), v.edgeSentence()}
	list = append(list, v.functionSentence()...)
	list = append(list, v.sharpnessSentence()...)
	return append(list, v.scheduleSentence()...)
}

func (v run) risesSentence() string {
	d := v.r.Descent
	s := fmt.Sprintf("Of %s, %s: the loss of the same batch, under the same masks, before and after the step. ", words.Count(d.Steps, "step", "steps"), words.Count(d.Measured, "was measured", "were measured"))
	function := orElse(d.Function, "objective of the batch")
	if d.Increases == 0 {
		return s + fmt.Sprintf("After none of them was the %s larger.", function)
	}
	return s + fmt.Sprintf("After %s (%s) the %s was larger, by %s at most and %s altogether.", words.Grouped(d.Increases),
		words.Percent(float64(d.Increases)/float64(d.Measured), 1), function, words.Number(float64(d.Largest)), words.Number(float64(d.Total)))
}

// edgeSentence sets the largest curvature against the edge.
func (v run) edgeSentence() string {
	d := v.r.Descent
	s := fmt.Sprintf("κ = 2(L(θ + d) − L(θ) − ⟨g, d⟩)/‖d‖² is the mean curvature of the batch's loss along the step d. The objective rises if and only if κ is above the edge %s. The largest κ was %s",
		v.edgeFormula(), words.Number(float64(d.MaxKappa)))
	var edges []float64
	for _, x := range d.Samples {
		edges = append(edges, float64(x.Edge))
	}
	if measured(edges) {
		lo, hi := extremes(edges)
		s += fmt.Sprintf("; the edge lay between %s and %s", words.Number(lo), words.Number(hi))
		if hi-lo <= 1e-3*math.Abs(hi) {
			s = strings.TrimSuffix(s, fmt.Sprintf("between %s and %s", words.Number(lo), words.Number(hi))) + "at " + words.Number(hi)
		}
	}
	if d.AtEdge == 0 {
		return s + ". No measured step was above it."
	}
	return s + fmt.Sprintf(". %s above it.", words.Count(d.AtEdge, "measured step was", "measured steps were"))
}

func extremes(values []float64) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, x := range values {
		if finite(x) {
			lo, hi = min(lo, x), max(hi, x)
		}
	}
	return lo, hi
}

// edgeFormula is the edge as a formula, simple where it is.
func (v run) edgeFormula() string {
	if v.r.Optimizer == "sgd" && v.r.Momentum == 0 {
		switch {
		case len(v.r.Penalties) == 0:
			return "2/η"
		case len(v.r.Penalties) == 1 && v.r.Penalties[0].Kind == train.L2:
			return "2/η + 2λ"
		}
	}
	if len(v.r.Penalties) == 0 {
		return "−2⟨g, d⟩/‖d‖², which for gradient descent is 2/η"
	}
	return "−2(⟨g, d⟩ + Δ)/‖d‖², Δ being the change of the penalties (2/η + 2λ for gradient descent under λ‖θ‖²)"
}

// functionSentence says which function should fall.
func (v run) functionSentence() []string {
	switch {
	case strings.HasPrefix(v.r.Optimizer, "adam"):
		return []string{"Adam has no function that falls in every sound descent; what is counted are rises of the objective."}
	case v.r.Optimizer == "nesterov":
		return []string{"Nesterov's momentum has a function that falls for quadratic losses alone; what is counted are rises of the objective."}
	case strings.Contains(v.r.Descent.Function, "energy"):
		return []string{"With momentum μ the objective F may rise in a sound descent. What falls, as long as η ≤ 2(1 − μ)/M with M the curvature along the steps, is the total energy F + (μη/2)‖v‖² with the velocity v; its rises are counted. On batches that differ, v is that of the batches before."}
	}
	return nil
}

// sharpnessSentence sets the last eigenvalue against the edge of stability.
func (v run) sharpnessSentence() []string {
	n := len(v.s.Sharpness)
	if n == 0 || !finite(v.s.Sharpness[n-1].Largest) {
		return nil
	}
	s := v.s.Sharpness[n-1]
	text := fmt.Sprintf("The largest eigenvalue of the Hessian of the mean loss is %s ± %s after epoch %s", words.Number(s.Largest), words.Number(s.Bound), words.Grouped(s.Epoch))
	if s.Epoch >= 1 && s.Epoch <= len(v.r.Epochs) {
		if rate := float64(v.r.Epochs[s.Epoch-1].Rate); rate > 0 && finite(2/rate) {
			text += fmt.Sprintf("; 2/η was %s", words.Number(2/rate))
		}
	}
	return []string{text + "."}
}

// scheduleSentence says what the schedule of λ adds to the objective by itself.
func (v run) scheduleSentence() []string {
	sum, largest, at := 0.0, 0.0, 0
	for i, e := range v.r.Epochs {
		x := float64(e.Schedule)
		if !finite(x) {
			continue
		}
		sum += x
		if math.Abs(x) > math.Abs(largest) {
			largest, at = x, i+1
		}
	}
	if at == 0 {
		return nil
	}
	return []string{fmt.Sprintf("The schedule of λ changes the objective by itself, at the same weights: by λ̇R, R being the penalty without λ. From epoch to epoch that adds up to %s; the largest share, %s, comes after epoch %s. Such a change is the schedule's and no failure of the descent.",
		words.Number(sum), words.Number(largest), words.Grouped(at))}
}
