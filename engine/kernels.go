package engine

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
)

// kernelFamilies lists the kernels, one file per family.
func kernelFamilies() []map[string]prepare {
	return []map[string]prepare{
		elementwiseKernels(),
		unaryKernels(),
		linearKernels(),
		denseKernels(),
		movementKernels(),
		viewKernels(),
		convolutionKernels(),
		lastKernels(),
		poolingKernels(),
		normalizationKernels(),
		reductionKernels(),
		scanKernels(),
		shapeKernels(),
		castKernels(),
		gatherKernels(),
		scatterKernels(),
		sortKernels(),
		lossKernels(),
		resizeKernels(),
		resizeGradKernels(),
		recurrentKernels(),
		controlKernels(),
		samplingKernels(),
		detectionKernels(),
		randomKernels(),
		quantizationKernels(),
		integerKernels(),
		trainingKernels(),
		signalKernels(),
		formKernels(),
		chainKernels(),
	}
}

// views are operators whose output is their first input in another shape, in
// the same memory.
var views = map[string]bool{
	"Identity": true, "Reshape": true, "Flatten": true, "Squeeze": true, "Unsqueeze": true,
}

// inPlace are elementwise operators whose kernels may write over an input of
// the output's type.
var inPlace = setOf("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Mod", "And", "Or", "Xor",
	"BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot", "BitShift", "Not",
	"Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Softsign", "Clip",
	"Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Gelu",
	"Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh", "Asinh", "Acosh", "Atanh",
	"BatchNormalization", "Softmax", "LogSoftmax", "Hardmax", "compactify.ReluGrad", "compactify.Standardize")

func setOf(ops ...string) map[string]bool {
	m := make(map[string]bool, len(ops))
	for _, op := range ops {
		m[op] = true
	}
	return m
}

// readsAtBind lists the inputs whose data a kernel needs when it is bound, for
// its tables; a node where one is computed is bound anew at each run.
var readsAtBind = map[string][]int{
	"Col2Im": {1, 2}, "DFT": {1, 2}, "Slice": {1, 2, 3, 4}, "compactify.SliceGrad": {2, 3, 4, 5}, "Split": {1}, "Pad": {1, 3}, "CumSum": {1}, "CumProd": {1}, "TopK": {1}, "Resize": {1, 2, 3}, "compactify.ResizeGrad": {2, 3, 4},
	"ReduceSum": {1}, "ReduceMean": {1}, "ReduceProd": {1}, "ReduceMax": {1}, "ReduceMin": {1},
}

// dynamicOnly are operators bound anew at each run even if all shapes are known.
var dynamicOnly = map[string]bool{}

// impure are operators that folding must leave alone: their results differ from
// run to run.
var impure = map[string]bool{"RandomNormal": true, "RandomUniform": true, "RandomNormalLike": true,
	"RandomUniformLike": true, "Bernoulli": true, "Multinomial": true, "Dropout": true}

// declined reports whether a kernel leaves this form of its operator to the
// lowering.
func declined(n *graph.Node) bool {
	switch n.Kind() {
	case "Max", "Min":
		return len(n.In) != 2
	case "BatchNormalization": // statistics of a number type of their own
		for _, v := range n.In {
			if v != nil && n.In[0] != nil && v.Type.DType != n.In[0].Type.DType {
				return true
			}
		}
	case "compactify.FakeQuantize", "compactify.FakeQuantizeGrad":
		lo, hi := graph.FakeQuantizeRange(n)
		return n.Kind() == "compactify.FakeQuantize" && n.Input(2) != nil || n.Attrs.Int("block_size", 0) != 0 || max(-lo, hi) > kernel.MaxGrid
	case "Dropout": // without a training mode nothing is dropped
		return n.Input(2) == nil
	}
	return false
}
