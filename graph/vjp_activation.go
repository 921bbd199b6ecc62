package graph

import (
	"math"

	"github.com/compactify/compactify/tensor"
)

func activationVJPs() map[string]vjpFunc {
	return map[string]vjpFunc{
		"Tanh": unary(func(b *Builder, _ *Node, _, y *Value) *Value {
			return b.sub(b.ConstLike(y, 1), b.mul(y, y))
		}),
		"Sigmoid": unary(func(b *Builder, _ *Node, _, y *Value) *Value {
			return b.mul(y, b.sub(b.ConstLike(y, 1), y))
		}),
		"Softplus": unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.Op("Sigmoid", x) }),
		"Erf": unary(func(b *Builder, _ *Node, x, _ *Value) *Value {
			return b.scale(b.Op("Exp", b.neg(b.mul(x, x))), 2/math.SqrtPi)
		}),
		"Relu": func(b *Builder, n *Node, dy []*Value) []*Value {
			return []*Value{b.Op("compactify.ReluGrad", dy[0], n.Out[0])}
		},
		"compactify.ReluGrad": func(b *Builder, n *Node, dy []*Value) []*Value {
			return []*Value{b.Op("compactify.ReluGrad", dy[0], n.In[1]), nil}
		},
		"LeakyRelu": func(b *Builder, n *Node, dy []*Value) []*Value {
			x := n.In[0]
			slope := b.scale(dy[0], n.Attrs.Float("alpha", 0.01))
			return []*Value{b.Op("Where", b.Op("Less", x, b.zeros(x)), slope, dy[0])}
		},
		"PRelu": vjpPRelu,
		"Clip":  vjpClip,
		"Elu": func(b *Builder, n *Node, dy []*Value) []*Value {
			return []*Value{b.exponentialBelow(n, dy[0], 1, n.Attrs.Float("alpha", 1))}
		},
		"Selu": func(b *Builder, n *Node, dy []*Value) []*Value {
			gamma := n.Attrs.Float("gamma", float64(seluGamma))
			return []*Value{b.exponentialBelow(n, dy[0], gamma, gamma*n.Attrs.Float("alpha", float64(seluAlpha)))}
		},
		"HardSigmoid": vjpHardSigmoid,
		"Dropout":     vjpDropout,
	}
}

// The defaults of Selu in ONNX, in float32.
const (
	seluAlpha float32 = 1.67326319217681884765625
	seluGamma float32 = 1.05070102214813232421875
)

func vjpPRelu(b *Builder, n *Node, dy []*Value) []*Value {
	x, slope := n.In[0], n.In[1]
	negative := b.Op("Less", x, b.zeros(x))
	return []*Value{
		b.Op("Where", negative, b.mul(dy[0], slope), dy[0]),
		b.unbroadcast(b.mask(negative, b.mul(dy[0], x)), slope),
	}
}

// vjpClip passes the cotangent inside the closed interval; beyond it, it goes to
// the bound, to the upper one if they cross.
func vjpClip(b *Builder, n *Node, dy []*Value) []*Value {
	out := make([]*Value, len(n.In))
	d, x := dy[0], n.In[0]
	if hi := n.Input(2); hi != nil {
		inside := b.Op("LessOrEqual", x, hi)
		if lo := n.Input(1); lo != nil {
			inside = b.Op("And", inside, b.Op("LessOrEqual", lo, hi))
		}
		if b.active(hi) {
			out[2] = b.unbroadcast(b.mask(b.Op("Not", inside), d), hi)
		}
		d = b.mask(inside, d)
	}
	if lo := n.Input(1); lo != nil {
		inside := b.Op("GreaterOrEqual", x, lo)
		if b.active(lo) {
			out[1] = b.unbroadcast(b.mask(b.Op("Not", inside), d), lo)
		}
		d = b.mask(inside, d)
	}
	out[0] = d
	return out
}

// exponentialBelow is the rule of y = slope·x above 0 and depth·(eˣ − 1) below,
// where the derivative is y + depth.
func (b *Builder) exponentialBelow(n *Node, dy *Value, slope, depth float64) *Value {
	x, y := n.In[0], n.Out[0]
	below := b.add(y, b.ConstLike(y, depth))
	return b.mul(dy, b.Op("Where", b.Op("Less", x, b.zeros(x)), below, b.ConstLike(y, slope)))
}

// vjpHardSigmoid: y = clip(alpha·x + beta, 0, 1).
func vjpHardSigmoid(b *Builder, n *Node, dy []*Value) []*Value {
	y := n.Out[0]
	inside := b.Op("And", b.Op("Greater", y, b.zeros(y)), b.Op("Less", y, b.ConstLike(y, 1)))
	return []*Value{b.mask(inside, b.scale(dy[0], n.Attrs.Float("alpha", 0.2)))}
}

// vjpDropout: the identity in inference; in training what was kept is scaled by
// 1/(1 − ratio). It adds the mask to the forward node's outputs if it is not
// there.
func vjpDropout(b *Builder, n *Node, dy []*Value) []*Value {
	out := make([]*Value, len(n.In))
	if out[0] = dy[0]; n.Input(2) == nil || dy[0] == nil {
		return out
	}
	if n.Output(1) == nil {
		n.Out = append(n.Out[:1:1], b.Value(n.Out[0].Type.With(tensor.Bool)))
	}
	ratio := b.ConstLike(dy[0], 0.5)
	if r := n.Input(1); r != nil {
		ratio = b.as(dy[0].Type.DType, r)
	}
	one := b.ConstLike(dy[0], 1)
	factor := b.Op("Where", n.In[2], b.Op("Reciprocal", b.sub(one, ratio)), one)
	out[0] = b.mask(n.Out[1], b.mul(dy[0], factor))
	return out
}
