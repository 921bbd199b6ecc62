package linear

import (
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify/internal/kernel"
)

// design is a matrix seen through standardisation: column j is
// x̃_ij = (x_ij − center_j)/scale_j. Products are those with the stored column and a
// correction by sums; nothing is copied but dense columns so far from zero that the
// two would cancel.
type design struct {
	*Matrix
	pool          *kernel.Pool
	set           kernel.Set
	weights       []float64 // of the examples, summing to 1
	center, scale []float64
	squares       []float64 // Σ_i w_i x̃_ij²; 0 for a column that must stay out
	constant      []int
	centred       [][]float64  // x_j − center_j of columns far from zero, else nil; nil if there are none
	gemm          *kernel.Pool // pool, or one of its own
}

// farFromZero is the |center|/scale from which on a dense column is copied: products
// by sums lose as many digits.
const farFromZero = 1e4

// newDesign takes the means off if there is an intercept, and divides by standard
// deviations if asked to. A constant column is left out where an intercept can do
// all that it could.
func newDesign(m *Matrix, weights []float64, o Options) (*design, error) {
	d := &design{Matrix: m, pool: o.Pool, set: kernel.Best(), weights: weights,
		center: make([]float64, m.cols), scale: make([]float64, m.cols), squares: make([]float64, m.cols)}
	if d.gemm = o.Pool; o.Pool != nil {
		d.set = o.Pool.Set()
	} else {
		d.gemm = kernel.NewPool(1, d.set)
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
	d.centreFar()
	return d, nil
}

// centreFar copies the columns that are far from zero.
func (d *design) centreFar() {
	if d.dense == nil {
		return
	}
	one := []float64(nil)
	for j, c := range d.center {
		if !(math.Abs(c) > farFromZero*d.scale[j]) || d.squares[j] == 0 {
			continue
		}
		if d.centred == nil {
			d.centred = make([][]float64, d.cols)
			one = slices.Repeat([]float64{1}, d.rows)
		}
		d.centred[j] = make([]float64, d.rows)
		kernel.WeightedCentre64(d.set, d.centred[j], d.column(j), c, 1, one)
	}
}

// isCentred reports whether column j was copied.
func (d *design) isCentred(j int) bool { return d.centred != nil && d.centred[j] != nil }

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
	if d.isCentred(j) {
		return kernel.Dot64(d.set, d.centred[j], v) / d.scale[j]
	}
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
	if d.isCentred(j) {
		kernel.Axpy64(d.set, v, a, d.centred[j])
		return 0
	}
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
	d.spread(n, columnGrain, func(lo, hi int) { d.correlatePart(dst, cols, v, sums, lo, hi) })
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
			if d.isCentred(j) {
				dst[k][i] = d.dot(j, v[k], sum)
				continue
			}
			dst[k][i] = (dst[k][i] - d.center[j]*sum) / d.scale[j]
		}
	}
}

// columnGrain is how many columns a thread takes at least.
const columnGrain = 16

// spread runs body on parts of [0, n) on the pool, of at least grain each; where they
// begin must not matter.
func (d *design) spread(n, grain int, body func(lo, hi int)) {
	if d.pool == nil {
		body(0, n)
		return
	}
	if err := d.pool.For(n, grain, func(_, lo, hi int) { body(lo, hi) }); err != nil {
		panic(err) // a bug in a body: Fit's caller sees it as one
	}
}

// each runs body for 0 ≤ i < n on the pool; the order must not matter.
func (d *design) each(n int, body func(i int)) {
	d.spread(n, columnGrain, func(lo, hi int) {
		for i := lo; i < hi; i++ {
			body(i)
		}
	})
}
