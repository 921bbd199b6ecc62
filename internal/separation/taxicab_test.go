package separation

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func widestL1(t testing.TB, p Points) *Margin {
	t.Helper()
	m, err := MaxMarginL1(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if !(m.Low > 0) || !(m.High >= m.Low) {
		t.Fatalf("margin [%v, %v]", m.Low, m.High)
	}
	return m
}

// TestTaxicab: of (1, 2) and (3, −1) the best w on the diamond has w₁ + 2w₂ = 3w₁ − w₂,
// w = (3, 2)/5 and γ = 7/5; of an interval only the one coordinate counts.
func TestTaxicab(t *testing.T) {
	m := widestL1(t, pointsOf(false, []float64{1, 2, 1}, []float64{3, -1, 1}))
	if math.Abs(m.Low-1.4) > 1e-6 || math.Abs(m.High-1.4) > 1e-6 || math.Abs(m.Direction[0]-0.6) > 1e-6 {
		t.Errorf("got %+v, want 7/5", m)
	}
	m = widestL1(t, pointsOf(true, []float64{101, 0.2, 1}, []float64{103, 0.5, 1}, []float64{100, 0, -1}, []float64{90, 0.5, -1}))
	if math.Abs(m.Low-0.5) > 1e-6 || math.Abs(m.High-0.5) > 1e-6 || math.Abs(m.Direction[0]-1) > 1e-6 {
		t.Errorf("got %+v, want ½ along the first axis", m)
	}
	if _, err := MaxMarginL1(context.Background(), pointsOf(true, []float64{1, 1}, []float64{1, -1})); !errors.Is(err, ErrNotSeparated) {
		t.Errorf("overlapping: got %v", err)
	}
}

// TestTaxicabRandom: the bounds meet, in both shapes of the normal equations.
func TestTaxicabRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for n := range 60 {
		p := Points{Dim: 2 + r.IntN(30), Intercept: n%2 == 0}
		for i := range 4 + r.IntN(40) {
			y := float64(2*(i%2) - 1)
			x := make([]float64, p.Dim)
			for j := range x {
				x[j] = r.NormFloat64()
			}
			x[0] = y * (0.2 + math.Abs(x[0]))
			p.Rows, p.Sign = append(p.Rows, Vector{Value: x}), append(p.Sign, int8(y))
		}
		if m := widestL1(t, p); m.High-m.Low > 1e-4*m.High {
			t.Errorf("problem %d: margin [%v, %v] of %d rows, %d coordinates", n, m.Low, m.High, len(p.Rows), p.Dim)
		}
	}
}

// TestTaxicabRealData: the bounds meet on data sets of the literature.
func TestTaxicabRealData(t *testing.T) {
	for _, c := range realSets {
		if c.want != Separable || c.name == "wdbc" { // whose margin is 1e-8 of its numbers
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			p := c.load(t)
			start := time.Now()
			m := widestL1(t, p)
			t.Logf("margin [%v, %v], %d support vectors, in %v", m.Low, m.High, len(m.Support), time.Since(start).Round(time.Millisecond))
			if m.High-m.Low > 1e-4*m.High {
				t.Errorf("margin: bounds [%v, %v] do not meet", m.Low, m.High)
			}
		})
	}
}
