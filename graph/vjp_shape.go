package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

func shapeVJPs() map[string]vjpFunc {
	reshape := func(b *Builder, n *Node, dy []*Value) []*Value {
		return append([]*Value{b.shapeLike(dy[0], n.In[0])}, make([]*Value, len(n.In)-1)...)
	}
	return map[string]vjpFunc{
		"Reshape": reshape, "Flatten": reshape, "Squeeze": reshape, "Unsqueeze": reshape,
		"Transpose":       vjpTranspose,
		"Concat":          vjpConcat,
		"Split":           vjpSplit,
		"Tile":            vjpTile,
		"Trilu":           vjpTrilu,
		"CumSum":          vjpCumSum,
		"ReverseSequence": vjpReverseSequence,
		"CenterCropPad":   vjpCenterCropPad,
		"Expand":          func(b *Builder, n *Node, dy []*Value) []*Value { return []*Value{b.unbroadcast(dy[0], n.In[0]), nil} },
	}
}

func vjpTranspose(b *Builder, n *Node, dy []*Value) []*Value {
	perm := n.Attrs.Ints("perm")
	if perm == nil {
		return []*Value{b.Op("Transpose", dy[0])}
	}
	inverse := make([]int, len(perm))
	for i, p := range perm {
		inverse[p] = i
	}
	return []*Value{b.With("Transpose", Attributes{Ints("perm", inverse...)}, dy[0])}
}

// slice cuts [from, to) out of one axis.
func (b *Builder) slice(x *Value, axis, from, to int) *Value {
	return b.Op("Slice", x, b.Const(tensor.Ints(from)), b.Const(tensor.Ints(to)), b.Const(tensor.Ints(axis)))
}

// vjpConcat cuts the cotangent into its parts; sizes that are not known are read
// when the graph runs.
func vjpConcat(b *Builder, n *Node, dy []*Value) []*Value {
	axis := n.Attrs.Int("axis", 0)
	out := make([]*Value, len(n.In))
	if axis < 0 {
		if !n.Out[0].Type.Ranked() {
			b.failRank(n.Out[0])
			return out
		}
		axis += n.Out[0].Type.Rank()
	}
	from, at := b.Const(tensor.Ints(0)), 0
	for i, x := range n.In {
		var to *Value
		if axis < x.Type.Rank() && x.Type.Shape[axis].Known() && at >= 0 {
			at += x.Type.Shape[axis].Size
			to = b.Const(tensor.Ints(at))
		} else {
			at = -1
			to = b.add(from, b.With("Shape", Attributes{Int("start", axis), Int("end", axis+1)}, x))
		}
		if b.active(x) {
			out[i] = b.Op("Slice", dy[0], from, to, b.Const(tensor.Ints(axis)))
		}
		from = to
	}
	return out
}

func vjpSplit(b *Builder, n *Node, dy []*Value) []*Value {
	parts := make([]*Value, len(n.Out))
	for i, v := range n.Out {
		parts[i] = dy[i]
		if dy[i] == nil {
			parts[i] = b.zerosLike(v)
		}
	}
	return append([]*Value{b.With("Concat", Attributes{Int("axis", n.Attrs.Int("axis", 0))}, parts...)}, make([]*Value, len(n.In)-1)...)
}

// vjpTile sums the copies, axis by axis.
func vjpTile(b *Builder, n *Node, dy []*Value) []*Value {
	x, d := n.In[0], dy[0]
	c := &Inference{Node: n, Facts: b.facts}
	repeats, ok := c.ConstInts(1)
	if !ok || x.Type.Rank() != len(repeats) {
		b.Fail(fmt.Errorf("gradient of %s: want constant repeats", n))
		return make([]*Value, len(n.In))
	}
	for axis, r := range repeats {
		if r != 1 {
			size := -1
			if x.Type.Shape[axis].Known() {
				size = x.Type.Shape[axis].Size
			}
			d = b.sum(b.splitAxis(d, axis, r, size), false, axis)
		}
	}
	return []*Value{d, nil}
}

// splitAxis replaces an axis by several of the given sizes. One size may be -1,
// or else one axis behind them may be unknown.
func (b *Builder) splitAxis(d *Value, axis int, sizes ...int) *Value {
	shape := append(make([]int, axis), sizes...) // 0 copies a size
	for _, dim := range d.Type.Shape[axis+1:] {
		if dim.Known() {
			shape = append(shape, dim.Size)
		} else {
			shape = append(shape, -1)
		}
	}
	return b.Op("Reshape", d, b.Const(tensor.Ints(shape...)))
}

// vjpTrilu: a projection that is its own adjoint.
func vjpTrilu(b *Builder, n *Node, dy []*Value) []*Value {
	in := append([]*Value{dy[0]}, n.In[1:]...)
	return append([]*Value{b.With("Trilu", n.Attrs, in...)}, make([]*Value, len(n.In)-1)...)
}

// vjpCumSum sums from the other end.
func vjpCumSum(b *Builder, n *Node, dy []*Value) []*Value {
	back := n.Attrs.With(Int("reverse", 1-n.Attrs.Int("reverse", 0)))
	return []*Value{b.With("CumSum", back, dy[0], n.In[1]), nil}
}

// vjpReverseSequence: a permutation that is its own inverse.
func vjpReverseSequence(b *Builder, n *Node, dy []*Value) []*Value {
	return []*Value{b.With("ReverseSequence", n.Attrs, dy[0], n.In[1]), nil}
}

// vjpCenterCropPad crops what was padded and pads what was cropped: the offsets
// of both round the same way.
func vjpCenterCropPad(b *Builder, n *Node, dy []*Value) []*Value {
	return []*Value{b.With("CenterCropPad", n.Attrs.Without("axes"), dy[0], b.Op("Shape", n.In[0])), nil}
}
