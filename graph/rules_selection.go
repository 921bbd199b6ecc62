package graph

import (
	"slices"

	"github.com/compactify/compactify/tensor"
)

func selectionRules() map[string]*Rule {
	return map[string]*Rule{
		"Slice": {Since: []int{1, 10}, MinIn: 3, MaxIn: 5, Infer: inferSlice, Upgrade: map[int]step{
			10: steps(intsToInput("starts", 1), intsToInput("ends", 2), intsToInput("axes", 3))}},
		"Split": {Since: []int{1, 2, 13, 18}, MinIn: 1, MaxIn: 2, MinOut: 1, MaxOut: -1, Infer: inferSplit,
			Upgrade: map[int]step{13: intsToInput("split", 1), 18: splitEqually}},
		"Gather":         {Since: []int{1}, MinIn: 2, MaxIn: 2, Infer: inferGather},
		"GatherElements": {Since: []int{11}, MinIn: 2, MaxIn: 2, Infer: inferGatherElements},
		"GatherND":       {Since: []int{11}, MinIn: 2, MaxIn: 2, Infer: inferGatherND},
		"Compress":       {Since: []int{9}, MinIn: 2, MaxIn: 2, Infer: inferCompress, Lower: lowerCompress},
		"NonZero":        {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferNonZero},
		"Unique":         {Since: []int{11}, MinIn: 1, MaxIn: 1, MinOut: 1, MaxOut: 4, Infer: inferUnique},
		"TopK": {Since: []int{1, 10}, MinIn: 2, MaxIn: 2, MinOut: 2, MaxOut: 2, Infer: inferTopK,
			Upgrade: map[int]step{10: topKInput}},
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

// inferSplit: sizes along axis in input 1, or num_outputs equal parts of which
// the last may be smaller.
func inferSplit(c *Inference) error {
	x := c.In(0)
	parts := len(c.Out)
	if n := c.Attrs.Int("num_outputs", parts); n != parts {
		return c.Errorf("attribute num_outputs: got %d, want %d as the node has outputs", n, parts)
	}
	if !x.Ranked() {
		for i := range c.Out {
			c.Set(i, tensor.Type{DType: x.DType})
		}
		return nil
	}
	axis, err := c.axis("axis", 0, x.Rank())
	if err != nil {
		return err
	}
	sizes, err := c.splitSizes(x.Shape[axis], parts)
	if err != nil {
		return err
	}
	dims, known := c.sizes(0)
	known = known && x.Rank() == 1
	start := 0
	for i := range c.Out {
		shape := slices.Clone(x.Shape)
		shape[axis] = sizes[i]
		c.Set(i, tensor.Type{DType: x.DType, Shape: shape})
		if known = known && sizes[i].Known(); known {
			c.SetDims(i, dims[start:start+sizes[i].Size])
			start += sizes[i].Size
		}
	}
	return nil
}

func (c *Inference) splitSizes(d tensor.Dim, parts int) ([]tensor.Dim, error) {
	if !c.HasIn(1) {
		sizes := unknownDims(parts)
		if d.Known() {
			chunk := (d.Size + parts - 1) / parts
			for i := range sizes {
				sizes[i] = tensor.Fixed(max(0, min(chunk, d.Size-i*chunk)))
			}
		}
		return sizes, nil
	}
	if n := c.vectorLen(1); n >= 0 && n != parts {
		return nil, c.Errorf("input 1: got %d sizes, want %d as the node has outputs", n, parts)
	}
	if err := c.notNegative(1); err != nil {
		return nil, err
	}
	sizes, ok := c.sizes(1)
	if !ok {
		return unknownDims(parts), nil
	}
	if p := sumOf(sizes); d.Known() && p.Known() && p.Size != d.Size {
		return nil, c.Errorf("input 1: sizes %v add up to %d, want %d", tensor.Type{Shape: sizes}, p.Size, d.Size)
	}
	return sizes, nil
}

func sumOf(dims []tensor.Dim) tensor.Dim {
	sum := tensor.Fixed(0)
	for _, d := range dims {
		sum = addDims(sum, d)
	}
	return sum
}

// splitEqually: before opset 18 equal parts went without saying.
func splitEqually(_ *Builder, n *Node) error {
	if n.Input(1) == nil {
		n.Attrs = n.Attrs.With(Int("num_outputs", len(n.Out)))
	}
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

// inferGatherElements: an element of x for each index.
func inferGatherElements(c *Inference) error {
	x, idx := c.In(0), c.In(1)
	if err := c.want(indices, 1); err != nil {
		return err
	}
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
	c.Set(0, idx.With(x.DType))
	return nil
}

// indexWithin checks that input i, indices along axis, is not longer than input
// 0 on the other axes.
func (c *Inference) indexWithin(i, axis int) error {
	x, idx := c.In(0), c.In(i)
	for a := range idx.Shape {
		if d, most := idx.Shape[a], x.Shape[a]; a != axis && d.Known() && most.Known() && d.Size > most.Size {
			return c.Errorf("input %d: got %v, want at most %d on axis %d as %v has", i, idx, most.Size, a, x)
		}
	}
	return nil
}

// inferGatherND: indices [..., k] address the k axes of x behind batch_dims.
func inferGatherND(c *Inference) error {
	x, idx := c.In(0), c.In(1)
	if d := idx.DType; d != tensor.Int64 && d != tensor.Undefined {
		return c.Errorf("input 1: number type: got %v, want int64", d)
	}
	out := tensor.Type{DType: x.DType}
	if x.Ranked() && idx.Ranked() {
		batch := c.Attrs.Int("batch_dims", 0)
		if idx.Rank() < 1 || batch < 0 || batch >= min(x.Rank(), idx.Rank()) {
			return c.Errorf("attribute batch_dims: got %d, want 0 to less than the ranks of %v and %v", batch, x, idx)
		}
		for a := range batch {
			if _, ok := mergeDims(x.Shape[a], idx.Shape[a]); !ok {
				return c.Errorf("input 1: got %v, want %v on axis %d as %v has", idx, x.Shape[a], a, x)
			}
		}
		if k := idx.Shape[idx.Rank()-1]; k.Known() {
			if batch+k.Size > x.Rank() {
				return c.Errorf("input 1: got %v, want at most %d on the last axis for %v", idx, x.Rank()-batch, x)
			}
			out.Shape = slices.Concat([]tensor.Dim{}, idx.Shape[:idx.Rank()-1], x.Shape[batch+k.Size:])
		}
	}
	c.Set(0, out)
	return nil
}

// inferCompress keeps the entries where the condition holds.
func inferCompress(c *Inference) error {
	x := c.In(0)
	if err := c.want(booleans, 1); err != nil {
		return err
	}
	if err := c.rank(1, 1); err != nil {
		return err
	}
	kept := tensor.Unknown()
	out := tensor.Type{DType: x.DType, Shape: []tensor.Dim{kept}}
	if c.Attrs.Has("axis") {
		out.Shape = nil
		if x.Ranked() {
			axis, err := c.axis("axis", 0, x.Rank())
			if err != nil {
				return err
			}
			out.Shape = slices.Clone(x.Shape)
			out.Shape[axis] = kept
		}
	}
	c.Set(0, out)
	return nil
}

// inferNonZero: one row per axis, one column per element that is not zero.
func inferNonZero(c *Inference) error {
	shape := unknownDims(2)
	if x := c.In(0); x.Ranked() {
		shape[0] = tensor.Fixed(x.Rank())
	}
	c.Set(0, tensor.Type{DType: tensor.Int64, Shape: shape})
	return nil
}

// inferUnique: values or, with axis, slices; first indices, inverse, counts.
func inferUnique(c *Inference) error {
	x := c.In(0)
	out := tensor.Type{DType: x.DType, Shape: unknownDims(1)}
	inverse := tensor.Unknown()
	if !c.Attrs.Has("axis") {
		if x.Ranked() {
			inverse = productOf(x.Shape).dim()
		}
	} else if out.Shape = nil; x.Ranked() {
		axis, err := c.axis("axis", 0, x.Rank())
		if err != nil {
			return err
		}
		inverse = x.Shape[axis]
		out.Shape = slices.Clone(x.Shape)
		out.Shape[axis] = tensor.Unknown()
	}
	c.Set(0, out)
	vector := tensor.Type{DType: tensor.Int64, Shape: unknownDims(1)}
	c.Set(1, vector)
	c.Set(2, tensor.Type{DType: tensor.Int64, Shape: []tensor.Dim{inverse}})
	c.Set(3, vector)
	return nil
}

// inferTopK: the k largest (or smallest) along axis and their indices.
func inferTopK(c *Inference) error {
	x := c.In(0)
	if err := c.want(numbers, 0); err != nil {
		return err
	}
	if n := c.vectorLen(1); n > 1 {
		return c.Errorf("input 1: got %v, want one element", c.In(1))
	}
	if err := c.notNegative(1); err != nil {
		return err
	}
	out := tensor.Type{DType: x.DType}
	if x.Ranked() {
		axis, err := c.axis("axis", -1, x.Rank())
		if err != nil {
			return err
		}
		out.Shape = slices.Clone(x.Shape)
		out.Shape[axis] = tensor.Unknown()
		if k, ok := c.sizes(1); ok && len(k) == 1 {
			if d := x.Shape[axis]; d.Known() && k[0].Known() && k[0].Size > d.Size {
				return c.Errorf("input 1: got k = %d, want at most %d on axis %d of %v", k[0].Size, d.Size, axis, x)
			}
			out.Shape[axis] = k[0]
		}
	}
	c.Set(0, out)
	c.Set(1, out.With(tensor.Int64))
	return nil
}

// topKInput: before opset 10 k was an attribute.
func topKInput(b *Builder, n *Node) error {
	n.setInput(1, b.Const(tensor.Ints(n.Attrs.Int("k", 1))))
	n.Attrs = n.Attrs.Without("k")
	return nil
}
