package graph

import (
	"slices"

	"github.com/compactify/compactify/tensor"
)

func samplingVJPs() map[string]vjpFunc {
	return map[string]vjpFunc{
		"Resize":                vjpResize,
		"compactify.ResizeGrad": vjpResizeGrad,
		"Det":                   vjpDet,
	}
}

// vjpResize: resampling is linear in the image, and ResizeGrad its adjoint.
func vjpResize(b *Builder, n *Node, dy []*Value) []*Value {
	in := append([]*Value{dy[0], b.Op("Shape", n.In[0])}, n.In[1:]...)
	return append([]*Value{b.With("compactify.ResizeGrad", n.Attrs, in...)}, make([]*Value, len(n.In)-1)...)
}

// vjpResizeGrad resamples; what is extrapolated has no part in the linear map.
func vjpResizeGrad(b *Builder, n *Node, dy []*Value) []*Value {
	in := append([]*Value{dy[0]}, n.In[2:]...)
	attrs := n.Attrs.Without("extrapolation_value")
	return append([]*Value{b.With("Resize", attrs, in...)}, make([]*Value, len(n.In)-1)...)
}

// vjpDet multiplies by the cofactors: signed determinants of the matrix without
// one row and one column, which unlike det·X⁻ᵀ are right where X is singular.
func vjpDet(b *Builder, n *Node, dy []*Value) []*Value {
	x := n.In[0]
	rank := x.Type.Rank()
	if rank < 2 {
		b.failRank(x)
		return []*Value{nil}
	}
	size := b.staticSizes(x, rank-2)
	d := b.Op("Unsqueeze", dy[0], b.Const(tensor.Ints(-2, -1)))
	if b.err != nil || size[0] == 1 {
		return []*Value{d}
	}
	m := size[0]
	sign := tensor.New(x.Type.DType, m, m)
	minors := tensor.New(tensor.Int64, m, m-1)
	for i := range m {
		for k := range m {
			sign.Set(i*m+k, float64(1-2*((i+k)%2)))
			if k < m-1 {
				at := k
				if k >= i {
					at++
				}
				minors.Set(i*(m-1)+k, float64(at))
			}
		}
	}
	// [..., m, m] → rows [..., m, m−1, m] → columns [..., m, m−1, m, m−1]
	left := b.Const(minors)
	parts := b.With("Gather", Attributes{Int("axis", -1)}, b.With("Gather", Attributes{Int("axis", rank-2)}, x, left), left)
	perm := slices.Concat(upTo(rank-1), []int{rank, rank - 1, rank + 1})
	cofactors := b.mul(b.Op("Det", b.With("Transpose", Attributes{Ints("perm", perm...)}, parts)), b.Const(sign))
	return []*Value{b.mul(d, cofactors)}
}
