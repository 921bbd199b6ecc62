package train

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// TestPenaltyValues: R(θ) of W = [[3, 0], [−4, 2]] as [in, out] with bias (0, −1),
// by hand.
func TestPenaltyValues(t *testing.T) {
	g := build(t, 2, func(b *graph.Builder, x *graph.Value) *graph.Value {
		y := b.Op("MatMul", x, b.Param("w", tensor.Of([]float32{3, 0, -4, 2}, 2, 2)))
		return b.Op("Add", y, b.Param("b", tensor.Of([]float32{0, -1}, 2)))
	})
	for _, c := range []struct {
		p    Penalty
		want float64
	}{
		{Penalty{Kind: L2}, 30},                                        // 9+16+4+1
		{Penalty{Kind: L1}, 10},                                        // 3+4+2+1
		{Penalty{Kind: ElasticNet}, 20},                                // (10+30)/2
		{Penalty{Kind: ElasticNet, Alpha: 0.25}, 25},                   // 10/4 + 30·3/4
		{Penalty{Kind: ElasticNet, Alpha: 1}, 10},                      //
		{Penalty{Kind: GroupLasso}, math.Sqrt(3) * (5 + math.Sqrt(5))}, // √3(‖(3,−4,0)‖ + ‖(0,2,−1)‖)
		{Penalty{Kind: MaxNorm}, 5},                                    // ‖(3,−4)‖
	} {
		c.p.Lambda = Always(7) // not a part of R
		if got := c.p.Value(g); math.Abs(got-c.want) > 1e-12*c.want {
			t.Errorf("%s, α = %v: got %v, want %v", c.p.Kind, c.p.Alpha, got, c.want)
		}
	}
}

// TestStrengthsAdd: penalties of one kind add up, an elastic net to both of its parts,
// and of radii the least holds.
func TestStrengthsAdd(t *testing.T) {
	linear, err := ParseSchedule("linear:1..3")
	if err != nil {
		t.Fatal(err)
	}
	list := []Penalty{{Kind: L1, Lambda: linear}, {Kind: L1, Lambda: Always(1)}, {Kind: ElasticNet, Lambda: Always(4), Alpha: 0.25}, {Kind: L2, Lambda: Always(5)},
		{Kind: GroupLasso, Lambda: Always(6)}, {Kind: MaxNorm, Lambda: Always(9)}, {Kind: MaxNorm, Lambda: linear}}
	got := strengthsAt(list, 1, 3)
	if want := (strengths{l1: 2 + 1 + 1, group: 6, l2: 3 + 5, radius: 2}); got != want {
		t.Errorf("second of three epochs: got %+v, want %+v", got, want)
	}
	if !strengthsAt(nil, 0, 1).none() || strengthsAt(list, 0, 1).none() {
		t.Error("none: got it the wrong way round")
	}
}

// TestGroups: what one output unit adds up, for every form of a layer.
func TestGroups(t *testing.T) {
	count := func(n int) []float32 {
		list := make([]float32, n)
		for i := range list {
			list[i] = float32(i + 1)
		}
		return list
	}
	p := func(b *graph.Builder, name string, shape ...int) *graph.Value {
		n, _ := tensor.Size(shape)
		return b.Param(name, tensor.Of(count(n), shape...))
	}
	gemm := func(transB int, shape ...int) func(*graph.Builder, *graph.Value) *graph.Value {
		return func(b *graph.Builder, x *graph.Value) *graph.Value {
			return b.With("Gemm", graph.Attributes{graph.Int("transB", transB)}, x, p(b, "w", shape...), p(b, "b", 2))
		}
	}
	for _, c := range []struct {
		name string
		body func(*graph.Builder, *graph.Value) *graph.Value
		want []string
	}{
		{"Gemm with rows of units", gemm(1, 2, 4), []string{"w0 w1 w2 w3 b0", "w4 w5 w6 w7 b1"}},
		{"Gemm with columns of units", gemm(0, 4, 2), []string{"w0 w2 w4 w6 b0", "w1 w3 w5 w7 b1"}},
		{"matrix product and sum", func(b *graph.Builder, x *graph.Value) *graph.Value {
			return b.Op("Add", p(b, "b", 1, 2), b.Op("MatMul", x, p(b, "w", 4, 2)))
		}, []string{"w0 w2 w4 w6 b0", "w1 w3 w5 w7 b1"}},
		{"matrix product alone", func(b *graph.Builder, x *graph.Value) *graph.Value { return b.Op("MatMul", x, p(b, "w", 4, 2)) },
			[]string{"w0 w2 w4 w6", "w1 w3 w5 w7"}},
		// The rows of a left operand are units.
		{"a left operand", func(b *graph.Builder, x *graph.Value) *graph.Value {
			y := b.Op("Transpose", x) // [4, N]
			z := b.Op("MatMul", p(b, "w", 2, 4), y)
			return b.Op("Add", b.Op("Transpose", z), p(b, "b", 2))
		}, []string{"w0 w1 w2 w3", "w4 w5 w6 w7", "b0", "b1"}},
		{"convolution with a bias", func(b *graph.Builder, x *graph.Value) *graph.Value {
			y := b.Op("Conv", b.Op("Reshape", x, b.Const(tensor.Of([]int64{-1, 2, 2, 1}, 4))), p(b, "w", 2, 2, 1, 1), p(b, "b", 2))
			return b.With("Flatten", graph.Attributes{graph.Int("axis", 1)}, y)
		}, []string{"w0 w1 b0", "w2 w3 b1"}},
		{"transposed convolution", func(b *graph.Builder, x *graph.Value) *graph.Value {
			y := b.Op("ConvTranspose", b.Op("Reshape", x, b.Const(tensor.Of([]int64{-1, 2, 2, 1}, 4))), p(b, "w", 2, 3, 1, 1), p(b, "b", 3))
			return b.With("Flatten", graph.Attributes{graph.Int("axis", 1)}, y)
		}, []string{"w0 w3 b0", "w1 w4 b1", "w2 w5 b2"}},
		// A bias of two layers counts once, with the first.
		{"a shared bias", func(b *graph.Builder, x *graph.Value) *graph.Value {
			bias := p(b, "b", 2)
			y := b.Op("Gemm", x, p(b, "w", 4, 2), bias)
			return b.Op("Gemm", y, p(b, "v", 2, 2), bias)
		}, []string{"w0 w2 w4 w6 b0", "w1 w3 w5 w7 b1", "v0 v2", "v1 v3"}},
		{"scales of a normalisation", func(b *graph.Builder, x *graph.Value) *graph.Value {
			y := b.Op("Gemm", x, p(b, "w", 4, 2))
			return b.Op("BatchNormalization", y, p(b, "scale", 2), p(b, "shift", 2), p(b, "mean", 2), p(b, "variance", 2))
		}, []string{"w0 w2 w4 w6", "w1 w3 w5 w7", "scale0", "scale1", "shift0", "shift1"}},
		{"shared weights", func(b *graph.Builder, x *graph.Value) *graph.Value {
			w := p(b, "w", 4, 4)
			return b.Op("MatMul", b.Op("Relu", b.Op("MatMul", x, w)), w)
		}, []string{"w0 w4 w8 w12", "w1 w5 w9 w13", "w2 w6 w10 w14", "w3 w7 w11 w15"}},
	} {
		g := build(t, 4, c.body)
		got := groupsOf(g)
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: got groups %q, want %q", c.name, got, c.want)
		}
	}
}

// groupsOf names the elements of each group.
func groupsOf(g *graph.Graph) []string {
	params := g.Weights()
	var list []string
	for i, u := range unitsOf(g, params) {
		if u.member {
			continue
		}
		for k := range u.count {
			text := ""
			for o := range u.outer {
				for j := range u.inner {
					text += fmt.Sprintf(" %s%d", params[i].Name, (o*u.count+k)*u.inner+j)
				}
			}
			if u.bias >= 0 {
				text += fmt.Sprintf(" %s%d", params[u.bias].Name, k)
			}
			list = append(list, text[1:])
		}
	}
	return list
}
