package rational

import (
	"math/big"
	"math/bits"
	"sync"
)

// primes are the first n primes downwards from 2^61, so that products of two residues
// are below 2^122.
func primes(n int) []uint64 {
	found.Lock()
	defer found.Unlock()
	q := uint64(1<<61 + 1)
	if len(found.list) > 0 {
		q = found.list[len(found.list)-1]
	}
	for len(found.list) < n {
		q -= 2
		if new(big.Int).SetUint64(q).ProbablyPrime(0) { // exact below 2^64
			found.list = append(found.list, q)
		}
	}
	return found.list[:n:n]
}

var found struct {
	sync.Mutex
	list []uint64
}

// field is the integers modulo a prime.
type field struct{ p uint64 }

// factor multiplies by a number that stays the same.
//
// Source: V. Shoup's method, as in D. Harvey, "Faster arithmetic for number-theoretic
// transforms", J. Symbolic Computation 60 (2014), section 2.
type factor struct{ p, f, quotient uint64 }

func (k field) factor(f uint64) factor {
	q, _ := bits.Div64(f, 0, k.p)
	return factor{k.p, f, q}
}

func (f factor) mul(x uint64) uint64 {
	hi, _ := bits.Mul64(f.quotient, x)
	r := f.f*x - hi*f.p
	if r >= f.p {
		r -= f.p
	}
	return r
}

// inverse is 1/x for x ≠ 0, by Euclid's algorithm.
func (k field) inverse(x uint64) uint64 {
	r0, r1 := k.p, x
	var t0, t1 int64 = 0, 1
	for r1 != 0 {
		q := r0 / r1
		r0, r1 = r1, r0-q*r1
		t0, t1 = t1, t0-int64(q)*t1
	}
	if t0 < 0 {
		return uint64(t0 + int64(k.p))
	}
	return uint64(t0)
}

// residue is x modulo p, in [0, p).
func (k field) residue(x *big.Int) uint64 {
	r := uint64(0)
	words := x.Bits()
	for i := len(words) - 1; i >= 0; i-- {
		if w := uint64(words[i]); bits.UintSize == 64 {
			r = bits.Rem64(r, w, k.p)
		} else {
			r = bits.Rem64(r>>32, r<<32|w, k.p)
		}
	}
	if x.Sign() < 0 && r != 0 {
		r = k.p - r
	}
	return r
}

// reduce is lo + 2^64·hi + 2^128·top modulo p.
func (k field) reduce(lo, hi, top uint64) uint64 {
	return bits.Rem64(bits.Rem64(top%k.p, hi, k.p), lo, k.p)
}

// dot is Σ a[i]·b[i] = lo + 2^64·hi + 2^128·top.
func dot(a, b []uint64) (lo, hi, top uint64) {
	b = b[:len(a)]
	for i, x := range a {
		h, l := bits.Mul64(x, b[i])
		var carry uint64
		lo, carry = bits.Add64(lo, l, 0)
		hi, carry = bits.Add64(hi, h, carry)
		top += carry
	}
	return lo, hi, top
}

// invert returns the inverse of the matrix a [n, n] of residues, or ok = false if it
// is singular modulo p. a is destroyed.
func (k field) invert(a []uint64, n int) (inverse []uint64, ok bool) {
	inverse = make([]uint64, n*n)
	for i := range n {
		inverse[i*n+i] = 1
	}
	for c := range n {
		pivot := -1
		for i := c; i < n; i++ {
			if a[i*n+c] != 0 {
				pivot = i
				break
			}
		}
		if pivot < 0 {
			return nil, false
		}
		if pivot != c {
			swap(a[pivot*n:(pivot+1)*n], a[c*n:(c+1)*n])
			swap(inverse[pivot*n:(pivot+1)*n], inverse[c*n:(c+1)*n])
		}
		row, image := a[c*n:(c+1)*n], inverse[c*n:(c+1)*n]
		f := k.factor(k.inverse(row[c]))
		f.scale(row[c:])
		f.scale(image)
		for i := range n {
			if i == c || a[i*n+c] == 0 {
				continue
			}
			f := k.factor(k.p - a[i*n+c])
			f.axpy(a[i*n+c:(i+1)*n], row[c:])
			f.axpy(inverse[i*n:(i+1)*n], image)
		}
	}
	return inverse, true
}

// echelon brings a [rows, cols], which is destroyed, to echelon form and returns the
// rows and columns of a submatrix of full rank, in the order of the pivots, and the
// determinant of that submatrix of the rows in the order in which they are listed.
func (k field) echelon(a []uint64, rows, cols int) (pivotRows, pivotCols []int, determinant uint64) {
	order := make([]int, rows)
	for i := range order {
		order[i] = i
	}
	determinant = 1
	for c := 0; c < cols && len(pivotCols) < rows; c++ {
		r := len(pivotCols)
		pivot := r
		for pivot < rows && a[pivot*cols+c] == 0 {
			pivot++
		}
		if pivot == rows {
			continue
		}
		if pivot != r {
			swap(a[pivot*cols:(pivot+1)*cols], a[r*cols:(r+1)*cols])
			order[pivot], order[r] = order[r], order[pivot]
		}
		row := a[r*cols+c : (r+1)*cols]
		determinant = k.factor(determinant).mul(row[0])
		inverse := k.factor(k.inverse(row[0]))
		for i := r + 1; i < rows; i++ {
			if x := a[i*cols+c]; x != 0 {
				k.factor(k.p-inverse.mul(x)).axpy(a[i*cols+c:(i+1)*cols], row)
			}
		}
		pivotCols = append(pivotCols, c)
	}
	return order[:len(pivotCols)], pivotCols, determinant
}

func swap(a, b []uint64) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

func (f factor) scale(v []uint64) {
	for i, x := range v {
		v[i] = f.mul(x)
	}
}

// axpy adds f·x to v.
func (f factor) axpy(v, x []uint64) {
	v = v[:len(x)]
	for i, y := range x {
		s := v[i] + f.mul(y)
		if s >= f.p {
			s -= f.p
		}
		v[i] = s
	}
}

// residues is the matrix modulo p, by rows.
func (m *Matrix) residues(k field) []uint64 {
	out := make([]uint64, len(m.a))
	for i, v := range m.a {
		out[i] = k.residue(v)
	}
	return out
}
