// Package train moves the parameters of a graph: gradient descent on a loss
// with penalties that grow as their schedules say, under masks that hold pruned
// weights at zero.
//
// [Run] builds one graph of model, loss and gradients, compiles it once and runs
// it many times; the optimiser writes into tensors the run cloned.
// A [Penalty] on the mean loss is a proximal step, for λ‖θ‖² the factor 1/(1+2ηλ),
// stable for every ηλ. A [Monitor] compares single steps with what theory says of a
// descent, a [State] holds all that a run goes on from.
//
// With equal seeds the parameters come out the same, bit for bit, at any number
// of threads: batches are drawn from streams named by seed and epoch, and the
// engine's sums have a fixed order.
package train

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/tensor"
)

// Options says how to train. The zero value trains one epoch by Adam.
type Options struct {
	Epochs    int               // passes over the data, each without what does not fill a batch; 0 means 1
	Batch     int               // examples per step; 0 means 128; at most the data set's size
	Optimizer Optimizer         // 0 means Adam
	Rate      float64           // η of the first step; 0 means 1e-3 (Adam) or 0.05 (SGD)
	Decay     Decay             // how η falls; the zero value keeps it
	Relative  bool              // η is in units of each parameter's own size, see unitOf
	Rates     Schedule          // η per epoch instead of Rate and Decay, unless it is zero
	Momentum  float64           // of SGD, in [0, 1); 0 means none
	Penalties []Penalty         // beside the mean loss
	Dropout   Dropout           // what is set to zero at random
	Loss      Loss              // "" means cross-entropy, for examples with numbers the squared error
	Binary    Binary            // layers that compute with two values
	Smoothing float64           // of labels: this share of each target is spread over all classes; in [0, 1)
	Seed      uint64            // of the order of the examples
	Pool      *kernel.Pool      // nil means one thread
	Output    string            // the output that holds the answer; "" means the first
	Masks     map[string]*Mask  // parameters to hold at zero in places, by name
	Remask    Remask            // changes the masks as training goes on; nil means they stay
	Frozen    map[string]bool   // parameters to leave alone, by name
	Teacher   Teacher           // where targets come from instead of labels; nil means labels
	Vary      float64           // above 0: examples are changed anew in every epoch, see [data.Set.Vary]
	Augment   data.Augmentation // how images are changed anew in every epoch; labels stay
	VaryPart  float64           // of the examples that are changed; 0 counts as 1
	Labels    float64           // the share that the label has in a teacher's answer to an example that is not changed

	// Validation, if set, is judged after every epoch; with Patience above 0 training
	// ends after so many epochs without a smaller loss there, with ByMetric without a
	// larger metric, and the model of the best one is returned.
	Validation *data.Set
	Patience   int
	ByMetric   bool

	// Monitor, if set, watches the descent.
	Monitor *Monitor

	// Save, if set, is called after every epoch with all that training goes on from; it
	// shares its tensors with the run and is to be encoded before it returns.
	Save func(*State) error
	// From is where an earlier run ended; the options, the model and the data must be
	// that run's.
	From *State

	// Recomputed, if set, is called before the first step with what every step
	// computes twice, if it would not fit in memory otherwise.
	Recomputed func(engine.Recomputation)
	// Step, if set, is called after every step with the share of the work done.
	Step func(done float64)
	// Epoch, if set, is called after every epoch.
	Epoch func(Epoch)
	// Look, if set, is called after every epoch with the model as it then is, for
	// reading alone. An error ends the run.
	Look func(Epoch, *graph.Graph) error
}

// Teacher answers the inputs of a batch: for x [N, ...] it writes N rows of K
// probabilities, each summing to one.
type Teacher interface {
	Teach(ctx context.Context, dst []float32, x tensor.Tensor) error
}

// Epoch is what one pass over the data came to.
type Epoch struct {
	Loss   float64 // mean over the epoch's batches, penalty excluded, as measured before each step
	Metric float64 // accuracy on the batches as they were seen; NaN without classes
	Norm   float64 // ‖θ‖₂ after the epoch
	Lambda float64 // λ of the first penalty, the radius if that is all there is; 0 without any
	Rate   float64 // η; of the first step if it falls within the epoch

	Penalty float64 // the penalties' sum λR(θ) after the epoch
	Zeros   int     // weights that are exactly zero after the epoch
	Turn    float64 // angle between the directions of θ before and after the epoch, radians; NaN at θ = 0, and of Adam and its like without a monitor

	// The loss and the accuracy on the validation examples after the epoch; NaN without
	// any.
	ValidLoss, ValidMetric float64
}

// ErrUntrainable says that the model or the examples do not allow training: an
// operator without a derivative, an output of another form, no labels.
var ErrUntrainable = errors.New("cannot be trained")

// ErrDiverged says that the loss or a parameter became NaN or infinite. [Run]
// returns it.
var ErrDiverged = errors.New("training diverged: loss or parameters are not finite")

func (o Options) withDefaults(n int) Options {
	if o.Epochs <= 0 {
		o.Epochs = 1
	}
	if o.Batch <= 0 {
		o.Batch = 128
	}
	o.Batch = min(o.Batch, n)
	o.Rate = o.FirstRate()
	if o.Pool == nil {
		o.Pool = kernel.NewPool(1, kernel.Best())
	}
	return o
}

// FirstRate is η of the first step: by Rates, Rate, or the optimiser's default.
func (o Options) FirstRate() float64 {
	switch {
	case !o.Rates.IsZero():
		return o.Rates.At(0, max(1, o.Epochs))
	case o.Rate != 0:
		return o.Rate
	case o.Optimizer == SGD || o.Optimizer == Nesterov:
		return 0.05
	}
	return 1e-3
}

func (o Options) check() error {
	for _, c := range []struct {
		name     string
		value    float64
		below    float64
		interval string
	}{
		{"rate", o.Rate, math.Inf(1), "a finite number ≥ 0"},
		{"momentum", o.Momentum, 1, "a number in [0, 1)"},
		{"label smoothing", o.Smoothing, 1, "a number in [0, 1)"},
	} {
		if !(c.value >= 0 && c.value < c.below) {
			return fmt.Errorf("%s: got %v, want %s", c.name, c.value, c.interval)
		}
	}
	if err := o.Rates.check(); err != nil {
		return fmt.Errorf("rates: %w", err)
	}
	for _, p := range o.Penalties {
		if err := p.check(); err != nil {
			return err
		}
	}
	if o.Remask != nil && (o.Save != nil || o.From != nil) {
		return errors.New("masks that change: got a run that is saved or resumed, want one from start to end: a state does not hold them")
	}
	if err := o.checkBinary(); err != nil {
		return err
	}
	return o.Dropout.check()
}

// Run trains a copy of the graph on a data set and returns it with the record
// of each epoch. The graph given is not modified. Examples are adapted to the
// model's input by [data.Set.Adapt].
//
// When ctx ends, or the loss is not finite any more, the copy as far as it got is
// returned with the error.
func Run(ctx context.Context, g *graph.Graph, set *data.Set, o Options) (*graph.Graph, []Epoch, error) {
	if set.Len() == 0 {
		return nil, nil, fmt.Errorf("train graph %q: the data set %q is empty", g.Name, set.Name())
	}
	if o.Optimizer == LBFGS {
		return runLBFGS(ctx, g, set, o)
	}
	t, err := newTrainer(g, set, o.withDefaults(set.Len()))
	if err == nil {
		err = t.compile()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("train graph %q: %w: %w", g.Name, ErrUntrainable, err)
	}
	if r := t.program.Recomputed(); r.Steps > 0 && t.o.Recomputed != nil {
		t.o.Recomputed(r)
	}
	epochs, err := t.run(ctx)
	if last := t.finish(ctx, err); err == nil {
		err = last
	}
	if err != nil {
		err = fmt.Errorf("train graph %q: %w", g.Name, err)
	}
	return t.model, epochs, err
}

// Estimate returns the bytes that [Run] will take beyond the model and the data:
// tensors of a step, the copy that is trained, and the optimiser's memory. The
// error wraps an [engine.MemoryError] if that is more than there is.
func Estimate(g *graph.Graph, set *data.Set, o Options) (int, error) {
	fail := func(err error) (int, error) { return 0, fmt.Errorf("train graph %q: %w", g.Name, err) }
	t, err := newTrainer(g, set, o.withDefaults(max(1, set.Len())))
	if err != nil {
		return fail(err)
	}
	gradients, options, err := t.gradients()
	if err != nil {
		return fail(err)
	}
	bytes, err := engine.Estimate(gradients, options)
	if err != nil {
		return fail(err)
	}
	watching, err := t.estimateWatch()
	if err != nil {
		return fail(err)
	}
	bytes += watching
	for _, w := range t.weights {
		bytes += 4 * (len(w.data) + len(w.m) + len(w.v))
		if t.o.Momentum > 0 && len(t.o.Penalties) > 0 {
			bytes += 4 * len(w.data) // see keepMoved
		}
		if t.o.Binary.Mode != "" {
			bytes += 2 * 4 * len(w.data) // see binarizer
		}
		if t.o.Validation != nil {
			bytes += 4 * len(w.data) // see validator
		}
	}
	return bytes, nil
}

// trainer is one training run.
type trainer struct {
	o       Options
	set     *data.Set
	model   *graph.Graph // with tensors of its own for all that trains
	program *engine.Program
	head    Head
	weights []*weight
	running []runningStatistic
	in      []tensor.Tensor
	out     []tensor.Tensor
	classes int
	steps   int // in all
	done    int
	rate    float64 // η of the step at hand

	loss      Loss
	lossOnly  *graph.Graph   // model and loss, before derivatives
	dims      map[string]int // the size of a batch by the name of that dimension
	proximal  *proximal
	binary    *binarizer // nil if weights stay real
	watch     *watch     // nil without a monitor
	validator *validator // nil without validation examples
	records   []Epoch    // of the epochs that are done

	masks     []dropped
	maskNames []string // of their streams
	mask      []float32
	maskOf    dropped
	maskKey   uint64
	maskPart  func(worker, lo, hi int)

	examples tensor.Tensor // the batch as float32; in[0] itself if the model reads that

	from     *data.Set // that fill reads, and
	batch    []int     // which of its examples
	fillPart func(worker, lo, hi int)
}

func newTrainer(g *graph.Graph, set *data.Set, o Options) (*trainer, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	model, err := ownWeights(g, o.Frozen)
	if err != nil {
		return nil, err
	}
	if err := applyMasks(model, o.Masks); err != nil {
		return nil, err
	}
	t := &trainer{o: o, model: model, steps: o.Epochs * max(1, set.Len()/o.Batch)}
	t.fillPart, t.maskPart = t.fillRows, t.maskRange
	shape, err := ExampleShape(model)
	if err != nil {
		return nil, err
	}
	if t.set, err = set.Adapt(shape); err != nil {
		return nil, err
	}
	if _, err := t.set.Augment(o.Seed, "train/augment", o.Augment); err != nil {
		return nil, err
	}
	return t, nil
}

// ExampleShape is the shape of one example of a model with one input: the
// input's without the batch dimension.
func ExampleShape(g *graph.Graph) ([]int, error) {
	if len(g.Inputs) != 1 {
		return nil, fmt.Errorf("graph %q: inputs: got %d, want 1", g.Name, len(g.Inputs))
	}
	v := g.Inputs[0]
	if v.Type.Rank() < 1 {
		return nil, fmt.Errorf("input %q: got %v, want a shape with a batch dimension", v.Name, v.Type)
	}
	if n := v.Type.Shape[0]; n.Known() && n.Size < 1 {
		return nil, fmt.Errorf("input %q: batch: got %v, want at least 1", v.Name, n)
	}
	sizes, ok := tensor.Type{Shape: v.Type.Shape[1:]}.Static()
	if !ok {
		return nil, fmt.Errorf("input %q: got %v, want known sizes behind the batch dimension", v.Name, v.Type)
	}
	return sizes, nil
}

// ownWeights clones the graph, brings it to the newest opset, and gives every
// parameter the run writes into a tensor of its own.
func ownWeights(g *graph.Graph, frozen map[string]bool) (*graph.Graph, error) {
	model, _ := g.Clone()
	if err := model.Upgrade(graph.LatestOpset); err != nil {
		return nil, err
	}
	if err := model.Infer(); err != nil {
		return nil, err
	}
	for _, p := range model.Weights() {
		if !frozen[p.Name] {
			p.Data = p.Data.Clone()
		}
	}
	for _, n := range model.Nodes {
		if followsBatches(n) {
			for _, v := range n.In[3:5] {
				if p := model.Param(v); p != nil {
					p.Data = p.Data.Clone()
				}
			}
		}
	}
	return model, nil
}

// run does the epochs.
func (t *trainer) run(ctx context.Context) ([]Epoch, error) {
	if err := t.resume(); err != nil {
		return nil, err
	}
	for e := len(t.records); e < t.o.Epochs && !t.patienceOver(); e++ {
		record, err := t.epoch(ctx, e)
		if err != nil {
			return t.records, err
		}
		t.records = append(t.records, record)
		t.keepBest(record)
		if t.o.Save != nil {
			if err := t.o.Save(t.state()); err != nil {
				return t.records, err
			}
		}
		if t.o.Epoch != nil {
			t.o.Epoch(record)
		}
		if t.o.Look != nil {
			if err := t.o.Look(record, t.model); err != nil {
				return t.records, err
			}
		}
	}
	return t.records, nil
}

// finish puts the parameters in place that are returned: after a divergence the last
// that were seen to be finite, after an end of patience the best.
func (t *trainer) finish(ctx context.Context, err error) error {
	switch {
	case t.watch != nil && errors.Is(err, ErrDiverged):
		t.watch.restore()
	case t.validator != nil && t.o.Patience > 0:
		t.validator.restore()
	}
	if t.watch != nil {
		*t.o.Monitor = t.watch.monitor()
	}
	return t.binary.useForm(context.WithoutCancel(ctx))
}

func (t *trainer) epoch(ctx context.Context, e int) (Epoch, error) {
	order := stream.New(t.o.Seed, "train/order", uint64(e)).Perm(t.set.Len())
	batches := max(1, len(order)/t.o.Batch)
	set, err := t.view(e)
	if err != nil {
		return Epoch{}, err
	}
	t.proximal.strengths = strengthsAt(t.o.Penalties, e, t.o.Epochs)
	if t.watch != nil {
		t.watch.begin(e)
	}
	record := Epoch{Lambda: t.lambda(e), ValidLoss: math.NaN(), ValidMetric: math.NaN()}
	var loss, hits float64
	for k := range batches {
		batch := order[k*t.o.Batch : (k+1)*t.o.Batch]
		t.rate = t.rateAt(e)
		if k == 0 {
			record.Rate = t.rate
		}
		if err := t.remask(); err != nil {
			return Epoch{}, err
		}
		step, err := t.step(ctx, set, batch)
		if err != nil {
			return Epoch{}, err
		}
		if math.IsNaN(step) || math.IsInf(step, 0) {
			return Epoch{}, t.diverged(e, k, step)
		}
		loss += step
		hits += t.hits(batch)
		if err := t.move(ctx, step); err != nil {
			return Epoch{}, err
		}
		if t.o.Step != nil {
			t.o.Step(float64(t.done) / float64(t.steps))
		}
	}
	record.Norm = t.model.Norm()
	if math.IsNaN(record.Norm) || math.IsInf(record.Norm, 0) {
		return Epoch{}, t.diverged(e, batches-1, record.Norm)
	}
	record.Loss, record.Metric = loss/float64(batches), hits/float64(batches*t.o.Batch)
	record.Penalty = t.proximal.value(t.proximal.params, t.proximal.groups)
	record.Zeros, record.Turn = t.zeros(), math.NaN()
	if t.watch != nil {
		record.Turn = t.watch.turn()
	}
	if t.validator != nil {
		var err error
		record.ValidLoss, record.ValidMetric, err = t.validator.judge(ctx)
		if err != nil {
			return Epoch{}, err
		}
	}
	return record, nil
}

// view is the data set as epoch e sees it.
func (t *trainer) view(e int) (*data.Set, error) {
	if !t.o.Augment.IsZero() {
		return t.set.Augment(t.o.Seed, fmt.Sprintf("train/augment/%d", e), t.o.Augment)
	}
	if t.o.Vary <= 0 {
		return t.set, nil
	}
	part := t.o.VaryPart
	if part == 0 {
		part = 1
	}
	return t.set.VarySome(t.o.Seed, fmt.Sprintf("train/vary/%d", e), t.o.Vary, part), nil
}

// rateAt is η of the step at hand in epoch e.
func (t *trainer) rateAt(e int) float64 {
	if !t.o.Rates.IsZero() {
		return t.o.Rates.At(e, t.o.Epochs)
	}
	return t.o.Decay.at(t.o.Rate, float64(t.done)/float64(t.steps))
}

// lambda is what an epoch's record says of the penalties: λ of the first, a radius
// only if there is nothing else.
func (t *trainer) lambda(e int) float64 {
	x := 0.0
	for _, p := range t.o.Penalties {
		x = p.Lambda.At(e, t.o.Epochs)
		if p.Kind != MaxNorm {
			break
		}
	}
	return x
}

// zeros counts the weights that are exactly zero.
func (t *trainer) zeros() int {
	n := 0
	for _, w := range t.weights {
		for _, x := range w.data {
			if x == 0 {
				n++
			}
		}
	}
	return n
}

// move takes the optimiser's step, watched if it is one of the monitor's.
func (t *trainer) move(ctx context.Context, loss float64) error {
	if t.watch == nil {
		return t.update()
	}
	if err := t.watch.before(); err != nil {
		return err
	}
	if err := t.update(); err != nil {
		return err
	}
	return t.watch.after(ctx, loss)
}

// step computes the loss of a batch and its gradient. It allocates nothing, unless
// the model reads another number type than float32 or a teacher does.
func (t *trainer) step(ctx context.Context, set *data.Set, batch []int) (loss float64, err error) {
	if err := t.fill(ctx, set, batch); err != nil {
		return 0, err
	}
	if err := t.drawMasks(); err != nil {
		return 0, err
	}
	if err := t.binary.put(); err != nil {
		return 0, err
	}
	err = t.program.Run(ctx, t.in, t.out)
	t.binary.restore()
	if err != nil {
		return 0, err
	}
	return t.out[t.lossAt()].At(0), nil
}

// fill writes the batch's inputs and targets, each example by one worker.
func (t *trainer) fill(ctx context.Context, set *data.Set, batch []int) error {
	t.from, t.batch = set, batch
	err := t.o.Pool.For(len(batch), 8, t.fillPart)
	if err == nil {
		t.in[0], err = t.examples.Convert(t.in[0].DType())
	}
	if err != nil || t.o.Teacher == nil {
		return err
	}
	if err := t.o.Teacher.Teach(ctx, tensor.Data[float32](t.in[1]), t.in[0]); err != nil {
		return err
	}
	if t.o.Labels > 0 {
		t.mixLabels()
	}
	return nil
}

// mixLabels gives the labels their share in the targets that a teacher wrote.
func (t *trainer) mixLabels() {
	y := tensor.Data[float32](t.in[1])
	k := len(y) / len(t.batch)
	for i, example := range t.batch {
		if t.from.Varied(example) {
			continue // the label is not that of the other example that is blended in
		}
		row := y[i*k : (i+1)*k]
		for j := range row {
			row[j] *= float32(1 - t.o.Labels)
		}
		row[t.set.Label(example)] += float32(t.o.Labels)
	}
}

// fillRows writes examples [lo, hi) of the batch.
func (t *trainer) fillRows(_, lo, hi int) {
	x, y := tensor.Data[float32](t.examples), tensor.Data[float32](t.in[1])
	size, k := len(x)/len(t.batch), len(y)/len(t.batch)
	for i := lo; i < hi; i++ {
		t.from.Fill(x[i*size:(i+1)*size], t.batch[i])
		t.target(y[i*k:(i+1)*k], t.batch[i])
	}
}

// target is the distribution the answer to example i should have, or its value;
// a teacher writes the targets of the whole batch.
func (t *trainer) target(dst []float32, i int) {
	switch {
	case t.o.Teacher != nil:
	case t.set.Classes() == 0:
		dst[0] = float32(t.set.Target(i))
	default:
		for k := range dst {
			dst[k] = float32(t.o.Smoothing / float64(t.classes))
		}
		dst[t.set.Label(i)] += float32(1 - t.o.Smoothing)
	}
}

// hits counts the right answers in the batch just run.
func (t *trainer) hits(batch []int) float64 {
	if t.set.Classes() == 0 || !t.set.Labeled() {
		return math.NaN()
	}
	logits := tensor.Data[float32](t.out[0])
	n := 0.0
	for i, example := range batch {
		if TopClass(logits[i*t.classes:(i+1)*t.classes]) == t.set.Label(example) {
			n++
		}
	}
	return n
}

// TopClass is the index of the largest entry, the first of equal ones.
func TopClass(row []float32) int {
	best := 0
	for k, v := range row {
		if v > row[best] {
			best = k
		}
	}
	return best
}
