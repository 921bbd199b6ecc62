package graph

import (
	"slices"

	"github.com/compactify/compactify/tensor"
)

// scatterRules are operators that write into copies of tensors at indices.
func scatterRules() map[string]*Rule {
	return map[string]*Rule{
		"ScatterElements": {Since: []int{11}, MinIn: 3, MaxIn: 3, Infer: inferScatterElements},
		"ScatterND":       {Since: []int{11}, MinIn: 3, MaxIn: 3, Infer: inferScatterND},
		"Scatter": {Since: []int{9}, MinIn: 3, MaxIn: 3, Infer: inferScatterElements,
			Upgrade: map[int]step{11: renameOp("ScatterElements")}},
		"TensorScatter": {Since: []int{24}, MinIn: 2, MaxIn: 3, Infer: inferTensorScatter, Lower: lowerTensorScatter},
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
		axis, err := c.axis("axis", 0, x.Rank())
		if err != nil {
			return err
		}
		if err := c.indexWithin(1, axis); err != nil {
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
	if m := c.Attrs.Text("mode", "linear"); m != "linear" && m != "circular" {
		return c.Errorf("attribute mode: got %q, want linear or circular", m)
	}
	x, update := c.In(0), c.In(1)
	if x.Ranked() && update.Ranked() {
		axis, err := c.axis("axis", -2, x.Rank())
		if err != nil {
			return err
		}
		want := slices.Clone(x.Shape)
		if update.Rank() > axis {
			want[axis] = update.Shape[axis]
		}
		if axis == 0 {
			return c.Errorf("attribute axis: got %d, want an axis other than the batch", axis)
		}
		if err := c.shapeIs(1, want); err != nil {
			return err
		}
		if d, most := want[axis], x.Shape[axis]; d.Known() && most.Known() && d.Size > most.Size {
			return c.Errorf("input 1: got %v, want at most %d on axis %d as %v has", update, most.Size, axis, x)
		}
		if err := c.channels(2, x.Shape[0]); err != nil {
			return err
		}
	}
	c.Set(0, x)
	return nil
}
