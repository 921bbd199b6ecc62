package linear

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
)

// cholesky is the factor L of a symmetric positive definite matrix K = L·Lᵀ that
// grows by appended rows and shrinks by single ones: row i holds L[i, 0..i].
type cholesky struct {
	set    kernel.Set
	rows   [][]float64
	spare  [][]float64 // memory of rows that are gone
	cosine []float64   // of the rotations of remove
	sine   []float64
}

// pivotShare is the share of a diagonal element below which what the rows before
// leave of it counts as rounding.
const pivotShare = 1e-13

// append adds rows to K: block[e] holds the products of the new row e with all rows
// before it, the earlier new ones and itself. It is overwritten, and becomes part of
// the factor. A row that depends on those before it is left out; taken says which
// were not.
func (f *cholesky) append(block [][]float64, taken []bool) {
	m := len(f.rows)
	for i, row := range f.rows {
		for _, z := range block {
			z[i] = (z[i] - kernel.Dot64(f.set, row[:i], z)) / row[i]
		}
	}
	for e, z := range block {
		at := m // where the accepted new rows have got to
		for b := range e {
			if taken[b] {
				row := f.rows[at]
				z[at] = (z[m+b] - kernel.Dot64(f.set, row[:at], z)) / row[at]
				at++
			}
		}
		whole := z[m+e]
		rest := whole - kernel.Dot64(f.set, z[:at], z)
		taken[e] = rest > pivotShare*whole
		if taken[e] {
			z[at] = math.Sqrt(rest)
			f.rows = append(f.rows, z[:at+1])
		}
	}
}

// row is memory for a row of n numbers.
func (f *cholesky) row(n int) []float64 {
	if len(f.spare) > 0 && cap(f.spare[0]) >= n {
		row := f.spare[0][:n]
		f.spare = f.spare[1:]
		return row
	}
	return make([]float64, n)
}

// clear makes K empty.
func (f *cholesky) clear() {
	f.spare = append(f.spare[:0:0], f.rows...)
	f.rows = nil
}

// forward solves L·z = x in place.
func (f *cholesky) forward(x []float64) {
	for i, row := range f.rows {
		x[i] = (x[i] - kernel.Dot64(f.set, row[:i], x)) / row[i]
	}
}

// solve solves K·z = x in place.
func (f *cholesky) solve(x []float64) {
	f.forward(x)
	for i := len(f.rows) - 1; i >= 0; i-- {
		row := f.rows[i]
		x[i] /= row[i]
		kernel.Axpy64(f.set, x, -x[i], row[:i])
	}
}

// remove takes row and column k out of K: the rows below gain k's column as a
// rank-one term, which rotations fold in.
//
// Source: G. H. Golub and C. F. Van Loan, Matrix Computations, 4th ed., 6.5.4.
func (f *cholesky) remove(k int) {
	f.cosine, f.sine = f.cosine[:0], f.sine[:0]
	rows := f.rows[k+1:]
	for len(rows) >= 4 {
		f.foldFour(rows[:4], k)
		rows = rows[4:]
	}
	for _, row := range rows {
		part, v := closed(row, k)
		f.fold(part, v, 0)
	}
	for i := k + 1; i < len(f.rows); i++ {
		f.rows[i-1] = f.rows[i][:i]
	}
	f.rows[len(f.rows)-1] = nil
	f.rows = f.rows[:len(f.rows)-1]
}

// closed closes the gap that element k leaves in a row and returns what follows it.
func closed(row []float64, k int) (rest []float64, taken float64) {
	taken = row[k]
	copy(row[k:], row[k+1:])
	return row[k : len(row)-1], taken
}

// fold makes the rotations after the first done of them on a row's part and its share
// v of the rank-one term, and adds the one that takes the rest of v into the diagonal.
func (f *cholesky) fold(part []float64, v float64, done int) {
	for j := done; j < len(f.cosine); j++ {
		c, s, x := f.cosine[j], f.sine[j], part[j]
		part[j], v = c*x+s*v, c*v-s*x
	}
	d := part[len(part)-1]
	r := math.Hypot(d, v)
	f.cosine, f.sine = append(f.cosine, d/r), append(f.sine, v/r)
	part[len(part)-1] = r
}

// foldFour is fold for four rows, whose chains of dependent sums overlap.
func (f *cholesky) foldFour(rows [][]float64, k int) {
	done := len(f.cosine)
	var part [4][]float64
	var v [4]float64
	for i, row := range rows {
		part[i], v[i] = closed(row, k)
	}
	cosine, sine := f.cosine[:done], f.sine[:done]
	a, b, c, d := part[0][:done], part[1][:done], part[2][:done], part[3][:done]
	v0, v1, v2, v3 := v[0], v[1], v[2], v[3]
	for j, p := range cosine {
		q := sine[j]
		x0, x1, x2, x3 := a[j], b[j], c[j], d[j]
		a[j], v0 = p*x0+q*v0, p*v0-q*x0
		b[j], v1 = p*x1+q*v1, p*v1-q*x1
		c[j], v2 = p*x2+q*v2, p*v2-q*x2
		d[j], v3 = p*x3+q*v3, p*v3-q*x3
	}
	for i, rest := range [4]float64{v0, v1, v2, v3} {
		f.fold(part[i], rest, done)
	}
}
