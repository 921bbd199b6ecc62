package graph

import (
	"strings"
	"testing"

	"github.com/compactify/compactify/tensor"
)

// TestCheckRepeatable: a draw is found in the graph and in a branch.
func TestCheckRepeatable(t *testing.T) {
	weight := tensor.Of([]float32{1, 2, 3, 4}, 4, 1)
	for _, c := range []struct {
		name, want string
		body       func(b *Builder, x *Value) []*Value
	}{
		{"none", "", func(b *Builder, x *Value) []*Value {
			return []*Value{b.Op("MatMul", x, b.Param("w", weight))}
		}},
		{"noise on the input", "(RandomNormalLike): draws at random", func(b *Builder, x *Value) []*Value {
			return []*Value{b.Op("Add", x, b.Op("RandomNormalLike", x))}
		}},
		{"in a branch", "(Bernoulli): draws at random", func(b *Builder, x *Value) []*Value {
			drawn, still := branchOf(b, x, weight, false, false), branchOf(b, x, weight, false, false)
			drawn.Nodes = append(drawn.Nodes, &Node{Op: "Bernoulli", In: []*Value{x}, Out: []*Value{{Name: "drawn"}}})
			yes := b.Op("Greater", b.With("ReduceMax", Attributes{Int("keepdims", 0)}, x), b.Const(tensor.Scalar(float32(0))))
			return []*Value{b.With("If", Attributes{Subgraph("then_branch", drawn), Subgraph("else_branch", still)}, yes)}
		}},
	} {
		err := sketch(t, c.body).CheckRepeatable()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
