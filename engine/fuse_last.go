package engine

import (
	"math"

	"github.com/compactify/compactify/graph"
)

// absorbIntoLast lets convolutions with channels last add the residual and apply
// the bounds that alone read their output, as they store it:
//
//	Relu(Add(ConvLast(x, w, b), r)) = ConvLast(x, w, b, r) in [0, ∞)
func (c *compiler) absorbIntoLast() {
	read, producer := c.readers(), c.g.Producers()
	conv := func(v *graph.Value, n *graph.Node) *graph.Node {
		p := producer[v]
		if p == nil || p.Kind() != lastKind(convLast) || p.Attrs.Has("low") || !read.only(v, n) {
			return nil
		}
		return p
	}
	var gone []*graph.Node
	for _, n := range c.g.Nodes {
		if !isStatic(n) {
			continue
		}
		switch n.Kind() {
		case "Relu", "Clip":
			low, high, known := c.bounds(n)
			if p := conv(n.In[0], n); p != nil && known {
				p.Attrs = p.Attrs.With(graph.Float("low", low)).With(graph.Float("high", high))
				p.Out = n.Out
				producer[n.Out[0]] = p
				gone = append(gone, n)
			}
		case "Add":
			for i, v := range n.In {
				other := n.In[1-i]
				p := conv(v, n)
				if p == nil || v == other || !other.Type.Equal(v.Type) || len(p.In) > 3 || isDepthwise(p) {
					continue
				}
				// The convolution moves to where both operands are there.
				gone = append(gone, p)
				in := append(p.In[:len(p.In):len(p.In)], make([]*graph.Value, 3-len(p.In))...)
				*n = graph.Node{Name: p.Name, Domain: p.Domain, Op: p.Op, Attrs: p.Attrs, In: append(in, other), Out: n.Out}
				break
			}
		}
	}
	c.g.Remove(gone...)
}

// bounds are those of a Relu or of a Clip with constant bounds.
func (c *compiler) bounds(n *graph.Node) (low, high float32, known bool) {
	low, high = float32(math.Inf(-1)), float32(math.Inf(1))
	if n.Kind() == "Relu" {
		return 0, high, true
	}
	for i, bound := range []*float32{&low, &high} {
		v := n.Input(i + 1)
		if v == nil {
			continue
		}
		t, ok := c.facts.Data(v)
		if !ok || c.mutable[v] || t.Len() != 1 || math.IsNaN(t.At(0)) {
			return 0, 0, false
		}
		*bound = float32(t.At(0))
	}
	return min(low, high), high, true // bounds that cross leave the upper one
}

// isDepthwise reports whether a convolution with channels last has a filter for
// each channel alone; its kernel takes no residual.
func isDepthwise(n *graph.Node) bool {
	x, _ := n.In[0].Type.Static()
	w, _ := n.In[1].Type.Static()
	return w[1] == 1 && w[0] == x[len(x)-1]
}
