package linear

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"

	"github.com/compactify/compactify/internal/rational"
)

// VerifiedGap is what was proved of a point in rational numbers.
type VerifiedGap struct {
	// Gap is an upper bound of the objective at the point less its minimum, both exact,
	// and Relative the same divided by the objective: rounded up.
	Gap, Relative float64
	// Objective is that of the point, rounded to the nearest.
	Objective float64
}

// VerifyGap proves how far from its minimum the objective of a gaussian problem is at a
// point: the coefficients are taken to be exactly the given float64, the residual is
// computed and made a feasible dual point without any rounding, and the gap between the
// two objectives is rounded up at the very end. The objective is the one of [Homotopy]'s
// exact paths, with an elastic net if α < 1. With columns without a penalty, or at λ =
// 0, the dual point is the residual less its projection on those columns.
//
// The error wraps rational.ErrTooLarge for problems of more than 1e9 values.
func VerifyGap(ctx context.Context, problem Problem, penalty Penalty, o Options, p Point) (VerifiedGap, error) {
	switch {
	case problem.Family != Gaussian:
		return VerifiedGap{}, fmt.Errorf("verify gap: family: got %v, want gaussian: others have irrational losses", problem.Family)
	case penalty.Groups != nil || penalty.Lower != nil || penalty.Upper != nil:
		return VerifiedGap{}, errors.New("verify gap: got groups or bounds of coefficients, want none")
	case !(p.Lambda >= 0) || len(p.Intercept) != 1 || len(p.Index) != len(p.Value):
		return VerifiedGap{}, fmt.Errorf("verify gap: point: got λ = %v, %d intercepts, %d columns, %d coefficients, want a λ ≥ 0, one intercept and as many columns as coefficients",
			p.Lambda, len(p.Intercept), len(p.Index), len(p.Value))
	}
	for i, j := range p.Index {
		if j < 0 || problem.X == nil || j >= problem.X.cols || i > 0 && j <= p.Index[i-1] {
			return VerifiedGap{}, fmt.Errorf("verify gap: point: got column %d at position %d, want ascending columns of the design matrix", j, i)
		}
	}
	o.Lambdas, o.Count, o.MinRatio, o.Gap = nil, 0, 0, 0
	t, err := prepare(problem, penalty, o)
	if err != nil {
		return VerifiedGap{}, fmt.Errorf("verify gap: %w", err)
	}
	g, err := newGap(t, problem, p, ctx.Err)
	if err != nil {
		return VerifiedGap{}, fmt.Errorf("verify gap: %w", err)
	}
	v, err := g.bound()
	if err != nil {
		return VerifiedGap{}, fmt.Errorf("verify gap: %w", err)
	}
	return v, nil
}

// exactGap is a point of a problem in rational numbers.
type exactGap struct {
	*integerLasso
	lambda *big.Rat
	theta  map[int]*big.Rat // coefficients of the columns as given, and not 0
	shift  *big.Rat         // weighted mean of the residual, 0 without an intercept
	rest   integerColumn    // the residual, but for a constant that an intercept takes off
	square *big.Rat         // Σ w r², of the residual less its mean
}

func newGap(t *task, problem Problem, p Point, check func() error) (*exactGap, error) {
	m, err := newIntegers(t, problem, rational.Limit{Check: check})
	if err != nil {
		return nil, err
	}
	g := &exactGap{integerLasso: m, theta: map[int]*big.Rat{}}
	if g.lambda, err = rational.FromFloat(p.Lambda); err != nil {
		return nil, fmt.Errorf("λ: %w", err)
	}
	intercept, err := rational.FromFloat(p.Intercept[0])
	if err != nil {
		return nil, fmt.Errorf("intercept: %w", err)
	}
	if err := g.setRest(p); err != nil {
		return nil, err
	}
	g.square = g.product(&g.rest, &g.rest)
	g.shift = new(big.Rat)
	if t.intercept {
		g.shift.SetFrac(g.rest.sum, m.mass)
		g.shift.Sub(rational.Scale(g.shift, g.rest.exp), intercept)
	} else if intercept.Sign() != 0 {
		return nil, fmt.Errorf("intercept: got %v of a model without one, want 0", p.Intercept[0])
	}
	return g, nil
}

// setRest computes the residual.
func (g *exactGap) setRest(p Point) error {
	theta, exp, err := rational.Integers(p.Value)
	if err != nil {
		return fmt.Errorf("coefficients: %w", err)
	}
	lowest := g.target.exp
	for _, j := range p.Index {
		lowest = min(lowest, exp+g.columns[j].exp)
	}
	rest, product := make([]*big.Int, g.t.rows), new(big.Int)
	for i := range rest {
		rest[i] = new(big.Int).Lsh(g.target.at(i), uint(g.target.exp-lowest))
	}
	for k, j := range p.Index {
		if theta[k].Sign() == 0 {
			continue
		}
		if g.t.squares[j] == 0 {
			return fmt.Errorf("column %d: got a coefficient of a column without variation", j+1)
		}
		if err := g.rule.Check(); err != nil {
			return err
		}
		g.theta[j] = rational.Scale(new(big.Rat).SetInt(theta[k]), exp)
		c := &g.columns[j]
		v := new(big.Int).Lsh(theta[k], uint(exp+c.exp-lowest))
		for i := range rest {
			rest[i].Sub(rest[i], product.Mul(v, c.at(i)))
		}
	}
	g.rest = g.newColumn(rest, lowest)
	return nil
}

// product is Σ w_i a_i b_i, of columns less their means if there is an intercept.
func (g *exactGap) product(a, b *integerColumn) *big.Rat {
	return g.scaled(g.inner(a, g.weigh(a), b), a.exp+b.exp)
}

func (g *exactGap) scaled(x *big.Int, exp int) *big.Rat {
	mass := g.mass
	if g.t.intercept {
		mass = new(big.Int).Mul(mass, mass)
	}
	return rational.Scale(new(big.Rat).SetFrac(x, mass), exp)
}

// exactTerm is the penalty a|t| + b/2 t² of one coefficient of a column as given.
type exactTerm struct{ a, b *big.Rat }

func (g *exactGap) term(j int) exactTerm {
	h := exactTerm{exactly(g.t.factor[j]), exactly(g.t.factor[j])}
	scale, alpha := exactly(g.t.scale[j]), exactly(g.t.alpha)
	h.a.Mul(h.a, g.lambda).Mul(h.a, scale).Mul(h.a, alpha)
	h.b.Mul(h.b, g.lambda).Mul(h.b, scale).Mul(h.b, scale).Mul(h.b, alpha.Sub(big.NewRat(1, 1), alpha))
	return h
}

// bound adds the terms of the gap: half of Σ w(r − g)² for the dual point w∘g, half the
// square of what the intercept is off, and the excess of every coefficient's penalty.
func (g *exactGap) bound() (VerifiedGap, error) {
	dual, err := g.project()
	if err != nil {
		return VerifiedGap{}, err
	}
	heavy := g.weigh(&dual.column)
	share := big.NewRat(1, 1)
	c := make([]*big.Rat, g.t.cols)
	terms := make(map[int]exactTerm, len(g.theta))
	for j := range c {
		if math.IsInf(g.t.factor[j], 1) {
			continue
		}
		if err := g.rule.Check(); err != nil {
			return VerifiedGap{}, err
		}
		c[j] = g.scaled(g.inner(&dual.column, heavy, &g.columns[j]), dual.column.exp+g.columns[j].exp)
		c[j].Quo(c[j], dual.den)
		h := g.term(j)
		if g.theta[j] != nil || h.b.Sign() > 0 {
			terms[j] = h
		}
		if h.b.Sign() == 0 && magnitude(c[j]).Cmp(h.a) > 0 {
			// Rounded down, so that numbers stay short.
			if s := exactly(rational.Down(new(big.Rat).Quo(h.a, magnitude(c[j])))); s.Cmp(share) < 0 {
				share = s
			}
		}
	}
	// The dual point is orthogonal to what was projected off: Σ w(r − sg)² = Σ w r² −
	// (2s − s²) Σ w g².
	twice := new(big.Rat).Mul(share, new(big.Rat).Sub(big.NewRat(2, 1), share))
	gap := new(big.Rat).Sub(g.square, twice.Mul(twice, dual.square))
	shift := new(big.Rat).Mul(g.shift, g.shift)
	gap.Add(gap, shift)
	gap.Quo(gap, big.NewRat(2, 1))
	objective := new(big.Rat).Add(g.square, shift)
	objective.Quo(objective, big.NewRat(2, 1))
	for j, h := range terms {
		excess, value := h.excess(g.theta[j], new(big.Rat).Mul(share, c[j]))
		gap.Add(gap, excess)
		objective.Add(objective, value)
	}
	v := VerifiedGap{Gap: rational.Up(gap)}
	v.Objective, _ = objective.Float64()
	if gap.Sign() > 0 {
		v.Relative = rational.Up(new(big.Rat).Quo(gap, objective))
	}
	return v, nil
}

// excess is h(t) + h*(c) − ct and h(t); t may be nil, which is 0. Without a quadratic
// part |c| is at most a.
func (h exactTerm) excess(t, c *big.Rat) (excess, value *big.Rat) {
	excess, value = new(big.Rat), new(big.Rat)
	if over := new(big.Rat).Sub(magnitude(c), h.a); h.b.Sign() > 0 && over.Sign() > 0 {
		excess.Mul(over, over).Quo(excess, h.b).Quo(excess, big.NewRat(2, 1))
	}
	if t == nil {
		return excess, value
	}
	value.Mul(h.b, t).Mul(value, t).Quo(value, big.NewRat(2, 1))
	value.Add(value, new(big.Rat).Mul(h.a, magnitude(t)))
	return excess.Add(excess, value).Sub(excess, new(big.Rat).Mul(c, t)), value
}

func magnitude(x *big.Rat) *big.Rat { return new(big.Rat).Abs(x) }

// dualPoint is column/den, with its square.
type dualPoint struct {
	column integerColumn
	den    *big.Rat
	square *big.Rat // Σ w g²
}

// project takes the residual's projection on the columns without a penalty off.
func (g *exactGap) project() (dualPoint, error) {
	one := big.NewRat(1, 1)
	var free []int
	for j, f := range g.t.factor {
		if f == 0 || g.lambda.Sign() == 0 && !math.IsInf(f, 1) {
			free = append(free, j)
		}
	}
	if len(free) == 0 {
		return dualPoint{g.rest, one, g.square}, nil
	}
	if err := g.spend("products of the columns without a penalty", float64(len(free))*float64(len(free))*float64(g.t.rows)); err != nil {
		return dualPoint{}, err
	}
	// In the units of the integers: K z = c over the free columns.
	var k, c []*big.Int
	heavy := g.weigh(&g.rest)
	for _, i := range free {
		c = append(c, g.inner(&g.rest, heavy, &g.columns[i]))
		w := g.weigh(&g.columns[i])
		for _, j := range free {
			k = append(k, g.inner(&g.columns[i], w, &g.columns[j]))
		}
	}
	matrix, err := rational.NewMatrix(len(free), len(free), k)
	if err != nil {
		return dualPoint{}, err
	}
	z, _, err := rational.Solve(matrix, c, g.rule)
	if err != nil {
		return dualPoint{}, fmt.Errorf("columns without a penalty: %w", err)
	}
	column := make([]*big.Int, g.t.rows)
	for i := range column {
		column[i] = new(big.Int).Mul(g.rest.at(i), z.Den)
		for n, j := range free {
			column[i].Sub(column[i], new(big.Int).Mul(z.Num[n], g.columns[j].at(i)))
		}
	}
	out := dualPoint{column: g.newColumn(column, g.rest.exp), den: new(big.Rat).SetInt(z.Den)}
	out.square = g.product(&out.column, &out.column)
	out.square.Quo(out.square, out.den).Quo(out.square, out.den)
	return out, nil
}
