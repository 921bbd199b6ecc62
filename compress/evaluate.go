package compress

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// evaluationBatch is how many examples one run of the engine measures: enough
// to fill the kernels, few enough to stay in the cache.
const evaluationBatch = 64

// Evaluator measures models on one set of examples, against the labels and
// against the original model's answers, which it keeps. It implements
// [compactify.Evaluator].
type Evaluator struct {
	set    *data.Set // adapted to the model's input
	pool   *kernel.Pool
	output string // name of the output that answers
	head   train.HeadKind
	width  int // entries of one answer

	answers [][]float32 // the original's raw outputs, one row per example
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
// The set is adapted to the model's input shape; the pool is required. sizeOf gives the bytes a model
// takes as a file; nil leaves [compactify.Measure.Bytes] 0.
func NewEvaluator(ctx context.Context, original *graph.Graph, set *data.Set, output string, pool *kernel.Pool,
	sizeOf func(*graph.Graph) (int, error)) (*Evaluator, error) {
	if set.Len() == 0 {
		return nil, fmt.Errorf("evaluate on %q: the data set is empty", set.Name())
	}
	head, err := train.FindHead(original, output)
	if err != nil {
		return nil, err
	}
	shape, err := train.ExampleShape(original)
	if err != nil {
		return nil, err
	}
	adapted, err := set.Adapt(shape)
	if err != nil {
		return nil, err
	}
	e := &Evaluator{set: adapted, pool: pool, output: head.Output.Name, head: head.Kind, sizeOf: sizeOf}
	if e.answers, err = e.outputs(ctx, original); err != nil {
		return nil, err
	}
	e.width = len(e.answers[0])
	if err := e.checkAnswers(); err != nil {
		return nil, fmt.Errorf("evaluate on %q: %w", set.Name(), err)
	}
	if e.head == train.Logits && e.looksLikeProbabilities() {
		e.head = train.Probabilities
	}
	if k := set.Classes(); set.Labeled() && k > e.width {
		return nil, fmt.Errorf("evaluate on %q: got labels of %d classes, want at most %d, the entries of output %q", set.Name(), k, e.width, e.output)
	}
	if e.Task() == Regression && e.width != 1 {
		return nil, fmt.Errorf("evaluate on %q: output %q: got %d entries, want 1 for labels that are numbers", set.Name(), e.output, e.width)
	}
	return e, nil
}

// checkAnswers refuses a model whose answers cannot be compared with anything.
func (e *Evaluator) checkAnswers() error {
	if e.width == 0 {
		return fmt.Errorf("output %q: got no entries, want at least one", e.output)
	}
	if e.Task() == Regression && e.width != 1 {
		return fmt.Errorf("output %q: got %d entries, want 1 for labels that are numbers and not classes", e.output, e.width)
	}
	for i, row := range e.answers {
		for k, y := range row {
			if math.IsNaN(float64(y)) || math.IsInf(float64(y), 0) {
				return fmt.Errorf("output %q of the original model: example %d, entry %d: got %v, want a finite number", e.output, i, k, y)
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

// Head is the kind of output the model was found to have.
func (e *Evaluator) Head() train.HeadKind { return e.head }

// Output is the name of the output that answers.
func (e *Evaluator) Output() string { return e.output }

// Len is the number of examples.
func (e *Evaluator) Len() int { return e.set.Len() }

// looksLikeProbabilities reports whether all answers are distributions: a head
// whose softmax the graph does not show.
func (e *Evaluator) looksLikeProbabilities() bool {
	if e.width < 2 {
		return false
	}
	for _, row := range e.answers {
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

// outputs runs a model over all examples and copies the answers, one row per
// example.
func (e *Evaluator) outputs(ctx context.Context, g *graph.Graph) ([][]float32, error) {
	r := newRunner(g, e.output, e.pool)
	rows := make([][]float32, e.set.Len())
	err := r.each(ctx, e.set, func(i int, answer []float32) {
		rows[i] = append([]float32(nil), answer...)
	})
	return rows, err
}

// Outcome is what one model did on each example.
type Outcome struct {
	Task  Task
	Loss  []float64 // nats, or squared error
	Score []float64 // 1 for a right answer, 0 for a wrong one; squared error for regression; NaN for signals
	KL    []float64 // from the original's answer, nats; NaN for regression and signals
	Noise []float64 // squared distance of the answer from the original's
	Power []float64 // squared size of the original's answer
	Base  float64   // variance of the targets, for R²
}

// Outcomes runs a model and judges each of its answers.
func (e *Evaluator) Outcomes(ctx context.Context, g *graph.Graph) (Outcome, error) {
	n := e.set.Len()
	task := e.Task()
	o := Outcome{Task: task, Loss: make([]float64, n), Score: make([]float64, n), KL: make([]float64, n), Noise: make([]float64, n), Power: make([]float64, n)}
	o.Base = e.targetVariance()
	r := newRunner(g, e.output, e.pool)
	p, q := make([]float64, e.width), make([]float64, e.width)
	width := e.width
	err := r.each(ctx, e.set, func(i int, answer []float32) {
		if len(answer) != e.width {
			width = len(answer)
			return
		}
		e.judge(&o, i, answer, p, q)
	})
	if err == nil && width != e.width {
		err = fmt.Errorf("evaluate graph %q: output %q: got %d entries, want %d as in the original", g.Name, e.output, width, e.width)
	}
	return o, err
}

// judge compares one answer with the label and with the original's answer; p
// and q are scratch for the two distributions.
func (e *Evaluator) judge(o *Outcome, i int, answer []float32, p, q []float64) {
	original := e.answers[i]
	for k := range answer {
		d := float64(answer[k]) - float64(original[k])
		o.Noise[i] += d * d
		o.Power[i] += float64(original[k]) * float64(original[k])
		p[k], q[k] = float64(original[k]), float64(answer[k])
	}
	switch o.Task {
	case Regression:
		d := q[0] - e.set.Target(i)
		o.Loss[i], o.Score[i], o.KL[i] = d*d, d*d, math.NaN()
		return
	case Signal:
		o.Loss[i], o.Score[i], o.KL[i] = o.Noise[i]/float64(e.width), math.NaN(), math.NaN()
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
	want := argmax(original)
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
	if argmax(answer) == want {
		o.Score[i] = 1
	}
}

func argmax(row []float32) int {
	best := 0
	for k, v := range row {
		if v > row[best] {
			best = k
		}
	}
	return best
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

// Summarize averages outcomes. The metric of signals is NaN.
func (e *Evaluator) Summarize(o Outcome) compactify.Measure {
	m := compactify.Measure{Loss: mean(o.Loss), Metric: mean(o.Score), KL: mean(o.KL), Examples: len(o.Loss)}
	if o.Task == Regression {
		m.Metric = 1 - mean(o.Score)/o.Base
	}
	m.SNR = decibels(mean(o.Power), mean(o.Noise))
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

// runner runs a one-input model over a data set in batches.
type runner struct {
	g       *graph.Graph
	output  int
	pool    *kernel.Pool
	unfused bool
	most    int // examples per run; 0 means [evaluationBatch]
	err     error
}

func newRunner(g *graph.Graph, output string, pool *kernel.Pool) *runner {
	r := &runner{g: g, pool: pool}
	for i, v := range g.Outputs {
		if v.Name == output {
			r.output = i
			return r
		}
	}
	r.err = fmt.Errorf("graph %q: output %q: not in the graph", g.Name, output)
	return r
}

// batchSize is the number of examples per run: the graph's own if it is fixed.
func (r *runner) batchSize(n int) int {
	if d := r.g.Inputs[0].Type.Shape[0]; d.Known() {
		return max(1, d.Size)
	}
	if r.most > 0 {
		n = min(n, r.most)
	}
	return min(n, evaluationBatch)
}

// each calls visit with every example's answer, in order.
func (r *runner) each(ctx context.Context, set *data.Set, visit func(i int, answer []float32)) error {
	if r.err != nil {
		return r.err
	}
	return r.eachBatch(ctx, set, func(out []tensor.Tensor, from, n, size int) error {
		if d := out[r.output].DType(); !d.IsFloat() && !d.IsInteger() {
			return fmt.Errorf("output %q: got %v, want numbers", r.g.Outputs[r.output].Name, out[r.output])
		}
		y := out[r.output].Float32s()
		if len(y)%size != 0 {
			return fmt.Errorf("output %q: got %v for a batch of %d", r.g.Outputs[r.output].Name, out[r.output], size)
		}
		width := len(y) / size
		for i := range n {
			visit(from+i, y[i*width:(i+1)*width])
		}
		return nil
	})
}

// eachBatch calls visit with the outputs of every batch: examples [from, from+n)
// stand first in a batch of the given size.
func (r *runner) eachBatch(ctx context.Context, set *data.Set, visit func(out []tensor.Tensor, from, n, size int) error) error {
	n := set.Len()
	for from := 0; from < n; {
		batch := min(r.batchSize(n), n-from)
		p, err := r.compile(batch)
		if err != nil {
			return err
		}
		for ; from+batch <= n; from += batch {
			if err := r.batch(ctx, p, set, from, batch, visit); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *runner) compile(batch int) (*engine.Program, error) {
	return engine.Compile(r.g, r.options(batch))
}

func (r *runner) options(batch int) engine.Options {
	d := r.g.Inputs[0].Type.Shape[0]
	o := engine.Options{Pool: r.pool, Unfused: r.unfused}
	if !d.Known() {
		o.Dims = map[string]int{d.Name: batch}
	}
	return o
}

// batch runs examples [from, from+n). A graph of a larger fixed batch is filled
// up with zeros.
func (r *runner) batch(ctx context.Context, p *engine.Program, set *data.Set, from, n int, visit func([]tensor.Tensor, int, int, int) error) error {
	in, err := r.input(p.Inputs()[0], set, from, n)
	if err != nil {
		return fmt.Errorf("input %q: %w", r.g.Inputs[0].Name, err)
	}
	out := make([]tensor.Tensor, len(p.Outputs()))
	if err := p.Run(ctx, []tensor.Tensor{in}, out); err != nil {
		return err
	}
	return visit(out, from, n, in.Shape()[0])
}

// input is a tensor of the given type that begins with examples [from, from+n).
// Examples are float32; other number types are converted.
func (r *runner) input(want tensor.Type, set *data.Set, from, n int) (tensor.Tensor, error) {
	sizes, ok := want.Static()
	if !ok || len(sizes) == 0 || sizes[0] == 0 || !(want.DType.IsFloat() || want.DType.IsInteger()) {
		return tensor.Tensor{}, fmt.Errorf("got %v, want numbers of known sizes, at least one example", want)
	}
	in, err := engine.NewTensor(tensor.Float32, sizes...)
	if err != nil {
		return in, err
	}
	x := tensor.Data[float32](in)
	size := len(x) / sizes[0]
	err = r.pool.For(n, 8, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			set.Fill(x[i*size:(i+1)*size], from+i)
		}
	})
	if err != nil {
		return in, err
	}
	return in.Convert(want.DType)
}
