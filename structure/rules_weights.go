package structure

import (
	"strings"

	"github.com/compactify/compactify/graph"
)

func weightRelations() map[string]relation {
	return map[string]relation{"Conv": relateConv, "ConvTranspose": relateConvTranspose, "Gemm": relateGemm, "MatMul": relateMatMul,
		"Einsum": relateEinsum, "com.microsoft.FusedConv": relateFused(relateConv, 3), "com.microsoft.FusedGemm": relateFused(relateGemm, 3)}
}

// relateFused: an operator with an activation behind it, and without what else
// ONNX Runtime fuses into it from input most on.
func relateFused(relate relation, most int) relation {
	return func(x *axes, n *graph.Node) nodeRule {
		if len(n.In) > most {
			x.fixNode(n, "adds another value, which is not followed")
			return nodeRule{}
		}
		rule := relate(x, n)
		switch n.Attrs.Text("activation", "") {
		case "", "Relu", "LeakyRelu", "Tanh":
		default:
			rule.zero = nil
		}
		return rule
	}
}

// output notes that an axis of a value counts output channels, if the value is
// a parameter or one that is rounded or cast.
func (x *axes) output(v *graph.Value, axis int) {
	for {
		if p := x.params[v]; p != nil {
			x.layers = append(x.layers, layer{p, axis})
			return
		}
		n := x.producers[v]
		if n == nil {
			return
		}
		switch n.Kind() {
		case "DequantizeLinear", "compactify.FakeQuantize", "QuantizeLinear", "Cast", "Identity":
			v = n.In[0]
		default:
			return
		}
	}
}

// relateConv: x [N, g·k, …], w [g·m, k, …], b [g·m] → y [N, g·m, …].
//
// Of a depthwise convolution, k = 1, channel c goes with its m filters. Groups
// of more channels all lose the same ones, so that they stay of equal size.
func relateConv(x *axes, n *graph.Node) nodeRule {
	in, w, out := x.at(n.In[0]), x.at(n.In[1]), x.at(n.Out[0])
	x.slide(n, in[2:], w[2:], out[2:])
	x.tie(n, in[0], out[0])
	x.output(n.In[1], 0)
	x.tie(n, w[0], out[1])
	if b := x.at(n.Input(2)); b != nil {
		x.tie(n, b[0], out[1])
	}
	g := n.Attrs.Int("group", 1)
	rule := nodeRule{zero: func(z zeros) {
		z.set(n.Out[0], 1, z.at(n.In[1], 0) && (n.Input(2) == nil || z.at(n.Input(2), 0)))
	}}
	switch {
	case g == 1:
		x.contract(n, operand{n.In[0], 1}, operand{n.In[1], 1})
	case !in[1].known() || !w[0].known() || g < 1 || in[1].size%g != 0 || w[0].size%g != 0:
		x.fixNode(n, "has groups of unknown size")
	case in[1].size == g:
		x.tieRuns(out[1], in[1])
		rule.adjust = func(r *removal, c *graph.Node) error {
			c.Attrs = c.Attrs.With(graph.Int("group", r.size(in[1])))
			return nil
		}
	default:
		x.tieGroups(g, in[1], w[1])
		x.tieGroups(g, out[1], out[1].from(0, out[1].size/g))
		x.contractions = append(x.contractions, contraction{n, []operand{{n.In[0], 1}, {n.In[1], 1}}})
	}
	return rule
}

// slide fixes the pixels that a window runs over, and the window.
func (x *axes) slide(n *graph.Node, lists ...[]axis) {
	reason := x.because("%v slides over it", n)
	for _, list := range lists {
		for _, a := range list {
			x.fix(a, reason)
		}
	}
}

// tieRuns ties each index of b to the run of indices of a, m times as long,
// that belong to it.
func (x *axes) tieRuns(a, b axis) {
	m := a.size / b.size
	for i := range a.size {
		x.union(a.slot(i), b.slot(i/m))
	}
}

// tieGroups ties an axis of g groups to the axis of one group: index j of all
// groups goes together.
func (x *axes) tieGroups(g int, all, one axis) {
	if !one.known() || all.size != g*one.size {
		return
	}
	for i := range all.size {
		x.union(all.slot(i), one.slot(i%one.size))
	}
}

// relateConvTranspose: x [N, g·k, …], w [g·k, m, …], b [g·m] → y [N, g·m, …].
func relateConvTranspose(x *axes, n *graph.Node) nodeRule {
	in, w, out := x.at(n.In[0]), x.at(n.In[1]), x.at(n.Out[0])
	x.slide(n, in[2:], w[2:], out[2:])
	x.tie(n, in[0], out[0])
	x.output(n.In[1], 1)
	if b := x.at(n.Input(2)); b != nil {
		x.tie(n, b[0], out[1])
	}
	g := n.Attrs.Int("group", 1)
	rule := nodeRule{zero: func(z zeros) {
		z.set(n.Out[0], 1, z.at(n.In[1], 1) && (n.Input(2) == nil || z.at(n.Input(2), 0)))
	}}
	switch {
	case g == 1:
		x.contract(n, operand{n.In[0], 1}, operand{n.In[1], 0})
		x.tie(n, w[1], out[1])
	case !in[1].known() || !out[1].known() || g < 1 || in[1].size%g != 0 || out[1].size != g*w[1].size:
		x.fixNode(n, "has groups of unknown size")
	case in[1].size == g:
		x.tie(n, in[1], w[0])
		x.tieRuns(out[1], in[1])
		x.fix(w[1], x.because("%v computes as many channels for each group", n))
		rule.zero = func(z zeros) { z.set(n.Out[0], 1, z.at(n.In[1], 0) && (n.Input(2) == nil || z.at(n.Input(2), 0))) }
		rule.adjust = func(r *removal, c *graph.Node) error {
			c.Attrs = c.Attrs.With(graph.Int("group", r.size(in[1])))
			return nil
		}
	default:
		x.tie(n, in[1], w[0])
		x.tieGroups(g, in[1], in[1].from(0, in[1].size/g))
		x.tieGroups(g, out[1], w[1])
		x.contractions = append(x.contractions, contraction{n, []operand{{n.In[0], 1}, {n.In[1], 0}}})
	}
	return rule
}

// relateGemm: a [M, K] · b [K, N] + c → y [M, N], a and b transposed where the
// attributes say so.
func relateGemm(x *axes, n *graph.Node) nodeRule {
	ta, tb := n.Attrs.Int("transA", 0), n.Attrs.Int("transB", 0)
	if ta|1 != 1 || tb|1 != 1 {
		x.fixNode(n, "has a transposition that is neither 0 nor 1")
		return nodeRule{}
	}
	a, b, out := x.at(n.In[0]), x.at(n.In[1]), x.at(n.Out[0])
	x.tie(n, a[ta], out[0])
	x.tie(n, b[1-tb], out[1])
	x.contract(n, operand{n.In[0], 1 - ta}, operand{n.In[1], tb})
	x.broadcast(n, n.Input(2), n.Out[0])
	x.output(n.In[1], 1-tb)
	x.output(n.In[0], ta)
	return nodeRule{zero: func(z zeros) {
		bias := func(k int) bool { return n.Input(2) == nil || z.aligned(n.In[2], n.Out[0], k) }
		z.set(n.Out[0], 0, z.at(n.In[0], ta) && bias(0))
		z.set(n.Out[0], 1, z.at(n.In[1], 1-tb) && bias(1))
	}}
}

// relateMatMul: a […, M, K] · b […, K, N] → […, M, N]; a vector has only K.
func relateMatMul(x *axes, n *graph.Node) nodeRule {
	a, b, y := n.In[0], n.In[1], n.Out[0]
	p, q, out := x.at(a), x.at(b), x.at(y)
	if len(p) == 0 || len(q) == 0 {
		x.fixNode(n, "multiplies a scalar")
		return nodeRule{}
	}
	x.contract(n, operand{a, len(p) - 1}, operand{b, max(0, len(q)-2)})
	last := len(out) - 1
	row, column := -1, -1 // axes of the result
	if len(q) > 1 {
		column = last
		last--
		x.tie(n, q[len(q)-1], out[column])
		x.output(b, len(q)-1)
	}
	if len(p) > 1 {
		row = last
		x.tie(n, p[len(p)-2], out[row])
		x.output(a, len(p)-2)
	}
	if len(q) > 1 && len(p) > 1 {
		x.broadcastAxes(n, p[:len(p)-2], out[:len(out)-2])
		x.broadcastAxes(n, q[:len(q)-2], out[:len(out)-2])
	} else if len(p) > 2 || len(q) > 2 {
		x.fixNode(n, "multiplies a stack of matrices by a vector")
	}
	return nodeRule{zero: func(z zeros) {
		z.set(y, column, z.at(b, len(q)-1))
		z.set(y, row, z.at(a, len(p)-2))
		for k := range max(0, len(out)-2) {
			ka, kb := k-(len(out)-len(p)), k-(len(out)-len(q))
			z.set(y, k, ka >= 0 && p[ka].size == out[k].size && z.at(a, ka) || kb >= 0 && q[kb].size == out[k].size && z.at(b, kb))
		}
	}}
}

// broadcastAxes ties axes from the last backwards, as broadcast does.
func (x *axes) broadcastAxes(n *graph.Node, in, out []axis) {
	for k := 1; k <= min(len(in), len(out)); k++ {
		if i := in[len(in)-k]; i.size != 1 {
			x.tie(n, i, out[len(out)-k])
		}
	}
}

// relateEinsum: axes of one letter go together.
func relateEinsum(x *axes, n *graph.Node) nodeRule {
	equation := strings.ReplaceAll(n.Attrs.Text("equation", ""), " ", "")
	left, right, explicit := strings.Cut(equation, "->")
	terms := strings.Split(left, ",")
	if !explicit || strings.Contains(equation, "...") || len(terms) != len(n.In) || repeats(right) || len(right) != len(x.at(n.Out[0])) {
		x.fixNode(n, "has an equation whose axes are not followed")
		return nodeRule{}
	}
	where := make(map[rune][]operand)
	letters := ""
	for i, term := range terms {
		if repeats(term) || len(term) != len(x.at(n.In[i])) {
			x.fixNode(n, "has an equation whose axes are not followed")
			return nodeRule{}
		}
		for k, letter := range term {
			if where[letter] == nil {
				letters += string(letter)
			}
			where[letter] = append(where[letter], operand{n.In[i], k})
		}
		if x.params[n.In[i]] != nil {
			for k, letter := range term {
				if strings.ContainsRune(right, letter) {
					x.output(n.In[i], k)
					break
				}
			}
		}
	}
	for _, letter := range letters {
		operands := where[letter]
		if k := strings.IndexRune(right, letter); k >= 0 {
			for _, o := range operands {
				x.tie(n, x.at(o.value)[o.axis], x.at(n.Out[0])[k])
			}
			continue
		}
		x.contract(n, operands...)
	}
	return nodeRule{zero: func(z zeros) {
		for k, letter := range right {
			z.set(n.Out[0], k, contraction{operands: where[letter]}.isZero(z))
		}
	}}
}

func repeats(term string) bool {
	for i, letter := range term {
		if strings.ContainsRune(term[:i], letter) {
			return true
		}
	}
	return false
}
