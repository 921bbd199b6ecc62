package paths

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// residualNet is conv, pooling, a residual block whose shortcut is a slice, and a
// classifier.
func residualNet(t *testing.T) *graph.Graph {
	t.Helper()
	r := rand.New(rand.NewPCG(5, 6))
	g := &graph.Graph{Name: "residual", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "v")
	same := graph.Attributes{graph.Ints("kernel_shape", 3, 3), graph.Ints("pads", 1, 1, 1, 1)}
	conv := func(x *graph.Value, name string) *graph.Value {
		return b.With("Conv", same, x, b.Param(name, normal(r, 4, x.Type.Shape[1].Size, 3, 3)), b.Param(name+" bias", normal(r, 4)))
	}
	named := func(v *graph.Value, name string) *graph.Value { v.Name = name; return v }
	x := b.Input("x", tensor.Type{DType: tensor.Float32, Shape: []tensor.Dim{tensor.Symbol("N"), tensor.Fixed(2), tensor.Fixed(8), tensor.Fixed(8)}})
	y := named(b.With("MaxPool", graph.Attributes{graph.Ints("kernel_shape", 2, 2), graph.Ints("strides", 2, 2)}, named(conv(x, "first"), "before")), "pooled")
	block := named(conv(named(b.Op("Relu", conv(y, "second")), "inner"), "third"), "branch")
	short := named(b.Op("Slice", y, b.Const(tensor.Ints(0)), b.Const(tensor.Ints(4)), b.Const(tensor.Ints(2)), b.Const(tensor.Ints(1))), "short")
	y = named(b.Op("Relu", b.Op("Add", block, short)), "sum")
	g.Outputs = []*graph.Value{b.Op("Gemm", b.Op("Flatten", b.Op("GlobalAveragePool", y)), b.Param("out", normal(r, 4, 3)))}
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	return g
}

// TestResidualNetIsRoundedThroughout: runtimes fuse a residual network if all that
// passes between its layers is rounded: both operands of the sum, what pooling and
// slicing read and make, and the means. What one value is made of another by
// moving elements alone has its grid.
func TestResidualNetIsRoundedThroughout(t *testing.T) {
	g := residualNet(t)
	ranges := make(map[string]Range)
	for i, v := range Activations(g) {
		ranges[v.Name] = Range{-float64(i), 1 + float64(i)}
	}
	q, err := QuantizeActivations(g, ranges)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.Validate(); err != nil {
		t.Fatal(err)
	}
	producer := q.Producers()
	scale := make(map[string]float64) // by the name of what is rounded
	readers := map[string]int{}
	for _, n := range q.Nodes {
		if n.Kind() == "QuantizeLinear" {
			if _, twice := scale[n.In[0].Name]; twice {
				t.Errorf("%s is rounded twice", n.In[0].Name)
			}
			scale[n.In[0].Name] = q.Param(n.In[1]).Data.At(0)
		}
		for _, v := range n.In {
			if from := producer[v]; from != nil && from.Kind() == "DequantizeLinear" && producer[from.In[0]] != nil {
				readers[n.Kind()]++
			}
		}
	}
	for op, want := range map[string]int{"Conv": 3, "MaxPool": 1, "Slice": 1, "Add": 2, "GlobalAveragePool": 1, "Gemm": 1} {
		if readers[op] != want {
			t.Errorf("rounded operands of %s: got %d, want %d", op, readers[op], want)
		}
	}
	for _, pair := range [][2]string{{"before", "pooled"}, {"pooled", "short"}} {
		if scale[pair[0]] == 0 || scale[pair[0]] != scale[pair[1]] {
			t.Errorf("scales of %s and %s: got %v and %v, want equal ones", pair[0], pair[1], scale[pair[0]], scale[pair[1]])
		}
	}
	if scale["inner"] == scale["branch"] {
		t.Error("values of different layers have one scale")
	}
}

// TestFormsForRuntimes: what ONNX Runtime's older versions need, beside the same
// integers: a zero point where a Gemm multiplies bytes, and, where asked for, biases
// of int32 whose scale is that of the input times that of the weight. Neither changes
// the answers by more than half a step of a bias.
func TestFormsForRuntimes(t *testing.T) {
	g := residualNet(t)
	q, err := QuantizeWeights(nil, g, Uniform(g, Scheme{Bits: 8}))
	if err != nil {
		t.Fatal(err)
	}
	ranges := make(map[string]Range)
	for _, v := range Activations(q) {
		ranges[v.Name] = Range{-8, 8}
	}
	if q, err = QuantizeActivations(q, ranges); err != nil {
		t.Fatal(err)
	}
	old, err := QuantizeBiases(q)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		g      *graph.Graph
		biases int
	}{{q, 0}, {old, 3}} {
		if err := c.g.Validate(); err != nil {
			t.Fatal(err)
		}
		producer, biases := c.g.Producers(), 0
		for _, n := range c.g.Nodes {
			switch n.Kind() {
			case "Gemm":
				z := c.g.Param(producer[n.In[1]].Input(2))
				if z == nil || z.Data.DType() != tensor.Int8 || z.Data.Len() != 3 {
					t.Errorf("zero point of the Gemm: got %v, want three of int8", z)
				}
			case "Conv":
				bias := producer[n.In[2]]
				if bias == nil { // floats, but on the grid of the integers
					x, w, b := producer[n.In[0]], producer[n.In[1]], c.g.Param(n.In[2]).Data
					steps := b.At(1) / c.g.Param(x.In[1]).Data.At(0) / c.g.Param(w.In[1]).Data.At(1)
					if math.Abs(steps-math.Round(steps)) > 1e-3 {
						t.Errorf("bias of %s: got %v steps, want a whole number", n.Name, steps)
					}
					continue
				}
				biases++
				x, w, b := producer[n.In[0]], producer[n.In[1]], c.g.Param(bias.In[1]).Data
				want := float32(c.g.Param(x.In[1]).Data.At(0)) * float32(c.g.Param(w.In[1]).Data.At(1))
				if got := float32(b.At(1)); c.g.Param(bias.In[0]).Data.DType() != tensor.Int32 || got != want {
					t.Errorf("bias of %s: got a scale of %v, want %v", n.Name, got, want)
				}
			}
		}
		if biases != c.biases {
			t.Errorf("biases of int32: got %d, want %d", biases, c.biases)
		}
	}
}

// TestBiasesBeyondInt32Stay: weights that are nearly zero make steps too fine for a
// bias, which is then left as it is.
func TestBiasesBeyondInt32Stay(t *testing.T) {
	g := residualNet(t)
	w, bias := param(t, g, "first"), param(t, g, "first bias")
	for i := range w.Len() {
		w.Set(i, w.At(i)*1e-12)
	}
	before := bias.Clone()
	q, err := QuantizeWeights(nil, g, Uniform(g, Scheme{Bits: 8}))
	if err != nil {
		t.Fatal(err)
	}
	ranges := make(map[string]Range)
	for _, v := range Activations(q) {
		ranges[v.Name] = Range{-8, 8}
	}
	if q, err = QuantizeActivations(q, ranges); err != nil {
		t.Fatal(err)
	}
	if q, err = QuantizeBiases(q); err != nil {
		t.Fatal(err)
	}
	if got := param(t, q, "first bias"); !got.Equal(before) {
		t.Errorf("bias: got %v, want %v as it was", got.Float64s(), before.Float64s())
	}
}

// TestSumsOfOtherThingsStayReal: a bias is no residual, nor is a sum behind matrix
// products.
func TestSumsOfOtherThingsStayReal(t *testing.T) {
	g := products(t, 8, "MatMul")
	b := graph.NewBuilder(g, "s")
	y := g.Outputs[0]
	g.Outputs[0] = b.Op("Add", b.Op("Add", y, b.Const(tensor.Scalar(float32(1)))), y)
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if got := len(Activations(g)); got != 1 {
		t.Errorf("values to round: got %d, want the data of the product alone", got)
	}
}
