package linear

import (
	"fmt"
	"math/big"
	"math/bits"

	"github.com/compactify/compactify/internal/rational"
)

// integerLasso is a lasso over the integers,
//
//	½γᵀKγ − hᵀγ + μ Σ_j φ_j |γ_j|,
//
// which is the problem given but for the units. With x_ij = X_ij 2^e_j, the targets
// less their offsets Y_i 2^q, weights proportional to W_i, all integers, and W = Σ W_i:
//
//	K_jk = W Σ_i W_i X_ij X_ik − S_j S_k,  S_j = Σ_i W_i X_ij   with an intercept,
//	K_jk = Σ_i W_i X_ij X_ik                                   without one,
//
// h alike with Y in the place of X_k. Standardisation is in the penalty alone: a
// column's factor times its scale is φ_j 2^(g+e_j).
type integerLasso struct {
	t       *task
	rule    rational.Limit
	columns []integerColumn // [p]
	target  integerColumn
	mass    *big.Int   // W
	weight  []*big.Int // W_i; nil means 1
	phi     []*big.Int // [p]; nil for a column that stays out
	h       []*big.Int // [p]
	total   *big.Int   // of the target with itself
	gram    map[int]*gramColumn
	unit    *big.Rat // λ = μ·unit
	least   *big.Rat // μ at which to stop
	rough   roughly
	// nullLoss is that of the model without penalised columns.
	nullLoss float64
}

// roughly is the problem rounded to the nearest float64.
type roughly struct{ h, phi []float64 }

// integerColumn is a column of integers: short if all are below 2^62 in magnitude,
// else long.
type integerColumn struct {
	short []int64
	long  []*big.Int
	exp   int      // the column given is this one times 2^exp
	sum   *big.Int // Σ W_i X_i
}

// gramColumn is one column of K, exact and rounded.
type gramColumn struct {
	exact []*big.Int
	rough []float64
}

// newIntegerLasso takes the numbers of the problem as they are.
func newIntegerLasso(t *task, p Problem, o HomotopyOptions, check func() error) (*integerLasso, error) {
	m, err := newIntegers(t, p, rational.Limit{Work: o.Work, Check: check})
	if err != nil {
		return nil, err
	}
	m.gram = map[int]*gramColumn{}
	m.h = make([]*big.Int, t.cols)
	heavy := m.weigh(&m.target)
	for j := range m.h {
		m.h[j] = m.inner(&m.target, heavy, &m.columns[j])
	}
	m.total = m.inner(&m.target, heavy, &m.target)
	return m, m.setUnits(o.MinLambda)
}

// newIntegers is a lasso as far as its weights, columns and targets go.
func newIntegers(t *task, p Problem, rule rational.Limit) (*integerLasso, error) {
	m := &integerLasso{t: t, rule: rule}
	if rule.Work == 0 {
		m.rule.Work = rational.DefaultWork
	}
	// Every column meets the targets at least once.
	if err := m.spend(fmt.Sprintf("[%d, %d] values", t.rows, t.cols), 20*float64(t.rows)*float64(t.cols)); err != nil {
		return nil, err
	}
	if err := m.setWeights(p.Weights); err != nil {
		return nil, err
	}
	if err := m.setColumns(); err != nil {
		return nil, err
	}
	return m, m.setTarget()
}

func (m *integerLasso) setWeights(w []float64) error {
	m.mass = big.NewInt(int64(m.t.rows))
	if w == nil {
		return nil
	}
	weight, _, err := rational.Integers(w)
	m.weight, m.mass = weight, new(big.Int)
	for _, v := range weight {
		m.mass.Add(m.mass, v)
	}
	return err
}

func (m *integerLasso) setColumns() error {
	m.columns = make([]integerColumn, m.t.cols)
	buffer := make([]float64, m.t.rows)
	for j := range m.columns {
		values := buffer
		if m.t.dense != nil {
			values = m.t.column(j)
		} else {
			clear(buffer)
			row, value := m.t.entries(j)
			for k, i := range row {
				buffer[i] = value[k]
			}
		}
		if short, exp, ok := rational.Short(values); ok {
			m.columns[j] = integerColumn{short: short, exp: exp, sum: m.sumShort(short)}
			continue
		}
		num, exp, err := rational.Integers(values)
		if err != nil {
			return fmt.Errorf("column %d: %w", j+1, err)
		}
		m.columns[j] = m.newColumn(num, exp)
	}
	return nil
}

// sumShort is Σ W_i X_i.
func (m *integerLasso) sumShort(x []int64) *big.Int {
	if m.weight == nil {
		ones := make([]int64, len(x))
		for i := range ones {
			ones[i] = 1
		}
		return dotShort(ones, x)
	}
	sum, product := new(big.Int), new(big.Int)
	for i, v := range x {
		if v != 0 {
			sum.Add(sum, product.Mul(product.SetInt64(v), m.weight[i]))
		}
	}
	return sum
}

// setTarget takes the offsets off, which is exact.
func (m *integerLasso) setTarget() error {
	both := make([]float64, 0, 2*m.t.rows)
	both = append(append(both, m.t.y...), m.t.offset...)
	num, exp, err := rational.Integers(both)
	if err != nil {
		return err
	}
	if m.t.offset != nil {
		for i := range m.t.rows {
			num[i].Sub(num[i], num[m.t.rows+i])
		}
	}
	m.target = m.newColumn(num[:m.t.rows], exp)
	return nil
}

// setUnits finds the integers φ and the unit of μ.
func (m *integerLasso) setUnits(least float64) error {
	products := make([]*big.Int, m.t.cols)
	exps := make([]int, m.t.cols)
	lowest, any := 0, false
	for j, f := range m.t.factor {
		if m.t.squares[j] == 0 {
			continue
		}
		pair, exp, err := rational.Integers([]float64{f})
		if err != nil {
			return err
		}
		scale, more, err := rational.Integers([]float64{m.t.scale[j]})
		if err != nil {
			return err
		}
		products[j] = pair[0].Mul(pair[0], scale[0])
		exps[j] = exp + more - m.columns[j].exp
		if products[j].Sign() > 0 && (!any || exps[j] < lowest) {
			lowest, any = exps[j], true
		}
	}
	m.phi = products
	for j, v := range products {
		if v != nil && v.Sign() > 0 {
			v.Lsh(v, uint(exps[j]-lowest))
		}
	}
	power := new(big.Int).Set(m.mass)
	if m.t.intercept {
		power.Mul(power, m.mass)
	}
	m.unit = rational.Scale(new(big.Rat).SetFrac(big.NewInt(1), power), m.target.exp-lowest)
	m.least = m.mu(least)
	m.rough = roughly{make([]float64, m.t.cols), make([]float64, m.t.cols)}
	for j := range m.t.cols {
		m.rough.h[j], _ = m.h[j].Float64()
		if m.phi[j] != nil {
			m.rough.phi[j], _ = m.phi[j].Float64()
		}
	}
	return nil
}

// mu is λ in the units of the integer problem.
func (m *integerLasso) mu(lambda float64) *big.Rat {
	l := new(big.Rat).SetFloat64(lambda)
	return l.Quo(l, m.unit)
}

func (m *integerLasso) newColumn(num []*big.Int, exp int) integerColumn {
	const most = 62 // bits, so that a product and a sign fit in 128
	c := integerColumn{exp: exp, sum: new(big.Int)}
	longest := 0
	for i, v := range num {
		longest = max(longest, v.BitLen())
		if m.weight == nil {
			c.sum.Add(c.sum, v)
		} else if v.Sign() != 0 {
			c.sum.Add(c.sum, new(big.Int).Mul(v, m.weight[i]))
		}
	}
	if longest > most {
		c.long = num
		return c
	}
	c.short = make([]int64, len(num))
	for i, v := range num {
		c.short[i] = v.Int64()
	}
	return c
}

// at is X_i.
func (c *integerColumn) at(i int) *big.Int {
	if c.long != nil {
		return c.long[i]
	}
	return big.NewInt(c.short[i])
}

// weigh is W_i X_i, or nil if the column will do as it is.
func (m *integerLasso) weigh(c *integerColumn) []*big.Int {
	if m.weight == nil && c.short != nil {
		return nil
	}
	out := make([]*big.Int, m.t.rows)
	for i := range out {
		if m.weight == nil {
			out[i] = c.at(i)
		} else {
			out[i] = new(big.Int).Mul(c.at(i), m.weight[i])
		}
	}
	return out
}

// inner is the element of K for two columns; heavy is a's weigh.
func (m *integerLasso) inner(a *integerColumn, heavy []*big.Int, b *integerColumn) *big.Int {
	sum := new(big.Int)
	if heavy == nil && b.short != nil {
		sum = dotShort(a.short, b.short)
	} else {
		product, short := new(big.Int), new(big.Int)
		for i := range m.t.rows {
			var x, y *big.Int
			if b.short != nil {
				y = short.SetInt64(b.short[i])
			} else {
				y = b.long[i]
			}
			if y.Sign() == 0 {
				continue
			}
			if heavy != nil {
				x = heavy[i]
			} else {
				x = a.at(i)
			}
			sum.Add(sum, product.Mul(x, y))
		}
	}
	if m.t.intercept {
		sum.Mul(sum, m.mass)
		sum.Sub(sum, new(big.Int).Mul(a.sum, b.sum))
	}
	return sum
}

// dotShort is Σ a_i b_i in three words, two's complement.
func dotShort(a, b []int64) *big.Int {
	var lo, hi, top uint64
	b = b[:len(a)]
	for i, x := range a {
		y := b[i]
		h, l := bits.Mul64(uint64(x), uint64(y))
		// The product of the signed numbers.
		h -= uint64(x>>63)&uint64(y) + uint64(y>>63)&uint64(x)
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi, carry = bits.Add64(hi, h, carry)
		top += uint64(int64(h)>>63) + carry
	}
	out := new(big.Int).SetInt64(int64(top))
	out.Lsh(out, 64).Add(out, new(big.Int).SetUint64(hi))
	return out.Lsh(out, 64).Add(out, new(big.Int).SetUint64(lo))
}

// correlations is column j of K, made when it is first asked for.
func (m *integerLasso) correlations(j int) (*gramColumn, error) {
	if g := m.gram[j]; g != nil {
		return g, nil
	}
	if err := m.spend("one more column", m.columnWork()); err != nil {
		return nil, err
	}
	g := &gramColumn{make([]*big.Int, m.t.cols), make([]float64, m.t.cols)}
	heavy := m.weigh(&m.columns[j])
	for k := range m.t.cols {
		if other := m.gram[k]; other != nil {
			g.exact[k] = other.exact[j]
		} else {
			g.exact[k] = m.inner(&m.columns[j], heavy, &m.columns[k])
		}
		g.rough[k], _ = g.exact[k].Float64()
	}
	m.gram[j] = g
	return g, nil
}

// spend takes work off what is left.
func (m *integerLasso) spend(what string, work float64) error {
	if work > m.rule.Work {
		return fmt.Errorf("%s: %w: it takes about %.2g products of words, and %.2g are left of what was allowed", what, rational.ErrTooLarge, work, m.rule.Work)
	}
	m.rule.Work -= work
	return m.rule.Check()
}

// estimate is the work of a path with the supports of the given lines.
func (m *integerLasso) estimate(lines []line) float64 {
	work, length := 0.0, 0
	seen := map[int]bool{}
	for _, l := range lines {
		for _, a := range l.support() {
			if !seen[a.column] {
				seen[a.column] = true
				c := &m.columns[a.column]
				length = max(length, m.inner(c, m.weigh(c), c).BitLen())
				work += m.columnWork()
			}
		}
	}
	for _, l := range lines {
		work += 2 * rational.SolveWork(len(l.support()), length)
	}
	return work
}

// columnWork is that of one column of K.
func (m *integerLasso) columnWork() float64 { return 2 * float64(m.t.rows) * float64(m.t.cols) }
