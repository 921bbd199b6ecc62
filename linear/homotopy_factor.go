package linear

import (
	"math"
	"slices"

	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/rational"
)

// activeFactor is the Cholesky factor of the Gram matrix of a support that changes.
type activeFactor struct {
	m       *floatLasso
	order   []int       // the columns in the order of the factor
	lower   [][]float64 // L, row k of length k+1
	columns map[int]activeColumn
}

// activeColumn is a column that was in a support once: x̃_j in full, so that no digits
// are lost to its mean, and its correlation with the target.
type activeColumn struct {
	x      []float64
	target float64
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
	x := f.column(j).x
	w := f.m.weighted(x)
	row := make([]float64, len(f.order)+1)
	left := kernel.Dot64(f.m.set, w, x)
	square := left
	for k, col := range f.order {
		sum := kernel.Dot64(f.m.set, w, f.columns[col].x) - kernel.Dot64(f.m.set, row[:k], f.lower[k][:k])
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

func (f *activeFactor) column(j int) activeColumn {
	if c, ok := f.columns[j]; ok {
		return c
	}
	x := make([]float64, f.m.rows)
	shift := f.m.axpy(j, 1, x)
	for i := range x {
		x[i] += shift
	}
	c := activeColumn{x, kernel.Dot64(f.m.set, f.m.weighted(x), f.m.target)}
	f.columns[j] = c
	return c
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
	u := make([]float64, len(f.order))
	at := make(map[int]int, len(support))
	for i, a := range support {
		at[a.column] = i
	}
	for k, row := range f.lower {
		u[k] = (v[at[f.order[k]]] - kernel.Dot64(f.m.set, row[:k], u[:k])) / row[k]
	}
	for k := len(f.lower) - 1; k >= 0; k-- {
		u[k] /= f.lower[k][k]
		kernel.Axpy64(f.m.set, u[:k], -u[k], f.lower[k][:k])
		v[at[f.order[k]]] = u[k]
	}
}
