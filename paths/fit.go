package paths

import (
	"math"
	"slices"

	"github.com/compactify/compactify/internal/kernel"
)

// fitter chooses the scale and zero point of a grid for weights that share them.
type fitter struct {
	grid
	fit  Fit
	set  kernel.Set
	sort []float32 // magnitudes in order; reused
	bins []float64 // of the entropy fit's histogram; reused
}

func newFitter(s Scheme, set kernel.Set) *fitter {
	return &fitter{grid: s.grid(), fit: s.Fit, set: set}
}

// level fits finite weights. Zeros alone get the scale 1, or 0 for one bit, whose
// grid has no zero.
func (f *fitter) level(w []float32) level {
	if len(w) == 0 {
		return level{scale: 1}
	}
	if f.signs {
		return level{scale: f.meanMagnitude(w)}
	}
	lo, hi, _ := kernel.MinMax(f.set, w)
	if lo == 0 && hi == 0 {
		return level{scale: 1}
	}
	span := span{float64(lo), float64(hi)}
	switch {
	case f.fit == FitMinMax:
		return f.spanning(span)
	case f.fit == FitPercentile:
		return f.spanning(f.percentile(w, span))
	case f.fit == FitEntropy:
		return f.spanning(f.leastDivergence(w, span))
	case f.fit == FitFixedPoint:
		return f.fixedPoint(w, span)
	case f.lo == -1:
		return f.ternary(w)
	}
	return f.leastSquares(w, span)
}

// span is a range of weights.
type span struct{ lo, hi float64 }

func (r span) times(f float64) span { return span{f * r.lo, f * r.hi} }

// spanning is the level at which the grid reaches just to both ends of a span
// that holds 0.
func (f *fitter) spanning(r span) level {
	lo, hi := min(0, r.lo), max(0, r.hi)
	if !f.asymmetric {
		return level{scale: divisor(max(hi/float64(f.hi), lo/float64(f.lo)))}
	}
	s := divisor((hi - lo) / float64(f.hi))
	return level{s, int(max(0, min(float64(f.hi), math.RoundToEven(-lo/float64(s)))))}
}

// meanMagnitude is α of one bit, the scale of least squared error
// ‖θ‖² − ‖θ‖₁²/d (THEORY section 3).
func (f *fitter) meanMagnitude(w []float32) float32 {
	sum := 0.0
	for _, x := range w {
		sum += math.Abs(float64(x))
	}
	return float32(sum / float64(len(w)))
}

// ternary is the least-squares scale of {−s, 0, +s}. With the k largest
// magnitudes rounded to s, the best s is their mean and the squared error
// ‖θ‖² − (Σ_k |θ|)²/k, so k is that of the largest (Σ_k |θ|)²/k. Rounding at s/2
// then picks just these k.
func (f *fitter) ternary(w []float32) level {
	f.magnitudes(w)
	best, scale, sum := 0.0, 0.0, 0.0
	for i := range f.sort {
		sum += float64(f.sort[len(f.sort)-1-i])
		if gain := sum * sum / float64(i+1); gain > best {
			best, scale = gain, sum/float64(i+1)
		}
	}
	return level{scale: divisor(scale)}
}

// magnitudes sorts |w|.
func (f *fitter) magnitudes(w []float32) {
	f.sort = f.sort[:0]
	for _, x := range w {
		f.sort = append(f.sort, abs32(x))
	}
	slices.Sort(f.sort)
}

// kept is the share of weights that the percentile fit does not clip.
const kept = 0.999

// percentile is the least span that holds all but a thousandth of the weights:
// of magnitudes if the grid is symmetric, otherwise half of it at each end.
func (f *fitter) percentile(w []float32, all span) span {
	if !f.asymmetric {
		f.magnitudes(w)
		m := float64(f.sort[rankOf(kept, len(w))])
		return span{max(-m, all.lo), min(m, all.hi)}
	}
	f.sort = append(f.sort[:0], w...)
	slices.Sort(f.sort)
	return span{float64(f.sort[len(w)-1-rankOf((1+kept)/2, len(w))]), float64(f.sort[rankOf((1+kept)/2, len(w))])}
}

// rankOf is the least index at which a share p of n sorted numbers lies at or
// before.
func rankOf(p float64, n int) int { return max(0, min(n-1, int(math.Ceil(p*float64(n)))-1)) }

// fixedPoint is the grid {−B..B}/2^k of least squared error. At the largest k
// that clips nothing Δ = 2^−k is below 2·max|θ|/B; each further k halves it and
// the range. The error first falls and then, when clipping outweighs rounding,
// rises.
func (f *fitter) fixedPoint(w []float32, all span) level {
	top := max(all.hi, -all.lo)
	k := int(math.Floor(math.Log2(float64(f.hi) / top)))
	best, bestErr := level{scale: divisor(math.Ldexp(1, -k))}, math.Inf(1)
	for {
		at := level{scale: divisor(math.Ldexp(1, -k))}
		e, _ := f.error(f.set, w, at, bestErr)
		if !(e < bestErr) {
			return best
		}
		best, bestErr = at, e
		k++
	}
}

// The search for the least squared error, in units of the scale that puts the
// largest weight at the end of the range: wide grids are best near 1, where the
// error varies quickly, narrow ones far below, where it varies slowly.
const (
	nearTries    = 32 // evenly spaced from nearHigh to nearLow
	nearHigh     = 1.05
	nearLow      = 0.85
	farTries     = 32   // in equal ratios from nearLow down to meanFraction
	meanFraction = 0.75 // of the mean magnitude, at the end of the range
	polish       = 8    // steps after the search
	many         = 1024 // of so many weights the error varies slowly everywhere, and a quarter of the tries near 1 is enough
)

// leastSquares tries scales from the one at which the largest weight is at the
// end of the range down to one at which the mean magnitude nearly is, and
// polishes the best by alternating between rounding and least squares. It is
// never worse than the first of them. Tries end as soon as their error is known to
// exceed the best.
func (f *fitter) leastSquares(w []float32, all span) level {
	best := f.spanning(all)
	bestErr, next := f.error(f.set, w, best, math.Inf(1))
	try := func(at level) {
		if e, after := f.error(f.set, w, at, bestErr); e < bestErr {
			best, bestErr, next = at, e, after
		}
	}
	top := max(all.hi, -all.lo)
	if !f.asymmetric {
		all = span{-top, top}
		try(f.spanning(all))
	}
	f.tries(w, top, func(r float64) bool {
		at := f.spanning(all.times(r))
		try(at)
		return f.clippedTop(top, at) < bestErr
	})
	if f.asymmetric {
		f.tries(w, top, func(r float64) bool { try(f.spanning(span{all.lo, r * all.hi})); return true })
		f.tries(w, top, func(r float64) bool { try(f.spanning(span{r * all.lo, all.hi})); return true })
	}
	for range polish {
		before := bestErr
		try(level{divisor(next), best.zero})
		if bestErr == before {
			break
		}
	}
	return best
}

// clippedTop is the squared error of the largest magnitude where it is clipped: no
// smaller scale has a smaller error than this. It is 0 for asymmetric grids.
func (f *fitter) clippedTop(top float64, at level) float64 {
	if f.asymmetric {
		return 0
	}
	beyond := max(0, top-float64(at.scale)*float64(-f.lo))
	return beyond * beyond
}

// tries calls try with each fraction of the full range to try, large ones first,
// as long as it says that smaller ones may be better; top is the largest magnitude.
func (f *fitter) tries(w []float32, top float64, try func(r float64) bool) {
	near := nearTries
	if len(w) >= many {
		near /= 4
	}
	for i := range near {
		try(nearHigh - (nearHigh-nearLow)*float64(i)/float64(near))
	}
	far := min(nearLow, meanFraction*float64(f.meanMagnitude(w))/top)
	r, ratio := nearLow, math.Pow(far/nearLow, 1.0/(farTries-1))
	for range farTries {
		if !try(r) {
			return
		}
		r *= ratio
	}
}

// The entropy fit.
const (
	maxBins    = 2048
	rangeTries = 64
	smoothing  = 1e-4 // share of a uniform distribution in both, so that none is 0 where the other is not
)

// leastDivergence shrinks the range so that the distribution of the clipped
// weights P and that of the rounded ones Q are as near as they can be in
// KL(P‖Q). P has what lies beyond the range in its outermost bins; Q has what
// lies inside, spread evenly over the bins of each level that are not empty.
//
// Source: S. Migacz, "8-bit inference with TensorRT", GPU Technology Conference
// 2017, pages 18 to 22.
func (f *fitter) leastDivergence(w []float32, all span) span {
	lo, hi := min(0, all.lo), max(0, all.hi)
	if !f.asymmetric {
		hi = max(hi, -lo)
		lo = -hi
	}
	levels := f.hi - f.lo + 1
	bins := max(4*levels, min(maxBins, len(w)/4))
	counts := f.histogram(w, span{lo, hi}, bins)
	best, bestKL := all, math.Inf(1)
	for i := rangeTries; i > 0; i-- {
		r := float64(i) / rangeTries
		first, last := binOf(r*lo, lo, hi, bins), binOf(r*hi, lo, hi, bins)
		if last-first+1 < levels {
			break
		}
		if kl := divergence(counts, first, last, levels); kl < bestKL {
			bestKL, best = kl, all.times(r)
		}
	}
	return best
}

func binOf(x, lo, hi float64, bins int) int {
	return max(0, min(bins-1, int((x-lo)/(hi-lo)*float64(bins))))
}

func (f *fitter) histogram(w []float32, r span, bins int) []float64 {
	f.bins = append(f.bins[:0], make([]float64, bins)...)
	for _, x := range w {
		f.bins[binOf(float64(x), r.lo, r.hi, bins)]++
	}
	return f.bins
}

// divergence is KL(P‖Q) in nats for a range of bins [first, last]; see
// leastDivergence.
func divergence(counts []float64, first, last, levels int) float64 {
	n := last - first + 1
	total, inside, before, after := 0.0, 0.0, 0.0, 0.0
	for i, c := range counts {
		total += c
		switch {
		case i < first:
			before += c
		case i > last:
			after += c
		default:
			inside += c
		}
	}
	if inside == 0 {
		return math.Inf(1)
	}
	kl := 0.0
	for level := range levels {
		lo, hi := first+level*n/levels, first+(level+1)*n/levels
		sum, filled := 0.0, 0.0
		for _, c := range counts[lo:hi] {
			sum += c
			if c > 0 {
				filled++
			}
		}
		for i, c := range counts[lo:hi] {
			p, q := c, 0.0
			if lo+i == first {
				p += before
			}
			if lo+i == last {
				p += after
			}
			if p == 0 {
				continue // empty in both
			}
			if c > 0 {
				q = sum / filled
			}
			p, q = smooth(p/total, n), smooth(q/inside, n)
			kl += p * math.Log(p/q)
		}
	}
	return kl
}

func smooth(p float64, n int) float64 { return (1-smoothing)*p + smoothing/float64(n) }
