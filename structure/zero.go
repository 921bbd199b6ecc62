package structure

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// zeros says, by value and axis, whether the value is zero at the slots of the
// axis once the parameters of their classes are. A sum over channels is the same
// without a removed one only where this holds.
type zeros struct{ x *axes }

func (z zeros) at(v *graph.Value, axis int) bool {
	if v == nil {
		return false
	}
	if p := z.x.params[v]; p != nil {
		return z.x.holdsWeights(p)
	}
	list := z.x.zeros[v]
	return axis >= 0 && axis < len(list) && list[axis]
}

// set records an axis of an output.
func (z zeros) set(v *graph.Value, axis int, zero bool) {
	if v == nil || !zero || axis < 0 || axis >= v.Type.Rank() {
		return
	}
	list := z.x.zeros[v]
	if list == nil {
		list = make([]bool, v.Type.Rank())
		z.x.zeros[v] = list
	}
	list[axis] = true
}

// zeroData reports whether a value is a constant of zeros.
func (z zeros) zeroData(v *graph.Value) bool {
	t, ok := z.x.constant(v)
	return ok && t.DType() != tensor.String && isZero(t)
}

func isZero(t tensor.Tensor) bool {
	for i, n := 0, t.Len(); i < n; i++ {
		if t.At(i) != 0 {
			return false
		}
	}
	return true
}

// contraction is an axis over which a node sums products of its operands: one
// of them must be zero where a channel is removed.
type contraction struct {
	node     *graph.Node
	operands []operand
}

type operand struct {
	value *graph.Value
	axis  int
}

// contract ties the axes that a node sums over.
func (x *axes) contract(n *graph.Node, operands ...operand) {
	first := x.at(operands[0].value)[operands[0].axis]
	for _, o := range operands[1:] {
		x.tie(n, first, x.at(o.value)[o.axis])
	}
	x.contractions = append(x.contractions, contraction{n, operands})
}

// fixContractions fixes the axes of sums in which a removed channel would be
// missed, and reports whether there was one.
func (x *axes) fixContractions() bool {
	x.zeros = make(map[*graph.Value][]bool)
	for _, r := range x.nodes {
		if r.zero != nil {
			r.zero(zeros{x})
		}
	}
	found := false
	for _, c := range x.contractions {
		if c.isZero(zeros{x}) {
			continue
		}
		for _, o := range c.operands {
			if a := x.at(o.value)[o.axis]; !x.allFixed(a) {
				x.fix(a, x.because("%v sums over it, and a removed one need not be zero there", c.node))
				found = true
			}
		}
	}
	return found
}

func (c contraction) isZero(z zeros) bool {
	for _, o := range c.operands {
		if z.at(o.value, o.axis) {
			return true
		}
	}
	return false
}
