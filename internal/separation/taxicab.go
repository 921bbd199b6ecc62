package separation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
)

// ErrTooLarge is a problem that takes too long.
var ErrTooLarge = errors.New("too large")

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

// normal are Newton's equations
//
//	dw − Θ Zᵀdα + δ dτ = h      Z dw + y db − dt + S dα = right
//	(ΣΘ + q/τ) dτ − δᵀZᵀdα = corner      y·dα = −y·α      Σdα = 1 − Σα
//
// with diagonal Θ and S, reduced to α and factored, or to w, b and t if these are fewer.
type normal struct {
	*interior
	up, down []float64 // u/(τ − Zᵀα) and v/(τ + Zᵀα): Θ is their sum, δ their difference
	diagonal []float64 // S
	l        []float64 // Cholesky factor, by rows
	size     int
	wide     bool // reduced to α

	border [3][]float64 // columns of τ, b, t; of τ alone if reduced to w, b and t
	solved [3][]float64 // K⁻¹ border
}

func (p *interior) factor() *normal {
	n := &normal{interior: p, up: make([]float64, p.Dim), down: make([]float64, p.Dim), diagonal: make([]float64, len(p.s)), wide: len(p.s) <= p.Dim}
	for j := range n.up {
		n.up[j], n.down[j] = p.u[j]/(p.tau-p.product[j]), p.v[j]/(p.tau+p.product[j])
	}
	for i := range n.diagonal {
		n.diagonal[i] = p.s[i] / p.alpha[i]
	}
	if n.wide {
		n.outer()
	} else {
		n.inner()
	}
	if !cholesky(n.l, n.size) {
		return nil
	}
	for k, b := range n.border {
		if b != nil {
			n.solved[k] = n.inverse(b)
		}
	}
	return n
}

func (n *normal) inverse(r []float64) []float64 {
	x := slices.Clone(r)
	substitute(n.l, n.size, x)
	return x
}

// solve sets the step in α, τ, b and t.
func (n *normal) solve(m *motion, right, h []float64, corner float64) {
	sides, sum := 0.0, -1.0 // y·α and Σα − 1
	for i, a := range n.alpha {
		sides += n.side(i) * a
		sum += a
	}
	if n.wide {
		n.solveWide(m, right, h, [3]float64{corner, -sides, sum})
	} else {
		n.solveTall(m, right, h, corner, sides, sum)
	}
}

// solveWide solves ZΘZᵀ + S with a border of three, whose right-hand sides are last.
func (n *normal) solveWide(m *motion, right, h []float64, last [3]float64) {
	r := slices.Clone(right)
	for i, row := range n.rows {
		r[i] -= product(row, h)
	}
	m.alpha = n.inverse(r)
	// The Schur complement, 3 × 3, negated.
	var a [3][4]float64
	for k := range a {
		for c := range 3 {
			a[k][c] = dot(n.border[k], n.solved[c])
		}
		a[k][3] = dot(n.border[k], m.alpha) - last[k]
	}
	a[0][0] -= n.q / n.tau
	for j := range n.up {
		a[0][0] -= n.up[j] + n.down[j]
	}
	if !n.Intercept {
		a[1] = [4]float64{0, 1, 0, 0}
	}
	x := gauss(a)
	for k := range x {
		axpy(-x[k], n.solved[k], m.alpha)
	}
	m.tau, m.b, m.t = x[0], x[1], x[2]
}

// solveTall solves Θ⁻¹ + ZᵀS⁻¹Z, with columns for b and t, and a border for τ.
func (n *normal) solveTall(m *motion, right, h []float64, corner, sides, sum float64) {
	scaled := make([]float64, len(right))
	for i, x := range right {
		scaled[i] = x / n.diagonal[i]
	}
	r := n.extended(scaled)
	// ΣΘ − Σδ²/Θ, as a sum of terms ≥ 0
	diagonal, last := n.q/n.tau, -corner
	for j := range h {
		theta := n.up[j] + n.down[j]
		r[j] += h[j] / theta
		diagonal += 4 * n.up[j] * n.down[j] / theta
		last += (n.up[j] - n.down[j]) * h[j] / theta
	}
	r[n.Dim] -= sum
	if n.Intercept {
		r[n.Dim+1] += sides
	}
	x := n.inverse(r)
	m.tau = (dot(n.border[0], x) - last) / (dot(n.border[0], n.solved[0]) + diagonal)
	axpy(-m.tau, n.solved[0], x)
	m.t = x[n.Dim]
	if n.Intercept {
		m.b = x[n.Dim+1]
	}
	m.alpha = make([]float64, len(right))
	for i, row := range n.rows {
		m.alpha[i] = (right[i] - product(row, x) - n.side(i)*m.b + m.t) / n.diagonal[i]
	}
}

// extended is (Zᵀa, −Σa, y·a), without the last one if there is no intercept.
func (n *normal) extended(a []float64) []float64 {
	sum, sides := 0.0, 0.0
	for i, x := range a {
		sum += x
		sides += n.side(i) * x
	}
	out := append(n.transposed(a), -sum)
	if n.Intercept {
		out = append(out, sides)
	}
	return out
}

// gauss solves a system of three equations.
func gauss(a [3][4]float64) (x [3]float64) {
	for c := range 3 {
		pivot := c
		for r := c; r < 3; r++ {
			if math.Abs(a[r][c]) > math.Abs(a[pivot][c]) {
				pivot = r
			}
		}
		a[c], a[pivot] = a[pivot], a[c]
		for r := range 3 {
			if r != c {
				f := a[r][c] / a[c][c]
				for k := c; k < 4; k++ {
					a[r][k] -= f * a[c][k]
				}
			}
		}
	}
	for c := range x {
		x[c] = a[c][3] / a[c][c]
	}
	return x
}

// outer sets the factor to Z Θ Zᵀ + S.
func (n *normal) outer() {
	n.size = len(n.rows)
	n.l = make([]float64, n.size*n.size)
	tilt, column := make([]float64, n.Dim), make([]float64, n.Dim)
	for j := range tilt {
		tilt[j] = n.down[j] - n.up[j]
	}
	for k := range n.border {
		n.border[k] = make([]float64, n.size)
	}
	for i, row := range n.rows {
		clear(column)
		entries(row, func(j int, x float64) { column[j] = x * (n.up[j] + n.down[j]) })
		for k := range i + 1 {
			n.l[i*n.size+k] = product(n.rows[k], column)
		}
		n.l[i*n.size+i] += n.diagonal[i]
		n.border[0][i], n.border[1][i], n.border[2][i] = product(row, tilt), n.side(i), -1
	}
}

func entries(row Vector, f func(j int, x float64)) {
	for k, x := range row.Value {
		if row.Index == nil {
			f(k, x)
		} else {
			f(int(row.Index[k]), x)
		}
	}
}

// inner sets the factor to Θ⁻¹ + ZᵀS⁻¹Z, Z having the columns −1 and y, too.
func (n *normal) inner() {
	n.size = n.Dim + 1
	if n.Intercept {
		n.size++
	}
	n.l = make([]float64, n.size*n.size)
	n.border[0] = make([]float64, n.size)
	for i, row := range n.rows {
		at, value := row.Index, row.Value
		if at == nil {
			at = n.all()
		}
		at, value = append(slices.Clip(at), int32(n.Dim)), append(slices.Clip(value), -1)
		if n.Intercept {
			at, value = append(at, int32(n.Dim+1)), append(value, n.side(i))
		}
		for k, a := range at {
			x, line := value[k]/n.diagonal[i], n.l[int(a)*n.size:]
			for c, b := range at[:k+1] {
				line[b] += x * value[c]
			}
		}
	}
	for j := range n.Dim {
		theta := n.up[j] + n.down[j]
		n.l[j*n.size+j] += 1 / theta
		n.border[0][j] = (n.up[j] - n.down[j]) / theta
	}
}

// all are the numbers of the coordinates.
func (n *normal) all() []int32 {
	out := make([]int32, n.Dim, n.Dim+2)
	for j := range out {
		out[j] = int32(j)
	}
	return out
}

// cholesky factors the lower triangle of a [n, n], positive definite up to rounding, in
// place; it reports false if there are numbers that are not finite.
func cholesky(a []float64, n int) bool {
	for i := range n {
		row := a[i*n : i*n+i+1]
		for k := range i {
			row[k] = (row[k] - dot(row[:k], a[k*n:k*n+k])) / a[k*n+k]
		}
		d := row[i] - dot(row[:i], row[:i])
		if math.IsNaN(d) || math.IsInf(d, 0) {
			return false
		}
		if d <= 1e-15*row[i] { // singular up to rounding: leave this direction out
			d = math.MaxFloat64 / 4
		}
		row[i] = math.Sqrt(d)
	}
	return true
}

// substitute solves L Lᵀ x = r in place.
func substitute(l []float64, n int, x []float64) {
	for i := range n {
		x[i] = (x[i] - dot(l[i*n:i*n+i], x[:i])) / l[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		x[i] /= l[i*n+i]
		axpy(-x[i], l[i*n:i*n+i], x[:i])
	}
}
