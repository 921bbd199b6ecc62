package engine

import (
	"math"
	"math/cmplx"
	"math/rand/v2"
	"testing"
)

// TestFourier compares transforms of all kinds of lengths with the definition,
// evaluated with twiddle factors reduced exactly.
func TestFourier(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 9, 11, 12, 16, 30, 64, 97, 100, 128, 255, 360} {
		x := make([]complex128, n)
		for i := range x {
			x[i] = complex(r.NormFloat64(), r.NormFloat64())
		}
		want := make([]complex128, n)
		for k := range want {
			for j, v := range x {
				want[k] += v * cmplx.Rect(1, -2*math.Pi*float64(j*k%n)/float64(n))
			}
		}
		f := newFourier(n)
		f.transform(x, make([]complex128, f.scratch()))
		for k := range x {
			// Errors grow like log n units in the last place of ‖x‖.
			if d := cmplx.Abs(x[k] - want[k]); !(d < 1e-13*math.Sqrt(float64(n))*10) {
				t.Errorf("length %d, entry %d: got %v, want %v", n, k, x[k], want[k])
			}
		}
	}
}

// BenchmarkFourier takes a power of two and a prime of that size.
func BenchmarkFourier(b *testing.B) {
	for _, n := range []int{4096, 4099} {
		b.Run(map[int]string{4096: "4096", 4099: "4099 prime"}[n], func(b *testing.B) {
			f := newFourier(n)
			x, scratch := make([]complex128, n), make([]complex128, f.scratch())
			for b.Loop() {
				x[1] = 1
				f.transform(x, scratch)
			}
		})
	}
}
