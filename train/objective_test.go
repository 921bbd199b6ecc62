package train

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// differenceTolerance: central differences in float64, see [testkit.Gradient].
const differenceTolerance = 1e-7

func mustObjective(t testing.TB, g *graph.Graph, set *data.Set, o ObjectiveOptions) *Objective {
	t.Helper()
	f, err := NewObjective(g, set, o)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func gradientAt(t testing.TB, f *Objective, x []float64) (float64, []float64) {
	t.Helper()
	g := make([]float64, f.Dim())
	l, err := f.Gradient(context.Background(), x, g)
	if err != nil {
		t.Fatal(err)
	}
	return l, g
}

func lossAt(t testing.TB, f *Objective, x []float64) float64 {
	t.Helper()
	l, err := f.Loss(context.Background(), x)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func hessianAt(t testing.TB, f *Objective, x, v []float64) []float64 {
	t.Helper()
	hv := make([]float64, f.Dim())
	if err := f.HessianVector(context.Background(), x, v, hv); err != nil {
		t.Fatal(err)
	}
	return hv
}

// wave is a vector without structure.
func wave(n int, size float64) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = size * math.Sin(1+2.3*float64(i))
	}
	return v
}

// smooth is 3-4-k with tanh and biases.
func smooth(t testing.TB, out int) *graph.Graph {
	return build(t, 3, func(b *graph.Builder, x *graph.Value) *graph.Value {
		w := func(name string, shape ...int) *graph.Value {
			n, _ := tensor.Size(shape)
			data := make([]float32, n)
			for i, e := range wave(n, 0.7) {
				data[i] = float32(e)
			}
			return b.Param(name, tensor.Of(data, shape...))
		}
		h := b.Op("Tanh", b.Op("Gemm", x, w("w1", 3, 4), w("b1", 4)))
		return b.Op("Gemm", h, w("w2", 4, out), w("b2", out))
	})
}

var smallRows = [][]float64{{1, 0.5, -1, 0}, {-2, 1, 0.25, 1}, {0.5, 0.5, 2, 2}, {1, -1, 0, 1}, {-0.5, 2, 1, 0}, {0, 0, 1, 2}, {3, 1, -2, 1}}

func TestObjectiveDerivatives(t *testing.T) {
	for _, c := range []struct {
		name string
		task data.Task
		out  int
	}{{"classification", data.Classify, 3}, {"regression", data.Regress, 1}} {
		f := mustObjective(t, smooth(t, c.out), table(t, c.task, smallRows...), ObjectiveOptions{Double: true, Batch: 3})
		x := f.Point()
		loss, g := gradientAt(t, f, x)
		if l := lossAt(t, f, x); l != loss {
			t.Errorf("%s: loss: got %v alone and %v with the gradient", c.name, l, loss)
		}
		want := testkit.Gradient(func(x []float64) float64 { return lossAt(t, f, x) }, x)
		if err := testkit.Close(g, want, differenceTolerance); err != nil {
			t.Errorf("%s: gradient: %v", c.name, err)
		}
		v := wave(f.Dim(), 1)
		hv := hessianAt(t, f, x, v)
		const h = 1e-5
		left, right := make([]float64, f.Dim()), make([]float64, f.Dim())
		for i := range v {
			left[i], right[i] = x[i]-h*v[i], x[i]+h*v[i]
		}
		_, g0 := gradientAt(t, f, left)
		_, g1 := gradientAt(t, f, right)
		for i := range g1 {
			g1[i] = (g1[i] - g0[i]) / (2 * h)
		}
		if err := testkit.Close(hv, g1, differenceTolerance); err != nil {
			t.Errorf("%s: Hessian-vector product: %v", c.name, err)
		}
		tiny := make([]float64, f.Dim())
		for i := range v {
			tiny[i] = math.Ldexp(v[i], -300)
		}
		for i, e := range hessianAt(t, f, x, tiny) {
			if math.Ldexp(e, 300) != hv[i] {
				t.Fatalf("%s: product with a tiny vector: entry %d: got %v·2⁻³⁰⁰, want %v·2⁻³⁰⁰", c.name, i, math.Ldexp(e, 300), hv[i])
			}
		}
	}
}

// TestObjectiveOfRidge: oracle 1 of the theory, X = diag(1, 2), y = (1, 1): the
// mean over two examples of (y − Xθ)² is RSS/2, so that with λ = ½ the gradient
// of L + λ‖θ‖² is zero at (0.5, 0.4).
func TestObjectiveOfRidge(t *testing.T) {
	set := table(t, data.Regress, []float64{1, 0, 1}, []float64{0, 2, 1})
	f := mustObjective(t, linear(t, 1, 0, 0), set, ObjectiveOptions{Double: true})
	x := []float64{0.5, 0.4}
	loss, g := gradientAt(t, f, x)
	if want := (0.25 + 0.04) / 2; math.Abs(loss-want) > 1e-15 {
		t.Errorf("loss: got %v, want %v", loss, want)
	}
	for i := range g {
		if r := g[i] + x[i]; math.Abs(r) > 1e-15 {
			t.Errorf("gradient of the penalised loss, entry %d: got %v, want 0", i, r)
		}
	}
	if hv := hessianAt(t, f, x, []float64{1, 1}); hv[0] != 1 || hv[1] != 4 {
		t.Errorf("XᵀX·(1, 1): got %v, want (1, 4)", hv)
	}
}

// TestObjectiveOfProduct: oracle 5, ½(uv−1)² as a model x·u·v of one example; the
// mean squared error is twice that.
func TestObjectiveOfProduct(t *testing.T) {
	g := build(t, 1, func(b *graph.Builder, x *graph.Value) *graph.Value {
		u := b.Op("MatMul", x, b.Param("u", tensor.Of([]float32{0.75}, 1, 1)))
		return b.Op("MatMul", u, b.Param("v", tensor.Of([]float32{2}, 1, 1)))
	})
	f := mustObjective(t, g, table(t, data.Regress, []float64{1, 1}), ObjectiveOptions{Double: true})
	if l, grad := gradientAt(t, f, f.Point()); l != 0.25 || grad[0] != 2 || grad[1] != 0.75 { // 2(uv−1)·(v, u)
		t.Errorf("at (0.75, 2): got %v and gradient %v, want 0.25 and (2, 0.75)", l, grad)
	}
	// H(0) = 2·[[0, −1], [−1, 0]].
	if hv := hessianAt(t, f, []float64{0, 0}, []float64{1, 0}); hv[0] != 0 || hv[1] != -2 {
		t.Errorf("H(0)·(1, 0): got %v, want (0, -2)", hv)
	}
}

// TestObjectiveBatches: the mean does not depend on how it is cut, nor on whether
// the model was exported for one batch size.
func TestObjectiveBatches(t *testing.T) {
	set := table(t, data.Classify, smallRows...)
	fixed := smooth(t, 3)
	fixed.SetBatch(fixed.Inputs, tensor.Fixed(4))
	if err := fixed.Infer(); err != nil {
		t.Fatal(err)
	}
	whole := mustObjective(t, smooth(t, 3), set, ObjectiveOptions{Double: true})
	x := whole.Point()
	loss, grad := gradientAt(t, whole, x)
	hv := hessianAt(t, whole, x, grad)
	for _, g := range []*graph.Graph{smooth(t, 3), fixed} {
		for _, batch := range []int{1, 2, 3, 7, 100} {
			f := mustObjective(t, g, set, ObjectiveOptions{Double: true, Batch: batch})
			f.room *= batch % 2 // examples of an even size are filled anew every time
			l, got := gradientAt(t, f, x)
			if math.Abs(l-loss) > 1e-14 {
				t.Errorf("batch %d: loss: got %v, want %v", batch, l, loss)
			}
			if err := testkit.Close(got, grad, 1e-14); err != nil {
				t.Errorf("batch %d: gradient: %v", batch, err)
			}
			if err := testkit.Close(hessianAt(t, f, x, grad), hv, 1e-14); err != nil {
				t.Errorf("batch %d: Hessian-vector product: %v", batch, err)
			}
		}
	}
}

// TestObjectiveThreads: of a real architecture in both arithmetics, and that they
// agree.
func TestObjectiveThreads(t *testing.T) {
	set := glyphs(t, 40)
	g, err := NewModel("lenet5", []int{1, 28, 28}, set.Classes(), 1)
	if err != nil {
		t.Fatal(err)
	}
	var double []float64
	for _, d := range []bool{true, false} {
		one := mustObjective(t, g, set, ObjectiveOptions{Batch: 16, Double: d})
		pool := kernel.NewPool(3, kernel.Best())
		defer pool.Close()
		many := mustObjective(t, g, set, ObjectiveOptions{Batch: 16, Double: d, Pool: pool})
		x := one.Point()
		l1, g1 := gradientAt(t, one, x)
		l3, g3 := gradientAt(t, many, x)
		if l1 != l3 || !slices.Equal(g1, g3) {
			t.Errorf("double %v: loss and gradient differ between 1 and 3 threads", d)
		}
		if !slices.Equal(hessianAt(t, one, x, g1), hessianAt(t, many, x, g1)) {
			t.Errorf("double %v: the Hessian-vector product differs between 1 and 3 threads", d)
		}
		if d {
			double = g1
		} else if err := testkit.Close(g1, double, 1e-5); err != nil {
			t.Errorf("gradient in float32 against float64: %v", err)
		}
	}
}

// TestObjectiveModel: points and models lead to each other, and the loss is that
// of training's own records; batch normalisations use their running statistics.
func TestObjectiveModel(t *testing.T) {
	set := glyphs(t, 30)
	g, err := NewModel("resnet8", []int{1, 28, 28}, set.Classes(), 1)
	if err != nil {
		t.Fatal(err)
	}
	f := mustObjective(t, g, set, ObjectiveOptions{Batch: 7})
	x := f.Point()
	for i := range x {
		x[i] = float64(float32(x[i] * 0.5))
	}
	moved := f.Model(x)
	if !followsBatches(moved.Nodes[1]) {
		t.Errorf("the model of a point: got %v first after the stem, want the normalisation in the form given", moved.Nodes[1])
	}
	h := mustObjective(t, moved, set, ObjectiveOptions{Batch: 30})
	if !slices.Equal(h.Point(), x) {
		t.Error("the point of the model of a point is another point")
	}
	if a, b := lossAt(t, f, x), lossAt(t, h, x); math.Abs(a-b) > 1e-6 {
		t.Errorf("loss: got %v in batches of 7 and %v in one", a, b)
	}
	if last := f.Blocks()[len(f.Blocks())-1]; last.Name != "fc.bias" || last.At+last.Len != f.Dim() {
		t.Errorf("last block: got %+v, want fc.bias at the end of %d", last, f.Dim())
	}
	lin := linear(t, 1, 3)
	one := table(t, data.Regress, []float64{1, 1})
	_, epochs := mustRun(t, lin, one, Options{Optimizer: SGD})
	if l := lossAt(t, mustObjective(t, lin, one, ObjectiveOptions{}), []float64{3}); l != epochs[0].Loss {
		t.Errorf("loss: got %v, want %v as training measured it", l, epochs[0].Loss)
	}
}

func TestObjectiveRefuses(t *testing.T) {
	lin := linear(t, 1, 3)
	for name, set := range map[string]*data.Set{
		"no labels":     table(t, data.Regress, []float64{1, 1}).Unlabeled(),
		"no examples":   table(t, data.Regress, []float64{1, 1}).Subset(nil),
		"other shape":   table(t, data.Regress, []float64{1, 1, 1}),
		"more classes":  table(t, data.Classify, []float64{1, 0}, []float64{2, 1}),
		"other targets": nil,
	} {
		g := lin
		if set == nil {
			g, set = linear(t, 2, 3, 3), table(t, data.Regress, []float64{1, 1})
		}
		if _, err := NewObjective(g, set, ObjectiveOptions{}); !errors.Is(err, ErrUntrainable) {
			t.Errorf("%s: got %v, want an error that wraps ErrUntrainable", name, err)
		}
	}
	f := mustObjective(t, lin, table(t, data.Regress, []float64{1, 1}), ObjectiveOptions{})
	if _, err := f.Loss(context.Background(), []float64{1, 2}); err == nil {
		t.Error("a point of 2 numbers for 1 parameter: got no error")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := f.Loss(ctx, []float64{1}); !errors.Is(err, context.Canceled) {
		t.Errorf("after the context ended: got %v, want its error", err)
	}
}
