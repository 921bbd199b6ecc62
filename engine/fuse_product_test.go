package engine

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

func denseCases() []rewriteCase {
	type (
		B = graph.Builder
		V = graph.Value
	)
	constant := func(b *B, shape ...int) *V {
		return b.Const(random(rand.New(rand.NewPCG(71, uint64(len(shape)))), tensor.Float32, shape...))
	}
	gemm := func(b *B, a attrs, in ...*V) *V { return b.With("Gemm", a, in...) }
	trans := attrs{graph.Int("transB", 1)}
	number := func(b *B, v float32) *V { return b.Const(tensor.Scalar(v)) }
	k := lastKind(dense)
	return []rewriteCase{
		{"a product, a bias and a relu", []int{5, 40}, alone(func(b *B, x *V) *V {
			return b.Op("Relu", b.Op("Add", b.Op("MatMul", x, constant(b, 40, 70)), constant(b, 70)))
		}), k, 1},
		{"a bias on the left", []int{2, 3, 40}, alone(func(b *B, x *V) *V {
			return b.Op("Relu", b.Op("Add", constant(b, 1, 70), b.Op("MatMul", x, constant(b, 40, 70))))
		}), k, 1},
		{"gemm and clip", []int{20, 40}, alone(func(b *B, x *V) *V {
			return b.Op("Clip", gemm(b, trans, x, constant(b, 33, 40), constant(b, 33)), number(b, -0.5), number(b, 2))
		}), k, 1},
		{"a residual and a relu", []int{7, 40}, alone(func(b *B, x *V) *V {
			return b.Op("Relu", b.Op("Add", x, b.Op("Add", b.Op("MatMul", x, constant(b, 40, 40)), constant(b, 40))))
		}), k, 1},
		{"a residual that comes later", []int{7, 40}, alone(func(b *B, x *V) *V {
			y := b.Op("MatMul", x, constant(b, 40, 40))
			return b.Op("Add", y, b.Op("Softmax", x))
		}), k, 1},
		{"a residual in a gemm", []int{7, 40}, alone(func(b *B, x *V) *V {
			return gemm(b, nil, x, constant(b, 40, 40), b.Op("Softmax", x))
		}), k, 1},
		{"two layers", []int{9, 40}, alone(func(b *B, x *V) *V {
			y := b.Op("Relu", gemm(b, trans, x, constant(b, 99, 40), constant(b, 99)))
			return gemm(b, nil, y, constant(b, 99, 10), constant(b, 10))
		}), k, 2},
		{"one row", []int{40}, alone(func(b *B, x *V) *V { return b.Op("Relu", b.Op("MatMul", x, constant(b, 40, 65))) }), k, 1},
		{"one row times one column of an inner size 1", []int{4, 1}, alone(func(b *B, x *V) *V { return gemm(b, trans, x, constant(b, 50, 1)) }), k, 1},
		{"a relu that crosses a clip", []int{7, 40}, alone(func(b *B, x *V) *V {
			return b.Op("Clip", b.Op("MatMul", x, constant(b, 40, 40)), number(b, 2), number(b, -1))
		}), k, 1},
	}
}

// What looks alike but must keep a step of its own: kind and want tell which.
func denseLookalikes() []rewriteCase {
	type (
		B = graph.Builder
		V = graph.Value
	)
	constant := func(b *B, shape ...int) *V {
		return b.Const(random(rand.New(rand.NewPCG(73, uint64(len(shape)))), tensor.Float32, shape...))
	}
	product := func(b *B, x *V) *V { return b.Op("MatMul", x, constant(b, 40, 40)) }
	k := lastKind(dense)
	return []rewriteCase{
		{"a bias for each row", []int{40, 40}, alone(func(b *B, x *V) *V {
			return b.Op("Add", product(b, x), constant(b, 40, 1))
		}), "Add", 1},
		{"a bias that widens the product", []int{1, 40}, alone(func(b *B, x *V) *V {
			return b.Op("Add", product(b, x), constant(b, 3, 40))
		}), "Add", 1},
		{"a product that is an output", []int{7, 40}, func(b *B, x *V) []*V {
			y := product(b, x)
			return []*V{y, b.Op("Relu", y)}
		}, "Relu", 1},
		{"a product that two read", []int{7, 40}, func(b *B, x *V) []*V {
			y := product(b, x)
			return []*V{b.Op("Relu", y), b.Op("Softmax", y)}
		}, "Relu", 1},
		{"a second residual", []int{7, 40}, alone(func(b *B, x *V) *V {
			return b.Op("Add", b.Op("Add", product(b, x), x), b.Op("Softmax", x))
		}), "Add", 1},
		{"bounds before the bias", []int{7, 40}, alone(func(b *B, x *V) *V {
			return b.Op("Add", b.Op("Relu", product(b, x)), constant(b, 40))
		}), "Add", 1},
		{"beta", []int{7, 40}, alone(func(b *B, x *V) *V {
			return b.With("Gemm", attrs{graph.Float("beta", 0.5)}, x, constant(b, 40, 40), constant(b, 40))
		}), k, 0},
		{"alpha", []int{7, 40}, alone(func(b *B, x *V) *V {
			return b.With("Gemm", attrs{graph.Float("alpha", 0.5)}, x, constant(b, 40, 40), constant(b, 40))
		}), k, 0},
		{"a transposed left operand", []int{40, 7}, alone(func(b *B, x *V) *V {
			return b.With("Gemm", attrs{graph.Int("transA", 1)}, x, constant(b, 40, 40))
		}), k, 0},
		{"a right operand that is computed", []int{40, 40}, alone(func(b *B, x *V) *V { return b.Op("MatMul", x, b.Op("Softmax", x)) }), k, 0},
		{"a bias that is computed", []int{40, 40}, alone(func(b *B, x *V) *V {
			return b.With("Gemm", nil, x, constant(b, 40, 40), b.With("ReduceMax", attrs{graph.Int("keepdims", 0)}, x, b.Const(tensor.Ints(0))))
		}), k, 0},
		{"a matrix for each of a batch", []int{3, 5, 40}, alone(func(b *B, x *V) *V { return b.Op("MatMul", x, constant(b, 3, 40, 40)) }), k, 0},
		{"one row and few columns", []int{1, 40}, alone(func(b *B, x *V) *V { return b.Op("MatMul", x, constant(b, 40, 10)) }), k, 0},
	}
}

// Products with constant weights take in what follows them, and only that.
func TestProducts(t *testing.T) {
	fused := append(denseCases(), denseChainCases()...)
	for _, c := range slices.Concat(fused, denseLookalikes(), denseChainLookalikes()) {
		t.Run(c.name, func(t *testing.T) { c.check(t, tensor.Float32, rewriteTolerance[tensor.Float32]) })
	}
	for _, c := range fused {
		t.Run("steps of "+c.name, func(t *testing.T) {
			x := random(rand.New(rand.NewPCG(1, 2)), tensor.Float32, c.shape...)
			g := &graph.Graph{Name: c.name, Opset: map[string]int{"": graph.LatestOpset}}
			b := graph.NewBuilder(g, "t")
			g.Outputs = c.build(b, b.Input("x", x.Type()))
			p, _ := compiled(t, g, Options{}, x)
			if got := p.Steps() - count(p, "Softmax"); got != c.want {
				t.Errorf("steps: got %d, want %d", got, c.want)
			}
		})
	}
}

// Weights that training changes are read where they lie.
func TestMutableWeightsStayInPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	g := &graph.Graph{Name: "layer", Opset: map[string]int{"": graph.LatestOpset}}
	b := graph.NewBuilder(g, "t")
	x := b.Input("x", tensor.TypeOf(tensor.Float32, 7, 40))
	b.Param("w", random(r, tensor.Float32, 40, 40))
	g.Outputs = []*graph.Value{b.Op("MatMul", x, g.Params[0].Value)}
	p, err := Compile(g, Options{Mutable: g.Params})
	if err != nil || b.Err() != nil {
		t.Fatal(err, b.Err())
	}
	if n := count(p, "MatMul"); n != 1 {
		t.Errorf("steps of MatMul: got %d, want 1", n)
	}
}

// What a packed product does to its result before it stores it, by row of a
// network; the same elementwise steps elsewhere stay.
func denseChainCases() []rewriteCase {
	type (
		B = graph.Builder
		V = graph.Value
	)
	constant := func(b *B, shape ...int) *V {
		return b.Const(random(rand.New(rand.NewPCG(75, uint64(len(shape)))), tensor.Float32, shape...))
	}
	number := func(b *B, v float32) *V { return b.Const(tensor.Scalar(v)) }
	after := func(rows, columns int, f func(b *B, y *V) *V) rewriteCase {
		return rewriteCase{"", []int{rows, 40}, alone(func(b *B, x *V) *V {
			return f(b, b.Op("Add", b.Op("MatMul", x, constant(b, 40, columns)), constant(b, columns)))
		}), lastKind(dense), 1}
	}
	named := func(name string, c rewriteCase) rewriteCase { c.name = name; return c }
	return []rewriteCase{
		named("gelu", after(7, 70, func(b *B, y *V) *V { return b.Op("Gelu", y) })),
		named("gelu of one long row", after(1, 1399, func(b *B, y *V) *V { return b.Op("Gelu", y) })),
		named("gelu with tanh in many rows", after(400, 90, func(b *B, y *V) *V {
			return b.With("Gelu", attrs{graph.Text("approximate", "tanh")}, y)
		})),
		named("leaky relu", after(30, 531, func(b *B, y *V) *V { return b.With("LeakyRelu", attrs{graph.Float("alpha", 0.3)}, y) })),
		named("swish", after(3, 801, func(b *B, y *V) *V { return b.Op("Mul", y, b.Op("Sigmoid", y)) })),
		named("a chain with numbers", after(5, 99, func(b *B, y *V) *V {
			return b.Op("Div", number(b, 2), b.Op("Add", b.Op("Abs", b.Op("Sub", number(b, 0.5), y)), number(b, 1)))
		})),
		named("a number alone", after(5, 99, func(b *B, y *V) *V { return b.Op("Mul", number(b, 2), y) })),
		named("a number to add", after(5, 99, func(b *B, y *V) *V { return b.Op("Add", y, constant(b, 1)) })),
		named("a product added to itself", after(5, 99, func(b *B, y *V) *V { return b.Op("Add", y, y) })),
		named("a square", after(5, 99, func(b *B, y *V) *V { return b.Op("Mul", y, y) })),
		named("bounds and a chain", after(5, 99, func(b *B, y *V) *V { return b.Op("Tanh", b.Op("Relu", y)) })),
	}
}

func denseChainLookalikes() []rewriteCase {
	type (
		B = graph.Builder
		V = graph.Value
	)
	constant := func(b *B, shape ...int) *V {
		return b.Const(random(rand.New(rand.NewPCG(77, uint64(len(shape)))), tensor.Float32, shape...))
	}
	product := func(b *B, x *V) *V { return b.Op("MatMul", x, constant(b, 40, 70)) }
	return []rewriteCase{
		{"a product that is an output and a sigmoid", []int{7, 40}, func(b *B, x *V) []*V {
			y := product(b, x)
			return []*V{y, b.Op("Sigmoid", y)}
		}, "Sigmoid", 1},
		{"a chain whose middle is an output", []int{7, 40}, func(b *B, x *V) []*V {
			y := b.Op("Sigmoid", product(b, x))
			return []*V{y, b.Op("Tanh", y)}
		}, chainKind, 1},
		{"a column of factors", []int{7, 40}, alone(func(b *B, x *V) *V { return b.Op("Mul", product(b, x), constant(b, 7, 1)) }), "Mul", 1},
		{"two products", []int{7, 40}, alone(func(b *B, x *V) *V { return b.Op("Mul", product(b, x), b.Op("Relu", product(b, b.Op("Abs", x)))) }), "Mul", 1},
		{"a number that is computed", []int{7, 40}, alone(func(b *B, x *V) *V {
			return b.Op("Mul", product(b, x), b.With("ReduceMax", attrs{graph.Int("keepdims", 0)}, x))
		}), "Mul", 1},
	}
}
