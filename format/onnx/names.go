package onnx

import (
	"slices"

	"github.com/compactify/compactify/graph"
)

// Letters that begin a name, and those that may follow: ONNX asks for C
// identifiers.
const (
	firstLetters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	letters      = firstLetters + "0123456789"
)

// shortNames gives every value but the model's inputs and outputs a name, the
// shorter the more often the file mentions it. Values of subgraphs share the
// names' space, as they may not hide outer ones.
func shortNames(g *graph.Graph) map[*graph.Value]string {
	kept := make(map[*graph.Value]bool)
	taken := make(map[string]bool)
	for _, list := range [][]*graph.Value{g.Inputs, g.Outputs} {
		for _, v := range list {
			kept[v], taken[v.Name] = true, true
		}
	}
	count := make(map[*graph.Value]int)
	var order []*graph.Value
	mention(g, func(v *graph.Value) {
		if kept[v] {
			return
		}
		if count[v] == 0 {
			order = append(order, v)
		}
		count[v]++
	})
	slices.SortStableFunc(order, func(a, b *graph.Value) int { return count[b] - count[a] })
	names := make(map[*graph.Value]string, len(order))
	next := 0
	for _, v := range order {
		name := shortName(next)
		for taken[name] {
			next++
			name = shortName(next)
		}
		next++
		names[v] = name
	}
	return names
}

// mention visits a value as often as the file names it.
func mention(g *graph.Graph, visit func(*graph.Value)) {
	for _, list := range [][]*graph.Value{g.Inputs, g.Outputs} {
		for _, v := range list {
			visit(v)
		}
	}
	for _, p := range g.Params {
		visit(p.Value)
	}
	for _, n := range g.Nodes {
		for _, list := range [][]*graph.Value{n.In, n.Out} {
			for _, v := range list {
				if v != nil {
					visit(v)
				}
			}
		}
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				mention(sub, visit)
			}
		}
	}
}

// shortName is name i in the order a, b, … _, aa, ab, …
func shortName(i int) string {
	span, length := len(firstLetters), 1
	for i >= span {
		i -= span
		span *= len(letters)
		length++
	}
	name := make([]byte, length)
	for k := length - 1; k > 0; k-- {
		name[k] = letters[i%len(letters)]
		i /= len(letters)
	}
	name[0] = firstLetters[i]
	return string(name)
}
