package linear

import (
	"math"
	"math/big"
	"slices"

	"github.com/compactify/compactify/internal/rational"
)

// exactLine is a line of an integer lasso: γ(μ) = (a − μb)/d, and c(μ) = (P + μQ)/d.
type exactLine struct {
	m       *integerLasso
	members []member
	a, b    []*big.Int
	d       *big.Int // > 0
	columns []*gramColumn
	outside map[int]correlation
	low     *big.Rat // μ at the lower end; nil as long as it is not known
}

// correlation is P_j and Q_j.
type correlation struct{ p, q *big.Int }

func (m *integerLasso) null() (line, error) {
	var all []*big.Int
	var free []int
	for j, phi := range m.phi {
		if phi != nil && phi.Sign() == 0 {
			free = append(free, j)
		}
	}
	for _, j := range free {
		g, err := m.correlations(j)
		if err != nil {
			return nil, err
		}
		for _, k := range free {
			all = append(all, g.exact[k])
		}
	}
	k, err := rational.NewMatrix(len(free), len(free), all)
	if err != nil {
		return nil, err
	}
	independent, err := rational.Independent(k, m.rule)
	if err != nil {
		return nil, err
	}
	var support []member
	for _, i := range independent {
		support = append(support, member{column: free[i]})
	}
	l, err := m.line(support)
	if err == nil {
		m.nullLoss = l.at(0).Loss
	}
	return l, err
}

// line solves for a and b.
func (m *integerLasso) line(support []member) (line, error) {
	l, k, err := m.newLine(support)
	if err != nil {
		return nil, err
	}
	h, slope := make([]*big.Int, len(support)), make([]*big.Int, len(support))
	for i, a := range support {
		h[i], slope[i] = m.h[a.column], m.bound(a)
	}
	x, err := m.solve(k, h, slope)
	if err != nil {
		return nil, err
	}
	a, b := x[0], x[1]
	// Both over one denominator.
	g := new(big.Int).GCD(nil, nil, a.Den, b.Den)
	l.d = new(big.Int).Mul(a.Den, new(big.Int).Quo(b.Den, g))
	l.a, l.b = times(a.Num, new(big.Int).Quo(b.Den, g)), times(b.Num, new(big.Int).Quo(a.Den, g))
	return l, nil
}

// newLine is a line without a and b yet, and the support's part of K by rows.
func (m *integerLasso) newLine(support []member) (*exactLine, []*big.Int, error) {
	l := &exactLine{m: m, members: support, outside: map[int]correlation{}}
	k := make([]*big.Int, 0, len(support)*len(support))
	for _, a := range support {
		g, err := m.correlations(a.column)
		if err != nil {
			return nil, nil, err
		}
		l.columns = append(l.columns, g)
		for _, b := range support {
			k = append(k, g.exact[b.column])
		}
	}
	return l, k, nil
}

// bound is sφ_j.
func (m *integerLasso) bound(a member) *big.Int {
	return new(big.Int).Mul(m.phi[a.column], big.NewInt(int64(a.sign)))
}

// solve solves K x = r for each r.
func (m *integerLasso) solve(k []*big.Int, right ...[]*big.Int) ([]rational.Fractions, error) {
	size := len(right[0])
	matrix, err := rational.NewMatrix(size, size, k)
	if err != nil {
		return nil, err
	}
	if err := m.spend("one more segment", float64(len(right))*rational.SolveWork(size, matrix.Bits())); err != nil {
		return nil, err
	}
	solver, err := rational.NewSolver(matrix, rational.Limit{Work: math.Inf(1), Check: m.rule.Check})
	if err != nil {
		return nil, err
	}
	out := make([]rational.Fractions, len(right))
	for i, r := range right {
		if out[i], err = solver.Solve(r); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func times(v []*big.Int, f *big.Int) []*big.Int {
	out := make([]*big.Int, len(v))
	for i, x := range v {
		out[i] = new(big.Int).Mul(x, f)
	}
	return out
}

func (l *exactLine) support() []member { return l.members }

func (l *exactLine) heads(k int) int { return l.b[k].Sign() * l.members[k].sign }

func (l *exactLine) slack(m member) int {
	q := signed(l.correlation(m.column).q, m.sign)
	return q.Cmp(new(big.Int).Mul(l.m.phi[m.column], l.d))
}

// signed is x times a sign.
func signed(x *big.Int, sign int) *big.Int {
	if sign < 0 {
		return new(big.Int).Neg(x)
	}
	return x
}

// correlation is that of column j, as a line.
func (l *exactLine) correlation(j int) correlation {
	if c, ok := l.outside[j]; ok {
		return c
	}
	c := correlation{new(big.Int).Mul(l.m.h[j], l.d), new(big.Int)}
	product := new(big.Int)
	for i, g := range l.columns {
		c.p.Sub(c.p, product.Mul(g.exact[j], l.a[i]))
		c.q.Add(c.q, product.Mul(g.exact[j], l.b[i]))
	}
	l.outside[j] = c
	return c
}

// crossing is a μ at which something happens to a member.
type crossing struct {
	num, den *big.Int // den > 0
	who      member
	zero     bool
}

func (c crossing) compare(mu *big.Rat) int {
	return new(big.Int).Mul(c.num, mu.Denom()).Cmp(new(big.Int).Mul(mu.Num(), c.den))
}

// descend compares only what rounding could confuse: a column whose correlation is
// small enough at some μ, by more than rounding, and at the upper end of the line is
// so all the way between, where it need not be looked at.
func (l *exactLine) descend(tied []member) (event, error) {
	var e event
	best := l.zeros()
	left := l.others()
	guess := l.guess(left, best, tied)
	for {
		if err := l.m.rule.Check(); err != nil {
			return e, err
		}
		safe, doubtful := l.sift(left, guess)
		for _, j := range doubtful {
			best = higher(best, l.hits(j, tied)...)
		}
		if len(best) > 0 && (len(safe) == 0 || best[0].compare(exactly(guess)) >= 0) {
			break
		}
		if len(safe) == 0 {
			break
		}
		left, guess = safe, below(best)
	}
	defer clear(l.outside) // of no use any more
	l.low = l.m.least
	if e.end = len(best) == 0 || best[0].compare(l.m.least) <= 0; e.end {
		return e, nil
	}
	l.low = new(big.Rat).SetFrac(best[0].num, best[0].den)
	for _, c := range best {
		if c.zero {
			e.zeros = append(e.zeros, c.who)
		} else {
			e.hits = append(e.hits, c.who)
		}
	}
	for _, m := range tied {
		if !slices.Contains(l.members, m) && l.slack(m) == 0 {
			e.idle = append(e.idle, m)
		}
	}
	return e, nil
}

// higher keeps those crossings that come first in descending μ: all of them are equal.
func higher(best []crossing, more ...crossing) []crossing {
	for _, c := range more {
		order := 1
		if len(best) > 0 {
			order = new(big.Int).Mul(c.num, best[0].den).Cmp(new(big.Int).Mul(best[0].num, c.den))
		}
		switch {
		case order > 0:
			best = append(best[:0:0], c)
		case order == 0:
			best = append(best, c)
		}
	}
	return best
}

// zeros are the coefficients that are the first to become 0.
func (l *exactLine) zeros() (best []crossing) {
	for k, m := range l.members {
		if l.heads(k) < 0 && l.a[k].Sign()*l.b[k].Sign() > 0 {
			best = higher(best, crossing{new(big.Int).Abs(l.a[k]), new(big.Int).Abs(l.b[k]), m, true})
		}
	}
	return best
}

// hits is where the correlation of column j becomes as large as allowed.
func (l *exactLine) hits(j int, tied []member) (out []crossing) {
	c := l.correlation(j)
	allowed := new(big.Int).Mul(l.m.phi[j], l.d)
	for _, sign := range []int{1, -1} {
		// s(P + μQ) = μφd
		num, den := signed(c.p, sign), new(big.Int).Sub(allowed, signed(c.q, sign))
		who := member{j, sign}
		if num.Sign() > 0 && den.Sign() > 0 && !slices.Contains(tied, who) {
			out = append(out, crossing{num, den, who, false})
		}
	}
	return out
}

// others are the columns outside of the support that might come in.
func (l *exactLine) others() []int {
	in := make(map[int]bool, len(l.members))
	for _, m := range l.members {
		in[m.column] = true
	}
	var out []int
	for j, phi := range l.m.phi {
		if phi != nil && phi.Sign() > 0 && !in[j] {
			out = append(out, j)
		}
	}
	return out
}

// guess is a μ a little below the next event, probably.
func (l *exactLine) guess(others []int, zeros []crossing, tied []member) float64 {
	skip := make(map[member]bool, len(tied))
	for _, m := range tied {
		skip[m] = true
	}
	a, b := make([]float64, len(l.members)), make([]float64, len(l.members))
	for k := range l.members {
		a[k], b[k] = rational.Quotient(l.a[k], l.d), rational.Quotient(l.b[k], l.d)
	}
	best := below(zeros)
	for _, j := range others {
		p, q, phi := l.m.rough.h[j], 0.0, l.m.rough.phi[j]
		for k, g := range l.columns {
			p -= g.rough[j] * a[k]
			q += g.rough[j] * b[k]
		}
		for _, sign := range []int{1, -1} {
			s := float64(sign)
			if s*p > 0 && phi-s*q > 0 && !skip[member{j, sign}] {
				best = max(best, s*p/(phi-s*q)*shade)
			}
		}
	}
	return best
}

// shade takes a μ below a crossing by more than its rounding.
const shade = 1 - 1.0/(1<<24)

func below(best []crossing) float64 {
	if len(best) == 0 {
		return 0
	}
	return rational.Quotient(best[0].num, best[0].den) * shade
}

func exactly(x float64) *big.Rat { return new(big.Rat).SetFloat64(x) }

// sift divides columns into those whose |c_j| < μφ_j is beyond the reach of rounding
// and those that must be looked at.
//
// With γ rounded correctly, c_j is a sum of products each off by four roundings at
// most, and of one term more: γ_n for n = |support| + 5, taken twice.
//
// Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., SIAM
// 2002, section 3.1.
func (l *exactLine) sift(columns []int, mu float64) (safe, doubtful []int) {
	if mu <= 0 || math.IsInf(mu, 0) || math.IsNaN(mu) {
		return nil, columns
	}
	model := l.model(exactly(mu))
	gamma := make([]float64, len(l.members))
	for k, v := range model.gamma {
		gamma[k] = rational.Quotient(v, model.den)
		if v.Sign() != 0 && math.Abs(gamma[k]) < 0x1p-960 {
			return nil, columns // not rounded to all digits
		}
	}
	error := 2 * float64(len(gamma)+5) * 0x1p-53
	for _, j := range columns {
		c, size := l.m.rough.h[j], math.Abs(l.m.rough.h[j])
		for k, g := range l.columns {
			term := g.rough[j] * gamma[k]
			c -= term
			size += math.Abs(term)
		}
		// What overflows fails the test; what underflows is less than the last summand.
		most := mu * l.m.rough.phi[j] * (1 - 0x1p-50)
		if math.Abs(c)+error*size+0x1p-900 < most && most < math.MaxFloat64 {
			safe = append(safe, j)
		} else {
			doubtful = append(doubtful, j)
		}
	}
	return safe, doubtful
}
