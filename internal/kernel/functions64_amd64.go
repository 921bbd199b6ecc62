package kernel

// The functions on slices of equal length, which are not empty.

func expPart(set Set, dst, x []float64) {
	switch set {
	case AVX512:
		exp64AVX512(len(x), &dst[0], &x[0], &coefficients64[0])
	case AVX2:
		exp64AVX2(len(x), &dst[0], &x[0], &coefficients64[0])
	default:
		expPortable(dst, x)
	}
}

func softplusPart(set Set, e, l, x []float64) {
	switch set {
	case AVX512:
		expMinusAbs64AVX512(len(x), &e[0], &x[0], &coefficients64[0])
		logOnePlus64AVX512(len(x), &l[0], &e[0], &coefficients64[0])
	case AVX2:
		expMinusAbs64AVX2(len(x), &e[0], &x[0], &coefficients64[0])
		logOnePlus64AVX2(len(x), &l[0], &e[0], &coefficients64[0])
	default:
		softplusPortable(e, l, x)
	}
}
