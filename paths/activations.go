package paths

import (
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Range is what an activation was seen to span.
type Range struct{ Lo, Hi float64 }

// Activations lists the values that 8-bit activations would round: what enters
// a convolution or matrix product as data, each once, in the order of the graph.
// Their ranges come from calibration.
func Activations(g *graph.Graph) []*graph.Value {
	params := g.ParamsByValue()
	producer := g.Producers()
	var list []*graph.Value
	for _, l := range readersOfWeights(g) {
		v := l.In[0]
		n := producer[v]
		stored := params[v] != nil || n != nil && n.Kind() == "DequantizeLinear"
		if !stored && v.Type.DType == tensor.Float32 && !slices.Contains(list, v) {
			list = append(list, v)
		}
	}
	return list
}

// readersOfWeights are the convolutions and products whose weight is stored, as
// floats or behind a DequantizeLinear, but for 2-bit weights: runtimes have no
// integer kernel for them, and ONNX Runtime 1.30, which fuses a convolution with
// the rounding around it all the same, then refuses its own result.
func readersOfWeights(g *graph.Graph) []*graph.Node {
	params := g.ParamsByValue()
	producer := g.Producers()
	var list []*graph.Node
	for _, n := range g.Nodes {
		switch n.Kind() {
		case "Conv", "Gemm", "MatMul", "ConvTranspose":
		default:
			continue
		}
		w := n.In[1]
		from := producer[w]
		if params[w] != nil || from != nil && from.Kind() == "DequantizeLinear" && params[from.In[0]] != nil && from.In[0].Type.DType != tensor.Int2 {
			list = append(list, n)
		}
	}
	return list
}

// QuantizeActivations puts QuantizeLinear and DequantizeLinear behind the given
// values, at 8 bits: uint8 with zero point 0 where the range has no negative
// part, as behind a ReLU, so that runtimes fuse it; otherwise uint8 with the zero
// point that maps 0.0 exactly. Values without a range stay as they are. Biases of
// convolutions and Gemm whose weights are 8-bit or 4-bit integers become int32
// with scale s_x·s_w, the form runtimes expect; where it is missing, ONNX Runtime
// rounds the bias so when it fuses.
func QuantizeActivations(g *graph.Graph, ranges map[string]Range) (*graph.Graph, error) {
	c, _ := g.Clone()
	b := graph.NewBuilder(c, "a_")
	producer := c.Producers()
	scales := make(map[*graph.Value]float32) // by the value layers read now
	for _, v := range Activations(c) {
		r, ok := ranges[v.Name]
		if !ok {
			continue
		}
		scale, zero := r.grid()
		out := roundActivation(c, b, v, producer[v], scale, zero)
		scales[out] = scale
	}
	for _, n := range readersOfWeights(c) {
		if s, ok := scales[n.In[0]]; ok {
			quantizeBias(c, b, n, s)
		}
	}
	return c, b.Err()
}

// grid is the scale and zero point of a range, which is widened to hold 0.
func (r Range) grid() (scale float32, zero uint8) {
	lo, hi := min(0, r.Lo), max(0, r.Hi)
	if hi == lo {
		return 1, 0
	}
	s := (hi - lo) / 255
	return float32(s), uint8(math.RoundToEven(-lo / s))
}

// roundActivation inserts the pair behind v and lets the layers' data inputs
// read its result; other readers keep the unrounded value.
func roundActivation(g *graph.Graph, b *graph.Builder, v *graph.Value, after *graph.Node, scale float32, zero uint8) *graph.Value {
	s := b.Param(v.Name+"_scale", tensor.Scalar(scale))
	z := b.Param(v.Name+"_zero", tensor.Scalar(zero))
	q := &graph.Node{Op: "QuantizeLinear", In: []*graph.Value{v, s, z}, Out: []*graph.Value{b.Value(tensor.Type{})}}
	d := &graph.Node{Op: "DequantizeLinear", In: []*graph.Value{q.Out[0], s, z}, Out: []*graph.Value{b.Value(v.Type)}}
	for _, n := range []*graph.Node{q, d} {
		if err := b.Facts().Infer(n); err != nil {
			b.Fail(err)
		}
	}
	for _, n := range readersOfWeights(g) {
		if n.In[0] == v {
			n.In[0] = d.Out[0]
		}
	}
	if after == nil {
		g.Nodes = append([]*graph.Node{q, d}, g.Nodes...)
	} else {
		g.InsertAfter(after, d)
		g.InsertAfter(after, q)
	}
	return d.Out[0]
}

// quantizeBias stores a bias as int32 of scale s_x·s_w per channel.
func quantizeBias(g *graph.Graph, b *graph.Builder, n *graph.Node, dataScale float32) {
	bias, weight := g.Param(n.Input(2)), g.Producers()[n.In[1]]
	if bias == nil || weight == nil || weight.Kind() != "DequantizeLinear" {
		return
	}
	ws := g.Param(weight.In[1])
	if ws == nil || ws.Data.Len() != bias.Data.Len() || bias.Data.Rank() != 1 || len(g.Consumers()[bias.Value]) != 1 {
		return
	}
	scales := make([]float32, bias.Data.Len())
	integers := tensor.New(tensor.Int32, len(scales))
	for i := range scales {
		scales[i] = dataScale * float32(ws.Data.At(i))
		integers.Set(i, bias.Data.At(i)/float64(scales[i]))
	}
	d := &graph.Node{Op: "DequantizeLinear", Attrs: graph.Attributes{graph.Int("axis", 0)},
		In:  []*graph.Value{b.Param(bias.Name+"_q", integers), b.Param(bias.Name+"_s", tensor.Of(scales, len(scales)))},
		Out: []*graph.Value{b.Value(bias.Type)}}
	if err := b.Facts().Infer(d); err != nil {
		b.Fail(err)
	}
	g.InsertBefore(n, d)
	n.In[2] = d.Out[0]
	g.RemoveParams(func(p *graph.Param) bool { return p == bias })
}
