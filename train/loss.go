package train

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Loss is what training makes small, a mean over examples. Its targets are one per
// column of the answer, p of a distribution over classes or a number.
type Loss string

// The losses. For logits z:
const (
	CrossEntropy Loss = "cross-entropy" // −Σ_k p_k log softmax(z)_k

	// SquaredHinge is Σ_k max(0, 1 − t_k z_k)² with t = 2p − 1, which is ±1 for a
	// label: the L2 SVM of Y. Tang, "Deep learning using linear support vector
	// machines", 2013, equation 10 without its penalty, summed over classes and
	// averaged over examples as in the published code of BinaryConnect.
	SquaredHinge Loss = "squared-hinge"

	// SquaredError is the mean of (z_k − p_k)² over columns, or of (z − y)² for
	// examples with a number y.
	SquaredError Loss = "squared-error"
)

// lossFor is the loss of a run, cross-entropy or the squared error if none was named.
func (o Options) lossFor(set *data.Set) (Loss, error) {
	numbers := set.Classes() == 0 && o.Teacher == nil
	switch o.Loss {
	case "":
		if numbers {
			return SquaredError, nil
		}
		return CrossEntropy, nil
	case CrossEntropy, SquaredHinge:
		if numbers {
			return "", fmt.Errorf("loss %s: data set %q has no classes, want squared-error", o.Loss, set.Name())
		}
		if o.Teacher != nil && o.Loss == SquaredHinge {
			return "", fmt.Errorf("loss %s: the targets are a teacher's, want labels", o.Loss)
		}
	case SquaredError:
	default:
		return "", fmt.Errorf("loss %q: want cross-entropy, squared-hinge or squared-error", o.Loss)
	}
	return o.Loss, nil
}

// compile makes the program of model, loss and gradients.
func (t *trainer) compile() error {
	g, o, err := t.gradients()
	if err != nil {
		return err
	}
	// Before the program, which fits itself into the memory that is left.
	for _, v := range g.Inputs {
		sizes := make([]int, v.Type.Rank())
		for k, d := range v.Type.Shape {
			if sizes[k] = d.Size; !d.Known() {
				sizes[k] = o.Dims[d.Name]
			}
		}
		in, err := engine.NewTensor(v.Type.DType, sizes...)
		if err != nil {
			return fmt.Errorf("input: %w", err)
		}
		t.in = append(t.in, in)
	}
	t.proximal = newProximal(t)
	if err := t.observers(); err != nil {
		return err
	}
	if t.program, err = engine.Compile(g, o); err != nil {
		return err
	}
	for i, want := range t.program.Inputs() {
		sizes, ok := want.Static()
		indices := i == 0 && want.DType.IsInteger() // of words, say
		if !ok || want.DType != tensor.Float32 && !indices || !slices.Equal(sizes, t.in[i].Shape()) {
			return fmt.Errorf("input: got %v, want float32 of known sizes", want)
		}
	}
	t.examples = t.in[0]
	if t.in[0].DType() != tensor.Float32 {
		t.examples = tensor.New(tensor.Float32, t.in[0].Shape()...)
	}
	t.out = make([]tensor.Tensor, len(t.program.Outputs()))
	for k := range t.masks {
		t.maskNames = append(t.maskNames, fmt.Sprintf("train/mask/%d", k))
	}
	return nil
}

// observers makes what stands beside the steps of a run.
func (t *trainer) observers() (err error) {
	if t.binary, err = newBinarizer(t); err != nil {
		return err
	}
	if t.o.Monitor != nil {
		t.watch, err = newWatch(t)
	}
	if err == nil && t.o.Validation != nil {
		t.validator, err = newValidator(t)
	}
	return err
}

// gradients builds model, loss and gradients as one graph, to be compiled with
// the options that go with it.
func (t *trainer) gradients() (*graph.Graph, engine.Options, error) {
	o := engine.Options{Pool: t.o.Pool}
	loss, err := t.lossGraph()
	if err != nil {
		return nil, o, err
	}
	byName := make(map[string]*graph.Param)
	for _, p := range loss.Params {
		byName[p.Name] = p
	}
	t.lossOnly, t.weights = loss, t.collectWeights(byName)
	values := make([]*graph.Value, 0, len(t.weights))
	for _, w := range t.weights {
		values = append(values, byName[w.param.Name].Value)
	}
	g, err := engine.Gradient(loss, loss.Outputs[len(loss.Outputs)-1], values)
	if err != nil {
		return nil, o, err
	}
	for _, p := range g.Params {
		if byName[p.Name] != nil && t.changes(p.Name) {
			o.Mutable = append(o.Mutable, p)
		}
	}
	batch := g.Inputs[0].Type.Shape[0]
	if batch.Known() && batch.Size != t.o.Batch {
		return nil, o, fmt.Errorf("batch: got %d, want %d, the size the model is fixed at", t.o.Batch, batch.Size)
	}
	t.dims = map[string]int{batch.Name: t.o.Batch}
	o.Dims = t.dims
	return g, o, nil
}

// lossGraph extends the model by a target input and the loss, which becomes the
// last output; the first is the logits, between them stand running statistics.
func (t *trainer) lossGraph() (*graph.Graph, error) {
	head, err := FindHead(t.model, t.o.Output)
	if err != nil {
		return nil, err
	}
	t.head = head
	g, copyOf := t.model.Clone()
	b := graph.NewBuilder(g, "loss_")
	logits := copyOf[head.Logits]
	if t.classes, err = columns(head, logits); err != nil {
		return nil, err
	}
	if t.set != nil {
		if t.loss, err = t.o.lossFor(t.set); err != nil {
			return nil, err
		}
		if err := t.checkTargets(); err != nil {
			return nil, err
		}
	}
	g.Outputs = []*graph.Value{logits}
	if err := t.collectRunning(g, b); err != nil {
		return nil, err
	}
	loss := meanLoss(b, logits, t.loss)
	g.Outputs = append(g.Outputs, loss)
	if err := t.drop(g, b); err != nil {
		return nil, err
	}
	g.RemoveDead()
	return g, b.Err()
}

// columns is the number of values in an answer.
func columns(head Head, logits *graph.Value) (int, error) {
	if logits.Type.Rank() != 2 || !logits.Type.Shape[1].Known() {
		return 0, fmt.Errorf("output %q: got %v, want [batch, classes]", head.Output.Name, logits.Type)
	}
	if logits.Type.DType != tensor.Float32 {
		return 0, fmt.Errorf("output %q: got %v, want float32", head.Output.Name, logits.Type)
	}
	return logits.Type.Shape[1].Size, nil
}

// meanLoss appends an input for the targets and the mean loss over the batch.
func meanLoss(b *graph.Builder, logits *graph.Value, loss Loss) *graph.Value {
	target := b.Input("target", logits.Type)
	mean := func(v *graph.Value) *graph.Value {
		return b.With("ReduceMean", graph.Attributes{graph.Int("keepdims", 0)}, v)
	}
	number := func(x float64) *graph.Value { return b.ConstLike(logits, x) }
	switch loss {
	case SquaredError:
		diff := b.Op("Sub", logits, target)
		return mean(b.Op("Mul", diff, diff))
	case SquaredHinge:
		one := number(1)
		sign := b.Op("Sub", b.Op("Mul", target, number(2)), one)
		short := b.Op("Relu", b.Op("Sub", one, b.Op("Mul", sign, logits)))
		return b.Op("Mul", mean(b.Op("Mul", short, short)), number(float64(logits.Type.Shape[1].Size)))
	}
	return b.Op("compactify.SoftmaxCrossEntropy", logits, target)
}

// of is the loss of one answer to example i, without label smoothing. It overwrites
// row.
func (l Loss) of(row []float64, set *data.Set, i int) float64 {
	label := set.Label(i)
	if l == CrossEntropy {
		Logits.LogProbabilities(row)
		return -row[label]
	}
	sum := 0.0
	for k, z := range row {
		p := 0.0
		switch {
		case set.Classes() == 0:
			p = set.Target(i)
		case k == label:
			p = 1
		}
		if l == SquaredHinge {
			short := max(0, 1-(2*p-1)*z)
			sum += short * short
		} else {
			sum += (z - p) * (z - p) / float64(len(row))
		}
	}
	return sum
}

func (t *trainer) checkTargets() error {
	if t.o.Teacher != nil {
		return nil
	}
	return checkTargets(t.set, t.classes)
}

// checkTargets reports whether the examples say what the answers should be.
func checkTargets(set *data.Set, columns int) error {
	switch {
	case !set.Labeled():
		return fmt.Errorf("data set %q has no labels, and there is no teacher", set.Name())
	case set.Classes() == 0 && columns != 1:
		return fmt.Errorf("data set %q: got one target value per example, want %d as the model's output", set.Name(), columns)
	case set.Classes() > columns:
		return fmt.Errorf("data set %q: got %d classes, want at most %d, the model's output", set.Name(), set.Classes(), columns)
	}
	return nil
}

// lossAt is the index of the loss among the program's outputs.
func (t *trainer) lossAt() int { return 1 + len(t.running) }
