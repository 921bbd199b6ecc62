package paths

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
)

// Quantize is the path of fewer bits: at b bits the weights of every layer are on
// a grid of 2^b levels, as ONNX DequantizeLinear reads them. t = (32 − b)/31, so
// that t=0 is float32 and t=1 one bit: α·sign θ with α = mean|θ|. The levels
// −1, 0, +1, if asked for, are log2 3 bits. Between two widths the wider one holds.
type Quantize struct {
	g      *graph.Graph
	tune   Tune
	pool   *kernel.Pool
	scheme Scheme // Bits, and Ternary but for whether it is a step, are those of t
}

// NewQuantize makes the path. The options' scheme says how weights are rounded at
// every width; its Ternary adds the step between 2 bits and 1.
func NewQuantize(g *graph.Graph, o Options) (*Quantize, error) {
	if _, err := layersOf("quantize", g); err != nil {
		return nil, err
	}
	p := &Quantize{g: g, tune: o.Tune, pool: o.Pool, scheme: o.Scheme}
	if err := p.at(TOfBits(2)).check(1); err != nil {
		return nil, fmt.Errorf("path quantize: %w", err)
	}
	return p, nil
}

// ternaryBits is the width of three levels: log2 3.
var ternaryBits = math.Log2(3)

// Param is the number of bits at t.
func (p *Quantize) Param(t float64) float64 { return p.at(t).width() }

// width is the number of bits that a level of the grid takes.
func (s Scheme) width() float64 {
	if s.Ternary {
		return ternaryBits
	}
	return float64(s.Bits)
}

// Steps lists where the path changes: 8 bits down to 1.
func (p *Quantize) Steps() []float64 {
	steps := []float64{0}
	for b := 8; b >= 1; b-- {
		if b == 1 && p.scheme.Ternary {
			steps = append(steps, TOfBits(ternaryBits))
		}
		steps = append(steps, TOfBits(float64(b)))
	}
	return steps
}

// TOfBits is the t at which weights have b bits.
func TOfBits(b float64) float64 { return (floatBits - b) / (floatBits - 1) }

// at is the scheme at t: the narrowest width reached. Widths between 8 and 32 do
// not exist, float32 holds until 8 bits. Grids of one bit and of three levels are
// symmetric, and no grid {−B..B}/2^k has two levels.
func (p *Quantize) at(t float64) Scheme {
	const slack = 1e-9
	bits := floatBits - t*(floatBits-1) // as a number
	s := p.scheme
	s.Ternary = s.Ternary && bits <= ternaryBits+slack && bits > 1+slack
	switch s.Bits = max(1, int(math.Ceil(bits-slack))); {
	case s.Bits > 8:
		s.Bits = floatBits
	case s.Ternary:
		s.Bits, s.Asymmetric = 2, false
	case s.Bits == 1:
		s.Asymmetric, s.Fit = false, FitMSE
	}
	return s
}

// Boundary is the one-bit model.
func (p *Quantize) Boundary() compactify.Boundary {
	return compactify.Boundary{Kind: compactify.ControlEnd, Name: "one bit per weight, α·sign θ per " + p.scheme.granularity()}
}

// At returns the model with its weights at the width of t.
func (p *Quantize) At(ctx context.Context, t float64) (*graph.Graph, error) {
	if err := checkT("quantize", t); err != nil {
		return nil, err
	}
	s := p.at(t)
	if s.IsFloat() {
		return p.g, nil
	}
	schemes := Uniform(p.g, s)
	if p.tune == nil || t == 1 {
		return QuantizeWeights(p.pool, p.g, schemes)
	}
	soft, err := FakeQuantizeWeights(p.pool, p.g, schemes)
	if err != nil {
		return nil, err
	}
	if soft, err = p.tune(ctx, soft, nil, nil); err != nil {
		return nil, err
	}
	return Harden(p.pool, soft)
}

// Roundings says what the width of t does to each layer.
func (p *Quantize) Roundings(t float64) ([]Rounding, error) {
	return Roundings(p.pool, p.g, Uniform(p.g, p.at(t)))
}

// QuantizeWeights stores the named layers' weights as integers, each by its
// scheme as [Scheme.On] gives it, with a DequantizeLinear in front of their
// readers. Layers that are not named or hold no weights stay as they are. The
// result shares all else with g. A nil pool is one thread.
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
		r, err := roundLayer(p, l, s)
		switch {
		case errors.Is(err, errEmpty):
		case err != nil:
			return nil, fmt.Errorf("quantize: %w", err)
		default:
			dequantize(p, c, b, l, r)
		}
	}
	return c, b.Err()
}
