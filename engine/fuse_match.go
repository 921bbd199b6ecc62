package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// matcher finds operators that a graph has written out as arithmetic.
type matcher struct {
	c        *compiler
	read     readers
	producer map[*graph.Value]*graph.Node
}

func (c *compiler) matcher() *matcher { return &matcher{c, c.readers(), c.g.Producers()} }

// made is the node of known shapes that makes v, if it is of one of these kinds;
// nil if not.
func (m *matcher) made(v *graph.Value, kinds ...string) *graph.Node {
	n := m.producer[v]
	if n == nil || !slices.Contains(kinds, n.Kind()) || !isStatic(n) {
		return nil
	}
	return n
}

// either calls f with the operands of a node that may change places, one way
// round and the other, until it agrees.
func either(n *graph.Node, f func(x, y *graph.Value) bool) bool {
	return f(n.In[0], n.In[1]) || f(n.In[1], n.In[0])
}

// number is the element of a constant that has one.
func (m *matcher) number(v *graph.Value) (float64, bool) {
	t, known := m.c.facts.Data(v)
	if !known || m.c.mutable[v] || t.Len() != 1 {
		return 0, false
	}
	return t.At(0), true
}

// is reports whether v is a constant that holds x alone.
func (m *matcher) is(v *graph.Value, x float64) bool {
	y, known := m.number(v)
	return known && y == x
}

// rows is a reduction that keeps the leading axes of x: a number for each row of
// the rest.
type rows struct {
	x    *graph.Value
	axis int // the first that is reduced
}

// reduced matches v, seen through views, with a reduction over the last axes that
// leaves axes of size 1 in their place.
func (m *matcher) reduced(v *graph.Value, op string) (rows, bool) {
	r, ok := m.reduction(m.origin(v), op)
	return r, ok && r.fit(v)
}

// origin is v as it was before views.
func (m *matcher) origin(v *graph.Value) *graph.Value {
	for p := m.producer[v]; p != nil && views[p.Kind()] && isStatic(p); p = m.producer[v] {
		v = p.In[0]
	}
	return v
}

// reduction matches a reduction of floats over the last axes.
func (m *matcher) reduction(v *graph.Value, op string) (rows, bool) {
	n := m.made(v, op)
	if n == nil || !isFloat(n.In[0]) {
		return rows{}, false
	}
	axes, err := newSite(n, nil, m.c.facts, make(map[*graph.Value]*tensor.Tensor)).reducedAxes()
	rank := n.In[0].Type.Rank()
	if err != nil || len(axes) == 0 {
		return rows{}, false
	}
	for i, a := range axes {
		if a != rank-len(axes)+i {
			return rows{}, false
		}
	}
	return rows{n.In[0], axes[0]}, true
}

// fit reports whether v has the shape of the rows' numbers, with axes of size 1
// for those of a row.
func (r rows) fit(v *graph.Value) bool {
	shape, _ := r.x.Type.Static()
	kept := slices.Clone(shape)
	for a := r.axis; a < len(kept); a++ {
		kept[a] = 1
	}
	got, ok := v.Type.Static()
	return ok && slices.Equal(got, kept) && elements(shape) > 0
}

// isFloat reports whether v holds numbers of a type with vector kernels.
func isFloat(v *graph.Value) bool {
	return v.Type.DType == tensor.Float32 || v.Type.DType == tensor.Float64
}

// ownedBy reports whether all that root is made of, down to constants and the
// leaves, serves root alone.
func (m *matcher) ownedBy(root *graph.Node, leaves ...*graph.Value) bool {
	inner := map[*graph.Node]bool{root: true}
	todo := slices.Clone(root.In)
	for len(todo) > 0 {
		v := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		p := m.producer[v]
		if v == nil || p == nil || inner[p] || slices.Contains(leaves, v) {
			continue
		}
		inner[p] = true
		todo = append(todo, p.Reads()...)
	}
	for n := range inner {
		for _, v := range n.Out {
			if n != root && v != nil && m.read.leaves(v, inner) {
				return false
			}
		}
	}
	return true
}

// leaves reports whether anyone but members reads v.
func (r readers) leaves(v *graph.Value, members map[*graph.Node]bool) bool {
	outside := func(n *graph.Node) bool { return !members[n] }
	return r.isOutput(v) || slices.ContainsFunc(r.of[v], outside)
}
