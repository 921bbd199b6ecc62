package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

func selectionVJPs() map[string]vjpFunc {
	return map[string]vjpFunc{
		"Slice":                vjpSlice,
		"compactify.SliceGrad": vjpSliceGrad,
		"Pad":                  vjpPad,
		"Gather":               vjpGather,
		"GatherElements":       vjpGatherElements,
		"GatherND":             vjpGatherND,
		"TopK":                 vjpTopK,
		"Unique":               vjpUnique,
		"OneHot":               vjpOneHot,
		"Range":                vjpRange,
		"MaxUnpool":            vjpMaxUnpool,
	}
}

// vjpSlice puts the cotangent back where the slice was taken; the two operators
// are each other's adjoints.
func vjpSlice(b *Builder, n *Node, dy []*Value) []*Value {
	in := append([]*Value{dy[0], b.Op("Shape", n.In[0])}, n.In[1:]...)
	return append([]*Value{b.Op("compactify.SliceGrad", in...)}, make([]*Value, len(n.In)-1)...)
}

func vjpSliceGrad(b *Builder, n *Node, dy []*Value) []*Value {
	in := append([]*Value{dy[0]}, n.In[2:]...)
	return append([]*Value{b.Op("Slice", in...)}, make([]*Value, len(n.In)-1)...)
}

func (n *Node) has(i int) bool { return n.Input(i) != nil }

func upTo(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// vjpPad: padding with a constant is undone by padding with the negative counts;
// the cotangent of the constant is the sum over what was padded.
func vjpPad(b *Builder, n *Node, dy []*Value) []*Value {
	out := make([]*Value, len(n.In))
	if mode := n.Attrs.Text("mode", "constant"); mode != "constant" {
		out[0] = b.unpad(n, mode, dy[0])
		return out
	}
	in := []*Value{dy[0], b.negated(n.In[1])}
	if n.has(3) {
		in = append(in, nil, n.In[3])
	}
	out[0] = b.Op("Pad", in...)
	if fill := n.Input(2); b.active(fill) {
		all := Attributes{Int("keepdims", 0)}
		outside := b.sub(b.With("ReduceSum", all, dy[0]), b.With("ReduceSum", all, out[0]))
		out[2] = b.shapeLike(outside, fill)
	}
	return out
}

// unpad adds what was repeated to what it repeats, axis by axis.
func (b *Builder) unpad(n *Node, mode string, d *Value) *Value {
	x := n.In[0]
	c := &Inference{Node: n, Facts: b.facts}
	pads, ok := c.ConstInts(1)
	axes := upTo(x.Type.Rank())
	if n.has(3) {
		list, known := c.ConstInts(3)
		if ok = ok && known; ok {
			var err error
			if axes, err = normAxes(list, x.Type.Rank()); err != nil {
				ok = false
			}
		}
	}
	if !ok || len(pads) != 2*len(axes) {
		b.Fail(fmt.Errorf("gradient of %s: want constant pads and axes", n))
		return d
	}
	for i, axis := range axes {
		before, behind := pads[i], pads[len(axes)+i]
		if before == 0 && behind == 0 {
			continue
		}
		if !x.Type.Shape[axis].Known() {
			b.Fail(fmt.Errorf("gradient of %s: the size of axis %d is unknown", n, axis))
			return d
		}
		size := x.Type.Shape[axis].Size
		var from []int
		for p := -before; p < size+behind; p++ {
			from = append(from, PadSource(mode, p, size))
		}
		d = b.scatterAlong(d, b.Const(tensor.Ints(from...)), axis, b.resizedZeros(d, axis, size))
	}
	return d
}

// PadSource maps position i, counted from the first element of an axis of size
// n, to the element that padding in mode edge, wrap or reflect repeats there.
func PadSource(mode string, i, n int) int {
	switch {
	case mode == "edge":
		return min(max(i, 0), n-1)
	case mode == "wrap":
		return (i%n + n) % n
	case n == 1:
		return 0
	}
	period := 2 * (n - 1) // reflect, without repeating the edge
	i = (i%period + period) % period
	return min(i, period-i)
}

// resizedZeros is zeros in the shape of d but for one axis.
func (b *Builder) resizedZeros(d *Value, axis, size int) *Value {
	attrs := Attributes{TensorOf("value", tensor.New(d.Type.DType, 1))}
	parts := []*Value{b.Const(tensor.Ints(size))}
	if axis > 0 {
		parts = append([]*Value{b.With("Shape", Attributes{Int("end", axis)}, d)}, parts...)
	}
	if axis+1 < d.Type.Rank() {
		parts = append(parts, b.With("Shape", Attributes{Int("start", axis+1)}, d))
	}
	return b.With("ConstantOfShape", attrs, b.With("Concat", Attributes{Int("axis", 0)}, parts...))
}

// negated is the negative of integers: a constant if they are one, so that
// inference sees it.
func (b *Builder) negated(v *Value) *Value {
	t, ok := b.facts.Data(v)
	if !ok {
		return b.neg(v)
	}
	t = t.Clone()
	for i := range t.Len() {
		t.Set(i, -t.At(i))
	}
	return b.Const(t)
}

// zerosLike is a tensor of zeros in v's shape.
func (b *Builder) zerosLike(v *Value) *Value {
	zero := tensor.New(v.Type.DType, 1)
	return b.With("ConstantOfShape", Attributes{TensorOf("value", zero)}, b.Op("Shape", v))
}

// wide converts indices to int64, which ScatterND wants.
func (b *Builder) wide(index *Value) *Value { return b.as(tensor.Int64, index) }

// vjpGather adds the cotangent's slices where they were taken.
func vjpGather(b *Builder, n *Node, dy []*Value) []*Value {
	x, index := n.In[0], n.In[1]
	axis, rank := n.Attrs.Int("axis", 0), x.Type.Rank()
	if rank < 0 || index.Type.Rank() < 0 {
		b.failRank(x)
		return []*Value{nil, nil}
	}
	if axis < 0 {
		axis += rank
	}
	return []*Value{b.scatterAlong(dy[0], index, axis, b.zerosLike(x)), nil}
}

// scatterAlong adds slices of d at indices of an axis of x. d is [before...,
// index..., behind...]; the gathered axis is brought to the front and scattered
// to with addition.
func (b *Builder) scatterAlong(d, index *Value, axis int, x *Value) *Value {
	rank, ri := x.Type.Rank(), index.Type.Rank()
	front := make([]int, 0, d.Type.Rank())
	for i := range ri {
		front = append(front, axis+i)
	}
	for i := range d.Type.Rank() {
		if i < axis || i >= axis+ri {
			front = append(front, i)
		}
	}
	move := append([]int{axis}, slices.DeleteFunc(upTo(rank), func(i int) bool { return i == axis })...)
	back := make([]int, rank)
	for i, p := range move {
		back[p] = i
	}
	added := b.With("ScatterND", Attributes{Text("reduction", "add")},
		b.permute(x, move), b.unsqueeze(b.wide(index), -1), b.permute(d, front))
	return b.permute(added, back)
}

// permute transposes, unless the order is what it was.
func (b *Builder) permute(x *Value, perm []int) *Value {
	if slices.Equal(perm, upTo(len(perm))) {
		return x
	}
	return b.With("Transpose", Attributes{Ints("perm", perm...)}, x)
}

func vjpGatherElements(b *Builder, n *Node, dy []*Value) []*Value {
	return []*Value{b.scatterElements(n, n.In[0], n.In[1], dy[0]), nil}
}

// scatterElements adds d into zeros in x's shape at indices along the node's
// axis (0 unless it says otherwise).
func (b *Builder) scatterElements(n *Node, x, index, d *Value) *Value {
	attrs := Attributes{Int("axis", n.Attrs.Int("axis", 0)), Text("reduction", "add")}
	return b.With("ScatterElements", attrs, b.zerosLike(x), index, d)
}

// vjpGatherND scatters with addition; ScatterND has no batch axes, so that their
// positions become part of the indices.
func vjpGatherND(b *Builder, n *Node, dy []*Value) []*Value {
	index := n.In[1]
	if batch := n.Attrs.Int("batch_dims", 0); batch > 0 {
		index = b.withBatchIndex(index, batch)
	}
	attrs := Attributes{Text("reduction", "add")}
	return []*Value{b.With("ScatterND", attrs, b.zerosLike(n.In[0]), index, dy[0]), nil}
}

// withBatchIndex puts the positions along the first axes in front of indices
// [batch..., more..., k] → [batch..., more..., batch + k].
func (b *Builder) withBatchIndex(index *Value, batch int) *Value {
	rank := index.Type.Rank()
	if rank <= batch {
		b.failRank(index)
		return index
	}
	tuples := b.With("Concat", Attributes{Int("axis", 0)}, b.With("Shape", Attributes{Int("end", rank-1)}, index), b.Const(tensor.Ints(1)))
	parts := make([]*Value, 0, batch+1)
	for i := range batch {
		size := b.Op("Squeeze", b.With("Shape", Attributes{Int("start", i), Int("end", i+1)}, index), b.Const(tensor.Ints(0)))
		count := b.Op("Range", b.Const(tensor.Scalar(int64(0))), size, b.Const(tensor.Scalar(int64(1))))
		along := slices.Repeat([]int{1}, rank)
		along[i] = -1
		parts = append(parts, b.Op("Expand", b.Op("Reshape", count, b.Const(tensor.Ints(along...))), tuples))
	}
	return b.With("Concat", Attributes{Int("axis", -1)}, append(parts, index)...)
}

// vjpTopK sends the cotangent of every value to the element it was. It adds the
// indices to the forward node's outputs if they are not there.
func vjpTopK(b *Builder, n *Node, dy []*Value) []*Value {
	if dy[0] == nil {
		return []*Value{nil, nil}
	}
	if n.Output(1) == nil {
		n.Out = append(n.Out[:1:1], b.Value(n.Out[0].Type.With(tensor.Int64)))
	}
	along := &Node{Attrs: Attributes{Int("axis", n.Attrs.Int("axis", -1))}}
	return []*Value{b.scatterElements(along, n.In[0], n.Out[1], dy[0]), nil}
}

// vjpUnique sends the cotangent of every value to the first element that has it.
// It adds those positions to the forward node's outputs if they are not there.
func vjpUnique(b *Builder, n *Node, dy []*Value) []*Value {
	x := n.In[0]
	if dy[0] == nil {
		return []*Value{nil}
	}
	for len(n.Out) < 2 {
		n.Out = append(n.Out, nil)
	}
	if n.Out[1] == nil {
		n.Out[1] = b.Value(tensor.Type{DType: tensor.Int64, Shape: []tensor.Dim{tensor.Unknown()}})
	}
	if !n.Attrs.Has("axis") {
		flat := b.Op("Reshape", b.zerosLike(x), b.Const(tensor.Ints(-1)))
		return []*Value{b.shapeLike(b.scatterAlong(dy[0], n.Out[1], 0, flat), x)}
	}
	axis, err := normAxis(n.Attrs.Int("axis", 0), x.Type.Rank())
	if err != nil {
		b.Fail(err)
		return []*Value{nil}
	}
	return []*Value{b.scatterAlong(dy[0], n.Out[1], axis, b.zerosLike(x))}
}

// vjpOneHot gives the value of each kind the sum over where it stands.
func vjpOneHot(b *Builder, n *Node, dy []*Value) []*Value {
	kinds := tensor.New(dy[0].Type.DType, 2)
	kinds.Set(1, 1)
	hot := b.With("OneHot", n.Attrs, n.In[0], n.In[1], b.Const(kinds))
	all := Attributes{Int("keepdims", 0)}
	on := b.unsqueeze(b.With("ReduceSum", all, b.mul(hot, dy[0])), 0)
	total := b.unsqueeze(b.With("ReduceSum", all, dy[0]), 0)
	return []*Value{nil, nil, b.With("Concat", Attributes{Int("axis", 0)}, b.sub(total, on), on)}
}

// vjpRange: element i is start + i·delta.
func vjpRange(b *Builder, n *Node, dy []*Value) []*Value {
	all := Attributes{Int("keepdims", 0)}
	zero, one := b.Const(tensor.Scalar(int64(0))), b.Const(tensor.Scalar(int64(1)))
	count := b.as(dy[0].Type.DType, b.Op("Range", zero, b.Op("Size", dy[0]), one))
	return []*Value{
		b.shapeLike(b.With("ReduceSum", all, dy[0]), n.In[0]), nil,
		b.shapeLike(b.With("ReduceSum", all, b.mul(dy[0], count)), n.In[2]),
	}
}

// vjpMaxUnpool reads the cotangent where the elements were put. The indices count
// in the shape that the window gives, which lies in a corner of the output.
func vjpMaxUnpool(b *Builder, n *Node, dy []*Value) []*Value {
	out := make([]*Value, len(n.In))
	d := dy[0]
	if n.has(2) {
		x := n.In[0]
		win, err := UnpoolGeometry(n, append([]int{1, 1}, b.staticSizes(x, 2)...))
		if err != nil {
			b.Fail(err)
			return out
		}
		axes := axisRange(2, x.Type.Rank())
		d = b.Op("Slice", d, b.Const(tensor.Ints(make([]int, len(axes))...)), b.Const(tensor.Ints(win.Out...)), b.Const(tensor.Ints(axes...)))
	}
	out[0] = b.Op("compactify.MaxPoolGather", d, n.In[1])
	return out
}
