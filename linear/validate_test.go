package linear

import (
	"slices"
	"strings"
	"testing"
)

// TestDrawIsBalanced: folds differ by one example at most, in total and in every class,
// and examples without a weight do not count.
func TestDrawIsBalanced(t *testing.T) {
	const n, count = 103, 10
	y, weights := make([]float64, n), make([]float64, n)
	for i := range y {
		y[i] = float64(i * i % 3)
		if i%7 != 0 {
			weights[i] = 1
		}
	}
	fold, _, err := Folds{Seed: 3, Count: count}.assign(Problem{Y: y, Family: Multinomial, Classes: 3}, weights)
	if err != nil {
		t.Fatal(err)
	}
	sizes := map[float64][]int{-1: make([]int, count), 0: make([]int, count), 1: make([]int, count), 2: make([]int, count)}
	for i, k := range fold {
		if weights[i] > 0 {
			sizes[-1][k]++
			sizes[y[i]][k]++
		}
	}
	for class, s := range sizes {
		if slices.Max(s)-slices.Min(s) > 1 {
			t.Errorf("class %v: got %v examples in the folds, want numbers that differ by 1 at most", class, s)
		}
	}
	again, _, _ := Folds{Seed: 3, Count: count}.assign(Problem{Y: y, Family: Multinomial, Classes: 3}, weights)
	other, _, _ := Folds{Seed: 4, Count: count}.assign(Problem{Y: y, Family: Multinomial, Classes: 3}, weights)
	if !slices.Equal(fold, again) || slices.Equal(fold, other) {
		t.Error("folds: want the same ones from the same seed, and others from another")
	}
}

// TestFoldsRefused names what is wrong with folds.
func TestFoldsRefused(t *testing.T) {
	y := []float64{0, 1, 1, 0, 1}
	for _, c := range []struct {
		folds   Folds
		weights []float64
		want    string
	}{
		{Folds{}, []float64{1, 1, 1, 1, 1}, "got 10 of 5 examples, want 2 to 5"},
		{Folds{Count: 1}, []float64{1, 1, 1, 1, 1}, "got 1 of 5"},
		{Folds{Count: 5}, []float64{1, 1, 1, 1, 0}, "got 5 of 4"},
		{Folds{Assignment: []int{0, 1}}, []float64{1, 1, 1, 1, 1}, "got those of 2 examples, want 5"},
		{Folds{Count: 2, Assignment: []int{0, 1, 2, 0, 1}}, []float64{1, 1, 1, 1, 1}, "fold of example 3: got 2, want 0 to 1"},
		{Folds{Assignment: []int{0, 1, 3, 0, 1}}, []float64{1, 1, 1, 1, 1}, "fold 3: got no example"},
		{Folds{Assignment: []int{0, 1, 1, 0, 2}}, []float64{1, 1, 1, 1, 1}, "fold 1: got all examples of class 0"},
		{Folds{Assignment: []int{0, 1, 1, 2, 0}}, []float64{1, 1, 1, 0, 1}, "fold 3: got no example"},
	} {
		if _, _, err := c.folds.assign(Problem{Y: y, Family: Binomial}, c.weights); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.folds, err, c.want)
		}
	}
}

// TestChoose: of points in descending λ the best, and the first within its standard error.
func TestChoose(t *testing.T) {
	v := Validation{Points: []ValidatedPoint{{4, 9, 1, 0}, {3, 5.4, 1, 0}, {2, 5, 0.5, 0}, {1, 5, 0.1, 0}}}
	v.choose()
	if v.LambdaMin != 2 || v.Lambda1SE != 3 {
		t.Errorf("got λ %v and %v, want 2 and 3", v.LambdaMin, v.Lambda1SE)
	}
}
