package engine

import "github.com/compactify/compactify/graph"

// convRelu is Conv with max(·, 0) of its output: an operator of this package,
// which no graph outside of a program holds.
const convRelu = "ConvRelu"

// absorbRelu lets a convolution apply the Relu that alone reads it as it stores
// its output.
func (c *compiler) absorbRelu() {
	read, producer := c.readers(), c.g.Producers()
	var gone []*graph.Node
	for _, n := range c.g.Nodes {
		if n.Kind() != "Relu" || !isStatic(n) {
			continue
		}
		conv := producer[n.In[0]]
		if conv == nil || conv.Kind() != "Conv" || !isStatic(conv) || !read.only(n.In[0], n) {
			continue
		}
		conv.Domain, conv.Op, conv.Out = graph.DomainInternal, convRelu, n.Out
		gone = append(gone, n)
	}
	c.g.Remove(gone...)
}
