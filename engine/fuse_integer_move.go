package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// movesElements are operators that commute with rounding every element in the same
// way: they choose, reorder or repeat elements. Max-pooling is one of them, for
// rounding keeps the order.
var movesElements = setOf("Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Slice", "MaxPool", "Pad", "Expand", "Concat")

// quantizeEarly moves QuantizeLinear before operators that only move elements,
// which then move bytes, and next to the operator that computes them:
//
//	Q(move(x)) = move(Q(x)),   Q(DQ(q)) = q on the same grid
func (c *compiler) quantizeEarly() {
	for again := true; again; {
		again = false
		read, producer := c.readers(), c.g.Producers()
		for _, n := range slices.Clone(c.g.Nodes) {
			if g, ok := c.rounding(n); ok && isStatic(n) && c.moveRounding(n, g, read, producer) {
				again = true
				break
			}
		}
	}
}

// moveRounding moves one QuantizeLinear one step, if it can.
func (c *compiler) moveRounding(n *graph.Node, g grid, read readers, producer map[*graph.Value]*graph.Node) bool {
	v, out := n.In[0], n.Out[0]
	before := producer[v]
	if before == nil || !isStatic(before) || slices.Contains(c.g.Outputs, out) {
		return false
	}
	if before.Kind() == "DequantizeLinear" && before.In[0].Type.DType == out.Type.DType {
		if h, ok := c.gridOf(before, before.In[0].Type.DType); ok && h == g {
			c.g.Replace(out, before.In[0])
			c.g.Remove(n)
			return true
		}
	}
	if !movesElements[before.Kind()] || !read.only(v, n) || before.Output(1) != nil || !c.worthRounding(before, g, producer) {
		return false
	}
	in := before.In[:1]
	if before.Kind() == "Concat" {
		in = before.In
	}
	if before.Kind() == "Pad" && !c.padsWithZero(before, n) {
		return false
	}
	moved := make(map[*graph.Value]*graph.Value)
	for i, x := range in {
		if moved[x] == nil {
			q := &graph.Value{Name: x.Name + ".rounded", Type: x.Type.With(out.Type.DType)}
			moved[x] = q
			c.g.InsertBefore(before, &graph.Node{Name: q.Name, Op: "QuantizeLinear", Attrs: n.Attrs, In: append([]*graph.Value{x}, n.In[1:]...), Out: []*graph.Value{q}})
		}
		before.In[i] = moved[x]
	}
	before.Out = []*graph.Value{out}
	c.g.Remove(n)
	return true
}

// worthRounding reports whether rounding before a node lets something compute with
// integers: what its data comes from, past other such nodes, is a layer or is
// dequantised from the same grid.
func (c *compiler) worthRounding(n *graph.Node, g grid, producer map[*graph.Value]*graph.Node) bool {
	in := n.In[:1]
	if n.Kind() == "Concat" {
		in = n.In
	}
	for _, v := range in {
		from := producer[v]
		if from == nil {
			return false
		}
		switch k := from.Kind(); {
		case k == "Conv" || k == "Gemm" || k == "MatMul" || k == "Add" || k == "Relu" || k == "Clip":
		case k == "DequantizeLinear":
			if h, ok := c.gridOf(from, from.In[0].Type.DType); !ok || h != g {
				return false
			}
		case movesElements[k]:
			if !c.worthRounding(from, g, producer) {
				return false
			}
		default:
			return false
		}
	}
	return true
}

// padsWithZero lets a Pad with zeros pad with the zero point instead, which is what
// the zeros are rounded to.
func (c *compiler) padsWithZero(pad, q *graph.Node) bool {
	if pad.Attrs.Text("mode", "constant") != "constant" {
		return true
	}
	if pad.Input(2) != nil {
		if v, ok := c.single(pad.In[2]); !ok || v != 0 {
			return false
		}
	}
	zero := tensor.New(q.Out[0].Type.DType)
	if q.Input(2) != nil {
		v, ok := c.single(q.In[2])
		if !ok {
			return false
		}
		zero.Set(0, v)
	}
	with := &graph.Value{Name: pad.Name + ".zero", Type: zero.Type()}
	c.facts.SetData(with, zero)
	for len(pad.In) < 3 {
		pad.In = append(pad.In, nil)
	}
	pad.In[2] = with
	return true
}

// addResiduals lets a convolution or product add another tensor as it stores its
// output, where that sum alone reads it.
func (c *compiler) addResiduals() {
	read, producer := c.readers(), c.g.Producers()
	var gone []*graph.Node
	for i, n := range c.g.Nodes {
		if n.Kind() != graph.DomainInternal+"."+int8Add {
			continue
		}
		sum := sumOf(n.Attrs)
		zeros := []int{n.Attrs.Int("zero", 0), int(sum.ZeroB)}
		for k, a := range n.In {
			from := producer[a]
			if from == nil || n.In[0] == n.In[1] || from.Kind() != graph.DomainInternal+"."+int8Conv && from.Kind() != graph.DomainInternal+"."+int8MatMul ||
				len(from.In) > 1 || !read.only(a, n) || from.Attrs.Int("result", 0) != zeros[k] {
				continue
			}
			if k == 1 {
				sum.ScaleA, sum.ScaleB, sum.ZeroB = sum.ScaleB, sum.ScaleA, uint8(zeros[0])
			}
			// The sum takes its place in the order: there the other is known.
			c.g.Nodes[i] = &graph.Node{Name: from.Name, Domain: from.Domain, Op: from.Op, Attrs: from.Attrs.With(sumAttribute(&sum)),
				In: []*graph.Value{from.In[0], n.In[1-k]}, Out: n.Out}
			producer[n.Out[0]] = c.g.Nodes[i]
			gone = append(gone, from)
			break
		}
	}
	c.g.Remove(gone...)
}
