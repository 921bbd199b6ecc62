package separation

import (
	"errors"
	"fmt"
	"math/big"
	"slices"

	"github.com/compactify/compactify/internal/rational"
)

// simplex decides in rational numbers between β ≥ 0 with Σ n_i + Σ β_i n_i = 0 and a
// direction v with n_i·v ≥ 0 for all tied rows and > 0 for some. It is the dual simplex
// method for the problem of finding β, which has no costs, with Bland's rule, started
// at linearly independent rows that least squares found.
//
// Source: R. G. Bland, "New finite pivoting rules for the simplex method", Mathematics
// of Operations Research 2 (1977), 103–107.
type simplex struct {
	*decision
	sum   []*big.Int
	basis []int // rows, independent
}

// run pivots until one of the two is there.
func (s *simplex) run() (extra []int, weights []*big.Rat, v []*big.Int, err error) {
	for {
		slices.Sort(s.basis)
		beta, witness, err := s.combine(s.sum)
		if errors.Is(err, rational.ErrInconsistent) {
			v := witness.Num
			if rational.DotInts(v, s.sum).Sign() < 0 {
				v = negative(v)
			}
			grown, err := s.grow(v)
			if !grown || err != nil {
				return nil, nil, v, err
			}
			continue
		}
		if err != nil {
			return nil, nil, nil, err
		}
		// combine solved for −β.
		leaving := slices.IndexFunc(beta.Num, func(x *big.Int) bool { return x.Sign() > 0 })
		if leaving < 0 {
			extra, weights := s.weights(beta)
			return extra, weights, nil, nil
		}
		v, err := s.exchange(leaving)
		if v != nil || err != nil {
			return nil, nil, v, err
		}
	}
}

// combine writes b as a combination of the basis; if it is none, witness is orthogonal
// to the basis and not to b.
func (s *simplex) combine(b []*big.Int) (x, witness rational.Fractions, err error) {
	m, err := s.matrix()
	if err != nil {
		return x, witness, err
	}
	if err := s.spend(); err != nil {
		return x, witness, err
	}
	return rational.Solve(m.Transpose(), b, s.limit())
}

// matrix has the basis as its rows.
func (s *simplex) matrix() (*rational.Matrix, error) {
	var flat []*big.Int
	for _, i := range s.basis {
		flat = append(flat, s.vector(i)...)
	}
	return rational.NewMatrix(len(s.basis), s.size(), flat)
}

// spend takes the price of one system from the work allowed.
func (s *simplex) spend() error {
	k, size := len(s.basis), s.size()
	longest := 0
	for j := range s.exp {
		longest = max(longest, s.largest[j]-s.exp[j])
	}
	s.work -= rational.SolveWork(k, longest) + float64(k)*float64(k)*float64(size)
	if s.work < 0 {
		return fmt.Errorf("a system of %d equations in integers: %w", k, ErrTooLarge)
	}
	return nil
}

// grow takes the first row on the wrong side of v, which is orthogonal to the basis,
// into the basis; it reports false if there is none.
func (s *simplex) grow(v []*big.Int) (bool, error) {
	if err := s.ctx.Err(); err != nil {
		return false, err
	}
	wrong := slices.Index(s.signs(s.tied, v), -1)
	if wrong < 0 {
		return false, nil
	}
	s.basis = append(s.basis, s.tied[wrong])
	return true, nil
}

// exchange takes row k of the basis out, whose β is negative, for the first row on the
// wrong side of the direction that is orthogonal to the others; if there is none that
// direction is returned.
func (s *simplex) exchange(k int) (v []*big.Int, err error) {
	m, err := s.matrix()
	if err != nil {
		return nil, err
	}
	if err := s.spend(); err != nil {
		return nil, err
	}
	unit := make([]*big.Int, len(s.basis))
	for i := range unit {
		unit[i] = new(big.Int)
	}
	unit[k].SetInt64(1)
	x, _, err := rational.Solve(m, unit, s.limit())
	if err != nil {
		return nil, fmt.Errorf("a basis of %d rows: %w", len(s.basis), err)
	}
	v = primitive(x.Num)
	signs := s.signs(s.tied, v)
	entering := -1
	for i, sign := range signs {
		if sign >= 0 {
			continue
		}
		_, _, err := s.combine(s.vector(s.tied[i]))
		if errors.Is(err, rational.ErrInconsistent) {
			// Independent of the basis, which is not complete yet.
			s.basis = append(s.basis, s.tied[i])
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		entering = s.tied[i]
		break
	}
	if entering < 0 {
		return v, nil
	}
	s.basis[k] = entering
	return nil, nil
}

// weights are β and the rows where it is not 0, from −β of the basis.
func (s *simplex) weights(minus rational.Fractions) (rows []int, beta []*big.Rat) {
	for k, i := range s.basis {
		if minus.Sign(k) != 0 {
			rows = append(rows, i)
			beta = append(beta, new(big.Rat).Neg(minus.Rat(k)))
		}
	}
	return rows, beta
}

// direction makes the direction of doubles u, which is orthogonal to the basis up to
// rounding, exactly orthogonal, and returns it if it is wrong on no tied row. Where it
// is wrong by no more than rounding it is made orthogonal to those rows, too.
func (s *simplex) direction(u []float64) ([]*big.Int, error) {
	const attempts = 6
	digits := []int{12, 30, 53}
	whole := &simplex{decision: s.decision, basis: slices.Clone(s.basis)}
	for range attempts {
		v, err := whole.orthogonal(s.round(u, s.largest, digits[0]))
		if err != nil {
			return nil, err
		}
		signs := s.signs(s.tied, v)
		wrong := slices.Index(signs, -1)
		switch {
		case wrong < 0 && slices.Contains(signs, 1):
			return v, nil
		case len(digits) > 1:
			digits = digits[1:]
		case wrong < 0:
			return nil, nil
		default:
			whole.basis = append(whole.basis, s.tied[wrong])
		}
	}
	return nil, nil
}

// orthogonal adds to v what makes it orthogonal to the basis.
func (s *simplex) orthogonal(v []*big.Int) ([]*big.Int, error) {
	if len(s.basis) == 0 {
		return v, nil
	}
	m, err := s.matrix()
	if err != nil {
		return nil, err
	}
	if err := s.spend(); err != nil {
		return nil, err
	}
	right := make([]*big.Int, len(s.basis))
	for k := range right {
		right[k] = rational.DotInts(m.Row(k), v)
	}
	x, _, err := rational.Solve(m, right, s.limit())
	if err != nil {
		return nil, fmt.Errorf("a direction orthogonal to %d rows: %w", len(s.basis), err)
	}
	out := make([]*big.Int, len(v))
	for j := range out {
		out[j] = new(big.Int).Mul(v[j], x.Den)
		out[j].Sub(out[j], x.Num[j])
	}
	return primitive(out), nil
}

func negative(v []*big.Int) []*big.Int {
	out := make([]*big.Int, len(v))
	for j, x := range v {
		out[j] = new(big.Int).Neg(x)
	}
	return out
}
