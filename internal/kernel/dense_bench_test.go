package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"
)

// BenchmarkDense found the rules of [Dense], by the shortest time of a run.
func BenchmarkDense(b *testing.B) {
	p := NewPool(1, Best())
	defer p.Close()
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range [][3]int{{1, 768, 3072}, {1, 3072, 768}, {4, 768, 3072}, {16, 768, 3072}, {64, 512, 512}, {64, 784, 300},
		{197, 768, 3072}, {197, 3072, 768}} {
		m, k, n := s[0], s[1], s[2]
		b.Run(fmt.Sprint(s), func(b *testing.B) {
			x, y := normal(r, m*k), make([]float32, m*n)
			d := NewDense(p, m, n, k, normal(r, k*n), false, nil, float32(math.Inf(-1)), float32(math.Inf(1)))
			best := time.Hour
			for b.Loop() {
				start := time.Now()
				if err := d.Run(x, nil, y); err != nil {
					b.Fatal(err)
				}
				best = min(best, time.Since(start))
			}
			b.ReportMetric(2*float64(m*k*n)/float64(best), "Gflop/s")
			b.ReportMetric(4*float64(k*n)/float64(best), "GB/s")
		})
	}
}
