package kernel

// standardizeBulk normalises rows in assembly, if there is any.
func standardizeBulk[T Float](set Set, dst, x, scale, bias []T, epsilon T, centred bool) bool {
	y, ok := any(dst).([]float32)
	if !ok || set == Portable {
		return false
	}
	z, s, b := any(x).([]float32), any(scale).([]float32), any(bias).([]float32)
	cols := len(s)
	var mask [16]int32
	for i := range cols % len(mask) {
		mask[i] = -1
	}
	mean := 0
	if centred {
		mean = 1
	}
	if set == AVX512 {
		standardizeAVX512(len(z)/cols, cols, mean, &mask[0], &z[0], &y[0], &s[0], &b[0], float32(cols), float32(epsilon), 1)
	} else {
		standardizeAVX2(len(z)/cols, cols, mean, &mask[0], &z[0], &y[0], &s[0], &b[0], float32(cols), float32(epsilon), 1)
	}
	return true
}
