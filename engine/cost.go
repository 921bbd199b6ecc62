package engine

import "github.com/compactify/compactify/graph"

// Cost is what one run of a program has to do at the least: products that are
// added up, and bytes that its steps read and write.
type Cost struct {
	Products int // multiply-adds in convolutions, matrix products and recurrences
	Bytes    int // of every step's inputs and outputs; many of them stay in a cache
	Weights  int // bytes of constants among them, which come from memory if they are many
}

// Cost adds up the steps of known shapes. Compile with [Options.Unfused]: steps
// that others were fused into count as nothing.
func (p *Program) Cost() Cost {
	var c Cost
	weights := make(map[*graph.Value]bool)
	for _, prm := range p.graph.Params {
		weights[prm.Value] = true
	}
	seen := make(map[*graph.Value]bool)
	for i := range p.steps {
		n := p.steps[i].node
		if !isStatic(n) || views[n.Kind()] {
			continue
		}
		c.Products += products(n)
		for _, list := range [][]*graph.Value{n.In, n.Out} {
			for _, v := range list {
				if v == nil {
					continue
				}
				c.Bytes += typeBytes(v.Type)
				if weights[v] && !seen[v] {
					seen[v] = true
					c.Weights += typeBytes(v.Type)
				}
			}
		}
	}
	return c
}

// products is the multiply-adds of one node of known shapes.
func products(n *graph.Node) int {
	size := func(v *graph.Value) int {
		sizes, _ := v.Type.Static()
		return elements(sizes)
	}
	perFilter := func(w *graph.Value) int { return size(w) / max(1, w.Type.Shape[0].Size) }
	switch n.Kind() {
	case "Conv", "compactify." + convRelu:
		return size(n.Out[0]) * perFilter(n.In[1])
	case "ConvTranspose":
		return size(n.In[0]) * perFilter(n.In[1])
	case "compactify.ConvGradX": // of w and dy
		return size(n.In[1]) * perFilter(n.In[0])
	case "compactify.ConvGradW": // of x and dy
		return size(n.In[1]) * perFilter(n.Out[0])
	case "MatMul":
		a := n.In[0].Type
		return size(n.Out[0]) * a.Shape[a.Rank()-1].Size
	case "Gemm":
		return size(n.Out[0]) * size(n.In[0]) / max(1, n.Out[0].Type.Shape[0].Size)
	case "LSTM", "GRU", "RNN": // sequence and batch times all weights
		x := n.In[0].Type
		return x.Shape[0].Size * x.Shape[1].Size * (size(n.In[1]) + size(n.In[2]))
	}
	return 0
}
