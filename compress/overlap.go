package compress

import (
	"math"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/words"
)

// noteOverlap says how many of the held-out examples are also among those that
// tune, calibrate or select: what is shown of them is no evidence of new ones.
func (w *work) noteOverlap() {
	if n := overlap(w.HeldOut, w.training, w.chosen); n > 0 {
		w.notes = append(w.notes, words.Count(n, "held-out example is", "held-out examples are")+" also among those that tune or select: what is measured on them tells little of new ones")
	}
}

// overlap counts the examples of a set that, number by number, also stand in others.
// Sets of several inputs, and of another shape, are not compared.
func overlap(set *data.Set, others ...*data.Set) int {
	if set.Inputs() != nil {
		return 0
	}
	known, row := make(map[uint64]bool), make([]float32, set.Size())
	digest := func(s *data.Set, i int) uint64 {
		s.Fill(row, i)
		h := uint64(14695981039346656037) // FNV-1a, by words
		for _, x := range row {
			h = (h ^ uint64(math.Float32bits(x))) * 1099511628211
		}
		return h
	}
	for i := range set.Len() {
		known[digest(set, i)] = false
	}
	for _, other := range others {
		if other.Inputs() != nil || other.Size() != set.Size() {
			continue
		}
		for i := range other.Len() {
			if h := digest(other, i); !known[h] {
				if _, ok := known[h]; ok {
					known[h] = true
				}
			}
		}
	}
	n := 0
	for i := range set.Len() {
		if known[digest(set, i)] {
			n++
		}
	}
	return n
}
