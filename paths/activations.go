package paths

import (
	"math"
	"slices"
	"strings"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Range is what an activation was seen to span.
type Range struct{ Lo, Hi float64 }

// Activations lists the values that 8-bit activations would round: what enters
// a convolution or matrix product as data, the operands of sums, products and
// concatenations behind convolutions (as in residual and dense networks) and what
// is averaged over whole images behind them, each once, in the order of the graph. Their ranges come from
// calibration.
func Activations(g *graph.Graph) []*graph.Value {
	params := g.ParamsByValue()
	producer := g.Producers()
	want := make(map[*graph.Value]bool)
	for _, l := range readersOfWeights(g) {
		want[l.In[0]] = true
	}
	images := newImages(g)
	for _, n := range g.Nodes {
		switch n.Kind() {
		case "Add":
			if images.holds(n.In[0]) && images.holds(n.In[1]) && sameKnownShape(n.In[0].Type, n.In[1].Type) {
				want[n.In[0]], want[n.In[1]] = true, true
			}
		case "Mul": // as in squeeze-and-excitation: QLinearMul broadcasts
			if images.holds(n.In[0]) && images.holds(n.In[1]) {
				want[n.In[0]], want[n.In[1]] = true, true
			}
		case "Concat":
			if images.holds(n.Out[0]) {
				for _, v := range n.In {
					want[v] = true
				}
			}
		case "GlobalAveragePool", "AveragePool", "ReduceMean":
			if images.holds(n.In[0]) {
				want[n.In[0]] = true
			}
		}
	}
	var list []*graph.Value
	add := func(v *graph.Value) {
		n := producer[v]
		stored := params[v] != nil || n != nil && n.Kind() == "DequantizeLinear"
		if want[v] && !stored && v.Type.DType == tensor.Float32 {
			list = append(list, v)
		}
	}
	for _, v := range g.Inputs {
		add(v)
	}
	for _, n := range g.Nodes {
		for _, v := range n.Out {
			if v != nil {
				add(v)
			}
		}
	}
	return list
}

// sameKnownShape reports whether two types have the same rank and no size that is
// known to differ: a sum that broadcasts is no residual.
func sameKnownShape(a, b tensor.Type) bool {
	if !a.Ranked() || !b.Ranked() || a.Rank() != b.Rank() {
		return false
	}
	for i, d := range a.Shape {
		if d != b.Shape[i] {
			return false
		}
	}
	return true
}

// movesElements are operators that only choose or reorder elements of their first
// input, so that rounding before them and behind them is the same.
var movesElements = map[string]bool{"MaxPool": true, "Slice": true, "Pad": true, "Reshape": true, "Flatten": true,
	"Squeeze": true, "Unsqueeze": true, "Transpose": true, "Identity": true}

// images knows which values convolutions with rounded weights make, by way of
// activations that clamp, sums and operators that move elements: those whose
// integers a runtime passes on.
type images struct {
	producer map[*graph.Value]*graph.Node
	layers   map[*graph.Node]bool
	known    map[*graph.Value]bool
}

func newImages(g *graph.Graph) *images {
	m := &images{producer: g.Producers(), layers: make(map[*graph.Node]bool), known: make(map[*graph.Value]bool)}
	for _, n := range readersOfWeights(g) {
		m.layers[n] = n.Kind() == "Conv"
	}
	for _, n := range g.Nodes { // in order, so that inputs are known before outputs
		if len(n.Out) > 0 && n.Out[0] != nil {
			m.known[n.Out[0]] = m.makes(n)
		}
	}
	return m
}

func (m *images) makes(n *graph.Node) bool {
	switch k := n.Kind(); {
	case k == "Conv":
		return m.layers[n]
	case k == "Relu" || k == "Clip" || movesElements[k]:
		return m.known[n.In[0]]
	case k == "Add" || k == "Mul":
		return m.known[n.In[0]] && m.known[n.In[1]]
	case k == "Concat":
		return !slices.ContainsFunc(n.In, func(v *graph.Value) bool { return !m.known[v] })
	}
	return false
}

func (m *images) holds(v *graph.Value) bool { return m.known[v] }

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
		if params[w] != nil || from != nil && from.Kind() == "DequantizeLinear" && params[from.In[0]] != nil && from.In[0].Type.DType.Bits() != 2 {
			list = append(list, n)
		}
	}
	return list
}

// twoBits lists the convolutions and products of 2-bit weights.
func twoBits(g *graph.Graph) map[*graph.Node]bool {
	producer := g.Producers()
	m := make(map[*graph.Node]bool)
	for _, n := range g.Nodes {
		for _, v := range n.In {
			if from := producer[v]; from != nil && from.Kind() == "DequantizeLinear" && from.In[0].Type.DType.Bits() == 2 {
				m[n] = true
			}
		}
	}
	return m
}

// QuantizeActivations puts QuantizeLinear and DequantizeLinear behind the given
// values, at 8 bits: uint8 with zero point 0 where the range has no negative
// part, as behind a ReLU, so that runtimes fuse it; otherwise uint8 with the zero
// point that maps 0.0 exactly. All that read a value then read it rounded, but for
// layers of 2-bit weights. Where a value is made of another by moving elements
// alone, both are rounded, and in the same way: runtimes then move integers.
// Values without a range stay as they are. Biases stay floats, but move to the grid
// s_x·s_w that ONNX Runtime rounds them to as it fuses, so that the file says what is
// computed; see [QuantizeBiases].
func QuantizeActivations(g *graph.Graph, ranges map[string]Range) (*graph.Graph, error) {
	c, _ := g.Clone()
	b := graph.NewBuilder(c, "a_")
	low := twoBits(c)
	for _, r := range spread(c, ranges) {
		scale, zero := r.grid()
		roundActivation(c, b, low, r.value, r.after, scale, zero)
	}
	for _, r := range roundedBiases(c) {
		integers := r.integers()
		for i := range r.scales {
			integers[i] *= float64(r.scales[i])
		}
		r.bias.Data = tensor.New(tensor.Float32, len(integers))
		for i, v := range integers {
			r.bias.Data.Set(i, v)
		}
	}
	producer := c.Producers()
	for _, n := range readersOfWeights(c) {
		if n.Kind() == "Gemm" && dequantized(producer, n.In[0]) != nil {
			spellZero(c, b, dequantized(producer, n.In[1]))
		}
	}
	return c, b.Err()
}

// QuantizeBiases makes the biases of convolutions and Gemm whose inputs and weights
// are rounded int32 of scale s_x·s_w. It makes files larger, by a scale for each
// channel, and changes nothing that is computed, but versions of ONNX Runtime
// multiply integers only where the bias has that form: 1.18, 1.20 and 1.22 do, and
// 1.21, 1.23, 1.30 and 1.32 round a bias of floats in the same way.
func QuantizeBiases(g *graph.Graph) (*graph.Graph, error) {
	c, _ := g.Clone()
	b := graph.NewBuilder(c, "b_")
	for _, r := range roundedBiases(c) {
		r.quantize(c, b)
	}
	return c, b.Err()
}

// dequantized is the DequantizeLinear that makes a value; nil if none does.
func dequantized(producer map[*graph.Value]*graph.Node, v *graph.Value) *graph.Node {
	if n := producer[v]; n != nil && n.Kind() == "DequantizeLinear" {
		return n
	}
	return nil
}

// spellZero gives bytes that have a scale for each channel and no zero point one of
// zeros. It says nothing new, but ONNX Runtime refuses to run the Gemm that it makes
// of them otherwise: 1.18 to 1.23 do, 1.30 does not.
func spellZero(g *graph.Graph, b *graph.Builder, d *graph.Node) {
	if d == nil || d.Input(2) != nil {
		return
	}
	q, s := g.Param(d.In[0]), g.Param(d.In[1])
	if q == nil || q.Data.DType() != tensor.Int8 || s == nil || s.Data.Rank() != 1 {
		return
	}
	name := strings.TrimSuffix(q.Name, "_q") + "_z"
	d.In = append(d.In[:2:2], b.Param(name, tensor.New(tensor.Int8, s.Data.Len())))
}

// rounding is a value to round: the node behind which that happens, nil for an
// input, and what it spans.
type rounding struct {
	value *graph.Value
	after *graph.Node
	Range
}

// spread lists the values to round in the order of the graph. A value made of
// another by moving elements, as max-pooling does, takes the other's range if that
// is rounded anyway; otherwise it hands its own back to it, which changes nothing:
// what lies outside of the range never gets through the pooling.
func spread(g *graph.Graph, ranges map[string]Range) []rounding {
	producer, readers := g.Producers(), g.Consumers()
	known := make(map[*graph.Value]Range)
	var list []*graph.Value
	for _, v := range Activations(g) {
		r, ok := ranges[v.Name]
		if !ok {
			continue
		}
		var chain []*graph.Value // from v back
		for {
			chain = append(chain, v)
			n := producer[v]
			if n == nil || !movesElements[n.Kind()] || n.Output(1) != nil || producer[n.In[0]] == nil {
				break
			}
			v = n.In[0]
			if k, rounded := known[v]; rounded {
				r = k
				break
			}
			if len(readers[v]) != 1 || slices.Contains(g.Outputs, v) {
				break
			}
		}
		for i := len(chain) - 1; i >= 0; i-- {
			if _, rounded := known[chain[i]]; !rounded {
				known[chain[i]] = r
				list = append(list, chain[i])
			}
		}
	}
	all := make([]rounding, len(list))
	for i, v := range list {
		all[i] = rounding{v, producer[v], known[v]}
	}
	return all
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

// roundActivation inserts the pair behind v and lets all that read v read its
// result, but for layers of 2-bit weights and the graph's outputs.
func roundActivation(g *graph.Graph, b *graph.Builder, low map[*graph.Node]bool, v *graph.Value, after *graph.Node, scale float32, zero uint8) {
	s := b.Param(v.Name+"_scale", tensor.Scalar(scale))
	z := b.Param(v.Name+"_zero", tensor.Scalar(zero))
	q := &graph.Node{Op: "QuantizeLinear", In: []*graph.Value{v, s, z}, Out: []*graph.Value{b.Value(tensor.Type{})}}
	d := &graph.Node{Op: "DequantizeLinear", In: []*graph.Value{q.Out[0], s, z}, Out: []*graph.Value{b.Value(v.Type)}}
	for _, n := range []*graph.Node{q, d} {
		if err := b.Facts().Infer(n); err != nil {
			b.Fail(err)
		}
	}
	for _, n := range g.Consumers()[v] {
		if low[n] {
			continue
		}
		for i, in := range n.In {
			if in == v {
				n.In[i] = d.Out[0]
			}
		}
	}
	if after == nil {
		g.Nodes = append([]*graph.Node{q, d}, g.Nodes...)
	} else {
		g.InsertAfter(after, d)
		g.InsertAfter(after, q)
	}
}

// roundedBias is a bias of a layer whose input and weight are rounded.
type roundedBias struct {
	node   *graph.Node
	bias   *graph.Param
	scales []float32 // s_x·s_w, of each entry
}

// roundedBiases lists the biases that runtimes multiply integers with: those of
// convolutions and Gemm, which nothing else reads and int32 can hold.
func roundedBiases(g *graph.Graph) []roundedBias {
	producer, consumers := g.Producers(), g.Consumers()
	var list []roundedBias
	for _, n := range readersOfWeights(g) {
		x, w, bias := dequantized(producer, n.In[0]), dequantized(producer, n.In[1]), g.Param(n.Input(2))
		if x == nil || w == nil || bias == nil {
			continue
		}
		sx, sw := g.Param(x.In[1]), g.Param(w.In[1])
		if sx == nil || sx.Data.Len() != 1 || sw == nil || sw.Data.Len() != bias.Data.Len() || bias.Data.Rank() != 1 ||
			bias.Data.DType() != tensor.Float32 || len(consumers[bias.Value]) != 1 {
			continue
		}
		scales := make([]float32, bias.Data.Len())
		for i := range scales {
			scales[i] = float32(sx.Data.At(0)) * float32(sw.Data.At(i))
		}
		if r := (roundedBias{n, bias, scales}); r.fits() {
			list = append(list, r)
		}
	}
	return list
}

// integers is the bias in steps of its grid.
func (r roundedBias) integers() []float64 {
	q := make([]float64, len(r.scales))
	for i, s := range r.scales {
		q[i] = math.RoundToEven(r.bias.Data.At(i) / float64(s))
	}
	return q
}

// fits reports whether int32 holds the integers: a channel of weights that are nearly
// zero has steps too fine for its bias.
func (r roundedBias) fits() bool {
	return !slices.ContainsFunc(r.integers(), func(q float64) bool { return !(math.Abs(q) <= math.MaxInt32) })
}

// quantize stores the bias as int32.
func (r roundedBias) quantize(g *graph.Graph, b *graph.Builder) {
	integers := tensor.New(tensor.Int32, len(r.scales))
	for i, v := range r.integers() {
		integers.Set(i, v)
	}
	d := &graph.Node{Op: "DequantizeLinear", Attrs: graph.Attributes{graph.Int("axis", 0)},
		In:  []*graph.Value{b.Param(r.bias.Name+"_q", integers), b.Param(r.bias.Name+"_s", tensor.Of(r.scales, len(r.scales)))},
		Out: []*graph.Value{b.Value(r.bias.Type)}}
	if err := b.Facts().Infer(d); err != nil {
		b.Fail(err)
	}
	g.InsertBefore(r.node, d)
	r.node.In[2] = d.Out[0]
	g.RemoveParams(func(p *graph.Param) bool { return p == r.bias })
}
