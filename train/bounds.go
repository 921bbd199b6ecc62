package train

import (
	"fmt"
	"math"

	"github.com/compactify/compactify"
)

// LossFloor is a lower bound L̲ of a loss, and where it comes from.
type LossFloor struct {
	Value float64
	From  string
}

// The floors of the losses that this package trains.
var (
	CrossEntropyFloor = LossFloor{0, "a cross-entropy is at least 0"}
	SquaresFloor      = LossFloor{0, "a mean of squares is at least 0"}
)

// GivenFloor is a bound that the caller vouches for.
func GivenFloor(value float64) LossFloor { return LossFloor{value, "given"} }

// SublevelRadius is the radius √((C − L̲)/λ) of the ball that holds every θ with
// L(θ) + λ‖θ‖² ≤ C. It is NaN if the sublevel set is empty, C < L̲, and +Inf for
// λ = 0. Source: theory, row 2.
func SublevelRadius(level, floor, lambda float64) float64 {
	if lambda == 0 && level >= floor {
		return math.Inf(1)
	}
	return math.Sqrt((level - floor) / lambda)
}

// Iterate is a point of a training run under the penalty λ‖θ‖².
type Iterate struct {
	Norm     float64 // ‖θ‖₂
	Loss     float64 // mean loss L(θ), the penalty excluded
	Lambda   float64 // λ in force on the way to it; of the first iterate, in force next
	Gradient float64 // ‖∇(L + λ‖θ‖²)‖₂; NaN if it was not measured
}

func (k Iterate) penalised(lambda float64) float64 { return k.Loss + lambda*k.Norm*k.Norm }

// BoundName names a bound on the length of θ.
type BoundName string

// The bounds. [SublevelBound] is theory, row 2, the others are those of row 4.
const (
	SublevelBound BoundName = "sublevel"        // ‖θ‖ ≤ √((L_λ(θ₀) − L̲)/λ) where L_λ(θ) ≤ L_λ(θ₀)
	ZeroBound     BoundName = "below zero's"    // ‖θ‖ ≤ √((L(0) − L̲)/λ) where L_λ(θ) ≤ L(0)
	CriticalBound BoundName = "critical points" // ‖θ‖ ≤ (‖g(0)‖ + ‖∇L_λ(θ)‖)/(2λ − M) where 2λ > M
	FlowBound     BoundName = "along training"  // ‖θ_t‖² ≤ ‖θ₀‖² + (L(θ₀) − L̲)/λ(0) for a λ that never falls
)

// NormBound is a bound on the length of θ, checked on the iterates of a run.
type NormBound struct {
	Name    BoundName
	Verdict compactify.Verdict
	Reason  string

	Radius  float64 // at the last iterate that meets the hypothesis; NaN if none does
	Checked int     // iterates that meet the hypothesis
	Tight   float64 // the largest ‖θ‖/radius among them
	Outside int     // index of the first one outside; −1 if there is none
	Norm    float64 // its length,
	Limit   float64 // and its radius
}

// BoundOptions is what is known beside the iterates.
type BoundOptions struct {
	Floor     LossFloor
	Loss0     float64 // L(0)
	GradNorm0 float64 // ‖g(0)‖₂
	Lipschitz float64 // M, a Lipschitz constant of ∇L; 0 means that none is known, see [Objective.CurvatureBound]
}

// boundTolerance is by what share ‖θ‖² may exceed a bound on account of losses that
// were computed in float32.
const boundTolerance = 1e-6

// NormBounds checks each bound on the iterates of a run, of which the first is θ₀.
//
// The first three hold for every point that meets their hypothesis: an iterate
// outside means that L̲ or M is none. The bound along training is a theorem for the
// gradient flow and for steps that never raise the penalised loss; for a training
// run, with steps on batches, it is a claim that an iterate can refute.
func NormBounds(iterates []Iterate, o BoundOptions) []NormBound {
	c := boundCheck{iterates, o}
	return []NormBound{c.sublevel(), c.belowZero(), c.critical(), c.flow()}
}

type boundCheck struct {
	iterates []Iterate
	o        BoundOptions
}

// run checks a bound: radius returns NaN for an iterate that does not meet the
// hypothesis.
func (c boundCheck) run(name BoundName, hypothesis string, radius func(i int, k Iterate) float64) NormBound {
	b := NormBound{Name: name, Outside: -1, Radius: math.NaN()}
	for i, k := range c.iterates {
		r := radius(i, k)
		if math.IsNaN(r) {
			continue
		}
		b.Checked++
		b.Radius = r
		if k.Norm > 0 {
			b.Tight = max(b.Tight, k.Norm/r)
		}
		if !(k.Norm*k.Norm <= r*r*(1+boundTolerance)) && b.Outside < 0 {
			b.Outside, b.Norm, b.Limit = i, k.Norm, r
		}
	}
	switch {
	case b.Checked == 0:
		b.Verdict, b.Reason = compactify.NotApplicable, "no iterate has "+hypothesis
	case b.Outside >= 0:
		b.Verdict = compactify.Refuted
		b.Reason = fmt.Sprintf("iterate %d has ‖θ‖ = %.9g, above %.9g", b.Outside, b.Norm, b.Limit)
	default:
		b.Verdict = compactify.Supported
		b.Reason = fmt.Sprintf("%s of %s with %s inside, up to %.3g of the radius; L̲ = %g: %s", plural(b.Checked, "iterate"), plural(len(c.iterates), "iterate"), hypothesis, b.Tight, c.o.Floor.Value, c.o.Floor.From)
	}
	return b
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (c boundCheck) sublevel() NormBound {
	return c.run(SublevelBound, "λ > 0 and L_λ(θ) ≤ L_λ(θ₀)", func(i int, k Iterate) float64 {
		level := c.iterates[0].penalised(k.Lambda)
		if !(k.Lambda > 0) || !(k.penalised(k.Lambda) <= level) {
			return math.NaN()
		}
		return SublevelRadius(level, c.o.Floor.Value, k.Lambda)
	})
}

func (c boundCheck) belowZero() NormBound {
	return c.run(ZeroBound, "λ > 0 and L_λ(θ) ≤ L(0)", func(i int, k Iterate) float64 {
		if !(k.Lambda > 0) || !(k.penalised(k.Lambda) <= c.o.Loss0) {
			return math.NaN()
		}
		return SublevelRadius(c.o.Loss0, c.o.Floor.Value, k.Lambda)
	})
}

// critical: ‖∇L_λ(θ)‖ ≥ 2λ‖θ‖ − ‖g(θ)‖ ≥ (2λ − M)‖θ‖ − ‖g(0)‖.
func (c boundCheck) critical() NormBound {
	if !(c.o.Lipschitz > 0) {
		return NormBound{Name: CriticalBound, Verdict: compactify.NotApplicable, Reason: "no Lipschitz constant of the gradient is known",
			Radius: math.NaN(), Outside: -1}
	}
	return c.run(CriticalBound, "2λ > M and a measured gradient", func(i int, k Iterate) float64 {
		if !(2*k.Lambda > c.o.Lipschitz) {
			return math.NaN()
		}
		return (c.o.GradNorm0 + k.Gradient) / (2*k.Lambda - c.o.Lipschitz)
	})
}

// flow starts from the first iterate with λ > 0.
func (c boundCheck) flow() NormBound {
	none := NormBound{Name: FlowBound, Verdict: compactify.NotApplicable, Radius: math.NaN(), Outside: -1}
	from := 0
	for from < len(c.iterates) && !(c.iterates[from].Lambda > 0) {
		from++
	}
	if from == len(c.iterates) {
		none.Reason = "λ is 0 throughout"
		return none
	}
	start := c.iterates[max(0, from-1)] // θ when λ first counts
	lambda := c.iterates[from].Lambda
	for i := from + 1; i < len(c.iterates); i++ {
		if c.iterates[i].Lambda < c.iterates[i-1].Lambda {
			none.Reason = fmt.Sprintf("λ falls from %g to %g at iterate %d", c.iterates[i-1].Lambda, c.iterates[i].Lambda, i)
			return none
		}
	}
	r := math.Sqrt(start.Norm*start.Norm + (start.Loss-c.o.Floor.Value)/lambda)
	b := c.run(FlowBound, fmt.Sprintf("λ ≥ %g, never falling", lambda), func(i int, k Iterate) float64 {
		if i < from {
			return math.NaN()
		}
		return r
	})
	if rise := c.rise(from); rise >= 0 && b.Outside >= 0 {
		b.Reason += fmt.Sprintf("; a hypothesis fails too: (L − L̲)/λ + ‖θ‖² rose at iterate %d", rise)
	}
	return b
}

// rise is the first iterate at which (L − L̲)/λ + ‖θ‖², which the flow lowers, is
// larger than before; −1 if there is none.
func (c boundCheck) rise(from int) int {
	for i := from + 1; i < len(c.iterates); i++ {
		k, before := c.iterates[i], c.iterates[i-1]
		if k.penalised(k.Lambda)-c.o.Floor.Value > (before.penalised(k.Lambda)-c.o.Floor.Value)*(1+boundTolerance) {
			return i
		}
	}
	return -1
}
