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
	weights       []float64 // of the examples, summing to 1
	center, scale []float64
	squares       []float64 // Σ_i w_i x̃_ij²; 0 for a column that must stay out
	constant      []int
}

// newDesign takes the means off if there is an intercept, and divides by standard
// deviations if asked to. A constant column is left out where an intercept can do
// all that it could.
func newDesign(m *Matrix, weights []float64, o Options) (*design, error) {
	d := &design{Matrix: m, pool: o.Pool, weights: weights,
		center: make([]float64, m.cols), scale: make([]float64, m.cols), squares: make([]float64, m.cols)}
	for j := range m.cols {
		mean, variance, constant, err := m.moments(j, weights)
		if err != nil {
			return nil, fmt.Errorf("column %d: %w", j+1, err)
		}
		if constant {
			d.constant = append(d.constant, j)
		}
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
	}
	return d, nil
}

// dot is Σ_i x̃_ij v_i; sum is Σ_i v_i.
func (d *design) dot(j int, v []float64, sum float64) float64 {
	s := -d.center[j] * sum
	if d.dense != nil {
		for i, x := range d.column(j) {
			s += x * v[i]
		}
	} else {
		row, value := d.entries(j)
		for k, i := range row {
			s += value[k] * v[i]
		}
	}
	return s / d.scale[j]
}

// axpy adds a·x̃_j to v but for a number that is the same for all rows, which it
// returns: v + shift is the whole.
func (d *design) axpy(j int, a float64, v []float64) (shift float64) {
	a /= d.scale[j]
	if d.dense != nil {
		for i, x := range d.column(j) {
			v[i] += a * x
		}
	} else {
		row, value := d.entries(j)
		for k, i := range row {
			v[i] += a * value[k]
		}
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
	d.each(n, func(i int) {
		j := i
		if cols != nil {
			j = int(cols[i])
		}
		for k := range v {
			dst[k][i] = d.dot(j, v[k], sums[k])
		}
	})
}

// each runs body for 0 ≤ i < n on the pool; the order must not matter.
func (d *design) each(n int, body func(i int)) {
	if d.pool == nil {
		for i := range n {
			body(i)
		}
		return
	}
	const grain = 16 // columns
	if err := d.pool.For(n, grain, func(_, lo, hi int) {
		for i := lo; i < hi; i++ {
			body(i)
		}
	}); err != nil {
		panic(err) // a bug in a body: Fit's caller sees it as one
	}
}

// gram sets dst[a·len(b)+c] to Σ_i h_i x̃_ij x̃_ik for j = rows[a], k = cols[c]: h are
// weights of the examples, nil meaning the problem's own.
func (d *design) gram(dst []float64, rows, cols []int32, h []float64) {
	if h == nil {
		h = d.weights
	}
	d.each(len(rows), func(a int) {
		column := make([]float64, d.rows)
		j := int(rows[a])
		shift := d.axpy(j, 1, column)
		sum := 0.0
		for i := range column {
			column[i] = (column[i] + shift) * h[i]
			sum += column[i]
		}
		for c, k := range cols {
			dst[a*len(cols)+c] = d.dot(int(k), column, sum)
		}
	})
}
