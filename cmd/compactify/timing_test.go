package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// windowed is a convolution of so many taps over a signal of any length.
func windowed(t *testing.T, taps int) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "windowed", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(1), tensor.Symbol("L")}})
	g.Outputs = []*graph.Value{b.Op("Conv", x, b.Param("w", tensor.Of(make([]float32, taps), 1, 1, taps)))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestTimeOne: the least of the sizes at which a model runs is used and said; a
// model that runs at none says so.
func TestTimeOne(t *testing.T) {
	pool := kernel.NewPool(1, kernel.Best())
	t.Cleanup(pool.Close)
	a := &app{pool: pool}
	for _, c := range []struct {
		taps int
		want []int
	}{{1, []int{1, 1, 1}}, {65, []int{1, 1, 128}}, {256, []int{1, 1, 256}}} {
		l, o, err := a.timeOne(context.Background(), windowed(t, c.taps))
		if err != nil || !slices.Equal(l.Shapes["x"], c.want) || !slices.Equal(o.Shapes["x"], c.want) {
			t.Fatalf("%d taps: got %+v, error %v, want the input %v", c.taps, l, err, c.want)
		}
		if got := l.shapesText([]port{{Name: "x"}}); c.taps == 65 && got != "x 1×1×128" {
			t.Errorf("in words: got %q", got)
		}
	}
	var never *untimedError
	if _, _, err := a.timeOne(context.Background(), windowed(t, 1<<15)); !errors.As(err, &never) || !strings.Contains(err.Error(), "unknown dimensions of 1 to 16384") || hintFor(err, "inspect") == "" {
		t.Errorf("a window larger than any size: got error %v, want one that says what was tried", err)
	}

	fixed := windowed(t, 4)
	fixed.Inputs[0].Type.Shape[2] = tensor.Fixed(8)
	if l, _, err := a.timeOne(context.Background(), fixed); err != nil || l.Shapes != nil {
		t.Errorf("only the batch open: got shapes %v, error %v, want none", l, err)
	}
	if _, _, err := a.oneExample(&graph.Graph{Inputs: []*graph.Value{{Name: "x"}}}, 1); err == nil {
		t.Error("an input without a rank: got no error")
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	if _, _, err := a.timeOne(stopped, windowed(t, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped: got error %v", err)
	}
}
