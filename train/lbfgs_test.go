package train

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
)

// TestLBFGSRidge: a linear regression with λ‖θ‖² has one minimum. The mean of
// squares over two examples is half the sum, and oracle 1 has half the sum of
// squares too: X = diag(1, 2), y = (1, 1), λ = ½ ⇒ θ = (0.5, 0.4).
func TestLBFGSRidge(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
	m, epochs := mustRun(t, linear(t, 1, 3, -2), set, Options{Optimizer: LBFGS, Epochs: 50, Penalties: []Penalty{{Kind: L2, Lambda: Always(0.5)}}})
	w := param(t, m, "w")
	if math.Abs(w[0]-0.5) > 1e-5 || math.Abs(w[1]-0.4) > 1e-5 {
		t.Errorf("got %v, want (0.5, 0.4)", w)
	}
	if len(epochs) == 50 {
		t.Error("it went on where there was nothing to gain")
	}
	last := epochs[len(epochs)-1]
	if want := (0.25 + 0.04) / 2; math.Abs(last.Loss-want) > 1e-6 || math.Abs(last.Penalty-0.5*0.41) > 1e-5 || !math.IsNaN(last.Metric) {
		t.Errorf("got %+v, want loss %v and penalty %v", last, want, 0.5*0.41)
	}
}

// TestLBFGSKappaAtRest: where the last steps gain no more than the rounding of the loss,
// here of about 33 for the example that no weight reaches, there is no κ to speak of:
// that of L = (θ₁−1)²/3 + (2θ₂−1)²/3 + 100/3 is at most 8/3.
func TestLBFGSKappaAtRest(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1}, []float64{0, 0, 10})
	for _, start := range []float32{3, 0.9, 0.7, 17} {
		o := Options{Optimizer: LBFGS, Epochs: 50, Monitor: &Monitor{}}
		mustRun(t, linear(t, 1, start, -2), set, o)
		if got := o.Monitor.Descent.MaxKappa; !(got <= 8./3*1.05) {
			t.Errorf("from θ₁ = %v: largest κ: got %v, want at most 8/3", start, got)
		}
	}
}

// TestLBFGSSchedule: a λ that grows takes what was learned along: every epoch of the
// walk ends near its own minimum.
func TestLBFGSSchedule(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
	lambda, err := ParseSchedule("geom:1e-3..10")
	if err != nil {
		t.Fatal(err)
	}
	_, epochs := mustRun(t, linear(t, 1, 1, 0.5), set, Options{Optimizer: LBFGS, Epochs: 60, Penalties: []Penalty{{Kind: L2, Lambda: lambda}}})
	if len(epochs) != 60 {
		t.Fatalf("epochs: got %d, want 60", len(epochs))
	}
	for e, r := range epochs {
		l := r.Lambda
		if want := math.Hypot(1/(1+2*l), 2/(4+2*l)); math.Abs(r.Norm-want) > 0.02*want {
			t.Errorf("epoch %d, λ = %v: ‖θ‖ = %v, want %v", e, l, r.Norm, want)
		}
	}
}

func quasiOptions() Options {
	lambda, err := ParseSchedule("geom:1e-4..1e-3")
	if err != nil {
		panic(err)
	}
	return Options{Optimizer: LBFGS, Epochs: 8, Batch: 16, Penalties: []Penalty{{Kind: L2, Lambda: lambda}}}
}

// TestLBFGSResumes: from the checkpoint of any epoch the run ends with the bytes of
// one that was not interrupted.
func TestLBFGSResumes(t *testing.T) {
	set, valid := glyphs(t, 60).Subset(first(40)), glyphs(t, 60)
	g, err := NewModel("mlp:784-8-10", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	o := quasiOptions()
	o.Validation, o.Monitor = valid, &Monitor{}
	var files [][]byte
	o.Save = func(s *State) error {
		file, err := s.Encode()
		files = append(files, file)
		return err
	}
	whole, epochs := mustRun(t, g, set, o)
	descent := o.Monitor.Descent
	if descent.Measured != 8 || descent.Increases != 0 || len(descent.Samples) != 8 || !(descent.MaxKappa > 0) {
		t.Errorf("monitor: got %+v", descent)
	}
	for i, s := range descent.Samples {
		if s.Kappa > s.Edge || math.Abs(s.LossAfter-epochs[i].Loss) > 1e-5 {
			t.Errorf("sample %d: got %+v of %+v", i, s, epochs[i])
		}
	}
	if first, last := epochs[0], epochs[7]; !(last.Loss < 0.9*first.Loss) || !(last.Metric > first.Metric) {
		t.Errorf("got %+v and %+v", first, last)
	}
	saved := slices.Clone(files)
	for e, file := range saved {
		s, err := DecodeState(file)
		if err != nil {
			t.Fatal(err)
		}
		files, o.From, o.Monitor = nil, s, &Monitor{}
		m, again := mustRun(t, g, set, o)
		if m.Digest() != whole.Digest() || len(again) != len(epochs) || again[7].Loss != epochs[7].Loss || again[7].ValidLoss != epochs[7].ValidLoss {
			t.Errorf("from epoch %d: got %+v, want %+v", e+1, again, epochs)
		}
		for k, file := range files {
			if !bytes.Equal(file, saved[e+1+k]) {
				t.Errorf("from epoch %d: the checkpoint of epoch %d differs", e+1, e+2+k)
			}
		}
	}
	for at := 0; at < len(saved[0]); at += len(saved[0])/97 + 1 {
		bad := slices.Clone(saved[0])
		bad[at] ^= 1
		if _, err := DecodeState(bad); !errors.Is(err, ErrCheckpoint) {
			t.Fatalf("byte %d altered: got error %v", at, err)
		}
	}
	if _, err := DecodeState(saved[0][:len(saved[0])-1]); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("cut short: got error %v", err)
	}
	o.From, o.Monitor, o.Optimizer, o.Save = mustDecode(t, saved[3]), nil, Adam, nil
	if _, _, err := Run(context.Background(), g, set, o); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("another optimiser: got error %v", err)
	}
	other, err := NewModel("mlp:784-9-10", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	o.Optimizer, o.Monitor = LBFGS, &Monitor{}
	if _, _, err := Run(context.Background(), other, set, o); !errors.Is(err, ErrCheckpoint) {
		t.Errorf("another network: got error %v", err)
	}
}

func mustDecode(t testing.TB, file []byte) *State {
	t.Helper()
	s, err := DecodeState(file)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func first(n int) []int {
	idx := make([]int, n)
	for i := range idx {
		idx[i] = i
	}
	return idx
}

// TestLBFGSPatience: training ends where validation has not improved for a while, with
// the best model.
func TestLBFGSPatience(t *testing.T) {
	set, valid := glyphs(t, 60).Subset(first(20)), glyphs(t, 60)
	g, err := NewModel("mlp:784-8-10", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	m, epochs := mustRun(t, g, set, Options{Optimizer: LBFGS, Epochs: 200, Validation: valid, Patience: 5})
	best := math.Inf(1)
	for _, e := range epochs {
		best = min(best, e.ValidLoss)
	}
	if len(epochs) == 200 {
		t.Error("patience had no end")
	}
	f := mustObjective(t, m, valid, ObjectiveOptions{})
	if got := lossAt(t, f, f.Point()); math.Abs(got-best) > 1e-6 {
		t.Errorf("validation loss: got %v, want the best, %v", got, best)
	}
}

// TestLBFGSBeatsDescent: on a badly scaled problem it is where gradient descent never
// comes to in as many epochs.
func TestLBFGSBeatsDescent(t *testing.T) {
	rows := [][]float64{}
	for i := range 40 {
		a, b := math.Sin(float64(3*i)), math.Cos(float64(7*i))
		rows = append(rows, []float64{a, 0.01 * b, 2*a + 3*b})
	}
	set := table(t, data.Regress, rows...)
	_, quasi := mustRun(t, linear(t, 1, 0, 0), set, Options{Optimizer: LBFGS, Epochs: 30})
	_, plain := mustRun(t, linear(t, 1, 0, 0), set, Options{Optimizer: SGD, Rate: 0.5, Batch: 40, Epochs: 30})
	if a, b := quasi[len(quasi)-1].Loss, plain[29].Loss; !(a < 1e-6) || !(b > 1) {
		t.Errorf("L-BFGS %v in %d epochs, gradient descent %v", a, len(quasi), b)
	}
}

func TestLBFGSRefuses(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
	for _, c := range []struct {
		o    Options
		says string
	}{
		{Options{Penalties: []Penalty{{Kind: L1, Lambda: Always(1)}}}, "l1: it has no gradient where weights are zero"},
		{Options{Penalties: []Penalty{{Kind: MaxNorm, Lambda: Always(1)}}}, "maxnorm: it is a constraint"},
		{Options{Dropout: Dropout{Input: 0.1}}, "dropout makes another function"},
		{Options{Smoothing: 0.1}, "label smoothing"},
		{Options{Momentum: 0.9}, "no momentum"},
		{Options{Rate: 0.1}, "finds the length of its steps"},
		{Options{Loss: SquaredHinge}, "has no classes"},
		{Options{Binary: Binary{Mode: Stochastic}}, "binary weights make another function"},
		{Options{Decay: Cosine}, "finds the length of its steps"},
		{Options{Vary: 1}, "examples that vary"},
		{Options{Frozen: map[string]bool{"w": true}}, "moves all weights"},
	} {
		c.o.Optimizer = LBFGS
		if m, _, err := Run(context.Background(), linear(t, 1, 1, 1), set, c.o); m != nil || !errors.Is(err, ErrUntrainable) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%+v: got error %v, want one that says %q", c.o, err, c.says)
		}
	}
	classes, err := NewModel("mlp:784-10", []int{1, 28, 28}, 10, 1)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Run(context.Background(), classes, glyphs(t, 4), Options{Optimizer: LBFGS, Loss: SquaredHinge}); !errors.Is(err, ErrUntrainable) || !strings.Contains(err.Error(), "is the cross-entropy") {
		t.Errorf("squared hinge: got error %v", err)
	}
	nan := float32(math.NaN())
	if _, _, err := Run(context.Background(), linear(t, 1, nan, 1), set, Options{Optimizer: LBFGS}); !errors.Is(err, ErrDiverged) {
		t.Errorf("NaN at the start: got error %v", err)
	}
}
