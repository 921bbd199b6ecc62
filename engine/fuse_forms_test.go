package engine

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// formTolerance is relative to the largest output: sums of some hundred terms in
// another order, in float32.
const formTolerance = 2e-5

// formCase is a product of x [rows, k] with a constant weight.
type formCase struct {
	name  string
	rows  int
	build func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value
	want  string // the operator that the program runs
	form  string
}

// weights draws constant tensors.
type weights struct{ r *rand.Rand }

// float is a matrix of normal numbers times what mask says of each element.
func (w *weights) float(shape []int, mask func(i, j int) float64) tensor.Tensor {
	t := random(w.r, tensor.Float32, shape...)
	for i := range t.Len() {
		t.Set(i, t.At(i)*mask(i/shape[1], i%shape[1]))
	}
	return t
}

func (w *weights) integers(d tensor.DType, shape ...int) tensor.Tensor {
	t := tensor.New(d, shape...)
	lo, hi := d.IntRange()
	for i := range t.Len() {
		t.Set(i, float64(lo+w.r.Int64N(hi-lo+1)))
	}
	return t
}

func (w *weights) scales(shape ...int) tensor.Tensor {
	t := tensor.New(tensor.Float32, shape...)
	for i := range t.Len() {
		t.Set(i, 0.1+w.r.Float64())
	}
	return t
}

const formN, formK = 80, 100

func formCases() []formCase {
	low := func(name string, d tensor.DType, rows, axis, block int, zero bool, read func(b *graph.Builder, x, w *graph.Value) *graph.Value) formCase {
		return formCase{name, rows, func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			shape := []int{formN, formK}
			scale := []int{shape[axis]}
			at := attrs{graph.Int("axis", axis)}
			if block > 0 {
				scale = slices.Clone(shape)
				scale[axis] = (shape[axis] + block - 1) / block
				at = append(at, graph.Int("block_size", block))
			}
			in := []*graph.Value{b.Const(w.integers(d, shape...)), b.Const(w.scales(scale...))}
			if zero {
				in = append(in, b.Const(w.integers(d, scale...)))
			}
			return read(b, x, b.With("DequantizeLinear", at, in...))
		}, "compactify." + lowBitProduct, ""}
	}
	gemm := func(b *graph.Builder, x, w *graph.Value) *graph.Value {
		return b.With("Gemm", attrs{graph.Int("transB", 1)}, x, w, b.Const(random(rand.New(rand.NewPCG(1, 1)), tensor.Float32, formN)))
	}
	turned := func(b *graph.Builder, x, w *graph.Value) *graph.Value {
		return b.Op("MatMul", x, b.With("Transpose", attrs{graph.Ints("perm", 1, 0)}, w))
	}
	sparse := func(name string, rows int, form string, mask func(i, j int) float64) formCase {
		return formCase{name, rows, func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			return b.Op("MatMul", x, b.Const(w.float([]int{formK, formN}, mask)))
		}, "compactify." + formProduct, form}
	}
	hash := func(i, j, n int) bool { return (i*7919+j*104729+i*j)%n == 0 }
	pick := func(ok bool) float64 {
		if ok {
			return 1
		}
		return 0
	}
	oneBitWeights := func(b *graph.Builder, w *weights) *graph.Value {
		t := w.float([]int{formK, formN}, func(i, j int) float64 { return 1 })
		for i := range t.Len() {
			t.Set(i, math.Copysign(float64(i%formN+1)/64, t.At(i)))
		}
		return b.Const(t)
	}
	return []formCase{
		low("int4 by channel", tensor.Int4, 1, 0, 0, false, gemm),
		low("uint4 in blocks with zero points", tensor.Uint4, 3, 1, 32, true, turned),
		low("uint4 without zero points", tensor.Uint4, 3, 0, 0, false, gemm),
		low("int2 in blocks", tensor.Int2, 5, 1, 16, false, turned),
		low("uint2 with zero points", tensor.Uint2, 70, 0, 0, true, gemm),
		low("uint2 in one block", tensor.Uint2, 3, 1, formK, true, turned),
		{"one output in one block", 2, func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			at := attrs{graph.Int("axis", 1), graph.Int("block_size", 101)}
			return b.With("Gemm", attrs{graph.Int("transB", 1)}, x, b.With("DequantizeLinear", at, b.Const(w.integers(tensor.Uint2, 1, formK)), b.Const(w.scales(1, 1)), b.Const(w.integers(tensor.Uint2, 1, 1))))
		}, "compactify." + lowBitProduct, ""},
		{"MatMulNBits", 2, func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			at := attrs{graph.Int("K", formK), graph.Int("N", formN), graph.Int("bits", 4), graph.Int("block_size", 32)}
			return b.With("com.microsoft.MatMulNBits", at, x, b.Const(w.integers(tensor.Uint8, formN, 4, 16)), b.Const(w.scales(formN*4)), b.Const(w.integers(tensor.Uint8, formN*2)))
		}, "compactify." + lowBitProduct, ""},
		{"int4 [k, n] in blocks along k", 2, func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			q := b.With("DequantizeLinear", attrs{graph.Int("axis", 0), graph.Int("block_size", 16)},
				b.Const(w.integers(tensor.Int4, formK, formN)), b.Const(w.scales(7, formN)))
			return b.Op("MatMul", x, q)
		}, "compactify." + lowBitProduct, ""},
		{"int2 of one bit", 2, func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			q := w.integers(tensor.Int2, formK, formN)
			for i := range q.Len() {
				q.Set(i, float64(2*(i*i%3%2)-1))
			}
			return b.Op("MatMul", x, b.With("DequantizeLinear", attrs{graph.Int("axis", 1)}, b.Const(q), b.Const(w.scales(formN))))
		}, "compactify." + lowBitProduct, ""},
		sparse("columns of sixteen", 5, blockForm, func(i, j int) float64 { return pick(hash(i, j/16, 5)) }),
		sparse("two of four", 3, fourForm, func(i, j int) float64 { return pick(i%4 == j%4 || i%4 == (j+1)%4) }),
		sparse("few weights", 40, rowForm, func(i, j int) float64 { return pick(hash(i, j, 17)) }),
		{"one magnitude", 3, func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			return b.Op("MatMul", x, oneBitWeights(b, w))
		}, "compactify." + formProduct, oneBit},
		{"signs times one magnitude", 3, func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			return b.Op("MatMul", b.Op("Sign", x), oneBitWeights(b, w))
		}, "compactify." + formProduct, bothSigns},
		pointCase("convolution of kernel 1", blockForm, func(i, j int) float64 { return pick(hash(i/16, j, 5)) }, func(b *graph.Builder, x, y *graph.Value) *graph.Value { return y }),
		pointCase("convolution of kernel 1, residual and bounds", rowForm, func(i, j int) float64 { return pick(hash(i, j, 17)) }, func(b *graph.Builder, x, y *graph.Value) *graph.Value {
			return b.Op("Relu", b.Op("Add", y, x))
		}),
	}
}

// pointCase is a convolution of kernel 1 over images made of x [6, 100].
func pointCase(name, form string, mask func(i, j int) float64, after func(b *graph.Builder, x, y *graph.Value) *graph.Value) formCase {
	return formCase{name, 6, func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
		t, _ := w.float([]int{96, 96}, mask).Reshape(96, 96, 1, 1)
		image := b.Op("Reshape", x, b.Const(tensor.Ints(6, 1, 10, 10)))
		image = b.Op("Mul", image, b.Const(random(w.r, tensor.Float32, 96, 1, 1)))
		return after(b, image, b.Op("Conv", image, b.Const(t), b.Const(w.scales(96))))
	}, "compactify." + formProduct, form}
}

// A product in a compact form computes what the dense one does, on every set.
func TestFormsChangeNothing(t *testing.T) {
	for _, c := range formCases() {
		for set := kernel.Portable; set <= kernel.Best(); set++ {
			t.Run(fmt.Sprintf("%s %v", c.name, set), func(t *testing.T) {
				r := rand.New(rand.NewPCG(21, 22))
				x := random(r, tensor.Float32, c.rows, formK)
				g := &graph.Graph{Name: c.name, Opset: map[string]int{"": graph.LatestOpset}}
				b := graph.NewBuilder(g, "t")
				g.Outputs = []*graph.Value{c.build(b, b.Input("x", x.Type()), &weights{r})}
				if err := b.Err(); err != nil {
					t.Fatal(err)
				}
				pool := kernel.NewPool(2, set)
				defer pool.Close()
				_, want := compiled(t, g, Options{Unfused: true, Pool: pool}, x)
				p, got := compiled(t, g, Options{Pool: pool}, x)
				sameWithin(t, got[0], want[0], formTolerance)
				if set == kernel.Portable && c.rows > 8 && c.want == "compactify."+lowBitProduct {
					return // unpacked at once
				}
				if count(p, c.want) != 1 {
					t.Errorf("steps of %s: got %d, want 1", c.want, count(p, c.want))
				}
				for _, st := range p.steps {
					if form := st.node.Attrs.Text("form", ""); st.node.Kind() == c.want && form != c.form {
						t.Errorf("form: got %q, want %q", form, c.form)
					}
					if st.node.Kind() == "DequantizeLinear" {
						t.Error("the program expands the weights at each run")
					}
				}
			})
		}
	}
}

func sameWithin(t *testing.T, got, want tensor.Tensor, tolerance float64) {
	t.Helper()
	largest := 0.0
	for i := range want.Len() {
		largest = max(largest, math.Abs(want.At(i)))
	}
	for i := range want.Len() {
		if d := math.Abs(got.At(i) - want.At(i)); !(d <= tolerance*largest) {
			t.Fatalf("output %d: got %v, want %v within %v", i, got.At(i), want.At(i), tolerance*largest)
		}
	}
}

// A program holds weights of 4 bits in little more than half a byte each: the
// float32 matrix, eight times as large, is neither kept nor made at a run.
func TestLowBitsStayPacked(t *testing.T) {
	const n = 1024
	r := rand.New(rand.NewPCG(25, 26))
	w := &weights{r}
	g := &graph.Graph{Name: "large", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	x := b.Input("x", tensor.TypeOf(tensor.Float32, 2, n))
	q := b.With("DequantizeLinear", attrs{graph.Int("axis", 1)}, b.Const(w.integers(tensor.Int4, n, n)), b.Const(w.scales(n)))
	g.Outputs = []*graph.Value{b.Op("MatMul", x, q)}
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	before := heap()
	p, err := Compile(g, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := heap()-before, n*n/2*3/2; got > want {
		t.Errorf("a program of %d weights: got %d bytes, want at most %d", n*n, got, want)
	}
	runtime.KeepAlive(p)
}

// What no form fits stays as it was: scales along k, weights that something else
// reads too, few zeros, small matrices.
func TestFormsLeaveAlone(t *testing.T) {
	cases := map[string]func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value{
		"a scale for each inner index": func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			return b.Op("MatMul", x, b.With("DequantizeLinear", attrs{graph.Int("axis", 0)}, b.Const(w.integers(tensor.Int4, formK, formN)), b.Const(w.scales(formK))))
		},
		"weights read twice": func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			q := b.With("DequantizeLinear", attrs{graph.Int("axis", 1)}, b.Const(w.integers(tensor.Int4, formK, formN)), b.Const(w.scales(formN)))
			return b.Op("Add", b.Op("MatMul", x, q), b.With("ReduceSum", attrs{graph.Int("keepdims", 0)}, q))
		},
		"half of the weights": func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			return b.Op("MatMul", x, b.Const(w.float([]int{formK, formN}, func(i, j int) float64 { return float64((i / 3 * j / 2) % 2) })))
		},
		"small": func(b *graph.Builder, x *graph.Value, w *weights) *graph.Value {
			return b.Op("MatMul", x, b.Const(w.float([]int{formK, 8}, func(i, j int) float64 { return 0 })))
		},
	}
	for name, build := range cases {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(23, 24))
			x := random(r, tensor.Float32, 4, formK)
			g := &graph.Graph{Name: name, Opset: map[string]int{"": graph.LatestOpset}}
			b := graph.NewBuilder(g, "t")
			g.Outputs = []*graph.Value{build(b, b.Input("x", x.Type()), &weights{r})}
			_, want := compiled(t, g, Options{Unfused: true}, x)
			p, got := compiled(t, g, Options{}, x)
			sameWithin(t, got[0], want[0], formTolerance)
			for _, st := range p.steps {
				if slices.Contains([]string{"compactify." + lowBitProduct, "compactify." + formProduct, "DequantizeLinear"}, st.node.Kind()) {
					t.Errorf("got a step of %s", st.node.Kind())
				}
			}
		})
	}
}
