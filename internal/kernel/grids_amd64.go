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
