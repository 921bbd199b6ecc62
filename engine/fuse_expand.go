package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
)

// broadcasts are operators that repeat an operand themselves.
var broadcasts = setOf("Add", "Sub", "Mul", "Div")

// dropExpands lets arithmetic read what an Expand repeats, where its other
// operand has the whole shape.
func (c *compiler) dropExpands() {
	read := c.readers()
	var gone []*graph.Node
	for _, n := range c.g.Nodes {
		if n.Kind() != "Expand" || !isStatic(n) {
			continue
		}
		wide := n.Out[0]
		repeats := func(r *graph.Node) bool {
			return broadcasts[r.Kind()] && isStatic(r) && slices.ContainsFunc(r.In, func(v *graph.Value) bool {
				return v != wide && v.Type.Equal(wide.Type)
			})
		}
		if !slices.Contains(c.g.Outputs, wide) && !slices.ContainsFunc(read.of[wide], func(r *graph.Node) bool { return !repeats(r) }) {
			c.g.Replace(wide, n.In[0])
			gone = append(gone, n)
		}
	}
	c.g.Remove(gone...)
}
