package graph

import (
	"fmt"
	"slices"
)

// eachValue visits every value of the graph and of its subgraphs once or more.
func (g *Graph) eachValue(visit func(*Value)) {
	for _, v := range g.Inputs {
		visit(v)
	}
	for _, p := range g.Params {
		visit(p.Value)
	}
	for _, n := range g.Nodes {
		for _, list := range [][]*Value{n.In, n.Out} {
			for _, v := range list {
				if v != nil {
					visit(v)
				}
			}
		}
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				sub.eachValue(visit)
			}
		}
	}
	for _, v := range g.Outputs {
		visit(v)
	}
}

// eachParam visits the graph's parameters and then those of its subgraphs.
func (g *Graph) eachParam(visit func(*Param)) {
	for _, p := range g.Params {
		visit(p)
	}
	for _, n := range g.Nodes {
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				sub.eachParam(visit)
			}
		}
	}
}

// AllParams lists the graph's parameters and then those of the bodies in it, in
// the order of [Graph.Ledger].
func (g *Graph) AllParams() []*Param {
	var list []*Param
	g.eachParam(func(p *Param) { list = append(list, p) })
	return list
}

// Replace makes every reader of old read new instead, in subgraphs and among
// the graph's outputs too. The producer of old is left in place.
func (g *Graph) Replace(old, new *Value) {
	swap := func(list []*Value) {
		for i, v := range list {
			if v == old {
				list[i] = new
			}
		}
	}
	swap(g.Outputs)
	for _, n := range g.Nodes {
		swap(n.In)
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				sub.Replace(old, new)
			}
		}
	}
}

// InsertAfter places a node directly behind another.
func (g *Graph) InsertAfter(after, n *Node) {
	i := slices.Index(g.Nodes, after)
	g.Nodes = slices.Insert(g.Nodes, i+1, n)
}

// InsertBefore places a node directly in front of another, or of the node of g in
// whose bodies the other is.
func (g *Graph) InsertBefore(before, n *Node) {
	i := slices.IndexFunc(g.Nodes, func(m *Node) bool { return m == before || m.holds(before) })
	g.Nodes = slices.Insert(g.Nodes, max(0, i), n)
}

// holds reports whether n is in a body that m holds.
func (m *Node) holds(n *Node) bool {
	for _, a := range m.Attrs {
		for _, body := range a.Subgraphs() {
			if slices.ContainsFunc(body.Nodes, func(k *Node) bool { return k == n || k.holds(n) }) {
				return true
			}
		}
	}
	return false
}

// Remove takes nodes out; their outputs must have no readers left.
func (g *Graph) Remove(nodes ...*Node) {
	gone := make(map[*Node]bool, len(nodes))
	for _, n := range nodes {
		gone[n] = true
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *Node) bool { return gone[n] })
}

// RemoveParams takes parameters out.
func (g *Graph) RemoveParams(drop func(*Param) bool) {
	g.Params = slices.DeleteFunc(g.Params, drop)
}

// RemoveDead drops nodes and parameters on which no output depends.
func (g *Graph) RemoveDead() {
	live := make(map[*Value]bool)
	for _, v := range g.Outputs {
		live[v] = true
	}
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		n := g.Nodes[i]
		if slices.ContainsFunc(n.Out, func(v *Value) bool { return v != nil && live[v] }) {
			for _, v := range n.Reads() {
				live[v] = true
			}
		}
	}
	g.Nodes = slices.DeleteFunc(g.Nodes, func(n *Node) bool {
		return !slices.ContainsFunc(n.Out, func(v *Value) bool { return v != nil && live[v] })
	})
	g.RemoveParams(func(p *Param) bool { return !live[p.Value] })
}

// Sort brings the nodes into a topological order, keeping the present order
// where it is free to. The error names a node on a cycle.
func (g *Graph) Sort() error {
	producer := g.Producers()
	const (
		unseen = iota
		open
		done
	)
	state := make(map[*Node]int, len(g.Nodes))
	order := make([]*Node, 0, len(g.Nodes))
	type frame struct {
		n    *Node
		deps []*Value
	}
	for _, root := range g.Nodes {
		if state[root] != unseen {
			continue
		}
		state[root] = open
		stack := []frame{{root, root.Reads()}}
		for len(stack) > 0 {
			top := &stack[len(stack)-1]
			if len(top.deps) == 0 {
				state[top.n] = done
				order = append(order, top.n)
				stack = stack[:len(stack)-1]
				continue
			}
			dep := producer[top.deps[0]]
			top.deps = top.deps[1:]
			if dep == nil || state[dep] == done {
				continue
			}
			if state[dep] == open {
				return fmt.Errorf("sort graph %q: %s is part of a cycle", g.Name, dep)
			}
			state[dep] = open
			stack = append(stack, frame{dep, dep.Reads()})
		}
	}
	g.Nodes = order
	return nil
}
