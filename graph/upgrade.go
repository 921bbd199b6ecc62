package graph

import (
	"fmt"
	"slices"
)

// Upgrade converts the graph to a newer version of the default operator set:
// every node whose form changed in between is rewritten, step by step, by its
// rule. Nodes of unknown operators are kept; they fail when the engine meets
// them. The number alone is never raised.
func (g *Graph) Upgrade(to int) error {
	from := g.Opset[DomainONNX]
	if from == 0 {
		from = 1
	}
	if to > LatestOpset {
		return fmt.Errorf("upgrade graph %q: opset %d: newest known is %d", g.Name, to, LatestOpset)
	}
	if from >= to {
		return nil
	}
	b := NewBuilder(g, "up_")
	if err := g.upgradeNodes(b, from, to); err != nil {
		return fmt.Errorf("upgrade graph %q from opset %d to %d: %w", g.Name, from, to, err)
	}
	g.Opset[DomainONNX] = to
	return nil
}

// upgradeNodes rewrites the nodes of g and, with constants of their own, of its
// subgraphs. A rule may replace a node by several: it appends them with the
// builder, and they move to where the node was.
func (g *Graph) upgradeNodes(b *Builder, from, to int) error {
	nodes := g.Nodes
	g.Nodes = make([]*Node, 0, len(nodes))
	for _, n := range nodes {
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				inner := &Builder{g: sub, facts: b.facts, used: b.used, stem: b.stem, next: b.next}
				inner.facts.AddParams(sub)
				if err := sub.upgradeNodes(inner, from, to); err != nil {
					return err
				}
				b.next = inner.next
			}
		}
		if err := upgradeNode(b, n, from, to); err != nil {
			return err
		}
	}
	return b.err
}

func upgradeNode(b *Builder, n *Node, from, to int) error {
	if r := n.Rule(); r != nil && opKey(n.Domain, n.Op) == n.Op {
		versions := make([]int, 0, len(r.Upgrade))
		for v := range r.Upgrade {
			if v > from && v <= to {
				versions = append(versions, v)
			}
		}
		slices.Sort(versions)
		for _, v := range versions {
			if err := r.Upgrade[v](b, n); err != nil {
				return fmt.Errorf("%s: to opset %d: %w", n, v, err)
			}
			if n.Op == "" { // the rule replaced the node altogether
				return nil
			}
		}
	}
	// Nodes a rule appended feed n, so n comes behind them. Types are inferred
	// as far as they go: a rule of a later node may ask for a rank.
	b.g.Nodes = append(b.g.Nodes, n)
	if r := n.Rule(); r != nil {
		if err := b.facts.Infer(n); err != nil {
			return err
		}
	}
	return nil
}

func (g *Graph) eachNode(visit func(*Node)) {
	for _, n := range g.Nodes {
		visit(n)
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				sub.eachNode(visit)
			}
		}
	}
}
