package paths

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// numbers is a layer of the weights 1 to n.
func numbers(t testing.TB, n int) *graph.Graph {
	t.Helper()
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(i + 1)
	}
	return vector(t, w...)
}

// with is the graph with other weights.
func with(g *graph.Graph, change func(i int, x float32) float32) *graph.Graph {
	c, _ := g.Clone()
	for _, p := range c.Params {
		p.Data = p.Data.Clone()
		w := tensor.Data[float32](p.Data)
		for i, x := range w {
			w[i] = change(i, x)
		}
	}
	return c
}

func gone(m *train.Mask) int {
	n := 0
	for _, keep := range m.Keep {
		if !keep {
			n++
		}
	}
	return n
}

// TestCubicSchedule follows the schedule over a run in which weights move at random:
// the share removed is that of Zhu and Gupta's equation 1, s_f + (s_i − s_f)(1 −
// (x−x₀)/(nΔ))³ with s_i = 0, x₀ = 0 and nΔ two thirds of the run; what is removed
// stays so; and the ranking is by the weights of the moment.
func TestCubicSchedule(t *testing.T) {
	const n, steps, final = 1000, 450, 0.9
	r := rand.New(rand.NewPCG(11, 12))
	g := numbers(t, n)
	p := mustPrune(t, g, Options{})
	grow := p.Grow(final)
	mask := p.Masks(0)["w1"]
	for step := range steps {
		now := with(g, func(i int, _ float32) float32 {
			if !mask.Keep[i] || i%97 == 0 { // some that stay happen to be 0
				return 0
			}
			return float32(r.NormFloat64())
		})
		masks := grow(step, steps, now)
		if masks == nil {
			continue
		}
		w := tensor.Data[float32](now.Params[0].Data)
		least, most := float32(math.Inf(1)), float32(0) // of those kept, and of those removed now
		for i, keep := range masks["w1"].Keep {
			switch {
			case keep && !mask.Keep[i]:
				t.Fatalf("step %d: weight %d came back", step, i)
			case keep:
				least = min(least, abs32(w[i]))
			default:
				most = max(most, abs32(w[i]))
			}
		}
		if most > least {
			t.Errorf("step %d: a weight of size %v is gone, one of %v stays", step, most, least)
		}
		mask = masks["w1"]
		// 300 steps with a removal every tenth.
		s := final + (0-final)*math.Pow(1-float64(step-step%10)/300, 3)
		if got := gone(mask); math.Abs(float64(got)-s*n) > 1 {
			t.Errorf("step %d: got %d of %d removed, want %.1f", step, got, n, s*n)
		}
		if step%10 != 0 || step > 300 {
			t.Errorf("step %d: masks changed, want that at every tenth step up to 300", step)
		}
	}
	if got := gone(mask); got != 900 {
		t.Errorf("at the end: got %d of %d removed, want 900", got, n)
	}
}

// TestCubicScheduleEndsInShortRuns: even a run of few steps removes all.
func TestCubicScheduleEndsInShortRuns(t *testing.T) {
	g := numbers(t, 10)
	for steps := 2; steps < 7; steps++ {
		var mask *train.Mask
		grow := mustPrune(t, g, Options{}).Grow(0.5)
		for step := range steps {
			if m := grow(step, steps, g); m != nil {
				mask = m["w1"]
			}
		}
		if mask == nil || gone(mask) != 5 {
			t.Errorf("%d steps: got %v, want a mask that removes 5", steps, mask)
		}
	}
}

// TestLotteryRounds follows the tickets of a training that turns sizes round: the
// largest weights of the model given become the smallest.
func TestLotteryRounds(t *testing.T) {
	g := numbers(t, 100)
	for name, from := range map[string]float32{"the model given": 0, "an early epoch": 1000} {
		var removedBefore []int // each training
		tune := func(_ context.Context, m *graph.Graph, masks map[string]*train.Mask, remask train.Remask) (*graph.Graph, error) {
			if remask != nil {
				t.Error("a round was given a schedule of its own")
			}
			mask := masks["w1"]
			removedBefore = append(removedBefore, gone(mask))
			for i, x := range tensor.Data[float32](m.Params[0].Data) {
				want := float32(i+1) + from
				if !mask.Keep[i] {
					want = 0
				}
				if x != want {
					t.Fatalf("%s: training starts with weight %d at %v, want %v, rewound", name, i, x, want)
				}
			}
			return with(m, func(i int, x float32) float32 {
				if x == 0 {
					return 0
				}
				return 1 / x
			}), nil
		}
		o := Options{Tune: tune, Schedule: Lottery}
		if from > 0 {
			o.Rewind = func(_ context.Context, m *graph.Graph, _ map[string]*train.Mask, _ train.Remask) (*graph.Graph, error) {
				return with(m, func(_ int, x float32) float32 { return x + from }), nil
			}
		}
		p := mustPrune(t, g, o)
		m, err := p.At(context.Background(), 0.5)
		if err != nil {
			t.Fatal(err)
		}
		// A fifth of what is left each time: 0.8³ = 0.512 is still above a half.
		if want := []int{0, 20, 36, 48, 50}; !slices.Equal(removedBefore, want) {
			t.Errorf("%s: trainings with %v removed, want %v", name, removedBefore, want)
		}
		for i, x := range param(t, m, "w1").Float64s() {
			if (x == 0) != (i >= 50) {
				t.Errorf("%s: weight %d of the ticket is %v, want the 50 that training made large", name, i, x)
			}
		}
		again, err := p.At(context.Background(), 0.5)
		if err != nil || again.Digest() != m.Digest() {
			t.Errorf("%s: the ticket drawn again: error %v, want the same model", name, err)
		}
		removedBefore = nil
		if _, err := p.At(context.Background(), 0.6); err != nil {
			t.Fatal(err)
		}
		if want := []int{59, 60}; !slices.Equal(removedBefore, want) { // 1 − 0.8⁴ = 0.5904
			t.Errorf("%s: a further ticket: trainings with %v removed, want %v", name, removedBefore, want)
		}
	}
}

// TestFittedModelsAreSteps: between two removals the same fine-tuning is done.
func TestFittedModelsAreSteps(t *testing.T) {
	g := numbers(t, 4)
	calls := 0
	tune := func(_ context.Context, m *graph.Graph, _ map[string]*train.Mask, remask train.Remask) (*graph.Graph, error) {
		calls++
		if remask == nil {
			t.Error("the cubic schedule was not handed over")
		}
		return m, nil
	}
	p := mustPrune(t, g, Options{Tune: tune, Schedule: Cubic})
	if m, err := p.At(context.Background(), 0.2); err != nil || m != g || calls != 0 {
		t.Errorf("nothing removed: got another model, or error %v, want the one given without training", err)
	}
	if _, err := p.At(context.Background(), 0.3); err != nil || calls != 1 {
		t.Errorf("one of four removed: %d trainings, error %v, want one", calls, err)
	}
	if m, err := p.At(context.Background(), 1); err != nil || calls != 1 || gone(p.Masks(1)["w1"]) != 4 || m.Digest() == g.Digest() {
		t.Errorf("t=1: %d trainings, error %v, want the zero model untrained", calls, err)
	}
}

func TestParseSchedule(t *testing.T) {
	for text, want := range map[string]Schedule{"": OneShot, "oneshot": OneShot, "cubic": Cubic, "lottery": Lottery} {
		if got, err := ParseSchedule(text); err != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", text, got, err, want)
		}
	}
	if _, err := ParseSchedule("square"); err == nil {
		t.Error(`"square": got no error`)
	}
}
