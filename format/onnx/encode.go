package onnx

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// IR versions that brought what the writer relies on.
const (
	irFreeParams = 4 // initialisers need not be inputs
	irSparse     = 6 // sparse initialisers, with the meaning they have today
)

// encoder turns a graph into messages.
type encoder struct {
	compact  bool
	names    map[*graph.Value]string // short names; nil keeps those of the graph
	external *externalData           // nil keeps all data inside
}

// model is the whole model. The graph comes last, so that a file cut short
// anywhere cannot pass for a shorter model.
func model(g *graph.Graph, o Options, external *externalData) (*message, error) {
	g, opset, err := prepare(g, o)
	if err != nil {
		return nil, err
	}
	e := &encoder{compact: o.Compact, external: external}
	if o.Compact {
		e.names = shortNames(g)
	}
	gm, err := e.graph(g)
	if err != nil {
		return nil, err
	}
	var m message
	m.varint(modelIR, uint64(irVersion(g, opset)))
	if !o.Compact {
		m.text(modelProducer, g.Meta.Producer)
		m.text(modelProducerVersion, g.Meta.ProducerVersion)
		m.text(modelDoc, g.Meta.Doc)
	}
	m.text(modelDomain, g.Meta.Domain)
	if g.Meta.ModelVersion != 0 {
		m.varint(modelVersion, uint64(g.Meta.ModelVersion))
	}
	e.opsets(&m, g, opset)
	for _, p := range mergeProps(g.Meta.Props, o.Props) {
		m.child(modelProps, entry(p.Key, p.Value))
	}
	m.child(modelGraph, gm)
	return &m, nil
}

func entry(key, value string) *message {
	var m message
	m.text(1, key)
	m.text(2, value)
	return &m
}

func mergeProps(old, added []graph.Prop) []graph.Prop {
	kept := slices.DeleteFunc(slices.Clone(old), func(p graph.Prop) bool {
		return slices.ContainsFunc(added, func(q graph.Prop) bool { return p.Key == q.Key })
	})
	return append(kept, added...)
}

// prepare checks that the graph can be written and returns it, converted if its
// number types ask for a newer opset, with the opset to state; 0 for a model
// without operators of the default set.
func prepare(g *graph.Graph, o Options) (*graph.Graph, int, error) {
	if err := g.Validate(); err != nil {
		return nil, 0, err
	}
	if err := checkNodes(g); err != nil {
		return nil, 0, err
	}
	opset := g.Opset[graph.DomainONNX]
	if opset == 0 {
		if domains(g)[graph.DomainONNX] {
			return nil, 0, errors.New("the graph names no opset of the default domain")
		}
		return g, 0, nil
	}
	need := g.TypeOpset()
	if need > opset {
		g, _ = g.Clone()
		return g, need, g.Upgrade(need)
	}
	if o.Oldest && opset == graph.LatestOpset {
		return g, max(need, g.MinOpset()), nil
	}
	return g, opset, nil
}

// checkNodes refuses what ONNX has no form for.
func checkNodes(g *graph.Graph) error {
	for _, n := range g.Nodes {
		if n.Domain == graph.DomainInternal {
			return fmt.Errorf("%v: an operator of the program's own: lower it before writing", n)
		}
		for _, a := range n.Attrs {
			if a.Kind == 0 || a.Kind > graph.AttrTypes {
				return fmt.Errorf("%v: attribute %q: kind %v cannot be written", n, a.Name, a.Kind)
			}
			for _, sub := range a.Subgraphs() {
				if err := checkNodes(sub); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// domains lists the operator sets that nodes use.
func domains(g *graph.Graph) map[string]bool {
	used := make(map[string]bool)
	for _, n := range g.Nodes {
		used[normalDomain(n.Domain)] = true
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				maps.Copy(used, domains(sub))
			}
		}
	}
	return used
}

func (e *encoder) opsets(m *message, g *graph.Graph, opset int) {
	used := domains(g)
	for _, domain := range slices.Sorted(maps.Keys(g.Opset)) {
		version := g.Opset[domain]
		if domain == graph.DomainONNX {
			version = opset
		} else if e.compact && !used[domain] {
			continue
		}
		var id message
		id.text(1, domain)
		id.varint(2, uint64(version))
		m.child(modelOpset, &id)
	}
}

func irVersion(g *graph.Graph, opset int) int {
	ir := max(g.Meta.IR, graph.MinIR(opset), irFreeParams)
	if hasSparse(g) {
		ir = max(ir, irSparse)
	}
	return ir
}

func hasSparse(g *graph.Graph) bool {
	if slices.ContainsFunc(g.Params, func(p *graph.Param) bool { return p.Sparse }) {
		return true
	}
	for _, n := range g.Nodes {
		for _, a := range n.Attrs {
			if slices.ContainsFunc(a.Subgraphs(), hasSparse) {
				return true
			}
		}
	}
	return false
}

// graph is a GraphProto.
func (e *encoder) graph(g *graph.Graph) (*message, error) {
	var m message
	for _, n := range g.Nodes {
		nm, err := e.node(n)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", n, err)
		}
		m.child(graphNode, nm)
	}
	m.text(graphName, e.graphName(g))
	var sparse []*message
	for _, p := range g.Params {
		if p.Sparse && p.Data.DType() != tensor.String {
			sparse = append(sparse, e.sparse(p))
			continue
		}
		m.child(graphParam, e.tensor(e.name(p.Value), e.doc(p.Doc), p.Data, true))
	}
	m.text(graphDoc, e.doc(g.Meta.GraphDoc))
	for _, v := range g.Inputs {
		m.child(graphInput, e.value(v))
	}
	for _, v := range g.Outputs {
		m.child(graphOutput, e.value(v))
	}
	if !e.compact {
		e.infos(&m, g)
	}
	for _, s := range sparse {
		m.child(graphSparse, s)
	}
	return &m, nil
}

// graphName is the graph's name, which may not be empty.
func (e *encoder) graphName(g *graph.Graph) string {
	if e.compact || g.Name == "" {
		return "g"
	}
	return g.Name
}

// infos describes the values inside the graph.
func (e *encoder) infos(m *message, g *graph.Graph) {
	told := make(map[*graph.Value]bool)
	for _, v := range g.Outputs {
		told[v] = true
	}
	for _, n := range g.Nodes {
		for _, v := range n.Out {
			if v != nil && !told[v] && (v.Type.DType != tensor.Undefined || v.Type.Ranked() || v.Doc != "") {
				m.child(graphInfo, e.value(v))
			}
		}
	}
}

// doc is documentation, which a compact model does without.
func (e *encoder) doc(s string) string {
	if e.compact {
		return ""
	}
	return s
}

func (e *encoder) name(v *graph.Value) string {
	if v == nil {
		return ""
	}
	if short, ok := e.names[v]; ok {
		return short
	}
	return v.Name
}

// value is a ValueInfoProto.
func (e *encoder) value(v *graph.Value) *message {
	var m message
	m.text(valueName, e.name(v))
	if t := typeMessage(v.Type); t != nil {
		m.child(valueType, t)
	}
	m.text(valueDoc, e.doc(v.Doc))
	return &m
}

// node is a NodeProto.
func (e *encoder) node(n *graph.Node) (*message, error) {
	var m message
	in, out := n.In, n.Out
	if e.compact {
		in, out = trimOmitted(in), trimOmitted(out)
	}
	for _, v := range in {
		m.element(nodeIn, e.name(v))
	}
	for _, v := range out {
		m.element(nodeOut, e.name(v))
	}
	if !e.compact {
		m.text(nodeName, n.Name)
	}
	m.text(nodeOp, n.Op)
	for _, a := range n.Attrs {
		am, err := e.attr(a)
		if err != nil {
			return nil, err
		}
		m.child(nodeAttr, am)
	}
	m.text(nodeDoc, e.doc(n.Doc))
	m.text(nodeDomain, normalDomain(n.Domain))
	return &m, nil
}

// trimOmitted drops omitted values at the end.
func trimOmitted(list []*graph.Value) []*graph.Value {
	for len(list) > 0 && list[len(list)-1] == nil {
		list = list[:len(list)-1]
	}
	return list
}

// attr is an AttributeProto. A zero is written too: ONNX's shape inference asks
// for the field.
func (e *encoder) attr(a graph.Attr) (*message, error) {
	var m message
	m.text(attrName, a.Name)
	switch a.Kind {
	case graph.AttrFloat:
		m.float(attrF, a.F)
	case graph.AttrInt:
		m.varint(attrI, uint64(a.I))
	case graph.AttrString:
		m.element(attrS, a.S)
	case graph.AttrTensor:
		m.child(attrT, e.tensor("", "", a.T, false))
	case graph.AttrFloats:
		e.floats(&m, a.Floats)
	case graph.AttrInts:
		m.ints(attrInts, a.Ints, e.compact)
	case graph.AttrStrings:
		for _, s := range a.Strings {
			m.element(attrStrings, s)
		}
	case graph.AttrTensors:
		for _, t := range a.Tensors {
			m.child(attrTensors, e.tensor("", "", t, false))
		}
	case graph.AttrGraph, graph.AttrGraphs:
		num := protowire.Number(attrGraphs)
		if a.Kind == graph.AttrGraph {
			num = attrG
		}
		for _, sub := range a.Subgraphs() {
			gm, err := e.graph(sub)
			if err != nil {
				return nil, err
			}
			m.child(num, gm)
		}
	default:
		m.append(a.Verbose)
	}
	m.text(attrDoc, e.doc(a.Doc))
	m.varint(attrKind, uint64(a.Kind))
	return &m, nil
}
