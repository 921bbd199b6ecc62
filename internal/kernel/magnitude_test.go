package kernel

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// magnitudeCases are lists of weights, above and below the size from which on a
// sample is drawn.
func magnitudeCases() map[string][][]float32 {
	r := rand.New(rand.NewPCG(5, 6))
	draw := func(n int, f func(i int) float64) []float32 {
		x := make([]float32, n)
		for i := range x {
			x[i] = float32(f(i))
		}
		return x
	}
	normal := func(int) float64 { return r.NormFloat64() }
	return map[string][][]float32{
		"few":              {draw(100, normal), draw(7, normal), nil, draw(1, normal)},
		"many":             {draw(worthIt/2+5, normal), draw(31, normal), draw(worthIt/2, normal)},
		"sorted":           {draw(worthIt, func(i int) float64 { return float64(i) })},
		"mostly zeros":     {draw(worthIt+3, func(int) float64 { return r.NormFloat64() * float64(r.IntN(3)/2) })},
		"of a few values":  {draw(worthIt, func(int) float64 { return float64(r.IntN(5)) - 2 })},
		"all the same":     {draw(worthIt, func(int) float64 { return -0.5 })},
		"not numbers, too": {draw(worthIt, func(i int) float64 { return []float64{r.NormFloat64(), math.NaN(), math.Inf(-1)}[i%97%3] })},
	}
}

// TestKthMagnitude against sorting.
func TestKthMagnitude(t *testing.T) {
	for name, data := range magnitudeCases() {
		var sorted []uint32
		for _, x := range data {
			for _, v := range x {
				sorted = append(sorted, magnitudeBits(v))
			}
		}
		slices.SortFunc(sorted, cmp.Compare[uint32])
		n := len(sorted)
		for _, set := range sets() {
			p := newPool(t, 3, set)
			for _, k := range []int{1, 2, n / 10, n / 2, n * 9 / 10, n - 1, n} {
				m := sorted[k-1]
				first, _ := slices.BinarySearch(sorted, m)
				end, _ := slices.BinarySearch(sorted, m+1)
				want := Rank{Bits: m, Ties: k - first, Equal: end - first}
				if got := KthMagnitude(p, data, k); got != want {
					t.Errorf("%s, %v, %d of %d: got %+v, want %+v", name, set, k, n, got, want)
				}
			}
		}
	}
}

// TestKeepAbove: only what is above stays, in place or not, at any length.
func TestKeepAbove(t *testing.T) {
	for _, set := range sets() {
		p := newPool(t, 2, set)
		for _, n := range []int{0, 1, 31, 32, 100, 70_000} {
			x := append(gaussian(n), 0.5, -0.5, math.Float32frombits(magnitudeBits(0.5)+1))
			dst := make([]float32, len(x))
			KeepAbove(p, dst, x, magnitudeBits(0.5))
			for i, v := range x {
				want := v
				if math.Abs(float64(v)) <= 0.5 {
					want = 0
				}
				if dst[i] != want {
					t.Fatalf("%v: %v became %v, want %v", set, v, dst[i], want)
				}
			}
			KeepAbove(p, x, x, magnitudeBits(0.5))
			if !slices.Equal(x, dst) {
				t.Errorf("%v, %d elements: in place: another result", set, n)
			}
		}
	}
}

// TestEachMagnitude: every place once, in order.
func TestEachMagnitude(t *testing.T) {
	for _, set := range sets() {
		for _, n := range []int{0, 1, 33, 100, chunk + 70} {
			x := gaussian(n)
			var want, got []int
			for i := 0; i < n; i += 1 + i/2 {
				x[i] = float32(math.Copysign(0.25, float64(x[i])))
				want = append(want, i)
			}
			EachMagnitude(set, x, magnitudeBits(0.25), func(i int) { got = append(got, i) })
			if !slices.Equal(got, want) {
				t.Errorf("%v, %d elements: got %v, want %v", set, n, got, want)
			}
		}
	}
}

func BenchmarkWeights(b *testing.B) {
	x := gaussian(20_000_000)
	dst := make([]float32, len(x))
	for threads := 1; threads <= 2; threads++ {
		p := newPool(b, threads, Best())
		b.Run(fmt.Sprintf("kth/%d", threads), func(b *testing.B) {
			b.SetBytes(int64(4 * len(x)))
			for b.Loop() {
				KthMagnitude(p, [][]float32{x}, len(x)*9/10)
			}
		})
		b.Run(fmt.Sprintf("keep/%d", threads), func(b *testing.B) {
			b.SetBytes(int64(8 * len(x)))
			for b.Loop() {
				KeepAbove(p, dst, x, magnitudeBits(1.6))
			}
		})
	}
}
