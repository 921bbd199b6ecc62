package structure

import (
	"fmt"
	"maps"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// cut is a run of slots of one axis of one parameter, as a class has it.
type cut struct {
	param, axis int // the parameter by its place in the order of use
	index       []int
}

// groups gathers the classes that weights can lose, those that cut the same
// axes equally often together, in the order in which the graph uses them.
func (x *axes) groups() []*Group {
	params := slices.DeleteFunc(x.paramsInUse(), func(p *graph.Param) bool { return !x.holdsWeights(p) })
	classes := make(map[int32][]cut)
	var order []int32
	for i, p := range params {
		for k, a := range x.at(p.Value) {
			for j := range a.size {
				c := x.find(a.slot(j))
				if x.reason[c] != 0 {
					continue
				}
				cuts := classes[c]
				if cuts == nil {
					order = append(order, c)
				}
				if last := len(cuts) - 1; last >= 0 && cuts[last].param == i && cuts[last].axis == k {
					cuts[last].index = append(cuts[last].index, j)
				} else {
					cuts = append(cuts, cut{i, k, []int{j}})
				}
				classes[c] = cuts
			}
		}
	}
	var list []*Group
	bySignature := make(map[string]*Group)
	for _, c := range order {
		cuts := classes[c]
		key := signature(cuts)
		g := bySignature[key]
		if g == nil {
			g = newGroup(x, params, cuts)
			bySignature[key] = g
			list = append(list, g)
		}
		g.add(x, c, cuts)
	}
	return list
}

// paramsInUse lists the parameters in the order in which nodes read them.
func (x *axes) paramsInUse() []*graph.Param {
	var list []*graph.Param
	seen := make(map[*graph.Param]bool)
	for _, n := range x.graph.Nodes {
		for _, v := range n.Reads() {
			if p := x.params[v]; p != nil && !seen[p] {
				seen[p] = true
				list = append(list, p)
			}
		}
	}
	return list
}

// holdsWeights reports whether a parameter holds numbers the model computes
// with, in floating point or as the integers of a DequantizeLinear.
func (x *axes) holdsWeights(p *graph.Param) bool {
	if p.Data.DType().IsFloat() {
		return true
	}
	return slices.ContainsFunc(x.consumers[p.Value], func(n *graph.Node) bool {
		return n.Kind() == "DequantizeLinear" && n.In[0] == p.Value
	})
}

func signature(cuts []cut) string {
	s := ""
	for _, c := range cuts {
		s += fmt.Sprintf("%d.%d×%d ", c.param, c.axis, len(c.index))
	}
	return s
}

func newGroup(x *axes, params []*graph.Param, cuts []cut) *Group {
	g := &Group{ID: params[cuts[0].param].Name, Kind: Channels}
	for _, c := range cuts {
		p := params[c.param]
		g.Ties = append(g.Ties, Tie{Param: p, Axis: c.axis})
		g.Bytes += len(p.Data.Raw()) * len(c.index) / max(1, p.Data.Shape()[c.axis])
	}
	return g
}

// add makes a class the group's next channel.
func (g *Group) add(x *axes, class int32, cuts []cut) {
	g.Channels++
	g.classes = append(g.classes, class)
	for i, c := range cuts {
		g.Ties[i].Index = append(g.Ties[i].Index, c.index)
	}
	switch marks := x.marks[class]; {
	case marks&markUnit != 0:
		g.Kind = Units
	case marks&markHead != 0:
		g.Kind = Heads
	}
}

// refusals lists the weights whose output channels stay, all or some, by the
// reason; then those in the bodies of control flow.
func (x *axes) refusals() []Refusal {
	var list []Refusal
	seen := make(map[*graph.Param]map[int]bool)
	for _, l := range append(x.layers, x.otherLayers()...) {
		if seen[l.param] == nil {
			seen[l.param] = make(map[int]bool)
		}
		if seen[l.param][l.axis] {
			continue
		}
		seen[l.param][l.axis] = true
		list = append(list, x.refusalsOf(l)...)
	}
	for _, n := range x.graph.Nodes {
		for _, a := range n.Attrs {
			for _, body := range a.Subgraphs() {
				list = append(list, refusalsIn(body, n)...)
			}
		}
	}
	return list
}

func (x *axes) refusalsOf(l layer) []Refusal {
	count := make(map[int32]int)
	a := x.at(l.param.Value)[l.axis]
	if !a.known() {
		return []Refusal{{l.param.Name, l.param.Data.Shape()[l.axis], fmt.Sprintf("its axis %d is too long to follow", l.axis)}}
	}
	for i := range a.size {
		if r := x.why(a.slot(i)); r != 0 {
			count[r]++
		}
	}
	var list []Refusal
	for _, r := range slices.Sorted(maps.Keys(count)) {
		list = append(list, Refusal{l.param.Name, count[r], x.text(r)})
	}
	return list
}

// otherLayers are the matrices read by nodes that were not understood.
func (x *axes) otherLayers() []layer {
	named := make(map[*graph.Value]bool)
	for _, l := range x.layers {
		named[l.param.Value] = true
	}
	var list []layer
	for _, n := range x.foreign {
		for _, v := range n.Reads() {
			if p := x.params[v]; p != nil && !named[v] && isMatrix(p.Data) {
				list = append(list, layer{p, 0})
			}
		}
	}
	return list
}

// isMatrix reports whether a tensor has floats along two axes or more.
func isMatrix(t tensor.Tensor) bool {
	long := 0
	for _, d := range t.Shape() {
		if d > 1 {
			long++
		}
	}
	return long > 1 && t.DType().IsFloat()
}

func refusalsIn(body *graph.Graph, n *graph.Node) []Refusal {
	var list []Refusal
	for _, p := range body.Params {
		if isMatrix(p.Data) {
			list = append(list, Refusal{p.Name, p.Data.Shape()[0], fmt.Sprintf("%v holds it in a body of its own", n)})
		}
	}
	for _, inner := range body.Nodes {
		for _, a := range inner.Attrs {
			if a.Kind == graph.AttrTensor && isMatrix(a.T) {
				list = append(list, Refusal{inner.Out[0].Name, a.T.Shape()[0], fmt.Sprintf("%v holds it in a body of its own", n)})
			}
			for _, sub := range a.Subgraphs() {
				list = append(list, refusalsIn(sub, n)...)
			}
		}
	}
	return list
}
