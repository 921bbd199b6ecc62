package train

import (
	"context"
	"github.com/compactify/compactify/data"
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify"
)

// TestScaleInvariance: what only a batch normalisation reads may have any length.
func TestScaleInvariance(t *testing.T) {
	set := glyphs(t, 24)
	g, err := NewModel("resnet8", []int{1, 28, 28}, set.Classes(), 1)
	if err != nil {
		t.Fatal(err)
	}
	v, err := ScaleInvariance(context.Background(), g, set, ObjectiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range v.Blocks {
		// The first normalisation of a block, with biases still zero, scales what ReLU
		// and a convolution hand on to the second.
		want := strings.HasSuffix(b.Name, "weight") && b.Name != "fc.weight" || strings.HasSuffix(b.Name, "bn1.scale")
		if want != b.Invariant {
			t.Errorf("%s: got invariant %v with a change of %.3g, want %v", b.Name, b.Invariant, b.Change, want)
		}
	}
	if v.Together > v.Tolerance || v.Whole < 0.4 || v.Share < 0.5 {
		t.Errorf("got a change of %.3g of all invariant parameters and %.3g of all, share %.3g; want at most %v, more, and most of θ",
			v.Together, v.Whole, v.Share, v.Tolerance)
	}
	done, err := ScaleInvariance(context.Background(), Finish(g), set, ObjectiveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if done.Any() {
		t.Errorf("with stored statistics: got %+v, want no invariance", done)
	}
}

// TestApproach follows closed-form sequences.
func TestApproach(t *testing.T) {
	for _, c := range []struct {
		name    string
		at      func(k float64) []float64
		kind    ApproachKind
		verdict compactify.Verdict
	}{
		{"decay", func(k float64) []float64 { return []float64{math.Exp(-k), 2 * math.Exp(-k)} }, ToZero, compactify.Supported},
		{"zero itself", func(k float64) []float64 { return []float64{max(0, 3-k), 0} }, ToZero, compactify.Verified},
		{"a sparse model", func(k float64) []float64 { return []float64{1 + k, 0, max(0, 2-k), 0} }, ToSparse, compactify.Verified},
		// The flow of logistic loss: log t along the margin vector and a bounded rest.
		{"separable data", func(k float64) []float64 { return []float64{math.Log(2+k) * 3, math.Log(2+k)*2 + 1} }, ToInfinity, compactify.Supported},
		{"a circle", func(k float64) []float64 { return []float64{math.Cos(k), math.Sin(k)} }, ToNone, compactify.Supported},
		{"a spiral that turns as fast as ever", func(k float64) []float64 { return []float64{k * math.Cos(k*k/10), k * math.Sin(k*k/10)} }, ToNone, compactify.Supported},
		{"a minimum", func(k float64) []float64 { return []float64{1 + math.Exp(-k), 2} }, ToNone, compactify.Supported},
	} {
		var tracker Tracker
		for k := range 10 {
			tracker.ObservePoint(c.at(float64(k)))
		}
		if a := tracker.Approach(); a.Kind != c.kind || a.Verdict != c.verdict || a.Reason == "" {
			t.Errorf("%s: got %+v, want %s, %s", c.name, a, c.kind, c.verdict)
		}
	}
	var none Tracker
	if a := none.Approach(); a.Verdict != compactify.Inconclusive {
		t.Errorf("without models: got %+v, want inconclusive", a)
	}
	for range 2 {
		none.Observe(linear(t, 1, 3, 4))
	}
	if a := none.Approach(); a.Verdict != compactify.Inconclusive || a.Norm != 5 || a.Turn > 1e-15 {
		t.Errorf("of two equal models: got %+v, want inconclusive with norm 5 and no turn", a)
	}
}

// TestWithoutInfluenceIsNotInvariant: weights so small that answers underflow may be
// scaled without a change, as may those of a dead branch; neither is scale-invariance.
func TestWithoutInfluenceIsNotInvariant(t *testing.T) {
	set := table(t, data.Classify, []float64{1, 2, 0}, []float64{3, 1, 1})
	for _, w := range []float32{1e-44, 0} {
		v, err := ScaleInvariance(t.Context(), linear(t, 2, w, w, w, w), set, ObjectiveOptions{})
		if err != nil || v.Any() {
			t.Errorf("weights of %v: got share %v, error %v, want none", w, v.Share, err)
		}
	}
}
