package linear

import (
	"math/big"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/rational"
)

// fraction is num/den with den > 0, not in lowest terms: common factors would cost
// more to find than they save.
type fraction struct{ num, den *big.Int }

func (f fraction) minus(g fraction) fraction {
	num := new(big.Int).Mul(f.num, g.den)
	return fraction{num.Sub(num, new(big.Int).Mul(g.num, f.den)), new(big.Int).Mul(f.den, g.den)}
}

func (f fraction) times(g fraction) fraction {
	return fraction{new(big.Int).Mul(f.num, g.num), new(big.Int).Mul(f.den, g.den)}
}

func (f fraction) compare(g fraction) int {
	return new(big.Int).Mul(f.num, g.den).Cmp(new(big.Int).Mul(g.num, f.den))
}

// scaled is the fraction times 2^exp.
func (f fraction) scaled(exp int) fraction {
	if exp >= 0 {
		return fraction{new(big.Int).Lsh(f.num, uint(exp)), f.den}
	}
	return fraction{f.num, new(big.Int).Lsh(f.den, uint(-exp))}
}

func (f fraction) float() float64 { return rational.Quotient(f.num, f.den) }

// exactModel is a solution of an integer lasso at one μ: γ_k = gamma[k]/den.
type exactModel struct {
	l     *exactLine
	mu    *big.Rat
	gamma []*big.Int
	den   *big.Int
}

func (l *exactLine) model(mu *big.Rat) *exactModel {
	x := &exactModel{l: l, mu: mu, den: new(big.Int).Mul(l.d, mu.Denom())}
	for k := range l.members {
		v := new(big.Int).Mul(l.a[k], mu.Denom())
		x.gamma = append(x.gamma, v.Sub(v, new(big.Int).Mul(mu.Num(), l.b[k])))
	}
	return x
}

func (x *exactModel) lambda() *big.Rat { return new(big.Rat).Mul(x.mu, x.l.m.unit) }

// norm is Σ φ_j|γ_j|, twice is twice the loss, both in the units of the integers.
//
// γᵀKγ = γᵀ(h − c), and c is μφ_j with the sign of γ_j where γ_j is not 0, so that the
// squared error T − 2hᵀγ + γᵀKγ is T − hᵀγ − μ·norm.
func (x *exactModel) norm() fraction {
	sum, product := new(big.Int), new(big.Int)
	for k, m := range x.l.members {
		sum.Add(sum, product.Mul(signed(x.gamma[k], m.sign), x.l.m.phi[m.column]))
	}
	return fraction{sum, x.den}
}

func (x *exactModel) twice() fraction {
	sum, product := new(big.Int).Mul(x.l.m.total, x.den), new(big.Int)
	for k, m := range x.l.members {
		sum.Sub(sum, product.Mul(x.gamma[k], x.l.m.h[m.column]))
	}
	return fraction{sum, x.den}.minus(x.norm().times(fraction{x.mu.Num(), x.mu.Denom()}))
}

// value is twice the objective.
func (x *exactModel) value() fraction {
	penalty := x.norm().times(fraction{x.mu.Num(), x.mu.Denom()})
	penalty.num.Mul(penalty.num, big.NewInt(-2))
	return x.twice().minus(penalty)
}

// coefficients are those of the columns as given that are not 0, and the intercept.
func (x *exactModel) coefficients() (value []*big.Rat, intercept *big.Rat) {
	for k := range x.gamma {
		if x.gamma[k].Sign() != 0 {
			f := x.coefficient(k)
			value = append(value, new(big.Rat).SetFrac(f.num, f.den))
		}
	}
	f := x.intercept()
	return value, new(big.Rat).SetFrac(f.num, f.den)
}

func (x *exactModel) coefficient(k int) fraction {
	m := x.l.m
	return fraction{x.gamma[k], x.den}.scaled(m.target.exp - m.columns[x.l.members[k].column].exp)
}

func (x *exactModel) intercept() fraction {
	m := x.l.m
	if !m.t.intercept {
		return fraction{new(big.Int), big.NewInt(1)}
	}
	sum, product := new(big.Int).Mul(m.target.sum, x.den), new(big.Int)
	for k, a := range x.l.members {
		sum.Sub(sum, product.Mul(m.columns[a.column].sum, x.gamma[k]))
	}
	return fraction{sum, new(big.Int).Mul(x.den, m.mass)}.scaled(m.target.exp)
}

// point rounds every number once.
func (x *exactModel) point() Point {
	m := x.l.m
	p := Point{Intercept: []float64{x.intercept().float()}, Converged: true}
	for k, a := range x.l.members {
		if x.gamma[k].Sign() != 0 {
			p.Index = append(p.Index, a.column)
			p.Value = append(p.Value, x.coefficient(k).float())
		}
	}
	p.Lambda, _ = x.lambda().Float64()
	p.Loss = x.loss(x.twice())
	p.Objective = x.loss(x.value())
	// λ·R is μ·norm in units of the loss.
	norm := x.norm()
	unit := fraction{m.unit.Denom(), m.unit.Num()}
	p.Penalty = 2 * x.loss(norm.times(unit))
	if m.nullLoss > 0 {
		p.Explained = (m.nullLoss - p.Loss) / m.nullLoss
	}
	return p
}

// loss is half of f brought from the units of the integers to those given.
func (x *exactModel) loss(f fraction) float64 {
	m := x.l.m
	f.den = new(big.Int).Mul(f.den, m.mass)
	if m.t.intercept {
		f.den.Mul(f.den, m.mass)
	}
	return f.scaled(2*m.target.exp - 1).float()
}

func (l *exactLine) at(lambda float64) Point {
	p := l.model(l.m.mu(lambda)).point()
	p.Lambda = lambda
	return p
}

func (l *exactLine) reaches(lambda float64) bool { return l.m.mu(lambda).Cmp(l.low) >= 0 }

func (l *exactLine) lower() Breakpoint {
	x := l.model(l.low)
	return Breakpoint{Point: x.point(), Verdict: compactify.Verified, exact: x}
}

// checkExact holds all breakpoints against each other without rounding: see
// [compactify.Minimality].
func checkExact(points []Breakpoint) compactify.Minimality {
	r := compactify.Minimality{Monotone: true, Concave: true}
	for i := 1; i < len(points); i++ {
		above, below := points[i-1].exact, points[i].exact
		step := fraction{above.mu.Num(), above.mu.Denom()}.minus(fraction{below.mu.Num(), below.mu.Denom()})
		step.num.Lsh(step.num, 1) // values are twice the objective
		rise := above.value().minus(below.value())
		small, large := above.norm(), below.norm()
		r.Monotone = r.Monotone && small.compare(large) <= 0 && above.twice().compare(below.twice()) >= 0
		r.Concave = r.Concave && rise.compare(small.times(step)) >= 0 && rise.compare(large.times(step)) <= 0
	}
	return r
}
