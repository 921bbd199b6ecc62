package conformance

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// The tolerances of ONNX's own test runner (onnx/backend/test/runner, version
// 1.21): |got − want| ≤ atol + rtol·|want|.
const (
	rtol = 1e-3
	atol = 1e-7
)

// nodeTests is the archive of the ONNX backend node tests.
const nodeTests = "conformance/onnx-v1.21.0-node.tar.gz"

// dataFolder finds the test data beside the module; it skips the test if there
// is none.
func dataFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test's folder")
		}
		dir = up
	}
	data := filepath.Join(dir, "..", "shared", "data")
	if _, err := os.Stat(data); err != nil {
		t.Skipf("test data: %v", err)
	}
	return data
}

// nodeCase is one node test: a model, and sets of inputs and outputs.
type nodeCase struct {
	name  string
	files map[string][]byte
}

// readNodeTests reads the archive; cases come in order of their names.
func readNodeTests(t *testing.T) []nodeCase {
	t.Helper()
	f, err := os.Open(filepath.Join(dataFolder(t), nodeTests))
	if err != nil {
		t.Skip(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	cases := make(map[string]map[string][]byte)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		_, rest, found := strings.Cut(h.Name, "/data/node/")
		name, file, nested := strings.Cut(rest, "/")
		if !found || !nested || h.Typeflag != tar.TypeReg {
			continue
		}
		content, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if cases[name] == nil {
			cases[name] = make(map[string][]byte)
		}
		cases[name][file] = content
	}
	var list []nodeCase
	for _, name := range slices.Sorted(maps.Keys(cases)) {
		list = append(list, nodeCase{name, cases[name]})
	}
	return list
}

// sets lists the folders with inputs and outputs.
func (c nodeCase) sets() []string {
	seen := make(map[string]bool)
	for file := range c.files {
		if dir := path.Dir(file); strings.HasPrefix(dir, "test_data_set_") {
			seen[dir] = true
		}
	}
	return slices.Sorted(maps.Keys(seen))
}

// tensors decodes input_0.pb, input_1.pb, … or outputs.
func (c nodeCase) tensors(set, kind string) ([]tensor.Tensor, error) {
	var list []tensor.Tensor
	for i := 0; ; i++ {
		data, ok := c.files[fmt.Sprintf("%s/%s_%d.pb", set, kind, i)]
		if !ok {
			return list, nil
		}
		x, _, err := onnx.DecodeTensor(data)
		if err != nil {
			return nil, fmt.Errorf("%s_%d: %w: %w", kind, i, onnx.ErrNotTensor, err)
		}
		list = append(list, x)
	}
}

// variation is a way to run a case.
type variation struct {
	name     string
	set      kernel.Set
	unfused  bool
	constant bool // inputs are parameters, and the whole model folds
}

// run checks every set of the case.
func (c nodeCase) run(v variation) error {
	g, err := onnx.Decode(c.files["model.onnx"], "")
	if err != nil {
		return err
	}
	for _, set := range c.sets() {
		in, err := c.tensors(set, "input")
		if err != nil {
			return err
		}
		want, err := c.tensors(set, "output")
		if err != nil {
			return err
		}
		got, err := v.evaluate(g, in, len(want))
		if err != nil {
			return err
		}
		for i := range want {
			if err := similar(got[i], want[i]); err != nil {
				return fmt.Errorf("%s: output %d: %w", set, i, err)
			}
		}
	}
	return nil
}

func (v variation) evaluate(g *graph.Graph, in []tensor.Tensor, outputs int) ([]tensor.Tensor, error) {
	if len(in) > len(g.Inputs) || outputs > len(g.Outputs) {
		return nil, fmt.Errorf("model: got %d inputs and %d outputs, want %d and %d", len(g.Inputs), len(g.Outputs), len(in), outputs)
	}
	pool := kernel.NewPool(1, v.set)
	defer pool.Close()
	o := engine.Options{Pool: pool, Unfused: v.unfused, Shapes: make(map[string][]int)}
	for i, x := range in {
		o.Shapes[g.Inputs[i].Name] = x.Shape()
	}
	if v.constant {
		g, _ = g.Clone()
		for i, x := range in {
			g.Params = append(g.Params, &graph.Param{Value: g.Inputs[i], Data: x})
			g.Inputs[i].Type = x.Type()
		}
		g.Inputs, in = nil, nil
	}
	p, err := engine.Compile(g, o)
	if err != nil {
		return nil, err
	}
	out := make([]tensor.Tensor, len(g.Outputs))
	return out, p.Run(context.Background(), in, out)
}

// similar compares as ONNX's runner does: types and shapes exactly, numbers
// within the tolerances, NaN like NaN.
func similar(got, want tensor.Tensor) error {
	if got.DType() != want.DType() || !slices.Equal(got.Shape(), want.Shape()) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	switch {
	case want.DType() == tensor.String:
		for i, s := range want.Strings() {
			if got.Strings()[i] != s {
				return fmt.Errorf("element %d: got %q, want %q", i, got.Strings()[i], s)
			}
		}
		return nil
	case want.DType().IsComplex():
		a, b := complexParts(got), complexParts(want)
		for i := range b {
			if !close(a[i], b[i]) {
				return fmt.Errorf("part %d: got %v, want %v", i, a[i], b[i])
			}
		}
		return nil
	}
	for i := range want.Len() {
		if a, b := got.At(i), want.At(i); !close(a, b) {
			return fmt.Errorf("element %d: got %v, want %v", i, a, b)
		}
	}
	return nil
}

func complexParts(t tensor.Tensor) []float64 {
	var parts []float64
	if t.DType() == tensor.Complex64 {
		for _, x := range tensor.View[float32](t.Raw()) {
			parts = append(parts, float64(x))
		}
		return parts
	}
	return tensor.View[float64](t.Raw())
}

func close(a, b float64) bool {
	return a == b || math.IsNaN(a) && math.IsNaN(b) || math.Abs(a-b) <= atol+rtol*math.Abs(b)
}

// unsupported says why a case is outside the engine; "" if it is not.
func unsupported(err error) string {
	var e *engine.UnsupportedError
	switch {
	case errors.As(err, &e):
		return e.What()
	case errors.Is(err, onnx.ErrNotTensor):
		return "sequence, map or optional"
	}
	return ""
}

// readExclusions reads the cases known to differ: name, then the reason.
func readExclusions(t *testing.T) map[string]string {
	t.Helper()
	data, err := os.ReadFile("exclusions.txt")
	if err != nil {
		t.Fatal(err)
	}
	list := make(map[string]string)
	for s := bufio.NewScanner(bytes.NewReader(data)); s.Scan(); {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, " ")
		if !ok {
			t.Fatalf("exclusions.txt: %q: no reason", line)
		}
		list[name] = strings.TrimSpace(reason)
	}
	return list
}

// TestONNXConformance runs the ONNX backend node tests whose operators and
// types the engine has.
func TestONNXConformance(t *testing.T) {
	cases, excluded := readNodeTests(t), readExclusions(t)
	reasons := make(map[string]int)
	passed, failed, outside := 0, 0, 0
	for _, c := range cases {
		err := c.run(variation{set: kernel.Best()})
		reason := unsupported(err)
		why, skip := excluded[c.name]
		switch {
		case skip && err == nil:
			t.Errorf("%s: passes although excluded: %s", c.name, why)
		case skip:
			outside++
			reasons["excluded: "+why]++
		case reason != "":
			outside++
			reasons[reason]++
		case err != nil:
			failed++
			t.Errorf("%s: %v", c.name, err)
		default:
			passed++
		}
	}
	fmt.Printf("conformance: %d passed, %d failed, %d unsupported\n", passed, failed, outside)
	for _, reason := range slices.SortedFunc(maps.Keys(reasons), func(a, b string) int { return reasons[b] - reasons[a] }) {
		t.Logf("%4d %s", reasons[reason], reason)
	}
}

// TestONNXConformanceVariations runs the cases in other ways: portable kernels, no fusion, and all inputs constant, so that the model folds.
func TestONNXConformanceVariations(t *testing.T) {
	cases, excluded := readNodeTests(t), readExclusions(t)
	variations := []variation{
		{name: "portable", set: kernel.Portable},
		{name: "unfused", set: kernel.Best(), unfused: true},
		{name: "constant", set: kernel.Best(), constant: true},
	}
	for _, c := range cases {
		if _, skip := excluded[c.name]; skip {
			continue
		}
		for _, v := range variations {
			if err := c.run(v); err != nil && unsupported(err) == "" {
				t.Errorf("%s, %s: %v", c.name, v.name, err)
			}
		}
	}
}
