package train

import (
	"math"
	"testing"

	"github.com/compactify/compactify/data"
)

// TestMomentumRestsAtTheMinimum: whatever the momentum, gradient descent on all
// examples comes to rest where loss and penalty have their minimum.
//
// Mean squared error of two examples is RSS/2, so X = diag(1, 2), y = (1, 1) with
// λ‖θ‖² is oracle 1 of the theory, ½RSS + λ‖θ‖²; with λ‖θ‖₁ the normal equations
// σ²θ = σ − λ·sign θ hold.
func TestMomentumRestsAtTheMinimum(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
	for _, c := range []struct {
		about string
		o     Options
		want  [2]float64
	}{
		{"ridge", Options{Penalties: ridge(0.5)}, [2]float64{0.5, 0.4}},
		{"lasso", Options{Penalties: []Penalty{{Kind: L1, Lambda: Always(0.5)}}}, [2]float64{0.5, 1.5 / 4}},
		{"lasso that takes one out", Options{Penalties: []Penalty{{Kind: L1, Lambda: Always(1.5)}}}, [2]float64{0, 0.5 / 4}},
		{"ball", Options{Penalties: []Penalty{{Kind: MaxNorm, Lambda: Always(0.6)}}}, ballOptimum(0.6)},
	} {
		for _, optimizer := range []Optimizer{SGD, Nesterov} {
			for _, mu := range []float64{0, 0.5, 0.9} {
				o := c.o
				o.Optimizer, o.Momentum, o.Rate, o.Epochs, o.Batch = optimizer, mu, 0.05, 2000, 2
				m, _ := mustRun(t, linear(t, 1, 0.3, -0.2), set, o)
				got := param(t, m, "w")
				if math.Abs(got[0]-c.want[0]) > 1e-5 || math.Abs(got[1]-c.want[1]) > 1e-5 {
					t.Errorf("%s, optimizer %d, momentum %v: got %v, want %v", c.about, optimizer, mu, got, c.want)
				}
			}
		}
	}
}

// ballOptimum is the minimum of ½RSS on the sphere of radius c, by its multiplier:
// θ_i = σ_i/(σ_i²+2λ), λ by bisection.
func ballOptimum(c float64) [2]float64 {
	lo, hi := 0.0, 100.0
	var theta [2]float64
	for range 200 {
		l := (lo + hi) / 2
		theta = [2]float64{1 / (1 + 2*l), 2 / (4 + 2*l)}
		if math.Hypot(theta[0], theta[1]) > c {
			lo = l
		} else {
			hi = l
		}
	}
	return theta
}
