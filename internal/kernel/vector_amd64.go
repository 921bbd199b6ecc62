package kernel

// vectors32 holds the vector kernels in assembly, by set.
var vectors32 = [AVX512 + 1][opRows]vectorFunc[float32]{
	AVX2: {
		opAdd:              addAVX2,
		opSub:              subAVX2,
		opMul:              mulAVX2,
		opAddScalar:        addScalarAVX2,
		opMulScalar:        mulScalarAVX2,
		opAxpy:             axpyAVX2,
		opRelu:             reluAVX2,
		opReluGrad:         reluGradAVX2,
		opExp:              expAVX2,
		opSigmoid:          sigmoidAVX2,
		opTanh:             tanhAVX2,
		opErf:              erfAVX2,
		opLog:              logAVX2,
		opGelu:             geluAVX2,
		opGeluTanh:         geluTanhAVX2,
		opReciprocal:       reciprocalAVX2,
		opAbs:              absAVX2,
		opDiv:              divAVX2,
		opMax:              maxAVX2,
		opMin:              minAVX2,
		opFill:             fillAVX2,
		opSqrt:             sqrtAVX2,
		opClip:             clipAVX2,
		opLeaky:            leakyAVX2,
		opMomentum:         momentumAVX2,
		opAdam:             adamAVX2,
		opFakeQuantize:     fakeQuantizeAVX2,
		opFakeQuantizeGrad: fakeQuantizeGradAVX2,
		opSumLanes:         sumLanesAVX2,
		opDotLanes:         dotLanesAVX2,
		opMaxLanes:         maxLanesAVX2,
	},
	AVX512: {
		opAdd:              addAVX512,
		opSub:              subAVX512,
		opMul:              mulAVX512,
		opAddScalar:        addScalarAVX512,
		opMulScalar:        mulScalarAVX512,
		opAxpy:             axpyAVX512,
		opRelu:             reluAVX512,
		opReluGrad:         reluGradAVX512,
		opExp:              expAVX512,
		opSigmoid:          sigmoidAVX512,
		opTanh:             tanhAVX512,
		opErf:              erfAVX512,
		opLog:              logAVX512,
		opGelu:             geluAVX512,
		opGeluTanh:         geluTanhAVX512,
		opReciprocal:       reciprocalAVX512,
		opAbs:              absAVX512,
		opDiv:              divAVX512,
		opMax:              maxAVX512,
		opMin:              minAVX512,
		opFill:             fillAVX512,
		opSqrt:             sqrtAVX512,
		opClip:             clipAVX512,
		opLeaky:            leakyAVX512,
		opMomentum:         momentumAVX512,
		opAdam:             adamAVX512,
		opFakeQuantize:     fakeQuantizeAVX512,
		opFakeQuantizeGrad: fakeQuantizeGradAVX512,
		opSumLanes:         sumLanesAVX512,
		opDotLanes:         dotLanesAVX512,
		opMaxLanes:         maxLanesAVX512,
	},
}

// quantizeBulk and dequantizeBulk convert the longest part that fills the
// assembly's stride and return its length.
func quantizeBulk(set Set, q []int8, x []float32, scale, lo, hi float32) int {
	n := len(x) &^ (stride - 1)
	if n == 0 || set == Portable {
		return 0
	}
	_ = q[n-1]
	if set == AVX512 {
		quantizeAVX512(n, &q[0], &x[0], scale, lo, hi, toInteger)
	} else {
		quantizeAVX2(n, &q[0], &x[0], scale, lo, hi, toInteger)
	}
	return n
}

func dequantizeBulk(set Set, x []float32, q []int8, scale float32) int {
	n := len(x) &^ (stride - 1)
	if n == 0 || set == Portable {
		return 0
	}
	_ = q[n-1]
	if set == AVX512 {
		dequantizeAVX512(n, &x[0], &q[0], scale)
	} else {
		dequantizeAVX2(n, &x[0], &q[0], scale)
	}
	return n
}

// sumWideBulk and addWideBulk add the longest part that fills the assembly's
// stride and return its length.
func sumWideBulk(set Set, lanes *Lanes, x []float32) int {
	n := len(x) &^ (stride - 1)
	if n == 0 || set == Portable {
		return 0
	}
	if set == AVX512 {
		sumWideAVX512(n, &lanes[0], &x[0])
	} else {
		sumWideAVX2(n, &lanes[0], &x[0])
	}
	return n
}

func addWideBulk(set Set, acc []float64, x []float32) int {
	n := len(x) &^ (stride - 1)
	if n == 0 || set == Portable {
		return 0
	}
	_ = acc[n-1]
	if set == AVX512 {
		addWideAVX512(n, &acc[0], &x[0])
	} else {
		addWideAVX2(n, &acc[0], &x[0])
	}
	return n
}
