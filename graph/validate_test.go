package graph

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/compactify/compactify/tensor"
)

func namedValue(name string) *Value {
	return &Value{Name: name, Type: tensor.TypeOf(tensor.Float32, 1)}
}

// manyBranches is a graph of n If nodes in a row, each with a branch that reads
// the value before.
func manyBranches(n int) *Graph {
	v := namedValue("x")
	g := &Graph{Name: "g", Inputs: []*Value{v}}
	for i := range n {
		inner, out := namedValue("inner"), namedValue(fmt.Sprint("v", i))
		sub := &Graph{Name: "s", Outputs: []*Value{inner}, Nodes: []*Node{{Op: "Abs", In: []*Value{v}, Out: []*Value{inner}}}}
		g.Nodes = append(g.Nodes, &Node{Op: "If", In: []*Value{v}, Out: []*Value{out}, Attrs: Attributes{Subgraph("then_branch", sub)}})
		v = out
	}
	g.Outputs = []*Value{v}
	return g
}

// Names of one branch are free again in the next, and validation takes time in
// proportion to the graph: a foreign file decides how many branches there are.
func TestValidateBranches(t *testing.T) {
	start := time.Now()
	if err := manyBranches(50_000).Validate(); err != nil {
		t.Fatal(err)
	}
	if d := time.Since(start); d > 5*time.Second { // takes 0.05 s; in quadratic time it would take minutes
		t.Errorf("50,000 branches: %v", d)
	}
}

func TestValidateErrors(t *testing.T) {
	tests := []struct {
		name, want string
		change     func(*Graph)
	}{
		{"none", "", func(*Graph) {}},
		{"an inner value used outside", "not defined before it is read", func(g *Graph) {
			g.Nodes[2].In = g.Nodes[1].Attrs[0].G.Outputs
		}},
		{"an inner name hides an outer one", `value "v0" is defined twice`, func(g *Graph) { g.Nodes[1].Attrs[0].G.Outputs[0].Name = "v0" }},
		{"an outer name repeats", `value "v0" is defined twice`, func(g *Graph) { g.Nodes[2].Out[0].Name = "v0" }},
		{"a capture from below", "not defined before it is read", func(g *Graph) { g.Nodes[0].Attrs[0].G.Nodes[0].In = g.Nodes[1].Out }},
		{"no name", "has no name", func(g *Graph) { g.Nodes[2].Out[0].Name = "" }},
		{"an output of nothing", "nothing produces it", func(g *Graph) { g.Outputs = []*Value{namedValue("y")} }},
		{"a parameter of another type", "type: got float32[1], want int8[2]", func(g *Graph) {
			g.Params = []*Param{{Value: namedValue("w"), Data: tensor.New(tensor.Int8, 2)}}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			g := manyBranches(3)
			tt.change(g)
			err := g.Validate()
			if tt.want == "" && err == nil {
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error: got %v, want %q", err, tt.want)
			}
		})
	}
}
