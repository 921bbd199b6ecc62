package graph

import (
	"slices"

	"github.com/compactify/compactify/tensor"
)

func selectionRules() map[string]*Rule {
	return map[string]*Rule{
		"Slice": {Since: []int{1, 10}, MinIn: 3, MaxIn: 5, Infer: inferSlice, Upgrade: map[int]step{
			10: steps(intsToInput("starts", 1), intsToInput("ends", 2), intsToInput("axes", 3))}},
		"Gather": {Since: []int{1}, MinIn: 2, MaxIn: 2, Infer: inferGather},
	}
}

// inferSlice: starts, ends, axes (all by default) and steps (1 by default).
func inferSlice(c *Inference) error {
	x := c.In(0)
	if err := c.want(indices, 1, 2, 3, 4); err != nil {
		return err
	}
	out := tensor.Type{DType: x.DType}
	if x.Ranked() {
		axes, known, err := c.sliceAxes(x.Rank())
		if err != nil {
			return err
		}
		if !known {
			out.Shape = unknownDims(x.Rank())
		} else if out.Shape, err = c.sliced(x.Shape, axes); err != nil {
			return err
		}
	}
	c.Set(0, out)
	return c.sliceDims()
}

// sliceAxes resolves input 3.
func (c *Inference) sliceAxes(rank int) (axes []int, known bool, err error) {
	if !c.HasIn(3) {
		n := c.vectorLen(1)
		if n > rank {
			return nil, false, c.Errorf("input 1: got %d starts for %d axes", n, rank)
		}
		return axisRange(0, n), n >= 0, nil
	}
	axes, known = c.ints(3)
	if !known {
		return nil, false, nil
	}
	if axes, err = normAxes(axes, rank); err != nil {
		return nil, false, c.Errorf("input 3: %w", err)
	}
	return axes, true, nil
}

// sliced is the shape of the slice; axes whose bounds are unknown are unknown.
func (c *Inference) sliced(in []tensor.Dim, axes []int) ([]tensor.Dim, error) {
	starts, knownStarts := c.ints(1)
	ends, knownEnds := c.ints(2)
	steps, knownSteps := repeat(1, len(axes)), true
	if c.HasIn(4) {
		steps, knownSteps = c.ints(4)
	}
	for i, known := range []bool{knownStarts, knownEnds, knownSteps} {
		if list := [][]int{starts, ends, steps}[i]; known && len(list) != len(axes) {
			return nil, c.Errorf("input %d: got %d entries, want %d, one per axis", []int{1, 2, 4}[i], len(list), len(axes))
		}
	}
	out := slices.Clone(in)
	for i, a := range axes {
		if !knownStarts || !knownEnds || !knownSteps {
			out[a] = tensor.Unknown()
			continue
		}
		if steps[i] == 0 {
			return nil, c.Errorf("input 4: step 0 on axis %d", a)
		}
		out[a] = slicedDim(in[a], starts[i], ends[i], steps[i])
	}
	return out, nil
}

// slicedDim is the size of an axis cut from start to end.
func slicedDim(d tensor.Dim, start, end, step int) tensor.Dim {
	const far = 1<<31 - 1 // exporters write the largest int32 or int64 for "to the end"
	if d.Known() {
		_, n := SliceRange(d.Size, start, end, step)
		return tensor.Fixed(n)
	}
	if step == 1 && start == 0 && end >= far || step == -1 && start == -1 && end <= -far {
		return d
	}
	return tensor.Unknown()
}

// SliceRange resolves ONNX's slice bounds on an axis of the given size: the
// first index and how many follow, step apart.
func SliceRange(size, start, end, step int) (first, count int) {
	if start < 0 {
		start += size
	}
	if end < 0 {
		end += size
	}
	span := 0
	if step > 0 {
		start, end = max(0, min(size, start)), max(0, min(size, end))
		span = end - start
	} else {
		start, end, step = max(-1, min(size-1, start)), max(-1, min(size-1, end)), -step
		span = start - end
	}
	if span <= 0 {
		return max(0, start), 0
	}
	return start, (span-1)/step + 1
}

// sliceDims follows the entries of a vector of sizes.
func (c *Inference) sliceDims() error {
	dims, ok := c.sizes(0)
	if !ok || c.In(0).Rank() != 1 {
		return nil
	}
	step := []int{1}
	starts, ok1 := c.ints(1)
	ends, ok2 := c.ints(2)
	if c.HasIn(4) {
		var ok3 bool
		if step, ok3 = c.ints(4); !ok3 {
			return nil
		}
	}
	if !ok1 || !ok2 || len(starts) != 1 || len(ends) != 1 || len(step) != 1 || step[0] == 0 {
		return nil
	}
	first, count := SliceRange(len(dims), starts[0], ends[0], step[0])
	part := make([]tensor.Dim, count)
	for i := range part {
		part[i] = dims[first+i*step[0]]
	}
	c.SetDims(0, part)
	return nil
}

// inferGather: the index's axes take the place of axis.
func inferGather(c *Inference) error {
	x, idx := c.In(0), c.In(1)
	if err := c.want(indices, 1); err != nil {
		return err
	}
	if err := c.rankAtLeast(0, 1); err != nil {
		return err
	}
	out := tensor.Type{DType: x.DType}
	axis := 0
	if x.Ranked() {
		var err error
		if axis, err = c.axis("axis", 0, x.Rank()); err != nil {
			return err
		}
		if idx.Ranked() {
			out.Shape = slices.Concat(x.Shape[:axis], idx.Shape, x.Shape[axis+1:])
			if out.Shape == nil {
				out.Shape = []tensor.Dim{}
			}
		}
	}
	c.Set(0, out)
	return c.gatherDims()
}

// gatherDims follows the entries of a vector of sizes.
func (c *Inference) gatherDims() error {
	dims, ok := c.sizes(0)
	idx, known := c.ConstInts(1)
	if !ok || !known || c.In(0).Rank() != 1 || c.In(1).Rank() > 1 {
		return nil
	}
	picked := make([]tensor.Dim, len(idx))
	for i, k := range idx {
		k, err := normAxis(k, len(dims))
		if err != nil {
			return c.Errorf("input 1: index %d of a vector of %d", idx[i], len(dims))
		}
		picked[i] = dims[k]
	}
	c.SetDims(0, picked)
	return nil
}
