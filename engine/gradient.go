package engine

import (
	"fmt"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Gradient extends a graph by the gradient of a scalar with respect to the
// given inputs or parameters (values of g). The result has g's outputs followed
// by one gradient per entry of wrt, in order; names, shapes and number types
// are those of wrt. A value on which the loss does not depend has a gradient of
// zeros.
//
// It is reverse accumulation from graph to graph: the result can be
// differentiated again. Operators without a rule are lowered to operators that
// have one; the error names the first that cannot be.
func Gradient(g *graph.Graph, loss *graph.Value, wrt []*graph.Value) (*graph.Graph, error) {
	r, err := newReverse(g, loss, wrt)
	if err == nil {
		err = r.run()
	}
	if err != nil {
		return nil, fmt.Errorf("gradient of %q in graph %q: %w", loss.Name, g.Name, err)
	}
	return r.g, nil
}

// reverse is one reverse accumulation.
type reverse struct {
	g         *graph.Graph
	b         *graph.Builder
	loss      *graph.Value
	wrt       []*graph.Value
	wanted    map[*graph.Value]bool // values on the way from wrt to the loss
	cotangent map[*graph.Value]*graph.Value
}

func newReverse(g *graph.Graph, loss *graph.Value, wrt []*graph.Value) (*reverse, error) {
	clone, copyOf := g.Clone()
	r := &reverse{g: clone, loss: copyOf[loss], cotangent: make(map[*graph.Value]*graph.Value)}
	if r.loss == nil {
		return nil, fmt.Errorf("the loss is not in the graph")
	}
	for _, v := range wrt {
		if copyOf[v] == nil {
			return nil, fmt.Errorf("value %q is not in the graph", v.Name)
		}
		r.wrt = append(r.wrt, copyOf[v])
	}
	if err := clone.Upgrade(graph.LatestOpset); err != nil {
		return nil, err
	}
	if err := clone.Infer(); err != nil {
		return nil, err
	}
	r.b = graph.NewBuilder(clone, "d_")
	return r, r.lower()
}

// lower expands the active operators that have no rule of their own.
func (r *reverse) lower() error {
	for {
		r.findWanted()
		again := false
		nodes := r.g.Nodes
		r.g.Nodes = nil
		for _, n := range nodes {
			rule := n.Rule()
			if !r.isActive(n) || (rule != nil && rule.VJP != nil) {
				r.g.Nodes = append(r.g.Nodes, n)
				continue
			}
			if rule == nil || rule.Lower == nil {
				return fmt.Errorf("%s: operator %s has no derivative", n, n.Kind())
			}
			again = true
			for i, v := range rule.Lower(r.b, n) {
				if v != nil && n.Out[i] != nil {
					r.b.Append(&graph.Node{Op: "Identity", In: []*graph.Value{v}, Out: []*graph.Value{n.Out[i]}})
				}
			}
		}
		if err := r.b.Err(); err != nil || !again {
			return err
		}
	}
}

// findWanted marks the values that depend on wrt and on which the loss depends,
// also through what the subgraph of a node captures.
func (r *reverse) findWanted() {
	forward := make(map[*graph.Value]bool)
	for _, v := range r.wrt {
		forward[v] = true
	}
	for _, n := range r.g.Nodes {
		for _, v := range n.Reads() {
			if forward[v] {
				for _, o := range n.Out {
					forward[o] = true
				}
			}
		}
	}
	needed := map[*graph.Value]bool{r.loss: true}
	for i := len(r.g.Nodes) - 1; i >= 0; i-- {
		n := r.g.Nodes[i]
		for _, o := range n.Out {
			if o != nil && needed[o] {
				for _, v := range n.Reads() {
					needed[v] = true
				}
			}
		}
	}
	r.wanted = make(map[*graph.Value]bool)
	for v := range needed {
		if forward[v] && (v.Type.DType.IsFloat() || v.Type.DType == tensor.Undefined) {
			r.wanted[v] = true
		}
	}
}

// isActive reports whether a cotangent flows through the node.
func (r *reverse) isActive(n *graph.Node) bool {
	in, out := false, false
	for _, v := range n.Reads() {
		in = in || r.wanted[v]
	}
	for _, v := range n.Out {
		out = out || (v != nil && r.wanted[v])
	}
	return in && out
}

func (r *reverse) run() error {
	if r.loss.Type.Rank() != 0 {
		return fmt.Errorf("loss: got %v, want a scalar", r.loss.Type)
	}
	r.b.Want(r.wanted)
	r.cotangent[r.loss] = r.b.ConstLike(r.loss, 1)
	forward := r.g.Nodes
	for i := len(forward) - 1; i >= 0; i-- {
		if err := r.back(forward[i]); err != nil {
			return err
		}
	}
	for _, v := range r.wrt {
		r.g.Outputs = append(r.g.Outputs, r.output(v))
	}
	r.g.RemoveDead()
	return r.b.Err()
}

// back turns the cotangents of a node's outputs into those of its inputs.
func (r *reverse) back(n *graph.Node) error {
	if !r.isActive(n) {
		return nil
	}
	dy := make([]*graph.Value, len(n.Out))
	some := false
	for i, v := range n.Out {
		if v != nil {
			dy[i] = r.cotangent[v]
			some = some || dy[i] != nil
		}
	}
	if !some || dy[0] == nil && len(dy) == 1 {
		return nil
	}
	dx := n.Rule().VJP(r.b, n, dy)
	if err := r.b.Err(); err != nil {
		return err
	}
	for i, d := range dx {
		if v := n.In[i]; d != nil && r.wanted[v] {
			r.accumulate(v, d)
		}
	}
	return nil
}

func (r *reverse) accumulate(v, d *graph.Value) {
	if sum := r.cotangent[v]; sum != nil {
		d = r.b.Op("Add", sum, d)
	}
	r.cotangent[v] = d
}

// output is the gradient of v as a value of its own.
func (r *reverse) output(v *graph.Value) *graph.Value {
	d := r.cotangent[v]
	if d == nil {
		zero := tensor.New(v.Type.DType, 1)
		attrs := graph.Attributes{graph.TensorOf("value", zero)}
		d = r.b.With("ConstantOfShape", attrs, r.b.Op("Shape", v))
	}
	return d
}
