package algebra

import (
	"math"
	"slices"

	"github.com/compactify/compactify/internal/kernel"
)

// Factor is the Cholesky factor L of a symmetric positive definite matrix K = L·Lᵀ
// that gains rows and columns at its end and loses single ones anywhere, as the Gram
// matrix of a set of columns does. The zero value is the factor of an empty matrix,
// computed in portable Go.
type Factor struct {
	Set kernel.Set

	rows         [][]float64 // row i holds L[i, 0..i]
	spare        [][]float64 // memory of rows that are gone, the first to be used last
	cosine, sine []float64   // rotations of Delete in progress
}

// dependent is the share of a diagonal element of K below which what the rows before
// it leave is rounding.
const dependent = 1e-13

// Order is the number of rows of K.
func (f *Factor) Order() int { return len(f.rows) }

// Reset makes K empty and keeps its memory.
func (f *Factor) Reset() {
	slices.Reverse(f.rows) // so that Row finds the shortest first
	f.spare = append(f.spare[:0], f.rows...)
	f.rows = f.rows[:0]
}

// Row is memory for n numbers, of rows that are gone if there is some: a row of a
// block for [Factor.AppendBlock].
func (f *Factor) Row(n int) []float64 {
	if last := len(f.spare) - 1; last >= 0 && cap(f.spare[last]) >= n {
		row := f.spare[last][:n]
		f.spare = f.spare[:last]
		return row
	}
	return make([]float64, n)
}

// Append adds a last row and column to K: column holds its products with the rows
// before it and, at last, with itself. It is overwritten and becomes part of the
// factor. If the row depends on those before it up to rounding, K stays as it was and
// ok is false. It takes O(order²) operations. It panics if column is shorter than
// order + 1.
func (f *Factor) Append(column []float64) (ok bool) {
	block, taken := [1][]float64{column}, [1]bool{}
	f.AppendBlock(block[:], taken[:])
	return taken[0]
}

// AppendBlock adds as many last rows to K as it can in one pass over L: block[e] holds
// the products of row e with all rows of K, then with rows 0 to e of the block itself.
// The rows are overwritten and become part of the factor. taken[e] says whether row e
// depends on none before it and became a part of K. It panics if a row has fewer
// elements than that, or there are more rows than taken.
func (f *Factor) AppendBlock(block [][]float64, taken []bool) {
	before := len(f.rows)
	for i, row := range f.rows {
		for _, z := range block {
			z[i] = (z[i] - kernel.Dot64(f.Set, row[:i], z)) / row[i]
		}
	}
	for e, z := range block {
		taken[e] = f.accept(z, before, e, taken)
	}
}

// accept finishes candidate e of a block, whose part in the first rows is solved, and
// makes it a row if it is independent. taken says which candidates before it were.
func (f *Factor) accept(z []float64, before, e int, taken []bool) bool {
	end := before
	for b := range e {
		if taken[b] {
			row := f.rows[end]
			z[end] = (z[before+b] - kernel.Dot64(f.Set, row[:end], z)) / row[end]
			end++
		}
	}
	whole := z[before+e]
	left := whole - kernel.Dot64(f.Set, z[:end], z)
	if !(left > dependent*whole) || math.IsInf(left, 1) {
		return false
	}
	z[end] = math.Sqrt(left)
	f.rows = append(f.rows, z[:end+1])
	return true
}

// Delete takes row and column k out of K in O((order − k)²) operations: the rows below
// keep what they are without column k, which rotations fold back in. It panics unless
// 0 ≤ k < order.
//
// Source: G. Golub and C. Van Loan, "Matrix Computations", 4th ed., section 6.5.4.
func (f *Factor) Delete(k int) {
	last := len(f.rows) - 1
	f.cosine, f.sine = f.cosine[:0], f.sine[:0]
	r := k + 1
	for ; r+3 <= last; r += 4 {
		f.foldFour(r, k)
	}
	for ; r <= last; r++ {
		part, v := f.moveUp(r, k)
		f.fold(part, v, 0)
	}
	f.spare = append(f.spare, f.rows[last])
	f.rows = f.rows[:last]
}

// moveUp puts row r without its element k into the memory of the row above, which it
// fills, and returns its part from there on.
func (f *Factor) moveUp(r, k int) (part []float64, taken float64) {
	from, to := f.rows[r], f.rows[r-1]
	copy(to, from[:k])
	copy(to[k:], from[k+1:])
	return to[k:], from[k]
}

// fold makes the rotations after the first done of them on a row's part and its share
// v of the deleted column, and adds the one that takes the rest of v into the diagonal.
func (f *Factor) fold(part []float64, v float64, done int) {
	last := len(part) - 1
	for j := done; j < last; j++ {
		c, s, x := f.cosine[j], f.sine[j], part[j]
		part[j], v = float64(c*x)+float64(s*v), float64(c*v)-float64(s*x)
	}
	d := part[last]
	norm := math.Hypot(d, v)
	f.cosine, f.sine = append(f.cosine, d/norm), append(f.sine, v/norm)
	part[last] = norm
}

// foldFour is fold for rows r to r+3, whose chains of dependent sums overlap.
func (f *Factor) foldFour(r, k int) {
	var part [4][]float64
	var v [4]float64
	for i := range part {
		part[i], v[i] = f.moveUp(r+i, k)
	}
	n := len(f.cosine)
	sine := f.sine[:n]
	p0, p1, p2, p3 := part[0][:n], part[1][:n], part[2][:n], part[3][:n]
	v0, v1, v2, v3 := v[0], v[1], v[2], v[3]
	for j, c := range f.cosine {
		s := sine[j]
		x0, x1, x2, x3 := p0[j], p1[j], p2[j], p3[j]
		p0[j], v0 = float64(c*x0)+float64(s*v0), float64(c*v0)-float64(s*x0)
		p1[j], v1 = float64(c*x1)+float64(s*v1), float64(c*v1)-float64(s*x1)
		p2[j], v2 = float64(c*x2)+float64(s*v2), float64(c*v2)-float64(s*x2)
		p3[j], v3 = float64(c*x3)+float64(s*v3), float64(c*v3)-float64(s*x3)
	}
	for i, rest := range [4]float64{v0, v1, v2, v3} {
		f.fold(part[i], rest, n)
	}
}

// Forward solves L·z = x in place. It panics if x is shorter than the order.
func (f *Factor) Forward(x []float64) {
	for i, row := range f.rows {
		x[i] = (x[i] - kernel.Dot64(f.Set, row[:i], x)) / row[i]
	}
}

// Solve solves K·z = x in place. It panics if x is shorter than the order.
func (f *Factor) Solve(x []float64) {
	f.Forward(x)
	for i := len(f.rows) - 1; i >= 0; i-- {
		row := f.rows[i]
		x[i] /= row[i]
		kernel.Axpy64(f.Set, x, -x[i], row[:i])
	}
}
