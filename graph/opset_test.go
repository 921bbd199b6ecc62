package graph

import (
	"testing"

	"github.com/compactify/compactify/tensor"
)

// The wanted opsets are those of ONNX's operator schemas.
func TestMinOpset(t *testing.T) {
	for _, tc := range []struct {
		name  string
		op    string
		attrs Attributes
		in    []any
		outs  int
		want  int
	}{
		{"oldest known", "Relu", nil, []any{"float32[N]"}, 1, 7},
		{"type of one operator", "Relu", nil, []any{"int8[N]"}, 1, 14},
		{"type of all operators", "Identity", nil, []any{"int4[N]"}, 1, 21},
		{"type later than elsewhere", "Conv", nil, []any{"bfloat16[N,1,5]", "bfloat16[1,1,3]"}, 1, 22},
		{"form", "Clip", nil, []any{"float32[N]"}, 1, 11},
		{"attribute unused", "Shape", nil, []any{"float32[N]"}, 1, 7},
		{"attribute used", "Shape", Attributes{Int("start", 1)}, []any{"float32[N]"}, 1, 15},
		{"output unused", "MaxPool", Attributes{Ints("kernel_shape", 2)}, []any{"float32[N,1,5]"}, 1, 7},
		{"output used", "MaxPool", Attributes{Ints("kernel_shape", 2)}, []any{"float32[N,1,5]"}, 2, 8},
		{"input unused", "Pad", nil, []any{"float32[5]", ints(1, 1)}, 1, 11},
		{"input used", "Pad", nil, []any{"float32[5]", ints(1, 1), nil, ints(0)}, 1, 18},
		{"bias left out", "Gemm", nil, []any{"float32[N,2]", "float32[2,3]"}, 1, 11},
		{"axis from the front", "Gather", nil, []any{"float32[N,2]", "int64[1]"}, 1, 7},
		{"axis from the end", "Gather", Attributes{Int("axis", -1)}, []any{"float32[N,2]", "int64[1]"}, 1, 11},
		{"axes from the end", "Slice", nil, []any{"float32[N,2]", ints(0), ints(1), ints(-1)}, 1, 11},
		{"window in the padding", "MaxPool", Attributes{Ints("kernel_shape", 1), Ints("strides", 2), Int("ceil_mode", 1)}, []any{"float32[1,1,2]"}, 1, 22},
		{"ceil as ever", "MaxPool", Attributes{Ints("kernel_shape", 2), Ints("strides", 2), Int("ceil_mode", 1)}, []any{"float32[1,1,3]"}, 1, 10},
		{"per tensor", "DequantizeLinear", nil, []any{"int8[4,4]", "float32[]"}, 1, 10},
		{"per axis", "DequantizeLinear", nil, []any{"int8[4,4]", "float32[4]"}, 1, 13},
		{"blocks", "DequantizeLinear", Attributes{Int("block_size", 2)}, []any{"int8[4,4]", "float32[4,2]"}, 1, 21},
		{"mixed exponent", "Pow", nil, []any{"float32[N]", "int64[]"}, 1, 12},
	} {
		t.Run(tc.name, func(t *testing.T) {
			b := NewBuilder(&Graph{Opset: map[string]int{"": LatestOpset}}, "v")
			var in []*Value
			for _, x := range tc.in {
				switch x := x.(type) {
				case string:
					in = append(in, b.Input("", typ(t, x)))
				case tensor.Tensor:
					in = append(in, b.Const(x))
				default:
					in = append(in, nil)
				}
			}
			b.Multi(tc.op, tc.attrs, tc.outs, in...)
			if err := b.Err(); err != nil {
				t.Fatal(err)
			}
			if got := b.Graph().MinOpset(); got != tc.want {
				t.Errorf("got %d, want %d", got, tc.want)
			}
		})
	}
}

// Every operator's row is complete: an age, an inference, sensible bounds.
func TestRulesAreComplete(t *testing.T) {
	for op, r := range rules {
		domain, _ := splitKey(op)
		if r.Infer == nil {
			t.Errorf("%s: no inference", op)
		}
		if domain == DomainONNX && len(r.Since) == 0 {
			t.Errorf("%s: no opset", op)
		}
		for i, v := range r.Since {
			if v < 1 || v > LatestOpset || i > 0 && v <= r.Since[i-1] {
				t.Errorf("%s: opsets %v: want rising numbers of 1 to %d", op, r.Since, LatestOpset)
			}
		}
		if r.MaxIn >= 0 && r.MaxIn < r.MinIn {
			t.Errorf("%s: inputs: at least %d, at most %d", op, r.MinIn, r.MaxIn)
		}
		for v := range r.Upgrade {
			if v > LatestOpset || len(r.Since) > 0 && v <= r.Since[0] {
				t.Errorf("%s: upgrade to opset %d, introduced in %d", op, v, r.Since[0])
			}
		}
	}
	for op := range grew {
		if rules[op] == nil {
			t.Errorf("dates of optional parts: operator %s has no rule", op)
		}
	}
	for op := range typeDates {
		if rules[op] == nil {
			t.Errorf("dates of number types: operator %s has no rule", op)
		}
	}
}

func TestUpgradeForms(t *testing.T) {
	i64 := func(name string, v ...int) Attr { return Ints(name, v...) }
	for _, tc := range []struct {
		name  string
		from  int
		node  Node
		in    []string
		want  string // the last node's operator
		input []any  // constants wanted behind input 0; nil for an omitted one
		attrs []string
		typ   string
	}{
		{"squeeze", 11, Node{Op: "Squeeze", Attrs: Attributes{i64("axes", 0)}}, []string{"float32[1,N]"}, "Squeeze", []any{ints(0)}, nil, "float32[N]"},
		{"slice", 9, Node{Op: "Slice", Attrs: Attributes{i64("starts", 1), i64("ends", 3), i64("axes", 1)}}, []string{"float32[N,5]"}, "Slice", []any{ints(1), ints(3), ints(1)}, nil, "float32[N,2]"},
		{"pad", 10, Node{Op: "Pad", Attrs: Attributes{i64("pads", 0, 1, 0, 1), Float("value", 2)}}, []string{"float32[N,5]"}, "Pad", []any{ints(0, 1, 0, 1), float32Scalar(2)}, nil, "float32[N,7]"},
		{"clip", 6, Node{Op: "Clip", Attrs: Attributes{Float("max", 6)}}, []string{"float32[N]"}, "Clip", []any{nil, float32Scalar(6)}, nil, "float32[N]"},
		{"dropout", 10, Node{Op: "Dropout", Attrs: Attributes{Float("ratio", 0.25)}}, []string{"float32[N]"}, "Dropout", []any{float32Scalar(0.25)}, nil, "float32[N]"},
		{"reduce", 13, Node{Op: "ReduceMean", Attrs: Attributes{i64("axes", 1), Int("keepdims", 0)}}, []string{"float32[N,5]"}, "ReduceMean", []any{ints(1)}, []string{"keepdims"}, "float32[N]"},
		{"sum", 12, Node{Op: "ReduceSum", Attrs: Attributes{i64("axes", 1)}}, []string{"float32[N,5]"}, "ReduceSum", []any{ints(1)}, nil, "float32[N,1]"},
		{"top k", 9, Node{Op: "TopK", Attrs: Attributes{Int("k", 3)}}, []string{"float32[N,5]"}, "TopK", []any{ints(3)}, nil, "float32[N,3]"},
		{"upsample", 7, Node{Op: "Upsample", Attrs: Attributes{Floats("scales", 1, 1, 2, 2)}}, []string{"float32[N,1,2,3]"}, "Resize", []any{nil, floats32(1, 1, 2, 2)},
			[]string{"coordinate_transformation_mode", "nearest_mode"}, "float32[N,1,4,6]"},
		{"last axis", 9, Node{Op: "Softmax"}, []string{"float32[N,10]"}, "Softmax", nil, []string{"axis"}, "float32[N,10]"},
		{"image of one pixel", 9, Node{Op: "Softmax"}, []string{"float32[N,10,1,1]"}, "Softmax", nil, []string{"axis"}, "float32[N,10,1,1]"},
		{"matrix", 9, Node{Op: "Softmax"}, []string{"float32[N,10,2]"}, "Reshape", nil, nil, "float32[N,10,2]"},
		{"scatter", 9, Node{Op: "Scatter"}, []string{"float32[5]", "int64[2]", "float32[2]"}, "ScatterElements", nil, nil, "float32[5]"},
		{"grid", 16, Node{Op: "GridSample", Attrs: Attributes{Text("mode", "bicubic")}}, []string{"float32[N,1,4,4]", "float32[N,2,2,2]"}, "GridSample", nil, []string{"mode"}, "float32[N,1,2,2]"},
		{"groups", 18, Node{Op: "GroupNormalization", Attrs: Attributes{Int("num_groups", 2)}}, []string{"float32[N,4,3]", "float32[2]", "float32[2]"}, "GroupNormalization", nil, []string{"num_groups"}, "float32[N,4,3]"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := &Graph{Opset: map[string]int{"": tc.from}}
			n := tc.node
			n.Out = []*Value{{Name: "y"}}
			for i, s := range tc.in {
				v := &Value{Name: string(rune('a' + i)), Type: typ(t, s)}
				g.Inputs, n.In = append(g.Inputs, v), append(n.In, v)
			}
			if n.Op == "TopK" {
				n.Out = append(n.Out, &Value{Name: "indices"})
			}
			g.Nodes, g.Outputs = []*Node{&n}, []*Value{n.Out[0]}
			if err := g.Upgrade(LatestOpset); err != nil {
				t.Fatal(err)
			}
			if err := g.Validate(); err != nil {
				t.Fatal(err)
			}
			last := g.Nodes[len(g.Nodes)-1]
			if last.Op != tc.want {
				t.Fatalf("operator: got %s, want %s", last.Op, tc.want)
			}
			if got := g.Outputs[0].Type.String(); got != tc.typ {
				t.Errorf("type: got %s, want %s", got, tc.typ)
			}
			for i, want := range tc.input {
				v := last.Input(i + 1)
				if want == nil {
					if v != nil {
						t.Errorf("input %d: got %q, want it omitted", i+1, v.Name)
					}
				} else if p := g.Param(v); p == nil || !p.Data.Equal(want.(tensor.Tensor)) {
					t.Errorf("input %d: got %v, want the constant %v", i+1, p, want)
				}
			}
			if tc.attrs != nil && len(last.Attrs) != len(tc.attrs) {
				t.Errorf("attributes: got %v, want %v", last.Attrs, tc.attrs)
			}
			for _, name := range tc.attrs {
				if !last.Attrs.Has(name) {
					t.Errorf("attribute %s: missing", name)
				}
			}
		})
	}
}

// What cannot be expressed in a newer opset is an error, not a guess.
func TestUpgradeRefuses(t *testing.T) {
	for _, tc := range []struct {
		name string
		from int
		node Node
		in   []string
		outs int
	}{
		{"statistics per position", 8, Node{Op: "BatchNormalization", Attrs: Attributes{Int("spatial", 0)}}, []string{"float32[N,2]", "float32[2]", "float32[2]", "float32[2]", "float32[2]"}, 1},
		{"saved statistics", 9, Node{Op: "BatchNormalization"}, []string{"float32[N,2]", "float32[2]", "float32[2]", "float32[2]", "float32[2]"}, 5},
		{"rank unknown", 9, Node{Op: "Softmax"}, []string{"float32[...]"}, 1},
		{"scales unknown", 10, Node{Op: "Resize"}, []string{"float32[N,1,2,2]", "float32[4]"}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := &Graph{Opset: map[string]int{"": tc.from}}
			n := tc.node
			for i, s := range tc.in {
				v := &Value{Name: string(rune('a' + i)), Type: typ(t, s)}
				g.Inputs, n.In = append(g.Inputs, v), append(n.In, v)
			}
			for i := range tc.outs {
				n.Out = append(n.Out, &Value{Name: "y" + string(rune('0'+i))})
			}
			g.Nodes, g.Outputs = []*Node{&n}, n.Out[:1]
			if err := g.Upgrade(LatestOpset); err == nil {
				t.Errorf("got %v, want an error", g.Nodes[len(g.Nodes)-1])
			}
		})
	}
}
