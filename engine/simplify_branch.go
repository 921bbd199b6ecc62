package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
)

// takeBranches puts the branch of an If in its place where the condition is
// constant, as conditions on shapes are. The sizes that are known then may
// decide more of them. It returns how many it took.
func takeBranches(g *graph.Graph) (int, error) {
	count := 0
	for {
		n := takeKnownBranches(g)
		if n == 0 {
			return count, nil
		}
		count += n
		if err := g.Infer(); err != nil {
			return 0, err
		}
		if _, err := foldConstants(g); err != nil {
			return 0, err
		}
	}
}

func takeKnownBranches(g *graph.Graph) int {
	b := graph.NewBuilder(g, "branch_")
	params := g.ParamsByValue()
	taken := make(map[string]bool)
	for _, v := range g.Inputs {
		taken[v.Name] = true
	}
	for _, p := range g.Params {
		taken[p.Name] = true
	}
	for v := range g.Producers() {
		taken[v.Name] = true
	}
	own := func(v *graph.Value) {
		if v == nil {
			return
		}
		if taken[v.Name] { // two branches may use one name
			v.Name = b.Fresh()
		}
		taken[v.Name] = true
	}
	count := 0
	for _, n := range slices.Clone(g.Nodes) {
		branch := knownBranch(n, params)
		if branch == nil {
			continue
		}
		at := slices.Index(g.Nodes, n)
		for _, p := range branch.Params {
			own(p.Value)
		}
		nodes := branch.Nodes
		for _, inner := range nodes {
			for _, v := range inner.Out {
				own(v)
			}
		}
		for i, v := range n.Out {
			if v != nil {
				nodes = append(nodes, &graph.Node{Op: "Identity", In: []*graph.Value{branch.Outputs[i]}, Out: []*graph.Value{v}})
			}
		}
		g.Params = append(g.Params, branch.Params...)
		g.Nodes = slices.Replace(g.Nodes, at, at+1, nodes...)
		count++
	}
	return count
}

// knownBranch is the branch that an If takes, nil if that is not known.
func knownBranch(n *graph.Node, params map[*graph.Value]*graph.Param) *graph.Graph {
	if n.Kind() != "If" {
		return nil
	}
	cond := params[n.In[0]]
	if cond == nil || cond.Data.Len() != 1 {
		return nil
	}
	name := "else_branch"
	if cond.Data.At(0) != 0 {
		name = "then_branch"
	}
	a, _ := n.Attrs.Get(name)
	return a.G
}
