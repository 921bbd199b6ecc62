package onnx

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// exportTensor and exportModel are the manifest's form, described at the top of
// .ci/ort/check.mjs.
type exportTensor struct {
	Name  string `json:"name"`
	DType string `json:"dtype"`
	Dims  []int  `json:"dims"`
	File  string `json:"file"`
}

type exportCase struct {
	Inputs  []exportTensor `json:"inputs"`
	Outputs []exportTensor `json:"outputs"`
}

type exportModel struct {
	Model        string       `json:"model"`
	ToleranceOff float64      `json:"tolerance_off"`
	ToleranceOn  float64      `json:"tolerance_on"`
	Cases        []exportCase `json:"cases"`
}

// onMatMul allows for the fused kernels that ONNX Runtime puts in place of
// DequantizeLinear and MatMul when it optimises; without optimisation the
// results are exact, as all are small multiples of 1/4.
const onMatMul = 1e-2

// expected is an input of each synthetic model that shows its constants, and
// what comes out: x·W with x the identity, x + W with x zero, the scalars cast.
func expected(name string, g *graph.Graph) (x tensor.Tensor, out []tensor.Tensor, tolerance float64) {
	switch {
	case name == "scalars":
		x = tensor.Of([]float32{1, 2, 3, 4, 5, 6}, 2, 3)
		out = append(out, tensor.Of([]float32{0.5, 1, 1.5, 2, 2.5, 3}, 3, 1, 2))
		for _, p := range g.Params[3:] {
			out = append(out, tensor.Of(p.Data.Float64s(), p.Data.Shape()...))
		}
	case g.Params[0].Sparse:
		x = tensor.New(g.Inputs[0].Type.DType, 16, 20)
		out = append(out, g.Params[0].Data)
	default:
		x = tensor.New(tensor.Float32, 6, 6)
		for i := range 6 {
			x.Set(7*i, 1)
		}
		y := tensor.New(tensor.Float32, g.Params[0].Data.Shape()...)
		for i := range y.Len() {
			y.Set(i, 0.25*g.Params[0].Data.At(i))
		}
		out, tolerance = append(out, y), onMatMul
	}
	return x, out, tolerance
}

// TestExportCheckSynthetic writes the synthetic models for .ci/run to run in
// ONNX Runtime: every number type and every encoding that the writer chooses.
func TestExportCheckSynthetic(t *testing.T) {
	dir := os.Getenv("COMPACTIFY_EXPORT_DIR")
	if dir == "" {
		t.Skip("COMPACTIFY_EXPORT_DIR is not set")
	}
	dir = filepath.Join(dir, "onnx-synthetic")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	var manifest []exportModel
	for name, g := range synthetic() {
		switch name {
		case "dequantized-float4e2m1", // ONNX Runtime has no CPU kernel for it
			"dequantized-float8e4m3fn", "dequantized-float8e5m2": // the pattern holds NaN and numbers whose sums are inexact
			continue
		}
		x, outs, tolerance := expected(name, g)
		c := exportCase{Inputs: []exportTensor{exportFile(t, dir, name, "x", x)}}
		for i, y := range outs {
			c.Outputs = append(c.Outputs, exportFile(t, dir, name, g.Outputs[i].Name, y))
		}
		for suffix, o := range map[string]Options{"plain": {}, "compact": {Compact: true}, "external": {External: true}} {
			o.Oldest = true
			model := name + "-" + suffix + ".onnx"
			if err := Write(filepath.Join(dir, model), g, o); err != nil {
				t.Fatal(err)
			}
			manifest = append(manifest, exportModel{Model: model, ToleranceOn: tolerance, Cases: []exportCase{c}})
		}
	}
	slices.SortFunc(manifest, func(a, b exportModel) int {
		if a.Model < b.Model {
			return -1
		}
		return 1
	})
	data, err := json.MarshalIndent(manifest, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "manifest.json"), data, 0o666); err != nil {
		t.Fatal(err)
	}
}

func exportFile(t *testing.T, dir, model, name string, v tensor.Tensor) exportTensor {
	t.Helper()
	e := exportTensor{Name: name, DType: v.DType().String(), Dims: v.Shape(), File: model + "-" + name + ".bin"}
	if e.Dims == nil {
		e.Dims = []int{}
	}
	if err := os.WriteFile(filepath.Join(dir, e.File), v.Raw(), 0o666); err != nil {
		t.Fatal(err)
	}
	return e
}
