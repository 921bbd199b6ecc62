package structure

import (
	"slices"

	"github.com/compactify/compactify/graph"
)

// blocks finds the residual blocks, x + f(x): a sum of which one branch, f, ends
// in a layer that makes it zero when its weights are, while the other passes on
// what f started from without weights of its own. Removing f leaves x.
func blocks(x *axes) []*Group {
	var list []*Group
	for _, n := range x.graph.Nodes {
		if n.Kind() != "Add" || n.In[0] == n.In[1] || x.params[n.In[0]] != nil || x.params[n.In[1]] != nil {
			continue
		}
		for i := range 2 {
			if g := x.block(n, i); g != nil {
				list = append(list, g)
				break
			}
		}
	}
	return list
}

// block describes the one whose f is input i of the sum; nil if that is none.
func (x *axes) block(sum *graph.Node, i int) *Group {
	branch, keep := sum.In[i], sum.In[1-i]
	same := func(v *graph.Value) bool { return v.Type.Ranked() && v.Type.Equal(sum.Out[0].Type) }
	last := x.lastLayer(branch)
	if last == nil || !same(branch) || !same(keep) || slices.Contains(x.graph.Outputs, sum.Out[0]) || !x.startsAt(branch, x.source(keep)) {
		return nil
	}
	g := &Group{ID: "block " + sum.Out[0].Name, Kind: Block, Channels: 1, sum: sum, keep: 1 - i}
	for _, p := range last {
		g.Ties = append(g.Ties, Tie{Param: p, Axis: -1})
	}
	without := x.liveParams(sum, keep)
	for p := range x.liveParams(nil, nil) {
		if !without[p] {
			g.Bytes += len(p.Data.Raw())
		}
	}
	return g
}

// lastLayer returns the parameters that make v zero when they are: of the layer
// that computes it, and of the bias and normalisation behind it. It is nil if
// there is no such layer or if anything else reads what it computes.
func (x *axes) lastLayer(v *graph.Value) []*graph.Param {
	var list []*graph.Param
	for {
		n := x.producers[v]
		if n == nil || len(x.consumers[v]) != 1 || slices.Contains(x.graph.Outputs, v) {
			return nil
		}
		take := func(inputs ...int) bool {
			for _, i := range inputs {
				if p := x.params[n.Input(i)]; p != nil {
					list = append(list, p)
				} else if n.Input(i) != nil {
					return false
				}
			}
			return true
		}
		switch n.Kind() {
		case "Conv", "ConvTranspose", "Gemm":
			if !take(1, 2) {
				return nil
			}
			return list
		case "BatchNormalization":
			if !take(1, 2) {
				return nil
			}
			return list
		case "MatMul":
			if !take(1) {
				return nil
			}
			return list
		case "Add":
			if take(1) {
				v = n.In[0]
			} else if take(0) {
				v = n.In[1]
			} else {
				return nil
			}
		case "Identity", "Dropout", "Reshape", "Transpose", "Squeeze", "Unsqueeze":
			v = n.In[0]
		default:
			return nil
		}
	}
}

// source follows a branch back through operators without weights, as a shortcut
// that subsamples and pads, to the first value that others read too.
func (x *axes) source(v *graph.Value) *graph.Value {
	for len(x.consumers[v]) == 1 {
		n := x.producers[v]
		if n == nil {
			return v
		}
		for _, in := range n.In[1:] {
			if p := x.params[in]; in != nil && (p == nil || p.Data.DType().IsFloat() && p.Data.Len() > 1) {
				return v
			}
		}
		if len(n.In) == 0 || x.params[n.In[0]] != nil {
			return v
		}
		v = n.In[0]
	}
	return v
}

// startsAt reports whether a branch is computed from a value.
func (x *axes) startsAt(branch, start *graph.Value) bool {
	seen := make(map[*graph.Value]bool)
	stack := []*graph.Value{branch}
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if v == start {
			return v != branch
		}
		if n := x.producers[v]; n != nil && !seen[v] {
			seen[v] = true
			stack = append(stack, n.Reads()...)
		}
	}
	return false
}

// liveParams lists the parameters on which the outputs depend, where a sum, if
// one is given, is replaced by what is kept of it.
func (x *axes) liveParams(sum *graph.Node, keep *graph.Value) map[*graph.Param]bool {
	live := make(map[*graph.Param]bool)
	seen := make(map[*graph.Value]bool)
	stack := slices.Clone(x.graph.Outputs)
	for len(stack) > 0 {
		v := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		if seen[v] {
			continue
		}
		seen[v] = true
		if p := x.params[v]; p != nil {
			live[p] = true
		}
		switch n := x.producers[v]; {
		case n == nil:
		case n == sum:
			stack = append(stack, keep)
		default:
			stack = append(stack, n.Reads()...)
		}
	}
	return live
}
