package graph

import "slices"

// Layer is a matrix or a stack of filters in a parameter of its own: what
// pruning, quantisation and factorisation work on.
type Layer struct {
	Param *Param
	Nodes []*Node // that read it as their weight; more than one if it is shared
	Axis  int     // the axis of the output channels
}

// Name is the parameter's name.
func (l Layer) Name() string { return l.Param.Name }

// Channels is the number of output channels.
func (l Layer) Channels() int { return l.Param.Data.Shape()[l.Axis] }

// Layers lists the weight matrices of convolutions and matrix products, in the
// order of the graph. A parameter that several nodes read along different axes,
// or that something else reads too, is left out: changing it for one reader
// would change it for the other.
func (g *Graph) Layers() []Layer {
	params := g.ParamsByValue()
	readers := g.Consumers()
	var list []Layer
	seen := make(map[*Param]bool)
	for _, n := range g.Nodes {
		for i, v := range n.In {
			p := params[v]
			if p == nil || seen[p] || !p.Data.DType().IsFloat() || p.Data.Rank() < 2 {
				continue
			}
			axis, ok := weightAxis(n, i)
			if !ok {
				continue
			}
			seen[p] = true
			l := Layer{Param: p, Nodes: readers[v], Axis: axis}
			if l.isAlone() && !slices.Contains(g.Outputs, v) {
				list = append(list, l)
			}
		}
	}
	return list
}

// weightAxis tells whether input i of n, a parameter, is a weight, and which of
// its axes counts the output channels.
func weightAxis(n *Node, i int) (axis int, ok bool) {
	switch n.Kind() {
	case "Conv":
		return 0, i == 1
	case "ConvTranspose":
		return 1, i == 1 && n.Attrs.Int("group", 1) == 1
	case "Gemm":
		return 1 - n.Attrs.Int("transB", 0), i == 1
	case "MatMul":
		return n.In[i].Type.Rank() - 1, i == 1
	}
	return 0, false
}

// isAlone reports whether all readers use the parameter as a weight along the
// layer's axis.
func (l Layer) isAlone() bool {
	for _, n := range l.Nodes {
		for i, v := range n.In {
			if v != l.Param.Value {
				continue
			}
			if axis, ok := weightAxis(n, i); !ok || axis != l.Axis {
				return false
			}
		}
		if !slices.Contains(n.In, l.Param.Value) { // captured by a subgraph
			return false
		}
	}
	return true
}
