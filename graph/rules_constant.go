package graph

import (
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// constantRules are operators that make tensors from a few numbers.
func constantRules() map[string]*Rule {
	return map[string]*Rule{
		"Constant":        {Since: []int{1}, MinIn: 0, MaxIn: 0, Infer: inferConstant},
		"ConstantOfShape": {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferConstantOfShape},
		"EyeLike":         {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferEyeLike},
		"OneHot":          {Since: []int{9}, MinIn: 3, MaxIn: 3, Infer: inferOneHot},
		"Range":           {Since: []int{11}, MinIn: 3, MaxIn: 3, Infer: inferRange},
	}
}

// ConstantData is the tensor that a Constant node holds. A sparse constant is
// not among the forms it reads: the file format expands those.
func ConstantData(n *Node) (tensor.Tensor, error) {
	for _, a := range n.Attrs {
		switch a.Name {
		case "value":
			if !a.T.IsZero() {
				return a.T, nil
			}
		case "value_float":
			return tensor.Scalar(a.F), nil
		case "value_floats":
			return tensor.Of(a.Floats, len(a.Floats)), nil
		case "value_int":
			return tensor.Scalar(a.I), nil
		case "value_ints":
			return tensor.Of(a.Ints, len(a.Ints)), nil
		case "value_string":
			return tensor.FromStrings(nil, []string{a.S})
		case "value_strings":
			return tensor.FromStrings([]int{len(a.Strings)}, a.Strings)
		}
	}
	return tensor.Tensor{}, fmt.Errorf("%s: no value in a form that is supported", n)
}

func inferConstant(c *Inference) error {
	t, err := ConstantData(c.Node)
	if err != nil {
		return err
	}
	c.Set(0, t.Type())
	if v := c.Output(0); v != nil {
		c.Facts.SetData(v, t)
	}
	return nil
}

// inferConstantOfShape: attribute value is one element, float32 zero if absent.
func inferConstantOfShape(c *Inference) error {
	out := tensor.Type{DType: tensor.Float32}
	value, _ := c.Attrs.Get("value")
	if !value.T.IsZero() {
		if value.T.Len() != 1 {
			return c.Errorf("attribute value: got %v, want one element", value.T)
		}
		out.DType = value.T.DType()
	}
	if err := c.notNegative(0); err != nil {
		return err
	}
	if dims, ok := c.sizes(0); ok {
		out.Shape = dims
		if len(dims) == 1 && dims[0].Known() && dims[0].Size <= maxKnownDims && indices.has(out.DType) {
			c.SetDims(0, slices.Repeat([]tensor.Dim{dimOf(int(value.T.At(0)))}, dims[0].Size))
		}
	} else if n := c.vectorLen(0); n >= 0 {
		out.Shape = unknownDims(n)
	}
	c.Set(0, out)
	return nil
}

func inferEyeLike(c *Inference) error {
	if err := c.rank(0, 2); err != nil {
		return err
	}
	if err := inferLike(c); err != nil {
		return err
	}
	if d := c.Output(0).Type.DType; d != tensor.Bool && !numbers.has(d) {
		return c.Errorf("output 0: number type: got %v, want %s or bool", d, classNames[numbers])
	}
	return nil
}

// inferOneHot: a new axis of size depth at axis (last by default); values
// holds off and on.
func inferOneHot(c *Inference) error {
	if n := c.vectorLen(2); n >= 0 && n != 2 {
		return c.Errorf("input 2: got %v, want off and on value", c.In(2))
	}
	depth := tensor.Unknown()
	if t, ok := c.Const(1); ok && t.Len() == 1 && t.DType() != tensor.String {
		if n := t.At(0); !(n >= 0 && n <= maxAxis) {
			return c.Errorf("input 1: got depth %v, want 0 to %g", n, maxAxis)
		}
		depth = dimOf(int(t.At(0)))
	} else if dims, ok := c.sizes(1); ok && len(dims) == 1 {
		depth = dims[0]
	}
	out := tensor.Type{DType: c.In(2).DType}
	if idx := c.In(0); idx.Ranked() {
		axis, err := c.axis("axis", -1, idx.Rank()+1)
		if err != nil {
			return err
		}
		out.Shape = slices.Insert(slices.Clone(idx.Shape), axis, depth)
	}
	c.Set(0, out)
	return nil
}

// inferRange: start, start+delta, ... below limit.
func inferRange(c *Inference) error {
	d, err := c.same(0, 1, 2)
	if err != nil {
		return err
	}
	for i := range 3 {
		if err := c.scalar(i); err != nil {
			return err
		}
	}
	size, err := c.rangeSize()
	if err != nil {
		return err
	}
	c.Set(0, tensor.Type{DType: d, Shape: []tensor.Dim{size}})
	return nil
}

func (c *Inference) rangeSize() (tensor.Dim, error) {
	var v [3]float64
	known := true
	for i := range v {
		t, ok := c.Const(i)
		if ok = ok && t.Len() == 1; ok {
			v[i] = t.At(0)
		} else if dims, all := c.sizes(i); all && len(dims) == 1 && dims[0].Known() {
			v[i], ok = float64(dims[0].Size), true
		}
		known = known && ok
	}
	if known {
		n, err := RangeLen(v[0], v[1], v[2])
		if err != nil {
			return tensor.Unknown(), c.Errorf("%w", err)
		}
		return tensor.Fixed(n), nil
	}
	start, ok := c.sizes(0)
	limit, okLimit := c.sizes(1)
	delta, okDelta := c.sizes(2)
	if ok && okLimit && okDelta && len(start)*len(limit)*len(delta) == 1 && start[0].Size == 0 && delta[0].Size == 1 {
		return limit[0], nil
	}
	return tensor.Unknown(), nil
}

// RangeLen is the number of elements of Range: max(0, ⌈(limit-start)/delta⌉).
// The error says that there is no such number.
func RangeLen(start, limit, delta float64) (int, error) {
	n := math.Ceil((limit - start) / delta)
	if delta == 0 || n != n || n > maxAxis {
		return 0, fmt.Errorf("range from %v to %v by %v: no finite number of elements", start, limit, delta)
	}
	return int(max(0, n)), nil
}
