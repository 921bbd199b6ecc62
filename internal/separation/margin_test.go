package separation

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

func widest(t testing.TB, p Points) *Margin {
	t.Helper()
	m, err := MaxMargin(context.Background(), p)
	if err != nil {
		t.Fatal(err)
	}
	if !(m.Low > 0) || !(m.High >= m.Low) {
		t.Fatalf("margin [%v, %v]", m.Low, m.High)
	}
	return m
}

// TestOracle8: margin vectors (1, 2) and (3, −1) have ŵ = (3, 2)/√13 and γ = 7/√13.
func TestOracle8(t *testing.T) {
	m := widest(t, pointsOf(false, []float64{1, 2, 1}, []float64{-3, 1, -1}, []float64{5, 5, 1}))
	if want := 7 / math.Sqrt(13); !(m.Low <= want*(1+1e-15) && want <= m.High*(1+1e-15) && m.High-m.Low < 1e-14) {
		t.Errorf("margin: got [%v, %v], want %v", m.Low, m.High, want)
	}
	if x := math.Abs(m.Direction[0]-3/math.Sqrt(13)) + math.Abs(m.Direction[1]-2/math.Sqrt(13)); x > 1e-14 {
		t.Errorf("direction %v", m.Direction)
	}
	if len(m.Support) != 2 || m.Support[0] != 0 || m.Support[1] != 1 {
		t.Errorf("support %v", m.Support)
	}
}

// TestMarginIntercept: intervals, whose margin is half the distance between them.
func TestMarginIntercept(t *testing.T) {
	for _, offset := range []float64{0, 1000, -1e9} {
		m := widest(t, pointsOf(true, []float64{offset - 5, -1}, []float64{offset + 1, -1}, []float64{offset + 1.5, 1}, []float64{offset + 9, 1}))
		if m.Low > 0.25 || m.High < 0.25 || m.High-m.Low > 1e-14 {
			t.Errorf("offset %v: margin: got [%v, %v], want ¼", offset, m.Low, m.High)
		}
		if want := -(offset + 1.25); math.Abs(m.Intercept-want) > 1e-15*math.Abs(want) {
			t.Errorf("offset %v: intercept: got %v, want %v", offset, m.Intercept, want)
		}
	}
	if _, err := MaxMargin(context.Background(), pointsOf(true, []float64{1, 1}, []float64{2, 1})); err == nil {
		t.Error("one class: got no error")
	}
	if _, err := MaxMargin(context.Background(), pointsOf(true, []float64{1, 1}, []float64{1, -1})); err == nil {
		t.Error("overlapping: got no error")
	}
}

// TestMarginRandom: the bounds meet, for all shapes.
func TestMarginRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for n := range 300 {
		p := Points{Dim: 1 + r.IntN(12), Intercept: n%2 == 0}
		normal := make([]float64, p.Dim)
		for j := range normal {
			normal[j] = r.NormFloat64()
		}
		for i := range 3 + r.IntN(60) {
			x, s := make([]float64, p.Dim), 0.3*float64(n%2)
			for j := range x {
				x[j] = r.NormFloat64()
				s += x[j] * normal[j]
			}
			y := int8(1)
			if s < 0 {
				y = -1
			}
			if i < 2 { // both classes
				y = int8(2*i - 1)
				for j := range x {
					x[j] = 9 * normal[j] * float64(y)
				}
			}
			p.Rows, p.Sign = append(p.Rows, Vector{Value: x}), append(p.Sign, y)
		}
		if decided(t, p).Kind != Separable {
			continue
		}
		if m := widest(t, p); m.High-m.Low > 1e-11*m.High {
			t.Errorf("problem %d: margin [%v, %v] of %d rows, %d coordinates", n, m.Low, m.High, len(p.Rows), p.Dim)
		}
	}
}

// TestMarginRealData: the bounds meet on data sets of the literature.
func TestMarginRealData(t *testing.T) {
	for _, c := range realSets {
		if c.want != Separable {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			p := c.load(t)
			start := time.Now()
			m := widest(t, p)
			t.Logf("margin [%v, %v], %d support vectors, in %v", m.Low, m.High, len(m.Support), time.Since(start).Round(time.Millisecond))
			if m.High-m.Low > 1e-9*m.High {
				t.Errorf("margin: bounds [%v, %v] do not meet", m.Low, m.High)
			}
		})
	}
}
