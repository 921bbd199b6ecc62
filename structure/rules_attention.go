package structure

import "github.com/compactify/compactify/graph"

func attentionRelations() map[string]relation {
	return map[string]relation{"Attention": relateAttention, "RotaryEmbedding": relateRotary}
}

// relateAttention: q, k and v, each [N, heads, steps, size] or
// [N, steps, heads·size], mask, past k and v → y like q, k and v with their
// past, scores. A head of k goes with all heads of q that look at it.
func relateAttention(x *axes, n *graph.Node) nodeRule {
	q, k := x.at(n.In[0]), x.at(n.In[1])
	queries, keys := n.Attrs.Int("q_num_heads", 0), n.Attrs.Int("kv_num_heads", 0)
	flat := len(q) == 3
	if !flat {
		queries, keys = q[1].size, k[1].size
	}
	if queries < 1 || keys < 1 || queries%keys != 0 {
		x.fixNode(n, "has an unknown number of heads")
		return nodeRule{}
	}
	reason := x.because("%v needs it whole", n)
	heads := axis{x.add(keys), keys}
	if keys == 1 {
		x.fix(heads, only)
	}
	tie := func(v *graph.Value, count int) {
		list := x.at(v)
		if list == nil {
			return
		}
		at := 1
		if len(list) == 3 {
			at = 2
		}
		for i, a := range list {
			if i != at {
				x.fix(a, reason)
			}
		}
		a := list[at]
		if !a.known() || a.size%count != 0 || at == 1 && a.size != count {
			x.fixNode(n, "has heads of unknown size")
			return
		}
		x.tieRuns(a, heads)
	}
	for i, count := range []int{queries, keys, keys, 0, keys, keys} {
		if count > 0 {
			tie(n.Input(i), count)
		}
	}
	for i, count := range []int{queries, keys, keys, queries} {
		tie(n.Output(i), count)
	}
	x.relateMask(n, queries, heads, reason)
	x.fixAll(n.Input(6), reason)
	for i := range keys {
		x.mark(heads.slot(i), markHead)
	}
	rule := nodeRule{zero: func(z zeros) {
		at := 1
		if flat {
			at = 2
		}
		z.set(n.Out[0], at, z.at(n.In[2], at) && (n.Input(5) == nil || z.at(n.Input(5), 1)))
	}}
	if flat {
		rule.adjust = func(r *removal, c *graph.Node) error {
			left := r.size(heads)
			c.Attrs = c.Attrs.With(graph.Int("q_num_heads", left*(queries/keys))).With(graph.Int("kv_num_heads", left))
			return nil
		}
	}
	return rule
}

// relateMask: the mask broadcasts to [N, heads, steps, keys].
func (x *axes) relateMask(n *graph.Node, queries int, heads axis, reason int32) {
	mask := x.at(n.Input(3))
	for i, a := range mask {
		if i != len(mask)-3 || a.size != queries {
			x.fix(a, reason)
		} else if a.size > 1 {
			x.tieRuns(a, heads)
		}
	}
}

// relateRotary: x [N, heads, steps, size] or [N, steps, heads·size], every head
// turned by the same tables.
func relateRotary(x *axes, n *graph.Node) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	at, count := 1, in[1].size
	if len(in) == 3 {
		at, count = 2, n.Attrs.Int("num_heads", 0)
	}
	if count < 1 || !in[at].known() || in[at].size%count != 0 || out[at].size != in[at].size {
		x.fixNode(n, "has an unknown number of heads")
		return nodeRule{}
	}
	reason := x.because("%v needs it whole", n)
	for _, v := range n.In[1:] {
		x.fixAll(v, reason)
	}
	for k := range in {
		if k != at {
			x.fix(in[k], reason)
		}
		x.tie(n, in[k], out[k])
	}
	heads := axis{x.add(count), count}
	x.tieRuns(in[at], heads)
	for i := range count {
		x.mark(heads.slot(i), markHead)
	}
	rule := nodeRule{zero: func(z zeros) { z.set(n.Out[0], at, z.at(n.In[0], at)) }}
	if at == 2 {
		rule.adjust = func(r *removal, c *graph.Node) error {
			c.Attrs = c.Attrs.With(graph.Int("num_heads", r.size(heads)))
			return nil
		}
	}
	return rule
}
