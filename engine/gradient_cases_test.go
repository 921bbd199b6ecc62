package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// points draws the inputs of gradient cases in float64.
type points struct{ *rand.Rand }

// normal is normally distributed: for functions without kinks.
func (r points) normal(shape ...int) tensor.Tensor { return random(r.Rand, tensor.Float64, shape...) }

// spread has different elements, each 0.1 from the next and none within 0.03 of
// a multiple of 0.1 (0 and the bounds in the cases are such): no ties, no kinks.
func (r points) spread(shape ...int) tensor.Tensor {
	x := tensor.New(tensor.Float64, shape...)
	for i, k := range r.Perm(x.Len()) {
		x.Set(i, 0.1*(float64(k)-float64(x.Len()/2))+0.03+0.04*r.Float64())
	}
	return x
}

// between is uniform.
func (r points) between(lo, hi float64, shape ...int) tensor.Tensor {
	x := tensor.New(tensor.Float64, shape...)
	for i := range x.Len() {
		x.Set(i, lo+(hi-lo)*r.Float64())
	}
	return x
}

// probabilities has rows that sum to 1.
func (r points) probabilities(rows, columns int) tensor.Tensor {
	x := r.between(0.1, 1, rows, columns)
	for i := range rows {
		sum := 0.0
		for k := range columns {
			sum += x.At(i*columns + k)
		}
		for k := range columns {
			x.Set(i*columns+k, x.At(i*columns+k)/sum)
		}
	}
	return x
}

func f64(v float64) tensor.Tensor { return tensor.Scalar(v) }

type (
	list  = []tensor.Tensor
	attrs = graph.Attributes
)

// gradientCases covers every operator with a rule and those that are lowered to
// such.
func gradientCases() []gradientCase {
	r := points{rand.New(rand.NewPCG(1, 2))}
	cases := slices.Concat(arithmeticCases(r), activationCases(r), matrixCases(r), convolutionCases(r), poolingCases(r),
		reductionCases(r), normalizationCases(r), movementCases(r), selectionCases(r), lossCases(r), flatCases(r),
		samplingCases(r), productCases(r), placementCases(r), composedCases(r), stepCases(r), controlCases(r), recurrentCases(r), attentionCases(r))
	return cases
}

func arithmeticCases(r points) []gradientCase {
	var cases []gradientCase
	shapes := [][2][]int{{{2, 3}, {2, 3}}, {{2, 3}, {3}}, {{3, 1}, {2, 1, 4}}, {{}, {2, 2}}, {{2, 1, 3}, {1, 4, 1}}, {{1, 1}, {3}}}
	for _, s := range shapes {
		about := fmt.Sprint(s[0], s[1])
		pair := func() list { return list{r.spread(s[0]...), r.between(0.5, 2, s[1]...)} }
		positive := func() list { return list{r.between(0.5, 2, s[0]...), r.between(-2, 2, s[1]...)} }
		cases = append(cases,
			gradientCase{op: "Add", about: about, in: pair()},
			gradientCase{op: "Sub", about: about, in: pair()},
			gradientCase{op: "Mul", about: about, in: pair(), multilinear: true},
			gradientCase{op: "Div", about: about, in: pair()},
			gradientCase{op: "Pow", about: about, in: positive()},
			gradientCase{op: "Max", about: about, in: list{r.spread(s[0]...), r.normal(s[1]...)}},
			gradientCase{op: "Min", about: about, in: list{r.spread(s[0]...), r.normal(s[1]...)}},
		)
	}
	three := func() list { return list{r.normal(2, 3), r.normal(3), r.normal(4, 1, 1)} }
	return append(cases,
		gradientCase{op: "Pow", about: "constant exponent, negative base", in: list{r.normal(2, 3), f64(3)}, constant: []int{1}},
		gradientCase{op: "Mod", about: "of C", attrs: attrs{graph.Int("fmod", 1)}, in: list{r.spread(3, 4), tensor.Of([]float64{0.71, -0.57, 1.3, 0.9}, 4)}},
		gradientCase{op: "Pow", about: "square of zero", in: list{tensor.Of([]float64{0, 1, -1}, 3), f64(2)}, constant: []int{1}},
		gradientCase{op: "Add", about: "one input is constant", in: list{r.normal(2, 3), r.normal(3)}, constant: []int{0}},
		gradientCase{op: "Sum", in: three()},
		gradientCase{op: "Sum", about: "one", in: list{r.normal(2)}},
		gradientCase{op: "Mean", in: three()},
		gradientCase{op: "Max", about: "three", in: three()},
		gradientCase{op: "Min", about: "three", in: three()},
		gradientCase{op: "Identity", in: list{r.normal(3)}, multilinear: true},
		gradientCase{op: "Dropout", about: "inference", in: list{r.normal(3)}, multilinear: true},
		gradientCase{op: "Dropout", about: "training off", outputs: 2, in: list{r.normal(3), f64(0.3), tensor.Scalar(false)}, constant: []int{1}},
		gradientCase{op: "Cast", about: "to double", attrs: attrs{graph.Int("to", int(tensor.Float64))}, in: list{r.normal(3)}, multilinear: true},
		gradientCase{op: "Where", in: list{tensor.Of([]bool{true, false, false}, 3), r.normal(2, 3), r.normal(2, 1)}},
		gradientCase{op: "Where", about: "wide condition", in: list{random(r.Rand, tensor.Bool, 4, 1, 3), r.normal(3), r.normal(2, 1)}},
	)
}

func activationCases(r points) []gradientCase {
	var cases []gradientCase
	for op, a := range map[string]attrs{
		"Neg": nil, "Exp": nil, "Abs": nil, "Sin": nil, "Cos": nil, "Tanh": nil, "Sigmoid": nil, "Softplus": nil, "Erf": nil, "Relu": nil,
		"LeakyRelu": {graph.Float("alpha", 0.3)}, "Mish": nil, "HardSwish": nil, "Gelu": nil, "Celu": {graph.Float("alpha", 0.7)},
		"Swish": {graph.Float("alpha", 1.5)}, "Shrink": {graph.Float("lambd", 0.2), graph.Float("bias", 0.1)},
		"ThresholdedRelu": {graph.Float("alpha", 0.3)}, "Softsign": nil, "Elu": {graph.Float("alpha", 0.6)}, "Selu": nil,
		"HardSigmoid": {graph.Float("alpha", 0.5), graph.Float("beta", 0.25)}, "Sinh": nil, "Cosh": nil, "Asinh": nil, "Atan": nil,
		"Sign": nil, "Floor": nil, "Ceil": nil, "Round": nil,
	} {
		cases = append(cases, gradientCase{op: op, attrs: a, in: list{r.spread(4, 5)}})
	}
	for _, op := range []string{"Log", "Sqrt", "Reciprocal"} {
		cases = append(cases, gradientCase{op: op, in: list{r.between(0.5, 2, 2, 3)}})
	}
	for _, op := range []string{"Asin", "Acos", "Atanh", "Tan"} {
		cases = append(cases, gradientCase{op: op, in: list{r.between(-0.8, 0.8, 2, 3)}})
	}
	cases = append(cases, gradientCase{op: "Acosh", in: list{r.between(1.5, 3, 2, 3)}})
	slices.SortFunc(cases, func(a, b gradientCase) int {
		if a.op < b.op {
			return -1
		}
		return 1
	})
	return append(cases,
		gradientCase{op: "LeakyRelu", about: "default", in: list{r.spread(4)}},
		gradientCase{op: "Elu", about: "default", in: list{r.spread(4)}},
		gradientCase{op: "HardSigmoid", about: "default", in: list{r.normal(4)}},
		gradientCase{op: "Gelu", about: "tanh", attrs: attrs{graph.Text("approximate", "tanh")}, in: list{r.normal(4)}},
		gradientCase{op: "PRelu", in: list{r.spread(2, 3, 2), r.normal(3, 1)}},
		gradientCase{op: "PRelu", about: "full slope", in: list{r.spread(3, 2), r.normal(3, 2)}},
		gradientCase{op: "PRelu", about: "scalar slope", in: list{r.spread(3, 2), r.normal(1)}},
		gradientCase{op: "Clip", in: list{r.spread(4, 5), f64(-0.5), f64(0.4)}, constant: []int{1, 2}},
		gradientCase{op: "Clip", about: "below", in: list{r.spread(4, 5), f64(-0.5)}, constant: []int{1}},
		gradientCase{op: "Clip", about: "above", in: list{r.spread(4, 5), {}, f64(0.4)}, constant: []int{2}},
		gradientCase{op: "Clip", about: "free", in: list{r.spread(4, 5)}},
		gradientCase{op: "compactify.ReluGrad", in: list{r.normal(4, 5), r.spread(4, 5)}},
	)
}

func matrixCases(r points) []gradientCase {
	var cases []gradientCase
	for _, s := range [][2][]int{
		{{2, 3}, {3, 4}}, {{3}, {3}}, {{3}, {3, 4}}, {{2, 3}, {3}}, {{3}, {2, 3, 4}}, {{2, 4, 3}, {3}},
		{{2, 2, 3}, {3, 4}}, {{2, 3}, {2, 3, 4}}, {{2, 1, 2, 3}, {3, 3, 2}}, {{1, 2, 3}, {4, 3, 2}}, {{5, 2, 2, 3}, {2, 3, 1}},
	} {
		cases = append(cases, gradientCase{op: "MatMul", about: fmt.Sprint(s[0], s[1]),
			in: list{r.normal(s[0]...), r.normal(s[1]...)}, multilinear: true})
	}
	for i := range 4 {
		a, b := []int{2, 3}, []int{3, 4}
		if i&1 != 0 {
			slices.Reverse(a)
		}
		if i&2 != 0 {
			slices.Reverse(b)
		}
		at := attrs{graph.Int("transA", i&1), graph.Int("transB", i>>1), graph.Float("alpha", 0.5), graph.Float("beta", 2)}
		for _, c := range [][]int{{2, 4}, {4}, {2, 1}, {}, {1, 1}} {
			cases = append(cases, gradientCase{op: "Gemm", about: fmt.Sprint(i, c), attrs: at,
				in: list{r.normal(a...), r.normal(b...), r.normal(c...)}})
		}
		cases = append(cases, gradientCase{op: "Gemm", about: fmt.Sprint(i, "without bias"), attrs: at[:3],
			in: list{r.normal(a...), r.normal(b...)}, multilinear: true})
	}
	return append(cases,
		gradientCase{op: "Einsum", attrs: attrs{graph.Text("equation", "bij,bjk->bik")}, in: list{r.normal(2, 2, 3), r.normal(2, 3, 2)}, multilinear: true},
		gradientCase{op: "Gemm", about: "constant weights", in: list{r.normal(2, 3), r.normal(3, 2)}, constant: []int{1}},
	)
}

// windowCase is a geometry of a convolution.
type windowCase struct {
	about string
	x, w  []int
	attrs attrs
}

func convolutionCases(r points) []gradientCase {
	auto := func(mode string) attrs { return attrs{graph.Text("auto_pad", mode), graph.Ints("strides", 2, 2)} }
	geometries := []windowCase{
		{"plain", []int{2, 2, 4, 5}, []int{3, 2, 3, 2}, nil},
		{"pads", []int{1, 2, 4, 3}, []int{2, 2, 3, 3}, attrs{graph.Ints("pads", 1, 0, 2, 1)}},
		{"strides", []int{1, 2, 6, 5}, []int{2, 2, 3, 2}, attrs{graph.Ints("strides", 2, 3)}},
		{"strides beyond the kernel", []int{1, 1, 7, 7}, []int{2, 1, 2, 2}, attrs{graph.Ints("strides", 3, 3), graph.Ints("pads", 1, 1, 0, 0)}},
		{"dilations", []int{1, 1, 6, 6}, []int{2, 1, 2, 3}, attrs{graph.Ints("dilations", 3, 2), graph.Ints("pads", 1, 2, 1, 0)}},
		{"all", []int{2, 4, 7, 6}, []int{6, 2, 3, 2}, attrs{graph.Int("group", 2), graph.Ints("strides", 2, 1), graph.Ints("dilations", 1, 2), graph.Ints("pads", 1, 1, 2, 0)}},
		{"depthwise", []int{1, 3, 4, 4}, []int{3, 1, 3, 3}, attrs{graph.Int("group", 3), graph.Ints("pads", 1, 1, 1, 1)}},
		{"depthwise multiplied", []int{1, 2, 4, 4}, []int{4, 1, 2, 2}, attrs{graph.Int("group", 2), graph.Ints("kernel_shape", 2, 2)}},
		{"pointwise", []int{2, 3, 2, 3}, []int{4, 3, 1, 1}, nil},
		{"one axis", []int{2, 2, 7}, []int{3, 2, 3}, attrs{graph.Ints("strides", 2), graph.Ints("pads", 1, 2)}},
		{"three axes", []int{1, 2, 3, 4, 3}, []int{2, 2, 2, 2, 3}, attrs{graph.Ints("pads", 1, 0, 1, 0, 1, 1)}},
		{"same upper", []int{1, 2, 5, 4}, []int{2, 2, 3, 2}, auto("SAME_UPPER")},
		{"same lower", []int{1, 2, 5, 4}, []int{2, 2, 2, 3}, auto("SAME_LOWER")},
		{"valid", []int{1, 2, 5, 4}, []int{2, 2, 2, 3}, auto("VALID")},
	}
	var cases []gradientCase
	for _, g := range geometries {
		cases = append(cases,
			gradientCase{op: "Conv", about: g.about, attrs: g.attrs, in: list{r.normal(g.x...), r.normal(g.w...)}, multilinear: true},
			gradientCase{op: "Conv", about: g.about + " with bias", attrs: g.attrs, in: list{r.normal(g.x...), r.normal(g.w...), r.normal(g.w[0])}})
		if g.attrs.Has("auto_pad") {
			continue
		}
		at := g.attrs.With(graph.Ints("kernel_shape", g.w[2:]...))
		n := &graph.Node{Op: "Conv", Attrs: at}
		win, err := graph.ConvGeometry(n, g.x, g.w)
		if err != nil {
			panic(err) // a mistake in the table above
		}
		y := append([]int{g.x[0], g.w[0]}, win.Out...)
		cases = append(cases,
			gradientCase{op: "compactify.ConvGradX", about: g.about, attrs: at, in: list{r.normal(g.w...), r.normal(y...), tensor.Ints(g.x...)}, multilinear: true},
			gradientCase{op: "compactify.ConvGradW", about: g.about, attrs: at, in: list{r.normal(g.x...), r.normal(y...)}, multilinear: true})
	}
	for _, g := range []windowCase{
		{"plain", []int{2, 2, 3, 2}, []int{2, 3, 2, 3}, nil},
		{"strides", []int{1, 2, 3, 2}, []int{2, 2, 3, 2}, attrs{graph.Ints("strides", 2, 3)}},
		{"pads", []int{1, 2, 4, 4}, []int{2, 2, 3, 3}, attrs{graph.Ints("pads", 1, 0, 1, 2), graph.Ints("strides", 2, 2)}},
		{"output padding", []int{1, 2, 3, 3}, []int{2, 2, 3, 3}, attrs{graph.Ints("pads", 1, 1, 1, 1), graph.Ints("strides", 2, 2), graph.Ints("output_padding", 1, 1)}},
		{"output padding beyond the window", []int{1, 1, 2, 2}, []int{1, 2, 1, 1}, attrs{graph.Ints("strides", 3, 3), graph.Ints("output_padding", 2, 1)}},
		{"groups and dilations", []int{1, 4, 3, 3}, []int{4, 3, 2, 2}, attrs{graph.Int("group", 2), graph.Ints("dilations", 2, 1)}},
		{"one axis", []int{2, 2, 4}, []int{2, 1, 3}, attrs{graph.Ints("strides", 2), graph.Ints("pads", 1, 0)}},
		{"same upper", []int{1, 2, 3, 4}, []int{2, 2, 3, 3}, auto("SAME_UPPER")},
		{"same lower", []int{1, 2, 3, 4}, []int{2, 2, 3, 4}, auto("SAME_LOWER")},
		{"valid", []int{1, 2, 3, 4}, []int{2, 2, 3, 3}, auto("VALID")},
		{"output padding of more than a stride", []int{1, 2, 3, 3}, []int{2, 1, 2, 2}, attrs{graph.Ints("dilations", 4, 1), graph.Ints("output_padding", 3, 0)}},
		{"output shape beyond the windows", []int{1, 2, 3, 3}, []int{2, 2, 2, 2}, attrs{graph.Ints("strides", 2, 1), graph.Ints("output_shape", 9, 7)}},
		{"output shape", []int{1, 2, 3, 3}, []int{2, 2, 3, 3}, attrs{graph.Ints("strides", 2, 2), graph.Ints("output_shape", 6, 5)}},
	} {
		group := g.attrs.Int("group", 1)
		cases = append(cases,
			gradientCase{op: "ConvTranspose", about: g.about, attrs: g.attrs, in: list{r.normal(g.x...), r.normal(g.w...)}, multilinear: true},
			gradientCase{op: "ConvTranspose", about: g.about + " with bias", attrs: g.attrs, in: list{r.normal(g.x...), r.normal(g.w...), r.normal(g.w[1] * group)}})
	}
	return cases
}

func poolingCases(r points) []gradientCase {
	var cases []gradientCase
	for _, g := range []windowCase{
		{"plain", []int{2, 2, 4, 5}, nil, attrs{graph.Ints("kernel_shape", 2, 3)}},
		{"disjoint", []int{2, 3, 4, 4}, nil, attrs{graph.Ints("kernel_shape", 2, 2), graph.Ints("strides", 2, 2)}},
		{"pads", []int{1, 2, 5, 5}, nil, attrs{graph.Ints("kernel_shape", 3, 3), graph.Ints("strides", 2, 2), graph.Ints("pads", 1, 0, 1, 2)}},
		{"ceil", []int{1, 2, 5, 6}, nil, attrs{graph.Ints("kernel_shape", 2, 3), graph.Ints("strides", 2, 2), graph.Int("ceil_mode", 1)}},
		{"dilations", []int{1, 1, 6, 6}, nil, attrs{graph.Ints("kernel_shape", 2, 2), graph.Ints("dilations", 2, 3)}},
		{"one axis", []int{2, 2, 7}, nil, attrs{graph.Ints("kernel_shape", 3), graph.Ints("strides", 2)}},
		{"three axes", []int{1, 2, 3, 3, 4}, nil, attrs{graph.Ints("kernel_shape", 2, 2, 2), graph.Ints("strides", 1, 1, 2)}},
		{"same upper", []int{1, 2, 5, 4}, nil, attrs{graph.Ints("kernel_shape", 3, 2), graph.Ints("strides", 2, 2), graph.Text("auto_pad", "SAME_UPPER")}},
		{"same lower", []int{1, 2, 5, 4}, nil, attrs{graph.Ints("kernel_shape", 2, 3), graph.Ints("strides", 2, 2), graph.Text("auto_pad", "SAME_LOWER")}},
	} {
		cases = append(cases,
			gradientCase{op: "MaxPool", about: g.about, attrs: g.attrs, in: list{r.spread(g.x...)}},
			gradientCase{op: "MaxPool", about: g.about + " with indices", attrs: g.attrs, outputs: 2, in: list{r.spread(g.x...)}})
		for include := range 2 {
			at := g.attrs.With(graph.Int("count_include_pad", include))
			win, err := graph.PoolGeometry(&graph.Node{Op: "AveragePool", Attrs: at}, g.x)
			if err != nil {
				panic(err) // a mistake in the table above
			}
			about := fmt.Sprintf("%s include=%d", g.about, include)
			y := append([]int{g.x[0], g.x[1]}, win.Out...)
			cases = append(cases,
				gradientCase{op: "AveragePool", about: about, attrs: at, in: list{r.normal(g.x...)}, multilinear: true},
				gradientCase{op: "compactify.AveragePoolGrad", about: about, attrs: at, in: list{r.normal(y...), tensor.Ints(g.x...)}, multilinear: true})
		}
	}
	indices := tensor.Of([]int64{0, 5, 5, 7, 11, 8}, 1, 2, 3) // within each channel; 5 is taken twice
	return append(cases,
		gradientCase{op: "GlobalAveragePool", in: list{r.normal(2, 3, 2, 4)}, multilinear: true},
		gradientCase{op: "GlobalAveragePool", about: "one axis", in: list{r.normal(2, 3, 4)}, multilinear: true},
		gradientCase{op: "GlobalMaxPool", in: list{r.spread(2, 3, 2, 4)}},
		gradientCase{op: "compactify.MaxPoolScatter", in: list{r.normal(1, 2, 3), indices, tensor.Ints(1, 2, 6)}, multilinear: true},
		gradientCase{op: "compactify.MaxPoolGather", in: list{r.normal(1, 2, 6), indices}, multilinear: true},
	)
}

func reductionCases(r points) []gradientCase {
	var cases []gradientCase
	for _, op := range []string{"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceSumSquare"} {
		linear := op == "ReduceSum" || op == "ReduceMean"
		for keep := range 2 {
			at := attrs{graph.Int("keepdims", keep)}
			for _, axes := range []list{{}, {tensor.Ints(1)}, {tensor.Ints(-1, 0)}, {tensor.Ints(0, 1, 2)}, {tensor.Ints(-2)}, {tensor.Ints()}} {
				about := fmt.Sprintf("keepdims=%d", keep)
				if len(axes) > 0 {
					about += fmt.Sprint(" axes=", axes[0].Float64s())
				}
				cases = append(cases, gradientCase{op: op, about: about, attrs: at, in: append(list{r.spread(2, 3, 4)}, axes...), multilinear: linear})
			}
			cases = append(cases, gradientCase{op: op, about: fmt.Sprintf("keepdims=%d of no axes", keep),
				attrs: at.With(graph.Int("noop_with_empty_axes", 1)), in: list{r.spread(2, 3)}, multilinear: linear})
		}
	}
	for _, axis := range []int{0, 1, -1, -3} {
		at := attrs{graph.Int("axis", axis)}
		cases = append(cases,
			gradientCase{op: "Softmax", about: fmt.Sprint("axis ", axis), attrs: at, in: list{r.normal(2, 3, 4)}},
			gradientCase{op: "LogSoftmax", about: fmt.Sprint("axis ", axis), attrs: at, in: list{r.normal(2, 3, 4)}})
	}
	return append(cases,
		gradientCase{op: "Softmax", about: "default", in: list{r.normal(2, 3)}},
		gradientCase{op: "LogSoftmax", about: "default", in: list{r.normal(2, 3)}},
		gradientCase{op: "ReduceLogSum", in: list{r.between(0.5, 2, 2, 3), tensor.Ints(1)}},
	)
}

func normalizationCases(r points) []gradientCase {
	norm := func(x ...int) list {
		c := x[1]
		return list{r.normal(x...), r.normal(c), r.normal(c), r.normal(c), r.between(0.5, 2, c)}
	}
	double := graph.Int("stash_type", int(tensor.Float64)) // float32 statistics are too coarse to difference
	epsilon := graph.Float("epsilon", 0.1)
	return []gradientCase{
		{op: "BatchNormalization", about: "inference", in: norm(3, 2, 2, 2)},
		{op: "BatchNormalization", about: "inference of vectors", attrs: attrs{epsilon}, in: norm(4, 3)},
		{op: "BatchNormalization", about: "training", attrs: attrs{graph.Int("training_mode", 1)}, in: norm(3, 2, 2, 2)},
		{op: "BatchNormalization", about: "training of vectors", attrs: attrs{graph.Int("training_mode", 1), epsilon}, in: norm(4, 3)},
		{op: "BatchNormalization", about: "training with statistics", attrs: attrs{graph.Int("training_mode", 1), graph.Float("momentum", 0.7)},
			outputs: 3, in: norm(3, 2, 2)},
		{op: "InstanceNormalization", in: list{r.normal(2, 3, 2, 2), r.normal(3), r.normal(3)}},
		{op: "LayerNormalization", attrs: attrs{double}, in: list{r.normal(2, 3, 4), r.normal(4), r.normal(4)}},
		{op: "LayerNormalization", about: "two axes", attrs: attrs{double, graph.Int("axis", 1)}, in: list{r.normal(2, 3, 2), r.normal(3, 2)}},
		{op: "GroupNormalization", attrs: attrs{double, graph.Int("num_groups", 2)}, in: list{r.normal(2, 4, 3), r.normal(4), r.normal(4)}},
		{op: "RMSNormalization", attrs: attrs{double}, in: list{r.normal(2, 4), r.normal(4)}},
		{op: "LpNormalization", in: list{r.normal(2, 4)}},
		{op: "LRN", attrs: attrs{graph.Int("size", 3), graph.Float("alpha", 0.3)}, in: list{r.normal(2, 4, 2, 2)}},
	}
}

func movementCases(r points) []gradientCase {
	var cases []gradientCase
	move := func(op, about string, a attrs, in ...tensor.Tensor) {
		cases = append(cases, gradientCase{op: op, about: about, attrs: a, in: in, multilinear: true})
	}
	x := r.normal(2, 3, 4)
	move("Reshape", "", nil, x, tensor.Ints(4, -1))
	move("Reshape", "copied size", nil, x, tensor.Ints(0, 12))
	move("Flatten", "", attrs{graph.Int("axis", 2)}, x)
	move("Flatten", "negative", attrs{graph.Int("axis", -3)}, x)
	move("Squeeze", "", nil, r.normal(1, 3, 1), tensor.Ints(0))
	move("Squeeze", "all", nil, r.normal(1, 3, 1))
	move("Unsqueeze", "", nil, x, tensor.Ints(-1, 0))
	move("Transpose", "", attrs{graph.Ints("perm", 1, 2, 0)}, x)
	move("Transpose", "default", nil, x)
	move("Expand", "", nil, r.normal(3, 1), tensor.Ints(2, 1, 4))
	move("Expand", "of a scalar", nil, r.normal(), tensor.Ints(2, 2))
	move("Tile", "", nil, x, tensor.Ints(2, 1, 3))
	move("Trilu", "", nil, r.normal(2, 3, 4))
	move("Trilu", "lower", attrs{graph.Int("upper", 0)}, r.normal(3, 3), tensor.Of([]int64{-1}))
	for i := range 4 {
		move("CumSum", fmt.Sprint(i), attrs{graph.Int("reverse", i&1), graph.Int("exclusive", i>>1)}, x, tensor.Of([]int64{int64(i%3) - 1}))
	}
	move("Pad", "of axes", nil, x, tensor.Ints(1, 2, 0, 1), tensor.Tensor{}, tensor.Ints(-1, 0))
	move("Pad", "", nil, x, tensor.Ints(1, 0, 2, 0, 3, 1))
	move("Pad", "negative", nil, x, tensor.Ints(-1, 0, 2, 1, -2, -1))
	cases = append(cases,
		gradientCase{op: "Pad", about: "with a value", in: list{x, tensor.Ints(0, 1, 0, 1, 0, 0), f64(3)}, constant: []int{2}},
		gradientCase{op: "Pad", about: "with a variable value", in: list{x, tensor.Ints(0, 1, -1, 1, 0, 2), f64(3)}},
		gradientCase{op: "Concat", attrs: attrs{graph.Int("axis", 1)}, in: list{x, r.normal(2, 1, 4), r.normal(2, 2, 4)}},
		gradientCase{op: "Concat", about: "last axis", attrs: attrs{graph.Int("axis", -1)}, in: list{x, r.normal(2, 3, 1)}},
		gradientCase{op: "Concat", about: "a constant", attrs: attrs{graph.Int("axis", 0)}, in: list{r.normal(2), r.normal(3), r.normal(1)}, constant: []int{1}},
		gradientCase{op: "Split", attrs: attrs{graph.Int("axis", -1)}, outputs: 2, in: list{x, tensor.Ints(1, 3)}, multilinear: true},
		gradientCase{op: "Split", about: "equal", attrs: attrs{graph.Int("axis", 1), graph.Int("num_outputs", 2)}, outputs: 2, in: list{x}, multilinear: true},
		gradientCase{op: "DepthToSpace", attrs: attrs{graph.Int("blocksize", 2)}, in: list{r.normal(1, 4, 2, 3)}, multilinear: true},
		gradientCase{op: "SpaceToDepth", attrs: attrs{graph.Int("blocksize", 2)}, in: list{r.normal(1, 2, 4, 2)}, multilinear: true},
	)
	return cases
}

func selectionCases(r points) []gradientCase {
	x := r.normal(4, 3, 5)
	ints := tensor.Ints
	var cases []gradientCase
	take := func(op, about string, a attrs, in ...tensor.Tensor) {
		cases = append(cases, gradientCase{op: op, about: about, attrs: a, in: in, multilinear: true})
	}
	take("Slice", "", nil, x, ints(1, 0), ints(3, 2))
	take("Slice", "of an axis", nil, x, ints(1), ints(100), ints(-1))
	take("Slice", "from the end", nil, x, ints(-3, -100), ints(-1, 2), ints(0, 2), ints(1, 1))
	take("Slice", "steps", nil, x, ints(1, 0), ints(4, 5), ints(0, 2), ints(2, 3))
	take("Slice", "backwards", nil, x, ints(-1, 1), ints(-100, -100), ints(2, 1), ints(-1, -1))
	take("Slice", "backwards in steps", nil, x, ints(3, -1), ints(-100, 0), ints(0, 2), ints(-2, -3))
	take("compactify.SliceGrad", "", nil, r.normal(2, 3, 2), ints(4, 3, 5), ints(3, -1), ints(-100, 0), ints(0, 2), ints(-2, -3))
	take("Gather", "", nil, x, ints(2, 0, 2))
	take("Gather", "a scalar index", attrs{graph.Int("axis", 1)}, x, tensor.Scalar(int64(-1)))
	take("Gather", "a table of indices", attrs{graph.Int("axis", -1)}, x, tensor.Of([]int64{0, -1, 2, 2}, 2, 2))
	take("Gather", "narrow indices", attrs{graph.Int("axis", 1)}, x, tensor.Of([]int32{1, 1}, 2))
	take("GatherND", "", nil, x, tensor.Of([]int64{3, 0, -4, 2, 3, 0}, 3, 2))
	take("GatherND", "elements", nil, x, tensor.Of([]int64{3, 0, 1, 1, 2, -1}, 2, 3))
	rows := tensor.Of([]int64{2, 0, -1}, 3, 1)
	places := tensor.Of([]int64{0, 2, 3, 1}, 2, 2)
	add := attrs{graph.Text("reduction", "add")}
	cases = append(cases,
		gradientCase{op: "ScatterND", about: "adding", attrs: add, in: list{r.normal(3, 2), rows, r.normal(3, 2)}},
		gradientCase{op: "ScatterND", about: "replacing", in: list{r.normal(4, 2), tensor.Of([]int64{2, -4}, 2, 1), r.normal(2, 2)}},
		gradientCase{op: "ScatterND", about: "elements", in: list{r.normal(3, 2), tensor.Of([]int64{2, 0, 0, 1}, 2, 2), r.normal(2)}},
		gradientCase{op: "ScatterElements", about: "adding", attrs: add.With(graph.Int("axis", 1)), in: list{r.normal(2, 4), places, r.normal(2, 2)}},
		gradientCase{op: "ScatterElements", about: "replacing", attrs: attrs{graph.Int("axis", -1)}, in: list{r.normal(2, 4), places, r.normal(2, 2)}},
		gradientCase{op: "TopK", outputs: 2, in: list{r.spread(2, 5), tensor.Ints(3)}},
		gradientCase{op: "TopK", about: "smallest of the first axis", outputs: 2, attrs: attrs{graph.Int("axis", 0), graph.Int("largest", 0)}, in: list{r.spread(4, 2), tensor.Ints(2)}},
	)
	take("GatherElements", "", nil, r.normal(3, 2), tensor.Of([]int64{0, 2, 0, -1}, 2, 2))
	take("GatherElements", "last axis", attrs{graph.Int("axis", -1)}, r.normal(2, 3), tensor.Of([]int64{0, 0, 1, 2}, 2, 2))
	return cases
}

func lossCases(r points) []gradientCase {
	bytes := tensor.Of([]int8{-128, 3, 127, 0, -5, 9}, 2, 3)
	return []gradientCase{
		{op: "DequantizeLinear", in: list{bytes, f64(0.3), tensor.Scalar(int8(2))}},
		{op: "DequantizeLinear", about: "one scale per column", in: list{bytes, r.between(0.1, 1, 3)}, multilinear: true},
		{op: "DequantizeLinear", about: "one scale per row", attrs: attrs{graph.Int("axis", -2)},
			in: list{bytes, r.between(0.1, 1, 2), tensor.Of([]int8{1, -3}, 2)}, multilinear: true},
		{op: "compactify.SoftmaxCrossEntropy", in: list{r.normal(3, 4), r.probabilities(3, 4)}, constant: []int{1}},
		{op: "compactify.SoftmaxCrossEntropyGrad", in: list{r.normal(3, 4), r.probabilities(3, 4), r.normal()}},
	}
}

// flatCases are operators that are constant almost everywhere or count: the
// gradient is zero.
func flatCases(r points) []gradientCase {
	var cases []gradientCase
	for _, op := range []string{"Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"} {
		cases = append(cases, gradientCase{op: op, in: list{r.spread(2, 3), r.normal(3)}})
	}
	return append(cases,
		gradientCase{op: "Shape", in: list{r.normal(2, 3)}},
		gradientCase{op: "Size", in: list{r.normal(2, 3)}},
		gradientCase{op: "ArgMax", in: list{r.spread(2, 3)}},
		gradientCase{op: "ArgMin", in: list{r.spread(2, 3)}},
	)
}
