package paths

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// LayerInput is what a convolution or matrix product reads as data.
type LayerInput struct {
	Value *graph.Value
	Axis  int // of the channels
}

// Moments is what is kept of a layer's input: one entry per channel.
type Moments struct {
	Mean []float64
	Peak []float64 // largest magnitude
}

// LayerInputs lists the float32 values that convolutions and matrix products of
// constant weights read, each once, in the order of the graph.
func LayerInputs(g *graph.Graph) []LayerInput {
	params := g.ParamsByValue()
	var list []LayerInput
	for _, n := range readersOfWeights(g) {
		v := n.In[0]
		axis := 1
		if n.Kind() == "MatMul" {
			axis = v.Type.Rank() - 1
		}
		known := slices.ContainsFunc(list, func(l LayerInput) bool { return l.Value == v })
		if known || params[v] != nil || v.Type.DType != tensor.Float32 || axis < 0 || axis >= v.Type.Rank() || n.Attrs.Int("transA", 0) != 0 {
			continue
		}
		list = append(list, LayerInput{v, axis})
	}
	return list
}

// CorrectBias takes back what rounding the weights does to the mean of every
// layer's output: a bias b becomes b − (W′ − W)·E[x]. For matrix products the mean
// is restored exactly; for convolutions but for what padding leaves out of it. q is
// g with weights rounded by the schemes; seen holds the mean inputs of g's layers,
// see [LayerInputs]. A convolution or Gemm without a bias gets one; a MatMul without
// a constant that is added to it stays. It returns how many biases were corrected.
//
// Source: M. Nagel et al., "Data-free quantization through weight equalization and
// bias correction", ICCV 2019, section 4.2, equations 15–17.
func CorrectBias(g, q *graph.Graph, schemes map[string]Scheme, seen map[string]Moments) (*graph.Graph, int) {
	c, _ := q.Clone()
	b := graph.NewBuilder(c, "bias_")
	f := seamFinder{g: c, readers: c.Consumers(), params: c.ParamsByValue()}
	made := make(map[string]*graph.Node)
	for _, n := range c.Nodes {
		if n.Output(0) != nil {
			made[n.Out[0].Name] = n
		}
	}
	count := 0
	for _, l := range g.Layers() {
		s, rounded := schemes[l.Name()]
		if !rounded || s.IsFloat() || len(l.Nodes) != 1 || l.Nodes[0].Input(1) != l.Param.Value {
			continue
		}
		n := made[l.Nodes[0].Out[0].Name]
		s, _ = s.On(l)
		stored, ok := StoredWeight(c, l, s)
		if n == nil || !ok {
			continue
		}
		shift := meanShift(l, stored.At, seen[l.Nodes[0].In[0].Name].Mean)
		if shift != nil && f.shiftBias(b, n, l, shift) {
			count++
		}
	}
	return c, count
}

// meanShift is (W′ − W)·E[x] per output channel, nil if the layer is of a kind that
// is not corrected.
func meanShift(l graph.Layer, rounded func(i int) float64, mean []float64) []float64 {
	n, shape := l.Nodes[0], l.Param.Data.Shape()
	var input func(i int) int
	switch n.Kind() {
	case "Conv":
		groups, area := n.Attrs.Int("group", 1), 1
		for _, k := range shape[2:] {
			area *= k
		}
		per, outputs := shape[1], shape[0]/max(1, groups)
		input = func(i int) int { return i/(per*area)/outputs*per + i/area%per }
		if groups*per != len(mean) {
			return nil
		}
	case "Gemm", "MatMul":
		if len(shape) != 2 || shape[1-l.Axis] != len(mean) {
			return nil
		}
		input = along(l.Param, 1-l.Axis).channel
	default:
		return nil
	}
	shift, channel := make([]float64, l.Channels()), along(l.Param, l.Axis).channel
	for i, w := range tensor.Data[float32](l.Param.Data) {
		shift[channel(i)] += (rounded(i) - float64(w)) * mean[input(i)]
	}
	if n.Kind() == "Gemm" {
		for c := range shift {
			shift[c] *= n.Attrs.Float("alpha", 1) / n.Attrs.Float("beta", 1)
		}
	}
	return shift
}

// shiftBias subtracts from the bias of a layer, which may come to have one.
func (f *seamFinder) shiftBias(b *graph.Builder, n *graph.Node, l graph.Layer, shift []float64) bool {
	var bias *graph.Param
	switch {
	case n.Kind() == "MatMul":
		if next := f.readers[n.Out[0]]; len(next) == 1 && next[0].Kind() == "Add" && !slices.Contains(f.g.Outputs, n.Out[0]) {
			other := next[0].In[0]
			if other == n.Out[0] {
				other = next[0].In[1]
			}
			bias = f.own(next[0], other)
		}
	case n.Input(2) != nil:
		bias = f.own(n, n.In[2])
	default:
		bias = f.g.Param(b.Param(l.Name()+"_bias", tensor.New(tensor.Float32, len(shift))))
		n.In = append(n.In[:2:2], bias.Value)
	}
	if bias == nil || bias.Data.Len() != len(shift) || bias.Data.Shape()[bias.Data.Rank()-1] != len(shift) {
		return false
	}
	data := tensor.Data[float32](bias.Data)
	corrected := make([]float32, len(shift))
	for i := range corrected {
		corrected[i] = float32(float64(data[i]) - shift[i])
	}
	bias.Data = tensor.Of(corrected, bias.Data.Shape()...)
	return true
}
