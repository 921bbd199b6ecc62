package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Lanes and AddWide against sums in order; the sets agree in bits.
func TestWideSums(t *testing.T) {
	const tol = 1e-13 // roundings of float64 over 40,000 terms
	r := rand.New(rand.NewPCG(9, 10))
	for _, n := range lengths {
		x, acc := random[float32](r, n), random[float64](r, n)
		var want, size float64
		for _, v := range x {
			want += float64(v)
			size += math.Abs(float64(v))
		}
		sum := func(set Set) float64 {
			var l Lanes
			AddLanes(set, &l, x[:n/2])
			AddLanes(set, &l, x[n/2:])
			return l.Sum()
		}
		first := sum(Portable)
		if math.Abs(first-want) > tol*size {
			t.Errorf("sum of %d: got %v, want %v", n, first, want)
		}
		for _, set := range sets() {
			if got := sum(set); got != first {
				t.Errorf("%v: sum of %d: got %x, want %x", set, n, got, first)
			}
			sums := append([]float64(nil), acc...)
			AddWide(set, sums, x)
			for i, v := range sums {
				if v != acc[i]+float64(x[i]) {
					t.Fatalf("%v: sums of %d: [%d]: got %v, want %v", set, n, i, v, acc[i]+float64(x[i]))
				}
			}
		}
	}
}
