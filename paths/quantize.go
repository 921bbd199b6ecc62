package paths

import (
	"context"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Quantize is the path of fewer bits: at b bits the weights of every layer are
// on a symmetric grid with one scale per output channel, chosen for least
// squared error, as ONNX DequantizeLinear reads them. t = (32 − b)/31, so that
// t=0 is float32 and t=1 one bit: α·sign θ with α = mean|θ|. Between two widths
// the wider one holds.
type Quantize struct {
	g    *graph.Graph
	tune Tune
	pool *kernel.Pool
}

// NewQuantize makes the path.
func NewQuantize(g *graph.Graph, o Options) (*Quantize, error) {
	if _, err := layersOf("quantize", g); err != nil {
		return nil, err
	}
	return &Quantize{g: g, tune: o.Tune, pool: o.Pool}, nil
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
	g, err := QuantizeWeights(p.pool, p.g, Uniform(p.g, Scheme{Bits: b}))
	if err != nil || p.tune == nil || t == 1 {
		return g, err
	}
	return p.tune(ctx, g, nil)
}

// QuantizeWeights stores the named layers' weights as integers, each by its
// scheme, with a DequantizeLinear in front of their readers. Layers not named stay
// as they are. The result shares all else with g. A nil pool is one thread.
func QuantizeWeights(p *kernel.Pool, g *graph.Graph, schemes map[string]Scheme) (*graph.Graph, error) {
	c, _ := g.Clone()
	b := graph.NewBuilder(c, "q_")
	for _, l := range c.Layers() {
		s, ok := schemes[l.Name()]
		if !ok || s.IsFloat() {
			continue
		}
		if err := s.check(1); err != nil {
			return nil, fmt.Errorf("quantize weight %q: %w", l.Name(), err)
		}
		if err := checkFloat32(l); err != nil {
			return nil, fmt.Errorf("quantize: %w", err)
		}
		w := toChannels(l)
		dequantize(c, b, l, s, w, bestScales(p, Grid{s.Bits}, w))
	}
	return c, b.Err()
}

// bestScales are those of [Grid.BestScale], of every channel.
func bestScales(p *kernel.Pool, q Grid, rows [][]float32) []float32 {
	scales := make([]float32, len(rows))
	body := func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			scales[i] = q.BestScale(rows[i])
		}
	}
	if p == nil {
		body(0, 0, len(rows))
	} else if err := p.For(len(rows), 1, body); err != nil {
		panic(err)
	}
	return scales
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
