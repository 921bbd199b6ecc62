package linear

import (
	"math"
	"sort"

	"github.com/compactify/compactify/internal/kernel"
)

// projection takes off a vector what some columns can explain.
type projection struct {
	set  kernel.Set
	cols []int32     // those that are not explained by the ones before them
	q    [][]float64 // an orthonormal basis of their span
	r    [][]float64 // r[i] are the coefficients of column i in q[:i+1]
}

// newProjection orthonormalises columns of length n by the Gram–Schmidt process, twice
// over. A column that is within rounding of what the ones before explain is left out.
//
// Source: L. Giraud et al., "Rounding error analysis of the classical Gram–Schmidt
// orthogonalization process", Numer. Math. 101 (2005), 87–100: twice is enough.
func newProjection(set kernel.Set, cols []int32, n int, column func(j int32, dst []float64)) *projection {
	p := &projection{set: set}
	for _, j := range cols {
		v := make([]float64, n)
		column(j, v)
		_, before := norms(v)
		r := p.coefficients(v)
		_, after := norms(v)
		if after <= float64(n)*epsilon*before {
			continue
		}
		for i := range v {
			v[i] /= after
		}
		p.cols, p.q, p.r = append(p.cols, j), append(p.q, v), append(p.r, append(r, after))
	}
	return p
}

// coefficients takes the span off v, twice over, and returns what was taken, in q.
func (p *projection) coefficients(v []float64) []float64 {
	out := make([]float64, len(p.q))
	for range 2 {
		for i, q := range p.q {
			a := kernel.Dot64(p.set, q, v)
			out[i] += a
			kernel.Axpy64(p.set, v, -a, q)
		}
	}
	return out
}

// remove takes the span off v and returns the square of the norm of what was taken.
func (p *projection) remove(v []float64) float64 {
	square := 0.0
	for _, a := range p.coefficients(v) {
		square += a * a
	}
	return square
}

// solve is the least-squares solution of cols against v, which is not changed.
func (p *projection) solve(v []float64) []float64 {
	x := p.coefficients(append([]float64(nil), v...))
	for i := len(x) - 1; i >= 0; i-- {
		x[i] /= p.r[i][i]
		for k := range i {
			x[k] -= p.r[i][k] * x[i]
		}
	}
	return x
}

// spectrum is the singular value decomposition of a matrix [n, p], on its smaller side.
type spectrum struct {
	set  kernel.Set
	wide bool // p > n: what is solved for are vectors over rows, else over columns
	side int
	m    [][]float64 // σ_i times the singular vector of the smaller side, of σ_i > floor
	// square is σ_i², answer what m_i is multiplied by before 1/(σ_i² + λ).
	square, answer []float64
}

// solve is Σ_i m_i answer_i/(σ_i² + λ).
func (s *spectrum) solve(lambda float64) []float64 {
	out := make([]float64, s.side)
	for i, m := range s.m {
		a := s.answer[i] / (s.square[i] + lambda)
		kernel.Axpy64(s.set, out, a, m)
	}
	return out
}

// correct is Σ_i m_i (m_iᵀv)/(σ_i² (σ_i² + λ)): the inverse of σ² + λ on the singular
// vectors.
func (s *spectrum) correct(v []float64, lambda float64) []float64 {
	out := make([]float64, s.side)
	for i, m := range s.m {
		a := kernel.Dot64(s.set, m, v) / (s.square[i] * (s.square[i] + lambda))
		kernel.Axpy64(s.set, out, a, m)
	}
	return out
}

// within is the square of the norm of the part of a vector over rows that lies in the
// column space: of the vector itself if the matrix is wide, else of what it is turned
// into by the transposed matrix.
func (s *spectrum) within(v []float64) float64 {
	sum := 0.0
	for i, m := range s.m {
		a := kernel.Dot64(s.set, m, v) / math.Sqrt(s.square[i])
		if !s.wide {
			a /= math.Sqrt(s.square[i])
		}
		sum += a * a
	}
	return sum
}

// decompose turns the rows of A = diag(√w) X̃ diag(1/√f), of some columns and less what
// free ones explain, or of Aᵀ if that is the longer side, block by block into a triangle, and that by rotations into the singular value decomposition. The
// triangle of a tall matrix is of [A z], so that the condition is never squared.
//
// Source: T. F. Chan, "An improved algorithm for computing the singular value
// decomposition", ACM TOMS 8 (1982), 72–83; Z. Drmač and K. Veselić, "New fast and
// accurate Jacobi SVD algorithm", SIAM J. Matrix Anal. Appl. 29 (2008), 1322–1362.
func (s *leastSquares) decompose(cols []int32, check func() error) (*spectrum, error) {
	n, p := s.rows, len(cols)
	out := &spectrum{set: s.set, wide: p > n, side: min(n, p)}
	width, length := out.side, max(n, p)
	z := append([]float64(nil), s.target...)
	s.free.remove(z)
	if !out.wide {
		width++
	}
	t := &triangle{set: s.set, side: out.side, width: width, r: make([]float64, out.side*width), each: s.each}
	block := make([]float64, width*blockRows)
	taken := s.explained(cols)
	for lo := 0; lo < length; lo += blockRows {
		if err := check(); err != nil {
			return nil, err
		}
		hi := min(lo+blockRows, length)
		if out.wide {
			s.fillColumns(block, cols[lo:hi])
		} else {
			s.fillRows(block, cols, lo, hi, taken)
			copy(block[(width-1)*(hi-lo):], z[lo:hi])
		}
		t.absorb(block[:width*(hi-lo)], hi-lo)
	}
	if err := t.diagonalise(check); err != nil {
		return nil, err
	}
	out.take(t, z, float64(length)*epsilon)
	return out, nil
}

const blockRows = 256

// explained are the coefficients of every column in the free ones, of a tall matrix
// only.
func (s *leastSquares) explained(cols []int32) [][]float64 {
	if len(cols) > s.rows {
		return nil
	}
	out := make([][]float64, len(cols))
	s.each(len(out), func(i int) {
		v := make([]float64, s.rows)
		s.rooted(cols[i], v)
		out[i] = s.free.coefficients(v)
	})
	return out
}

// fillRows sets block to rows [lo, hi) of A by columns.
func (s *leastSquares) fillRows(block []float64, cols []int32, lo, hi int, taken [][]float64) {
	m := hi - lo
	s.each(len(cols), func(i int) {
		j := int(cols[i])
		dst := block[i*m : (i+1)*m]
		s.Matrix.copyRows(j, lo, dst)
		root := math.Sqrt(s.factor[j])
		for k := range dst {
			dst[k] = s.root[lo+k] * (dst[k] - s.center[j]) / s.scale[j]
		}
		for l, a := range taken[i] {
			for k, q := range s.free.q[l][lo:hi] {
				dst[k] -= a * q
			}
		}
		for k := range dst {
			dst[k] /= root
		}
	})
}

// copyRows sets dst to rows [lo, lo+len(dst)) of column j.
func (m *Matrix) copyRows(j, lo int, dst []float64) {
	if m.dense != nil {
		copy(dst, m.column(j)[lo:])
		return
	}
	clear(dst)
	row, value := m.entries(j)
	for k := sort.Search(len(row), func(k int) bool { return int(row[k]) >= lo }); k < len(row) && int(row[k]) < lo+len(dst); k++ {
		dst[int(row[k])-lo] = value[k]
	}
}

// fillColumns sets block to columns of A, transposed.
func (s *leastSquares) fillColumns(block []float64, cols []int32) {
	m := len(cols)
	s.each(m, func(i int) {
		j := cols[i]
		v := make([]float64, s.rows)
		s.rooted(j, v)
		s.free.coefficients(v)
		root := math.Sqrt(s.factor[j])
		for k, x := range v {
			block[k*m+i] = x / root
		}
	})
}

// take keeps what is not rounding.
func (s *spectrum) take(t *triangle, z []float64, relative float64) {
	top := 0.0
	squares := make([]float64, t.side)
	for i := range squares {
		squares[i] = t.product(i, i)
		top = max(top, squares[i])
	}
	for i, square := range squares {
		if square <= relative*relative*top {
			continue
		}
		m := t.row(i)
		answer := t.last(i)
		if s.wide {
			answer = kernel.Dot64(s.set, m, z) / square
		}
		s.m, s.square, s.answer = append(s.m, m), append(s.square, square), append(s.answer, answer)
	}
}

// triangle is R of a QR decomposition whose rows come in blocks, [side, width]: width
// is side, or side + 1 if a right-hand side goes with the matrix.
type triangle struct {
	set         kernel.Set
	side, width int
	r           []float64 // by rows
	each        func(n int, body func(i int))
}

// row is row i without the right-hand side.
func (t *triangle) row(i int) []float64 { return t.r[i*t.width : i*t.width+t.side : i*t.width+t.side] }

func (t *triangle) product(i, k int) float64 { return kernel.Dot64(t.set, t.row(i), t.row(k)) }

// last is the right-hand side of row i.
func (t *triangle) last(i int) float64 { return t.r[(i+1)*t.width-1] }

// absorb adds m rows, given by columns, by Householder reflections: the one of column
// j moves row j of R and the block. It overwrites the block.
//
// Source: G. Golub and C. Van Loan, "Matrix Computations", 4th ed., section 5.1 and,
// for rows that are added, section 6.5.3.
func (t *triangle) absorb(block []float64, m int) {
	for j := range t.side {
		v := block[j*m : (j+1)*m]
		row := t.r[j*t.width : (j+1)*t.width]
		_, norm := norms(v)
		if norm == 0 {
			continue
		}
		beta := -math.Copysign(math.Hypot(row[j], norm), row[j])
		tau, first := (beta-row[j])/beta, row[j]-beta
		row[j] = beta
		for i := range v {
			v[i] /= first
		}
		t.each(t.width-j-1, func(i int) {
			c := j + 1 + i
			x := block[c*m : (c+1)*m]
			a := tau * (row[c] + kernel.Dot64(t.set, v, x))
			row[c] -= a
			kernel.Axpy64(t.set, x, -a, v)
		})
	}
}

// diagonalise rotates pairs of rows until all are orthogonal: R = U Σ Vᵀ becomes
// Σ Vᵀ, and a right-hand side is multiplied by Uᵀ.
func (t *triangle) diagonalise(check func() error) error {
	const sweeps = 60 // a dozen are the most that were ever seen
	squares := make([]float64, t.side)
	for range sweeps {
		top := 0.0
		for i := range squares {
			squares[i] = t.product(i, i)
			top = max(top, squares[i])
		}
		turned := false
		for i := range t.side {
			if err := check(); err != nil {
				return err
			}
			for k := i + 1; k < t.side; k++ {
				turned = t.rotate(i, k, squares, top) || turned
			}
		}
		if !turned {
			break
		}
	}
	return nil
}

// rotate makes two rows orthogonal unless they are, or one of them is rounding.
func (t *triangle) rotate(i, k int, squares []float64, top float64) bool {
	tolerance := epsilon * math.Sqrt(float64(t.side))
	if min(squares[i], squares[k]) <= epsilon*epsilon*top {
		return false
	}
	c := t.product(i, k)
	if math.Abs(c) <= tolerance*math.Sqrt(squares[i])*math.Sqrt(squares[k]) {
		return false
	}
	zeta := (squares[k] - squares[i]) / (2 * c)
	tan := math.Copysign(1/(math.Abs(zeta)+math.Hypot(1, zeta)), zeta)
	cos := 1 / math.Hypot(1, tan)
	sin := cos * tan
	a, b := t.r[i*t.width:(i+1)*t.width], t.r[k*t.width:(k+1)*t.width]
	kernel.Rotate64(t.set, a, b, cos, sin)
	squares[i] -= tan * c
	squares[k] += tan * c
	return true
}
