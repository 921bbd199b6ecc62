package onnx

import (
	"fmt"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
)

// function is a FunctionProto of domain "f".
func function(name, in, out string, opset uint64, fill func(*message)) func(*message) {
	return func(m *message) {
		var fn, id message
		fn.text(functionName, name)
		for _, s := range strings.Fields(in) {
			fn.element(functionIn, s)
		}
		for _, s := range strings.Fields(out) {
			fn.element(functionOut, s)
		}
		fill(&fn)
		id.varint(2, opset)
		fn.child(functionOpset, &id)
		fn.text(functionDomain, "f")
		m.child(modelFunctions, &fn)
	}
}

func reference(name, to string) *message {
	return attrMessage(name, graph.AttrFloat, func(m *message) { m.text(attrRef, to) })
}

func floatAttr(name string, v float32) *message {
	return attrMessage(name, graph.AttrFloat, func(m *message) { m.float(attrF, v) })
}

func TestInlineFunctions(t *testing.T) {
	body := func(nodes ...string) func(*message) {
		return func(m *message) {
			for _, n := range nodes {
				addNodeField(m, functionNode, n)
			}
		}
	}
	tests := []struct {
		name      string
		nodes     []string
		functions []func(*message)
		want      string
	}{
		{"two calls", []string{"f.F x -> a", "f.F a -> y"},
			[]func(*message){function("F", "i", "o", 18, body("Neg i -> t", "Abs t -> o"))},
			"Neg x -> a/t\nAbs a/t -> a\nNeg a -> y/t\nAbs y/t -> y\n"},
		{"a call in a call", []string{"f.G x -> y"},
			[]func(*message){
				function("F", "i", "o", 18, body("Neg i -> t", "Abs t -> o")),
				function("G", "i", "o", 18, body("f.F i -> t", "f.F t -> o")),
			},
			"Neg x -> y/t/t\nAbs y/t/t -> y/t\nNeg y/t -> y/o/t\nAbs y/o/t -> y\n"},
		{"an input that is an output", []string{"f.F x -> y"},
			[]func(*message){function("F", "i", "i", 18, body())}, "Identity x -> y\n"},
		{"omitted input and output", []string{"f.F x -> y"},
			[]func(*message){function("F", "i j", "o p", 18, body("Clip i j -> o", "Neg o -> p"))},
			"Clip x _ -> y\nNeg y -> y/p\n"},
		{"a name that is taken", []string{"Abs x -> y/t", "f.F y/t -> y"},
			[]func(*message){function("F", "i", "o", 18, body("Neg i -> t", "Abs t -> o"))},
			"Abs x -> y/t\nNeg y/t -> y/t_1\nAbs y/t_1 -> y\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g, err := Decode(modelMessage(func(g *message) {
				addValue(g, graphInput, "x")
				for _, n := range tt.nodes {
					addNode(g, n)
				}
				addValue(g, graphOutput, "y")
			}, tt.functions...), "")
			if err != nil {
				t.Fatal(err)
			}
			if got := listing(g); got != tt.want {
				t.Errorf("got\n%swant\n%s", got, tt.want)
			}
			checkRoundTrip(t, g)
		})
	}
}

// An attribute reference takes the call's value, then the function's default,
// and is absent without either; in a subgraph of the body and through a call in
// a call too.
func TestFunctionAttributes(t *testing.T) {
	inner := function("F", "i", "o", 18, func(m *message) {
		addNodeField(m, functionNode, "Elu i -> t", reference("alpha", "a"))
		addNodeField(m, functionNode, "If t -> o", subgraph("then_branch", func(g *message) {
			addNode(g, "Elu t -> u", reference("alpha", "b"))
			addNode(g, "Elu u -> v", reference("alpha", "none"))
			addValue(g, graphOutput, "v")
		}))
		m.child(functionAttributes, floatAttr("b", 2))
	})
	outer := function("G", "i", "o", 18, func(m *message) {
		addNodeField(m, functionNode, "f.F i -> o", reference("a", "c"))
	})
	g, err := Decode(modelMessage(func(g *message) {
		addValue(g, graphInput, "x")
		addNode(g, "f.G x -> y", floatAttr("c", 3))
		addValue(g, graphOutput, "y")
	}, inner, outer), "")
	if err != nil {
		t.Fatal(err)
	}
	then := g.Nodes[1].Attrs[0].G
	if got := g.Nodes[0].Attrs.Float("alpha", -1); got != 3 {
		t.Errorf("from the outermost call: got %v, want 3", got)
	}
	if got := then.Nodes[0].Attrs.Float("alpha", -1); got != 2 {
		t.Errorf("from the default: got %v, want 2", got)
	}
	if then.Nodes[1].Attrs.Has("alpha") {
		t.Error("an attribute that nothing gives is present")
	}
}

func TestFunctionErrors(t *testing.T) {
	empty := func(*message) {}
	// Each function calls the next twice: 2^40 nodes from 2 KB.
	var bomb []func(*message)
	for i := range 40 {
		bomb = append(bomb, function(fmt.Sprint("F", i), "i", "o", 18, func(m *message) {
			addNodeField(m, functionNode, fmt.Sprintf("f.F%d i -> t", i+1))
			addNodeField(m, functionNode, fmt.Sprintf("f.F%d t -> o", i+1))
		}))
	}
	bomb = append(bomb, function("F40", "i", "o", 18, func(m *message) { addNodeField(m, functionNode, "Abs i -> o") }))
	tests := []struct {
		name, call, want string
		functions        []func(*message)
	}{
		{"another opset", "f.F x -> y", `another opset of domain "": got 17, want 18`, []func(*message){function("F", "i", "o", 17, empty)}},
		{"an output from nowhere", "f.F x -> y", `function output "o": no such value`, []func(*message){function("F", "i", "o", 18, empty)}},
		{"too many inputs", "f.F x x -> y", "got 2 and 1, want at most 1 and 1", []func(*message){function("F", "i", "o", 18, empty)}},
		{"an outer value", "f.F x -> y", `input 0 "x": no such value`, []func(*message){function("F", "i", "o", 18, func(m *message) {
			addNodeField(m, functionNode, "Abs x -> o")
		})}},
		{"itself", "f.F x -> y", "nested deeper than 64", []func(*message){function("F", "i", "o", 18, func(m *message) {
			addNodeField(m, functionNode, "f.F i -> o")
		})}},
		{"exponential growth", "f.F0 x -> y", "expand to more than", bomb},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Decode(modelMessage(func(g *message) {
				addValue(g, graphInput, "x")
				addNode(g, tt.call)
				addValue(g, graphOutput, "y")
			}, tt.functions...), "")
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error: got %.300v, want %q", err, tt.want)
			}
		})
	}
}
