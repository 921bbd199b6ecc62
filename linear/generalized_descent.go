package linear

import (
	"math"
	"slices"
)

// movement is the coordinates of one Newton step, ordered by class and within it as
// in its block.
type movement struct {
	system
	pieces []piece
	drawn  []float64 // the objective's negative gradient
	start  []float64 // where they are
	spare  []spare
}

// spare is a coordinate whose column depends on those of others.
type spare struct {
	class int
	col   int32
	piece
	drawn float64
}

const (
	maxSteps = 200
	nothing  = 1e-30 // nats: a loss without a penalty that is less has no minimiser
)

// descend lowers the objective on the working set until an estimate of the gap, in
// nats, is at most target. It reports whether it got there.
func (g *generalized) descend(target float64) bool {
	best, lowest, since := math.Inf(1), math.Inf(1), 0
	for range maxSteps {
		g.correlateSet()
		m := g.choose()
		gap := g.estimate(m, target)
		if gap <= target {
			return true
		}
		if g.lambda == 0 && math.Abs(g.loss) < nothing {
			return false
		}
		if objective := g.loss + g.penalty(&g.iterate); gap < 0.7*best || objective < lowest-1e-3*gap {
			best, lowest, since = min(gap, best), objective, 0
		} else if since++; since > 8 {
			return false
		}
		if g.exchange(m) {
			continue
		}
		share := min(0.05, max(gap/math.Abs(g.magnitude()), 0.03*target/gap))
		if !g.newton(m, share) && !g.leapModel() && !g.sweep() {
			return false
		}
	}
	return false
}

// correlateSet computes the correlations of the working set.
func (g *generalized) correlateSet() {
	v, sums := g.classParts(g.v)
	g.correlate(g.corr, g.working, v, sums)
}

// classParts are the parts of a vector [K, n] and their sums.
func (g *generalized) classParts(v []float64) (parts [][]float64, sums []float64) {
	for k := range g.blocks {
		part := v[k*g.rows : (k+1)*g.rows]
		sum := 0.0
		for _, x := range part {
			sum += x
		}
		parts, sums = append(parts, part), append(sums, sum)
	}
	return parts, sums
}

// choose finds out what moves.
func (g *generalized) choose() *movement {
	m := &g.move
	m.empty()
	m.g = g
	drawn, pieces := g.drawn, g.pieces
	for k := range g.blocks {
		b := &g.blocks[k]
		var fresh []int32
		if g.intercept && len(b.cols) == 0 {
			fresh = append(fresh, interceptColumn)
		}
		wants := make(map[int32]bool)
		for i, j := range g.working {
			h, t, c := g.term(int(j), g.lambda), g.beta[k*g.cols+int(j)], g.corr[k][i]
			moves, p := h.piece(t, c)
			if !moves {
				continue
			}
			wants[j] = true
			pieces[j], drawn[j] = p, c-p.slope-p.curve*t
			if b.where[j] == 0 {
				fresh = append(fresh, j)
			}
		}
		if b.h == nil || g.stale {
			b.refresh(g, g.curvature(k))
		}
		b.sync(g, func(j int32) bool { return j == interceptColumn || wants[j] }, fresh)
		m.cols = append(m.cols, slices.Clone(b.cols))
		for _, j := range b.spare {
			m.spare = append(m.spare, spare{k, j, pieces[j], drawn[j]})
		}
		for _, j := range b.cols {
			if j == interceptColumn {
				sum := 0.0
				for _, v := range g.v[k*g.rows : (k+1)*g.rows] {
					sum += v
				}
				m.put(piece{lo: math.Inf(-1), hi: math.Inf(1)}, sum, g.bias[k])
			} else {
				m.put(pieces[j], drawn[j], g.beta[k*g.cols+int(j)])
			}
		}
	}
	g.stale = false
	m.precondition = g.precondition
	return m
}

// empty forgets all coordinates and keeps their memory.
func (m *movement) empty() {
	m.cols, m.curve = m.cols[:0], m.curve[:0]
	m.pieces, m.drawn, m.start, m.spare = m.pieces[:0], m.drawn[:0], m.start[:0], m.spare[:0]
}

func (m *movement) put(p piece, drawn, start float64) {
	m.pieces = append(m.pieces, p)
	m.drawn = append(m.drawn, drawn)
	m.start = append(m.start, start)
	m.curve = append(m.curve, p.curve)
}

// curvature is class k's diagonal of D.
func (g *generalized) curvature(k int) []float64 {
	d := make([]float64, len(g.eta))
	g.like.diagonal(d)
	return d[k*g.rows : (k+1)*g.rows]
}

// precondition solves with the factors.
func (g *generalized) precondition(z []float64) {
	for k := range g.blocks {
		b := &g.blocks[k]
		b.factor.Solve(z[:len(b.cols)])
		z = z[len(b.cols):]
	}
}

// newton makes a step; false if it found no way down of full length.
func (g *generalized) newton(m *movement, share float64) bool {
	if len(m.drawn) == 0 {
		return false
	}
	const enough = 4 // iterations that need no better factor
	d, u, iterations := m.solve(m.drawn, share, 2*len(m.drawn)+20)
	g.excess += 4 * float64(max(0, iterations-enough)*len(m.drawn)*g.rows)
	cost := 0.0
	for k := range g.blocks {
		size := float64(len(g.blocks[k].cols))
		cost += size*size*float64(g.rows)/2 + size*size*size/6
	}
	if g.excess > cost {
		g.stale, g.excess = true, 0
	}
	return g.search(m, d, u)
}

// exchange moves coordinates along a combination of columns that vanishes, by which
// only the penalty changes, until one of them comes to 0 or to a bound. It reports
// whether that was of use.
func (g *generalized) exchange(m *movement) bool {
	for _, s := range m.spare {
		if g.exchangeSpare(m, s) {
			return true
		}
	}
	return g.family == Multinomial && g.exchangeClasses(m)
}

// exchangeSpare moves a spare coordinate in place of those that it depends on.
func (g *generalized) exchangeSpare(m *movement, s spare) bool {
	b := &g.blocks[s.class]
	b.cols = append(b.cols, s.col)
	d := g.factorRow(b, len(b.cols)-1)
	b.cols = b.cols[:len(b.cols)-1]
	d = d[:len(b.cols)]
	b.factor.Solve(d) // x̃_s = Σ d x̃
	v := vanishing{{s.class, s.col, s.piece, g.beta[s.class*g.cols+int(s.col)], s.drawn, 1}}
	at := m.first(s.class)
	for i, j := range b.cols {
		v = append(v, share{s.class, j, m.pieces[at+i], m.start[at+i], m.drawn[at+i], -d[i]})
	}
	return g.follow(v)
}

// first is the position of a class's first coordinate.
func (m *movement) first(class int) int {
	at := 0
	for _, cols := range m.cols[:class] {
		at += len(cols)
	}
	return at
}

// exchangeClasses moves a column's coefficients of all classes by the same number,
// which no probability feels.
func (g *generalized) exchangeClasses(m *movement) bool {
	for i, j := range m.cols[0] {
		if j == interceptColumn || m.curve[i] > 0 {
			continue
		}
		var v vanishing
		for k := range g.blocks {
			if at := int(g.blocks[k].where[j]) - 1; at >= 0 {
				at += m.first(k)
				v = append(v, share{k, j, m.pieces[at], m.start[at], m.drawn[at], 1})
			}
		}
		if len(v) == g.classes && g.follow(v) {
			return true
		}
	}
	return false
}

// vanishing is a combination of columns that is 0.
type vanishing []share

type share struct {
	class int
	col   int32
	piece
	start, drawn float64
	of           float64
}

// follow moves along v to where the first coordinate gets to an end of its piece.
func (g *generalized) follow(v vanishing) bool {
	gain, size := 0.0, 0.0
	for _, p := range v {
		gain += p.of * p.drawn
		size += math.Abs(p.of * p.drawn)
	}
	length := math.Inf(1)
	for _, p := range v {
		switch d := math.Copysign(1, gain) * p.of; {
		case d > 0:
			length = min(length, (p.hi-p.start)/d)
		case d < 0:
			length = min(length, (p.lo-p.start)/d)
		}
	}
	if !(math.Abs(gain) > 1e-9*size) || !(length > 0) || math.IsInf(length, 1) {
		return false
	}
	start, before := g.iterate.clone(), g.loss+g.penalty(&g.iterate)
	for _, p := range v {
		to := p.settle(p.start + math.Copysign(length, gain)*p.of)
		if p.col == interceptColumn {
			g.bias[p.class] = to
		} else {
			g.beta[p.class*g.cols+int(p.col)] = to
		}
	}
	g.settle()
	if g.loss+g.penalty(&g.iterate) < before {
		return true
	}
	g.iterate.copy(&start)
	g.loss = g.like.at(g.eta, g.v)
	return false
}

// settle is t, or an end of the piece where t is that but for rounding.
func (p *piece) settle(t float64) float64 {
	const near = 1e-14
	switch {
	case t >= p.hi-near*(1+math.Abs(p.hi)) && !math.IsInf(p.hi, 1):
		return p.hi
	case t <= p.lo+near*(1+math.Abs(p.lo)) && !math.IsInf(p.lo, -1):
		return p.lo
	}
	return t
}

// search follows the direction d, bent where coordinates come to the ends of their
// pieces. u is X·d.
func (g *generalized) search(m *movement, d, u []float64) bool {
	before := g.loss + g.penalty(&g.iterate)
	start := g.iterate.clone()
	v := make([]float64, len(g.v))
	for length := 1.0; length > 1e-9; length /= 4 {
		gain, at := 0.0, 0
		for i := range u {
			g.eta[i] = start.eta[i] + length*u[i]
		}
		for k, cols := range m.cols {
			for _, j := range cols {
				want := m.start[at] + length*d[at]
				got := min(m.pieces[at].hi, max(m.pieces[at].lo, want))
				if j == interceptColumn {
					g.bias[k] = got
				} else {
					g.beta[k*g.cols+int(j)] = got
					g.shift(k, int(j), got-want, g.eta)
				}
				gain += m.drawn[at] * (got - m.start[at])
				at++
			}
		}
		loss := g.like.at(g.eta, v)
		after := loss + g.penalty(&g.iterate)
		if gain > 0 && fell(before, after, gain) {
			g.loss = loss
			copy(g.v, v)
			return length == 1
		}
	}
	g.iterate.copy(&start)
	g.loss = g.like.at(g.eta, g.v)
	return false
}

// sweep makes passes of coordinate descent on the quadratic model of a diagonal
// matrix ≥ D, and goes along the sum of their steps. It reports whether the objective
// fell.
func (g *generalized) sweep() bool {
	before := g.loss + g.penalty(&g.iterate)
	start := g.iterate.clone()
	h := make([]float64, len(g.eta))
	g.like.bound(h)
	u := make([]float64, len(g.eta))
	for k := range g.blocks {
		n := g.rows
		g.sweepClass(k, h[k*n:(k+1)*n], u[k*n:(k+1)*n])
	}
	end := g.iterate.clone()
	for length := 1.0; length > 1e-6; length /= 4 {
		mix := func(dst, from, to []float64) {
			for i, x := range from {
				dst[i] = x + length*(to[i]-x)
			}
		}
		mix(g.beta, start.beta, end.beta)
		mix(g.bias, start.bias, end.bias)
		for i, x := range start.eta {
			g.eta[i] = x + length*u[i]
		}
		g.loss = g.like.at(g.eta, g.v)
		if g.loss+g.penalty(&g.iterate) < before {
			return true
		}
	}
	g.iterate.copy(&start)
	g.loss = g.like.at(g.eta, g.v)
	return false
}

// sweepClass is the part of sweep for one class; it adds what η would change by to u.
func (g *generalized) sweepClass(k int, h, u []float64) {
	const passes = 3
	z := append([]float64(nil), g.v[k*g.rows:(k+1)*g.rows]...)
	column := make([]float64, g.rows)
	curvature := make([]float64, len(g.working))
	for pass := range passes {
		if g.intercept {
			sum, total := 0.0, 0.0
			for i, x := range z {
				sum += x
				total += h[i]
			}
			if total > 0 {
				step := sum / total
				g.bias[k] += step
				for i := range z {
					u[i] += step
					z[i] -= h[i] * step
				}
			}
		}
		sum := 0.0
		for _, x := range z {
			sum += x
		}
		for i, j := range g.working {
			t := &g.beta[k*g.cols+int(j)]
			term := g.term(int(j), g.lambda)
			if moves, _ := term.piece(*t, g.corr[k][i]); !moves {
				continue
			}
			if pass == 0 {
				clear(column)
				shift := g.axpy(int(j), 1, column)
				for row, x := range column {
					curvature[i] += h[row] * (x + shift) * (x + shift)
				}
			}
			q := curvature[i]
			if q+term.b <= 0 {
				continue
			}
			step := term.step(q, g.dot(int(j), z, sum)+q**t) - *t
			if step == 0 {
				continue
			}
			*t += step
			clear(column)
			shift := g.axpy(int(j), step, column)
			sum = 0
			for i, x := range column {
				u[i] += x + shift
				z[i] -= h[i] * (x + shift)
				sum += z[i]
			}
		}
	}
}
