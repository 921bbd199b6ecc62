package compactify

import (
	"math"
	"reflect"
	"testing"
)

// profileOf makes a profile from pairs of t and loss; models are equal where
// losses are.
func profileOf(pairs ...float64) Profile {
	var p Profile
	for i := 0; i < len(pairs); i += 2 {
		p.insert(Point{T: pairs[i], Digest: string(rune('a' + int(8*pairs[i+1]))), Measure: Measure{Loss: pairs[i+1]}})
	}
	return p
}

func same(a, b float64) bool { return a == b || math.IsNaN(a) && math.IsNaN(b) }

func TestProfileReadings(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		about    string
		p        Profile
		furthest float64 // NaN: the budget holds nowhere
		bracket  [2]float64
		horizon  float64
		arrival  float64
	}{
		{"holds everywhere", profileOf(0, 1, 0.5, 1, 1, 2), 1, [2]float64{1, 1}, 1, 1},
		{"edge inside", profileOf(0, 1, 0.25, 1.5, 0.5, 3, 1, 4), 0.25, [2]float64{0.25, 0.5}, 0.25, 1},
		// { t : ℓ ≤ 2 } = [0, 0.25] ∪ [0.75, 0.75]: the gap does not hide what lies beyond.
		{"a gap", profileOf(0, 1, 0.25, 1.5, 0.5, 3, 0.75, 2, 1, 4), 0.75, [2]float64{0.75, 1}, 0.25, 1},
		{"beyond the gap up to the end", profileOf(0, 1, 0.5, 3, 1, 2), 1, [2]float64{1, 1}, 0, 1},
		// A right-continuous step at 0.5: [0, 0.5) is half-open, and no t of it is the last.
		{"half-open", profileOf(0, 1, 0.4375, 1, 0.46875, 1, 0.5, 3, 1, 3), 0.46875, [2]float64{0.46875, 0.5}, 0.46875, 0.5},
		{"only the original", profileOf(0, 1, 0.5, 3, 1, 3), 0, [2]float64{0, 0.5}, 0, 0.5},
		{"a walk that ended early", profileOf(0, 1, 0.25, 1), 0.25, [2]float64{0.25, 1}, 0.25, nan},
		{"not a number on the way", profileOf(0, 1, 0.5, nan, 1, 1), 1, [2]float64{1, 1}, 0, 1},
		{"not even the original", profileOf(0, nan, 1, 1), nan, [2]float64{}, nan, 1},
		{"constant", profileOf(0, 1, 0.5, 1, 1, 1), 1, [2]float64{1, 1}, 1, 0},
		{"nothing measured", Profile{}, nan, [2]float64{}, nan, nan},
	} {
		b := Budget{LossRise, 1}
		got, bracket, ok := c.p.Furthest(b)
		if ok == math.IsNaN(c.furthest) || ok && got != c.furthest || bracket != c.bracket {
			t.Errorf("%s: furthest: got %v in %v, %v, want %v in %v", c.about, got, bracket, ok, c.furthest, c.bracket)
		}
		if got := c.p.Horizon(b); !same(got, c.horizon) {
			t.Errorf("%s: horizon: got %v, want %v", c.about, got, c.horizon)
		}
		if got := c.p.Arrival(); !same(got, c.arrival) {
			t.Errorf("%s: arrival: got %v, want %v", c.about, got, c.arrival)
		}
	}
}

func TestJumps(t *testing.T) {
	p := profileOf(0, 1, 0.25, 1.25, 0.5, 3.25, 0.75, 0.25, 1, 2.25)
	want := []Jump{{0.5, 0.75, -3}, {0.25, 0.5, 2}, {0.75, 1, 2}} // equal sizes stay in order of t
	if got := p.Jumps(0.25); !reflect.DeepEqual(got, want) {
		t.Errorf("jumps above 0.25: got %v, want %v", got, want)
	}
	if got := p.Jumps(3); got != nil {
		t.Errorf("jumps above 3: got %v, want none: the threshold itself does not count", got)
	}
}

func TestInsertKeepsOrderAndReplaces(t *testing.T) {
	p := profileOf(0.5, 1, 0, 2, 1, 3, 0.25, 4, 0.5, 5)
	var got []float64
	for _, q := range p.Points {
		got = append(got, q.T, q.Loss)
	}
	if want := []float64{0, 2, 0.25, 4, 0.5, 5, 1, 3}; !reflect.DeepEqual(got, want) {
		t.Errorf("points: got %v, want %v", got, want)
	}
}
