// Package graph is the model: ONNX operators, the values between them and the
// parameters they hold.
//
// A [Graph] is a list of nodes in topological order. A [Value] is a name and a
// type; it is produced by one node, or it is an input, or it is a [Param] with
// data. Nodes point at values, so a subgraph (the branches of If, the body of
// Loop) captures an outer value simply by pointing at it.
//
// What the program knows of an operator that is not a kernel stands in one row
// of one table, see [Rule]: the opsets in which its meaning changed, how types
// follow, its expression by other operators and its derivatives.
//
// A graph is always valid between two passes, and a pass makes a new graph
// ([Graph.Clone] shares every tensor): parameters are never changed in place.
package graph

import (
	"github.com/compactify/compactify/tensor"
)

// LatestOpset is the newest version of the default operator set this package
// knows; [Graph.Upgrade] brings any graph to it.
const LatestOpset = 26

// Domains of operators with rules: ONNX's own set is the empty string, the
// program's internal operators (gradients, fake quantisation) have a domain of
// their own and are lowered before a model is written.
const (
	DomainONNX     = ""
	DomainInternal = "compactify"
)

// Graph is a model or the body of a control-flow operator.
type Graph struct {
	Name    string
	Inputs  []*Value
	Outputs []*Value
	Nodes   []*Node  // in topological order
	Params  []*Param // initialisers
	Opset   map[string]int
	Meta    Meta
}

// Meta is what a model file says about itself beside the graph.
type Meta struct {
	IR              int // ONNX IR version the file had; 0 if it was not read from a file
	Producer        string
	ProducerVersion string
	Domain          string
	ModelVersion    int64
	Doc             string
	GraphDoc        string
	Props           []Prop // metadata_props, in file order
}

// Prop is a key with its value.
type Prop struct{ Key, Value string }

// Value is an edge of the graph: a name and what is known of the tensor.
type Value struct {
	Name string
	Type tensor.Type
	Doc  string
}

// Param is a value with data. Data is immutable: a rewrite makes a new Param,
// and only an optimiser writes into tensors that it cloned itself.
type Param struct {
	*Value
	Data   tensor.Tensor
	Sparse bool // stored as a sparse initialiser in the file
}

// Node is an operator applied to values. An omitted optional input or output is
// nil.
type Node struct {
	Name   string
	Domain string
	Op     string
	In     []*Value
	Out    []*Value
	Attrs  Attributes
	Doc    string
}

// Kind is the operator's full name, "Conv" or "domain.Op".
func (n *Node) Kind() string { return opKey(n.Domain, n.Op) }

func opKey(domain, op string) string {
	if domain == "" || domain == "ai.onnx" {
		return op
	}
	return domain + "." + op
}

// Input returns input i, nil if it is omitted or beyond the end.
func (n *Node) Input(i int) *Value {
	if i < len(n.In) {
		return n.In[i]
	}
	return nil
}

// Output returns output i, nil if it is omitted or beyond the end.
func (n *Node) Output(i int) *Value {
	if i < len(n.Out) {
		return n.Out[i]
	}
	return nil
}

// Param returns the parameter with the given value, nil if v is not one.
func (g *Graph) Param(v *Value) *Param {
	for _, p := range g.Params {
		if p.Value == v {
			return p
		}
	}
	return nil
}

// ParamsByValue indexes the parameters.
func (g *Graph) ParamsByValue() map[*Value]*Param {
	m := make(map[*Value]*Param, len(g.Params))
	for _, p := range g.Params {
		m[p.Value] = p
	}
	return m
}

// Producers maps every value to the node that makes it.
func (g *Graph) Producers() map[*Value]*Node {
	m := make(map[*Value]*Node, len(g.Nodes))
	for _, n := range g.Nodes {
		for _, v := range n.Out {
			if v != nil {
				m[v] = n
			}
		}
	}
	return m
}

// Consumers maps every value to the nodes that read it, once per node, the
// nodes whose subgraphs capture it included.
func (g *Graph) Consumers() map[*Value][]*Node {
	m := make(map[*Value][]*Node, len(g.Nodes))
	for _, n := range g.Nodes {
		for _, v := range n.Reads() {
			m[v] = append(m[v], n)
		}
	}
	return m
}

// Reads lists the values the node depends on, each once: its inputs and what
// its subgraphs capture from outside.
func (n *Node) Reads() []*Value {
	seen := make(map[*Value]bool, len(n.In))
	var list []*Value
	add := func(v *Value) {
		if v != nil && !seen[v] {
			seen[v] = true
			list = append(list, v)
		}
	}
	for _, v := range n.In {
		add(v)
	}
	for _, a := range n.Attrs {
		for _, sub := range a.Subgraphs() {
			for _, v := range sub.Captures() {
				add(v)
			}
		}
	}
	return list
}

// Captures lists the values a subgraph reads from the graphs around it.
func (g *Graph) Captures() []*Value {
	own := make(map[*Value]bool)
	for _, v := range g.Inputs {
		own[v] = true
	}
	for _, p := range g.Params {
		own[p.Value] = true
	}
	var list []*Value
	need := func(v *Value) {
		if v != nil && !own[v] {
			own[v] = true
			list = append(list, v)
		}
	}
	for _, n := range g.Nodes {
		for _, v := range n.Reads() {
			need(v)
		}
		for _, v := range n.Out {
			own[v] = true
		}
	}
	for _, v := range g.Outputs {
		need(v)
	}
	return list
}

// Input returns the graph input with the given name, nil if there is none.
func (g *Graph) Input(name string) *Value { return byName(g.Inputs, name) }

// Output returns the graph output with the given name, nil if there is none.
func (g *Graph) Output(name string) *Value { return byName(g.Outputs, name) }

func byName(list []*Value, name string) *Value {
	for _, v := range list {
		if v.Name == name {
			return v
		}
	}
	return nil
}

// NumParams counts the scalars of the model: floating-point parameters and the
// integers that a DequantizeLinear reads, without scales and zero points.
func (g *Graph) NumParams() int {
	n := 0
	for _, e := range g.Ledger(0).Tensors {
		if e.Role == RoleWeight {
			size, _ := tensor.Size(e.Shape)
			n += size
		}
	}
	return n
}

// Clone copies the structure and shares every tensor. The map leads from each
// value of g to its copy.
func (g *Graph) Clone() (*Graph, map[*Value]*Value) {
	m := make(map[*Value]*Value)
	return g.cloneInto(m), m
}

func (g *Graph) cloneInto(m map[*Value]*Value) *Graph {
	own := func(v *Value) *Value {
		if v == nil {
			return nil
		}
		c, ok := m[v]
		if !ok {
			c = &Value{Name: v.Name, Type: v.Type, Doc: v.Doc}
			m[v] = c
		}
		return c
	}
	c := &Graph{Name: g.Name, Meta: g.Meta, Opset: make(map[string]int, len(g.Opset))}
	for d, v := range g.Opset {
		c.Opset[d] = v
	}
	for _, v := range g.Inputs {
		c.Inputs = append(c.Inputs, own(v))
	}
	for _, p := range g.Params {
		c.Params = append(c.Params, &Param{Value: own(p.Value), Data: p.Data, Sparse: p.Sparse})
	}
	for _, n := range g.Nodes {
		c.Nodes = append(c.Nodes, n.cloneWith(own, m))
	}
	for _, v := range g.Outputs {
		c.Outputs = append(c.Outputs, own(v))
	}
	return c
}

// cloneWith copies a node. Values made by the node become copies; values that a
// subgraph captures map to their copies where they have one.
func (n *Node) cloneWith(own func(*Value) *Value, m map[*Value]*Value) *Node {
	c := &Node{Name: n.Name, Domain: n.Domain, Op: n.Op, Doc: n.Doc}
	for _, v := range n.In {
		c.In = append(c.In, own(v))
	}
	c.Attrs = make(Attributes, len(n.Attrs))
	for i, a := range n.Attrs {
		c.Attrs[i] = a.clone(m)
	}
	for _, v := range n.Out {
		c.Out = append(c.Out, own(v))
	}
	return c
}
