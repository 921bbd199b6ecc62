package compress_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/compactify/compactify/compress"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/train"
)

// sharedModel reads a model of the shared test data and prepares it as a run
// would.
func sharedModel(b *testing.B, name string) *graph.Graph {
	b.Helper()
	file := filepath.Join("..", "..", "shared", "data", "models", filepath.FromSlash(name))
	if _, err := os.Stat(file); err != nil {
		b.Skipf("test data is missing: %v", err)
	}
	g, err := onnx.Read(file)
	if err != nil {
		b.Fatal(err)
	}
	if g, _, err = compress.Prepare(g); err != nil {
		b.Fatal(err)
	}
	return g
}

// images is a set of examples of the given shape and ten classes.
func images(b *testing.B, channels int) *data.Set {
	b.Helper()
	spec := "glyphs"
	if channels == 3 { // noise in the format of CIFAR-10: a label, then 3 planes of 32×32
		const record, records = 1 + 3*32*32, 512
		raw := make([]byte, record*records)
		for i := range raw {
			raw[i] = byte(i * i >> 3)
			if i%record == 0 {
				raw[i] = byte(i/record) % 10
			}
		}
		spec = filepath.Join(b.TempDir(), "noise.bin")
		if err := os.WriteFile(spec, raw, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	source, err := data.Open(spec, data.Options{Seed: 1})
	if err != nil {
		b.Fatal(err)
	}
	return source.Train
}

func newModel(b *testing.B, arch string, set *data.Set) *graph.Graph {
	b.Helper()
	g, err := train.NewModel(arch, set.Shape(), 10, 1)
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// onGrids puts every layer on a grid of so many bits.
func onGrids(b *testing.B, g *graph.Graph, n int) *graph.Graph {
	b.Helper()
	g, err := paths.FakeQuantizeWeights(nil, g, paths.Uniform(g, paths.Scheme{Bits: n}))
	if err != nil {
		b.Fatal(err)
	}
	return g
}

// steps times b.N steps of training on one thread.
func steps(b *testing.B, g *graph.Graph, set *data.Set, o train.Options) {
	b.Helper()
	o.Pool = kernel.NewPool(1, kernel.Best())
	defer o.Pool.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	const warm = 2
	done := 0
	o.Epochs = 1 << 20
	o.Step = func(float64) {
		switch done++; done {
		case warm:
			b.ReportAllocs()
			b.ResetTimer()
		case warm + b.N:
			b.StopTimer()
			cancel()
		}
	}
	if _, _, err := train.Run(ctx, g, set, o); !errors.Is(err, context.Canceled) {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N*o.Batch)/b.Elapsed().Seconds(), "images/s")
}

// BenchmarkStep is one step of training: drawing the batch, forward, backward
// and the optimiser. Names that begin with "tune" are steps of the fine-tuning
// that compression runs, all layers on grids of 4 bits.
func BenchmarkStep(b *testing.B) {
	for _, arch := range []string{"mlp:784-300-100-10", "lenet5", "lenet5-caffe", "resnet8", "resnet20"} {
		b.Run(arch, func(b *testing.B) {
			channels := 1
			if arch[:3] == "res" {
				channels = 3
			}
			set := images(b, channels)
			steps(b, newModel(b, arch, set), set, train.Options{Batch: 128, Optimizer: train.SGD, Rate: 1e-3, Momentum: 0.9})
		})
	}
	tune := train.Options{Batch: 64, Rate: 1e-4, Relative: true}
	b.Run("tune/resnet20", func(b *testing.B) {
		steps(b, onGrids(b, sharedModel(b, "resnet-cifar10/resnet20.onnx"), 4), images(b, 3), tune)
	})
	b.Run("tune/mnist-pytorch", func(b *testing.B) {
		steps(b, onGrids(b, sharedModel(b, "mnist-pytorch/cnn_mnist_pytorch.onnx"), 4), images(b, 1), tune)
	})
	b.Run("tune/burn-mnist", func(b *testing.B) {
		steps(b, onGrids(b, sharedModel(b, "burn-mnist/mnist.onnx"), 4), images(b, 1), tune)
	})
}
