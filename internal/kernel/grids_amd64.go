package kernel

import "math"

// minMaxBulk folds x into lanes of the least and largest elements and the
// largest magnitudes. The set is not [Portable], and x fills the assembly's
// stride.
func minMaxBulk(set Set, x []float32, lanes *[3][fitLanes]float32) {
	s := math.Float32frombits(magnitudeMask)
	if set == AVX512 {
		minMaxAVX512(len(x), &x[0], &lanes[0][0], &s)
	} else {
		minMaxAVX2(len(x), &x[0], &lanes[0][0], &s)
	}
}

// gridErrorBulk is gridErrorAt for every element of x, as minMaxBulk.
func gridErrorBulk(set Set, x []float32, lanes *[3][fitLanes]float32, s *[5]float32) {
	if set == AVX512 {
		gridErrorAVX512(len(x), &x[0], &lanes[0][0], &s[0])
	} else {
		gridErrorAVX2(len(x), &x[0], &lanes[0][0], &s[0])
	}
}

// rangeMasksBulk marks the magnitudes of [lo, hi], a bit each, and returns how many
// are below, as minMaxBulk.
func rangeMasksBulk(set Set, x []float32, masks []uint32, lo, hi uint32) (below int) {
	var lanes [fitLanes]float32 // integers
	s := [3]float32{math.Float32frombits(magnitudeMask), math.Float32frombits(lo), math.Float32frombits(hi)}
	if set == AVX512 {
		rangeMasksAVX512(len(x), &masks[0], &x[0], &lanes[0], &s[0])
	} else {
		rangeMasksAVX2(len(x), &masks[0], &x[0], &lanes[0], &s[0])
	}
	for _, v := range lanes {
		below += int(math.Float32bits(v))
	}
	return below
}

// maskSmallBulk clears elements whose magnitude has at most the bits given, as
// minMaxBulk.
func maskSmallBulk(set Set, dst, x []float32, bits uint32) {
	s := [2]float32{math.Float32frombits(magnitudeMask), math.Float32frombits(bits)}
	if set == AVX512 {
		maskSmallAVX512(len(x), &dst[0], &x[0], &s[0])
	} else {
		maskSmallAVX2(len(x), &dst[0], &x[0], &s[0])
	}
}
