package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// weightWorks are what is done to all weights of a model, by name.
var weightWorks = map[string]func(*kernel.Pool, *graph.Graph) error{
	"int8":       quantizing(paths.Scheme{Bits: 8, Fit: paths.FitMinMax}),
	"int8-mse":   quantizing(paths.Scheme{Bits: 8}),
	"int4-block": quantizing(paths.Scheme{Bits: 4, Block: 32, Fit: paths.FitMinMax}),
	"prune":      pruning(0.9),
}

func quantizing(s paths.Scheme) func(*kernel.Pool, *graph.Graph) error {
	return func(p *kernel.Pool, g *graph.Graph) error {
		_, err := paths.QuantizeWeights(p, g, paths.Uniform(g, s))
		return err
	}
}

func pruning(fraction float64) func(*kernel.Pool, *graph.Graph) error {
	return func(p *kernel.Pool, g *graph.Graph) error {
		path, err := paths.NewPrune(g, paths.Options{Pool: p})
		if err != nil {
			return err
		}
		_, err = path.At(context.Background(), fraction)
		return err
	}
}

// warmUps are the runs before those that are measured: as many as the collector
// needs until results are written where earlier ones were, not to memory that the
// system has to find first.
const warmUps = 4

// weights does one work to a layer [size, size] of normal weights and returns how
// many millions of them it does in a second, by the median run.
func weights(work string, size int, pool *kernel.Pool, least time.Duration) (float64, error) {
	do := weightWorks[work]
	g := &graph.Graph{Name: work, Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	x := b.Input("x", tensor.TypeOf(tensor.Float32, 1, size))
	w := tensor.New(tensor.Float32, size, size)
	for i, r, data := 0, rand.New(rand.NewPCG(1, 2)), tensor.Data[float32](w); i < len(data); i++ {
		data[i] = float32(r.NormFloat64())
	}
	g.Outputs = []*graph.Value{b.With("Gemm", graph.Attributes{graph.Int("transB", 1)}, x, b.Param("w", w))}
	if err := b.Err(); err != nil {
		return 0, fmt.Errorf("work %q: %w", work, err)
	}
	var times []time.Duration
	for began := time.Now(); len(times) <= warmUps || time.Since(began) < least; {
		if len(times) == warmUps {
			began = time.Now()
		}
		start := time.Now()
		if err := do(pool, g); err != nil {
			return 0, fmt.Errorf("work %q: %w", work, err)
		}
		times = append(times, time.Since(start))
	}
	return float64(size) * float64(size) / 1e6 / median(times[warmUps:]).Seconds(), nil
}
