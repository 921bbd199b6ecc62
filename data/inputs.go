package data

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compactify/compactify/tensor"
)

// Input is one of the inputs of a model, for which a source may hold an array of
// its own.
type Input struct {
	Name string
	Type tensor.Type
}

// named is an array of a file with its name there.
type named struct {
	name string
	tensor.Tensor
}

// part is the examples of one input of a set that has several.
type part struct {
	Input
	axis  int           // of the batch in the input, −1 if the input has none
	shape []int         // of the input with one example
	data  tensor.Tensor // [examples, shape...], or [1, shape...] shared by all
}

// shared reports whether all examples have the same.
func (p *part) shared() bool { return p.data.Shape()[0] == 1 }

// The batch axis of an input is the one with the size that the inputs' first axes
// have in common: a symbol wherever it stands, or a fixed size at the front. An
// array holds examples in one of four ways:
//
//	[examples, ...]         in place of the batch, where that is the first axis
//	[examples, 1 input...]  in front of the whole input, whose batch is 1
//	[.., examples, ..]      in place of the batch, wherever that is
//	[1 input...]            all examples have the same
//
// batchAxes finds the axes, −1 for an input without a batch.
func batchAxes(inputs []Input) []int {
	symbol, size, common := "", -1, true
	for _, in := range inputs {
		if in.Type.Rank() < 1 {
			continue
		}
		first := in.Type.Shape[0]
		if !first.Known() && symbol == "" {
			symbol = first.Name
		}
		common = common && first.Known() && (size < 0 || first.Size == size)
		size = first.Size
	}
	axes := make([]int, len(inputs))
	for i, in := range inputs {
		axes[i] = -1
		if in.Type.Rank() < 1 {
			continue
		}
		first := in.Type.Shape[0]
		at := -1
		if symbol != "" {
			at = slices.Index(in.Type.Shape, tensor.Symbol(symbol))
		}
		if !first.Known() || common || first.Size == 1 && at < 0 {
			at = 0
		}
		axes[i] = at
	}
	return axes
}

// hasInputs reports whether arrays are those of the inputs: there are several
// inputs, or the one there is has an array of its name. The name x says nothing:
// it stands for the examples of every model.
func hasInputs(inputs []Input, names []string) bool {
	if len(inputs) != 1 {
		return len(inputs) > 1
	}
	name := inputs[0].Name
	return name != "x" && slices.Contains(names, name) || slices.Contains(names, inputPrefix+name)
}

// inputPrefix may stand in front of the name of an input, as in files that hold
// outputs too, under outputPrefix.
const (
	inputPrefix  = "in/"
	outputPrefix = "out/"
)

func inputOf(name string) string { return strings.TrimPrefix(name, inputPrefix) }

// newInputSet makes a set of the arrays of a file. Arrays that belong to no input
// are named in the note.
func newInputSet(path string, arrays []named, l labels, o Options) (_ *Set, note string, err error) {
	if o.Normalize != "" {
		return nil, "", fmt.Errorf("scale %q: arrays named as inputs are used as they are: got normalization %q, want none", path, o.Normalize)
	}
	axes := batchAxes(o.Inputs)
	s := &Set{name: path, labels: l}
	used := make(map[string]bool)
	count := 1
	for i, in := range o.Inputs {
		a, err := arrayOf(in, arrays)
		if err != nil {
			return nil, "", fmt.Errorf("read %q: input %q: %w", path, in.Name, err)
		}
		used[a.name] = true
		p, err := newPart(in, axes[i], a.Tensor)
		if err != nil {
			return nil, "", fmt.Errorf("read %q: input %q: %w", path, in.Name, err)
		}
		n := p.data.Shape()[0]
		if n != 1 && count != 1 && n != count {
			return nil, "", fmt.Errorf("read %q: input %q: examples: got %d, want %d as of the inputs before it, or 1 for all", path, in.Name, n, count)
		}
		count = max(count, n)
		s.parts = append(s.parts, p)
	}
	if n := max(len(l.class), len(l.target)); n > 0 && n != count {
		return nil, "", fmt.Errorf("read %q: y: count: got %d labels, want %d", path, n, count)
	}
	s.count = count
	var left []string
	for _, a := range arrays {
		if !used[a.name] && !strings.HasPrefix(a.name, outputPrefix) && a.name != "y" {
			left = append(left, a.name)
		}
	}
	if len(left) > 0 {
		note = fmt.Sprintf("arrays %q are no inputs of the model and are left out", left)
	}
	if len(s.parts) == 1 && s.parts[0].axis == 0 && s.parts[0].data.DType() == tensor.Float32 {
		p := s.parts[0]
		s, err = newSet(path, dense[float32]{tensor.Data[float32](p.data), product(p.shape)}, p.shape[1:], false, l, o)
	}
	return s, note, err
}

// arrayOf finds the array of an input.
func arrayOf(in Input, arrays []named) (named, error) {
	var names []string
	var found []named
	for _, a := range arrays {
		names = append(names, a.name)
		if a.name == in.Name || a.name == inputPrefix+in.Name {
			found = append(found, a)
		}
	}
	slices.Sort(names)
	switch len(found) {
	case 0:
		return named{}, fmt.Errorf("no such array: got %q, want %q of type %v", names, in.Name, in.Type)
	case 1:
		return found[0], nil
	}
	return named{}, fmt.Errorf("arrays: got %q and %q, want one of them", inputPrefix+in.Name, in.Name)
}

// newPart brings an array into the form [examples, input with one example...].
func newPart(in Input, axis int, t tensor.Tensor) (*part, error) {
	p := &part{Input: in, axis: axis}
	dims, rank := t.Shape(), in.Type.Rank()
	if !in.Type.Ranked() {
		rank, p.axis = len(dims), 0
	}
	var lead []int
	switch {
	case len(dims) == rank+1 && p.fits(dims[1:]) && (rank > 0 || dims[0] != 1):
		lead, p.shape = dims[:1], slices.Clone(dims[1:])
	case len(dims) == rank && p.axis == 0 && rank > 0 && p.fits(withOne(dims, 0)):
		lead, p.shape = dims[:1], withOne(dims, 0)
	case len(dims) == rank && p.axis > 0 && p.fits(withOne(dims, p.axis)):
		lead, p.shape = dims[p.axis:p.axis+1], withOne(dims, p.axis)
		t = axisFirst(t, p.axis)
	case len(dims) == rank && p.fits(dims):
		lead, p.shape = []int{1}, slices.Clone(dims)
	case rank == 0 && len(dims) == 1 && dims[0] == 1: // a scalar, wrapped
		lead, p.shape = []int{1}, []int{}
	default:
		return nil, fmt.Errorf("shape: got %v, want %s", dims, p.wants())
	}
	if product(p.shape)*lead[0] == 0 {
		return nil, fmt.Errorf("shape: got %v, want at least one example of one value", dims)
	}
	var err error
	if t, err = exactly(t, in.Type.DType); err != nil {
		return nil, err
	}
	if t, err = t.Reshape(append(slices.Clone(lead), p.shape...)...); err != nil {
		return nil, err
	}
	if t.DType() == tensor.Float32 {
		err = firstNonFinite(tensor.Data[float32](t), max(1, product(p.shape)))
	} else if t.DType().IsFloat() {
		err = firstNonFinite(t.Float64s(), max(1, product(p.shape)))
	}
	p.data = t
	return p, err
}

// fits reports whether the input takes one example of this shape.
func (p *part) fits(dims []int) bool {
	if !p.Type.Ranked() {
		return true
	}
	if len(dims) != p.Type.Rank() {
		return false
	}
	for i, d := range p.Type.Shape {
		if i == p.axis && dims[i] != 1 || i != p.axis && d.Known() && d.Size != dims[i] {
			return false
		}
	}
	return true
}

// wants says which shapes would do.
func (p *part) wants() string {
	var sizes []string
	for i, d := range p.Type.Shape {
		if i == p.axis {
			d = tensor.Symbol("examples")
		}
		sizes = append(sizes, d.String())
	}
	own := "[" + strings.Join(sizes, ",") + "]"
	if p.axis >= 0 {
		sizes[p.axis] = "1"
	}
	if p.axis == 0 {
		return own
	}
	return own + " or [" + strings.Join(append([]string{"examples"}, sizes...), ",") + "]"
}

func withOne(dims []int, axis int) []int {
	d := slices.Clone(dims)
	d[axis] = 1
	return d
}

// axisFirst moves an axis to the front.
func axisFirst(t tensor.Tensor, axis int) tensor.Tensor {
	dims := t.Shape()
	outer, n := product(dims[:axis]), dims[axis]
	size := len(t.Raw()) / max(1, outer*n)
	raw := make([]byte, 0, len(t.Raw()))
	for i := range n {
		for o := range outer {
			raw = append(raw, t.Raw()[(o*n+i)*size:][:size]...)
		}
	}
	shape := slices.Concat([]int{n}, dims[:axis], dims[axis+1:])
	moved, err := tensor.FromRaw(t.DType(), shape, raw)
	if err != nil {
		panic(err) // as many bytes as before
	}
	return moved
}

// exactly converts an array to the number type of an input: integers must stay
// what they are, floats may be rounded to a narrower type.
func exactly(t tensor.Tensor, want tensor.DType) (tensor.Tensor, error) {
	got := t.DType()
	whole := func(d tensor.DType) bool { return d.IsInteger() || d == tensor.Bool }
	switch {
	case got == want:
		return t, nil
	case want.Bits() < 8 || !want.IsFloat() && !whole(want):
		return t, fmt.Errorf("number type: got %v, and no data can be given for inputs of type %v", got, want)
	case whole(want) && !whole(got):
		return t, fmt.Errorf("number type: got %v, want %v", got, want)
	}
	c, err := t.Convert(want)
	if err != nil || !whole(got) || !whole(want) {
		return c, err
	}
	for i, n := 0, t.Len(); i < n; i++ {
		if c.At(i) != t.At(i) {
			return t, fmt.Errorf("value %d: got %v, which %v cannot hold", i+1, t.At(i), want)
		}
	}
	return c, nil
}

// Inputs lists the inputs of which the set has arrays of their own, nil if an
// example is one array, as [Set.Fill] writes it.
func (s *Set) Inputs() []string {
	var names []string
	for _, p := range s.parts {
		names = append(names, p.Name)
	}
	return names
}

// Stackable reports whether several examples make one batch: every input has an
// axis for them, or is the same for all.
func (s *Set) Stackable() bool {
	return !slices.ContainsFunc(s.parts, func(p *part) bool { return p.axis < 0 && !p.shared() })
}

// ShapeOf is the shape of a batch of the named input.
func (s *Set) ShapeOf(input string, size int) (shape []int, ok bool) {
	p := s.partOf(input)
	if p == nil {
		return nil, false
	}
	return p.batchShape(size), true
}

func (s *Set) partOf(input string) *part {
	i := slices.IndexFunc(s.parts, func(p *part) bool { return p.Name == input })
	if i < 0 {
		return nil
	}
	return s.parts[i]
}

func (p *part) batchShape(size int) []int {
	shape := slices.Clone(p.shape)
	if p.axis >= 0 {
		shape[p.axis] = size
	}
	return shape
}

// Stack is the examples [from, from+n) of a set of several inputs, as one tensor of
// the named input: a batch of size, zeros behind the n. Sets that are not
// [Set.Stackable] give one at a time.
func (s *Set) Stack(input string, from, n, size int) (tensor.Tensor, error) {
	p := s.partOf(input)
	switch {
	case p == nil:
		return tensor.Tensor{}, fmt.Errorf("data %q: no such array: got %q, want %q", s.name, s.Inputs(), input)
	case p.axis < 0 && n != 1 && !p.shared():
		return tensor.Tensor{}, fmt.Errorf("data %q: got %d examples at once, want 1: the input has no batch", s.name, n)
	}
	out := tensor.New(p.data.DType(), p.batchShape(size)...)
	each := len(p.data.Raw()) / p.data.Shape()[0]
	if p.axis < 0 {
		copy(out.Raw(), p.data.Raw()[p.row(s, from)*each:][:each])
		return out, nil
	}
	outer := product(p.shape[:p.axis])
	inner := each / outer
	for k := range n {
		src := p.data.Raw()[p.row(s, from+k)*each:][:each]
		for o := range outer {
			copy(out.Raw()[(o*size+k)*inner:], src[o*inner:][:inner])
		}
	}
	return out, nil
}

// row is where example i of the set is in the part.
func (p *part) row(s *Set, i int) int {
	if p.shared() {
		return 0
	}
	return s.row(i)
}
