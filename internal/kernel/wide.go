package kernel

// SumWide returns Σ x[i] in float64. Element i goes to lane i mod 32, and the
// lanes are folded by halves; less than 32 elements are added in order. So the
// bits do not depend on the set.
func SumWide[T Float](set Set, x []T) float64 {
	if len(x) < laneCount {
		sum := 0.0
		for _, v := range x {
			sum += float64(v)
		}
		return sum
	}
	var lanes [laneCount]float64
	if f, ok := any(x).([]float32); ok {
		x = x[sumWideBulk(set, &lanes, f):]
	}
	for ; len(x) > 0; x = x[min(len(x), laneCount):] {
		for i, v := range x[:min(len(x), laneCount)] {
			lanes[i] += float64(v)
		}
	}
	return foldLanes(&lanes, opSumLanes)
}

// AddWide computes acc[i] ← acc[i] + x[i] for sums in float64. It panics if acc
// is shorter than x.
func AddWide[T Float](set Set, acc []float64, x []T) {
	acc = acc[:len(x)]
	n := 0
	if f, ok := any(x).([]float32); ok {
		n = addWideBulk(set, acc, f)
	}
	for i, v := range x[n:] {
		acc[n+i] += float64(v)
	}
}
