package graph_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// sharedData is the folder of test data beside the module; tests that need it
// are skipped where it is missing.
func sharedData(t testing.TB, elem ...string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	file := filepath.Join(append([]string{dir, "..", "shared", "data"}, elem...)...)
	if _, err := os.Stat(file); err != nil {
		t.Skipf("no test data: %v", err)
	}
	return file
}

// conformanceCase is one case of ONNX's backend test suite: a model whose
// outputs declare their exact types, and the files of inputs and outputs.
type conformanceCase struct {
	name  string
	model []byte
	files map[string][]byte
}

func conformanceCases(t testing.TB) []conformanceCase {
	t.Helper()
	f, err := os.Open(sharedData(t, "conformance", "onnx-v1.21.0-node.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var list []conformanceCase
	index := make(map[string]int)
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		dir, base := path.Split(h.Name)
		if base != "model.onnx" && !(strings.HasPrefix(base, "input_") && path.Base(dir) == "test_data_set_0") {
			continue
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		name := path.Base(strings.TrimSuffix(strings.TrimSuffix(dir, "/"), "/test_data_set_0"))
		i, seen := index[name]
		if !seen {
			i = len(list)
			index[name] = i
			list = append(list, conformanceCase{name: name, files: make(map[string][]byte)})
		}
		if base == "model.onnx" {
			list[i].model = data
		} else {
			list[i].files[base] = data
		}
	}
}

// TestInferredTypesAgreeWithONNX upgrades every conformance model to the newest
// opset, forgets all types but the inputs', infers them again and compares what
// comes out with the outputs the model declares.
func TestInferredTypesAgreeWithONNX(t *testing.T) {
	exact, partial, without := 0, 0, make(map[string]bool)
	for _, tc := range conformanceCases(t) {
		g, err := onnx.Decode(tc.model, "")
		if err != nil {
			continue // what format/onnx cannot hold it reports itself
		}
		if op := operatorWithoutRule(g); op != "" {
			without[op] = true
			continue
		}
		declared := make([]tensor.Type, len(g.Outputs))
		for i, v := range g.Outputs {
			declared[i] = v.Type
		}
		if err := g.Upgrade(graph.LatestOpset); err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		if err := g.Validate(); err != nil {
			t.Errorf("%s: after the upgrade: %v", tc.name, err)
		}
		forgetTypes(g)
		facts := graph.NewFacts(g)
		knowSmallInputs(t, tc, g, facts)
		if err := facts.InferGraph(g); err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for i, v := range g.Outputs {
			complete, err := agree(v.Type, declared[i])
			switch {
			case err != nil:
				t.Errorf("%s: output %d: got %v, want %v: %v", tc.name, i, v.Type, declared[i], err)
			case complete:
				exact++
			default:
				partial++
			}
		}
	}
	t.Logf("%d outputs inferred completely, %d in part; operators without a rule: %d", exact, partial, len(without))
	// What is left open depends on data: NonZero, Unique, loops.
	if wantExact, mostPartial := 1700, 60; exact < wantExact || partial > mostPartial {
		t.Errorf("inferred completely: got %d, want at least %d; in part: got %d, want at most %d", exact, wantExact, partial, mostPartial)
	}
}

// operatorWithoutRule names an operator of the graph that the table lacks.
func operatorWithoutRule(g *graph.Graph) string {
	for _, n := range g.Nodes {
		if n.Rule() == nil {
			return n.Kind()
		}
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				if op := operatorWithoutRule(sub); op != "" {
					return op
				}
			}
		}
	}
	return ""
}

func forgetTypes(g *graph.Graph) {
	for _, n := range g.Nodes {
		for _, v := range n.Out {
			if v != nil {
				v.Type = tensor.Type{}
			}
		}
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				forgetTypes(sub)
			}
		}
	}
}

// knowSmallInputs makes inputs that may hold axes, sizes or scales known as if
// they were constants.
func knowSmallInputs(t *testing.T, tc conformanceCase, g *graph.Graph, facts *graph.Facts) {
	const small = 64
	for i, v := range g.Inputs {
		data, ok := tc.files[fmt.Sprintf("input_%d.pb", i)]
		if !ok {
			continue
		}
		if n, ok := v.Type.Static(); !ok || len(n) > 1 || len(data) > 1024 {
			continue
		}
		x, _, err := onnx.DecodeTensor(data)
		if err != nil {
			t.Errorf("%s: input %d: %v", tc.name, i, err)
			continue
		}
		if x.Len() <= small {
			facts.SetData(v, x)
		}
	}
}

// agree compares an inferred type with the declared one; complete says that
// nothing was left open.
func agree(got, want tensor.Type) (complete bool, err error) {
	if want.DType != tensor.Undefined && got.DType != want.DType {
		return false, errors.New("number types differ")
	}
	if !want.Ranked() || !got.Ranked() {
		return !want.Ranked(), nil
	}
	if got.Rank() != want.Rank() {
		return false, errors.New("ranks differ")
	}
	complete = true
	for i, d := range want.Shape {
		switch {
		case got.Shape[i].Known() && d.Known() && got.Shape[i].Size != d.Size:
			return false, fmt.Errorf("axis %d differs", i)
		case d.Known() && !got.Shape[i].Known():
			complete = false
		}
	}
	return complete, nil
}

// TestRebatchModels converts the fixed-batch models that come with the data.
func TestRebatchModels(t *testing.T) {
	for _, tc := range []struct{ model, want string }{
		{"mnist-cntk/mnist.onnx", "float32[B,10]"},                // [1,256] in a Reshape
		{"mnist-pytorch/cnn_mnist_pytorch.onnx", "float32[B,10]"}, // [1,256] from a Constant
		{"ultraface/version-RFB-320.onnx", "float32[B,4420,2]"},   // Shape → Gather → Concat → Reshape
		{"resnet-cifar10/resnet20.onnx", "float32[B,10]"},         // symbolic already
		{"qonnx/bsd300x3-espcn/subpixel/float_model.onnx", "float32[B,3,12,12]"},
	} {
		t.Run(path.Base(path.Dir(tc.model)), func(t *testing.T) {
			g, err := onnx.Read(filepath.Join(sharedData(t, "models"), filepath.FromSlash(tc.model)))
			if err != nil {
				t.Fatal(err)
			}
			before := g.Inputs[0].Type
			r, err := graph.Rebatch(g, "B")
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Validate(); err != nil {
				t.Error(err)
			}
			if got := r.Outputs[0].Type.String(); got != tc.want {
				t.Errorf("output: got %s, want %s", got, tc.want)
			}
			if !g.Inputs[0].Type.Equal(before) {
				t.Errorf("the model itself changed: input was %v, is %v", before, g.Inputs[0].Type)
			}
		})
	}
}
