package kernel

import (
	"math"
	"math/bits"
	"slices"
)

// Rank is the place of a magnitude among others.
type Rank struct {
	Bits  uint32 // of the magnitude; they order as the numbers do
	Ties  int    // how many elements of just that magnitude are among the k smallest
	Equal int    // how many there are in all
}

// The search of [KthMagnitude].
const (
	sampled   = 1 << 15 // magnitudes that say where the one sought about is
	worthIt   = 1 << 18 // elements below which counting them all costs no more
	chunk     = 1 << 16 // elements that one mask buffer is for
	certainty = 6       // standard deviations of the sample's rank
)

// KthMagnitude finds the k-th smallest magnitude of the elements of all slices, k
// from 1 to their number. A NaN counts as larger than all numbers.
//
// A sample says between which two magnitudes the one sought lies, but for one case
// in a billion. One pass counts what is below and collects the few between, among
// which it is found by counting. In that one case, and where many are between, as
// zeros of a pruned model may be, all are counted.
func KthMagnitude(p *Pool, data [][]float32, k int) Rank {
	n := 0
	for _, x := range data {
		n += len(x)
	}
	if n >= worthIt {
		lo, hi := bracket(data, n, k)
		below, inside, few := p.between(data, lo, hi)
		if few && below < k && k-below <= len(inside) {
			return kthOf(func(visit func(uint32)) {
				for _, m := range inside {
					visit(m)
				}
			}, k-below)
		}
	}
	return kthOf(func(visit func(uint32)) {
		for _, x := range data {
			for _, v := range x {
				visit(magnitudeBits(v))
			}
		}
	}, k)
}

// kthOf counts on the upper 16 bits and then, among those that share them, on the
// lower.
func kthOf(all func(visit func(m uint32)), k int) Rank {
	high := make([]int, 1<<15)
	all(func(m uint32) { high[m>>16]++ })
	top, below := bucketOf(high, k)
	low := make([]int, 1<<16)
	all(func(m uint32) {
		if int(m>>16) == top {
			low[m&0xffff]++
		}
	})
	bottom, under := bucketOf(low, k-below)
	return Rank{Bits: uint32(top)<<16 | uint32(bottom), Ties: k - below - under, Equal: low[bottom]}
}

// bucketOf finds the bucket that holds the k-th entry (from 1) and how many
// entries lie in the buckets before it.
func bucketOf(counts []int, k int) (bucket, before int) {
	for i, c := range counts {
		if before+c >= k {
			return i, before
		}
		before += c
	}
	return len(counts) - 1, before
}

// bracket guesses two magnitudes between which the k-th of n lies: those of a
// sample some standard deviations of its rank below and above. The sample has one
// element, at a hashed place, of each of equal stretches.
func bracket(data [][]float32, n, k int) (lo, hi uint32) {
	sample := make([]uint32, 0, sampled)
	slice, first := 0, 0
	for i := range sampled {
		from, to := n*i/sampled, n*(i+1)/sampled
		at := from + int(uint32(i)*2654435769>>8)%(to-from) // Knuth's multiplicative hash
		for at >= first+len(data[slice]) {
			first += len(data[slice])
			slice++
		}
		sample = append(sample, magnitudeBits(data[slice][at-first]))
	}
	slices.Sort(sample)
	q := float64(k) / float64(n)
	slack := certainty*math.Sqrt(sampled*q*(1-q)) + certainty
	if i := int(q*sampled - slack); i >= 0 {
		lo = sample[i]
	}
	if i := int(q*sampled + slack); i < sampled {
		return lo, sample[i]
	}
	return lo, magnitudeMask
}

// between counts the magnitudes below lo and collects those of [lo, hi], in no
// particular order, unless a thread meets more than one in eight.
func (p *Pool) between(data [][]float32, lo, hi uint32) (below int, inside []uint32, few bool) {
	var chunks [][]float32
	for _, x := range data {
		chunks = slices.AppendSeq(chunks, slices.Chunk(x, chunk))
	}
	type part struct {
		below  int
		inside []uint32
		many   bool
	}
	parts := make([]part, p.threads)
	err := p.For(len(chunks), 1, func(worker, from, to int) {
		var masks [chunk / stride]uint32
		w := &parts[worker]
		for i, x := range chunks[from:to] {
			if len(w.inside) > (i+1)*chunk/8 {
				w.many = true
				return
			}
			n := 0
			if p.set != Portable {
				n = len(x) &^ (stride - 1)
			}
			if n > 0 {
				w.below += rangeMasksBulk(p.set, x[:n], masks[:], lo, hi)
			}
			for b, mask := range masks[:n/stride] {
				for ; mask != 0; mask &= mask - 1 {
					w.inside = append(w.inside, magnitudeBits(x[b*stride+bits.TrailingZeros32(mask)]))
				}
			}
			for _, v := range x[n:] {
				switch m := magnitudeBits(v); {
				case m < lo:
					w.below++
				case m <= hi:
					w.inside = append(w.inside, m)
				}
			}
		}
	})
	if err != nil {
		panic(err)
	}
	few = true
	for _, w := range parts {
		below += w.below
		inside = append(inside, w.inside...)
		few = few && !w.many
	}
	return below, inside, few
}

// KeepAbove computes dst[i] ← x[i] where the magnitude's bits exceed those given,
// 0 elsewhere. dst may be x.
func KeepAbove(p *Pool, dst, x []float32, bits uint32) {
	checkLength("dst", len(dst), len(x))
	err := p.For(ceilDiv(len(x), stride), 1<<9, func(_, lo, hi int) {
		from, to := lo*stride, min(len(x), hi*stride)
		n := from
		if p.set != Portable {
			n += (to - from) &^ (stride - 1)
		}
		if n > from {
			maskSmallBulk(p.set, dst[from:n], x[from:n], bits)
		}
		for i := n; i < to; i++ {
			v := x[i]
			if magnitudeBits(v) <= bits {
				v = 0
			}
			dst[i] = v
		}
	})
	if err != nil {
		panic(err)
	}
}

// EachMagnitude calls visit with the places, in order, of the elements whose
// magnitude has just these bits.
func EachMagnitude(set Set, x []float32, m uint32, visit func(i int)) {
	var masks [chunk / stride]uint32
	for first := 0; first < len(x); first += chunk {
		part, n := x[first:min(len(x), first+chunk)], 0
		if set != Portable {
			n = len(part) &^ (stride - 1)
		}
		if n > 0 {
			rangeMasksBulk(set, part[:n], masks[:], m, m)
		}
		for b, mask := range masks[:n/stride] {
			for ; mask != 0; mask &= mask - 1 {
				visit(first + b*stride + bits.TrailingZeros32(mask))
			}
		}
		for i, v := range part[n:] {
			if magnitudeBits(v) == m {
				visit(first + n + i)
			}
		}
	}
}
