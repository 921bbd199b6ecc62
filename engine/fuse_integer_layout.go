package engine

import (
	"github.com/compactify/compactify/graph"
)

// integerLayoutRules gives the operators that the pass integers makes the layout
// that their kernels read, which they know no other than.
func integerLayoutRules() map[string]layoutRule {
	return map[string]layoutRule{
		"compactify." + int8Conv:    (*layout).imagesLast,
		"compactify." + int8MaxPool: (*layout).imagesLast,
		"compactify." + int8Mean:    (*layout).meanLast,
		"compactify." + int8MatMul:  (*layout).productOfBytes,
		"compactify." + int8Add:     (*layout).elementwise,
		"compactify." + int8Flip:    (*layout).elementwise,
		"compactify." + int8Flag:    (*layout).elementwise,
		"QuantizeLinear":            (*layout).rounding,
		"DequantizeLinear":          (*layout).rounding,
	}
}

// imagesLast moves all operands of a node and its result.
func (l *layout) imagesLast(n *graph.Node) bool {
	in := make([]*graph.Value, len(n.In))
	for i, v := range n.In {
		in[i] = l.needLast(v)
	}
	l.makes(n.Out[0], &graph.Node{Name: n.Name, Domain: n.Domain, Op: n.Op, Attrs: n.Attrs, In: in})
	return true
}

// meanLast reads an image; its result has one pixel, in either layout.
func (l *layout) meanLast(n *graph.Node) bool {
	l.keep(&graph.Node{Name: n.Name, Domain: n.Domain, Op: n.Op, Attrs: n.Attrs, In: []*graph.Value{l.needLast(n.In[0])}, Out: n.Out})
	return true
}

// rounding moves a conversion between reals and bytes that treats all elements
// alike.
func (l *layout) rounding(n *graph.Node) bool {
	for _, v := range n.In[1:] {
		if v != nil && !single(v) {
			return false
		}
	}
	return l.elementwise(n)
}

// productOfBytes reorders the weights of a product with a flattened image.
func (l *layout) productOfBytes(n *graph.Node) bool {
	f := l.flat[n.In[0]]
	if f == nil {
		return false
	}
	w, _ := n.Attrs.Get("weights")
	channels, plane := f.sizes[1], elements(f.sizes[2:])
	moved := reorderedData(w.T.As([]int{w.T.Shape()[0], channels, plane}), []int{0, 2, 1}).As(w.T.Shape())
	in := append([]*graph.Value{l.flatAsIs(f)}, n.In[1:]...)
	for _, v := range in[1:] {
		l.needFirst(v)
	}
	l.keep(&graph.Node{Name: n.Name, Domain: n.Domain, Op: n.Op, Attrs: n.Attrs.With(graph.TensorOf("weights", moved)), In: in, Out: n.Out})
	return true
}

// flatAsIs is a flattened tensor with its elements in the order channels last.
func (l *layout) flatAsIs(f *flattened) *graph.Value {
	if f.asIs == nil {
		y := f.node.Out[0]
		f.asIs = &graph.Value{Name: y.Name + ".last", Type: y.Type}
		l.nodes = append(l.nodes, l.view(l.last[f.node.In[0]], f.asIs))
	}
	return f.asIs
}
