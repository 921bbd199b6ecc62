package calculus

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
)

// minimise iterates until the gradient is small.
func minimise(t *testing.T, f Function, x0 []float64, o LBFGSOptions, gradient float64, most int) *LBFGS {
	t.Helper()
	l, err := NewLBFGS(context.Background(), f, x0, o)
	if err != nil {
		t.Fatal(err)
	}
	for norm(l.State().G) > gradient {
		before := l.State()
		step, err := l.Step(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		after := l.State()
		if step.Stalled || after.Iterations > most {
			t.Fatalf("‖∇F‖ = %v after %d iterations and %d evaluations: %+v", norm(after.G), after.Iterations, after.Evaluations, step)
		}
		if after.Loss > before.Loss+1e-15*math.Abs(before.Loss) {
			t.Fatalf("iteration %d: F rose from %v to %v", after.Iterations, before.Loss, after.Loss)
		}
		if step.Loss != after.Loss || step.Evaluations != after.Evaluations-before.Evaluations {
			t.Fatalf("iteration %d: got %+v, state %v", after.Iterations, step, after.Loss)
		}
	}
	t.Logf("%d iterations, %d evaluations", l.State().Iterations, l.State().Evaluations)
	return l
}

// chained is Σ 100(x_{i+1}−x_i²)² + (1−x_i)², with the minimum 0 at (1, …, 1): the
// function of H. Rosenbrock in n variables.
func chained(n int) plain {
	return plain{n, func(x, g []float64) float64 {
		f := 0.0
		clear(g)
		for i := range n - 1 {
			a, b := x[i+1]-x[i]*x[i], 1-x[i]
			f += 100*a*a + b*b
			g[i] += -400*a*x[i] - 2*b
			g[i+1] += 200 * a
		}
		return f
	}}
}

func TestLBFGS(t *testing.T) {
	ones := func(n int) []float64 { return spread(n, func(int) float64 { return 1 }) }
	for _, c := range []struct {
		name string
		f    Function
		x0   []float64
		want []float64
		most int
	}{
		{"Rosenbrock", chained(2), []float64{-1.2, 1}, ones(2), 50},
		{"Rosenbrock in 50 variables", chained(50), spread(50, func(i int) float64 { return -1.2 + 2.2*float64(i%2) }), ones(50), 400},
		{"quadratic", quadratic{1, 2, 3, 4, 5}, ones(5), make([]float64, 5), 20},
		{"quadratic of condition 1e4", quadratic(spread(40, func(i int) float64 { return math.Pow(1e4, float64(i)/39) })), ones(40), make([]float64, 40), 1500},
		{"far too flat", quadratic{1e-8, 2e-8}, []float64{1e5, -1e5}, make([]float64, 2), 40},
		{"far too steep", quadratic{1e9, 2e9}, []float64{1e5, -1e5}, make([]float64, 2), 40},
		{"ridge regression, oracle 1", plain{2, func(x, g []float64) float64 {
			a, b := 1-x[0], 1-2*x[1]
			g[0], g[1] = -a+x[0], -2*b+x[1]
			return (a*a + b*b + x[0]*x[0] + x[1]*x[1]) / 2
		}}, []float64{5, 5}, []float64{0.5, 0.4}, 20},
		{"out of its domain", plain{1, func(x, g []float64) float64 { // x − log x
			g[0] = 1 - 1/x[0]
			return x[0] - math.Log(x[0])
		}}, []float64{20}, ones(1), 30},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := make([]float64, len(c.x0))
			if _, err := c.f.Gradient(context.Background(), c.x0, g); err != nil {
				t.Fatal(err)
			}
			l := minimise(t, c.f, c.x0, LBFGSOptions{}, 1e-9*min(1, norm(g)), c.most)
			for i, x := range l.State().X {
				if math.Abs(x-c.want[i]) > 1e-8*max(100, norm(c.x0)) {
					t.Fatalf("got %v, want %v", l.State().X, c.want)
				}
			}
		})
	}
}

// TestLBFGSRidgeLogistic is oracle 9: a sum of logistic losses with λ‖w‖².
func TestLBFGSRidgeLogistic(t *testing.T) {
	data := logistic([]float64{1, 2}, []float64{3, -1})
	for _, c := range []struct {
		lambda float64
		want   [2]float64
	}{{1, [2]float64{0.4813754, 0.1873801}}, {1e-6, [2]float64{5.4862774, 3.4133296}}} {
		f := plain{2, func(x, g []float64) float64 {
			loss := data.f(x, g)
			addScaled(g, 2*c.lambda, x)
			return loss + c.lambda*dot(x, x)
		}}
		x := minimise(t, f, []float64{0, 0}, LBFGSOptions{}, 1e-13, 100).State().X
		if math.Abs(x[0]-c.want[0]) > 2e-7 || math.Abs(x[1]-c.want[1]) > 2e-7 {
			t.Errorf("λ = %v: got %v, want %v", c.lambda, x, c.want)
		}
	}
}

// TestLBFGSResumes: a state that was copied goes on with the same bits.
func TestLBFGSResumes(t *testing.T) {
	f, x0 := chained(20), spread(20, func(i int) float64 { return math.Sin(float64(i)) })
	ctx := context.Background()
	whole, _ := NewLBFGS(ctx, f, x0, LBFGSOptions{Memory: 5})
	parts, _ := NewLBFGS(ctx, f, x0, LBFGSOptions{Memory: 5})
	for range 60 {
		if _, err := whole.Step(ctx); err != nil {
			t.Fatal(err)
		}
		if _, err := parts.Step(ctx); err != nil {
			t.Fatal(err)
		}
		s := parts.State()
		s.X, s.G, s.S, s.Y = slices.Clone(s.X), slices.Clone(s.G), deep(s.S), deep(s.Y)
		var err error
		if parts, err = ResumeLBFGS(f, s, LBFGSOptions{Memory: 5}); err != nil {
			t.Fatal(err)
		}
		if a, b := whole.State(), parts.State(); a.Loss != b.Loss || !slices.Equal(a.X, b.X) || a.Evaluations != b.Evaluations || len(b.S) > 5 {
			t.Fatalf("iteration %d: got %v and %v", a.Iterations, a.Loss, b.Loss)
		}
	}
}

func deep(v [][]float64) [][]float64 {
	var c [][]float64
	for _, x := range v {
		c = append(c, slices.Clone(x))
	}
	return c
}

// TestLBFGSNoise: values rounded to float32 do not send the search astray; it
// ends by standing still.
func TestLBFGSNoise(t *testing.T) {
	rounded := plain{50, func(x, g []float64) float64 {
		f := chained(50).f(x, g)
		for i := range g {
			g[i] = float64(float32(g[i]))
		}
		return float64(float32(f)) + 1
	}}
	l, err := NewLBFGS(context.Background(), rounded, make([]float64, 50), LBFGSOptions{Noise: 1e-7})
	if err != nil {
		t.Fatal(err)
	}
	for range 500 {
		step, err := l.Step(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if step.Stalled {
			break
		}
	}
	if l.State().Loss > 1+1e-6 {
		t.Errorf("stopped at %v after %d iterations", l.State().Loss, l.State().Iterations)
	}
}

func TestLBFGSEnds(t *testing.T) {
	ctx := context.Background()
	l, err := NewLBFGS(ctx, quadratic{1}, []float64{0}, LBFGSOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if step, err := l.Step(ctx); err != nil || !step.Stalled || l.State().Iterations != 0 {
		t.Errorf("at the minimum: got %+v, %v", step, err)
	}
	liar := plain{1, func(x, g []float64) float64 { g[0] = 1; return -x[0] }} // the gradient points the wrong way
	if l, err = NewLBFGS(ctx, liar, []float64{0}, LBFGSOptions{}); err != nil {
		t.Fatal(err)
	}
	if step, err := l.Step(ctx); err != nil || !step.Stalled || l.State().X[0] != 0 {
		t.Errorf("a gradient that lies: got %+v, %v", step, err)
	}
	down := plain{1, func(x, g []float64) float64 { g[0] = 1; return x[0] }} // unbounded below
	if l, err = NewLBFGS(ctx, down, []float64{0}, LBFGSOptions{}); err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if step, err := l.Step(ctx); err != nil || step.Stalled {
			t.Fatalf("unbounded: got %+v, %v", step, err)
		}
	}
	if _, err := NewLBFGS(ctx, quadratic{1}, []float64{math.NaN()}, LBFGSOptions{}); !errors.Is(err, ErrNotFinite) {
		t.Errorf("NaN at the start: got %v", err)
	}
	if _, err := NewLBFGS(ctx, quadratic{1}, nil, LBFGSOptions{}); err == nil {
		t.Error("too few values: no error")
	}
	x := []float64{1}
	for _, s := range []LBFGSState{{X: x, G: nil}, {X: x, G: x, S: [][]float64{x}}, {X: x, G: x, S: [][]float64{{1, 2}}, Y: [][]float64{x}},
		{X: x, G: x, S: [][]float64{x, x}, Y: [][]float64{x, x}}} {
		if _, err := ResumeLBFGS(quadratic{1}, s, LBFGSOptions{Memory: 1}); err == nil {
			t.Errorf("%+v: no error", s)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	l, _ = NewLBFGS(ctx, quadratic{1}, x, LBFGSOptions{})
	if _, err := l.Step(cancelled); !errors.Is(err, context.Canceled) || l.State().X[0] != 1 || l.State().Iterations != 0 {
		t.Errorf("cancelled: got %v, state %+v", err, l.State())
	}
}
