package structure

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/graph"
)

// TestRandomGraphs: whatever operators are put together, removing channels gives
// what zeroing them does, and no operator of the generator is refused outright.
func TestRandomGraphs(t *testing.T) {
	removed := 0
	for seed := range uint64(150) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			a, err := Analyze(randomGraph(t, seed))
			if err != nil {
				t.Fatal(err)
			}
			selection := draw(a, rand.New(rand.NewPCG(seed, 9)), 0.4)
			for _, list := range selection {
				removed += len(list)
			}
			checkRemoval(t, a, selection, map[string]int{"N": 2})
		})
	}
	if removed < 150 {
		t.Errorf("removed %d channels of all graphs, want at least one of each", removed)
	}
}

// generator grows a graph by operators drawn at random, over images [N, C, 6, 6].
type generator struct {
	*sketch
	values []*graph.Value
	names  int
}

func randomGraph(t *testing.T, seed uint64) *graph.Graph {
	g := &generator{sketch: newSketch(seed)}
	g.values = []*graph.Value{g.convolve(g.in(2, 6, 6), 4, 1)}
	for range 4 + g.r.IntN(10) {
		g.values = append(g.values, g.step(g.pick()))
	}
	x := g.values[len(g.values)-1]
	y := g.pick()
	var features *graph.Value
	if g.r.IntN(2) == 0 {
		features = g.With("Concat", graph.Attributes{graph.Int("axis", 1)}, g.mean(x), g.mean(y))
	} else {
		features = g.With("Flatten", nil, g.With("Concat", graph.Attributes{graph.Int("axis", 1)}, x, y))
	}
	return g.finish(t, g.dense("head", features, 3))
}

func (g *generator) pick() *graph.Value { return g.values[g.r.IntN(len(g.values))] }

func (g *generator) name() string {
	g.names++
	return fmt.Sprintf("p%d", g.names)
}

func (g *generator) convolve(x *graph.Value, out, group int) *graph.Value {
	return g.conv(g.name(), x, out, group)
}

// channels is the number of channels of an image.
func channels(x *graph.Value) int { return x.Type.Shape[1].Size }

// step applies one operator, or a few that belong together.
func (g *generator) step(x *graph.Value) *graph.Value {
	c := channels(x)
	switch g.r.IntN(17) {
	case 0:
		return g.convolve(x, 2+g.r.IntN(4), 1)
	case 1:
		return g.convolve(x, c*(1+g.r.IntN(2)), c) // depthwise
	case 2:
		if c%2 == 0 {
			return g.convolve(x, 4, 2)
		}
		return g.Op("Tanh", x)
	case 3:
		return g.Op([]string{"Relu", "Sigmoid", "Tanh", "Gelu", "HardSwish"}[g.r.IntN(5)], x)
	case 4:
		n := g.name()
		return g.Op("BatchNormalization", x, g.w(n+" scale", c), g.w(n+" shift", c), g.w(n+" mean", c), g.positive(n+" var", c))
	case 5:
		for _, y := range g.values {
			if channels(y) == c && y != x {
				return g.Op([]string{"Add", "Mul", "Max"}[g.r.IntN(3)], x, y)
			}
		}
		return g.Op("Add", x, x)
	case 6:
		return g.With("Concat", graph.Attributes{graph.Int("axis", 1)}, x, g.pick())
	case 7: // a run of channels
		lo := g.r.IntN(c)
		hi := lo + 1 + g.r.IntN(c-lo)
		return g.Op("Slice", x, g.ints(lo), g.ints(hi), g.ints(1))
	case 8: // channels of zeros before and behind
		return g.Op("Pad", x, g.ints(0, g.r.IntN(2), 0, 0, 0, 1, 0, 0))
	case 9:
		return g.With("AveragePool", graph.Attributes{graph.Ints("kernel_shape", 3, 3), graph.Ints("pads", 1, 1, 1, 1)}, x)
	case 10: // a gate for each channel
		y := g.dense(g.name(), g.Op("Relu", g.dense(g.name(), g.mean(x), 3)), c)
		return g.Op("Mul", x, g.Op("Reshape", g.Op("Sigmoid", y), g.ints(0, c, 1, 1)))
	case 11: // shuffled
		if c%2 != 0 {
			return g.Op("Neg", x)
		}
		y := g.With("Transpose", graph.Attributes{graph.Ints("perm", 0, 2, 1, 3, 4)}, g.Op("Reshape", x, g.ints(0, 2, c/2, 6, 6)))
		return g.Op("Reshape", y, g.ints(-1, c, 6, 6))
	case 12: // any channels, some twice
		at := make([]int, 1+g.r.IntN(5))
		for i := range at {
			at[i] = g.r.IntN(c) - c*g.r.IntN(2)
		}
		return g.With("Gather", graph.Attributes{graph.Int("axis", 1)}, x, g.ints(at...))
	case 13: // halves, the second first
		if c < 2 {
			return g.Op("Abs", x)
		}
		parts := g.Multi("Split", graph.Attributes{graph.Int("axis", 1), graph.Int("num_outputs", 2)}, 2, x)
		return g.With("Concat", graph.Attributes{graph.Int("axis", 1)}, parts[1], g.Op("Relu", parts[0]))
	case 14: // channels last, and a matrix for each pixel
		y := g.With("Transpose", graph.Attributes{graph.Ints("perm", 0, 2, 3, 1)}, x)
		return g.With("Transpose", graph.Attributes{graph.Ints("perm", 0, 3, 1, 2)}, g.dense(g.name(), y, 2+g.r.IntN(3)))
	case 15: // energy over the channels
		s := g.With("ReduceSum", graph.Attributes{graph.Int("keepdims", 1)}, g.Op("Tanh", x), g.ints(1))
		return g.Op("Add", x, g.Op("Tanh", s))
	default: // weights over the channels
		return g.Op("Mul", x, g.With("Softmax", graph.Attributes{graph.Int("axis", 1)}, x))
	}
}
