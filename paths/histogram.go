package paths

import (
	"fmt"
	"math"
	"slices"
)

// halfBins is the resolution of a histogram: bins from 0 to its bound, on either
// side. Twice Migacz's 2048, as the levels of 8 bits all lie on one side behind a
// ReLU.
const halfBins = 4096

// Histogram is what is kept of a stream of activations: counts in bins of equal
// width from −bound to bound, exact extremes and moments. The bound is the least
// power of two that holds all elements seen; when it doubles, two bins become one.
// So the counts do not depend on the order of the elements or on how they were
// divided into batches, and memory does not grow with their number. The zero value
// is empty.
type Histogram struct {
	lo, hi     float64
	n          uint64 // elements, zeros included
	zeros      uint64 // exactly 0, counted here alone: every grid holds them
	sum, power float64
	exponent   int      // bound = 2^exponent
	bins       []uint64 // 2·halfBins; nil until there is an element other than 0
}

// Add counts elements. If one is not finite, the error says how many are, and
// nothing is counted.
func (h *Histogram) Add(data []float32) error {
	if len(data) == 0 {
		return nil
	}
	lo, hi, bad := data[0], data[0], 0
	for _, x := range data {
		if x-x != 0 { // NaN or infinite
			bad++
		}
		if x < lo {
			lo = x
		}
		if x > hi {
			hi = x
		}
	}
	if bad > 0 {
		return fmt.Errorf("got %d of %d elements that are NaN or infinite, want finite numbers", bad, len(data))
	}
	h.widen(float64(lo), float64(hi))
	if h.bins == nil {
		h.zeros += uint64(len(data))
	} else {
		h.count(data)
	}
	h.n += uint64(len(data))
	return nil
}

// widen makes the histogram hold elements from lo to hi.
func (h *Histogram) widen(lo, hi float64) {
	if h.n == 0 {
		h.lo, h.hi = lo, hi
	}
	h.lo, h.hi = min(h.lo, lo), max(h.hi, hi)
	top := max(hi, -lo)
	if top == 0 {
		return
	}
	_, e := math.Frexp(top) // top < 2^e
	switch {
	case h.bins == nil:
		h.bins, h.exponent = make([]uint64, 2*halfBins), e
	case e > h.exponent:
		h.coarsen(e - h.exponent)
		h.exponent = e
	}
}

// coarsen merges runs of 2^doublings bins into one, on either side of 0.
func (h *Histogram) coarsen(doublings int) {
	merged := make([]uint64, len(h.bins))
	for i, n := range h.bins {
		merged[halfBins+(i-halfBins)>>doublings] += n
	}
	h.bins = merged
}

// count puts elements into bins. It has no branch, because the sign of an
// activation is anyone's guess.
func (h *Histogram) count(data []float32) {
	perUnit, bins := math.Ldexp(halfBins, -h.exponent), h.bins
	var sum, power float64
	var zeros uint64
	for _, x := range data {
		v := float64(x)
		bins[int(v*perUnit+halfBins)&(2*halfBins-1)]++ // in range anyway, as |v| < bound
		zeros += uint64((math.Float32bits(x)&^(1<<31) - 1) >> 31)
		sum += v
		power += v * v
	}
	bins[halfBins] -= zeros
	h.zeros += zeros
	h.sum += sum
	h.power += power
}

// Count is the number of finite elements seen.
func (h *Histogram) Count() uint64 { return h.n }

// Span is the range from the least to the largest element; empty without any.
func (h *Histogram) Span() Range { return Range{h.lo, h.hi} }

// Mean is the mean of the elements, NaN without any.
func (h *Histogram) Mean() float64 { return h.sum / float64(h.n) }

// Deviation is the standard deviation of the elements, NaN without any.
func (h *Histogram) Deviation() float64 {
	m := h.Mean()
	return math.Sqrt(max(0, h.power/float64(h.n)-m*m))
}

// Bytes is the memory of the counts, at most [HistogramBytes], however many
// elements were seen.
func (h *Histogram) Bytes() int { return 8 * len(h.bins) }

// HistogramBytes is the most that [Histogram.Bytes] can be.
const HistogramBytes = 8 * 2 * halfBins

// Outside is the share of elements outside of a range, to the width of a bin.
func (h *Histogram) Outside(r Range) float64 {
	if h.n == 0 {
		return 0
	}
	width, out := h.width(), uint64(0)
	for i, n := range h.bins { // none of a bin's elements is inside if its nearer end is not
		if lo := float64(i-halfBins) * width; lo > r.Hi || lo+width <= r.Lo {
			out += n
		}
	}
	return float64(out) / float64(h.n)
}

// width is that of a bin.
func (h *Histogram) width() float64 { return math.Ldexp(1, h.exponent) / halfBins }

// Range is what 8 bits should span, by the given way to choose it. A range never
// reaches beyond the elements seen, and always holds 0.
func (h *Histogram) Range(f Fit) Range {
	whole := Range{min(0, h.lo), max(0, h.hi)}
	if h.bins == nil {
		return whole
	}
	s := spectrum{n: h.n, above: h.bins[halfBins:], below: slices.Clone(h.bins[:halfBins]), width: h.width()}
	slices.Reverse(s.below)
	switch f {
	case FitPercentile:
		return s.percentile(whole)
	case FitEntropy:
		return clipped(whole, s.divergence)
	case FitMSE:
		return clipped(whole, s.squaredError)
	}
	return whole
}

// spectrum is a histogram's bins from 0 outwards on both sides.
type spectrum struct {
	n            uint64
	above, below []uint64
	width        float64
}

// tail is the share of elements that the percentile method may clip at each end.
const tail = 5e-5

// percentile leaves out a share of the elements at each end.
func (s spectrum) percentile(whole Range) Range {
	allowed := uint64(tail * float64(s.n))
	end := func(bins []uint64) float64 {
		left := allowed
		for i := len(bins) - 1; i >= 0; i-- {
			if bins[i] > left {
				return float64(i+1) * s.width
			}
			left -= bins[i]
		}
		return 0
	}
	return Range{max(whole.Lo, -end(s.below)), min(whole.Hi, end(s.above))}
}

// candidates is how many bounds between nothing and everything are compared.
const candidates = 256

// clipped is the range [−c, c], cut off where the elements end, of least cost.
func clipped(whole Range, cost func(r Range) float64) Range {
	top := max(whole.Hi, -whole.Lo)
	best, least := whole, cost(whole)
	for i := candidates - 1; i >= candidates/16; i-- {
		c := top * float64(i) / candidates
		r := Range{max(whole.Lo, -c), min(whole.Hi, c)}
		if e := cost(r); e < least {
			best, least = r, e
		}
	}
	return best
}

// squaredError is the summed squared distance of the elements, each at the middle
// of its bin, from their nearest points of the grid of 256 over r.
func (s spectrum) squaredError(r Range) float64 {
	step := (r.Hi - r.Lo) / 255
	if step == 0 {
		return math.Inf(1)
	}
	width, total := s.width, 0.0
	side := func(bins []uint64, end float64) {
		end = math.Round(end/step) * step // the grid holds 0, so its ends are multiples of step
		for i, n := range bins {
			if n > 0 {
				x := (float64(i) + 0.5) * width
				d := x - min(end, math.Round(x/step)*step)
				total += float64(n) * d * d
			}
		}
	}
	side(s.above, r.Hi)
	side(s.below, -r.Lo)
	return total
}

// divergence is the Kullback–Leibler divergence, in nats, of the elements clipped
// to r from what 256 levels leave of them: within a level counts are averaged over
// the bins that are not empty. Zeros count on neither side: a grid holds them, and
// behind a ReLU they would outweigh all else.
//
// Source: S. Migacz, "8-bit inference with TensorRT", GPU Technology Conference
// 2017, slides 31–36.
func (s spectrum) divergence(r Range) float64 {
	width, step := s.width, (r.Hi-r.Lo)/255
	if step <= width { // fewer bins than levels: they could not tell
		return math.Inf(1)
	}
	var total, clipped float64 // P's elements, and those at its ends
	var sum float64            // Σ p·log(p/q) with counts for p and q
	side := func(bins []uint64, end float64) {
		last := min(len(bins)-1, int(math.Ceil(end/width))-1)
		if last < 0 {
			for _, n := range bins {
				clipped += float64(n)
			}
			return
		}
		beyond := 0.0
		for _, n := range bins[last+1:] {
			beyond += float64(n)
		}
		clipped += beyond
		for from := 0; from <= last; {
			level := math.Round((float64(from) + 0.5) * width / step)
			var mass, filled float64
			to := from
			for ; to <= last && math.Round((float64(to)+0.5)*width/step) == level; to++ {
				if bins[to] > 0 {
					mass += float64(bins[to])
					filled++
				}
			}
			for i := from; i < to; i++ {
				p := float64(bins[i])
				q := mass / filled
				if i == last {
					p += beyond
				}
				switch {
				case p == 0:
				case bins[i] == 0: // only clipped elements: as if one had been there
					sum += p * math.Log(p)
				default:
					sum += p * math.Log(p/q)
				}
				total += p
			}
			from = to
		}
	}
	side(s.above, r.Hi)
	side(s.below, -r.Lo)
	if clipped >= total {
		return math.Inf(1)
	}
	// Σ (p/P)·log((p/P)/(q/Q)) with P = total and Q = total − clipped.
	return sum/total + math.Log((total-clipped)/total)
}
