package train

import (
	"context"
	"math"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/calculus"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/tensor"
)

func arrival(t testing.TB, f calculus.Curved, p Penalty, o ArrivalOptions) Arrival {
	t.Helper()
	a, err := FindArrival(context.Background(), f, p, o)
	if err != nil {
		t.Fatal(err)
	}
	if a.Lower() > a.Upper*(1+1e-9) {
		t.Errorf("%s: the lower bound %v is above the upper bound %v (%s)", p.Kind, a.Lower(), a.Upper, a.UpperReason)
	}
	return a
}

// TestArrivalOracles: oracles 3, 5 and 6 of the theory.
func TestArrivalOracles(t *testing.T) {
	inf := math.Inf(1)
	// Oracle 3, breakpoint 9 of ½RSS: the mean of three squares is ⅔ of that. Column 2
	// meets y most.
	lasso := mustObjective(t, linear(t, 1, 0, 0, 0), table(t, data.Regress,
		[]float64{3, 0, 3, 3}, []float64{0, -3, -1, 3}, []float64{1, 0, 0, -1}), ObjectiveOptions{Double: true})
	// (uv−1)² as a network: twice oracle 5, with C = 2|y|·|x| = 2.
	product := mustObjective(t, shaped(t, "w", "w"), table(t, data.Regress, []float64{1, 1}), ObjectiveOptions{Double: true})
	relu := mustObjective(t, shaped(t, "w", "Relu", "w"), table(t, data.Regress, []float64{1, 1}), ObjectiveOptions{Double: true})
	cube := mustObjective(t, shaped(t, "w", "w", "w"), table(t, data.Regress, []float64{1, 1}), ObjectiveOptions{Double: true})
	for _, c := range []struct {
		name              string
		f                 calculus.Curved
		p                 Penalty
		candidate         []float64
		kkt, found, upper float64
		tolerance         float64
	}{
		{"L2 of (θ²−1)²", doubleWell, Penalty{Kind: L2}, []float64{1}, 2, 2, inf, 1e-5},
		{"L1 of (θ²−1)²", doubleWell, Penalty{Kind: L1}, []float64{1}, 0, 4. / 3 * math.Sqrt(2./3), inf, 1e-6},
		{"groups of one", doubleWell, Penalty{Kind: GroupLasso}, []float64{1}, 0, 4. / 3 * math.Sqrt(2./3), inf, 1e-6},
		{"L2 of ½(uv−1)²", saddleProduct, Penalty{Kind: L2}, []float64{1, 1}, 0.5, 0.5, inf, 1e-6},
		{"lasso", lasso, Penalty{Kind: L1}, []float64{0, -1, 0}, 6, 6, 6, 1e-3},
		{"elastic net, convex", lasso, Penalty{Kind: ElasticNet, Alpha: 0.25}, []float64{0, -1, 0}, 24, 24, 24, 1e-2},
		{"ridge never arrives", lasso, Penalty{Kind: L2}, nil, inf, 0, inf, 0},
		{"L2 of two layers", product, Penalty{Kind: L2}, []float64{1, 1}, 1, 1, 1, 1e-5},
		{"L2 of two layers with ReLU", relu, Penalty{Kind: L2}, []float64{1, 1}, 1, 1, 1, 1e-5},
		// Along (c, c): (2c² − c⁴)/2c, at c² = 2/3; the bound is 1/(2·√½).
		{"L1 of two layers", product, Penalty{Kind: L1}, []float64{1, 1}, 0, 2. / 3 * math.Sqrt(2./3), math.Sqrt2 / 2, 1e-6},
		// Along (c, c, c): (2c³ − c⁶)/3c², at c³ = ½; the bound is ∛4/3.
		{"L2 of three layers", cube, Penalty{Kind: L2}, []float64{1, 1, 1}, 0, 0.75 / 3 * math.Pow(2, 2./3), math.Pow(4, 1./3) / 3, 1e-6},
	} {
		o := ArrivalOptions{Scales: 32}
		if c.candidate != nil {
			o.Candidates = [][]float64{c.candidate}
		}
		a := arrival(t, c.f, c.p, o)
		if math.Abs(a.KKT-c.kkt) > 1e-5 || math.IsInf(a.KKT, 1) != math.IsInf(c.kkt, 1) {
			t.Errorf("%s: KKT: got %v (%s), want %v", c.name, a.KKT, a.KKTReason, c.kkt)
		}
		if d := c.found - a.Searched; d < -1e-6 || d > math.Max(c.tolerance, 1e-6)*max(1, c.found) {
			t.Errorf("%s: found: got %v at %v, want %v", c.name, a.Searched, a.Witness, c.found)
		}
		if math.Abs(a.Upper-c.upper) > 1e-5 {
			t.Errorf("%s: upper bound: got %v (%s), want %v", c.name, a.Upper, a.UpperReason, c.upper)
		}
		if a.UpperReason == "" || a.KKTReason == "" {
			t.Errorf("%s: got %+v, want reasons", c.name, a)
		}
	}
}

// TestArrivalWithoutSecondOrder: a second order that was not looked at is no second
// order of 0.
func TestArrivalWithoutSecondOrder(t *testing.T) {
	a, err := FindArrival(context.Background(), doubleWell, Penalty{Kind: L2}, ArrivalOptions{Fixed: &FixedPoint{differentiable: true}})
	if err != nil || a.KKT != 0 || !strings.Contains(a.KKTReason, "not known") {
		t.Errorf("got %v, %q, %v, want 0 as the second order is not known", a.KKT, a.KKTReason, err)
	}
}

// TestArrivalAscends: from a candidate in a poor direction the quotient climbs to
// the supremum, for the smooth penalty and the others.
func TestArrivalAscends(t *testing.T) {
	product := mustObjective(t, shaped(t, "w", "w"), table(t, data.Regress, []float64{1, 1}), ObjectiveOptions{Double: true})
	for _, c := range []struct {
		p               Penalty
		want, tolerance float64
	}{
		{Penalty{Kind: L2}, 1, 0.05}, // a limit at 0, which is never reached
		{Penalty{Kind: L1}, 2. / 3 * math.Sqrt(2./3), 1e-4},
		{Penalty{Kind: GroupLasso}, 2. / 3 * math.Sqrt(2./3), 1e-4},
		{Penalty{Kind: ElasticNet}, elasticSupremum(), 1e-4},
	} {
		o := ArrivalOptions{Candidates: [][]float64{{0.2, 1}}}
		still := arrival(t, product, c.p, o)
		o.Ascent = 200
		a := arrival(t, product, c.p, o)
		if !(a.Searched > still.Searched) || math.Abs(a.Searched-c.want) > c.tolerance {
			t.Errorf("%s: got %v after ascent from %v, want %v", c.p.Kind, a.Searched, still.Searched, c.want)
		}
	}
}

// elasticSupremum is the largest quotient along (c, c), (2c − c³)/(1 + c).
func elasticSupremum() float64 {
	best := 0.0
	for c := 0.0; c < 1.5; c += 1e-4 {
		best = max(best, (2*c-c*c*c)/(1+c))
	}
	return best
}

// TestDropBound: no model of a chain falls below the bound, near 0 and far, with
// every kind of layer, and the bound is not idle: the best of the models reaches a
// few thousandths of it.
func TestDropBound(t *testing.T) {
	set := glyphs(t, 20)
	pooled := build(t, 784, func(b *graph.Builder, x *graph.Value) *graph.Value {
		x = b.Op("Reshape", x, b.Const(tensor.Ints(-1, 1, 28, 28)))
		x = b.With("Conv", graph.Attributes{graph.Ints("kernel_shape", 5, 5), graph.Ints("strides", 2, 2), graph.Ints("pads", 2, 1, 2, 1)}, x, b.Param("c", tensor.New(tensor.Float32, 4, 1, 5, 5)))
		x = b.With("MaxPool", graph.Attributes{graph.Ints("kernel_shape", 3, 3), graph.Ints("strides", 2, 2)}, b.Op("LeakyRelu", x))
		x = b.With("AveragePool", graph.Attributes{graph.Ints("kernel_shape", 2, 2)}, b.Op("Tanh", x))
		x = b.Op("GlobalAveragePool", x)
		x = b.Op("Gemm", b.With("Flatten", graph.Attributes{graph.Int("axis", 1)}, x), b.Param("f", tensor.New(tensor.Float32, 4, 10)))
		return b.Op("Identity", x)
	})
	for _, c := range []struct {
		g      *graph.Graph
		layers int
		least  float64
	}{{pooled, 2, 1e-6}, {withoutBiases(t, "mlp:784-20-10", set), 2, 1e-3}, {withoutBiases(t, "lenet5", set), 5, 1e-9}} {
		f := mustObjective(t, c.g, set, ObjectiveOptions{})
		b, err := f.DropBound(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if b.Layers != c.layers || !(b.C > 0) {
			t.Fatalf("bound: got %+v, want one of %d layers", b, c.layers)
		}
		start := lossAt(t, f, make([]float64, f.Dim()))
		used := 0.0
		for i := range 20 {
			x := make([]float64, f.Dim())
			r := stream.New(1, "test", uint64(i))
			for k := range x {
				x[k] = r.NormFloat64()
			}
			scaleTo(x, math.Exp2(float64(i%5)-3)/length(x), x)
			// Downhill from a random direction, at the same length.
			_, g := gradientAt(t, f, x)
			for _, at := range [][]float64{x, opposite(g, length(x))} {
				fall := start - lossAt(t, f, at)
				if most := b.within(length(at)); fall > most+1e-6 {
					t.Fatalf("a chain of %d layers falls by %v at length %v, above the bound %v", c.layers, fall, length(at), most)
				} else {
					used = max(used, fall/most)
				}
			}
		}
		if used < c.least {
			t.Errorf("a chain of %d layers: the bound is used to %.3g at most, want %g", c.layers, used, c.least)
		}
	}
}

// opposite is −g, of the given length.
func opposite(g []float64, size float64) []float64 {
	x := make([]float64, len(g))
	scaleTo(x, -size/length(g), g)
	return x
}

// TestArrivalOfNetworks: of trained networks, lower bounds with witnesses below the
// upper bounds; where there is none, the reason.
func TestArrivalOfNetworks(t *testing.T) {
	set := glyphs(t, 60)
	model, _ := mustRun(t, withoutBiases(t, "mlp:784-20-10", set), set, Options{Epochs: 20, Batch: 20, Rate: 3e-3})
	f := mustObjective(t, model, set, ObjectiveOptions{})
	x := f.Point()
	for _, kind := range []PenaltyKind{L2, L1, ElasticNet, GroupLasso} {
		a := arrival(t, f, Penalty{Kind: kind}, ArrivalOptions{Candidates: [][]float64{x}, Ascent: 10})
		if a.Witness == nil || math.IsInf(a.Upper, 1) || a.Searched <= 0 || math.Abs(a.Loss0-math.Log(10)) > 1e-6 {
			t.Errorf("%s: got Searched %v, Upper %v (%s), L(0) %v, want a bracket and log 10", kind, a.Searched, a.Upper, a.UpperReason, a.Loss0)
		}
		r := newRegularizer(f, Penalty{Kind: kind})
		if q := (a.Loss0 - lossAt(t, f, a.Witness)) / r.value(a.Witness); q < a.Searched {
			t.Errorf("%s: the witness gives %v, want at least %v", kind, q, a.Searched)
		}
		if got, want := r.value(x), (Penalty{Kind: kind}).Value(model); math.Abs(got-want) > 1e-9*want {
			t.Errorf("%s: R: got %v, want %v as the penalty counts it", kind, got, want)
		}
	}
	biased, err := NewModel("mlp:784-20-10", []int{1, 28, 28}, set.Classes(), 1)
	if err != nil {
		t.Fatal(err)
	}
	a := arrival(t, mustObjective(t, biased, set, ObjectiveOptions{}), Penalty{Kind: L1}, ArrivalOptions{})
	if !math.IsInf(a.Upper, 1) || !strings.Contains(a.UpperReason, "has a bias") {
		t.Errorf("with biases: got the upper bound %v (%s), want none for the bias", a.Upper, a.UpperReason)
	}
	if _, err := FindArrival(context.Background(), doubleWell, Penalty{Kind: MaxNorm}, ArrivalOptions{}); err == nil {
		t.Error("max-norm: got no error")
	}
}
