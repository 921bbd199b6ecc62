package train

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// riseOf trains until something has risen.
func riseOf(t testing.TB, g *graph.Graph, set *data.Set, o Options) (*Rise, *graph.Graph) {
	t.Helper()
	o.Monitor = &Monitor{Every: 1}
	m, _, err := Run(t.Context(), g, set, o)
	if err != nil && !errors.Is(err, ErrDiverged) {
		t.Fatal(err)
	}
	if o.Monitor.Descent.Rise == nil {
		t.Fatalf("no rise in %d steps at rate %v", o.Monitor.Descent.Steps, o.Rate)
	}
	return o.Monitor.Descent.Rise, m
}

// TestReplay: the losses that were measured are found again from the file and the model,
// as it was before the run or in any later form.
func TestReplay(t *testing.T) {
	images, values := glyphs(t, 32), table(t, data.Regress, []float64{1, 2, 3}, []float64{2, -1, 0}, []float64{0, 1, -2})
	frozen := Options{Rate: 0.3, Frozen: map[string]bool{"fc1": true}}
	for name, c := range map[string]struct {
		g   *graph.Graph
		set *data.Set
		o   Options
	}{
		"normalisation":           {normalised(t), images, Options{Optimizer: SGD, Rate: 2}},
		"dropout":                 {normalised(t), images, Options{Optimizer: SGD, Rate: 1.5, Dropout: Dropout{Input: 0.2, Hidden: 0.5, Weights: 0.2}}},
		"smoothing":               {normalised(t), images, Options{Rate: 0.3, Smoothing: 0.2}},
		"squared error":           {linear(t, 1, 1, 1), values, Options{Optimizer: SGD, Rate: 1}},
		"squared hinge":           {normalised(t), images, Options{Optimizer: SGD, Rate: 1, Loss: SquaredHinge}},
		"momentum and a penalty":  {normalised(t), images, Options{Optimizer: SGD, Rate: 1, Momentum: 0.9, Penalties: ridge(0.01)}},
		"frozen weights, a batch": {normalised(t), images, frozen},
	} {
		c.o.Batch, c.o.Epochs = min(16, c.set.Len()), 10
		rise, after := riseOf(t, c.g, c.set, c.o)
		file, err := rise.Encode()
		if err != nil {
			t.Fatal(err)
		}
		read, err := DecodeRise(file)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if read.Sample != rise.Sample || read.Function != rise.Function || read.Loss != rise.Loss {
			t.Errorf("%s: read: got %+v, want %+v", name, read.Sample, rise.Sample)
		}
		if !(rise.EnergyAfter > rise.Energy) {
			t.Errorf("%s: energy: got %v to %v, want a rise", name, rise.Energy, rise.EnergyAfter)
		}
		for about, g := range map[string]*graph.Graph{"before": c.g, "after": after, "finished": Finish(after)} {
			if c.o.Frozen == nil { // what was frozen is the model's
				g = scrambled(g)
			}
			pool := kernel.NewPool(2, kernel.Best())
			from, to, err := read.Replay(t.Context(), g, pool)
			pool.Close()
			if err != nil {
				t.Errorf("%s, model %s: %v", name, about, err)
				continue
			}
			// The loss before comes with the gradient, in other operators.
			if math.Abs(from-rise.Sample.Loss) > 1e-6*rise.Sample.Loss || math.Abs(to-rise.LossAfter) > 1e-6*rise.LossAfter {
				t.Errorf("%s, model %s: got losses %v and %v, want %v and %v", name, about, from, to, rise.Sample.Loss, rise.LossAfter)
			}
		}
	}
}

// scrambled is the model with other weights.
func scrambled(g *graph.Graph) *graph.Graph {
	g, _ = g.Clone()
	for _, p := range g.Weights() {
		p.Data = tensor.New(tensor.Float32, p.Data.Shape()...)
	}
	return g
}

// TestRiseIsTheLargest: of several the largest is kept, in memory that is written over.
func TestRiseIsTheLargest(t *testing.T) {
	m := &Monitor{Every: 1}
	mustRun(t, linear(t, 1, 1, -1), bowl(t, 4, 1), Options{Optimizer: SGD, Rate: 0.6, Epochs: 10, Monitor: m})
	d := m.Descent
	if d.Increases < 3 || d.Rise == nil {
		t.Fatalf("got %d increases, want several", d.Increases)
	}
	largest, total := 0.0, 0.0
	for _, s := range d.Samples {
		if rise := s.EnergyAfter - s.Energy; rise > riseTolerance*s.Energy {
			largest, total = max(largest, rise), total+rise
		}
	}
	if got := d.Rise.EnergyAfter - d.Rise.Energy; got != largest || d.Largest != largest || math.Abs(d.Total-total) > 1e-12*total {
		t.Errorf("got the witness of a rise of %v, the largest %v and all %v, want %v, %v, %v", got, d.Largest, d.Total, largest, largest, total)
	}
}

func TestDamagedWitnesses(t *testing.T) {
	rise, _ := riseOf(t, linear(t, 1, 1, 1), bowl(t, 4, 1), Options{Optimizer: SGD, Rate: 0.6, Dropout: Dropout{Input: 0.3}, Epochs: 20})
	file, err := rise.Encode()
	if err != nil {
		t.Fatal(err)
	}
	damaged(t, file, ErrWitness, func(b []byte) error { _, err := DecodeRise(b); return err })
}

// TestReplayRefuses models that are not the witness's.
func TestReplayRefuses(t *testing.T) {
	set := table(t, data.Classify, []float64{1, 2, 0}, []float64{3, 4, 1})
	rise, _ := riseOf(t, linear(t, 2, 1, 2, 3, 4), set, Options{Optimizer: Adam, Rate: 3, Epochs: 4})
	for name, g := range map[string]*graph.Graph{
		"more outputs": linear(t, 3, 1, 2, 3, 4, 5, 6),
		"more inputs":  linear(t, 2, 1, 2, 3, 4, 5, 6),
		"other names": build(t, 2, func(b *graph.Builder, x *graph.Value) *graph.Value {
			return b.Op("MatMul", x, b.Param("u", tensor.Of([]float32{1, 2, 3, 4}, 2, 2)))
		}),
		"nothing": {Name: "nothing", Opset: map[string]int{"": graph.LatestOpset}},
	} {
		if before, after, err := rise.Replay(t.Context(), g, nil); err == nil || !strings.Contains(err.Error(), "replay step") || !math.IsNaN(before) || !math.IsNaN(after) {
			t.Errorf("%s: got %v, %v and error %v, want one", name, before, after, err)
		}
	}
	if _, _, err := rise.Replay(t.Context(), linear(t, 2, 0, 0, 0, 0), nil); err != nil {
		t.Errorf("the model with other weights: %v", err)
	}
	lacking := *rise
	lacking.X = tensor.New(tensor.Float32)
	if _, _, err := lacking.Replay(t.Context(), linear(t, 2, 0, 0, 0, 0), nil); !errors.Is(err, ErrWitness) {
		t.Errorf("a batch without examples: got error %v, want %v", err, ErrWitness)
	}
}

func FuzzDecodeRise(f *testing.F) {
	g := linear(f, 2, 1, 2, 3, 4)
	set := table(f, data.Classify, []float64{1, 2, 0}, []float64{3, 4, 1})
	for _, o := range []Options{{Rate: 3}, {Rate: 3, Dropout: Dropout{Input: 0.5}}, {Rate: 3, Loss: SquaredError}} {
		o.Epochs = 40
		rise, _ := riseOf(f, g, set, o)
		file, err := rise.Encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		for _, b := range [][]byte{file, resealed(file)} {
			r, err := DecodeRise(b)
			if err != nil {
				if !errors.Is(err, ErrWitness) {
					t.Fatalf("got error %v, want one that wraps %v", err, ErrWitness)
				}
				continue
			}
			again, err := r.Encode()
			if err != nil {
				t.Fatalf("encode: %v", err)
			}
			if second, err := DecodeRise(again); err != nil || !slices.Equal(names(second.Before), names(r.Before)) {
				t.Fatalf("encoded anew: %v", err)
			}
			_, _, _ = r.Replay(t.Context(), g, nil) // may fail, not panic
		}
	})
}

func names(list []weights) []string {
	var all []string
	for _, w := range list {
		all = append(all, w.Name)
	}
	return all
}
