package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// gradientTolerance is relative to the largest entry. Central differences in
// float64 are good to some 1e-10 of the function's third derivative and size;
// a wrong factor, index or sign is far outside.
const gradientTolerance = 1e-6

// gradientCase is one call of an operator at a point where it is smooth.
type gradientCase struct {
	op      string
	about   string // what of the operator the case is for
	attrs   graph.Attributes
	outputs int // 1 if 0
	in      []tensor.Tensor

	// constant lists inputs in float64 that are not differentiated. Inputs of
	// other types never are, and those omitted are zero tensors.
	constant []int

	// multilinear: the output is linear in each differentiated input while the
	// others are held, so that ⟨xᵢ, ∂L/∂xᵢ⟩ = L: the rule is the adjoint.
	multilinear bool

	// make builds what the attributes cannot say, in place of the node.
	make func(b *graph.Builder, in []*graph.Value) []*graph.Value
}

func (c gradientCase) String() string {
	return strings.TrimSpace(fmt.Sprintf("%s %s", c.op, c.about))
}

// build makes the graph of the case's loss Σ r∘y over all its outputs y, with
// random r. Its inputs are the differentiated ones.
func (c gradientCase) build(t *testing.T, r *rand.Rand) (g *graph.Graph, at []tensor.Tensor) {
	t.Helper()
	g = &graph.Graph{Name: c.String(), Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	in := make([]*graph.Value, len(c.in))
	for i, x := range c.in {
		switch {
		case x.IsZero():
		case x.DType() == tensor.Float64 && !slices.Contains(c.constant, i):
			in[i] = b.Input(fmt.Sprint("x", i), x.Type())
			at = append(at, x.Clone())
		default:
			in[i] = b.Const(x)
		}
	}
	if c.make != nil {
		weighted(b, r, c.make(b, in))
	} else {
		weighted(b, r, b.Multi(c.op, c.attrs, max(1, c.outputs), in...))
	}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g, at
}

// weighted makes the weighted sum of all elements of the values the graph's only
// output.
func weighted(b *graph.Builder, r *rand.Rand, values []*graph.Value) {
	var loss *graph.Value
	for _, y := range values {
		sizes, ok := y.Type.Static()
		if y.Type.DType != tensor.Float64 {
			y = b.With("Cast", graph.Attributes{graph.Int("to", int(tensor.Float64))}, y)
		}
		if ok {
			y = b.Op("Mul", y, b.Const(random(r, tensor.Float64, sizes...)))
		} else { // its shape depends on data
			y = b.Op("Sin", y)
		}
		term := b.With("ReduceSum", graph.Attributes{graph.Int("keepdims", 0)}, y)
		if loss != nil {
			term = b.Op("Add", loss, term)
		}
		loss = term
	}
	b.Graph().Outputs = []*graph.Value{loss}
}

// TestGradientsAgainstDifferences compares the gradient of every case with
// central differences, then takes the gradient of a random combination of the
// gradient's entries and compares that as well: second derivatives, through the
// rules of the operators that the rules use.
func TestGradientsAgainstDifferences(t *testing.T) {
	for _, c := range gradientCases() {
		t.Run(strings.ReplaceAll(c.String(), " ", "_"), func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			g, at := c.build(t, r)
			first := checkGradient(t, g, at, c.multilinear)
			if t.Failed() || len(at) == 0 {
				return
			}
			b := graph.NewBuilder(first, "s")
			weighted(b, r, first.Outputs[1:])
			if err := b.Err(); err != nil {
				t.Fatal(err)
			}
			checkGradient(t, first, at, false)
		})
	}
}

// checkGradient compares Gradient of g's only output with differences, for all
// inputs, and returns the graph of the gradient.
func checkGradient(t *testing.T, g *graph.Graph, at []tensor.Tensor, multilinear bool) *graph.Graph {
	t.Helper()
	derived, err := Gradient(g, g.Outputs[0], g.Inputs)
	if err != nil {
		t.Fatal(err)
	}
	loss, gradient := evaluator(t, g), evaluator(t, derived)
	value := loss(at)[0].At(0)
	got := gradient(at)
	if err := testkit.Close(got[0].Float64s(), []float64{value}, 1e-12); err != nil {
		t.Errorf("loss in the gradient's graph: %v", err)
	}
	for i, x := range at {
		d := got[i+1]
		if d.DType() != x.DType() || !slices.Equal(d.Shape(), x.Shape()) {
			t.Errorf("gradient of input %d: got %v, want %v", i, d, x)
			continue
		}
		want := testkit.Gradient(func([]float64) float64 { return loss(at)[0].At(0) }, tensor.Data[float64](x))
		if err := testkit.Close(d.Float64s(), want, gradientTolerance); err != nil {
			t.Errorf("gradient of input %d %v: %v", i, x, err)
		}
		if multilinear {
			if err := testkit.Close([]float64{dot(x.Float64s(), d.Float64s())}, []float64{value}, 1e-12); err != nil {
				t.Errorf("adjoint of input %d %v: ⟨x, gradient⟩: %v", i, x, err)
			}
		}
	}
	return derived
}

func dot(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

// evaluator compiles a graph; the results are valid until the next call.
func evaluator(t *testing.T, g *graph.Graph) func(in []tensor.Tensor) []tensor.Tensor {
	t.Helper()
	p, err := Compile(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]tensor.Tensor, len(g.Outputs))
	return func(in []tensor.Tensor) []tensor.Tensor {
		if err := p.Run(context.Background(), in, out); err != nil {
			t.Fatal(err)
		}
		return out
	}
}

// undifferentiated are the operators without a case, by what makes one
// impossible.
var undifferentiated = map[string][]string{
	"gone in the newest opset": {"Scatter", "Upsample"},
	"no floating-point input": {"Constant", "ConstantOfShape", "And", "Or", "Xor", "Not", "BitShift", "BitwiseAnd", "BitwiseOr",
		"BitwiseXor", "BitwiseNot", "MatMulInteger", "ConvInteger"},
	"integers between floating-point scales":                {"QLinearConv", "QLinearMatMul"},
	"bits, of which no number follows":                      {"BitCast"},
	"tables, made of sizes and rates":                       {"HannWindow", "HammingWindow", "BlackmanWindow", "MelWeightMatrix"},
	"draws":                                                 {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"},
	"a test of its own, for its derivative is a stated one": {"compactify.FakeQuantize", "compactify.FakeQuantizeGrad"},
}

// TestEveryOperatorHasACase: every operator has a derivative, by a rule or by
// its lowering (those that are flat have a rule that says so), and is compared
// with differences.
func TestEveryOperatorHasACase(t *testing.T) {
	tested := make(map[string]bool)
	for _, c := range gradientCases() {
		tested[c.op] = true
	}
	for _, op := range graph.Operators() { // of other makers: by lowering to operators that have cases
		for _, domain := range []string{"com.microsoft.", "onnx.brevitas.", "qonnx.custom_op.general."} {
			tested[op] = tested[op] || strings.HasPrefix(op, domain)
		}
	}
	for _, list := range undifferentiated {
		for _, op := range list {
			if tested[op] {
				t.Errorf("operator %s has a case and is listed as one without", op)
			}
			tested[op] = true
		}
	}
	gone := undifferentiated["gone in the newest opset"]
	for _, op := range graph.Operators() {
		domain, name := graph.DomainONNX, op
		if i := strings.LastIndexByte(op, '.'); i >= 0 {
			domain, name = op[:i], op[i+1:]
		}
		rule := graph.RuleFor(domain, name)
		if rule.VJP == nil && rule.Lower == nil && !slices.Contains(gone, op) {
			t.Errorf("operator %s has neither a derivative nor a lowering", op)
		}
		if !tested[op] {
			t.Errorf("operator %s is compared with no differences", op)
		}
	}
}

// fakeQuantizeCase is a grid; x [2, 3, 4].
type fakeQuantizeCase struct {
	about string
	attrs graph.Attributes
	lo    float64 // the range that the attributes stand for
	hi    float64
	axis  int // of scale and zero; -1 if they are scalars
	zero  []float64
	block int // entries of the axis that share a scale; 0: every entry has one for all it holds
}

// TestGradientOfFakeQuantize compares it with its stated definition, evaluated
// element by element: dx = dy inside the range and 0 outside; ds = Σ dy·(round(v)
// − v) inside, Σ dy·(bound − zero) outside, v = x/s + zero.
func TestGradientOfFakeQuantize(t *testing.T) {
	for _, c := range []fakeQuantizeCase{
		{about: "one scale", attrs: attrs{graph.Int("bits", 3)}, lo: -4, hi: 3, axis: -1},
		{about: "default of 8 bits", lo: -128, hi: 127, axis: -1},
		{about: "narrow", attrs: attrs{graph.Int("bits", 2), graph.Int("narrow", 1)}, lo: -1, hi: 1, axis: -1},
		{about: "unsigned", attrs: attrs{graph.Int("bits", 2), graph.Int("signed", 0)}, lo: 0, hi: 3, axis: -1},
		{about: "first axis", attrs: attrs{graph.Int("bits", 2), graph.Int("axis", 0)}, lo: -2, hi: 1, axis: 0},
		{about: "default axis", attrs: attrs{graph.Int("bits", 3)}, lo: -4, hi: 3, axis: 1},
		{about: "last axis", attrs: attrs{graph.Int("bits", 2), graph.Int("axis", -1)}, lo: -2, hi: 1, axis: 2},
		{about: "zero point", attrs: attrs{graph.Int("bits", 3), graph.Int("signed", 0)}, lo: 0, hi: 7, axis: -1, zero: []float64{4}},
		{about: "zero points", attrs: attrs{graph.Int("bits", 3), graph.Int("signed", 0)}, lo: 0, hi: 7, axis: 1, zero: []float64{4, 1, 6}},
		{about: "blocks that do not fill the axis", attrs: attrs{graph.Int("bits", 3), graph.Int("axis", 1), graph.Int("block_size", 2)}, lo: -4, hi: 3, axis: 1, block: 2},
		{about: "blocks of the last axis", attrs: attrs{graph.Int("bits", 2), graph.Int("axis", -1), graph.Int("block_size", 2)}, lo: -2, hi: 1, axis: 2, block: 2},
		{about: "blocks with zero points", attrs: attrs{graph.Int("bits", 2), graph.Int("signed", 0), graph.Int("axis", 2), graph.Int("block_size", 4)},
			lo: 0, hi: 3, axis: 2, block: 4, zero: []float64{0, 1, 2, 3, 2, 1}},
		{about: "a gradient of the step scaled", attrs: attrs{graph.Int("bits", 3), graph.Float("step_gradient", 0.25)}, lo: -4, hi: 3, axis: 1},
		{about: "a gradient of the steps of blocks scaled", attrs: attrs{graph.Int("bits", 3), graph.Int("axis", 1), graph.Int("block_size", 3), graph.Float("step_gradient", 0.5)},
			lo: -4, hi: 3, axis: 1, block: 3},
	} {
		t.Run(strings.ReplaceAll(c.about, " ", "_"), c.check)
	}
}

func (c fakeQuantizeCase) check(t *testing.T) {
	r := points{rand.New(rand.NewPCG(5, 6))}
	shape := []int{2, 3, 4}
	x, scale := r.spread(shape...), r.between(0.2, 0.4)
	channel := func(int) int { return 0 }
	if c.axis >= 0 {
		inner := 1
		for _, n := range shape[c.axis+1:] {
			inner *= n
		}
		scale = r.between(0.2, 0.4, shape[c.axis])
		channel = func(i int) int { return i / inner % shape[c.axis] }
		if c.block > 0 {
			blocks := (shape[c.axis] + c.block - 1) / c.block
			scales := slices.Clone(shape)
			scales[c.axis] = blocks
			scale = r.between(0.2, 0.4, scales...)
			channel = func(i int) int {
				return (i/inner/shape[c.axis]*blocks+i/inner%shape[c.axis]/c.block)*inner + i%inner
			}
		}
	}
	dy := random(r.Rand, tensor.Float64, shape...)

	g := &graph.Graph{Name: c.about, Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	in := []*graph.Value{b.Input("x", x.Type()), b.Input("s", scale.Type())}
	zero := func(i int) float64 { return 0 }
	all := in
	if c.zero != nil {
		all = append(all[:2:2], b.Const(tensor.Of(c.zero, scale.Shape()...)))
		zero = func(i int) float64 { return c.zero[channel(i)] }
	}
	y := b.With("compactify.FakeQuantize", c.attrs, all...)
	loss := b.With("ReduceSum", attrs{graph.Int("keepdims", 0)}, b.Op("Mul", y, b.Const(dy)))
	g.Outputs = []*graph.Value{loss, y}
	derived, err := Gradient(g, loss, in)
	if err != nil || b.Err() != nil {
		t.Fatal(err, b.Err())
	}
	got := evaluator(t, derived)([]tensor.Tensor{x, scale})

	wantY, wantX, wantS := make([]float64, x.Len()), make([]float64, x.Len()), make([]float64, scale.Len())
	for i := range x.Len() {
		k := channel(i)
		s, z, d := scale.At(k), zero(i), dy.At(i)
		v := x.At(i)/s + z
		q := min(max(math.RoundToEven(v), c.lo), c.hi)
		wantY[i] = s * (q - z)
		if c.lo <= v && v <= c.hi {
			wantX[i] = d
			wantS[k] += d * (q - v)
		} else {
			wantS[k] += d * (q - z)
		}
	}
	for k := range wantS {
		wantS[k] *= c.attrs.Float("step_gradient", 1)
	}
	for i, want := range [][]float64{wantY, wantX, wantS} {
		if err := testkit.Close(got[i+1].Float64s(), want, 1e-12); err != nil {
			t.Errorf("%s: %v", []string{"output", "gradient of x", "gradient of the scale"}[i], err)
		}
	}
}

// TestGradientOfSharedAndUnusedValues: what is used twice gets the sum of both
// cotangents, and what is not used gets zeros.
func TestGradientOfSharedAndUnusedValues(t *testing.T) {
	g := &graph.Graph{Name: "shared", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	r := rand.New(rand.NewPCG(7, 8))
	at := list{random(r, tensor.Float64, 2, 2), random(r, tensor.Float64, 3)}
	x := b.Input("x", at[0].Type())
	b.Input("unused", at[1].Type())
	weighted(b, r, []*graph.Value{b.Op("Mul", x, x), b.Op("MatMul", x, x),
		b.With("Concat", attrs{graph.Int("axis", 0)}, x, b.Op("Sin", x), x), b.Op("Add", b.Op("Div", x, b.Op("Exp", x)), x)})
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	first := checkGradient(t, g, at, false)
	for _, d := range evaluator(t, first)(at)[2].Float64s() {
		if d != 0 {
			t.Errorf("gradient of an unused input: got %v, want 0", d)
		}
	}
}

// TestGradientWithSymbolicBatch: a network whose batch size is a symbol has the
// same gradient as one of that size, and it is right.
func TestGradientWithSymbolicBatch(t *testing.T) {
	r := points{rand.New(rand.NewPCG(9, 10))}
	x, target := r.normal(3, 2, 6, 6), r.probabilities(3, 4)
	weights := list{r.normal(4, 2, 3, 3), r.normal(4), r.normal(4), r.normal(4), r.normal(16, 4), r.normal(4)}
	build := func(batch tensor.Dim) *graph.Graph {
		g := &graph.Graph{Name: "network", Opset: map[string]int{"": graph.LatestOpset}}
		b := graph.NewBuilder(g, "t")
		in := b.Input("x", tensor.Type{DType: tensor.Float64, Shape: append([]tensor.Dim{batch}, x.Type().Shape[1:]...)})
		p := b.Input("p", tensor.Type{DType: tensor.Float64, Shape: []tensor.Dim{batch, tensor.Fixed(4)}})
		var w []*graph.Value
		for i, data := range weights {
			w = append(w, b.Input(fmt.Sprint("w", i), data.Type()))
		}
		unit := b.Const(tensor.Of([]float64{1, 1, 1, 1}, 4))
		h := b.With("Conv", attrs{graph.Ints("pads", 1, 1, 0, 0)}, in, w[0], w[1])
		h = b.Multi("BatchNormalization", attrs{graph.Int("training_mode", 1)}, 1, h, w[2], w[3], unit, unit)[0]
		h = b.Op("Relu", h)
		h = b.With("MaxPool", attrs{graph.Ints("kernel_shape", 3, 3), graph.Ints("strides", 2, 2)}, h)
		h = b.With("Gemm", nil, b.With("Flatten", nil, h), w[4], w[5])
		h = b.Op("Add", h, b.Op("Slice", b.With("Softmax", nil, h), b.Const(tensor.Ints(1)), b.Const(tensor.Ints(2)), b.Const(tensor.Ints(1))))
		g.Outputs = []*graph.Value{b.Op("compactify.SoftmaxCrossEntropy", h, p)}
		if err := b.Err(); err != nil {
			t.Fatal(err)
		}
		return g
	}
	at := append(list{x, target}, weights...)
	var results [2][]tensor.Tensor
	for i, batch := range []tensor.Dim{tensor.Fixed(3), tensor.Symbol("N")} {
		g := build(batch)
		wrt := append(slices.Clone(g.Inputs[:1]), g.Inputs[2:]...)
		derived, err := Gradient(g, g.Outputs[0], wrt)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Compile(derived, Options{Dims: map[string]int{"N": 3}})
		if err != nil {
			t.Fatal(err)
		}
		results[i] = make([]tensor.Tensor, len(derived.Outputs))
		if err := p.Run(context.Background(), at, results[i]); err != nil {
			t.Fatal(err)
		}
	}
	loss := evaluator(t, build(tensor.Fixed(3)))
	for i, d := range results[0] {
		if !d.Equal(results[1][i]) {
			t.Errorf("output %d: differs with a symbolic batch", i)
		}
		if i == 0 {
			continue
		}
		v := append(at[:1:1], at[2:]...)[i-1]
		want := testkit.Gradient(func([]float64) float64 { return loss(at)[0].At(0) }, tensor.Data[float64](v))
		if err := testkit.Close(d.Float64s(), want, gradientTolerance); err != nil {
			t.Errorf("gradient %d: %v", i, err)
		}
	}
}
