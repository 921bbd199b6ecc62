package linear

import (
	"math"
	"slices"
)

// dualCheck is what a dual point says of the present primal one.
type dualCheck struct {
	gap     float64 // in nats
	kkt     float64 // in units of λ
	missing []int32 // columns outside the working set that a dual constraint is broken for
	dual    []float64
}

// estimate is the gap of the working set, but for dual constraints that hold with
// equality, whose violations count by what a Newton step on them alone would gain. Once
// it is above target it is not complete.
func (g *generalized) estimate(m *movement, target float64) float64 {
	s := 1.0
	for k := range g.blocks {
		for i, j := range g.working {
			s = min(s, g.term(int(j), g.lambda).shrink(g.corr[k][i]))
		}
	}
	gap, at := 0.0, 0
	for k := range g.blocks {
		for i, j := range g.working {
			if h := g.term(int(j), g.lambda); !h.free() {
				gap += h.excess(g.beta[k*g.cols+int(j)], s*g.corr[k][i])
			}
		}
	}
	for k, cols := range m.cols {
		total := 0.0
		for _, h := range g.blocks[k].h {
			total += h
		}
		for _, j := range cols {
			q := total
			if j != interceptColumn {
				q *= g.squares[j]
			}
			if p := m.pieces[at]; p.slope == 0 && p.curve == 0 && q > 0 {
				gap += m.drawn[at] * m.drawn[at] / q
			}
			at++
		}
	}
	if gap > target || s == 1 {
		return gap // the rest costs logarithms of all examples and is of second order in 1−s
	}
	nu := make([]float64, len(g.v))
	for i, v := range g.v {
		nu[i] = s * v
	}
	return gap + g.like.remainder(g.eta, g.v, nu)
}

// shrink is the largest factor ≤ 1 that brings a correlation to where the conjugate
// is finite; equalities do not count.
func (h term) shrink(c float64) float64 {
	switch {
	case h.b > 0 || h.a == 0:
		return 1
	case c > h.a && math.IsInf(h.upper, 1), c < -h.a && math.IsInf(h.lower, -1):
		return h.a / math.Abs(c)
	}
	return 1
}

// certify computes the gap, with dual constraints for the columns cols; nil means
// all. Free coordinates' constraints are equalities: the dual point starts with one
// linearised Newton step for them, which multiplies cells by factors close to 1 and
// so keeps them ≥ 0.
func (g *generalized) certify(cols []int32) dualCheck { return g.certifyBy(g.balance(), cols) }

// certifyBy is certify with a dual point that is given, but for its scale.
func (g *generalized) certifyBy(dual []float64, cols []int32) dualCheck {
	point := dualCheck{dual: dual}
	parts, sums := g.classParts(point.dual)
	corr := g.full
	if cols != nil {
		corr = make([][]float64, len(g.blocks))
		for k := range corr {
			corr[k] = make([]float64, len(cols))
		}
	}
	if cols == nil || len(cols) > 0 {
		g.correlate(corr, cols, parts, sums)
	}
	column := func(i int) int {
		if cols != nil {
			return int(cols[i])
		}
		return i
	}
	s := 1.0
	for k := range corr {
		for i, c := range corr[k] {
			if j := column(i); !g.rests(k, j, c) {
				s = min(s, g.term(j, g.lambda).shrink(c))
			}
		}
	}
	nu := point.dual
	for i := range nu {
		nu[i] *= s
	}
	point.gap = g.like.remainder(g.eta, g.v, nu)
	if g.intercept {
		for k, sum := range sums {
			point.gap += g.columnGap(unheld, g.bias[k], sum, 1)
			point.kkt = max(point.kkt, math.Abs(sum))
		}
	}
	for k := range corr {
		for i, c := range corr[k] {
			j := column(i)
			if g.rests(k, j, c) {
				continue
			}
			h, t := g.term(j, g.lambda), g.beta[k*g.cols+j]
			point.gap += g.columnGap(h, t, s*c, math.Sqrt(g.squares[j]))
			if far := h.violation(t, c); far > 0 {
				point.kkt = max(point.kkt, far)
				if !g.inSet[j] {
					point.missing = append(point.missing, int32(j))
				}
			}
		}
	}
	// ν = 0 is always a dual point: it says that no loss is below the saturated one.
	point.gap = min(point.gap, g.loss+g.penalty(&g.iterate)-g.saturated())
	slices.Sort(point.missing)
	point.missing = slices.Compact(point.missing) // of several classes
	if g.lambda > 0 {
		point.kkt /= g.lambda
	}
	return point
}

// sharpen looks for a smaller gap with the dual point of the model's minimum. What its
// correlations miss is rounding of their own, where those of v also feel the rounding of
// coefficients, which columns that are nearly collinear make large: the gap is then of
// second order in that.
func (g *generalized) sharpen(point dualCheck) dualCheck {
	sharp := g.certifyBy(g.minimisedModel().v, nil)
	if sharp.gap < point.gap {
		point.gap, point.dual = sharp.gap, sharp.dual
	}
	return point
}

// rests says that a coefficient is 0 and its correlation c within the penalty's kink:
// nearly all are.
func (g *generalized) rests(k, j int, c float64) bool {
	return g.beta[k*g.cols+j] == 0 && math.Abs(c) <= g.lambda*g.alpha*g.factor[j]
}

// columnGap is what a coefficient t adds to the gap, c its correlation with the dual
// point. An equality of the dual point can be met up to rounding only: near it there is
// a point that meets it, whose value differs by ct to first order. size is the root of
// the mean square of the coefficient's column.
func (g *generalized) columnGap(h term, t, c, size float64) float64 {
	const met = 1e-11 // of what a correlation can be
	if h.a == 0 && h.b == 0 && math.Abs(c) <= met*size*g.mass() {
		return math.Abs(c * t)
	}
	return h.excess(t, c)
}

// correlateAll sets full to the correlations with the dual point.
func (c *dualCheck) correlateAll(g *generalized) {
	parts, sums := g.classParts(c.dual)
	g.correlate(g.full, nil, parts, sums)
}

// balance is v after the step that makes the free coordinates' correlations vanish.
func (g *generalized) balance() []float64 {
	out := append([]float64(nil), g.v...)
	s, r := g.freeSystem()
	if g.balanced(r) {
		return out
	}
	_, u, _ := s.solve(r, g.reachable(r), 2*len(r)+20)
	d := make([]float64, len(u))
	g.like.curve(d, u)
	for i, x := range d {
		out[i] -= x
	}
	return out
}

// balanced says that correlations are 0 but for rounding.
func (g *generalized) balanced(r []float64) bool {
	const zero = 3e-15
	return largestOf(r) <= zero*g.mass()
}

// reachable is the share of r that a solution's residual can be brought to: below,
// rounding would be amplified along directions that no probability feels.
func (g *generalized) reachable(r []float64) float64 {
	const least, zero = 1e-10, 1e-16
	return max(least, zero*g.mass()/largestOf(r))
}

func largestOf(r []float64) float64 {
	largest := 0.0
	for _, x := range r {
		largest = max(largest, math.Abs(x))
	}
	return largest
}

// polish fits the free coordinates as far as rounding lets it, the others held.
func (g *generalized) polish() {
	const most = 4
	for range most {
		s, r := g.freeSystem()
		if g.balanced(r) {
			return
		}
		before := g.iterate.clone()
		loss := g.loss
		d, u, _ := s.solve(r, g.reachable(r), 2*len(r)+20)
		at := 0
		for k, cols := range s.cols {
			for _, j := range cols {
				if j == interceptColumn {
					g.bias[k] += d[at]
				} else {
					h, t := g.term(int(j), g.lambda), &g.beta[k*g.cols+int(j)]
					*t += d[at]
					if *t < h.lower || *t > h.upper {
						g.iterate.copy(&before)
						return
					}
				}
				at++
			}
		}
		for i, x := range u {
			g.eta[i] += x
		}
		if g.loss = g.like.at(g.eta, g.v); !(g.loss <= loss+rounding*math.Abs(loss)) {
			g.iterate.copy(&before)
			g.loss = g.like.at(g.eta, g.v)
			return
		}
	}
}

// freeSystem are the coordinates that neither a penalty nor a bound holds, and their
// correlations.
func (g *generalized) freeSystem() (s *system, r []float64) {
	s = &system{g: g}
	for k := range g.blocks {
		var cols []int32
		if g.intercept {
			cols = append(cols, interceptColumn)
		}
		for _, j := range g.working {
			h, t := g.term(int(j), g.lambda), g.beta[k*g.cols+int(j)]
			if h.a == 0 && h.b == 0 && t > h.lower && t < h.upper {
				cols = append(cols, j)
			}
		}
		s.cols = append(s.cols, cols)
	}
	size := s.size()
	if size == 0 {
		return s, nil
	}
	s.curve = make([]float64, size)
	diagonal := make([]float64, 0, size)
	for k, cols := range s.cols {
		total := 0.0
		for _, h := range g.curvature(k) {
			total += h
		}
		for _, j := range cols {
			q := total
			if j != interceptColumn {
				q *= g.squares[j]
			}
			diagonal = append(diagonal, q)
		}
	}
	s.precondition = func(z []float64) {
		for i, q := range diagonal {
			if q > 0 {
				z[i] /= q
			}
		}
	}
	r = make([]float64, size)
	s.collect(r, g.v)
	return s, r
}
