package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// dense is a matrix product with a constant right operand as one step: an operator
// of this package that reads A, B as MatMul or Gemm did (stored [N, K] if transB),
// and if there are any a bias [N] and a residual of the result's shape. The result
// is bounded to [low, high], and then goes through operations, see
// [compiler.chainsIntoProducts].
const (
	dense        = "Dense"
	denseNumbers = 4 // the first input that operations read
)

// worthPacking is the static rule by which B is packed: fewer sums at a time than
// this wait for the multiplier rather than for memory, and B is read where it lies.
// Version 1.
func worthPacking(p product) bool { return p.n >= 32 || p.m >= 4 && p.n >= 4 }

// products lets matrix products with a constant right operand B pack it once, add a
// bias for each column and a residual, and apply the bounds that alone read them,
// as they store the result:
//
//	Relu(Add(Add(MatMul(A, B), bias), r)) = Dense(A, B, bias, r) in [0, ∞)
//
// B's packed copy lasts as long as the program; the graph keeps the original.
func (c *compiler) products() {
	read, producer := c.readers(), c.g.Producers()
	made := func(v *graph.Value, n *graph.Node) *graph.Node {
		p := producer[v]
		if p == nil || p.Kind() != lastKind(dense) || p.Attrs.Has("low") || !read.only(v, n) {
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
		case "MatMul", "Gemm":
			c.toDense(n)
		case "Relu", "Clip":
			low, high, known := c.bounds(n)
			if p := made(n.In[0], n); p != nil && known {
				p.Attrs = p.Attrs.With(graph.Float("low", low)).With(graph.Float("high", high))
				p.Out = n.Out
				producer[n.Out[0]] = p
				gone = append(gone, n)
			}
		case "Add":
			for i, v := range n.In {
				if p := made(v, n); p != nil && c.addToDense(n, p, n.In[1-i]) {
					gone = append(gone, p)
					break
				}
			}
		}
	}
	c.g.Remove(gone...)
}

// toDense turns a MatMul or Gemm into a Dense where it may.
func (c *compiler) toDense(n *graph.Node) {
	b, y := n.In[1], n.Out[0]
	if _, known := c.facts.Data(b); !known || c.mutable[b] || y.Type.DType != tensor.Float32 || elementsOf(y) == 0 || elementsOf(b) == 0 {
		return
	}
	p, ok := denseShape(n)
	if !ok || !worthPacking(p) {
		return
	}
	in := make([]*graph.Value, denseNumbers)
	in[0], in[1] = n.In[0], b
	at := n.Attrs
	if n.Kind() == "Gemm" {
		if at.Int("transA", 0) != 0 || at.Float("alpha", 1) != 1 {
			return
		}
		switch v := n.Input(2); {
		case v == nil:
		case at.Float("beta", 1) != 1:
			return
		case c.isBias(v, p.n):
			in[2] = v
		case v.Type.Equal(y.Type):
			in[3] = v
		default:
			return
		}
	}
	n.Domain, n.Op, n.In = graph.DomainInternal, dense, in
	n.Attrs = graph.Attributes{graph.Int("transB", at.Int("transB", 0))}
}

// denseShape is the product of a MatMul, Gemm or Dense; ok if B is one matrix.
func denseShape(n *graph.Node) (p product, ok bool) {
	a, _ := n.In[0].Type.Static()
	b, _ := n.In[1].Type.Static()
	y, _ := n.Out[0].Type.Static()
	if n.Attrs.Int("transB", 0) != 0 {
		b = []int{b[1], b[0]}
	}
	p = newProduct(a, b, y)
	return p, len(b) >= 2 && p.batch == 1
}

// addToDense makes an Add the product p with what it adds, if that is a bias or, of
// the product's shape, a residual. The product moves to where both are there.
func (c *compiler) addToDense(n, p *graph.Node, other *graph.Value) bool {
	shape, _ := p.Out[0].Type.Static()
	in := slices.Clone(p.In)
	switch {
	case other == p.Out[0] || !n.Out[0].Type.Equal(p.Out[0].Type) || in[3] != nil:
		return false
	case in[2] == nil && c.isBias(other, shape[len(shape)-1]):
		in[2] = other
	case other.Type.Equal(p.Out[0].Type):
		in[3] = other
	default:
		return false
	}
	*n = graph.Node{Name: p.Name, Domain: p.Domain, Op: p.Op, Attrs: p.Attrs, In: in, Out: n.Out}
	return true
}

// isBias reports whether v is a constant row of n elements.
func (c *compiler) isBias(v *graph.Value, n int) bool {
	_, known := c.facts.Data(v)
	shape, _ := v.Type.Static()
	return known && !c.mutable[v] && len(shape) > 0 && shape[len(shape)-1] == n && elements(shape) == n
}

// elementsOf is the number of elements of a value of known shape.
func elementsOf(v *graph.Value) int {
	sizes, _ := v.Type.Static()
	return elements(sizes)
}
