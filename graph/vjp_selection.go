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
		"ScatterElements":      vjpScatter("GatherElements"),
		"ScatterND":            vjpScatter("GatherND"),
		"TopK":                 vjpTopK,
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
		b.Fail(fmt.Errorf("gradient of %s: attribute mode: got %q, want constant", n, mode))
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
	zero := b.With("Transpose", Attributes{Ints("perm", move...)}, b.zerosLike(x))
	added := b.With("ScatterND", Attributes{Text("reduction", "add")}, zero, b.unsqueeze(b.wide(index), -1), d)
	back := make([]int, rank)
	for i, p := range move {
		back[p] = i
	}
	return []*Value{b.With("Transpose", Attributes{Ints("perm", back...)}, added), nil}
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

func vjpGatherND(b *Builder, n *Node, dy []*Value) []*Value {
	if batch := n.Attrs.Int("batch_dims", 0); batch != 0 {
		b.Fail(fmt.Errorf("gradient of %s: attribute batch_dims: got %d, want 0", n, batch))
		return []*Value{nil, nil}
	}
	attrs := Attributes{Text("reduction", "add")}
	return []*Value{b.With("ScatterND", attrs, b.zerosLike(n.In[0]), n.In[1], dy[0]), nil}
}

// vjpScatter: what was scattered is gathered back. The data keep their cotangent
// where they are added to, and lose it where they are replaced (by one update:
// ONNX leaves open which of several wins).
func vjpScatter(gather string) vjpFunc {
	return func(b *Builder, n *Node, dy []*Value) []*Value {
		data, index, updates, d := n.In[0], n.In[1], n.In[2], dy[0]
		out := make([]*Value, 3)
		reduction := n.Attrs.Text("reduction", "none")
		if reduction != "none" && reduction != "add" {
			b.Fail(fmt.Errorf("gradient of %s: attribute reduction: got %q, want none or add", n, reduction))
			return out
		}
		if b.active(data) {
			out[0] = d
			if reduction == "none" {
				out[0] = b.With(n.Kind(), n.Attrs, d, index, b.zerosLike(updates))
			}
		}
		if b.active(updates) {
			out[2] = b.With(gather, n.Attrs.Without("reduction"), d, index)
		}
		return out
	}
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
