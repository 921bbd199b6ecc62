package data

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/internal/stream"
)

// Split returns one disjoint subset of s per fraction, drawn at random from the
// stream (seed, purpose). Fractions are of Len(), not negative, and sum to at
// most 1; what they leave over is in no subset. Split panics otherwise.
//
// Subsets are stratified: with classes, each subset holds its fraction of the
// set to within one example, and of every class to within two. A positive
// fraction gets at least one example as long as there are enough. Examples keep
// the order they have in s.
func Split(s *Set, fractions []float64, seed uint64, purpose string) []*Set {
	sum := 0.0
	for _, f := range fractions {
		if !(f >= 0) {
			panic(fmt.Sprintf("data: split %q: fraction %v, want at least 0", s.name, f))
		}
		sum += f
	}
	if sum > 1+roundoff {
		panic(fmt.Sprintf("data: split %q: fractions sum to %v, want at most 1", s.name, sum))
	}
	order := stratifiedOrder(s, seed, purpose)
	parts := make([]*Set, len(fractions))
	start, cum := 0, 0.0
	for k, f := range fractions {
		cum += f
		end := int(math.Round(cum * float64(len(order))))
		if f > 0 {
			end = max(end, start+1)
		}
		end = min(max(end, start), len(order))
		idx := slices.Clone(order[start:end])
		slices.Sort(idx)
		parts[k] = s.Subset(idx)
		start = end
	}
	return parts
}

// stratifiedOrder is a random order of the examples in which every run holds
// each class in proportion: the j-th of the n members of a class, shuffled, is
// placed at (j+u)/n with one uniform u per class.
func stratifiedOrder(s *Set, seed uint64, purpose string) []int {
	members := map[int][]int{}
	for i := range s.Len() {
		members[s.Label(i)] = append(members[s.Label(i)], i)
	}
	type placed struct {
		at float64
		i  int
	}
	all := make([]placed, 0, s.Len())
	for class, m := range members {
		r := stream.New(seed, "split/"+purpose, uint64(class+1))
		r.Shuffle(len(m), func(a, b int) { m[a], m[b] = m[b], m[a] })
		u := r.Float64()
		for j, i := range m {
			all = append(all, placed{(float64(j) + u) / float64(len(m)), i})
		}
	}
	slices.SortFunc(all, func(a, b placed) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.i, b.i))
	})
	order := make([]int, len(all))
	for k, p := range all {
		order[k] = p.i
	}
	return order
}
