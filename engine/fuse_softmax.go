package engine

import (
	"math"

	"github.com/compactify/compactify/graph"
)

// findSoftmax finds softmax over the last axis written out, and its logarithm:
//
//	e/ReduceSum(e),       e = Exp(c),   c = x − ReduceMax(x)
//	c − Log(ReduceSum(e))
//
// The form without the maximum stays as it is: where exponentials overflow it
// gives NaN, which whoever measures a model should see, and Softmax would not.
func (c *compiler) findSoftmax() {
	m := c.matcher()
	for _, n := range c.g.Nodes {
		if !isStatic(n) || len(n.In) != 2 {
			continue
		}
		var x *graph.Value
		op := "Softmax"
		switch n.Kind() {
		case "Div":
			x = m.softmax(n.In[0], n.In[1])
		case "Mul":
			either(n, func(e, inverse *graph.Value) bool {
				if r := m.made(inverse, "Reciprocal"); r != nil {
					x = m.softmax(e, r.In[0])
				}
				return x != nil
			})
		case "Sub":
			op = "LogSoftmax"
			if log := m.made(n.In[1], "Log"); log != nil {
				x = m.logSoftmax(n.In[0], log.In[0])
			}
		}
		if x != nil && m.ownedBy(n, x) {
			n.Op, n.In, n.Attrs = op, []*graph.Value{x}, graph.Attributes{graph.Int("axis", -1)}
		}
	}
	c.dropDead()
}

// softmax is the x of which e are the exponentials and sum their sum; nil if they
// are something else.
func (m *matcher) softmax(e, sum *graph.Value) *graph.Value {
	exp := m.made(e, "Exp")
	if exp == nil || !m.sums(sum, e) {
		return nil
	}
	return m.belowMaximum(exp.In[0])
}

// logSoftmax is the x of which sum is that of the exponentials of c = x − max x.
func (m *matcher) logSoftmax(c, sum *graph.Value) *graph.Value {
	r, ok := m.reduced(sum, "ReduceSum")
	if !ok || r.axis != r.x.Type.Rank()-1 {
		return nil
	}
	if exp := m.made(r.x, "Exp"); exp == nil || exp.In[0] != c {
		return nil
	}
	return m.belowMaximum(c)
}

// sums reports whether sum is that of e over the last axis.
func (m *matcher) sums(sum, e *graph.Value) bool {
	r, ok := m.reduced(sum, "ReduceSum")
	return ok && r.x == e && r.axis == e.Type.Rank()-1
}

// belowMaximum is the x of a value x − ReduceMax(x) over the last axis; nil for
// another one.
func (m *matcher) belowMaximum(v *graph.Value) *graph.Value {
	sub := m.made(v, "Sub")
	if sub == nil || !isFloat(v) {
		return nil
	}
	r, ok := m.reduction(m.unbounded(m.origin(sub.In[1])), "ReduceMax")
	if ok && r.fit(sub.In[1]) && r.x == sub.In[0] && r.axis == v.Type.Rank()-1 {
		return r.x
	}
	return nil
}

// unbounded is v without a maximum with −∞, which JAX takes of it.
func (m *matcher) unbounded(v *graph.Value) *graph.Value {
	bound := m.made(v, "Max")
	if bound == nil || len(bound.In) != 2 {
		return v
	}
	either(bound, func(x, low *graph.Value) bool {
		if !m.is(low, math.Inf(-1)) || !x.Type.Equal(v.Type) {
			return false
		}
		v = m.origin(x)
		return true
	})
	return v
}
