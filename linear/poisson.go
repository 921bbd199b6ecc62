package linear

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
)

// poisson is the loss e^η − yη.
type poisson struct {
	y, w []float64
	cell []float64 // e^η
	set  kernel.Set
}

func (p *poisson) at(eta, v []float64) float64 {
	loss := 0.0
	kernel.Exp64(p.set, p.cell, eta)
	for i, x := range eta {
		w := p.w[i]
		if w == 0 {
			p.cell[i], v[i] = 0, 0
			continue
		}
		m := p.cell[i]
		v[i] = w * (p.y[i] - m)
		loss += w * (m - p.y[i]*x)
	}
	if math.IsNaN(loss) {
		return math.Inf(1)
	}
	return loss
}

func (p *poisson) curve(dst, u []float64) {
	for i, m := range p.cell {
		dst[i] = p.w[i] * m * u[i]
	}
}

func (p *poisson) diagonal(dst []float64) {
	for i, m := range p.cell {
		dst[i] = p.w[i] * m
	}
}

func (p *poisson) bound(dst []float64) { p.diagonal(dst) }

func (p *poisson) remainder(eta, v, nu []float64) float64 {
	sum := 0.0
	for i, x := range eta {
		w := p.w[i]
		if w == 0 || v[i] == nu[i] {
			continue
		}
		sum += w * divergence(p.cell[i], (v[i]-nu[i])/w, func() float64 { return x })
	}
	return sum
}

func (p *poisson) start() []float64 {
	mean := 0.0
	for i, y := range p.y {
		mean += p.w[i] * y
	}
	return []float64{math.Log(mean)}
}
