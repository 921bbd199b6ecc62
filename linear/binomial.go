package linear

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
)

// binomial is the logistic loss log(1 + e^η) − yη.
type binomial struct {
	y, w  []float64
	small []float64 // min(p, 1−p) = e/(1+e), e = e^{−|η|}: exact however large |η| is
	h     []float64 // w p (1−p)
	set   kernel.Set
}

func (b *binomial) at(eta, v []float64) float64 {
	loss := 0.0
	kernel.Softplus64(b.set, b.small, b.h, eta)
	for i, x := range eta {
		e, logarithm := b.small[i], b.h[i]
		large := 1 / (1 + e)
		small := e * large
		b.small[i] = small
		w := b.w[i]
		b.h[i] = w * small * large
		margin := x
		if b.y[i] == 0 {
			margin = -x
		}
		r := small // probability of the other class
		if margin < 0 {
			r = large
			loss -= w * margin
		}
		loss += w * logarithm
		if b.y[i] == 0 {
			r = -r
		}
		v[i] = w * r
	}
	return loss
}

func (b *binomial) curve(dst, u []float64) {
	for i, h := range b.h {
		dst[i] = h * u[i]
	}
}

func (b *binomial) diagonal(dst []float64) { copy(dst, b.h) }
func (b *binomial) bound(dst []float64)    { copy(dst, b.h) }

func (b *binomial) remainder(eta, v, nu []float64) float64 {
	sum := 0.0
	for i, x := range eta {
		w := b.w[i]
		if w == 0 || v[i] == nu[i] {
			continue
		}
		delta := (v[i] - nu[i]) / w // of p; the opposite of 1−p
		p, q := b.small[i], 1-b.small[i]
		if x > 0 {
			p, q = q, p
		}
		sum += w * (divergence(p, delta, func() float64 { return -softplus(-x) }) +
			divergence(q, -delta, func() float64 { return -softplus(x) }))
	}
	return sum
}

func (b *binomial) start() []float64 {
	ones, zeros := 0.0, 0.0
	for i, y := range b.y {
		ones += b.w[i] * y
		zeros += b.w[i] * (1 - y)
	}
	return []float64{math.Log(ones) - math.Log(zeros)}
}
