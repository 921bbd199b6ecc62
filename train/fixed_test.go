package train

import (
	"context"
	"math"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/calculus"
	"github.com/compactify/compactify/tensor"
)

// formula is a function given by its value, gradient and Hessian.
type formula struct {
	n       int
	value   func(x []float64) float64
	grad    func(x, g []float64)
	product func(x, v, hv []float64)
}

func (f formula) Dim() int { return f.n }

func (f formula) Gradient(_ context.Context, x, g []float64) (float64, error) {
	f.grad(x, g)
	return f.value(x), nil
}

func (f formula) HessianVector(_ context.Context, x, v, hv []float64) error {
	f.product(x, v, hv)
	return nil
}

// saddleProduct is ½(uv−1)², oracle 5.
var saddleProduct = formula{2,
	func(x []float64) float64 { return (x[0]*x[1] - 1) * (x[0]*x[1] - 1) / 2 },
	func(x, g []float64) { r := x[0]*x[1] - 1; g[0], g[1] = r*x[1], r*x[0] },
	func(x, v, hv []float64) {
		c := 2*x[0]*x[1] - 1
		hv[0], hv[1] = x[1]*x[1]*v[0]+c*v[1], c*v[0]+x[0]*x[0]*v[1]
	}}

// doubleWell is (θ²−1)², oracle 6.
var doubleWell = formula{1,
	func(x []float64) float64 { return (x[0]*x[0] - 1) * (x[0]*x[0] - 1) },
	func(x, g []float64) { g[0] = 4 * x[0] * (x[0]*x[0] - 1) },
	func(x, v, hv []float64) { hv[0] = (12*x[0]*x[0] - 4) * v[0] }}

// shaped is a network x → …→ y of one number, weights of one element each.
func shaped(t testing.TB, ops ...string) *graph.Graph {
	return build(t, 1, func(b *graph.Builder, x *graph.Value) *graph.Value {
		for _, op := range ops {
			switch op {
			case "w":
				x = b.Op("MatMul", x, b.Param("w", tensor.Of([]float32{0.5}, 1, 1)))
			case "b":
				x = b.Op("Gemm", x, b.Param("w", tensor.Of([]float32{0.5}, 1, 1)), b.Param("b", tensor.Of([]float32{0.25}, 1)))
			default:
				x = b.Op(op, x)
			}
		}
		return x
	})
}

func fixedPoint(t testing.TB, f calculus.Curved, lambda float64) FixedPoint {
	t.Helper()
	p, err := FixedPointAtZero(context.Background(), f, lambda, FixedOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFixedPointAtZero(t *testing.T) {
	one := table(t, data.Regress, []float64{1, 1}) // loss (z(1) − 1)²
	net := func(ops ...string) calculus.Curved {
		return mustObjective(t, shaped(t, ops...), one, ObjectiveOptions{Double: true})
	}
	for _, c := range []struct {
		name      string
		f         calculus.Curved
		lambda    float64
		curvature Curvature
		least     float64 // λ_min H(0)
		kind      FixedKind
		verdict   compactify.Verdict
	}{
		// Eigenvalues of H(0) with the penalty: 2λ ± 1.
		{"½(uv−1)² below its arrival", saddleProduct, 0.4, ByHessian, -1, Saddle, compactify.Supported},
		{"½(uv−1)² at its arrival", saddleProduct, 0.5, ByHessian, -1, FixedUnknown, compactify.Inconclusive},
		{"½(uv−1)² above", saddleProduct, 0.6, ByHessian, -1, Attractor, compactify.Supported},
		{"(θ²−1)² below", doubleWell, 1.9, ByHessian, -4, Repeller, compactify.Supported},
		{"(θ²−1)² above", doubleWell, 2.1, ByHessian, -4, Attractor, compactify.Supported},
		{"a linear model", net("w"), 1, NoCurvature, 0, NotFixed, compactify.Supported}, // g(0) = −2
		{"two linear layers below", net("w", "w"), 0.9, ByHessian, -2, Saddle, compactify.Supported},
		// C = 2|y|·|x| = 2 proves that nothing curves less than −2.
		{"two linear layers above", net("w", "w"), 1.1, ByHessian, -2, Attractor, compactify.Verified},
		{"a smooth activation", net("w", "Tanh", "w"), 0.9, ByHessian, -2, Saddle, compactify.Supported},
		// L(εv) = 1 − 2ε²·w₂·relu(w₁) + …: curvatures from −2 to 2, though formulas give H(0) = 0.
		{"two layers with ReLU below", net("w", "Relu", "w"), 0.9, ByDirection, -2, Saddle, compactify.Supported},
		{"two layers with ReLU above", net("w", "Relu", "w"), 1.1, ByDirection, -2, Attractor, compactify.Verified},
		{"three layers", net("w", "Relu", "w", "Relu", "w"), 1e-9, ByDegree, 0, Attractor, compactify.Verified},
		{"three layers without a penalty", net("w", "Relu", "w", "Relu", "w"), 0, ByDegree, 0, FixedUnknown, compactify.Inconclusive},
		{"a kink of first order", net("w", "Relu"), 1, NoCurvature, 0, FixedUnknown, compactify.NotApplicable},
		{"biases", net("b", "Relu", "b"), 1, NoCurvature, 0, NotFixed, compactify.Supported},
	} {
		p := fixedPoint(t, c.f, c.lambda)
		if p.Kind != c.kind || p.Verdict != c.verdict || p.Curvature != c.curvature || p.Reason == "" {
			t.Errorf("%s: got %s, %s by %q (%s), want %s, %s by %q", c.name, p.Kind, p.Verdict, p.Curvature, p.Reason, c.kind, c.verdict, c.curvature)
		}
		if math.Abs(p.LambdaMin-c.least) > 1e-5 || math.Abs(p.Margin()-c.least-2*c.lambda) > 1e-5 {
			t.Errorf("%s: got λ_min %v and margin %v, want %v and that plus 2λ", c.name, p.LambdaMin, p.Margin(), c.least)
		}
	}
}

// TestFixedPointOfBalancedBiases: with biases in the last layer alone, and as many
// examples of each class, g(0) is zero up to rounding, and H(0) is that of a model
// of constants beside the two layers.
func TestFixedPointOfBalancedBiases(t *testing.T) {
	set := table(t, data.Classify, []float64{1, 0}, []float64{-1, 1}, []float64{2, 1}, []float64{1, 0})
	g := build(t, 1, func(b *graph.Builder, x *graph.Value) *graph.Value {
		x = b.Op("Tanh", b.Op("MatMul", x, b.Param("w1", tensor.Of([]float32{1, 1, 1}, 1, 3))))
		return b.Op("Gemm", x, b.Param("w2", tensor.New(tensor.Float32, 3, 2)), b.Param("b2", tensor.New(tensor.Float32, 2)))
	})
	p := fixedPoint(t, mustObjective(t, g, set, ObjectiveOptions{}), 0)
	// Of softmax at 0 the curvature in the biases is ½·(1, −1)/√2; the mean of δx over
	// the examples is ¼·(1 + 1 − 2 + 1)·½ = ⅛ per class, with curvature ∓√2/8.
	if p.GradNorm > p.GradTolerance || p.GradTolerance == 0 || p.Kind != Saddle {
		t.Errorf("got %+v, want a saddle with a gradient that is zero within a tolerance", p)
	}
	if want := -math.Sqrt2 / 8; math.Abs(p.LambdaMin-want) > 1e-4 || math.Abs(p.LambdaMax-0.5) > 1e-4 {
		t.Errorf("ends of the spectrum: got %v and %v, want %v and 0.5", p.LambdaMin, p.LambdaMax, want)
	}
}

// TestFixedPointOfNetworks: the bias-free forms of LeNet-300-100 and LeNet-5 have
// degree 3 and 5; of two layers with ReLU, of real size, a value found below −2λ
// is a direction in which the penalised loss falls.
func TestFixedPointOfNetworks(t *testing.T) {
	set := glyphs(t, 60)
	for _, c := range []struct {
		arch   string
		layers int
	}{{"lenet-300-100", 3}, {"lenet5", 5}, {"mlp:784-30-10", 2}} {
		f := mustObjective(t, withoutBiases(t, c.arch, set), set, ObjectiveOptions{})
		if form := f.Form(); form.Degree != c.layers || form.Layers != c.layers || !form.Kinks || form.Affine {
			t.Errorf("%s without biases: got %+v, want a chain of %d layers of that degree", c.arch, form, c.layers)
		}
		p := fixedPoint(t, f, 1e-3)
		if c.layers > 2 {
			if p.GradNorm != 0 || p.Kind != Attractor || p.Verdict != compactify.Verified {
				t.Errorf("%s: got %+v, want a verified attractor with a gradient of exactly 0", c.arch, p)
			}
			continue
		}
		if p.Curvature != ByDirection || p.Kind != Saddle || p.LambdaMin < p.LambdaFloor || p.LambdaMin > p.LambdaFloor/100 {
			t.Errorf("%s: got %+v, want a saddle by direction, within what the structure allows", c.arch, p)
		}
	}
}

// withoutBiases is an architecture with 10 classes for 28×28 images.
func withoutBiases(t testing.TB, arch string, set *data.Set) *graph.Graph {
	t.Helper()
	g, err := NewModel(arch, []int{1, 28, 28}, set.Classes(), 1)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range g.Nodes {
		if n.Op == "Gemm" || n.Op == "Conv" {
			n.In = n.In[:2]
		}
	}
	g.RemoveDead()
	return g
}
