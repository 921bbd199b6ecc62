package rational

import (
	"fmt"
	"math/big"
)

// Solve returns a solution of A x = b, for A [m, n] of any rank: unknowns that do not
// matter are 0. If there is none the error wraps [ErrInconsistent], and witness is a
// vector with witnessᵀA = 0 and witnessᵀb ≠ 0, which proves it.
func Solve(a *Matrix, b []*big.Int, limit Limit) (x, witness Fractions, err error) {
	if len(b) != a.rows {
		return x, witness, fmt.Errorf("rational: solve [%d, %d]: got %d right-hand sides, want %d", a.rows, a.cols, len(b), a.rows)
	}
	work := float64(a.rows) * float64(a.cols) * float64(min(a.rows, a.cols))
	if err := limit.allow(fmt.Sprintf("eliminate [%d, %d]", a.rows, a.cols), work); err != nil {
		return x, witness, err
	}
	for _, p := range primes(attempts) {
		k := field{p}
		rows, cols, _ := k.echelon(a.residues(k), a.rows, a.cols)
		core := a.sub(rows, cols)
		s, err := NewSolver(core, limit)
		if err != nil {
			return x, witness, err
		}
		part, err := s.Solve(pick(b, rows))
		if err != nil {
			return x, witness, err
		}
		x = part.spread(cols, a.cols)
		failed := failing(a.Residual(x, b))
		if failed < 0 {
			return x, Fractions{}, nil
		}
		witness, err = dependence(a, core, rows, cols, failed, limit)
		if err != nil {
			return Fractions{}, Fractions{}, err
		}
		if failing(a.Transpose().Residual(witness, zeros(a.cols).Num)) < 0 {
			return Fractions{}, witness, fmt.Errorf("rational: solve [%d, %d]: %w", a.rows, a.cols, ErrInconsistent)
		}
		// The rank is larger than modulo this prime.
	}
	return Fractions{}, Fractions{}, fmt.Errorf("rational: solve [%d, %d]: %w", a.rows, a.cols, errUnlucky)
}

// SolveFloats is [Solve] for floating-point numbers, A by rows.
func SolveFloats(rows, cols int, a, b []float64, limit Limit) (x, witness Fractions, err error) {
	if len(b) != rows || len(a) != rows*cols {
		return x, witness, fmt.Errorf("rational: solve [%d, %d]: got %d coefficients and %d right-hand sides", rows, cols, len(a), len(b))
	}
	whole := make([]float64, 0, rows*(cols+1))
	for i := range rows {
		whole = append(append(whole, a[i*cols:(i+1)*cols]...), b[i])
	}
	m, exp, err := MatrixFromFloats(rows, cols+1, whole)
	if err != nil {
		return x, witness, err
	}
	var left, right []*big.Int
	for i := range rows {
		left = append(left, m.Row(i)[:cols]...)
		right = append(right, m.At(i, cols))
	}
	x, witness, err = Solve(&Matrix{rows, cols, left}, right, limit)
	if witness.Den == nil {
		return x, witness, err
	}
	// Row i was divided by 2^exp[i]: its weight in the witness is to be, too.
	scaled := make([]*big.Rat, rows)
	for i := range scaled {
		scaled[i] = Scale(witness.Rat(i), -exp[i])
	}
	return x, FromRats(scaled), err
}

// dependence is the combination of row failed with the pivot rows that vanishes in the
// pivot columns.
func dependence(a, core *Matrix, rows, cols []int, failed int, limit Limit) (Fractions, error) {
	s, err := NewSolver(core.Transpose(), limit)
	if err != nil {
		return Fractions{}, err
	}
	right := pick(a.Row(failed), cols)
	part, err := s.Solve(right)
	if err != nil {
		return Fractions{}, err
	}
	z := part.spread(rows, a.rows)
	z.Num[failed] = new(big.Int).Neg(z.Den)
	return z, nil
}

// Rank is the rank of A.
func Rank(a *Matrix, limit Limit) (int, error) {
	basis, err := Independent(a, limit)
	return len(basis), err
}

// Independent are columns of A, ascending, that are independent and of which all others
// are combinations.
func Independent(a *Matrix, limit Limit) ([]int, error) {
	work := float64(a.rows) * float64(a.cols) * float64(min(a.rows, a.cols))
	if err := limit.allow(fmt.Sprintf("rank of [%d, %d]", a.rows, a.cols), work); err != nil {
		return nil, err
	}
	for _, p := range primes(attempts) {
		k := field{p}
		rows, cols, _ := k.echelon(a.residues(k), a.rows, a.cols)
		ok, err := spans(a, rows, cols, limit)
		if ok || err != nil {
			return cols, err
		}
	}
	return nil, fmt.Errorf("rational: rank of [%d, %d]: %w", a.rows, a.cols, errUnlucky)
}

// spans reports whether all rows are combinations of the given ones, whose submatrix
// with the given columns is regular modulo a prime and so over the rationals.
func spans(a *Matrix, rows, cols []int, limit Limit) (bool, error) {
	if len(rows) == a.rows || len(cols) == a.cols {
		return true, nil
	}
	in := make([]bool, a.rows)
	for _, i := range rows {
		in[i] = true
	}
	s, err := NewSolver(a.sub(rows, cols).Transpose(), limit)
	if err != nil {
		return false, err
	}
	across := a.sub(rows, all(a.cols)).Transpose()
	for i := range a.rows {
		if in[i] {
			continue
		}
		z, err := s.Solve(pick(a.Row(i), cols))
		if err != nil {
			return false, err
		}
		if !across.Solves(z, a.Row(i)) {
			return false, nil
		}
	}
	return true, nil
}

// Determinant is det A, from its residues modulo as many primes as Hadamard's bound
// asks for.
func Determinant(a *Matrix, limit Limit) (*big.Int, error) {
	if a.rows != a.cols {
		return nil, fmt.Errorf("rational: determinant [%d, %d]: want a square matrix", a.rows, a.cols)
	}
	length, _ := a.hadamard()
	count := (length+1)/digitBits + 1
	n := float64(a.rows)
	what := fmt.Sprintf("determinant of %d rows with numbers of %d bits", a.rows, a.Bits())
	if err := limit.allow(what, float64(count)*n*n*(n+float64(a.Bits()/64+1))); err != nil {
		return nil, err
	}
	det, modulus := new(big.Int), big.NewInt(1)
	for _, p := range primes(count) {
		if err := limit.check(); err != nil {
			return nil, err
		}
		k := field{p}
		rows, cols, residue := k.echelon(a.residues(k), a.rows, a.cols)
		switch {
		case len(cols) < a.rows:
			residue = 0
		case odd(rows) && residue != 0:
			residue = p - residue
		}
		// Garner's step: det + modulus·((residue − det)/modulus mod p).
		step := k.factor(k.inverse(k.residue(modulus))).mul((residue + p - k.residue(det)) % p)
		det.Add(det, new(big.Int).Mul(modulus, new(big.Int).SetUint64(step)))
		modulus.Mul(modulus, new(big.Int).SetUint64(p))
	}
	if det.Cmp(new(big.Int).Rsh(modulus, 1)) > 0 {
		det.Sub(det, modulus)
	}
	return det, nil
}

// odd reports whether a permutation is.
func odd(order []int) bool {
	seen, swaps := make([]bool, len(order)), 0
	for i := range order {
		for j := order[i]; !seen[i] && j != i; j = order[j] {
			seen[j] = true
			swaps++
		}
	}
	return swaps%2 == 1
}

// sub is the submatrix of rows and columns; it shares the numbers.
func (m *Matrix) sub(rows, cols []int) *Matrix {
	out := &Matrix{len(rows), len(cols), make([]*big.Int, 0, len(rows)*len(cols))}
	for _, i := range rows {
		out.a = append(out.a, pick(m.Row(i), cols)...)
	}
	return out
}

func pick(v []*big.Int, at []int) []*big.Int {
	out := make([]*big.Int, len(at))
	for k, i := range at {
		out[k] = v[i]
	}
	return out
}

// spread puts number k at position at[k] among n, the others being 0.
func (f Fractions) spread(at []int, n int) Fractions {
	out := zeros(n)
	out.Den = f.Den
	for k, i := range at {
		out.Num[i] = f.Num[k]
	}
	return out
}

func all(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i
	}
	return out
}

// failing is the first number that is not 0, or -1.
func failing(v []*big.Int) int {
	for i, x := range v {
		if x.Sign() != 0 {
			return i
		}
	}
	return -1
}
