package onnx

import (
	"fmt"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// The messages below hold names and views of the file; what refers to other
// parts of the model is resolved later, by decoder.

type modelProto struct {
	meta      graph.Meta
	opsets    map[string]int
	graph     []byte
	hasGraph  bool
	functions []functionProto
}

type graphProto struct {
	name, doc              string
	nodes                  []nodeProto
	params, sparse         [][]byte
	inputs, outputs, infos []valueProto
}

type nodeProto struct {
	name, op, domain, overload, doc string
	in, out                         []string
	attrs                           []attrProto
}

type valueProto struct {
	name, doc string
	typ       tensor.Type
	other     string // what it is if it is not a tensor
}

type functionProto struct {
	domain, name, overload string
	in, out                []string
	defaults               []attrProto
	nodes                  []nodeProto
	opsets                 map[string]int
	size                   int // bytes of the message
}

// Field numbers of ModelProto.
const (
	modelIR              = 1
	modelProducer        = 2
	modelProducerVersion = 3
	modelDomain          = 4
	modelVersion         = 5
	modelDoc             = 6
	modelGraph           = 7
	modelOpset           = 8
	modelProps           = 14
	modelFunctions       = 25
)

func parseModel(msg []byte) (modelProto, error) {
	m := modelProto{opsets: make(map[string]int)}
	err := eachField(msg, func(f field) (err error) {
		var n int64
		switch f.num {
		case modelIR:
			n, err = f.int()
			m.meta.IR = int(n)
		case modelProducer:
			m.meta.Producer, err = f.text()
		case modelProducerVersion:
			m.meta.ProducerVersion, err = f.text()
		case modelDomain:
			m.meta.Domain, err = f.text()
		case modelVersion:
			m.meta.ModelVersion, err = f.int()
		case modelDoc:
			m.meta.Doc, err = f.text()
		case modelGraph:
			m.graph, err = f.bytes()
			m.hasGraph = true
		case modelOpset:
			err = parseOpset(m.opsets, f)
		case modelProps:
			var p graph.Prop
			p.Key, p.Value, err = f.entry()
			m.meta.Props = append(m.meta.Props, p)
		case modelFunctions:
			var fn functionProto
			if fn, err = parseFunction(f); err != nil {
				return fmt.Errorf("function %q: %w", fn.name, err)
			}
			m.functions = append(m.functions, fn)
		}
		return err
	})
	return m, err
}

// normalDomain gives the default operator set its one name.
func normalDomain(domain string) string {
	if domain == "ai.onnx" {
		return graph.DomainONNX
	}
	return domain
}

func parseOpset(opsets map[string]int, f field) error {
	msg, err := f.bytes()
	if err != nil {
		return err
	}
	var domain string
	var version int64
	err = eachField(msg, func(f field) (err error) {
		switch f.num {
		case 1:
			domain, err = f.text()
		case 2:
			version, err = f.int()
		}
		return err
	})
	if err != nil {
		return err
	}
	domain = normalDomain(domain)
	if old, ok := opsets[domain]; ok && old != int(version) {
		return fmt.Errorf("opset of domain %q: got %d and %d, want one", domain, old, version)
	}
	opsets[domain] = int(version)
	return nil
}

func (f field) entry() (key, value string, err error) {
	msg, err := f.bytes()
	if err != nil {
		return "", "", err
	}
	return parseEntry(msg)
}

// parseEntry reads a StringStringEntryProto.
func parseEntry(msg []byte) (key, value string, err error) {
	err = eachField(msg, func(f field) (err error) {
		switch f.num {
		case 1:
			key, err = f.text()
		case 2:
			value, err = f.text()
		}
		return err
	})
	return key, value, err
}

// Field numbers of FunctionProto.
const (
	functionName       = 1
	functionIn         = 4
	functionOut        = 5
	functionNode       = 7
	functionOpset      = 9
	functionDomain     = 10
	functionAttributes = 11
	functionOverload   = 13
)

func parseFunction(f field) (functionProto, error) {
	fn := functionProto{opsets: make(map[string]int), size: len(f.b)}
	msg, err := f.bytes()
	if err != nil {
		return fn, err
	}
	err = eachField(msg, func(f field) (err error) {
		switch f.num {
		case functionName:
			fn.name, err = f.text()
		case functionIn:
			fn.in, err = f.appendText(fn.in)
		case functionOut:
			fn.out, err = f.appendText(fn.out)
		case functionNode:
			var n nodeProto
			n, err = parseNode(f)
			fn.nodes = append(fn.nodes, n)
		case functionOpset:
			err = parseOpset(fn.opsets, f)
		case functionDomain:
			fn.domain, err = f.text()
		case functionAttributes:
			var a attrProto
			a, err = parseAttr(f)
			fn.defaults = append(fn.defaults, a)
		case functionOverload:
			fn.overload, err = f.text()
		}
		return err
	})
	fn.domain = normalDomain(fn.domain)
	return fn, err
}

func (f field) appendText(list []string) ([]string, error) {
	s, err := f.text()
	return append(list, s), err
}

func (f field) appendBytes(list [][]byte) ([][]byte, error) {
	b, err := f.bytes()
	return append(list, b), err
}

// Field numbers of GraphProto.
const (
	graphNode   = 1
	graphName   = 2
	graphParam  = 5
	graphDoc    = 10
	graphInput  = 11
	graphOutput = 12
	graphInfo   = 13
	graphSparse = 15
)

func parseGraph(msg []byte) (graphProto, error) {
	var g graphProto
	value := func(list *[]valueProto, f field) error {
		v, err := parseValue(f)
		*list = append(*list, v)
		return err
	}
	err := eachField(msg, func(f field) (err error) {
		switch f.num {
		case graphNode:
			var n nodeProto
			n, err = parseNode(f)
			g.nodes = append(g.nodes, n)
		case graphName:
			g.name, err = f.text()
		case graphParam:
			g.params, err = f.appendBytes(g.params)
		case graphDoc:
			g.doc, err = f.text()
		case graphInput:
			err = value(&g.inputs, f)
		case graphOutput:
			err = value(&g.outputs, f)
		case graphInfo:
			err = value(&g.infos, f)
		case graphSparse:
			g.sparse, err = f.appendBytes(g.sparse)
		}
		return err
	})
	return g, err
}

// Field numbers of NodeProto.
const (
	nodeIn       = 1
	nodeOut      = 2
	nodeName     = 3
	nodeOp       = 4
	nodeAttr     = 5
	nodeDoc      = 6
	nodeDomain   = 7
	nodeOverload = 8
)

func parseNode(f field) (nodeProto, error) {
	var n nodeProto
	msg, err := f.bytes()
	if err != nil {
		return n, err
	}
	err = eachField(msg, func(f field) (err error) {
		switch f.num {
		case nodeIn:
			n.in, err = f.appendText(n.in)
		case nodeOut:
			n.out, err = f.appendText(n.out)
		case nodeName:
			n.name, err = f.text()
		case nodeOp:
			n.op, err = f.text()
		case nodeAttr:
			var a attrProto
			a, err = parseAttr(f)
			n.attrs = append(n.attrs, a)
		case nodeDoc:
			n.doc, err = f.text()
		case nodeDomain:
			n.domain, err = f.text()
		case nodeOverload:
			n.overload, err = f.text()
		}
		return err
	})
	n.domain = normalDomain(n.domain)
	if err == nil && n.op == "" {
		err = fmt.Errorf("node %q: no operator", n.label())
	}
	return n, err
}

// label names a node that may have no name.
func (n *nodeProto) label() string {
	if n.name == "" && len(n.out) > 0 {
		return n.out[0]
	}
	return n.name
}

func (n *nodeProto) String() string {
	kind := n.op
	if n.domain != "" {
		kind = n.domain + "." + n.op
	}
	return fmt.Sprintf("node %q (%s)", n.label(), kind)
}
