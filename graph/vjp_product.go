package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

func productVJPs() map[string]vjpFunc {
	return map[string]vjpFunc{"ReduceProd": vjpReduceProd, "CumProd": vjpCumProd}
}

// vjpReduceProd multiplies by the product of the other elements: of those before
// times those behind, so that zeros are no exception.
func vjpReduceProd(b *Builder, n *Node, dy []*Value) []*Value {
	x := n.In[0]
	out := make([]*Value, len(n.In))
	axes, err := b.reducedAxes(n)
	if err != nil {
		b.Fail(err)
		return out
	}
	rank := x.Type.Rank()
	perm := slices.DeleteFunc(upTo(rank), func(i int) bool { return slices.Contains(axes, i) })
	kept := len(perm)
	perm = append(perm, axes...)
	back := make([]int, rank)
	for i, p := range perm {
		back[p] = i
	}
	moved := b.With("Transpose", Attributes{Ints("perm", perm...)}, x)
	flat := b.Op("Reshape", moved, b.Const(tensor.Ints(append(make([]int, kept), -1)...)))
	axis := b.Const(tensor.Scalar(int64(kept)))
	before := b.With("CumProd", Attributes{Int("exclusive", 1)}, flat, axis)
	behind := b.With("CumProd", Attributes{Int("exclusive", 1), Int("reverse", 1)}, flat, axis)
	others := b.With("Transpose", Attributes{Ints("perm", back...)}, b.shapeLike(b.mul(before, behind), moved))
	out[0] = b.mul(b.restore(n, dy[0]), others)
	return out
}

// reducedAxes are the axes of a reduction, which must be constant.
func (b *Builder) reducedAxes(n *Node) ([]int, error) {
	rank, err := n.inputRank(0)
	if err != nil {
		return nil, err
	}
	var axes []int
	if n.Input(1) != nil {
		var ok bool
		if axes, ok = (&Inference{Node: n, Facts: b.facts}).ConstInts(1); !ok {
			return nil, fmt.Errorf("gradient of %s: want constant axes", n)
		}
	}
	switch {
	case len(axes) > 0:
		return normAxes(axes, rank)
	case n.Attrs.Int("noop_with_empty_axes", 0) != 0:
		return nil, nil
	}
	return upTo(rank), nil
}

// vjpCumProd: with y[i] = Π x[j] over j ≤ i,
//
//	dx[k] = (Π x[j] over j < k)·S[k],   S[k] = dy[k] + x[k+1]·S[k+1]
//
// which divides by nothing. The recurrence is solved by doubling: after step s,
// S holds the terms of 2ˢ elements and A the product of as many factors.
// Exclusive products have dy[k+1] for dy[k], and reverse ones run from the other
// end.
//
// Source: W. Hillis and G. Steele, "Data parallel algorithms", CACM 29 (1986).
func vjpCumProd(b *Builder, n *Node, dy []*Value) []*Value {
	x, d := n.In[0], dy[0]
	list, ok := (&Inference{Node: n, Facts: b.facts}).ConstInts(1)
	if !ok || len(list) != 1 || !x.Type.Ranked() {
		b.Fail(fmt.Errorf("gradient of %s: want a constant axis and a known rank", n))
		return []*Value{nil, nil}
	}
	axis, err := normAxis(list[0], x.Type.Rank())
	if err != nil || !x.Type.Shape[axis].Known() {
		b.Fail(fmt.Errorf("gradient of %s: the size of axis %d is unknown", n, list[0]))
		return []*Value{nil, nil}
	}
	reverse := n.Attrs.Int("reverse", 0) != 0
	later := func(v *Value, s int) *Value { return b.shift(v, axis, s, reverse) }
	sum, factor := d, later(x, 1)
	if n.Attrs.Int("exclusive", 0) != 0 {
		sum = later(d, 1)
	}
	for s := 1; s < x.Type.Shape[axis].Size; s *= 2 {
		sum = b.add(sum, b.mul(factor, later(sum, s)))
		factor = b.mul(factor, later(factor, s))
	}
	before := b.With("CumProd", n.Attrs.With(Int("exclusive", 1)), x, n.In[1])
	return []*Value{b.mul(before, sum), nil}
}

// shift moves the elements s places towards the beginning of an axis, or the
// end; zeros follow.
func (b *Builder) shift(v *Value, axis, s int, toEnd bool) *Value {
	if toEnd {
		s = -s
	}
	rank := v.Type.Rank()
	pads := make([]int, 2*rank)
	pads[axis], pads[rank+axis] = -s, s
	return b.pad(v, pads)
}
