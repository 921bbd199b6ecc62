package paths

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/train"
)

// Penalised is the path of a penalty λR(θ) beside the mean loss: l2, l1, elastic or
// group. t = λ/(1+λ), so that t=1 is λ = ∞ and there θ = 0, biases included. Equal
// steps are equal factors of λ. Rungs stand at equal factors from the first λ to the
// last.
//
// The models are what descent finds from the rung below, and are claimed to minimise
// L + λR over the training examples; [Penalised.Minimisers] are for
// [compactify.CheckMinimality] to disprove that.
type Penalised struct {
	ladder
	of train.Penalty // its schedule is not used
	r  func(theta []float64) float64
	g0 []float64 // gradient of L at zero; nil before it is asked for
}

// zeroModel is the name of the boundary of penalties.
const zeroModel = "all trained weights zero, biases included"

// NewPenalised makes the path of a kind of penalty.
func NewPenalised(kind train.PenaltyKind, g *graph.Graph, o Options) (*Penalised, error) {
	l, err := newLadder(string(kind), g, o)
	if err != nil {
		return nil, err
	}
	if a := l.o.Alpha; kind == train.ElasticNet && !(a >= 0 && a <= 1) {
		return nil, fmt.Errorf("path %s: alpha: got %v, want a number in (0, 1]", kind, a)
	}
	p := &Penalised{ladder: *l, of: train.Penalty{Kind: kind, Alpha: l.o.Alpha}}
	p.regime, p.r = p, l.f.Regularizer(p.of)
	p.places = p.lambdas(p.o.Rungs)
	return p, nil
}

// lambdas are t of so many λ, at equal factors.
func (p *Penalised) lambdas(n int) []float64 {
	first, last := p.o.Lambda[0], p.o.Lambda[1]
	var list []float64
	for k := range n {
		share := 1.0
		if n > 1 {
			share = float64(k) / float64(n-1)
		}
		list = append(list, tOf(first*math.Pow(last/first, share)))
	}
	return list
}

func tOf(lambda float64) float64 { return lambda / (1 + lambda) }

// Param is λ = t/(1−t).
func (p *Penalised) Param(t float64) float64 { return p.param(t) }

func (p *Penalised) param(t float64) float64 { return t / (1 - t) }

// Boundary is the model whose weights are all zero. λ‖θ‖² reaches it in the limit
// alone, the others at a finite λ.
func (p *Penalised) Boundary() compactify.Boundary {
	if p.of.Kind == train.L2 {
		return compactify.Boundary{Kind: compactify.ControlEnd, Name: zeroModel}
	}
	return compactify.Boundary{Kind: compactify.Stratum, Name: zeroModel}
}

// Grid implements [compactify.Graded]: 0, n−1 λ at equal factors, and 1. The rungs
// are such a grid.
func (p *Penalised) Grid(n int) []float64 {
	return append(append([]float64{0}, p.lambdas(n-1)...), 1)
}

// beyond is the factor by which λ goes on where there is no end to halve it against.
const beyond = 10

// Between implements [compactify.Graded]: halfway by log λ. Below the first λ there is
// nothing to look for: what the penalty does there is less than what training does.
func (p *Penalised) Between(a, b float64) float64 {
	var lambda float64
	switch {
	case a == 0 && b == 1:
		lambda = math.Sqrt(p.o.Lambda[0] * p.o.Lambda[1])
	case a == 0:
		lambda = math.Sqrt(p.o.Lambda[0]) * math.Sqrt(p.param(b))
	case b == 1:
		lambda = p.param(a) * beyond
	default:
		lambda = math.Sqrt(p.param(a)) * math.Sqrt(p.param(b))
	}
	if t := tOf(lambda); t > a && t < b && lambda > p.o.Lambda[0] {
		return t
	}
	return a
}

// At returns the model at t: the one given at 0, the zero model at 1.
func (p *Penalised) At(ctx context.Context, t float64) (*graph.Graph, error) { return p.at(ctx, t) }

func (p *Penalised) options(t float64, o train.Options) train.Options {
	at := p.of
	at.Lambda = train.Always(p.param(t))
	o.Penalties = []train.Penalty{at}
	return o
}

func (p *Penalised) penalty(theta []float64, _ *graph.Graph) float64 { return p.r(theta) }

func (p *Penalised) objective(t float64, f *Stop) float64 {
	if f.Penalty == 0 {
		return f.Loss
	}
	return f.Loss + p.param(t)*f.Penalty
}

func (p *Penalised) limit() []float64 { return make([]float64, p.f.Dim()) }

// near is a proximal gradient step of size 1 from zero, for λ‖θ‖² −g(0)/(1+2λ), whose
// leading term for large λ is that of the minimiser, −g(0)/2λ. (THEORY row 4.) It is in
// the numbers of a model, float32; nil if it is zero itself.
func (p *Penalised) near(ctx context.Context, t float64) ([]float64, error) {
	if p.g0 == nil {
		g0 := make([]float64, p.f.Dim())
		if _, err := p.f.Gradient(ctx, make([]float64, len(g0)), g0); err != nil {
			return nil, err
		}
		p.g0 = g0
	}
	theta := make([]float64, len(p.g0))
	for i, g := range p.g0 {
		theta[i] = -g
	}
	p.f.Proximal(p.of)(theta, p.param(t))
	zero := true
	for i, x := range theta {
		theta[i] = float64(float32(x)) + 0
		zero = zero && theta[i] == 0
	}
	if zero {
		return nil, nil
	}
	return theta, nil
}

// Minimisers are the claims of the places where the path has made a model so far, in
// the order of [Penalised.Stops]. The model given claims nothing.
func (p *Penalised) Minimisers() []compactify.Minimiser {
	var list []compactify.Minimiser
	for _, f := range p.Stops() {
		list = append(list, compactify.Minimiser{Lambda: f.Param, Loss: f.Loss, Penalty: f.Penalty, Given: f.T == 0})
	}
	return list
}

// The effort of the search for the arrival, in passes over the training examples: how
// often the loss is computed, and how many products with the Hessian and gradients the
// second order at zero may take. Fewer make the lower bound smaller, no less true.
const (
	arrivalScales   = 12
	arrivalProducts = 16
)

// Arrival brackets the λ from which on zero is a global minimiser of L + λR. The lower
// bound is searched along the ray of the place with the largest (L(0) − L)/R, whose λ is
// at.
func (p *Penalised) Arrival(ctx context.Context, seed uint64) (a train.Arrival, at float64, err error) {
	end, err := p.finish(ctx)
	if err != nil {
		return train.Arrival{}, 0, fmt.Errorf("path %s: %w", p.kind, err)
	}
	o, best := train.ArrivalOptions{Scales: arrivalScales, Seed: seed}, 0.0
	var where *Stop
	for _, s := range append([]*Stop{p.begin, p.last}, p.rungs...) {
		if s == nil || !(s.Penalty > 0) {
			continue
		}
		// Near 0 a quotient of rounding errors may be anything.
		gain := end.Loss - s.Loss - quotientRounding*(end.Loss+s.Loss)
		if q := gain / s.Penalty; q > best {
			best, where = q, s
		}
	}
	if where != nil {
		at, o.Candidates = where.Param, [][]float64{p.theta(where.model)}
	}
	fixed, err := train.FixedPointAtZero(ctx, p.f, 0, train.FixedOptions{Seed: seed, Products: arrivalProducts, Directions: 1, Gradients: arrivalProducts})
	if err != nil {
		return train.Arrival{}, 0, err
	}
	o.Fixed = &fixed
	a, err = train.FindArrival(ctx, p.f, p.of, o)
	return a, at, err
}

// R is the penalty of weights, λ left out, in the order of [ladder.Objective].
func (p *Penalised) R(theta []float64) float64 { return p.r(theta) }

// quotientRounding is the relative error of a mean loss in float32 arithmetic.
const quotientRounding = 1e-6
