package compress

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/run"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// realModel is a trained model with its data; the figures are in the test
// data's README.
type realModel struct {
	name  string
	model string // below models
	data  string
	o     data.Options
	tune  int // as in Job: the deep ones are worse after the five steps there is time for
}

const (
	mnist   = "datasets/mnist"
	cifar   = "datasets/cifar10/data_batch_1-first4000.bin.gz"
	centred = "0.1307,0.3081"
)

var realModels = []realModel{
	{"mnist-cntk", "mnist-cntk/mnist.onnx", mnist, data.Options{Raw: true}, 1},
	{"mnist-pytorch", "mnist-pytorch/cnn_mnist_pytorch.onnx", mnist, data.Options{Normalize: centred}, 1},
	{"burn-mnist", "burn-mnist/mnist.onnx", mnist, data.Options{Normalize: centred}, 1},
	{"resnet20", "resnet-cifar10/resnet20.onnx", cifar, data.Options{Normalize: "0.485:0.456:0.406,0.229:0.224:0.225"}, -1},
	{"resnet8", "mlperf-tiny/image_classification/resnet8.onnx", cifar, data.Options{Raw: true}, -1},
	{"dscnn", "mlperf-tiny/keyword_spotting/dscnn.onnx", "models/mlperf-tiny/keyword_spotting/eval/kws.npz", data.Options{}, 1},
}

// The size of the jobs: enough to go through every stage, few enough for the
// check to end within a minute.
const (
	checkTraining = 400
	checkHeldOut  = 100
	checkInputs   = 4
)

// subset is the first n examples of a set, or all.
func subset(s *data.Set, n int) *data.Set {
	idx := make([]int, min(n, s.Len()))
	for i := range idx {
		idx[i] = i
	}
	return s.Subset(idx)
}

// open reads the model and its examples, or skips the test.
func (m realModel) open(t *testing.T) (g *graph.Graph, bytes int, examples *data.Set) {
	t.Helper()
	g, bytes, err := onnx.ReadSized(testkit.Shared(t, "models/"+m.model))
	if err != nil {
		t.Fatal(err)
	}
	src, err := data.Open(testkit.Shared(t, m.data), m.o)
	if err != nil {
		t.Fatal(err)
	}
	return g, bytes, subset(src.Train, checkTraining+checkHeldOut)
}

// inputsOf are the first examples as inputs of a batch of one.
func inputsOf(t *testing.T, g *graph.Graph, examples *data.Set) []tensor.Tensor {
	t.Helper()
	shape, err := train.ExampleShape(g)
	if err != nil {
		t.Fatal(err)
	}
	set, err := examples.Adapt(shape)
	if err != nil {
		t.Fatal(err)
	}
	var list []tensor.Tensor
	for i := range checkInputs {
		x := tensor.New(tensor.Float32, append([]int{1}, set.Shape()...)...)
		set.Fill(tensor.Data[float32](x), i)
		list = append(list, x)
	}
	return list
}

// compressed does the main job and returns the bytes of the model it wrote. The
// budget is so wide that layers get different widths; whether the held-out
// examples keep to it is not the question here.
func compressed(t *testing.T, job Job) []byte {
	t.Helper()
	parts := data.Split(job.Train, []float64{0.8, 0.2}, 1, "export check")
	job.Train, job.HeldOut, job.Source = parts[0], parts[1], job.Train.Name()
	job.Budget = compactify.Budget{Kind: compactify.KLFrom, Limit: 0.3}
	job.Seed, job.Pool = 1, kernel.NewPool(0, kernel.Best())
	defer job.Pool.Close()
	folder, err := run.Create(filepath.Join(t.TempDir(), "out"), false)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Run(context.Background(), job, folder)
	var noFit *NoFitError
	if err != nil && !(errors.As(err, &noFit) && r.Files.Model != "") {
		t.Fatal(err)
	}
	file, err := os.ReadFile(r.Files.Model)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Verify.OK {
		t.Errorf("verification: got %v, want at most %v", r.Verify.MaxAbsErr, r.Verify.Tolerance)
	}
	widths := make(map[int]int)
	for _, l := range r.Layers {
		widths[l.Bits]++
	}
	t.Logf("%d bytes of %d, layers by width %v, accuracy %.2f of %.2f, %.1f s", len(file), job.ModelBytes, widths,
		float64(r.Compact.Metric), float64(r.Baseline.Metric), r.Seconds)
	return file
}

// TestExportCheckModels writes real models as the main job leaves them, and with
// all layers at each width.
func TestExportCheckModels(t *testing.T) {
	e := testkit.NewExports(t, "compress-models")
	for _, m := range realModels {
		t.Run(m.name, func(t *testing.T) {
			g, bytes, examples := m.open(t)
			inputs := inputsOf(t, g, examples)
			job := Job{Model: g, ModelBytes: bytes, Train: examples, Finetune: m.tune}
			file := compressed(t, job)
			addExport(t, e, m.name+"-job", file, roundingTolerance, inputs...)
			addNodes(t, e, m.name+"-job", file, roundingTolerance, inputs[0])
			addWidths(t, e, m.name, g, examples)
		})
	}
}

// TestExportCheckTrained does the same for a model trained here, on generated
// data.
func TestExportCheckTrained(t *testing.T) {
	e := testkit.NewExports(t, "compress-trained")
	src, err := data.Open("glyphs", data.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	g, err := train.NewModel("lenet5", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	pool := kernel.NewPool(0, kernel.Best())
	defer pool.Close()
	if g, _, err = train.Run(context.Background(), g, subset(src.Train, 3000), train.Options{Epochs: 2, Seed: 1, Pool: pool}); err != nil {
		t.Fatal(err)
	}
	g = train.Finish(g)
	file, err := Encode(g)
	if err != nil {
		t.Fatal(err)
	}
	examples := subset(src.Train, checkTraining+checkHeldOut)
	inputs := inputsOf(t, g, examples)
	addExport(t, e, "lenet5-float", file, roundingTolerance, inputs...)
	job := Job{Model: g, ModelBytes: len(file), Train: examples, Finetune: 1}
	addExport(t, e, "lenet5-job", compressed(t, job), roundingTolerance, inputs...)
	job.Activation = true
	file = compressed(t, job)
	addExport(t, e, "lenet5-job-activations", file, flipTolerance, inputs...)
	addNodes(t, e, "lenet5-job-activations", file, flipTolerance, inputs[0])
	addWidths(t, e, "lenet5", g, examples)
}

// addWidths writes a model with all layers at each width, without and with
// 8-bit activations.
func addWidths(t *testing.T, e *testkit.Exports, name string, g *graph.Graph, examples *data.Set) {
	t.Helper()
	prepared, _, err := Prepare(g)
	if err != nil {
		t.Fatal(err)
	}
	inputs := inputsOf(t, g, examples)
	for _, bits := range exportWidths {
		q := quantized(t, prepared, bits)
		file, err := Encode(q)
		if err != nil {
			t.Fatal(err)
		}
		addExport(t, e, fmt.Sprintf("%s-%dbit", name, bits), file, roundingTolerance, inputs...)
		if file, err = Encode(rounded(t, q, examples)); err != nil {
			t.Fatal(err)
		}
		addExport(t, e, fmt.Sprintf("%s-%dbit-activations", name, bits), file, flipTolerance, inputs...)
		if bits == exportWidths[0] {
			addNodes(t, e, fmt.Sprintf("%s-%dbit-activations", name, bits), file, flipTolerance, inputs[0])
		}
	}
}

// rounded gives a model 8-bit activations.
func rounded(t *testing.T, g *graph.Graph, examples *data.Set) *graph.Graph {
	t.Helper()
	ctx := context.Background()
	pool := kernel.NewPool(1, kernel.Best())
	defer pool.Close()
	w := &work{Job: Job{Pool: pool, Ranges: "minmax"}, graph: g, ranging: subset(examples, 64)}
	var err error
	if w.choosing, err = w.newBench(ctx, w.ranging, nil); err != nil {
		t.Fatal(err)
	}
	a, err := w.roundActivations(ctx, g)
	if err != nil {
		t.Fatal(err)
	}
	return a
}
