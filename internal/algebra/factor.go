package algebra

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/internal/kernel"
)

// Factor is the Cholesky factor L of a symmetric positive definite matrix K = L·Lᵀ
// that gains and loses rows and columns, as the Gram matrix of a set of columns does.
// The zero value is the factor of an empty matrix, computed in portable Go.
//
// L lies in one slice that doubles when it is full and is kept for reuse.
type Factor struct {
	Set kernel.Set

	order  int
	stride int
	lower  []float64 // row i is lower[i·stride : i·stride+i+1]
	// Rotations of Delete in progress.
	cosine, sine []float64
}

// dependent is the share of a diagonal element of K below which what the rows before
// it leave is rounding.
const dependent = 1e-13

// Order is the number of rows of K.
func (f *Factor) Order() int { return f.order }

// Reset makes K empty.
func (f *Factor) Reset() { f.order = 0 }

func (f *Factor) row(i int) []float64 { return f.lower[i*f.stride:][:i+1] }

// grow makes room for rows.
func (f *Factor) grow(rows int) {
	if rows <= f.stride {
		return
	}
	stride := max(8, rows, 2*f.stride)
	lower := make([]float64, stride*stride)
	for i := range f.order {
		copy(lower[i*stride:], f.row(i))
	}
	f.stride, f.lower = stride, lower
}

// Append adds a last row and column to K: column holds its products with the rows
// before it and, at last, with itself. If the row depends on those before it up to
// rounding, K stays as it was and ok is false. It takes O(order²) operations. It
// panics if column does not have order + 1 elements.
func (f *Factor) Append(column []float64) (ok bool) {
	block, taken := [1][]float64{column}, [1]bool{}
	f.AppendBlock(block[:], taken[:])
	return taken[0]
}

// AppendBlock adds as many last rows to K as it can in one pass over L: block[e] holds
// the products of row e with all rows of K, then with rows 0 to e of the block itself.
// taken[e] says whether row e depends on none before it and became a part of K. It
// panics if a row does not have that many elements, or there are more rows than taken.
func (f *Factor) AppendBlock(block [][]float64, taken []bool) {
	before := f.order
	f.grow(before + len(block))
	for e, row := range block {
		if len(row) != before+e+1 {
			panic(fmt.Sprintf("algebra: row %d of a block for a factor of order %d: got %d elements, want %d", e, before, len(row), before+e+1))
		}
		copy(f.row(before+e), row)
	}
	for i := range before {
		row := f.row(i)
		for e := range block {
			z := f.row(before + e)
			z[i] = (z[i] - kernel.Dot64(f.Set, row[:i], z)) / row[i]
		}
	}
	for e := range block {
		taken[e] = f.accept(before, before+e, taken[:e])
	}
}

// accept finishes the candidate that lies in row at, whose part in the first rows is
// solved, and makes it row order if it is independent. taken says which candidates
// before it were.
func (f *Factor) accept(before, at int, taken []bool) bool {
	z := f.row(at)
	end := before
	for b, ok := range taken {
		if ok {
			row := f.row(end)
			z[end] = (z[before+b] - kernel.Dot64(f.Set, row[:end], z)) / row[end]
			end++
		}
	}
	whole := z[at]
	left := whole - kernel.Dot64(f.Set, z[:end], z)
	if !(left > dependent*whole) || math.IsInf(left, 1) {
		return false
	}
	row := f.row(end)
	copy(row, z[:end])
	row[end] = math.Sqrt(left)
	f.order++
	return true
}

// Delete takes row and column i out of K in O((order − i)²) operations: the rows below
// keep what they are without column i, which rotations fold back in. It panics unless
// 0 ≤ i < order.
//
// Source: G. Golub and C. Van Loan, "Matrix Computations", 4th ed., section 6.5.4.
func (f *Factor) Delete(i int) {
	if i < 0 || i >= f.order {
		panic(fmt.Sprintf("algebra: delete row %d of a factor of order %d", i, f.order))
	}
	f.cosine, f.sine = f.cosine[:0], f.sine[:0]
	r := i + 1
	for ; r+4 <= f.order; r += 4 {
		f.foldFour(r, i)
	}
	for ; r < f.order; r++ {
		part, v := f.moveUp(r, i)
		f.fold(part, v, 0)
	}
	f.order--
}

// moveUp puts row r one up without its element i, and returns its part from there on.
func (f *Factor) moveUp(r, i int) (part []float64, taken float64) {
	from, to := f.row(r), f.row(r-1)
	taken = from[i]
	copy(to, from[:i])
	copy(to[i:], from[i+1:])
	return to[i:], taken
}

// fold makes the rotations from number done on of a row's part and its share v of the
// deleted column, and adds the one that takes the rest of v into the diagonal.
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
func (f *Factor) foldFour(r, i int) {
	var part [4][]float64
	var v [4]float64
	for k := range part {
		part[k], v[k] = f.moveUp(r+k, i)
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
	for k, rest := range [4]float64{v0, v1, v2, v3} {
		f.fold(part[k], rest, n)
	}
}

// Forward solves L·z = x in place. It panics if x is shorter than the order.
func (f *Factor) Forward(x []float64) {
	for i := range f.order {
		row := f.row(i)
		x[i] = (x[i] - kernel.Dot64(f.Set, row[:i], x)) / row[i]
	}
}

// Backward solves Lᵀ·z = x in place. It panics if x is shorter than the order.
func (f *Factor) Backward(x []float64) {
	for i := f.order - 1; i >= 0; i-- {
		row := f.row(i)
		x[i] /= row[i]
		kernel.Axpy64(f.Set, x, -x[i], row[:i])
	}
}

// Solve solves K·dst = rhs; dst may be rhs. It panics if one is shorter than the order.
func (f *Factor) Solve(dst, rhs []float64) {
	copy(dst, rhs[:f.order])
	f.Forward(dst)
	f.Backward(dst)
}
