package engine

import (
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
)

// findGelu finds x·Φ(x) written out, exact or with tanh, which has a kernel of its
// own:
//
//	x·½·(1 + erf(x/√2)),   x·½·(1 + tanh(√(2/π)·(x + 0.044715·x³)))
//
// Exporters write these in many ways. What depends on one value and on numbers
// alone, by arithmetic around an Erf or a Tanh, is a function of one number: it is
// Gelu if it has Gelu's values.
func (c *compiler) findGelu() {
	m := c.matcher()
	for _, n := range c.g.Nodes {
		if n.Kind() != "Erf" && n.Kind() != "Tanh" || !isStatic(n) || !isFloat(n.Out[0]) {
			continue
		}
		root, x, form := m.gelu(n)
		if root != nil {
			root.Op, root.In, root.Attrs = "Gelu", []*graph.Value{x}, graph.Attributes{graph.Text("approximate", form)}
		}
	}
	c.dropDead()
}

// geluReach is how many nodes from the Erf or Tanh the input and the output may
// be: written out, they are five and three.
const geluReach = 6

// gelu is the node that ends a Gelu around n, its input, and its form; nil if there
// is none.
func (m *matcher) gelu(n *graph.Node) (root *graph.Node, x *graph.Value, form string) {
	below := m.below(n)
	root = n
	for range geluReach {
		if root = m.next(root); root == nil || !arithmetic[root.Kind()] || !root.Out[0].Type.Equal(n.Out[0].Type) {
			break
		}
		if root.Kind() != "Mul" && root.Kind() != "Div" {
			continue
		}
		for _, x := range below {
			if !x.Type.Equal(root.Out[0].Type) {
				continue
			}
			if form := m.geluForm(root, x); form != "" && m.ownedBy(root, x) {
				return root, x, form
			}
		}
	}
	return nil, nil, ""
}

// next is the one node that reads n's output.
func (m *matcher) next(n *graph.Node) *graph.Node {
	if r := m.onlyReader(n); r != nil && len(r.Out) == 1 {
		return r
	}
	return nil
}

// arithmetic are the operators that a Gelu is written with, but for Erf and Tanh.
var arithmetic = setOf("Add", "Sub", "Mul", "Div", "Pow", "Neg")

// below lists the values, but for constants, that n's input is made of by
// arithmetic.
func (m *matcher) below(n *graph.Node) []*graph.Value {
	list := []*graph.Value{n.In[0]}
	for at, depth := 0, 0; at < len(list) && depth < 2*geluReach; at, depth = at+1, depth+1 {
		p := m.producer[list[at]]
		if p == nil || !arithmetic[p.Kind()] || !isStatic(p) {
			continue
		}
		for _, v := range p.In {
			if _, known := m.number(v); !known && !slices.Contains(list, v) {
				list = append(list, v)
			}
		}
	}
	return list
}

// geluNodes bounds the nodes that are read for one value of a Gelu, those read
// twice counted twice: written out, it has about a dozen.
const geluNodes = 40

// geluTolerance is what rounding the constants to float32 makes of the result.
const geluTolerance = 1e-6

// geluForm is the form of Gelu that root computes of x; empty for another function.
func (m *matcher) geluForm(root *graph.Node, x *graph.Value) string {
	forms := map[string]func(x float64) float64{
		"none": func(x float64) float64 { return x * 0.5 * (1 + math.Erf(x/math.Sqrt2)) },
		"tanh": func(x float64) float64 {
			return x * 0.5 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
		},
	}
	for at := -6.0; at <= 6; at += 0.37 {
		budget := geluNodes
		got, ok := m.at(root.Out[0], x, at, &budget)
		if !ok {
			return ""
		}
		for form, f := range forms {
			if !(math.Abs(got-f(at)) <= geluTolerance*(1+math.Abs(at))) {
				delete(forms, form)
			}
		}
	}
	for form := range forms {
		return form
	}
	return ""
}

// at is the value of v where x is that number, if v depends on x and numbers alone,
// by way of no more nodes than the budget.
func (m *matcher) at(v, x *graph.Value, number float64, budget *int) (float64, bool) {
	if v == x {
		return number, true
	}
	if c, known := m.number(v); known {
		return c, true
	}
	n := m.producer[v]
	if *budget--; n == nil || *budget < 0 || !isStatic(n) {
		return 0, false
	}
	var in [2]float64
	for i, v := range n.In {
		var ok bool
		if i == len(in) || v == nil {
			return 0, false
		}
		if in[i], ok = m.at(v, x, number, budget); !ok {
			return 0, false
		}
	}
	switch n.Kind() {
	case "Add":
		return in[0] + in[1], true
	case "Sub":
		return in[0] - in[1], true
	case "Mul":
		return in[0] * in[1], true
	case "Div":
		return in[0] / in[1], true
	case "Pow":
		return math.Pow(in[0], in[1]), true
	case "Neg":
		return -in[0], true
	case "Erf":
		return math.Erf(in[0]), true
	case "Tanh":
		return math.Tanh(in[0]), true
	}
	return 0, false
}
