package onnx

import (
	"errors"
	"fmt"
	"maps"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Limits on nesting, of subgraphs and function calls together, and on the bytes
// of function bodies that calls may expand to.
const (
	maxDepth   = 64
	maxInlined = 16 << 20
)

var errDeep = fmt.Errorf("subgraphs and functions: nested deeper than %d levels", maxDepth)

// decoder turns messages into a graph.
type decoder struct {
	dir       *folder
	functions map[functionKey]*functionProto
	opsets    map[string]int
	free      int // bytes that sparse tensors may still take beyond their ratio
	inlined   int // bytes of function bodies expanded so far
	fresh     int // numbers the names that had to be changed
}

// scope is the names that nodes of one graph or function body may use.
type scope struct {
	outer    *scope // the graph around; nil around a function body
	values   map[string]*graph.Value
	names    *nameSet
	given    map[string]*graph.Value // values that exist before their names are defined: a call's outputs
	prefix   string                  // of names defined here
	bindings map[string]binding      // attributes of the function call; nil outside of functions
	depth    int
}

// nameSet is the names of one graph. A body that was inlined shares it with the
// graph it went to.
type nameSet struct {
	outer *nameSet
	used  map[string]bool
}

func (s *nameSet) taken(name string) bool {
	for ; s != nil; s = s.outer {
		if s.used[name] {
			return true
		}
	}
	return false
}

// define makes the value of a name. An outer value of that name is hidden from
// here on, and the new value's name is changed to differ from it.
func (d *decoder) define(sc *scope, name string) (*graph.Value, error) {
	if name == "" {
		return nil, errors.New("a value has no name")
	}
	if _, dup := sc.values[name]; dup {
		return nil, fmt.Errorf("value %q: defined twice", name)
	}
	if v := sc.given[name]; v != nil {
		delete(sc.given, name)
		sc.values[name] = v
		return v, nil
	}
	unique := sc.prefix + name
	for sc.names.taken(unique) {
		d.fresh++
		unique = fmt.Sprintf("%s%s_%d", sc.prefix, name, d.fresh)
	}
	sc.names.used[unique] = true
	v := &graph.Value{Name: unique}
	sc.values[name] = v
	return v, nil
}

func (sc *scope) lookup(name string) (v *graph.Value, ok bool) {
	for ; sc != nil; sc = sc.outer {
		if v, ok = sc.values[name]; ok {
			return v, true
		}
	}
	return nil, false
}

// decodeModel decodes a model whose external data is in a folder, "" for none.
func decodeModel(data []byte, dir string) (*graph.Graph, error) {
	return decodeIn(data, openFolder(dir))
}

// decodeIn reads a model whose external data is in a folder.
func decodeIn(data []byte, external *folder) (*graph.Graph, error) {
	m, err := parseModel(data)
	if err != nil || !m.hasGraph {
		looks := looksLike(data)
		if err == nil || looks != Unknown || errors.Is(err, errWire) {
			err = &FormatError{looks, len(data)}
		}
		return nil, err
	}
	if err := m.checkVersions(); err != nil {
		return nil, err
	}
	d := &decoder{dir: external, opsets: m.opsets, free: freeBytes, functions: make(map[functionKey]*functionProto)}
	for i := range m.functions {
		fn := &m.functions[i]
		d.functions[functionKey{fn.domain, fn.name, fn.overload}] = fn
	}
	sc := &scope{values: make(map[string]*graph.Value), names: &nameSet{used: make(map[string]bool)}}
	g, err := d.graph(m.graph, sc)
	if err != nil {
		return nil, err
	}
	meta := m.meta
	meta.GraphDoc = g.Meta.GraphDoc
	g.Meta, g.Opset = meta, maps.Clone(d.opsets)
	if err := g.Validate(); err != nil {
		return nil, err
	}
	return g, nil
}

// ErrOpset is wrapped by the error for a model of an opset that the program does
// not know.
var ErrOpset = errors.New("opset")

// checkVersions refuses opsets whose operators the program does not know. A
// model may use other operator sets only.
func (m *modelProto) checkVersions() error {
	if len(m.opsets) == 0 {
		return fmt.Errorf("%w: got none (IR version %d), want %d to %d", ErrOpset, m.meta.IR, MinOpset, graph.LatestOpset)
	}
	v, ok := m.opsets[graph.DomainONNX]
	if ok && (v < MinOpset || v > graph.LatestOpset) {
		return fmt.Errorf("%w: got %d, want %d to %d", ErrOpset, v, MinOpset, graph.LatestOpset)
	}
	return nil
}

// subgraph decodes a graph inside a node.
func (d *decoder) subgraph(msg []byte, outer *scope) (*graph.Graph, error) {
	if outer.depth >= maxDepth {
		return nil, errDeep
	}
	return d.graph(msg, &scope{
		outer: outer, values: make(map[string]*graph.Value), names: &nameSet{outer: outer.names, used: make(map[string]bool)},
		bindings: outer.bindings, depth: outer.depth + 1,
	})
}

// graph decodes a graph into an empty scope. All names are defined before the
// first node is resolved, so that nodes may come in any order.
func (d *decoder) graph(msg []byte, sc *scope) (*graph.Graph, error) {
	p, err := parseGraph(msg)
	if err != nil {
		return nil, err
	}
	g := &graph.Graph{Name: p.name, Meta: graph.Meta{GraphDoc: p.doc}}
	if err := d.params(g, &p, sc); err != nil {
		return nil, err
	}
	if err := d.inputs(g, &p, sc); err != nil {
		return nil, err
	}
	if err := d.defineOutputs(p.nodes, sc); err != nil {
		return nil, err
	}
	describe(p.infos, sc)
	if err := outputs(g, &p, sc); err != nil {
		return nil, err
	}
	if err := d.nodes(g, p.nodes, sc); err != nil {
		return nil, err
	}
	return g, g.Sort()
}

func (d *decoder) params(g *graph.Graph, p *graphProto, sc *scope) error {
	add := func(tp tensorProto, t tensor.Tensor, sparse bool, err error) error {
		var v *graph.Value
		if err == nil {
			v, err = d.define(sc, tp.name)
		}
		if err != nil {
			return fmt.Errorf("initialiser %q: %w", tp.name, err)
		}
		v.Type, v.Doc = t.Type(), tp.doc
		g.Params = append(g.Params, &graph.Param{Value: v, Data: t, Sparse: sparse})
		return nil
	}
	for _, msg := range p.params {
		tp, err := parseTensor(msg)
		var t tensor.Tensor
		if err == nil {
			t, err = tp.tensor(d.dir)
		}
		if err := add(tp, t, false, err); err != nil {
			return err
		}
	}
	for _, msg := range p.sparse {
		tp, t, err := d.sparseTensor(msg)
		if err := add(tp, t, true, err); err != nil {
			return err
		}
	}
	return nil
}

// inputs defines the inputs. Those that IR 3 lists because every initialiser had
// to be one are parameters already.
func (d *decoder) inputs(g *graph.Graph, p *graphProto, sc *scope) error {
	isParam := make(map[string]bool, len(sc.values))
	for name := range sc.values {
		isParam[name] = true
	}
	for _, in := range p.inputs {
		if isParam[in.name] {
			continue
		}
		if in.other != "" {
			return fmt.Errorf("input %q: %w: it is %s", in.name, ErrNotTensor, in.other)
		}
		v, err := d.define(sc, in.name)
		if err != nil {
			return fmt.Errorf("input: %w", err)
		}
		v.Type, v.Doc = in.typ, in.doc
		g.Inputs = append(g.Inputs, v)
	}
	return nil
}

func (d *decoder) defineOutputs(nodes []nodeProto, sc *scope) error {
	for i := range nodes {
		for _, name := range nodes[i].out {
			if name == "" {
				continue
			}
			if _, err := d.define(sc, name); err != nil {
				return fmt.Errorf("%v: %w", &nodes[i], err)
			}
		}
	}
	return nil
}

// describe applies what the file says of values inside the graph. Inputs and
// parameters have said it themselves.
func describe(infos []valueProto, sc *scope) {
	for _, info := range infos {
		v := sc.values[info.name]
		if v == nil {
			continue
		}
		if v.Type.DType == tensor.Undefined {
			v.Type = info.typ
		}
		if v.Doc == "" {
			v.Doc = info.doc
		}
	}
}

func outputs(g *graph.Graph, p *graphProto, sc *scope) error {
	for _, out := range p.outputs {
		if out.other != "" {
			return fmt.Errorf("output %q: %w: it is %s", out.name, ErrNotTensor, out.other)
		}
		v, ok := sc.lookup(out.name)
		if !ok {
			return fmt.Errorf("output %q: no such value", out.name)
		}
		g.Outputs = append(g.Outputs, v)
	}
	describe(p.outputs, sc)
	return nil
}

// nodes resolves nodes and appends them to g.
func (d *decoder) nodes(g *graph.Graph, list []nodeProto, sc *scope) error {
	for i := range list {
		p := &list[i]
		var err error
		if fn := d.functions[functionKey{p.domain, p.op, p.overload}]; fn != nil {
			err = d.call(g, fn, p, sc)
		} else {
			err = d.node(g, p, sc)
		}
		if errors.Is(err, errDeep) {
			return errDeep // the way there has as many steps
		}
		if err != nil {
			return fmt.Errorf("%v: %w", p, err)
		}
	}
	return nil
}

func (d *decoder) node(g *graph.Graph, p *nodeProto, sc *scope) error {
	if p.overload != "" {
		return fmt.Errorf("no function of overload %q", p.overload)
	}
	if p.domain == graph.DomainONNX && d.opsets[p.domain] == 0 {
		return errors.New("the model names no opset of its domain")
	}
	n := &graph.Node{Domain: p.domain, Op: p.op, Doc: p.doc}
	if p.name != "" {
		n.Name = sc.prefix + p.name
	}
	var err error
	if n.In, n.Out, err = resolve(p, sc); err != nil {
		return err
	}
	seen := make(map[string]bool, len(p.attrs))
	for _, ap := range p.attrs {
		if seen[ap.Name] {
			return fmt.Errorf("attribute %q: given twice", ap.Name)
		}
		seen[ap.Name] = true
		a, ok, err := d.attr(ap, sc)
		if err != nil {
			return fmt.Errorf("attribute %q: %w", ap.Name, err)
		}
		if ok {
			n.Attrs = append(n.Attrs, a)
		}
	}
	g.Nodes = append(g.Nodes, n)
	return nil
}

// resolve finds a node's values; an empty name is an omitted one.
func resolve(p *nodeProto, sc *scope) (in, out []*graph.Value, err error) {
	for i, name := range p.in {
		v, ok := sc.lookup(name)
		if name != "" && !ok {
			return nil, nil, fmt.Errorf("input %d %q: no such value", i, name)
		}
		in = append(in, v)
	}
	for _, name := range p.out {
		out = append(out, sc.values[name])
	}
	return in, out, nil
}
