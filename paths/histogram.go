package paths

import (
	"fmt"
	"math"
	"math/bits"
)

// halfBins is the resolution of a histogram: bins from 0 to its bound, on either
// side. It is that of Migacz's method of least divergence.
const halfBins = 2048

// Histogram is what is kept of a stream of activations: counts in bins of equal
// width from −bound to bound, exact extremes and moments. The bound is the least
// power of two that holds all elements seen; when it doubles, two bins become one.
// So the counts do not depend on the order of the elements or on how they were
// divided into batches, and memory does not grow with their number. The zero value
// is empty.
type Histogram struct {
	lo, hi     float64
	n          uint64 // finite elements, zeros included
	zeros      uint64 // exactly 0, counted here alone: every grid holds them
	sum, power float64
	exponent   int // bound = 2^exponent
	above      []uint64
	below      []uint64 // of −x; nil until there is a negative element
}

// Add counts elements. The error says how many are not finite; the others are
// counted all the same.
func (h *Histogram) Add(data []float32) error {
	lo, hi, bad := float32(math.Inf(1)), float32(math.Inf(-1)), 0
	for _, x := range data {
		if x-x != 0 { // NaN or infinite
			bad++
			continue
		}
		lo, hi = min(lo, x), max(hi, x)
	}
	if bad < len(data) {
		h.widen(float64(lo), float64(hi))
		h.count(data)
	}
	if bad > 0 {
		return fmt.Errorf("got %d of %d elements that are NaN or infinite, want finite numbers", bad, len(data))
	}
	return nil
}

// widen makes the histogram hold elements from lo to hi.
func (h *Histogram) widen(lo, hi float64) {
	if h.n == 0 {
		h.lo, h.hi = lo, hi
	}
	h.lo, h.hi = min(h.lo, lo), max(h.hi, hi)
	if top := max(hi, -lo); top > 0 {
		_, e := math.Frexp(top) // top < 2^e
		switch {
		case h.above == nil:
			h.above, h.exponent = make([]uint64, halfBins), e
		case e > h.exponent:
			coarsen(h.above, e-h.exponent)
			coarsen(h.below, e-h.exponent)
			h.exponent = e
		}
	}
	if lo < 0 && h.below == nil {
		h.below = make([]uint64, halfBins)
	}
}

// coarsen merges runs of 2^doublings bins into one.
func coarsen(bins []uint64, doublings int) {
	if doublings >= bits.Len(halfBins) {
		doublings = bits.Len(halfBins) // all fall into the first
	}
	for i, n := range bins {
		bins[i] = 0
		bins[i>>doublings] += n
	}
}

func (h *Histogram) count(data []float32) {
	perUnit := math.Ldexp(halfBins, -h.exponent)
	var sum, power float64
	for _, x := range data {
		v := float64(x)
		switch {
		case v > 0 && v <= math.MaxFloat32:
			h.above[int(v*perUnit)]++
		case v < 0 && v >= -math.MaxFloat32:
			h.below[int(-v*perUnit)]++
		case v == 0:
			h.zeros++
		default:
			continue
		}
		h.n++
		sum += v
		power += v * v
	}
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

// Bytes is the memory of the counts: at most 2·8·2048 bytes, however many elements
// were seen.
func (h *Histogram) Bytes() int { return 8 * (len(h.above) + len(h.below)) }

// HistogramBytes is the most that [Histogram.Bytes] can be.
const HistogramBytes = 2 * 8 * halfBins

// Outside is the share of elements outside of a range, to the width of a bin.
func (h *Histogram) Outside(r Range) float64 {
	if h.n == 0 {
		return 0
	}
	width, out := h.width(), uint64(0)
	for i, n := range h.above { // a bin whose nearer end is outside holds none inside
		if float64(i)*width >= r.Hi {
			out += n
		}
	}
	for i, n := range h.below {
		if -float64(i)*width <= r.Lo {
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
	if h.n == 0 || whole.Lo == whole.Hi {
		return whole
	}
	switch f {
	case FitPercentile:
		return h.percentile(whole)
	case FitEntropy:
		return h.clipped(whole, h.divergence)
	case FitMSE:
		return h.clipped(whole, h.squaredError)
	}
	return whole
}

// tail is the share of elements that the percentile method may clip at each end.
const tail = 5e-5

// percentile leaves out a share of the elements at each end.
func (h *Histogram) percentile(whole Range) Range {
	allowed := uint64(tail * float64(h.n))
	end := func(bins []uint64) float64 {
		left := allowed
		for i := len(bins) - 1; i >= 0; i-- {
			if bins[i] > left {
				return float64(i+1) * h.width()
			}
			left -= bins[i]
		}
		return 0
	}
	return Range{max(whole.Lo, -end(h.below)), min(whole.Hi, end(h.above))}
}

// candidates is how many bounds between nothing and everything are compared.
const candidates = 256

// clipped is the range [−c, c], cut off where the elements end, of least cost.
func (h *Histogram) clipped(whole Range, cost func(r Range) float64) Range {
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
func (h *Histogram) squaredError(r Range) float64 {
	s := (r.Hi - r.Lo) / 255
	if s == 0 {
		return math.Inf(1)
	}
	width, total := h.width(), 0.0
	side := func(bins []uint64, end float64) {
		end = math.Round(end/s) * s // the grid holds 0, so its ends are multiples of s
		for i, n := range bins {
			if n > 0 {
				x := (float64(i) + 0.5) * width
				d := x - min(end, math.Round(x/s)*s)
				// Within a bin elements are taken for uniform, which a bin far
				// narrower than s makes no difference to.
				total += float64(n) * d * d
			}
		}
	}
	side(h.above, r.Hi)
	side(h.below, -r.Lo)
	return total
}

// divergence is the Kullback–Leibler divergence, in nats, of the elements clipped
// to r from what 256 levels leave of them: within a level counts are averaged over
// the bins that are not empty. Zeros count on neither side: a grid holds them, and
// behind a ReLU they would outweigh all else.
//
// Source: S. Migacz, "8-bit inference with TensorRT", GPU Technology Conference
// 2017, slides 31–36.
func (h *Histogram) divergence(r Range) float64 {
	width, s := h.width(), (r.Hi-r.Lo)/255
	if s <= width { // fewer bins than levels: they could not tell
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
			level := math.Round((float64(from) + 0.5) * width / s)
			var mass, filled float64
			to := from
			for ; to <= last && math.Round((float64(to)+0.5)*width/s) == level; to++ {
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
				case bins[i] == 0: // only clipped elements: no level stands for them
					sum = math.Inf(1)
				default:
					sum += p * math.Log(p/q)
				}
				total += p
			}
			from = to
		}
	}
	side(h.above, r.Hi)
	side(h.below, -r.Lo)
	if total == 0 {
		return math.Inf(1)
	}
	// Σ (p/P)·log((p/P)/(q/Q)) with P = total and Q = total − clipped.
	return sum/total + math.Log((total-clipped)/total)
}
