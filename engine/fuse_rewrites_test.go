package engine

import (
	"bytes"
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
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
	for _, more := range [][]rewriteCase{lookupCases(), softmaxCases(), standardizeCases(), geluCases()} {
		cases = append(cases, more...)
	}
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
	pool := kernel.NewPool(3, kernel.Best())
	defer pool.Close()
	_, threads := compiled(t, g, Options{Pool: pool}, x)
	for i := range got {
		if !bytes.Equal(threads[i].Raw(), got[i].Raw()) {
			t.Errorf("%v: output %d: three threads give other bits than one", d, i)
		}
	}
	in, out := []tensor.Tensor{x}, slices.Clone(got)
	if n := testing.AllocsPerRun(3, func() { _ = fused.Run(context.Background(), in, out) }); n != 0 {
		t.Errorf("%v: allocations: got %v, want 0", d, n)
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

func softmaxCases() []rewriteCase {
	type (
		B = graph.Builder
		V = graph.Value
	)
	last := func(b *B) *V { return b.Const(tensor.Ints(-1)) }
	exps := func(b *B, x, axes *V) *V { return b.Op("Exp", b.Op("Sub", x, b.Op("ReduceMax", x, axes))) }
	shape := []int{3, 4, 70}
	return []rewriteCase{
		{"softmax written out", shape, alone(func(b *B, x *V) *V {
			e := exps(b, x, last(b))
			return b.Op("Div", e, b.Op("ReduceSum", e, last(b)))
		}), "Softmax", 1},
		{"softmax with an inverse", shape, alone(func(b *B, x *V) *V {
			e := exps(b, x, last(b))
			return b.Op("Mul", b.Op("Reciprocal", b.Op("ReduceSum", e, last(b))), e)
		}), "Softmax", 1},
		{"softmax as JAX writes it", []int{4, 33}, alone(func(b *B, x *V) *V {
			flat := attrs{graph.Int("keepdims", 0)}
			column := b.Const(tensor.Ints(4, 1))
			top := b.Op("Max", b.ConstLike(x, math.Inf(-1)), b.With("ReduceMax", flat, x, last(b)))
			e := b.Op("Exp", b.Op("Sub", x, b.Op("Expand", b.Op("Reshape", top, column), column)))
			return b.Op("Div", e, b.Op("Reshape", b.With("ReduceSum", flat, e, last(b)), column))
		}), "Softmax", 1},
		{"the logarithm of softmax", shape, alone(func(b *B, x *V) *V {
			c := b.Op("Sub", x, b.Op("ReduceMax", x, last(b)))
			return b.Op("Sub", c, b.Op("Log", b.Op("ReduceSum", b.Op("Exp", c), last(b))))
		}), "LogSoftmax", 1},
		{"softmax without the maximum", shape, alone(func(b *B, x *V) *V {
			e := b.Op("Exp", x)
			return b.Op("Div", e, b.Op("ReduceSum", e, last(b)))
		}), "Softmax", 0},
		{"softmax over another axis", shape, alone(func(b *B, x *V) *V {
			axes := b.Const(tensor.Ints(1))
			e := exps(b, x, axes)
			return b.Op("Div", e, b.Op("ReduceSum", e, axes))
		}), "Softmax", 0},
		{"a maximum over two axes", shape, alone(func(b *B, x *V) *V {
			e := exps(b, x, b.Const(tensor.Ints(1, 2)))
			return b.Op("Div", e, b.Op("ReduceSum", e, last(b)))
		}), "Softmax", 0},
		{"a sum over another axis", []int{5, 5}, alone(func(b *B, x *V) *V {
			e := exps(b, x, last(b))
			return b.Op("Div", e, b.Op("ReduceSum", e, b.Const(tensor.Ints(0))))
		}), "Softmax", 0},
		{"sums that are an output", shape, func(b *B, x *V) []*V {
			e := exps(b, x, last(b))
			sum := b.Op("ReduceSum", e, last(b))
			return []*V{b.Op("Div", e, sum), sum}
		}, "Softmax", 0},
		{"exponentials that something else reads", shape, func(b *B, x *V) []*V {
			e := exps(b, x, last(b))
			return []*V{b.Op("Div", e, b.Op("ReduceSum", e, last(b))), b.Op("Sqrt", e)}
		}, "Softmax", 0},
	}
}

func standardizeCases() []rewriteCase {
	type (
		B = graph.Builder
		V = graph.Value
	)
	// norm is a normalisation over axes with a root of variance plus epsilon.
	norm := func(b *B, x, axes *V, epsilon *V, centred bool) (c, root *V) {
		c = x
		if centred {
			c = b.Op("Sub", x, b.Op("ReduceMean", x, axes))
		}
		return c, b.Op("Sqrt", b.Op("Add", b.Op("ReduceMean", b.Op("Mul", c, c), axes), epsilon))
	}
	weights := func(b *B, x *V, first float64, n ...int) *V {
		t := tensor.New(x.Type.DType, n...)
		for i := range t.Len() {
			t.Set(i, first+float64(i%7)/8)
		}
		return b.Const(t)
	}
	last := func(b *B) *V { return b.Const(tensor.Ints(-1)) }
	own := func(x *V) graph.Attr { return graph.Int("stash_type", int(x.Type.DType)) } // no conversion between
	shape := []int{3, 5, 70}
	k := lastKind(standardize)
	return []rewriteCase{
		{"layer normalisation", shape, alone(func(b *B, x *V) *V {
			return b.With("LayerNormalization", attrs{own(x)}, x, weights(b, x, 0.5, 70), weights(b, x, -0.5, 70))
		}), k, 1},
		{"layer normalisation over two axes", shape, alone(func(b *B, x *V) *V {
			return b.With("LayerNormalization", attrs{own(x), graph.Int("axis", 1)}, x, weights(b, x, 0.5, 5, 70))
		}), k, 1},
		{"layer normalisation as PyTorch writes it", shape, alone(func(b *B, x *V) *V {
			c := b.Op("Sub", x, b.Op("ReduceMean", x, last(b)))
			v := b.Op("ReduceMean", b.Op("Pow", c, b.ConstLike(x, 2)), last(b))
			y := b.Op("Div", c, b.Op("Sqrt", b.Op("Add", v, b.ConstLike(x, 1e-5))))
			return b.Op("Add", b.Op("Mul", y, weights(b, x, 0.5, 70)), weights(b, x, -0.5, 70))
		}), k, 1},
		{"with the scale on the inverse root", shape, alone(func(b *B, x *V) *V {
			c, root := norm(b, x, last(b), b.ConstLike(x, 1e-3), true)
			return b.Op("Add", weights(b, x, 1, 1, 70), b.Op("Mul", b.Op("Mul", weights(b, x, 0.5, 1, 1, 70), b.Op("Reciprocal", root)), c))
		}), k, 1},
		{"without scale and bias, by a power", shape, alone(func(b *B, x *V) *V {
			c := b.Op("Sub", x, b.Op("ReduceMean", x, last(b)))
			v := b.Op("Add", b.ConstLike(x, 1e-5), b.Op("ReduceMean", b.Op("Mul", c, c), last(b)))
			return b.Op("Mul", c, b.Op("Pow", v, b.ConstLike(x, -0.5)))
		}), k, 1},
		{"normalisation by the root mean square", shape, alone(func(b *B, x *V) *V {
			return b.With("RMSNormalization", attrs{own(x)}, x, weights(b, x, 0.5, 70))
		}), k, 1},
		{"by the root mean square, written out", shape, alone(func(b *B, x *V) *V {
			_, root := norm(b, x, last(b), b.ConstLike(x, 1e-6), false)
			return b.Op("Mul", weights(b, x, 0.5, 70), b.Op("Mul", x, b.Op("Div", b.ConstLike(x, 1), root)))
		}), k, 1},
		{"a scale for each row stays behind", shape, alone(func(b *B, x *V) *V {
			c, root := norm(b, x, last(b), b.ConstLike(x, 1e-5), true)
			return b.Op("Mul", b.Op("Div", c, root), weights(b, x, 0.5, 5, 1))
		}), k, 1},
		{"normalisation over a middle axis", shape, alone(func(b *B, x *V) *V {
			c, root := norm(b, x, b.Const(tensor.Ints(1)), b.ConstLike(x, 1e-5), true)
			return b.Op("Div", c, root)
		}), k, 0},
		{"mean and variance over different axes", shape, alone(func(b *B, x *V) *V {
			c := b.Op("Sub", x, b.Op("ReduceMean", x, b.Const(tensor.Ints(0))))
			v := b.Op("ReduceMean", b.Op("Mul", c, c), last(b))
			return b.Op("Div", c, b.Op("Sqrt", b.Op("Add", v, b.ConstLike(x, 1e-5))))
		}), k, 1}, // by the root mean square of c
		{"a number to add for each row", shape, alone(func(b *B, x *V) *V {
			c, root := norm(b, x, last(b), weights(b, x, 0.1, 5, 1), true)
			return b.Op("Div", c, root)
		}), k, 0},
		{"a variance that is an output", shape, func(b *B, x *V) []*V {
			c, root := norm(b, x, last(b), b.ConstLike(x, 1e-5), true)
			return []*V{b.Op("Div", c, root), root}
		}, k, 0},
		{"mean and inverse deviation that are outputs", shape, func(b *B, x *V) []*V {
			return b.Multi("LayerNormalization", attrs{own(x)}, 3, x, weights(b, x, 0.5, 70))
		}, k, 0},
		{"a cube for the square", shape, alone(func(b *B, x *V) *V {
			c := b.Op("Sub", x, b.Op("ReduceMean", x, last(b)))
			v := b.Op("ReduceMean", b.Op("Abs", b.Op("Pow", c, b.ConstLike(x, 3))), last(b))
			return b.Op("Div", c, b.Op("Sqrt", b.Op("Add", v, b.ConstLike(x, 1e-5))))
		}), k, 0},
	}
}

func geluCases() []rewriteCase {
	type (
		B = graph.Builder
		V = graph.Value
	)
	shape := []int{7, 70}
	cube := func(b *B, x *V) *V { return b.Op("Pow", x, b.ConstLike(x, 3)) }
	// inner is √(2/π)·(x + k·x³).
	inner := func(b *B, x *V, k float64) *V {
		return b.Op("Mul", b.ConstLike(x, 0.7978845608), b.Op("Add", x, b.Op("Mul", b.ConstLike(x, k), cube(b, x))))
	}
	half := func(b *B, x, f *V) *V {
		return b.Op("Mul", b.Op("Mul", b.ConstLike(x, 0.5), x), b.Op("Add", b.ConstLike(x, 1), f))
	}
	erf := func(b *B, x *V, root float64) *V { return b.Op("Erf", b.Op("Div", x, b.ConstLike(x, root))) }
	return []rewriteCase{
		{"gelu as PyTorch writes it", shape, alone(func(b *B, x *V) *V {
			y := b.Op("Mul", x, b.Op("Add", erf(b, x, math.Sqrt2), b.ConstLike(x, 1)))
			return b.Op("Mul", y, b.ConstLike(x, 0.5))
		}), "Gelu", 1},
		{"half of it first", shape, alone(func(b *B, x *V) *V { return half(b, x, erf(b, x, math.Sqrt2)) }), "Gelu", 1},
		{"divided by 2", shape, alone(func(b *B, x *V) *V {
			f := b.Op("Erf", b.Op("Mul", x, b.ConstLike(x, math.Sqrt2/2)))
			return b.Op("Mul", b.Op("Div", b.Op("Add", f, b.ConstLike(x, 1)), b.ConstLike(x, 2)), x)
		}), "Gelu", 1},
		{"gelu with tanh", shape, alone(func(b *B, x *V) *V {
			return half(b, x, b.Op("Tanh", inner(b, x, 0.044715)))
		}), "Gelu", 1},
		{"gelu with a product for the cube", shape, alone(func(b *B, x *V) *V {
			k := b.Op("Mul", x, b.Op("Mul", x, b.Op("Mul", b.ConstLike(x, 0.044715), x)))
			f := b.Op("Tanh", b.Op("Mul", b.Op("Add", x, k), b.ConstLike(x, math.Sqrt(2/math.Pi))))
			return b.Op("Mul", x, b.Op("Mul", b.Op("Add", b.ConstLike(x, 1), f), b.ConstLike(x, 0.5)))
		}), "Gelu", 1},
		{"a layer's gelu", shape, alone(func(b *B, x *V) *V {
			y := b.Op("Transpose", b.Op("Add", x, b.ConstLike(x, 0.25)))
			return half(b, y, erf(b, y, math.Sqrt2))
		}), "Gelu", 1},
		{"another slope", shape, alone(func(b *B, x *V) *V { return half(b, x, erf(b, x, 1.4)) }), "Gelu", 0},
		{"another cube", shape, alone(func(b *B, x *V) *V { return half(b, x, b.Op("Tanh", inner(b, x, 0.05))) }), "Gelu", 0},
		{"a number for each column", shape, alone(func(b *B, x *V) *V {
			roots := tensor.New(x.Type.DType, 70)
			for i := range 70 {
				roots.Set(i, math.Sqrt2)
			}
			return half(b, x, b.Op("Erf", b.Op("Div", x, b.Const(roots))))
		}), "Gelu", 0},
		{"the product with something else", shape, alone(func(b *B, x *V) *V {
			return b.Op("Mul", b.Op("Mul", b.ConstLike(x, 0.5), b.Op("Abs", x)), b.Op("Add", b.ConstLike(x, 1), erf(b, x, math.Sqrt2)))
		}), "Gelu", 0},
		{"an erf that is an output", shape, func(b *B, x *V) []*V {
			f := erf(b, x, math.Sqrt2)
			return []*V{half(b, x, f), f}
		}, "Gelu", 0},
	}
}
