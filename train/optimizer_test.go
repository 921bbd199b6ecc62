package train

import (
	"math"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/testkit"
)

// TestVelocitiesByHand trains y = w·x on x = 1, target 0, whose gradient is 2w, with
// heavy-ball and Nesterov's momentum. The latter is worked out in its usual form, with
// the gradient at the point that the velocity leads to: x ← y − η∇L(y), y ← x + μ(x − x₋).
func TestVelocitiesByHand(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0})
	const eta = 0.1
	for _, mu := range []float64{0, 0.5, 0.9} {
		w, was := 1.0, 1.0
		x, y := 1.0, 1.0
		for epochs := 1; epochs <= 12; epochs++ {
			w, was = w-eta*2*w+mu*(w-was), w
			next := y - eta*2*y
			x, y = next, next+mu*(next-x)
			for _, c := range []struct {
				optimizer Optimizer
				want      float64
			}{{SGD, w}, {Nesterov, y}} {
				m, _ := mustRun(t, linear(t, 1, 1), set, Options{Optimizer: c.optimizer, Rate: eta, Momentum: mu, Epochs: epochs})
				if got := param(t, m, "w")[0]; math.Abs(got-c.want) > stepTolerance {
					t.Errorf("optimiser %d, μ = %v, %d steps: got %v, want %v", c.optimizer, mu, epochs, got, c.want)
				}
			}
		}
	}
}

// TestRatesAndStrengthsPerEpoch: η and λ of an epoch hold for all its steps, ends
// inclusive, and η of a schedule stands in for rate and decay.
func TestRatesAndStrengthsPerEpoch(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0}, []float64{1, 0}, []float64{1, 0})
	rates, _ := ParseSchedule("linear:0.3..0.1")
	lambda, _ := ParseSchedule("step:0.5@2,2@4")
	o := Options{Optimizer: SGD, Rate: 7, Decay: Cosine, Rates: rates, Penalties: []Penalty{{Kind: L2, Lambda: lambda}}, Batch: 1, Epochs: 5}
	if got := o.FirstRate(); got != 0.3 {
		t.Errorf("first rate: got %v, want 0.3", got)
	}
	m, epochs := mustRun(t, linear(t, 1, 1), set, o)
	w := 1.0
	for e, eta := range []float64{0.3, 0.25, 0.2, 0.15, 0.1} {
		l := []float64{0, 0.5, 0.5, 2, 2}[e]
		for range 3 {
			w = (w - eta*2*w) / (1 + 2*eta*l)
		}
		got := epochs[e]
		if err := testkit.Close([]float64{got.Rate, got.Lambda, got.Norm, got.Penalty}, []float64{eta, l, math.Abs(w), l * w * w}, stepTolerance); err != nil {
			t.Errorf("epoch %d: rate, λ, norm and penalty: %v", e+1, err)
		}
	}
	if got := param(t, m, "w")[0]; math.Abs(got-w) > stepTolerance {
		t.Errorf("w: got %v, want %v", got, w)
	}
}

// TestLabelSmoothing: of a target, the share ε is spread over all classes. The loss of
// equal answers stays log K, the gradient is softmax − target, and the least loss is the
// entropy of the target.
func TestLabelSmoothing(t *testing.T) {
	set := table(t, data.Classify, []float64{1, 0}, []float64{1, 0}, []float64{1, 1}, []float64{1, 2}).Subset([]int{0, 1})
	const eps = 0.3
	target := []float64{1 - eps + eps/3, eps / 3, eps / 3}
	m, epochs := mustRun(t, linear(t, 3, 0, 0, 0), set, Options{Optimizer: SGD, Rate: 1, Smoothing: eps})
	if math.Abs(epochs[0].Loss-math.Log(3)) > stepTolerance {
		t.Errorf("loss of equal answers: got %v, want log 3", epochs[0].Loss)
	}
	want := []float64{target[0] - 1.0/3, target[1] - 1.0/3, target[2] - 1.0/3}
	if err := testkit.Close(param(t, m, "w"), want, stepTolerance); err != nil {
		t.Errorf("weights after a step of 1: %v", err)
	}
	m, epochs = mustRun(t, linear(t, 3, 0, 0, 0), set, Options{Optimizer: SGD, Rate: 1, Smoothing: eps, Epochs: 300})
	entropy := 0.0
	for _, p := range target {
		entropy -= p * math.Log(p)
	}
	if got := epochs[299].Loss; math.Abs(got-entropy) > 1e-5 {
		t.Errorf("least loss: got %v, want the target's entropy %v", got, entropy)
	}
	row := param(t, m, "w")
	Logits.LogProbabilities(row)
	for k, p := range target {
		if math.Abs(math.Exp(row[k])-p) > 1e-4 {
			t.Errorf("answer of class %d: got %v, want %v", k, math.Exp(row[k]), p)
		}
	}
}
