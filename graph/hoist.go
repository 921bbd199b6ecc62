package graph

import (
	"bytes"
	"fmt"
	"slices"
)

// HoistWeights moves the floating-point parameters and Constant nodes of at least
// two axes out of the bodies of If, Loop and Scan into the graph itself, which the
// bodies capture them from: what works on [Graph.Layers] then finds them, and a
// loop does not prepare them anew in every iteration. Equal tensors of one name,
// as exporters leave them in both branches of an If, become one; different ones of
// one name get a suffix. It returns how many it moved.
//
// What a body hands out as it is stays: runtimes want a node of the body there.
func (g *Graph) HoistWeights() int {
	h := hoist{names: make(map[string]map[*Value]bool)}
	g.eachValue(func(v *Value) {
		if h.names[v.Name] == nil {
			h.names[v.Name] = make(map[*Value]bool)
		}
		h.names[v.Name][v] = true
	})
	for _, n := range g.Nodes {
		h.bodiesOf(n)
	}
	for _, p := range h.kept {
		h.name(p)
	}
	g.Params = append(g.Params, h.kept...)
	return h.moved
}

// hoist is one run of [Graph.HoistWeights].
type hoist struct {
	names map[string]map[*Value]bool // the values of each name
	kept  []*Param                   // that the graph gets
	moved int
}

func (h *hoist) bodiesOf(n *Node) {
	for _, a := range n.Attrs {
		for _, body := range a.Subgraphs() {
			h.body(body)
			for _, inner := range body.Nodes {
				h.bodiesOf(inner)
			}
		}
	}
}

// body moves the parameters of one body.
func (h *hoist) body(body *Graph) {
	for _, n := range slices.Clone(body.Nodes) {
		if a, ok := n.Attrs.Get("value"); ok && n.Kind() == "Constant" && a.Kind == AttrTensor {
			p := &Param{Value: n.Out[0], Data: a.T}
			if p.Type = a.T.Type(); h.takes(body, p) {
				body.Remove(n)
				h.move(body, p)
			}
		}
	}
	for _, p := range slices.Clone(body.Params) {
		if h.takes(body, p) {
			body.RemoveParams(func(q *Param) bool { return q == p })
			h.move(body, p)
		}
	}
}

func (h *hoist) takes(body *Graph, p *Param) bool {
	return p.Data.DType().IsFloat() && p.Data.Rank() >= 2 && !slices.Contains(body.Outputs, p.Value) && !slices.Contains(body.Inputs, p.Value)
}

// move takes a parameter for the graph, unless it has an equal one already.
func (h *hoist) move(body *Graph, p *Param) {
	h.moved++
	for _, q := range h.kept {
		if q.Name == p.Name && q.Type.Equal(p.Type) && bytes.Equal(q.Data.Raw(), p.Data.Raw()) {
			body.Replace(p.Value, q.Value)
			delete(h.names[p.Name], p.Value)
			return
		}
	}
	h.kept = append(h.kept, p)
}

// name makes the name of a parameter its own.
func (h *hoist) name(p *Param) {
	was := p.Name
	for k := 1; len(h.names[p.Name]) > 1; k++ {
		fresh := fmt.Sprintf("%s_%d", was, k)
		if h.names[fresh] == nil {
			delete(h.names[was], p.Value)
			p.Name = fresh
			h.names[fresh] = map[*Value]bool{p.Value: true}
		}
	}
}
