package structure

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// axis is the slots of one axis of one value: first, first+1, …. An axis of
// unknown or excessive length has none, and its size is −1.
type axis struct {
	first int32
	size  int
}

func (a axis) known() bool        { return a.size >= 0 }
func (a axis) slot(i int) int32   { return a.first + int32(i) }
func (a axis) from(i, n int) axis { return axis{a.slot(i), n} }

// Bounds on slots, as sizes come from foreign files: longer axes are those of
// signals and tables, not of channels.
const (
	maxAxis  = 1 << 20
	maxSlots = 1 << 26
)

// axes is the analysis at work: the slots of all values and how they are tied.
type axes struct {
	classes
	graph     *graph.Graph
	of        map[*graph.Value][]axis // nil for a value of unknown rank
	values    []*graph.Value          // that have axes, in the order in which they were met
	params    map[*graph.Value]*graph.Param
	producers map[*graph.Value]*graph.Node
	consumers map[*graph.Value][]*graph.Node
	reasons   []string
	products  []*product
	layers    []layer
	foreign   []*graph.Node // that were not understood
	nodes     []nodeRule

	contractions []contraction
	zeros        map[*graph.Value][]bool // by axis: see zero.go
}

// layer is an axis of a parameter that counts output channels.
type layer struct {
	param *graph.Param
	axis  int
}

func newAxes(g *graph.Graph) *axes {
	return &axes{graph: g, of: make(map[*graph.Value][]axis), params: g.ParamsByValue(), producers: g.Producers(), consumers: g.Consumers()}
}

// at returns the axes of a value, nil if it is omitted or of unknown rank.
func (x *axes) at(v *graph.Value) []axis {
	if v == nil || !v.Type.Ranked() {
		return nil
	}
	list, ok := x.of[v]
	if !ok {
		list = make([]axis, v.Type.Rank())
		for i, d := range v.Type.Shape {
			list[i] = x.axis(d)
		}
		x.of[v] = list
		x.values = append(x.values, v)
	}
	return list
}

// axis makes the slots of a new axis.
func (x *axes) axis(d tensor.Dim) axis {
	if !d.Known() || d.Size > maxAxis || len(x.parent)+d.Size > maxSlots {
		return axis{-1, -1}
	}
	a := axis{x.add(d.Size), d.Size}
	if d.Size == 1 {
		x.fix(a, only)
	}
	return a
}

// only is the reason of axes of length 1. Any other goes before it.
const only = math.MaxInt32

// text is a reason in words.
func (x *axes) text(reason int32) string {
	if reason == only {
		return "it is the only one of its axis"
	}
	return x.reasons[reason-1]
}

// because records a reason.
func (x *axes) because(format string, args ...any) int32 {
	x.reasons = append(x.reasons, fmt.Sprintf(format, args...))
	return int32(len(x.reasons))
}

// fix makes an axis stay as it is.
func (x *axes) fix(a axis, reason int32) {
	for i := range a.size {
		x.classes.fix(a.slot(i), reason)
	}
}

// fixAll makes all axes of a value stay.
func (x *axes) fixAll(v *graph.Value, reason int32) {
	for _, a := range x.at(v) {
		x.fix(a, reason)
	}
}

// fixNode makes everything that a node reads and writes stay.
func (x *axes) fixNode(n *graph.Node, why string) {
	reason := x.because("%v %s", n, why)
	for _, v := range n.Reads() {
		x.fixAll(v, reason)
	}
	for _, v := range n.Out {
		x.fixAll(v, reason)
	}
}

// tie removes the indices of two axes together.
func (x *axes) tie(n *graph.Node, a, b axis) {
	switch {
	case a.known() && b.known() && a.size == b.size:
		for i := range a.size {
			x.union(a.slot(i), b.slot(i))
		}
	case a.known() || b.known():
		reason := x.because("%v ties it to an axis whose size is not known to be the same", n)
		x.fix(a, reason)
		x.fix(b, reason)
	}
}

// allFixed reports whether nothing of an axis can go.
func (x *axes) allFixed(a axis) bool {
	for i := range a.size {
		if !x.fixed(a.slot(i)) {
			return false
		}
	}
	return true
}

// why is the reason for which a slot stays, 0 if it does not have to.
func (x *axes) why(i int32) int32 { return x.reason[x.find(i)] }

// fixInterface fixes the inputs and outputs of the model, and texts.
func (x *axes) fixInterface() {
	for _, p := range x.graph.Params {
		if p.Data.DType() == tensor.String {
			x.fixAll(p.Value, x.because("%q holds texts", p.Name))
		}
	}
	for _, v := range x.graph.Inputs {
		x.fixAll(v, x.because("%q is an input of the model", v.Name))
	}
	for _, v := range x.graph.Outputs {
		x.fixAll(v, x.because("%q is an output of the model", v.Name))
	}
}

// constant returns the data of a value that is known, of a parameter or of a
// Constant node.
func (x *axes) constant(v *graph.Value) (tensor.Tensor, bool) {
	if p := x.params[v]; p != nil {
		return p.Data, true
	}
	if n := x.producers[v]; n != nil && n.Kind() == "Constant" {
		if a, ok := n.Attrs.Get("value"); ok {
			return a.T, true
		}
	}
	return tensor.Tensor{}, false
}

// ints returns constant integers.
func (x *axes) ints(v *graph.Value) ([]int, bool) {
	if v == nil {
		return nil, false
	}
	t, ok := x.constant(v)
	if !ok {
		return nil, false
	}
	list, err := t.Int64s()
	if err != nil {
		return nil, false
	}
	out := make([]int, len(list))
	for i, k := range list {
		out[i] = int(k)
	}
	return out, true
}

// normal counts an axis from the front; false if there is no such axis.
func normal(axis, rank int) (int, bool) {
	if axis < 0 {
		axis += rank
	}
	return axis, axis >= 0 && axis < rank
}
