package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// poolBeforeRelu moves the gradient of a Relu behind that of the pooling that
// reads it, where there are fewer elements:
//
//	ReluGrad(MaxPoolScatter(dy, at), y) = MaxPoolScatter(ReluGrad(dy, m), at),   m, at = MaxPool(y)
//
// Only the places at receive anything, and y is m there.
func (c *compiler) poolBeforeRelu() {
	read, producer := c.readers(), c.g.Producers()
	for _, n := range c.g.Nodes {
		if n.Kind() != "compactify.ReluGrad" || !isStatic(n) {
			continue
		}
		scatter := producer[n.In[0]]
		if scatter == nil || scatter.Kind() != "compactify.MaxPoolScatter" || !isStatic(scatter) || !read.only(n.In[0], n) {
			continue
		}
		pool := producer[scatter.In[1]]
		if pool == nil || pool.Kind() != "MaxPool" || pool.In[0] != n.In[1] || pool.Out[1] != scatter.In[1] {
			continue
		}
		// Both nodes stay where they are in the order: they change places by
		// exchanging what they are.
		dy, dx := scatter.In[0], n.Out[0]
		at, shape := scatter.In[1], scatter.In[2]
		between := &graph.Value{Name: scatter.Out[0].Name, Type: dy.Type}
		*scatter, *n = graph.Node{Name: n.Name, Domain: n.Domain, Op: n.Op, Attrs: n.Attrs,
			In: []*graph.Value{dy, pool.Out[0]}, Out: []*graph.Value{between}},
			graph.Node{Name: scatter.Name, Domain: scatter.Domain, Op: scatter.Op, Attrs: scatter.Attrs,
				In: []*graph.Value{between, at, shape}, Out: []*graph.Value{dx}}
	}
}

// Max-pooling over windows of 2×2 side by side that says which of the four
// elements it took, if asked, and its gradient: operators of this package.
const (
	maxPool2x2     = "MaxPool2x2"
	maxPool2x2Grad = "MaxPool2x2Grad"
)

// shortenIndices replaces eight bytes for the place of each maximum by one, where
// nothing but gradients reads them.
func (c *compiler) shortenIndices() {
	read := c.readers()
	for _, n := range c.g.Nodes {
		if !isStatic(n) || !poolsQuarters(n) {
			continue
		}
		at := n.Output(1)
		foreign := func(r *graph.Node) bool {
			return r.Kind() != "compactify.MaxPoolScatter" || !isStatic(r) || r.In[0] == at || !r.Out[0].Type.Equal(n.In[0].Type)
		}
		if at != nil && (slices.Contains(c.g.Outputs, at) || slices.ContainsFunc(read.of[at], foreign)) {
			continue
		}
		n.Domain, n.Op = graph.DomainInternal, maxPool2x2
		if at == nil {
			continue
		}
		at.Type = at.Type.With(tensor.Uint8)
		for _, r := range read.of[at] {
			r.Op = maxPool2x2Grad
		}
	}
}

// poolsQuarters reports whether n is a MaxPool of floats over windows of 2×2 that
// lie side by side, none beyond the edge.
func poolsQuarters(n *graph.Node) bool {
	if n.Kind() != "MaxPool" {
		return false
	}
	x := n.In[0].Type
	if n.Attrs.Int("storage_order", 0) != 0 || x.Rank() != 4 ||
		x.DType != tensor.Float32 && x.DType != tensor.Float64 {
		return false
	}
	sizes, _ := x.Static()
	w, err := graph.PoolGeometry(n, sizes)
	if err != nil {
		return false
	}
	two := []int{2, 2}
	return slices.Equal(w.Kernel, two) && slices.Equal(w.Strides, two) && slices.Equal(w.Dilations, []int{1, 1}) &&
		slices.Equal(w.Pads, make([]int, 4)) && slices.Equal(w.Out, []int{sizes[2] / 2, sizes[3] / 2})
}
