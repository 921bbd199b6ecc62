package calculus

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// LBFGSOptions are the settings of [LBFGS].
type LBFGSOptions struct {
	Memory int // pairs of steps and gradient changes that are kept; 0 means 10
	Trials int // evaluations of one line search; 0 means 25

	// Noise is the rounding error of F relative to |F|: a line search takes a rise
	// within it for a fall, and F may rise by that much. 0 means 1e-15; functions
	// computed in float32 have some 1e-7.
	Noise float64
}

// LBFGSState is all that the minimisation goes on from: one restored from equal
// numbers takes the same steps, bit for bit.
type LBFGSState struct {
	X, G        []float64 // where it is, and ∇F there
	Loss        float64   // F there
	S, Y        [][]float64
	Iterations  int
	Evaluations int
}

// LBFGSStep is what one iteration did.
type LBFGSStep struct {
	Loss        float64 // F after it
	Gradient    float64 // ‖∇F‖ after it
	Length      float64 // of the step
	Rate        float64 // the step in units of the search direction
	Evaluations int

	// Stalled tells that no lower point was found along the search direction nor
	// along the gradient: F is at a minimum as far as its rounding shows. The
	// iteration left everything as it was.
	Stalled bool
}

// LBFGS minimises a function by the limited-memory method of Broyden, Fletcher,
// Goldfarb and Shanno: curvature is learned from the last few steps, and every
// step meets the strong Wolfe conditions.
//
// Source: J. Nocedal and S. Wright, "Numerical optimization", 2nd edition,
// algorithms 7.4 (two loops), 7.5 and 3.5 (line search).
type LBFGS struct {
	f         Function
	o         LBFGSOptions
	s         LBFGSState
	direction []float64
	trial     []float64 // the point of the line search, and the gradient there
	gradient  []float64
}

// NewLBFGS starts at x0, which is copied, with one evaluation. The error wraps
// [ErrNotFinite] if F or its gradient is not finite there.
func NewLBFGS(ctx context.Context, f Function, x0 []float64, o LBFGSOptions) (*LBFGS, error) {
	s := LBFGSState{X: slices.Clone(x0), G: make([]float64, len(x0)), Evaluations: 1}
	if len(x0) != f.Dim() {
		return nil, fmt.Errorf("L-BFGS: start: got %d values, want %d", len(x0), f.Dim())
	}
	var err error
	if s.Loss, err = f.Gradient(ctx, s.X, s.G); err != nil {
		return nil, fmt.Errorf("L-BFGS: start: %w", err)
	}
	return ResumeLBFGS(f, s, o)
}

// ResumeLBFGS goes on from a state, whose slices it takes over.
func ResumeLBFGS(f Function, s LBFGSState, o LBFGSOptions) (*LBFGS, error) {
	if o.Memory <= 0 {
		o.Memory = 10
	}
	if o.Trials <= 0 {
		o.Trials = 25
	}
	if o.Noise == 0 {
		o.Noise = 1e-15
	}
	n := f.Dim()
	if len(s.S) != len(s.Y) || len(s.S) > o.Memory {
		return nil, fmt.Errorf("L-BFGS: memory: got %d steps and %d gradient changes, want as many of both, at most %d", len(s.S), len(s.Y), o.Memory)
	}
	for _, v := range slices.Concat([][]float64{s.X, s.G}, s.S, s.Y) {
		if len(v) != n {
			return nil, fmt.Errorf("L-BFGS: state: got a vector of %d values, want %d", len(v), n)
		}
	}
	if !finite(s.Loss) || !finite(norm(s.G)) || !finite(norm(s.X)) {
		return nil, fmt.Errorf("L-BFGS: start: F = %v, ‖∇F‖ = %v: %w", s.Loss, norm(s.G), ErrNotFinite)
	}
	return &LBFGS{f: f, o: o, s: s, direction: make([]float64, n), trial: make([]float64, n), gradient: make([]float64, n)}, nil
}

// State is where the minimisation is. It shares its slices with l, which
// [LBFGS.Step] overwrites.
func (l *LBFGS) State() LBFGSState { return l.s }

// Step takes one iteration. On an error the state is what it was before.
func (l *LBFGS) Step(ctx context.Context) (LBFGSStep, error) {
	before := l.s.Evaluations
	step := LBFGSStep{Loss: l.s.Loss, Gradient: norm(l.s.G), Stalled: true}
	report := func() LBFGSStep {
		step.Evaluations = l.s.Evaluations - before
		return step
	}
	if step.Gradient == 0 {
		return report(), nil
	}
	for {
		first := 1.0
		if len(l.s.S) == 0 {
			// Nothing is known of the scale: a step of length 1, or of the gradient's if
			// that is shorter.
			first = min(1, 1/step.Gradient)
		}
		slope := l.aim()
		found, err := l.search(ctx, slope, first)
		if err != nil {
			return report(), fmt.Errorf("L-BFGS: iteration %d: %w", l.s.Iterations+1, err)
		}
		if found.rate > 0 {
			step.Rate, step.Length, step.Stalled = found.rate, l.take(found.loss), false
			step.Loss, step.Gradient = l.s.Loss, norm(l.s.G)
			return report(), nil
		}
		if len(l.s.S) == 0 {
			return report(), nil
		}
		l.s.S, l.s.Y = nil, nil // what was learned misleads: start again from the gradient
	}
}

// aim sets the direction to −H·∇F, with H the inverse Hessian that the kept pairs
// make of a multiple of the identity, and returns its slope.
func (l *LBFGS) aim() float64 {
	d, k := l.direction, len(l.s.S)
	for i, g := range l.s.G {
		d[i] = -g
	}
	alpha := make([]float64, k)
	for i := k - 1; i >= 0; i-- {
		alpha[i] = dot(l.s.S[i], d) / dot(l.s.S[i], l.s.Y[i])
		addScaled(d, -alpha[i], l.s.Y[i])
	}
	if k > 0 {
		s, y := l.s.S[k-1], l.s.Y[k-1]
		scale(d, dot(s, y)/dot(y, y))
	}
	for i := range k {
		addScaled(d, alpha[i]-dot(l.s.Y[i], d)/dot(l.s.S[i], l.s.Y[i]), l.s.S[i])
	}
	return dot(d, l.s.G)
}

// take moves to the trial point, remembers the pair and returns the step's length.
func (l *LBFGS) take(loss float64) float64 {
	var s, y []float64
	if len(l.s.S) == l.o.Memory { // the oldest pair makes room
		s, y = l.s.S[0], l.s.Y[0]
		l.s.S, l.s.Y = slices.Delete(l.s.S, 0, 1), slices.Delete(l.s.Y, 0, 1)
	} else {
		s, y = make([]float64, len(l.s.X)), make([]float64, len(l.s.X))
	}
	for i := range s {
		s[i], y[i] = l.trial[i]-l.s.X[i], l.gradient[i]-l.s.G[i]
	}
	length := norm(s)
	// The second Wolfe condition makes sᵀy positive but for rounding.
	if dot(s, y) > 1e-14*length*norm(y) {
		l.s.S, l.s.Y = append(l.s.S, s), append(l.s.Y, y)
	}
	l.s.X, l.trial = l.trial, l.s.X
	l.s.G, l.gradient = l.gradient, l.s.G
	l.s.Loss = loss
	l.s.Iterations++
	return length
}

// Constants of the Wolfe conditions (Nocedal and Wright, section 3.1) and of the
// interpolation.
const (
	wolfeDecrease  = 1e-4
	wolfeCurvature = 0.9
	expand         = 4.0 // the next trial of a step that is too short, at least and
	expandMost     = 10.0
	inside         = 0.1 // of the bracket: how near its ends no trial lies
)

// probe is a point of the line search: F and its slope at a multiple of the
// direction.
type probe struct{ rate, loss, slope float64 }

// usable tells whether the probe lies in the domain of F.
func (p probe) usable() bool { return finite(p.loss) && finite(p.slope) }

// search looks for a rate that meets the strong Wolfe conditions, and leaves point
// and gradient in trial and gradient. If the trials run out it settles for the
// best that decreases F enough; a rate of 0 says that there is none.
func (l *LBFGS) search(ctx context.Context, slope, first float64) (probe, error) {
	start := probe{0, l.s.Loss, slope}
	if !(slope < 0) || math.IsInf(slope, 0) {
		return probe{}, nil
	}
	slack := l.o.Noise * math.Abs(start.loss)
	high := func(p probe) bool { return !p.usable() || p.loss > start.loss+wolfeDecrease*p.rate*slope+slack }
	low, far := start, probe{rate: math.Inf(1)} // the best so far, and the other end of the bracket
	rate, last := first, start
	for range l.o.Trials {
		last = probe{rate: rate}
		if err := l.evaluate(ctx, &last); err != nil {
			return probe{}, err
		}
		switch {
		case high(last) || low.rate > 0 && last.loss > low.loss:
			far = last
		case math.Abs(last.slope) <= -wolfeCurvature*slope:
			return last, nil
		default:
			if last.slope*(far.rate-low.rate) >= 0 {
				far = low
			}
			low = last
		}
		if math.IsInf(far.rate, 1) {
			rate = extrapolate(start, low)
		} else {
			rate = interpolate(low, far)
		}
		if rate == low.rate || rate == far.rate {
			break
		}
	}
	if low.rate > 0 && low.rate != last.rate {
		if err := l.evaluate(ctx, &low); err != nil {
			return probe{}, err
		}
	}
	return low, nil
}

func (l *LBFGS) evaluate(ctx context.Context, p *probe) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	copy(l.trial, l.s.X)
	addScaled(l.trial, p.rate, l.direction)
	l.s.Evaluations++
	p.loss, err = l.f.Gradient(ctx, l.trial, l.gradient)
	p.slope = dot(l.direction, l.gradient)
	return err
}

// extrapolate guesses beyond a point where F still falls too steeply.
func extrapolate(start, p probe) float64 {
	if a, ok := cubic(start, p); ok && a > p.rate {
		return min(expandMost*p.rate, max(expand*p.rate, a))
	}
	return expand * p.rate
}

// interpolate guesses within a bracket: the minimum of the cubic through both ends,
// kept off them, or the middle if there is none.
func interpolate(low, far probe) float64 {
	width := far.rate - low.rate
	if far.usable() {
		if a, ok := cubic(low, far); ok {
			return low.rate + width*min(1-inside, max(inside, (a-low.rate)/width))
		}
	}
	return low.rate + width/2
}

// cubic is the minimum of the cubic with the values and slopes of two points
// (Nocedal and Wright, equation 3.59).
func cubic(p, q probe) (float64, bool) {
	d1 := p.slope + q.slope - 3*(p.loss-q.loss)/(p.rate-q.rate)
	square := d1*d1 - p.slope*q.slope
	if !(square >= 0) || math.IsInf(square, 0) {
		return 0, false
	}
	d2 := math.Copysign(math.Sqrt(square), q.rate-p.rate)
	a := q.rate - (q.rate-p.rate)*(q.slope+d2-d1)/(q.slope-p.slope+2*d2)
	return a, finite(a)
}
