package linear

import (
	"slices"

	"github.com/compactify/compactify/internal/algebra"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/rational"
)

// activeFactor is the Cholesky factor of the Gram matrix of a support that changes.
type activeFactor struct {
	m       *floatLasso
	factor  algebra.Factor
	order   []int // the columns in the order of the factor
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
			f.factor.Delete(k)
			f.order = slices.Delete(f.order, k, k+1)
		}
	}
	for _, a := range support {
		if !slices.Contains(f.order, a.column) && !f.append(a.column) {
			return rational.ErrSingular
		}
	}
	return nil
}

func (f *activeFactor) append(j int) bool {
	x := f.column(j).x
	w := f.m.weighted(x)
	products := make([]float64, 0, len(f.order)+1)
	for _, k := range f.order {
		products = append(products, kernel.Dot64(f.m.set, w, f.columns[k].x))
	}
	if !f.factor.Append(append(products, kernel.Dot64(f.m.set, w, x))) {
		return false
	}
	f.order = append(f.order, j)
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

// solve solves with the Gram matrix, in place and in the order of the support.
func (f *activeFactor) solve(support []member, v []float64) {
	at := make(map[int]int, len(support))
	for i, a := range support {
		at[a.column] = i
	}
	u := make([]float64, len(f.order))
	for k, j := range f.order {
		u[k] = v[at[j]]
	}
	f.factor.Solve(u)
	for k, j := range f.order {
		v[at[j]] = u[k]
	}
}
