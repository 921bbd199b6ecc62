package paths

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// floatBits is the width of weights that are not quantised.
const floatBits = 32

// Quantize is the path of fewer bits: at b bits the weights of every layer are
// on a symmetric grid with one scale per output channel, chosen for least
// squared error, as ONNX DequantizeLinear reads them. t = (32 − b)/31, so that
// t=0 is float32 and t=1 one bit: α·sign θ with α = mean|θ|. Between two widths
// the wider one holds.
type Quantize struct {
	g    *graph.Graph
	tune Tune
}

// NewQuantize makes the path.
func NewQuantize(g *graph.Graph, o Options) (*Quantize, error) {
	if _, err := layersOf("quantize", g); err != nil {
		return nil, err
	}
	return &Quantize{g: g, tune: o.Tune}, nil
}

// Param is the number of bits at t.
func (p *Quantize) Param(t float64) float64 { return float64(bitsAt(t)) }

// Steps lists where the path changes: 8 bits down to 1.
func (p *Quantize) Steps() []float64 {
	steps := []float64{0}
	for b := 8; b >= 1; b-- {
		steps = append(steps, TOfBits(b))
	}
	return steps
}

// TOfBits is the t at which weights have b bits.
func TOfBits(b int) float64 { return float64(floatBits-b) / (floatBits - 1) }

// bitsAt is the number of bits at t: the narrowest width reached. Widths
// between 8 and 32 do not exist, float32 holds until 8 bits.
func bitsAt(t float64) int {
	b := floatBits - int(math.Floor(t*(floatBits-1)+1e-9))
	if b > 8 {
		return floatBits
	}
	return max(1, b)
}

// Boundary is the one-bit model.
func (p *Quantize) Boundary() compactify.Boundary {
	return compactify.Boundary{Kind: compactify.ControlEnd, Name: "one bit per weight, α·sign θ per output channel"}
}

// At returns the model with its weights at the width of t.
func (p *Quantize) At(ctx context.Context, t float64) (*graph.Graph, error) {
	if err := checkT("quantize", t); err != nil {
		return nil, err
	}
	b := bitsAt(t)
	if b == floatBits {
		return p.g, nil
	}
	bits := make(map[string]int)
	for _, l := range p.g.Layers() {
		bits[l.Name()] = b
	}
	g, err := QuantizeWeights(p.g, bits)
	if err != nil || p.tune == nil || t == 1 {
		return g, err
	}
	return p.tune(ctx, g, nil)
}

// QuantizeWeights stores the named layers' weights as integers of the given
// numbers of bits (1 to 8; 32 leaves a layer alone) with a DequantizeLinear in
// front of their readers. The scales are those of [Grid.BestScale].
// Layers not named stay as they are. The result shares all else with g.
func QuantizeWeights(g *graph.Graph, bits map[string]int) (*graph.Graph, error) {
	c, _ := g.Clone()
	b := graph.NewBuilder(c, "q_")
	for _, l := range c.Layers() {
		n, ok := bits[l.Name()]
		if !ok || n == floatBits {
			continue
		}
		if n < 1 || n > 8 {
			return nil, fmt.Errorf("quantize weight %q: bits: got %d, want 1 to 8 or 32", l.Name(), n)
		}
		if err := checkFloat32(l); err != nil {
			return nil, fmt.Errorf("quantize: %w", err)
		}
		w := toChannels(l)
		scales := make([]float32, len(w))
		for i, row := range w {
			scales[i] = Grid{n}.BestScale(row)
		}
		dequantize(c, b, l, n, w, scales)
	}
	return c, b.Err()
}

// dequantize replaces the layer's parameter by integers, scales and a
// DequantizeLinear.
func dequantize(g *graph.Graph, b *graph.Builder, l graph.Layer, bits int, rows [][]float32, scales []float32) {
	p := l.Param
	integers := tensor.New(storedType(bits), p.Data.Shape()...)
	at := channelIndex(p.Data.Shape(), l.Axis)
	for c, row := range rows {
		q := make([]int8, len(row))
		Grid{bits}.Round(q, row, scales[c])
		for k, v := range q {
			integers.Set(at(c, k), float64(v))
		}
	}
	name := p.Name
	weights := b.Param(name+"_q", integers)
	scale := b.Param(name+"_s", tensor.Of(scales, len(scales)))
	node := &graph.Node{Op: "DequantizeLinear", In: []*graph.Value{weights, scale},
		Attrs: graph.Attributes{graph.Int("axis", l.Axis)}, Out: []*graph.Value{b.Value(p.Type)}}
	replaceWeight(g, b, l, node)
}

// replaceWeight lets the readers of a layer's parameter read a new node's
// output instead; the node stands before the first reader and the parameter is
// dropped.
func replaceWeight(g *graph.Graph, b *graph.Builder, l graph.Layer, n *graph.Node) {
	if err := b.Facts().Infer(n); err != nil {
		b.Fail(err)
		return
	}
	g.InsertBefore(l.Nodes[0], n)
	g.Replace(l.Param.Value, n.Out[0])
	g.RemoveParams(func(p *graph.Param) bool { return p == l.Param })
}

// storedType is the narrowest ONNX integer type that holds a grid of the given
// bits.
func storedType(bits int) tensor.DType {
	switch {
	case bits <= 2:
		return tensor.Int2
	case bits <= 4:
		return tensor.Int4
	}
	return tensor.Int8
}

// StoredBits is the width at which a grid of the given bits is stored: 2, 4 or
// 8, and 32 for float32.
func StoredBits(bits int) int {
	if bits > 8 {
		return floatBits
	}
	return storedType(bits).Bits()
}

// toChannels gathers the weights by output channel.
func toChannels(l graph.Layer) [][]float32 {
	w := tensor.Data[float32](l.Param.Data)
	shape := l.Param.Data.Shape()
	channels := shape[l.Axis]
	if channels == 0 {
		return nil
	}
	per := len(w) / channels
	at := channelIndex(shape, l.Axis)
	rows := make([][]float32, channels)
	for c := range rows {
		rows[c] = make([]float32, per)
		for k := range rows[c] {
			rows[c][k] = w[at(c, k)]
		}
	}
	return rows
}

// ChannelOf maps a row-major index of a layer's weight to its output channel.
func ChannelOf(l graph.Layer) func(i int) int {
	inner, shape := 1, l.Param.Data.Shape()
	for _, n := range shape[l.Axis+1:] {
		inner *= n
	}
	return func(i int) int { return i / inner % shape[l.Axis] }
}

// channelIndex maps (channel, position within it) to the row-major index.
func channelIndex(shape []int, axis int) func(c, k int) int {
	inner := 1
	for _, n := range shape[axis+1:] {
		inner *= n
	}
	outer := inner * shape[axis]
	return func(c, k int) int { return k/inner*outer + c*inner + k%inner }
}
