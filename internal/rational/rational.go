// Package rational is exact linear algebra over the rational numbers, for checking
// what was computed in floating point.
//
// A float64 is an integer times a power of 2, so a system with such coefficients is,
// after scaling its rows, one over the integers. A [Solver] solves it by p-adic
// lifting: one inverse modulo a prime of 61 bits, then digits of the solution at the
// price of a product of a matrix and a vector each. [Solve], [Rank] and [Determinant]
// build on that and on elimination modulo primes; what they return is proved, never
// only likely.
//
// The length of the numbers grows with the size of a system, so every function that
// may take long estimates its work before it begins and refuses what is beyond a
// [Limit], and asks now and then whether to go on.
package rational

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/bits"
)

var (
	// ErrSingular is a square system without a unique solution.
	ErrSingular = errors.New("singular")
	// ErrInconsistent is a system without a solution.
	ErrInconsistent = errors.New("no solution")
	// ErrTooLarge is work beyond the limit; see [Limit].
	ErrTooLarge = errors.New("too large for exact arithmetic")
	// ErrNotFinite is a NaN or an infinity, which no rational number is.
	ErrNotFinite = errors.New("not a finite number")
)

// Limit bounds a computation. The zero value allows [DefaultWork] and is never asked
// to stop.
type Limit struct {
	// Work is how many products of 64-bit words are allowed, by the estimate; 0 means
	// DefaultWork. A core does about 5e8 in a second.
	Work float64
	// Check is called now and then; its error ends the work and is returned.
	Check func() error
}

// DefaultWork is about a minute's.
const DefaultWork = 3e10

func (l Limit) allow(what string, work float64) error {
	limit := l.Work
	if limit == 0 {
		limit = DefaultWork
	}
	if work > limit {
		return fmt.Errorf("%s: %w: got about %.2g products of words, want at most %.2g", what, ErrTooLarge, work, limit)
	}
	return nil
}

func (l Limit) check() error {
	if l.Check == nil {
		return nil
	}
	return l.Check()
}

// FromFloat is x as a fraction.
func FromFloat(x float64) (*big.Rat, error) {
	r := new(big.Rat).SetFloat64(x)
	if r == nil {
		return nil, fmt.Errorf("rational: got %v: %w", x, ErrNotFinite)
	}
	return r, nil
}

// Integers writes every x as a multiple of the same power of 2, the largest possible:
//
//	x[i] = out[i] · 2^exp
//
// exp is 0 if all x are 0. The numbers out are as long as the range of the exponents
// in x makes them: at most 2098 bits.
func Integers(x []float64) (out []*big.Int, exp int, err error) {
	exp = math.MaxInt
	for i, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, 0, fmt.Errorf("rational: number %d: got %v: %w", i+1, v, ErrNotFinite)
		}
		if v != 0 {
			_, e := split(v)
			exp = min(exp, e)
		}
	}
	if exp == math.MaxInt {
		exp = 0
	}
	out = make([]*big.Int, len(x))
	numbers := make([]big.Int, len(x))
	for i, v := range x {
		out[i] = &numbers[i]
		if v != 0 {
			m, e := split(v)
			out[i].SetInt64(m)
			out[i].Lsh(out[i], uint(e-exp))
		}
	}
	return out, exp, nil
}

// Short is [Integers] for numbers that come out shorter than 2^62 in magnitude; ok is
// false if one does not, or is not finite.
func Short(x []float64) (out []int64, exp int, ok bool) {
	exp = math.MaxInt
	top := math.MinInt
	for _, v := range x {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil, 0, false
		}
		if v != 0 {
			m, e := split(v)
			exp = min(exp, e)
			top = max(top, e+bits.Len64(uint64(max(m, -m))))
		}
	}
	if exp == math.MaxInt {
		return make([]int64, len(x)), 0, true
	}
	if top-exp > 62 {
		return nil, 0, false
	}
	out = make([]int64, len(x))
	for i, v := range x {
		if v != 0 {
			m, e := split(v)
			out[i] = m << (e - exp)
		}
	}
	return out, exp, true
}

// split is x = m·2^e with m odd, for finite x ≠ 0.
func split(x float64) (m int64, e int) {
	frac, e := math.Frexp(x)
	m = int64(frac * (1 << 53))
	zeros := bits.TrailingZeros64(uint64(m))
	return m >> zeros, e - 53 + zeros
}

// Fractions are numbers over a common denominator: Num[i]/Den, Den > 0.
type Fractions struct {
	Num []*big.Int
	Den *big.Int
}

// Len is how many there are.
func (f Fractions) Len() int { return len(f.Num) }

// Rat is number i in lowest terms.
func (f Fractions) Rat(i int) *big.Rat { return new(big.Rat).SetFrac(f.Num[i], f.Den) }

// Float is the float64 nearest to number i.
func (f Fractions) Float(i int) float64 { return Quotient(f.Num[i], f.Den) }

// Sign is -1, 0 or 1, the sign of number i.
func (f Fractions) Sign(i int) int { return f.Num[i].Sign() }

// FromFloats are floating-point numbers as fractions.
func FromFloats(x []float64) (Fractions, error) {
	num, exp, err := Integers(x)
	if err != nil {
		return Fractions{}, err
	}
	den := big.NewInt(1)
	if exp < 0 {
		den.Lsh(den, uint(-exp))
	} else {
		for _, n := range num {
			n.Lsh(n, uint(exp))
		}
	}
	return Fractions{num, den}, nil
}

// FromRats brings fractions to a common denominator.
func FromRats(x []*big.Rat) Fractions {
	den := big.NewInt(1)
	for _, r := range x {
		den = lcm(den, r.Denom())
	}
	num := make([]*big.Int, len(x))
	for i, r := range x {
		num[i] = new(big.Int).Quo(den, r.Denom())
		num[i].Mul(num[i], r.Num())
	}
	return Fractions{num, den}
}

// Dot is Σ a[i]·x[i].
func Dot(a []float64, x Fractions) (*big.Rat, error) {
	if len(a) != x.Len() {
		return nil, fmt.Errorf("rational: dot product: got %d and %d numbers, want as many", len(a), x.Len())
	}
	num, exp, err := Integers(a)
	if err != nil {
		return nil, err
	}
	return scaled(new(big.Rat).SetFrac(DotInts(num, x.Num), x.Den), exp), nil
}

// DotInts is Σ a[i]·b[i].
func DotInts(a, b []*big.Int) *big.Int {
	sum, product := new(big.Int), new(big.Int)
	for i := range a {
		if a[i].Sign() != 0 && b[i].Sign() != 0 {
			sum.Add(sum, product.Mul(a[i], b[i]))
		}
	}
	return sum
}

// Scale is x·2^exp.
func Scale(x *big.Rat, exp int) *big.Rat { return scaled(new(big.Rat).Set(x), exp) }

func scaled(x *big.Rat, exp int) *big.Rat {
	switch {
	case exp > 0:
		return x.SetFrac(new(big.Int).Lsh(x.Num(), uint(exp)), x.Denom())
	case exp < 0:
		return x.SetFrac(x.Num(), new(big.Int).Lsh(x.Denom(), uint(-exp)))
	}
	return x
}

// Quotient is the float64 nearest to a/b, b ≠ 0. Unlike a [big.Rat] it takes no common
// factors out first.
func Quotient(a, b *big.Int) float64 {
	if a.Sign() == 0 {
		return 0
	}
	const digits = 66 // of the quotient at least, the last one to tell a tie from more
	shift := max(0, digits-(a.BitLen()-b.BitLen()))
	q, r := new(big.Int).QuoRem(new(big.Int).Lsh(a, uint(shift)), b, new(big.Int))
	minus := a.Sign() != b.Sign()
	q.Abs(q)
	if r.Sign() != 0 {
		// An even magnitude was rounded down; the odd one beyond is on the same side of
		// every tie.
		q.SetBit(q, 0, 1)
	}
	if minus {
		q.Neg(q)
	}
	f, _ := new(big.Float).SetMantExp(new(big.Float).SetInt(q), -shift).Float64()
	return f
}

// Up is the least float64 that is at least x.
func Up(x *big.Rat) float64 {
	f, exact := x.Float64()
	if exact || math.IsInf(f, 1) {
		return f
	}
	if math.IsInf(f, -1) {
		return -math.MaxFloat64
	}
	if new(big.Rat).SetFloat64(f).Cmp(x) < 0 {
		f = math.Nextafter(f, math.Inf(1))
	}
	return f
}

// Down is the greatest float64 that is at most x.
func Down(x *big.Rat) float64 { return -Up(new(big.Rat).Neg(x)) }

func lcm(a, b *big.Int) *big.Int {
	g := new(big.Int).GCD(nil, nil, a, b)
	g.Quo(b, g)
	return g.Mul(g, a)
}
