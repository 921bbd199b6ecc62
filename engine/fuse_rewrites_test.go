package engine

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// rewriteCase is a graph of one input x that a pass rewrites, or one that looks
// like it and must stay as it is.
type rewriteCase struct {
	name  string
	shape []int // of x
	build func(b *graph.Builder, x *graph.Value) []*graph.Value
	kind  string // of steps, of which
	want  int    // there are so many, fused
}

// Programs compute the same before and after a rewrite, in either precision, and
// a rewrite takes place exactly where it should.
func TestRewrites(t *testing.T) {
	cases := moveCases()
	cases = append(cases, lookupCases()...)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			for _, d := range []tensor.DType{tensor.Float64, tensor.Float32} {
				c.check(t, d, rewriteTolerance[d])
			}
		})
	}
}

// rewriteTolerance is relative to 1 and the result: sums are taken in another
// order, and functions of float32 have kernels of their own.
var rewriteTolerance = map[tensor.DType]float64{tensor.Float64: 1e-12, tensor.Float32: 1e-5}

func (c *rewriteCase) check(t *testing.T, d tensor.DType, tolerance float64) {
	t.Helper()
	x := random(rand.New(rand.NewPCG(21, 22)), d, c.shape...)
	g := &graph.Graph{Name: c.name, Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	g.Outputs = c.build(b, b.Input("x", x.Type()))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	_, want := compiled(t, g, Options{Unfused: true}, x)
	fused, got := compiled(t, g, Options{}, x)
	for i := range want {
		if !got[i].Type().Equal(want[i].Type()) {
			t.Fatalf("%v: output %d: got %v, want %v", d, i, got[i].Type(), want[i].Type())
		}
		for k := range want[i].Len() {
			g, w := got[i].At(k), want[i].At(k)
			if !(math.Abs(g-w) <= tolerance*(1+math.Abs(w))) && !(g != g && w != w) && g != w {
				t.Fatalf("%v: output %d: element %d: got %v, want %v", d, i, k, g, w)
			}
		}
	}
	if n := count(fused, c.kind); n != c.want {
		t.Errorf("%v: steps of %s: got %d, want %d", d, c.kind, n, c.want)
	}
}

// alone is a graph with one output.
func alone(f func(b *graph.Builder, x *graph.Value) *graph.Value) func(*graph.Builder, *graph.Value) []*graph.Value {
	return func(b *graph.Builder, x *graph.Value) []*graph.Value { return []*graph.Value{f(b, x)} }
}

func moveCases() []rewriteCase {
	turn := func(b *graph.Builder, x *graph.Value, perm ...int) *graph.Value {
		return b.With("Transpose", attrs{graph.Ints("perm", perm...)}, x)
	}
	slice := func(b *graph.Builder, x *graph.Value, start, end, step int) *graph.Value {
		return b.Op("Slice", x, b.Const(tensor.Ints(start)), b.Const(tensor.Ints(end)), b.Const(tensor.Ints(1)), b.Const(tensor.Ints(step)))
	}
	type (
		B = graph.Builder
		V = graph.Value
	)
	return []rewriteCase{
		{"transposes that undo each other", []int{2, 3, 4}, alone(func(b *B, x *V) *V {
			return b.Op("Neg", turn(b, turn(b, x, 1, 2, 0), 2, 0, 1))
		}), "Transpose", 0},
		{"three transposes are one", []int{2, 3, 4, 5}, alone(func(b *B, x *V) *V {
			return turn(b, turn(b, b.Op("Transpose", x), 1, 0, 3, 2), 0, 2, 3, 1)
		}), "Transpose", 1},
		{"a transpose in the middle that is an output", []int{2, 3, 4}, func(b *B, x *V) []*V {
			y := turn(b, x, 0, 2, 1)
			return []*V{y, turn(b, y, 2, 0, 1)}
		}, "Transpose", 2},
		{"a transpose of axes of size 1", []int{3, 1, 4, 1}, alone(func(b *B, x *V) *V { return turn(b, x, 1, 0, 3, 2) }), "Transpose", 0},
		{"a transpose of others", []int{3, 1, 4, 1}, alone(func(b *B, x *V) *V { return turn(b, x, 2, 1, 0, 3) }), "Transpose", 1},
		{"a slice of everything", []int{2, 5}, alone(func(b *B, x *V) *V { return slice(b, x, 0, 9, 1) }), "Slice", 0},
		{"a slice that leaves some", []int{2, 5}, alone(func(b *B, x *V) *V { return slice(b, x, 0, 4, 1) }), "Slice", 1},
		{"a slice that turns round", []int{2, 5}, alone(func(b *B, x *V) *V { return slice(b, x, -1, math.MinInt32, -1) }), "Slice", 1},
		{"an expand to the same shape", []int{2, 5}, alone(func(b *B, x *V) *V { return b.Op("Expand", x, b.Const(tensor.Ints(1, 5))) }), "Expand", 0},
		{"an expand to another", []int{1, 5}, alone(func(b *B, x *V) *V { return b.Op("Expand", x, b.Const(tensor.Ints(2, 5))) }), "Expand", 1},
		{"a concatenation of one", []int{2, 5}, alone(func(b *B, x *V) *V { return b.With("Concat", attrs{graph.Int("axis", 1)}, x) }), "Concat", 0},
	}
}

func lookupCases() []rewriteCase {
	type (
		B = graph.Builder
		V = graph.Value
	)
	// oneHot multiplies a one-hot matrix of the integers in ids by a table.
	oneHot := func(kind string, ids, classes tensor.Tensor) func(b *B, x *V) []*V {
		return func(b *B, x *V) []*V {
			to := func(d tensor.DType, v *V) *V { return b.With("Cast", attrs{graph.Int("to", int(d))}, v) }
			i := b.Op("Add", b.Const(ids), to(ids.DType(), b.Op("Mul", b.Op("ReduceMax", x), b.ConstLike(x, 0))))
			equal := b.Op(kind, i, b.Const(classes))
			hot := to(x.Type.DType, equal)
			y := b.Op("MatMul", hot, x)
			return []*V{y}
		}
	}
	ids := tensor.Of([]int32{0, 3, 6, 7, -1, 2, 2, 5}, 2, 4, 1) // 7 and −1 are none of a row
	upTo := func(from int32) tensor.Tensor { return tensor.Of([]int32{from, 1, 2, 3, 4, 5, 6}, 1, 1, 7) }
	twoReaders := func(b *B, x *V) []*V {
		y := oneHot("Equal", ids, upTo(0))(b, x)
		hot := b.Graph().Nodes[len(b.Graph().Nodes)-1].In[0]
		return append(y, hot)
	}
	k := lastKind(lookup)
	return []rewriteCase{
		{"one-hot rows times a table", []int{7, 3}, oneHot("Equal", ids, upTo(0)), k, 1},
		{"one-hot rows of 64 bits", []int{3, 5}, oneHot("Equal", tensor.Of([]int64{1, 2, 9, 0, -3}, 5, 1), tensor.Of([]int64{0, 1, 2}, 3)), k, 1},
		{"numbers that do not count up", []int{7, 3}, oneHot("Equal", ids, upTo(9)), k, 0},
		{"rows of ones up to a number", []int{7, 3}, oneHot("LessOrEqual", ids, upTo(0)), k, 0},
		{"one-hot columns", []int{2, 3}, oneHot("Equal", tensor.Of([]int32{0, 1}, 1, 2), tensor.Of([]int32{0, 1}, 2, 1)), k, 0},
		{"one-hot rows that are an output", []int{7, 3}, twoReaders, k, 0},
	}
}
