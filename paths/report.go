package paths

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Rounding says what a grid does to the weights of one layer. For the weights
// that are not clipped the bound is one of mathematics, ‖e‖₂ ≤ ½√(Σ Δᵢ²), which
// with one Δ for all d of them is Δ√d/2 (THEORY row 14); what was measured is
// beside it.
type Rounding struct {
	Layer   string
	Scheme  Scheme // it is stored by
	Reason  string // why that is another than was asked for, or why the weight is left alone; "" if neither
	Weights int
	Clipped int     // weights beyond the outermost level by more than half a step
	Step    float64 // Δ, the distance of two levels; the largest of the layer's
	Bound   float64 // on the error of the weights that are not clipped
	Inside  float64 // ‖e‖₂ of those
	Error   float64 // ‖e‖₂ of all
	Norm    float64 // ‖θ‖₂
}

// Roundings says what [QuantizeWeights] would do to each layer of g that has a
// scheme. Its errors are those of QuantizeWeights.
func Roundings(p *kernel.Pool, g *graph.Graph, schemes map[string]Scheme) ([]Rounding, error) {
	var list []Rounding
	for _, l := range g.Layers() {
		s, ok := schemes[l.Name()]
		if !ok {
			continue
		}
		r, err := roundingOf(p, l, s)
		if err != nil {
			return nil, err
		}
		list = append(list, r)
	}
	return list, nil
}

// Total adds up layers: errors and bounds as the norm of all weights together,
// and the largest Δ.
func Total(list []Rounding) Rounding {
	var sum Rounding
	for _, r := range list {
		sum.Weights += r.Weights
		sum.Clipped += r.Clipped
		sum.Step = max(sum.Step, r.Step)
		sum.Bound, sum.Inside = math.Hypot(sum.Bound, r.Bound), math.Hypot(sum.Inside, r.Inside)
		sum.Error, sum.Norm = math.Hypot(sum.Error, r.Error), math.Hypot(sum.Norm, r.Norm)
	}
	return sum
}

func roundingOf(p *kernel.Pool, l graph.Layer, s Scheme) (Rounding, error) {
	out := Rounding{Layer: l.Name(), Scheme: s, Weights: l.Param.Data.Len()}
	switch {
	case out.Weights == 0:
		out.Scheme, out.Reason = Scheme{Bits: floatBits}, errEmpty.Error()
		return out, nil
	case s.IsFloat():
		out.Norm = norm(l)
		return out, nil
	}
	if err := s.check(1); err != nil {
		return out, fmt.Errorf("quantize weight %q: %w", l.Name(), err)
	}
	r, err := roundLayer(p, l, s)
	if err != nil {
		return out, fmt.Errorf("quantize: %w", err)
	}
	out.Scheme, out.Reason = s.On(l)
	out.measure(tensor.Data[float32](l.Param.Data), r)
	return out, nil
}

func norm(l graph.Layer) float64 {
	sum := 0.0
	for _, x := range tensor.Data[float32](l.Param.Data) {
		sum += float64(x) * float64(x)
	}
	return math.Sqrt(sum)
}

// measure adds up what became of the weights.
func (out *Rounding) measure(w []float32, r *rounded) {
	q, scale := r.scheme.grid(), r.groups.scaleOf()
	var bound, inside, outside, power float64
	for i, x := range w {
		at := r.level(scale(i))
		step := q.step(at)
		e := float64(x) - float64(at.scale)*float64(q.integer(r.codes[i])-at.zero)
		power += float64(x) * float64(x)
		out.Step = max(out.Step, step)
		if q.clips(x, at) {
			out.Clipped++
			outside += e * e
			continue
		}
		bound += step * step
		inside += e * e
	}
	out.Bound, out.Inside, out.Error, out.Norm = math.Sqrt(bound)/2, math.Sqrt(inside), math.Sqrt(inside+outside), math.Sqrt(power)
}
