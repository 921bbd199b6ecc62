package engine

import (
	"context"
	"errors"
	"math"
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// A few numbers in a file that ask for terabytes are refused before any memory
// is taken.
func TestHugeShapesAreRefused(t *testing.T) {
	const limit = 256 << 20
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(limit))
	x := tensor.TypeOf(tensor.Float32, 2, 4)
	ints := func(n ...int64) tensor.Tensor { return tensor.Of(n, len(n)) }
	for name, build := range map[string]func(b *graph.Builder, x *graph.Value) *graph.Value{
		"Expand": func(b *graph.Builder, x *graph.Value) *graph.Value {
			return b.Op("Expand", x, b.Const(ints(1<<20, 1<<20, 2, 4)))
		},
		"Tile": func(b *graph.Builder, x *graph.Value) *graph.Value { return b.Op("Tile", x, b.Const(ints(1, 1<<33))) },
		"Pad": func(b *graph.Builder, x *graph.Value) *graph.Value {
			return b.Op("Pad", x, b.Const(ints(0, 1<<40, 0, 1<<40)))
		},
		"Resize": func(b *graph.Builder, x *graph.Value) *graph.Value {
			return b.Op("Resize", x, nil, nil, b.Const(ints(1<<30, 1<<30)))
		},
		"OneHot": func(b *graph.Builder, x *graph.Value) *graph.Value {
			x.Type.DType = tensor.Int64
			return b.Op("OneHot", x, b.Const(tensor.Scalar(int64(1<<50))), b.Const(tensor.Of([]float32{0, 1}, 2)))
		},
		"Range": func(b *graph.Builder, _ *graph.Value) *graph.Value {
			return b.Op("Range", b.Const(tensor.Scalar(float32(0))), b.Const(tensor.Scalar(float32(1e12))), b.Const(tensor.Scalar(float32(1))))
		},
		"ConstantOfShape": func(b *graph.Builder, _ *graph.Value) *graph.Value {
			return b.Op("ConstantOfShape", b.Const(ints(1<<31, 1<<31)))
		},
		"doubled": func(b *graph.Builder, x *graph.Value) *graph.Value {
			for range 58 {
				x = b.With("Concat", graph.Attributes{graph.Int("axis", 1)}, x, x)
			}
			return x
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := &graph.Graph{Name: name, Opset: map[string]int{graph.DomainONNX: graph.LatestOpset}}
			b := graph.NewBuilder(g, "v")
			in := b.Input("x", x)
			g.Outputs = []*graph.Value{build(b, in)}
			if err := b.Err(); err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			p, err := Compile(g, Options{})
			if err == nil {
				err = p.Run(context.Background(), []tensor.Tensor{tensor.New(in.Type.DType, 2, 4)}, make([]tensor.Tensor, 1))
			}
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Fatal("got no error")
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > limit {
				t.Errorf("allocated %d bytes before %v", n, err)
			}
		})
	}
}

func TestMemoryErrorNamesNodeAndFigures(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(64 << 20))
	g := &graph.Graph{Name: "g", Opset: map[string]int{graph.DomainONNX: graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	g.Outputs = []*graph.Value{b.Op("ConstantOfShape", b.Const(tensor.Of([]int64{1 << 26}, 1)))}
	_, err := Compile(g, Options{})
	var want *MemoryError
	if !errors.As(err, &want) || want.Need != 4<<26 || want.Limit != 64<<20 {
		t.Errorf("got %v, want a memory error of %d bytes", err, 4<<26)
	}
	if _, err := NewTensor(tensor.Float32, math.MaxInt, 2); err == nil {
		t.Error("a tensor whose size overflows: got no error")
	}
}

// endless is a graph whose loop never ends: the condition stays true.
func endless() *graph.Graph {
	scalar := func(name string, d tensor.DType) *graph.Value {
		return &graph.Value{Name: name, Type: tensor.TypeOf(d)}
	}
	i, c, v := scalar("i", tensor.Int64), scalar("c", tensor.Bool), scalar("v", tensor.Float32)
	c2, v2 := scalar("c2", tensor.Bool), scalar("v2", tensor.Float32)
	body := &graph.Graph{Name: "body", Inputs: []*graph.Value{i, c, v}, Outputs: []*graph.Value{c2, v2}, Nodes: []*graph.Node{
		{Op: "Identity", In: []*graph.Value{c}, Out: []*graph.Value{c2}}, {Op: "Neg", In: []*graph.Value{v}, Out: []*graph.Value{v2}}}}
	g := &graph.Graph{Name: "g", Opset: map[string]int{graph.DomainONNX: graph.LatestOpset}}
	b := graph.NewBuilder(g, "n")
	yes := b.Const(tensor.Scalar(true))
	x := b.Const(tensor.Scalar(float32(1)))
	g.Outputs = b.Multi("Loop", graph.Attributes{{Name: "body", Kind: graph.AttrGraph, G: body}}, 1, nil, yes, x)
	return g
}

// A loop without an end stops with the context, and is not run when the graph is
// compiled or simplified.
func TestEndlessLoopStops(t *testing.T) {
	g, _, err := Simplify(endless())
	if err != nil {
		t.Fatal(err)
	}
	p, err := Compile(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	err = p.Run(ctx, nil, make([]tensor.Tensor, 1))
	if !errors.Is(err, context.DeadlineExceeded) || time.Since(start) > 5*time.Second {
		t.Errorf("after %v: got %v, want the context's error", time.Since(start), err)
	}
}
