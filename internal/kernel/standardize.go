package kernel

import "math"

// standardLanes is the number of lanes that a row's moments are summed in.
const standardLanes = 64

// Standardize normalises the rows of matrices [rows, len(scale)] that x fills:
//
//	dst[i, j] ← (x[i, j] − μ_i)/√(σ²_i + ε)·scale[j] + bias[j]
//
// where μ is a row's mean and σ² its biased variance, summed about the mean; or,
// unless centred, 0 and the mean square. Element j goes to lane j mod 64 of a sum,
// and lanes are folded by halves: the bits are the same in every [Set]. dst may be
// x. It panics if a row has no elements.
func Standardize[T Float](set Set, dst, x, scale, bias []T, epsilon T, centred bool) {
	cols := len(scale)
	checkLength("bias", len(bias), cols)
	checkLength("dst", len(dst), len(x))
	checkLength("elements past whole rows", len(x)%cols, 0)
	if len(x) == 0 || standardizeBulk(set, dst, x, scale, bias, epsilon, centred) {
		return
	}
	for ; len(x) > 0; x, dst = x[cols:], dst[cols:] {
		row, out := x[:cols], dst[:cols]
		var mean T
		if centred {
			mean = rowTotal(row, func(v T) T { return v }) / T(cols)
		}
		square := func(v T) T { v -= mean; return v * v }
		inverse := 1 / T(math.Sqrt(float64(rowTotal(row, square)/T(cols)+epsilon)))
		for j, v := range row {
			v = T(T(v-mean)*inverse) * scale[j]
			out[j] = T(v) + bias[j]
		}
	}
}

// rowTotal is Σ f(x[j]).
func rowTotal[T Float](x []T, f func(v T) T) T {
	var lanes [standardLanes]T
	for ; len(x) > 0; x = x[min(len(x), standardLanes):] {
		for i, v := range x[:min(len(x), standardLanes)] {
			lanes[i] += T(f(v))
		}
	}
	for half := standardLanes / 2; half > 0; half /= 2 {
		for i, v := range lanes[half : 2*half] {
			lanes[i] += v
		}
	}
	return lanes[0]
}
