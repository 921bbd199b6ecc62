package compress

import (
	"testing"

	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// addNodes lists a model once more with every floating-point value between its
// nodes as an output, so that a difference from ONNX Runtime is seen at the node
// that makes it and not only where it arrives. Integers are left out: where a sum
// lies on the edge of two steps, either neighbour is right.
func addNodes(t *testing.T, e *testkit.Exports, name string, file []byte, tolerance float64, inputs ...tensor.Tensor) {
	t.Helper()
	g, err := reload(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := g.Upgrade(graph.LatestOpset); err != nil {
		t.Fatal(err)
	}
	if err := g.Infer(); err != nil {
		t.Fatal(err)
	}
	if exposeNodes(g) == 0 {
		t.Fatalf("%s: no value between nodes to compare", name)
	}
	all, err := onnx.Encode(g, onnx.Options{Oldest: true})
	if err != nil {
		t.Fatal(err)
	}
	addExport(t, e, name+"-nodes", all, tolerance, inputs...)
}

// exposeNodes makes every floating-point value of the top graph an output, and
// counts those that were none.
func exposeNodes(g *graph.Graph) int {
	before := len(g.Outputs)
	known := make(map[*graph.Value]bool)
	for _, v := range g.Outputs {
		known[v] = true
	}
	for _, n := range g.Nodes {
		for _, v := range n.Out {
			if v != nil && !known[v] && v.Type.DType.IsFloat() {
				known[v] = true
				g.Outputs = append(g.Outputs, v)
			}
		}
	}
	return len(g.Outputs) - before
}
