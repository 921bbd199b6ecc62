package kernel

import (
	"fmt"
	"math"
	"testing"
)

// lastShapes are convolutions of 3×3 in the networks that bench/models writes,
// as image, channels and filters.
var lastShapes = [][3]int{
	{32, 16, 16}, {16, 32, 32}, {8, 64, 64}, // ResNet-8 and -20
	{56, 64, 64}, {28, 128, 128}, {14, 256, 256}, {7, 512, 512}, // ResNet-18
	{160, 128, 64}, {160, 64, 32}, {80, 32, 32}, {40, 32, 64}, // DNSMOS
}

// BenchmarkLast prints how the ways to compute a convolution compare, which is
// what the rule in [NewLast] rests on: run it with
//
//	go test -run - -bench Last -benchtime 100ms ./internal/kernel
func BenchmarkLast(b *testing.B) {
	for _, batch := range []int{1, 8} {
		for _, d := range lastShapes {
			s := ConvShape{N: batch, C: d[1], H: d[0], W: d[0], M: d[2], KH: 3, KW: 3, SH: 1, SW: 1, DH: 1, DW: 1,
				PT: 1, PL: 1, PB: 1, PR: 1, Groups: 1, OH: d[0], OW: d[0]}
			w := make([]float32, s.M*s.taps())
			x, y := make([]float32, s.N*s.C*s.H*s.W), make([]float32, s.N*s.M*s.H*s.W)
			p := NewPool(1, Best())
			inf := float32(math.Inf(1))
			for _, way := range []struct {
				name string
				c    Last
			}{{"direct", NewLastConv(p, s, w, nil, 0, inf)}, {"winograd", NewLastWinograd(p, s, w, nil, 0, inf)}} {
				b.Run(fmt.Sprintf("%dx%dx%d/%d/%s", batch, d[0], d[1], d[2], way.name), func(b *testing.B) {
					scratch := make([]float32, way.c.Workspace())
					for b.Loop() {
						if err := way.c.Run(x, nil, y, scratch); err != nil {
							b.Fatal(err)
						}
					}
					flop := 2 * float64(s.N*s.M*s.OH*s.OW*s.taps())
					b.ReportMetric(flop/float64(b.Elapsed().Nanoseconds())*float64(b.N), "GFLOP/s")
				})
			}
		}
	}
}
