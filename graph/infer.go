package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

// maxKnownDims bounds the length of integer vectors whose entries inference
// follows symbolically; shapes are short.
const maxKnownDims = 64

// Facts is what inference knows beside types: the data of constants, and the
// entries of integer vectors that hold sizes (as Shape → Gather → Concat →
// Reshape chains need). Values of enclosing graphs are known to subgraphs too.
type Facts struct {
	data map[*Value]tensor.Tensor
	dims map[*Value][]tensor.Dim
}

// NewFacts starts with the parameters' data.
func NewFacts(g *Graph) *Facts {
	f := &Facts{data: make(map[*Value]tensor.Tensor), dims: make(map[*Value][]tensor.Dim)}
	f.AddParams(g)
	return f
}

// AddParams makes the parameters of a (sub)graph known.
func (f *Facts) AddParams(g *Graph) {
	for _, p := range g.Params {
		f.SetData(p.Value, p.Data)
	}
}

// SetData records the constant data of a value, which says more than any sizes
// known of it.
func (f *Facts) SetData(v *Value, t tensor.Tensor) {
	f.data[v] = t
	delete(f.dims, v)
}

// Forget drops what is known of a value's data, as for a parameter in training.
func (f *Facts) Forget(v *Value) { delete(f.data, v) }

// Data returns a value's constant data.
func (f *Facts) Data(v *Value) (tensor.Tensor, bool) {
	t, ok := f.data[v]
	return t, ok
}

// Dims returns the entries of an integer vector (or scalar), known or symbolic.
func (f *Facts) Dims(v *Value) ([]tensor.Dim, bool) {
	if d, ok := f.dims[v]; ok {
		return d, true
	}
	t, ok := f.data[v]
	if !ok || t.Rank() > 1 || t.Len() > maxKnownDims || (t.DType() != tensor.Int64 && t.DType() != tensor.Int32) {
		return nil, false
	}
	ints, err := t.Int64s()
	if err != nil {
		return nil, false
	}
	dims := make([]tensor.Dim, len(ints))
	for i, n := range ints {
		dims[i] = tensor.Dim{Size: int(n)}
		if n < 0 {
			return nil, false // negative entries are data, not sizes; read them with Data
		}
	}
	return dims, true
}

// Inference is one node under inference: its inputs as known so far, and a
// place for the outputs.
type Inference struct {
	*Node
	Facts *Facts
}

// In is the type of input i; the zero Type if it is omitted.
func (c *Inference) In(i int) tensor.Type {
	if v := c.Input(i); v != nil {
		return v.Type
	}
	return tensor.Type{}
}

// HasIn reports whether input i is present.
func (c *Inference) HasIn(i int) bool { return c.Input(i) != nil }

// Const returns the constant data of input i.
func (c *Inference) Const(i int) (tensor.Tensor, bool) {
	v := c.Input(i)
	if v == nil {
		return tensor.Tensor{}, false
	}
	return c.Facts.Data(v)
}

// ConstInts returns input i as integers if its data is constant.
func (c *Inference) ConstInts(i int) ([]int, bool) {
	t, ok := c.Const(i)
	if !ok {
		return nil, false
	}
	list, err := t.Int64s()
	if err != nil {
		return nil, false
	}
	out := make([]int, len(list))
	for k, n := range list {
		out[k] = int(n)
	}
	return out, true
}

// Dims returns the entries of integer input i as sizes, known or symbolic.
func (c *Inference) Dims(i int) ([]tensor.Dim, bool) {
	if v := c.Input(i); v != nil {
		return c.Facts.Dims(v)
	}
	return nil, false
}

// Set gives output i its type, if the node has that output.
func (c *Inference) Set(i int, t tensor.Type) {
	if v := c.Output(i); v != nil {
		v.Type = refine(t, v.Type)
	}
}

// SetDims records the entries of an integer output.
func (c *Inference) SetDims(i int, dims []tensor.Dim) {
	if v := c.Output(i); v != nil && len(dims) <= maxKnownDims {
		c.Facts.dims[v] = dims
	}
}

// refine keeps from the declared type what inference left open.
func refine(inferred, declared tensor.Type) tensor.Type {
	if inferred.DType == tensor.Undefined {
		inferred.DType = declared.DType
	}
	if !inferred.Ranked() {
		inferred.Shape = declared.Shape
		return inferred
	}
	if len(inferred.Shape) != len(declared.Shape) {
		return inferred
	}
	shape := make([]tensor.Dim, len(inferred.Shape))
	for i, d := range inferred.Shape {
		shape[i] = d
		if !d.Known() && (declared.Shape[i].Known() || d.Name == "") {
			shape[i] = declared.Shape[i]
		}
	}
	inferred.Shape = shape
	return inferred
}

// Errorf builds an error about the node under inference.
func (c *Inference) Errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", c.Node, fmt.Errorf(format, args...))
}

// String names the node in errors: its operator and its name or, for want of
// one, the name of its first output.
func (n *Node) String() string {
	name := n.Name
	if name == "" && len(n.Out) > 0 && n.Out[0] != nil {
		name = n.Out[0].Name
	}
	return fmt.Sprintf("node %q (%s)", name, n.Kind())
}

// Infer sets the types of a node's outputs from its inputs, in the newest
// opset's meaning. Outputs of unknown operators keep the types they declare.
func (f *Facts) Infer(n *Node) (err error) {
	// Foreign files hold nodes that no test thought of: one that trips a rule up
	// is an error of that node, not the end of the program.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%s: internal error: %v", n, p)
		}
	}()
	r := n.Rule()
	if r == nil {
		return nil
	}
	if err := n.checkArity(r); err != nil {
		return err
	}
	c := &Inference{Node: n, Facts: f}
	if err := c.checkAttrs(); err != nil {
		return err
	}
	if err := c.checkSignature(); err != nil {
		return err
	}
	if err := r.Infer(c); err != nil {
		return err
	}
	return c.checkSizes()
}

// checkSizes checks that the outputs' elements can be counted.
func (c *Inference) checkSizes() error {
	for i, v := range c.Out {
		if v == nil {
			continue
		}
		if sizes, ok := v.Type.Static(); ok {
			if _, ok := tensor.Size(sizes); !ok {
				return c.Errorf("output %d: shape %v is too large", i, v.Type)
			}
		}
	}
	return nil
}

// checkArity checks the numbers of inputs and outputs, and that those which are
// required are there.
func (n *Node) checkArity(r *Rule) error {
	least, most := r.MinOut, r.MaxOut
	if least == 0 && most == 0 {
		least, most = 1, 1
	}
	if err := n.present("input", n.In, r.MinIn, r.MaxIn); err != nil {
		return err
	}
	return n.present("output", n.Out, least, most)
}

func (n *Node) present(what string, list []*Value, least, most int) error {
	if len(list) < least || most >= 0 && len(list) > most {
		want := fmt.Sprintf("%d to %d", least, most)
		switch {
		case most < 0:
			want = fmt.Sprintf("at least %d", least)
		case most == least:
			want = fmt.Sprint(least)
		}
		return fmt.Errorf("%s: %ss: got %d, want %s", n, what, len(list), want)
	}
	if most < 0 && n.Op != "Loop" {
		least = len(list) // of any number, none is optional
	}
	for i, v := range list[:least] {
		if v == nil {
			return fmt.Errorf("%s: %s %d: omitted, but required", n, what, i)
		}
	}
	return nil
}

// Infer sets the types of all values. The graph must be in the newest opset,
// see [Graph.Upgrade].
func (g *Graph) Infer() error {
	f := NewFacts(g)
	return f.InferGraph(g)
}

// InferGraph infers the nodes of a (sub)graph in order.
func (f *Facts) InferGraph(g *Graph) error {
	for _, n := range g.Nodes {
		if err := f.Infer(n); err != nil {
			return err
		}
	}
	return nil
}
