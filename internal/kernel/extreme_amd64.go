package kernel

// rowExtremesBulk takes rows in assembly. It reports false where there is none for
// such rows or set, or where an element may be no number.
func rowExtremesBulk[T Float](set Set, least bool, dst, x []T, cols int) bool {
	y, ok := any(dst).([]float32)
	z, _ := any(x).([]float32)
	if !ok || set == Portable || cols < 16 {
		return false
	}
	_ = z[len(y)*cols-1]
	var check float32
	switch {
	case set == AVX512 && least:
		rowMinAVX512(len(y), cols, &z[0], &y[0], &check)
	case set == AVX512:
		rowMaxAVX512(len(y), cols, &z[0], &y[0], &check)
	case least:
		rowMinAVX2(len(y), cols, &z[0], &y[0], &check)
	default:
		rowMaxAVX2(len(y), cols, &z[0], &y[0], &check)
	}
	for i := range y {
		y[i] += 0 // of a zero, the positive one
	}
	return check == check
}
