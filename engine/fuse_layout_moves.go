package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// constInts reads a constant input of a node.
func (l *layout) constInts(n *graph.Node, i int) ([]int, bool) {
	return (&graph.Inference{Node: n, Facts: l.c.facts}).ConstInts(i)
}

// axesOf reads the axes an operator names in a constant input, all if it names
// none.
func (l *layout) axesOf(n *graph.Node, i, rank int) ([]int, bool) {
	if n.Input(i) != nil {
		return l.constInts(n, i)
	}
	all := make([]int, rank)
	for a := range all {
		all[a] = a
	}
	return all, true
}

func (l *layout) pad(n *graph.Node) bool {
	x := n.In[0]
	rank := x.Type.Rank()
	if !spatial(x) || !l.hasLast(x) {
		return false
	}
	pads, known := l.constInts(n, 1)
	axes, named := l.axesOf(n, 3, rank)
	if !known || !named || len(pads) != 2*len(axes) {
		return false
	}
	moved := make([]int, 2*rank)
	for i, a := range axes {
		to := lastAxis(a, rank)
		moved[to], moved[rank+to] = pads[i], pads[len(axes)+i]
	}
	in := []*graph.Value{l.last[x], l.constant(n.In[1].Name, tensor.Ints(moved...))}
	if v := n.Input(2); v != nil {
		in = append(in, v)
	}
	l.makes(n.Out[0], &graph.Node{Name: n.Name, Op: n.Op, Attrs: n.Attrs, In: in})
	return true
}

func (l *layout) slice(n *graph.Node) bool {
	x := n.In[0]
	rank := x.Type.Rank()
	if !spatial(x) || !l.hasLast(x) {
		return false
	}
	starts, known := l.constInts(n, 1)
	axes, named := l.axesOf(n, 3, len(starts))
	if !known || !named {
		return false
	}
	moved := make([]int, len(axes))
	for i, a := range axes {
		moved[i] = lastAxis(a, rank)
	}
	in := []*graph.Value{l.last[x], n.In[1], n.In[2], l.constant(n.Name+".axes", tensor.Ints(moved...))}
	if v := n.Input(4); v != nil {
		in = append(in, v)
	}
	l.makes(n.Out[0], &graph.Node{Name: n.Name, Op: n.Op, Attrs: n.Attrs, In: in})
	return true
}

func (l *layout) concat(n *graph.Node) bool {
	rank := n.Out[0].Type.Rank()
	if !spatial(n.Out[0]) || !slices.ContainsFunc(n.In, l.hasLast) {
		return false
	}
	moved := &graph.Node{Name: n.Name, Op: n.Op, Attrs: graph.Attributes{graph.Int("axis", lastAxis(n.Attrs.Int("axis", 0), rank))}}
	for _, v := range n.In {
		moved.In = append(moved.In, l.needLast(v))
	}
	l.makes(n.Out[0], moved)
	return true
}

// transpose combines two permutations. One that moves channels last needs no
// step at all if that is how its input lies, nor does one that moves them back.
func (l *layout) transpose(n *graph.Node) bool {
	x, y := n.In[0], n.Out[0]
	rank := x.Type.Rank()
	perm := n.Attrs.Ints("perm")
	if !spatial(x) || len(perm) != rank {
		return false
	}
	if !l.hasLast(x) {
		if !slices.Equal(perm, firstOrder(rank)) || l.read.isOutput(y) || !l.feedsConv(y) {
			return false
		}
		l.needFirst(x)
		l.last[y] = x
		return true
	}
	order := make([]int, rank)
	for i, a := range perm {
		order[i] = lastAxis(a, rank)
	}
	l.keep(l.move(l.last[x], y, order))
	return true
}

// feedsConv reports whether all that read v are convolutions, which want
// channels last.
func (l *layout) feedsConv(v *graph.Value) bool {
	return !slices.ContainsFunc(l.read.of[v], func(n *graph.Node) bool { return n.Kind() != "Conv" || n.In[0] != v })
}

// flattened is a Reshape, not made yet, of a tensor with channels last to [N,
// C·spatial]: a matrix product reads it as it lies, with its weights reordered.
type flattened struct {
	node  *graph.Node
	asIs  *graph.Value // the elements in the order channels last, once made
	sizes []int        // of the tensor as the graph had it
}

// reshape passes on the elements if they lie in the graph's order, or leaves it
// to the products that read them.
func (l *layout) reshape(n *graph.Node) bool {
	x, y := n.In[0], n.Out[0]
	if !spatial(x) || !l.hasLast(x) || l.first[x] {
		return false
	}
	sizes, _ := x.Type.Static()
	if keepsOrder(sizes, lastOrder(len(sizes))) {
		l.keep(l.view(l.last[x], y))
		return true
	}
	if to, _ := y.Type.Static(); len(to) != 2 || to[0] != sizes[0] {
		return false
	}
	l.flat[y] = &flattened{node: n, sizes: sizes}
	return true
}

// product reorders the constant weights of a matrix product with a flattened
// tensor.
func (l *layout) product(n *graph.Node) bool {
	f := l.flat[n.In[0]]
	if f == nil || n.In[1] == n.In[0] || n.Attrs.Int("transA", 0) != 0 {
		return false
	}
	w, known := l.c.facts.Data(n.In[1])
	if !known || l.c.mutable[n.In[1]] || w.Rank() != 2 {
		return false
	}
	if f.asIs == nil {
		y := f.node.Out[0]
		f.asIs = &graph.Value{Name: y.Name + ".last", Type: y.Type}
		l.nodes = append(l.nodes, l.view(l.last[f.node.In[0]], f.asIs))
	}
	rows := n.Attrs.Int("transB", 0) == 0
	channels, plane := f.sizes[1], elements(f.sizes[2:])
	split := []int{channels, plane, w.Shape()[1]}
	order := []int{1, 0, 2}
	if !rows {
		split, order = []int{w.Shape()[0], channels, plane}, []int{0, 2, 1}
	}
	moved := reorderedData(w.As(split), order).As(w.Shape())
	in := append([]*graph.Value{f.asIs, l.constant(n.In[1].Name, moved)}, n.In[2:]...)
	for _, v := range in[2:] {
		if v != nil {
			l.needFirst(v)
		}
	}
	l.keep(&graph.Node{Name: n.Name, Op: n.Op, Attrs: n.Attrs, In: in, Out: n.Out})
	return true
}
