package linear

import (
	"math"
	"slices"

	"github.com/compactify/compactify/internal/rational"
)

// activeFactor is the Cholesky factor of the Gram matrix of a support that changes.
type activeFactor struct {
	m       *floatLasso
	order   []int             // the columns in the order of the factor
	lower   [][]float64       // L, row k of length k+1
	columns map[int][]float64 // x̃_j of every column that was ever in
}

// set brings the factor to a support. The error wraps rational.ErrSingular.
func (f *activeFactor) set(support []member) error {
	for k := len(f.order) - 1; k >= 0; k-- {
		if !slices.ContainsFunc(support, func(a member) bool { return a.column == f.order[k] }) {
			f.remove(k)
		}
	}
	for _, a := range support {
		if !slices.Contains(f.order, a.column) && !f.append(a.column) {
			return rational.ErrSingular
		}
	}
	return nil
}

// dependent is the share of a column's norm that must be left outside of the span of
// the others, squared.
const dependent = 1e-13

func (f *activeFactor) append(j int) bool {
	x := f.columns[j]
	if x == nil {
		x = make([]float64, f.m.rows)
		shift := f.m.axpy(j, 1, x)
		for i := range x {
			x[i] += shift
		}
		f.columns[j] = x
	}
	w := f.m.weighted(x)
	row := make([]float64, len(f.order)+1)
	left := 0.0
	for i := range x {
		left += w[i] * x[i]
	}
	square := left
	for k, col := range f.order {
		sum := 0.0
		for i, v := range f.columns[col] {
			sum += w[i] * v
		}
		for i := range k {
			sum -= row[i] * f.lower[k][i]
		}
		row[k] = sum / f.lower[k][k]
		left -= row[k] * row[k]
	}
	if !(left > dependent*square) {
		return false
	}
	row[len(f.order)] = math.Sqrt(left)
	f.order, f.lower = append(f.order, j), append(f.lower, row)
	return true
}

// remove takes out row k; rotations bring the rows below back to triangular form.
func (f *activeFactor) remove(k int) {
	f.order = slices.Delete(f.order, k, k+1)
	f.lower = slices.Delete(f.lower, k, k+1)
	for r := k; r < len(f.lower); r++ {
		a, b := f.lower[r][r], f.lower[r][r+1]
		norm := math.Hypot(a, b)
		c, s := a/norm, b/norm
		for _, row := range f.lower[r:] {
			x, y := row[r], row[r+1]
			row[r], row[r+1] = c*x+s*y, c*y-s*x
		}
		f.lower[r] = f.lower[r][:r+1]
	}
}

// solve solves with the Gram matrix, in place and in the order of the support.
func (f *activeFactor) solve(support []member, v []float64) {
	at := make([]int, len(f.order)) // where in v
	for k, col := range f.order {
		at[k] = slices.IndexFunc(support, func(a member) bool { return a.column == col })
	}
	for k, row := range f.lower {
		for i := range k {
			v[at[k]] -= row[i] * v[at[i]]
		}
		v[at[k]] /= row[k]
	}
	for k := len(f.lower) - 1; k >= 0; k-- {
		v[at[k]] /= f.lower[k][k]
		for i := range k {
			v[at[i]] -= f.lower[k][i] * v[at[k]]
		}
	}
}
