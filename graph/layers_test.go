package graph

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/tensor"
)

// sketch builds a graph over one input x of type float32[N,4].
func sketch(t *testing.T, body func(b *Builder, x *Value) []*Value) *Graph {
	t.Helper()
	g := &Graph{Name: "sketch", Opset: map[string]int{"": LatestOpset}}
	b := NewBuilder(g, "v")
	g.Outputs = body(b, b.Input("x", typ(t, "float32[N,4]")))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	return g
}

func zeros(b *Builder, name string, shape ...int) *Value {
	return b.Param(name, tensor.New(tensor.Float32, shape...))
}

// branch is an If over a constant-free condition whose branches give y, which
// they capture from outside.
func branch(b *Builder, x, y *Value) *Value {
	body := func(name string) *Graph {
		sub := &Graph{Name: name, Opset: b.Graph().Opset}
		sub.Outputs = []*Value{NewBuilder(sub, name).Op("Identity", y)}
		return sub
	}
	any := b.With("ReduceMax", Attributes{Int("keepdims", 0)}, x)
	yes := b.Op("Greater", any, b.Const(tensor.Scalar(float32(0))))
	return b.With("If", Attributes{Subgraph("then_branch", body("then")), Subgraph("else_branch", body("else"))}, yes)
}

func TestLayers(t *testing.T) {
	for _, c := range []struct {
		name string
		body func(b *Builder, x *Value) []*Value
		want []string // name, axis of the output channels, number of readers
	}{
		{"Gemm both ways round and MatMul", func(b *Builder, x *Value) []*Value {
			x = b.With("Gemm", Attributes{Int("transB", 1)}, x, zeros(b, "out in", 3, 4), zeros(b, "bias", 3))
			x = b.Op("Gemm", x, zeros(b, "in out", 3, 5))
			return []*Value{b.Op("MatMul", x, zeros(b, "matmul", 5, 2))}
		}, []string{"out in 0 1", "in out 1 1", "matmul 1 1"}},
		{"a stack of matrices", func(b *Builder, x *Value) []*Value {
			return []*Value{b.Op("MatMul", b.Op("Unsqueeze", x, b.Const(tensor.Ints(1))), zeros(b, "w", 7, 4, 3))}
		}, []string{"w 2 1"}},
		{"convolutions", func(b *Builder, x *Value) []*Value {
			x = b.Op("Reshape", x, b.Const(tensor.Ints(0, 1, 2, 2)))
			x = b.Op("Conv", x, zeros(b, "conv", 4, 1, 1, 1), zeros(b, "bias", 4))
			x = b.Op("ConvTranspose", x, zeros(b, "up", 4, 6, 2, 2))
			return []*Value{b.With("ConvTranspose", Attributes{Int("group", 2)}, x, zeros(b, "grouped", 6, 2, 1, 1))}
		}, []string{"conv 0 1", "up 1 1", "grouped 0 1"}},
		{"shared along one axis", func(b *Builder, x *Value) []*Value {
			w := zeros(b, "w", 4, 4)
			return []*Value{b.Op("MatMul", b.Op("Gemm", x, w), w)}
		}, []string{"w 1 2"}},
		{"shared along two axes", func(b *Builder, x *Value) []*Value {
			w := zeros(b, "w", 4, 4)
			return []*Value{b.With("Gemm", Attributes{Int("transB", 1)}, b.Op("MatMul", x, w), w)}
		}, nil},
		{"read as something else too", func(b *Builder, x *Value) []*Value {
			w := zeros(b, "w", 4, 4)
			return []*Value{b.Op("MatMul", x, w), b.Op("Relu", w)}
		}, nil},
		{"weight and bias of one node", func(b *Builder, x *Value) []*Value {
			w := zeros(b, "w", 4, 4)
			return []*Value{b.Op("Gemm", b.Op("Gemm", x, w), zeros(b, "v", 4, 4), w)}
		}, []string{"v 1 1"}},
		{"an output of the graph", func(b *Builder, x *Value) []*Value {
			w := zeros(b, "w", 4, 4)
			return []*Value{b.Op("MatMul", x, w), w}
		}, nil},
		{"captured by a branch", func(b *Builder, x *Value) []*Value {
			w := zeros(b, "w", 4, 4)
			return []*Value{b.Op("MatMul", x, w), branch(b, x, w)}
		}, nil},
		{"recurrent layers", func(b *Builder, x *Value) []*Value {
			x = b.Op("Unsqueeze", x, b.Const(tensor.Ints(0)))
			x = b.With("LSTM", Attributes{Int("hidden_size", 2)}, x, zeros(b, "W", 1, 8, 4), zeros(b, "R", 1, 8, 2), zeros(b, "B", 1, 16))
			x = b.Op("Squeeze", x, b.Const(tensor.Ints(1)))
			x = b.With("GRU", Attributes{Int("hidden_size", 3), Text("direction", "bidirectional")}, x, zeros(b, "W2", 2, 9, 2), zeros(b, "R2", 2, 9, 3))
			return []*Value{x}
		}, []string{"W 1 1", "R 1 1", "W2 1 1", "R2 1 1"}},
		{"a table, read by rows and by columns", func(b *Builder, x *Value) []*Value {
			rows := b.Op("Gather", zeros(b, "rows", 9, 4), b.With("Cast", Attributes{Int("to", int(tensor.Int64))}, x))
			return []*Value{rows, b.With("Gather", Attributes{Int("axis", -1)}, zeros(b, "columns", 4, 9), b.Const(tensor.Ints(1)))}
		}, []string{"rows 0 1", "columns 1 1"}},
		{"products of Einstein's sum", func(b *Builder, x *Value) []*Value {
			y := b.With("Einsum", Attributes{Text("equation", "nk,kjm->njm")}, x, zeros(b, "right", 4, 2, 3))
			return []*Value{y, b.With("Einsum", Attributes{Text("equation", "mk,nk->nm")}, zeros(b, "left", 5, 4), x),
				b.With("Einsum", Attributes{Text("equation", "nk,kj->n")}, x, zeros(b, "summed", 4, 2))}
		}, []string{"right 2 1", "left 0 1"}},
		{"in a branch", func(b *Builder, x *Value) []*Value {
			w := zeros(b, "w", 4, 4)
			sub := &Graph{Name: "then", Opset: b.Graph().Opset}
			sub.Outputs = []*Value{NewBuilder(sub, "then").Op("MatMul", x, w)}
			other := &Graph{Name: "else", Opset: b.Graph().Opset}
			other.Outputs = []*Value{NewBuilder(other, "else").Op("Identity", x)}
			yes := b.Op("Greater", b.With("ReduceMax", Attributes{Int("keepdims", 0)}, x), b.Const(tensor.Scalar(float32(0))))
			return []*Value{b.With("If", Attributes{Subgraph("then_branch", sub), Subgraph("else_branch", other)}, yes)}
		}, []string{"w 1 1"}},
		{"vectors, integers and the left operand", func(b *Builder, x *Value) []*Value {
			q := b.Op("DequantizeLinear", b.Param("q", tensor.New(tensor.Int8, 4, 2)), b.Const(tensor.Scalar(float32(1))))
			y := b.Op("MatMul", x, q)
			return []*Value{y, b.Op("MatMul", x, zeros(b, "vector", 4)), b.Op("MatMul", zeros(b, "left", 2, 2), b.Op("Transpose", y))}
		}, []string{"left 0 1"}},
	} {
		var got []string
		for _, l := range sketch(t, c.body).Layers() {
			got = append(got, fmt.Sprintf("%s %d %d", l.Name(), l.Axis, len(l.Nodes)))
			if l.Channels() != l.Param.Data.Shape()[l.Axis] {
				t.Errorf("%s: channels of %q: got %d", c.name, l.Name(), l.Channels())
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestWeights: what trains, and ‖θ‖ over it.
func TestWeights(t *testing.T) {
	g := sketch(t, func(b *Builder, x *Value) []*Value {
		x = b.Op("Mul", x, b.Const(tensor.Scalar(float32(0.5)))) // a constant of the graph
		x = b.Op("Add", x, b.Param("one", tensor.Of([]float32{7}, 1)))
		x = b.Op("Gemm", x, b.Param("w", tensor.Of([]float32{1, 2, 2, 0}, 4, 1)), b.Param("bias", tensor.Of([]float32{4}, 1)))
		x = b.Op("BatchNormalization", x, b.Param("scale", tensor.Of([]float32{0}, 1)), b.Param("beta", tensor.Of([]float32{0}, 1)),
			b.Param("mean", tensor.Of([]float32{9}, 1)), b.Param("variance", tensor.Of([]float32{9}, 1)))
		return []*Value{b.Op("Reshape", x, b.Param("shape", tensor.Ints(-1)))}
	})
	var names []string
	for _, p := range g.Weights() {
		names = append(names, p.Name)
	}
	if want := []string{"w", "bias", "scale", "beta"}; !slices.Equal(names, want) {
		t.Errorf("weights: got %v, want %v", names, want)
	}
	if got := g.Norm(); math.Abs(got-5) > 1e-12 { // √(1 + 4 + 4 + 16)
		t.Errorf("norm: got %v, want 5", got)
	}
}

// mixed holds tensors of every role, one of them in a branch, and one sparse.
func mixed(t *testing.T) *Graph {
	g := sketch(t, func(b *Builder, x *Value) []*Value {
		q := b.Param("int4", tensor.New(tensor.Int4, 4, 3)) // 12 elements, 6 bytes
		w := b.With("DequantizeLinear", Attributes{Int("axis", 1)}, q,
			b.Param("scale", tensor.Of([]float32{1, 2, 3}, 3)), b.Param("zero", tensor.New(tensor.Int4, 3)))
		y := b.Op("MatMul", x, w)
		y = b.Op("Add", y, b.Param("bias", tensor.Of([]float32{1, 0, 2}, 3)))
		y = b.Op("MatMul", y, b.Param("sparse", tensor.Of([]float32{0, 5, 0, 0, 6, 0}, 3, 2)))
		y = b.Op("Reshape", y, b.Param("shape", tensor.Ints(-1, 2)))
		y = branch(b, x, y)
		then := last(b).Attrs[0].G
		then.Params = append(then.Params, &Param{Value: &Value{Name: "inner", Type: typ(t, "float32[2]")}, Data: tensor.New(tensor.Float32, 2)})
		return []*Value{y}
	})
	for _, p := range g.Params {
		p.Sparse = p.Name == "sparse"
	}
	return g
}

// last is the node the builder appended last.
func last(b *Builder) *Node { return b.Graph().Nodes[len(b.Graph().Nodes)-1] }

func TestLedger(t *testing.T) {
	m := mixed(t)
	l := m.Ledger(1000)
	got := make(map[string]string)
	for _, e := range l.Tensors {
		got[e.Name] = fmt.Sprintf("%s %v %d", e.Role, e.Sparse, e.Bytes)
	}
	for name, want := range map[string]string{
		"int4":   "weight false 6",
		"scale":  "scale false 12",
		"zero":   "zero point false 2", // 3 elements of 4 bits
		"bias":   "weight false 12",
		"sparse": "weight true 10", // 2 values of 4 bytes with an index of 1 each
		"shape":  "constant false 16",
		"inner":  "weight false 8",
	} {
		if got[name] != want {
			t.Errorf("entry %q: got %q, want %q", name, got[name], want)
		}
	}
	const unnamed = 4 // the constant that branch compares with
	if payload := 6 + 12 + 10 + 16 + 8 + unnamed; l.Payload != payload || l.Scales != 14 || l.Metadata != 1000-payload-14 || l.Total != 1000 {
		t.Errorf("sums: got payload %d, scales %d, metadata %d of %d, want %d, 14 and the rest of 1000", l.Payload, l.Scales, l.Metadata, l.Total, payload)
	}
	if got, want := m.NumParams(), 12+3+6+2+1; got != want {
		t.Errorf("parameters: got %d, want %d: neither scales nor shapes", got, want)
	}
}

// TestDigest: equal for equal parameters in any order, and different when a
// name, type, shape or byte is.
func TestDigest(t *testing.T) {
	of := func(params ...*Param) string { return (&Graph{Params: params}).Digest() }
	p := func(name string, t tensor.Tensor) *Param { return &Param{Value: &Value{Name: name}, Data: t} }
	a, b := p("a", tensor.Of([]float32{1, 2}, 2)), p("b", tensor.Of([]float32{3}, 1))
	text := func(s ...string) tensor.Tensor {
		x, err := tensor.FromStrings([]int{len(s)}, s)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	if of(a, b) != of(b, a) {
		t.Error("the order of parameters counts, want it not to")
	}
	variants := map[string]string{
		"original": of(a), "two": of(a, b), "none": of(),
		"name":  of(p("c", a.Data)),
		"shape": of(p("a", tensor.Of([]float32{1, 2}, 1, 2))),
		"type":  of(p("a", tensor.Of([]int32{0x3f800000, 0x40000000}, 2))), // the bits of 1 and 2
		"bytes": of(p("a", tensor.Of([]float32{1, -2}, 2))),
		"zero":  of(p("a", tensor.Of([]float32{0, 2}, 2))), "minus zero": of(p("a", tensor.Of([]float32{float32(math.Copysign(0, -1)), 2}, 2))),
		"text": of(p("a", text("ab", "c"))), "other text": of(p("a", text("a", "bc"))),
	}
	seen := make(map[string]string)
	for name, d := range variants {
		if other, ok := seen[d]; ok {
			t.Errorf("%s and %s have one digest", name, other)
		}
		seen[d] = name
	}
	m := mixed(t)
	before := m.Digest()
	inner := m.Nodes[len(m.Nodes)-1].Attrs[0].G.Params[0]
	inner.Data = tensor.Of([]float32{1, 1}, 2)
	if m.Digest() == before {
		t.Error("a parameter of a branch does not count, want it to")
	}
}

func TestRemoveDead(t *testing.T) {
	g := sketch(t, func(b *Builder, x *Value) []*Value {
		b.Op("Relu", b.Op("Add", x, zeros(b, "dead", 4)))
		y := b.Op("Add", x, zeros(b, "live", 4))
		return []*Value{branch(b, x, y)} // y lives in the branches only
	})
	g.RemoveDead()
	var kinds, names []string
	for _, n := range g.Nodes {
		kinds = append(kinds, n.Op)
	}
	for _, p := range g.Params {
		names = append(names, p.Name)
	}
	if got, want := strings.Join(kinds, " "), "Add ReduceMax Greater If"; got != want {
		t.Errorf("nodes: got %q, want %q", got, want)
	}
	if slices.Contains(names, "dead") || !slices.Contains(names, "live") {
		t.Errorf("parameters: got %v, want live and not dead", names)
	}
}

// TestReplace redirects readers in nodes, branches and outputs, and not the
// producer.
func TestReplace(t *testing.T) {
	var old, new *Value
	g := sketch(t, func(b *Builder, x *Value) []*Value {
		new = b.Op("Neg", x)
		old = b.Op("Relu", x)
		return []*Value{b.Op("Abs", old), branch(b, x, old), old}
	})
	g.Replace(old, new)
	if err := g.Validate(); err != nil {
		t.Fatal(err)
	}
	if readers := g.Consumers()[old]; len(readers) != 0 || slices.Contains(g.Outputs, old) {
		t.Errorf("the old value still has readers: %v", readers)
	}
	if readers := g.Consumers()[new]; len(readers) != 2 || !slices.Contains(g.Outputs, new) || g.Producers()[old] == nil {
		t.Errorf("readers of the new value: got %v, want Abs and If, and the old producer left", readers)
	}
}

func TestSort(t *testing.T) {
	g := sketch(t, func(b *Builder, x *Value) []*Value {
		p := b.Op("Relu", x)
		q := b.Op("Neg", x)
		return []*Value{b.Op("Add", q, branch(b, x, p))}
	})
	sorted := slices.Clone(g.Nodes)
	if err := g.Sort(); err != nil || !slices.Equal(g.Nodes, sorted) {
		t.Errorf("a graph in order: got %v, error %v, want it as it was", g.Nodes, err)
	}
	slices.Reverse(g.Nodes)
	if err := g.Sort(); err != nil {
		t.Fatal(err)
	}
	if err := g.Validate(); err != nil {
		t.Errorf("sorted: %v", err)
	}
	relu, neg := g.Nodes[slices.IndexFunc(g.Nodes, func(n *Node) bool { return n.Op == "Relu" })], g.Nodes[slices.IndexFunc(g.Nodes, func(n *Node) bool { return n.Op == "Neg" })]
	relu.In[0], neg.In[0] = neg.Out[0], relu.Out[0]
	if err := g.Sort(); err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Errorf("a cycle: got error %v, want one that says so", err)
	}
	neg.In[0] = neg.Out[0]
	if err := g.Sort(); err == nil || !strings.Contains(err.Error(), "cycle") {
		t.Errorf("a node that reads itself: got error %v, want one that says so", err)
	}
}
