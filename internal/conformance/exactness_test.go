package conformance

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// inFloat64 is the graph with float64 in the place of float32.
func inFloat64(g *graph.Graph) *graph.Graph {
	g, _ = g.Clone()
	widen := func(t tensor.Tensor) tensor.Tensor {
		if t.DType() != tensor.Float32 {
			return t
		}
		wide, err := t.Convert(tensor.Float64)
		if err != nil {
			panic(err)
		}
		return wide
	}
	for _, p := range g.Params {
		p.Data = widen(p.Data)
		p.Type = p.Data.Type()
	}
	for _, n := range g.Nodes {
		for i, a := range n.Attrs {
			if a.Kind == graph.AttrTensor {
				n.Attrs[i].T = widen(a.T)
			}
			if n.Op == "Cast" && a.Name == "to" && a.I == int64(tensor.Float32) {
				n.Attrs[i].I = int64(tensor.Float64)
			}
		}
		for _, v := range n.Out {
			if v != nil {
				v.Type = tensor.Type{}
			}
		}
	}
	return g
}
