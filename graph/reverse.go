package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

// Pullback appends reverse accumulation to the graph under construction: given
// the cotangents of some values it builds those of wrt, in order, nil where none
// flows. It differentiates the nodes that are there when it is called; what it
// appends can be differentiated by another call.
//
// Active operators without a VJP are replaced by their lowering; the error names
// the first that has none.
//
// Source: A. Griewank and A. Walther, "Evaluating derivatives", 2nd ed., SIAM
// 2008, section 3.2.
func (b *Builder) Pullback(of, cotangents, wrt []*Value) []*Value {
	r := &reverse{b: b, of: of, wrt: wrt, cotangent: make(map[*Value]*Value)}
	before := b.wanted
	defer func() { b.wanted = before }()
	if err := r.lower(); err != nil {
		b.Fail(err)
		return make([]*Value, len(wrt))
	}
	b.wanted = r.wanted
	for i, v := range of {
		if cotangents[i] != nil {
			r.accumulate(v, cotangents[i])
		}
	}
	forward := b.g.Nodes
	for i := len(forward) - 1; i >= 0 && b.err == nil; i-- {
		r.back(forward[i])
	}
	out := make([]*Value, len(wrt))
	for i, v := range wrt {
		out[i] = r.cotangent[v]
	}
	return out
}

// reverse is one reverse accumulation.
type reverse struct {
	b         *Builder
	of, wrt   []*Value
	wanted    map[*Value]bool // values on the way from wrt to of
	cotangent map[*Value]*Value
}

// lower expands the active operators that have no rule of their own.
func (r *reverse) lower() error {
	b := r.b
	for {
		r.findWanted()
		again := false
		nodes := b.g.Nodes
		b.g.Nodes = nil
		for i, n := range nodes {
			rule := n.Rule()
			if !r.isActive(n) || (rule != nil && rule.VJP != nil) {
				b.g.Nodes = append(b.g.Nodes, n)
				continue
			}
			if rule == nil || rule.Lower == nil {
				b.g.Nodes = append(b.g.Nodes, nodes[i:]...)
				return fmt.Errorf("%s: operator %s has no derivative", n, n.Kind())
			}
			again = true
			for i, v := range rule.Lower(b, n) {
				if v != nil && i < len(n.Out) && n.Out[i] != nil {
					b.Append(&Node{Op: "Identity", In: []*Value{v}, Out: []*Value{n.Out[i]}})
				}
			}
		}
		if b.err != nil || !again {
			return b.err
		}
	}
}

// findWanted marks the values that depend on wrt and on which the differentiated
// ones depend, also through what the subgraph of a node captures.
func (r *reverse) findWanted() {
	forward := make(map[*Value]bool)
	for _, v := range r.wrt {
		forward[v] = true
	}
	for _, n := range r.b.g.Nodes {
		for _, v := range n.Reads() {
			if !forward[v] {
				continue
			}
			for _, o := range n.Out {
				if o != nil && o.continuous() {
					forward[o] = true
				}
			}
			break
		}
	}
	r.wanted = make(map[*Value]bool)
	needed := make(map[*Value]bool)
	for _, v := range r.of {
		needed[v] = true
	}
	for i := len(r.b.g.Nodes) - 1; i >= 0; i-- {
		n := r.b.g.Nodes[i]
		for _, o := range n.Out {
			if o != nil && needed[o] {
				for _, v := range n.Reads() {
					needed[v] = true
				}
				break
			}
		}
	}
	for v := range needed {
		if forward[v] && v.continuous() {
			r.wanted[v] = true
		}
	}
}

// continuous reports whether a value may have a cotangent: floats of at least 16
// bits. The shorter ones are grids, and what they hold is constant almost
// everywhere.
func (v *Value) continuous() bool {
	d := v.Type.DType
	return d == tensor.Undefined || d.IsFloat() && d.Bits() >= 16
}

// isActive reports whether a cotangent flows through the node.
func (r *reverse) isActive(n *Node) bool {
	in, out := false, false
	for _, v := range n.Reads() {
		in = in || r.wanted[v]
	}
	for _, v := range n.Out {
		out = out || (v != nil && r.wanted[v])
	}
	return in && out
}

// back turns the cotangents of a node's outputs into those of its operands.
func (r *reverse) back(n *Node) {
	if !r.isActive(n) {
		return
	}
	dy := make([]*Value, len(n.Out))
	some := false
	for i, v := range n.Out {
		if v != nil {
			dy[i] = r.cotangent[v]
			some = some || dy[i] != nil
		}
	}
	if !some {
		return
	}
	operands := n.operands() // before the rule, which may change the node
	dx := n.Rule().VJP(r.b, n, dy)
	for i, d := range dx {
		if v := operands[i]; d != nil && r.wanted[v] {
			r.accumulate(v, d)
		}
	}
}

func (r *reverse) accumulate(v, d *Value) {
	if sum := r.cotangent[v]; sum != nil {
		d = r.b.add(sum, d)
	}
	r.cotangent[v] = d
}

// operands lists a node's inputs, then what its subgraphs capture.
func (n *Node) operands() []*Value {
	list := append([]*Value(nil), n.In...)
	for _, a := range n.Attrs {
		for _, sub := range a.Subgraphs() {
			list = append(list, sub.Captures()...)
		}
	}
	return list
}
