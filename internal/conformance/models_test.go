package conformance

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/format/safetensors"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// goldenTolerance bounds |got − want| relative to the largest |want| of a
// tensor: both sides compute in float32, in different orders.
const goldenTolerance = 1e-4

// inexactReference lists models whose reference is the less exact side, with how
// far it is off. The engine has to meet the same graph computed in float64 within
// goldenTolerance instead, and the reference has to lie as near to that.
var inexactReference = map[string]float64{
	// LayerNorm_0 takes the variance of 512 terms as E[x²] − E[x]², which cancels.
	// Against the graph in float64, ONNX Runtime's variance is off by 3.2e-5 of the
	// largest, its 1/√variance by 9e-3 and its output by 3.3e-4; the engine, whose
	// sums run in float64, by 1.9e-6, 1.9e-4 and 8.5e-6.
	"magika": 5e-4,
}

// mustRun are models that have to pass; others may use operators the engine
// lacks, which is printed.
var mustRun = []string{"mnist-cntk", "mnist-pytorch", "burn-mnist", "resnet-cifar10", "image_classification",
	"keyword_spotting", "anomaly_detection"}

// TestGoldenModels compares real models with the outputs of ONNX Runtime 1.30.0
// (CPU, graph optimisation off), kept beside them as NAME.golden.safetensors
// with tensors named in/INPUT and out/OUTPUT.
func TestGoldenModels(t *testing.T) {
	root := filepath.Join(dataFolder(t), "models")
	err := filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
		if stem, ok := strings.CutSuffix(file, ".golden.safetensors"); err == nil && ok {
			name, _ := filepath.Rel(root, stem)
			t.Run(filepath.ToSlash(name), func(t *testing.T) { checkGolden(t, stem+".onnx", file) })
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func checkGolden(t *testing.T, model, golden string) {
	g, err := onnx.Read(model)
	if err != nil {
		t.Fatal(err)
	}
	tensors, err := safetensors.Read(golden)
	if err != nil {
		t.Fatal(err)
	}
	in := goldenInputs(g, tensors)
	ways := []variation{{set: kernel.Best()}, {set: kernel.Best(), unfused: true}}
	if must(model) {
		ways = append(ways, variation{set: kernel.Portable})
	}
	reference := make([]tensor.Tensor, len(g.Outputs))
	for i, value := range g.Outputs {
		reference[i], _ = tensors.Tensor("out/" + value.Name)
	}
	if own, ok := inexact(model); ok {
		reference = exactOutputs(t, g, in, reference, own)
	}
	for _, v := range ways {
		out, err := v.evaluate(g, in, len(g.Outputs))
		var lacks *engine.UnsupportedError
		if errors.As(err, &lacks) && !must(model) {
			fmt.Printf("%s: not run: %v\n", t.Name(), lacks)
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, value := range g.Outputs {
			delta, err := distance(out[i], reference[i])
			if err != nil || delta > goldenTolerance {
				t.Errorf("output %q, %v kernels: max|Δ| is %.3g of max|y|, want at most %g; %v",
					value.Name, v.set, delta, goldenTolerance, err)
			}
			t.Logf("output %q, %v kernels: max|Δ| is %.3g of max|y|", value.Name, v.set, delta)
		}
	}
}

// goldenInputs are those that the reference was computed from.
func goldenInputs(g *graph.Graph, tensors *safetensors.File) []tensor.Tensor {
	in := make([]tensor.Tensor, len(g.Inputs))
	for i, v := range g.Inputs {
		in[i], _ = tensors.Tensor("in/" + v.Name)
		if in[i].Len() == 1 && v.Type.Rank() == 0 { // ONNX Runtime took [1] for a scalar
			in[i] = in[i].As(nil)
		}
	}
	return in
}

// inexact is how far the reference of a model is off, if it is known to be.
func inexact(model string) (float64, bool) {
	for name, own := range inexactReference {
		if strings.Contains(filepath.ToSlash(model), "/"+name+"/") {
			return own, true
		}
	}
	return 0, false
}

// exactOutputs are the outputs computed in float64 and rounded once. It checks
// and prints how far the reference is from them.
func exactOutputs(t *testing.T, g *graph.Graph, in, reference []tensor.Tensor, own float64) []tensor.Tensor {
	t.Helper()
	out, err := variation{set: kernel.Best()}.evaluate(inFloat64(g), in, len(g.Outputs))
	if err != nil {
		t.Fatal(err)
	}
	for i, value := range g.Outputs {
		if out[i], err = out[i].Convert(tensor.Float32); err != nil {
			t.Fatal(err)
		}
		delta, err := distance(reference[i], out[i])
		if err != nil || delta > own {
			t.Errorf("output %q: the reference is %.3g of max|y| from the graph in float64, want at most %g; %v", value.Name, delta, own, err)
		}
		fmt.Printf("%s: output %q: the reference is %.3g of max|y| from the graph in float64\n", t.Name(), value.Name, delta)
	}
	return out
}

func must(model string) bool {
	for _, name := range mustRun {
		if strings.Contains(filepath.ToSlash(model), "/"+name+"/") {
			return true
		}
	}
	return false
}

// distance is max|got − want| / max|want|.
func distance(got, want tensor.Tensor) (float64, error) {
	if got.String() != want.String() {
		return 0, fmt.Errorf("got %v, want %v", got, want)
	}
	most, scale := 0.0, 0.0
	for i := range want.Len() {
		most = max(most, math.Abs(got.At(i)-want.At(i)))
		scale = max(scale, math.Abs(want.At(i)))
	}
	return most / scale, nil
}
