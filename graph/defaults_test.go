package graph

import (
	"testing"

	"github.com/compactify/compactify/tensor"
)

// TestIsDefault: defaults of the ONNX specification, and values beside them.
func TestIsDefault(t *testing.T) {
	value := func(shape ...int) *Value {
		v := &Value{Type: tensor.Type{DType: tensor.Float32}}
		for _, n := range shape {
			v.Type.Shape = append(v.Type.Shape, tensor.Fixed(n))
		}
		return v
	}
	conv := &Node{Op: "Conv", In: []*Value{value(1, 3, 8, 8), value(4, 3, 5, 5)}}
	unknown := &Node{Op: "Conv", In: []*Value{value(1, 3, 8, 8), {}}}
	for _, c := range []struct {
		node *Node
		attr Attr
		want bool
	}{
		{conv, Ints("strides", 1, 1), true},
		{conv, Ints("strides", 1, 2), false},
		{conv, Ints("pads", 0, 0, 0, 0), true},
		{conv, Ints("pads", 0, 0, 0, 1), false},
		{conv, Int("group", 1), true},
		{conv, Int("group", 3), false},
		{conv, Text("auto_pad", "NOTSET"), true},
		{conv, Text("auto_pad", "SAME_UPPER"), false},
		{conv, Ints("kernel_shape", 5, 5), true},
		{conv, Ints("kernel_shape", 5, 3), false},
		{unknown, Ints("kernel_shape", 5, 5), false},
		{&Node{Op: "MaxPool"}, Ints("kernel_shape", 2, 2), false},
		{&Node{Op: "MaxPool"}, Int("ceil_mode", 1), false},
		{&Node{Op: "Gemm"}, Float("alpha", 1), true},
		{&Node{Op: "Gemm"}, Float("alpha", 2), false},
		{&Node{Op: "Gemm"}, Int("transB", 1), false},
		{&Node{Op: "DequantizeLinear"}, Int("axis", 1), true},
		{&Node{Op: "DequantizeLinear"}, Int("axis", 0), false},
		{&Node{Op: "Flatten"}, Int("axis", 1), true},
		{&Node{Op: "LogSoftmax"}, Int("axis", 1), false},
		{&Node{Op: "Gather"}, Int("axis", 0), true},
		{&Node{Op: "ReduceMean"}, Int("keepdims", 0), false},
		{&Node{Op: "Swoosh", Domain: "com.example"}, Int("axis", 1), false},
	} {
		if got := c.node.IsDefault(c.attr); got != c.want {
			t.Errorf("%s, %s %v %v %v: got %v, want %v", c.node.Kind(), c.attr.Name, c.attr.I, c.attr.Ints, c.attr.S, got, c.want)
		}
	}
}
