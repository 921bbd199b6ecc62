package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// lookup reads a table [K, N] and integers [...]: it takes the rows that these
// number, and zeros for a number that is none of a row. An operator of this
// package.
const lookup = "Lookup"

// lookUp takes rows where a matrix product multiplies by ones and zeros:
//
//	MatMul(Cast(Equal(i, [0 … K−1])), w) = w[i],   i [..., 1], w [K, N]
//
// The product of a zero and an element of w that is not finite would have spread
// that; the row taken does not.
func (c *compiler) lookUp() {
	read, producer := c.readers(), c.g.Producers()
	for _, n := range c.g.Nodes {
		if n.Kind() != "MatMul" || !isStatic(n) || n.In[1].Type.Rank() != 2 {
			continue
		}
		cast := producer[n.In[0]]
		if cast == nil || cast.Kind() != "Cast" || !isStatic(cast) || !read.only(n.In[0], n) {
			continue
		}
		equal := producer[cast.In[0]]
		if equal == nil || equal.Kind() != "Equal" || !isStatic(equal) || !read.only(cast.In[0], cast) {
			continue
		}
		index := c.oneHotIndex(equal)
		if index == nil {
			continue
		}
		n.Domain, n.Op, n.Attrs = graph.DomainInternal, lookup, nil
		n.In = []*graph.Value{n.In[1], index}
	}
	c.dropDead()
}

// oneHotIndex is the operand [..., 1] of a comparison with the constant [0 … K−1],
// for a result [..., K]; nil if n is another one.
func (c *compiler) oneHotIndex(n *graph.Node) *graph.Value {
	out, _ := n.Out[0].Type.Static()
	for k, v := range n.In {
		t, known := c.facts.Data(n.In[1-k])
		d := v.Type.DType
		if !known || c.mutable[n.In[1-k]] || d != tensor.Int32 && d != tensor.Int64 {
			continue
		}
		in, _ := v.Type.Static()
		last := len(out) - 1
		if last < 1 || len(in) != len(out) || in[last] != 1 || !slices.Equal(in[:last], out[:last]) {
			continue
		}
		if shape := t.Shape(); t.Rank() == 0 || t.Len() != out[last] || shape[len(shape)-1] != out[last] {
			continue
		}
		counts := true
		for i := range t.Len() {
			counts = counts && t.At(i) == float64(i)
		}
		if counts {
			return v
		}
	}
	return nil
}
