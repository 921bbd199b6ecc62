package structure

import (
	"slices"

	"github.com/compactify/compactify/graph"
)

func reduceRelations() map[string]relation {
	pool := func(x *axes, n *graph.Node) nodeRule {
		if len(n.Out) > 1 && n.Out[1] != nil {
			x.fixNode(n, "returns places, which count the channels before")
			return nodeRule{}
		}
		in, out := x.at(n.In[0]), x.at(n.Out[0])
		x.tie(n, in[0], out[0])
		x.tie(n, in[1], out[1])
		x.slide(n, in[2:], out[2:])
		return nodeRule{zero: func(z zeros) { z.set(n.Out[0], 1, z.at(n.In[0], 1)) }}
	}
	table := map[string]relation{"TopK": relateAlong, "ArgMax": relateArg, "ArgMin": relateArg, "CumSum": relateAlong, "CumProd": relateAlong,
		"Trilu": relateTrilu}
	for _, op := range []string{"MaxPool", "AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"} {
		table[op] = pool
	}
	for _, op := range []string{"ReduceSum", "ReduceL1", "ReduceL2", "ReduceSumSquare"} {
		table[op] = relateReduce(true, true)
	}
	for _, op := range []string{"ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"} {
		table[op] = relateReduce(false, true)
	}
	for _, op := range []string{"ReduceLogSum", "ReduceLogSumExp"} {
		table[op] = relateReduce(false, false)
	}
	return table
}

// relateReduce: an axis that is summed over may lose what is zero; any other
// reduction needs all of it. What is left keeps zeros where the reduction of
// zeros is zero.
func relateReduce(sums, keepsZero bool) relation {
	return func(x *axes, n *graph.Node) nodeRule {
		in, out := x.at(n.In[0]), x.at(n.Out[0])
		over, ok := x.reduced(n, len(in))
		keep := n.Attrs.Int("keepdims", 1) != 0
		if !ok || len(out) != len(in) && (keep || len(out) != len(in)-len(over)) {
			x.fixNode(n, "reduces axes that are not known")
			return nodeRule{}
		}
		var from []int // the axis of the input, by axis of the output
		for k := range in {
			if !slices.Contains(over, k) {
				x.tie(n, in[k], out[len(from)])
				from = append(from, k)
				continue
			}
			if keep {
				from = append(from, k)
			}
			if sums {
				x.contract(n, operand{n.In[0], k})
			} else {
				x.fix(in[k], x.because("%v reduces it as a whole", n))
			}
		}
		return nodeRule{zero: func(z zeros) {
			for k, axis := range from {
				z.set(n.Out[0], k, keepsZero && z.at(n.In[0], axis) && in[axis].size == out[k].size)
			}
		}}
	}
}

// reduced lists the axes that a reduction takes, if they are known.
func (x *axes) reduced(n *graph.Node, rank int) ([]int, bool) {
	list, ok := x.ints(n.Input(1))
	if n.Input(1) != nil && !ok {
		return nil, false
	}
	if len(list) == 0 {
		if n.Attrs.Int("noop_with_empty_axes", 0) != 0 {
			return nil, true
		}
		for k := range rank {
			list = append(list, k)
		}
	}
	for i, k := range list {
		if list[i], ok = normal(k, rank); !ok {
			return nil, false
		}
	}
	return list, true
}

// relateAlong: an operator for which one axis must stay whole; the others pass.
func relateAlong(x *axes, n *graph.Node) nodeRule {
	in := x.at(n.In[0])
	along := n.Attrs.Int("axis", -1)
	if n.Op != "TopK" {
		list, ok := x.ints(n.Input(1))
		if !ok || len(list) != 1 {
			x.fixNode(n, "runs along an axis that is not known")
			return nodeRule{}
		}
		along = list[0]
	}
	along, ok := normal(along, len(in))
	if !ok {
		x.fixNode(n, "has an axis that does not exist")
		return nodeRule{}
	}
	reason := x.because("%v runs along it", n)
	x.fix(in[along], reason)
	for _, v := range n.Out {
		for k, out := range x.at(v) {
			if k == along {
				x.fix(out, reason)
			} else {
				x.tie(n, in[k], out)
			}
		}
	}
	return nodeRule{}
}

// relateArg: the place of the largest along an axis, which counts all before it.
func relateArg(x *axes, n *graph.Node) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	along, ok := normal(n.Attrs.Int("axis", 0), len(in))
	if !ok {
		x.fixNode(n, "has an axis that does not exist")
		return nodeRule{}
	}
	x.fix(in[along], x.because("%v counts along it", n))
	for k, i := range in {
		switch {
		case k == along:
		case len(out) == len(in):
			x.tie(n, i, out[k])
		case k < along:
			x.tie(n, i, out[k])
		default:
			x.tie(n, i, out[k-1])
		}
	}
	return nodeRule{}
}

// relateTrilu keeps a triangle of the last two axes.
func relateTrilu(x *axes, n *graph.Node) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	if len(in) < 2 {
		x.fixNode(n, "has no matrix")
		return nodeRule{}
	}
	for k := range in {
		x.tie(n, in[k], out[k])
	}
	x.slide(n, in[len(in)-2:])
	return nodeRule{zero: func(z zeros) { z.like(n.In[0], n.Out[0]) }}
}
