package structure

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// shapeRelations are the operators whose result depends on sizes.
func shapeRelations() map[string]relation {
	return map[string]relation{
		"Shape": relateShape,
		"Size": func(x *axes, n *graph.Node) nodeRule {
			x.fixAll(n.In[0], x.because("%v counts its elements", n))
			return nodeRule{}
		},
		"Constant": func(x *axes, n *graph.Node) nodeRule {
			x.fixAll(n.Out[0], x.because("%v makes it", n))
			return nodeRule{}
		},
		"ConstantOfShape": relateConstantOfShape,
		"Reshape":         relateReshape,
		"Flatten":         relateFlatten,
		"Expand":          relateExpand,
	}
}

// source is where an entry of a vector of sizes comes from: constant data, or
// the length of an axis.
type source struct {
	constant bool
	value    int
	of       *graph.Value
	axis     int
}

// entry follows entry p of a vector (or scalar) of sizes back to its source.
func (x *axes) entry(v *graph.Value, p int) (source, bool) {
	if list, ok := x.ints(v); ok {
		if p >= len(list) {
			return source{}, false
		}
		return source{constant: true, value: list[p]}, true
	}
	n := x.producers[v]
	if n == nil {
		return source{}, false
	}
	switch n.Kind() {
	case "Cast", "Identity", "Squeeze", "Unsqueeze":
		return x.entry(n.In[0], p)
	case "Concat":
		if piece, at, ok := pieceOf(n, p); ok {
			return x.entry(n.In[piece], at)
		}
	case "Gather":
		if at, ok := x.ints(n.In[1]); ok && p < len(at) && at[p] >= 0 {
			return x.entry(n.In[0], at[p])
		} else if ok && p < len(at) && n.In[0].Type.Rank() == 1 && n.In[0].Type.Shape[0].Known() {
			return x.entry(n.In[0], n.In[0].Type.Shape[0].Size+at[p])
		}
	case "Slice":
		if start, ok := x.ints(n.In[1]); ok && len(start) == 1 && start[0] >= 0 && x.unitSteps(n) {
			return x.entry(n.In[0], start[0]+p)
		}
	case "Shape":
		first, rank := n.Attrs.Int("start", 0), n.In[0].Type.Rank()
		if first, ok := normal(first, max(rank, 1)); ok && first+p < rank {
			return source{of: n.In[0], axis: first + p}, true
		}
	}
	return source{}, false
}

// pieceOf says which input of a Concat of vectors holds entry p, and where.
func pieceOf(n *graph.Node, p int) (piece, at int, ok bool) {
	for i, v := range n.In {
		if v.Type.Rank() != 1 || !v.Type.Shape[0].Known() {
			return 0, 0, false
		}
		if size := v.Type.Shape[0].Size; p >= size {
			p -= size
			continue
		}
		return i, p, true
	}
	return 0, 0, false
}

// unitSteps reports whether a Slice takes every index.
func (x *axes) unitSteps(n *graph.Node) bool {
	if n.Input(4) == nil {
		return true
	}
	steps, ok := x.ints(n.In[4])
	for _, s := range steps {
		ok = ok && s == 1
	}
	return ok
}

// sized ties the axes of an output to the entries of the vector that gives
// their sizes: one that is a constant can be rewritten, one that is the length
// of another axis must change as that does, and what is computed in another way
// fixes the axis.
func (x *axes) sized(n *graph.Node, sizes, out *graph.Value) {
	for p, a := range x.at(out) {
		if a.size <= 1 {
			continue
		}
		s, ok := x.entry(sizes, p)
		switch {
		case !ok:
			x.fix(a, x.because("%v gives it a size that is computed", n))
		case !s.constant:
			x.tie(n, x.at(s.of)[s.axis], a)
		}
	}
}

// resize rewrites the entries of input i of a copied node, which gives the sizes
// of an output, where the sizes change.
func (r *removal) resize(n, copied *graph.Node, i int, out *graph.Value) error {
	sizes := n.In[i]
	for p, a := range r.x.at(out) {
		if !a.known() || r.size(a) == a.size {
			continue
		}
		s, ok := r.x.entry(sizes, p)
		if !ok || !s.constant || s.value == -1 {
			continue
		}
		if s.value == 0 && n.Op == "Reshape" && n.Attrs.Int("allowzero", 0) == 0 {
			continue
		}
		v, err := r.rewriteEntry(copied, copied.In[i], p, r.size(a), 0)
		if err != nil {
			return err
		}
		copied.In[i] = v
	}
	return nil
}

// relateShape: sizes may be used as sizes. Where they enter into anything else,
// the axes must keep theirs.
func relateShape(x *axes, n *graph.Node) nodeRule {
	rank := n.In[0].Type.Rank()
	first, ok := normal(n.Attrs.Int("start", 0), max(rank, 1))
	if !ok {
		x.fixNode(n, "starts at an axis that does not exist")
		return nodeRule{}
	}
	var list []int
	for k := first; k < rank; k++ {
		list = append(list, k)
	}
	reason := x.because("%v reads its length, which is used for more than shapes", n)
	x.fixAll(n.Out[0], x.because("%v has an entry for each axis", n))
	for _, k := range x.escaping(n.Out[0], list, 0) {
		x.fix(x.at(n.In[0])[k], reason)
	}
	return nodeRule{}
}

// maxTrace bounds how deep uses of sizes are followed.
const maxTrace = 32

// escaping lists which of the axes whose lengths a vector holds are used for
// something other than a shape. The vector's entries are in the order of the
// axes if there are as many.
func (x *axes) escaping(v *graph.Value, axes []int, depth int) []int {
	if depth > maxTrace {
		return axes
	}
	for _, out := range x.graph.Outputs {
		if out == v {
			return axes
		}
	}
	var found []int
	for _, n := range x.consumers[v] {
		switch kind := n.Kind(); {
		case kind == "Reshape" && n.In[0] != v, kind == "Expand" && n.In[0] != v, kind == "ConstantOfShape":
		case kind == "Cast", kind == "Identity", kind == "Squeeze", kind == "Unsqueeze", kind == "Concat":
			found = append(found, x.escaping(n.Out[0], axes, depth+1)...)
		case kind == "Gather" && n.In[0] == v:
			found = append(found, x.escaping(n.Out[0], x.gathered(v, n, axes), depth+1)...)
		case kind == "Slice" && n.In[0] == v:
			found = append(found, x.escaping(n.Out[0], x.sliced(v, n, axes), depth+1)...)
		default:
			found = append(found, axes...)
		}
	}
	return found
}

// gathered narrows the axes to those that a Gather of constant indices takes.
func (x *axes) gathered(v *graph.Value, n *graph.Node, axes []int) []int {
	at, ok := x.ints(n.In[1])
	if !ok || v.Type.Rank() != 1 || v.Type.Shape[0] != tensor.Fixed(len(axes)) {
		return axes
	}
	var list []int
	for _, i := range at {
		if i, ok := normal(i, len(axes)); ok {
			list = append(list, axes[i])
		}
	}
	return list
}

// sliced narrows the axes to those that a constant Slice takes.
func (x *axes) sliced(v *graph.Value, n *graph.Node, axes []int) []int {
	if v.Type.Rank() != 1 || v.Type.Shape[0] != tensor.Fixed(len(axes)) || !x.unitSteps(n) {
		return axes
	}
	starts, ok := x.ints(n.In[1])
	ends, okEnd := x.ints(n.In[2])
	if !ok || !okEnd || len(starts) != 1 || len(ends) != 1 {
		return axes
	}
	lo, hi := clamp(starts[0], len(axes)), clamp(ends[0], len(axes))
	if lo >= hi {
		return nil
	}
	return axes[lo:hi]
}

// clamp is an end of a Slice as an index from 0 to size.
func clamp(i, size int) int {
	if i < 0 {
		i += size
	}
	return max(0, min(i, size))
}

func relateConstantOfShape(x *axes, n *graph.Node) nodeRule {
	out := n.Out[0]
	x.sized(n, n.In[0], out)
	return nodeRule{
		zero: func(z zeros) {
			a, ok := n.Attrs.Get("value")
			for k := range out.Type.Rank() {
				z.set(out, k, !ok || isZero(a.T))
			}
		},
		adjust: func(r *removal, c *graph.Node) error { return r.resize(n, c, 0, out) },
	}
}

func relateExpand(x *axes, n *graph.Node) nodeRule {
	x.broadcast(n, n.In[0], n.Out[0])
	x.sized(n, n.In[1], n.Out[0])
	return nodeRule{
		zero:   func(z zeros) { z.elementwise(n.In[:1], n.Out[0], func(zero []bool) bool { return zero[0] }) },
		adjust: func(r *removal, c *graph.Node) error { return r.resize(n, c, 1, n.Out[0]) },
	}
}

func relateReshape(x *axes, n *graph.Node) nodeRule {
	x.sized(n, n.In[1], n.Out[0])
	rule := x.refactor(n)
	rule.adjust = func(r *removal, c *graph.Node) error { return r.resize(n, c, 1, n.Out[0]) }
	return rule
}

func relateFlatten(x *axes, n *graph.Node) nodeRule { return x.refactor(n) }
