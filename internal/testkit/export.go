package testkit

import (
	"cmp"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compactify/compactify/tensor"
)

// Exports collects models and what they are expected to compute, for .ci/run to
// compare with ONNX Runtime. Its manifest has the form described at the top of
// .ci/ort/check.mjs.
type Exports struct {
	tb     testing.TB
	dir    string
	models []ExportModel
}

// ExportModel is a model file, the tolerances of its outputs relative to the
// largest of them, without and with optimisation, and what to run it on.
type ExportModel struct {
	Model        string       `json:"model"`
	ToleranceOff float64      `json:"tolerance_off"`
	ToleranceOn  float64      `json:"tolerance_on"`
	Cases        []ExportCase `json:"cases"`
}

// ExportCase is one set of inputs with its outputs.
type ExportCase struct {
	Inputs  []ExportTensor `json:"inputs"`
	Outputs []ExportTensor `json:"outputs"`
}

// ExportTensor is a tensor in a file of its own.
type ExportTensor struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Dims  []int  `json:"dims"`
	File  string `json:"file"`
}

// NewExports makes the folder of the given name for a test's models; the
// manifest is written when the test ends. Outside the export check the test is
// skipped.
func NewExports(tb testing.TB, name string) *Exports {
	tb.Helper()
	dir := os.Getenv("COMPACTIFY_EXPORT_DIR")
	if dir == "" {
		tb.Skip("COMPACTIFY_EXPORT_DIR is not set: .ci/run sets it to check exports in ONNX Runtime")
	}
	e := &Exports{tb: tb, dir: filepath.Join(dir, name)}
	if err := os.MkdirAll(e.dir, 0o777); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(e.writeManifest)
	return e
}

// Path is where a model of the given file name belongs.
func (e *Exports) Path(model string) string { return filepath.Join(e.dir, model) }

// Add lists a model that lies in its place.
func (e *Exports) Add(m ExportModel) { e.models = append(e.models, m) }

// Tensor writes the input or output of a model; stem makes the file's name
// unique.
func (e *Exports) Tensor(stem, name string, v tensor.Tensor) ExportTensor {
	e.tb.Helper()
	t := ExportTensor{Name: name, DType: v.DType().String(), Dims: v.Shape(), File: stem + "-" + name + ".bin"}
	if t.Dims == nil {
		t.Dims = []int{}
	}
	if err := os.WriteFile(e.Path(t.File), v.Raw(), 0o666); err != nil {
		e.tb.Fatal(err)
	}
	return t
}

// writeManifest leaves no manifest where the test data is missing and every model
// was skipped.
func (e *Exports) writeManifest() {
	if len(e.models) == 0 {
		return
	}
	slices.SortFunc(e.models, func(a, b ExportModel) int { return cmp.Compare(a.Model, b.Model) })
	data, err := json.MarshalIndent(e.models, "", "\t")
	if err == nil {
		err = os.WriteFile(e.Path("manifest.json"), data, 0o666)
	}
	if err != nil {
		e.tb.Error(err)
	}
}
