package graph

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// Batching turns a computation on one example into one on many at once. Values
// that differ from example to example get an axis in front; the others are
// shared. Operators say in their Batch rule how; those without one are lowered,
// or else run example by example in a Scan, which is right for every operator
// whose outputs have the same shape for all examples.
//
// Source: the vmap of JAX: R. Frostig, M. Johnson and C. Leary, "Compiling machine
// learning programs via high-level tracing", MLSys 2018; J. Bradbury et al., JAX,
// 2018.
type Batching struct {
	*Builder
	count *Value     // the number of examples [1], int64
	size  tensor.Dim // the same
	of    map[*Value]*Value
	flat  map[*Value]*Value // of indices into flat tensors: those into the tensor of all examples
}

// batchFunc appends what computes a node for all examples. It reports whether it
// has done so; if not, it must not have appended anything.
type batchFunc = func(*Batching, *Node) bool

// Batch rewrites the graph under construction for size examples: values of the
// graph that are keys of inputs have the examples along the leading axis of the
// value they map to. Every output gets such an axis.
func (b *Builder) Batch(size tensor.Dim, inputs map[*Value]*Value) {
	v := &Batching{Builder: b, size: size, of: make(map[*Value]*Value), flat: make(map[*Value]*Value)}
	nodes := b.g.Nodes
	b.g.Nodes = nil
	byName := func(x, y *Value) int { return cmp.Compare(x.Name, y.Name) } // equal calls make equal graphs
	for _, was := range slices.SortedFunc(maps.Keys(inputs), byName) {
		is := inputs[was]
		v.of[was] = is
		if v.count == nil {
			v.count = b.Value(tensor.Type{})
			b.Append(&Node{Op: "Shape", Attrs: Attributes{Int("start", 0), Int("end", 1)}, In: []*Value{is}, Out: []*Value{v.count}})
		}
	}
	v.nodes(nodes, 0)
	for i, o := range b.g.Outputs {
		b.g.Outputs[i] = v.full(o)
	}
}

// nodes batches nodes in order.
func (b *Batching) nodes(list []*Node, depth int) {
	for _, n := range list {
		if b.err != nil {
			return
		}
		if !b.reads(n) {
			b.Append(n)
			continue
		}
		b.node(n, depth)
	}
}

// reads reports whether the node's operands differ from example to example.
func (b *Batching) reads(n *Node) bool {
	for _, v := range n.Reads() {
		if b.of[v] != nil {
			return true
		}
	}
	return false
}

// maxBatchLowering bounds how deep an operator may expand.
const maxBatchLowering = 8

func (b *Batching) node(n *Node, depth int) {
	r := n.Rule()
	if r != nil && r.Batch != nil && r.Batch(b, n) {
		return
	}
	if r == nil || r.Lower == nil || depth == maxBatchLowering {
		b.each(n)
		return
	}
	before := b.g.Nodes
	b.g.Nodes = nil
	outs := r.Lower(b.Builder, n)
	made := b.g.Nodes
	b.g.Nodes = before
	b.nodes(made, depth+1)
	for i, v := range n.Out {
		if v == nil || outs[i] == nil {
			continue
		}
		if b.of[outs[i]] != nil {
			b.of[v] = b.of[outs[i]]
		} else {
			b.Append(&Node{Op: "Identity", In: []*Value{outs[i]}, Out: []*Value{v}})
		}
	}
}

// each runs a node example by example.
func (b *Batching) each(n *Node) {
	body := &Graph{Name: n.Name}
	inside := make(map[*Value]*Value)
	var in []*Value
	for _, v := range n.operands() {
		if v == nil || inside[v] != nil {
			continue
		}
		inside[v] = v
		if all := b.of[v]; all != nil {
			inside[v] = b.Value(v.Type)
			body.Inputs, in = append(body.Inputs, inside[v]), append(in, all)
		}
	}
	// Captured values that differ are inputs of the body; what else the node's
	// subgraphs hold is copied.
	own := func(v *Value) *Value {
		if v != nil && inside[v] == nil {
			inside[v] = b.Value(v.Type)
		}
		return inside[v]
	}
	c := b.inner(body)
	one := n.cloneWith(own, inside)
	c.Append(one)
	var out []*Value
	for i, v := range one.Out {
		if v != nil {
			body.Outputs, out = append(body.Outputs, v), append(out, n.Out[i])
		}
	}
	b.Fail(c.err)
	attrs := Attributes{Subgraph("body", body), Int("num_scan_inputs", len(in))}
	for i, v := range b.Multi("Scan", attrs, len(out), in...) {
		b.of[out[i]] = v
	}
}

// get is a value with the axis of examples, or the shared value.
func (b *Batching) get(v *Value) *Value {
	if all := b.of[v]; all != nil {
		return all
	}
	return v
}

// differs reports whether a value differs from example to example.
func (b *Batching) differs(v *Value) bool { return v != nil && b.of[v] != nil }

// full is a value with the axis of examples; what they share is repeated.
func (b *Batching) full(v *Value) *Value {
	if all := b.of[v]; all != nil {
		return all
	}
	return b.Op("Expand", b.unsqueeze(v, 0), b.concat(b.count, b.Op("Shape", v)))
}

// concat joins vectors.
func (b *Builder) concat(parts ...*Value) *Value {
	return b.With("Concat", Attributes{Int("axis", 0)}, parts...)
}

// aligned is a value that broadcasts against others of the given rank with
// examples in front.
func (b *Batching) aligned(v *Value, rank int) *Value {
	all := b.of[v]
	if all == nil || v.Type.Rank() >= rank {
		return b.get(v)
	}
	return b.Op("Unsqueeze", all, b.Const(tensor.Ints(axisRange(1, 1+rank-v.Type.Rank())...)))
}

// again appends the node's operator on other inputs and records its outputs as
// those of all examples.
func (b *Batching) again(n *Node, attrs Attributes, in ...*Value) {
	c := &Node{Name: n.Name, Domain: n.Domain, Op: n.Op, In: in, Attrs: attrs}
	for _, v := range n.Out {
		if v == nil {
			c.Out = append(c.Out, nil)
			continue
		}
		c.Out = append(c.Out, b.Value(tensor.Type{}))
		b.of[v] = c.Out[len(c.Out)-1]
	}
	b.Append(c)
}

// behind is an axis once the examples have theirs in front.
func behind(axis int) int {
	if axis >= 0 {
		axis++
	}
	return axis
}

func behindAll(axes []int) []int {
	list := make([]int, len(axes))
	for i, a := range axes {
		list[i] = behind(a)
	}
	return list
}

// constInts is an operand that must be constant.
func (b *Batching) constInts(n *Node, i int) ([]int, bool) {
	return (&Inference{Node: n, Facts: b.facts}).ConstInts(i)
}

// ranked reports whether the ranks of all operands and results are known.
func ranked(n *Node) bool {
	for _, list := range [][]*Value{n.In, n.Out} {
		for _, v := range list {
			if v != nil && !v.Type.Ranked() {
				return false
			}
		}
	}
	return true
}

// onlyDiffers reports whether no input but those listed differs.
func (b *Batching) onlyDiffers(n *Node, allowed ...int) bool {
next:
	for i, v := range n.In {
		for _, k := range allowed {
			if i == k {
				continue next
			}
		}
		if b.differs(v) {
			return false
		}
	}
	return true
}

// fold joins the examples with the axis behind them; unfold parts them again.
func (b *Batching) fold(all *Value) *Value {
	return b.Op("Reshape", all, b.concat(b.Const(tensor.Ints(-1)), b.With("Shape", Attributes{Int("start", 2)}, all)))
}

func (b *Batching) unfold(v *Value) *Value {
	return b.Op("Reshape", v, b.concat(b.count, b.Const(tensor.Ints(-1)), b.With("Shape", Attributes{Int("start", 1)}, v)))
}

// folded runs the node's operator on folded inputs.
func (b *Batching) folded(n *Node, attrs Attributes, in ...*Value) {
	b.again(n, attrs, in...)
	for _, v := range n.Out {
		if v != nil {
			b.of[v] = b.unfold(b.of[v])
		}
	}
}

// Batched is the type of a value for many examples.
func Batched(t tensor.Type, size tensor.Dim) (tensor.Type, error) {
	if !t.Ranked() {
		return t, fmt.Errorf("got %v, want a known rank", t)
	}
	t.Shape = append([]tensor.Dim{size}, t.Shape...)
	return t, nil
}
