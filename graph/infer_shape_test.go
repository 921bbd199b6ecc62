package graph

import (
	"testing"

	"github.com/compactify/compactify/tensor"
)

func TestInferShapes(t *testing.T) {
	far := 1<<63 - 1
	runCases(t, []inferCase{
		{"-1", "Reshape", nil, []any{"float32[N,16,4,4]", ints(-1, 256)}, "float32[N,256]"},
		{"0 and -1", "Reshape", nil, []any{"float32[N,16,4,4]", ints(0, -1)}, "float32[N,256]"},
		{"allowzero", "Reshape", Attributes{Int("allowzero", 1)}, []any{"float32[0,3]", ints(3, 0)}, "float32[3,0]"},
		{"count", "Reshape", nil, []any{"float32[2,3]", ints(4, 2)}, "error: of 8 elements: got input float32[2,3] of 6"},
		{"division", "Reshape", nil, []any{"float32[2,3]", ints(4, -1)}, "error: does not divide"},
		{"two -1", "Reshape", nil, []any{"float32[2,3]", ints(-1, -1)}, "error: more than one -1"},
		{"-2", "Reshape", nil, []any{"float32[2,3]", ints(-2, 3)}, "error: want -1 or more"},
		{"copy beyond", "Reshape", nil, []any{"float32[6]", ints(6, 0)}, "error: entry 1 copies an axis"},
		{"unknown target", "Reshape", nil, []any{"float32[2,3]", "int64[3]"}, "float32[?,?,?]"},
		{"unknown rank", "Reshape", nil, []any{"float32[...]", ints(0, 3)}, "float32[?,3]"},
		{"", "Flatten", nil, []any{"float32[N,1,1,64]"}, "float32[N,64]"},
		{"axis 0", "Flatten", Attributes{Int("axis", 0)}, []any{"float32[2,3]"}, "float32[1,6]"},
		{"axis rank", "Flatten", Attributes{Int("axis", 2)}, []any{"float32[2,3]"}, "float32[6,1]"},
		{"axis", "Flatten", Attributes{Int("axis", 3)}, []any{"float32[2,3]"}, "error: attribute axis: got 3, want -2 to 2"},
		{"", "Transpose", nil, []any{"float32[N,3,4]"}, "float32[4,3,N]"},
		{"perm", "Transpose", Attributes{Ints("perm", 0, 2, 1)}, []any{"float32[N,3,4]"}, "float32[N,4,3]"},
		{"twice", "Transpose", Attributes{Ints("perm", 0, 0, 1)}, []any{"float32[N,3,4]"}, "error: want a permutation of 3 axes"},
		{"", "Concat", Attributes{Int("axis", 1)}, []any{"float32[N,3]", "float32[N,4]"}, "float32[N,7]"},
		{"along symbol", "Concat", Attributes{Int("axis", 0)}, []any{"float32[N,3]", "float32[1,3]"}, "float32[?,3]"},
		{"sizes", "Concat", Attributes{Int("axis", 1)}, []any{"float32[2,3]", "float32[3,3]"}, "error: input 1: got float32[3,3], want 2 on axis 0"},
		{"axis", "Concat", nil, []any{"float32[2,3]"}, "error: attribute axis: missing"},
		{"", "Squeeze", nil, []any{"float32[1,3,1]", ints(0, -1)}, "float32[3]"},
		{"all", "Squeeze", nil, []any{"float32[1,3,1]"}, "float32[3]"},
		{"all, symbolic", "Squeeze", nil, []any{"float32[N,3,1]"}, "float32[...]"},
		{"not 1", "Squeeze", nil, []any{"float32[1,3]", ints(1)}, "error: axis 1: got 3, want 1"},
		{"unknown axes", "Squeeze", nil, []any{"float32[1,3,1]", "int64[2]"}, "float32[?]"},
		{"", "Unsqueeze", nil, []any{"float32[N,3]", ints(0, -1)}, "float32[1,N,3,1]"},
		{"axis", "Unsqueeze", nil, []any{"float32[N]", ints(2)}, "error: axis: got 2, want -2 to 1"},
		{"", "Expand", nil, []any{"float32[3,1]", ints(2, 1, 6)}, "float32[2,3,6]"},
		{"", "Tile", nil, []any{"float32[N,3]", ints(1, 2)}, "float32[N,6]"},
		{"repeats", "Tile", nil, []any{"float32[N,3]", ints(1)}, "error: got 1 repeats, want 2"},
		{"", "Shape", Attributes{Int("start", -2)}, []any{"float32[N,3,4]"}, "int64[2]"},
		{"", "Size", nil, []any{"float32[N,3,4]"}, "int64[]"},
		{"", "Pad", nil, []any{"float32[N,3]", ints(0, 1, 0, 2)}, "float32[N,6]"},
		{"axes", "Pad", nil, []any{"float32[N,3]", ints(1, 2), nil, ints(1)}, "float32[N,6]"},
		{"count", "Pad", nil, []any{"float32[N,3]", ints(1, 2)}, "error: got 2 pads, want 4"},
		{"mode", "Pad", Attributes{Text("mode", "mirror")}, []any{"float32[3]", ints(1, 2)}, "error: attribute mode: got \"mirror\""},
		{"too much", "Pad", nil, []any{"float32[3]", ints(-2, -2)}, "error: cut 4 from axis 0 of size 3"},
		{"", "Slice", nil, []any{"float32[N,10]", ints(1), ints(-1), ints(1), ints(2)}, "float32[N,4]"},
		{"reverse", "Slice", nil, []any{"float32[10]", ints(-1), ints(-far), ints(0), ints(-3)}, "float32[4]"},
		{"whole symbol", "Slice", nil, []any{"float32[N,10]", ints(0), ints(far), ints(0)}, "float32[N,10]"},
		{"part of symbol", "Slice", nil, []any{"float32[N,10]", ints(1), ints(far), ints(0)}, "float32[?,10]"},
		{"step 0", "Slice", nil, []any{"float32[10]", ints(0), ints(5), ints(0), ints(0)}, "error: step 0"},
		{"counts", "Slice", nil, []any{"float32[10]", ints(0), ints(5, 6), ints(0)}, "error: input 2: got 2 entries, want 1"},
		{"unknown starts", "Slice", nil, []any{"float32[N,10]", "int64[1]", ints(5), ints(1)}, "float32[N,?]"},
		{"", "ConstantOfShape", nil, []any{ints(2, 3)}, "float32[2,3]"},
		{"typed", "ConstantOfShape", Attributes{TensorOf("value", ints(7))}, []any{"int64[2]"}, "int64[?,?]"},
		{"", "Constant", Attributes{Floats("value_floats", 1, 2)}, nil, "float32[2]"},
		{"none", "Constant", nil, nil, "error: no value"},
		{"", "DepthToSpace", Attributes{Int("blocksize", 2)}, []any{"float32[N,8,2,3]"}, "float32[N,2,4,6]"},
		{"channels", "DepthToSpace", Attributes{Int("blocksize", 2)}, []any{"float32[N,6,2,3]"}, "error: channels a multiple of 4"},
		{"", "SpaceToDepth", Attributes{Int("blocksize", 2)}, []any{"float32[N,2,4,6]"}, "float32[N,8,2,3]"},
		{"", "CenterCropPad", Attributes{Ints("axes", 1)}, []any{"float32[N,7]", ints(5)}, "float32[N,5]"},
		{"", "Col2Im", nil, []any{"float32[N,5,5]", ints(5, 5), ints(1, 5)}, "float32[N,1,5,5]"},
		{"axis", "CumSum", nil, []any{"float32[N,3]", int64Scalar(2)}, "error: axis: got 2"},
	})
}

func TestInferSelection(t *testing.T) {
	runCases(t, []inferCase{
		{"", "Gather", Attributes{Int("axis", 1)}, []any{"float32[N,10,4]", "int64[2,3]"}, "float32[N,2,3,4]"},
		{"scalar", "Gather", nil, []any{"float32[N,4]", "int64[]"}, "float32[4]"},
		{"to scalar", "Gather", nil, []any{"float32[4]", "int64[]"}, "float32[]"},
		{"float index", "Gather", nil, []any{"float32[4]", "float32[]"}, "error: want int32 or int64"},
		{"", "GatherElements", nil, []any{"float32[N,4]", "int64[2,4]"}, "float32[2,4]"},
		{"", "GatherND", Attributes{Int("batch_dims", 1)}, []any{"float32[N,4,5]", "int64[N,1]"}, "float32[N,5]"},
		{"too deep", "GatherND", nil, []any{"float32[4,5]", "int64[2,3]"}, "error: at most 2 on the last axis"},
		{"", "ScatterElements", nil, []any{"float32[N,4]", "int64[2,4]", "float32[2,4]"}, "float32[N,4]"},
		{"updates", "ScatterElements", nil, []any{"float32[N,4]", "int64[2,4]", "float32[3,4]"}, "error: want the shape of"},
		{"", "ScatterND", nil, []any{"float32[8,4]", "int64[2,1]", "float32[2,4]"}, "float32[8,4]"},
		{"updates", "ScatterND", nil, []any{"float32[8,4]", "int64[2,1]", "float32[2,5]"}, "error: want float32[2,4]"},
		{"equal", "Split", Attributes{Int("num_outputs", 3), Int("axis", 1)}, []any{"float32[N,7]"}, "float32[N,3] float32[N,3] float32[N,1]"},
		{"sizes", "Split", nil, []any{"float32[7]", ints(3, 4)}, "float32[3] float32[4]"},
		{"sum", "Split", nil, []any{"float32[7]", ints(3)}, "error: add up to 3, want 7"},
		{"", "TopK", nil, []any{"float32[N,10]", ints(3)}, "float32[N,3] int64[N,3]"},
		{"k", "TopK", nil, []any{"float32[2]", ints(3)}, "error: got k = 3, want at most 2"},
		{"", "NonZero", nil, []any{"float32[2,3]"}, "int64[2,?]"},
		{"", "Unique", Attributes{Int("axis", 0)}, []any{"float32[4,3]"}, "float32[?,3] int64[?] int64[4] int64[?]"},
		{"", "Compress", Attributes{Int("axis", 1)}, []any{"float32[N,3]", "bool[3]"}, "float32[N,?]"},
		{"", "OneHot", nil, []any{"int64[N]", int64Scalar(10), "float32[2]"}, "float32[N,10]"},
		{"", "Range", nil, []any{int64Scalar(1), int64Scalar(10), int64Scalar(4)}, "int64[3]"},
		{"empty", "Range", nil, []any{float32Scalar(10), float32Scalar(1), float32Scalar(2)}, "float32[0]"},
		{"delta 0", "Range", nil, []any{int64Scalar(1), int64Scalar(10), int64Scalar(0)}, "error: no finite number"},
		{"scales", "Resize", nil, []any{"float32[N,3,10,10]", nil, floats32(1, 1, 2, 0.6)}, "float32[N,3,20,6]"},
		{"sizes", "Resize", Attributes{Ints("axes", 2, 3)}, []any{"float32[N,3,10,10]", nil, nil, ints(7, 8)}, "float32[N,3,7,8]"},
		{"not larger", "Resize", Attributes{Ints("axes", 2, 3), Text("keep_aspect_ratio_policy", "not_larger")}, []any{"float32[N,3,2,4]", nil, nil, ints(7, 8)}, "float32[N,3,4,8]"},
		{"neither", "Resize", nil, []any{"float32[N,3,10,10]"}, "error: either scales or sizes"},
		{"", "GridSample", nil, []any{"float32[N,3,10,10]", "float32[N,5,6,2]"}, "float32[N,3,5,6]"},
		{"", "Det", nil, []any{"float32[N,3,3]"}, "float32[N]"},
		{"square", "Det", nil, []any{"float32[N,3,4]"}, "error: want square matrices"},
	})
}

func TestInferReduction(t *testing.T) {
	runCases(t, []inferCase{
		{"keep", "ReduceSum", nil, []any{"float32[N,3,4]", ints(-1)}, "float32[N,3,1]"},
		{"drop", "ReduceMean", Attributes{Int("keepdims", 0)}, []any{"float32[N,3,4]", ints(1, 2)}, "float32[N]"},
		{"all", "ReduceMax", Attributes{Int("keepdims", 0)}, []any{"float32[...]"}, "float32[]"},
		{"none", "ReduceSum", Attributes{Int("noop_with_empty_axes", 1)}, []any{"float32[N,3]"}, "float32[N,3]"},
		{"unknown", "ReduceL2", nil, []any{"float32[N,3]", "int64[1]"}, "float32[?,?]"},
		{"axis", "ReduceSum", nil, []any{"float32[N,3]", ints(2)}, "error: axis: got 2, want -2 to 1"},
		{"", "ArgMax", Attributes{Int("axis", 1), Int("keepdims", 0)}, []any{"float32[N,10]"}, "int64[N]"},
		{"axis", "Softmax", Attributes{Int("axis", 2)}, []any{"float32[N,10]"}, "error: attribute axis"},
	})
}

func TestInferNormalization(t *testing.T) {
	vec := "float32[8]"
	runCases(t, []inferCase{
		{"", "BatchNormalization", nil, []any{"float32[N,8,4,4]", vec, vec, vec, vec}, "float32[N,8,4,4]"},
		{"training", "BatchNormalization", Attributes{Int("training_mode", 1)}, []any{"float32[N,8]", vec, vec, vec, vec}, "float32[N,8] float32[8] float32[8]"},
		{"channels", "BatchNormalization", nil, []any{"float32[N,7,4,4]", vec, vec, vec, vec}, "error: input 1: got float32[8], want a vector of 7"},
		{"", "LayerNormalization", Attributes{Int("axis", 1)}, []any{"float32[N,8,4]", "float32[8,4]"}, "float32[N,8,4] float32[N,1,1] float32[N,1,1]"},
		{"scale", "LayerNormalization", nil, []any{"float32[N,8]", "float32[4]"}, "error: input 1"},
		{"", "GroupNormalization", Attributes{Int("num_groups", 4)}, []any{"float32[N,8,4]", vec, vec}, "float32[N,8,4]"},
		{"groups", "GroupNormalization", Attributes{Int("num_groups", 3)}, []any{"float32[N,8,4]", vec, vec}, "error: multiple of num_groups 3"},
		{"", "LSTM", Attributes{Int("hidden_size", 5), Text("direction", "bidirectional")}, []any{"float32[T,N,3]", "float32[2,20,3]", "float32[2,20,5]"}, "float32[T,2,N,5] float32[2,N,5] float32[2,N,5]"},
		{"batch first", "GRU", Attributes{Int("layout", 1)}, []any{"float32[N,T,3]", "float32[1,15,3]", "float32[1,15,5]"}, "float32[N,T,1,5] float32[N,1,5]"},
		{"gates", "GRU", nil, []any{"float32[T,N,3]", "float32[1,20,3]", "float32[1,20,5]"}, "error: input 1: got float32[1,20,3], want [1,15,...]"},
		{"state", "RNN", nil, []any{"float32[T,4,3]", "float32[1,5,3]", "float32[1,5,5]", nil, nil, "float32[1,1,5]"}, "error: input 5: got float32[1,1,5], want float32[1,4,5]"},
		{"mean", "SoftmaxCrossEntropyLoss", nil, []any{"float32[N,10]", "int64[N]"}, "float32[] float32[N,10]"},
		{"none", "NegativeLogLikelihoodLoss", Attributes{Text("reduction", "none")}, []any{"float32[N,10,4]", "int64[N,4]"}, "float32[N,4]"},
		{"labels", "NegativeLogLikelihoodLoss", nil, []any{"float32[2,10]", "int64[3]"}, "error: without its axis 1"},
	})
}

func TestInferQuantization(t *testing.T) {
	i8 := tensor.New(tensor.Int8)
	runCases(t, []inferCase{
		{"default", "QuantizeLinear", nil, []any{"float32[N,3]", "float32[]"}, "uint8[N,3]"},
		{"zero point", "QuantizeLinear", nil, []any{"float32[N,3]", "float32[]", i8}, "int8[N,3]"},
		{"asked", "QuantizeLinear", Attributes{Int("output_dtype", int(tensor.Int4))}, []any{"float32[N,3]", "float32[3]"}, "int4[N,3]"},
		{"contradiction", "QuantizeLinear", Attributes{Int("output_dtype", int(tensor.Int4))}, []any{"float32[N,3]", "float32[]", i8}, "error: output_dtype: got int4, want int8"},
		{"axis", "QuantizeLinear", nil, []any{"float32[N,3]", "float32[4]"}, "error: input 1: got float32[4], want a vector of 3"},
		{"", "DequantizeLinear", Attributes{Int("axis", 0)}, []any{"int4[8,3]", "float16[8]"}, "float16[8,3]"},
		{"blocks", "DequantizeLinear", Attributes{Int("axis", 1), Int("block_size", 32)}, []any{"int4[8,100]", "float32[8,4]"}, "float32[8,100]"},
		{"block count", "DequantizeLinear", Attributes{Int("axis", 1), Int("block_size", 32)}, []any{"int4[8,100]", "float32[8,3]"}, "error: want 4 on axis 1"},
		{"zero point type", "DequantizeLinear", nil, []any{"int8[8]", "float32[]", "uint8[]"}, "error: input 2: number type: got uint8, want int8"},
		{"float data", "DequantizeLinear", nil, []any{"float32[8]", "float32[]"}, "error: an integer or an 8- or 4-bit float"},
		{"", "DynamicQuantizeLinear", nil, []any{"float32[N]"}, "uint8[N] float32[] uint8[]"},
	})
}

func TestInferInternal(t *testing.T) {
	conv := Attributes{Ints("kernel_shape", 3, 3), Ints("pads", 1, 1, 1, 1), Ints("strides", 2, 2)}
	runCases(t, []inferCase{
		{"", "compactify.ConvGradX", conv, []any{"float32[16,3,3,3]", "float32[4,16,4,4]", ints(4, 3, 8, 8)}, "float32[4,3,8,8]"},
		{"cotangent", "compactify.ConvGradX", conv, []any{"float32[16,3,3,3]", "float32[4,16,8,8]", ints(4, 3, 8, 8)}, "error: cotangent"},
		{"", "compactify.ConvGradW", append(Attributes{Int("group", 3)}, conv...), []any{"float32[N,3,8,8]", "float32[N,6,4,4]"}, "float32[6,1,3,3]"},
		{"", "compactify.MaxPoolScatter", nil, []any{"float32[4,3,2,2]", "int64[4,3,2,2]", ints(4, 3, 4, 4)}, "float32[4,3,4,4]"},
		{"", "compactify.MaxPoolGather", nil, []any{"float32[4,3,4,4]", "int64[4,3,2,2]"}, "float32[4,3,2,2]"},
		{"", "compactify.AveragePoolGrad", Attributes{Ints("kernel_shape", 2, 2)}, []any{"float32[4,3,3,3]", ints(4, 3, 4, 4)}, "float32[4,3,4,4]"},
		{"", "compactify.FakeQuantize", Attributes{Int("axis", 0)}, []any{"float32[8,3]", "float32[8]"}, "float32[8,3]"},
		{"bits", "compactify.FakeQuantize", Attributes{Int("bits", 0)}, []any{"float32[8]", "float32[]"}, "error: attribute bits"},
		{"", "compactify.FakeQuantizeGrad", nil, []any{"float32[8,3]", "float32[8,3]", "float32[3]"}, "float32[8,3] float32[3]"},
		{"", "compactify.ReluGrad", nil, []any{"float32[N,3]", "float32[N,3]"}, "float32[N,3]"},
		{"", "compactify.SoftmaxCrossEntropy", nil, []any{"float32[N,10]", "float32[N,10]"}, "float32[]"},
		{"target", "compactify.SoftmaxCrossEntropy", nil, []any{"float32[N,10]", "float32[N,9]"}, "error: want the shape of"},
		{"", "compactify.SoftmaxCrossEntropyGrad", nil, []any{"float32[N,10]", "float32[N,10]", "float32[]"}, "float32[N,10]"},
	})
}
