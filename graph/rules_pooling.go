package graph

import (
	"slices"

	"github.com/compactify/compactify/tensor"
)

func poolingRules() map[string]*Rule {
	return map[string]*Rule{
		"MaxPool":           {Since: []int{1}, MinIn: 1, MaxIn: 1, MinOut: 1, MaxOut: 2, Infer: inferPool},
		"AveragePool":       {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferPool},
		"LpPool":            {Since: []int{1, 2}, MinIn: 1, MaxIn: 1, Infer: inferPool, Lower: lowerLpPool},
		"GlobalAveragePool": {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferGlobalPool, Lower: lowerGlobalPool("ReduceMean")},
		"GlobalMaxPool":     {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferGlobalPool, Lower: lowerGlobalPool("ReduceMax")},
		"GlobalLpPool":      {Since: []int{1, 2}, MinIn: 1, MaxIn: 1, Infer: inferGlobalPool, Lower: lowerGlobalLpPool},
		"MaxUnpool":         {Since: []int{9}, MinIn: 2, MaxIn: 3, Infer: inferMaxUnpool},
	}
}

// inferPool: x [N, C, spatial...] → [N, C, windows...]; MaxPool's second output
// holds the indices of the maxima, flat over the whole of x.
func inferPool(c *Inference) error {
	x := c.In(0)
	if err := c.want(numbers, 0); err != nil {
		return err
	}
	if err := c.rankAtLeast(0, 3); err != nil {
		return err
	}
	if !c.Attrs.Has("kernel_shape") {
		return c.Errorf("attribute kernel_shape: missing")
	}
	out := tensor.Type{DType: x.DType}
	if x.Ranked() {
		win, err := newWindow(c.Node, x.Rank()-2, nil)
		if err != nil {
			return c.Errorf("%w", err)
		}
		if err := win.slide(x.Shape[2:]); err != nil {
			return c.Errorf("%w", err)
		}
		out.Shape = win.outDims(x.Shape[0], x.Shape[1], x.Shape[2:])
	}
	c.Set(0, out)
	c.Set(1, out.With(tensor.Int64))
	return nil
}

// inferGlobalPool: every spatial axis shrinks to 1.
func inferGlobalPool(c *Inference) error {
	if err := c.want(floats, 0); err != nil {
		return err
	}
	if err := c.rankAtLeast(0, 3); err != nil {
		return err
	}
	t := c.In(0)
	t.Shape = slices.Clone(t.Shape)
	for i := 2; i < len(t.Shape); i++ {
		t.Shape[i] = tensor.Fixed(1)
	}
	c.Set(0, t)
	return nil
}

// lowerGlobalPool reduces over the spatial axes.
func lowerGlobalPool(reduce string) func(*Builder, *Node) []*Value {
	return func(b *Builder, n *Node) []*Value {
		rank, err := n.inputRank(0)
		if err != nil {
			b.Fail(err)
			rank = 2
		}
		return []*Value{b.Op(reduce, n.In[0], b.Const(tensor.Ints(axisRange(2, rank)...)))}
	}
}

// lowerGlobalLpPool is the p-norm over the spatial axes.
func lowerGlobalLpPool(b *Builder, n *Node) []*Value {
	x, p := n.In[0], float64(n.Attrs.Int("p", 2))
	axes := b.axesFrom(2, x)
	switch p {
	case 1:
		return []*Value{b.Op("ReduceL1", x, axes)}
	case 2:
		return []*Value{b.Op("ReduceL2", x, axes)}
	}
	sum := b.Op("ReduceSum", b.Op("Pow", b.Op("Abs", x), b.ConstLike(x, p)), axes)
	return []*Value{b.Op("Pow", sum, b.ConstLike(x, 1/p))}
}

// axisRange lists the integers from a to b-1.
func axisRange(a, b int) []int {
	var list []int
	for ; a < b; a++ {
		list = append(list, a)
	}
	return list
}

// inferMaxUnpool: the inverse of MaxPool; output_shape, if given, is the whole
// shape of the output.
func inferMaxUnpool(c *Inference) error {
	x, ind := c.In(0), c.In(1)
	if err := c.want(floats, 0); err != nil {
		return err
	}
	if ind.DType != tensor.Int64 && ind.DType != tensor.Undefined {
		return c.Errorf("input 1: number type: got %v, want int64", ind.DType)
	}
	if x.Ranked() && ind.Ranked() && x.Rank() != ind.Rank() {
		return c.Errorf("input 1: got %v, want the shape of %v", ind, x)
	}
	if x.Ranked() {
		if err := c.shapeIs(1, x.Shape); err != nil {
			return err
		}
		if n := c.vectorLen(2); n >= 0 && n != x.Rank() {
			return c.Errorf("input 2: got %d sizes, want %d as %v has axes", n, x.Rank(), x)
		}
	}
	if err := c.notNegative(2); err != nil {
		return err
	}
	out := tensor.Type{DType: x.DType}
	switch {
	case c.HasIn(2):
		if dims, ok := c.sizes(2); ok {
			out.Shape = dims
		} else if x.Ranked() {
			out.Shape = unknownDims(x.Rank())
		}
	case x.Ranked():
		win, err := newWindow(c.Node, x.Rank()-2, nil)
		if err != nil {
			return c.Errorf("%w", err)
		}
		if err := win.spread(x.Shape[2:]); err != nil {
			return c.Errorf("%w", err)
		}
		out.Shape = []tensor.Dim{x.Shape[0], x.Shape[1]}
		for _, n := range win.Out {
			out.Shape = append(out.Shape, dimOf(n))
		}
	}
	c.Set(0, out)
	return nil
}
