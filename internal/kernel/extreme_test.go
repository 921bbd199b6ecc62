package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// Extremes of rows are those that a plain loop finds, NaNs and infinities
// included, and zeros have no sign.
func TestExtremesOfRows(t *testing.T) {
	r := rand.New(rand.NewPCG(71, 72))
	for _, cols := range []int{1, 7, 8, 15, 16, 17, 31, 63, 64, 65, 127, 508, 1000} {
		for _, least := range []bool{false, true} {
			const rows = 5
			clean := random[float32](r, rows*cols)
			foreign := operands(r, rows*cols)
			for _, x := range [][]float32{clean, foreign} {
				want := make([]float32, rows)
				for i := range want {
					row := x[i*cols:][:cols]
					want[i] = slices.Max(row)
					if least {
						want[i] = slices.Min(row)
					}
					want[i] += 0
				}
				for _, set := range sets() {
					got := make([]float32, rows)
					NewExtremes[float32](least).Rows(set, got, x, cols)
					if i := sameBits(got, want); i >= 0 {
						t.Errorf("%v, %d columns, least %t: row %d: got %v, want %v", set, cols, least, i, got[i], want[i])
					}
				}
			}
		}
	}
}

// A NaN wins wherever it stands, and zeros of both signs come out the same.
func TestExtremesOfOddRows(t *testing.T) {
	nan, negative := float32(math.NaN()), float32(math.Copysign(0, -1))
	for _, cols := range []int{5, 16, 50, 70} {
		for at := range cols {
			t.Run(fmt.Sprintf("%d of %d", at, cols), func(t *testing.T) {
				x := make([]float32, 2*cols)
				x[at] = nan
				for i := range cols {
					x[cols+i] = negative
				}
				x[cols+at] = 0
				for _, set := range sets() {
					got := make([]float32, 2)
					for _, least := range []bool{false, true} {
						NewExtremes[float32](least).Rows(set, got, x, cols)
						if got[0] == got[0] || math.Float32bits(got[1]) != 0 {
							t.Errorf("%v, least %t: got %v, want NaN and +0", set, least, got)
						}
					}
				}
			})
		}
	}
}

// Extremes element by element are the same in every set.
func TestExtremesInto(t *testing.T) {
	r := rand.New(rand.NewPCG(73, 74))
	for _, n := range lengths[:8] {
		x, y := operands(r, n), operands(r, n)
		for _, least := range []bool{false, true} {
			want := slices.Clone(y)
			for i := range want {
				want[i] = max(x[i], y[i])
				if least {
					want[i] = min(x[i], y[i])
				}
			}
			for _, set := range sets() {
				got := slices.Clone(y)
				NewExtremes[float32](least).Into(set, got, x)
				for i := range got {
					if got[i] != want[i] && (got[i] == got[i] || want[i] == want[i]) {
						t.Fatalf("%v, least %t: element %d: got %v, want %v", set, least, i, got[i], want[i])
					}
				}
			}
		}
	}
}
