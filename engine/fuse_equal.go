package engine

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// mergeEqual computes once what several nodes compute from the same inputs: a
// rule that writes out x − mean does not know that another one has.
func (c *compiler) mergeEqual() {
	k := expressions{c: c, number: make(map[*graph.Value]int)}
	seen := make(map[string]*graph.Node)
	var copies []*graph.Node
	for _, n := range c.g.Nodes {
		key, ok := k.key(n)
		if !ok {
			continue
		}
		first := seen[key]
		if first == nil {
			seen[key] = n
			continue
		}
		for i, v := range n.Out {
			if v != nil {
				c.g.Replace(v, first.Out[i])
			}
		}
		copies = append(copies, n)
	}
	c.g.Remove(copies...)
}

// expressions writes nodes as text that is equal where they compute the same.
type expressions struct {
	c      *compiler
	number map[*graph.Value]int
}

// key is false for what must stay apart: draws at random, subgraphs, and nodes
// that make an output of the graph, which keeps a tensor of its own.
func (k *expressions) key(n *graph.Node) (string, bool) {
	if impure[n.Kind()] || !isStatic(n) {
		return "", false
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s", n.Kind())
	for _, v := range n.Out {
		if slices.Contains(k.c.g.Outputs, v) {
			return "", false
		}
		fmt.Fprintf(&b, " %t", v != nil)
	}
	for _, v := range n.In {
		fmt.Fprintf(&b, " %s", k.operand(v))
	}
	attrs := slices.Clone(n.Attrs)
	slices.SortFunc(attrs, func(a, b graph.Attr) int { return strings.Compare(a.Name, b.Name) })
	for _, a := range attrs {
		if a.Kind == graph.AttrTensor || len(a.Subgraphs()) > 0 {
			return "", false
		}
		fmt.Fprintf(&b, " %s=%v %d %x %q %v %x %q", a.Name, a.Kind, a.I, a.F, a.S, a.Ints, a.Floats, a.Strings)
	}
	return b.String(), true
}

// operandBytes is the size up to which constants are known by their content.
const operandBytes = 64

func (k *expressions) operand(v *graph.Value) string {
	if v == nil {
		return "-"
	}
	if t, ok := k.c.facts.Data(v); ok && t.DType() != tensor.String && len(t.Raw()) <= operandBytes {
		return fmt.Sprintf("%v %x", t.Type(), t.Raw())
	}
	if k.number[v] == 0 {
		k.number[v] = len(k.number) + 1
	}
	return fmt.Sprint(k.number[v])
}
