package kernel

// Lanes are partial sums in float64 of which element i of each run of elements
// goes to number i mod 32, so that their bits do not depend on the set.
type Lanes [laneCount]float64

// AddLanes adds a run of elements.
func AddLanes[T Float](set Set, l *Lanes, x []T) {
	if f, ok := any(x).([]float32); ok {
		x = x[sumWideBulk(set, l, f):]
	}
	for ; len(x) > 0; x = x[min(len(x), laneCount):] {
		for i, v := range x[:min(len(x), laneCount)] {
			l[i] += float64(v)
		}
	}
}

// Sum folds the lanes by halves, and destroys them.
func (l *Lanes) Sum() float64 { return foldLanes((*[laneCount]float64)(l), opSumLanes) }

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
