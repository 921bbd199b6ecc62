package conformance

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// TestEveryModelRuns compiles and runs every model of the test data for a batch of one
// on zeros, but those with golden outputs. Why one is not run is printed.
func TestEveryModelRuns(t *testing.T) {
	root := filepath.Join(dataFolder(t), "models")
	ran := 0
	err := filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(file, ".onnx") {
			return err
		}
		if _, err := os.Stat(strings.TrimSuffix(file, ".onnx") + ".golden.safetensors"); err == nil {
			return nil // TestGoldenModels runs it
		}
		name, _ := filepath.Rel(root, file)
		t.Run(filepath.ToSlash(name), func(t *testing.T) {
			g, err := onnx.Read(file)
			if err == nil {
				err = runOnZeros(g)
			}
			var lacks *engine.UnsupportedError
			switch {
			case errors.As(err, &lacks):
				fmt.Printf("%s: not run: %v\n", t.Name(), lacks)
			case err != nil:
				t.Error(err)
			default:
				ran++
			}
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	fmt.Printf("models run on zeros: %d\n", ran)
}

// runOnZeros takes 1 for every size that the model leaves open.
func runOnZeros(g *graph.Graph) error {
	shapes := make(map[string][]int)
	var in []tensor.Tensor
	for _, v := range g.Inputs {
		sizes := make([]int, max(0, v.Type.Rank()))
		for i, d := range v.Type.Shape {
			sizes[i] = 1
			if d.Known() {
				sizes[i] = d.Size
			}
		}
		shapes[v.Name] = sizes
		in = append(in, tensor.New(v.Type.DType, sizes...))
	}
	p, err := engine.Compile(g, engine.Options{Shapes: shapes})
	if err != nil {
		return err
	}
	return p.Run(context.Background(), in, make([]tensor.Tensor, len(g.Outputs)))
}
