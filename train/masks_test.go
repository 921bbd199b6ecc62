package train

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
)

// TestRemaskChangesTheMasks: a weight is trained, then removed, then free again.
func TestRemaskChangesTheMasks(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 1, 7}, []float64{1, 1, 7})
	g := linear(t, 1, 0.5, 0.5)
	all, first := &Mask{Keep: []bool{true, true}}, &Mask{Keep: []bool{true, false}}
	for _, o := range []Options{{Optimizer: SGD, Momentum: 0.9, Rate: 0.01}, {Optimizer: Adam, Rate: 0.01}} {
		var seen []float64 // the second weight before each step
		o.Epochs, o.Batch, o.Masks = 7, 2, map[string]*Mask{"w": all}
		o.Remask = func(done, steps int, m *graph.Graph) map[string]*Mask {
			if steps != 7 || done != len(seen) {
				t.Errorf("step %d of %d, want %d of 7", done, steps, len(seen))
			}
			seen = append(seen, param(t, m, "w")[1])
			switch done {
			case 3:
				return map[string]*Mask{"w": first}
			case 5:
				return map[string]*Mask{"w": {Keep: []bool{true, true}}}
			}
			return nil
		}
		m, _ := mustRun(t, g, set, o)
		if seen[3] == 0.5 || seen[4] != 0 || seen[5] != 0 {
			t.Errorf("%+v: second weight: got %v, want it trained for three steps, then 0", o.Optimizer, seen)
		}
		if w := param(t, m, "w"); w[0] == 0 || w[1] == 0 {
			t.Errorf("%+v: got %v, want both trained at the end", o.Optimizer, w)
		}
	}
	if param(t, g, "w")[1] != 0.5 {
		t.Error("the model given was changed")
	}
}

func TestRemaskClearsTheOptimiser(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 1, 7}, []float64{1, 1, 7})
	keep := &Mask{Keep: []bool{true, true}}
	o := Options{Optimizer: Adam, Masks: map[string]*Mask{"w": keep}}
	o.Remask = func(done, _ int, _ *graph.Graph) map[string]*Mask {
		if done == 0 {
			return nil
		}
		return map[string]*Mask{"w": {Keep: []bool{false, true}}}
	}
	tr, err := newTrainer(linear(t, 1, 0.5, 0.5), set, o.withDefaults(2))
	if err == nil {
		err = tr.compile()
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.epoch(context.Background(), 0); err != nil {
		t.Fatal(err)
	}
	w := tr.weights[0]
	if w.m[0] == 0 || w.v[0] == 0 {
		t.Fatal("a step left no memory")
	}
	if err := tr.remask(); err != nil {
		t.Fatal(err)
	}
	if w.data[0] != 0 || w.m[0] != 0 || w.v[0] != 0 || w.data[1] == 0 || w.m[1] == 0 || w.v[1] == 0 {
		t.Errorf("after the removal of the first: weights %v, moments %v and %v, want the first of each 0 alone", w.data, w.m, w.v)
	}
}

func TestRemaskRefuses(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 1, 7}, []float64{2, 1, 3})
	for _, c := range []struct{ first, later *Mask }{
		{nil, &Mask{Keep: []bool{true, false}}},
		{&Mask{Keep: []bool{true, true}}, &Mask{Keep: []bool{true}}},
	} {
		o := Options{Remask: func(int, int, *graph.Graph) map[string]*Mask { return map[string]*Mask{"w": c.later} }}
		if c.first != nil {
			o.Masks = map[string]*Mask{"w": c.first}
		}
		if _, _, err := Run(context.Background(), linear(t, 1, 1, 1), set, o); err == nil || !strings.Contains(err.Error(), `new mask of parameter "w"`) {
			t.Errorf("first %v, later %v: got error %v, want one that names the parameter", c.first, c.later, err)
		}
	}
}

// TestGradientsByHand: for y = x·w with squared error, ∂L/∂w_i of one example is
// 2(x·w − y)x_i. With w = (1, 0), the examples (1, 2; 3) and (2, 1; 0) give
// (−4, −8) and (8, 4): root mean squares √40 and √40; as one batch the mean
// gradient is (2, −2).
func TestGradientsByHand(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 2, 3}, []float64{2, 1, 0})
	g := linear(t, 1, 1, 0)
	for _, c := range []struct {
		batch int
		want  []float64
	}{{1, []float64{math.Sqrt(40), math.Sqrt(40)}}, {2, []float64{2, 2}}} {
		got, err := Gradients(context.Background(), g, set, Options{Batch: c.batch})
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range c.want {
			if math.Abs(float64(got["w"][i])-want) > 1e-5 {
				t.Errorf("batches of %d, weight %d: got %v, want %v", c.batch, i, got["w"][i], want)
			}
		}
	}
	if w := param(t, g, "w"); !slices.Equal(w, []float64{1, 0}) {
		t.Errorf("the model: got %v, want it as it was", w)
	}
}

func TestGradientsRefuse(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 2, 3}, []float64{2, 1, 0})
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		set  *data.Set
		w    float32
		want string
	}{
		"no examples": {set.Subset(nil), 1, "is empty"},
		"NaN":         {set, nan, "batch 1: loss NaN"},
		"no labels":   {set.Unlabeled(), 1, "no labels"},
	} {
		if _, err := Gradients(context.Background(), linear(t, 1, c.w, 0), c.set, Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q in it", name, err, c.want)
		}
	}
}
