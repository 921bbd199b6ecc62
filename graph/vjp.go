package graph

import "github.com/compactify/compactify/tensor"

// The rules below are vector-Jacobian products: given cotangents of a node's
// outputs they build cotangents of its inputs, out of operators. Because what
// they build is again made of operators with rules, derivatives of any order
// follow. nil stands for a zero cotangent.

type vjpFunc = func(*Builder, *Node, []*Value) []*Value

// add, sub, mul, div and neg abbreviate the arithmetic of the rules.
func (b *Builder) add(x, y *Value) *Value { return b.Op("Add", x, y) }
func (b *Builder) sub(x, y *Value) *Value { return b.Op("Sub", x, y) }
func (b *Builder) mul(x, y *Value) *Value { return b.Op("Mul", x, y) }
func (b *Builder) div(x, y *Value) *Value { return b.Op("Div", x, y) }
func (b *Builder) neg(x *Value) *Value    { return b.Op("Neg", x) }

// scale multiplies by a constant.
func (b *Builder) scale(x *Value, c float64) *Value { return b.mul(x, b.ConstLike(x, c)) }

// zeros is a scalar zero of x's number type, to be broadcast.
func (b *Builder) zeros(x *Value) *Value { return b.ConstLike(x, 0) }

// mask keeps d where cond holds and is zero elsewhere.
func (b *Builder) mask(cond, d *Value) *Value { return b.Op("Where", cond, d, b.zeros(d)) }

// sum reduces over axes.
func (b *Builder) sum(x *Value, keep bool, axes ...int) *Value {
	k := 0
	if keep {
		k = 1
	}
	return b.With("ReduceSum", Attributes{Int("keepdims", k)}, x, b.Const(tensor.Ints(axes...)))
}

// shapeLike gives d the shape of v.
func (b *Builder) shapeLike(d, v *Value) *Value {
	return b.Op("Reshape", d, b.Op("Shape", v))
}

// unary builds the rule of an elementwise function from its derivative as a
// function of input and output.
func unary(derivative func(b *Builder, n *Node, x, y *Value) *Value) vjpFunc {
	return func(b *Builder, n *Node, dy []*Value) []*Value {
		return []*Value{b.mul(dy[0], derivative(b, n, n.In[0], n.Out[0]))}
	}
}

// broadcasting builds the rule of a broadcasting function of two inputs from the two
// products dy·∂y/∂x.
func broadcasting(left, right func(b *Builder, n *Node, dy *Value) *Value) vjpFunc {
	return func(b *Builder, n *Node, dy []*Value) []*Value {
		out := make([]*Value, 2)
		for i, f := range []func(*Builder, *Node, *Value) *Value{left, right} {
			if b.active(n.In[i]) {
				out[i] = b.unbroadcast(f(b, n, dy[0]), n.In[i])
			}
		}
		return out
	}
}

// active reports whether a cotangent of v is wanted. Constants have none, and
// the work of computing it is saved.
func (b *Builder) active(v *Value) bool { return v != nil && (b.wanted == nil || b.wanted[v]) }

// unbroadcast sums a cotangent over the axes along which v was broadcast.
func (b *Builder) unbroadcast(d, v *Value) *Value {
	from, to := d.Type.Shape, v.Type.Shape
	if d.Type.Shape == nil || v.Type.Shape == nil {
		b.failRank(v)
		return d
	}
	lead := len(from) - len(to)
	var axes []int
	for i := range from {
		if i < lead || (to[i-lead].Size == 1 && from[i].Size != 1) {
			axes = append(axes, i)
		}
	}
	if len(axes) == 0 {
		return d
	}
	d = b.sum(d, true, axes...)
	if lead > 0 {
		d = b.Op("Squeeze", d, b.Const(tensor.Ints(axes[:lead]...)))
	}
	return d
}
