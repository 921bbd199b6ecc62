package algebra

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/internal/kernel"
)

// PivotError is a matrix that is not positive definite: what rows before leave of
// diagonal element Row is not above rounding.
type PivotError struct {
	Row   int
	Pivot float64
}

// Error implements error.
func (e *PivotError) Error() string {
	return fmt.Sprintf("cholesky: row %d: got pivot %v, want a positive number that is not rounding", e.Row+1, e.Pivot)
}

// panelWidth is how many columns of a factor are found at once; all else is matrix
// products.
const panelWidth = 64

// Cholesky overwrites the lower triangle of a symmetric matrix [n, n], element (i, j)
// at i·stride + j, with L, a = L·Lᵀ. The upper triangle is scratch. The error is a
// [*PivotError].
//
// Source: G. Golub and C. Van Loan, "Matrix Computations", 4th ed., section 4.2.6.
func Cholesky(pool *kernel.Pool, n int, a []float64, stride int) error {
	whole := make([]float64, n)
	for i := range whole {
		whole[i] = a[i*stride+i]
	}
	for lo := 0; lo < n; lo += panelWidth {
		hi := min(lo+panelWidth, n)
		if err := panel(pool, n, a, stride, lo, hi, whole); err != nil {
			return err
		}
		// What is left loses the panel's part, strip by strip up to the diagonal.
		for i := hi; i < n; i += panelWidth {
			end := min(i+panelWidth, n)
			kernel.DGEMM(pool, false, true, end-i, end-hi, hi-lo, -1, a[i*stride+lo:], stride, a[hi*stride+lo:], stride, 1, a[i*stride+hi:], stride)
		}
	}
	return nil
}

// panel finds columns [lo, hi) of L: the triangle, then the rows below it.
func panel(pool *kernel.Pool, n int, a []float64, stride, lo, hi int, whole []float64) error {
	set := pool.Set()
	solve := func(i, end int) {
		row := a[i*stride+lo : i*stride+end]
		for j := range row {
			pivot := a[(lo+j)*stride+lo:][:j+1]
			row[j] = (row[j] - kernel.Dot64(set, pivot[:j], row)) / pivot[j]
		}
	}
	for i := lo; i < hi; i++ {
		solve(i, i)
		row := a[i*stride+lo : i*stride+i]
		left := a[i*stride+i] - kernel.Dot64(set, row, row)
		if !(left > dependent*whole[i]) || math.IsInf(left, 1) {
			return &PivotError{Row: i, Pivot: left}
		}
		a[i*stride+i] = math.Sqrt(left)
	}
	const grain = 16
	return pool.For(n-hi, grain, func(_, from, to int) {
		for i := hi + from; i < hi+to; i++ {
			solve(i, hi)
		}
	})
}

// SolveCholesky solves L·Lᵀ·x = b in place for count right-hand sides: side k is
// b[k·ldb : k·ldb+n]. L is what [Cholesky] leaves.
func SolveCholesky(pool *kernel.Pool, n int, l []float64, stride, count int, b []float64, ldb int) error {
	set := pool.Set()
	return pool.For(count, 1, func(_, lo, hi int) {
		for k := lo; k < hi; k++ {
			x := b[k*ldb : k*ldb+n]
			for i := range x {
				row := l[i*stride:][:i+1]
				x[i] = (x[i] - kernel.Dot64(set, row[:i], x)) / row[i]
			}
			for i := n - 1; i >= 0; i-- {
				row := l[i*stride:][:i+1]
				x[i] /= row[i]
				kernel.Axpy64(set, x, -x[i], row[:i])
			}
		}
	})
}
