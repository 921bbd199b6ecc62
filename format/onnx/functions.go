package onnx

import (
	"fmt"

	"github.com/compactify/compactify/graph"
)

type functionKey struct{ domain, name, overload string }

// binding is an attribute of a function call, and the scope it was written in.
type binding struct {
	attr  attrProto
	scope *scope
}

// maxPrefix bounds the names that calls within calls would grow.
const maxPrefix = 64

// call appends the body of a model-local function to g in place of the call p.
// Values and nodes of the body are named after the call.
func (d *decoder) call(g *graph.Graph, fn *functionProto, p *nodeProto, sc *scope) error {
	if sc.depth >= maxDepth {
		return errDeep
	}
	if err := d.charge(fn.size); err != nil {
		return err
	}
	if err := d.mergeOpsets(fn); err != nil {
		return err
	}
	body, err := d.bind(fn, p, sc)
	if err != nil {
		return err
	}
	if err := d.defineOutputs(fn.nodes, body); err != nil {
		return err
	}
	for _, name := range fn.out { // what is left in given is produced by no node
		v := body.given[name]
		if v == nil {
			continue
		}
		in := body.values[name]
		if in == nil {
			return fmt.Errorf("function output %q: no such value", name)
		}
		g.Nodes = append(g.Nodes, &graph.Node{Name: body.prefix + name, Op: "Identity", In: []*graph.Value{in}, Out: []*graph.Value{v}})
	}
	return d.nodes(g, fn.nodes, body)
}

// charge counts what a call expands to: functions that call functions grow
// exponentially.
func (d *decoder) charge(size int) error {
	if d.inlined += size; d.inlined > maxInlined {
		return fmt.Errorf("function calls expand to more than %d bytes", maxInlined)
	}
	return nil
}

// mergeOpsets refuses a function written for another opset than the model:
// inlined, its operators would change their meaning.
func (d *decoder) mergeOpsets(fn *functionProto) error {
	for domain, v := range fn.opsets {
		have, ok := d.opsets[domain]
		if ok && have != v {
			return fmt.Errorf("function of another opset of domain %q: got %d, want %d as the model", domain, v, have)
		}
		d.opsets[domain] = v
	}
	m := modelProto{opsets: d.opsets}
	return m.checkVersions()
}

// bind makes the scope of a function's body: the formal inputs stand for the
// call's inputs, the formal outputs will be given to the call's outputs.
func (d *decoder) bind(fn *functionProto, p *nodeProto, sc *scope) (*scope, error) {
	in, out, err := resolve(p, sc)
	if err != nil {
		return nil, err
	}
	if len(in) > len(fn.in) || len(out) > len(fn.out) {
		return nil, fmt.Errorf("inputs and outputs: got %d and %d, want at most %d and %d", len(in), len(out), len(fn.in), len(fn.out))
	}
	body := &scope{
		values: make(map[string]*graph.Value), given: make(map[string]*graph.Value),
		bindings: make(map[string]binding), names: sc.names, depth: sc.depth + 1, prefix: sc.prefix + p.label() + "/",
	}
	if len(body.prefix) > maxPrefix {
		d.fresh++
		body.prefix = fmt.Sprintf("call_%d/", d.fresh)
	}
	for i, name := range fn.in {
		if _, dup := body.values[name]; dup {
			return nil, fmt.Errorf("function input %q: defined twice", name)
		}
		body.values[name] = nil // omitted
		if i < len(in) {
			body.values[name] = in[i]
		}
	}
	for i, name := range fn.out {
		if i < len(out) && out[i] != nil {
			if body.given[name] != nil {
				return nil, fmt.Errorf("function output %q: defined twice", name)
			}
			body.given[name] = out[i]
		}
	}
	for _, a := range fn.defaults {
		body.bindings[a.Name] = binding{a, body}
	}
	for _, a := range p.attrs {
		body.bindings[a.Name] = binding{a, sc}
	}
	return body, nil
}
