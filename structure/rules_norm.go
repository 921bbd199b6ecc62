package structure

import "github.com/compactify/compactify/graph"

func normRelations() map[string]relation {
	softmax := func(x *axes, n *graph.Node) nodeRule {
		a, ok := normal(n.Attrs.Int("axis", -1), len(x.at(n.In[0])))
		return x.normalise(n, ok, a)
	}
	return map[string]relation{
		"Softmax": softmax, "LogSoftmax": softmax, "Hardmax": softmax, "LpNormalization": softmax,
		"BatchNormalization":    relateBatchNorm,
		"InstanceNormalization": relateInstanceNorm,
		"LayerNormalization":    relateLayerNorm,
		"RMSNormalization":      relateLayerNorm,
		"GroupNormalization": func(x *axes, n *graph.Node) nodeRule {
			var over []int
			for k := range x.at(n.In[0])[1:] {
				over = append(over, k+1)
			}
			return x.normalise(n, true, over...)
		},
		"LRN": func(x *axes, n *graph.Node) nodeRule { return x.normalise(n, true, 1) },
		"MeanVarianceNormalization": func(x *axes, n *graph.Node) nodeRule {
			axes := n.Attrs.Ints("axes")
			if axes == nil {
				axes = []int{0, 2, 3}
			}
			rule := x.normalise(n, true, axes...)
			rule.zero = func(z zeros) { z.set(n.Out[0], 1, z.at(n.In[0], 1)) }
			return rule
		},
	}
}

// normalise: each result along the axes depends on all of them, so none can go
// without changing the others.
func (x *axes) normalise(n *graph.Node, ok bool, axes ...int) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	if !ok || len(in) != len(out) {
		x.fixNode(n, "has an axis that does not exist")
		return nodeRule{}
	}
	reason := x.because("%v normalises over it: without one the others change", n)
	for _, v := range n.In[1:] {
		x.fixAll(v, reason)
	}
	for k := range in {
		x.tie(n, in[k], out[k])
	}
	for _, k := range axes {
		if k, ok := normal(k, len(in)); ok {
			x.fix(in[k], reason)
		}
	}
	return nodeRule{}
}

// relateBatchNorm: each channel by itself, with a scale, a shift and statistics
// for each.
func relateBatchNorm(x *axes, n *graph.Node) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	if len(n.Out) > 1 || len(in) < 2 || n.Attrs.Int("training_mode", 0) != 0 {
		x.fixNode(n, "computes statistics of its own")
		return nodeRule{}
	}
	for k := range in {
		x.tie(n, in[k], out[k])
	}
	for _, v := range n.In[1:] {
		x.tie(n, x.at(v)[0], out[1])
	}
	return nodeRule{zero: func(z zeros) { z.set(n.Out[0], 1, z.at(n.In[1], 0) && z.at(n.In[2], 0)) }}
}

// relateInstanceNorm: each channel over its own pixels.
func relateInstanceNorm(x *axes, n *graph.Node) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	x.tie(n, in[0], out[0])
	x.tie(n, in[1], out[1])
	x.tie(n, x.at(n.In[1])[0], out[1])
	x.tie(n, x.at(n.In[2])[0], out[1])
	x.slide(n, in[2:], out[2:])
	return nodeRule{zero: func(z zeros) { z.set(n.Out[0], 1, z.at(n.In[1], 0) && z.at(n.In[2], 0)) }}
}

// relateLayerNorm normalises over the axes from the given one on.
func relateLayerNorm(x *axes, n *graph.Node) nodeRule {
	rank := len(x.at(n.In[0]))
	first, ok := normal(n.Attrs.Int("axis", -1), rank)
	var over []int
	for k := first; ok && k < rank; k++ {
		over = append(over, k)
	}
	rule := x.normalise(n, ok, over...)
	for i := 1; i < len(n.Out); i++ {
		x.broadcast(n, n.Out[i], n.Out[0])
	}
	return rule
}
