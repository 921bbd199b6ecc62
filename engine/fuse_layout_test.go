package engine

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// netMaker grows a small network at random, of layers that keep the image at
// least 3×3 and numbers near 1.
type netMaker struct {
	*graph.Builder
	r *rand.Rand
}

func (m *netMaker) weights(shape ...int) *graph.Value {
	t := random(m.r, tensor.Float32, shape...)
	scale := 1.0
	for _, n := range shape[1:] {
		scale *= float64(n)
	}
	for i := range t.Len() {
		t.Set(i, t.At(i)/math.Sqrt(scale))
	}
	return m.Const(t)
}

func (m *netMaker) ints(v ...int) *graph.Value { return m.Const(tensor.Ints(v...)) }

func (m *netMaker) conv(x *graph.Value, filters, group, kernel, stride int) *graph.Value {
	s, _ := x.Type.Static()
	axes := len(s) - 2
	var a attrs
	rep := func(v, n int) []int {
		l := make([]int, n)
		for i := range l {
			l[i] = v
		}
		return l
	}
	a = append(a, graph.Int("group", group), graph.Ints("strides", rep(stride, axes)...))
	switch m.r.IntN(3) {
	case 0:
		a = append(a, graph.Text("auto_pad", "SAME_UPPER"))
	case 1:
		d := 1 + m.r.IntN(2)
		a = append(a, graph.Ints("dilations", rep(d, axes)...), graph.Ints("pads", rep(d*(kernel/2), 2*axes)...))
	default:
		a = append(a, graph.Ints("pads", rep(kernel-1, 2*axes)...))
	}
	w := m.weights(append([]int{filters, s[1] / group}, rep(kernel, axes)...)...)
	if m.r.IntN(2) == 0 {
		return m.With("Conv", a, x, w)
	}
	return m.With("Conv", a, x, w, m.weights(filters))
}

// layer adds one layer of some kind.
func (m *netMaker) layer(x *graph.Value) *graph.Value {
	s, _ := x.Type.Static()
	axes, channels := len(s)-2, s[1]
	small := false
	for _, n := range s[2:] {
		small = small || n < 6
	}
	wide := func(k int) []int { return []int{k, k}[:axes] }
	switch k := m.r.IntN(17); {
	case k == 16: // Winograd's
		return m.conv(m.conv(x, 16, 1, 1, 1), 16*(1+m.r.IntN(2)), 1, 3, 1)
	case k < 3:
		return m.conv(x, 1+m.r.IntN(40), 1, 1+m.r.IntN(3), 1)
	case k == 3:
		return m.conv(x, channels, channels, 3, 1)
	case k == 4 && channels%2 == 0:
		return m.conv(x, 6, 2, 3, 1)
	case k == 5 && !small:
		return m.conv(x, 1+m.r.IntN(20), 1, 3, 2)
	case k == 6:
		return m.Op("Relu", m.Op("Add", m.conv(m.Op("Relu", x), channels, 1, 1, 1), x))
	case k == 7 && !small:
		return m.With("MaxPool", attrs{graph.Ints("kernel_shape", wide(3)...), graph.Ints("strides", wide(2)...), graph.Int("ceil_mode", m.r.IntN(2))}, x)
	case k == 8:
		return m.With("AveragePool", attrs{graph.Ints("kernel_shape", wide(2)...), graph.Ints("pads", append(wide(1), wide(0)...)...), graph.Int("count_include_pad", m.r.IntN(2))}, x)
	case k == 9:
		return m.With("Concat", attrs{graph.Int("axis", 1)}, x, m.Op("Sigmoid", x))
	case k == 10:
		pads := make([]int, 2*len(s))
		for i := range pads {
			pads[i] = m.r.IntN(2)
		}
		pads[0], pads[len(s)] = 0, 0
		return m.Op("Pad", x, m.ints(pads...))
	case k == 11 && !small && channels > 1:
		return m.Op("Slice", x, m.ints(1, 0), m.ints(1000, -1), m.ints(-1, 1))
	case k == 12:
		shape := append([]int{channels}, wide(1)...)
		return m.Op("Mul", m.Op("Clip", x, m.Const(tensor.Scalar(float32(-1))), m.Const(tensor.Scalar(float32(2)))), m.weights(shape...))
	case k == 13:
		gate := m.Op("Sigmoid", m.conv(m.Op("GlobalAveragePool", x), channels, 1, 1, 1))
		g, _ := gate.Type.Static()
		for _, n := range g[2:] {
			if n != 1 { // pads made it larger
				return x
			}
		}
		return m.Op("Mul", x, gate)
	case k == 14:
		scale := m.Op("Abs", m.weights(channels))
		return m.Op("BatchNormalization", m.conv(x, channels, 1, 1, 1), m.weights(channels), m.weights(channels), m.weights(channels), m.Op("Add", scale, m.Const(tensor.Scalar(float32(0.5)))))
	default:
		return m.With("Softmax", attrs{graph.Int("axis", 1)}, x)
	}
}

// head ends the network.
func (m *netMaker) head(x *graph.Value) *graph.Value {
	s, _ := x.Type.Static()
	switch m.r.IntN(4) {
	case 0:
		flat := m.Op("Flatten", x)
		return m.With("Gemm", attrs{graph.Int("transB", 1)}, flat, m.weights(5, elements(s[1:])), m.weights(5))
	case 1:
		flat := m.Op("Reshape", x, m.ints(s[0], -1))
		return m.Op("Add", m.Op("MatMul", flat, m.weights(elements(s[1:]), 3)), m.With("ReduceSum", attrs{}, flat, m.ints(1)))
	case 2:
		return m.Op("Flatten", m.Op("GlobalMaxPool", x))
	default:
		return m.With("Transpose", attrs{graph.Ints("perm", m.r.Perm(len(s))...)}, x)
	}
}

func randomNet(seed uint64) *graph.Graph {
	r := rand.New(rand.NewPCG(seed, 21))
	g := &graph.Graph{Name: fmt.Sprint("net ", seed), Opset: map[string]int{"": graph.LatestOpset}}
	m := &netMaker{graph.NewBuilder(g, "t"), r}
	shape := []int{1 + r.IntN(3), 1 + r.IntN(20), 6 + r.IntN(12), 6 + r.IntN(12)}
	if r.IntN(5) == 0 {
		shape = shape[:3]
	}
	x := m.Input("x", tensor.TypeOf(tensor.Float32, shape...))
	x = m.conv(x, 8+r.IntN(24), 1, 3, 1)
	var middle *graph.Value
	for range 1 + r.IntN(6) {
		if x = m.layer(x); m.Err() != nil {
			panic(m.Err())
		}
		if middle == nil {
			middle = x
		}
	}
	g.Outputs = []*graph.Value{m.head(x)}
	if r.IntN(3) == 0 {
		g.Outputs = append(g.Outputs, middle)
	}
	if m.Err() != nil {
		panic(m.Err())
	}
	return g
}

// Networks compute the same whichever way their channels lie, in every
// instruction set and with more threads.
func TestChannelsLastChangesNothing(t *testing.T) {
	pools := []*kernel.Pool{kernel.NewPool(2, kernel.Portable), kernel.NewPool(1, kernel.AVX2), kernel.NewPool(3, kernel.Best())}
	moved := 0
	for seed := range uint64(120) {
		g := randomNet(seed)
		x := random(rand.New(rand.NewPCG(seed, 22)), tensor.Float32, sizesOf(g.Inputs[0])...)
		_, want := compiled(t, g, Options{Unfused: true}, x)
		for _, pool := range pools {
			p, got := compiled(t, g, Options{Pool: pool}, x)
			moved += count(p, lastKind(convLast))
			for i := range want {
				nearlyEqual(t, fmt.Sprintf("%s, output %d, %s", g.Name, i, pool.Set()), got[i], want[i])
			}
		}
	}
	for _, p := range pools {
		p.Close()
	}
	if moved < 500 {
		t.Errorf("convolutions with channels last: got %d, want most of the networks'", moved)
	}
}

func sizesOf(v *graph.Value) []int {
	sizes, _ := v.Type.Static()
	return sizes
}

// nearlyEqual: sums of a few hundred terms round differently.
func nearlyEqual(t *testing.T, what string, got, want tensor.Tensor) {
	t.Helper()
	const tolerance = 1e-4
	top := 1.0
	for _, v := range want.Float64s() {
		top = max(top, math.Abs(v))
	}
	if !got.Type().Equal(want.Type()) {
		t.Fatalf("%s: got %v, want %v", what, got, want)
	}
	for i := range want.Len() {
		if d := math.Abs(got.At(i) - want.At(i)); !(d <= tolerance*top) && got.At(i) != want.At(i) {
			t.Fatalf("%s: element %d: got %v, want %v", what, i, got.At(i), want.At(i))
		}
	}
}

// A network of convolutions has a step for each and none that moves channels,
// and allocates nothing.
func TestChannelsLastLeavesNoTransposes(t *testing.T) {
	r := rand.New(rand.NewPCG(31, 32))
	g := &graph.Graph{Name: "residual", Opset: map[string]int{"": graph.LatestOpset}}
	m := &netMaker{graph.NewBuilder(g, "t"), r}
	pads := attrs{graph.Ints("pads", 1, 1, 1, 1)}
	x := m.Input("x", tensor.TypeOf(tensor.Float32, 1, 1, 12, 12))
	a := m.Op("Relu", m.With("Conv", pads, x, m.weights(20, 1, 3, 3)))
	b := m.Op("Relu", m.With("Conv", pads, a, m.weights(20, 20, 3, 3)))
	b = m.Op("Relu", m.With("Conv", attrs{graph.Int("group", 20), pads[0]}, b, m.weights(20, 1, 3, 3)))
	b = m.With("Conv", pads, m.Op("Conv", b, m.weights(16, 20, 1, 1)), m.weights(32, 16, 3, 3)) // Winograd's
	y := m.Op("Relu", m.Op("Add", m.Op("Conv", b, m.weights(20, 32, 1, 1)), a))
	y = m.With("MaxPool", attrs{graph.Ints("kernel_shape", 2, 2), graph.Ints("strides", 2, 2)}, y)
	g.Outputs = []*graph.Value{m.With("Gemm", attrs{graph.Int("transB", 1)}, m.Op("Flatten", y), m.weights(5, 720))}
	if m.Err() != nil {
		t.Fatal(m.Err())
	}
	in := []tensor.Tensor{random(r, tensor.Float32, 1, 1, 12, 12)}
	p, out := compiled(t, g, Options{}, in...)
	var kinds []string
	for _, st := range p.steps {
		kinds = append(kinds, st.node.Kind())
	}
	conv := lastKind(convLast)
	want := []string{"Reshape", conv, conv, conv, conv, conv, conv, lastKind(maxPoolLast), "Reshape", "Gemm"}
	if fmt.Sprint(kinds) != fmt.Sprint(want) {
		t.Errorf("steps: got %v, want %v", kinds, want)
	}
	if n := testing.AllocsPerRun(10, func() {
		if err := p.Run(context.Background(), in, out); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("allocations of a run: got %v, want none", n)
	}
}

// Bounds that a convolution takes in are those of ONNX: where they cross, the upper
// one wins.
func TestBoundsThatCross(t *testing.T) {
	r := rand.New(rand.NewPCG(41, 42))
	g := &graph.Graph{Name: "crossed bounds", Opset: map[string]int{"": graph.LatestOpset}}
	m := &netMaker{graph.NewBuilder(g, "t"), r}
	x := m.Input("x", tensor.TypeOf(tensor.Float32, 1, 8, 9, 9))
	y := m.With("Conv", attrs{graph.Ints("pads", 1, 1, 1, 1)}, x, m.weights(20, 8, 3, 3))
	g.Outputs = []*graph.Value{m.Op("Clip", y, m.Const(tensor.Scalar(float32(1))), m.Const(tensor.Scalar(float32(-2))))}
	if m.Err() != nil {
		t.Fatal(m.Err())
	}
	for _, set := range []kernel.Set{kernel.Portable, kernel.AVX2, kernel.Best()} {
		p, out := compiled(t, g, Options{Pool: kernel.NewPool(1, set)}, random(r, tensor.Float32, 1, 8, 9, 9))
		if count(p, "Clip") > 0 {
			t.Errorf("%v kernels: Clip is a step of its own", set)
		}
		for i, got := range out[0].Float64s() {
			if got != -2 {
				t.Fatalf("%v kernels: output %d: got %v, want -2", set, i, got)
			}
		}
	}
}
