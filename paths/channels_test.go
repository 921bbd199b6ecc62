package paths

import (
	"context"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/structure"
	"github.com/compactify/compactify/tensor"
)

// TestPruneChannelsGoesByImportance: x·a·b·c with three inner channels and two:
// the norms of what goes with a channel are known, and each group is measured by
// its mean.
func TestPruneChannelsGoesByImportance(t *testing.T) {
	g := product(t,
		tensor.Of([]float32{3, 0, 1}, 1, 3),
		tensor.Of([]float32{
			4, 0,
			0, 2,
			0, 0}, 3, 2),
		tensor.Of([]float32{0, 1.5}, 2, 1))
	p, err := NewPruneChannels(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	// By hand: the squares of w1's entries, 9, 0, 1 of mean 10/3, and of w2's rows,
	// 16, 4, 0 of mean 20/3; of w2's columns, 16, 4 of mean 10, and of w3's rows,
	// 0, 2.25 of mean 9/8.
	roots := [][]float64{{math.Sqrt(27.0/10 + 48.0/20), math.Sqrt(12.0 / 20), math.Sqrt(3.0 / 10)}, {math.Sqrt(1.6), math.Sqrt(0.4 + 2)}}
	want := make(map[string][]float64)
	for i, id := range []string{"w1", "w2"} {
		for _, x := range roots[i] {
			want[id] = append(want[id], x/meanOf(roots[i]))
		}
	}
	for id, scores := range want {
		got := Importance(p.Analysis().Group(id), nil)
		for c, s := range scores {
			if math.Abs(got[c]-s) > 1e-12 {
				t.Errorf("group %q, channel %d: importance: got %v, want %v", id, c, got[c], s)
			}
		}
	}
	order := []structure.Channel{{Group: "w1", Index: 2}, {Group: "w1", Index: 1}, {Group: "w2", Index: 0}} // then the last ones stay
	if got := p.Removed(1); !slices.Equal(got, order) {
		t.Errorf("order: got %v, want %v", got, order)
	}
	end, err := p.At(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string]float64{"w1": 3, "w2": 0, "w3": 1.5} {
		if w := param(t, end, name); w.Len() != 1 || w.At(0) != value {
			t.Errorf("weight %q at t=1: got %v, want [%v]", name, w.Float64s(), value)
		}
	}
	if n := p.Removed(0.5); len(n) != 1 { // ⌊3/2⌋
		t.Errorf("t=0.5: got %d channels removed, want 1 of 3", len(n))
	}
}

// TestPruneChannelsByGradients: √ Σ (θ·g)² by hand, over all that goes with a
// channel; what has no gradient does not count.
func TestPruneChannelsByGradients(t *testing.T) {
	g := product(t, tensor.Of([]float32{3, 1}, 1, 2), tensor.Of([]float32{2, 5}, 2, 1))
	p, err := NewPruneChannels(g, Options{Gradients: map[string][]float32{"w1": {1, 4}, "w2": {2, 0}}})
	if err != nil {
		t.Fatal(err)
	}
	group := p.Analysis().Group("w1")
	if got, want := Importance(group, map[string][]float32{"w1": {1, 4}, "w2": {2, 0}}), []float64{5, 4}; !slices.Equal(got, want) {
		t.Errorf("importance: got %v, want %v: √(3² + 4²) and √(4² + 0)", got, want)
	}
	if got, want := Importance(group, map[string][]float32{"w1": {1, 4}}), []float64{3, 4}; !slices.Equal(got, want) {
		t.Errorf("importance with gradients of w1 alone: got %v, want %v", got, want)
	}
	if got := p.Removed(1); len(got) != 1 || got[0].Index != 1 {
		t.Errorf("order: got %v, want channel 1", got)
	}
}

// TestPruneChannelsPerLayer: with the same fraction everywhere, both groups lose
// half before either loses more.
func TestPruneChannelsPerLayer(t *testing.T) {
	w1 := tensor.Of([]float32{1, 2, 3, 4}, 1, 4)
	w2 := tensor.New(tensor.Float32, 4, 4)
	for i := range 4 {
		w2.Set(5*i, float64(10+i))
	}
	p, err := NewPruneChannels(product(t, w1, w2, tensor.Of([]float32{1, 1, 1, 1}, 4, 1)), Options{PerLayer: true})
	if err != nil {
		t.Fatal(err)
	}
	byGroup := structure.Selection(p.Removed(4.0 / 6))
	for _, id := range []string{"w1", "w2"} {
		if got := byGroup[id]; !slices.Equal(got, []int{0, 1}) {
			t.Errorf("group %q: got %v removed, want its two smallest", id, got)
		}
	}
}

// TestPruneChannelsRefuses: where nothing can go, the reason is named.
func TestPruneChannelsRefuses(t *testing.T) {
	_, err := NewPruneChannels(product(t, tensor.Of([]float32{1, 2, 3, 4}, 2, 2)), Options{})
	if err == nil || !strings.Contains(err.Error(), `nothing can be removed: weight "w1": "v0" is an output of the model`) {
		t.Errorf("one layer: got error %v, want one that names the output", err)
	}
	_, err = NewPruneBlocks(everyLayer(t), Options{})
	if err == nil || !strings.Contains(err.Error(), "no sum x + f(x)") {
		t.Errorf("no blocks: got error %v, want one that says so", err)
	}
}

// TestPruneBlocksSteps: every step is one block less.
func TestPruneBlocksSteps(t *testing.T) {
	p, err := NewPruneBlocks(residual(t), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := p.Steps(); !slices.Equal(got, []float64{0, 1.0 / 3, 2.0 / 3, 1}) {
		t.Errorf("steps: got %v, want thirds", got)
	}
	end, err := p.At(context.Background(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(end.Params) != 2 { // the first and the last matrix
		t.Errorf("parameters at t=1: got %d, want 2", len(end.Params))
	}
}
