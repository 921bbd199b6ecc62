package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

// Builder appends nodes to a graph and infers their types at once. The first
// error stays ([Builder.Err]); after it every call returns a value of unknown
// type, so rules can be written without checking each step.
type Builder struct {
	g      *Graph
	facts  *Facts
	used   map[string]bool
	next   int
	stem   string
	wanted map[*Value]bool // restricts the cotangents VJP rules build; nil: all
	err    error
}

// NewBuilder appends to g. New values are named after the stem.
func NewBuilder(g *Graph, stem string) *Builder {
	b := &Builder{g: g, facts: NewFacts(g), stem: stem, used: make(map[string]bool)}
	g.eachValue(func(v *Value) { b.used[v.Name] = true })
	return b
}

// Graph is the graph under construction.
func (b *Builder) Graph() *Graph { return b.g }

// Facts is what the builder knows of the graph's constants.
func (b *Builder) Facts() *Facts { return b.facts }

// Err is the first error.
func (b *Builder) Err() error { return b.err }

// Fail records an error if it is the first; nil is none.
func (b *Builder) Fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Fresh returns an unused value name that starts with the stem.
func (b *Builder) Fresh() string {
	for {
		name := fmt.Sprintf("%s%d", b.stem, b.next)
		b.next++
		if !b.used[name] {
			b.used[name] = true
			return name
		}
	}
}

// Value makes a value of the given type that nothing produces yet.
func (b *Builder) Value(t tensor.Type) *Value { return &Value{Name: b.Fresh(), Type: t} }

// Input adds a graph input. A name already taken gets a number.
func (b *Builder) Input(name string, t tensor.Type) *Value {
	v := &Value{Name: b.unique(name), Type: t}
	b.g.Inputs = append(b.g.Inputs, v)
	return v
}

func (b *Builder) unique(name string) string {
	if name == "" || b.used[name] {
		return b.Fresh()
	}
	b.used[name] = true
	return name
}

// Param adds a parameter. A name already taken gets a number.
func (b *Builder) Param(name string, t tensor.Tensor) *Value {
	v := &Value{Name: b.unique(name), Type: t.Type()}
	b.g.Params = append(b.g.Params, &Param{Value: v, Data: t})
	b.facts.SetData(v, t)
	return v
}

// Const adds a constant without a name of its own.
func (b *Builder) Const(t tensor.Tensor) *Value { return b.Param("", t) }

// ConstLike adds a scalar constant of v's number type.
func (b *Builder) ConstLike(v *Value, x float64) *Value {
	d := v.Type.DType
	if d == tensor.Undefined {
		d = tensor.Float32
	}
	t := tensor.New(d)
	t.Set(0, x)
	return b.Const(t)
}

// Op appends a node of ONNX's own operator set with one output.
func (b *Builder) Op(op string, in ...*Value) *Value {
	return b.Multi(op, nil, 1, in...)[0]
}

// With appends a node with attributes and one output.
func (b *Builder) With(op string, attrs Attributes, in ...*Value) *Value {
	return b.Multi(op, attrs, 1, in...)[0]
}

// Multi appends a node with several outputs. An operator of the program's own
// is written with its domain, "compactify.ConvGradW".
func (b *Builder) Multi(op string, attrs Attributes, outputs int, in ...*Value) []*Value {
	domain, name := splitKey(op)
	n := &Node{Domain: domain, Op: name, In: in, Attrs: attrs}
	for range outputs {
		n.Out = append(n.Out, b.Value(tensor.Type{}))
	}
	b.Append(n)
	return n.Out
}

// Append adds a finished node, gives it a name if it has none, and infers its
// outputs.
func (b *Builder) Append(n *Node) {
	b.g.Nodes = append(b.g.Nodes, n)
	if b.err == nil {
		b.Fail(b.facts.Infer(n))
	}
}

func splitKey(op string) (domain, name string) {
	for i := len(op) - 1; i >= 0; i-- {
		if op[i] == '.' {
			return op[:i], op[i+1:]
		}
	}
	return DomainONNX, op
}
