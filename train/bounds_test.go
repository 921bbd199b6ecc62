package train

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/calculus"
)

func TestSublevelRadius(t *testing.T) {
	for _, c := range []struct{ level, floor, lambda, want float64 }{
		{0, -10, 1, math.Sqrt(10)}, // the counterexample of theory, row 2: √(C/λ) would be 0
		{math.Log(10), 0, 0.01, math.Sqrt(100 * math.Log(10))},
		{1, 1, 3, 0},
		{1, 0, 0, math.Inf(1)},
		{-1, 0, 1, math.NaN()},
	} {
		if got := SublevelRadius(c.level, c.floor, c.lambda); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%+v: got %v", c, got)
		}
	}
}

// run is gradient descent with the proximal step of λ‖θ‖² from x, and its iterates.
func run(t *testing.T, f calculus.Curved, x []float64, rate float64, lambda ...float64) []Iterate {
	t.Helper()
	g := make([]float64, len(x))
	var list []Iterate
	for k := range len(lambda) + 1 {
		l := lambda[max(0, k-1)]
		loss, err := f.Gradient(context.Background(), x, g)
		if err != nil {
			t.Fatal(err)
		}
		sum := 0.0
		for i := range g {
			sum += (g[i] + 2*l*x[i]) * (g[i] + 2*l*x[i])
		}
		list = append(list, Iterate{Norm: length(x), Loss: loss, Lambda: l, Gradient: math.Sqrt(sum)})
		if k < len(lambda) {
			for i := range x {
				x[i] = (x[i] - rate*g[i]) / (1 + 2*rate*lambda[k])
			}
		}
	}
	return list
}

func repeat(n int, at func(k int) float64) []float64 {
	list := make([]float64, n)
	for k := range list {
		list[k] = at(k)
	}
	return list
}

func bounds(t *testing.T, list []Iterate, o BoundOptions, want map[BoundName]compactify.Verdict) map[BoundName]NormBound {
	t.Helper()
	got := make(map[BoundName]NormBound)
	for _, b := range NormBounds(list, o) {
		got[b.Name] = b
		if b.Verdict != want[b.Name] || b.Reason == "" {
			t.Errorf("%s: got %s (%s), want %s", b.Name, b.Verdict, b.Reason, want[b.Name])
		}
	}
	return got
}

// TestNormBounds follows ridge regression, oracle 1: X = diag(1, 2), y = (1, 1) has
// L(0) = 1, g(0) = (−1, −2), and M = 4.
func TestNormBounds(t *testing.T) {
	f := mustObjective(t, linear(t, 1, 0, 0), table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1}), ObjectiveOptions{Double: true})
	m, _, err := f.CurvatureBound(context.Background())
	if err != nil || m < 4 || m > 5.01 { // the mean of 2·x²: an upper bound by the trace
		t.Fatalf("Lipschitz constant: got %v, %v, want between 4 and 5", m, err)
	}
	o := BoundOptions{Floor: SquaresFloor, Loss0: 1, GradNorm0: math.Sqrt(5), Lipschitz: m}
	constant := func(lambda float64) []float64 { return repeat(200, func(int) float64 { return lambda }) }

	got := bounds(t, run(t, f, []float64{3, -2}, 0.05, constant(3)...), o, map[BoundName]compactify.Verdict{
		SublevelBound: compactify.Supported, ZeroBound: compactify.Supported, CriticalBound: compactify.Supported, FlowBound: compactify.Supported})
	if b := got[CriticalBound]; b.Checked != 201 || math.Abs(b.Radius-math.Sqrt(5)/(6-m)) > 1e-6 {
		t.Errorf("critical points: got %+v, want all iterates checked, and ‖g(0)‖/(2λ−M) at the minimiser", b)
	}
	if b := got[ZeroBound]; b.Radius != math.Sqrt(1./3) {
		t.Errorf("below the loss of zero: got the radius %v, want √⅓", b.Radius)
	}
	// L(θ₀) = (2² + 5²)/2 = 14.5 and ‖θ₀‖² = 13.
	if b := got[FlowBound]; math.Abs(b.Radius-math.Sqrt(13+14.5/3)) > 1e-12 {
		t.Errorf("along training: got the radius %v, want √(13 + 14.5/3)", b.Radius)
	}

	rising := repeat(100, func(k int) float64 { return 0.01 * math.Pow(1.1, float64(k)) })
	bounds(t, run(t, f, []float64{3, -2}, 0.05, rising...), o, map[BoundName]compactify.Verdict{
		SublevelBound: compactify.Supported, ZeroBound: compactify.Supported, CriticalBound: compactify.Supported, FlowBound: compactify.Supported})

	falling := repeat(20, func(k int) float64 { return 1 / float64(1+k) })
	b := bounds(t, run(t, f, []float64{3, -2}, 0.05, falling...), o, map[BoundName]compactify.Verdict{
		SublevelBound: compactify.Supported, ZeroBound: compactify.Supported, CriticalBound: compactify.NotApplicable, FlowBound: compactify.NotApplicable})
	if !strings.Contains(b[FlowBound].Reason, "λ falls from 1 to 0.5 at iterate 2") {
		t.Errorf("falling λ: got %q, want the fall named", b[FlowBound].Reason)
	}

	none := bounds(t, run(t, f, []float64{3, -2}, 0.05, constant(0)...), BoundOptions{Floor: SquaresFloor, Loss0: 1}, map[BoundName]compactify.Verdict{
		SublevelBound: compactify.NotApplicable, ZeroBound: compactify.NotApplicable, CriticalBound: compactify.NotApplicable, FlowBound: compactify.NotApplicable})
	if !math.IsNaN(none[FlowBound].Radius) {
		t.Errorf("without a penalty: got the radius %v, want none", none[FlowBound].Radius)
	}
}

// TestNormBoundsRefuted: steps above 2/M leave the ball of the flow, and a floor
// that is none shows.
func TestNormBoundsRefuted(t *testing.T) {
	f := mustObjective(t, linear(t, 1, 0, 0), table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1}), ObjectiveOptions{Double: true})
	list := run(t, f, []float64{0.5, 1}, 0.6, repeat(30, func(int) float64 { return 0.01 })...)
	o := BoundOptions{Floor: SquaresFloor, Loss0: 1, GradNorm0: math.Sqrt(5)}
	b := bounds(t, list, o, map[BoundName]compactify.Verdict{
		SublevelBound: compactify.Supported, ZeroBound: compactify.Supported, CriticalBound: compactify.NotApplicable, FlowBound: compactify.Refuted})[FlowBound]
	if b.Outside < 1 || list[b.Outside].Norm <= b.Limit || list[b.Outside-1].Norm > b.Limit || !strings.Contains(b.Reason, "rose at iterate 1") {
		t.Errorf("got %+v, want the first iterate outside, and the rise that explains it", b)
	}
	o.Floor = GivenFloor(0.9)
	list = run(t, f, []float64{0, 0}, 0.05, repeat(30, func(int) float64 { return 1 })...)
	for _, b := range NormBounds(list, o)[:2] {
		if b.Verdict != compactify.Refuted {
			t.Errorf("%s with a floor above the losses: got %s (%s), want refuted", b.Name, b.Verdict, b.Reason)
		}
	}
}
