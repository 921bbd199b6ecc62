package linear

// sparseDot is Σ_k value[k]·v[row[k]], in four sums that take turns.
func sparseDot(row []int32, value, v []float64) float64 {
	var s0, s1, s2, s3 float64
	value = value[:len(row)]
	for len(row) >= 4 && len(value) >= 4 {
		s0 += float64(value[0] * v[row[0]])
		s1 += float64(value[1] * v[row[1]])
		s2 += float64(value[2] * v[row[2]])
		s3 += float64(value[3] * v[row[3]])
		row, value = row[4:], value[4:]
	}
	for k, i := range row {
		s0 += float64(value[k] * v[i])
	}
	return (s0 + s1) + (s2 + s3)
}

// sparseAxpy adds a·value[k] to v[row[k]].
func sparseAxpy(row []int32, value []float64, a float64, v []float64) {
	value = value[:len(row)]
	for len(row) >= 4 && len(value) >= 4 {
		v[row[0]] += float64(a * value[0])
		v[row[1]] += float64(a * value[1])
		v[row[2]] += float64(a * value[2])
		v[row[3]] += float64(a * value[3])
		row, value = row[4:], value[4:]
	}
	for k, i := range row {
		v[i] += float64(a * value[k])
	}
}
