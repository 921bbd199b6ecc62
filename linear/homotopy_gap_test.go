package linear

import (
	"context"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func verifyGap(t *testing.T, p Problem, pen Penalty, o Options, x Point) VerifiedGap {
	t.Helper()
	v, err := VerifyGap(context.Background(), p, pen, o, x)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestVerifyGapOracle4: the dual point of THEORY oracle 4, by hand in fractions.
func TestVerifyGapOracle4(t *testing.T) {
	p := oracle3(t)
	null := Point{Lambda: 3, Intercept: []float64{0}}
	if v := verifyGap(t, p, Penalty{Alpha: 1}, Options{}, null); v.Gap != 0 || v.Relative != 0 || v.Objective != 19.0/6 {
		t.Errorf("λ = λ_max: got %+v, want no gap at ‖y‖²/2n = 19/6", v)
	}
	// At θ = 0 and λ = 2 the residual is y, ‖Xᵀy‖∞/n = 3, so the dual point is y·2/3 and
	// the gap (1 − 2/3)²·19/6.
	null.Lambda = 2
	v := verifyGap(t, p, Penalty{Alpha: 1}, Options{}, null)
	if want := 19.0 / 54; v.Gap < want || v.Gap > want*(1+1e-14) {
		t.Errorf("λ = 2: got gap %v, want %v", v.Gap, want)
	}
}

// TestVerifyGapBound: the bound is one, and a tight one next to the solution; with the
// exact minimum from the homotopy in rational numbers.
func TestVerifyGapBound(t *testing.T) {
	r := rand.New(rand.NewPCG(13, 14))
	for k := range 120 {
		p, pen, o := small(t, r.IntN)
		b, err := Homotopy(context.Background(), p, pen, HomotopyOptions{Options: o, Exact: true})
		if err != nil {
			t.Fatal(err)
		}
		raw := raw(t, p, pen, o)
		lambda := b.LambdaMax * r.Float64()
		if lambda == 0 {
			lambda = 0.25
		}
		x, err := b.At(lambda)
		if err != nil {
			t.Fatal(err)
		}
		theta, intercept := b.exactAt(exactly(lambda))
		least := raw.objective(theta, intercept, exactly(lambda))
		if v := verifyGap(t, p, pen, o, x); v.Gap > 1e-13 { // correlations are off by their last digits
			t.Errorf("problem %d at λ = %v: gap %v of a solution that was rounded once", k, lambda, v.Gap)
		}
		for i := range x.Value {
			x.Value[i] += 0.1 * r.NormFloat64()
		}
		if o.Intercept {
			x.Intercept[0] += 0.1 * r.NormFloat64()
		}
		moved := zeroRats(p.X.cols)
		for i, j := range x.Index {
			moved[j] = exactly(x.Value[i])
		}
		above := new(big.Rat).Sub(raw.objective(moved, exactly(x.Intercept[0]), exactly(lambda)), least)
		if v := verifyGap(t, p, pen, o, x); exactly(v.Gap).Cmp(above) < 0 {
			f, _ := above.Float64()
			t.Errorf("problem %d at λ = %v: gap %v, but the objective is %v above its minimum", k, lambda, v.Gap, f)
		}
	}
}

// TestVerifyGapElastic: one column, θ = soft(c, λα)/(1 + λ(1−α)) in closed form; and
// twice the curvature away from it the gap of the objective.
func TestVerifyGapElastic(t *testing.T) {
	p := Problem{X: columnsOf(t, [][]float64{{1}, {1}}), Y: []float64{2, 3}}
	pen := Penalty{Alpha: 0.5}
	x := Point{Lambda: 1, Intercept: []float64{0}, Index: []int{0}, Value: []float64{2 / 1.5}}
	if v := verifyGap(t, p, pen, Options{}, x); v.Gap > 1e-30 {
		t.Errorf("at the solution: got gap %v", v.Gap)
	}
	x.Value[0] = 1
	// Objective ½·1.5·(1 − 4/3)² above the minimum; with the dual point y − θ the gap
	// is h(1) + h*(1.5) − 1.5 = ½ + ¼ + 1 − 1.5.
	if v := verifyGap(t, p, pen, Options{}, x); v.Gap != 0.25 {
		t.Errorf("next to it: got gap %v, want 0.25", v.Gap)
	}
	x.Lambda = 0
	x.Value[0] = 2.5
	if v := verifyGap(t, p, pen, Options{}, x); v.Gap != 0 {
		t.Errorf("least squares: got gap %v, want 0", v.Gap)
	}
}

func TestVerifyGapErrors(t *testing.T) {
	p := oracle3(t)
	for name, x := range map[string]Point{
		"columns":   {Lambda: 1, Intercept: []float64{0}, Index: []int{1, 0}, Value: []float64{1, 1}},
		"outside":   {Lambda: 1, Intercept: []float64{0}, Index: []int{3}, Value: []float64{1}},
		"lengths":   {Lambda: 1, Intercept: []float64{0}, Index: []int{0}},
		"NaN":       {Lambda: 1, Intercept: []float64{0}, Index: []int{0}, Value: []float64{math.NaN()}},
		"λ":         {Lambda: math.Inf(1), Intercept: []float64{0}},
		"intercept": {Lambda: 1, Intercept: []float64{1}},
	} {
		if _, err := VerifyGap(context.Background(), p, Penalty{Alpha: 1}, Options{}, x); err == nil {
			t.Errorf("%s: got no error", name)
		}
	}
}
