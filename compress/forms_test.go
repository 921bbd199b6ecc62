package compress

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Of 64·128 + 128·16 weights every form takes the bytes that its name promises,
// both products run on a compact form where there is a kernel for it, and the
// model is as it was.
func TestMeasureForms(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	g := &graph.Graph{Name: "mlp", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	weight := func(name string, shape ...int) *graph.Value {
		w := tensor.New(tensor.Float32, shape...)
		for i := range w.Len() {
			w.Set(i, r.NormFloat64())
		}
		return b.Param(name, w)
	}
	x := b.Input("x", tensor.TypeOf(tensor.Float32, 1, 64))
	h := b.Op("Relu", b.Op("MatMul", x, weight("w1", 64, 128)))
	g.Outputs = []*graph.Value{b.Op("MatMul", h, weight("w2", 128, 16))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	before := g.Digest()
	const weights, scales = 64*128 + 128*16, 4 * (128 + 16)
	want := map[string]struct{ bytes, compact int }{
		"float32":                 {4 * weights, 0},
		"8 bits":                  {weights + scales, 0},
		"4 bits":                  {weights/2 + scales, 2},
		"2 bits":                  {weights/4 + scales, 2},
		"1 bit (stored as 2)":     {weights/4 + scales, 2},
		"90 % zero, blocks of 16": {-1, 1}, // the second matrix is small
	}
	list, err := MeasureForms(context.Background(), g, engine.Options{}, time.Millisecond, nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != len(forms) {
		t.Errorf("forms: got %d, want %d", len(list), len(forms))
	}
	for _, f := range list {
		if f.Problem != "" {
			t.Errorf("%s: got problem %q", f.Name, f.Problem)
		}
		if f.Latency.Median <= 0 || f.Latency.Low > f.Latency.Median || f.Latency.High < f.Latency.Median {
			t.Errorf("%s: latency: got %+v", f.Name, f.Latency)
		}
		w, ok := want[f.Name]
		if ok && w.bytes >= 0 && f.Bytes != w.bytes {
			t.Errorf("%s: bytes: got %d, want %d", f.Name, f.Bytes, w.bytes)
		}
		if ok && f.Compact != w.compact {
			t.Errorf("%s: compact products: got %d, want %d", f.Name, f.Compact, w.compact)
		}
		if f.Bytes > 4*weights {
			t.Errorf("%s: bytes: got %d, more than float32", f.Name, f.Bytes)
		}
	}
	if g.Digest() != before {
		t.Error("the model changed")
	}
}

func TestMeasureFormsEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := MeasureForms(ctx, &graph.Graph{}, engine.Options{}, time.Millisecond, nil); err == nil {
		t.Error("a context that ended: got no error")
	}
}
