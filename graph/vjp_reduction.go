package graph

import (
	"github.com/compactify/compactify/tensor"
)

func reductionVJPs() map[string]vjpFunc {
	return map[string]vjpFunc{
		"ReduceSum":  vjpReduceSum,
		"ReduceMean": vjpReduceMean,
		"ReduceMax":  vjpReduceExtreme,
		"ReduceMin":  vjpReduceExtreme,
		"Softmax":    vjpSoftmax,
		"LogSoftmax": vjpLogSoftmax,
		"MaxPool":    vjpMaxPool,
		"AveragePool": func(b *Builder, n *Node, dy []*Value) []*Value {
			return []*Value{b.With("compactify.AveragePoolGrad", n.Attrs, dy[0], b.Op("Shape", n.In[0]))}
		},
		"compactify.AveragePoolGrad": func(b *Builder, n *Node, dy []*Value) []*Value {
			return []*Value{b.With("AveragePool", n.Attrs, dy[0]), nil}
		},
		"GlobalAveragePool": vjpGlobalAveragePool,
		"compactify.MaxPoolScatter": func(b *Builder, n *Node, dy []*Value) []*Value {
			return []*Value{b.Op("compactify.MaxPoolGather", dy[0], n.In[1]), nil, nil}
		},
		"compactify.MaxPoolGather": func(b *Builder, n *Node, dy []*Value) []*Value {
			return []*Value{b.Op("compactify.MaxPoolScatter", dy[0], n.In[1], b.Op("Shape", n.In[0])), nil}
		},
		"compactify.SoftmaxCrossEntropy": vjpSoftmaxCrossEntropy,
	}
}

// restore brings a reduced value (or its cotangent) back to a rank that
// broadcasts against the reduction's input.
func (b *Builder) restore(n *Node, d *Value) *Value {
	if n.Attrs.Int("keepdims", 1) != 0 || d.Type.Rank() == 0 {
		return d
	}
	axes := n.Input(1)
	if axes == nil {
		return d // reduced to a scalar
	}
	return b.Op("Unsqueeze", d, axes)
}

func vjpReduceSum(b *Builder, n *Node, dy []*Value) []*Value {
	x := n.In[0]
	d := b.Op("Expand", b.restore(n, dy[0]), b.Op("Shape", x))
	return append([]*Value{d}, make([]*Value, len(n.In)-1)...)
}

// vjpReduceMean divides by the number of elements that were averaged.
func vjpReduceMean(b *Builder, n *Node, dy []*Value) []*Value {
	x, y := n.In[0], n.Out[0]
	to := Attributes{Int("to", int(x.Type.DType))}
	count := b.Op("Div", b.Op("Size", x), b.Op("Size", y))
	return vjpReduceSum(b, n, []*Value{b.div(dy[0], b.With("Cast", to, count))})
}

// vjpReduceExtreme shares the cotangent evenly among the elements that attain
// the extreme.
func vjpReduceExtreme(b *Builder, n *Node, dy []*Value) []*Value {
	x := n.In[0]
	to := Attributes{Int("to", int(x.Type.DType))}
	hit := b.With("Cast", to, b.Op("Equal", x, b.restore(n, n.Out[0])))
	in := append([]*Value{hit}, n.In[1:]...)
	count := b.With("ReduceSum", n.Attrs.With(Int("keepdims", 1)), in...)
	d := b.mul(hit, b.div(b.restore(n, dy[0]), count))
	return append([]*Value{d}, make([]*Value, len(n.In)-1)...)
}

// vjpSoftmax: dx = y ∘ (dy − Σ dy∘y).
func vjpSoftmax(b *Builder, n *Node, dy []*Value) []*Value {
	y := n.Out[0]
	axis := n.Attrs.Int("axis", -1)
	inner := b.sum(b.mul(dy[0], y), true, axis)
	return []*Value{b.mul(y, b.sub(dy[0], inner))}
}

// vjpLogSoftmax: dx = dy − softmax(x)·Σ dy.
func vjpLogSoftmax(b *Builder, n *Node, dy []*Value) []*Value {
	axis := n.Attrs.Int("axis", -1)
	return []*Value{b.sub(dy[0], b.mul(b.Op("Exp", n.Out[0]), b.sum(dy[0], true, axis)))}
}

// vjpMaxPool sends every cotangent to the element that was the maximum. It adds
// the indices to the forward node's outputs if they are not there.
func vjpMaxPool(b *Builder, n *Node, dy []*Value) []*Value {
	if n.Output(1) == nil {
		indices := b.Value(n.Out[0].Type.With(tensor.Int64))
		n.Out = append(n.Out[:1:1], indices)
	}
	return []*Value{b.Op("compactify.MaxPoolScatter", dy[0], n.Out[1], b.Op("Shape", n.In[0]))}
}

func vjpGlobalAveragePool(b *Builder, n *Node, dy []*Value) []*Value {
	x := n.In[0]
	to := Attributes{Int("to", int(x.Type.DType))}
	count := b.With("Cast", to, b.Op("Div", b.Op("Size", x), b.Op("Size", n.Out[0])))
	return []*Value{b.Op("Expand", b.div(dy[0], count), b.Op("Shape", x))}
}

// vjpSoftmaxCrossEntropy: the loss is linear in the target, with the negative
// logarithms of the probabilities as slopes, and its gradient in the logits is
// (softmax − target)/N where the target sums to one.
func vjpSoftmaxCrossEntropy(b *Builder, n *Node, dy []*Value) []*Value {
	z, target := n.In[0], n.In[1]
	out := make([]*Value, 2)
	if b.active(z) {
		out[0] = b.Op("compactify.SoftmaxCrossEntropyGrad", z, target, dy[0])
	}
	if b.active(target) {
		rows := b.With("Shape", Attributes{Int("start", 0), Int("end", 1)}, z)
		count := b.as(z.Type.DType, b.Op("Squeeze", rows, b.Const(tensor.Ints(0))))
		logs := b.With("LogSoftmax", Attributes{Int("axis", 1)}, z)
		out[1] = b.mul(logs, b.neg(b.div(dy[0], count)))
	}
	return out
}
