package conformance

import (
	"context"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// threadedModels are models of the test data, run on the inputs of their golden
// files or, where batch is not 0, on so many made ones.
var threadedModels = []struct {
	file      string
	batch     int
	quantised bool // runs with 8-bit weights and activations too
	dynamic   bool // the data decides some shapes: every run allocates
}{
	{file: "resnet-cifar10/resnet20.onnx", batch: 3, quantised: true},
	{file: "mlperf-tiny/image_classification/resnet8.onnx", batch: 3, quantised: true},
	{file: "mlperf-tiny/keyword_spotting/dscnn.onnx", batch: 3, quantised: true},
	{file: "mnist-pytorch/cnn_mnist_pytorch.onnx", batch: 3, quantised: true},
	{file: "dnsmos/sig_bak_ovr.onnx", quantised: true},
	{file: "magika/standard_v3_3/model.onnx"},
	{file: "ultraface/version-RFB-320.onnx"},
	{file: "dtln/model_1.onnx"},
	{file: "gonnx/gru.onnx"},
	{file: "silero-vad/silero_vad_16k_op15.onnx", dynamic: true},
}

// Whole models give the same bits at any number of threads, in float32 and with the
// integers of their quantised forms, and allocate nothing from run to run.
func TestModelsAtAnyThreads(t *testing.T) {
	root := filepath.Join(dataFolder(t), "models")
	for _, m := range threadedModels {
		t.Run(m.file, func(t *testing.T) {
			file := filepath.Join(root, filepath.FromSlash(m.file))
			g, err := onnx.Read(file)
			if err != nil {
				t.Fatal(err)
			}
			in := exampleInputs(t, g, m.batch)
			if m.batch == 0 {
				tensors, err := safetensors.Read(strings.TrimSuffix(file, ".onnx") + ".golden.safetensors")
				if err != nil {
					t.Fatal(err)
				}
				in = goldenInputs(g, tensors)
			}
			checkThreads(t, g, in, m.dynamic)
			if m.quantised {
				checkThreads(t, inBytes(t, g, in), in, m.dynamic)
			}
		})
	}
}

func checkThreads(t *testing.T, g *graph.Graph, in []tensor.Tensor, dynamic bool) {
	t.Helper()
	var want []tensor.Tensor
	for _, threads := range []int{1, 2, 3, 5} {
		pool := kernel.NewPool(threads, kernel.Best())
		defer pool.Close()
		p := mustCompile(t, g, in, pool)
		out := make([]tensor.Tensor, len(g.Outputs))
		run := func() {
			if err := p.Run(context.Background(), in, out); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(2, run); n > 0 && !dynamic {
			t.Errorf("%s, %d threads: allocations per run: got %v, want none", g.Name, threads, n)
		}
		if want == nil {
			want = out
		}
		for i := range out {
			if !out[i].Equal(want[i]) {
				t.Errorf("%s, output %q: 1 and %d threads differ", g.Name, g.Outputs[i].Name, threads)
			}
		}
	}
}

// mustCompile compiles for the shapes of in.
func mustCompile(t *testing.T, g *graph.Graph, in []tensor.Tensor, pool *kernel.Pool) *engine.Program {
	t.Helper()
	shapes := make(map[string][]int)
	for i, v := range g.Inputs {
		shapes[v.Name] = in[i].Shape()
	}
	p, err := engine.Compile(g, engine.Options{Shapes: shapes, Pool: pool})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// exampleInputs takes the batch for sizes that the model leaves open.
func exampleInputs(t *testing.T, g *graph.Graph, batch int) []tensor.Tensor {
	t.Helper()
	in := make([]tensor.Tensor, len(g.Inputs))
	for k, v := range g.Inputs {
		sizes := make([]int, v.Type.Rank())
		for i, d := range v.Type.Shape {
			if sizes[i] = batch; d.Known() {
				sizes[i] = d.Size
			}
		}
		var err error
		if in[k], err = engine.Example(tensor.TypeOf(v.Type.DType, sizes...)); err != nil {
			t.Fatal(err)
		}
	}
	return in
}

// inBytes is g with 8-bit weights and activations, whose ranges are those on in.
func inBytes(t *testing.T, g *graph.Graph, in []tensor.Tensor) *graph.Graph {
	t.Helper()
	g, _, err := engine.Simplify(g)
	if err != nil {
		t.Fatal(err)
	}
	watch, _ := g.Clone()
	watch.Outputs = paths.Activations(watch)
	out := make([]tensor.Tensor, len(watch.Outputs))
	if err := mustCompile(t, watch, in, nil).Run(context.Background(), in, out); err != nil {
		t.Fatal(err)
	}
	ranges := make(map[string]paths.Range)
	for i, v := range watch.Outputs {
		r := paths.Range{Lo: math.Inf(1), Hi: math.Inf(-1)}
		for _, x := range out[i].Float64s() {
			r.Lo, r.Hi = min(r.Lo, x), max(r.Hi, x)
		}
		ranges[v.Name] = r
	}
	q, err := paths.QuantizeWeights(nil, g, paths.Uniform(g, paths.Scheme{Bits: 8}))
	if err == nil {
		q, err = paths.QuantizeActivations(q, ranges)
	}
	if err != nil {
		t.Fatal(err)
	}
	q.Name = g.Name + " in bytes"
	return q
}
