package kernel

// sumLanes is the number of float64 lanes that a row is summed in.
const sumLanes = 16

// RowSums computes sums[i] ← Σ_j x[i·cols + j] in float64 for rows that x fills.
// Element j goes to lane j mod 16, lanes are folded by halves, and what does not
// fill them is added in order: the bits are the same in every [Set].
func RowSums[T Float](set Set, sums []float64, x []T, cols int) {
	checkSize("x", len(x), len(sums), cols)
	bulk := cols &^ (sumLanes - 1)
	if len(sums) == 0 {
		return
	}
	switch {
	case bulk == 0:
		clear(sums)
	case !rowSumsBulk(set, sums, x, bulk, cols):
		for i := range sums {
			sums[i] = laneSum(x[i*cols:][:bulk])
		}
	}
	if bulk == cols {
		return
	}
	for i := range sums {
		for _, v := range x[i*cols:][bulk:cols] {
			sums[i] += float64(v)
		}
	}
}

func laneSum[T Float](x []T) float64 {
	var lanes [sumLanes]float64
	for ; len(x) > 0; x = x[sumLanes:] {
		for i, v := range x[:sumLanes] {
			lanes[i] += float64(v)
		}
	}
	for half := sumLanes / 2; half > 0; half /= 2 {
		for i, v := range lanes[half : 2*half] {
			lanes[i] += v
		}
	}
	return lanes[0]
}
