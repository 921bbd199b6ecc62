package graph

import "fmt"

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
			func(b *Builder, n *Node, dy *Value) *Value { // x^p·log x, whose limit is 0 for x = 0 and p > 0
				x := n.In[0]
				safe := b.Op("Where", b.Op("Equal", x, b.zeros(x)), b.ConstLike(x, 1), x)
				return b.mul(dy, b.mul(n.Out[0], b.Op("Log", safe)))
			}),
		"Neg":        func(b *Builder, _ *Node, dy []*Value) []*Value { return []*Value{b.neg(dy[0])} },
		"Exp":        unary(func(_ *Builder, _ *Node, _, y *Value) *Value { return y }),
		"Log":        unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.Op("Reciprocal", x) }),
		"Sqrt":       unary(func(b *Builder, _ *Node, _, y *Value) *Value { return b.scale(b.Op("Reciprocal", y), 0.5) }),
		"Reciprocal": unary(func(b *Builder, _ *Node, _, y *Value) *Value { return b.neg(b.mul(y, y)) }),
		"Abs":        unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.Op("Sign", x) }),
		"Sin":        unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.Op("Cos", x) }),
		"Cos":        unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.neg(b.Op("Sin", x)) }),
		"Tan":        unary(func(b *Builder, _ *Node, _, y *Value) *Value { return b.add(b.ConstLike(y, 1), b.mul(y, y)) }),
		"Sinh":       unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.Op("Cosh", x) }),
		"Cosh":       unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.Op("Sinh", x) }),
		"Asin":       unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.inverseRoot(b.quadratic(x, 1, -1)) }),
		"Acos":       unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.neg(b.inverseRoot(b.quadratic(x, 1, -1))) }),
		"Atan":       unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.Op("Reciprocal", b.quadratic(x, 1, 1)) }),
		"Asinh":      unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.inverseRoot(b.quadratic(x, 1, 1)) }),
		"Acosh":      unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.inverseRoot(b.quadratic(x, -1, 1)) }),
		"Atanh":      unary(func(b *Builder, _ *Node, x, _ *Value) *Value { return b.Op("Reciprocal", b.quadratic(x, 1, -1)) }),
		"Mod": broadcasting(same, func(b *Builder, n *Node, dy *Value) *Value { // y = a − q·b, q constant almost everywhere
			q := b.Op("Round", b.div(b.sub(n.In[0], n.Out[0]), n.In[1]))
			return b.neg(b.mul(dy, q))
		}),
		"Where": vjpWhere,
		"Min":   vjpExtreme,
		"Max":   vjpExtreme,
		"Sum":   vjpSum,
		"Mean": func(b *Builder, n *Node, dy []*Value) []*Value {
			return vjpSum(b, n, []*Value{b.scale(dy[0], 1/float64(len(n.In)))})
		},
		"Cast":     vjpCast,
		"CastLike": vjpCast,
		"Identity": func(_ *Builder, _ *Node, dy []*Value) []*Value { return []*Value{dy[0]} },
	}
}

// vjpCast casts back; where one of the types has no cotangents, nothing flows.
func vjpCast(b *Builder, n *Node, dy []*Value) []*Value {
	out := make([]*Value, len(n.In))
	if n.In[0].continuous() && dy[0].continuous() {
		out[0] = b.as(n.In[0].Type.DType, dy[0])
	}
	return out
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

// quadratic is c + k·x².
func (b *Builder) quadratic(x *Value, c, k float64) *Value {
	return b.add(b.ConstLike(x, c), b.scale(b.mul(x, x), k))
}

// inverseRoot is 1/√x.
func (b *Builder) inverseRoot(x *Value) *Value { return b.Op("Reciprocal", b.Op("Sqrt", x)) }
