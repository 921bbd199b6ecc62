package structure

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// sketch builds small graphs with random weights.
type sketch struct {
	*graph.Builder
	r *rand.Rand
}

func newSketch(seed uint64) *sketch {
	g := &graph.Graph{Name: "sketch", Opset: map[string]int{"": graph.LatestOpset}}
	return &sketch{graph.NewBuilder(g, "v"), rand.New(rand.NewPCG(seed, 1))}
}

// in adds an input of batch size N.
func (s *sketch) in(shape ...int) *graph.Value {
	t := tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N")}}
	for _, n := range shape {
		t.Shape = append(t.Shape, tensor.Fixed(n))
	}
	return s.Input("x", t)
}

// w adds normal weights.
func (s *sketch) w(name string, shape ...int) *graph.Value {
	x := tensor.New(tensor.Float32, shape...)
	for i := range x.Len() {
		x.Set(i, s.r.NormFloat64())
	}
	return s.Param(name, x)
}

// positive adds weights of at least a half, as variances are.
func (s *sketch) positive(name string, n int) *graph.Value {
	x := tensor.New(tensor.Float32, n)
	for i := range n {
		x.Set(i, 0.5+s.r.Float64())
	}
	return s.Param(name, x)
}

func (s *sketch) ints(list ...int) *graph.Value { return s.Const(tensor.Ints(list...)) }

// conv is a 3×3 convolution with a bias that keeps the size of the image.
func (s *sketch) conv(name string, x *graph.Value, out, group int) *graph.Value {
	in := x.Type.Shape[1].Size
	return s.With("Conv", graph.Attributes{graph.Ints("pads", 1, 1, 1, 1), graph.Int("group", group)}, x,
		s.w(name, out, in/group, 3, 3), s.w(name+" bias", out))
}

// dense is x·w + b.
func (s *sketch) dense(name string, x *graph.Value, out int) *graph.Value {
	in := x.Type.Shape[x.Type.Rank()-1].Size
	return s.Op("Add", s.Op("MatMul", x, s.w(name, in, out)), s.w(name+" bias", out))
}

// mean averages the pixels.
func (s *sketch) mean(x *graph.Value) *graph.Value {
	return s.With("ReduceMean", graph.Attributes{graph.Int("keepdims", 0)}, x, s.ints(2, 3))
}

// finish makes a value the output.
func (s *sketch) finish(t testing.TB, y ...*graph.Value) *graph.Graph {
	t.Helper()
	if err := s.Err(); err != nil {
		t.Fatal(err)
	}
	s.Graph().Outputs = y
	if err := s.Graph().Validate(); err != nil {
		t.Fatal(err)
	}
	return s.Graph()
}

type structureCase struct {
	name    string
	body    func(s *sketch) *graph.Value
	groups  []string
	refused []string
}

func (c structureCase) checkRefused(t *testing.T, got []Refusal) {
	t.Helper()
	ok := len(got) == len(c.refused)
	for i := 0; ok && i < len(got); i++ {
		name, reason, _ := strings.Cut(c.refused[i], ": ")
		ok = got[i].Name == name && strings.Contains(got[i].Reason, reason)
	}
	if !ok {
		t.Errorf("refused: got %v, want %q", got, c.refused)
	}
}

// structureCases are graphs whose groups are known by hand: ID, number and kind
// of the channels, and the axes with how many indices of each go; then the
// refused weights with part of the reason.
var structureCases = []structureCase{
	{"convolutions, normalised", func(s *sketch) *graph.Value {
		x := s.conv("a", s.in(3, 6, 6), 4, 1)
		x = s.Op("BatchNormalization", x, s.w("scale", 4), s.w("shift", 4), s.w("mean", 4), s.positive("var", 4))
		x = s.conv("b", s.Op("Relu", x), 5, 1)
		return s.dense("c", s.With("Flatten", nil, s.Op("GlobalAveragePool", s.Op("Relu", x))), 2)
	}, []string{
		"a 4 channels: a.0×1 a bias.0×1 scale.0×1 shift.0×1 mean.0×1 var.0×1 b.1×1",
		"b 5 channels: b.0×1 b bias.0×1 c.0×1",
	}, []string{"c: is an output"}},

	{"flattened pixels", func(s *sketch) *graph.Value {
		x := s.Op("Relu", s.conv("a", s.in(1, 4, 4), 3, 1))
		x = s.With("MaxPool", graph.Attributes{graph.Ints("kernel_shape", 2, 2), graph.Ints("strides", 2, 2)}, x)
		x = s.Op("Reshape", x, s.ints(0, -1))
		return s.With("Gemm", graph.Attributes{graph.Int("transB", 1)}, x, s.w("b", 2, 12))
	}, []string{"a 3 channels: a.0×1 a bias.0×1 b.1×4"}, []string{"b: is an output"}},

	{"residual sum", func(s *sketch) *graph.Value {
		x := s.Op("Relu", s.conv("stem", s.in(1, 4, 4), 4, 1))
		f := s.conv("two", s.Op("Relu", s.conv("one", x, 3, 1)), 4, 1)
		x = s.Op("Relu", s.Op("Add", f, x))
		return s.dense("head", s.mean(x), 2)
	}, []string{
		"stem 4 channels: stem.0×1 stem bias.0×1 one.1×1 two.0×1 two bias.0×1 head.0×1",
		"one 3 channels: one.0×1 one bias.0×1 two.1×1",
		"block v5 1 block: two.-1×0 two bias.-1×0",
	}, []string{"head: is an output"}},

	{"shortcut that subsamples and pads", func(s *sketch) *graph.Value { // ResNet option A: channels 1 and 2 of 4 come from before
		x := s.Op("Relu", s.conv("stem", s.in(1, 4, 4), 2, 1))
		f := s.With("Conv", graph.Attributes{graph.Ints("pads", 1, 1, 1, 1), graph.Ints("strides", 2, 2)}, x, s.w("down", 4, 2, 3, 3), s.w("down bias", 4))
		x = s.Op("Slice", x, s.ints(0, 0), s.ints(1<<40, 1<<40), s.ints(2, 3), s.ints(2, 2))
		x = s.Op("Relu", s.Op("Add", f, s.Op("Pad", x, s.ints(0, 1, 0, 0, 0, 1, 0, 0))))
		return s.dense("head", s.mean(x), 2)
	}, []string{
		"stem 2 channels: stem.0×1 stem bias.0×1 down.0×1 down.1×1 down bias.0×1 head.0×1",
		"down 2 channels: down.0×1 down bias.0×1 head.0×1",
		"block v10 1 block: down.-1×0 down bias.-1×0",
	}, []string{"head: is an output"}},

	{"concatenation and split", func(s *sketch) *graph.Value {
		x := s.in(2, 4, 4)
		y := s.With("Concat", graph.Attributes{graph.Int("axis", 1)}, s.Op("Relu", s.conv("a", x, 3, 1)), s.Op("Tanh", s.conv("b", x, 3, 1)))
		parts := s.Multi("Split", graph.Attributes{graph.Int("axis", 1)}, 2, s.conv("c", y, 6, 1), s.ints(2, 4))
		z := s.With("Concat", graph.Attributes{graph.Int("axis", -3)}, s.Op("Sigmoid", parts[1]), parts[0])
		return s.dense("head", s.mean(z), 2)
	}, []string{
		"a 3 channels: a.0×1 a bias.0×1 c.1×1",
		"b 3 channels: b.0×1 b bias.0×1 c.1×1",
		"c 6 channels: c.0×1 c bias.0×1 head.0×1",
	}, []string{"head: is an output"}},

	{"depthwise", func(s *sketch) *graph.Value {
		x := s.Op("Clip", s.conv("a", s.in(1, 4, 4), 3, 1), s.Const(tensor.Scalar[float32](0)), s.Const(tensor.Scalar[float32](6)))
		x = s.Op("Relu", s.conv("deep", x, 6, 3)) // two filters for each channel
		return s.dense("head", s.mean(s.conv("b", x, 2, 1)), 2)
	}, []string{
		"a 3 channels: a.0×1 a bias.0×1 deep.0×2 deep bias.0×2 b.1×2",
		"b 2 channels: b.0×1 b bias.0×1 head.0×1",
	}, []string{"head: is an output"}},

	{"grouped convolution", func(s *sketch) *graph.Value { // both groups lose the same places
		x := s.Op("Relu", s.conv("a", s.in(1, 4, 4), 6, 1))
		x = s.Op("Relu", s.conv("g", x, 4, 2))
		return s.dense("head", s.mean(x), 2)
	}, []string{
		"a 3 channels: a.0×2 a bias.0×2 g.1×1",
		"g 2 channels: g.0×2 g bias.0×2 head.0×2",
	}, []string{"head: is an output"}},

	{"transposed convolutions", func(s *sketch) *graph.Value {
		up := graph.Attributes{graph.Ints("strides", 2, 2)}
		x := s.Op("Relu", s.conv("a", s.in(1, 4, 4), 3, 1))
		x = s.Op("Relu", s.With("ConvTranspose", up, x, s.w("up", 3, 4, 2, 2), s.w("up bias", 4)))
		x = s.With("ConvTranspose", up.With(graph.Int("group", 4)), x, s.w("deep", 4, 1, 2, 2), s.w("deep bias", 4))
		x = s.With("ConvTranspose", up.With(graph.Int("group", 2)), x, s.w("g", 4, 3, 2, 2), s.w("g bias", 6))
		return s.dense("head", s.mean(x), 2)
	}, []string{
		"a 3 channels: a.0×1 a bias.0×1 up.0×1",
		"up 2 channels: up.1×2 up bias.0×2 deep.0×2 deep bias.0×2 g.0×2",
		"g 3 channels: g.1×1 g bias.0×2 head.0×2",
	}, []string{"deep: as many channels for each group", "head: is an output"}},

	{"shared weights", func(s *sketch) *graph.Value {
		w := s.w("w", 4, 4)
		x := s.Op("Tanh", s.dense("in", s.in(3), 4))
		x = s.Op("Tanh", s.Op("MatMul", s.Op("Tanh", s.Op("MatMul", x, w)), w))
		return s.dense("head", x, 2)
	}, []string{"in 4 channels: in.1×1 in bias.0×1 w.0×1 w.1×1 head.0×1"}, []string{"head: is an output"}},

	{"attention by hand", func(s *sketch) *graph.Value { // heads of 3 go; what runs through the stream of 4 is normalised
		x := s.dense("embed", s.in(5, 2), 4)
		n := s.Op("LayerNormalization", x, s.w("norm", 4), s.w("norm shift", 4))
		heads := func(name string) *graph.Value {
			y := s.Op("Reshape", s.dense(name, n, 6), s.ints(0, 0, 2, 3))
			return s.With("Transpose", graph.Attributes{graph.Ints("perm", 0, 2, 1, 3)}, y)
		}
		q, k, v := heads("q"), heads("k"), heads("v")
		scores := s.Op("MatMul", q, s.With("Transpose", graph.Attributes{graph.Ints("perm", 0, 1, 3, 2)}, k))
		a := s.Op("MatMul", s.With("Softmax", graph.Attributes{graph.Int("axis", -1)}, scores), v)
		a = s.Op("Reshape", s.With("Transpose", graph.Attributes{graph.Ints("perm", 0, 2, 1, 3)}, a), s.ints(0, 0, -1))
		x = s.Op("Add", x, s.dense("o", a, 4))
		x = s.Op("Add", x, s.dense("down", s.Op("Gelu", s.dense("up", x, 7)), 4))
		return s.dense("head", s.With("ReduceMean", graph.Attributes{graph.Int("keepdims", 0)}, x, s.ints(1)), 2)
	}, []string{
		"q 2 heads: q.1×3 q bias.0×3 k.1×3 k bias.0×3 v.1×3 v bias.0×3 o.0×3",
		"up 7 channels: up.1×1 up bias.0×1 down.0×1",
		"block v27 1 block: o bias.-1×0 o.-1×0",
		"block v33 1 block: down bias.-1×0 down.-1×0",
	}, []string{"embed: normalises over it", "o: normalises over it", "down: normalises over it", "head: is an output"}},

	{"Attention", func(s *sketch) *graph.Value { // two heads of queries look at each of two heads of keys
		x := s.in(5, 3)
		y := s.With("Attention", graph.Attributes{graph.Int("q_num_heads", 4), graph.Int("kv_num_heads", 2)},
			s.dense("q", x, 8), s.dense("k", x, 4), s.dense("v", x, 6))
		return s.dense("head", s.With("ReduceMean", graph.Attributes{graph.Int("keepdims", 0)}, y, s.ints(1)), 2)
	}, []string{"q 2 heads: q.1×4 q bias.0×4 k.1×2 k bias.0×2 v.1×3 v bias.0×3 head.0×6"}, []string{"head: is an output"}},

	{"turned heads, as ONNX Runtime fuses them", func(s *sketch) *graph.Value {
		x := s.With("com.microsoft.FastGelu", nil, s.Op("MatMul", s.in(5, 3), s.w("in", 3, 4)), s.w("in bias", 4))
		turn := graph.Attributes{graph.Int("num_heads", 3)}
		q := s.With("RotaryEmbedding", turn, s.dense("q", x, 6), s.w("cos", 2, 5, 1), s.w("sin", 2, 5, 1))
		k := s.With("RotaryEmbedding", turn, s.dense("k", x, 6), s.w("cos k", 2, 5, 1), s.w("sin k", 2, 5, 1))
		y := s.With("Attention", graph.Attributes{graph.Int("q_num_heads", 3), graph.Int("kv_num_heads", 3)}, q, k, s.dense("v", x, 6))
		y = s.With("ReduceMean", graph.Attributes{graph.Int("keepdims", 0)}, y, s.ints(1))
		y = s.With("com.microsoft.FusedGemm", graph.Attributes{graph.Text("activation", "Sigmoid")}, y, s.w("fused", 6, 4), s.w("fused bias", 4))
		return s.dense("head", y, 2)
	}, []string{
		"in 4 channels: in.1×1 in bias.0×1 q.0×1 k.0×1 v.0×1",
		"q 3 heads: q.1×2 q bias.0×2 k.1×2 k bias.0×2 v.1×2 v bias.0×2 fused.0×2",
		"fused 4 channels: fused.1×1 fused bias.0×1 head.0×1",
	}, []string{"head: is an output"}},

	{"LSTM, both ways", func(s *sketch) *graph.Value {
		x := s.With("Transpose", graph.Attributes{graph.Ints("perm", 1, 0, 2)}, s.dense("in", s.in(5, 2), 3))
		y := s.Multi("LSTM", graph.Attributes{graph.Int("hidden_size", 2), graph.Text("direction", "bidirectional")}, 1, x,
			s.w("w", 2, 8, 3), s.w("r", 2, 8, 2), s.w("b", 2, 16), nil, nil, nil, s.w("p", 2, 6))[0]
		y = s.Op("Reshape", s.With("Transpose", graph.Attributes{graph.Ints("perm", 2, 0, 1, 3)}, y), s.ints(0, 0, -1))
		return s.dense("head", s.With("ReduceMean", graph.Attributes{graph.Int("keepdims", 0)}, y, s.ints(1)), 2)
	}, []string{
		"in 3 channels: in.1×1 in bias.0×1 w.2×1",
		"w 2 units: w.1×4 r.1×4 r.2×1 b.1×8 p.1×3 head.0×2",
	}, []string{"head: is an output"}},

	{"GRU with a state", func(s *sketch) *graph.Value {
		x := s.With("Transpose", graph.Attributes{graph.Ints("perm", 1, 0, 2)}, s.in(5, 2))
		batch := s.With("Shape", graph.Attributes{graph.Int("start", 1), graph.Int("end", 2)}, x)
		h := s.Op("ConstantOfShape", s.With("Concat", graph.Attributes{graph.Int("axis", 0)}, s.ints(1), batch, s.ints(3)))
		y := s.Multi("GRU", graph.Attributes{graph.Int("hidden_size", 3)}, 2, x, s.w("w", 1, 9, 2), s.w("r", 1, 9, 3), s.w("b", 1, 18), nil, h)[1]
		return s.dense("head", s.Op("Squeeze", y, s.ints(0)), 2)
	}, []string{"w 3 units: w.1×3 r.1×3 r.2×1 b.1×6 head.0×1"}, []string{"head: is an output"}},

	{"softmax over channels", func(s *sketch) *graph.Value {
		x := s.With("Softmax", graph.Attributes{graph.Int("axis", 1)}, s.dense("a", s.in(3), 4))
		return s.dense("b", x, 2)
	}, nil, []string{"a: normalises over it", "b: is an output"}},

	{"sum over channels", func(s *sketch) *graph.Value { // tanh(0) = 0 can be left out of a sum; sigmoid(0) cannot
		x := s.in(3)
		y := s.Op("ReduceSum", s.Op("Tanh", s.dense("a", x, 4)), s.ints(1))
		z := s.Op("ReduceSum", s.Op("Sigmoid", s.dense("b", x, 4)), s.ints(1))
		return s.Op("Add", y, z)
	}, []string{"a 4 channels: a.1×1 a bias.0×1"}, []string{"b: sums over it"}},

	{"unknown operator", func(s *sketch) *graph.Value {
		n := s.Multi("elsewhere.Twist", nil, 1, s.dense("a", s.in(3), 4))[0]
		n.Type = tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(4)}}
		return s.dense("b", n, 2)
	}, nil, []string{"a: channels are not understood", "b: is an output"}},

	{"table looked up, picked and tiled", func(s *sketch) *graph.Value {
		i := s.With("Cast", graph.Attributes{graph.Int("to", int(tensor.Int64))}, s.Op("Abs", s.in(2)))
		x := s.Op("Gather", s.w("table", 20, 4), i) // [N, 2, 4]
		x = s.With("Gather", graph.Attributes{graph.Int("axis", 2)}, x, s.ints(3, 1, 2, 1))
		x = s.Op("Tile", x, s.ints(1, 1, 2))
		return s.dense("head", s.With("Flatten", nil, x), 2)
	}, []string{
		"table 1 channel: table.1×1",
		"table#2 1 channel: table.1×1 head.0×8",
		"table#3 2 channels: table.1×1 head.0×4",
	}, []string{"head: is an output"}},

	{"pixels from channels", func(s *sketch) *graph.Value {
		x := s.With("DepthToSpace", graph.Attributes{graph.Int("blocksize", 2)}, s.conv("a", s.in(1, 4, 4), 12, 1))
		x = s.With("SpaceToDepth", graph.Attributes{graph.Int("blocksize", 2)}, s.Op("Relu", x))
		x = s.With("DepthToSpace", graph.Attributes{graph.Int("blocksize", 2), graph.Text("mode", "CRD")}, s.conv("b", x, 8, 1))
		x = s.With("Resize", graph.Attributes{graph.Text("mode", "nearest")}, x, nil, nil, s.ints(2, 2, 16, 16))
		return s.dense("head", s.mean(s.conv("c", x, 2, 1)), 2)
	}, []string{
		"a 3 channels: a.0×4 a bias.0×4 b.1×4",
		"b 2 channels: b.0×4 b bias.0×4 c.1×1",
		"c 2 channels: c.0×1 c bias.0×1 head.0×1",
	}, []string{"head: is an output"}},

	{"scaled, raised, compared", func(s *sketch) *graph.Value {
		x := s.dense("a", s.in(3), 4)
		x = s.Op("Mul", x, s.w("gain", 4))
		x = s.Op("Where", s.Op("Greater", x, s.Const(tensor.Scalar[float32](0.2))), x, s.Op("Neg", x))
		x = s.Op("Pow", x, s.Const(tensor.Scalar[float32](2)))
		x = s.Op("PRelu", s.Op("Sub", x, s.w("less", 1, 4)), s.w("slope", 4))
		return s.dense("b", s.Op("Max", x, s.Op("Expand", s.w("floor", 4), s.ints(1, 4))), 2)
	}, []string{"a 4 channels: a.1×1 a bias.0×1 gain.0×1 less.1×1 slope.0×1 floor.0×1 b.0×1"}, []string{"b: is an output"}},

	{"einsum", func(s *sketch) *graph.Value {
		x := s.With("Einsum", graph.Attributes{graph.Text("equation", "nti,ihd->nhtd")}, s.in(5, 3), s.w("a", 3, 2, 4))
		x = s.With("Einsum", graph.Attributes{graph.Text("equation", "nhtd,hde->nte")}, s.Op("Tanh", x), s.w("b", 2, 4, 6))
		return s.dense("head", s.With("ReduceMean", graph.Attributes{graph.Int("keepdims", 0)}, x, s.ints(1)), 2)
	}, []string{
		"a 2 channels: a.1×1 b.0×1",
		"a#2 4 channels: a.2×1 b.1×1",
		"b 6 channels: b.2×1 head.0×1",
	}, []string{"head: is an output"}},
}

// TestGroups: the groups of known graphs, and that every one of them can be
// removed as if it were zero.
func TestGroups(t *testing.T) {
	for _, c := range structureCases {
		t.Run(c.name, func(t *testing.T) {
			s := newSketch(1)
			a, err := Analyze(s.finish(t, c.body(s)))
			if err != nil {
				t.Fatal(err)
			}
			if got := describe(a); !slices.Equal(got, c.groups) {
				t.Errorf("groups: got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(c.groups, "\n"))
			}
			c.checkRefused(t, a.Refused)
			r := rand.New(rand.NewPCG(2, 3))
			for _, share := range []float64{0.2, 0.5, 1} {
				if len(a.Groups) == 0 {
					break
				}
				checkRemoval(t, a, draw(a, r, share), map[string]int{"N": 2})
			}
		})
	}
}
