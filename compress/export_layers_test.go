package compress

import (
	"context"
	"fmt"
	"os"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// roundingTolerance is the largest difference allowed between ONNX Runtime and
// the engine, relative to the largest output. Both compute in float32 and sum in
// different orders: of n random terms that costs about √n·2⁻²⁴ each time, and
// errors add up over layers. It holds at both levels of optimisation, as
// check.mjs asks the fused kernels to keep activations in float32; by default
// those round activations to int8 and err by up to some 3 %, a choice of the
// runtime, not of the file.
const roundingTolerance = 1e-5

// flipTolerance is the same where activations are rounded to 8 bits: a value that
// lies within the rounding of a sum from the edge between two steps may fall on
// either side, and each such flip moves what follows by a step of 1/255 of the
// range. One flip in ResNet-20 was seen to move the logits by 0.3 % of the largest.
const flipTolerance = 2e-2

// exportWidths are the widths that a search may choose, and one bit.
var exportWidths = []int{8, 4, 2, 1}

// oldestOpset of a model with quantised weights: DequantizeLinear per channel,
// of int4 and of int2.
//
// Source: github.com/onnx/onnx, docs/Changelog.md.
var oldestOpset = map[int]int{8: 13, 4: 21, 2: 25, 1: 25}

// layerCase makes a graph with one or two layers of n output channels.
type layerCase struct {
	name  string
	shape []int // of the input
	build func(b *graph.Builder, x *graph.Value, weight func(shape ...int) *graph.Value, n int) *graph.Value
}

var layerCases = []layerCase{
	{"conv", []int{2, 3, 6, 6}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		return b.Op("Conv", x, weight(n, 3, 3, 3))
	}},
	{"pointwise", []int{2, 5, 3, 3}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		return b.Op("Conv", x, weight(n, 5, 1, 1))
	}},
	{"depthwise", []int{2, 5, 6, 6}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		wide := b.Op("Conv", x, weight(n, 5, 1, 1))
		return b.With("Conv", graph.Attributes{graph.Int("group", n)}, wide, weight(n, 1, 3, 3))
	}},
	{"grouped", []int{2, 6, 6, 6}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		return b.With("Conv", graph.Attributes{graph.Int("group", 3)}, x, weight(3*n, 2, 3, 3))
	}},
	{"transposed", []int{2, 3, 4, 4}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		return b.With("ConvTranspose", graph.Attributes{graph.Ints("strides", 2, 2)}, x, weight(3, n, 3, 3))
	}},
	{"gemm", []int{3, 25}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		return b.Op("Gemm", x, weight(25, n), b.Const(tensor.Of(make([]float32, n), n)))
	}},
	{"gemm-transb", []int{3, 25}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		return b.With("Gemm", graph.Attributes{graph.Int("transB", 1)}, x, weight(n, 25))
	}},
	{"matmul", []int{3, 64}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		return b.Op("MatMul", x, weight(64, n))
	}},
	{"matmul-batched", []int{2, 3, 25}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		return b.Op("MatMul", x, weight(25, n))
	}},
	{"matmul-stack", []int{2, 3, 25}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		return b.Op("MatMul", x, weight(2, 25, n))
	}},
	{"table", []int{3, 4}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		rows := b.Op("Clip", b.Op("Abs", b.Op("Mul", x, b.Const(tensor.Scalar(float32(8))))), b.Const(tensor.Scalar(float32(0))), b.Const(tensor.Scalar(float32(39))))
		return b.Op("Gather", weight(40, 8*n), b.With("Cast", graph.Attributes{graph.Int("to", int(tensor.Int64))}, rows))
	}},
	{"recurrent", []int{5, 2, 25}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		return b.With("LSTM", graph.Attributes{graph.Int("hidden_size", n)}, x, weight(1, 4*n, 25), weight(1, 4*n, n))
	}},
	{"left", []int{25, 3}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		return b.Op("MatMul", weight(n, 25), x)
	}},
	{"shared", []int{3, 16}, func(b *graph.Builder, x *graph.Value, weight func(...int) *graph.Value, n int) *graph.Value {
		w := weight(16, n)
		return b.Op("Add", b.Op("MatMul", x, w), b.Op("Add", b.Op("Gemm", b.Op("Neg", x), w), b.Op("MatMul", b.Op("Relu", x), w)))
	}},
}

// graphOf builds a case with n output channels and weights of the normal
// distribution.
func (c layerCase) graphOf(t *testing.T, n int) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: c.name, Opset: map[string]int{graph.DomainONNX: graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	weight := func(shape ...int) *graph.Value {
		return b.Param(fmt.Sprintf("w%d", len(g.Params)), normal(uint64(len(g.Params)), shape...))
	}
	y := c.build(b, b.Input("x", tensor.New(tensor.Float32, c.shape...).Type()), weight, n)
	y.Name = "y"
	g.Outputs = []*graph.Value{y}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

func normal(index uint64, shape ...int) tensor.Tensor {
	x := tensor.New(tensor.Float32, shape...)
	r := stream.New(1, "export check", index)
	for i, data := 0, tensor.Data[float32](x); i < len(data); i++ {
		data[i] = float32(r.NormFloat64())
	}
	return x
}

// quantized stores every layer of g at the given width.
func quantized(t *testing.T, g *graph.Graph, bits int) *graph.Graph {
	t.Helper()
	widths := paths.Uniform(g, paths.Scheme{Bits: bits})
	if len(widths) == 0 {
		t.Fatalf("graph %q: no layers", g.Name)
	}
	q, err := paths.QuantizeWeights(nil, g, widths)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// addExport writes a model as a run does, decodes the file, and lists it with
// what the engine computes from it on each input. The tolerance holds with and
// without optimisation.
func addExport(t *testing.T, e *testkit.Exports, name string, file []byte, tolerance float64, inputs ...tensor.Tensor) *graph.Graph {
	t.Helper()
	if err := os.WriteFile(e.Path(name+".onnx"), file, 0o666); err != nil {
		t.Fatal(err)
	}
	g, err := reload(file)
	if err != nil {
		t.Fatal(err)
	}
	m := testkit.ExportModel{Model: name + ".onnx", ToleranceOff: tolerance, ToleranceOn: tolerance}
	for i, x := range inputs {
		stem := fmt.Sprintf("%s-%d", name, i)
		c := testkit.ExportCase{Inputs: []testkit.ExportTensor{e.Tensor(stem, g.Inputs[0].Name, x)}}
		for k, y := range outputsOf(t, g, x) {
			c.Outputs = append(c.Outputs, e.Tensor(stem, g.Outputs[k].Name, y))
		}
		m.Cases = append(m.Cases, c)
	}
	e.Add(m)
	return g
}

func outputsOf(t *testing.T, g *graph.Graph, x tensor.Tensor) []tensor.Tensor {
	t.Helper()
	o := engine.Options{Dims: make(map[string]int)}
	for i, d := range g.Inputs[0].Type.Shape {
		if !d.Known() {
			o.Dims[d.Name] = x.Shape()[i]
		}
	}
	p, err := engine.Compile(g, o)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]tensor.Tensor, len(p.Outputs()))
	if err := p.Run(context.Background(), []tensor.Tensor{x}, out); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestExportCheckLayers writes every kind of layer at every width and with
// channels that do and do not fill bytes.
func TestExportCheckLayers(t *testing.T) {
	e := testkit.NewExports(t, "compress-layers")
	for _, c := range layerCases {
		for _, n := range []int{1, 3, 8, 10} {
			g := c.graphOf(t, n)
			for _, bits := range exportWidths {
				file, err := Encode(quantized(t, g, bits))
				if err != nil {
					t.Fatal(err)
				}
				back := addExport(t, e, fmt.Sprintf("%s-%d-%dbit", c.name, n, bits), file, roundingTolerance, normal(99, c.shape...))
				if got := back.Opset[graph.DomainONNX]; got != oldestOpset[bits] {
					t.Errorf("%s at %d bits: opset: got %d, want %d", c.name, bits, got, oldestOpset[bits])
				}
			}
		}
	}
}
