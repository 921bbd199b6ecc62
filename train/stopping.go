package train

import (
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/calculus"
)

// StoppingGap is max over x of |1 − e^(−x) − x/(1+x)|, at x = 2.5129: the most by which
// early stopping and weight decay can differ in a component of a quadratic, in units
// of what the component tends to. Theory, oracle 27.
const StoppingGap = 0.2036322

// StoppingOptions are the settings of [CompareStopping].
type StoppingOptions struct {
	// Times are when the flow is stopped, ascending and above 0; nil means ¼, 1, 2.5129
	// and 8 over the largest eigenvalue found.
	Times     []float64
	Modes     int     // eigenvectors, of the largest eigenvalues; 0 means 5
	Products  int     // bound on Hessian-vector products of Lanczos and of each minimisation; 0 means 2000
	Tolerance float64 // by what a gap may exceed [StoppingGap]; 0 means 0.02
	Seed      uint64
}

// Stopping compares early stopping with weight decay: the gradient flow of L from θ₀,
// stopped at t, and the minimiser of L + λ‖θ − θ₀‖² with λ = 1/(2t). From θ₀ = 0 that
// is the penalty of weight decay.
//
// Of a quadratic with Hessian H, in units of what a component tends to,
//
//	flow   1 − e^(−ht)
//	ridge  h/(h + 2λ) = ht/(1 + ht)
//
// along an eigenvector with eigenvalue h. Source: I. Goodfellow, Y. Bengio and A.
// Courville, "Deep learning", 2016, section 7.8; A. Ali, J. Kolter and R. Tibshirani,
// "A continuous-time view of early stopping for least squares", AISTATS 2019.
type Stopping struct {
	Times     []float64
	Rows      []StoppingRow // one per time
	Modes     []StoppingMode
	Compared  int     // modes along which the gradient at θ₀ is large enough to compare
	Gap       float64 // the largest |Flow − Ridge| among them
	Departure float64 // the largest difference of both from what a quadratic would do
	Verdict   compactify.Verdict
	Reason    string
}

// StoppingRow is one time.
type StoppingRow struct {
	Time, Lambda        float64
	LossFlow, LossRidge float64 // L
	StepFlow, StepRidge float64 // ‖θ − θ₀‖
	Distance            float64 // ‖θ(t) − θ_λ‖ over the longer of both steps
	Residual            float64 // ‖∇(L + λ‖θ − θ₀‖²)(θ_λ)‖
}

// StoppingMode is an eigenvector u of the Hessian at θ₀. Flow and Ridge have an entry
// per time: h⟨θ − θ₀, u⟩/⟨−g(θ₀), u⟩, which tends to 1 for a quadratic.
type StoppingMode struct {
	Eigenvalue, Bound float64
	Gradient          float64 // ⟨g(θ₀), u⟩
	Flow, Ridge       []float64
}

// leastGradient is the share of ‖g(θ₀)‖ along an eigenvector from which on it is
// compared.
const leastGradient = 0.01

// CompareStopping follows the flow and the minimisers from θ₀ = x and compares them.
func CompareStopping(ctx context.Context, f calculus.Curved, x []float64, o StoppingOptions) (Stopping, error) {
	if o.Modes <= 0 {
		o.Modes = 5
	}
	if o.Products <= 0 {
		o.Products = 2000
	}
	if o.Tolerance == 0 {
		o.Tolerance = 0.02
	}
	c := &stoppingRun{f: f, o: o, start: x, g: make([]float64, f.Dim())}
	for _, step := range []func(context.Context) error{c.modes, c.flow, c.ridges} {
		if err := step(ctx); err != nil {
			return Stopping{}, fmt.Errorf("early stopping: %w", err)
		}
	}
	c.judge()
	return c.s, nil
}

// stoppingRun is one comparison.
type stoppingRun struct {
	f        calculus.Curved
	o        StoppingOptions
	start, g []float64 // θ₀ and the gradient there
	vectors  [][]float64
	stopped  [][]float64 // θ(t) − θ₀
	s        Stopping
}

func (c *stoppingRun) modes(ctx context.Context) error {
	if len(c.start) != c.f.Dim() {
		return fmt.Errorf("start: got %d numbers, want %d", len(c.start), c.f.Dim())
	}
	if _, err := c.f.Gradient(ctx, c.start, c.g); err != nil {
		return err
	}
	spectrum, err := calculus.Lanczos(ctx, c.f.Dim(), calculus.HessianAt(c.f, c.start), calculus.LanczosOptions{
		Largest: c.o.Modes, Products: c.o.Products, Seed: c.o.Seed, Vectors: true, Tolerance: max(1e-6, 100*precisionOf(c.f))})
	if err != nil {
		return err
	}
	for _, p := range spectrum.Largest {
		c.s.Modes = append(c.s.Modes, StoppingMode{Eigenvalue: p.Value, Bound: p.Bound, Gradient: dot(c.g, p.Vector)})
		c.vectors = append(c.vectors, p.Vector)
	}
	c.s.Times = c.o.Times
	if c.s.Times == nil {
		top := c.s.Modes[0].Eigenvalue
		if !(top > 0) {
			return fmt.Errorf("times: none given, and the largest eigenvalue is %v", top)
		}
		c.s.Times = []float64{0.25 / top, 1 / top, 2.5129 / top, 8 / top}
	}
	for i, t := range c.s.Times {
		if !(t > 0) || i > 0 && t <= c.s.Times[i-1] {
			return fmt.Errorf("times: got %v, want ascending numbers above 0", c.s.Times)
		}
	}
	return nil
}

// flow integrates the gradient flow and notes where it is at each time.
func (c *stoppingRun) flow(ctx context.Context) error {
	times := c.s.Times
	if len(times) == 0 {
		return fmt.Errorf("times: got none")
	}
	result, err := calculus.Flow(ctx, c.f, c.start, calculus.FlowOptions{Time: times[len(times)-1], Report: times,
		Tolerance: max(1e-7, precisionOf(c.f)), Noise: precisionOf(c.f) / 10,
		Step: func(p calculus.FlowPoint, x []float64) error {
			if k := len(c.stopped); k < len(times) && p.Time >= times[k] {
				c.stopped = append(c.stopped, difference(x, c.start))
				c.s.Rows = append(c.s.Rows, StoppingRow{Time: times[k], Lambda: 1 / (2 * times[k]), LossFlow: p.Loss})
			}
			return nil
		}})
	if err != nil {
		return err
	}
	if len(c.stopped) < len(times) {
		return fmt.Errorf("flow: ended after %d of %d times: %s", len(c.stopped), len(times), result.End)
	}
	return nil
}

// ridges minimises for each time, from where the flow was.
func (c *stoppingRun) ridges(ctx context.Context) error {
	for k := range c.s.Rows {
		r := &c.s.Rows[k]
		x := slices.Clone(c.start)
		for i, d := range c.stopped[k] {
			x[i] += d
		}
		var err error
		if r.Residual, err = newton(ctx, Ridge(c.f, r.Lambda, c.start), x, 1e-9*length(c.g), c.o.Products); err != nil {
			return err
		}
		if r.LossRidge, err = c.f.Gradient(ctx, x, make([]float64, len(x))); err != nil {
			return err
		}
		moved := difference(x, c.start)
		r.StepFlow, r.StepRidge = length(c.stopped[k]), length(moved)
		r.Distance = length(difference(c.stopped[k], moved)) / max(r.StepFlow, r.StepRidge, math.SmallestNonzeroFloat64)
		for i := range c.s.Modes {
			m := &c.s.Modes[i]
			unit := -m.Eigenvalue / m.Gradient
			m.Flow = append(m.Flow, unit*dot(c.stopped[k], c.vectors[i]))
			m.Ridge = append(m.Ridge, unit*dot(moved, c.vectors[i]))
		}
	}
	return nil
}

func difference(a, b []float64) []float64 {
	d := make([]float64, len(a))
	for i := range d {
		d[i] = a[i] - b[i]
	}
	return d
}

func (c *stoppingRun) judge() {
	s := &c.s
	for _, m := range s.Modes {
		if !(math.Abs(m.Gradient) >= leastGradient*length(c.g)) || m.Gradient == 0 {
			continue
		}
		s.Compared++
		for k, t := range s.Times {
			x := m.Eigenvalue * t
			s.Gap = max(s.Gap, math.Abs(m.Flow[k]-m.Ridge[k]))
			s.Departure = max(s.Departure, math.Abs(m.Flow[k]-(1-math.Exp(-x))), math.Abs(m.Ridge[k]-x/(1+x)))
		}
	}
	worst := 0.0
	for _, r := range s.Rows {
		worst = max(worst, r.Residual)
	}
	switch {
	case worst > 1e-4*length(c.g):
		s.Verdict, s.Reason = compactify.Inconclusive, fmt.Sprintf("a minimisation ended at a gradient of %.3g, want %.3g", worst, 1e-4*length(c.g))
	case s.Compared == 0:
		s.Verdict, s.Reason = compactify.Inconclusive, "the gradient has no component of size along the eigenvectors found"
	case s.Gap <= StoppingGap+c.o.Tolerance:
		s.Verdict = compactify.Supported
		s.Reason = fmt.Sprintf("flow and ridge differ by up to %.4f along %s, where a quadratic allows %.4f; from a quadratic both depart by up to %.3g", s.Gap, plural(s.Compared, "eigenvector"), StoppingGap, s.Departure)
	default:
		s.Verdict = compactify.Refuted
		s.Reason = fmt.Sprintf("flow and ridge differ by %.4f along an eigenvector, where a quadratic allows %.4f", s.Gap, StoppingGap)
	}
}
