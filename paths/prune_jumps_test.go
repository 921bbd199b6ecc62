package paths

import (
	"context"
	"math"
	"slices"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// TestJumpsAreTheMagnitudes: with one threshold for all, the path jumps exactly
// where τ passes a distinct |θ| > 0, and there all weights up to it are gone.
func TestJumpsAreTheMagnitudes(t *testing.T) {
	for name, c := range map[string]struct {
		w    []float32
		taus []float64 // distinct magnitudes but 0
		ts   []float64 // shares of weights up to them
	}{
		"distinct":              {[]float32{0.5, -2, 0.125, 1}, []float64{0.125, 0.5, 1, 2}, []float64{0.25, 0.5, 0.75, 1}},
		"ties":                  {[]float32{1, -1, 2, 1, -2}, []float64{1, 2}, []float64{0.6, 1}},
		"zeros go for nothing":  {[]float32{0, 3, 0, -4}, []float64{3, 4}, []float64{0.75, 1}},
		"negative zero":         {[]float32{float32(math.Copysign(0, -1)), 3}, []float64{3}, []float64{1}},
		"constant":              {[]float32{-2, 2, 2}, []float64{2}, []float64{1}},
		"all zero":              {[]float32{0, 0, 0}, nil, nil},
		"one":                   {[]float32{7}, []float64{7}, []float64{1}},
		"denormal and greatest": {[]float32{math.SmallestNonzeroFloat32, math.MaxFloat32}, []float64{math.SmallestNonzeroFloat32, math.MaxFloat32}, []float64{0.5, 1}},
	} {
		p := mustPrune(t, vector(t, c.w...), Options{})
		var ts, taus []float64
		for at, next := p.Jumps(0); ; at, next = p.Jumps(next) {
			if at > 0 {
				ts, taus = append(ts, at), append(taus, p.Threshold(at))
			}
			if at == 1 || next == 1 && len(c.ts) == 0 {
				break
			}
		}
		if !slices.Equal(ts, c.ts) || !slices.Equal(taus, c.taus) {
			t.Errorf("%s: jumps: got t %v with τ %v, want %v with %v", name, ts, taus, c.ts, c.taus)
		}
		for i, at := range c.ts {
			m, err := p.At(context.Background(), at)
			if err != nil {
				t.Fatal(err)
			}
			for j, x := range param(t, m, "w1").Float64s() {
				want := float64(c.w[j])
				if math.Abs(want) <= c.taus[i] {
					want = 0
				}
				if x != want {
					t.Errorf("%s: weight %d at τ=%v: got %v, want %v", name, j, c.taus[i], x, want)
				}
			}
			if i+1 < len(c.ts) {
				if a, n := p.Jumps((at + c.ts[i+1]) / 2); a != at || n != c.ts[i+1] {
					t.Errorf("%s: jumps around the middle of %v and %v: got %v and %v", name, at, c.ts[i+1], a, n)
				}
			}
		}
		want := 0.0
		for _, x := range c.taus {
			want = max(want, x)
		}
		if got := p.Threshold(1); got != want {
			t.Errorf("%s: the zero model arrives at τ=%v, want max|θ| = %v", name, got, want)
		}
	}
}

// TestJumpsPerLayerAndOfPatterns are where something is removed.
func TestJumpsPerLayerAndOfPatterns(t *testing.T) {
	g := product(t, tensor.Of([]float32{1, 2, 3, 4}, 2, 2), tensor.Of([]float32{10, 20}, 2, 1))
	for name, c := range map[string]struct {
		o    Options
		want []float64
	}{
		"4 and 2 weights": {Options{PerLayer: true}, []float64{0.25, 0.5, 0.75, 1}},
		"2:4":             {Options{Pattern: TwoOfFour}, []float64{0.25, 0.5, 0.75, 1}},
		"blocks, 2 and 1": {Options{Pattern: Pattern{Rows: 1, Columns: 2}}, []float64{1. / 3, 2. / 3, 1}},
	} {
		p := mustPrune(t, g, c.o)
		var got []float64
		for x := 0.0; x < 1; {
			_, x = p.Jumps(x)
			got = append(got, x)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got jumps at %v, want %v", name, got, c.want)
		}
	}
}

// squared is the loss θ₂² of the model θ.
type squared struct{}

func (squared) Evaluate(_ context.Context, g *graph.Graph) (compactify.Measure, error) {
	for _, p := range g.Params {
		if p.Name == "w1" {
			x := p.Data.At(1)
			return compactify.Measure{Loss: x * x, Examples: 1}, nil
		}
	}
	return compactify.Measure{}, nil
}

// TestPruningCanLowerTheLoss walks the counterexample of THEORY row 12: L = θ₂² at
// (1, 0.1) falls to 0 at τ = 0.1 and stays there; the table of jumps is exact.
func TestPruningCanLowerTheLoss(t *testing.T) {
	p := mustPrune(t, vector(t, 1, 0.1), Options{})
	for _, exact := range []bool{false, true} {
		profile, err := compactify.Walk(context.Background(), "prune", p, squared{}, compactify.Steps{Exact: exact, Budget: compactify.Budget{Kind: compactify.LossRise}})
		if err != nil {
			t.Fatal(err)
		}
		var ts, losses []float64
		for _, q := range profile.Points {
			ts, losses = append(ts, q.T), append(losses, q.Loss)
		}
		before := float64(float32(0.1)) * float64(float32(0.1))
		if !slices.Equal(ts, []float64{0, 0.5, 1}) || !slices.Equal(losses, []float64{before, 0, 0}) {
			t.Errorf("exact %v: got losses %v at %v, want 0.01, 0, 0 at 0, 1/2, 1", exact, losses, ts)
		}
		if at, _, ok := profile.Furthest(compactify.Budget{Kind: compactify.LossRise}); !ok || at != 1 {
			t.Errorf("exact %v: furthest with no rise: got %v, want 1", exact, at)
		}
		if profile.Limit.Verdict != compactify.Supported || profile.Limit.LeftT != 0.5 {
			t.Errorf("exact %v: limit: got %+v, want continuity, from the last jump at 1/2", exact, profile.Limit)
		}
	}
}

// TestEdgeOfTheBudgetIsAJump: the loss of row 12 with another sign, −‖θ‖², breaks
// a budget at one very weight of many, which bisection finds.
func TestEdgeOfTheBudgetIsAJump(t *testing.T) {
	w := make([]float32, 1000)
	for i := range w {
		w[i] = float32((i*7919)%1000+1) / 1000 // each of 0.001 … 1 once
	}
	p := mustPrune(t, vector(t, w...), Options{})
	for _, k := range []int{0, 1, 499, 500, 998, 999} {
		budget := compactify.Budget{Kind: compactify.LossRise, Limit: float64(k) + 0.5}
		profile, err := compactify.Walk(context.Background(), "prune", p, countZeros{}, compactify.Steps{Budget: budget})
		if err != nil {
			t.Fatal(err)
		}
		at, bracket, ok := profile.Furthest(budget)
		if want := [2]float64{float64(k) / 1000, float64(k+1) / 1000}; !ok || at != want[0] || bracket != want {
			t.Errorf("at most %d zeros: got t=%v in %v, want the bracket %v", k, at, bracket, want)
		}
		if got, want := p.Threshold(at), float64(float32(k)/1000); got != want {
			t.Errorf("at most %d zeros: got τ=%v, want %v", k, got, want)
		}
		if len(profile.Points) > 40 {
			t.Errorf("at most %d zeros: measured %d models, want a bisection", k, len(profile.Points))
		}
	}
}

// countZeros is a loss that every weight removed raises by one.
type countZeros struct{}

func (countZeros) Evaluate(_ context.Context, g *graph.Graph) (m compactify.Measure, _ error) {
	for _, p := range g.Params {
		for _, x := range p.Data.Float64s() {
			if x == 0 {
				m.Loss++
			}
		}
	}
	m.Examples = 1
	return m, nil
}

// TestAllZeroWeightsHaveArrived: nothing changes on the way.
func TestAllZeroWeightsHaveArrived(t *testing.T) {
	p := mustPrune(t, vector(t, 0, 0, 0), Options{})
	profile, err := compactify.Walk(context.Background(), "prune", p, countZeros{}, compactify.Steps{})
	if err != nil {
		t.Fatal(err)
	}
	if got := profile.Arrival(); got != 0 || p.Threshold(1) != 0 || len(profile.Points) != 2 {
		t.Errorf("arrival: got t=%v, τ=%v after %d models, want 0, 0 after 2", got, p.Threshold(1), len(profile.Points))
	}
}
