package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

func quantizationVJPs() map[string]vjpFunc {
	return map[string]vjpFunc{
		"compactify.FakeQuantize": vjpFakeQuantize,
		"DequantizeLinear":        vjpDequantize,
	}
}

// vjpFakeQuantize is the straight-through estimator for x and the learned-step
// gradient for the scale s. With v = x/s + zero, inside the range ∂y/∂x = 1 and
// ∂y/∂s = round(v) − v; outside it ∂y/∂x = 0 and ∂y/∂s = bound − zero. What s has
// is multiplied by the attribute step_gradient, 1 unless it is given.
//
// Sources: Y. Bengio, N. Léonard and A. Courville, "Estimating or propagating
// gradients through stochastic neurons", 2013; S. Esser et al., "Learned step
// size quantization", ICLR 2020, equations 2 and 3.
func vjpFakeQuantize(b *Builder, n *Node, dy []*Value) []*Value {
	out := make([]*Value, len(n.In))
	if n.Input(2) == nil && b.active(n.In[1]) {
		copy(out, b.Multi("compactify.FakeQuantizeGrad", n.Attrs, 2, dy[0], n.In[0], n.In[1]))
	} else {
		out[0], out[1] = b.fakeQuantizeGrad(n, n.In[0], n.In[1], n.Input(2), dy[0])
	}
	if f := n.Attrs.Float("step_gradient", 1); f != 1 && out[1] != nil {
		out[1] = b.mul(out[1], b.ConstLike(out[1], f))
	}
	return out
}

func lowerFakeQuantizeGrad(b *Builder, n *Node) []*Value {
	grid := &Node{Name: n.Name, Op: n.Op, In: n.In[1:], Out: n.Out, Attrs: n.Attrs}
	dx, dscale := b.fakeQuantizeGrad(grid, n.In[1], n.In[2], nil, n.In[0])
	return []*Value{dx, dscale}
}

// fakeQuantizeGrad is the rule in elementwise operators. dscale is nil if it is
// not wanted.
func (b *Builder) fakeQuantizeGrad(n *Node, x, scale, zero, d *Value) (dx, dscale *Value) {
	lo, hi := FakeQuantizeRange(n)
	spread, gather := b.gridSteps(n)
	v := b.div(x, spread(scale))
	if zero != nil {
		zero = spread(zero)
		v = b.add(v, zero)
	}
	inside := b.Op("And",
		b.Op("GreaterOrEqual", v, b.ConstLike(v, lo)),
		b.Op("LessOrEqual", v, b.ConstLike(v, hi)))
	dx = b.mask(inside, d)
	if !b.active(scale) {
		return dx, nil
	}
	q := b.Op("Round", b.Op("Clip", v, b.ConstLike(v, lo), b.ConstLike(v, hi)))
	bound := q
	if zero != nil {
		bound = b.sub(q, zero)
	}
	slope := b.Op("Where", inside, b.sub(q, v), bound)
	return dx, gather(b.mul(d, slope))
}

// vjpDequantize: y = (x − zero)·scale is linear in the scale; x is an integer.
func vjpDequantize(b *Builder, n *Node, dy []*Value) []*Value {
	x, scale := n.In[0], n.In[1]
	out := make([]*Value, len(n.In))
	if !b.active(scale) {
		return out
	}
	d := scale.Type.DType
	steps := b.as(d, x)
	spread, gather := b.gridSteps(n)
	if zero := n.Input(2); zero != nil {
		steps = b.sub(steps, b.as(d, spread(zero)))
	}
	out[1] = gather(b.mul(b.as(d, dy[0]), steps))
	return out
}

// gridSteps spreads a scale or zero point over the elements it is for, and adds
// what those have back to it: one for all, one per entry of the axis, or one per
// block of entries.
func (b *Builder) gridSteps(n *Node) (spread, gather func(*Value) *Value) {
	x, scale := n.In[0], n.In[1]
	block := n.Attrs.Int("block_size", 0)
	if block == 0 {
		spread = func(v *Value) *Value { return b.spreadAlong(n, v) }
		return spread, func(v *Value) *Value { return b.shapeLike(b.unbroadcast(v, spread(scale)), scale) }
	}
	axis, err := normAxis(n.Attrs.Int("axis", 1), x.Type.Rank())
	if err != nil || !x.Type.Shape[axis].Known() {
		b.Fail(fmt.Errorf("gradient of %s: the size of axis %d is unknown", n, n.Attrs.Int("axis", 1)))
		axis = 0
	}
	at := upTo(max(0, x.Type.Shape[axis].Size))
	for i := range at {
		at[i] /= block
	}
	index := b.Const(tensor.Ints(at...))
	return func(v *Value) *Value { return b.With("Gather", Attributes{Int("axis", axis)}, v, index) },
		func(v *Value) *Value { return b.scatterAlong(v, index, axis, b.zerosLike(scale)) }
}
