package linear

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/internal/kernel"
)

// design is a matrix seen through standardisation: column j is
// x̃_ij = (x_ij − center_j)/scale_j. Nothing is copied; every product is one with
// the stored column and a correction by sums.
type design struct {
	*Matrix
	pool          *kernel.Pool
	set           kernel.Set
	weights       []float64 // of the examples, summing to 1
	center, scale []float64
	squares       []float64 // Σ_i w_i x̃_ij²; 0 for a column that must stay out
	constant      []int
}

// newDesign takes the means off if there is an intercept, and divides by standard
// deviations if asked to. A constant column is left out where an intercept can do
// all that it could.
func newDesign(m *Matrix, weights []float64, o Options) (*design, error) {
	d := &design{Matrix: m, pool: o.Pool, set: kernel.Best(), weights: weights,
		center: make([]float64, m.cols), scale: make([]float64, m.cols), squares: make([]float64, m.cols)}
	if o.Pool != nil {
		d.set = o.Pool.Set()
	}
	positive := 0
	for _, w := range weights {
		if w > 0 {
			positive++
		}
	}
	constant := make([]bool, m.cols)
	failed := make([]error, m.cols)
	d.each(m.cols, func(j int) { constant[j], failed[j] = d.standardise(j, positive, o) })
	for j, err := range failed {
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", j+1, err)
		}
		if constant[j] {
			d.constant = append(d.constant, j)
		}
	}
	return d, nil
}

// standardise settles how column j is seen.
func (d *design) standardise(j, positive int, o Options) (constant bool, err error) {
	mean, variance, constant, err := d.moments(d.set, j, d.weights, positive)
	d.scale[j] = 1
	if o.Standardize && !constant {
		d.scale[j] = math.Sqrt(variance)
	}
	if o.Intercept {
		d.center[j] = mean
	} else {
		variance += mean * mean
	}
	if !constant || !o.Intercept && !o.Standardize {
		d.squares[j] = variance / (d.scale[j] * d.scale[j])
	}
	return constant, err
}

// dot is Σ_i x̃_ij v_i; sum is Σ_i v_i.
func (d *design) dot(j int, v []float64, sum float64) float64 {
	return (d.product(j, v) - d.center[j]*sum) / d.scale[j]
}

// product is Σ_i x_ij v_i.
func (d *design) product(j int, v []float64) float64 {
	if d.dense != nil {
		return kernel.Dot64(d.set, d.column(j), v)
	}
	row, value := d.entries(j)
	return sparseDot(row, value, v)
}

// axpy adds a·x̃_j to v but for a number that is the same for all rows, which it
// returns: v + shift is the whole.
func (d *design) axpy(j int, a float64, v []float64) (shift float64) {
	a /= d.scale[j]
	if d.dense != nil {
		kernel.Axpy64(d.set, v, a, d.column(j))
	} else {
		row, value := d.entries(j)
		sparseAxpy(row, value, a, v)
	}
	return -a * d.center[j]
}

// correlate sets dst[k][i] to the dot product of column cols[i] (column i if cols is
// nil) with v[k], whose sum is sums[k]. Several vectors cost one pass over the matrix.
func (d *design) correlate(dst [][]float64, cols []int32, v [][]float64, sums []float64) {
	n := d.cols
	if cols != nil {
		n = len(cols)
	}
	if d.pool == nil || d.pool.Threads() == 1 {
		d.correlatePart(dst, cols, v, sums, 0, n)
		return
	}
	d.spread(n, func(lo, hi int) { d.correlatePart(dst, cols, v, sums, lo, hi) })
}

// correlatePart does the columns at positions [lo, hi).
func (d *design) correlatePart(dst [][]float64, cols []int32, v [][]float64, sums []float64, lo, hi int) {
	at := func(i int) int {
		if cols != nil {
			return int(cols[i])
		}
		return i
	}
	if d.dense != nil {
		x := kernel.Columns64{Data: d.Matrix.dense, Rows: d.rows, Stride: d.rows, Cols: cols}
		kernel.Dots64(d.set, dst, &x, lo, hi, v)
	} else {
		for i := lo; i < hi; i++ {
			row, value := d.entries(at(i))
			for k := range v {
				dst[k][i] = sparseDot(row, value, v[k])
			}
		}
	}
	for k, sum := range sums[:len(v)] {
		for i := lo; i < hi; i++ {
			j := at(i)
			dst[k][i] = (dst[k][i] - d.center[j]*sum) / d.scale[j]
		}
	}
}

// spread runs body on parts of [0, n) on the pool; where they begin must not matter.
func (d *design) spread(n int, body func(lo, hi int)) {
	if d.pool == nil {
		body(0, n)
		return
	}
	const grain = 16 // columns
	if err := d.pool.For(n, grain, func(_, lo, hi int) { body(lo, hi) }); err != nil {
		panic(err) // a bug in a body: Fit's caller sees it as one
	}
}

// each runs body for 0 ≤ i < n on the pool; the order must not matter.
func (d *design) each(n int, body func(i int)) {
	d.spread(n, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			body(i)
		}
	})
}

// gram sets dst[a·len(b)+c] to Σ_i h_i x̃_ij x̃_ik for j = rows[a], k = cols[c]: h are
// weights of the examples, nil meaning the problem's own.
func (d *design) gram(dst []float64, rows, cols []int32, h []float64) {
	if h == nil {
		h = d.weights
	}
	d.spread(len(rows), func(lo, hi int) {
		for a := lo; a < hi; a++ {
			d.gramRow(dst[a*len(cols):][:len(cols)], int(rows[a]), cols, h)
		}
	})
}

func (d *design) gramRow(dst []float64, j int, cols []int32, h []float64) {
	column := make([]float64, d.rows)
	shift := d.axpy(j, 1, column)
	sum := 0.0
	for i := range column {
		column[i] = (column[i] + shift) * h[i]
		sum += column[i]
	}
	for c, k := range cols {
		dst[c] = d.dot(int(k), column, sum)
	}
}
