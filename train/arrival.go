package train

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify/internal/calculus"
)

// Arrival brackets λ_arr, from which on θ = 0 is a global minimiser of L + λR:
//
//	λ_arr = sup (L(0) − L(θ))/R(θ) over θ ≠ 0
//
// Below it a path of minimisers is not at 0, at and above it 0 is one.
type Arrival struct {
	Kind  PenaltyKind
	Alpha float64 // of [ElasticNet]
	Loss0 float64 // L(0)

	// KKT is the least λ for which 0 meets the conditions of first order, or where R is
	// ‖θ‖² and g(0) = 0, of second order: −λ_min H(0)/2. Below it 0 is not even a local
	// minimiser, so that λ_arr ≥ KKT. +Inf where no λ is enough; NaN where the loss has
	// no derivatives at 0.
	KKT       float64
	KKTReason string

	// Searched is the largest quotient met, rounding allowed for, at Witness, which is
	// Scale times a candidate. 0 with a nil Witness if none was above 0.
	Searched    float64
	Witness     []float64
	WitnessLoss float64
	Candidate   int
	Scale       float64

	// Upper is a proven upper bound; +Inf if there is none. UpperReason says how it
	// was found, or why there is none.
	Upper       float64
	UpperReason string
}

// Lower is the best lower bound of λ_arr.
func (a Arrival) Lower() float64 { return max(0, a.Searched, nanAsZero(a.KKT)) }

func nanAsZero(x float64) float64 {
	if math.IsNaN(x) {
		return 0
	}
	return x
}

// ArrivalOptions are the settings of [FindArrival]; the zero value searches nothing.
type ArrivalOptions struct {
	Candidates [][]float64 // points from which the quotient is searched, such as minimisers along a path
	Scales     int         // evaluations of the loss on the ray of each; 0 means 24
	Ascent     int         // steps of gradient ascent of the quotient from the best; 0 means none
	Floor      float64     // L̲, a lower bound of the loss; 0 is one of the losses of an [Objective]
	Fixed      *FixedPoint // what [FixedPointAtZero] found; nil computes it where it is needed
	Seed       uint64
}

// FindArrival brackets the arrival of a penalty's path at θ = 0. The penalty's own
// schedule is not used. A function that is no [Objective] has groups of one element
// each, and no upper bound.
//
// Upper bounds: a convex loss lies above its tangent at 0, which proves KKT; the
// bound of [DropBound], with L ≥ L̲ far from 0, proves one for chains of layers
// without biases.
//
// Source: theory, row 5. The ascent maximises L(0) − L − qR for the quotient q met
// last: W. Dinkelbach, "On nonlinear fractional programming", Management Science 13
// (1967).
func FindArrival(ctx context.Context, f calculus.Curved, p Penalty, o ArrivalOptions) (Arrival, error) {
	fail := func(err error) (Arrival, error) {
		return Arrival{}, fmt.Errorf("arrival of %s at zero: %w", p.Kind, err)
	}
	if err := p.check(); err != nil {
		return fail(err)
	}
	if p.Kind == MaxNorm {
		return fail(fmt.Errorf("want a penalty; the ball of radius 0 is 0 alone"))
	}
	if o.Scales <= 0 {
		o.Scales = 24
	}
	s := &arrivalSearch{f: f, o: o, r: newRegularizer(f, p), precision: precisionOf(f), g0: make([]float64, f.Dim())}
	s.a = Arrival{Kind: p.Kind, Upper: math.Inf(1)}
	if p.Kind == ElasticNet {
		s.a.Alpha = p.alpha()
	}
	var err error
	if s.a.Loss0, err = f.Gradient(ctx, make([]float64, f.Dim()), s.g0); err != nil {
		return fail(err)
	}
	for _, step := range []func(context.Context) error{s.conditions, s.search, s.ascend, s.bound} {
		if err := step(ctx); err != nil {
			return fail(err)
		}
	}
	return s.a, nil
}

// arrivalSearch is a search for one penalty.
type arrivalSearch struct {
	f         calculus.Curved
	o         ArrivalOptions
	r         *regularizer
	precision float64
	g0        []float64
	a         Arrival
	best      float64 // the quotient of the witness, rounding not allowed for
}

// conditions finds KKT.
func (s *arrivalSearch) conditions(ctx context.Context) error {
	if s.o.Fixed == nil {
		p, err := FixedPointAtZero(ctx, s.f, 0, FixedOptions{Seed: s.o.Seed})
		if err != nil {
			return err
		}
		s.o.Fixed = &p
	}
	fixed := s.o.Fixed
	zero := fixed.GradNorm <= fixed.GradTolerance
	switch {
	case !fixed.differentiable:
		s.a.KKT, s.a.KKTReason = math.NaN(), "the loss is not differentiable at θ = 0"
	case s.a.Kind != L2:
		s.a.KKT, s.a.KKTReason = s.r.dual(s.g0)
	case !zero:
		s.a.KKT, s.a.KKTReason = math.Inf(1), fmt.Sprintf("‖g(0)‖ = %.6g is not 0: θ_λ = −g(0)/2λ + … for every λ", fixed.GradNorm)
	case fixed.Curvature == NoCurvature:
		s.a.KKT, s.a.KKTReason = 0, "g(0) = 0; the second order at 0 is not known"
	default:
		s.a.KKT, s.a.KKTReason = max(0, -fixed.LambdaMin/2), fmt.Sprintf("g(0) = 0, and the least curvature at 0 is %.6g", fixed.LambdaMin)
	}
	return nil
}

// loss is the value at x.
func (s *arrivalSearch) loss(ctx context.Context, x []float64) (float64, error) {
	if f, ok := s.f.(interface {
		Loss(context.Context, []float64) (float64, error)
	}); ok {
		return f.Loss(ctx, x)
	}
	return s.f.Gradient(ctx, x, make([]float64, len(x)))
}

// take keeps a point if its quotient is the largest so far, and returns the
// quotient.
func (s *arrivalSearch) take(x []float64, loss float64, candidate int, scale float64) float64 {
	penalty := s.r.value(x)
	quotient := (s.a.Loss0 - loss) / penalty
	// Proven is what is left when both losses were off by their rounding.
	proven := quotient - s.precision*(math.Abs(s.a.Loss0)+math.Abs(loss))/penalty
	if proven > s.a.Searched {
		s.a.Searched, s.a.WitnessLoss, s.a.Candidate, s.a.Scale = proven, loss, candidate, scale
		s.a.Witness, s.best = append(s.a.Witness[:0], x...), quotient
	}
	if math.IsNaN(proven) {
		return math.Inf(-1)
	}
	return proven
}

// search follows the ray of each candidate: powers of two first, then a golden
// section around the best.
func (s *arrivalSearch) search(ctx context.Context) error {
	for i, candidate := range s.o.Candidates {
		if len(candidate) != s.f.Dim() {
			return fmt.Errorf("candidate %d: got %d numbers, want %d", i, len(candidate), s.f.Dim())
		}
		if s.r.value(candidate) == 0 {
			continue
		}
		x := make([]float64, len(candidate))
		at := func(e float64) (float64, error) {
			scaleTo(x, math.Exp2(e), candidate)
			loss, err := s.loss(ctx, x)
			if err != nil {
				return 0, err
			}
			return s.take(x, loss, i, math.Exp2(e)), nil
		}
		if err := bracketAndSection(at, s.o.Scales); err != nil {
			return err
		}
	}
	return nil
}

// bracketAndSection maximises a function of an exponent in at most so many
// evaluations.
func bracketAndSection(at func(e float64) (float64, error), evaluations int) error {
	const first, step = 2.0, -1.0
	grid := (evaluations + 1) / 2
	best, where := math.Inf(-1), first
	for k := range grid {
		e := first + step*float64(k)
		q, err := at(e)
		if err != nil {
			return err
		}
		if q > best {
			best, where = q, e
		}
	}
	golden := (math.Sqrt(5) - 1) / 2
	lo, hi := where+step, where-step
	a, b := hi-golden*(hi-lo), lo+golden*(hi-lo)
	qa, err := at(a)
	if err != nil {
		return err
	}
	qb, err := at(b)
	for range evaluations - grid - 2 {
		if err != nil {
			return err
		}
		if qa > qb {
			hi, b, qb = b, a, qa
			a = hi - golden*(hi-lo)
			qa, err = at(a)
		} else {
			lo, a, qa = a, b, qb
			b = lo + golden*(hi-lo)
			qb, err = at(b)
		}
	}
	return err
}

// ascend raises the quotient from the witness by proximal gradient steps on
// L + qR, with steps that are halved until the quotient rises.
func (s *arrivalSearch) ascend(ctx context.Context) error {
	if s.a.Witness == nil || s.o.Ascent <= 0 {
		return nil
	}
	x := append([]float64(nil), s.a.Witness...)
	g, next := make([]float64, len(x)), make([]float64, len(x))
	rate := 1.0
	for range s.o.Ascent {
		if _, err := s.f.Gradient(ctx, x, g); err != nil {
			return err
		}
		before := s.best
		rose := false
		for range 30 {
			for i := range x {
				next[i] = x[i] - rate*g[i]
			}
			s.r.prox(next, rate*before)
			if s.r.value(next) > 0 {
				loss, err := s.loss(ctx, next)
				if err != nil {
					return err
				}
				was := s.a.Searched
				if s.take(next, loss, s.a.Candidate, 0) > was {
					rose = true
					break
				}
			}
			rate /= 2
		}
		if !rose {
			return nil
		}
		copy(x, next)
		rate *= 4
	}
	return nil
}

// bound finds Upper.
func (s *arrivalSearch) bound(ctx context.Context) error {
	ob, ok := s.f.(*Objective)
	if !ok {
		s.a.UpperReason = "nothing is known of the structure of the function"
		return nil
	}
	if ob.Form().Affine {
		s.a.Upper, s.a.UpperReason = s.a.KKT, "the answer is affine in θ and the loss convex: KKT is exact"
		return nil
	}
	if math.IsInf(s.a.KKT, 1) {
		s.a.UpperReason = "KKT is infinite already"
		return nil
	}
	b, err := ob.DropBound(ctx)
	if err != nil {
		return err
	}
	if b.Layers == 0 {
		s.a.UpperReason = "the loss is not convex, and " + b.Why
		return nil
	}
	s.a.Upper = s.r.chainBound(ob, b, s.a.Loss0*(1+s.precision)-s.o.Floor)
	s.a.UpperReason = fmt.Sprintf("L(0) − L ≤ min(C·Π‖W_l‖_F, L(0) − L̲) over %d layers with C = %.6g, L̲ = %.6g", b.Layers, b.C, s.o.Floor)
	return nil
}
