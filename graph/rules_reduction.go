package graph

import (
	"github.com/compactify/compactify/tensor"
)

func reductionRules() map[string]*Rule {
	axesInput := map[int]step{18: intsToInput("axes", 1)}
	return map[string]*Rule{
		"ReduceSum":       {Since: []int{1, 13}, MinIn: 1, MaxIn: 2, Infer: inferReduce, Upgrade: map[int]step{13: intsToInput("axes", 1)}},
		"ReduceMean":      {Since: []int{1, 18}, MinIn: 1, MaxIn: 2, Infer: inferReduce, Upgrade: axesInput},
		"ReduceMax":       {Since: []int{1, 18}, MinIn: 1, MaxIn: 2, Infer: inferReduce, Upgrade: axesInput},
		"ReduceMin":       {Since: []int{1, 18}, MinIn: 1, MaxIn: 2, Infer: inferReduce, Upgrade: axesInput},
		"ReduceProd":      {Since: []int{1, 18}, MinIn: 1, MaxIn: 2, Infer: inferReduce, Upgrade: axesInput},
		"ReduceL1":        {Since: []int{1, 18}, MinIn: 1, MaxIn: 2, Infer: inferReduce, Upgrade: axesInput, Lower: lowerReduce("Abs", "")},
		"ReduceL2":        {Since: []int{1, 18}, MinIn: 1, MaxIn: 2, Infer: inferReduce, Upgrade: axesInput, Lower: lowerReduce("Square", "Sqrt")},
		"ReduceSumSquare": {Since: []int{1, 18}, MinIn: 1, MaxIn: 2, Infer: inferReduce, Upgrade: axesInput, Lower: lowerReduce("Square", "")},
		"ReduceLogSum":    {Since: []int{1, 18}, MinIn: 1, MaxIn: 2, Infer: inferReduce, Upgrade: axesInput, Lower: lowerReduce("", "Log")},
		"ReduceLogSumExp": {Since: []int{1, 18}, MinIn: 1, MaxIn: 2, Infer: inferReduce, Upgrade: axesInput, Lower: lowerLogSumExp},
		"ArgMax":          {Since: []int{1, 11}, MinIn: 1, MaxIn: 1, Infer: inferArg},
		"ArgMin":          {Since: []int{1, 11}, MinIn: 1, MaxIn: 1, Infer: inferArg},
	}
}

// inferReduce: axes come as input 1. Without any, all axes are reduced, or
// none if noop_with_empty_axes is set.
func inferReduce(c *Inference) error {
	x := c.In(0)
	if c.Op != "ReduceMax" && c.Op != "ReduceMin" || x.DType != tensor.Bool {
		if err := c.want(numbers, 0); err != nil {
			return err
		}
	}
	if err := c.want(indices, 1); err != nil {
		return err
	}
	shape, err := c.reducedShape()
	if err != nil {
		return err
	}
	c.Set(0, tensor.Type{DType: x.DType, Shape: shape})
	return nil
}

func (c *Inference) reducedShape() ([]tensor.Dim, error) {
	x, keep := c.In(0), c.Attrs.Int("keepdims", 1) != 0
	var axes []int
	known := true
	if c.HasIn(1) && c.vectorLen(1) != 0 {
		axes, known = c.ints(1)
	}
	switch {
	case known && len(axes) == 0 && c.Attrs.Int("noop_with_empty_axes", 0) != 0:
		return x.Shape, nil
	case known && len(axes) == 0 && !keep:
		return []tensor.Dim{}, nil
	case !x.Ranked():
		return nil, nil
	case !known && keep:
		return unknownDims(x.Rank()), nil
	case !known:
		if n := c.vectorLen(1); n >= 0 && n <= x.Rank() {
			return unknownDims(x.Rank() - n), nil
		}
		return nil, nil
	}
	if len(axes) == 0 {
		axes = axisRange(0, x.Rank())
	}
	axes, err := normAxes(axes, x.Rank())
	if err != nil {
		return nil, c.Errorf("input 1: %w", err)
	}
	return dropAxes(x.Shape, axes, keep), nil
}

// dropAxes sets the axes to 1 or removes them.
func dropAxes(shape []tensor.Dim, axes []int, keep bool) []tensor.Dim {
	gone := make([]bool, len(shape))
	for _, a := range axes {
		gone[a] = true
	}
	out := make([]tensor.Dim, 0, len(shape))
	for i, d := range shape {
		switch {
		case !gone[i]:
			out = append(out, d)
		case keep:
			out = append(out, tensor.Fixed(1))
		}
	}
	return out
}

// inferArg: the index of an extremum along axis.
func inferArg(c *Inference) error {
	x := c.In(0)
	if err := c.want(numbers, 0); err != nil {
		return err
	}
	out := tensor.Type{DType: tensor.Int64}
	if x.Ranked() {
		axis, err := c.axis("axis", 0, x.Rank())
		if err != nil {
			return err
		}
		out.Shape = dropAxes(x.Shape, []int{axis}, c.Attrs.Int("keepdims", 1) != 0)
	}
	c.Set(0, out)
	return nil
}

// lowerReduce is ReduceSum with an operator in front and one behind. With
// nothing to reduce ReduceSum changes nothing, but the two still apply.
func lowerReduce(before, after string) func(*Builder, *Node) []*Value {
	return func(b *Builder, n *Node) []*Value {
		x := n.In[0]
		switch before {
		case "Square":
			x = b.Op("Mul", x, x)
		case "Abs":
			x = b.Op("Abs", x)
		}
		y := b.With("ReduceSum", n.Attrs, append([]*Value{x}, n.In[1:]...)...)
		if after != "" {
			y = b.Op(after, y)
		}
		return []*Value{y}
	}
}

// lowerLogSumExp subtracts the maximum first, so that no exponential overflows.
func lowerLogSumExp(b *Builder, n *Node) []*Value {
	axes := n.In[1:]
	kept := n.Attrs.With(Int("keepdims", 1))
	top := b.With("ReduceMax", kept, append([]*Value{n.In[0]}, axes...)...)
	sum := b.With("ReduceSum", kept, append([]*Value{b.Op("Exp", b.Op("Sub", n.In[0], top))}, axes...)...)
	y := b.Op("Add", b.Op("Log", sum), top)
	if n.Attrs.Int("keepdims", 1) != 0 {
		return []*Value{y}
	}
	// The kept axes have size 1, so any reduction drops them unchanged.
	return []*Value{b.With("ReduceMax", n.Attrs, append([]*Value{y}, axes...)...)}
}
