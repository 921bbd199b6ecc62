package compress

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// FileSize is the bytes a model takes as [Encode] writes it.
func FileSize(g *graph.Graph) (int, error) {
	file, err := Encode(g)
	return len(file), err
}

// Encode writes a model in newest form as compact ONNX bytes, at the oldest opset
// that has all it uses; weights with many zeros are stored sparse.
func Encode(g *graph.Graph) ([]byte, error) {
	c, _ := g.Clone()
	chooseEncodings(c)
	c.Opset = map[string]int{graph.DomainONNX: c.MinOpset()}
	c.Meta = graph.Meta{Producer: "compactify"}
	return onnx.Encode(c, onnx.Options{Compact: true})
}

// sparseHeader is about what a sparse initialiser takes beyond values and indices.
const sparseHeader = 16

// chooseEncodings stores a weight, in float32 or as 8-bit integers, as a sparse
// initialiser where that takes fewer bytes: an index of a few bytes goes with every
// value that is not zero. Runtimes densify it when they load the model; it saves
// disk only. The graph must not be shared.
func chooseEncodings(g *graph.Graph) {
	for _, p := range g.Params {
		if t := p.Data.DType(); t != tensor.Float32 && t != tensor.Int8 && t != tensor.Uint8 || p.Data.Rank() < 2 {
			continue
		}
		p.Sparse = false
		dense := p.StoredBytes()
		p.Sparse = true
		p.Sparse = p.StoredBytes()+sparseHeader < dense
	}
}

// latencyRuns is how many one-example runs a latency is the median of.
const latencyRuns = 25

// latency is the median time of one example in milliseconds.
func latency(ctx context.Context, g *graph.Graph, set *data.Set, output string, runs int, pool *kernel.Pool) (float64, error) {
	r := newRunner(g, output, pool)
	if r.err != nil {
		return 0, r.err
	}
	batch := 1
	p, err := r.compile(batch)
	if err != nil {
		return 0, err
	}
	example, err := r.input(p.Inputs()[0], set, 0, 1)
	if err != nil {
		return 0, fmt.Errorf("latency: input %q: %w", g.Inputs[0].Name, err)
	}
	in, out := []tensor.Tensor{example}, make([]tensor.Tensor, len(p.Outputs()))
	var times []float64
	for i := range runs + 5 {
		start := time.Now()
		if err := p.Run(ctx, in, out); err != nil {
			return 0, err
		}
		if i >= 5 {
			times = append(times, float64(time.Since(start).Nanoseconds())/1e6)
		}
	}
	slices.Sort(times)
	return times[len(times)/2], nil
}

// reload decodes the written bytes, as a user's runtime would.
func reload(file []byte) (*graph.Graph, error) {
	g, err := onnx.Decode(file, "")
	if err != nil {
		return nil, fmt.Errorf("reload the exported model: %w", err)
	}
	return g, nil
}
