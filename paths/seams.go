package paths

import (
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Seam is a value whose channels may be divided by positive factors where it is
// made if they are multiplied by them where it is read: between are only
// operators with f(x/s) = f(x)/s. Factors are powers of two, so the model computes
// the same to the last bit.
type Seam struct {
	Name     string // of the value that the maker makes
	Channels int
	value    string // that the first of the layers reads
	inner    int    // elements along its axis that follow each other and belong to one channel
	divided  []part // of the maker first
	weights  int    // how many of divided are weights; the others are biases
	read     []part
}

// part is a parameter with the channel of the seam that each element belongs to.
type part struct {
	param   *graph.Param
	channel func(i int) int
}

// Seams lists those of a graph, in its order. Each is the output of a convolution,
// matrix product or normalisation that only rectifiers, poolings, added constants
// and layers read, with parameters of their own.
func Seams(g *graph.Graph) []*Seam {
	f := seamFinder{g: g, readers: g.Consumers(), params: g.ParamsByValue()}
	var list []*Seam
	for _, n := range g.Nodes {
		if s := f.from(n); s != nil {
			list = append(list, s)
		}
	}
	return list
}

type seamFinder struct {
	g       *graph.Graph
	readers map[*graph.Value][]*graph.Node
	params  map[*graph.Value]*graph.Param
}

// own is the float32 parameter v if this node alone reads it, as this one input.
func (f *seamFinder) own(n *graph.Node, v *graph.Value) *graph.Param {
	p := f.params[v]
	if p == nil || p.Data.DType() != tensor.Float32 || len(f.readers[v]) != 1 || slices.Contains(f.g.Outputs, v) {
		return nil
	}
	uses := 0
	for _, in := range n.In {
		if in == v {
			uses++
		}
	}
	if uses != 1 {
		return nil
	}
	return p
}

// from is the seam behind a node, nil if there is none.
func (f *seamFinder) from(n *graph.Node) *Seam {
	s := &Seam{weights: 1}
	axis := 1 // of the channels in the output
	var weight *graph.Param
	switch n.Kind() {
	case "Conv", "Gemm", "MatMul":
		if weight = f.own(n, n.In[1]); weight == nil || f.params[n.In[0]] != nil {
			return nil
		}
		shape := weight.Data.Shape()
		out := 0
		switch n.Kind() {
		case "Gemm":
			out = 1 - n.Attrs.Int("transB", 0)
		case "MatMul":
			if len(shape) != 2 {
				return nil
			}
			out, axis = 1, n.Out[0].Type.Rank()-1
		}
		s.Channels = shape[out]
		s.divided = append(s.divided, along(weight, out))
	case "LayerNormalization", "RMSNormalization":
		rank := n.Out[0].Type.Rank()
		if a := n.Attrs.Int("axis", -1); a != -1 && a != rank-1 || n.Output(1) != nil {
			return nil
		}
		if weight = f.own(n, n.In[1]); weight == nil || weight.Data.Rank() != 1 {
			return nil
		}
		s.Channels, axis = weight.Data.Len(), rank-1
		s.divided = append(s.divided, along(weight, 0))
	default:
		return nil
	}
	if b := n.Input(2); b != nil {
		bias := f.own(n, b)
		if bias == nil || bias.Data.Len() != s.Channels || bias.Data.Shape()[bias.Data.Rank()-1] != s.Channels {
			return nil
		}
		s.divided = append(s.divided, part{bias, func(i int) int { return i }})
	}
	s.Name = n.Out[0].Name
	if axis < 0 || !f.follow(s, n.Out[0], axis, 1) || len(s.read) == 0 {
		return nil
	}
	return s
}

// follow adds what reads v, whose channels lie along axis in runs of inner, and
// reports whether all of it passes factors on.
func (f *seamFinder) follow(s *Seam, v *graph.Value, axis, inner int) bool {
	if slices.Contains(f.g.Outputs, v) || len(f.readers[v]) == 0 {
		return false
	}
	for _, n := range f.readers[v] {
		if !f.passes(s, n, v, axis, inner) {
			return false
		}
	}
	return true
}

func (f *seamFinder) passes(s *Seam, n *graph.Node, v *graph.Value, axis, inner int) bool {
	if len(n.In) == 0 || len(n.Out) == 0 || n.Output(1) != nil {
		return false
	}
	data := n.In[0] == v && !slices.Contains(n.In[1:], v)
	switch n.Kind() {
	case "Relu", "LeakyRelu", "PRelu", "Identity", "MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool":
		return data && f.follow(s, n.Out[0], axis, inner)
	case "Add":
		return f.addsConstant(s, n, v, axis, inner) && f.follow(s, n.Out[0], axis, inner)
	case "Flatten", "Reshape":
		run, ok := flattens(n, v, axis)
		return data && ok && f.follow(s, n.Out[0], 1, inner*run)
	case "Conv", "Gemm", "MatMul":
		return data && f.reads(s, n, axis, inner)
	}
	return false
}

// addsConstant adds the constant of a sum to what is divided.
func (f *seamFinder) addsConstant(s *Seam, n *graph.Node, v *graph.Value, axis, inner int) bool {
	other := n.In[0]
	if other == v {
		other = n.In[1]
	}
	p := f.own(n, other)
	behind := v.Type.Rank() - 1 - axis // axes behind the channels'
	if p == nil || inner != 1 || p.Data.Rank() <= behind || p.Data.Rank() > v.Type.Rank() || p.Data.Len() != s.Channels ||
		p.Data.Shape()[p.Data.Rank()-1-behind] != s.Channels {
		return false
	}
	s.divided = append(s.divided, part{p, func(i int) int { return i }})
	return true
}

// flattens reports whether a node joins the channels of v, along axis 1, with all
// axes behind them, and how many elements of a channel follow each other then.
func flattens(n *graph.Node, v *graph.Value, axis int) (run int, ok bool) {
	if axis != 1 || !v.Type.Ranked() || n.Out[0].Type.Rank() != 2 || !n.Out[0].Type.Shape[1].Known() {
		return 0, false
	}
	run = 1
	for _, d := range v.Type.Shape[2:] {
		if !d.Known() {
			return 0, false
		}
		run *= d.Size
	}
	return run, v.Type.Shape[1].Known() && n.Out[0].Type.Shape[1].Size == run*v.Type.Shape[1].Size
}

// reads adds the weight of a layer that reads the channels.
func (f *seamFinder) reads(s *Seam, n *graph.Node, axis, inner int) bool {
	p := f.own(n, n.In[1])
	if p == nil {
		return false
	}
	if len(s.read) == 0 {
		s.value, s.inner = n.In[0].Name, inner
	}
	shape := p.Data.Shape()
	switch n.Kind() {
	case "Conv":
		groups, per := n.Attrs.Int("group", 1), shape[1] // inputs per group
		if axis != 1 || inner != 1 || groups*per != s.Channels || shape[0]%groups != 0 {
			return false
		}
		outputs, area := shape[0]/groups, 1
		for _, k := range shape[2:] {
			area *= k
		}
		s.read = append(s.read, part{p, func(i int) int { return i/(per*area)/outputs*per + i/area%per }})
		return true
	case "Gemm":
		in := n.Attrs.Int("transB", 0)
		if n.Attrs.Int("transA", 0) != 0 || axis != 1 || shape[in] != s.Channels*inner {
			return false
		}
		at := along(p, in).channel
		s.read = append(s.read, part{p, func(i int) int { return at(i) / inner }})
		return true
	}
	if len(shape) != 2 || axis != n.In[0].Type.Rank()-1 || shape[0] != s.Channels*inner {
		return false
	}
	at := along(p, 0).channel
	s.read = append(s.read, part{p, func(i int) int { return at(i) / inner }})
	return true
}

// along says that a parameter's channels lie along an axis.
func along(p *graph.Param, axis int) part {
	inner, size := 1, p.Data.Shape()[axis]
	for _, n := range p.Data.Shape()[axis+1:] {
		inner *= n
	}
	return part{p, func(i int) int { return i / inner % size }}
}

// largest is the largest magnitude of each channel over some parts.
func (s *Seam) largest(parts []part) []float64 {
	top := make([]float64, s.Channels)
	for _, p := range parts {
		for i, w := range tensor.Data[float32](p.param.Data) {
			c := p.channel(i)
			top[c] = max(top[c], math.Abs(float64(w)))
		}
	}
	return top
}

// move divides the channels where they are made by the power of two nearest to
// each factor and multiplies them by it where they are read. It reports whether
// anything changed. Channels whose factor is no positive number stay.
func (s *Seam) move(factors []float64) bool {
	exact, changed := make([]float32, len(factors)), false
	for c, x := range factors {
		exact[c] = 1
		if e := math.Round(math.Log2(x)); x > 0 && e != 0 && math.Abs(e) <= 40 {
			exact[c], changed = float32(math.Ldexp(1, int(e))), true
		}
	}
	if !changed {
		return false
	}
	for _, p := range s.divided {
		p.scale(func(c int) float32 { return 1 / exact[c] })
	}
	for _, p := range s.read {
		p.scale(func(c int) float32 { return exact[c] })
	}
	return true
}

// scale gives the parameter data of its own, multiplied.
func (p part) scale(by func(c int) float32) {
	p.param.Data = p.param.Data.Clone()
	data := tensor.Data[float32](p.param.Data)
	for i := range data {
		data[i] *= by(p.channel(i))
	}
}
