package rational

import "math/big"

// reconstruct finds fractions from their residues x modulo m. Numerators are below
// 2^numerator in magnitude, the least common denominator is at most 2^denominator, and
// m > 2^(numerator+denominator+1): so a fraction with those bounds that has the residue
// is the only one.
func reconstruct(x []*big.Int, m *big.Int, numerator, denominator int, limit Limit) (Fractions, error) {
	f := Fractions{make([]*big.Int, len(x)), big.NewInt(1)}
	half := new(big.Int).Rsh(m, 1)
	for i, v := range x {
		// Mostly the denominator found so far does for the next number, too.
		z := new(big.Int).Mul(v, f.Den)
		z.Mod(z, m)
		if z.Cmp(half) > 0 {
			z.Sub(z, m)
		}
		if z.BitLen() <= numerator {
			f.Num[i] = z
			continue
		}
		if err := limit.check(); err != nil {
			return Fractions{}, err
		}
		z.Mod(z, m)
		num, den := fraction(z, m, numerator)
		f.Den.Mul(f.Den, den)
		for k := range i {
			f.Num[k].Mul(f.Num[k], den)
		}
		f.Num[i] = num
	}
	if f.Den.BitLen() > denominator+1 {
		return Fractions{}, errUnlucky
	}
	return f, nil
}

// fraction is num/den ≡ x modulo m with |num| < 2^bits, den > 0, of the least
// denominator: Euclid's algorithm, stopped half-way.
//
// Source: P. S. Wang, M. J. T. Guy and J. H. Davenport, "P-adic reconstruction of
// rational numbers", SIGSAM Bulletin 16 (1982), 2–3.
func fraction(x, m *big.Int, bits int) (num, den *big.Int) {
	r0, r1 := new(big.Int).Set(m), new(big.Int).Set(x)
	t0, t1 := new(big.Int), big.NewInt(1)
	q, product := new(big.Int), new(big.Int)
	for r1.BitLen() > bits {
		q.QuoRem(r0, r1, r0)
		r0, r1 = r1, r0
		t0.Sub(t0, product.Mul(q, t1))
		t0, t1 = t1, t0
	}
	if t1.Sign() < 0 {
		r1.Neg(r1)
		t1.Neg(t1)
	}
	return r1, t1
}
