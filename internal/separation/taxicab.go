package separation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// maxTaxicab bounds the multiplications of one step of [MaxMarginL1].
const maxTaxicab = 2e9

// MaxMarginL1 looks for the largest margin in the distance that belongs to the norm
// ‖w‖₁: the largest min_i y_i (x_i·w + b) for ‖w‖₁ = 1. Direction has that norm, and
// High is the largest coordinate of Σ α_i z_i, or half of it with an intercept. The
// points should be [Separable].
//
// The bounds of well-scaled points meet to four digits or more.
//
// It solves the linear program max t for Z(u − v) + yb − t = s, Σ(u + v) + q = 1 and
// u, v, s, q ≥ 0, and its dual min τ for |Zᵀα| ≤ τ, Σα = 1, y·α = 0 and α ≥ 0, by an
// interior-point method whose points satisfy all constraints.
//
// Source: S. Mehrotra, "On the implementation of a primal–dual interior point method",
// SIAM J. Optimization 2 (1992), 575–601.
func MaxMarginL1(ctx context.Context, p Points) (*Margin, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	h := newHard(ctx, &p)
	if h.Intercept && !(slices.Contains(h.Sign, 1) && slices.Contains(h.Sign, -1)) {
		return nil, errors.New("largest margin: points of one class only: want both")
	}
	n, dim := float64(len(p.Rows)), float64(p.Dim)
	if work := n * dim * min(n, dim); work > maxTaxicab {
		return nil, fmt.Errorf("largest margin of %v points in %v dimensions by linear programming: %w", n, dim, ErrTooLarge)
	}
	m, err := newInterior(h).solve()
	if err != nil {
		return nil, fmt.Errorf("largest margin: %w", err)
	}
	return m, nil
}

// interior is a point of the interior-point method. All inequalities are strict; the
// equations hold up to rounding, which every step takes out again.
type interior struct {
	*hard
	rows    []Vector
	u, v    []float64 // [dim]
	s       []float64 // [n]
	q, b, t float64
	alpha   []float64 // [n]
	tau     float64

	product []float64 // Zᵀα
	lack    []float64 // s − Z(u − v) − yb + t
	short   float64   // 1 − Σ(u + v) − q
}

// motion is a step in all variables.
type motion struct {
	u, v, s, alpha, product []float64
	b, t, tau, q            float64
}

func newInterior(h *hard) *interior {
	n := len(h.Rows)
	each := 1 / (4 * float64(h.Dim))
	p := &interior{hard: h, rows: h.vectors(), u: filled(h.Dim, each), v: filled(h.Dim, each), alpha: make([]float64, n)}
	count := map[float64]float64{}
	for i := range p.rows {
		count[h.sign(i)]++
	}
	for i := range p.alpha {
		p.alpha[i] = 1 / (count[h.sign(i)] * float64(len(count)))
		if !h.Intercept {
			p.alpha[i] = 1 / float64(n)
		}
	}
	p.q, p.t = 0.5, -0.5
	p.s = filled(n, 0.5)
	p.follow()
	for _, g := range p.product {
		p.tau = max(p.tau, 2*math.Abs(g))
	}
	p.tau = max(p.tau, 1e-3)
	return p
}

// follow computes products and residuals.
func (p *interior) follow() {
	w := make([]float64, p.Dim)
	p.short = 1 - p.q
	for j := range w {
		w[j] = p.u[j] - p.v[j]
		p.short -= p.u[j] + p.v[j]
	}
	p.lack = make([]float64, len(p.rows))
	for i, row := range p.rows {
		p.lack[i] = p.s[i] - product(row, w) - p.side(i)*p.b + p.t
	}
	p.product = p.transposed(p.alpha)
}

func filled(n int, x float64) []float64 {
	out := make([]float64, n)
	for i := range out {
		out[i] = x
	}
	return out
}

// transposed is Zᵀa.
func (p *interior) transposed(a []float64) []float64 {
	out := make([]float64, p.Dim)
	for i, row := range p.rows {
		if row.Index == nil {
			axpy(a[i], row.Value, out)
			continue
		}
		for k, j := range row.Index {
			out[j] += a[i] * row.Value[k]
		}
	}
	return out
}

// side is y_i, or 0 without an intercept.
func (p *interior) side(i int) float64 {
	if !p.Intercept {
		return 0
	}
	return p.sign(i)
}

func (p *interior) solve() (*Margin, error) {
	// Near the end the equations are so badly conditioned that points get worse again:
	// the best direction and the best weights count.
	const steps, tolerance, patience = 100, 1e-12, 4
	var w, alpha []float64
	low, high, worse := 0.0, math.Inf(1), 0
	for range steps {
		if err := p.ctx.Err(); err != nil {
			return nil, err
		}
		if !p.step() {
			break
		}
		worse++
		if d := p.slope(); d != nil {
			if reached := p.reach(d); reached > low {
				w, low, worse = d, reached, 0
			}
		}
		if bound := p.bound(); bound < high {
			alpha, high, worse = slices.Clone(p.alpha), bound, 0
		}
		if high-low <= tolerance*high || low > 0 && worse >= patience {
			break
		}
	}
	if w == nil {
		return nil, ErrNotSeparated
	}
	var rows []int
	var weights []float64
	most := slices.Max(alpha)
	for i, a := range alpha {
		if a > noise*most {
			rows, weights = append(rows, i), append(weights, a)
		}
	}
	return p.certify(w, rows, weights, taxicab, largest)
}

// slope is w with ‖w‖₁ = 1; nil if there is none.
func (p *interior) slope() []float64 {
	w := make([]float64, p.Dim)
	for j := range w {
		w[j] = p.u[j] - p.v[j]
	}
	if !unit(w) {
		return nil
	}
	return w
}

// reach is the margin of w with the best intercept.
func (p *interior) reach(w []float64) float64 {
	least := [2]float64{math.Inf(1), math.Inf(1)}
	for i, row := range p.rows {
		class := 0
		if p.side(i) < 0 {
			class = 1
		}
		least[class] = min(least[class], product(row, w))
	}
	if !p.Intercept {
		return least[0]
	}
	return (least[0] + least[1]) / 2
}

// bound is what α, made to add up to the same for both classes, shows the margin not to
// exceed.
func (p *interior) bound() float64 {
	sums := [2]float64{}
	class := func(i int) int {
		if p.side(i) < 0 {
			return 1
		}
		return 0
	}
	for i, a := range p.alpha {
		sums[class(i)] += a
	}
	share := 1.0
	if p.Intercept {
		share = 0.5
	}
	weights := make([]float64, len(p.alpha))
	for i, a := range p.alpha {
		weights[i] = share * a / sums[class(i)]
	}
	most := 0.0
	for _, g := range p.transposed(weights) {
		most = max(most, math.Abs(g))
	}
	return most
}

// noise is the share below which a number counts as 0 at the end.
const noise = 1e-9

// unit sets what is noise to 0 and divides by ‖w‖₁.
func unit(w []float64) bool {
	most, total := 0.0, 0.0
	for _, x := range w {
		most = max(most, math.Abs(x))
	}
	for j, x := range w {
		if math.Abs(x) < noise*most {
			w[j] = 0
		}
		total += math.Abs(w[j])
	}
	for j := range w {
		w[j] /= total
	}
	return total > 0 && !math.IsInf(total, 0)
}

// step goes towards the solution and then back to the middle; it reports false if
// nothing moves any more.
func (p *interior) step() bool {
	normal := p.factor()
	if normal == nil {
		return false
	}
	still := &motion{u: make([]float64, p.Dim), v: make([]float64, p.Dim), s: make([]float64, len(p.s)),
		alpha: make([]float64, len(p.s)), product: make([]float64, p.Dim)}
	predicted := p.direction(normal, 0, still)
	primal, dual := p.lengths(predicted)
	before, after := p.complementarity(still, 0, 0), p.complementarity(predicted, primal, dual)
	count := float64(2*p.Dim + len(p.s) + 1)
	m := p.direction(normal, math.Pow(after/before, 3)*before/count, predicted)
	primal, dual = p.lengths(m)
	const part = 0.995 // of the way to the boundary
	primal, dual = min(1, part*primal), min(1, part*dual)
	if !(max(primal, dual) > 1e-8) {
		return false
	}
	old := *p
	p.u, p.v, p.s = moved(p.u, primal, m.u), moved(p.v, primal, m.v), moved(p.s, primal, m.s)
	p.alpha = moved(p.alpha, dual, m.alpha)
	p.q += primal * m.q
	p.b += primal * m.b
	p.t += primal * m.t
	p.tau += dual * m.tau
	p.follow()
	if !p.inside() { // rounding carried it over the boundary
		*p = old
		return false
	}
	return true
}

func moved(x []float64, by float64, d []float64) []float64 {
	out := slices.Clone(x)
	axpy(by, d, out)
	return out
}

// inside reports whether the dual inequalities are strict.
func (p *interior) inside() bool {
	for _, g := range p.product {
		if !(math.Abs(g) < p.tau) {
			return false
		}
	}
	return true
}

// complementarity is the sum of products after a step.
func (p *interior) complementarity(m *motion, primal, dual float64) float64 {
	tau := p.tau + dual*m.tau
	sum := (p.q + primal*m.q) * tau
	for j := range p.u {
		g := p.product[j] + dual*m.product[j]
		sum += (p.u[j]+primal*m.u[j])*(tau-g) + (p.v[j]+primal*m.v[j])*(tau+g)
	}
	for i := range p.s {
		sum += (p.s[i] + primal*m.s[i]) * (p.alpha[i] + dual*m.alpha[i])
	}
	return sum
}

// lengths are how far one may go before something becomes 0.
func (p *interior) lengths(m *motion) (primal, dual float64) {
	reach := func(limit *float64, x, d float64) {
		if d < 0 {
			*limit = min(*limit, -x/d)
		}
	}
	primal, dual = 1, 1
	reach(&primal, p.q, m.q)
	for j := range p.u {
		reach(&primal, p.u[j], m.u[j])
		reach(&primal, p.v[j], m.v[j])
		reach(&dual, p.tau-p.product[j], m.tau-m.product[j])
		reach(&dual, p.tau+p.product[j], m.tau+m.product[j])
	}
	for i := range p.s {
		reach(&primal, p.s[i], m.s[i])
		reach(&dual, p.alpha[i], m.alpha[i])
	}
	return primal, dual
}

// direction is Newton's step to complementary products mu, less what the products of
// an earlier step's changes add.
func (p *interior) direction(n *normal, mu float64, old *motion) *motion {
	m := &motion{u: make([]float64, p.Dim), v: make([]float64, p.Dim), s: make([]float64, len(p.s))}
	h := make([]float64, p.Dim)
	m.q = (mu-old.q*old.tau)/p.tau - p.q
	corner := m.q - p.short
	for j := range h {
		m.u[j] = (mu-old.u[j]*(old.tau-old.product[j]))/(p.tau-p.product[j]) - p.u[j]
		m.v[j] = (mu-old.v[j]*(old.tau+old.product[j]))/(p.tau+p.product[j]) - p.v[j]
		h[j] = m.u[j] - m.v[j]
		corner += m.u[j] + m.v[j]
	}
	right := make([]float64, len(p.s))
	for i := range p.rows {
		m.s[i] = (mu-old.s[i]*old.alpha[i])/p.alpha[i] - p.s[i]
		right[i] = m.s[i] + p.lack[i]
	}
	n.solve(m, right, h, corner)
	m.product = p.transposed(m.alpha)
	for j, g := range m.product {
		m.u[j] -= n.up[j] * (m.tau - g)
		m.v[j] -= n.down[j] * (m.tau + g)
	}
	for i, a := range m.alpha {
		m.s[i] -= n.diagonal[i] * a
	}
	m.q -= p.q / p.tau * m.tau
	return m
}
