package compress

import (
	"context"
	"fmt"
	"time"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/jsonnum"
	"github.com/compactify/compactify/tensor"
)

// FileSize is the bytes a model takes as [Encode] writes it.
func FileSize(g *graph.Graph) (int, error) {
	file, err := Encode(g)
	return len(file), err
}

// Encode writes a model in newest form as compact ONNX bytes, at the oldest opset
// that has all it uses; weights with many zeros are stored sparse, and
// attributes that say what holds without them are left out.
func Encode(g *graph.Graph) ([]byte, error) {
	c, _ := g.Clone()
	chooseEncodings(c)
	c.DropDefaults()
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

// latencyTime is how long each of two models is timed.
const latencyTime = 150 * time.Millisecond

// latency times single examples.
func (w *work) latency(ctx context.Context, g *graph.Graph) (Latency, error) {
	r := newRunner(g, w.choosing.Output(), w.Pool)
	if r.err != nil {
		return noLatency, r.err
	}
	r.set = w.choosing.set
	p, err := r.compile(r.batchSize(1))
	if err != nil {
		return noLatency, err
	}
	allotted := latencyTime
	if w.stopped {
		allotted = stoppedLatency
	}
	l, err := engine.MeasureLatency(ctx, p, allotted)
	if err != nil {
		return noLatency, fmt.Errorf("latency: %w", err)
	}
	ms := func(d time.Duration) jsonnum.Float { return jsonnum.Float(float64(d.Nanoseconds()) / 1e6) }
	return Latency{ms(l.Median), ms(l.Low), ms(l.High)}, nil
}

// reload decodes the written bytes, as a user's runtime would.
func reload(file []byte) (*graph.Graph, error) {
	g, err := onnx.Decode(file, "")
	if err != nil {
		return nil, fmt.Errorf("reload the exported model: %w", err)
	}
	return g, nil
}
