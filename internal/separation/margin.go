package separation

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/compactify/compactify/internal/rational"
)

// Margin is a hyperplane whose distance to the nearest point is nearly as large as it
// can be.
type Margin struct {
	// Direction is w, of norm 1 up to rounding, and Intercept b, 0 without one.
	Direction []float64
	Intercept float64
	// Low is the distance that this direction reaches with the best intercept, rounded
	// down; High is the norm of a point that the largest margin cannot exceed, rounded
	// up. Both were computed in integers from the doubles here.
	Low, High float64
	// Support are rows, ascending, with positive Weights of sum 1, or of sum 1 for each
	// class with an intercept, whose combination Σ α_i z_i has the norm High, or 2·High.
	Support []int
	Weights []float64
}

// ErrNotSeparated is a direction of a positive margin that was not found.
var ErrNotSeparated = errors.New("no direction with a positive margin was found")

// MaxMargin looks for the hard-margin direction: the point of the hull of the vectors
// z_i that is nearest to 0, and with an intercept the shortest vector between the hulls
// of the two classes. The points should be [Separable].
//
// Source: K. P. Bennett and E. J. Bredensteiner, "Duality and geometry in SVM
// classifiers", ICML 2000, section 2.
func MaxMargin(ctx context.Context, p Points) (*Margin, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	m, err := newHard(ctx, &p).solve()
	if err != nil {
		return nil, fmt.Errorf("largest margin: %w", err)
	}
	return m, nil
}

// hard is the search for the largest margin.
type hard struct {
	*Points
	ctx    context.Context
	shift  int // coordinates are multiplied by 2^shift for double precision
	center []float64
	search *nonnegative
}

func newHard(ctx context.Context, p *Points) *hard {
	h := &hard{Points: p, ctx: ctx}
	top := math.MinInt
	for _, row := range p.Rows {
		for _, x := range row.Value {
			if x != 0 {
				_, e := math.Frexp(x)
				top = max(top, e)
			}
		}
	}
	if top != math.MinInt {
		h.shift = -top
	}
	return h
}

func (h *hard) solve() (*Margin, error) {
	if h.Intercept && !(slices.Contains(h.Sign, 1) && slices.Contains(h.Sign, -1)) {
		return nil, errors.New("points of one class only: want both")
	}
	rows := h.vectors()
	spread := h.spread(rows)
	if spread == 0 {
		return nil, ErrNotSeparated
	}
	if err := h.first(rows, spread); err != nil {
		return nil, err
	}
	for range 4 {
		zero, err := h.search.run()
		if err != nil {
			return nil, err
		}
		gamma := h.margin()
		const far = 8 // the penalty on Σα: the nearer to γ, the less rounding counts
		if !zero && h.search.extra < far*gamma && gamma < far*h.search.extra {
			break
		}
		if zero || !(gamma > 0) {
			return nil, ErrNotSeparated
		}
		h.restart(gamma)
	}
	w := slices.Clone(h.search.rest[:h.Dim])
	norm := length(w)
	for j := range w {
		w[j] /= -norm
	}
	support, alpha := h.search.support()
	return h.certify(w, support, alpha, euclid, euclid)
}

// vectors are y_i (x_i − center) in a range that double precision likes.
func (h *hard) vectors() []Vector {
	h.center = make([]float64, h.Dim)
	if h.Intercept && h.Rows[0].Index == nil {
		for _, row := range h.Rows {
			for j, x := range row.Value {
				h.center[j] += math.Ldexp(x, h.shift) / float64(len(h.Rows))
			}
		}
	}
	out := make([]Vector, len(h.Rows))
	for i, row := range h.Rows {
		out[i] = Vector{row.Index, make([]float64, len(row.Value))}
		for k, x := range row.Value {
			x = math.Ldexp(x, h.shift)
			if row.Index == nil {
				x -= h.center[k]
			}
			out[i].Value[k] = h.sign(i) * x
		}
	}
	return out
}

// spread is the norm of the mean vector, or half the distance of the classes' means:
// the margin is no larger.
func (h *hard) spread(rows []Vector) float64 {
	count := map[float64]float64{}
	for i := range rows {
		if h.Intercept {
			count[h.sign(i)]++
		} else {
			count[h.sign(i)] = float64(len(rows))
		}
	}
	l := newNonnegative(rows, h.Dim, 0, make([]float64, h.Dim), h.ctx.Err)
	mean := make([]float64, h.Dim)
	for i := range rows {
		l.accumulate(mean, i, 1/count[h.sign(i)])
	}
	if h.Intercept {
		return length(mean) / 2
	}
	return length(mean)
}

// first begins the search, with an intercept at a row of each class.
func (h *hard) first(rows []Vector, extra float64) error {
	l := newNonnegative(rows, h.Dim, extra, make([]float64, h.Dim+1), h.ctx.Err)
	h.search = l
	if h.Intercept {
		l.side, l.anchor = h.Sign, slices.Index(h.Sign, 1)
		l.in[l.anchor] = true
	}
	h.restart(extra)
	if h.Intercept {
		for i, s := range h.Sign {
			if s < 0 && l.enter(i) {
				return nil
			}
		}
		return ErrNotSeparated
	}
	return nil
}

// restart changes the penalty on Σα and keeps the active rows.
func (h *hard) restart(extra float64) {
	l := h.search
	rows, alpha := l.passive, l.alpha
	l.extra, l.target[h.Dim] = extra, extra
	l.reset()
	for k, i := range rows {
		if l.push(i) {
			l.passive, l.alpha = append(l.passive, i), append(l.alpha, alpha[k])
		} else {
			l.in[i] = false
		}
	}
	if len(l.passive) > 0 {
		x := slices.Clone(l.projected)
		l.qr.solve(x)
		for !l.advance(x) {
			x = slices.Clone(l.projected)
			l.qr.solve(x)
		}
	}
}

// margin is ‖Σα z‖/Σα of the search.
func (h *hard) margin() float64 {
	_, alpha := h.search.support()
	sum := 0.0
	for _, a := range alpha {
		sum += a
	}
	if sum == 0 {
		return 0
	}
	return length(h.search.rest[:h.Dim]) / sum
}

// certify computes both bounds from the doubles of a direction and of weights of rows:
// own measures directions, dual points.
func (h *hard) certify(w []float64, rows []int, alpha []float64, own, dual norm) (*Margin, error) {
	m := &Margin{Direction: w}
	for _, k := range sortedBy(rows) {
		if alpha[k] > 0 {
			m.Support, m.Weights = append(m.Support, rows[k]), append(m.Weights, alpha[k])
		}
	}
	_, least := h.exponents()
	plain := *h.Points
	plain.Intercept = false
	l := lattice{&plain, least[:h.Dim]}
	h.upper(&l, m, dual)
	h.lower(&l, m, own)
	if !(m.Low > 0) {
		return nil, ErrNotSeparated
	}
	return m, nil
}

func sortedBy(rows []int) []int {
	order := make([]int, len(rows))
	for k := range order {
		order[k] = k
	}
	slices.SortFunc(order, func(a, b int) int { return rows[a] - rows[b] })
	return order
}

// upper makes the weights a convex combination and sets High from its norm.
func (h *hard) upper(l *lattice, m *Margin, size norm) {
	weights, _, _ := rational.Integers(m.Weights)
	sums := map[int8]*big.Int{1: new(big.Int), -1: new(big.Int)}
	side := func(k int) int8 {
		if !h.Intercept {
			return 1
		}
		return h.Sign[m.Support[k]]
	}
	for k, a := range weights {
		sums[side(k)].Add(sums[side(k)], a)
	}
	// Over a common denominator: the sum, or twice the product of both classes' sums.
	denominator := new(big.Int).Set(sums[1])
	if h.Intercept {
		denominator.Mul(denominator, sums[-1]).Lsh(denominator, 1)
	}
	total := make([]*big.Int, l.size())
	for j := range total {
		total[j] = new(big.Int)
	}
	n := new(big.Int)
	for k, i := range m.Support {
		a := new(big.Int).Set(weights[k])
		if h.Intercept {
			a.Mul(a, sums[-side(k)])
		}
		l.each(i, func(j int, z float64) {
			l.integer(n, j, z)
			total[j].Add(total[j], n.Mul(n, a))
		})
		m.Weights[k] = rational.Quotient(weights[k], sums[side(k)])
	}
	m.High = up(quotient(size(total, l.exp), denominator))
}

// precision of the square roots, in bits: what is lost is far below a double's.
const precision = 240

// norm is one of the vector v_j 2^exp[j].
type norm func(v []*big.Int, exp []int) *big.Float

// euclid is the root of the sum of squares.
func euclid(v []*big.Int, exp []int) *big.Float {
	sum := new(big.Float).SetPrec(precision)
	for j, x := range v {
		f := component(x, exp[j])
		sum.Add(sum, f.Mul(f, f))
	}
	return sum.Sqrt(sum)
}

// taxicab is the sum of magnitudes.
func taxicab(v []*big.Int, exp []int) *big.Float {
	sum := new(big.Float).SetPrec(precision)
	for j, x := range v {
		f := component(x, exp[j])
		sum.Add(sum, f.Abs(f))
	}
	return sum
}

// largest is the largest magnitude.
func largest(v []*big.Int, exp []int) *big.Float {
	most := new(big.Float).SetPrec(precision)
	for j, x := range v {
		if f := component(x, exp[j]); f.Abs(f).Cmp(most) > 0 {
			most = f
		}
	}
	return most
}

func component(x *big.Int, exp int) *big.Float {
	f := new(big.Float).SetPrec(precision).SetInt(x)
	return f.SetMantExp(f, exp)
}

func quotient(a *big.Float, b *big.Int) *big.Float {
	return new(big.Float).SetPrec(precision).Quo(a, new(big.Float).SetPrec(precision).SetInt(b))
}

func up(x *big.Float) float64 {
	f, _ := x.Float64()
	return math.Nextafter(f, math.Inf(1))
}

func down(x *big.Float) float64 {
	f, _ := x.Float64()
	return math.Nextafter(f, math.Inf(-1))
}

// lower sets the intercept and Low from the rows that are nearest to the hyperplane.
func (h *hard) lower(l *lattice, m *Margin, size norm) {
	v := l.integers(m.Direction, make([]int, h.Dim))
	all := make([]int, len(h.Rows))
	for i := range all {
		all[i] = i
	}
	// n_i·v = 2^low z_i·w
	low := h.power(l, m.Direction)
	length := size(v, negated(l.exp))
	var twice *big.Int
	if h.Intercept {
		classes := map[int8][]int{}
		for i, s := range h.Sign {
			classes[s] = append(classes[s], i)
		}
		plus, minus := l.least(classes[1], v), l.least(classes[-1], v)
		twice = new(big.Int).Add(plus, minus)
		b := new(big.Float).SetPrec(precision).SetInt(new(big.Int).Sub(minus, plus))
		m.Intercept, _ = b.SetMantExp(b, low-1).Float64()
	} else {
		twice = l.least(all, v)
		twice.Lsh(twice, 1)
	}
	half := new(big.Float).SetPrec(precision).SetInt(twice)
	half.SetMantExp(half, -1)
	m.Low = down(half.Quo(half, length))
}

// power is the e for which [lattice.integers] gives w·2^−e.
func (h *hard) power(l *lattice, w []float64) int {
	low := math.MaxInt
	for j, x := range w {
		if x != 0 {
			_, e := dyadic(x)
			low = min(low, e+l.exp[j])
		}
	}
	return low
}

func negated(exp []int) []int {
	out := make([]int, len(exp))
	for j, e := range exp {
		out[j] = -e
	}
	return out
}

// least is the smallest n_i·v of rows. Double precision picks those that may have it.
func (l *lattice) least(rows []int, v []*big.Int) *big.Int {
	u, trusted := l.doubles(v)
	const unit = 1.0 / (1 << 53)
	value, bound := make([]float64, len(rows)), make([]float64, len(rows))
	cut := math.Inf(1)
	for k, i := range rows {
		total, count := 0.0, 3.0
		l.each(i, func(j int, z float64) {
			t := z * u[j]
			value[k] += t
			total += math.Abs(t)
			count++
		})
		bound[k] = 1.01*count*unit*total + count*0x1p-1000
		if !trusted || !(total < math.MaxFloat64) {
			bound[k] = math.Inf(1)
		}
		cut = min(cut, value[k]+bound[k])
	}
	var least *big.Int
	for k, i := range rows {
		if bound[k] < math.Inf(1) && value[k]-bound[k] > cut {
			continue
		}
		if x := l.dot(i, v); least == nil || x.Cmp(least) < 0 {
			least = x
		}
	}
	return least
}
