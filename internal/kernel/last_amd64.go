package kernel

import "unsafe"

//go:generate go run ./asm -family last -out last_kernels_amd64.s -stubs last_kernels_amd64.go -pkg kernel

var sLastTiles = [...]lastTiles{
	Portable: portableLast,
	AVX2: {
		lanes: 8, pixels: []int{0, 12, 6}, conv: lastConvAVX2,
		multiply: lastMultiplyAVX2, sum: lastSumAVX2, max: lastMaxAVX2,
	},
	AVX512: {
		lanes: 16, pixels: []int{0, 12, 12, 8, 6}, conv: lastConvAVX512,
		multiply: lastMultiplyAVX512, sum: lastSumAVX512, max: lastMaxAVX512,
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
