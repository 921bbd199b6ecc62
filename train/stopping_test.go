package train

import (
	"context"
	"math"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
)

// TestStoppingGap: oracle 27.
func TestStoppingGap(t *testing.T) {
	gap, at := 0.0, 0.0
	for x := 0.0; x < 10; x += 1e-4 {
		if g := 1 - math.Exp(-x) - x/(1+x); math.Abs(g) > gap {
			gap, at = math.Abs(g), x
		}
	}
	if math.Abs(gap-StoppingGap) > 1e-7 || math.Abs(at-2.5129) > 1e-3 {
		t.Errorf("largest gap: got %v at %v, want %v at 2.5129", gap, at, StoppingGap)
	}
}

// TestStoppingOfQuadratic: both sides are exact, and the largest gap is met at the
// third of the times chosen, along the first eigenvector. X = diag(1, 2) has H =
// diag(1, 4).
func TestStoppingOfQuadratic(t *testing.T) {
	f := mustObjective(t, linear(t, 1, 0, 0), table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1}), ObjectiveOptions{Double: true})
	s, err := CompareStopping(context.Background(), f, []float64{0, 0}, StoppingOptions{Modes: 2})
	if err != nil {
		t.Fatal(err)
	}
	if s.Verdict != compactify.Supported || s.Compared != 2 || math.Abs(s.Gap-StoppingGap) > 1e-6 || s.Departure > 1e-6 {
		t.Errorf("got %+v, want both modes exact and the gap of oracle 27", s)
	}
	// t = 2.5129/4: components of θ(t) are 1 − e^(−t) and ½(1 − e^(−4t)).
	r := s.Rows[2]
	if want := math.Hypot(1-math.Exp(-r.Time), (1-math.Exp(-4*r.Time))/2); math.Abs(r.StepFlow-want) > 1e-6 || math.Abs(r.Lambda*r.Time-0.5) > 1e-12 {
		t.Errorf("third time: got %+v, want a step of %v", r, want)
	}
	for _, times := range [][]float64{{0}, {2, 1}, {}} {
		if _, err := CompareStopping(context.Background(), f, []float64{0, 0}, StoppingOptions{Times: times}); err == nil {
			t.Errorf("times %v: got no error", times)
		}
	}
}

// TestStoppingOfNetwork: from a half-trained network the two stay as near to each other
// as a quadratic allows, along the steepest directions and for longer than these
// take.
func TestStoppingOfNetwork(t *testing.T) {
	f := tanhNet(t, glyphs(t, 100), 10, 0)
	s, err := CompareStopping(context.Background(), f, f.Point(), StoppingOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s.Verdict != compactify.Supported || s.Compared < 3 {
		t.Errorf("got %+v, want at least 3 modes compared and supported", s)
	}
	for i, r := range s.Rows {
		if r.LossRidge >= f.mustLoss(t) || r.Distance > 0.5 || i > 0 && r.StepFlow <= s.Rows[i-1].StepFlow {
			t.Errorf("time %d: got %+v, want falling losses, growing steps", i, r)
		}
	}
	t.Log(s.Reason)
}

func (f *Objective) mustLoss(t *testing.T) float64 { return lossAt(t, f, f.Point()) }
