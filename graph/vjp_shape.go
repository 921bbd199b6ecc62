package graph

import (
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/tensor"
)

func errTransposePads(n *Node) error {
	return fmt.Errorf("gradient of %s: pads: got auto_pad or output_shape, want explicit pads", n)
}

func shapeVJPs() map[string]vjpFunc {
	reshape := func(b *Builder, n *Node, dy []*Value) []*Value {
		return append([]*Value{b.shapeLike(dy[0], n.In[0])}, make([]*Value, len(n.In)-1)...)
	}
	return map[string]vjpFunc{
		"Reshape": reshape, "Flatten": reshape, "Squeeze": reshape, "Unsqueeze": reshape,
		"Transpose":            vjpTranspose,
		"Concat":               vjpConcat,
		"Split":                vjpSplit,
		"Slice":                vjpSlice,
		"compactify.SliceGrad": vjpSliceGrad,
		"Pad":                  vjpPad,
		"Expand":               func(b *Builder, n *Node, dy []*Value) []*Value { return []*Value{b.unbroadcast(dy[0], n.In[0]), nil} },
		"Gather":               vjpGather,
		"GatherElements":       vjpGatherElements,
		"Shape":                vjpNone,
		"Size":                 vjpNone,
		"ConstantOfShape":      vjpNone,
		"Constant":             vjpNone,
		"Equal":                vjpNone, "Less": vjpNone, "Greater": vjpNone, "LessOrEqual": vjpNone, "GreaterOrEqual": vjpNone,
		"ArgMax": vjpNone, "ArgMin": vjpNone,
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

func vjpConcat(b *Builder, n *Node, dy []*Value) []*Value {
	axis := n.Attrs.Int("axis", 0)
	if axis < 0 {
		axis += n.Out[0].Type.Rank()
	}
	out := make([]*Value, len(n.In))
	from := 0
	for i, x := range n.In {
		if axis >= x.Type.Rank() || !x.Type.Shape[axis].Known() {
			b.Fail(fmt.Errorf("gradient of %s: input %d: the size of axis %d is unknown", n, i, axis))
			return out
		}
		to := from + x.Type.Shape[axis].Size
		if b.active(x) {
			out[i] = b.slice(dy[0], axis, from, to)
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
			parts[i] = b.mul(b.onesLike(v), b.zeros(v))
		}
	}
	return append([]*Value{b.With("Concat", Attributes{Int("axis", n.Attrs.Int("axis", 0))}, parts...)}, make([]*Value, len(n.In)-1)...)
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

// vjpPad cuts the padding off; only constant padding has this rule.
func vjpPad(b *Builder, n *Node, dy []*Value) []*Value {
	out := make([]*Value, len(n.In))
	c := &Inference{Node: n, Facts: b.facts}
	pads, ok := c.ConstInts(1)
	if !ok || n.has(3) || n.Attrs.Text("mode", "constant") != "constant" {
		b.Fail(fmt.Errorf("gradient of %s: want constant pads on all axes and mode constant", n))
		return out
	}
	rank := len(pads) / 2
	ends := make([]int, rank)
	for i := range ends {
		ends[i] = math.MaxInt32
		if pads[rank+i] != 0 {
			ends[i] = -pads[rank+i]
		}
	}
	out[0] = b.Op("Slice", dy[0], b.Const(tensor.Ints(pads[:rank]...)), b.Const(tensor.Ints(ends...)))
	return out
}

// vjpGather adds the cotangent's slices where they were taken: rows of the
// gathered axis are brought to the front and scattered with addition.
func vjpGather(b *Builder, n *Node, dy []*Value) []*Value {
	x, index, d := n.In[0], n.In[1], dy[0]
	axis := n.Attrs.Int("axis", 0)
	rank, ri := x.Type.Rank(), index.Type.Rank()
	if rank < 0 || ri < 0 {
		b.failRank(x)
		return []*Value{nil, nil}
	}
	if axis < 0 {
		axis += rank
	}
	// d is [before..., index..., after...]; bring the index axes to the front.
	front := make([]int, 0, d.Type.Rank())
	for i := range ri {
		front = append(front, axis+i)
	}
	for i := range d.Type.Rank() {
		if i < axis || i >= axis+ri {
			front = append(front, i)
		}
	}
	d = b.With("Transpose", Attributes{Ints("perm", front...)}, d)
	move := append([]int{axis}, slices.DeleteFunc(upTo(rank), func(i int) bool { return i == axis })...)
	zero := b.With("Transpose", Attributes{Ints("perm", move...)}, b.mul(b.onesLike(x), b.zeros(x)))
	added := b.With("ScatterND", Attributes{Text("reduction", "add")}, zero, b.unsqueeze(index, -1), d)
	back := make([]int, rank)
	for i, p := range move {
		back[p] = i
	}
	return []*Value{b.With("Transpose", Attributes{Ints("perm", back...)}, added), nil}
}

func vjpGatherElements(b *Builder, n *Node, dy []*Value) []*Value {
	x := n.In[0]
	zero := b.mul(b.onesLike(x), b.zeros(x))
	attrs := Attributes{Int("axis", n.Attrs.Int("axis", 0)), Text("reduction", "add")}
	return []*Value{b.With("ScatterElements", attrs, zero, n.In[1], dy[0]), nil}
}
