package calculus

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
)

func mustFlow(t *testing.T, f Function, x0 []float64, o FlowOptions) *FlowResult {
	t.Helper()
	r, err := Flow(context.Background(), f, x0, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// methods runs a test with every method.
func methods(t *testing.T, test func(t *testing.T, m FlowMethod)) {
	for _, m := range []FlowMethod{FlowAutomatic, FlowExplicit, FlowImplicit} {
		t.Run(string("method "+m), func(t *testing.T) { test(t, m) })
	}
}

// TestFlowExact holds flows to their closed forms (design/THEORY.md, section 6).
func TestFlowExact(t *testing.T) {
	for _, c := range []struct {
		name string
		f    Function
		x0   []float64
		t    float64
		want []float64
	}{
		{"7: logistic, w+e^w=t+1", logistic([]float64{1}), []float64{0}, 10, []float64{2.1773251}},
		{"11: quadratic", quadratic{0, 0.5, 1, 7, -0.3}, []float64{1, 2, 3, 4, 5}, 2,
			[]float64{1, 2 * math.Exp(-1), 3 * math.Exp(-2), 4 * math.Exp(-14), 5 * math.Exp(0.6)}},
		{"12: fourth power", power(1), []float64{3}, 5, []float64{3 / math.Sqrt(1+2*9*5)}},
		{"12: fourth power downwards", power(-1), []float64{1}, 0.4999, []float64{1 / math.Sqrt(1-2*0.4999)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			methods(t, func(t *testing.T, m FlowMethod) {
				for _, tolerance := range []float64{1e-5, 1e-8} {
					r := mustFlow(t, c.f, c.x0, FlowOptions{Time: c.t, Tolerance: tolerance, Method: m})
					off := 0.0
					for i, x := range r.X {
						off = max(off, math.Abs(x-c.want[i]))
					}
					t.Logf("tolerance %.0e: error %.1e, balance %.1e, %d steps, %d gradients, %d products", tolerance, off, r.Balance, r.Steps, r.Gradients, r.Products)
					// Errors of single steps grow where the flow expands: by (1−2t)^(-3/2) for the last.
					if grown := max(1, norm(c.want)) * 200 * tolerance; off > grown && c.t != 0.4999 || off > 1e6*tolerance {
						t.Errorf("tolerance %.0e: got %v, want %v", tolerance, r.X, c.want)
					}
					end := r.Points[len(r.Points)-1]
					if math.Abs(r.Balance) > 20*tolerance*end.Dissipated && c.t != 0.4999 {
						t.Errorf("tolerance %.0e: balance %v of %v", tolerance, r.Balance, end.Dissipated)
					}
					if r.End != FlowTime || end.Time != c.t {
						t.Errorf("ended by %q at %v", r.End, end.Time)
					}
				}
			})
		})
	}
}

// TestFlowMargin is oracle 8: on separable data t·L → 1/γ² and the direction
// becomes that of the largest margin. The error of both falls like 1/log t or
// faster; steps grow with t.
func TestFlowMargin(t *testing.T) {
	f := logistic([]float64{1, 2}, []float64{3, -1})
	r := mustFlow(t, f, []float64{0, 0}, FlowOptions{Time: 1e9, Report: []float64{1e3, 1e6, 1e9}, Tolerance: 1e-8})
	for _, p := range r.Points[1:] {
		t.Logf("t = %.0e: t·L = %.6f, %d steps", p.Time, p.Time*p.Loss, p.Step)
	}
	last := r.Points[len(r.Points)-1]
	if got, want := last.Time*last.Loss, 13./49; math.Abs(got-want) > 1e-3*want {
		t.Errorf("t·L: got %v, want %v", got, want)
	}
	if last.Step > 3000 {
		t.Errorf("%d steps", last.Step)
	}
	if cos := (3*r.X[0] + 2*r.X[1]) / math.Sqrt(13) / norm(r.X); cos < 0.995 {
		t.Errorf("direction %v: cosine %v with (3, 2)", r.X, cos)
	}
}

// TestFlowScaleInvariant is oracle 10: L(x/‖x‖) + λ‖x‖² has ‖x(t)‖² = ‖x(0)‖²e^{−4λt}.
func TestFlowScaleInvariant(t *testing.T) {
	const lambda = 0.3
	f := plain{3, func(x, g []float64) float64 {
		r2 := dot(x, x)
		l := (x[0]*x[1] + 2*x[2]*x[2]) / r2
		for i, d := range []float64{x[1], x[0], 4 * x[2]} {
			g[i] = d/r2 - 2*l*x[i]/r2 + 2*lambda*x[i]
		}
		return l + lambda*r2
	}}
	r := mustFlow(t, f, []float64{1, 0.5, -0.7}, FlowOptions{Time: 2, Report: []float64{0.5, 1, 1.5}, Tolerance: 1e-9})
	if len(r.Points) != 5 {
		t.Fatalf("points: got %v, want the start, three reports and the end", r.Points)
	}
	for _, p := range r.Points {
		want := r.Points[0].Norm * math.Exp(-2*lambda*p.Time)
		if math.Abs(p.Norm-want) > 1e-7 {
			t.Errorf("t = %v: norm %v, want %v", p.Time, p.Norm, want)
		}
	}
}

// TestFlowEarlyStopping is oracle 27: a direction of curvature h is learned to
// 1 − e^{−ht} by a flow and to x/(1+x), x = h/(2λ), by ridge regression; with
// t = 1/(2λ) the two are never further apart than 0.2036322, at x = 2.5129.
func TestFlowEarlyStopping(t *testing.T) {
	var times []float64
	for k := 1; k <= 400; k++ {
		times = append(times, float64(k)*0.01+0.0029)
	}
	learned := plain{1, func(x, g []float64) float64 { g[0] = x[0] - 1; return (x[0] - 1) * (x[0] - 1) / 2 }}
	r := mustFlow(t, learned, []float64{0}, FlowOptions{Time: 5, Report: times, Tolerance: 1e-10})
	gap, at := 0.0, 0.0
	for _, p := range r.Points {
		if d := math.Abs(p.Norm - p.Time/(1+p.Time)); d > gap {
			gap, at = d, p.Time
		}
	}
	if math.Abs(gap-0.2036322) > 5e-8 || math.Abs(at-2.5129) > 1e-9 {
		t.Errorf("got %v at %v, want 0.2036322 at 2.5129", gap, at)
	}
}

// TestFlowStiff: curvatures from 1 to 1e6. The explicit method has to step at the
// border of stability, 3.3/1e6; the automatic choice does not.
func TestFlowStiff(t *testing.T) {
	h := make(quadratic, 30)
	x0 := make([]float64, len(h))
	for i := range h {
		h[i], x0[i] = math.Pow(1e6, float64(i)/29), 1
	}
	const end = 0.1 // the explicit method takes some 30,000 steps to here
	explicit := mustFlow(t, h, x0, FlowOptions{Time: end, Method: FlowExplicit})
	for _, m := range []FlowMethod{FlowAutomatic, FlowImplicit} {
		r := mustFlow(t, h, x0, FlowOptions{Time: end, Method: m})
		off := 0.0
		for i, x := range r.X {
			off = max(off, math.Abs(x-math.Exp(-h[i]*end)))
		}
		t.Logf("method %q: %d steps, %d implicit, %d rejected, %d switches, %d gradients, %d products, error %.1e, balance %.1e; explicit: %d steps, %d gradients, balance %.1e",
			m, r.Steps, r.Implicit, r.Rejected, r.Switches, r.Gradients, r.Products, off, r.Balance, explicit.Steps, explicit.Gradients, explicit.Balance)
		if r.Steps*10 > explicit.Steps || (r.Gradients+2*r.Products)*4 > explicit.Gradients {
			t.Errorf("method %q: %d steps, %d gradients, %d products; explicit: %d steps, %d gradients", m, r.Steps, r.Gradients, r.Products, explicit.Steps, explicit.Gradients)
		}
		if off > 1e-5 || math.Abs(r.Balance) > 3e-6*r.Points[0].Loss {
			t.Errorf("method %q: error %v, balance %v", m, off, r.Balance)
		}
		if r.Rises > 0 {
			t.Errorf("method %q: %d rises, the largest %v", m, r.Rises, r.MaxRise)
		}
	}
}

// TestFlowValley: a curved valley with a stiff side, the Hessian changing all
// along. Both methods come to the same point.
func TestFlowValley(t *testing.T) {
	f, x0 := valley(1e4, 1), []float64{-1.2, 2}
	var ends [][]float64
	methods(t, func(t *testing.T, m FlowMethod) {
		r := mustFlow(t, f, x0, FlowOptions{Time: 5, Method: m, Tolerance: 1e-7, Evaluations: 5_000_000})
		t.Logf("%v: %d steps, %d implicit, %d rejected, %d switches, %d gradients, %d products, balance %.1e, length %v", r.X, r.Steps, r.Implicit, r.Rejected, r.Switches, r.Gradients, r.Products, r.Balance, r.Points[1].Length)
		ends = append(ends, r.X)
		if math.Abs(r.Balance) > 1e-4*r.Points[0].Loss {
			t.Errorf("balance: %v", r.Balance)
		}
	})
	for _, x := range ends[1:] {
		if math.Hypot(x[0]-ends[0][0], x[1]-ends[0][1]) > 1e-5 {
			t.Errorf("ends: %v", ends)
		}
	}
}

// TestFlowOrder: the error follows the tolerance.
func TestFlowOrder(t *testing.T) {
	for _, m := range []FlowMethod{FlowExplicit, FlowImplicit} {
		last := 0.0
		for _, tolerance := range []float64{1e-4, 1e-6, 1e-8, 1e-10} {
			r := mustFlow(t, logistic([]float64{1}), []float64{0}, FlowOptions{Time: 10, Tolerance: tolerance, Method: m})
			off := math.Abs(r.X[0] + math.Exp(r.X[0]) - 11)
			t.Logf("%s, tolerance %.0e: %.1e in %d steps", m, tolerance, off, r.Steps)
			if last > 0 && off > last/10 {
				t.Errorf("%s, tolerance %.0e: error %v after %v", m, tolerance, off, last)
			}
			last = off
		}
	}
}

// TestFlowEnds: each reason to end.
func TestFlowEnds(t *testing.T) {
	wall := plain{1, func(x, g []float64) float64 { // −√(1−x), whose flow runs into the edge of the domain
		g[0] = -0.5 / math.Sqrt(1-x[0])
		g[0] = -math.Abs(g[0])
		return math.Sqrt(1 - x[0])
	}}
	kink := plain{1, func(x, g []float64) float64 { g[0] = math.Copysign(1, x[0]); return math.Abs(x[0]) }}
	for _, c := range []struct {
		f    Function
		x0   float64
		o    FlowOptions
		want FlowEnd
	}{
		{quadratic{1}, 1, FlowOptions{Time: 3}, FlowTime},
		{quadratic{1}, 1, FlowOptions{Time: math.Inf(1), Gradient: 1e-3}, FlowCritical},
		{quadratic{1}, 0, FlowOptions{Time: 3}, FlowCritical},
		{quadratic{-1}, 1, FlowOptions{Time: math.Inf(1), Radius: 100}, FlowEscaped},
		{quadratic{-1}, 1, FlowOptions{Time: math.Inf(1), Radius: 100, Method: FlowImplicit}, FlowEscaped},
		{quadratic{1}, 1, FlowOptions{Time: 3, Evaluations: 20}, FlowBudget},
		{power(-1), 1, FlowOptions{Time: 1, Radius: 1e6}, FlowEscaped},
		{power(-1), 1, FlowOptions{Time: 1}, FlowStalled},
		{power(-1), 1, FlowOptions{Time: math.Inf(1), Radius: 1e6, Rescaled: true}, FlowEscaped},
		{wall, 0, FlowOptions{Time: 10}, FlowNotFinite},
		{kink, 1, FlowOptions{Time: 2, Evaluations: 5000}, FlowBudget},
	} {
		r := mustFlow(t, c.f, []float64{c.x0}, c.o)
		t.Logf("%v from %v: %s, %+v", c.o, c.x0, r.End, r.Points[len(r.Points)-1])
		if r.End != c.want {
			t.Errorf("%+v: got %q at %+v, want %q", c.o, r.End, r.Points[len(r.Points)-1], c.want)
		}
		for _, p := range r.Points {
			if !finite(p.Loss) || !finite(p.Norm) {
				t.Errorf("%+v: a point that is not finite: %+v", c.o, p)
			}
		}
	}
}

// TestFlowRescaled: −x⁴/4 reaches infinity from 1 at t = ½. In rescaled time it is
// followed for as long as float64 has numbers: 1/x² = 1 − 2t.
func TestFlowRescaled(t *testing.T) {
	r := mustFlow(t, power(-1), []float64{1}, FlowOptions{Time: 1e4, Rescaled: true, Tolerance: 1e-9, Report: []float64{1, 10, 100, 1000}})
	for _, p := range r.Points[1:] {
		if want := (1 - 1/(p.Norm*p.Norm)) / 2; math.Abs(p.Time-want) > 1e-8 {
			t.Errorf("s = %v: x = %v at t = %v, want %v", p.Rescaled, p.Norm, p.Time, want)
		}
	}
	if last := r.Points[len(r.Points)-1]; last.Norm < 9000 || r.End != FlowTime {
		t.Errorf("got %+v, ended by %s", last, r.End)
	}
}

// TestFlowRidge is in the spirit of oracle 13: the minimum 0 lies along a parabola
// that leaves every ball; the flow ends on it, and F falls all the way.
func TestFlowRidge(t *testing.T) {
	f := plain{2, func(x, g []float64) float64 {
		d := x[1] - x[0]*x[0]
		g[0], g[1] = -4*d*x[0], 2*d
		return d * d
	}}
	last := math.Inf(1)
	r := mustFlow(t, f, []float64{2, 9}, FlowOptions{Time: math.Inf(1), Gradient: 1e-3, Step: func(p FlowPoint, x []float64) error {
		if p.Loss > last+1e-8 || p.Length < math.Hypot(x[0]-2, x[1]-9)*(1-1e-9) {
			return fmt.Errorf("%+v after loss %v", p, last)
		}
		last = p.Loss
		return nil
	}})
	if r.End != FlowCritical || math.Abs(r.X[1]-r.X[0]*r.X[0]) > 1e-4 {
		t.Errorf("ended by %s at %v", r.End, r.X)
	}
}

func TestFlowRepeats(t *testing.T) {
	o := FlowOptions{Time: 3, Tolerance: 1e-5}
	a, b := mustFlow(t, valley(1e3, 1), []float64{-1, 1}, o), mustFlow(t, valley(1e3, 1), []float64{-1, 1}, o)
	if a.X[0] != b.X[0] || a.X[1] != b.X[1] || a.Balance != b.Balance {
		t.Errorf("got %+v and %+v", a, b)
	}
}

func TestFlowFails(t *testing.T) {
	good := FlowOptions{Time: 1}
	start := []float64{1}
	for _, c := range []struct {
		x0 []float64
		o  FlowOptions
	}{
		{[]float64{1, 2}, good}, {nil, good}, {start, FlowOptions{}}, {start, FlowOptions{Time: math.NaN()}},
		{start, FlowOptions{Time: 1, Tolerance: -1}}, {start, FlowOptions{Time: 1, Tolerance: 2}}, {start, FlowOptions{Time: 1, Gradient: -1}},
		{start, FlowOptions{Time: 1, Report: []float64{0.5, 0.5}}}, {start, FlowOptions{Time: 1, Report: []float64{2}}},
		{start, FlowOptions{Time: 1, Method: "euler"}}, {start, FlowOptions{Time: 1, Method: FlowImplicit, Rescaled: true}},
	} {
		if r, err := Flow(context.Background(), quadratic{1}, c.x0, c.o); err == nil || r != nil {
			t.Errorf("%v, %+v: got %v, no error", c.x0, c.o, r)
		}
	}
	if _, err := Flow(context.Background(), plain{1, nil}, start, FlowOptions{Time: 1, Method: FlowImplicit}); err == nil {
		t.Error("implicit without a Hessian: no error")
	}
	nan := plain{1, func(_, g []float64) float64 { g[0] = 1; return math.NaN() }}
	if _, err := Flow(context.Background(), nan, start, good); !errors.Is(err, ErrNotFinite) {
		t.Errorf("NaN at the start: got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	o := FlowOptions{Time: 1, Step: func(p FlowPoint, _ []float64) error { cancel(); return nil }}
	if r, err := Flow(ctx, quadratic{1}, start, o); !errors.Is(err, context.Canceled) || r == nil || r.Steps != 1 || len(r.Points) != 2 {
		t.Errorf("cancelled: got %+v, %v", r, err)
	}
}
