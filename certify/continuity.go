package certify

import (
	"slices"

	"github.com/compactify/compactify/graph"
)

// continuous are operators whose outputs are continuous in all of their floating-point
// inputs, jointly and for all values of them.
var continuous = setOf(
	"Add", "Sub", "Mul", "Sum", "Mean", "Neg", "Abs", "Max", "Min", "MatMul", "Gemm", "Einsum", "Conv", "ConvTranspose",
	"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "Swish", "HardSwish", "Mish", "Sigmoid", "HardSigmoid", "Softplus", "Softsign",
	"Tanh", "Erf", "Exp", "Sin", "Cos", "Sinh", "Cosh", "Asinh", "Atan", "Clip", "Softmax", "LogSoftmax",
	"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp", "CumSum",
	"MaxPool", "AveragePool", "LpPool", "GlobalMaxPool", "GlobalAveragePool", "GlobalLpPool", "LSTM", "GRU", "RNN",
	"Identity", "Dropout", "Flatten", "Reshape", "Squeeze", "Unsqueeze", "Transpose", "Concat", "Split", "Slice", "Expand", "Tile", "Pad", "Trilu",
	"DepthToSpace", "SpaceToDepth", "Upsample", "CenterCropPad")

// continuousFirst are operators that are continuous in their first input, while the
// others stay as they are.
var continuousFirst = setOf("Div", "Gather", "GatherElements", "GatherND", "DequantizeLinear", "Resize", "ReverseSequence")

// regularised are normalisations, continuous where epsilon is above 0.
var regularised = setOf("LayerNormalization", "InstanceNormalization", "GroupNormalization", "RMSNormalization", "MeanVarianceNormalization")

func setOf(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, n := range names {
		set[n] = true
	}
	return set
}

// jumps is an operator of the model that is not known to make its outputs continuous
// in θ, "" if there is none. Those that θ does not reach do not count.
func jumps(g *graph.Graph) string {
	depends := make(map[*graph.Value]bool)
	for _, w := range g.Weights() {
		depends[w.Value] = true
	}
	on := func(v *graph.Value) bool { return v != nil && depends[v] }
	for _, n := range g.Nodes {
		if !slices.ContainsFunc(n.Reads(), on) {
			continue
		}
		for _, v := range n.Out {
			if v != nil {
				depends[v] = true
			}
		}
		if kind := n.Kind(); !continuous[kind] && !(regularised[kind] && n.Attrs.Float("epsilon", 1e-5) > 0) &&
			!(continuousFirst[kind] && !slices.ContainsFunc(n.In[1:], on)) && !normalises(n, on) {
			return kind
		}
	}
	return ""
}

// normalises reports whether a node is a batch normalisation with running statistics
// that do not depend on θ: x·a + b, with scale and bias that may.
func normalises(n *graph.Node, on func(*graph.Value) bool) bool {
	return n.Kind() == "BatchNormalization" && n.Attrs.Int("training_mode", 0) == 0 && !on(n.In[3]) && !on(n.In[4])
}
