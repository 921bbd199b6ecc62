package web

import (
	"math"
	"strconv"

	"github.com/compactify/compactify/internal/words"
)

// axis maps values to positions in [0, 1] and has ticks to read them by.
type axis struct {
	label  string
	lo, hi float64
	log    bool
	stops  []float64 // if set, values with equal distances between them, as the rungs of a ladder
	ends   [2]string // of a logarithmic axis: labels of the places of 0 and of infinity, "" for none
	ticks  []tick
}

// endRoom is the share of an axis between the place of 0 or of infinity and the
// first finite value.
const endRoom = 0.1

type tick struct {
	at    float64
	label string
	mark  string // class of a tick that names a line across the plot
}

// newAxis spans the finite values with round ticks. An axis that would be empty
// gets a range of its own, so that a chart of nothing still draws.
func newAxis(label string, values []float64) axis {
	lo, hi := span(values)
	a := axis{label: label}
	step := roundStep((hi - lo) / 5)
	first := step * math.Floor(lo/step+1e-9)
	a.lo, a.hi = end(lo, first, step), end(hi, step*math.Ceil(hi/step-1e-9), step)
	decimals := max(0, int(math.Ceil(-math.Log10(step)-1e-9)))
	for i := 0; i <= 20; i++ {
		v := first + float64(i)*step
		if v > a.hi+step/1e6 {
			break
		}
		if v < a.lo-step/1e6 {
			continue
		}
		label := words.Fixed(v, decimals)
		if decimals > 5 || math.Abs(v) >= 1e7 {
			label = words.Significant(v, 3)
		}
		a.ticks = append(a.ticks, tick{at: v, label: label})
	}
	return a
}

// end is where an axis ends: at the round value beyond its last, or a little
// beyond the last if the round value would leave a gap.
func end(last, round, step float64) float64 {
	if math.Abs(round-last) < 0.6*step {
		return round
	}
	return last + math.Copysign(0.1*step, round-last)
}

// newLogAxis spans the positive values in powers of ten.
func newLogAxis(label string, values []float64) axis {
	var positive []float64
	for _, v := range values {
		if v > 0 {
			positive = append(positive, v)
		}
	}
	lo, hi := span(positive)
	if lo == 0 { // there is none
		lo, hi = 1, 10
	}
	a := axis{label: label, log: true, lo: lo / 1.15, hi: hi * 1.15}
	first, last := int(math.Floor(math.Log10(lo))), int(math.Ceil(math.Log10(hi)))
	if hi/lo > 300 {
		a.powers(first, last)
	} else {
		for e := first; e <= last; e++ {
			for _, f := range []float64{1, 2, 5} {
				a.tickAt(f * math.Pow(10, float64(e)))
			}
		}
	}
	if len(a.ticks) < 2 { // within less than a step from one round value to the next
		a.ticks = nil
		for _, t := range newAxis("", []float64{a.lo, a.hi}).ticks {
			a.tickAt(t.at)
		}
	}
	return a
}

func (a *axis) tickAt(v float64) {
	if v >= a.lo && v <= a.hi {
		a.ticks = append(a.ticks, tick{at: v, label: words.Significant(v, 3)})
	}
}

// powers adds ticks at powers of ten, about six at most. Their labels are powers if
// written out they would be long.
func (a *axis) powers(first, last int) {
	every := max(1, (last-first+5)/6)
	long := first < -4 || last > 4
	for e := first; e <= last; e++ {
		v := math.Pow(10, float64(e))
		if e%every != 0 || v < a.lo || v > a.hi {
			continue
		}
		label := words.Significant(v, 3)
		if long {
			label = words.PowerOfTen(e)
		}
		a.ticks = append(a.ticks, tick{at: v, label: label})
	}
}

// withEnds gives 0 and infinity places beyond the finite values of a logarithmic
// axis.
func (a axis) withEnds(zero, infinity string) axis {
	a.ends = [2]string{zero, infinity}
	if zero != "" {
		a.ticks = append(a.ticks, tick{at: 0, label: zero})
	}
	if infinity != "" {
		a.ticks = append(a.ticks, tick{at: math.Inf(1), label: infinity})
	}
	return a
}

// newLadder puts the values, in the order given, at equal distances.
func newLadder(label string, stops []float64, labels []string) axis {
	a := axis{label: label, stops: stops}
	for i, v := range stops {
		a.ticks = append(a.ticks, tick{at: v, label: labels[i]})
	}
	return a
}

// position is where a value stands, 0 to 1 within the axis; NaN for a value
// that has no place.
func (a axis) position(v float64) float64 {
	switch {
	case a.stops != nil:
		return ladder(a.stops, v)
	case a.log:
		return a.logPosition(v)
	}
	return (v - a.lo) / (a.hi - a.lo)
}

func (a axis) logPosition(v float64) float64 {
	from, to := 0.0, 1.0
	if a.ends[0] != "" {
		if v == 0 {
			return 0
		}
		from = endRoom
	}
	if a.ends[1] != "" {
		if math.IsInf(v, 1) {
			return 1
		}
		to = 1 - endRoom
	}
	return from + (to-from)*math.Log(v/a.lo)/math.Log(a.hi/a.lo)
}

// ladder interpolates between ascending stops, with a margin of half a rung.
func ladder(stops []float64, v float64) float64 {
	n := len(stops)
	if n == 1 {
		return 0.5
	}
	for i := 1; i < n; i++ {
		if v <= stops[i] {
			share := (v - stops[i-1]) / (stops[i] - stops[i-1])
			return (float64(i-1) + share + 0.25) / (float64(n) - 0.5)
		}
	}
	return math.NaN()
}

// note adds a tick for a value that matters; ordinary ticks that would touch
// its label give way. gap is the least distance, in positions, of two labels.
func (a *axis) note(v float64, label, mark string, gap func(a, b string) float64) {
	at := a.position(v)
	if math.IsNaN(at) || at < -1e-9 || at > 1+1e-9 {
		return
	}
	var kept []tick
	for _, t := range a.ticks {
		if t.mark != "" || math.Abs(a.position(t.at)-at) >= gap(t.label, label) {
			kept = append(kept, t)
		}
	}
	a.ticks = append(kept, tick{v, label, mark})
}

// span is the range of the finite values, widened if it is a single point.
func span(values []float64) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if finite(v) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	switch {
	case lo > hi:
		return 0, 1
	case lo == hi && lo == 0:
		return 0, 1
	case hi-lo <= 1e-9*math.Abs(hi):
		return lo - math.Abs(lo)/10, hi + math.Abs(hi)/10
	}
	return lo, hi
}

// finite reports whether a value can be drawn. Sizes beyond 1e150 would
// overflow on the way to a position and are left out as well.
func finite(v float64) bool { return !math.IsNaN(v) && math.Abs(v) < 1e150 }

// roundStep is the least of 1, 2 or 5 times a power of ten that is at least x.
func roundStep(x float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(x)))
	for _, f := range []float64{1, 2, 5} {
		if f*power >= x*(1-1e-9) {
			return f * power
		}
	}
	return 10 * power
}

// coordinate writes a position in the drawing.
func coordinate(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }
