package conformance

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// simplifyTolerance bounds what folding may change, relative to the largest
// output: a batch normalisation folded into weights rounds them once more.
const simplifyTolerance = 1e-5

// TestSimplifyComputesTheSame runs real models, on the inputs kept beside them,
// before and after simplification.
func TestSimplifyComputesTheSame(t *testing.T) {
	for _, name := range mustRun {
		folders := []string{"", "mlperf-tiny"}
		var models []string
		for _, f := range folders {
			found, _ := filepath.Glob(filepath.Join(dataFolder(t), "models", f, name, "*.golden.safetensors"))
			models = append(models, found...)
		}
		if len(models) == 0 {
			t.Errorf("%s: no model with golden inputs", name)
		}
		for _, golden := range models {
			t.Run(name, func(t *testing.T) { checkSimplified(t, golden) })
		}
	}
}

func checkSimplified(t *testing.T, golden string) {
	g, err := onnx.Read(strings.TrimSuffix(golden, ".golden.safetensors") + ".onnx")
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := safetensors.Read(golden)
	if err != nil {
		t.Fatal(err)
	}
	in := make([]tensor.Tensor, len(g.Inputs))
	for i, v := range g.Inputs {
		in[i], _ = tensors.Tensor("in/" + v.Name)
	}
	before := g.Digest()
	s, notes, err := engine.Simplify(g)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Validate(); err != nil {
		t.Fatal(err)
	}
	again, more, err := engine.Simplify(s)
	if err != nil || len(more) != 0 || len(again.Nodes) != len(s.Nodes) {
		t.Errorf("simplified twice: %d nodes, notes %q, error %v, want %d and none", len(again.Nodes), more, err, len(s.Nodes))
	}
	if g.Digest() != before {
		t.Error("the model given was modified")
	}
	v := variation{set: kernel.Best(), unfused: true}
	want, err := v.evaluate(g, in, len(g.Outputs))
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.evaluate(s, in, len(g.Outputs))
	if err != nil {
		t.Fatal(err)
	}
	for i, y := range g.Outputs {
		if s.Outputs[i].Name != y.Name {
			t.Errorf("output %d: got the name %q, want %q", i, s.Outputs[i].Name, y.Name)
		}
		delta, err := distance(got[i], want[i])
		if err != nil || !(delta <= simplifyTolerance) {
			t.Errorf("output %q: max|Δ| is %.3g of max|y|, want at most %g; %v", y.Name, delta, simplifyTolerance, err)
		}
	}
	t.Logf("%d nodes became %d: %s", len(g.Nodes), len(s.Nodes), strings.Join(notes, "; "))
}
