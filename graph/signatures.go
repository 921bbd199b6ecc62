package graph

import (
	"strings"

	"github.com/compactify/compactify/tensor"
)

// signatures says which number types the inputs of ONNX's own operators take,
// one word per input: a class, or a variable whose first use gives its class,
// "T:float"; inputs of one variable have one type. A word that ends in "..." is
// that of all further inputs, "[]" marks a vector, "[?]" a vector or a scalar,
// "[1]" one element. Inputs without a word take any type.
//
// The classes are wider than the lists of the schemas, which name the types
// that some runtime had: what a kernel lacks it says itself.
// Source: the operator schemas of ONNX 1.23, opset 26.
var signatures = parseSignatures(map[string]string{
	"Abs": "number", "Acos": "float", "Acosh": "float", "Add": "T:number T", "AffineGrid": "float int64[]", "And": "T:bool T",
	"ArgMax": "number", "ArgMin": "number", "Asin": "float", "Asinh": "float", "Atan": "float", "Atanh": "float",
	"Attention": "T1:float T1 T2:float any T1 T2 int64", "AveragePool": "float", "BatchNormalization": "float T1:float T1 T2:float T2",
	"Bernoulli": "float", "BitShift": "T:integer T", "BitwiseAnd": "T:integer T", "BitwiseNot": "integer", "BitwiseOr": "T:integer T",
	"BitwiseXor": "T:integer T", "BlackmanWindow": "index[1]", "Ceil": "float", "Celu": "float", "CenterCropPad": "any index[]",
	"Clip": "T:number T[1] T[1]", "Col2Im": "any int64[] int64[]", "Compress": "any bool", "Concat": "T:any...", "ConstantOfShape": "int64[]",
	"Conv": "T:float T T", "ConvInteger": "T1:integer T2:integer T1 T2", "ConvTranspose": "T:float T T", "Cos": "float", "Cosh": "float",
	"CumProd": "number index[1]", "CumSum": "number index[1]", "DFT": "float index[1] int64[1]", "DeformConv": "T:float T T T T",
	"DequantizeLinear": "T1:number float T1", "Det": "float", "Div": "T:number T", "Dropout": "float float[1] bool[1]",
	"DynamicQuantizeLinear": "float32", "Einsum": "T:number...", "Elu": "float", "Equal": "T:any T", "Erf": "float", "Exp": "float",
	"Expand": "any int64[]", "Floor": "float", "GRU": "T:float T T T int32 T", "Gather": "any index", "GatherElements": "any index",
	"GatherND": "any int64", "Gelu": "float", "Gemm": "T:number T T", "GlobalAveragePool": "float", "GlobalLpPool": "float",
	"GlobalMaxPool": "float", "Greater": "T:number T", "GreaterOrEqual": "T:number T", "GridSample": "any float",
	"GroupNormalization": "T:float T T", "HammingWindow": "index[1]", "HannWindow": "index[1]", "HardSigmoid": "float", "HardSwish": "float",
	"Hardmax": "float", "If": "bool[1]", "InstanceNormalization": "T:float T T", "IsInf": "float", "IsNaN": "float", "LRN": "float",
	"LSTM": "T:float T T T int32 T T T", "LayerNormalization": "T:float T T", "LeakyRelu": "float", "Less": "T:number T",
	"LessOrEqual": "T:number T", "Log": "float", "LogSoftmax": "float", "Loop": "int64[1] bool[1] any...", "LpNormalization": "float",
	"LpPool": "float", "MatMul": "T:number T", "MatMulInteger": "T1:integer T2:integer T1 T2", "Max": "T:number...", "MaxPool": "number",
	"MaxRoiPool": "T:float T", "MaxUnpool": "float T2:int64 T2[]", "Mean": "T:float...", "MeanVarianceNormalization": "float",
	"MelWeightMatrix": "T1:index[1] T1[1] T1[1] T2:float[1] T2[1]", "Min": "T:number...", "Mish": "float", "Mod": "T:number T", "Mul": "T:number T",
	"Multinomial": "float", "Neg": "number", "NegativeLogLikelihoodLoss": "T:float index T",
	"NonMaxSuppression": "T:float T int64[1] float[1] float[1]", "Not": "bool", "OneHot": "number number[1] any[]", "Or": "T:bool T", "PRelu": "T:number T",
	"Pad": "T:any int64[] T[1] index[]", "Pow": "number number", "QLinearConv": "T1:integer float32 T1 T2:integer float32 T2 float32 integer int32",
	"QLinearMatMul": "T1:number TS:float T1 T2:number TS T2 TS number", "QuantizeLinear": "number number number",
	"RMSNormalization": "float float", "RNN": "T:float T T T int32 T", "Range": "T:number[1] T[1] T[1]", "Reciprocal": "float",
	"ReduceL1": "number int64[?]", "ReduceL2": "number int64[?]", "ReduceLogSum": "number int64[?]", "ReduceLogSumExp": "number int64[?]",
	"ReduceMax": "any int64[?]", "ReduceMean": "number int64[?]", "ReduceMin": "any int64[?]", "ReduceProd": "number int64[?]",
	"ReduceSum": "number int64[?]", "ReduceSumSquare": "number int64[?]", "Relu": "number", "Reshape": "any int64[]",
	"Resize": "any float[] float[] int64[]", "ReverseSequence": "any int64[]", "RoiAlign": "T1:float T1 int64[]",
	"RotaryEmbedding": "T:float T T int64", "Round": "float", "STFT": "T1:float T2:index[1] T1 T2[1]", "Scan": "any...",
	"ScatterElements": "T:any index T", "ScatterND": "T:any int64 T", "Selu": "float", "Shrink": "number", "Sigmoid": "float",
	"Sign": "number", "Sin": "float", "Sinh": "float", "Slice": "any Tind:index[] Tind[] Tind[] Tind[]", "Softmax": "float",
	"SoftmaxCrossEntropyLoss": "T:float index T", "Softplus": "float", "Softsign": "float", "Split": "any int64[]", "Sqrt": "float",
	"Squeeze": "any int64[?]", "Sub": "T:number T", "Sum": "T:float...", "Swish": "float", "Tan": "float", "Tanh": "float",
	"TensorScatter": "T:any T int64", "ThresholdedRelu": "float", "Tile": "any int64[]", "TopK": "number int64[1]", "Trilu": "any int64[1]",
	"Unsqueeze": "any int64[?]", "Where": "bool T:any T", "Xor": "T:bool T",
})

// inputClass is one word of a signature.
type inputClass struct {
	class class
	same  int // the first input of the same variable, -1 if there is none
	rest  bool
	form  string // "[]", "[?]", "[1]" or ""
}

func parseSignatures(texts map[string]string) map[string][]inputClass {
	byName := make(map[string]class)
	for k, name := range classWords {
		byName[name] = class(k)
	}
	table := make(map[string][]inputClass, len(texts))
	for op, text := range texts {
		first := make(map[string]int)
		var row []inputClass
		for i, word := range strings.Fields(text) {
			word, rest := strings.CutSuffix(word, "...")
			in := inputClass{same: -1, rest: rest}
			if at := strings.IndexByte(word, '['); at >= 0 {
				word, in.form = word[:at], word[at:]
			}
			variable, name, defines := strings.Cut(word, ":")
			at, used := first[variable]
			switch {
			case defines:
				first[variable] = i
				if rest {
					in.same = i
				}
			case used:
				in.same, name = at, ""
				in.class = row[at].class
			default:
				name = word
			}
			if name != "" {
				k, ok := byName[name]
				if !ok {
					panic("graph: signature of " + op + ": unknown class " + name)
				}
				in.class = k
			}
			row = append(row, in)
		}
		table[op] = row
	}
	return table
}

// checkForm checks that input i, where present, is a vector or a scalar.
func (c *Inference) checkForm(i int, form string) error {
	t := c.In(i)
	switch {
	case form == "" || !t.Ranked():
	case form == "[1]":
		return c.scalar(i)
	case t.Rank() > 1 || t.Rank() == 0 && form == "[]":
		return c.Errorf("input %d: got %v, want a vector", i, t)
	}
	return nil
}

// notNegative checks that the entries of input i, where known, are sizes.
func (c *Inference) notNegative(i int) error {
	list, _ := c.ConstInts(i)
	for _, n := range list {
		if n < 0 {
			return c.Errorf("input %d: got %v, want entries of 0 or more", i, list)
		}
	}
	return nil
}

// checkSignature checks the number types of the inputs, and which of them are
// vectors.
func (c *Inference) checkSignature() error {
	row := signatures[c.Kind()]
	for i := range c.Node.In {
		var in inputClass
		switch {
		case i < len(row):
			in = row[i]
		case len(row) > 0 && row[len(row)-1].rest:
			in = row[len(row)-1]
		default:
			return nil
		}
		if err := c.want(in.class, i); err != nil {
			return err
		}
		if err := c.checkForm(i, in.form); err != nil {
			return err
		}
		if in.same < 0 || in.same == i {
			continue
		}
		if got, want := c.In(i).DType, c.In(in.same).DType; got != want && got != tensor.Undefined && want != tensor.Undefined {
			return c.Errorf("input %d: number type: got %v, want %v as input %d", i, got, want, in.same)
		}
	}
	return nil
}
