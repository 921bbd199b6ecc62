package linear

import "math"

// multinomial is the loss log Σ_k e^{η_k} − η_y.
type multinomial struct {
	y, w    []float64
	classes int
	cell    []float64 // [K, n]: probabilities
}

func (m *multinomial) at(eta, v []float64) float64 {
	n, loss := len(m.y), 0.0
	for i, y := range m.y {
		top := eta[i]
		for k := 1; k < m.classes; k++ {
			top = max(top, eta[k*n+i])
		}
		own := int(y)*n + i
		sum, others := 0.0, 0.0 // of e^{η−top}; without the example's own class
		for at := i; at < len(eta); at += n {
			e := math.Exp(eta[at] - top)
			m.cell[at] = e
			sum += e
			if at != own {
				others += e
			}
		}
		w := m.w[i]
		for at := i; at < len(eta); at += n {
			m.cell[at] /= sum
			v[at] = -w * m.cell[at]
		}
		v[own] = w * (others / sum)
		if eta[own] == top {
			loss += w * math.Log1p(others)
		} else {
			loss += w * (math.Log(sum) + top - eta[own])
		}
	}
	if math.IsNaN(loss) {
		return math.Inf(1)
	}
	return loss
}

func (m *multinomial) curve(dst, u []float64) {
	n := len(m.y)
	for i, w := range m.w {
		mean := 0.0
		for at := i; at < len(u); at += n {
			mean += m.cell[at] * u[at]
		}
		for at := i; at < len(u); at += n {
			dst[at] = w * m.cell[at] * (u[at] - mean)
		}
	}
}

func (m *multinomial) diagonal(dst []float64) {
	n := len(m.y)
	for at, p := range m.cell {
		dst[at] = m.w[at%n] * p * (1 - p)
	}
}

// bound leaves the products of different cells out: diag(p) − ppᵀ ≤ diag(p).
func (m *multinomial) bound(dst []float64) {
	n := len(m.y)
	for at, p := range m.cell {
		dst[at] = m.w[at%n] * p
	}
}

func (m *multinomial) remainder(eta, v, nu []float64) float64 {
	n, sum := len(m.y), 0.0
	for i, w := range m.w {
		if w == 0 {
			continue
		}
		logM := func(at int) float64 {
			top, total := eta[i], 0.0
			for k := i; k < len(eta); k += n {
				top = max(top, eta[k])
			}
			for k := i; k < len(eta); k += n {
				total += math.Exp(eta[k] - top)
			}
			return eta[at] - top - math.Log(total)
		}
		for at := i; at < len(eta); at += n {
			if v[at] != nu[at] {
				sum += w * divergence(m.cell[at], (v[at]-nu[at])/w, func() float64 { return logM(at) })
			}
		}
	}
	return sum
}

func (m *multinomial) start() []float64 {
	b := make([]float64, m.classes)
	for i, y := range m.y {
		b[int(y)] += m.w[i]
	}
	mean := 0.0
	for k := range b {
		b[k] = math.Log(b[k])
		mean += b[k] / float64(m.classes)
	}
	for k := range b {
		b[k] -= mean
	}
	return b
}
