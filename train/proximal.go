package train

import (
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
)

// proximal takes the proximal step of all penalties:
//
//	θ ← argmin ½‖x − θ‖² + η·(λ₁‖x‖₁ + λ_g Σ √|g|‖x_g‖ + λ₂‖x‖²)   subject to ‖x_u‖ ≤ c
//
// whose parts, taken in this order, are exact: soft thresholds, shrinking of whole
// groups, the factor 1/(1+2ηλ₂), and projection on the ball. It is stable for every
// ηλ. A group of which the bias is a part and that is also held in a ball without it
// is the one case in which the steps one after the other are not the joint minimiser.
//
// Sources: P. Combettes and V. Wajs, Multiscale Model. Simul. 4 (2005); N. Simon et
// al., "A sparse-group lasso", J. Comput. Graph. Stat. 22 (2013), equation 12.
type proximal struct {
	pool    *kernel.Pool
	weights []*weight
	params  []*graph.Param
	groups  []units

	strengths
	now  *weight // that the parts below work on,
	unit units   // its units,
	bias []float32
	rate float64 // and η of it

	soft, shrink, project func(worker, lo, hi int)
}

func newProximal(t *trainer) *proximal {
	p := &proximal{pool: t.o.Pool, weights: t.weights}
	for _, w := range t.weights {
		p.params = append(p.params, w.param)
	}
	p.groups = unitsOf(t.model, p.params)
	p.soft, p.shrink, p.project = p.softRange, p.shrinkRange, p.projectRange
	return p
}

// The parts of a step, in their order.
const (
	softPart = iota
	shrinkPart
	ridgePart
	projectPart
	lastPart
)

// step takes the step for a rate in units of each weight's own.
func (p *proximal) step(rate float64) error {
	on := [lastPart]bool{p.l1 > 0, p.group > 0, p.l2 > 0, !math.IsInf(p.radius, 1)}
	for part := range lastPart {
		if !on[part] {
			continue
		}
		for i, w := range p.weights {
			p.now, p.unit, p.rate, p.bias = w, p.groups[i], rate*w.unit, nil
			if p.unit.bias >= 0 {
				p.bias = p.weights[p.unit.bias].data
			}
			if err := p.take(part); err != nil {
				return err
			}
		}
	}
	return nil
}

// take takes a part of the step for the weight at hand.
func (p *proximal) take(part int) error {
	switch part {
	case softPart:
		return p.pool.For(len(p.now.data), 1<<13, p.soft)
	case ridgePart:
		kernel.MulScalar(p.pool, p.now.data, p.now.data, float32(1/(1+2*p.rate*p.l2)))
		kernel.AddScalar(p.pool, p.now.data, p.now.data, 0) // −0, to which small negative weights underflow, becomes 0
	case shrinkPart:
		if !p.unit.member {
			return p.eachUnit(p.shrink)
		}
	case projectPart:
		if p.unit.layer {
			return p.eachUnit(p.project)
		}
	}
	return nil
}

// eachUnit runs a part over the units of the weight at hand.
func (p *proximal) eachUnit(part func(worker, lo, hi int)) error {
	return p.pool.For(p.unit.count, 1+(1<<13)/max(1, p.unit.size()), part)
}

// softRange is the soft threshold at ηλ₁.
func (p *proximal) softRange(_, lo, hi int) {
	const sign = 1 << 31
	at := float32(p.rate * p.l1)
	w := p.now.data[lo:hi]
	for i, x := range w {
		bits := math.Float32bits(x)
		rest := max(math.Float32frombits(bits&^sign)-at, 0)
		if rest == 0 {
			bits = 0
		}
		w[i] = math.Float32frombits(math.Float32bits(rest) | bits&sign)
	}
}

// shrinkRange shortens units lo to hi with their biases by ηλ_g√|g|, down to zero.
func (p *proximal) shrinkRange(_, lo, hi int) {
	by := p.rate * p.group * math.Sqrt(float64(p.unit.size()))
	for k := lo; k < hi; k++ {
		norm := p.unit.squares(p.now.data, k)
		if p.bias != nil {
			norm += float64(p.bias[k]) * float64(p.bias[k])
		}
		factor := float32(max(0, 1-by/math.Sqrt(norm)))
		if norm == 0 {
			factor = 0
		}
		p.unit.scale(p.now.data, k, factor)
		if p.bias != nil {
			p.bias[k] = positiveZero(p.bias[k] * factor)
		}
	}
}

// projectRange puts units lo to hi on the ball of radius c if they are outside.
func (p *proximal) projectRange(_, lo, hi int) {
	for k := lo; k < hi; k++ {
		if norm := math.Sqrt(p.unit.squares(p.now.data, k)); norm > p.radius {
			p.unit.scale(p.now.data, k, float32(p.radius/norm))
		}
	}
}

// positiveZero is x, without the sign that −0 has.
func positiveZero(x float32) float32 { return x + 0 }
