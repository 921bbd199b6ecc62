package linear

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/rational"
)

// verify checks the support and signs of every segment of a path in double precision:
// they determine the solution as a function of λ, which is computed in rational numbers
// at one λ inside the segment and held against the optimality conditions. That they hold
// proves the support and signs to be those of a solution there; the breakpoints
// themselves are rounded, and so are proved only as far as λ inside the segments goes.
func (b *Breakpoints) verify(t *task, problem Problem, o HomotopyOptions, check func() error) error {
	m, err := newIntegerLasso(t, problem, o, check)
	if errors.Is(err, rational.ErrTooLarge) {
		b.Verdict, b.Reason = compactify.Inconclusive, err.Error()
		for i := range b.Points {
			b.Points[i].Verdict = compactify.Inconclusive
		}
		return nil
	}
	if err != nil {
		return err
	}
	b.Verdict = compactify.Verified
	b.Reason = "the optimality conditions hold in rational numbers at a λ inside every segment"
	for i := range b.Points {
		verdict, reason, err := m.judge(b, i)
		if err != nil {
			return err
		}
		b.Points[i].Verdict = verdict
		if slices.Index(worse, verdict) > slices.Index(worse, b.Verdict) {
			b.Verdict, b.Reason = verdict, fmt.Sprintf("below breakpoint %d, λ = %v: %s", i+1, b.Points[i].Lambda, reason)
		}
	}
	return nil
}

// worse are verdicts from the best to the worst.
var worse = []compactify.Verdict{compactify.Verified, compactify.Supported, compactify.Inconclusive, compactify.Refuted}

// judge looks at the segment below breakpoint i, or at the end of the path.
func (m *integerLasso) judge(b *Breakpoints, i int) (compactify.Verdict, string, error) {
	p := &b.Points[i]
	support := make([]member, len(p.Support))
	for k, j := range p.Support {
		support[k] = member{j, p.Signs[k]}
	}
	mu := m.least
	if i+1 < len(b.Points) {
		upper, lower := m.mu(p.Lambda), m.mu(b.Points[i+1].Lambda)
		middle, _ := new(big.Rat).Add(upper, lower).Float64()
		mu = exactly(middle / 2)
		if mu.Cmp(upper) >= 0 || mu.Cmp(lower) <= 0 {
			return compactify.Inconclusive, "the segment is as short as rounding", nil
		}
	}
	reason, excess, err := m.optimal(support, mu)
	switch {
	case errors.Is(err, rational.ErrTooLarge) || errors.Is(err, rational.ErrSingular):
		return compactify.Inconclusive, err.Error(), nil
	case err != nil:
		return "", "", err
	case reason != "" && excess <= tieTolerance:
		return compactify.Supported, reason + ": columns that tie but for rounding", nil
	case reason != "":
		return compactify.Refuted, reason, nil
	}
	return compactify.Verified, "", nil
}

// optimal says in which column the solution with the given support and signs at μ fails
// the optimality conditions most; in none, if the reason is empty. excess is by which
// share of λ a correlation is too large, +Inf for a sign that is wrong.
func (m *integerLasso) optimal(support []member, mu *big.Rat) (reason string, excess float64, err error) {
	l, err := m.solution(support, mu)
	if err != nil {
		return "", 0, err
	}
	for k, a := range support {
		if a.sign != 0 && l.a[k].Sign() != a.sign {
			return fmt.Sprintf("column %d has a coefficient of another sign", a.column+1), math.Inf(1), nil
		}
	}
	doubtful := l.others()
	if rough, exact := mu.Float64(); exact {
		_, doubtful = l.sift(doubtful, rough)
	}
	num := new(big.Int).Mul(mu.Num(), l.d)
	for _, j := range doubtful {
		// |P|/d ≤ μφ
		left := new(big.Int).Mul(l.correlation(j).p, mu.Denom())
		right := new(big.Int).Mul(num, m.phi[j])
		if left.CmpAbs(right) <= 0 {
			continue
		}
		share := math.Inf(1)
		if right.Sign() > 0 {
			share = rational.Quotient(new(big.Int).Sub(left.Abs(left), right), right)
		}
		if share > excess {
			reason, excess = fmt.Sprintf("column %d has a correlation larger than λ allows, by a share of %.2g", j+1, share), share
		}
	}
	return reason, excess, nil
}

// solution is the line that stays at the solution at one μ: b is 0.
func (m *integerLasso) solution(support []member, mu *big.Rat) (*exactLine, error) {
	l, k, err := m.newLine(support)
	if err != nil {
		return nil, err
	}
	right := make([]*big.Int, len(support))
	for i, a := range support {
		right[i] = new(big.Int).Mul(m.h[a.column], mu.Denom())
		right[i].Sub(right[i], new(big.Int).Mul(mu.Num(), m.bound(a)))
		l.b = append(l.b, new(big.Int))
	}
	x, err := m.solve(k, right)
	if err != nil {
		return nil, err
	}
	l.a, l.d = x[0].Num, new(big.Int).Mul(x[0].Den, mu.Denom())
	return l, nil
}
