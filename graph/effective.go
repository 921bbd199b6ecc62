package graph

import "github.com/compactify/compactify/tensor"

// EffectiveWeight is a weight as the model computes with it, however it is
// stored.
type EffectiveWeight struct {
	Param  *Param
	Reader *Node             // the DequantizeLinear that reads stored integers; nil for a weight in floating point
	At     func(int) float64 // element i in the order of storage
}

// EffectiveWeights lists the trainable parameters of [Graph.Weights] and the
// stored integers that a DequantizeLinear with constant scales turns into
// weights, (q − zero)·scale.
func (g *Graph) EffectiveWeights() []EffectiveWeight {
	var list []EffectiveWeight
	for _, p := range g.Weights() {
		list = append(list, EffectiveWeight{Param: p, At: p.Data.At})
	}
	params := g.ParamsByValue()
	for _, n := range g.Nodes {
		if n.Kind() != "DequantizeLinear" {
			continue
		}
		q, scale := params[n.Input(0)], params[n.Input(1)]
		if q == nil || scale == nil || scale.Data.Len() == 0 {
			continue
		}
		at, zero := scaleIndex(n, q.Data.Shape(), scale.Data), params[n.Input(2)]
		if zero != nil && zero.Data.Len() != scale.Data.Len() {
			continue // not a valid model
		}
		list = append(list, EffectiveWeight{Param: q, Reader: n, At: func(i int) float64 {
			x := q.Data.At(i)
			if zero != nil {
				x -= zero.Data.At(at(i))
			}
			return x * scale.Data.At(at(i))
		}})
	}
	return list
}

// scaleIndex tells which scale belongs to element i of a tensor that n
// dequantises: the one there is, one per index of the axis, or one per block of
// indices along it.
func scaleIndex(n *Node, shape []int, scale tensor.Tensor) func(i int) int {
	axis := n.Attrs.Int("axis", 1)
	if axis < 0 {
		axis += len(shape)
	}
	if scale.Len() <= 1 || axis < 0 || axis >= len(shape) {
		return func(int) int { return 0 }
	}
	inner := 1
	for _, d := range shape[axis+1:] {
		inner *= d
	}
	if scale.Rank() <= 1 {
		return func(i int) int { return min(i/inner%shape[axis], scale.Len()-1) }
	}
	block := max(1, n.Attrs.Int("block_size", 1))
	blocks := scale.Len() * shape[axis] / max(1, elementsOf(shape))
	return func(i int) int {
		outer, along := i/inner/shape[axis], i/inner%shape[axis]
		return min((outer*blocks+along/block)*inner+i%inner, scale.Len()-1)
	}
}

func elementsOf(shape []int) int {
	n, _ := tensor.Size(shape)
	return n
}
