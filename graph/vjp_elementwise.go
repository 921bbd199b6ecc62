package graph

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/tensor"
)

func (b *Builder) failRank(v *Value) {
	b.Fail(fmt.Errorf("gradient of %q: its rank is unknown", v.Name))
}

func elementwiseVJPs() map[string]vjpFunc {
	same := func(_ *Builder, _ *Node, dy *Value) *Value { return dy }
	return map[string]vjpFunc{
		"Add": broadcasting(same, same),
		"Sub": broadcasting(same, func(b *Builder, _ *Node, dy *Value) *Value { return b.neg(dy) }),
		"Mul": broadcasting(
			func(b *Builder, n *Node, dy *Value) *Value { return b.mul(dy, n.In[1]) },
			func(b *Builder, n *Node, dy *Value) *Value { return b.mul(dy, n.In[0]) }),
		"Div": broadcasting(
			func(b *Builder, n *Node, dy *Value) *Value { return b.div(dy, n.In[1]) },
			func(b *Builder, n *Node, dy *Value) *Value { return b.neg(b.mul(dy, b.div(n.Out[0], n.In[1]))) }),
		"Pow": broadcasting(
			func(b *Builder, n *Node, dy *Value) *Value { // p·x^(p−1)
				p := n.In[1]
				return b.mul(dy, b.mul(p, b.Op("Pow", n.In[0], b.sub(p, b.ConstLike(p, 1)))))
			},
			func(b *Builder, n *Node, dy *Value) *Value { // x^p·log x
				return b.mul(dy, b.mul(n.Out[0], b.Op("Log", n.In[0])))
			}),
		"Neg":        func(b *Builder, _ *Node, dy []*Value) []*Value { return []*Value{b.neg(dy[0])} },
		"Exp":        unary(func(_ *Builder, _ *Node, _, y *Value) *Value { return y }),
		"Log":        unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.Op("Reciprocal", x) }),
		"Sqrt":       unary(func(b *Builder, _ *Node, _, y *Value) *Value { return b.scale(b.Op("Reciprocal", y), 0.5) }),
		"Reciprocal": unary(func(b *Builder, _ *Node, _, y *Value) *Value { return b.neg(b.mul(y, y)) }),
		"Abs":        unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.Op("Sign", x) }),
		"Sin":        unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.Op("Cos", x) }),
		"Cos":        unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.neg(b.Op("Sin", x)) }),
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
		"Where": vjpWhere,
		"Min":   vjpExtreme,
		"Max":   vjpExtreme,
		"Sum":   vjpSum,
		"Mean": func(b *Builder, n *Node, dy []*Value) []*Value {
			return vjpSum(b, n, []*Value{b.scale(dy[0], 1/float64(len(n.In)))})
		},
		"Cast": func(b *Builder, n *Node, dy []*Value) []*Value {
			if !n.In[0].Type.DType.IsFloat() {
				return []*Value{nil}
			}
			return []*Value{b.With("Cast", Attributes{Int("to", int(n.In[0].Type.DType))}, dy[0])}
		},
		"Identity": func(_ *Builder, _ *Node, dy []*Value) []*Value { return []*Value{dy[0]} },
		"Dropout":  func(_ *Builder, _ *Node, dy []*Value) []*Value { return []*Value{dy[0]} }, // inference: the identity
		"Sign":     vjpNone,
		"Floor":    vjpNone,
		"Ceil":     vjpNone,
		"Round":    vjpNone,
	}
}

// vjpNone is the rule of functions that are constant almost everywhere, or not
// differentiable at all.
func vjpNone(_ *Builder, n *Node, _ []*Value) []*Value { return make([]*Value, len(n.In)) }

func vjpPRelu(b *Builder, n *Node, dy []*Value) []*Value {
	x, slope := n.In[0], n.In[1]
	negative := b.Op("Less", x, b.zeros(x))
	return []*Value{
		b.Op("Where", negative, b.mul(dy[0], slope), dy[0]),
		b.unbroadcast(b.mask(negative, b.mul(dy[0], x)), slope),
	}
}

// vjpClip passes the cotangent inside the closed interval; the bounds are
// constants of the model.
func vjpClip(b *Builder, n *Node, dy []*Value) []*Value {
	d, x := dy[0], n.In[0]
	if lo := n.Input(1); lo != nil {
		d = b.mask(b.Op("GreaterOrEqual", x, lo), d)
	}
	if hi := n.Input(2); hi != nil {
		d = b.mask(b.Op("LessOrEqual", x, hi), d)
	}
	return append([]*Value{d}, make([]*Value, len(n.In)-1)...)
}

func vjpWhere(b *Builder, n *Node, dy []*Value) []*Value {
	zero := b.zeros(dy[0])
	return []*Value{nil,
		b.unbroadcast(b.Op("Where", n.In[0], dy[0], zero), n.In[1]),
		b.unbroadcast(b.Op("Where", n.In[0], zero, dy[0]), n.In[2]),
	}
}

// vjpExtreme gives the cotangent to the inputs that attain the extreme, shared
// evenly among ties.
func vjpExtreme(b *Builder, n *Node, dy []*Value) []*Value {
	to := Attributes{Int("to", int(n.Out[0].Type.DType))}
	hits := make([]*Value, len(n.In))
	var count *Value
	for i, x := range n.In {
		hits[i] = b.With("Cast", to, b.Op("Equal", x, n.Out[0]))
		if count == nil {
			count = hits[i]
		} else {
			count = b.add(count, hits[i])
		}
	}
	share := b.div(dy[0], count)
	out := make([]*Value, len(n.In))
	for i, x := range n.In {
		if b.active(x) {
			out[i] = b.unbroadcast(b.mul(share, hits[i]), x)
		}
	}
	return out
}

func vjpSum(b *Builder, n *Node, dy []*Value) []*Value {
	out := make([]*Value, len(n.In))
	for i, x := range n.In {
		out[i] = b.unbroadcast(dy[0], x)
	}
	return out
}

// onesLike is a tensor of ones in v's shape.
func (b *Builder) onesLike(v *Value) *Value {
	one := tensor.New(v.Type.DType, 1)
	one.Set(0, 1)
	return b.With("ConstantOfShape", Attributes{TensorOf("value", one)}, b.Op("Shape", v))
}
