package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/calculus"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// ObjectiveOptions says how an [Objective] computes.
type ObjectiveOptions struct {
	Pool   *kernel.Pool // nil means one thread
	Batch  int          // examples per run of the program; 0 means 256; at most the data set's size
	Double bool         // arithmetic in float64, on the same examples rounded to float32; the sums are float64 in any case
	Output string       // the output that holds the answer; "" means the first
}

// Block is a parameter's place in the vector θ.
type Block struct {
	Name  string
	Shape []int
	At    int // index of the first element
	Len   int // number of elements, which stand in row-major order
}

// Objective is the mean loss of a model over a data set as a function of one
// vector θ of all its trainable parameters, in the graph's order. It is a
// function of θ alone: batches come in a fixed order, the last partial one counts
// with its size, and batch normalisations are in the form of [Finish], with their
// running statistics. The loss is the cross-entropy of the softmax in nats per
// example, or the mean squared error where targets are numbers; there is no
// penalty in it.
//
// Values that are not finite are returned as they are; errors are those of the
// arithmetic's surroundings: the context, memory. Equal θ give equal bits at any
// number of threads. An Objective is not safe for concurrent use.
type Objective struct {
	o       ObjectiveOptions
	model   *graph.Graph // as given, in the newest opset
	loss    *graph.Graph // model and loss in the arithmetic asked for; its outputs are loss and logits
	weights []*graph.Param
	blocks  []Block
	dim     int
	set     *data.Set
	columns int

	programs map[programKey]*engine.Program
	batches  []batchOf   // the examples, if they are kept
	scratch  [2]*batchOf // of full and of partial batches, if they are not
	room     int         // bytes that kept examples may take
	passes   int         // over all examples
}

// programKey is a derivative for a size of batch.
type programKey struct {
	what string // "loss", "gradient" or "Hessian-vector product"
	size int
}

// batchOf is the inputs of a program: examples and targets.
type batchOf struct{ x, y tensor.Tensor }

// keptExamples bounds the bytes of examples and targets that an objective holds;
// beyond it they are converted again for every batch.
const keptExamples = 256 << 20

var _ calculus.Curved = (*Objective)(nil)

// NewObjective makes the objective of a model over a data set, whose examples are
// adapted to the model's input by [data.Set.Adapt]. The graph is not modified.
// Derivatives are built and compiled when first asked for; that a model has none
// is an error then. The error wraps [ErrUntrainable].
func NewObjective(g *graph.Graph, set *data.Set, o ObjectiveOptions) (*Objective, error) {
	f, err := newObjective(g, set, o)
	if err != nil {
		return nil, fmt.Errorf("objective of graph %q: %w: %w", g.Name, ErrUntrainable, err)
	}
	return f, nil
}

func newObjective(g *graph.Graph, set *data.Set, o ObjectiveOptions) (*Objective, error) {
	if set.Len() == 0 {
		return nil, fmt.Errorf("the data set %q is empty", set.Name())
	}
	if set.Shape() == nil {
		return nil, fmt.Errorf("data set %q: its examples are for several inputs, want one", set.Name())
	}
	if o.Batch <= 0 {
		o.Batch = 256
	}
	o.Batch = min(o.Batch, set.Len())
	if o.Pool == nil {
		o.Pool = kernel.NewPool(1, kernel.Best())
	}
	f := &Objective{o: o, programs: make(map[programKey]*engine.Program), room: keptExamples}
	shape, err := ExampleShape(g)
	if err != nil {
		return nil, err
	}
	if f.set, err = set.Adapt(shape); err != nil {
		return nil, err
	}
	f.model, _ = g.Clone()
	if err := f.model.Upgrade(graph.LatestOpset); err != nil {
		return nil, err
	}
	if err := f.buildLoss(); err != nil {
		return nil, err
	}
	f.collect()
	return f, nil
}

// buildLoss extends the finished model by targets and the loss.
func (f *Objective) buildLoss() error {
	g := Finish(f.model)
	if batch := g.Inputs[0].Type.Shape[0]; batch.Known() {
		any, err := graph.Rebatch(g, "N")
		if err != nil {
			return err
		}
		g = any
	}
	if err := g.Infer(); err != nil {
		return err
	}
	head, err := FindHead(g, f.o.Output)
	if err != nil {
		return err
	}
	logits := head.Logits
	if f.columns, err = columns(head, logits); err != nil {
		return err
	}
	if err := checkTargets(f.set, f.columns); err != nil {
		return err
	}
	if f.o.Double {
		if err := widen(g); err != nil {
			return err
		}
	}
	loss, err := Options{}.lossFor(f.set)
	if err != nil {
		return err
	}
	b := graph.NewBuilder(g, "loss_")
	g.Outputs = []*graph.Value{meanLoss(b, logits, loss), logits}
	g.RemoveDead()
	f.loss = g
	return b.Err()
}

// collect gives the weights tensors of their own and lists them: those of
// the model that the loss depends on.
func (f *Objective) collect() {
	inLoss := make(map[string]*graph.Param)
	for _, p := range f.loss.Params {
		inLoss[p.Name] = p
	}
	for _, p := range f.model.Weights() {
		w := inLoss[p.Name]
		if p.Data.DType() != tensor.Float32 || w == nil {
			continue
		}
		w.Data = w.Data.Clone()
		f.weights = append(f.weights, w)
		f.blocks = append(f.blocks, Block{Name: p.Name, Shape: slices.Clone(p.Data.Shape()), At: f.dim, Len: p.Data.Len()})
		f.dim += p.Data.Len()
	}
}

// Dim is the number of elements of θ.
func (f *Objective) Dim() int { return f.dim }

// Examples is the number of examples the mean is over.
func (f *Objective) Examples() int { return f.set.Len() }

// Columns is the number of values in an answer: one per class, or 1.
func (f *Objective) Columns() int { return f.columns }

// Blocks lists the parameters in the order of θ.
func (f *Objective) Blocks() []Block { return slices.Clone(f.blocks) }

// Point is θ of the model the objective was made of.
func (f *Objective) Point() []float64 {
	x := make([]float64, 0, f.dim)
	byName := make(map[string]*graph.Param)
	for _, p := range f.model.Params {
		byName[p.Name] = p
	}
	for _, b := range f.blocks {
		x = append(x, byName[b.Name].Data.Float64s()...)
	}
	return x
}

// Model is the model with θ = x, rounded to float32, in the newest opset; batch
// normalisations stay as they were given. It shares every other tensor.
func (f *Objective) Model(x []float64) *graph.Graph {
	g, _ := f.model.Clone()
	at := make(map[string]Block, len(f.blocks))
	for _, b := range f.blocks {
		at[b.Name] = b
	}
	for _, p := range g.Params {
		if b, ok := at[p.Name]; ok {
			p.Data = tensor.New(tensor.Float32, b.Shape...)
			copyTo(p.Data, x[b.At:b.At+b.Len])
		}
	}
	return g
}

// copyTo rounds numbers to those of the tensor.
func copyTo(t tensor.Tensor, x []float64) {
	if t.DType() == tensor.Float64 {
		copy(tensor.Data[float64](t), x)
		return
	}
	for i, data := 0, tensor.Data[float32](t); i < len(data); i++ {
		data[i] = float32(x[i])
	}
}

// Loss is the value at x, cheaper than [Objective.Gradient].
func (f *Objective) Loss(ctx context.Context, x []float64) (float64, error) {
	total := 0.0
	err := f.each(ctx, "loss", x, nil, func(out []tensor.Tensor, size int) {
		total += out[0].At(0) * float64(size)
	})
	return total / float64(f.set.Len()), err
}

// Gradient writes the gradient at x and returns the value.
func (f *Objective) Gradient(ctx context.Context, x, g []float64) (float64, error) {
	total, n := 0.0, float64(f.set.Len())
	clear(g)
	err := f.each(ctx, "gradient", x, nil, func(out []tensor.Tensor, size int) {
		total += out[0].At(0) * float64(size)
		f.add(g, out[1:], float64(size)/n)
	})
	return total / n, err
}

// HessianVector writes the product of the Hessian at x with v. Where an operator
// has kinks, such as ReLU, its second derivative there counts as zero.
func (f *Objective) HessianVector(ctx context.Context, x, v, hv []float64) error {
	clear(hv)
	// The product is linear in v: a power of two keeps float32 from under- and
	// overflow and changes no bit otherwise.
	top := 0.0
	for _, e := range v {
		top = max(top, math.Abs(e))
	}
	if top == 0 {
		return ctx.Err()
	}
	_, exponent := math.Frexp(top)
	tangents := make([]tensor.Tensor, len(f.blocks))
	scaled := make([]float64, f.dim)
	for i, e := range v {
		scaled[i] = math.Ldexp(e, -exponent)
	}
	for i, b := range f.blocks {
		tangents[i] = tensor.New(f.dtype(), b.Shape...)
		copyTo(tangents[i], scaled[b.At:b.At+b.Len])
	}
	n := float64(f.set.Len())
	err := f.each(ctx, "Hessian-vector product", x, tangents, func(out []tensor.Tensor, size int) {
		f.add(hv, out, float64(size)/n)
	})
	for i, e := range hv {
		hv[i] = math.Ldexp(e, exponent)
	}
	return err
}

// dtype is the arithmetic's number type.
func (f *Objective) dtype() tensor.DType {
	if f.o.Double {
		return tensor.Float64
	}
	return tensor.Float32
}

// add adds share times the parts of a vector to it.
func (f *Objective) add(dst []float64, parts []tensor.Tensor, share float64) {
	for i, b := range f.blocks {
		to := dst[b.At : b.At+b.Len]
		if f.o.Double {
			for k, e := range tensor.Data[float64](parts[i]) {
				to[k] += share * e
			}
			continue
		}
		for k, e := range tensor.Data[float32](parts[i]) {
			to[k] += share * float64(e)
		}
	}
}

// each runs a program at x over all batches.
func (f *Objective) each(ctx context.Context, what string, x []float64, more []tensor.Tensor, take func(out []tensor.Tensor, size int)) error {
	if len(x) != f.dim {
		return fmt.Errorf("%s of graph %q: point: got %d numbers, want %d", what, f.model.Name, len(x), f.dim)
	}
	for i, b := range f.blocks {
		copyTo(f.weights[i].Data, x[b.At:b.At+b.Len])
	}
	if err := f.keep(); err != nil {
		return fmt.Errorf("%s of graph %q: examples: %w", what, f.model.Name, err)
	}
	for from := 0; from < f.set.Len(); from += f.o.Batch {
		size := min(f.o.Batch, f.set.Len()-from)
		p, err := f.program(what, size)
		if err != nil {
			return err
		}
		batch, err := f.batch(from, size)
		if err != nil {
			return fmt.Errorf("%s of graph %q: examples: %w", what, f.model.Name, err)
		}
		out := make([]tensor.Tensor, len(p.Outputs()))
		if err := p.Run(ctx, append([]tensor.Tensor{batch.x, batch.y}, more...), out); err != nil {
			return err
		}
		take(out, size)
	}
	return nil
}

// program builds and compiles a derivative, once for every size of batch.
func (f *Objective) program(what string, size int) (*engine.Program, error) {
	key := programKey{what, size}
	if p := f.programs[key]; p != nil {
		return p, nil
	}
	g, err := f.derivative(what)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUntrainable, err)
	}
	o := engine.Options{Pool: f.o.Pool, Dims: map[string]int{g.Inputs[0].Type.Shape[0].Name: size}}
	ours := make(map[string]bool, len(f.blocks))
	for _, b := range f.blocks {
		ours[b.Name] = true
	}
	for _, p := range g.Params {
		if ours[p.Name] {
			o.Mutable = append(o.Mutable, p)
		}
	}
	p, err := engine.Compile(g, o)
	if err != nil {
		return nil, err
	}
	f.programs[key] = p
	return p, nil
}

func (f *Objective) derivative(what string) (*graph.Graph, error) {
	values := make([]*graph.Value, len(f.weights))
	for i, w := range f.weights {
		values[i] = w.Value
	}
	loss := *f.loss
	loss.Outputs = f.loss.Outputs[:1]
	switch what {
	case "gradient":
		return engine.Gradient(&loss, loss.Outputs[0], values)
	case "Hessian-vector product":
		g, err := engine.HessianVector(&loss, loss.Outputs[0], values)
		if err == nil {
			g.Outputs = g.Outputs[1:]
			g.RemoveDead()
		}
		return g, err
	}
	return f.loss, nil
}

// keep converts all examples once, if they are few enough and this is not the only
// pass over them.
func (f *Objective) keep() error {
	f.passes++
	if f.passes == 1 {
		return nil
	}
	each := f.set.Size() + f.columns
	if f.batches != nil || each*f.set.Len()*f.dtype().Bits()/8 > f.room {
		return nil
	}
	for from := 0; from < f.set.Len(); from += f.o.Batch {
		b, err := f.newBatch(min(f.o.Batch, f.set.Len()-from))
		if err == nil {
			err = f.fill(b, from)
		}
		if err != nil {
			f.batches = nil
			return err
		}
		f.batches = append(f.batches, *b)
	}
	return nil
}

// batch is the examples from a multiple of the batch size on.
func (f *Objective) batch(from, size int) (*batchOf, error) {
	if f.batches != nil {
		return &f.batches[from/f.o.Batch], nil
	}
	which := 0
	if size < f.o.Batch {
		which = 1
	}
	if f.scratch[which] == nil {
		b, err := f.newBatch(size)
		if err != nil {
			return nil, err
		}
		f.scratch[which] = b
	}
	return f.scratch[which], f.fill(f.scratch[which], from)
}

func (f *Objective) newBatch(size int) (*batchOf, error) {
	input := f.loss.Inputs[0].Type
	shape := []int{size}
	for _, d := range input.Shape[1:] {
		shape = append(shape, d.Size)
	}
	x, err := engine.NewTensor(input.DType, shape...)
	if err != nil {
		return nil, err
	}
	y, err := engine.NewTensor(f.dtype(), size, f.columns)
	return &batchOf{x, y}, err
}

// fill writes examples and targets.
func (f *Objective) fill(b *batchOf, from int) error {
	return f.o.Pool.For(b.y.Shape()[0], 8, func(_, lo, hi int) {
		size := f.set.Size()
		row, target := make([]float32, size), make([]float64, f.columns)
		for i := lo; i < hi; i++ {
			if b.x.DType() == tensor.Float32 {
				f.set.Fill(tensor.Data[float32](b.x)[i*size:(i+1)*size], from+i)
			} else {
				f.set.Fill(row, from+i)
				for k, v := range row {
					b.x.Set(i*size+k, float64(v))
				}
			}
			clear(target)
			if f.set.Classes() == 0 {
				target[0] = f.set.Target(from + i)
			} else {
				target[f.set.Label(from+i)] = 1
			}
			for k, v := range target {
				b.y.Set(i*f.columns+k, v)
			}
		}
	})
}
