package structure

import "github.com/compactify/compactify/graph"

func recurrentRelations() map[string]relation {
	return map[string]relation{"RNN": relateRecurrent(1), "GRU": relateRecurrent(3), "LSTM": relateRecurrent(4)}
}

// relateRecurrent: x [T, N, I], w [D, G·H, I], r [D, G·H, H], b [D, 2·G·H],
// states [D, N, H] and peepholes [D, 3·H] → y [T, D, N, H] and last states
// [D, N, H]. Unit h goes with its row in each of the G gates, in both
// directions.
func relateRecurrent(gates int) relation {
	return func(x *axes, n *graph.Node) nodeRule {
		in, w, r := x.at(n.In[0]), x.at(n.In[1]), x.at(n.In[2])
		units := r[2]
		reason := x.because("%v runs over it", n)
		for _, list := range [][]axis{in[:2], w[:1], r[:1]} {
			for _, a := range list {
				x.fix(a, reason)
			}
		}
		if units.size < 1 {
			x.fixNode(n, "has an unknown number of units")
			return nodeRule{}
		}
		x.fixAll(n.Input(4), reason)
		x.tieGroups(gates, w[1], units)
		x.tieGroups(gates, r[1], units)
		x.contract(n, operand{n.In[0], 2}, operand{n.In[1], 2})
		for i, times := range []int{3: 2 * gates, 5: 1, 6: 1, 7: 3} {
			if a := x.at(n.Input(i)); a != nil && times > 0 {
				x.fixLeading(a, reason)
				x.tieGroups(times, a[len(a)-1], units)
			}
		}
		for _, v := range n.Out {
			if a := x.at(v); a != nil {
				x.fixLeading(a, reason)
				x.tie(n, a[len(a)-1], units)
			}
		}
		for i := range units.size {
			x.mark(units.slot(i), markUnit)
		}
		x.output(n.In[2], 2)
		return nodeRule{
			zero: func(z zeros) { z.recurrent(n) },
			adjust: func(r *removal, c *graph.Node) error {
				c.Attrs = c.Attrs.With(graph.Int("hidden_size", r.size(units)))
				return nil
			},
		}
	}
}

// fixLeading fixes all axes but the last.
func (x *axes) fixLeading(list []axis, reason int32) {
	for _, a := range list[:len(list)-1] {
		x.fix(a, reason)
	}
}

// recurrent: a unit whose weights are zero stays at zero if it starts there, with
// the usual activations.
func (z zeros) recurrent(n *graph.Node) {
	state := n.Input(5)
	if n.Op == "LSTM" {
		state = n.Input(6) // h = o·tanh(c), and what h was enters through r alone
	}
	if n.Attrs.Has("activations") || state != nil && !z.at(state, 2) && !z.zeroData(state) {
		return
	}
	for i := 1; i < 4; i++ {
		if n.Input(i) != nil && !z.at(n.Input(i), 1) {
			return
		}
	}
	for _, v := range n.Out {
		if v != nil {
			z.set(v, v.Type.Rank()-1, true)
		}
	}
}
