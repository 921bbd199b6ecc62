package graph

import (
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// scatterRules are operators that write into copies of tensors at indices, and
// those that make tensors of numbers given.
func scatterRules() map[string]*Rule {
	return map[string]*Rule{
		"ScatterElements": {Since: []int{11}, MinIn: 3, MaxIn: 3, Infer: inferScatterElements},
		"ScatterND":       {Since: []int{11}, MinIn: 3, MaxIn: 3, Infer: inferScatterND},
		"Scatter": {Since: []int{9}, MinIn: 3, MaxIn: 3, Infer: inferScatterElements,
			Upgrade: map[int]step{11: renameOp("ScatterElements")}},
		"TensorScatter": {Since: []int{24}, MinIn: 2, MaxIn: 3, Infer: inferTensorScatter},
		"OneHot":        {Since: []int{9}, MinIn: 3, MaxIn: 3, Infer: inferOneHot},
		"Range":         {Since: []int{11}, MinIn: 3, MaxIn: 3, Infer: inferRange},
	}
}

// reductionName checks the reduction attribute of the scatter operators.
func (c *Inference) reductionName() error {
	if r := c.Attrs.Text("reduction", "none"); !slices.Contains([]string{"none", "add", "mul", "max", "min"}, r) {
		return c.Errorf("attribute reduction: got %q, want none, add, mul, max or min", r)
	}
	return nil
}

// inferScatterElements: one update per index, along axis.
func inferScatterElements(c *Inference) error {
	if err := c.want(indices, 1); err != nil {
		return err
	}
	if _, err := c.same(0, 2); err != nil {
		return err
	}
	if err := c.reductionName(); err != nil {
		return err
	}
	x := c.In(0)
	if x.Ranked() {
		if err := c.rank(1, x.Rank()); err != nil {
			return err
		}
		if _, err := c.axis("axis", 0, x.Rank()); err != nil {
			return err
		}
	}
	if err := c.samePicked(2, 1); err != nil {
		return err
	}
	c.Set(0, x)
	return nil
}

// inferScatterND: indices [..., k], updates [..., x's axes from k on].
func inferScatterND(c *Inference) error {
	x, idx, up := c.In(0), c.In(1), c.In(2)
	if idx.DType != tensor.Int64 && idx.DType != tensor.Undefined {
		return c.Errorf("input 1: number type: got %v, want int64", idx.DType)
	}
	if _, err := c.same(0, 2); err != nil {
		return err
	}
	if err := c.reductionName(); err != nil {
		return err
	}
	if x.Ranked() && idx.Ranked() {
		if idx.Rank() == 0 {
			return c.Errorf("input 1: got %v, want rank 1 or more", idx)
		}
		k := idx.Shape[idx.Rank()-1]
		if k.Known() && k.Size > x.Rank() {
			return c.Errorf("input 1: got %v, want at most %d on the last axis for %v", idx, x.Rank(), x)
		}
		if k.Known() && up.Ranked() {
			want := slices.Concat(idx.Shape[:idx.Rank()-1], x.Shape[k.Size:])
			if err := c.shapeIs(2, want); err != nil {
				return err
			}
		}
	}
	c.Set(0, x)
	return nil
}

// shapeIs checks input i against a shape, as far as both are known.
func (c *Inference) shapeIs(i int, want []tensor.Dim) error {
	t := c.In(i)
	if !t.Ranked() {
		return nil
	}
	ok := t.Rank() == len(want)
	for k := 0; ok && k < len(want); k++ {
		_, ok = mergeDims(t.Shape[k], want[k])
	}
	if !ok {
		return c.Errorf("input %d: got %v, want %v", i, t, tensor.Type{DType: t.DType, Shape: want})
	}
	return nil
}

func inferTensorScatter(c *Inference) error {
	if _, err := c.same(0, 1); err != nil {
		return err
	}
	if x := c.In(0); x.Ranked() {
		if err := c.rank(1, x.Rank()); err != nil {
			return err
		}
	}
	c.Set(0, c.In(0))
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
	if delta == 0 || n != n || n > 1<<53 {
		return 0, fmt.Errorf("range from %v to %v by %v: no finite number of elements", start, limit, delta)
	}
	return int(max(0, n)), nil
}
