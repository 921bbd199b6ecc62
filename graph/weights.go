package graph

import "math"

// weightOperands are the inputs by which operators read weights.
var weightOperands = map[string][]int{
	"Conv":                    {1, 2},
	"ConvTranspose":           {1, 2},
	"Gemm":                    {0, 1, 2},
	"MatMul":                  {0, 1},
	"BatchNormalization":      {1, 2},
	"LayerNormalization":      {1, 2},
	"InstanceNormalization":   {1, 2},
	"PRelu":                   {1},
	"Add":                     {0, 1},
	"Mul":                     {0, 1},
	"LSTM":                    {1, 2, 3},
	"GRU":                     {1, 2, 3},
	"RNN":                     {1, 2, 3},
	"compactify.FakeQuantize": {0, 1},
}

// Weights lists the trainable parameters: floating-point initialisers of more
// than one element that an operator reads as a weight, a bias, a scale or a
// shift. Scalars beside Add and Mul are constants of the graph, and the running
// statistics of batch normalisation follow the data, not the gradient.
func (g *Graph) Weights() []*Param {
	read := make(map[*Value]bool)
	for _, n := range g.Nodes {
		for _, i := range weightOperands[n.Kind()] {
			if v := n.Input(i); v != nil && (v.Type.Rank() > 0 || n.Kind() == "compactify.FakeQuantize") {
				read[v] = true
			}
		}
	}
	var list []*Param
	for _, p := range g.Params {
		if read[p.Value] && p.Data.DType().IsFloat() && (p.Data.Len() > 1 || !g.onlyScales(p)) {
			list = append(list, p)
		}
	}
	return list
}

// onlyScales reports whether a one-element parameter is read by plain
// arithmetic alone, as a constant of the graph is.
func (g *Graph) onlyScales(p *Param) bool {
	for _, n := range g.Nodes {
		for _, v := range n.In {
			if v == p.Value && n.Op != "Add" && n.Op != "Mul" {
				return false
			}
		}
	}
	return true
}

// Norm is ‖θ‖₂ over the weights as the model computes with them.
func (g *Graph) Norm() float64 {
	sum := 0.0
	for _, w := range g.EffectiveWeights() {
		for i, n := 0, w.Param.Data.Len(); i < n; i++ {
			x := w.At(i)
			sum += x * x
		}
	}
	return math.Sqrt(sum)
}
