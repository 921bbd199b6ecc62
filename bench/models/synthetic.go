package main

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/tensor"
)

// designer builds image classifiers for 3×224×224, batch normalisations already
// folded into the convolutions, with random weights of variance 2/fan-in.
type designer struct{ b *graph.Builder }

func design(name string, body func(d *designer, x *graph.Value) *graph.Value) (*graph.Graph, error) {
	return designFor(name, "logits", []int{3, 224, 224}, body)
}

// designFor is design for examples of another shape.
func designFor(name, output string, example []int, body func(d *designer, x *graph.Value) *graph.Value) (*graph.Graph, error) {
	g := &graph.Graph{Name: name, Opset: map[string]int{"": graph.LatestOpset}}
	d := &designer{graph.NewBuilder(g, "v")}
	shape := []tensor.Dim{tensor.Symbol("N")}
	for _, n := range example {
		shape = append(shape, tensor.Fixed(n))
	}
	y := body(d, d.b.Input("input", tensor.Type{DType: tensor.Float32, Shape: shape}))
	y.Name = output
	g.Outputs = []*graph.Value{y}
	return g, d.b.Err()
}

// weights draws a parameter.
func (d *designer) weights(fanIn int, shape ...int) *graph.Value {
	name := fmt.Sprintf("w%d", len(d.b.Graph().Params))
	t := tensor.New(tensor.Float32, shape...)
	r := stream.New(1, name, 0)
	scale := math.Sqrt(2 / float64(fanIn))
	for i := range t.Float32s() {
		t.Float32s()[i] = float32(scale * r.NormFloat64())
	}
	return d.b.Param(name, t)
}

// conv is a square convolution that keeps the size but for its stride, with a
// bias.
func (d *designer) conv(x *graph.Value, filters, kernel, stride, groups int) *graph.Value {
	channels := x.Type.Shape[1].Size / groups
	pad := kernel / 2
	a := graph.Attributes{graph.Ints("kernel_shape", kernel, kernel), graph.Ints("strides", stride, stride),
		graph.Ints("pads", pad, pad, pad, pad), graph.Int("group", groups)}
	w := d.weights(channels*kernel*kernel, filters, channels, kernel, kernel)
	return d.b.With("Conv", a, x, w, d.weights(filters*100, filters))
}

// classifier is global average pooling and a layer of 1000 classes.
func (d *designer) classifier(x *graph.Value) *graph.Value {
	channels := x.Type.Shape[1].Size
	x = d.b.Op("Flatten", d.b.Op("GlobalAveragePool", x))
	return d.b.With("Gemm", graph.Attributes{graph.Int("transB", 1)}, x, d.weights(channels, 1000, channels), d.weights(100, 1000))
}

// resNet18 is the 18-layer network of K. He et al., "Deep residual learning for
// image recognition", CVPR 2016, table 1.
func resNet18() (*graph.Graph, error) {
	return design("resnet18", func(d *designer, x *graph.Value) *graph.Value {
		relu := func(x *graph.Value) *graph.Value { return d.b.Op("Relu", x) }
		x = relu(d.conv(x, 64, 7, 2, 1))
		x = d.b.With("MaxPool", graph.Attributes{graph.Ints("kernel_shape", 3, 3), graph.Ints("strides", 2, 2), graph.Ints("pads", 1, 1, 1, 1)}, x)
		for stage, filters := range []int{64, 128, 256, 512} {
			for block := range 2 {
				stride, shortcut := 1, x
				if stage > 0 && block == 0 {
					stride = 2
					shortcut = d.conv(x, filters, 1, stride, 1)
				}
				y := d.conv(relu(d.conv(x, filters, 3, stride, 1)), filters, 3, 1, 1)
				x = relu(d.b.Op("Add", y, shortcut))
			}
		}
		return d.classifier(x)
	})
}

// mobileNetV2 is the network of M. Sandler et al., "MobileNetV2: inverted
// residuals and linear bottlenecks", CVPR 2018, table 2, at width 1.
func mobileNetV2() (*graph.Graph, error) {
	return design("mobilenetv2", func(d *designer, x *graph.Value) *graph.Value {
		relu6 := func(x *graph.Value) *graph.Value {
			return d.b.Op("Clip", x, d.b.Const(tensor.Scalar(float32(0))), d.b.Const(tensor.Scalar(float32(6))))
		}
		x = relu6(d.conv(x, 32, 3, 2, 1))
		for _, s := range []struct{ expand, filters, blocks, stride int }{
			{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
		} {
			for block := range s.blocks {
				stride := 1
				if block == 0 {
					stride = s.stride
				}
				channels, y := x.Type.Shape[1].Size, x
				if s.expand > 1 {
					y = relu6(d.conv(y, channels*s.expand, 1, 1, 1))
				}
				y = relu6(d.conv(y, channels*s.expand, 3, stride, channels*s.expand))
				y = d.conv(y, s.filters, 1, 1, 1)
				if stride == 1 && channels == s.filters {
					y = d.b.Op("Add", y, x)
				}
				x = y
			}
		}
		return d.classifier(relu6(d.conv(x, 1280, 1, 1, 1)))
	})
}

// mlp768 is what follows the attention in a layer of ViT-B/16, which has 197 tokens
// (A. Dosovitskiy et al., "An image is worth 16x16 words", ICLR 2021, table 1), with
// a ReLU: all of its work is in two products.
func mlp768() (*graph.Graph, error) {
	return designFor("mlp-768", "output", []int{768}, func(d *designer, x *graph.Value) *graph.Value {
		layer := func(x *graph.Value, in, out int) *graph.Value {
			return d.b.Op("Add", d.b.Op("MatMul", x, d.weights(in, in, out)), d.weights(out*100, out))
		}
		return layer(d.b.Op("Relu", layer(x, 768, 3072)), 3072, 768)
	})
}
