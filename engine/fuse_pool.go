package engine

import "github.com/compactify/compactify/graph"

// poolBeforeRelu moves the gradient of a Relu behind that of the pooling that
// reads it, where there are fewer elements:
//
//	ReluGrad(MaxPoolScatter(dy, at), y) = MaxPoolScatter(ReluGrad(dy, m), at),   m, at = MaxPool(y)
//
// Only the places at receive anything, and y is m there.
func (c *compiler) poolBeforeRelu() {
	read, producer := c.readers(), c.g.Producers()
	for _, n := range c.g.Nodes {
		if n.Kind() != "compactify.ReluGrad" || !isStatic(n) {
			continue
		}
		scatter := producer[n.In[0]]
		if scatter == nil || scatter.Kind() != "compactify.MaxPoolScatter" || !isStatic(scatter) || !read.only(n.In[0], n) {
			continue
		}
		pool := producer[scatter.In[1]]
		if pool == nil || pool.Kind() != "MaxPool" || pool.In[0] != n.In[1] || pool.Out[1] != scatter.In[1] {
			continue
		}
		// Both nodes stay where they are in the order: they change places by
		// exchanging what they are.
		dy, dx := scatter.In[0], n.Out[0]
		at, shape := scatter.In[1], scatter.In[2]
		between := &graph.Value{Name: scatter.Out[0].Name, Type: dy.Type}
		*scatter, *n = graph.Node{Name: n.Name, Domain: n.Domain, Op: n.Op, Attrs: n.Attrs,
			In: []*graph.Value{dy, pool.Out[0]}, Out: []*graph.Value{between}},
			graph.Node{Name: scatter.Name, Domain: scatter.Domain, Op: scatter.Op, Attrs: scatter.Attrs,
				In: []*graph.Value{between, at, shape}, Out: []*graph.Value{dx}}
	}
}
