package engine

import (
	"maps"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// quantiser builds graphs in the form that quantised models have: QuantizeLinear
// and DequantizeLinear around operators on reals.
type quantiser struct {
	b *graph.Builder
	r *rand.Rand
}

// scaled adds a scale and a zero point of type d.
func (q quantiser) scaled(scale float32, d tensor.DType, zero float64) (s, z *graph.Value) {
	point := tensor.New(d)
	point.Set(0, zero)
	return q.b.Const(tensor.Scalar(scale)), q.b.Const(point)
}

// round is a pair of conversions.
func (q quantiser) round(x *graph.Value, scale float32, d tensor.DType, zero float64) *graph.Value {
	s, z := q.scaled(scale, d, zero)
	return q.b.Op("DequantizeLinear", q.b.Op("QuantizeLinear", x, s, z), s, z)
}

// bytes rounds to unsigned bytes.
func (q quantiser) bytes(x *graph.Value, scale float32, zero float64) *graph.Value {
	return q.round(x, scale, tensor.Uint8, zero)
}

// weights are random integers of type d with a scale for each entry of axis.
func (q quantiser) weights(d tensor.DType, axis int, shape ...int) *graph.Value {
	w := tensor.New(d, shape...)
	half := math.Ldexp(1, d.Bits()-1)
	for i := range w.Len() {
		w.Set(i, math.Floor(q.r.Float64()*2*half)-half)
	}
	scales := make([]float32, shape[axis])
	for i := range scales {
		scales[i] = float32((0.5 + q.r.Float64()) / half)
	}
	return q.b.With("DequantizeLinear", attrs{graph.Int("axis", axis)}, q.b.Const(w), q.b.Const(tensor.Of(scales, len(scales))))
}

func (q quantiser) reals(shape ...int) *graph.Value {
	return q.b.Const(random(q.r, tensor.Float32, shape...))
}

// integerCase is a quantised graph. Its output is rounded to steps of out, or real
// if out is 0. has is an operator of the program, once; none has those in gone.
type integerCase struct {
	name  string
	shape []int
	out   float64
	has   string
	gone  []string
	build func(q quantiser, x *graph.Value) *graph.Value
}

func integerCases() []integerCase {
	pads := attrs{graph.Ints("pads", 1, 1, 1, 1)}
	same := func(extra ...graph.Attr) attrs { return append(attrs{graph.Ints("pads", 1, 1, 1, 1)}, extra...) }
	image := []int{2, 6, 9, 8}
	all := []string{"Conv", "compactify.ConvLast", "Relu", "Clip", "Gemm", "MatMul", "Add"}
	return []integerCase{
		{"conv", image, 0.05, "Int8Conv", all, func(q quantiser, x *graph.Value) *graph.Value {
			return q.bytes(q.b.Op("Relu", q.b.With("Conv", pads, q.bytes(x, 0.02, 100), q.weights(tensor.Int8, 0, 10, 6, 3, 3), q.reals(10))), 0.05, 0)
		}},
		{"conv of signed bytes", image, 0.05, "Int8Conv", all, func(q quantiser, x *graph.Value) *graph.Value {
			return q.round(q.b.With("Conv", pads, q.round(x, 0.02, tensor.Int8, -5), q.weights(tensor.Int8, 0, 10, 6, 3, 3)), 0.05, tensor.Int8, 10)
		}},
		{"conv of four bits, with bounds", image, 0.02, "Int8Conv", all, func(q quantiser, x *graph.Value) *graph.Value {
			y := q.b.With("Conv", same(graph.Ints("strides", 2, 2)), q.bytes(x, 0.02, 128), q.weights(tensor.Int4, 0, 5, 6, 3, 3), q.reals(5))
			return q.bytes(q.b.Op("Clip", y, q.b.Const(tensor.Scalar(float32(-1))), q.b.Const(tensor.Scalar(float32(2)))), 0.02, 60)
		}},
		{"conv to reals", image, 0, "Int8Conv", all, func(q quantiser, x *graph.Value) *graph.Value {
			return q.b.Op("Relu", q.b.With("Conv", pads, q.bytes(x, 0.02, 100), q.weights(tensor.Int8, 0, 10, 6, 3, 3), q.reals(10)))
		}},
		{"conv over one axis, in groups", []int{2, 6, 20}, 0.05, "Int8Conv", all, func(q quantiser, x *graph.Value) *graph.Value {
			return q.bytes(q.b.With("Conv", attrs{graph.Int("group", 2), graph.Ints("dilations", 2)}, q.bytes(x, 0.02, 100), q.weights(tensor.Int8, 0, 8, 3, 3)), 0.05, 128)
		}},
		{"depthwise conv", image, 0.05, "Int8Conv", all, func(q quantiser, x *graph.Value) *graph.Value {
			return q.bytes(q.b.With("Conv", same(graph.Int("group", 6)), q.bytes(x, 0.02, 100), q.weights(tensor.Int8, 0, 6, 1, 3, 3)), 0.05, 128)
		}},
		{"gemm", []int{7, 30}, 0.05, "Int8MatMul", all, func(q quantiser, x *graph.Value) *graph.Value {
			return q.bytes(q.b.Op("Relu", q.b.With("Gemm", attrs{graph.Int("transB", 1)}, q.bytes(x, 0.02, 100), q.weights(tensor.Int8, 0, 12, 30), q.reals(12))), 0.05, 0)
		}},
		{"product and bias", []int{2, 3, 33}, 0, "Int8MatMul", all, func(q quantiser, x *graph.Value) *graph.Value {
			return q.b.Op("Add", q.reals(20), q.b.Op("MatMul", q.bytes(x, 0.02, 100), q.weights(tensor.Int8, 1, 33, 20)))
		}},
		{"sum", image, 0.03, "Int8Add", all, func(q quantiser, x *graph.Value) *graph.Value {
			return q.bytes(q.b.Op("Relu", q.b.Op("Add", q.bytes(x, 0.02, 100), q.bytes(q.b.Op("Sin", x), 0.01, 128))), 0.03, 0)
		}},
		{"residual block", image, 0.05, "Int8Conv", all, func(q quantiser, x *graph.Value) *graph.Value {
			x = q.bytes(x, 0.02, 100)
			y := q.bytes(q.b.With("Conv", pads, x, q.weights(tensor.Int8, 0, 6, 6, 3, 3), q.reals(6)), 0.05, 128)
			return q.bytes(q.b.Op("Relu", q.b.Op("Add", x, y)), 0.05, 0)
		}},
		{"shortcut by slices and pads", image, 0.05, "Int8Conv", all, func(q quantiser, x *graph.Value) *graph.Value {
			x = q.bytes(x, 0.02, 100)
			y := q.bytes(q.b.With("Conv", same(graph.Ints("strides", 2, 2)), x, q.weights(tensor.Int8, 0, 10, 6, 3, 3)), 0.05, 128)
			axes := q.b.Const(tensor.Ints(2, 3))
			short := q.b.Op("Slice", x, q.b.Const(tensor.Ints(0, 0)), q.b.Const(tensor.Ints(9, 8)), axes, q.b.Const(tensor.Ints(2, 2)))
			short = q.b.Op("Pad", short, q.b.Const(tensor.Ints(0, 2, 0, 0, 0, 2, 0, 0)))
			return q.bytes(q.b.Op("Relu", q.b.Op("Add", y, q.bytes(short, 0.02, 100))), 0.05, 0)
		}},
		{"pooling and classifier", image, 0, "Int8MatMul", append([]string{"MaxPool"}, all...), func(q quantiser, x *graph.Value) *graph.Value {
			y := q.b.With("Conv", pads, q.bytes(x, 0.02, 100), q.weights(tensor.Int8, 0, 5, 6, 3, 3))
			y = q.b.With("MaxPool", attrs{graph.Ints("kernel_shape", 3, 3), graph.Ints("strides", 2, 2), graph.Ints("pads", 1, 1, 1, 1)}, y)
			y = q.bytes(q.b.Op("Flatten", y), 0.05, 90)
			return q.b.Op("Gemm", y, q.weights(tensor.Int8, 1, 100, 7), q.reals(7))
		}},
		{"mean of all pixels", image, 0, "Int8Mean", all, func(q quantiser, x *graph.Value) *graph.Value {
			return q.b.Op("GlobalAveragePool", q.bytes(q.b.With("Conv", pads, q.bytes(x, 0.02, 100), q.weights(tensor.Int8, 0, 5, 6, 3, 3)), 0.05, 90))
		}},
		{"one-hot vectors", []int{2, 5, 1}, 0, "Int8Flag", append([]string{"Cast"}, all...), func(q quantiser, x *graph.Value) *graph.Value {
			hot := q.b.Op("Less", x, q.reals(1, 8))
			hot = q.b.With("Cast", attrs{graph.Int("to", int(tensor.Float32))}, hot)
			return q.b.Op("MatMul", q.round(hot, 1.0/255, tensor.Int8, -128), q.weights(tensor.Int8, 1, 8, 6))
		}},
		{"QLinearMatMul", []int{2, 5, 20}, 0.05, "Int8MatMul", all, func(q quantiser, x *graph.Value) *graph.Value {
			s, z := q.scaled(0.02, tensor.Uint8, 100)
			ys, yz := q.scaled(0.05, tensor.Uint8, 120)
			w := q.weights(tensor.Int8, 1, 20, 9)
			from := q.b.Graph().Producers()[w]
			zeros := q.b.Const(tensor.New(tensor.Int8, 9))
			return q.b.Op("DequantizeLinear", q.b.Op("QLinearMatMul", q.b.Op("QuantizeLinear", x, s, z), s, z, from.In[0], from.In[1], zeros, ys, yz), ys, yz)
		}},
		{"QLinearConv", image, 0.05, "Int8Conv", all, func(q quantiser, x *graph.Value) *graph.Value {
			s, z := q.scaled(0.02, tensor.Uint8, 100)
			ys, yz := q.scaled(0.05, tensor.Uint8, 120)
			w := q.weights(tensor.Int8, 0, 5, 6, 3, 3)
			from := q.b.Graph().Producers()[w]
			zeros := q.b.Const(tensor.New(tensor.Int8, 5))
			bias := q.b.Const(tensor.Of([]int32{100, -2000, 30000, 4, 5}, 5))
			y := q.b.With("QLinearConv", pads, q.b.Op("QuantizeLinear", x, s, z), s, z, from.In[0], from.In[1], zeros, ys, yz, bias)
			return q.b.Op("DequantizeLinear", y, ys, yz)
		}},
	}
}

// A quantised graph computes with its integers what it computes on reals, within
// one step of the rounded output; real outputs differ by roundings of float32.
func TestIntegersComputeTheSame(t *testing.T) {
	for i, c := range integerCases() {
		t.Run(c.name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(uint64(i), 77))
			g := &graph.Graph{Name: c.name, Opset: map[string]int{"": graph.LatestOpset}}
			q := quantiser{graph.NewBuilder(g, "t"), r}
			x := random(r, tensor.Float32, c.shape...)
			g.Outputs = []*graph.Value{c.build(q, q.b.Input("x", x.Type()))}
			if err := q.b.Err(); err != nil {
				t.Fatal(err)
			}
			_, want := compiled(t, g, Options{Unfused: true}, x)
			p, got := compiled(t, g, Options{}, x)
			checkSteps(t, want[0].Float64s(), got[0].Float64s(), c.out)
			if n := count(p, graph.DomainInternal+"."+c.has); n != 1 {
				t.Errorf("steps of %s: got %d, want 1", c.has, n)
			}
			for _, op := range c.gone {
				if n := count(p, op); n > 0 {
					t.Errorf("steps of %s: got %d, want none", op, n)
				}
			}
		})
	}
}

// checkSteps compares outputs rounded to steps, or reals.
func checkSteps(t *testing.T, want, got []float64, step float64) {
	t.Helper()
	apart, span := 0, 0.0
	for i := range want {
		span = max(span, math.Abs(want[i]))
		if want[i] != got[i] {
			apart++
		}
	}
	tolerance := 1e-5 * span
	if step > 0 {
		tolerance = 1.01 * step
		if apart > 1+len(want)/100 {
			t.Errorf("steps apart: %d of %d outputs, want at most 1 %%", apart, len(want))
		}
	}
	for i := range want {
		if d := math.Abs(want[i] - got[i]); !(d <= tolerance) {
			t.Fatalf("output %d: got %v, want %v", i, got[i], want[i])
		}
	}
	if span == 0 {
		t.Error("all outputs are zero")
	}
}

// A run of integers allocates nothing.
func TestIntegersDoNotAllocate(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	c := integerCases()[9]
	g := &graph.Graph{Name: c.name, Opset: map[string]int{"": graph.LatestOpset}}
	q := quantiser{graph.NewBuilder(g, "t"), r}
	x := random(r, tensor.Float32, c.shape...)
	g.Outputs = []*graph.Value{c.build(q, q.b.Input("x", x.Type()))}
	p, out := compiled(t, g, Options{}, x)
	in := []tensor.Tensor{x}
	if n := testing.AllocsPerRun(20, func() {
		if err := p.Run(t.Context(), in, out); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("allocations per run: got %v, want 0", n)
	}
}

// A bias that is not finite leaves a layer to float arithmetic: the output is
// what the graph as written gives, NaNs included.
func TestIntegersRefuseBiasNotFinite(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	for _, layer := range []struct {
		name  string
		shape []int
		op    string
		build func(q quantiser, x, bias *graph.Value) *graph.Value
	}{
		{"Conv", []int{2, 6, 5, 4}, "Int8Conv", func(q quantiser, x, bias *graph.Value) *graph.Value {
			return q.b.Op("Conv", x, q.weights(tensor.Int8, 0, 3, 6, 3, 3), bias)
		}},
		{"Gemm", []int{7, 30}, "Int8MatMul", func(q quantiser, x, bias *graph.Value) *graph.Value {
			return q.b.With("Gemm", attrs{graph.Int("transB", 1)}, x, q.weights(tensor.Int8, 0, 3, 30), bias)
		}},
		{"Add behind MatMul", []int{7, 30}, "", func(q quantiser, x, bias *graph.Value) *graph.Value {
			return q.b.Op("Add", q.b.Op("MatMul", x, q.weights(tensor.Int8, 1, 30, 3)), bias)
		}},
	} {
		for _, bias := range [][]float32{{0.5, nan, -1}, {inf, 0.5, 1}, {1, 2, -inf}} {
			for _, rounded := range []bool{false, true} {
				r := rand.New(rand.NewPCG(5, 6))
				g := &graph.Graph{Name: layer.name, Opset: map[string]int{"": graph.LatestOpset}}
				q := quantiser{graph.NewBuilder(g, "t"), r}
				x := random(r, tensor.Float32, layer.shape...)
				y := layer.build(q, q.bytes(q.b.Input("x", x.Type()), 0.02, 100), q.b.Const(tensor.Of(bias, 3)))
				if rounded {
					y = q.bytes(y, 0.05, 90)
				}
				g.Outputs = []*graph.Value{y}
				if err := q.b.Err(); err != nil {
					t.Fatal(err)
				}
				_, want := compiled(t, g, Options{Unfused: true}, x)
				p, got := compiled(t, g, Options{}, x)
				if n := count(p, graph.DomainInternal+"."+layer.op); n > 0 {
					t.Errorf("%s, bias %v: steps of %s: got %d, want none", layer.name, bias, layer.op, n)
				}
				for i := range want[0].Len() {
					w, h := want[0].At(i), got[0].At(i)
					if w != h && !(math.IsNaN(w) && math.IsNaN(h)) && !(math.Abs(w-h) <= 1e-5*(1+math.Abs(w))) {
						t.Errorf("%s, bias %v, rounded %t: output %d: got %v, want %v", layer.name, bias, rounded, i, h, w)
						break
					}
				}
			}
		}
	}
}

// Roundings pass long chains of operators, and long chains of roundings vanish,
// in time linear in the nodes: were it quadratic, the test would take minutes.
func TestRoundingPassesLongChains(t *testing.T) {
	const length = 20000
	for _, c := range []struct {
		name string
		link func(q quantiser, x *graph.Value) *graph.Value
		ops  map[string]int // of the graph that is left
	}{
		{"moves", func(q quantiser, x *graph.Value) *graph.Value { return q.b.Op("Identity", x) },
			map[string]int{"Relu": 1, "QuantizeLinear": 1, "Identity": length, "DequantizeLinear": 1}},
		{"roundings", func(q quantiser, x *graph.Value) *graph.Value { return q.bytes(x, 0.5, 7) },
			map[string]int{"Relu": 1, "QuantizeLinear": 1, "DequantizeLinear": length + 1}},
	} {
		g := &graph.Graph{Name: c.name, Opset: map[string]int{"": graph.LatestOpset}}
		q := quantiser{graph.NewBuilder(g, "t"), rand.New(rand.NewPCG(1, 2))}
		y := q.b.Op("Relu", q.b.Input("x", random(q.r, tensor.Float32, 3).Type()))
		for range length {
			y = c.link(q, y)
		}
		g.Outputs = []*graph.Value{q.bytes(y, 0.5, 7)}
		comp, err := newCompiler(g, Options{})
		if err != nil || q.b.Err() != nil {
			t.Fatal(err, q.b.Err())
		}
		if err := comp.g.Infer(); err != nil {
			t.Fatal(err)
		}
		comp.facts = graph.NewFacts(comp.g)
		comp.quantizeEarly()
		got := make(map[string]int)
		for _, n := range comp.g.Nodes {
			got[n.Kind()]++
		}
		if comp.g.Nodes[1].Kind() != "QuantizeLinear" {
			t.Errorf("%s: behind Relu: got %s, want QuantizeLinear", c.name, comp.g.Nodes[1])
		}
		if !maps.Equal(got, c.ops) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.ops)
		}
		if err := comp.g.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
