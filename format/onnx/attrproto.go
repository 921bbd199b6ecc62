package onnx

import (
	"fmt"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/compactify/compactify/graph"
)

// Field numbers of AttributeProto.
const (
	attrName      = 1
	attrF         = 2
	attrI         = 3
	attrS         = 4
	attrT         = 5
	attrG         = 6
	attrFloats    = 7
	attrInts      = 8
	attrStrings   = 9
	attrTensors   = 10
	attrGraphs    = 11
	attrDoc       = 13
	attrType      = 14
	attrKind      = 20
	attrRef       = 21
	attrSparse    = 22
	attrSparses   = 23
	attrTypeProto = attrType
	attrTypes     = 15
)

// attrFields maps a value's field to the kind of attribute it holds.
var attrFields = map[protowire.Number]graph.AttrKind{
	attrF: graph.AttrFloat, attrI: graph.AttrInt, attrS: graph.AttrString, attrT: graph.AttrTensor, attrG: graph.AttrGraph,
	attrFloats: graph.AttrFloats, attrInts: graph.AttrInts, attrStrings: graph.AttrStrings,
	attrTensors: graph.AttrTensors, attrGraphs: graph.AttrGraphs,
	attrSparse: graph.AttrSparse, attrSparses: graph.AttrSparses, attrTypeProto: graph.AttrType, attrTypes: graph.AttrTypes,
}

// attrProto is an AttributeProto. Tensors and graphs wait in messages for the
// folder and the names around them.
type attrProto struct {
	graph.Attr
	ref      string
	messages [][]byte
}

func parseAttr(f field) (attrProto, error) {
	var a attrProto
	msg, err := f.bytes()
	if err != nil {
		return a, err
	}
	var found graph.AttrKind
	err = eachField(msg, func(f field) (err error) {
		if kind, ok := attrFields[f.num]; ok {
			if found != 0 && found != kind {
				return fmt.Errorf("holds a value of kind %v and one of kind %v, want one", found, kind)
			}
			found = kind
		}
		switch f.num {
		case attrName:
			a.Name, err = f.text()
		case attrKind:
			var n int64
			n, err = f.int()
			if n < 0 || n > int64(graph.AttrTypes) {
				return fmt.Errorf("kind: got code %d, want 1 to %d", n, graph.AttrTypes)
			}
			a.Kind = graph.AttrKind(n)
		case attrRef:
			a.ref, err = f.text()
		case attrDoc:
			a.Doc, err = f.text()
		default:
			err = a.parseValue(f)
		}
		return err
	})
	if err == nil {
		err = a.settle(found)
	}
	if err != nil {
		return a, fmt.Errorf("attribute %q: %w", a.Name, err)
	}
	return a, nil
}

func (a *attrProto) parseValue(f field) (err error) {
	switch f.num {
	case attrF:
		a.F, err = f.float()
	case attrI:
		a.I, err = f.int()
	case attrS:
		a.S, err = f.text()
	case attrT, attrG, attrTensors, attrGraphs:
		a.messages, err = f.appendBytes(a.messages)
	case attrFloats:
		a.Floats, err = f.appendFloats(a.Floats)
	case attrInts:
		a.Ints, err = f.appendInts(a.Ints)
	case attrStrings:
		a.Strings, err = f.appendText(a.Strings)
	case attrSparse, attrSparses, attrTypeProto, attrTypes:
		var b []byte
		b, err = f.bytes()
		a.Verbose = protowire.AppendBytes(protowire.AppendTag(a.Verbose, f.num, protowire.BytesType), b)
	}
	return err
}

// settle checks the stated kind against the value found. The kind may be
// missing (IR 1), and so may a value that is zero or empty (proto3 writers).
func (a *attrProto) settle(found graph.AttrKind) error {
	switch {
	case a.Name == "":
		return fmt.Errorf("no name")
	case a.ref != "":
		if found != 0 {
			return fmt.Errorf("holds a value and a reference to %q, want one", a.ref)
		}
		return nil
	case a.Kind == 0:
		a.Kind = found
	case found != 0 && found != a.Kind:
		return fmt.Errorf("kind: got %v, want %v as its value", a.Kind, found)
	}
	single := a.Kind == graph.AttrTensor || a.Kind == graph.AttrGraph
	switch {
	case a.Kind == 0:
		return fmt.Errorf("no kind and no value")
	case single && len(a.messages) != 1:
		return fmt.Errorf("%vs: got %d, want 1", a.Kind, len(a.messages))
	case a.Kind == graph.AttrSparse && found == 0, a.Kind == graph.AttrType && found == 0:
		return fmt.Errorf("no value")
	}
	return nil
}

// attr resolves an attribute of a node in the given scope. It reports false for
// a reference to a function's attribute that the call leaves out.
func (d *decoder) attr(a attrProto, sc *scope) (graph.Attr, bool, error) {
	if a.ref != "" {
		bound, ok := sc.bindings[a.ref]
		if !ok {
			if sc.bindings == nil {
				return graph.Attr{}, false, fmt.Errorf("refers to attribute %q of a function, but is outside of one", a.ref)
			}
			return graph.Attr{}, false, nil
		}
		for _, msg := range bound.attr.messages {
			if err := d.charge(len(msg)); err != nil {
				return graph.Attr{}, false, err
			}
		}
		out, ok, err := d.attr(bound.attr, bound.scope)
		out.Name = a.Name
		return out, ok, err
	}
	out := a.Attr
	for _, msg := range a.messages {
		if a.Kind == graph.AttrGraph || a.Kind == graph.AttrGraphs {
			g, err := d.subgraph(msg, sc)
			if err != nil {
				return out, false, err
			}
			out.Graphs = append(out.Graphs, g)
			continue
		}
		p, err := parseTensor(msg)
		if err != nil {
			return out, false, err
		}
		t, err := p.tensor(d.dir)
		if err != nil {
			return out, false, err
		}
		out.Tensors = append(out.Tensors, t)
	}
	switch a.Kind {
	case graph.AttrTensor:
		out.T, out.Tensors = out.Tensors[0], nil
	case graph.AttrGraph:
		out.G, out.Graphs = out.Graphs[0], nil
	}
	return out, true, nil
}
