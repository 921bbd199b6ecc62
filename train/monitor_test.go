package train

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// bowl is the quadratic (h₁w₁² + h₂w₂²)/2 as the mean squared error of two examples.
func bowl(t testing.TB, h1, h2 float64) *data.Set {
	return table(t, data.Regress, []float64{math.Sqrt(h1), 0, 0}, []float64{0, math.Sqrt(h2), 0})
}

// watched trains with a monitor of every step.
func watched(t testing.TB, g *graph.Graph, set *data.Set, o Options) Descent {
	t.Helper()
	o.Monitor = &Monitor{Every: 1}
	mustRun(t, g, set, o)
	return o.Monitor.Descent
}

// TestMonitorOnQuadratics is oracle 11 and row 8 of the theory: κ is the curvature along
// the step, the edge 2/η, with the proximal step of λ‖θ‖² 2/η + 2λ, ρ = 1 + ηλ − ηκ/2,
// and F rises exactly if κ is above the edge.
func TestMonitorOnQuadratics(t *testing.T) {
	for _, lambda := range []float64{0, 0.5, 3} {
		for _, eta := range []float64{0.1, 0.45, 0.55, 0.7} {
			if eta > 0.5 && lambda > 0.5 {
				continue // shrinks too much to rise, and on to nothing
			}
			d := watched(t, linear(t, 1, 1, -2), bowl(t, 4, 1), Options{Optimizer: SGD, Rate: eta, Penalties: ridge(lambda), Epochs: 8})
			if d.Steps != 8 || d.Measured != 8 || len(d.Samples) != 8 || d.Function != objectiveFunction {
				t.Fatalf("got %d steps, %d measured, %d samples of the %s, want 8, 8, 8 of the objective", d.Steps, d.Measured, len(d.Samples), d.Function)
			}
			w, rises, above, most := [2]float64{1, -2}, 0, 0, math.Inf(-1)
			for k, s := range d.Samples {
				var step [2]float64
				var dd, hd float64
				for i, h := range [2]float64{4, 1} {
					next := (w[i] - eta*h*w[i]) / (1 + 2*eta*lambda)
					step[i] = next - w[i]
					dd, hd = dd+step[i]*step[i], hd+h*step[i]*step[i]
					w[i] = next
				}
				if dd < 1e-3 {
					break // rounding tells
				}
				kappa, edge := hd/dd, 2/eta+2*lambda
				name := fmt.Sprintf("η = %v, λ = %v, step %d", eta, lambda, k+1)
				near(t, name+": κ", s.Kappa, kappa, 2e-3)
				near(t, name+": edge", s.Edge, edge, 2e-3)
				near(t, name+": ρ", s.Rho, 1+eta*lambda-eta*kappa/2, 2e-3)
				near(t, name+": norm", s.Norm, math.Hypot(w[0], w[1]), 1e-5)
				if s.Step != k+1 || s.Epoch != k+1 || s.Rate != eta || s.Lambda != lambda {
					t.Errorf("%s: got %+v", name, s)
				}
				if rise := s.ObjectiveAfter > s.Objective; rise != (s.Kappa > s.Edge) {
					t.Errorf("%s: rises: got %v (from %v to %v), want it exactly if κ = %v is above %v", name, rise, s.Objective, s.ObjectiveAfter, s.Kappa, s.Edge)
				}
				if kappa > edge {
					above++
				}
				if s.EnergyAfter > s.Energy {
					rises++
				}
				most = max(most, s.Kappa)
			}
			if d.Increases != rises || d.AtEdge != above {
				t.Errorf("η = %v, λ = %v: got %d increases and %d at the edge, want %d and %d", eta, lambda, d.Increases, d.AtEdge, rises, above)
			}
			if d.MaxKappa < most {
				t.Errorf("η = %v, λ = %v: largest κ: got %v, want at least %v", eta, lambda, d.MaxKappa, most)
			}
			if (d.Rise != nil) != (rises > 0) || (d.Largest > 0) != (rises > 0) || d.Total < d.Largest {
				t.Errorf("η = %v, λ = %v: got a witness %v, rises of %v, %v the largest, after %d rises", eta, lambda, d.Rise != nil, d.Total, d.Largest, rises)
			}
		}
	}
	// Along one axis κ is its curvature.
	d := watched(t, linear(t, 1, 1, 0), bowl(t, 4, 1), Options{Optimizer: SGD, Rate: 0.6, Epochs: 4})
	for _, s := range d.Samples {
		near(t, "κ along the first axis", s.Kappa, 4, 1e-3)
	}
	if d.AtEdge != 4 || d.Increases != 4 {
		t.Errorf("above 2/h: got %d at the edge and %d increases, want 4 and 4", d.AtEdge, d.Increases)
	}
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if !(math.Abs(got-want) <= tolerance*max(1, math.Abs(want))) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestEnergyOfMomentum: with heavy-ball momentum the objective rises now and then; the
// total energy does not for η ≤ 2(1−μ)/M, whatever the penalty, and does for larger η.
func TestEnergyOfMomentum(t *testing.T) {
	const top = 4 // M
	penalties := map[string][]Penalty{
		"none": nil, "ridge": ridge(0.2), "lasso": {{Kind: L1, Lambda: Always(0.3)}}, "group": {{Kind: GroupLasso, Lambda: Always(0.2)}},
		"ball": {{Kind: MaxNorm, Lambda: Always(1)}},
	}
	swings := 0
	for _, mu := range []float64{0.5, 0.9, 0.99} {
		for name, p := range penalties {
			for _, share := range []float64{0.3, 1} {
				d := watched(t, linear(t, 1, 0.5, -0.8), bowl(t, top, 0.3), Options{Optimizer: SGD, Momentum: mu, Rate: share * 2 * (1 - mu) / top, Penalties: p, Epochs: 150})
				if d.Function != energyFunction || d.Increases != 0 {
					t.Errorf("μ = %v, %s, %v of the bound: got %d rises of the %s, the largest %v, want none of the total energy", mu, name, share, d.Increases, d.Function, d.Largest)
				}
				for _, s := range d.Samples {
					if s.ObjectiveAfter > s.Objective*(1+1e-5) {
						swings++
					}
				}
			}
		}
		d := watched(t, linear(t, 1, 0.5, -0.8), bowl(t, top, 0.3), Options{Optimizer: SGD, Momentum: mu, Rate: 1.7 * 2 * (1 - mu) / top, Epochs: 150})
		if d.Increases == 0 || d.Rise == nil || d.Rise.EnergyAfter-d.Rise.Energy != d.Largest {
			t.Errorf("μ = %v above the bound: got %d rises, the largest %v, want some", mu, d.Increases, d.Largest)
		}
	}
	if swings == 0 {
		t.Error("the objective never rose: momentum was not seen at work")
	}
	// The kinetic part is (μ/2η)‖θ_k − θ_{k−1}‖².
	d := watched(t, linear(t, 1, 0.5, 0), bowl(t, top, 1), Options{Optimizer: SGD, Momentum: 0.5, Rate: 0.1, Epochs: 4})
	w, v := 0.5, 0.0
	for k, s := range d.Samples {
		near(t, fmt.Sprintf("energy before step %d", k+1), s.Energy, top*w*w/2+0.5*0.1/2*v*v, 1e-6)
		v = 0.5*v + top*w
		w -= 0.1 * v
		near(t, fmt.Sprintf("energy after step %d", k+1), s.EnergyAfter, top*w*w/2+0.5/(2*0.1)*(0.1*v)*(0.1*v), 1e-6)
	}
	for _, o := range []Options{{Optimizer: Adam, Momentum: 0.9}, {Optimizer: SGD}, {Optimizer: Nesterov, Momentum: 0.9}} {
		if d := watched(t, linear(t, 1, 0.5, 0), bowl(t, top, 1), o); d.Function != objectiveFunction {
			t.Errorf("optimiser %d: counts the %s, want the objective", o.Optimizer, d.Function)
		}
	}
}

// TestMonitorEvery: every so many steps, and of the first ones those at powers of two.
func TestMonitorEvery(t *testing.T) {
	for _, c := range []struct {
		every int
		want  []int // counted from 1
	}{
		{1, []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40}},
		{5, []int{1, 2, 3, 5, 6, 11, 16, 21, 26, 31, 36}},
		{0, []int{1, 2, 3, 5, 9, 17, 33}}, // every 16th
		{1000, []int{1, 2, 3, 5, 9, 17, 33}},
	} {
		m := &Monitor{Every: c.every}
		mustRun(t, linear(t, 1, 1, 1), bowl(t, 1, 1), Options{Optimizer: SGD, Epochs: 40, Rate: 0.01, Monitor: m})
		var got []int
		for _, s := range m.Descent.Samples {
			got = append(got, s.Step)
		}
		if !slices.Equal(got, c.want) || m.Descent.Steps != 40 || m.Descent.Measured != len(c.want) {
			t.Errorf("every %d: got steps %v of %d, %d measured, want %v of 40", c.every, got, m.Descent.Steps, m.Descent.Measured, c.want)
		}
	}
}

// TestSamplesAreThinned: of many samples an even grid is kept, the first among them.
func TestSamplesAreThinned(t *testing.T) {
	var d Descent
	for k := 1; k <= 5*maxSamples; k++ {
		d.Measured++
		d.add(Sample{Step: k})
		if len(d.Samples) > maxSamples {
			t.Fatalf("after %d: got %d samples, want at most %d", k, len(d.Samples), maxSamples)
		}
		if k != maxSamples && k != maxSamples+1 && k != 2*maxSamples+1 && k != 5*maxSamples {
			continue
		}
		stride := map[int]int{maxSamples: 1, maxSamples + 1: 2, 2*maxSamples + 1: 4, 5 * maxSamples: 8}[k]
		if want := (k + stride - 1) / stride; len(d.Samples) != want {
			t.Errorf("after %d: got %d samples, want %d", k, len(d.Samples), want)
		}
		for i, s := range d.Samples {
			if s.Step != 1+i*stride {
				t.Fatalf("after %d: sample %d: got step %d, want %d", k, i, s.Step, 1+i*stride)
			}
		}
	}
}

// TestMonitorChangesNothing: the same bits with and without, for every optimiser and
// with running statistics and masks of dropout.
func TestMonitorChangesNothing(t *testing.T) {
	g, err := NewModel("resnet8", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	set := glyphs(t, 16)
	for _, o := range []Options{{}, {Optimizer: SGD, Momentum: 0.9, Penalties: ridge(1e-3)}} {
		o.Batch, o.Epochs, o.Dropout = 8, 1, Dropout{Hidden: 0.5}
		plain, _ := mustRun(t, g, set, o)
		o.Monitor = &Monitor{Every: 1}
		seen, epochs := mustRun(t, g, set, o)
		if plain.Digest() != seen.Digest() {
			t.Errorf("optimiser %d: measuring changed the model", o.Optimizer)
		}
		s := o.Monitor.Descent.Samples[0]
		if s.Loss == s.LossAfter || math.IsNaN(s.Kappa) || s.GradNorm == 0 || math.IsNaN(epochs[0].Turn) {
			t.Errorf("optimiser %d: got the sample %+v", o.Optimizer, s)
		}
	}
}

// TestMonitorAllocatesNothing but the samples that it keeps.
func TestMonitorAllocatesNothing(t *testing.T) {
	g, err := NewModel("mlp:784-30-10", []int{28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	run := compiled(t, g, glyphs(t, 16), Options{Batch: 16, Optimizer: SGD, Momentum: 0.5, Monitor: &Monitor{Every: 1}, Penalties: ridge(0.1)})
	run.watch.begin(0)
	run.rate, run.proximal.strengths = 0.5, strengthsAt(run.o.Penalties, 0, 1)
	run.watch.descent.Samples = make([]Sample, 0, maxSamples)
	batch := []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	step := func() {
		loss, err := run.step(t.Context(), run.set, batch)
		if err == nil {
			err = run.move(t.Context(), loss)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for run.watch.descent.Rise == nil && run.done < 100 {
		step()
	}
	if run.watch.descent.Rise == nil {
		t.Fatal("no rise in 100 steps")
	}
	if n := testing.AllocsPerRun(10, step); n > 2 { // the list of a witness's tensors, when it is written over
		t.Errorf("allocations per measured step: got %v, want none", n)
	}
}

// TestDivergedRunKeepsFiniteWeights: the error says where and how far from a descent the
// run was, and the model is the last that was seen to be finite.
func TestDivergedRunKeepsFiniteWeights(t *testing.T) {
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"descent", Options{Optimizer: SGD, Rate: 2, Penalties: ridge(0.25)}},
		{"momentum", Options{Optimizer: SGD, Rate: 2, Momentum: 0.9, Penalties: ridge(0.25)}},
		{"a step to infinity", Options{Optimizer: SGD, Rate: 3e38, Penalties: ridge(0.25)}},
	} {
		for _, every := range []int{1, 16} {
			o := c.o
			o.Epochs, o.Monitor = 1000, &Monitor{Every: every}
			m, epochs, err := Run(context.Background(), linear(t, 1, 1, 1), bowl(t, 4, 1), o)
			var e *DivergedError
			if !errors.As(err, &e) || !errors.Is(err, ErrDiverged) {
				t.Fatalf("%s: got error %v, want a divergence", c.name, err)
			}
			if e.Rate != o.Rate || e.Lambda != 0.25 || e.Epoch != len(epochs)+1 || e.Step != 1 || !math.IsNaN(e.Value) && !math.IsInf(e.Value, 0) {
				t.Errorf("%s, every %d: got %+v after %d epochs", c.name, every, e, len(epochs))
			}
			if e.Measured < 1 || every == 1 && e.Measured < len(epochs) {
				t.Errorf("%s, every %d: last measured step: got %d in epoch %d", c.name, every, e.Measured, e.Epoch)
			}
			for _, text := range []string{"η = ", "λ = 0.25", "κ = ", "training diverged"} {
				if !strings.Contains(err.Error(), text) {
					t.Errorf("%s: got %q, want it to say %q", c.name, err, text)
				}
			}
			for _, w := range param(t, m, "w") {
				if math.IsNaN(w) || math.IsInf(w, 0) {
					t.Errorf("%s, every %d: weights: got %v, want finite ones", c.name, every, param(t, m, "w"))
				}
			}
			if math.IsNaN(o.Monitor.Descent.MaxKappa) && c.o.Rate < 10 {
				t.Errorf("%s: largest κ: got NaN", c.name)
			}
		}
	}
}

// TestInfiniteWeightsThatDoNotShow: a unit that is never active hides its weights from
// the loss; the run ends with the weights from before.
func TestInfiniteWeightsThatDoNotShow(t *testing.T) {
	g := build(t, 1, func(b *graph.Builder, x *graph.Value) *graph.Value {
		y := b.Op("Add", b.Op("MatMul", x, b.Param("w", tensor.Of([]float32{1}, 1, 1))), b.Param("b", tensor.Of([]float32{2}, 1)))
		return b.Op("MatMul", b.Op("Relu", y), b.Param("v", tensor.Of([]float32{1}, 1, 1)))
	})
	// The first step, with a target of −3e38, throws the bias to −∞: the unit is dead and
	// the loss the square of the target, then 0 for the second example's.
	set := table(t, data.Regress, []float64{0, -1e18}, []float64{0, 0})
	run := compiled(t, g, set, Options{Optimizer: SGD, Batch: 1, Monitor: &Monitor{Every: 1}})
	run.watch.begin(0)
	run.rate, run.proximal.strengths = 1e30, strengthsAt(nil, 0, 1)
	for k, example := range []int{0, 1} {
		loss, err := run.step(t.Context(), run.set, []int{example})
		if err != nil || math.IsNaN(loss) {
			t.Fatalf("step %d: loss %v, error %v, want a finite loss", k+1, loss, err)
		}
		err = run.move(t.Context(), loss)
		if (err != nil) != (k == 1) || err != nil && !errors.Is(err, ErrDiverged) {
			t.Fatalf("step %d: got error %v, want a divergence in the second", k+1, err)
		}
	}
	run.watch.restore()
	for _, w := range run.weights {
		for _, x := range w.data {
			if math.IsInf(float64(x), 0) || math.IsNaN(float64(x)) {
				t.Errorf("weight %s: got %v, want it finite", w.param.Name, w.data)
			}
		}
	}
}
