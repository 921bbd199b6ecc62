package train

import (
	"context"
	"math"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
)

// TestShrinkageOfRidge: exact for a quadratic. X = diag(1, 2), y = (1, 1): θ* is
// (1, ½), the eigenvalues are 1 and 4.
func TestShrinkageOfRidge(t *testing.T) {
	f := mustObjective(t, linear(t, 1, 0, 0), table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1}), ObjectiveOptions{Double: true})
	s, err := MeasureShrinkage(context.Background(), f, []float64{3, 4}, ShrinkageOptions{Lambda: 0.5, Largest: 1, Smallest: 1})
	if err != nil {
		t.Fatal(err)
	}
	if s.Verdict != compactify.Supported || s.Compared != 2 || s.Worst > 1e-9 || math.Abs(s.NormAfter-math.Hypot(0.5, 0.4)) > 1e-9 {
		t.Errorf("got %+v, want both components exact and oracle 1's (0.5, 0.4)", s)
	}
	for i, want := range []ShrinkageRow{{Eigenvalue: 4, Component: 0.5, Predicted: 0.8}, {Eigenvalue: 1, Component: 1, Predicted: 0.5}} {
		r := s.Rows[i]
		if math.Abs(r.Eigenvalue-want.Eigenvalue) > 1e-9 || math.Abs(math.Abs(r.Component)-want.Component) > 1e-9 || math.Abs(r.Predicted-want.Predicted) > 1e-9 {
			t.Errorf("row %d: got %+v, want %+v up to a sign", i, r, want)
		}
	}
}

// TestShrinkageWhereItIsNone: a valley of minimisers, uv = 1, is flat along itself;
// and a function that is not quadratic is off for a λ that is not small.
func TestShrinkageWhereItIsNone(t *testing.T) {
	o := ShrinkageOptions{Lambda: 0.1, Largest: 1, Smallest: 1}
	s, err := MeasureShrinkage(context.Background(), saddleProduct, []float64{1, 1}, o)
	if err != nil {
		t.Fatal(err)
	}
	if s.Verdict != compactify.NotApplicable {
		t.Errorf("a valley: got %s (%s), want not applicable", s.Verdict, s.Reason)
	}
	// (θ²−1)²: θ_λ = √(1 − λ/2), h = 8 at θ* = 1.
	if s, err = MeasureShrinkage(context.Background(), doubleWell, []float64{0.9}, o); err != nil {
		t.Fatal(err)
	}
	if r := s.Rows[0]; s.Verdict != compactify.Supported || math.Abs(r.Measured-math.Sqrt(0.95)) > 1e-9 || math.Abs(r.Predicted-8/8.2) > 1e-9 {
		t.Errorf("a well, λ = 0.1: got %+v", s)
	}
	o.Lambda = 1.9
	if s, err = MeasureShrinkage(context.Background(), doubleWell, []float64{0.9}, o); err != nil {
		t.Fatal(err)
	}
	if s.Verdict != compactify.Refuted || math.Abs(s.NormAfter-math.Sqrt(0.05)) > 1e-6 {
		t.Errorf("a well, λ = 1.9: got %s (%s) at %v, want refuted at √(1 − λ/2)", s.Verdict, s.Reason, s.NormAfter)
	}
	if _, err := MeasureShrinkage(context.Background(), doubleWell, []float64{1}, ShrinkageOptions{}); err == nil {
		t.Error("λ = 0: got no error")
	}
}

// tanhNet is a trained network with a smooth activation: minimisers of one with ReLU
// lie at kinks.
func tanhNet(t *testing.T, set *data.Set, epochs int, lambda float64) *Objective {
	t.Helper()
	g, err := NewModel("mlp:784-12-10", []int{1, 28, 28}, set.Classes(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range g.Nodes {
		if n.Op == "Relu" {
			n.Op = "Tanh"
		}
	}
	model, _ := mustRun(t, g, set, Options{Epochs: epochs, Batch: 100, Rate: 1e-2, Penalties: ridge(lambda)})
	return mustObjective(t, model, set, ObjectiveOptions{Double: true})
}

// TestShrinkageOfNetwork: at both ends of the spectrum of a trained network, top
// eigenvalues thousands of times the bottom ones, weight decay shrinks components as
// h/(h + 2λ) says, to first order in λ.
func TestShrinkageOfNetwork(t *testing.T) {
	const base = 1e-3
	f := tanhNet(t, glyphs(t, 100), 60, base)
	s, err := MeasureShrinkage(context.Background(), f, f.Point(), ShrinkageOptions{Base: base, Lambda: base / 5000})
	if err != nil {
		t.Fatal(err)
	}
	if s.Verdict != compactify.Supported || s.Compared < 8 || s.Whole > 1e-3 || s.Rows[0].Eigenvalue < 1000*s.Rows[5].Eigenvalue {
		t.Errorf("got %+v, want at least 8 components at both ends as predicted", s)
	}
	if s.NormAfter >= s.NormBefore {
		t.Errorf("‖θ‖: got %v from %v, want less", s.NormAfter, s.NormBefore)
	}
	t.Log(s.Reason)
}
