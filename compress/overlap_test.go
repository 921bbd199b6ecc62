package compress

import "testing"

// TestOverlap: examples that stand in two sets are found, whatever their order and
// number, and only they.
func TestOverlap(t *testing.T) {
	set := clouds(t, 90)
	rows := func(from, to int) (idx []int) {
		for i := to - 1; i >= from; i-- {
			idx = append(idx, i)
		}
		return idx
	}
	for _, c := range []struct{ from, to, want int }{{60, 90, 0}, {50, 90, 10}, {0, 60, 60}} {
		if got := overlap(set.Subset(rows(c.from, c.to)), set.Subset(rows(0, 30)), set.Subset(rows(20, 60))); got != c.want {
			t.Errorf("examples %d to %d: got %d in the first sixty, want %d", c.from, c.to, got, c.want)
		}
	}
	if got := overlap(set.Subset([]int{3, 3, 70})); got != 0 {
		t.Errorf("no other sets: got %d", got)
	}
}
