package paths

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/internal/kernel"
)

// BenchmarkQuantizeWeights rounds sixteen million weights of one layer.
func BenchmarkQuantizeWeights(b *testing.B) {
	g := product(b, normal(rand.New(rand.NewPCG(1, 2)), 4000, 4000))
	pool := kernel.NewPool(2, kernel.Best())
	defer pool.Close()
	for _, s := range []Scheme{
		{Bits: 8, Fit: FitMinMax}, {Bits: 8}, {Bits: 8, Fit: FitMinMax, Block: PerTensor}, {Bits: 8, Fit: FitMinMax, Asymmetric: true},
		{Bits: 4, Fit: FitMinMax}, {Bits: 4, Fit: FitMinMax, Block: 32}, {Bits: 4, Block: 32}, {Bits: 2, Ternary: true}, {Bits: 1},
	} {
		b.Run(s.String(), func(b *testing.B) {
			b.SetBytes(4 * 16e6)
			for b.Loop() {
				if _, err := QuantizeWeights(pool, g, Uniform(g, s)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPrune removes nine tenths of as many.
func BenchmarkPrune(b *testing.B) {
	g := product(b, normal(rand.New(rand.NewPCG(1, 2)), 4000, 4000))
	pool := kernel.NewPool(2, kernel.Best())
	defer pool.Close()
	b.SetBytes(4 * 16e6)
	for b.Loop() {
		p, err := NewPrune(g, Options{Pool: pool})
		if err != nil {
			b.Fatal(err)
		}
		if _, err := p.At(context.Background(), 0.9); err != nil {
			b.Fatal(err)
		}
	}
}
