package engine

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/testkit"
	"github.com/compactify/compactify/tensor"
)

// foldTolerance: a folded weight is rounded to float32 once more.
const foldTolerance = 1e-5

// drawing builds a model of one input with weights from a stream of its own.
type drawing struct {
	*graph.Builder
	r *rand.Rand
}

func draw(t *testing.T, input []int, body func(d drawing, x *graph.Value) []*graph.Value) *graph.Graph {
	t.Helper()
	g := &graph.Graph{Name: "drawn", Opset: map[string]int{"": graph.LatestOpset}}
	d := drawing{graph.NewBuilder(g, "v"), rand.New(rand.NewPCG(1, 2))}
	shape := []tensor.Dim{tensor.Symbol("N")}
	for _, n := range input {
		shape = append(shape, tensor.Fixed(n))
	}
	g.Outputs = body(d, d.Input("x", tensor.Type{DType: tensor.Float32, Shape: shape}))
	if err := d.Err(); err != nil {
		t.Fatal(err)
	}
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	return g
}

func (d drawing) weight(name string, shape ...int) *graph.Value {
	return d.Param(name, random(d.r, tensor.Float32, shape...))
}

// norm is a batch normalisation with statistics away from 0 and 1.
func (d drawing) norm(name string, channels int, x *graph.Value) *graph.Value {
	variance := make([]float32, channels)
	for i := range variance {
		variance[i] = 0.2 + d.r.Float32()
	}
	return d.With("BatchNormalization", graph.Attributes{graph.Float("epsilon", 1e-3)}, x, d.weight(name+".scale", channels),
		d.weight(name+".beta", channels), d.weight(name+".mean", channels), d.Param(name+".variance", tensor.Of(variance, channels)))
}

func outputs(t *testing.T, g *graph.Graph) [][]float64 {
	t.Helper()
	p, err := Compile(g, Options{Dims: map[string]int{"N": 2}, Unfused: true})
	if err != nil {
		t.Fatal(err)
	}
	shape, _ := p.Inputs()[0].Static()
	out := make([]tensor.Tensor, len(g.Outputs))
	if err := p.Run(context.Background(), []tensor.Tensor{random(rand.New(rand.NewPCG(3, 4)), tensor.Float32, shape...)}, out); err != nil {
		t.Fatal(err)
	}
	var list [][]float64
	for _, y := range out {
		list = append(list, y.Float64s())
	}
	return list
}

func kinds(g *graph.Graph) []string {
	var list []string
	for _, n := range g.Nodes {
		list = append(list, n.Kind())
	}
	return list
}

type drawn = func(d drawing, x *graph.Value) []*graph.Value

func one(v *graph.Value) []*graph.Value { return []*graph.Value{v} }

const normalisation = "BatchNormalization"

// TestSimplify: what is left of small models, what is said of it, and that they
// compute the same.
func TestSimplify(t *testing.T) {
	folded := func(n int) string {
		if n == 1 {
			return "folded 1 batch normalisation into the weights before it"
		}
		return fmt.Sprintf("folded %d batch normalisations into the weights before them", n)
	}
	for _, c := range []struct {
		name  string
		input []int
		body  drawn
		want  []string // kinds of the nodes that are left
		notes []string
	}{
		{"convolution with a bias", []int{2, 5, 5}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.norm("n", 3, d.Op("Conv", x, d.weight("w", 3, 2, 3, 3), d.weight("b", 3))))
		}, []string{"Conv"}, []string{folded(1)}},
		{"convolution without a bias", []int{2, 5, 5}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.norm("n", 3, d.Op("Conv", x, d.weight("w", 3, 2, 3, 3))))
		}, []string{"Conv"}, []string{folded(1)}},
		{"convolution in groups", []int{4, 5, 5}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.norm("n", 4, d.With("Conv", graph.Attributes{graph.Int("group", 4)}, x, d.weight("w", 4, 1, 3, 3))))
		}, []string{"Conv"}, []string{folded(1)}},
		{"Gemm with a bias", []int{4}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.norm("n", 3, d.Op("Gemm", x, d.weight("w", 4, 3), d.weight("b", 3))))
		}, []string{"Gemm"}, []string{folded(1)}},
		{"Gemm of a transposed weight, scaled, without a bias", []int{4}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.norm("n", 3, d.With("Gemm", graph.Attributes{graph.Int("transB", 1), graph.Float("alpha", 0.5)}, x, d.weight("w", 3, 4))))
		}, []string{"Gemm"}, []string{folded(1)}},
		{"Gemm with a row for a bias", []int{4}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.norm("n", 3, d.Op("Gemm", x, d.weight("w", 4, 3), d.weight("b", 1, 3))))
		}, []string{"Gemm"}, []string{folded(1)}},
		{"Gemm with a bias per example", []int{4}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.norm("n", 2, d.Op("Gemm", x, d.weight("w", 4, 2), d.weight("b", 2, 1))))
		}, []string{"Gemm", normalisation}, nil},
		{"Gemm with a scaled bias", []int{4}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.norm("n", 3, d.With("Gemm", graph.Attributes{graph.Float("beta", 2)}, x, d.weight("w", 4, 3), d.weight("b", 3))))
		}, []string{"Gemm", normalisation}, nil},
		{"shared weights", []int{2, 4, 4}, func(d drawing, x *graph.Value) []*graph.Value {
			w := d.weight("w", 2, 2, 1, 1)
			return one(d.norm("n", 2, d.Op("Conv", d.Op("Conv", x, w), w)))
		}, []string{"Conv", "Conv", normalisation}, nil},
		{"a shared bias", []int{2, 4, 4}, func(d drawing, x *graph.Value) []*graph.Value {
			b := d.weight("b", 2)
			return one(d.Op("Add", d.norm("n", 2, d.Op("Conv", x, d.weight("w", 2, 2, 1, 1), b)), d.Op("Conv", x, d.weight("v", 2, 2, 1, 1), b)))
		}, []string{"Conv", normalisation, "Conv", "Add"}, nil},
		{"statistics shared by two", []int{2, 4, 4}, func(d drawing, x *graph.Value) []*graph.Value {
			s := [4]*graph.Value{d.weight("g", 2), d.weight("h", 2), d.weight("m", 2), d.Param("v", tensor.Of([]float32{0.5, 2}, 2))}
			norm := func(x *graph.Value) *graph.Value { return d.Op(normalisation, x, s[0], s[1], s[2], s[3]) }
			return one(norm(d.Op("Conv", norm(d.Op("Conv", x, d.weight("w1", 2, 2, 1, 1))), d.weight("w2", 2, 2, 1, 1))))
		}, []string{"Conv", "Conv"}, []string{folded(2)}},
		{"an output in between", []int{2, 4, 4}, func(d drawing, x *graph.Value) []*graph.Value {
			y := d.Op("Conv", x, d.weight("w", 2, 2, 1, 1))
			return []*graph.Value{y, d.norm("n", 2, y)}
		}, []string{"Conv", normalisation}, nil},
		{"the weight is an output", []int{2, 4, 4}, func(d drawing, x *graph.Value) []*graph.Value {
			w := d.weight("w", 2, 2, 1, 1)
			return []*graph.Value{d.norm("n", 2, d.Op("Conv", x, w)), w}
		}, []string{"Conv", normalisation}, nil},
		{"read twice", []int{2, 4, 4}, func(d drawing, x *graph.Value) []*graph.Value {
			y := d.Op("Conv", x, d.weight("w", 2, 2, 1, 1))
			return one(d.Op("Add", y, d.norm("n", 2, y)))
		}, []string{"Conv", normalisation, "Add"}, nil},
		{"two in a row", []int{2, 4, 4}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.norm("m", 2, d.norm("n", 2, d.Op("Conv", x, d.weight("w", 2, 2, 1, 1)))))
		}, []string{"Conv", normalisation}, []string{folded(1)}},
		{"nothing before it", []int{2, 4, 4}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.norm("n", 2, x))
		}, []string{normalisation}, nil},
		{"identities and dropout", []int{4}, func(d drawing, x *graph.Value) []*graph.Value {
			y := d.Op("Relu", d.Op("Identity", x))
			ratio, off := d.Const(tensor.Scalar(float32(0.5))), d.Const(tensor.Scalar(false))
			return one(d.Op("Neg", d.Op("Dropout", d.Op("Dropout", y), ratio, off)))
		}, []string{"Relu", "Neg"}, []string{"removed 3 operators that pass their input on"}},
		{"an identity that names an output", []int{4}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.Op("Identity", d.Op("Relu", x)))
		}, []string{"Relu", "Identity"}, nil},
		{"constants", []int{4}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.Op("Add", x, d.Op("Neg", d.Op("Exp", d.weight("w", 4)))))
		}, []string{"Add"}, []string{"computed 2 operators that depend on constants alone"}},
		{"a constant that would be large", []int{64, 64}, func(d drawing, x *graph.Value) []*graph.Value {
			return one(d.Op("Add", x, d.Op("Expand", d.weight("w", 1), d.Const(tensor.Ints(64, 64)))))
		}, []string{"Expand", "Add"}, nil},
		{"nothing that an output depends on", []int{4}, func(d drawing, x *graph.Value) []*graph.Value {
			d.Op("Add", x, d.weight("w", 4))
			return one(d.Op("Relu", x))
		}, []string{"Relu"}, nil},
		{"quantised weights", []int{4}, func(d drawing, x *graph.Value) []*graph.Value {
			q := d.Param("q", tensor.Of([]int8{1, -2, 3, 4, 5, -6, 7, 8}, 4, 2))
			w := d.With("DequantizeLinear", graph.Attributes{graph.Int("axis", 1)}, q, d.Param("s", tensor.Of([]float32{0.1, 0.2}, 2)))
			return one(d.norm("n", 2, d.Op("Gemm", x, w)))
		}, []string{"DequantizeLinear", "Gemm", normalisation}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := draw(t, c.input, c.body)
			before := g.Digest()
			s, notes, err := Simplify(g)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(); err != nil {
				t.Fatal(err)
			}
			if got := kinds(s); !slices.Equal(got, c.want) {
				t.Errorf("nodes: got %v, want %v", got, c.want)
			}
			if !slices.Equal(notes, c.notes) {
				t.Errorf("notes: got %q, want %q", notes, c.notes)
			}
			if g.Digest() != before || len(g.Nodes) < len(s.Nodes) {
				t.Error("the graph given was modified")
			}
			want, got := outputs(t, g), outputs(t, s)
			for i := range want {
				if s.Outputs[i].Name != g.Outputs[i].Name {
					t.Errorf("output %d: got the name %q, want %q", i, s.Outputs[i].Name, g.Outputs[i].Name)
				}
				if err := testkit.Close(got[i], want[i], foldTolerance); err != nil {
					t.Errorf("output %d: %v", i, err)
				}
			}
		})
	}
}

// TestFoldedWeights: with γ=2, β=1, μ=3, σ²+ε=4 the factor is 2/2 = 1 and 4·x+5
// becomes 4·x + (5−3)·1 + 1; with γ=6 the factor is 3.
func TestFoldedWeights(t *testing.T) {
	g := draw(t, []int{1}, func(d drawing, x *graph.Value) []*graph.Value {
		vec := func(name string, v ...float32) *graph.Value { return d.Param(name, tensor.Of(v, len(v))) }
		y := d.Op("Gemm", x, d.Param("w", tensor.Of([]float32{4, 4}, 1, 2)), vec("b", 5, 5))
		return one(d.With(normalisation, graph.Attributes{graph.Float("epsilon", 1)}, y,
			vec("gamma", 2, 6), vec("beta", 1, 1), vec("mu", 3, 3), vec("variance", 3, 3)))
	})
	s, _, err := Simplify(g)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range s.Params {
		want := map[string][]float64{"w": {4, 12}, "b": {3, 7}}[p.Name]
		if got := p.Data.Float64s(); !slices.Equal(got, want) {
			t.Errorf("parameter %q: got %v, want %v", p.Name, got, want)
		}
	}
}
