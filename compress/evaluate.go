package compress

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/train"
)

// Evaluator measures models on one set of examples, against the labels and
// against the original model's answers, which it keeps. It implements
// [compactify.Evaluator].
type Evaluator struct {
	set     *data.Set // adapted to the model's input
	pool    *kernel.Pool
	outputs []string // those compared with the original's: the one that answers first
	head    train.HeadKind
	made    string // the elementwise function that makes the answers, "" if none does
	width   int    // entries of one answer
	signals bool   // answers are not classes, whatever they look like
	batch   int    // how many examples are run at once
	coupled bool   // the answer to an example depends on what else is in its batch: each is run alone

	answers [][][]float32 // the original's raw outputs: by output, one row per example
	sizeOf  func(*graph.Graph) (int, error)
}

// Task says how answers are judged.
type Task string

// The tasks.
const (
	Classification Task = "classification" // labels are classes
	Imitation      Task = "imitation"      // no labels: the original's top class stands for them
	Regression     Task = "regression"     // targets are numbers
	Signal         Task = "signal"         // no labels and no classes: outputs against outputs
)

// NewEvaluator runs the original model over the examples and keeps its answers.
// The set is adapted to the model's input shape; a model of several inputs needs a
// set with an array for each. The pool is required. Without the name of an output
// the first one answers, and all floating-point ones are compared with the
// original's. sizeOf gives the bytes a model takes as a file; nil leaves
// [compactify.Measure.Bytes] 0.
func NewEvaluator(ctx context.Context, original *graph.Graph, set *data.Set, output string, pool *kernel.Pool,
	sizeOf func(*graph.Graph) (int, error)) (*Evaluator, error) {
	if set.Len() == 0 {
		return nil, fmt.Errorf("evaluate on %q: the data set is empty", set.Name())
	}
	head, err := train.FindHead(original, output)
	if err != nil {
		return nil, err
	}
	adapted, err := adapt(original, set)
	if err != nil {
		return nil, err
	}
	e := &Evaluator{set: adapted, pool: pool, outputs: []string{head.Output.Name}, head: head.Kind, made: head.Activation, sizeOf: sizeOf}
	if output == "" {
		for _, v := range original.Outputs {
			if v.Name != e.outputs[0] && v.Type.DType.IsFloat() {
				e.outputs = append(e.outputs, v.Name)
			}
		}
	}
	if err = e.keepAnswers(ctx, original); err != nil {
		return nil, err
	}
	e.width = len(e.answers[0][0])
	if err := e.checkAnswers(); err != nil {
		return nil, fmt.Errorf("evaluate on %q: %w", set.Name(), err)
	}
	if e.head == train.Logits && e.looksLikeProbabilities() {
		e.head = train.Probabilities
	}
	if k := set.Classes(); set.Labeled() && k > e.width {
		return nil, fmt.Errorf("evaluate on %q: got labels of %d classes, want at most %d, the entries of output %q", set.Name(), k, e.width, e.Output())
	}
	return e, nil
}

// adapt brings examples into the form that the inputs of a model have.
func adapt(g *graph.Graph, set *data.Set) (*data.Set, error) {
	if set.Inputs() != nil {
		return set, nil
	}
	if len(g.Inputs) == 0 {
		return nil, fmt.Errorf("graph %q: inputs: got none, want at least 1", g.Name)
	}
	if len(g.Inputs) != 1 {
		var names []string
		for _, v := range g.Inputs {
			names = append(names, v.Name)
		}
		return nil, fmt.Errorf("data %q: inputs: got one array of examples, want arrays named %q", set.Name(), names)
	}
	v := g.Inputs[0]
	if !v.Type.Ranked() || v.Type.Rank() < 1 {
		return nil, fmt.Errorf("input %q: got %v, want a shape with a batch dimension", v.Name, v.Type)
	}
	if n := v.Type.Shape[0]; n.Known() && n.Size < 1 {
		return nil, fmt.Errorf("input %q: batch: got %v, want at least 1", v.Name, n)
	}
	shape := make([]int, v.Type.Rank()-1)
	for i, d := range v.Type.Shape[1:] {
		if !d.Known() && d.Name != "" && d.Name == v.Type.Shape[0].Name {
			return nil, fmt.Errorf("input %q: got %v, want other sizes behind the batch dimension", v.Name, v.Type)
		}
		shape[i] = d.Size // below 0 where any will do
	}
	return set.Adapt(shape)
}

// JudgeFor says which budget the measurements are for. A model without labels and
// without a softmax that is held to an SNR makes signals: its outputs are numbers,
// not the logits of classes.
func (e *Evaluator) JudgeFor(b compactify.Budget) {
	e.signals = b.Kind == compactify.MinSNR && e.head == train.Logits
}

// checkAnswers refuses a model whose answers cannot be compared with anything.
func (e *Evaluator) checkAnswers() error {
	if e.width == 0 {
		return fmt.Errorf("output %q: got no entries, want at least one", e.Output())
	}
	if e.Task() == Regression && e.width != 1 {
		return fmt.Errorf("output %q: got %d entries, want 1 for labels that are numbers and not classes", e.Output(), e.width)
	}
	for o, rows := range e.answers {
		for i, row := range rows {
			for k, y := range row {
				if math.IsNaN(float64(y)) || math.IsInf(float64(y), 0) {
					return fmt.Errorf("output %q of the original model: example %d, entry %d: got %v, want a finite number", e.outputs[o], i, k, y)
				}
			}
		}
	}
	return nil
}

// Task says how the evaluator judges.
func (e *Evaluator) Task() Task {
	switch {
	case e.set.Labeled() && e.set.Classes() > 0:
		return Classification
	case e.set.Labeled():
		return Regression
	case e.signals, e.head == train.Logits && e.made != "":
		return Signal
	case e.width > 1 && e.head != train.Logits:
		return Imitation
	case e.width > 1 && e.width <= maxClasses:
		return Imitation
	}
	return Signal
}

// maxClasses is the widest output of unknown meaning that is taken for the
// logits of a classifier when there are no labels to tell.
const maxClasses = 1000

// UndefinedBudgetError is a budget whose quantity a model's answers do not have.
type UndefinedBudgetError struct {
	Budget compactify.Budget
	Why    string
}

func (e *UndefinedBudgetError) Error() string {
	return fmt.Sprintf("budget %v: not defined: %s; an SNR (snr:) is for every model", e.Budget, e.Why)
}

// checkBudget refuses a budget that is not defined for what the model answers:
// signals have neither a metric nor a loss or divergence in nats.
func (e *Evaluator) checkBudget(b compactify.Budget, original Outcome) error {
	m := e.Summarize(original)
	if b.Holds(m, m) && (e.Task() != Signal || b.Kind == compactify.MinSNR) {
		return nil
	}
	why := fmt.Sprintf("the model is judged by %s on %d examples", e.Task(), e.Len())
	switch {
	case e.Task() != Signal:
	case e.made != "":
		why = fmt.Sprintf("output %q is made by %s, which makes no logits or probabilities of classes", e.Output(), e.made)
	default:
		why = fmt.Sprintf("output %q, %d numbers without labels, is a signal, not a choice of classes", e.Output(), e.width)
	}
	return &UndefinedBudgetError{b, why}
}

// Head is the kind of output the model was found to have.
func (e *Evaluator) Head() train.HeadKind { return e.head }

// headName is the kind of output, or what is made where that is no classes.
func (e *Evaluator) headName() string {
	if t := e.Task(); t == Signal {
		return string(t)
	}
	return string(e.head)
}

// Output is the name of the output that answers.
func (e *Evaluator) Output() string { return e.outputs[0] }

// Len is the number of examples.
func (e *Evaluator) Len() int { return e.set.Len() }

// looksLikeProbabilities reports whether all answers are distributions: a head
// whose softmax the graph does not show.
func (e *Evaluator) looksLikeProbabilities() bool {
	if e.width < 2 {
		return false
	}
	for _, row := range e.answers[0] {
		if len(row) != e.width {
			return false
		}
		sum := 0.0
		for _, p := range row {
			if p < 0 || p > 1 {
				return false
			}
			sum += float64(p)
		}
		if math.Abs(sum-1) > 1e-3 {
			return false
		}
	}
	return true
}

// keepAnswers runs the original over all examples and copies its outputs.
func (e *Evaluator) keepAnswers(ctx context.Context, g *graph.Graph) error {
	r := newRunner(g, e.Output(), e.pool, e.outputs[1:]...)
	var err error
	if e.answers, err = e.answersOf(ctx, r, e.set); err != nil {
		return err
	}
	if e.batch = r.size; e.batch <= 1 {
		return nil
	}
	few := e.set.Subset([]int{0, min(e.batch, e.set.Len()) - 1})
	r.size = 1
	alone, err := e.answersOf(ctx, r, few)
	if err != nil {
		return err
	}
	for o := range alone {
		if !alike(alone[o][0], e.answers[o][0]) || !alike(alone[o][1], e.answers[o][min(e.batch, e.set.Len())-1]) {
			e.batch, e.coupled = 1, true
			e.answers, err = e.answersOf(ctx, r, e.set)
			return err
		}
	}
	return nil
}

// answersOf copies the outputs that are compared, by output, one row per example.
func (e *Evaluator) answersOf(ctx context.Context, r *runner, set *data.Set) ([][][]float32, error) {
	all := make([][][]float32, len(e.outputs))
	for o := range all {
		all[o] = make([][]float32, set.Len())
	}
	return all, r.eachAll(ctx, set, func(i int, answers [][]float32) {
		for o, y := range answers {
			all[o][i] = slices.Clone(y)
		}
	})
}

// alike reports whether two answers differ by no more than sums in another order do.
func alike(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	size := 0.0
	for _, v := range a {
		size = max(size, math.Abs(float64(v)))
	}
	for i, v := range a {
		if math.Abs(float64(v)-float64(b[i])) > 1e-3*size {
			return false
		}
	}
	return true
}

// Outcome is what one model did on each example.
type Outcome struct {
	Task  Task
	Loss  []float64 // nats, or squared error
	Score []float64 // 1 for a right answer, 0 for a wrong one; squared error for regression; NaN for signals
	KL    []float64 // from the original's answer, nats; NaN for regression and signals
	Base  float64   // variance of the targets, for R²
	Doubt []float64 // of a classifier: by how much the original's probability of the top class is below that of its own
	Sure  float64   // mean probability that the original gives its own top class

	Signals []SignalNoise // of every output that is judged, the one that answers first
}

// SignalNoise compares one output with the original's, example by example.
type SignalNoise struct {
	Output string
	Noise  []float64 // squared distance of the answer from the original's
	Power  []float64 // squared size of the original's answer
}

// Outcomes runs a model and judges each of its answers.
func (e *Evaluator) Outcomes(ctx context.Context, g *graph.Graph) (Outcome, error) {
	n := e.set.Len()
	o := Outcome{Task: e.Task(), Loss: make([]float64, n), Score: make([]float64, n), KL: make([]float64, n), Doubt: make([]float64, n)}
	for _, name := range e.outputs {
		o.Signals = append(o.Signals, SignalNoise{name, make([]float64, n), make([]float64, n)})
	}
	o.Base = e.targetVariance()
	r := newRunner(g, e.Output(), e.pool, e.outputs[1:]...)
	r.size = e.batch
	p, q := make([]float64, e.width), make([]float64, e.width)
	var odd error
	err := r.eachAll(ctx, e.set, func(i int, answers [][]float32) {
		for k, y := range answers {
			if want := len(e.answers[k][i]); len(y) != want {
				odd = fmt.Errorf("evaluate graph %q: output %q: got %d entries, want %d as in the original", g.Name, e.outputs[k], len(y), want)
				return
			}
			o.Signals[k].compare(i, e.answers[k][i], y)
		}
		if len(answers[0]) == e.width {
			e.judge(&o, i, answers[0], p, q)
		}
	})
	return o, errors.Join(err, odd)
}

// compare measures how far an answer to example i is from the original's.
func (s *SignalNoise) compare(i int, original, answer []float32) {
	for k, y := range answer {
		d := float64(y) - float64(original[k])
		s.Noise[i] += d * d
		s.Power[i] += float64(original[k]) * float64(original[k])
	}
}

// judge compares one answer with the label and with the original's answer; p
// and q are scratch for the two distributions.
func (e *Evaluator) judge(o *Outcome, i int, answer []float32, p, q []float64) {
	original := e.answers[0][i]
	for k := range answer {
		p[k], q[k] = float64(original[k]), float64(answer[k])
	}
	switch o.Task {
	case Regression:
		d := q[0] - e.set.Target(i)
		o.Loss[i], o.Score[i], o.KL[i] = d*d, d*d, math.NaN()
		return
	case Signal:
		o.Loss[i], o.Score[i], o.KL[i] = o.Signals[0].Noise[i]/float64(e.width), math.NaN(), math.NaN()
		return
	}
	e.head.LogProbabilities(p)
	e.head.LogProbabilities(q)
	for k := range p {
		if w := math.Exp(p[k]); w > 0 {
			o.KL[i] += w * (p[k] - q[k])
		}
	}
	o.KL[i] = max(0, o.KL[i])
	want, top := train.TopClass(original), train.TopClass(answer)
	o.Doubt[i] = math.Exp(p[want]) - math.Exp(p[top])
	o.Sure += math.Exp(p[want]) / float64(len(o.Doubt))
	if o.Task == Classification {
		want = e.set.Label(i)
		o.Loss[i] = -q[want]
	} else {
		for k := range p {
			if w := math.Exp(p[k]); w > 0 {
				o.Loss[i] -= w * q[k]
			}
		}
	}
	if top == want {
		o.Score[i] = 1
	}
}

// targetVariance is the mean squared distance of the targets from their mean.
func (e *Evaluator) targetVariance() float64 {
	if e.Task() != Regression {
		return 0
	}
	y := make([]float64, e.set.Len())
	for i := range y {
		y[i] = e.set.Target(i)
	}
	centre := mean(y)
	for i := range y {
		y[i] = (y[i] - centre) * (y[i] - centre)
	}
	return mean(y)
}

// Evaluate measures a model.
func (e *Evaluator) Evaluate(ctx context.Context, g *graph.Graph) (compactify.Measure, error) {
	o, err := e.Outcomes(ctx, g)
	if err != nil {
		return compactify.Measure{}, err
	}
	m := e.Summarize(o)
	m.Norm = g.Norm()
	if e.sizeOf != nil {
		m.Bytes, err = e.sizeOf(g)
	}
	return m, err
}

// Summarize averages outcomes. The metric of signals is NaN; of several outputs the
// least SNR counts.
func (e *Evaluator) Summarize(o Outcome) compactify.Measure {
	m := compactify.Measure{Loss: mean(o.Loss), Metric: mean(o.Score), KL: mean(o.KL), Examples: len(o.Loss)}
	if o.Task == Regression {
		m.Metric = 1 - mean(o.Score)/o.Base
	}
	m.SNR = math.Inf(1)
	for _, s := range o.Signals {
		m.SNR = min(m.SNR, decibels(mean(s.Power), mean(s.Noise)))
	}
	return m
}

func decibels(power, noise float64) float64 {
	if noise == 0 {
		return math.Inf(1)
	}
	return 10 * math.Log10(power/noise)
}

// MetricName names what Measure.Metric is.
func (e *Evaluator) MetricName() string {
	switch e.Task() {
	case Classification:
		return "top-1 accuracy"
	case Imitation:
		return "agreement with the original's top class"
	case Regression:
		return "R²"
	}
	return "none"
}

func mean(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum / float64(len(x))
}
