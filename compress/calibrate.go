package compress

import (
	"context"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// calibrate runs the calibration examples and keeps the smallest and largest
// element of every value that 8-bit activations would round. Nothing else is
// kept, so memory does not grow with the number of examples.
func (w *work) calibrate(ctx context.Context, g *graph.Graph) (map[string]paths.Range, error) {
	watch, _ := g.Clone()
	values := paths.Activations(watch)
	watch.Outputs = values
	if len(values) == 0 {
		return nil, nil
	}
	ranges := make(map[string]paths.Range, len(values))
	for _, v := range values {
		ranges[v.Name] = paths.Range{Lo: math.Inf(1), Hi: math.Inf(-1)}
	}
	set, err := w.probe.Adapt(w.choosing.set.Shape())
	if err != nil {
		return nil, err
	}
	r := &runner{g: watch, pool: w.Pool}
	err = r.eachBatch(ctx, set, func(out []tensor.Tensor, _, n, size int) error {
		for i, v := range values {
			data := out[i].Float32s()
			ranges[v.Name] = widen(ranges[v.Name], data[:len(data)/size*n])
		}
		return nil
	})
	return ranges, err
}

// widen makes a range span more elements.
func widen(r paths.Range, data []float32) paths.Range {
	for _, x := range data {
		r.Lo, r.Hi = min(r.Lo, float64(x)), max(r.Hi, float64(x))
	}
	return r
}

// roundActivations gives a model 8-bit activations with calibrated ranges.
func (w *work) roundActivations(ctx context.Context, g *graph.Graph) (*graph.Graph, error) {
	ranges, err := w.calibrate(ctx, g)
	if err != nil {
		return nil, err
	}
	return paths.QuantizeActivations(g, ranges)
}
