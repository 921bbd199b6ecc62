package graph

import (
	"strings"
	"testing"

	"github.com/compactify/compactify/tensor"
)

// fixedBatch is a model for one batch size with a body of its own.
func fixedBatch(t *testing.T, input string, body func(b *Builder, x *Value) *Value) *Graph {
	g := &Graph{Name: "fixed", Opset: map[string]int{"": LatestOpset}}
	b := NewBuilder(g, "v")
	y := body(b, b.Input("x", typ(t, input)))
	if err := b.Err(); err != nil {
		t.Fatal(err)
	}
	g.Outputs = []*Value{y}
	return g
}

func TestRebatch(t *testing.T) {
	reshape := func(target ...int) func(*Builder, *Value) *Value {
		return func(b *Builder, x *Value) *Value { return b.Op("Reshape", x, b.Const(tensor.Ints(target...))) }
	}
	for _, tc := range []struct {
		name, input string
		body        func(*Builder, *Value) *Value
		want        string // type of the output, or "error: " and a part of the message
	}{
		{"batch spelt out", "float32[1,4,4]", reshape(1, 16), "float32[N,16]"},
		{"batch of 8", "float32[8,4,4]", reshape(8, 16), "float32[N,16]"},
		{"open axis", "float32[1,4,4]", reshape(1, -1), "float32[N,16]"},
		{"new axis", "float32[1,16]", reshape(1, 1, 4, 4), "float32[N,1,4,4]"},
		{"copied batch", "float32[1,4,4]", reshape(0, -1), "float32[N,16]"},
		{"batch and time merged", "float32[1,3,4]", func(b *Builder, x *Value) *Value {
			return reshape(1, 3, 4)(b, reshape(-1, 4)(b, x))
		}, "error: batch"},
		{"weights stay", "float32[1,4]", func(b *Builder, x *Value) *Value {
			w := b.Op("Reshape", b.Const(tensor.New(tensor.Float32, 1, 12)), b.Const(tensor.Ints(4, 3)))
			return b.Op("MatMul", x, w)
		}, "float32[N,3]"},
		{"computed target", "float32[1,4,4]", func(b *Builder, x *Value) *Value {
			n := b.Op("Gather", b.Op("Shape", x), b.Const(tensor.Ints(0)))
			return b.Op("Reshape", x, b.With("Concat", Attributes{Int("axis", 0)}, n, b.Const(tensor.Ints(-1))))
		}, "float32[N,16]"},
		{"mean over the batch", "float32[1,4]", func(b *Builder, x *Value) *Value {
			return b.Op("ReduceMean", x, b.Const(tensor.Ints(0)))
		}, "error: the batch is lost at node"},
		{"state of one example", "float32[1,4]", func(b *Builder, x *Value) *Value {
			return b.With("Concat", Attributes{Int("axis", 1)}, x, b.Const(tensor.New(tensor.Float32, 1, 2)))
		}, "error: the batch is lost at node"},
		{"scalar input", "float32[]", func(b *Builder, x *Value) *Value { return b.Op("Relu", x) }, "error: want a leading axis"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := fixedBatch(t, tc.input, tc.body)
			r, err := Rebatch(g, "N")
			if message, fails := strings.CutPrefix(tc.want, "error: "); fails {
				if err == nil || !strings.Contains(err.Error(), message) {
					t.Fatalf("got %v, want an error with %q", err, message)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Validate(); err != nil {
				t.Error(err)
			}
			if got := r.Outputs[0].Type.String(); got != tc.want {
				t.Errorf("output: got %s, want %s", got, tc.want)
			}
			if got := g.Inputs[0].Type.String(); got != tc.input {
				t.Errorf("the model itself changed: input %s", got)
			}
		})
	}
}

// Sizes are followed through the arithmetic that exporters write.
func TestSizesArePropagated(t *testing.T) {
	for _, tc := range []struct {
		name string
		size func(b *Builder, x *Value) *Value // entries of a shape
		want string
	}{
		{"gather", func(b *Builder, x *Value) *Value {
			return b.Op("Gather", b.Op("Shape", x), b.Const(tensor.Ints(0, 2)))
		}, "float32[N,4]"},
		{"slice", func(b *Builder, x *Value) *Value {
			return b.Op("Slice", b.Op("Shape", x), b.Const(tensor.Ints(-2)), b.Const(tensor.Ints(9)))
		}, "float32[3,4]"},
		{"unsqueeze", func(b *Builder, x *Value) *Value {
			n := b.Op("Gather", b.Op("Shape", x), b.Const(tensor.Scalar(int64(0))))
			return b.Op("Unsqueeze", n, b.Const(tensor.Ints(0)))
		}, "float32[N]"},
		{"arithmetic", func(b *Builder, x *Value) *Value {
			s := b.Op("Shape", x)
			two := b.Const(tensor.Ints(1, 2, 2))
			return b.Op("Add", b.Op("Div", b.Op("Mul", s, two), two), b.Const(tensor.Ints(0, 1, 2)))
		}, "float32[N,4,6]"},
		{"difference", func(b *Builder, x *Value) *Value {
			s := b.Op("Shape", x)
			return b.Op("Sub", s, s)
		}, "float32[0,0,0]"},
		{"cast", func(b *Builder, x *Value) *Value {
			return b.With("Cast", castTo(tensor.Int64), b.With("Cast", castTo(tensor.Int32), b.Op("Shape", x)))
		}, "float32[N,3,4]"},
		{"concat", func(b *Builder, x *Value) *Value {
			return b.With("Concat", Attributes{Int("axis", 0)}, b.With("Shape", Attributes{Int("end", 1)}, x), b.Const(tensor.Ints(7)))
		}, "float32[N,7]"},
		{"split", func(b *Builder, x *Value) *Value {
			return b.Multi("Split", Attributes{Int("num_outputs", 2)}, 2, b.Op("Shape", x))[0]
		}, "float32[N,3]"},
		{"not followed", func(b *Builder, x *Value) *Value {
			s := b.Op("Shape", x)
			return b.Op("Mul", s, s)
		}, "float32[?,9,16]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := NewBuilder(&Graph{}, "v")
			y := b.Op("ConstantOfShape", tc.size(b, b.Input("x", typ(t, "float32[N,3,4]"))))
			if err := b.Err(); err != nil {
				t.Fatal(err)
			}
			if got := y.Type.String(); got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
}
