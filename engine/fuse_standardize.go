package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
)

// standardize normalises rows: it reads x, and if there are any scale and bias of
// a row, and ε, see [kernel.Standardize]. Its attributes are cols, the elements of
// a row, and centred. An operator of this package.
const standardize = "Standardize"

// findStandardize finds layer normalisation and that by the root mean square, as
// lowered or written out by exporters, over the last axes:
//
//	c/√(ReduceMean(c²) + ε)·scale + bias,   c = x − ReduceMean(x) or c = x
//
// Forms that take the variance as E[x²] − E[x]² stay as they are: they lose digits
// that this one keeps.
func (c *compiler) findStandardize() {
	m := c.matcher()
	for _, n := range c.g.Nodes {
		s, ok := m.standardized(n)
		if !ok {
			continue
		}
		leaves := []*graph.Value{s.x, s.epsilon}
		if s.scale != nil {
			leaves = append(leaves, s.scale)
		}
		if !m.ownedBy(n, leaves...) {
			continue
		}
		last := m.addAffine(n, s)
		centred := 0
		if s.centred {
			centred = 1
		}
		last.Domain, last.Op = graph.DomainInternal, standardize
		last.Attrs = graph.Attributes{graph.Int("cols", s.cols()), graph.Int("centred", centred)}
		last.In = []*graph.Value{s.x, s.scale, s.bias, s.epsilon}
	}
	c.dropDead()
}

// standardized is a normalisation of rows that was found.
type standardized struct {
	rows
	centred     bool
	epsilon     *graph.Value
	scale, bias *graph.Value // nil for none
}

func (s *standardized) cols() int {
	shape, _ := s.x.Type.Static()
	return elements(shape[s.axis:])
}

// fits reports whether v holds a number for each element of a row.
func (s *standardized) fits(v *graph.Value) bool {
	shape, _ := s.x.Type.Static()
	got, ok := v.Type.Static()
	if !ok || v.Type.DType != s.x.Type.DType || len(got) > len(shape) {
		return false
	}
	got = append(slices.Repeat([]int{1}, len(shape)-len(got)), got...)
	return slices.Equal(got[s.axis:], shape[s.axis:]) && elements(got[:s.axis]) == 1
}

// standardized matches the node that divides by the deviation, or multiplies by
// its inverse, which may have been multiplied by the scale before.
func (m *matcher) standardized(n *graph.Node) (s *standardized, ok bool) {
	if !isStatic(n) || len(n.In) != 2 || !isFloat(n.Out[0]) {
		return nil, false
	}
	switch n.Kind() {
	case "Div":
		if root := m.root(n.In[1], 0.5, "Sqrt"); root != nil {
			s = m.spread(n.In[0], root)
		}
	case "Mul":
		either(n, func(x, factor *graph.Value) bool {
			s = m.scaled(x, factor)
			return s != nil
		})
	}
	return s, s != nil && s.x.Type.Equal(n.Out[0].Type)
}

// scaled matches x and a factor 1/√(…), or that times a scale.
func (m *matcher) scaled(x, factor *graph.Value) (s *standardized) {
	if v := m.inverseRoot(factor); v != nil {
		return m.spread(x, v)
	}
	if product := m.made(factor, "Mul"); product != nil {
		either(product, func(inverse, scale *graph.Value) bool {
			v := m.inverseRoot(inverse)
			if v == nil {
				return false
			}
			if s = m.spread(x, v); s != nil && s.fits(scale) {
				s.scale = scale
				return true
			}
			s = nil
			return false
		})
	}
	return s
}

// root is the v of v^power, or of the operator that stands for it.
func (m *matcher) root(v *graph.Value, power float64, op string) *graph.Value {
	if n := m.made(v, op); n != nil {
		return n.In[0]
	}
	if n := m.made(v, "Pow"); n != nil && m.is(n.In[1], power) {
		return n.In[0]
	}
	return nil
}

// inverseRoot is the v of 1/√v.
func (m *matcher) inverseRoot(v *graph.Value) *graph.Value {
	if n := m.made(v, "Pow"); n != nil && m.is(n.In[1], -0.5) {
		return n.In[0]
	}
	if n := m.made(v, "Reciprocal"); n != nil {
		return m.root(n.In[0], 0.5, "Sqrt")
	}
	if n := m.made(v, "Div"); n != nil && m.is(n.In[0], 1) {
		return m.root(n.In[1], 0.5, "Sqrt")
	}
	return nil
}

// spread matches v = ReduceMean(c²) + ε, and c = x − ReduceMean(x) if it is that.
func (m *matcher) spread(c, v *graph.Value) (s *standardized) {
	add := m.made(v, "Add")
	if add == nil {
		return nil
	}
	either(add, func(mean, epsilon *graph.Value) bool {
		if size, ok := epsilon.Type.Static(); !ok || elements(size) != 1 || epsilon.Type.DType != c.Type.DType {
			return false
		}
		r, ok := m.reduced(mean, "ReduceMean")
		if !ok || !mean.Type.Equal(v.Type) || m.squared(r.x) != c || m.producer[epsilon] != nil {
			return false
		}
		s = &standardized{rows: rows{c, r.axis}, epsilon: epsilon}
		return true
	})
	if s == nil {
		return nil
	}
	if sub := m.made(c, "Sub"); sub != nil {
		if r, ok := m.reduced(sub.In[1], "ReduceMean"); ok && r.x == sub.In[0] && r.axis == s.axis {
			s.x, s.centred = r.x, true
		}
	}
	return s
}

// squared is the c of c².
func (m *matcher) squared(v *graph.Value) *graph.Value {
	if n := m.made(v, "Mul"); n != nil && n.In[0] == n.In[1] {
		return n.In[0]
	}
	if n := m.made(v, "Pow"); n != nil && m.is(n.In[1], 2) {
		return n.In[0]
	}
	return nil
}

// addAffine adds the scale and the bias that follow n, and returns the last of
// these nodes, or n.
func (m *matcher) addAffine(n *graph.Node, s *standardized) *graph.Node {
	for {
		next := m.onlyReader(n)
		if next == nil {
			return n
		}
		kind, to := "Mul", &s.scale
		if next.Kind() == "Add" {
			kind, to = "Add", &s.bias
		}
		if next.Kind() != kind || *to != nil || s.bias != nil || !next.Out[0].Type.Equal(s.x.Type) || !either(next, func(y, v *graph.Value) bool {
			if y != n.Out[0] || v == y || !s.fits(v) {
				return false
			}
			*to = v
			return true
		}) {
			return n
		}
		n = next
	}
}

// onlyReader is the node of known shapes that alone reads n's output, once.
func (m *matcher) onlyReader(n *graph.Node) *graph.Node {
	v := n.Out[0]
	if m.read.isOutput(v) || len(m.read.of[v]) != 1 || !isStatic(m.read.of[v][0]) {
		return nil
	}
	return m.read.of[v][0]
}
