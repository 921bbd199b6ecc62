package rational

import (
	"errors"
	"fmt"
	"math/big"
	"math/bits"
)

// Solver solves A x = b for one square matrix A of integers and any b.
//
// Source: J. D. Dixon, "Exact solution of linear equations using p-adic expansions",
// Numerische Mathematik 40 (1982), 137–141.
type Solver struct {
	a       *Matrix
	n       int
	limit   Limit
	field   field
	inverse []uint64 // of A modulo p, by rows
	// A + bias, bias = 2^(64·words−1), so that no element is negative: plane w holds
	// words of weight 2^(64w), by rows.
	planes      [][]uint64
	determinant int // |det A| < 2^determinant
	thinnest    int // the shortest column's norm is ≥ 2^thinnest
}

// attempts is how many primes are tried before A is suspected to be singular: a prime
// divides the determinant of another matrix by bad luck only.
const attempts = 3

// NewSolver prepares A [n, n]. The error wraps [ErrSingular] if A is, which is proved,
// and [ErrTooLarge].
func NewSolver(a *Matrix, limit Limit) (*Solver, error) {
	if a.rows != a.cols {
		return nil, fmt.Errorf("rational: solve [%d, %d]: want a square matrix", a.rows, a.cols)
	}
	n := a.rows
	what := fmt.Sprintf("solve %d equations with numbers of %d bits", n, a.Bits())
	if err := limit.allow(what, SolveWork(n, a.Bits())); err != nil {
		return nil, err
	}
	s := &Solver{a: a, n: n, limit: limit}
	s.determinant, s.thinnest = a.hadamard()
	for _, p := range primes(attempts) {
		if err := limit.check(); err != nil {
			return nil, err
		}
		s.field = field{p}
		inverse, ok := s.field.invert(a.residues(s.field), n)
		if ok {
			s.inverse = inverse
			s.planes = a.planes()
			return s, nil
		}
	}
	det, err := Determinant(a, limit)
	if err != nil {
		return nil, err
	}
	if det.Sign() == 0 {
		return nil, fmt.Errorf("%s: %w", what, ErrSingular)
	}
	return nil, fmt.Errorf("%s: %w", what, errUnlucky)
}

// errUnlucky is a failure that does not happen unless the numbers were made for it.
var errUnlucky = errors.New("several primes divide a determinant")

// SolveWork estimates the products of words that preparing and solving one system of n
// equations with coefficients of so many bits takes.
func SolveWork(n, bits int) float64 {
	size, words := float64(n), float64(bits/64+1)
	digits := 2*size*(float64(bits)+logarithm(n))/digitBits + 3
	return 2*size*size*size + digits*size*size*(words+1) + size*digits*digits/2 + 8*digits*digits
}

const digitBits = 60 // less than the logarithm of every prime used

func logarithm(n int) float64 { return float64(bits.Len(uint(n))) / 2 }

// hadamard bounds the determinant by the product of the columns' norms.
func (m *Matrix) hadamard() (determinant, thinnest int) {
	halves := 0
	for j := range m.cols {
		square, product := new(big.Int), new(big.Int)
		for i := range m.rows {
			square.Add(square, product.Mul(m.At(i, j), m.At(i, j)))
		}
		length := square.BitLen() // the norm is < 2^(length/2), ≥ 2^((length−1)/2)
		halves += length
		if j == 0 || (length-1)/2 < thinnest {
			thinnest = (length - 1) / 2
		}
	}
	return halves/2 + 1, max(0, thinnest)
}

func (m *Matrix) planes() [][]uint64 {
	words := m.Bits()/64 + 1
	planes := make([][]uint64, words)
	for w := range planes {
		planes[w] = make([]uint64, len(m.a))
	}
	limbs := make([]uint64, words)
	for i, v := range m.a {
		twos(limbs, v)
		limbs[words-1] ^= 1 << 63
		for w, x := range limbs {
			planes[w][i] = x
		}
	}
	return planes
}

// Solve returns the solution of A x = b.
func (s *Solver) Solve(b []*big.Int) (Fractions, error) {
	if len(b) != s.n {
		return Fractions{}, fmt.Errorf("rational: solve: got %d right-hand sides, want %d", len(b), s.n)
	}
	square, product := new(big.Int), new(big.Int)
	for _, v := range b {
		square.Add(square, product.Mul(v, v))
	}
	if square.Sign() == 0 {
		return zeros(s.n), nil
	}
	// By Cramer's rule a numerator is the determinant with one column exchanged for b.
	numerator := s.determinant - s.thinnest + square.BitLen()/2 + 1
	digits := (numerator+s.determinant+2)/digitBits + 1
	x, err := s.lift(b, digits)
	if err != nil {
		return Fractions{}, err
	}
	modulus := new(big.Int).Exp(new(big.Int).SetUint64(s.field.p), big.NewInt(int64(digits)), nil)
	return reconstruct(x, modulus, numerator, s.determinant, s.limit)
}

func zeros(n int) Fractions {
	f := Fractions{make([]*big.Int, n), big.NewInt(1)}
	for i := range f.Num {
		f.Num[i] = new(big.Int)
	}
	return f
}

// lift is the solution modulo p^digits.
//
// Invariant: A·(the digits so far) + p^t·rest = b, where rest keeps the length that A
// and n give it.
func (s *Solver) lift(b []*big.Int, digits int) ([]*big.Int, error) {
	n, words := s.n, len(s.planes)
	length := words + 2
	for _, v := range b {
		length = max(length, v.BitLen()/64+2)
	}
	rest := make([]uint64, n*length)
	for i, v := range b {
		twos(rest[i*length:(i+1)*length], v)
	}
	digit := make([][]uint64, n)
	for i := range digit {
		digit[i] = make([]uint64, digits)
	}
	residues, y, product := make([]uint64, n), make([]uint64, n), make([]uint64, length)
	wrap := s.field.power2(64 * length)
	for t := range digits {
		if t%64 == 0 {
			if err := s.limit.check(); err != nil {
				return nil, err
			}
		}
		for i := range n {
			residues[i] = s.field.signed(rest[i*length:(i+1)*length], wrap)
		}
		var sum, carry uint64
		for i := range n {
			y[i] = s.field.reduce(dot(s.inverse[i*n:(i+1)*n], residues))
			digit[i][t] = y[i]
			var c uint64
			sum, c = bits.Add64(sum, y[i], 0)
			carry += c
		}
		for i := range n {
			clear(product)
			for w, plane := range s.planes {
				lo, hi, top := dot(plane[i*n:(i+1)*n], y)
				add3(product[w:], lo, hi, top)
			}
			// The bias was multiplied by the sum of y.
			sub3(product[words-1:], sum<<63, sum>>1|carry<<63, carry>>1)
			r := rest[i*length : (i+1)*length]
			sub(r, product)
			s.field.divide(r)
		}
	}
	return s.assemble(digit), nil
}

// assemble is Σ_t digit[i][t]·p^t.
func (s *Solver) assemble(digit [][]uint64) []*big.Int {
	out := make([]*big.Int, len(digit))
	if len(digit) == 0 {
		return out
	}
	limbs := make([]uint64, len(digit[0])+1)
	for i, list := range digit {
		used := 0
		for t := len(list) - 1; t >= 0; t-- {
			carry := list[t]
			for k, x := range limbs[:used] {
				hi, lo := bits.Mul64(x, s.field.p)
				var c uint64
				limbs[k], c = bits.Add64(lo, carry, 0)
				carry = hi + c
			}
			if carry != 0 {
				limbs[used] = carry
				used++
			}
		}
		out[i] = unsigned(limbs[:used])
	}
	return out
}
