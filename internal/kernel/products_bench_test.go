package kernel

import (
	"fmt"
	"testing"
)

// BenchmarkDots64 multiplies whole matrices with 1, 2 and 4 vectors; B/s is of the
// matrix.
func BenchmarkDots64(b *testing.B) {
	for _, shape := range [][2]int{{200, 20000}, {1000, 5000}, {20000, 200}, {1000, 100}} {
		x := &Columns64{Data: ramp(shape[0]*shape[1], 1), Rows: shape[0], Stride: shape[0]}
		for _, vectors := range []int{1, 2, 4} {
			var dst, v [][]float64
			for k := range vectors {
				dst = append(dst, make([]float64, shape[1]))
				v = append(v, ramp(shape[0], k+2))
			}
			for _, set := range []Set{AVX2, AVX512} {
				b.Run(fmt.Sprintf("%dx%d/%d/%v", shape[0], shape[1], vectors, set), func(b *testing.B) {
					b.SetBytes(int64(8 * len(x.Data)))
					for b.Loop() {
						Dots64(set, dst, x, 0, shape[1], v)
					}
				})
			}
		}
	}
}

// BenchmarkColumn64 is one column in the first-level cache.
func BenchmarkColumn64(b *testing.B) {
	for _, n := range []int{8, 72, 200, 1000} {
		x, v, w := ramp(n, 1), ramp(n, 2), ramp(n, 3)
		for _, set := range []Set{Portable, AVX2, AVX512} {
			run := func(name string, body func()) {
				b.Run(fmt.Sprintf("%s/%d/%v", name, n, set), func(b *testing.B) {
					for b.Loop() {
						body()
					}
				})
			}
			run("dot", func() { Dot64(set, x, v) })
			run("axpy", func() { Axpy64(set, v, 1e-9, x) })
			run("weightedDot", func() { WeightedDot64(set, w, x, v) })
			run("weightedMoments", func() { WeightedMoments64(set, w, x, 0.5) })
			run("weightedAxpy", func() { WeightedAxpy64(set, v, 1e-9, w, x) })
		}
	}
}

// ramp is a slice of numbers of either sign that differ.
func ramp(n, seed int) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = float64((i*7919+seed*104729)%2003-1001) / 997
	}
	return out
}
