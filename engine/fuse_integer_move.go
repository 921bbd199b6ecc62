package engine

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// movesElements are operators that commute with rounding every element in the same
// way: they choose, reorder or repeat elements. Max-pooling is one of them, for
// rounding keeps the order.
var movesElements = setOf("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "MaxPool", "Pad", "Expand", "Concat")

// quantizeEarly moves QuantizeLinear before operators that only move elements,
// which then move bytes, and next to the operator that computes them:
//
//	Q(move(x)) = move(Q(x)),   Q(DQ(q)) = q on the same grid
//
// One pass in the order of the graph finds all: no operator is passed twice, and
// a move never lets an earlier QuantizeLinear move that could not before.
func (c *compiler) quantizeEarly() {
	e := &earlyRounding{c: c, producer: c.g.Producers(), read: c.g.Consumers(), output: make(map[*graph.Value]bool),
		origin: c.origins(), ahead: make(map[*graph.Node][]*graph.Node), gone: make(map[*graph.Node]bool)}
	for _, v := range c.g.Outputs {
		e.output[v] = true
	}
	for _, n := range c.g.Nodes {
		if g, ok := c.rounding(n); ok && isStatic(n) {
			e.moveFar(n, g)
		}
	}
	if len(e.gone) > 0 {
		c.g.Nodes = e.order()
	}
}

// earlyRounding is the work of quantizeEarly in progress.
type earlyRounding struct {
	c        *compiler
	producer map[*graph.Value]*graph.Node
	read     map[*graph.Value][]*graph.Node // a node that has moved may stand for the one it passed
	output   map[*graph.Value]bool
	origin   map[*graph.Value]origin
	ahead    map[*graph.Node][]*graph.Node // new nodes, to be placed before a node
	gone     map[*graph.Node]bool
}

// order is the nodes of the graph as it becomes.
func (e *earlyRounding) order() []*graph.Node {
	var nodes []*graph.Node
	keep := func(n *graph.Node) {
		if !e.gone[n] {
			nodes = append(nodes, n)
		}
	}
	for _, n := range e.c.g.Nodes {
		for _, q := range e.ahead[n] {
			keep(q)
		}
		keep(n)
	}
	return nodes
}

// moveFar moves one QuantizeLinear to the grid g as far as it can, and with it
// those that it becomes before an operator with several inputs.
func (e *earlyRounding) moveFar(n *graph.Node, g grid) {
	for todo := []*graph.Node{n}; len(todo) > 0; {
		n, todo = todo[0], todo[1:]
		if !e.cancel(n, g) {
			todo = append(todo, e.move(n, g)...)
		}
	}
}

// cancel drops a QuantizeLinear of what was dequantised from the same grid.
func (e *earlyRounding) cancel(n *graph.Node, g grid) bool {
	out, before := n.Out[0], e.producer[n.In[0]]
	if before == nil || before.Kind() != "DequantizeLinear" || !isStatic(before) || e.output[out] || before.In[0].Type.DType != out.Type.DType {
		return false
	}
	q := before.In[0]
	if h, ok := e.c.gridOf(before, q.Type.DType); !ok || h != g {
		return false
	}
	for _, reader := range e.read[out] {
		replaceRead(reader, out, q)
	}
	e.read[q] = append(e.read[q], e.read[out]...)
	e.gone[n] = true
	return true
}

// replaceRead makes a node and its subgraphs read another value.
func replaceRead(n *graph.Node, old, new *graph.Value) {
	for i, v := range n.In {
		if v == old {
			n.In[i] = new
		}
	}
	for _, a := range n.Attrs {
		for _, sub := range a.Subgraphs() {
			sub.Replace(old, new)
		}
	}
}

// move moves a QuantizeLinear before the operator that makes its input, if it can,
// and returns what it becomes there: one node for each different input.
func (e *earlyRounding) move(n *graph.Node, g grid) []*graph.Node {
	v, out := n.In[0], n.Out[0]
	before := e.producer[v]
	if before == nil || !movesElements[before.Kind()] || !isStatic(before) || e.output[out] || e.output[v] || len(e.read[v]) != 1 ||
		before.Output(1) != nil || !e.origin[v].suits(g) || before.Kind() == "Pad" && !e.c.padsWithZero(before, n) {
		return nil
	}
	var become []*graph.Node
	moved := make(map[*graph.Value]*graph.Value)
	in := movedInputs(before)
	for i, x := range in {
		if moved[x] == nil {
			q := &graph.Value{Name: x.Name + ".rounded", Type: x.Type.With(out.Type.DType)}
			moved[x] = q
			become = append(become, &graph.Node{Name: q.Name, Op: "QuantizeLinear", Attrs: n.Attrs, In: append([]*graph.Value{x}, n.In[1:]...), Out: []*graph.Value{q}})
			e.read[q] = []*graph.Node{before}
		}
		in[i] = moved[x]
	}
	before.Out = []*graph.Value{out}
	e.producer[out] = before
	e.ahead[before] = append(e.ahead[before], become...)
	e.gone[n] = true
	return become
}

// movedInputs are the inputs whose elements an operator of movesElements moves.
func movedInputs(n *graph.Node) []*graph.Value {
	if n.Kind() == "Concat" {
		return n.In
	}
	return n.In[:1]
}

// origin tells of a value what its elements come from, past operators that move
// them: layers, or a tensor of bytes on a grid. The zero value is anything else.
type origin struct {
	known   bool
	onGrid  bool
	quantum grid
}

// suits reports whether rounding to g at the origin lets something compute with
// integers.
func (o origin) suits(g grid) bool { return o.known && (!o.onGrid || o.quantum == g) }

// and is the origin of elements of which some come from o and some from p.
func (o origin) and(p origin) origin {
	switch {
	case !o.known || !p.known || o.onGrid && p.onGrid && o.quantum != p.quantum:
		return origin{}
	case o.onGrid:
		return o
	}
	return p
}

// origins finds the origin of every value that a node makes.
func (c *compiler) origins() map[*graph.Value]origin {
	of := make(map[*graph.Value]origin)
	for _, n := range c.g.Nodes {
		var o origin
		switch k := n.Kind(); {
		case k == "Conv" || k == "Gemm" || k == "MatMul" || k == "Add" || k == "Relu" || k == "Clip":
			o.known = true
		case k == "DequantizeLinear":
			o.onGrid = true
			o.quantum, o.known = c.gridOf(n, n.In[0].Type.DType)
		case movesElements[k]:
			o.known = true
			for _, v := range movedInputs(n) {
				o = o.and(of[v])
			}
		}
		if o.known {
			of[n.Out[0]] = o
		}
	}
	return of
}

// padsWithZero lets a Pad with zeros pad with the zero point instead, which is what
// the zeros are rounded to.
func (c *compiler) padsWithZero(pad, q *graph.Node) bool {
	if pad.Attrs.Text("mode", "constant") != "constant" {
		return true
	}
	if pad.Input(2) != nil {
		if v, ok := c.single(pad.In[2]); !ok || v != 0 {
			return false
		}
	}
	zero := tensor.New(q.Out[0].Type.DType)
	if q.Input(2) != nil {
		v, ok := c.single(q.In[2])
		if !ok {
			return false
		}
		zero.Set(0, v)
	}
	with := &graph.Value{Name: pad.Name + ".zero", Type: zero.Type()}
	c.facts.SetData(with, zero)
	for len(pad.In) < 3 {
		pad.In = append(pad.In, nil)
	}
	pad.In[2] = with
	return true
}

// addResiduals lets a convolution or product add another tensor as it stores its
// output, where that sum alone reads it.
func (c *compiler) addResiduals() {
	read, producer := c.readers(), c.g.Producers()
	var gone []*graph.Node
	for i, n := range c.g.Nodes {
		if n.Kind() != graph.DomainInternal+"."+int8Add {
			continue
		}
		sum := sumOf(n.Attrs)
		zeros := []int{n.Attrs.Int("zero", 0), int(sum.ZeroB)}
		for k, a := range n.In {
			from := producer[a]
			if from == nil || n.In[0] == n.In[1] || from.Kind() != graph.DomainInternal+"."+int8Conv && from.Kind() != graph.DomainInternal+"."+int8MatMul ||
				len(from.In) > 1 || !read.only(a, n) || from.Attrs.Int("result", 0) != zeros[k] {
				continue
			}
			if k == 1 {
				sum.ScaleA, sum.ScaleB, sum.ZeroB = sum.ScaleB, sum.ScaleA, uint8(zeros[0])
			}
			// The sum takes its place in the order: there the other is known.
			c.g.Nodes[i] = &graph.Node{Name: from.Name, Domain: from.Domain, Op: from.Op, Attrs: from.Attrs.With(sumAttribute(&sum)),
				In: []*graph.Value{from.In[0], n.In[1-k]}, Out: n.Out}
			producer[n.Out[0]] = c.g.Nodes[i]
			gone = append(gone, from)
			break
		}
	}
	c.g.Remove(gone...)
}
