package paths

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
)

// Ranking by counting. The bits of a non-negative float order as the number does,
// so the k-th smallest of any number of scores is found exactly in two passes:
// counting on the upper 15 bits and then, among those that share them, on the
// lower 16.

// rankGrain is how many scores are worth a thread of their own.
const rankGrain = 1 << 16

// keyOf is the size of a score as bits that order like it.
func keyOf(x float32) uint32 { return math.Float32bits(x) &^ (1 << 31) }

// keepLargest marks all but the k scores of least size. Of equal ones those in
// earlier slices and at lower indices go first. A nil pool is one thread.
func keepLargest(pool *kernel.Pool, scores [][]float32, k int) [][]bool {
	threshold, ties, equal := kthSize(pool, scores, k)
	keepTies := ties < equal
	keeps := make([][]bool, len(scores))
	for i, s := range scores {
		keep := make([]bool, len(s))
		keeps[i] = keep
		split(pool, len(s), func(_, lo, hi int) {
			for j, x := range s[lo:hi] {
				m := keyOf(x)
				keep[lo+j] = m > threshold || m == threshold && keepTies
			}
		})
	}
	if !keepTies {
		return keeps
	}
	for i, s := range scores { // the first of the equal ones go
		for j, x := range s {
			if ties == 0 {
				return keeps
			}
			if keyOf(x) == threshold {
				keeps[i][j] = false
				ties--
			}
		}
	}
	return keeps
}

// kthSize returns the key of the k-th smallest score, how many scores of exactly
// that size are among the k, and how many there are in all. For k = 0 none is.
func kthSize(pool *kernel.Pool, scores [][]float32, k int) (threshold uint32, ties, equal int) {
	if k == 0 {
		return 0, 0, 1
	}
	high := histogram(pool, scores, 1<<15, func(counts []uint32, s []float32) {
		for _, x := range s {
			counts[keyOf(x)>>16]++
		}
	})
	top, below := rank(high, k)
	low := histogram(pool, scores, 1<<16, func(counts []uint32, s []float32) {
		for _, x := range s {
			if m := keyOf(x); int(m>>16) == top {
				counts[m&0xffff]++
			}
		}
	})
	bottom, under := rank(low, k-below)
	return uint32(top)<<16 | uint32(bottom), k - below - under, low[bottom]
}

// histogram counts scores into buckets, each thread into its own.
func histogram(pool *kernel.Pool, scores [][]float32, buckets int, count func(counts []uint32, s []float32)) []int {
	threads := 1
	if pool != nil {
		threads = pool.Threads()
	}
	parts := make([][]uint32, threads)
	total := make([]int, buckets)
	for _, s := range scores {
		for from := 0; from < len(s); from += math.MaxInt32 { // so that 32 bits count them
			piece := s[from:min(len(s), from+math.MaxInt32)]
			split(pool, len(piece), func(worker, lo, hi int) {
				if parts[worker] == nil {
					parts[worker] = make([]uint32, buckets)
				}
				count(parts[worker], piece[lo:hi])
			})
			if len(s) > rankGrain {
				drain(total, parts)
			}
		}
	}
	drain(total, parts)
	return total
}

// drain adds the threads' counts up and starts them anew.
func drain(total []int, parts [][]uint32) {
	for _, p := range parts {
		for i, c := range p {
			total[i] += int(c)
		}
		clear(p)
	}
}

// rank finds the bucket that holds the k-th entry (from 1) and how many entries
// lie in the buckets before it.
func rank(counts []int, k int) (bucket, before int) {
	for i, c := range counts {
		if before+c >= k {
			return i, before
		}
		before += c
	}
	return len(counts) - 1, before
}

// split runs the body on parts of [0, n).
func split(pool *kernel.Pool, n int, body func(worker, lo, hi int)) {
	if pool == nil {
		body(0, 0, n)
	} else if err := pool.For(n, rankGrain, body); err != nil {
		panic(err) // a panic of the body's own
	}
}
