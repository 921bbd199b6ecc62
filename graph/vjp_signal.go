package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

func signalVJPs() map[string]vjpFunc {
	return map[string]vjpFunc{"DFT": vjpDFT, "MelWeightMatrix": vjpNone}
}

// vjpDFT: the transform F is linear, so the cotangent of x is its adjoint. With
// n its length, F's adjoint is n times the inverse, and that of the inverse is
// F/n; cutting and padding are each other's adjoints.
func vjpDFT(b *Builder, n *Node, dy []*Value) []*Value {
	x := n.In[0]
	sizes, ok := x.Type.Static()
	if !ok {
		b.Fail(fmt.Errorf("gradient of %s: input 0: got %v, want known sizes", n, x.Type))
		return make([]*Value, len(n.In))
	}
	g, err := NewDFTGeometry(n, b.facts, sizes)
	if err != nil {
		b.Fail(fmt.Errorf("gradient of %s: %w", n, err))
		return make([]*Value, len(n.In))
	}
	length, axis := b.Const(tensor.Scalar(int64(g.Length))), b.Const(tensor.Scalar(int64(g.Axis)))
	var dx *Value
	switch {
	case !g.Inverse: // a one-sided cotangent is padded with zeros to the length
		dx = b.scale(b.With("DFT", Attributes{Int("inverse", 1)}, dy[0], length, axis), float64(g.Length))
	case !g.OneSided:
		dx = b.scale(b.With("DFT", nil, dy[0], length, axis), 1/float64(g.Length))
	default:
		dx = b.mul(b.With("DFT", Attributes{Int("onesided", 1)}, dy[0], length, axis), b.Const(g.halfWeights(x.Type.DType, len(sizes))))
	}
	last := len(sizes) - 1
	if sizes[last] == 1 {
		dx = b.slice(dx, last, 0, 1)
	}
	have, want := g.Length, sizes[g.Axis]
	if g.Inverse && g.OneSided {
		have = g.Length/2 + 1
	}
	switch {
	case have > want:
		dx = b.slice(dx, g.Axis, 0, want)
	case have < want:
		pads := make([]int, 2*len(sizes))
		pads[len(sizes)+g.Axis] = want - have
		dx = b.pad(dx, pads)
	}
	return append([]*Value{dx}, make([]*Value, len(n.In)-1)...)
}

// halfWeights is how often each part of a one-sided spectrum counts in the whole
// one, over the length: twice, but once for entries without a conjugate, whose
// imaginary part counts nothing.
func (g DFTGeometry) halfWeights(d tensor.DType, rank int) tensor.Tensor {
	bins := g.Length/2 + 1
	shape := slices.Repeat([]int{1}, rank)
	shape[g.Axis], shape[rank-1] = bins, 2
	w := tensor.New(d, shape...)
	for k := range bins {
		if k == 0 || 2*k == g.Length {
			w.Set(2*k, 1/float64(g.Length))
			continue
		}
		w.Set(2*k, 2/float64(g.Length))
		w.Set(2*k+1, 2/float64(g.Length))
	}
	return w
}
