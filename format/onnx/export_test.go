package onnx

import (
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

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
	e := testkit.NewExports(t, "onnx-synthetic")
	for name, g := range synthetic() {
		switch name {
		case "dequantized-float4e2m1", // ONNX Runtime has no CPU kernel for it
			"dequantized-float8e4m3fn", "dequantized-float8e5m2": // the pattern holds NaN and numbers whose sums are inexact
			continue
		}
		x, outs, tolerance := expected(name, g)
		c := testkit.ExportCase{Inputs: []testkit.ExportTensor{e.Tensor(name, "x", x)}}
		for i, y := range outs {
			c.Outputs = append(c.Outputs, e.Tensor(name, g.Outputs[i].Name, y))
		}
		for suffix, o := range map[string]Options{"plain": {}, "compact": {Compact: true}, "external": {External: true}} {
			o.Oldest = true
			model := name + "-" + suffix + ".onnx"
			if err := Write(e.Path(model), g, o); err != nil {
				t.Fatal(err)
			}
			e.Add(testkit.ExportModel{Model: model, ToleranceOn: tolerance, Cases: []testkit.ExportCase{c}})
		}
	}
}
