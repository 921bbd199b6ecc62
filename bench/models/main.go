// Command models writes the networks whose inference bench/compare.sh times:
// real ones of the test data and synthetic ones of the usual architectures, each
// at batch sizes 1 and 64, in float32 and with 8-bit weights and activations.
//
//	go run ./bench/models --data ../shared/data --out DIR
//
// It prints a line per file: network, form, batch.
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

func main() {
	dir := flag.String("data", "../shared/data", "folder of the test data")
	out := flag.String("out", ".", "folder to write to")
	flag.Parse()
	if err := write(*dir, *out); err != nil {
		fmt.Fprintln(os.Stderr, "models:", err)
		os.Exit(1)
	}
}

// network is a model to time.
type network struct {
	name    string
	batches []int
	int8    bool // has a form with 8-bit weights and activations
	load    func(dir string) (*graph.Graph, error)
}

func networks() []network {
	file := func(path string) func(string) (*graph.Graph, error) {
		return func(dir string) (*graph.Graph, error) { return onnx.Read(filepath.Join(dir, "models", path)) }
	}
	both, one := []int{1, 64}, []int{1}
	return []network{
		{"resnet20", both, true, file("resnet-cifar10/resnet20.onnx")},
		{"resnet8", both, true, file("mlperf-tiny/image_classification/resnet8.onnx")},
		{"dscnn", both, true, file("mlperf-tiny/keyword_spotting/dscnn.onnx")},
		{"magika", both, true, file("magika/standard_v3_3/model.onnx")},
		{"silero", both, true, file("silero-vad/silero_vad_16k_op15.onnx")},
		{"dnsmos", both, true, file("dnsmos/sig_bak_ovr.onnx")},
		{"lenet5-caffe", both, true, func(string) (*graph.Graph, error) {
			return train.NewModel("lenet5-caffe", []int{1, 28, 28}, 10, 1)
		}},
		{"resnet18", one, true, func(string) (*graph.Graph, error) { return resNet18() }},
		{"mobilenetv2", one, true, func(string) (*graph.Graph, error) { return mobileNetV2() }},
		{"mlp-768", []int{1, 197}, false, func(string) (*graph.Graph, error) { return mlp768() }},
	}
}

func write(dir, out string) error {
	for _, n := range networks() {
		g, err := n.load(dir)
		if err != nil {
			return err
		}
		forms := map[string]*graph.Graph{"float": g}
		if n.int8 {
			if forms["int8"], err = toInt8(g); err != nil {
				return fmt.Errorf("%s in 8 bits: %w", n.name, err)
			}
		}
		for _, form := range slices.Sorted(maps.Keys(forms)) {
			for _, batch := range n.batches {
				sized, _ := forms[form].Clone()
				fix(sized, batch)
				if err := save(sized, out, n.name, form, batch); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func save(g *graph.Graph, out, name, form string, batch int) error {
	fmt.Printf("%s\t%s\t%d\n", name, form, batch)
	return onnx.Write(filepath.Join(out, fmt.Sprintf("%s.%s.%d.onnx", name, form, batch)), g, onnx.Options{})
}

// lengths are the sizes of free axes other than the batch: silero's are the 64
// samples of context and 512 of a chunk at 16 kHz.
var lengths = map[string]int{"sequence": 576}

// fix gives every free axis of the inputs its size.
func fix(g *graph.Graph, batch int) {
	for _, v := range g.Inputs {
		shape := make([]int, v.Type.Rank())
		for i, d := range v.Type.Shape {
			shape[i] = batch
			if d.Known() {
				shape[i] = d.Size
			} else if n, ok := lengths[d.Name]; ok {
				shape[i] = n
			}
		}
		v.Type = tensor.TypeOf(v.Type.DType, shape...)
	}
	for _, v := range g.Outputs {
		v.Type.Shape = nil
	}
}
