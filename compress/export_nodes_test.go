package compress

import (
	"testing"

	"github.com/compactify/compactify/format/onnx"
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
	outputs := len(g.Outputs)
	g, names, err := exposed(g)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == outputs {
		t.Fatalf("%s: no value between nodes to compare", name)
	}
	all, err := onnx.Encode(g, onnx.Options{Oldest: true})
	if err != nil {
		t.Fatal(err)
	}
	addExport(t, e, name+"-nodes", all, tolerance, inputs...)
}
