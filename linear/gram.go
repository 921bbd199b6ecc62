package linear

import (
	"math"
	"unsafe"

	"github.com/compactify/compactify/internal/kernel"
)

// Blocks that a product of columns is made of: examples and columns packed together.
// Two of them and what the matrix kernel packs are 4 MiB.
const (
	gramDepth = 512
	gramWidth = 256
	gramStrip = 56 // rows of a square product that are done at once, from their diagonal on
)

// fewRows are not worth packing the other side for.
const fewRows = 8

// gram sets dst[a·len(cols)+c] to Σ_i h_i x̃_ij x̃_ik for j = rows[a], k = cols[c]: h are
// weights of the examples, ≥ 0, nil meaning the problem's own. If rows and cols are
// the same slice, half is computed. Bits do not depend on threads.
func (d *design) gram(dst []float64, rows, cols []int32, h []float64) {
	if len(rows) == 0 || len(cols) == 0 {
		return
	}
	if h == nil {
		h = d.weights
	}
	square := len(rows) == len(cols) && unsafe.SliceData(rows) == unsafe.SliceData(cols)
	if len(rows) < fewRows || d.dense == nil && d.thin(cols) {
		d.gramByRows(dst, rows, cols, h, square)
	} else {
		d.gramByBlocks(dst, rows, cols, h, square)
	}
	if square {
		mirror(dst, len(rows))
	}
}

// thin says that sparse products beat dense ones of the same columns: these are
// thinShare times as fast for each of their terms.
func (d *design) thin(cols []int32) bool {
	const thinShare = 32
	stored := 0
	for _, j := range cols {
		stored += d.start[j+1] - d.start[j]
	}
	return stored < d.rows/thinShare*len(cols)
}

// mirror copies what is above the diagonal below it.
func mirror(dst []float64, n int) {
	for a := range n {
		for c := range a {
			dst[a*n+c] = dst[c*n+a]
		}
	}
}

// gramByRows multiplies single weighted columns with all others; of a square product
// it leaves out what is before the diagonal.
func (d *design) gramByRows(dst []float64, rows, cols []int32, h []float64, square bool) {
	groups := (len(rows) + gramGroup - 1) / gramGroup
	if groups == 1 { // the columns are spread instead
		d.gramGroup(dst, rows, cols, h, 0, make([]float64, len(rows)*d.rows), d.correlate)
		return
	}
	alone := func(dst [][]float64, cols []int32, v [][]float64, sums []float64) {
		d.correlatePart(dst, cols, v, sums, 0, len(cols))
	}
	d.spread(groups, 1, func(lo, hi int) {
		scratch := make([]float64, gramGroup*d.rows)
		for first := lo * gramGroup; first < min(hi*gramGroup, len(rows)); first += gramGroup {
			skip := 0
			if square {
				skip = first
			}
			d.gramGroup(dst[first*len(cols):], rows[first:min(first+gramGroup, len(rows))], cols, h, skip, scratch, alone)
		}
	})
}

// gramGroup is how many columns share a pass over the others.
const gramGroup = 4

// gramGroup does columns rows, at most gramGroup, from position skip of cols on.
// scratch holds as many columns.
func (d *design) gramGroup(dst []float64, rows, cols []int32, h []float64, skip int, scratch []float64,
	correlate func(dst [][]float64, cols []int32, v [][]float64, sums []float64)) {
	var out, v [][]float64
	var sums []float64
	for a, j := range rows {
		out = append(out, dst[a*len(cols)+skip:(a+1)*len(cols)])
		column := scratch[a*d.rows : (a+1)*d.rows]
		d.Matrix.copyRows(int(j), 0, column)
		kernel.WeightedCentre64(d.set, column, column, d.center[j], 1/d.scale[j], h)
		v = append(v, column)
		sums = append(sums, total(column))
	}
	correlate(out, cols[skip:], v, sums)
}

// total is Σ v_i.
func total(v []float64) float64 {
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return sum
}

// gramByBlocks packs standardised columns times the roots of the weights and
// multiplies them as matrices.
func (d *design) gramByBlocks(dst []float64, rows, cols []int32, h []float64, square bool) {
	clear(dst[:len(rows)*len(cols)])
	root := make([]float64, d.rows)
	for i, w := range h {
		root[i] = math.Sqrt(w)
	}
	depth := min(gramDepth, d.rows)
	left := make([]float64, min(gramWidth, len(rows))*depth)
	right := left
	if !square || len(cols) > gramWidth {
		right = make([]float64, min(gramWidth, len(cols))*depth)
	}
	for lo := 0; lo < d.rows; lo += depth {
		hi := min(lo+depth, d.rows)
		for a := 0; a < len(rows); a += gramWidth {
			m := min(gramWidth, len(rows)-a)
			d.pack(left, rows[a:a+m], lo, hi, root)
			from := 0
			if square {
				d.gramDiagonal(dst[a*len(cols)+a:], len(cols), left, m, hi-lo)
				from = a + m
			}
			for c := from; c < len(cols); c += gramWidth {
				n := min(gramWidth, len(cols)-c)
				d.pack(right, cols[c:c+n], lo, hi, root)
				kernel.DGEMM(d.gemm, false, true, m, n, hi-lo, 1, left, hi-lo, right, hi-lo, 1, dst[a*len(cols)+c:], len(cols))
			}
		}
	}
}

// gramDiagonal adds a packed block's product with itself, from the diagonal on.
func (d *design) gramDiagonal(dst []float64, stride int, block []float64, m, depth int) {
	for a := 0; a < m; a += gramStrip {
		strip := min(gramStrip, m-a)
		kernel.DGEMM(d.gemm, false, true, strip, m-a, depth, 1, block[a*depth:], depth, block[a*depth:], depth, 1, dst[a*stride+a:], stride)
	}
}

// pack sets dst to rows [lo, hi) of standardised columns, one after the other, times
// roots of weights.
func (d *design) pack(dst []float64, cols []int32, lo, hi int, root []float64) {
	n := hi - lo
	d.each(len(cols), func(i int) {
		j := int(cols[i])
		to := dst[i*n : (i+1)*n]
		from := to
		if d.dense != nil {
			from = d.column(j)[lo:hi]
		} else {
			d.Matrix.copyRows(j, lo, to)
		}
		kernel.WeightedCentre64(d.set, to, from, d.center[j], 1/d.scale[j], root[lo:hi])
	})
}
