package graph_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/engine"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// TestLoweringsAgreeWithKernels computes operators twice, by the engine's kernel
// and by the rule's expression in other operators, on the same random input.
func TestLoweringsAgreeWithKernels(t *testing.T) {
	f := func(shape ...int) tensor.Tensor { return random(shape...) }
	attr := func(list ...graph.Attr) graph.Attributes { return list }
	vec := tensor.Of([]float32{0.5, 1.5, 2}, 3)
	for _, tc := range []struct {
		op    string
		attrs graph.Attributes
		in    []tensor.Tensor
	}{
		{"Sum", nil, []tensor.Tensor{f(2, 3), f(3), f(2, 1)}},
		{"Mean", nil, []tensor.Tensor{f(2, 3), f(3), f(2, 1)}},
		{"Max", nil, []tensor.Tensor{f(2, 3), f(3), f(2, 1)}},
		{"Min", nil, []tensor.Tensor{f(2, 3), f(3)}},
		{"Dropout", nil, []tensor.Tensor{f(50)}},
		{"HardSwish", nil, []tensor.Tensor{f(50)}},
		{"Swish", attr(graph.Float("alpha", 1.5)), []tensor.Tensor{f(50)}},
		{"Softsign", nil, []tensor.Tensor{f(50)}},
		{"Mish", nil, []tensor.Tensor{f(50)}},
		{"Gelu", nil, []tensor.Tensor{f(50)}},
		{"Gelu", attr(graph.Text("approximate", "tanh")), []tensor.Tensor{f(50)}},
		{"Celu", attr(graph.Float("alpha", 2)), []tensor.Tensor{f(50)}},
		{"ThresholdedRelu", attr(graph.Float("alpha", 0.5)), []tensor.Tensor{f(50)}},
		{"Shrink", attr(graph.Float("lambd", 0.7), graph.Float("bias", 0.2)), []tensor.Tensor{f(50)}},
		{"GlobalAveragePool", nil, []tensor.Tensor{f(2, 3, 4, 5)}},
		{"GlobalMaxPool", nil, []tensor.Tensor{f(2, 3, 4, 5)}},
		{"GlobalLpPool", attr(graph.Int("p", 3)), []tensor.Tensor{f(2, 3, 4, 5)}},
		{"ReduceL1", nil, []tensor.Tensor{f(2, 3, 4), tensor.Ints(1)}},
		{"ReduceL2", attr(graph.Int("keepdims", 0)), []tensor.Tensor{f(2, 3, 4), tensor.Ints(1, 2)}},
		{"ReduceSumSquare", nil, []tensor.Tensor{f(2, 3, 4), tensor.Ints(0)}},
		{"ReduceLogSumExp", attr(graph.Int("keepdims", 0)), []tensor.Tensor{f(2, 3, 4), tensor.Ints(2)}},
		{"BatchNormalization", nil, []tensor.Tensor{f(2, 3, 4), vec, f(3), f(3), vec}},
		{"InstanceNormalization", nil, []tensor.Tensor{f(2, 3, 4), vec, f(3)}},
		{"GroupNormalization", attr(graph.Int("num_groups", 3)), []tensor.Tensor{f(2, 3, 4), vec, f(3)}},
		{"LayerNormalization", attr(graph.Int("axis", 1)), []tensor.Tensor{f(2, 4, 3), f(4, 3), f(3)}},
		{"RMSNormalization", nil, []tensor.Tensor{f(2, 4, 3), vec}},
		{"LpNormalization", attr(graph.Int("p", 1), graph.Int("axis", 1)), []tensor.Tensor{f(2, 4, 3)}},
		{"LRN", attr(graph.Int("size", 4), graph.Float("alpha", 0.3)), []tensor.Tensor{f(2, 7, 3, 3)}},
		{"DepthToSpace", attr(graph.Int("blocksize", 2)), []tensor.Tensor{f(2, 8, 2, 3)}},
		{"DepthToSpace", attr(graph.Int("blocksize", 2), graph.Text("mode", "CRD")), []tensor.Tensor{f(2, 8, 2, 3)}},
		{"SpaceToDepth", attr(graph.Int("blocksize", 2)), []tensor.Tensor{f(2, 2, 4, 6)}},
		{"DynamicQuantizeLinear", nil, []tensor.Tensor{f(40)}},
		{"compactify.FakeQuantize", attr(graph.Int("bits", 4), graph.Int("axis", 1)), []tensor.Tensor{f(5, 3), vec}},
		{"compactify.FakeQuantize", attr(graph.Int("bits", 3), graph.Int("narrow", 1)), []tensor.Tensor{f(50), tensor.Scalar(float32(0.3))}},
		{"compactify.FakeQuantizeGrad", attr(graph.Int("bits", 3), graph.Int("axis", 1)), []tensor.Tensor{f(5, 3), f(5, 3), vec}},
		{"compactify.FakeQuantizeGrad", attr(graph.Int("bits", 2), graph.Int("axis", 0)), []tensor.Tensor{f(3, 40), f(3, 40), vec}},
		{"compactify.FakeQuantizeGrad", attr(graph.Int("bits", 2), graph.Int("signed", 0)), []tensor.Tensor{f(50), f(50), tensor.Scalar(float32(0.3))}},
		{"compactify.ReluGrad", nil, []tensor.Tensor{f(50), f(50)}},
		{"compactify.MaxPoolGather", nil, []tensor.Tensor{f(1, 1, 3, 3), tensor.Of([]int64{4, 4, 8, 0}, 1, 1, 2, 2)}},
		{"compactify.MaxPoolScatter", nil, []tensor.Tensor{f(1, 1, 2, 2), tensor.Of([]int64{4, 4, 8, 0}, 1, 1, 2, 2), tensor.Ints(1, 1, 3, 3)}},
		{"compactify.SoftmaxCrossEntropy", nil, []tensor.Tensor{f(4, 3), probabilities(4, 3)}},
		{"compactify.SoftmaxCrossEntropyGrad", nil, []tensor.Tensor{f(4, 3), probabilities(4, 3), tensor.Scalar(float32(0.7))}},
		{"Einsum", attr(graph.Text("equation", "bij,bjk->bik")), []tensor.Tensor{f(2, 3, 4), f(2, 4, 5)}},
		{"Einsum", attr(graph.Text("equation", "...ii->...i")), []tensor.Tensor{f(2, 3, 3)}},
	} {
		t.Run(tc.op, func(t *testing.T) {
			outs := outputCount(tc.op)
			kernel, err := compute(tc.in, func(b *graph.Builder, in []*graph.Value) []*graph.Value {
				return b.Multi(tc.op, tc.attrs, outs, in...)
			})
			var unsupported *engine.UnsupportedError
			if errors.As(err, &unsupported) {
				t.Skipf("the lowering needs %s, which has no kernel", unsupported.Op)
			}
			if err != nil {
				t.Fatal(err)
			}
			lowered, err := compute(tc.in, func(b *graph.Builder, in []*graph.Value) []*graph.Value {
				n := &graph.Node{Attrs: tc.attrs, In: in, Op: tc.op, Out: b.Multi(tc.op, tc.attrs, outs, in...)}
				return graph.RuleFor("", tc.op).Lower(b, n)
			})
			if err != nil {
				t.Fatal(err)
			}
			for i := range kernel {
				compare(t, lowered[i], kernel[i])
			}
		})
	}
}

func outputCount(op string) int {
	switch op {
	case "DynamicQuantizeLinear":
		return 3
	case "compactify.FakeQuantizeGrad":
		return 2
	}
	return 1
}

// compute runs what build appends to a graph with the given inputs.
func compute(in []tensor.Tensor, build func(*graph.Builder, []*graph.Value) []*graph.Value) ([]tensor.Tensor, error) {
	g := &graph.Graph{Name: "test", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	var values []*graph.Value
	var feeds []tensor.Tensor
	for _, x := range in {
		if x.DType() == tensor.Float32 {
			values = append(values, b.Input("", x.Type()))
			feeds = append(feeds, x)
		} else {
			values = append(values, b.Const(x))
		}
	}
	g.Outputs = build(b, values)
	if err := b.Err(); err != nil {
		return nil, err
	}
	p, err := engine.Compile(g, engine.Options{Unfused: true})
	if err != nil {
		return nil, err
	}
	out := make([]tensor.Tensor, len(g.Outputs))
	return out, p.Run(context.Background(), feeds, out)
}

// tolerance covers a different order of a few float32 operations.
const tolerance = 1e-5

func compare(t *testing.T, got, want tensor.Tensor) {
	t.Helper()
	if !got.Type().Equal(want.Type()) {
		t.Fatalf("got %v, want %v", got, want)
	}
	for i := range want.Len() {
		if a, b := got.At(i), want.At(i); math.Abs(a-b) > tolerance*(1+math.Abs(b)) || a != a {
			t.Fatalf("element %d: lowering %v, kernel %v", i, a, b)
		}
	}
}

var source = rand.New(rand.NewPCG(7, 8))

// random draws normal numbers.
func random(shape ...int) tensor.Tensor {
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.Len() {
		x.Set(i, 1.5*source.NormFloat64())
	}
	return x
}

// probabilities draws rows that add up to 1.
func probabilities(rows, columns int) tensor.Tensor {
	x := tensor.New(tensor.Float32, rows, columns)
	for r := range rows {
		sum := 0.0
		for c := range columns {
			v := source.Float64()
			x.Set(r*columns+c, v)
			sum += v
		}
		for c := range columns {
			x.Set(r*columns+c, x.At(r*columns+c)/sum)
		}
	}
	return x
}
