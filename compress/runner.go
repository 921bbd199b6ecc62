package compress

import (
	"context"
	"fmt"
	"slices"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// evaluationBatch is how many examples one run of the engine measures at most:
// enough to fill the kernels, few enough to stay in the cache.
const evaluationBatch = 64

// evaluationBytes is about what the values of one run may take: large examples are
// run few at a time.
const evaluationBytes = 128 << 20

// runner runs a model over a data set in batches. A model whose batch is fixed, or
// whose examples or answers have no axis to stack them on, runs with its own.
type runner struct {
	g       *graph.Graph
	output  int   // the one that answers
	others  []int // further ones that are looked at
	pool    *kernel.Pool
	unfused bool
	set     *data.Set     // that is run
	most    int           // examples per run; 0 means [evaluationBatch]
	size    int           // of a batch that is free; 0 until it is known
	in      tensor.Tensor // of the last batch, where inputs are float32
	axes    []int         // of the outputs that count examples; nil until they are known
	err     error
}

func newRunner(g *graph.Graph, output string, pool *kernel.Pool, others ...string) *runner {
	r := &runner{g: g, pool: pool}
	find := func(name string) int {
		i := slices.IndexFunc(g.Outputs, func(v *graph.Value) bool { return v.Name == name })
		if i < 0 {
			r.err = fmt.Errorf("graph %q: output %q: not in the graph", g.Name, name)
		}
		return i
	}
	r.output = find(output)
	for _, name := range others {
		r.others = append(r.others, find(name))
	}
	return r
}

// fixedBatch is the batch that the graph has for good, 0 if it is free. Inputs
// whose first sizes differ are those of one example.
func (r *runner) fixedBatch() int {
	size := 0
	for _, v := range r.g.Inputs {
		if v.Type.Rank() < 1 {
			continue
		}
		d := v.Type.Shape[0]
		switch {
		case !d.Known():
			return 0
		case size != 0 && size != d.Size:
			size = 1
		default:
			size = max(1, d.Size)
		}
	}
	return max(1, size)
}

// batchSize is the number of examples per run, at most n: the graph's own if that
// is fixed.
func (r *runner) batchSize(n int) int {
	if fixed := r.fixedBatch(); fixed > 0 {
		return fixed
	}
	if r.size == 0 {
		most := min(n, evaluationBatch)
		if r.most > 0 {
			most = min(most, r.most)
		}
		r.size = r.freeBatch(most)
	}
	return min(n, r.size)
}

// freeBatch is how many examples, at most so many, a run of a graph with a free
// batch takes at once.
func (r *runner) freeBatch(most int) int {
	if r.set != nil && !r.set.Stackable() {
		return 1
	}
	for _, k := range append([]int{r.output}, r.others...) {
		if most > 1 && r.answerAxes()[k] < 0 {
			return 1
		}
	}
	if most > 1 {
		if bytes, err := engine.Estimate(r.g, r.options(most)); err == nil && bytes > evaluationBytes {
			return max(1, most*evaluationBytes/bytes)
		}
	}
	return most
}

// answerAxes finds for every output the axis that counts examples: the one whose
// size follows the batch from 3 to 5. Where inference cannot tell, it is the first
// if its size is open; −1 if there is none.
func (r *runner) answerAxes() []int {
	if r.axes != nil {
		return r.axes
	}
	r.axes = make([]int, len(r.g.Outputs))
	three, five := r.outputTypes(3), r.outputTypes(5)
	for k, v := range r.g.Outputs {
		switch {
		case three != nil && three[k].Ranked() && five[k].Ranked() && three[k].Rank() == five[k].Rank():
			r.axes[k] = followingAxis(three[k].Shape, five[k].Shape)
		case v.Type.Ranked() && (v.Type.Rank() == 0 || v.Type.Shape[0].Known()):
			r.axes[k] = -1
		}
	}
	return r.axes
}

// followingAxis is the first axis on which sizes differ, or of which either is
// open, -1 if there is none.
func followingAxis(a, b []tensor.Dim) int {
	for i, d := range a {
		if d != b[i] || !d.Known() {
			return i
		}
	}
	return -1
}

// outputTypes infers the outputs for a batch of the given size, nil if that fails.
func (r *runner) outputTypes(batch int) []tensor.Type {
	c, _ := r.g.Clone()
	o := r.options(batch)
	for _, v := range c.Inputs {
		if shape, ok := o.Shapes[v.Name]; ok {
			v.Type = tensor.TypeOf(v.Type.DType, shape...)
		}
	}
	c.SetBatch(nil, tensor.Fixed(batch)) // forgets what followed from other sizes
	if c.Upgrade(graph.LatestOpset) != nil || c.Infer() != nil {
		return nil
	}
	types := make([]tensor.Type, len(c.Outputs))
	for k, v := range c.Outputs {
		types[k] = v.Type
	}
	return types
}

// each calls visit with every example's answer, in order.
func (r *runner) each(ctx context.Context, set *data.Set, visit func(i int, answer []float32)) error {
	return r.eachAll(ctx, set, func(i int, answers [][]float32) { visit(i, answers[0]) })
}

// eachAll calls visit with every example's answers, that of the output that answers
// first, in the order of the examples.
func (r *runner) eachAll(ctx context.Context, set *data.Set, visit func(i int, answers [][]float32)) error {
	if r.err != nil {
		return r.err
	}
	watched := append([]int{r.output}, r.others...)
	return r.eachBatch(ctx, set, func(out []tensor.Tensor, from, n, size int) error {
		rows := make([][]float32, len(watched)) // of the batch
		axes := make([]int, len(watched))
		for k, o := range watched {
			name := r.g.Outputs[o].Name
			if d := out[o].DType(); !d.IsFloat() && !d.IsInteger() {
				return fmt.Errorf("output %q: got %v, want numbers", name, out[o])
			}
			rows[k] = out[o].Float32s()
			if size == 1 {
				continue
			}
			if axes[k] = r.axisIn(o); axes[k] < 0 || len(rows[k])%size != 0 || axes[k] > 0 && out[o].Shape()[axes[k]] != size {
				return fmt.Errorf("output %q: got %v for a batch of %d", name, out[o], size)
			}
		}
		answers := make([][]float32, len(watched))
		for i := range n {
			for k, o := range watched {
				answers[k] = exampleOf(rows[k], out[o].Shape(), axes[k], i, size)
			}
			visit(from+i, answers)
		}
		return nil
	})
}

// axisIn is the axis of an output that counts the examples of a run: a batch that
// the graph has for good comes first.
func (r *runner) axisIn(output int) int {
	if r.fixedBatch() > 0 {
		return 0
	}
	return r.answerAxes()[output]
}

// exampleOf is what example i has of the elements of a batch along an axis.
func exampleOf(y []float32, shape []int, axis, i, size int) []float32 {
	switch {
	case size == 1:
		return y
	case axis == 0:
		width := len(y) / size
		return y[i*width : (i+1)*width]
	}
	outer, _ := tensor.Size(shape[:axis])
	inner := len(y) / max(1, outer*size)
	own := make([]float32, 0, outer*inner)
	for o := range outer {
		own = append(own, y[(o*size+i)*inner:][:inner]...)
	}
	return own
}

// eachBatch calls visit with the outputs of every batch: examples [from, from+n)
// stand first in a batch of the given size.
func (r *runner) eachBatch(ctx context.Context, set *data.Set, visit func(out []tensor.Tensor, from, n, size int) error) error {
	r.set = set
	n := set.Len()
	for from := 0; from < n; {
		size := r.batchSize(n - from)
		p, err := r.compile(size)
		if err != nil {
			return err
		}
		for batch := min(size, n-from); from+batch <= n && batch > 0; from += batch {
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

// options say how a batch is compiled.
func (r *runner) options(batch int) engine.Options {
	o := engine.Options{Pool: r.pool, Unfused: r.unfused, Dims: make(map[string]int), Shapes: make(map[string][]int)}
	for _, v := range r.g.Inputs {
		switch {
		case r.set != nil && r.set.Inputs() != nil:
			if shape, ok := r.set.ShapeOf(v.Name, batch); ok {
				o.Shapes[v.Name] = shape
			}
		case v.Type.Rank() < 1 || v.Type.Shape[0].Known():
		case r.set != nil:
			o.Shapes[v.Name] = append([]int{batch}, r.set.Shape()...)
		default:
			o.Dims[v.Type.Shape[0].Name] = batch
		}
	}
	return o
}

// batch runs examples [from, from+n). A graph of a larger fixed batch is filled
// up with zeros.
func (r *runner) batch(ctx context.Context, p *engine.Program, set *data.Set, from, n int, visit func([]tensor.Tensor, int, int, int) error) error {
	size := max(n, r.fixedBatch())
	in, err := r.inputs(p, set, from, n, size)
	if err != nil {
		return err
	}
	out := make([]tensor.Tensor, len(p.Outputs()))
	if err := p.Run(ctx, in, out); err != nil {
		return err
	}
	return visit(out, from, n, size)
}

// inputs are tensors for a program that begin with examples [from, from+n).
func (r *runner) inputs(p *engine.Program, set *data.Set, from, n, size int) ([]tensor.Tensor, error) {
	in := make([]tensor.Tensor, len(r.g.Inputs))
	for i, v := range r.g.Inputs {
		var err error
		if set.Inputs() != nil {
			in[i], err = set.Stack(v.Name, from, n, size)
		} else {
			in[i], err = r.input(p.Inputs()[i], set, from, n)
		}
		if err != nil {
			return nil, fmt.Errorf("input %q: %w", v.Name, err)
		}
	}
	return in, nil
}

// input is a tensor of the given type that begins with examples [from, from+n).
// Integers are read in double precision, which holds those of files exactly.
func (r *runner) input(want tensor.Type, set *data.Set, from, n int) (tensor.Tensor, error) {
	sizes, ok := want.Static()
	if !ok || len(sizes) == 0 || sizes[0] == 0 || !(want.DType.IsFloat() || want.DType.IsInteger()) {
		return tensor.Tensor{}, fmt.Errorf("got %v, want numbers of known sizes, at least one example", want)
	}
	if want.DType.IsInteger() && want.DType.Bits() > 16 {
		return r.integers(want.DType, sizes, set, from, n)
	}
	in, err := r.floats(sizes)
	if err != nil {
		return in, err
	}
	x := tensor.Data[float32](in)
	size := len(x) / sizes[0]
	clear(x[n*size:])
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

// floats is the tensor of the last batch if that was all and had the same sizes, else a new one:
// memory that every batch took anew would wait for the collector.
func (r *runner) floats(sizes []int) (tensor.Tensor, error) {
	if len(r.g.Inputs) == 1 && r.in.DType() == tensor.Float32 && slices.Equal(r.in.Shape(), sizes) {
		return r.in, nil
	}
	var err error
	r.in, err = engine.NewTensor(tensor.Float32, sizes...)
	return r.in, err
}

func (r *runner) integers(d tensor.DType, sizes []int, set *data.Set, from, n int) (tensor.Tensor, error) {
	in, err := engine.NewTensor(tensor.Float64, sizes...)
	if err != nil {
		return in, err
	}
	x := tensor.Data[float64](in)
	size := len(x) / sizes[0]
	for i := range n {
		set.Fill64(x[i*size:(i+1)*size], from+i)
	}
	return in.Convert(d)
}
