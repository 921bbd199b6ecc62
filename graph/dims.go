package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// class is a set of number types that an operator accepts.
type class uint8

const (
	anyType  class = iota
	floats         // real floating point
	integers       // signed or unsigned
	signeds        // floats and signed integers
	numbers        // floats and integers
	booleans       // bool
	indices        // int32 and int64
	onlyInt64
	onlyInt32
	onlyFloat32
	texts
)

var classNames = [...]string{"any number type", "a floating-point type", "an integer type",
	"a signed number type", "a real number type", "bool", "int32 or int64", "int64", "int32", "float32", "string"}

// classWords are the classes as signatures write them.
var classWords = [...]string{"any", "float", "integer", "signed", "number", "bool", "index", "int64", "int32", "float32", "string"}

// has reports membership; an unknown type passes.
func (k class) has(d tensor.DType) bool {
	if d == tensor.Undefined {
		return true
	}
	switch k {
	case floats:
		return d.IsFloat()
	case integers:
		return d.IsInteger()
	case signeds:
		return d.IsFloat() || d.IsSigned()
	case numbers:
		return d.IsFloat() || d.IsInteger()
	case booleans:
		return d == tensor.Bool
	case indices:
		return d == tensor.Int32 || d == tensor.Int64
	case onlyInt64:
		return d == tensor.Int64
	case onlyInt32:
		return d == tensor.Int32
	case onlyFloat32:
		return d == tensor.Float32
	case texts:
		return d == tensor.String
	}
	return true
}

// want checks that input i, where present, has a number type of class k.
func (c *Inference) want(k class, inputs ...int) error {
	for _, i := range inputs {
		if d := c.In(i).DType; !k.has(d) {
			return c.Errorf("input %d: number type: got %v, want %s", i, d, classNames[k])
		}
	}
	return nil
}

// same checks that the named inputs share one number type and returns it.
func (c *Inference) same(inputs ...int) (tensor.DType, error) {
	first, at := tensor.Undefined, 0
	for _, i := range inputs {
		d := c.In(i).DType
		switch {
		case d == tensor.Undefined:
		case first == tensor.Undefined:
			first, at = d, i
		case d != first:
			return first, c.Errorf("input %d: number type: got %v, want %v as input %d", i, d, first, at)
		}
	}
	return first, nil
}

// rank checks the number of axes of input i, where it is known.
func (c *Inference) rank(i, want int) error {
	if t := c.In(i); t.Ranked() && t.Rank() != want {
		return c.Errorf("input %d: got %v, want rank %d", i, t, want)
	}
	return nil
}

// rankAtLeast checks the least number of axes of input i, where it is known.
func (c *Inference) rankAtLeast(i, want int) error {
	if t := c.In(i); t.Ranked() && t.Rank() < want {
		return c.Errorf("input %d: got %v, want rank %d or more", i, t, want)
	}
	return nil
}

// normAxis maps an axis counted from the end to one counted from the front.
func normAxis(axis, rank int) (int, error) {
	if axis < -rank || axis >= rank {
		return 0, fmt.Errorf("axis: got %d, want %d to %d", axis, -rank, rank-1)
	}
	if axis < 0 {
		axis += rank
	}
	return axis, nil
}

// axis reads an axis attribute and normalises it for the given rank.
func (c *Inference) axis(name string, def, rank int) (int, error) {
	a, err := normAxis(c.Attrs.Int(name, def), rank)
	if err != nil {
		return 0, c.Errorf("attribute %s: %w", name, err)
	}
	return a, nil
}

// normAxes normalises a list of axes and rejects repetitions.
func normAxes(axes []int, rank int) ([]int, error) {
	out := make([]int, len(axes))
	for i, a := range axes {
		a, err := normAxis(a, rank)
		if err != nil {
			return nil, err
		}
		if slices.Contains(out[:i], a) {
			return nil, fmt.Errorf("axes %v: axis %d named twice", axes, a)
		}
		out[i] = a
	}
	return out, nil
}

// ints returns input i as integers if they are all known, be it as constant
// data or as sizes that inference followed.
func (c *Inference) ints(i int) ([]int, bool) {
	if list, ok := c.ConstInts(i); ok {
		return list, true
	}
	dims, ok := c.Dims(i)
	if !ok {
		return nil, false
	}
	list := make([]int, len(dims))
	for k, d := range dims {
		if !d.Known() {
			return nil, false
		}
		list[k] = d.Size
	}
	return list, true
}

// sizes returns the entries of integer input i as sizes; a constant that is
// negative, such as Reshape's -1, counts as unknown.
func (c *Inference) sizes(i int) ([]tensor.Dim, bool) {
	if dims, ok := c.Dims(i); ok {
		return dims, true
	}
	list, ok := c.ConstInts(i)
	if !ok || c.In(i).Rank() > 1 || len(list) > maxKnownDims {
		return nil, false
	}
	dims := make([]tensor.Dim, len(list))
	for k, n := range list {
		dims[k] = dimOf(n)
	}
	return dims, true
}

// dimOf is a known size, or an unknown one if n is negative.
func dimOf(n int) tensor.Dim {
	if n < 0 {
		return tensor.Unknown()
	}
	return tensor.Fixed(n)
}

// unknownDims is n axes of which nothing is known.
func unknownDims(n int) []tensor.Dim {
	dims := make([]tensor.Dim, n)
	for i := range dims {
		dims[i] = tensor.Unknown()
	}
	return dims
}

// vectorLen is the length of input i if it is a vector of known length, -1 if
// not.
func (c *Inference) vectorLen(i int) int {
	if t := c.In(i); t.Rank() == 1 && t.Shape[0].Known() {
		return t.Shape[0].Size
	}
	return -1
}

// mergeDims is the size two axes share that must be equal. It reports false
// for two different known sizes.
func mergeDims(a, b tensor.Dim) (tensor.Dim, bool) {
	switch {
	case a.Known() && b.Known():
		return a, a.Size == b.Size
	case a.Known():
		return a, true
	case b.Known(), a.Name == "":
		return b, true
	}
	return a, true
}

// dimProduct is the product of axes: a known factor and the symbols beside it.
type dimProduct struct {
	known   int
	symbols []string
	open    bool // an axis without a symbol is among the factors
}

func productOf(dims []tensor.Dim) dimProduct {
	p := dimProduct{known: 1}
	for _, d := range dims {
		switch {
		case d.Known():
			p.known = saturatingMul(p.known, d.Size)
		case d.Name != "":
			p.symbols = append(p.symbols, d.Name)
		default:
			p.open = true
		}
	}
	return p
}

// dim is the product as one axis.
func (p dimProduct) dim() tensor.Dim {
	switch {
	case p.known == 0:
		return tensor.Fixed(0)
	case p.open:
		return tensor.Unknown()
	case len(p.symbols) == 0:
		return tensor.Fixed(p.known)
	case len(p.symbols) == 1 && p.known == 1:
		return tensor.Symbol(p.symbols[0])
	}
	return tensor.Unknown()
}

// over divides by another product; unknown unless the division is certain. It
// reports false if both are known and the remainder is not zero.
func (p dimProduct) over(q dimProduct) (tensor.Dim, bool) {
	if p.open || q.open || q.known == 0 {
		return tensor.Unknown(), true
	}
	rest := slices.Clone(p.symbols)
	for _, s := range q.symbols {
		i := slices.Index(rest, s)
		if i < 0 {
			return tensor.Unknown(), true
		}
		rest = slices.Delete(rest, i, i+1)
	}
	if p.known%q.known != 0 {
		return tensor.Unknown(), len(rest) > 0
	}
	return dimProduct{known: p.known / q.known, symbols: rest}.dim(), true
}
