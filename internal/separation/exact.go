package separation

import (
	"math"
	"math/big"
	"math/bits"
	"slices"
)

// dyadic is x = m·2^e with m odd, for finite x ≠ 0.
func dyadic(x float64) (m int64, e int) {
	frac, e := math.Frexp(x)
	m = int64(frac * (1 << 53))
	zeros := bits.TrailingZeros64(uint64(m))
	return m >> zeros, e - 53 + zeros
}

// lattice sees the vectors z_i as vectors n_i of integers: coordinate j of z is
// n·2^exp[j]. A direction with coordinates v of integers stands for u_j = v_j·2^−exp[j],
// so that z_i·u = n_i·v.
type lattice struct {
	*Points
	exp []int
}

// vector is n_i.
func (l *lattice) vector(i int) []*big.Int {
	out := make([]*big.Int, l.size())
	for j := range out {
		out[j] = new(big.Int)
	}
	l.each(i, func(j int, z float64) { l.integer(out[j], j, z) })
	return out
}

// integer sets n to coordinate j of n_i for z there.
func (l *lattice) integer(n *big.Int, j int, z float64) {
	m, e := dyadic(z)
	n.SetInt64(m)
	n.Lsh(n, uint(e-l.exp[j]))
}

// sum is Σ n_i over rows.
func (l *lattice) sum(rows []int) []*big.Int {
	out := make([]*big.Int, l.size())
	for j := range out {
		out[j] = new(big.Int)
	}
	n := new(big.Int)
	small := make([]int64, l.size()) // sums of small integers, to be added at the end
	for _, i := range rows {
		l.each(i, func(j int, z float64) {
			m, e := dyadic(z)
			if shift := e - l.exp[j]; shift < 8 && m < 1<<20 && m > -1<<20 {
				small[j] += m << shift // |sum| < 2^28 · rows
				return
			}
			l.integer(n, j, z)
			out[j].Add(out[j], n)
		})
	}
	for j, s := range small {
		out[j].Add(out[j], n.SetInt64(s))
	}
	return out
}

// dot is n_i·v.
func (l *lattice) dot(i int, v []*big.Int) *big.Int {
	sum, n := new(big.Int), new(big.Int)
	l.each(i, func(j int, z float64) {
		if v[j].Sign() != 0 {
			l.integer(n, j, z)
			sum.Add(sum, n.Mul(n, v[j]))
		}
	})
	return sum
}

// signs are those of n_i·v for rows. Most are settled by double precision and a bound
// of its rounding errors: with u the unit of rounding, a sum of k products of numbers
// of which one had an error of u each is off by less than (k+3)u Σ|terms|.
func (l *lattice) signs(rows []int, v []*big.Int) []int8 {
	u, trusted := l.doubles(v)
	out := make([]int8, len(rows))
	const unit = 1.0 / (1 << 53)
	for k, i := range rows {
		sum, total, count := 0.0, 0.0, 3.0
		if trusted {
			l.each(i, func(j int, z float64) {
				t := z * u[j]
				sum += t
				total += math.Abs(t)
				count++
			})
		}
		// What is below the least normal number may have lost all its digits.
		if bound := 1.01*count*unit*total + count*0x1p-1000; trusted && math.Abs(sum) > bound && total < math.MaxFloat64 {
			out[k] = int8(math.Copysign(1, sum))
			continue
		}
		out[k] = int8(l.dot(i, v).Sign())
	}
	return out
}

// doubles are the nearest ones to u_j = v_j 2^−exp[j], scaled by a common power of 2 so
// that the largest is about 1; trusted says that none was lost to the range of
// exponents.
func (l *lattice) doubles(v []*big.Int) (u []float64, trusted bool) {
	top := math.MinInt
	for j, x := range v {
		if x.Sign() != 0 {
			top = max(top, x.BitLen()-l.exp[j])
		}
	}
	u, trusted = make([]float64, len(v)), true
	for j, x := range v {
		if x.Sign() == 0 {
			continue
		}
		f := new(big.Float).SetInt(x)
		f.SetMantExp(f, -l.exp[j]-top)
		u[j], _ = f.Float64()
		trusted = trusted && math.Abs(u[j]) > 0x1p-900
	}
	return u, trusted
}

// round is the direction of the doubles w_j·2^−scale[j], each rounded to digits binary
// digits of the largest.
func (l *lattice) round(w []float64, scale []int, digits int) []*big.Int {
	largest := 0.0
	for _, x := range w {
		largest = max(largest, math.Abs(x))
	}
	_, top := math.Frexp(largest)
	rounded := make([]float64, len(w))
	for j, x := range w {
		rounded[j] = math.RoundToEven(math.Ldexp(x, digits-top))
	}
	return l.integers(rounded, scale)
}

// integers is the direction of the doubles w_j·2^−scale[j].
func (l *lattice) integers(w []float64, scale []int) []*big.Int {
	out := make([]*big.Int, len(w))
	low := math.MaxInt
	shift := make([]int, len(w))
	for j, x := range w {
		out[j] = new(big.Int)
		if x == 0 {
			continue
		}
		odd, e := dyadic(x)
		out[j].SetInt64(odd)
		shift[j] = e + l.exp[j] - scale[j]
		low = min(low, shift[j])
	}
	for j, x := range out {
		if x.Sign() != 0 {
			x.Lsh(x, uint(shift[j]-low))
		}
	}
	return out
}

// primitive takes common factors out.
func primitive(v []*big.Int) []*big.Int {
	g := new(big.Int)
	for _, x := range v {
		if x.Sign() != 0 {
			g.GCD(nil, nil, g, new(big.Int).Abs(x))
		}
	}
	if g.Sign() == 0 {
		return v
	}
	out := make([]*big.Int, len(v))
	for j, x := range v {
		out[j] = new(big.Int).Quo(x, g)
	}
	return out
}

// fractions are u_j = v_j·2^−exp[j].
func (l *lattice) fractions(v []*big.Int) []*big.Rat {
	out := make([]*big.Rat, len(v))
	for j, x := range v {
		num, den := new(big.Int).Set(x), big.NewInt(1)
		if l.exp[j] < 0 {
			num.Lsh(num, uint(-l.exp[j]))
		} else {
			den.Lsh(den, uint(l.exp[j]))
		}
		out[j] = new(big.Rat).SetFrac(num, den)
	}
	return out
}

// partition splits rows by signs, which must not be negative.
func partition(rows []int, signs []int8) (positive, zero []int, ok bool) {
	if slices.Contains(signs, -1) {
		return nil, nil, false
	}
	for k, i := range rows {
		if signs[k] > 0 {
			positive = append(positive, i)
		} else {
			zero = append(zero, i)
		}
	}
	return positive, zero, true
}
