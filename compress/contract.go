package compress

import (
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/jsonnum"
)

// Keeping is what may be said of a budget.
type Keeping string

// The verdicts of a contract.
const (
	Met       Keeping = "MET"                // the worse end of the interval is inside the limit
	MetWithin Keeping = "MET (within noise)" // only the estimate is
	NotMet    Keeping = "NOT MET"
)

// Contract compares a compact model with the original on the same examples.
type Contract struct {
	Kind     string           `json:"kind"`
	Limit    jsonnum.Float    `json:"limit"`
	Measured jsonnum.Float    `json:"measured"` // in the budget's unit
	CI95     [2]jsonnum.Float `json:"ci95"`     // paired 95 % interval of Measured
	Verdict  Keeping          `json:"verdict"`
	Examples int              `json:"examples"`
	Output   string           `json:"output,omitempty"` // of several that are judged, the one farthest from the original
}

// normal95 is the 97.5 % point of the standard normal distribution.
const normal95 = 1.959963984540054

// student95 is the 97.5 % point of Student's t distribution, to 1 %.
//
// Source: M. Abramowitz and I. A. Stegun, "Handbook of mathematical functions"
// (1964), 26.7.5 and, for the fewest degrees of freedom, table 26.10.
func student95(freedom float64) float64 {
	switch {
	case freedom < 2:
		return 12.706
	case freedom < 3:
		return 4.303
	}
	const z = normal95
	const (
		z3 = z * z * z
		z5 = z3 * z * z
		z7 = z5 * z * z
	)
	v := freedom
	return z + (z3+z)/(4*v) + (5*z5+16*z3+3*z)/(96*v*v) + (3*z7+19*z5+17*z3-15*z)/(384*v*v*v)
}

// newContract judges outcomes on the same examples against a budget.
func newContract(b compactify.Budget, original, compact Outcome) Contract {
	estimate, lo, hi, output := interval(b, original, compact)
	c := Contract{Kind: string(b.Kind), Limit: jsonnum.Float(b.Limit), Measured: jsonnum.Float(estimate),
		CI95: [2]jsonnum.Float{jsonnum.Float(lo), jsonnum.Float(hi)}, Verdict: NotMet, Examples: len(original.Loss), Output: output}
	worse := hi
	if b.Kind == compactify.MinSNR {
		worse = lo
	}
	switch {
	case b.Within(worse):
		c.Verdict = Met
	case b.Within(estimate):
		c.Verdict = MetWithin
	}
	return c
}

// budget is what the contract was judged against.
func (c Contract) budget() compactify.Budget {
	return compactify.Budget{Kind: compactify.BudgetKind(c.Kind), Limit: float64(c.Limit)}
}

// worst is the end of the interval on the wrong side, in the budget's unit: what a
// careful choice must keep inside the limit.
func (c Contract) worst() float64 {
	if c.Kind == string(compactify.MinSNR) {
		return float64(c.CI95[0])
	}
	return float64(c.CI95[1])
}

// interval estimates the budget's quantity with a paired 95 % interval, NaN where
// the task has no such quantity. A ratio is that of the output on which it is
// worst, which is named if there are several.
func interval(b compactify.Budget, original, compact Outcome) (estimate, lo, hi float64, output string) {
	switch b.Kind {
	case compactify.MetricDrop:
		if original.Task == Classification || original.Task == Imitation {
			estimate, lo, hi = pairedProportions(original.Score, compact.Score)
			break
		}
		estimate, lo, hi = pairedMean(compact.Score, original.Score, 100/original.Base)
	case compactify.LossRise:
		estimate, lo, hi = pairedMean(compact.Loss, original.Loss, 1)
	case compactify.KLFrom:
		estimate, lo, hi = pairedMean(compact.KL, nil, 1)
	default:
		for i, s := range compact.Signals {
			e, l, h := ratioInterval(s.Power, s.Noise)
			if i == 0 || l < lo || l == lo && e < estimate {
				estimate, lo, hi, output = e, l, h, s.Output
			}
		}
		if len(compact.Signals) < 2 {
			output = ""
		}
	}
	return estimate, lo, hi, output
}

// pairedMean is factor times the mean of x − y (y nil counts as zero), with its
// 95 % interval by Student's t.
func pairedMean(x, y []float64, factor float64) (estimate, lo, hi float64) {
	n := float64(len(x))
	at := func(i int) float64 {
		if y == nil {
			return factor * x[i]
		}
		return factor * (x[i] - y[i])
	}
	for i := range x {
		estimate += at(i) / n
	}
	half := math.Inf(1)
	if n > 1 {
		squares := 0.0
		for i := range x {
			squares += (at(i) - estimate) * (at(i) - estimate)
		}
		half = student95(n-1) * math.Sqrt(squares/(n-1)/n)
	}
	return estimate, estimate - half, estimate + half
}

// pairedProportions is the drop of accuracy in percentage points with the
// adjusted Wald interval for matched pairs, which adds half an observation to
// each of the four cells and so does not collapse when no answer changed. Ends
// beyond ±100 are cut off.
//
// Source: A. Agresti and Y. Min, "Simple improved confidence intervals for
// comparing matched proportions", Statistics in Medicine 24 (2005), 729–740.
func pairedProportions(original, compact []float64) (estimate, lo, hi float64) {
	var lost, won float64
	for i := range original {
		switch {
		case original[i] > compact[i]:
			lost++
		case original[i] < compact[i]:
			won++
		}
	}
	n := float64(len(original))
	estimate = 100 * (lost - won) / n
	lost, won, n = lost+0.5, won+0.5, n+2
	centre := (lost - won) / n
	half := normal95 * math.Sqrt((lost+won)-(lost-won)*(lost-won)/n) / n
	return estimate, 100 * max(-1, centre-half), 100 * min(1, centre+half)
}

// DropInterval is the drop of accuracy in percentage points, with its 95 % interval,
// over examples of which several views were judged, or each by several models: entry i
// of n examples is of example i mod n. Views of an example are no independent observations, so the interval is of the means of
// each. As in [pairedProportions], half an example that is lost and half a one that
// is won are added to it, so that it does not collapse when no answer changed.
func DropInterval(n int, original, compact []float64) (estimate, lo, hi float64) {
	drop, views := make([]float64, n), make([]float64, n)
	for i := range original {
		drop[i%n] += original[i] - compact[i]
		views[i%n]++
	}
	sum, squares := 0.0, 1.0
	for i, v := range views {
		d := drop[i] / max(1, v)
		sum, squares = sum+d, squares+d*d
	}
	m := float64(n) + 2
	centre := sum / m
	half := normal95 * math.Sqrt(squares-sum*sum/m) / m
	return 100 * sum / float64(n), 100 * max(-1, centre-half), 100 * min(1, centre+half)
}

// ratioInterval is the signal-to-noise ratio in dB with an interval by the delta
// method for the ratio of two means:
//
//	Var(log p̄ − log q̄) ≈ Var(p/p̄ − q/q̄)/n
func ratioInterval(power, noise []float64) (estimate, lo, hi float64) {
	p, q := mean(power), mean(noise)
	estimate = decibels(p, q)
	n := float64(len(power))
	switch {
	case n < 2:
		return estimate, math.Inf(-1), math.Inf(1)
	case q == 0:
		return estimate, estimate, estimate
	}
	variance := 0.0
	for i := range power {
		d := power[i]/p - noise[i]/q
		variance += d * d
	}
	half := student95(n-1) * 10 / math.Ln10 * math.Sqrt(variance/(n-1)/n)
	return estimate, estimate - half, estimate + half
}
