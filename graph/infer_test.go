package graph

import (
	"strconv"
	"strings"
	"testing"

	"github.com/compactify/compactify/tensor"
)

// typ parses "float32[N,3,?]"; "float32[...]" has an unknown rank.
func typ(t testing.TB, s string) tensor.Type {
	t.Helper()
	name, rest, ok := strings.Cut(strings.TrimSuffix(s, "]"), "[")
	d, err := tensor.ParseDType(name)
	if err != nil || !ok {
		t.Fatalf("type %q: %v", s, err)
	}
	out := tensor.Type{DType: d}
	if rest == "..." {
		return out
	}
	out.Shape = []tensor.Dim{}
	for _, f := range strings.FieldsFunc(rest, func(r rune) bool { return r == ',' }) {
		if n, err := strconv.Atoi(f); err == nil {
			out.Shape = append(out.Shape, tensor.Fixed(n))
		} else if f == "?" {
			out.Shape = append(out.Shape, tensor.Unknown())
		} else {
			out.Shape = append(out.Shape, tensor.Symbol(f))
		}
	}
	return out
}

// inferCase is one node: inputs are type strings, constants (tensor.Tensor) or
// nil; want is the outputs' types, separated by spaces, or "error: " and a part
// of the message.
type inferCase struct {
	name  string
	op    string
	attrs Attributes
	in    []any
	want  string
}

func (tc inferCase) run(t *testing.T) {
	b := NewBuilder(&Graph{Name: tc.name}, "v")
	var in []*Value
	for _, x := range tc.in {
		switch x := x.(type) {
		case nil:
			in = append(in, nil)
		case string:
			in = append(in, b.Input("", typ(t, x)))
		case tensor.Tensor:
			in = append(in, b.Const(x))
		}
	}
	message, fails := strings.CutPrefix(tc.want, "error: ")
	wants := strings.Fields(tc.want)
	count := len(wants)
	if fails {
		count = max(1, RuleFor(splitKey(tc.op)).MinOut)
	}
	out := b.Multi(tc.op, tc.attrs, count, in...)
	if fails {
		if b.Err() == nil {
			t.Fatalf("got %v, want an error with %q", out[0].Type, message)
		}
		if got := b.Err().Error(); !strings.Contains(got, message) || !strings.Contains(got, tc.op) {
			t.Fatalf("got error %q, want the operator and %q in it", got, message)
		}
		return
	}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	for i, want := range wants {
		if got := out[i].Type; !got.Equal(typ(t, want)) {
			t.Errorf("output %d: got %v, want %v", i, got, want)
		}
	}
}

func runCases(t *testing.T, cases []inferCase) {
	for _, tc := range cases {
		name := tc.op
		if tc.name != "" {
			name += "/" + tc.name
		}
		t.Run(name, tc.run)
	}
}

func ints(v ...int) tensor.Tensor           { return tensor.Ints(v...) }
func floats32(v ...float32) tensor.Tensor   { return tensor.Of(v, len(v)) }
func int64Scalar(v int64) tensor.Tensor     { return tensor.Scalar(v) }
func float32Scalar(v float32) tensor.Tensor { return tensor.Scalar(v) }

// The wanted shapes are those of the ONNX operator specification, worked out by
// hand; the whole conformance suite is run in conformance_test.go.
func TestInferElementwise(t *testing.T) {
	runCases(t, []inferCase{
		{"broadcast", "Add", nil, []any{"float32[N,3,1]", "float32[4]"}, "float32[N,3,4]"},
		{"symbols", "Add", nil, []any{"float32[N,3]", "float32[N,3]"}, "float32[N,3]"},
		{"two symbols", "Add", nil, []any{"float32[N]", "float32[M]"}, "float32[?]"},
		{"symbol and size", "Add", nil, []any{"float32[N]", "float32[7]"}, "float32[7]"},
		{"unknown rank", "Mul", nil, []any{"float32[...]", "float32[7]"}, "float32[...]"},
		{"shapes", "Add", nil, []any{"float32[2,3]", "float32[4]"}, "error: do not broadcast: axis 1 has 3 and 4"},
		{"number types", "Sub", nil, []any{"float32[2]", "int64[2]"}, "error: input 1: number type: got int64, want float32"},
		{"bool", "Div", nil, []any{"bool[2]", "bool[2]"}, "error: got bool, want a real number type"},
		{"arity", "Add", nil, []any{"float32[2]"}, "error: inputs: got 1, want 2"},
		{"omitted", "Add", nil, []any{"float32[2]", nil}, "error: input 1: omitted, but required"},
		{"exponent type", "Pow", nil, []any{"float32[N]", "int64[]"}, "float32[N]"},
		{"", "Greater", nil, []any{"float32[N,1]", "float32[3]"}, "bool[N,3]"},
		{"", "And", nil, []any{"float32[1]", "bool[1]"}, "error: got float32, want bool"},
		{"", "Where", nil, []any{"bool[N,1]", "float32[3]", "float32[]"}, "float32[N,3]"},
		{"branches", "Where", nil, []any{"bool[1]", "float32[3]", "float16[3]"}, "error: got float16, want float32"},
		{"variadic", "Max", nil, []any{"float32[2,1]", "float32[3]", "float32[]"}, "float32[2,3]"},
		{"direction", "BitShift", nil, []any{"uint8[2]", "uint8[2]"}, "error: direction: got \"\""},
		{"", "IsNaN", nil, []any{"float16[N]"}, "bool[N]"},
		{"", "Exp", nil, []any{"int64[N]"}, "error: want a floating-point type"},
		{"slope", "PRelu", nil, []any{"float32[N,3,4]", "float32[3,1]"}, "float32[N,3,4]"},
		{"slope too wide", "PRelu", nil, []any{"float32[3,4]", "float32[2,3,4]"}, "error: want a shape that broadcasts to"},
		{"bounds", "Clip", nil, []any{"float32[N]", nil, float32Scalar(6)}, "float32[N]"},
		{"vector bound", "Clip", nil, []any{"float32[N]", "float32[2]"}, "error: want a scalar"},
		{"mask", "Dropout", nil, []any{"float32[N,3]"}, "float32[N,3] bool[N,3]"},
		{"", "Cast", Attributes{Int("to", int(tensor.Int4))}, []any{"float32[N]"}, "int4[N]"},
		{"unknown code", "Cast", Attributes{Int("to", 99)}, []any{"float32[N]"}, "error: attribute to: got 99"},
		{"width", "BitCast", Attributes{Int("to", int(tensor.Int64))}, []any{"float32[N]"}, "error: as wide as float32"},
	})
}

func TestInferLinear(t *testing.T) {
	runCases(t, []inferCase{
		{"matrix", "MatMul", nil, []any{"float32[N,3]", "float32[3,4]"}, "float32[N,4]"},
		{"batched", "MatMul", nil, []any{"float32[N,1,2,3]", "float32[5,3,4]"}, "float32[N,5,2,4]"},
		{"vectors", "MatMul", nil, []any{"float32[3]", "float32[3]"}, "float32[]"},
		{"vector right", "MatMul", nil, []any{"float32[N,2,3]", "float32[3]"}, "float32[N,2]"},
		{"vector left", "MatMul", nil, []any{"float32[3]", "float32[N,3,2]"}, "float32[N,2]"},
		{"inner", "MatMul", nil, []any{"float32[2,3]", "float32[4,2]"}, "error: inner sizes differ"},
		{"scalar", "MatMul", nil, []any{"float32[]", "float32[4,2]"}, "error: want rank 1 or more"},
		{"", "Gemm", Attributes{Int("transB", 1)}, []any{"float32[N,3]", "float32[10,3]", "float32[10]"}, "float32[N,10]"},
		{"both", "Gemm", Attributes{Int("transA", 1), Int("transB", 1)}, []any{"float32[3,N]", "float32[10,3]"}, "float32[N,10]"},
		{"inner", "Gemm", nil, []any{"float32[2,3]", "float32[10,3]"}, "error: inner sizes differ"},
		{"bias", "Gemm", nil, []any{"float32[2,3]", "float32[3,4]", "float32[5]"}, "error: input 2"},
		{"bias wider", "Gemm", nil, []any{"float32[1,3]", "float32[3,4]", "float32[2,4]"}, "error: broadcasts to float32[1,4]"},
		{"rank", "Gemm", nil, []any{"float32[1,2,3]", "float32[3,4]"}, "error: want rank 2"},
		{"product", "Einsum", Attributes{Text("equation", "bij,bjk->bik")}, []any{"float32[N,2,3]", "float32[N,3,4]"}, "float32[N,2,4]"},
		{"implicit", "Einsum", Attributes{Text("equation", "ba,c")}, []any{"float32[2,3]", "float32[4]"}, "float32[3,2,4]"},
		{"ellipsis", "Einsum", Attributes{Text("equation", "...ii->...i")}, []any{"float32[N,7,3,3]"}, "float32[N,7,3]"},
		{"sizes", "Einsum", Attributes{Text("equation", "i,i")}, []any{"float32[2]", "float32[3]"}, "error: got size 3, want 2"},
		{"output", "Einsum", Attributes{Text("equation", "i->j")}, []any{"float32[2]"}, "error: 'j'"},
		{"operands", "Einsum", Attributes{Text("equation", "i,j")}, []any{"float32[2]"}, "error: 2 operands, want 1"},
		{"integers", "MatMulInteger", nil, []any{"uint8[N,3]", "int8[3,4]", "uint8[]"}, "int32[N,4]"},
		{"zero point", "MatMulInteger", nil, []any{"uint8[N,3]", "int8[3,4]", "int8[]"}, "error: input 2: number type"},
	})
}

func TestInferConvolution(t *testing.T) {
	runCases(t, []inferCase{
		{"", "Conv", nil, []any{"float32[N,3,32,32]", "float32[16,3,3,3]"}, "float32[N,16,30,30]"},
		{"padded", "Conv", Attributes{Ints("pads", 1, 1, 1, 1), Ints("strides", 2, 2)}, []any{"float32[N,3,32,32]", "float32[16,3,3,3]", "float32[16]"}, "float32[N,16,16,16]"},
		{"dilated", "Conv", Attributes{Ints("dilations", 2)}, []any{"float32[N,1,10]", "float32[1,1,3]"}, "float32[N,1,6]"},
		{"depthwise", "Conv", Attributes{Int("group", 8)}, []any{"float32[N,8,5,5]", "float32[8,1,3,3]"}, "float32[N,8,3,3]"},
		{"same", "Conv", Attributes{Text("auto_pad", "SAME_UPPER"), Ints("strides", 2, 2)}, []any{"float32[N,1,49,10]", "float32[64,1,10,4]"}, "float32[N,64,25,5]"},
		{"symbolic image", "Conv", Attributes{Ints("pads", 1, 1, 1, 1)}, []any{"float32[N,3,H,W]", "float32[16,3,3,3]"}, "float32[N,16,H,W]"},
		{"symbolic image, stride", "Conv", Attributes{Ints("strides", 2, 2)}, []any{"float32[N,3,H,W]", "float32[16,3,3,3]"}, "float32[N,16,?,?]"},
		{"channels", "Conv", nil, []any{"float32[N,4,8,8]", "float32[16,3,3,3]"}, "error: got 4 channels in 1 groups, want 3"},
		{"filters", "Conv", Attributes{Int("group", 2)}, []any{"float32[N,6,8,8]", "float32[3,3,3,3]"}, "error: got 3 filters, want a multiple of group 2"},
		{"bias", "Conv", nil, []any{"float32[N,3,8,8]", "float32[16,3,3,3]", "float32[15]"}, "error: input 2: got float32[15], want a vector of 16"},
		{"too small", "Conv", nil, []any{"float32[N,3,2,2]", "float32[16,3,3,3]"}, "error: spatial axis 0: window of 3 does not fit into 2"},
		{"stride", "Conv", Attributes{Ints("strides", 0, 1)}, []any{"float32[N,3,8,8]", "float32[16,3,3,3]"}, "error: attribute strides: got [0 1]"},
		{"pads", "Conv", Attributes{Ints("pads", 1, 1)}, []any{"float32[N,3,8,8]", "float32[16,3,3,3]"}, "error: attribute pads: got [1 1], want 4 entries"},
		{"kernel", "Conv", Attributes{Ints("kernel_shape", 5, 5)}, []any{"float32[N,3,8,8]", "float32[16,3,3,3]"}, "error: attribute kernel_shape"},
		{"rank", "Conv", nil, []any{"float32[N,3,8]", "float32[16,3,3,3]"}, "error: want equal ranks"},
		{"", "ConvTranspose", Attributes{Ints("strides", 2, 2)}, []any{"float32[N,8,5,5]", "float32[8,4,3,3]"}, "float32[N,4,11,11]"},
		{"groups", "ConvTranspose", Attributes{Int("group", 2)}, []any{"float32[N,8,5]", "float32[8,3,2]"}, "float32[N,6,6]"},
		{"given", "ConvTranspose", Attributes{Ints("strides", 3, 2), Ints("output_shape", 10, 8)}, []any{"float32[1,1,3,3]", "float32[1,2,3,3]"}, "float32[1,2,10,8]"},
		{"same", "ConvTranspose", Attributes{Text("auto_pad", "SAME_LOWER"), Ints("strides", 2, 2)}, []any{"float32[1,1,3,3]", "float32[1,2,3,3]"}, "float32[1,2,6,6]"},
		{"quantised", "QLinearConv", nil, []any{"uint8[N,1,7,7]", "float32[]", "uint8[]", "uint8[1,1,1,1]", "float32[1]", "uint8[1]", "float32[]", "uint8[]"}, "uint8[N,1,7,7]"},
	})
}

func TestInferPooling(t *testing.T) {
	k := func(attrs ...Attr) Attributes { return append(attrs, Ints("kernel_shape", 3, 3)) }
	runCases(t, []inferCase{
		{"", "MaxPool", k(Ints("strides", 2, 2)), []any{"float32[N,8,32,32]"}, "float32[N,8,15,15] int64[N,8,15,15]"},
		{"ceil", "MaxPool", k(Ints("strides", 2, 2), Int("ceil_mode", 1)), []any{"float32[N,8,32,32]"}, "float32[N,8,16,16]"},
		// test_maxpool_2d_ceil_output_size_reduce_by_one of the ONNX suite.
		{"ceil, dropped", "MaxPool", Attributes{Ints("kernel_shape", 1, 1), Ints("strides", 2, 2), Int("ceil_mode", 1)}, []any{"float32[1,1,2,2]"}, "float32[1,1,1,1]"},
		{"missing", "AveragePool", nil, []any{"float32[N,8,32,32]"}, "error: attribute kernel_shape: missing"},
		{"", "GlobalAveragePool", nil, []any{"float32[N,8,H,W]"}, "float32[N,8,1,1]"},
		{"rank", "GlobalMaxPool", nil, []any{"float32[N,8]"}, "error: want rank 3 or more"},
		{"", "MaxUnpool", Attributes{Ints("kernel_shape", 2, 2), Ints("strides", 2, 2)}, []any{"float32[1,1,2,2]", "int64[1,1,2,2]"}, "float32[1,1,4,4]"},
		{"given", "MaxUnpool", Attributes{Ints("kernel_shape", 2, 2)}, []any{"float32[1,1,2,2]", "int64[1,1,2,2]", ints(1, 1, 5, 5)}, "float32[1,1,5,5]"},
	})
}
