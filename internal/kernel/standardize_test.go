package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Normalised rows are those that float64 gives, and the same bits in every set.
func TestStandardize(t *testing.T) {
	r := rand.New(rand.NewPCG(81, 82))
	for _, cols := range []int{1, 3, 15, 16, 17, 31, 48, 63, 64, 65, 100, 128, 300, 1024} {
		for _, centred := range []bool{true, false} {
			const rows, epsilon = 3, 1e-5
			x, scale, bias := random[float32](r, rows*cols), random[float32](r, cols), random[float32](r, cols)
			var first []float32
			for _, set := range sets() {
				got := make([]float32, len(x))
				Standardize(set, got, x, scale, bias, epsilon, centred)
				if first == nil {
					first = got
				}
				if i := sameBits(got, first); i >= 0 {
					t.Errorf("%v, %d columns, centred %t: element %d: got %v, want %v", set, cols, centred, i, got[i], first[i])
				}
			}
			for i := range rows {
				row := x[i*cols:][:cols]
				var mean, spread float64
				for _, v := range row {
					mean += float64(v) / float64(cols)
				}
				if !centred {
					mean = 0
				}
				for _, v := range row {
					spread += (float64(v) - mean) * (float64(v) - mean) / float64(cols)
				}
				for j, v := range row {
					want := (float64(v)-mean)/math.Sqrt(spread+epsilon)*float64(scale[j]) + float64(bias[j])
					if got := float64(first[i*cols+j]); math.Abs(got-want) > 2e-6*(1+math.Abs(want)) {
						t.Fatalf("%d columns, centred %t: [%d, %d]: got %v, want %v", cols, centred, i, j, got, want)
					}
				}
			}
		}
	}
}

// Normalising in place gives the same, and allocates nothing.
func TestStandardizeInPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(83, 84))
	const rows, cols = 4, 70
	x, scale, bias := random[float32](r, rows*cols), random[float32](r, cols), random[float32](r, cols)
	want := make([]float32, len(x))
	Standardize(Best(), want, x, scale, bias, 1e-5, true)
	y := append([]float32(nil), x...)
	Standardize(Best(), y, y, scale, bias, 1e-5, true)
	if i := sameBits(y, want); i >= 0 {
		t.Errorf("element %d: got %v, want %v", i, y[i], want[i])
	}
	for _, set := range sets() {
		if n := testing.AllocsPerRun(5, func() { Standardize(set, y, x, scale, bias, 1e-5, true) }); n != 0 {
			t.Errorf("%v: allocations: got %v, want 0", set, n)
		}
	}
}

func BenchmarkStandardize(b *testing.B) {
	const rows, cols = 512, 256
	x, scale := make([]float32, rows*cols), make([]float32, cols)
	for b.Loop() {
		Standardize(Best(), x, x, scale, scale, 1e-5, true)
	}
}
