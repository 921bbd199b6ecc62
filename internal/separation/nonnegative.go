package separation

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// nonnegative is least squares under the constraint α ≥ 0,
//
//	min ‖Σ α_i a_i − target‖, and, with sides f_i = ±1, under Σ f_i α_i = 0
//
// by an active set: the α that are positive belong to linearly independent columns and
// solve the problem without signs. The residual of the solution, r = target − Σ α_i a_i,
// has a_i·r ≤ 0 for all i: it is 0, or a direction that Farkas' alternative speaks of.
// Unlike in a simplex method every step lowers the objective: nothing stalls.
//
// The constraint on sides is met by an anchor, a column whose α follows from the others.
//
// Source: C. L. Lawson and R. J. Hanson, "Solving Least Squares Problems" (SIAM, 1995),
// chapter 23, algorithm NNLS.
type nonnegative struct {
	rows   []Vector
	dim    int
	extra  float64 // one more coordinate, the same for all columns, if not 0
	side   []int8  // nil: no such constraint
	target []float64

	anchor    int // row; -1 without sides
	passive   []int
	alpha     []float64 // of the passive rows, the anchor not among them
	in        []bool
	qr        orthogonal
	projected []float64 // Qᵀ target
	rest      []float64 // r

	check func() error
	// enough ends the work early; products are a_i·r of all rows without the extra
	// coordinate. Nil: never.
	enough func(products []float64) bool
	steps  int     // columns that came in
	work   float64 // multiplications so far
}

const (
	steepness = 1e-11 // cosine of a column with r below which it is no way down
	vanishing = 1e-11 // of the target: a residual that is taken for 0
	batch     = 32    // columns tried between two looks at all rows
	patience  = 30    // steps per dimension, and a few

	// maxSearch bounds the multiplications: about ten seconds'.
	maxSearch = 1.5e10
)

func newNonnegative(rows []Vector, dim int, extra float64, target []float64, check func() error) *nonnegative {
	return &nonnegative{rows: rows, dim: dim, extra: extra, target: target, anchor: -1, in: make([]bool, len(rows)),
		rest: slices.Clone(target), check: check}
}

// product is a_i·v without the extra coordinate.
func product(a Vector, v []float64) float64 {
	if a.Index == nil {
		return dot(a.Value, v)
	}
	s := 0.0
	for k, j := range a.Index {
		s += a.Value[k] * v[j]
	}
	return s
}

// column is a_i, or its difference to the anchor that meets the constraint.
func (l *nonnegative) column(i int) []float64 {
	v := make([]float64, len(l.target))
	l.accumulate(v, i, 1)
	if l.anchor >= 0 {
		l.accumulate(v, l.anchor, -float64(l.side[i]*l.side[l.anchor]))
	}
	return v
}

// accumulate adds c·a_i to v.
func (l *nonnegative) accumulate(v []float64, i int, c float64) {
	a := l.rows[i]
	if a.Index == nil {
		axpy(c, a.Value, v)
	} else {
		for k, j := range a.Index {
			v[j] += c * a.Value[k]
		}
	}
	if l.extra != 0 {
		v[l.dim] += c * l.extra
	}
}

// level is what turns a product into the derivative along α_i: shift + slope·f_i is
// added.
func (l *nonnegative) level() (shift, slope float64) {
	if l.extra != 0 {
		shift = l.extra * l.rest[l.dim]
	}
	if l.anchor >= 0 {
		slope = -(product(l.rows[l.anchor], l.rest) + shift) * float64(l.side[l.anchor])
	}
	return shift, slope
}

// gain is minus the derivative of half the square of the distance along α_i.
func (l *nonnegative) gain(i int, product, shift, slope float64) float64 {
	if l.side != nil {
		shift += slope * float64(l.side[i])
	}
	return product + shift
}

// run solves; it reports whether the residual vanished. The error is that of check, or
// wraps [ErrTooLarge].
func (l *nonnegative) run() (zero bool, err error) {
	whole := length(l.target)
	products := make([]float64, len(l.rows))
	stored := 0
	for _, a := range l.rows {
		stored += len(a.Value)
	}
	for l.steps < patience*(len(l.target)+10) {
		if err := l.check(); err != nil {
			return false, err
		}
		if l.work += float64(stored); l.work > maxSearch {
			return false, fmt.Errorf("least squares with %d active rows of %d: %w", len(l.passive), len(l.rows), ErrTooLarge)
		}
		for i, a := range l.rows {
			products[i] = product(a, l.rest)
		}
		if l.enough != nil && l.enough(products) {
			return false, nil
		}
		moved := false
		for _, i := range l.candidates(products) {
			rest := length(l.rest)
			if rest <= vanishing*whole {
				return true, nil
			}
			shift, slope := l.level()
			if l.in[i] || l.gain(i, product(l.rows[i], l.rest), shift, slope) <= steepness*rest {
				continue
			}
			if l.enter(i) {
				moved = true
			}
		}
		if !moved {
			break
		}
	}
	return length(l.rest) <= vanishing*whole, nil
}

// candidates are the rows of the steepest descent, best first.
func (l *nonnegative) candidates(products []float64) []int {
	type candidate struct {
		row  int
		gain float64
	}
	better := func(a, b candidate) int { return cmp.Or(cmp.Compare(b.gain, a.gain), a.row-b.row) }
	var best []candidate
	shift, slope := l.level()
	least := steepness * length(l.rest)
	for i, p := range products {
		g := l.gain(i, p, shift, slope)
		if l.in[i] || !(g > least) {
			continue
		}
		best = append(best, candidate{i, g})
		if len(best) == 2*batch {
			slices.SortFunc(best, better)
			best = best[:batch]
			least = best[batch-1].gain
		}
	}
	slices.SortFunc(best, better)
	out := make([]int, 0, batch)
	for _, c := range best[:min(batch, len(best))] {
		out = append(out, c.row)
	}
	return out
}

// enter makes α_i positive and takes out what becomes negative on the way; it reports
// false if rounding hides that i is a way down.
func (l *nonnegative) enter(i int) bool {
	l.steps++
	l.work += 4 * float64(len(l.passive)+1) * float64(len(l.target))
	if !l.push(i) {
		return false
	}
	l.alpha = append(l.alpha, 0)
	l.passive = append(l.passive, i)
	l.in[i] = true
	for first := true; ; first = false {
		x := slices.Clone(l.projected)
		l.qr.solve(x)
		if first && !(x[len(x)-1] > 0) {
			l.remove(len(x) - 1)
			return false
		}
		if l.advance(x) {
			return true
		}
	}
}

// push appends a column to the factors and takes its part out of the residual.
func (l *nonnegative) push(i int) bool {
	if !l.qr.push(l.column(i)) {
		return false
	}
	q := l.qr.q[len(l.qr.q)-1]
	c := dot(q, l.rest)
	axpy(-c, q, l.rest)
	l.projected = append(l.projected, c)
	return true
}

func (l *nonnegative) remove(k int) {
	l.work += 8 * float64(len(l.passive)) * float64(len(l.target))
	l.in[l.passive[k]] = false
	l.qr.drop(k)
	l.passive = slices.Delete(l.passive, k, k+1)
	l.alpha = slices.Delete(l.alpha, k, k+1)
	l.projected, l.rest = l.qr.split(l.target)
}

// advance goes from α towards x until something becomes 0, and takes that out; it
// reports whether x was reached.
func (l *nonnegative) advance(x []float64) bool {
	if len(x) == 0 {
		return true
	}
	t, at := 1.0, -1
	for k, a := range l.alpha {
		if x[k] <= 0 {
			if s := a / (a - x[k]); s < t || at < 0 {
				t, at = min(s, t), k
			}
		}
	}
	from, to := l.anchored(l.alpha), l.anchored(x)
	anchor := l.anchor >= 0 && to <= 0
	if anchor {
		if s := from / (from - to); s < t || at < 0 {
			t = min(s, t)
		} else {
			anchor = false
		}
	}
	if at < 0 && !anchor {
		copy(l.alpha, x)
		return true
	}
	for k := range l.alpha {
		l.alpha[k] = max(0, l.alpha[k]+t*(x[k]-l.alpha[k]))
	}
	if anchor && len(l.passive) > 0 {
		l.anchorAt(len(l.passive) - 1)
		return false
	}
	l.remove(at)
	return false
}

// anchored is the anchor's α.
func (l *nonnegative) anchored(alpha []float64) float64 {
	if l.anchor < 0 {
		return 0
	}
	s := 0.0
	for k, a := range alpha {
		s -= a * float64(l.side[l.passive[k]]*l.side[l.anchor])
	}
	return s
}

// anchorAt makes passive row k the anchor instead of the one there is, which leaves.
func (l *nonnegative) anchorAt(k int) {
	l.in[l.anchor] = false
	l.anchor = l.passive[k]
	rows := slices.Delete(slices.Clone(l.passive), k, k+1)
	alpha := slices.Delete(slices.Clone(l.alpha), k, k+1)
	l.reset()
	for k, i := range rows {
		if l.push(i) {
			l.passive, l.alpha = append(l.passive, i), append(l.alpha, alpha[k])
		} else {
			l.in[i] = false
		}
	}
}

func (l *nonnegative) reset() {
	l.qr, l.projected, l.rest = orthogonal{}, nil, slices.Clone(l.target)
	l.passive, l.alpha = nil, nil
}

// support are the rows with α > 0 and those α.
func (l *nonnegative) support() (rows []int, alpha []float64) {
	rows, alpha = slices.Clone(l.passive), slices.Clone(l.alpha)
	if l.anchor >= 0 {
		rows, alpha = append(rows, l.anchor), append(alpha, l.anchored(l.alpha))
	}
	return rows, alpha
}

// scaled are the vectors z_i of some rows with every coordinate j multiplied by
// 2^−exp[j] and every vector by a power of 2, so that both are about as long as 1.
func (p *Points) scaled(rows []int, exp []int) []Vector {
	out := make([]Vector, len(rows))
	for k, i := range rows {
		var v Vector
		sum := 0.0
		dense := p.Rows[i].Index == nil
		if dense {
			v.Value = make([]float64, p.size())
		}
		p.each(i, func(j int, z float64) {
			x := math.Ldexp(z, -exp[j])
			sum += x * x
			if dense {
				v.Value[j] = x
			} else {
				v.Index, v.Value = append(v.Index, int32(j)), append(v.Value, x)
			}
		})
		if !dense && v.Index == nil {
			v.Index = []int32{}
		}
		_, e := math.Frexp(math.Sqrt(sum))
		for k, x := range v.Value {
			v.Value[k] = math.Ldexp(x, -e)
		}
		out[k] = v
	}
	return out
}

// exponents are those of the largest and of the least bit of each coordinate.
func (p *Points) exponents() (largest, least []int) {
	largest, least = make([]int, p.size()), make([]int, p.size())
	for j := range least {
		largest[j], least[j] = math.MinInt, math.MaxInt
	}
	for i := range p.Rows {
		p.each(i, func(j int, z float64) {
			_, top := math.Frexp(z)
			_, low := dyadic(z)
			largest[j], least[j] = max(largest[j], top), min(least[j], low)
		})
	}
	for j := range least {
		if largest[j] == math.MinInt {
			largest[j], least[j] = 0, 0
		}
	}
	return largest, least
}
