package kernel

import "unsafe"

//go:generate go run ./asm -family last -out last_kernels_amd64.s -stubs last_kernels_amd64.go -pkg kernel

var sLastTiles = [...]lastTiles{
	Portable: portableLast,
	AVX2: {
		lanes: 8, pixels: []int{0, 12, 6}, conv: lastConvAVX2,
		multiply: lastMultiplyAVX2, sum: lastSumAVX2, max: lastMaxAVX2,
		depth: depthAVX2,
	},
	AVX512: {
		lanes: 16, pixels: []int{0, 12, 12, 8, 6}, conv: lastConvAVX512,
		multiply: lastMultiplyAVX512, sum: lastSumAVX512, max: lastMaxAVX512,
		depth: depthAVX512,
	},
}

// raw is the arguments as the assembly generator can name them.
func (a *lastArgs) raw() *int { return (*int)(unsafe.Pointer(a)) }

func lastConvAVX2(vectors, pixels int, a *lastArgs) {
	if vectors == 1 {
		slast1AVX2(pixels, a.raw())
	} else {
		slast2AVX2(pixels, a.raw())
	}
}

func lastConvAVX512(vectors, pixels int, a *lastArgs) {
	switch vectors {
	case 1:
		slast1AVX512(pixels, a.raw())
	case 2:
		slast2AVX512(pixels, a.raw())
	case 3:
		slast3AVX512(pixels, a.raw())
	default:
		slast4AVX512(pixels, a.raw())
	}
}

func lastMultiplyAVX2(pixels int, a *lastArgs)   { slastWindowMulAVX2(pixels, a.raw()) }
func lastSumAVX2(pixels int, a *lastArgs)        { slastWindowAddAVX2(pixels, a.raw()) }
func lastMaxAVX2(pixels int, a *lastArgs)        { slastWindowMaxAVX2(pixels, a.raw()) }
func lastMultiplyAVX512(pixels int, a *lastArgs) { slastWindowMulAVX512(pixels, a.raw()) }
func lastSumAVX512(pixels int, a *lastArgs)      { slastWindowAddAVX512(pixels, a.raw()) }
func lastMaxAVX512(pixels int, a *lastArgs)      { slastWindowMaxAVX512(pixels, a.raw()) }

//go:generate go run ./asm -family depthwise -out depthwise_kernels_amd64.s -stubs depthwise_kernels_amd64.go -pkg kernel

var depthAVX2 = [2][4]func(pixels int, a *lastArgs){
	{
		func(n int, a *lastArgs) { sdepth1AVX2(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth1LeftAVX2(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth1RightAVX2(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth1LeftRightAVX2(n, a.raw()) },
	},
	{
		func(n int, a *lastArgs) { sdepth2AVX2(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth2LeftAVX2(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth2RightAVX2(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth2LeftRightAVX2(n, a.raw()) },
	},
}

var depthAVX512 = [2][4]func(pixels int, a *lastArgs){
	{
		func(n int, a *lastArgs) { sdepth1AVX512(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth1LeftAVX512(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth1RightAVX512(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth1LeftRightAVX512(n, a.raw()) },
	},
	{
		func(n int, a *lastArgs) { sdepth2AVX512(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth2LeftAVX512(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth2RightAVX512(n, a.raw()) },
		func(n int, a *lastArgs) { sdepth2LeftRightAVX512(n, a.raw()) },
	},
}
