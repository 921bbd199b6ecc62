package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// The lowerings below are for derivatives: the engine has kernels for their
// operators.

// lowerCompress takes what the condition names.
func lowerCompress(b *Builder, n *Node) []*Value {
	x := n.In[0]
	at := b.Op("Squeeze", b.Op("NonZero", n.In[1]), b.Const(tensor.Ints(0)))
	if !n.Attrs.Has("axis") {
		return []*Value{b.Op("Gather", b.Op("Reshape", x, b.Const(tensor.Ints(-1))), at)}
	}
	return []*Value{b.With("Gather", Attributes{Int("axis", n.Attrs.Int("axis", 0))}, x, at)}
}

// lowerTensorScatter writes a run of steps into a cache [B, ..., S, ...], from
// each batch entry's own place on.
func lowerTensorScatter(b *Builder, n *Node) []*Value {
	cache, update := n.In[0], n.In[1]
	rank, err := n.inputRank(0)
	if err != nil {
		b.Fail(err)
		return []*Value{nil}
	}
	axis, err := normAxis(n.Attrs.Int("axis", -2), rank)
	if err != nil {
		b.Fail(err)
		return []*Value{nil}
	}
	length := func(v *Value) *Value {
		return b.Op("Squeeze", b.With("Shape", Attributes{Int("start", axis), Int("end", axis+1)}, v), b.Const(tensor.Ints(0)))
	}
	along := func(i int) *Value {
		shape := slices.Repeat([]int{1}, rank)
		shape[i] = -1
		return b.Const(tensor.Ints(shape...))
	}
	at := b.Op("Range", b.Const(tensor.Scalar(int64(0))), length(update), b.Const(tensor.Scalar(int64(1))))
	at = b.Op("Reshape", at, along(axis))
	if start := n.Input(2); start != nil {
		at = b.add(at, b.Op("Reshape", b.wide(start), along(0)))
	}
	if n.Attrs.Text("mode", "linear") == "circular" {
		at = b.Op("Mod", at, length(cache))
	}
	at = b.Op("Expand", at, b.Op("Shape", update))
	return []*Value{b.With("ScatterElements", Attributes{Int("axis", axis)}, cache, at, update)}
}

// lowerNLL: −weight[c]·x[n, c, d] for label c of each (n, d), alone, summed, or
// divided by the sum of weights. Labels equal to ignore_index count nothing.
func lowerNLL(b *Builder, n *Node) []*Value {
	x, labels := n.In[0], b.wide(n.In[1])
	weight := b.onesLike(b.as(x.Type.DType, labels))
	if n.Attrs.Has("ignore_index") {
		counts := b.Op("Not", b.Op("Equal", labels, b.ConstLike(labels, float64(n.Attrs.Int("ignore_index", 0)))))
		labels = b.mask(counts, labels)
		weight = b.mask(counts, weight)
	}
	if w := n.Input(2); w != nil {
		weight = b.mul(weight, b.Op("Gather", w, labels))
	}
	one := b.Const(tensor.Ints(1))
	picked := b.Op("Squeeze", b.With("GatherElements", Attributes{Int("axis", 1)}, x, b.Op("Unsqueeze", labels, one)), one)
	loss := b.neg(b.mul(weight, picked))
	all := Attributes{Int("keepdims", 0)}
	switch n.Attrs.Text("reduction", "mean") {
	case "sum":
		loss = b.With("ReduceSum", all, loss)
	case "mean":
		loss = b.div(b.With("ReduceSum", all, loss), b.With("ReduceSum", all, weight))
	}
	return []*Value{loss}
}

// lowerLpPool is (Σ |x|^p)^(1/p) over each window: the mean of what lies inside
// the image times its count.
func lowerLpPool(b *Builder, n *Node) []*Value {
	x, p := n.In[0], n.Attrs.Int("p", 2)
	sizes := b.staticSizes(x, 2)
	if b.err != nil {
		return []*Value{nil}
	}
	attrs := n.Attrs.Without("p", "count_include_pad")
	win, err := PoolGeometry(&Node{Op: "AveragePool", Attrs: attrs}, append([]int{1, 1}, sizes...))
	if err != nil {
		b.Fail(fmt.Errorf("lower %s: %w", n, err))
		return []*Value{nil}
	}
	var power *Value
	switch p {
	case 1:
		power = b.Op("Abs", x)
	case 2:
		power = b.mul(x, x)
	default:
		power = b.Op("Pow", b.Op("Abs", x), b.ConstLike(x, float64(p)))
	}
	sum := b.mul(b.With("AveragePool", attrs, power), b.Const(win.counts(x.Type.DType, sizes)))
	switch p {
	case 1:
		return []*Value{sum}
	case 2:
		return []*Value{b.Op("Sqrt", sum)}
	}
	return []*Value{b.Op("Pow", sum, b.ConstLike(x, 1/float64(p)))}
}

// counts is the number of elements of the image in each window, [1, 1, out...].
func (w *Window) counts(d tensor.DType, in []int) tensor.Tensor {
	t := tensor.New(d, append([]int{1, 1}, w.Out...)...)
	for i := range t.Len() {
		count, rest := 1, i
		for a := len(w.Out) - 1; a >= 0; a-- {
			start := rest%w.Out[a]*w.Strides[a] - w.Pads[a]
			rest /= w.Out[a]
			inside := 0
			for k := range w.Kernel[a] {
				if at := start + k*w.Dilations[a]; at >= 0 && at < in[a] {
					inside++
				}
			}
			count *= inside
		}
		t.Set(i, float64(count))
	}
	return t
}
