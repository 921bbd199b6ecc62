package graph

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/tensor"
)

// branchOf is a body that multiplies x by a weight of its own, a parameter or the
// value of a Constant node, and hands it out too if asked.
func branchOf(b *Builder, x *Value, weight tensor.Tensor, constant, handOut bool) *Graph {
	sub := &Graph{Name: "branch", Opset: b.Graph().Opset}
	in := NewBuilder(sub, "own_")
	var w *Value
	if constant {
		w = in.Value(tensor.Type{})
		w.Name = "w"
		in.Append(&Node{Op: "Constant", Attrs: Attributes{TensorOf("value", weight)}, Out: []*Value{w}})
	} else {
		w = in.Param("w", weight)
	}
	y := in.Op("MatMul", x, w)
	if handOut {
		y = w
	}
	sub.Outputs = []*Value{y}
	return sub
}

// TestHoistWeights: weights of branches become the graph's, equal ones once, those
// that a branch hands out not at all, and the graph stays valid.
func TestHoistWeights(t *testing.T) {
	one, two := tensor.Of([]float32{1, 0, 0, 1}, 4, 1), tensor.Of([]float32{2, 0, 0, 2}, 4, 1)
	for _, c := range []struct {
		name            string
		then, other     tensor.Tensor
		constant, hands bool
		moved           int
		want            []string
	}{
		{"different weights of one name", one, two, false, false, 2, []string{"w_1 1", "w 2"}},
		{"equal weights", one, one, false, false, 2, []string{"w 1"}},
		{"Constant nodes", one, two, true, false, 2, []string{"w_1 1", "w 2"}},
		{"handed out", one, two, false, true, 0, nil},
	} {
		g := sketch(t, func(b *Builder, x *Value) []*Value {
			yes := b.Op("Greater", b.With("ReduceMax", Attributes{Int("keepdims", 0)}, x), b.Const(tensor.Scalar(float32(0))))
			return []*Value{b.With("If", Attributes{Subgraph("then_branch", branchOf(b, x, c.then, c.constant, c.hands)),
				Subgraph("else_branch", branchOf(b, x, c.other, c.constant, c.hands))}, yes)}
		})
		if got := g.HoistWeights(); got != c.moved {
			t.Errorf("%s: moved %d, want %d", c.name, got, c.moved)
		}
		if err := g.Validate(); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		var got []string
		for _, l := range g.Layers() {
			got = append(got, fmt.Sprintf("%s %v", l.Name(), l.Param.Data.At(0)))
		}
		slices.Sort(got)
		slices.Sort(c.want)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: layers: got %q, want %q", c.name, got, c.want)
		}
	}
}

// TestCheckFinite: a NaN is refused anywhere, an infinity in weights alone.
func TestCheckFinite(t *testing.T) {
	inf, nan := float32(math.Inf(-1)), float32(math.NaN())
	for _, c := range []struct {
		name string
		body func(b *Builder, x *Value) []*Value
		want string
	}{
		{"a maximum from -Inf", func(b *Builder, x *Value) []*Value {
			return []*Value{b.Op("Max", x, b.Param("least", tensor.Scalar(inf)))}
		}, ""},
		{"a mask", func(b *Builder, x *Value) []*Value {
			return []*Value{b.Op("Add", x, b.Param("mask", tensor.Of([]float32{0, inf, 0, 0}, 4)))}
		}, ""},
		{"NaN in a constant", func(b *Builder, x *Value) []*Value {
			return []*Value{b.Op("Max", x, b.Param("least", tensor.Scalar(nan)))}
		}, `parameter "least": element 0: got NaN`},
		{"-Inf in a weight", func(b *Builder, x *Value) []*Value {
			return []*Value{b.Op("MatMul", x, b.Param("w", tensor.Of([]float32{0, 0, inf, 0}, 4, 1)))}
		}, `parameter "w": element 2: got -Inf`},
		{"in a branch", func(b *Builder, x *Value) []*Value {
			bad := branchOf(b, x, tensor.Of([]float32{nan, 0, 0, 0}, 4, 1), false, false)
			good := branchOf(b, x, tensor.Of([]float32{0, 0, 0, 0}, 4, 1), false, false)
			yes := b.Op("Greater", b.With("ReduceMax", Attributes{Int("keepdims", 0)}, x), b.Const(tensor.Scalar(float32(0))))
			return []*Value{b.With("If", Attributes{Subgraph("then_branch", bad), Subgraph("else_branch", good)}, yes)}
		}, `parameter "w": element 0: got NaN`},
	} {
		err := sketch(t, c.body).CheckFinite()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
}
