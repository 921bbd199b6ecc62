package engine

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// contribTolerance bounds float results: both sides round in float32.
const contribTolerance = 1e-5

// contribCase is one node of com.microsoft with its outputs as ONNX Runtime
// 1.32.0 (CPU) computes them.
type contribCase struct {
	op, about string
	attrs     graph.Attributes
	in, want  []tensor.Tensor
}

func contribCases() []contribCase {
	none := tensor.Tensor{}
	return []contribCase{
		{"QLinearAdd", "", nil,
			list{tensor.Of([]uint8{121, 131, 193, 243, 8, 36}, 2, 3), tensor.Of([]float32{0.0500000007}), tensor.Of([]uint8{120}), tensor.Of([]uint8{210, 242, 63, 79, 222, 108}, 2, 3), tensor.Of([]float32{0.0299999993}), tensor.Of([]uint8{7}), tensor.Of([]float32{0.0599999987}), tensor.Of([]uint8{100})},
			list{tensor.Of([]uint8{202, 227, 189, 238, 114, 80}, 2, 3)}},
		{"QLinearMul", "", nil,
			list{tensor.Of([]int8{-59, 83, -63, -24, 36, 12}, 2, 3), tensor.Of([]float32{0.0500000007}), tensor.Of([]int8{3}), tensor.Of([]int8{-107, -121, 93}, 3), tensor.Of([]float32{0.0299999993}), tensor.Of([]int8{-7}), tensor.Of([]float32{0.100000001}), tensor.Of([]int8{10})},
			list{tensor.Of([]int8{103, -127, -89, 50, -46, 24}, 2, 3)}},
		{"QLinearSigmoid", "", nil,
			list{tensor.Of([]uint8{192, 214, 137, 209, 84}, 5), tensor.Of([]float32{0.0500000007}), tensor.Of([]uint8{128}), tensor.Of([]float32{0.00390625}), tensor.Of([]uint8{0})},
			list{tensor.Of([]uint8{246, 253, 156, 252, 26}, 5)}},
		{"QLinearLeakyRelu", "", attrs{graph.Float("alpha", 0.2)},
			list{tensor.Of([]uint8{115, 201, 31, 77, 31}, 5), tensor.Of([]float32{0.0500000007}), tensor.Of([]uint8{128}), tensor.Of([]float32{0.0399999991}), tensor.Of([]uint8{100})},
			list{tensor.Of([]uint8{97, 191, 76, 87, 76}, 5)}},
		{"QLinearGlobalAveragePool", "", attrs{graph.Int("channels_last", 0)},
			list{tensor.Of([]uint8{116, 250, 34, 98, 103, 231, 52, 128, 67, 5, 192, 15}, 1, 2, 2, 3), tensor.Of([]float32{0.0500000007}), tensor.Of([]uint8{128}), tensor.Of([]float32{0.0199999996}), tensor.Of([]uint8{100})},
			list{tensor.Of([]uint8{127, 0}, 1, 2, 1, 1)}},
		{"QLinearAveragePool", "", attrs{graph.Ints("kernel_shape", 2, 2)},
			list{tensor.Of([]uint8{71, 127, 124, 29, 251, 191, 246, 23, 185}, 1, 1, 3, 3), tensor.Of([]float32{0.0500000007}), tensor.Of([]uint8{128}), tensor.Of([]float32{0.0399999991}), tensor.Of([]uint8{120})},
			list{tensor.Of([]uint8{109, 177, 132, 163}, 1, 1, 2, 2)}},
		{"QLinearConcat", "", attrs{graph.Int("axis", 1)},
			list{tensor.Of([]float32{0.0500000007}), tensor.Of([]uint8{120}), tensor.Of([]uint8{75, 138}, 1, 2), tensor.Of([]float32{0.0299999993}), tensor.Of([]uint8{3}), tensor.Of([]uint8{236, 70, 185}, 1, 3), tensor.Of([]float32{0.0599999987}), tensor.Of([]uint8{100})},
			list{tensor.Of([]uint8{163, 201, 255, 84, 222}, 1, 5)}},
		{"QLinearSoftmax", "", attrs{graph.Int("axis", -1), graph.Int("opset", 13)},
			list{tensor.Of([]uint8{41, 82, 248, 107, 132, 74, 29, 108}, 2, 4), tensor.Of([]float32{0.0199999996}), tensor.Of([]uint8{10}), tensor.Of([]float32{0.00390625}), tensor.Of([]uint8{0})},
			list{tensor.Of([]uint8{4, 8, 230, 14, 124, 39, 16, 77}, 2, 4)}},
		{"FusedMatMul", "", attrs{graph.Int("transB", 1), graph.Float("alpha", 0.5)},
			list{tensor.Of([]float32{-0.379999995, 2.03999996, 0.649999976, 0.660000026, -0.50999999, -1.64999998}, 2, 3), tensor.Of([]float32{0.170000002, 0.109999999, -1.23000002, -0.680000007, -0.0700000003, -0.939999998}, 2, 3)},
			list{tensor.Of([]float32{-0.319849998, -0.247699991, 1.04279995, 0.568949997}, 2, 2)}},
		{"FusedGemm", "", attrs{graph.Text("activation", "LeakyRelu"), graph.Float("activation_alpha", 0.3), graph.Float("alpha", 0.5), graph.Float("beta", 2)},
			list{tensor.Of([]float32{-0.100000001, 0.100000001, 0.0399999991, -0.50999999, 0.589999974, 0.889999986}, 2, 3), tensor.Of([]float32{0.319999993, -0.819999993, 0.730000019, -0.5, 0.879999995, -1.07000005}, 3, 2), tensor.Of([]float32{0.910000026, -0.0199999996}, 2)},
			list{tensor.Of([]float32{1.85810006, -0.0136199994, 2.34535003, -0.136365011}, 2, 2)}},
		{"FusedConv", "", attrs{graph.Text("activation", "Relu"), graph.Ints("kernel_shape", 2, 2)},
			list{tensor.Of([]float32{-1.25, -0.310000002, 0.0500000007, 0.270000011, -0.980000019, -1.11000001, 0.200000003, -0.469999999, 0.239999995}, 1, 1, 3, 3), tensor.Of([]float32{0.75999999, -1.64999998, 0.25, 1.22000003}, 1, 1, 2, 2), tensor.Of([]float32{-0.300000012}, 1)},
			list{tensor.Of([]float32{0, 0, 0.99879986, 0.961999953}, 1, 1, 2, 2)}},
		{"FusedConv", "clipped", attrs{graph.Text("activation", "Clip"), graph.Floats("activation_params", -0.5, 0.7), graph.Ints("kernel_shape", 2, 2)},
			list{tensor.Of([]float32{-0.810000002, 0.75, 0.25, 0.899999976, -0.349999994, -1.48000002, -0.109999999, -0.449999988, 0.779999971}, 1, 1, 3, 3), tensor.Of([]float32{0.189999998, -1.63, -1.20000005, 0.879999995}, 1, 1, 2, 2), tensor.Of([]float32{0.680000007}, 1)},
			list{tensor.Of([]float32{-0.5, -0.467399895, 0.699999988, 0.699999988}, 1, 1, 2, 2)}},
		{"Gelu", "", nil,
			list{tensor.Of([]float32{-0.639999986, -0, 0.449999988, 0.469999999, 0.879999995}, 5)},
			list{tensor.Of([]float32{-0.167095214, -0, 0.303140134, 0.319986582, 0.713301897}, 5)}},
		{"QuickGelu", "", nil,
			list{tensor.Of([]float32{0.25999999, -0.0900000036, -0.25999999, 1.05999994, -2.25}, 5)},
			list{tensor.Of([]float32{0.15830341, -0.0415601768, -0.101696573, 0.910168648, -0.0478321686}, 5)}},
		{"FastGelu", "", nil,
			list{tensor.Of([]float32{-0.140000001, 0.0299999993, -1.42999995, 0.330000013, -0.649999976, 0.860000014}, 2, 3), tensor.Of([]float32{-0.129999995, 0.670000017, 1.22000003}, 3)},
			list{tensor.Of([]float32{-0.106268294, 0.530570149, -0.0875357017, 0.11585144, 0.0101595866, 2.04114056}, 2, 3)}},
		{"BiasGelu", "", nil,
			list{tensor.Of([]float32{0.379999995, -0.879999995, -1.50999999, 1.75, -0.109999999, -0.689999998}, 2, 3), tensor.Of([]float32{0.140000001, -0.189999998, 0.850000024}, 3)},
			list{tensor.Of([]float32{0.363203466, -0.15227133, -0.168053761, 1.83447361, -0.114626579, 0.0901695341}, 2, 3)}},
		{"SkipLayerNormalization", "", attrs{graph.Float("epsilon", 1e-05)},
			list{tensor.Of([]float32{0.0299999993, 0.00999999978, -0.709999979, 0.469999999, -1.02999997, 0.670000017, 1.51999998, -1.51999998}, 1, 2, 4), tensor.Of([]float32{-2.47000003, 0.620000005, 2.54999995, -1, -1.25, 0.589999974, -0.839999974, -0.50999999}, 1, 2, 4), tensor.Of([]float32{-0.349999994, 0.529999971, -0.409999996, 0.280000001}, 4), tensor.Of([]float32{-0.180000007, -0.839999974, -0.319999993, -0.949999988}, 4), tensor.Of([]float32{0.00999999978, -1.12, -1.09000003, 1.46000004}, 4)},
			list{tensor.Of([]float32{0.373514056, -0.911166072, -0.64420104, -0.690997183, 0.399744689, -0.30031991, -0.48722285, -0.885519147}, 1, 2, 4), none, none, tensor.Of([]float32{-2.43000007, -0.49000001, 0.749999881, 0.930000067, -2.26999998, 0.139999986, -0.410000026, -0.569999933}, 1, 2, 4)}},
		{"SkipSimplifiedLayerNormalization", "", attrs{graph.Float("epsilon", 1e-05)},
			list{tensor.Of([]float32{-0.0500000007, -0.0500000007, 0.50999999, -0.419999987, -0.230000004, 0.430000007, 0.280000001, -1.15999997}, 1, 2, 4), tensor.Of([]float32{0.829999983, -0.589999974, -1.05999994, -0.899999976, -0.389999986, 1.63, -1.17999995, 0.159999996}, 1, 2, 4), tensor.Of([]float32{-2.1400001, -0, 0.899999976, -0.239999995}, 4)},
			list{tensor.Of([]float32{-1.90752017, 0, -0.565673649, 0.362031132, 1.04582417, -0, -0.638466597, 0.189175293}, 1, 2, 4)}},
		{"EmbedLayerNormalization", "", attrs{graph.Float("epsilon", 1e-05)},
			list{tensor.Of([]int32{1, 2, 0}, 1, 3), tensor.Of([]int32{0, 1, 1}, 1, 3), tensor.Of([]float32{-0.629999995, 0.230000004, 0.699999988, 0.660000026, 1.97000003, 0.209999993, -0.589999974, -0.129999995, -0.0700000003, 0.109999999, -0.0299999993, 0.170000002}, 3, 4), tensor.Of([]float32{-1.66999996, 0.829999983, -0.569999993, -1.16999996, 0.639999986, 1.32000005, 0.49000001, 0.159999996, -0.930000007, 2.86999989, 0.879999995, -1.13999999}, 3, 4), tensor.Of([]float32{-0.779999971, 0.0900000036, -1.54999995, 0.170000002, -0.460000008, 1.23000002, 0.959999979, -2.71000004}, 2, 4), tensor.Of([]float32{0.0399999991, -1.62, 1.11000001, 0.170000002}, 4), tensor.Of([]float32{0.550000012, -1.07000005, 1.83000004, 2.01999998}, 4), tensor.Of([]int32{1, 1, 0}, 1, 3)},
			list{tensor.Of([]float32{0.559223056, -3.337677, 0.288312912, 1.97895002, 0.542663813, -2.98498869, 2.40507507, 1.76214862, 0.518713892, -3.10722685, 2.58766031, 1.82314479}, 1, 3, 4), tensor.Of([]int32{2}, 1)}},
		{"DynamicQuantizeMatMul", "", nil,
			list{tensor.Of([]float32{-1.05999994, 0.370000005, -0.670000017, -0.0199999996, -1.26999998, 1.87}, 2, 3), tensor.Of([]int8{31, -36, 10, 9, 70, -111}, 3, 2), tensor.Of([]float32{0.0199999996}), tensor.Of([]int8{0}), tensor.Of([]float32{-0.649999976, -0.239999995}, 2)},
			list{tensor.Of([]float32{-2.16360283, 2.06512928, 1.70142877, -4.60570765}, 2, 2)}},
		{"MatMulIntegerToFloat", "", nil,
			list{tensor.Of([]uint8{135, 236, 47, 89, 172, 118}, 2, 3), tensor.Of([]int8{18, 22, -88, -125, 115, 79}, 3, 2), tensor.Of([]float32{0.0199999996}), tensor.Of([]float32{0.0299999993}), tensor.Of([]uint8{120}), tensor.Of([]int8{0}), tensor.Of([]float32{0.0599999987, -0.289999992}, 2)},
			list{tensor.Of([]float32{-10.9397993, -12.2521992, -3.15839982, -4.69399977}, 2, 2)}},
		{"MatMulNBits", "", attrs{graph.Int("K", 24), graph.Int("N", 3), graph.Int("bits", 4), graph.Int("block_size", 16)},
			list{tensor.Of([]float32{0.75, -0.319999993, -0.140000001, -0.660000026, -0.529999971, -1.25999999, 0.519999981, -1.13999999, -0.75, 0.360000014, 0.400000006, -0.400000006, -2.01999998, 0.419999987, 0.25999999, -1.40999997, 0.769999981, -0.699999988, -1.13, 0.100000001, -0.180000007, 0.200000003, -1.61000001, 1.80999994, -0.600000024, -1.53999996, 0.620000005, -0.349999994, 0.319999993, -0.340000004, -0.0599999987, 0.25, -0.75, 0.680000007, -0.469999999, -0.870000005, 0.0799999982, 0.449999988, -0.230000004, -0.860000014, 0.620000005, -1.75999999, -1.02999997, 0.0399999991, -1.36000001, 0.0299999993, -0.0500000007, 0.899999976}, 2, 24), tensor.Of([]uint8{39, 120, 223, 119, 107, 163, 21, 228, 237, 5, 159, 254, 29, 38, 28, 235, 119, 245, 23, 175, 161, 137, 157, 32, 8, 158, 206, 230, 201, 118, 234, 8, 171, 131, 177, 222, 41, 199, 6, 117, 16, 62, 246, 104, 165, 244, 242, 22}, 3, 2, 8), tensor.Of([]float32{0.140000001, 0.779999971, 0.129999995, 0.25999999, -0.779999971, 0.670000017}, 6)},
			list{tensor.Of([]float32{0.508800447, 4.49669981, -3.89479947, -6.39300013, 3.21880007, 17.325695}, 2, 3)}},
		{"MatMulNBits", "packed zero points", attrs{graph.Int("K", 40), graph.Int("N", 2), graph.Int("bits", 4), graph.Int("block_size", 16)},
			list{tensor.Of([]float32{1.77999997, -0.310000002, -0.589999974, -0.159999996, -0.479999989, -0.699999988, 0.140000001, -0.289999992, 1.44000006, 0, 0.319999993, 0.949999988, -0.300000012, 1.44000006, -0.629999995, -0.810000002, -0.370000005, -0.109999999, -1.39999998, -0.0399999991, -1.66999996, 1.38999999, -0.0799999982, -0.639999986, -0.910000026, -0.379999995, -0.219999999, -1.03999996, -0.920000017, -0.189999998, -0.519999981, 0.939999998, 1.13999999, 0.0199999996, 0.469999999, -1.34000003, 0.639999986, -0.0299999993, 0.479999989, 1.60000002}, 1, 40), tensor.Of([]uint8{89, 44, 126, 93, 133, 82, 122, 118, 138, 232, 54, 106, 199, 232, 71, 243, 233, 71, 131, 182, 77, 56, 44, 119, 124, 185, 96, 125, 159, 190, 127, 46, 9, 128, 213, 146, 13, 26, 211, 79, 208, 42, 236, 44, 170, 114, 41, 85}, 2, 3, 8), tensor.Of([]float32{-0.74000001, -0.0500000007, 0.0399999991, 1.19000006, 0.709999979, -1.22000003}, 6), tensor.Of([]uint8{113, 245, 139, 16}, 4)},
			list{tensor.Of([]float32{-2.22739983, 18.5440979}, 1, 2)}},
		{"MatMulNBits", "8 bits", attrs{graph.Int("K", 16), graph.Int("N", 2), graph.Int("bits", 8), graph.Int("block_size", 16)},
			list{tensor.Of([]float32{2.11999989, -1.67999995, -0.540000021, 1.33000004, -1.36000001, -1.20000005, 0.519999981, 1.01999998, -0.670000017, 0.540000021, 0.119999997, 1.51999998, -0, 0.99000001, -0.899999976, -0.180000007}, 1, 16), tensor.Of([]uint8{109, 148, 98, 192, 252, 236, 103, 154, 76, 22, 208, 103, 119, 105, 69, 179, 73, 5, 242, 181, 246, 213, 165, 253, 71, 40, 182, 175, 55, 252, 82, 250}, 2, 1, 16), tensor.Of([]float32{-0.479999989, 1.99000001}, 2), tensor.Of([]uint8{138, 141}, 2)},
			list{tensor.Of([]float32{145.550385, 343.931702}, 1, 2)}},
	}
}

// TestContribOperators compares operators of ONNX Runtime's own with it.
func TestContribOperators(t *testing.T) {
	for _, c := range contribCases() {
		t.Run(strings.TrimSpace(c.op+" "+c.about), func(t *testing.T) {
			for _, constant := range []bool{false, true} {
				got := c.run(t, constant)
				for i, want := range c.want {
					if want.IsZero() {
						continue
					}
					if got[i].String() != want.String() {
						t.Fatalf("output %d: got %v, want %v", i, got[i], want)
					}
					for k := range want.Len() {
						if a, b := got[i].At(k), want.At(k); math.Abs(a-b) > contribTolerance*max(1, math.Abs(b)) {
							t.Errorf("output %d: element %d: got %v, want %v", i, k, a, b)
						}
					}
				}
			}
		})
	}
}

// run evaluates the node. Its weights are constant always, its data if asked.
func (c contribCase) run(t *testing.T, constant bool) []tensor.Tensor {
	t.Helper()
	g := &graph.Graph{Name: c.op, Opset: map[string]int{graph.DomainONNX: graph.LatestOpset, "com.microsoft": 1}}
	n := &graph.Node{Domain: "com.microsoft", Op: c.op, Attrs: c.attrs}
	var in []tensor.Tensor
	for i, x := range c.in {
		if x.IsZero() {
			n.In = append(n.In, nil)
			continue
		}
		v := &graph.Value{Name: "in" + string(rune('a'+i)), Type: x.Type()}
		n.In = append(n.In, v)
		if constant || c.op == "MatMulNBits" && i > 0 {
			g.Params = append(g.Params, &graph.Param{Value: v, Data: x})
			continue
		}
		g.Inputs, in = append(g.Inputs, v), append(in, x)
	}
	at := make([]int, len(c.want))
	for i, want := range c.want {
		if want.IsZero() {
			n.Out = append(n.Out, nil)
			continue
		}
		v := &graph.Value{Name: "out" + string(rune('a'+i))}
		n.Out, at[i] = append(n.Out, v), len(g.Outputs)
		g.Outputs = append(g.Outputs, v)
	}
	g.Nodes = []*graph.Node{n}
	p, err := Compile(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	out := make([]tensor.Tensor, len(g.Outputs))
	if err := p.Run(context.Background(), in, out); err != nil {
		t.Fatal(err)
	}
	got := make([]tensor.Tensor, len(c.want))
	for i := range got {
		got[i] = out[at[i]]
	}
	return got
}
