package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// dropMoves makes views of nodes that move no element, and one transposition of
// several in a row.
func (c *compiler) dropMoves() {
	producer := c.g.Producers()
	for _, n := range c.g.Nodes {
		if !isStatic(n) {
			continue
		}
		if n.Kind() == "Transpose" {
			c.mergeTransposes(n, producer)
		}
		if c.still(n) {
			c.becomeView(n)
		}
	}
	c.dropDead()
}

// mergeTransposes lets a Transpose read what the one before it reads:
//
//	y = Transpose(Transpose(x, p), q) = Transpose(x, r),   r[i] = p[q[i]]
func (c *compiler) mergeTransposes(n *graph.Node, producer map[*graph.Value]*graph.Node) {
	for {
		before := producer[n.In[0]]
		if before == nil || before.Kind() != "Transpose" || !isStatic(before) {
			return
		}
		first, order := permutation(before), permutation(n)
		for i, a := range order {
			order[i] = first[a]
		}
		n.In = []*graph.Value{before.In[0]}
		n.Attrs = graph.Attributes{graph.Ints("perm", order...)}
	}
}

// permutation is the axes that a Transpose reads, in the order that it writes.
func permutation(n *graph.Node) []int {
	if perm := n.Attrs.Ints("perm"); perm != nil {
		return slices.Clone(perm)
	}
	perm := make([]int, n.In[0].Type.Rank())
	for i := range perm {
		perm[i] = len(perm) - 1 - i
	}
	return perm
}

// still reports whether all elements of n's first input come out as they lie.
func (c *compiler) still(n *graph.Node) bool {
	switch n.Kind() {
	case "Transpose":
		sizes, _ := n.In[0].Type.Static()
		return keepsOrder(sizes, permutation(n))
	case "Expand", "Tile":
		return n.In[0].Type.Equal(n.Out[0].Type)
	case "Concat":
		return len(n.In) == 1
	case "Slice":
		if !n.In[0].Type.Equal(n.Out[0].Type) {
			return false
		}
		if n.Input(4) == nil {
			return true
		}
		steps, known := (&graph.Inference{Node: n, Facts: c.facts}).ConstInts(4)
		return known && !slices.ContainsFunc(steps, func(step int) bool { return step < 0 }) // they turn axes round
	}
	return false
}

// becomeView turns n into a Reshape of its first input.
func (c *compiler) becomeView(n *graph.Node) {
	sizes, _ := n.Out[0].Type.Static()
	shape := tensor.Ints(sizes...)
	v := &graph.Value{Name: n.Out[0].Name + ".shape", Type: shape.Type()}
	c.facts.SetData(v, shape)
	n.Domain, n.Op = graph.DomainONNX, "Reshape"
	n.Attrs, n.In = graph.Attributes{graph.Int("allowzero", 1)}, []*graph.Value{n.In[0], v}
}
