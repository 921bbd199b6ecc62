package engine

import (
	"context"
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// run compiles one operator for the given inputs and runs it. Inputs that are
// zero tensors are omitted; those from index fixed on are constants.
func run(t *testing.T, o Options, op string, attrs graph.Attributes, outputs, fixed int, in ...tensor.Tensor) []tensor.Tensor {
	t.Helper()
	p, feed := program(t, o, op, attrs, outputs, fixed, in...)
	out := make([]tensor.Tensor, outputs)
	if err := p.Run(context.Background(), feed, out); err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return out
}

func program(t *testing.T, o Options, op string, attrs graph.Attributes, outputs, fixed int, in ...tensor.Tensor) (*Program, []tensor.Tensor) {
	t.Helper()
	g := &graph.Graph{Name: "test", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	var values []*graph.Value
	var feed []tensor.Tensor
	for i, x := range in {
		switch {
		case x.IsZero():
			values = append(values, nil)
		case i < fixed:
			values = append(values, b.Input("", x.Type()))
			feed = append(feed, x)
		default:
			values = append(values, b.Const(x))
		}
	}
	g.Outputs = b.Multi(op, attrs, outputs, values...)
	if err := b.Err(); err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	p, err := Compile(g, o)
	if err != nil {
		t.Fatalf("%s: %v", op, err)
	}
	return p, feed
}

// random is a tensor of the given type: normal floats, or integers that are
// valid anywhere.
func random(r *rand.Rand, d tensor.DType, shape ...int) tensor.Tensor {
	x := tensor.New(d, shape...)
	for i := range x.Len() {
		if d.IsFloat() {
			x.Set(i, r.NormFloat64())
		} else {
			x.Set(i, float64(1+r.IntN(7)))
		}
	}
	return x
}

// opCase is a call of one operator on inputs of moderate size.
type opCase struct {
	op      string
	attrs   graph.Attributes
	outputs int
	fixed   int // inputs from here on are constants
	in      []tensor.Tensor
}

func opCases() []opCase {
	r := rand.New(rand.NewPCG(1, 2))
	f := func(shape ...int) tensor.Tensor { return random(r, tensor.Float32, shape...) }
	conv := graph.Attributes{graph.Ints("pads", 1, 1, 1, 1), graph.Ints("strides", 2, 2)}
	window := graph.Attributes{graph.Ints("kernel_shape", 3, 3), graph.Ints("strides", 2, 2), graph.Ints("pads", 1, 1, 1, 1)}
	wide := f(8, 16, 33, 31)
	list := []opCase{
		{op: "Conv", attrs: conv, in: []tensor.Tensor{wide, f(24, 16, 3, 3), f(24)}},
		{op: "Conv", in: []tensor.Tensor{f(4, 8, 500), f(8, 8, 5)}},
		{op: "ConvTranspose", attrs: conv, in: []tensor.Tensor{f(2, 8, 31, 33), f(8, 6, 3, 3), f(6)}},
		{op: "compactify.ConvGradX", attrs: conv, fixed: 2, in: []tensor.Tensor{f(24, 16, 3, 3), f(8, 24, 17, 16), tensor.Ints(8, 16, 33, 31)}},
		{op: "compactify.ConvGradW", attrs: append(conv, graph.Ints("kernel_shape", 3, 3)), in: []tensor.Tensor{wide, f(8, 24, 17, 16)}},
		{op: "MaxPool", attrs: window, outputs: 2, in: []tensor.Tensor{wide}},
		{op: "AveragePool", attrs: window, in: []tensor.Tensor{wide}},
		{op: "compactify.AveragePoolGrad", attrs: window, fixed: 1, in: []tensor.Tensor{f(8, 16, 17, 16), tensor.Ints(8, 16, 33, 31)}},
		{op: "LpPool", attrs: window, in: []tensor.Tensor{wide}},
		{op: "GlobalAveragePool", in: []tensor.Tensor{wide}},
		{op: "MatMul", in: []tensor.Tensor{f(300, 130), f(130, 170)}},
		{op: "MatMul", in: []tensor.Tensor{f(5, 3, 40, 60), f(3, 60, 50)}},
		{op: "Gemm", attrs: graph.Attributes{graph.Int("transB", 1)}, in: []tensor.Tensor{f(128, 300), f(100, 300), f(100)}},
		{op: "BatchNormalization", in: []tensor.Tensor{wide, f(16), f(16), f(16), tensor.Of(make([]float32, 16), 16)}},
		{op: "BatchNormalization", attrs: graph.Attributes{graph.Int("training_mode", 1)}, outputs: 3,
			in: []tensor.Tensor{wide, f(16), f(16), f(16), f(16)}},
		{op: "Softmax", attrs: graph.Attributes{graph.Int("axis", 1)}, in: []tensor.Tensor{wide}},
		{op: "LogSoftmax", in: []tensor.Tensor{wide}},
		{op: "Transpose", attrs: graph.Attributes{graph.Ints("perm", 0, 2, 3, 1)}, in: []tensor.Tensor{wide}},
		{op: "Transpose", attrs: graph.Attributes{graph.Ints("perm", 3, 1, 0, 2)}, in: []tensor.Tensor{wide}},
		{op: "Concat", attrs: graph.Attributes{graph.Int("axis", 1)}, in: []tensor.Tensor{wide, f(8, 3, 33, 31)}},
		{op: "Slice", fixed: 1, in: []tensor.Tensor{wide, tensor.Ints(30, 1), tensor.Ints(-100, 20), tensor.Ints(2, 3), tensor.Ints(-2, 3)}},
		{op: "Pad", fixed: 1, in: []tensor.Tensor{wide, tensor.Ints(0, 1, 2, 3, 1, -2, 0, 4)}},
		{op: "Pad", attrs: graph.Attributes{graph.Text("mode", "reflect")}, fixed: 1, in: []tensor.Tensor{wide, tensor.Ints(0, 1, 2, 3, 1, 2, 0, 4)}},
		{op: "Expand", fixed: 1, in: []tensor.Tensor{f(16, 1, 31), tensor.Ints(8, 16, 33, 31)}},
		{op: "Where", in: []tensor.Tensor{random(r, tensor.Bool, 33, 1), wide, f(16, 1, 31)}},
		{op: "Clip", fixed: 1, in: []tensor.Tensor{wide, tensor.Scalar(float32(-0.5)), tensor.Scalar(float32(0.75))}},
	}
	long := func(n, size int) tensor.Tensor {
		t := tensor.New(tensor.Int64, n)
		for i := range n {
			t.Set(i, float64(r.IntN(size)))
		}
		return t
	}
	linear := graph.Attributes{graph.Text("mode", "linear")}
	list = append(list, []opCase{
		{op: "Gather", attrs: graph.Attributes{graph.Int("axis", 1)}, in: []tensor.Tensor{wide, long(40, 16)}},
		{op: "GatherElements", in: []tensor.Tensor{f(500, 40), mustReshape(long(20000, 500), 500, 40)}},
		{op: "ScatterElements", attrs: graph.Attributes{graph.Text("reduction", "add")},
			in: []tensor.Tensor{f(500, 40), mustReshape(long(20000, 500), 500, 40), f(500, 40)}},
		{op: "TopK", outputs: 2, fixed: 1, in: []tensor.Tensor{f(50, 300), tensor.Ints(7)}},
		{op: "ArgMax", attrs: graph.Attributes{graph.Int("axis", 1)}, in: []tensor.Tensor{wide}},
		{op: "CumSum", fixed: 1, in: []tensor.Tensor{wide, tensor.Scalar(int64(2))}},
		{op: "Cast", attrs: graph.Attributes{graph.Int("to", int(tensor.Int32))}, in: []tensor.Tensor{wide}},
		{op: "Resize", attrs: linear, fixed: 1, in: []tensor.Tensor{wide, {}, {}, tensor.Ints(8, 16, 50, 20)}},
		{op: "LSTM", attrs: graph.Attributes{graph.Int("hidden_size", 24)}, outputs: 3,
			in: []tensor.Tensor{f(12, 16, 20), f(1, 96, 20), f(1, 96, 24), f(1, 192)}},
		{op: "GRU", attrs: graph.Attributes{graph.Int("hidden_size", 24)}, outputs: 2,
			in: []tensor.Tensor{f(12, 16, 20), f(1, 72, 20), f(1, 72, 24), f(1, 144)}},
	}...)
	for _, op := range []string{"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Less", "PRelu"} {
		list = append(list, opCase{op: op, in: []tensor.Tensor{wide, wide}}, opCase{op: op, in: []tensor.Tensor{wide, f(16, 1, 1)}},
			opCase{op: op, in: []tensor.Tensor{wide, f(31)}})
	}
	for _, op := range []string{"Relu", "Sigmoid", "Tanh", "Exp", "Erf", "Sqrt", "Abs", "Neg", "LeakyRelu", "Elu", "Softplus", "Floor"} {
		list = append(list, opCase{op: op, in: []tensor.Tensor{wide}})
	}
	for _, op := range []string{"ReduceSum", "ReduceMean", "ReduceMax", "ReduceProd"} {
		for _, axes := range []tensor.Tensor{tensor.Ints(0, 2, 3), tensor.Ints(3), tensor.Ints(1), tensor.Ints(0, 1)} {
			list = append(list, opCase{op: op, fixed: 1, in: []tensor.Tensor{wide, axes}})
		}
	}
	for i := range list {
		list[i].outputs = max(1, list[i].outputs)
		if list[i].fixed == 0 {
			list[i].fixed = len(list[i].in)
		}
	}
	return list
}

func mustReshape(t tensor.Tensor, shape ...int) tensor.Tensor {
	t, err := t.Reshape(shape...)
	if err != nil {
		panic(err)
	}
	return t
}

// TestThreadsGiveTheSameBits: work is split over outputs, never over sums.
func TestThreadsGiveTheSameBits(t *testing.T) {
	for _, set := range []kernel.Set{kernel.Portable, kernel.Best()} {
		one, three := kernel.NewPool(1, set), kernel.NewPool(3, set)
		defer one.Close()
		defer three.Close()
		for _, c := range opCases() {
			a := run(t, Options{Pool: one}, c.op, c.attrs, c.outputs, c.fixed, c.in...)
			b := run(t, Options{Pool: three}, c.op, c.attrs, c.outputs, c.fixed, c.in...)
			for i := range a {
				if !a[i].Equal(b[i]) {
					t.Errorf("%s %v %v, %v kernels: output %d differs between 1 and 3 threads", c.op, c.attrs, c.in, set, i)
				}
			}
		}
	}
}

// TestKernelsRunWithoutAllocating covers what training and inference run most.
func TestKernelsRunWithoutAllocating(t *testing.T) {
	pool := kernel.NewPool(2, kernel.Best())
	defer pool.Close()
	for _, c := range opCases() {
		p, feed := program(t, Options{Pool: pool}, c.op, c.attrs, c.outputs, c.fixed, c.in...)
		out := make([]tensor.Tensor, c.outputs)
		allocs := testing.AllocsPerRun(3, func() {
			if err := p.Run(context.Background(), feed, out); err != nil {
				t.Fatal(err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s %v %v: got %v allocations per run, want 0", c.op, c.attrs, c.in, allocs)
		}
	}
}
