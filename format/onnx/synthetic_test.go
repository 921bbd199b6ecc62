package onnx

import (
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// pattern is a tensor whose bytes count up, with the padding bits of its last
// byte clear.
func pattern(d tensor.DType, shape ...int) tensor.Tensor {
	t := tensor.New(d, shape...)
	for i := range t.Raw() {
		t.Raw()[i] = byte(37*i + 1)
		if d == tensor.Bool {
			t.Raw()[i] &= 1
		}
	}
	if bits := t.Len() * d.Bits() % 8; bits > 0 {
		t.Raw()[len(t.Raw())-1] &= 1<<bits - 1
	}
	return t
}

func param(name string, t tensor.Tensor) *graph.Param {
	return &graph.Param{Value: &graph.Value{Name: name, Type: t.Type()}, Data: t}
}

// dequantized is x·W with W of the given type behind a DequantizeLinear. W has an
// odd number of columns, but 8 if it is of 2 bits: ONNX Runtime 1.32 computes
// something else when it optimises such a product and their number is no
// multiple of 4.
func dequantized(d tensor.DType) *graph.Graph {
	columns := 5
	if d.Bits() == 2 {
		columns = 8
	}
	x := &graph.Value{Name: "x", Type: tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(6)}}}
	y := &graph.Value{Name: "y", Type: tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(columns)}}}
	w, scale := param("weight", pattern(d, 6, columns)), param("weight_scale", tensor.Scalar[float32](0.25))
	f := &graph.Value{Name: "weight_float", Type: tensor.TypeOf(tensor.Float32, 6, columns)}
	return &graph.Graph{
		Name: "dequantized", Inputs: []*graph.Value{x}, Outputs: []*graph.Value{y}, Params: []*graph.Param{w, scale},
		Opset: map[string]int{"": graph.LatestOpset},
		Nodes: []*graph.Node{
			{Name: "dq", Op: "DequantizeLinear", In: []*graph.Value{w.Value, scale.Value}, Out: []*graph.Value{f}},
			{Name: "mm", Op: "MatMul", In: []*graph.Value{x, f}, Out: []*graph.Value{y}},
		},
	}
}

// sparseSum is x + W with W sparse and of the given type.
func sparseSum(d tensor.DType) *graph.Graph {
	typ := tensor.TypeOf(d, 16, 20)
	x, y := &graph.Value{Name: "x", Type: typ}, &graph.Value{Name: "y", Type: typ}
	w := tensor.New(d, 16, 20)
	for _, i := range []int{0, 3, 21, 160, 319} {
		w.Set(i, 1+float64(i%5))
	}
	p := param("weight", w)
	p.Sparse = true
	return &graph.Graph{
		Name: "sparse", Inputs: []*graph.Value{x}, Outputs: []*graph.Value{y}, Params: []*graph.Param{p}, Opset: map[string]int{"": 14},
		Nodes: []*graph.Node{{Name: "sum", Op: "Add", In: []*graph.Value{x, p.Value}, Out: []*graph.Value{y}}},
	}
}

// scalars adds constants of every encoding a compact file chooses between.
func scalars() *graph.Graph {
	x := &graph.Value{Name: "x", Type: tensor.TypeOf(tensor.Float32, 2, 3)}
	g := &graph.Graph{Name: "scalars", Inputs: []*graph.Value{x}, Opset: map[string]int{"": 18}}
	value := func(name string, d tensor.DType, shape ...int) *graph.Value {
		return &graph.Value{Name: name, Type: tensor.TypeOf(d, shape...)}
	}
	add := func(op string, out *graph.Value, attrs graph.Attributes, in ...*graph.Value) *graph.Value {
		g.Nodes = append(g.Nodes, &graph.Node{Op: op, In: in, Out: []*graph.Value{out}, Attrs: attrs})
		return out
	}
	constant := func(name string, t tensor.Tensor) *graph.Value {
		p := param(name, t)
		g.Params = append(g.Params, p)
		return p.Value
	}
	v := add("Reshape", value("r", tensor.Float32, 3, 2), nil, x, constant("shape", tensor.Ints(-1, 2)))
	v = add("Unsqueeze", value("u", tensor.Float32, 3, 1, 2), nil, v, constant("axis", tensor.Ints(1)))
	v = add("Mul", value("m", tensor.Float32, 3, 1, 2), nil, v, constant("half", tensor.Scalar[float32](0.5)))
	g.Outputs = []*graph.Value{v}
	list := []tensor.Tensor{
		tensor.Scalar[int8](-1), tensor.Scalar[int8](5), tensor.Scalar[uint8](200), tensor.Scalar[int16](-300), tensor.Scalar[uint16](40000),
		tensor.Scalar[int32](math.MinInt32), tensor.Scalar[uint32](math.MaxUint32), tensor.Scalar[int64](math.MinInt64),
		tensor.Scalar[uint64](math.MaxUint64), tensor.Scalar(0.1), tensor.Scalar(true),
		tensor.Of([]int32{1, 2, -3, 70000}, 4), tensor.Of([]int16{1, 2, 3, 4, 5}, 5), tensor.Of([]uint16{1, 2, 3, 65535}, 4),
		tensor.Of([]uint32{7, 8, 1 << 30}, 3), tensor.Of([]uint64{1, 2, 1 << 63}, 3), tensor.Of([]int64{3, -1, 5, 1 << 40}, 4),
	}
	for i, t := range list {
		c := constant("c"+string(rune('a'+i)), t)
		g.Outputs = append(g.Outputs, add("Cast", value("o"+string(rune('a'+i)), tensor.Float64, t.Shape()...),
			graph.Attributes{graph.Int("to", int(tensor.Float64))}, c))
	}
	return g
}

// synthetic is small models that use what the real ones do not.
func synthetic() map[string]*graph.Graph {
	m := map[string]*graph.Graph{"scalars": scalars()}
	for _, d := range []tensor.DType{
		tensor.Int2, tensor.Uint2, tensor.Int4, tensor.Uint4, tensor.Int8, tensor.Uint8, tensor.Int16, tensor.Uint16, tensor.Int32,
		tensor.Float8E4M3FN, tensor.Float8E5M2, tensor.Float4E2M1,
	} {
		m["dequantized-"+d.String()] = dequantized(d)
	}
	for _, d := range []tensor.DType{tensor.Float32, tensor.Float64, tensor.Int8, tensor.Int32, tensor.Int64, tensor.Float16} {
		m["sparse-"+d.String()] = sparseSum(d)
	}
	return m
}
