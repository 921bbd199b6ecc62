package graph

import "slices"

// Layer is a matrix, a table or a stack of filters in a parameter of its own: what
// pruning, quantisation and factorisation work on.
type Layer struct {
	Param *Param
	Nodes []*Node // that read it as their weight, in bodies of control flow too; more than one if it is shared
	Axis  int     // the axis of the output channels, of a table's rows, of the gates of a recurrent layer
}

// Name is the parameter's name.
func (l Layer) Name() string { return l.Param.Name }

// Channels is the number of output channels.
func (l Layer) Channels() int { return l.Param.Data.Shape()[l.Axis] }

// Layers lists the weights of convolutions, matrix products, recurrent layers and
// embedding tables, in the order of the graph; those that only the bodies of
// control flow read come behind the nodes that hold the bodies. The parameters are
// the graph's own: [Graph.HoistWeights] makes them so. A parameter that several
// nodes read along different axes, or that something else reads too, is left out:
// changing it for one reader would change it for the other.
func (g *Graph) Layers() []Layer {
	params := g.ParamsByValue()
	readers, handed := g.directReaders()
	var list []Layer
	seen := make(map[*Param]bool)
	g.eachNode(func(n *Node) {
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
			if l.isAlone() && !handed[v] {
				list = append(list, l)
			}
		}
	})
	return list
}

// directReaders lists for every value the nodes, of the graph and of the bodies in
// it, among whose inputs it is, each once. The values handed out are the outputs
// of the graph and of the bodies.
func (g *Graph) directReaders() (readers map[*Value][]*Node, handed map[*Value]bool) {
	readers, handed = make(map[*Value][]*Node), make(map[*Value]bool)
	for _, v := range g.Outputs {
		handed[v] = true
	}
	g.eachNode(func(n *Node) {
		for i, v := range n.In {
			if v != nil && !slices.Contains(n.In[:i], v) {
				readers[v] = append(readers[v], n)
			}
		}
		for _, a := range n.Attrs {
			for _, body := range a.Subgraphs() {
				for _, v := range body.Outputs {
					handed[v] = true
				}
			}
		}
	})
	return readers, handed
}

// weightAxis tells whether input i of n, a parameter, is a weight, and along which
// of its axes scales and ranks belong: that of the output channels, the rows of a
// table, the gates of a recurrent layer.
func weightAxis(n *Node, i int) (axis int, ok bool) {
	rank := n.In[i].Type.Rank()
	switch n.Kind() {
	case "Conv", "DeformConv":
		return 0, i == 1
	case "ConvTranspose":
		return transposedAxis(n), i == 1
	case "Gemm":
		if i == 0 { // a constant left operand: its rows are the output's
			return n.Attrs.Int("transA", 0), true
		}
		return 1 - n.Attrs.Int("transB", 0), i == 1
	case "MatMul":
		if i == 0 {
			return rank - 2, true
		}
		return rank - 1, i == 1
	case "Gather":
		axis, err := normAxis(n.Attrs.Int("axis", 0), rank)
		return axis, i == 0 && err == nil
	case "LSTM", "GRU", "RNN":
		return 1, (i == 1 || i == 2) && rank == 3
	case "Einsum":
		return einsumAxis(n, i)
	}
	return 0, false
}

// transposedAxis is the axis of a ConvTranspose weight [C, M/groups, ...]: that of
// the M outputs without groups. With groups it has M/groups entries that the groups
// share, and the inputs, each of one group, are the finer choice; they are the
// outputs where every group has one of each.
func transposedAxis(n *Node) int {
	if n.Attrs.Int("group", 1) == 1 {
		return 1
	}
	return 0
}

// einsumAxis is the last axis of operand i that the output of a product of two
// operands has too.
func einsumAxis(n *Node, i int) (axis int, ok bool) {
	if len(n.In) != 2 {
		return 0, false
	}
	e, err := parseEinsum(n.Attrs.Text("equation", ""), []int{n.In[0].Type.Rank(), n.In[1].Type.Rank()})
	if err != nil {
		return 0, false
	}
	for axis := len(e.in[i]) - 1; axis >= 0; axis-- {
		if slices.Contains(e.out, e.in[i][axis]) {
			return axis, true
		}
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
	}
	return true
}
