package kernel

import (
	"math"
	"math/rand/v2"
	"testing"
)

func gaussian(n int) []float32 {
	r := rand.New(rand.NewPCG(uint64(n), 3))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// TestMinMax: extremes at every place, and numbers that are not finite.
func TestMinMax(t *testing.T) {
	for _, set := range sets() {
		for _, n := range []int{1, 2, 31, 32, 33, 64, 100} {
			for at := range n {
				x := gaussian(n)
				x[at], x[(at+1)%n] = -7, 9
				wantLo, wantHi := float32(-7), float32(9)
				if n == 1 {
					wantLo = 9
				}
				if lo, hi, finite := MinMax(set, x); lo != wantLo || hi != wantHi || !finite {
					t.Fatalf("%v, %d elements, at %d: got %v, %v, %v, want %v, %v, true", set, n, at, lo, hi, finite, wantLo, wantHi)
				}
				for _, bad := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
					x[at] = float32(bad)
					if _, _, finite := MinMax(set, x); finite {
						t.Fatalf("%v, %d elements: %v at %d goes unseen", set, n, bad, at)
					}
				}
			}
		}
	}
}

// TestGridError: the sums as float64 has them, the same bits in every set, and a
// limit that ends the search early.
func TestGridError(t *testing.T) {
	for _, n := range []int{1, 15, 32, 100, 1024, 5000} {
		x := gaussian(n)
		for _, g := range []struct {
			scale  float32
			lo, hi int
		}{{0.02, -128, 127}, {0.3, -8, 7}, {1, -1, 1}, {0.25, -3, 12}} {
			var e, xq, qq float64
			for _, v := range x {
				q := max(float64(g.lo), min(float64(g.hi), math.RoundToEven(float64(v*(1/g.scale)))))
				d := float64(v) - float64(g.scale)*q
				e, xq, qq = e+d*d, xq+float64(v)*q, qq+q*q
			}
			var first [3]float64
			for i, set := range sets() {
				var got [3]float64
				got[0], got[1], got[2] = GridError(set, x, g.scale, g.lo, g.hi, math.Inf(1))
				for k, want := range []float64{e, xq, qq} {
					if math.Abs(got[k]-want) > 2e-4*math.Abs(want) {
						t.Errorf("%v, %d elements, %+v: sum %d: got %v, want %v", set, n, g, k, got[k], want)
					}
				}
				if i == 0 {
					first = got
				} else if got != first {
					t.Errorf("%v, %d elements, %+v: got %v, portable %v", set, n, g, got, first)
				}
				if e > 0 {
					if part, _, _ := GridError(set, x, g.scale, g.lo, g.hi, e/4); part <= e/4 || part > e*(1+2e-4) {
						t.Errorf("%v, %d elements, %+v: with the limit %v: got %v, want something between it and %v", set, n, g, e/4, part, e)
					}
				}
			}
		}
	}
}

// TestQuantizeRow: bytes of signed and unsigned grids, saturation and NaN.
func TestQuantizeRow(t *testing.T) {
	x := append(gaussian(70), 0.5, 1.5, -0.5, -1.5, 1e9, -1e9, float32(math.Inf(1)), float32(math.Inf(-1)))
	for _, g := range []struct{ lo, hi, zero int }{{-128, 127, 0}, {-8, 7, 0}, {-1, 1, 0}, {0, 255, 0}, {-255, 0, 255}, {-3, 12, 3}, {-100, 155, 100}} {
		for _, scale := range []float32{0.01, 0.3, 1} {
			for _, set := range sets() {
				dst := make([]byte, len(x))
				QuantizeRow(set, dst, x, scale, g.lo, g.hi, g.zero)
				for i, v := range x {
					want := max(float64(g.lo), min(float64(g.hi), math.RoundToEven(float64(v/scale)))) + float64(g.zero)
					if dst[i] != byte(int(want)) {
						t.Fatalf("%v, %+v, %v/%v: got %d, want %v", set, g, v, scale, dst[i], want)
					}
				}
			}
		}
	}
}
