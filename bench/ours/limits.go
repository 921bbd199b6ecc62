package main

import (
	"fmt"
	"time"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/internal/kernel"
)

// bandwidthFloats is far more than any cache holds: 256 MB.
const bandwidthFloats = 64 << 20

// bandwidth returns how many GB/s of memory the pool's threads read.
func bandwidth(pool *kernel.Pool, least time.Duration) float64 {
	x := make([]float32, bandwidthFloats)
	for i := range x {
		x[i] = 1
	}
	read := func() { kernel.Sum(pool, x) }
	read()
	runs, start := 0, time.Now()
	for time.Since(start) < least {
		read()
		runs++
	}
	return 4 * bandwidthFloats * float64(runs) / time.Since(start).Seconds() / 1e9
}

// cost prints the multiply-adds of one unit of work and the bytes of its weights:
// one run of a model file, or one training step of an architecture.
func cost(path, arch string, batch int) error {
	p, err := costed(path, arch, batch)
	if err != nil {
		return err
	}
	c := p.Cost()
	fmt.Println(c.Products, c.Weights)
	return nil
}

func costed(path, arch string, batch int) (*engine.Program, error) {
	if path != "" {
		g, err := onnx.Read(path)
		if err != nil {
			return nil, err
		}
		if g, _, err = engine.Simplify(g); err != nil {
			return nil, err
		}
		return engine.Compile(g, engine.Options{Unfused: true})
	}
	g, loss, weights, err := lossOf(arch)
	if err != nil {
		return nil, err
	}
	if g, err = engine.Gradient(g, loss, weights); err != nil {
		return nil, err
	}
	return engine.Compile(g, engine.Options{Unfused: true, Dims: map[string]int{g.Inputs[0].Type.Shape[0].Name: batch}})
}
