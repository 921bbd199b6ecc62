package train

import (
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
)

// ApproachKind is a boundary that training moves towards.
type ApproachKind string

// The boundaries. Infinity is an ideal point, the others are strata among the
// models there are.
const (
	ToZero     ApproachKind = "zero"           // θ → 0
	ToSparse   ApproachKind = "sparse stratum" // weights stay exactly zero
	ToInfinity ApproachKind = "infinity"       // ‖θ‖ grows while θ/‖θ‖ settles
	ToNone     ApproachKind = "none"
)

// Approach is what a sequence of models tends to.
type Approach struct {
	Kind    ApproachKind
	Verdict compactify.Verdict // at a finite number of steps supported at best
	Norm    float64            // ‖θ‖₂ of the last model
	Zeros   float64            // the share of its weights that are exactly zero
	Growth  float64            // slope of log‖θ‖ per step over the last half
	Turn    float64            // angle between the directions of the last two models, radians
	Settles bool               // the angles fall: each half of the sequence turns less than the one before
	Reason  string
}

// Tracker follows models on their way to a boundary, see [Tracker.Approach]. Its
// memory is one direction and three numbers per model.
type Tracker struct {
	// Threshold is ‖θ‖/‖θ₀‖ below which a model counts as at the boundary θ = 0, and
	// the share of weights left below which it counts as at a sparse stratum; 0 means
	// 1e-3 and 0.5.
	ZeroThreshold, SparseThreshold float64

	norms, turns, zeros []float64
	direction           []float64
}

// Observe adds a model; all must have the same weights by name and shape.
func (t *Tracker) Observe(g *graph.Graph) {
	var x []float64
	for _, p := range g.Weights() {
		for _, v := range floats(p) {
			x = append(x, float64(v))
		}
	}
	t.ObservePoint(x)
}

// ObservePoint adds a vector of weights.
func (t *Tracker) ObservePoint(x []float64) {
	none := 0
	for _, v := range x {
		if v == 0 {
			none++
		}
	}
	norm := length(x)
	turn := math.NaN()
	if norm > 0 && len(t.direction) == len(x) {
		turn = angle(t.direction, x, norm)
	}
	t.norms, t.turns, t.zeros = append(t.norms, norm), append(t.turns, turn), append(t.zeros, float64(none)/float64(max(1, len(x))))
	if norm > 0 {
		t.direction = append(t.direction[:0], x...)
		scaleTo(t.direction, 1/norm, x)
	}
}

// angle between a unit vector and x, exact where it is small: 2·asin(‖u − x/‖x‖‖/2).
func angle(u, x []float64, norm float64) float64 {
	sum := 0.0
	for i, v := range x {
		d := u[i] - v/norm
		sum += d * d
	}
	return 2 * math.Asin(min(1, math.Sqrt(sum)/2))
}

// Approach says where the sequence tends to. Directions that settle do so slowly: in
// the flow of a separable problem the angle to its limit falls like 1/log t, so that
// a finite sequence supports infinity and never proves it.
//
// Source: theory, sections 1 and 3; D. Soudry et al., "The implicit bias of gradient
// descent on separable data", JMLR 19 (2018), theorem 3.
func (t *Tracker) Approach() Approach {
	n := len(t.norms)
	if n == 0 {
		return Approach{Kind: ToNone, Verdict: compactify.Inconclusive, Turn: math.NaN(), Reason: "no models were observed"}
	}
	zero, sparse := t.ZeroThreshold, t.SparseThreshold
	if zero == 0 {
		zero = 1e-3
	}
	if sparse == 0 {
		sparse = 0.5
	}
	a := Approach{Norm: t.norms[n-1], Zeros: t.zeros[n-1], Turn: t.turns[n-1], Growth: t.growth()}
	a.Settles = t.settles()
	switch {
	case a.Norm <= zero*t.norms[0] || a.Norm == 0:
		a.Kind, a.Verdict = ToZero, compactify.Supported
		a.Reason = fmt.Sprintf("‖θ‖ fell from %.6g to %.6g, a share of %.3g", t.norms[0], a.Norm, a.Norm/max(t.norms[0], math.SmallestNonzeroFloat64))
		if a.Norm == 0 {
			a.Verdict = compactify.Verified
		}
	case 1-a.Zeros <= sparse:
		a.Kind, a.Verdict = ToSparse, compactify.Verified
		a.Reason = fmt.Sprintf("%.4g %% of the weights are exactly zero", 100*a.Zeros)
	case n < 4:
		a.Kind, a.Verdict, a.Reason = ToNone, compactify.Inconclusive, fmt.Sprintf("%d models are too few for a trend", n)
	case t.rising() && a.Settles:
		a.Kind, a.Verdict = ToInfinity, compactify.Supported
		a.Reason = fmt.Sprintf("‖θ‖ grew from %.6g to %.6g in every step of the last half while its direction turned ever less, %.3g rad in the last", t.norms[0], a.Norm, a.Turn)
	default:
		a.Kind, a.Verdict = ToNone, compactify.Supported
		a.Reason = fmt.Sprintf("‖θ‖ went from %.6g to %.6g", t.norms[0], a.Norm)
	}
	return a
}

// growth is the mean slope of log‖θ‖ per step over the last half.
func (t *Tracker) growth() float64 {
	n := len(t.norms)
	from := (n - 1) / 2
	if n < 2 || t.norms[from] == 0 || t.norms[n-1] == 0 {
		return 0
	}
	return math.Log(t.norms[n-1]/t.norms[from]) / float64(n-1-from)
}

// rising reports whether the norm grows in every step of the last half.
func (t *Tracker) rising() bool {
	for i := len(t.norms)/2 + 1; i < len(t.norms); i++ {
		if !(t.norms[i] > t.norms[i-1]) {
			return false
		}
	}
	return true
}

// settles reports whether the direction turns less in the last half than in the
// first, by the mean angle of a step.
func (t *Tracker) settles() bool {
	mean := func(list []float64) float64 {
		sum := 0.0
		for _, x := range list {
			sum += x
		}
		return sum / float64(len(list))
	}
	n := len(t.turns)
	if n < 4 {
		return false
	}
	half := (n + 1) / 2
	return mean(t.turns[half:]) < mean(t.turns[1:half])
}

// ApproachOf is the [Tracker.Approach] of a run's epochs, of models with so many weights.
func ApproachOf(epochs []Epoch, weights int) Approach {
	t := &Tracker{}
	for _, e := range epochs {
		t.norms, t.turns = append(t.norms, e.Norm), append(t.turns, e.Turn)
		t.zeros = append(t.zeros, float64(e.Zeros)/float64(max(1, weights)))
	}
	return t.Approach()
}
