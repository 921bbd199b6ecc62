package calculus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// FlowMethod is a way to integrate a gradient flow.
type FlowMethod string

// The methods of [Flow].
const (
	FlowAutomatic FlowMethod = ""         // explicit, and implicit where that is cheaper
	FlowExplicit  FlowMethod = "explicit" // Dormand and Prince, order 5 with an error estimate of order 4
	FlowImplicit  FlowMethod = "implicit" // SDIRK of order 4, L-stable, for stiff flows; needs a [Curved]
)

// FlowEnd says why a flow ended.
type FlowEnd string

// The ends of a flow.
const (
	FlowTime      FlowEnd = "time"      // the time asked for is reached
	FlowCritical  FlowEnd = "critical"  // ‖∇F‖ met the tolerance
	FlowEscaped   FlowEnd = "escaped"   // ‖x‖ passed the radius
	FlowBudget    FlowEnd = "budget"    // evaluations ran out
	FlowNotFinite FlowEnd = "notfinite" // F or ∇F is not finite however short the step
	FlowStalled   FlowEnd = "stalled"   // no step is short enough for the tolerance: F is not smooth there, or its gradient has noise
)

// FlowOptions are the settings of [Flow].
type FlowOptions struct {
	// Time is how long the flow runs, above 0; +Inf if something else ends it.
	Time float64

	// Tolerance bounds the error of one step relative to ‖x‖, and what one step adds
	// to the balance relative to what it dissipates; 0 means 1e-6.
	Tolerance float64

	// Absolute is added to Tolerance·‖x‖; 0 means Tolerance/1000.
	Absolute float64

	// Noise is the rounding error of F relative to |F|: what the balance cannot be
	// held to. 0 means 1e-14; functions computed in float32 have some 1e-7.
	Noise float64

	// Kinks says that ∇F jumps in places. A flow may slide along a kink, with ∇F taken
	// now from one side and now from the other: then F falls by less than ∫‖∇F‖²,
	// however short the steps, and they are held to the balance but loosely.
	Kinks bool

	// Gradient ends the flow when ‖∇F‖ is at most this; 0 means never. Errors of x
	// hold ‖∇F‖ up to at some Tolerance·‖x‖ times the largest curvature.
	Gradient    float64
	Radius      float64   // the flow ends when ‖x‖ exceeds this; 0 means never
	Evaluations int       // bound of gradients and Hessian products together; 0 means 1,000,000
	Report      []float64 // times to report, ascending; steps end exactly there
	Method      FlowMethod

	// Rescaled makes the time that is stepped, asked for and reported run by
	// ds = (1+‖∇F‖)dt, in which x moves no faster than 1: a solution that reaches
	// infinity in finite time is followed there. Explicit only.
	Rescaled bool

	// Step is called after every accepted step with the point reached, which it must
	// not keep or change; nil means nobody looks. An error ends the flow.
	Step func(p FlowPoint, x []float64) error
}

// FlowPoint is what is known of one time of a flow.
type FlowPoint struct {
	Time       float64 // t of x' = −∇F
	Rescaled   float64 // s of ds = (1+‖∇F‖)dt if the flow is rescaled, else 0
	Loss       float64 // F
	Gradient   float64 // ‖∇F‖
	Norm       float64 // ‖x‖
	Length     float64 // length of the path so far, ∫‖∇F‖ dt
	Dissipated float64 // ∫‖∇F‖² dt
	Step       int     // accepted steps so far
}

// FlowResult is an integrated flow.
type FlowResult struct {
	X      []float64   // where the flow ended
	Points []FlowPoint // the start, the times to report, the end
	End    FlowEnd

	// Balance is F(x(0)) − F(x(T)) − ∫‖∇F‖²: zero for the exact flow, since F falls
	// by just what is dissipated.
	Balance float64

	Steps    int // accepted
	Implicit int // of them with the implicit method
	Rejected int
	Switches int // changes between the methods
	// Rises counts the steps after which F was higher than before, MaxRise is the
	// largest of these rises. An exact flow has none.
	Rises     int
	MaxRise   float64
	Gradients int
	Products  int
}

// Flow integrates the gradient flow x' = −∇F(x) from x0, with steps as long as the
// tolerance allows. ∫‖∇F‖² and the length of the path are integrated with it, by
// the same formulas.
//
// Errors are measured in the Euclidean norm, as the flow is: it does not depend
// on the choice of orthonormal coordinates.
//
// On an error the result holds the flow up to where it came, if it started at
// all. The error wraps [ErrNotFinite] if F or its gradient is not finite at x0,
// the context's error if it was cancelled, and any error of f or of o.Step.
// A value that is not finite later on is the reason of an end, not an error.
//
// Source: E. Hairer, S. Nørsett and G. Wanner, "Solving ordinary differential
// equations I", 2nd edition, table II.5.2 and section II.4 (step sizes), and
// E. Hairer and G. Wanner, "… II", section IV.2 (detection of stiffness, step
// sizes by PI control) and table IV.6.5 (SDIRK).
func Flow(ctx context.Context, f Function, x0 []float64, o FlowOptions) (*FlowResult, error) {
	w, err := newFlow(ctx, f, x0, o)
	if err != nil {
		return nil, fmt.Errorf("gradient flow of %d variables: %w", len(x0), err)
	}
	if err := w.run(); err != nil {
		return w.finish(), fmt.Errorf("gradient flow of %d variables: t = %v: %w", len(x0), w.now.time, err)
	}
	return w.finish(), nil
}

// flowState is a point of the flow with all that is integrated.
type flowState struct {
	x, g       []float64
	loss, size float64 // F, ‖∇F‖
	length     float64 // ‖x‖
	s          float64 // the variable that is stepped
	time       float64 // t
	path, diss float64 // ∫‖∇F‖, ∫‖∇F‖²
}

// stepper makes one trial step of size h from now to next and estimates its
// error in units of the tolerance. The step is bad, with an error of +Inf, if it
// left the domain of F or equations were not solved.
type stepper interface {
	try(w *flow, h float64) (float64, error)
	// factor proposes by what to multiply the step after an error.
	factor(e, before float64) float64
}

type flow struct {
	ctx       context.Context
	f         Function
	curved    Curved // nil if f has no second derivatives
	o         FlowOptions
	now, next flowState
	h         float64 // the step to try
	before    float64 // the error of the last accepted step
	domain    bool    // the last trial stayed where F is finite
	explicit  *dormandPrince
	implicit  *sdirk
	method    stepper
	choice    choice
	r         FlowResult
}

func newFlow(ctx context.Context, f Function, x0 []float64, o FlowOptions) (*flow, error) {
	w := &flow{ctx: ctx, f: f, o: o, before: 1e-4}
	w.curved, _ = f.(Curved)
	if err := w.check(x0); err != nil {
		return nil, err
	}
	if w.o.Tolerance == 0 {
		w.o.Tolerance = 1e-6
	}
	if w.o.Absolute == 0 {
		w.o.Absolute = w.o.Tolerance / 1000
	}
	if w.o.Noise == 0 {
		w.o.Noise = 1e-14
	}
	if w.o.Radius == 0 {
		w.o.Radius = math.Inf(1)
	}
	if w.o.Evaluations == 0 {
		w.o.Evaluations = 1_000_000
	}
	n := len(x0)
	w.now = flowState{x: slices.Clone(x0), g: make([]float64, n)}
	w.next = flowState{x: make([]float64, n), g: make([]float64, n)}
	if err := w.evaluate(&w.now); err != nil {
		return nil, err
	}
	if !finite(w.now.loss) || !finite(w.now.size) || !finite(w.now.length) {
		return nil, fmt.Errorf("start: F = %v, ‖∇F‖ = %v: %w", w.now.loss, w.now.size, ErrNotFinite)
	}
	w.use(o.Method == FlowImplicit)
	return w, nil
}

func (w *flow) check(x0 []float64) error {
	o := w.o
	switch {
	case len(x0) != w.f.Dim() || len(x0) == 0:
		return fmt.Errorf("start: got %d values, want %d, at least one", len(x0), w.f.Dim())
	case !(o.Time > 0):
		return fmt.Errorf("time: got %v, want more than 0", o.Time)
	case !(o.Tolerance >= 0) || o.Tolerance >= 1 || !(o.Absolute >= 0) || !(o.Noise >= 0) || !(o.Gradient >= 0) || !(o.Radius >= 0) || o.Evaluations < 0:
		return fmt.Errorf("options: got tolerance %v + %v, noise %v, gradient %v, radius %v, %d evaluations: want none negative and a tolerance below 1",
			o.Tolerance, o.Absolute, o.Noise, o.Gradient, o.Radius, o.Evaluations)
	case o.Method != FlowAutomatic && o.Method != FlowExplicit && o.Method != FlowImplicit:
		return fmt.Errorf("method: got %q, want %q or %q", o.Method, FlowExplicit, FlowImplicit)
	case o.Method == FlowImplicit && w.curved == nil:
		return errors.New("the implicit method: the function has no second derivatives")
	case o.Method == FlowImplicit && o.Rescaled:
		return errors.New("the implicit method: not in rescaled time")
	}
	last := 0.0
	for _, t := range o.Report {
		if !(t > last) || t > o.Time {
			return fmt.Errorf("times to report: got %v, want them ascending in (0, %v]", o.Report, o.Time)
		}
		last = t
	}
	return nil
}

// evaluate fills in what follows from x.
func (w *flow) evaluate(p *flowState) error {
	if err := w.gradient(p.x, p.g, &p.loss); err != nil {
		return err
	}
	p.size, p.length = norm(p.g), norm(p.x)
	return nil
}

func (w *flow) gradient(x, g []float64, loss *float64) (err error) {
	if err := w.ctx.Err(); err != nil {
		return err
	}
	w.r.Gradients++
	*loss, err = w.f.Gradient(w.ctx, x, g)
	return err
}

// evaluations counts gradients and products.
func (w *flow) evaluations() int { return w.r.Gradients + w.r.Products }

// pace is ds/dt where the gradient is this long.
func (w *flow) pace(size float64) float64 {
	if w.o.Rescaled {
		return 1 + size
	}
	return 1
}

// allowed is the error of x that one step may make.
func (w *flow) allowed() float64 {
	return w.o.Absolute + w.o.Tolerance*max(w.now.length, w.next.length)
}

// imbalance is what a step adds to the balance, in units of what it may: F has to
// fall by what is dissipated.
func (w *flow) imbalance() float64 {
	growth := w.next.diss - w.now.diss
	return math.Abs(w.now.loss-w.next.loss-growth) / w.allowedImbalance(growth)
}

// kinkShare is what a step along a kink may add to the balance, as a share of what it
// dissipates. It keeps steps from leaping over all kinks at once.
const kinkShare = 0.2

// allowedImbalance is what a step of this dissipation may add to the balance.
// Shares of the growth add up to that share of the whole; the share of what was
// dissipated before is for the many steps that dissipate next to nothing.
func (w *flow) allowedImbalance(growth float64) float64 {
	share, before := w.o.Tolerance, 0.003*w.o.Tolerance
	if w.o.Kinks {
		share, before = kinkShare, w.o.Tolerance
	}
	return max(share*math.Abs(growth), before*w.now.diss) + w.o.Noise*math.Abs(w.now.loss) + 1e-300
}

func (w *flow) run() error {
	w.report()
	if w.now.size <= w.o.Gradient || w.now.size == 0 {
		w.r.End = FlowCritical
		return nil
	}
	if err := w.firstStep(); err != nil {
		return err
	}
	stops := append(slices.Clone(w.o.Report), w.o.Time)
	rejected := 0
	for {
		if w.evaluations() >= w.o.Evaluations {
			w.r.End = FlowBudget
			return nil
		}
		for stops[0] <= w.now.s && len(stops) > 1 {
			stops = stops[1:]
		}
		h, stop := w.h, false
		if left := stops[0] - w.now.s; h*1.01 >= left {
			h, stop = left, true
		}
		e, err := w.method.try(w, h)
		if err != nil {
			return err
		}
		if !(e <= 1) {
			w.r.Rejected++
			rejected++
			w.h = h * min(0.9, w.method.factor(e, w.before))
			if w.now.s+w.h == w.now.s || rejected > 80 {
				w.r.End = FlowStalled
				if !w.domain {
					w.r.End = FlowNotFinite
				}
				return nil
			}
			continue
		}
		grow := w.method.factor(e, w.before)
		if rejected > 0 {
			grow = min(grow, 1)
		}
		// A step cut short for a report says nothing against longer ones.
		w.h = max(h*grow, w.h*min(grow, 1))
		w.before, rejected = max(e, 1e-4), 0
		if stop {
			w.next.s = stops[0]
			if !w.o.Rescaled {
				w.next.time = stops[0]
			}
		}
		if done, err := w.accept(stop); done || err != nil {
			return err
		}
	}
}

// accept makes the trial the present and tells whether the flow has ended.
func (w *flow) accept(stop bool) (bool, error) {
	w.r.Steps++
	if w.method == stepper(w.implicit) {
		w.r.Implicit++
	}
	if rise := w.next.loss - w.now.loss; rise > 0 {
		w.r.Rises++
		w.r.MaxRise = max(w.r.MaxRise, rise)
	}
	w.now, w.next = w.next, w.now
	if w.o.Step != nil {
		if err := w.o.Step(w.point(), w.now.x); err != nil {
			return true, err
		}
	}
	switch {
	case w.now.size <= w.o.Gradient || w.now.size == 0:
		w.r.End = FlowCritical
	case w.now.length > w.o.Radius:
		w.r.End = FlowEscaped
	case w.now.s >= w.o.Time:
		w.r.End = FlowTime
	}
	if w.r.End != "" {
		return true, nil
	}
	if stop {
		w.report()
	}
	w.choose()
	return false, nil
}

func (w *flow) point() FlowPoint {
	p := FlowPoint{Time: w.now.time, Loss: w.now.loss, Gradient: w.now.size, Norm: w.now.length, Length: w.now.path, Dissipated: w.now.diss, Step: w.r.Steps}
	if w.o.Rescaled {
		p.Rescaled = w.now.s
	}
	return p
}

func (w *flow) report() { w.r.Points = append(w.r.Points, w.point()) }

func (w *flow) finish() *FlowResult {
	if last := w.r.Points; len(last) == 0 || last[len(last)-1].Step != w.r.Steps {
		w.report()
	}
	w.r.X = w.now.x
	w.r.Balance = w.r.Points[0].Loss - w.now.loss - w.now.diss
	return &w.r
}

// firstStep guesses the first step from the size of the derivative and how it
// changes over a small one (Hairer, Nørsett and Wanner, section II.4, p. 169).
func (w *flow) firstStep() error {
	speed := w.now.size / w.pace(w.now.size)
	allowed := w.o.Absolute + w.o.Tolerance*w.now.length
	h0 := 0.01 * w.now.length / speed
	if w.now.length < 1e-5*allowed || h0 == 0 {
		h0 = allowed / speed
	}
	h0 = min(h0, w.o.Time)
	copy(w.next.x, w.now.x)
	addScaled(w.next.x, -h0/w.pace(w.now.size), w.now.g)
	if err := w.evaluate(&w.next); err != nil {
		return err
	}
	d := 0.0
	for i, g := range w.next.g {
		c := g/w.pace(w.next.size) - w.now.g[i]/w.pace(w.now.size)
		d += c * c
	}
	curve := math.Sqrt(d) / h0 / allowed
	h1 := math.Pow(0.01/max(speed/allowed, curve), 0.2)
	w.h = min(100*h0, h1, w.o.Time)
	if !(w.h > 0) {
		w.h = h0
	}
	return nil
}
