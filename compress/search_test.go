package compress

import (
	"errors"
	"math"
	"reflect"
	"testing"
)

// scripted makes a trial of rung i that fits up to the edge, and records the
// order.
func scripted(edge int, order *[]int) func(i int) (*trial, error) {
	return func(i int) (*trial, error) {
		*order = append(*order, i)
		t := &trial{bytes: 1000 - i}
		if t.contract.Verdict = NotMet; i <= edge {
			t.contract.Verdict = Met
		}
		return t, nil
	}
}

// TestLastThatFits finds every edge of every short list within 2 + ⌈log₂ n⌉
// trials, and none twice.
func TestLastThatFits(t *testing.T) {
	for n := 1; n <= 40; n++ {
		for edge := -1; edge < n; edge++ {
			var order []int
			best, err := lastThatFits(n, scripted(edge, &order))
			if err != nil || (best == nil) != (edge < 0) || best != nil && best.bytes != 1000-edge {
				t.Fatalf("%d combinations, the first %d fit: got %+v, error %v", n, edge+1, best, err)
			}
			seen := make(map[int]bool)
			for _, i := range order {
				if seen[i] || i < 0 || i >= n {
					t.Errorf("%d combinations: tried %v, want each at most once", n, order)
				}
				seen[i] = true
			}
			if most := 3 + int(math.Ceil(math.Log2(float64(n)))); len(order) > most {
				t.Errorf("%d combinations, edge %d: %d trials, want at most %d", n, edge, len(order), most)
			}
		}
	}
	var order []int
	if _, err := lastThatFits(9, scripted(8, &order)); err != nil || !reflect.DeepEqual(order, []int{8}) {
		t.Errorf("everything fits: tried %v, error %v, want the last alone", order, err)
	}
	stop := errors.New("stop")
	if _, err := lastThatFits(9, func(int) (*trial, error) { return nil, stop }); err != stop {
		t.Errorf("an error: got %v, want it back", err)
	}
}
