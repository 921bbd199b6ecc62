package onnx

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// modelMessage is a model of opset 18 with the given graph.
func modelMessage(fill func(*message), more ...func(*message)) []byte {
	var m, id, g message
	m.varint(modelIR, 8)
	id.varint(2, 18)
	m.child(modelOpset, &id)
	g.text(graphName, "test")
	fill(&g)
	for _, f := range more {
		f(&m)
	}
	m.child(modelGraph, &g)
	return encoded(&m)
}

// addNode appends a node such as "Add a b -> c"; "_" is an omitted value.
func addNode(g *message, text string, attrs ...*message) { addNodeField(g, graphNode, text, attrs...) }

func addNodeField(m *message, num int, text string, attrs ...*message) {
	var n message
	words, at := strings.Fields(text), nodeIn
	for _, w := range words[1:] {
		switch w {
		case "->":
			at = nodeOut
		case "_":
			n.element(protowire.Number(at), "")
		default:
			n.element(protowire.Number(at), w)
		}
	}
	domain, op, found := strings.Cut(words[0], ".")
	if !found {
		domain, op = "", words[0]
	}
	n.text(nodeOp, op)
	for _, a := range attrs {
		n.child(nodeAttr, a)
	}
	n.text(nodeDomain, domain)
	m.child(protowire.Number(num), &n)
}

func addValue(g *message, num int, name string) {
	e := &encoder{}
	g.child(protowire.Number(num), e.value(&graph.Value{Name: name, Type: tensor.TypeOf(tensor.Float32, 2)}))
}

func addParam(g *message, name string, v ...float32) {
	g.child(graphParam, (&encoder{}).tensor(name, "", tensor.Of(v, len(v)), false))
}

func attrMessage(name string, kind graph.AttrKind, fill func(*message)) *message {
	var m message
	m.text(attrName, name)
	fill(&m)
	m.varint(attrKind, uint64(kind))
	return &m
}

func subgraph(name string, fill func(*message)) *message {
	return attrMessage(name, graph.AttrGraph, func(m *message) {
		var g message
		g.text(graphName, name)
		fill(&g)
		m.child(attrG, &g)
	})
}

// listing writes a graph's nodes in one line each.
func listing(g *graph.Graph) string {
	name := func(list []*graph.Value) string {
		var b strings.Builder
		for _, v := range list {
			if v == nil {
				b.WriteString(" _")
			} else {
				b.WriteString(" " + v.Name)
			}
		}
		return b.String()
	}
	var b strings.Builder
	for _, n := range g.Nodes {
		b.WriteString(n.Kind() + name(n.In) + " ->" + name(n.Out) + "\n")
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				b.WriteString(a.Name + "{\n" + listing(sub) + "}\n")
			}
		}
	}
	return b.String()
}

func TestDecodeStructure(t *testing.T) {
	tests := []struct {
		name string
		data []byte
		want string
	}{
		{"omitted values", modelMessage(func(g *message) {
			addValue(g, graphInput, "x")
			addNode(g, "Clip x _ x -> y _")
			addValue(g, graphOutput, "y")
		}), "Clip x _ x -> y _\n"},
		{"nodes in any order", modelMessage(func(g *message) {
			addValue(g, graphInput, "x")
			addNode(g, "Neg b -> c")
			addNode(g, "Relu x -> a")
			addNode(g, "Abs a -> b")
			addValue(g, graphOutput, "c")
		}), "Relu x -> a\nAbs a -> b\nNeg b -> c\n"},
		{"an initialiser that is an input as well", modelMessage(func(g *message) {
			addValue(g, graphInput, "x")
			addValue(g, graphInput, "w")
			addParam(g, "w", 1, 2)
			addNode(g, "Add x w -> y")
			addValue(g, graphOutput, "y")
		}), "Add x w -> y\n"},
		{"a subgraph that captures and one that hides", modelMessage(func(g *message) {
			addValue(g, graphInput, "x")
			addNode(g, "Relu x -> a")
			addNode(g, "If x -> y", subgraph("then_branch", func(g *message) {
				addNode(g, "Neg a -> b")
				addValue(g, graphOutput, "b")
			}), subgraph("else_branch", func(g *message) {
				addNode(g, "Abs x -> a")
				addNode(g, "Neg a -> b")
				addValue(g, graphOutput, "b")
			}))
			addValue(g, graphOutput, "y")
		}), "Relu x -> a\nIf x -> y\nthen_branch{\nNeg a -> b\n}\nelse_branch{\nAbs x -> a_1\nNeg a_1 -> b\n}\n"},
		{"the default domain by its long name", modelMessage(func(g *message) {
			addValue(g, graphInput, "x")
			var n message
			n.element(nodeIn, "x")
			n.element(nodeOut, "y")
			n.text(nodeOp, "Relu")
			n.text(nodeDomain, "ai.onnx")
			g.child(graphNode, &n)
			addValue(g, graphOutput, "y")
		}), "Relu x -> y\n"},
		{"an unknown operator", modelMessage(func(g *message) {
			addValue(g, graphInput, "x")
			addNode(g, "mine.Thing x -> y", attrMessage("k", graph.AttrInt, func(m *message) { m.varint(attrI, 3) }))
			addValue(g, graphOutput, "y")
		}), "mine.Thing x -> y\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := Decode(tt.data, "")
			if err != nil {
				t.Fatal(err)
			}
			if got := listing(g); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
			if len(g.Inputs) != 1 {
				t.Errorf("inputs: got %d, want 1", len(g.Inputs))
			}
			checkRoundTrip(t, g)
		})
	}
}

func checkRoundTrip(t *testing.T, g *graph.Graph) {
	t.Helper()
	for _, o := range []Options{{}, {Compact: true}} {
		data, err := Encode(g, o)
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		back, err := Decode(data, "")
		if err != nil {
			t.Fatalf("%+v: %v", o, err)
		}
		same := graph.Equal
		if o.Compact {
			same = graph.Isomorphic
		}
		if err := same(g, back); err != nil {
			t.Errorf("round trip %+v: %v", o, err)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	one := func(fill func(g *message)) []byte {
		return modelMessage(func(g *message) {
			addValue(g, graphInput, "x")
			fill(g)
			addValue(g, graphOutput, "y")
		})
	}
	opset := func(v uint64) func(*message) {
		return func(m *message) {
			var id message
			id.varint(2, v)
			m.child(modelOpset, &id)
		}
	}
	model := func(fill ...func(*message)) []byte {
		var m message
		for _, f := range fill {
			f(&m)
		}
		m.child(modelGraph, &message{})
		return encoded(&m)
	}
	deep := func(g *message) {}
	for range maxDepth + 1 {
		inner := deep
		deep = func(g *message) { addNode(g, "If x -> z", subgraph("then_branch", inner)) }
	}
	tests := []struct {
		name, want string
		data       []byte
	}{
		{"empty", "not an ONNX model, or cut off (0 bytes)", nil},
		{"text", "looks like text", []byte("this is not a model, whatever it may be")},
		{"no opset", "opset: got none", model()},
		{"old opset", "opset: got 6, want 7 to 26", model(opset(6))},
		{"new opset", "opset: got 27, want 7 to 26", model(opset(27))},
		{"two opsets", `opset of domain "": got 7 and 8`, model(opset(7), opset(8))},
		{"unknown input", `node "y" (Conv): input 1 "W": no such value`, one(func(g *message) { addNode(g, "Conv x W -> y") })},
		{"unknown output", `output "y": no such value`, one(func(*message) {})},
		{"defined twice", `node "y" (Abs): value "y": defined twice`, one(func(g *message) { addNode(g, "Neg x -> y"); addNode(g, "Abs x -> y") })},
		{"input twice", `value "x": defined twice`, one(func(g *message) { addValue(g, graphInput, "x"); addNode(g, "Abs x -> y") })},
		{"initialiser twice", `initialiser "w": value "w": defined twice`, one(func(g *message) { addParam(g, "w", 1); addParam(g, "w", 1); addNode(g, "Abs x -> y") })},
		{"initialiser without a name", `a value has no name`, one(func(g *message) { addParam(g, "", 1); addNode(g, "Abs x -> y") })},
		{"initialiser without data", `initialiser "w": tensor float32[2]: data: got 0 bytes, want 8`, one(func(g *message) {
			var m message
			m.varint(tensorDims, 2)
			m.varint(tensorDType, 1)
			m.text(tensorName, "w")
			g.child(graphParam, &m)
			addNode(g, "Abs x -> y")
		})},
		{"cycle", "is part of a cycle", one(func(g *message) { addNode(g, "Neg b -> a"); addNode(g, "Neg a -> b"); addNode(g, "Abs b -> y") })},
		{"captures itself", "is part of a cycle", one(func(g *message) {
			addNode(g, "If x -> y", subgraph("then_branch", func(g *message) { addNode(g, "Neg y -> z"); addValue(g, graphOutput, "z") }))
		})},
		{"no operator", `no operator`, one(func(g *message) { g.child(graphNode, &message{}) })},
		{"attribute twice", `attribute "k": given twice`, one(func(g *message) {
			k := attrMessage("k", graph.AttrInt, func(m *message) { m.varint(attrI, 3) })
			addNode(g, "Abs x -> y", k, k)
		})},
		{"attribute of two kinds", `attribute "k": holds a value of kind int and one of kind float`, one(func(g *message) {
			addNode(g, "Abs x -> y", attrMessage("k", graph.AttrInt, func(m *message) { m.varint(attrI, 3); m.float(attrF, 1) }))
		})},
		{"attribute of another kind", `attribute "k": kind: got float, want int`, one(func(g *message) {
			addNode(g, "Abs x -> y", attrMessage("k", graph.AttrFloat, func(m *message) { m.varint(attrI, 3) }))
		})},
		{"reference outside of a function", `refers to attribute "alpha"`, one(func(g *message) {
			addNode(g, "Abs x -> y", attrMessage("k", graph.AttrFloat, func(m *message) { m.text(attrRef, "alpha") }))
		})},
		{"overload", `no function of overload "v2"`, one(func(g *message) {
			var n message
			n.text(nodeOp, "F")
			n.text(nodeOverload, "v2")
			g.child(graphNode, &n)
			addNode(g, "Abs x -> y")
		})},
		{"subgraphs in subgraphs", "nested deeper than 64 levels", one(func(g *message) { deep(g); addNode(g, "Abs x -> y") })},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode(tt.data, "")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error: got %v, want %q", err, tt.want)
			}
		})
	}
}

// Inputs and outputs that are no tensors are refused by name; inside a graph
// they are kept without a type.
func TestNotTensors(t *testing.T) {
	sequence := func(g *message, num int, name string) {
		var v, typ message
		typ.child(4, &message{})
		v.text(valueName, name)
		v.child(valueType, &typ)
		g.child(protowire.Number(num), &v)
	}
	for _, num := range []int{graphInput, graphOutput} {
		data := modelMessage(func(g *message) { sequence(g, num, "s"); addNode(g, "Thing -> s") })
		if num == graphInput {
			data = modelMessage(func(g *message) { sequence(g, num, "s") })
		}
		_, err := Decode(data, "")
		if !errors.Is(err, ErrNotTensor) || !strings.Contains(err.Error(), `"s": not a tensor: it is a sequence`) {
			t.Errorf("field %d: error: got %v, want ErrNotTensor", num, err)
		}
	}
	g, err := Decode(modelMessage(func(g *message) {
		addValue(g, graphInput, "x")
		addNode(g, "SequenceConstruct x -> s")
		addNode(g, "ConcatFromSequence s -> y")
		sequence(g, graphInfo, "s")
		addValue(g, graphOutput, "y")
	}), "")
	if err != nil {
		t.Fatal(err)
	}
	if typ := g.Nodes[0].Out[0].Type; typ.DType != tensor.Undefined || typ.Ranked() {
		t.Errorf("sequence inside: got type %v, want none", typ)
	}
	checkRoundTrip(t, g)
}

// A model cut short anywhere is an error: the writer puts the graph last.
func TestTruncation(t *testing.T) {
	g := synthetic()["sparse-float32"]
	g.Meta.Props = []graph.Prop{{Key: "k", Value: "v"}}
	for _, o := range []Options{{}, {Compact: true}} {
		data, err := Encode(g, o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(data, ""); err != nil {
			t.Fatal(err)
		}
		for n := range data {
			if _, err := Decode(data[:n:n], ""); err == nil {
				t.Errorf("%+v: cut to %d of %d bytes: no error", o, n, len(data))
			}
		}
	}
}

func TestReadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "m.onnx")
	if _, err := Read(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: got %v, want os.ErrNotExist", err)
	}
	if err := os.WriteFile(path, []byte{0xff}, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(path); err == nil || !strings.HasPrefix(err.Error(), `read onnx "m.onnx": `) {
		t.Errorf("error: got %v, want it to begin with the file", err)
	}
}
