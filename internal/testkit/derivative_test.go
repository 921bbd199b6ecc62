package testkit

import (
	"math"
	"testing"
)

func TestGradientOfKnownFunction(t *testing.T) {
	x := []float64{0.5, -2, 1000}
	f := func(x []float64) float64 { return math.Sin(x[0])*x[1] + x[2]*x[2]/1000 }
	want := []float64{math.Cos(0.5) * -2, math.Sin(0.5), 2} // by hand
	if err := Close(Gradient(f, x), want, 1e-8); err != nil {
		t.Error(err)
	}
	if x[0] != 0.5 || x[1] != -2 || x[2] != 1000 {
		t.Errorf("x: got %v, want it restored", x)
	}
}

func TestCloseRefuses(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		got, want []float64
		ok        bool
	}{
		{[]float64{1, 2}, []float64{1, 2}, true},
		{[]float64{1, 200.1}, []float64{1, 200}, true},
		{[]float64{1, 2.1}, []float64{1, 2}, false},
		{[]float64{1}, []float64{1, 2}, false},
		{[]float64{1, nan}, []float64{1, 2}, false},
		{[]float64{1, 2}, []float64{1, nan}, false},
		{[]float64{1, nan}, []float64{1, nan}, false},
		{[]float64{math.Inf(1)}, []float64{1}, false},
	} {
		if err := Close(c.got, c.want, 1e-3); (err == nil) != c.ok {
			t.Errorf("Close(%v, %v): got %v, want ok %v", c.got, c.want, err, c.ok)
		}
	}
}
