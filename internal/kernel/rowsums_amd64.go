package kernel

// rowSumsBulk sums the first bulk elements of rows of cols in assembly, if there
// is any.
func rowSumsBulk[T Float](set Set, sums []float64, x []T, bulk, cols int) bool {
	y, ok := any(x).([]float32)
	if !ok || set == Portable {
		return false
	}
	_ = y[(len(sums)-1)*cols+bulk-1]
	if set == AVX512 {
		rowSumsAVX512(len(sums), bulk, cols, &y[0], &sums[0])
	} else {
		rowSumsAVX2(len(sums), bulk, cols, &y[0], &sums[0])
	}
	return true
}
