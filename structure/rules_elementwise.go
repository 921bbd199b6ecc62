package structure

import (
	"github.com/compactify/compactify/graph"
)

// combine says when the result of an elementwise operator is zero, given which
// of its operands are.
type combine func(operands []bool) bool

func elementwiseRelations() map[string]relation {
	table := make(map[string]relation)
	add := func(c combine, ops ...string) {
		for _, op := range ops {
			table[op] = elementwise(c)
		}
	}
	never := func([]bool) bool { return false }
	first := func(zero []bool) bool { return zero[0] }
	every := func(zero []bool) bool {
		for _, is := range zero {
			if !is {
				return false
			}
		}
		return true
	}
	some := func(zero []bool) bool {
		for _, is := range zero {
			if is {
				return true
			}
		}
		return false
	}
	add(first, "Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "HardSwish", "Swish", "Tanh", "Softsign", "Mish", "Gelu",
		"Shrink", "Identity", "Cast", "Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Sqrt", "Erf", "Sin", "Tan", "Asin", "Atan", "Sinh",
		"Asinh", "Atanh", "Div", "Mod", "com.microsoft.Gelu", "com.microsoft.QuickGelu")
	add(never, "Sigmoid", "HardSigmoid", "Softplus", "Reciprocal", "Exp", "Log", "Cos", "Acos", "Cosh", "Acosh", "Not", "Equal", "Greater", "Less",
		"GreaterOrEqual", "LessOrEqual", "IsNaN", "IsInf", "Or", "Xor", "BitwiseNot")
	add(every, "Add", "Sub", "Sum", "Mean", "Max", "Min", "BitwiseOr", "BitwiseXor", "com.microsoft.BiasGelu")
	add(some, "Mul", "And", "BitwiseAnd")
	add(func(zero []bool) bool { return zero[1] && zero[2] }, "Where")
	table["com.microsoft.FastGelu"] = elementwise(func(zero []bool) bool { return zero[0] && (len(zero) == 1 || zero[1]) })
	table["Dropout"] = relateDropout
	table["Pow"] = relatePow
	table["Clip"] = relateClip
	table["CastLike"] = relateFirst
	table["DequantizeLinear"], table["QuantizeLinear"] = relateScaled, relateScaled
	table["compactify.FakeQuantize"] = relateScaled
	return table
}

// elementwise ties the operands to the result, as they broadcast.
func elementwise(c combine) relation {
	return func(x *axes, n *graph.Node) nodeRule {
		for _, out := range n.Out {
			for _, v := range n.In {
				x.broadcast(n, v, out)
			}
		}
		return nodeRule{zero: func(z zeros) {
			for _, out := range n.Out {
				z.elementwise(n.In, out, c)
			}
		}}
	}
}

// broadcast ties the axes of an operand to those of the result, from the last
// backwards; an axis of length 1 that is stretched has nothing to remove.
func (x *axes) broadcast(n *graph.Node, in, out *graph.Value) {
	if in == nil || out == nil {
		return
	}
	a, b := x.at(in), x.at(out)
	for k := 1; k <= min(len(a), len(b)); k++ {
		if i, o := a[len(a)-k], b[len(b)-k]; i.size != 1 {
			x.tie(n, i, o)
		}
	}
}

// elementwise sets the zeros of a result: an operand counts as zero along an
// axis if it is and has the axis, or if it is a constant of zeros.
func (z zeros) elementwise(in []*graph.Value, out *graph.Value, c combine) {
	if out == nil {
		return
	}
	for k := range out.Type.Rank() {
		zero := make([]bool, len(in))
		for i, v := range in {
			zero[i] = z.aligned(v, out, k)
		}
		z.set(out, k, c(zero))
	}
}

// aligned reports whether an operand is zero along axis k of the result.
func (z zeros) aligned(v, out *graph.Value, k int) bool {
	if v == nil {
		return false
	}
	axis := k - (out.Type.Rank() - v.Type.Rank())
	if axis >= 0 && v.Type.Shape[axis].Same(out.Type.Shape[k]) && z.at(v, axis) {
		return true
	}
	return z.zeroData(v)
}

// relateDropout passes its input on; in training it draws a mask for its shape.
func relateDropout(x *axes, n *graph.Node) nodeRule {
	if v := n.Input(2); v != nil {
		if training, ok := x.ints(v); !ok || len(training) != 1 || training[0] != 0 {
			x.fixNode(n, "draws at random")
			return nodeRule{}
		}
	}
	for _, out := range n.Out {
		x.broadcast(n, n.In[0], out)
	}
	return nodeRule{zero: func(z zeros) { z.like(n.In[0], n.Out[0]) }}
}

// relatePow: zero to a positive constant is zero.
func relatePow(x *axes, n *graph.Node) nodeRule {
	return elementwise(func(zero []bool) bool {
		e, ok := x.constant(n.In[1])
		return zero[0] && ok && e.Len() == 1 && e.At(0) > 0
	})(x, n)
}

// relateClip: zero stays zero between bounds of either sign.
func relateClip(x *axes, n *graph.Node) nodeRule {
	bound := func(i int, sign float64) bool {
		v := n.Input(i)
		if v == nil {
			return true
		}
		t, ok := x.constant(v)
		return ok && t.Len() == 1 && t.At(0)*sign >= 0
	}
	return elementwise(func(zero []bool) bool { return zero[0] && bound(1, -1) && bound(2, 1) })(x, n)
}

// relateFirst: the result is like the first input; the others only say how.
func relateFirst(x *axes, n *graph.Node) nodeRule {
	x.broadcast(n, n.In[0], n.Out[0])
	return nodeRule{zero: func(z zeros) { z.like(n.In[0], n.Out[0]) }}
}

// like gives an output the zeros of an input of the same axes.
func (z zeros) like(in, out *graph.Value) {
	for k := range out.Type.Rank() {
		z.set(out, k, z.at(in, k))
	}
}

// relateScaled: rounding to a grid or back, with scales for all, by index of an
// axis, or in blocks along it, which must stay whole.
func relateScaled(x *axes, n *graph.Node) nodeRule {
	rule := relateFirst(x, n)
	in := x.at(n.In[0])
	axis, ok := normal(n.Attrs.Int("axis", 1), len(in))
	for _, v := range n.In[1:] {
		if v == nil || v.Type.Rank() == 0 {
			continue
		}
		s := x.at(v)
		switch {
		case len(s) == 1 && s[0].size == 1:
		case !ok:
			x.fixNode(n, "has an axis that does not exist")
		case len(s) == 1:
			x.tie(n, s[0], in[axis])
		case len(s) == len(in):
			for k := range s {
				if k != axis && s[k].size != 1 {
					x.tie(n, s[k], in[k])
				}
			}
			if s[axis].size != in[axis].size {
				x.fix(in[axis], x.because("%v scales it in blocks", n))
				x.fix(s[axis], int32(len(x.reasons)))
			} else {
				x.tie(n, s[axis], in[axis])
			}
		default:
			x.fixNode(n, "has scales of another rank")
		}
	}
	return rule
}
