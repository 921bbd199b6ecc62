package engine

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// dice reads small choices from fuzzed bytes; without bytes every choice is 0.
type dice []byte

func (d *dice) roll(n int) int {
	if len(*d) == 0 || n <= 1 {
		return 0
	}
	b := (*d)[0]
	*d = (*d)[1:]
	return int(b) % n
}

// attributeNames are the attributes that the operators read.
var attributeNames = []string{"axis", "axes", "keepdims", "perm", "kernel_shape", "strides", "pads", "dilations", "group", "auto_pad", "mode",
	"to", "alpha", "beta", "transA", "transB", "epsilon", "ceil_mode", "count_include_pad", "num_groups", "blocksize", "equation", "direction",
	"hidden_size", "layout", "largest", "sorted", "exclusive", "reverse", "batch_dims", "reduction", "k", "upper", "num_outputs", "allowzero",
	"start", "end", "select_last_index", "noop_with_empty_axes", "coordinate_transformation_mode", "nearest_mode", "output_shape", "output_padding",
	"p", "block_size", "output_dtype", "stash_type", "value", "num_heads", "scale", "is_causal", "q_num_heads", "kv_num_heads", "bias", "size",
	"sampling_ratio", "output_height", "output_width", "spatial_scale", "storage_order", "align_corners", "padding_mode", "fmod", "bits"}

var textValues = []string{"", "constant", "reflect", "edge", "wrap", "linear", "cubic", "nearest", "SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET",
	"ij,jk->ik", "ii->i", "...i->...", "forward", "reverse", "bidirectional", "add", "mul", "max", "min", "none", "DCR", "CRD", "half_pixel",
	"align_corners", "tf_crop_and_resize", "floor", "zeros", "border", "i,j->", "a->aa", "tanh"}

var wildInts = []int{0, 1, 2, 3, -1, -2, 4, 7, 10, -3, 1 << 31, 1 << 40, -1 << 62, 1<<63 - 1, 5, 16}

func (d *dice) attribute() graph.Attr {
	name := attributeNames[d.roll(len(attributeNames))]
	switch d.roll(5) {
	case 0:
		return graph.Int(name, d.int())
	case 1:
		list := make([]int64, d.roll(6))
		for i := range list {
			list[i] = int64(d.int())
		}
		return graph.Attr{Name: name, Kind: graph.AttrInts, Ints: list}
	case 2:
		return graph.Float(name, float32(d.roll(7)-3)/2)
	case 3:
		return graph.Text(name, textValues[d.roll(len(textValues))])
	}
	return graph.Attr{Name: name, Kind: graph.AttrTensor, T: d.tensor()}
}

// int is small mostly.
func (d *dice) int() int {
	if d.roll(4) > 0 {
		return d.roll(5) - 1
	}
	return wildInts[d.roll(len(wildInts))]
}

var fuzzTypes = []tensor.DType{tensor.Float32, tensor.Float32, tensor.Float32, tensor.Int64, tensor.Int64, tensor.Bool, tensor.Int32, tensor.Float64,
	tensor.Uint8, tensor.Int8, tensor.Float16, tensor.String, tensor.Int4}

func (d *dice) tensor() tensor.Tensor {
	shape := make([]int, d.roll(5))
	for i := range shape {
		shape[i] = d.roll(5)
	}
	t := tensor.New(fuzzTypes[d.roll(len(fuzzTypes))], shape...)
	if t.DType() == tensor.Bool || t.DType() == tensor.String {
		return t
	}
	for i := range t.Len() {
		t.Set(i, float64(d.int()))
	}
	return t
}

// graph makes a graph of up to four nodes over up to six tensors, the first of
// them inputs. Most are wrong in some way.
func (d *dice) graph() (*graph.Graph, []tensor.Tensor) {
	g := &graph.Graph{Name: "fuzz", Opset: map[string]int{graph.DomainONNX: graph.LatestOpset}}
	var values []*graph.Value
	var in []tensor.Tensor
	inputs := d.roll(4)
	for i := range 1 + d.roll(6) {
		t := d.tensor()
		v := &graph.Value{Name: fmt.Sprintf("t%d", i), Type: t.Type()}
		values = append(values, v)
		if i < inputs {
			if d.roll(3) == 0 { // of unknown sizes
				v.Type.Shape = slices.Clone(v.Type.Shape)
				for a := range v.Type.Shape {
					v.Type.Shape[a] = tensor.Symbol(fmt.Sprintf("N%d", a))
				}
			}
			g.Inputs, in = append(g.Inputs, v), append(in, t)
		} else {
			g.Params = append(g.Params, &graph.Param{Value: v, Data: t})
		}
	}
	ops := graph.Operators()
	slices.Sort(ops) // a saved input means the same graph again
	for i := range 1 + d.roll(4) {
		n := &graph.Node{Name: fmt.Sprintf("n%d", i)}
		n.Domain, n.Op = "", ops[(d.roll(256)*256+d.roll(256))%len(ops)]
		if domain, op, ok := strings.Cut(n.Op, "."); ok {
			n.Domain, n.Op = domain, op
		}
		for range d.roll(6) {
			k := d.roll(len(values) + 1)
			if k == len(values) {
				n.In = append(n.In, nil)
			} else {
				n.In = append(n.In, values[k])
			}
		}
		for range d.roll(4) {
			n.Attrs = append(n.Attrs, d.attribute())
		}
		for k := range 1 + d.roll(3) {
			n.Out = append(n.Out, &graph.Value{Name: fmt.Sprintf("n%d_%d", i, k)})
		}
		values = append(values, n.Out...)
		g.Nodes = append(g.Nodes, n)
	}
	g.Outputs = g.Nodes[len(g.Nodes)-1].Out
	return g, in
}

// FuzzRunGraph compiles and runs small random graphs: outputs or an error, never
// a panic that ends the program, within bounds of memory and time.
func FuzzRunGraph(f *testing.F) {
	f.Add([]byte("a small graph"))
	f.Add([]byte{1, 2, 0, 3, 3, 1, 1, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Fuzz(func(t *testing.T, choices []byte) {
		defer debug.SetMemoryLimit(debug.SetMemoryLimit(1 << 30))
		d := dice(choices)
		g, in := d.graph()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		p, err := Compile(g, Options{})
		if err == nil {
			err = p.Run(ctx, in, make([]tensor.Tensor, len(p.Outputs())))
		}
		if errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
	})
}
