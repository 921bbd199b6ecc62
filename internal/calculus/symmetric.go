package calculus

import (
	"cmp"
	"math"
	"slices"
)

// symmetric is a small dense symmetric matrix, by rows.
type symmetric struct {
	n int
	a []float64
}

func newSymmetric(n int) *symmetric { return &symmetric{n, make([]float64, n*n)} }

func (s *symmetric) at(i, j int) float64 { return s.a[i*s.n+j] }

// set sets the entries (i, j) and (j, i).
func (s *symmetric) set(i, j int, x float64) { s.a[i*s.n+j], s.a[j*s.n+i] = x, x }

// leading copies the leading m×m block.
func (s *symmetric) leading(m int) *symmetric {
	t := newSymmetric(m)
	for i := range m {
		copy(t.a[i*m:(i+1)*m], s.a[i*s.n:i*s.n+m])
	}
	return t
}

// maxSweeps bounds Jacobi's method, which converges quadratically: matrices of
// order 100 take eight sweeps.
const maxSweeps = 60

// eigen returns the eigenvalues in ascending order and the eigenvectors,
// orthonormal, vectors[k] belonging to values[k]. The matrix is overwritten.
//
// Source: cyclic Jacobi, G. Golub and C. Van Loan, "Matrix Computations", 4th
// edition, section 8.5. It is accurate to the last bits of the largest entry,
// multiple eigenvalues included, and small matrices need no faster method.
func (s *symmetric) eigen() (values []float64, vectors [][]float64) {
	n := s.n
	v := make([]float64, n*n) // by rows, one eigenvector each
	for i := range n {
		v[i*n+i] = 1
	}
	for range maxSweeps {
		if !s.sweep(v) {
			break
		}
	}
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(s.at(i, i), s.at(j, j)) })
	for _, i := range order {
		values = append(values, s.at(i, i))
		vectors = append(vectors, v[i*n:(i+1)*n])
	}
	return values, vectors
}

// sweep rotates every pair of axes once and tells whether anything was left to do.
func (s *symmetric) sweep(v []float64) bool {
	n, moved := s.n, false
	for p := range n {
		for q := p + 1; q < n; q++ {
			apq := s.at(p, q)
			app, aqq := s.at(p, p), s.at(q, q)
			if math.Abs(apq) <= 0x1p-54*math.Sqrt(math.Abs(app))*math.Sqrt(math.Abs(aqq)) || math.Abs(apq) < 1e-300 {
				s.set(p, q, 0)
				continue
			}
			moved = true
			tau := (aqq - app) / (2 * apq)
			t := 1 / (math.Abs(tau) + math.Hypot(1, tau))
			if tau < 0 {
				t = -t
			}
			c := 1 / math.Hypot(1, t)
			s.rotate(p, q, c, t*c)
			rotateRows(v[p*n:(p+1)*n], v[q*n:(q+1)*n], c, t*c)
		}
	}
	return moved
}

// rotate applies the similarity by the rotation of axes p and q that makes the
// entry (p, q) vanish.
func (s *symmetric) rotate(p, q int, c, sn float64) {
	n := s.n
	rotateRows(s.a[p*n:(p+1)*n], s.a[q*n:(q+1)*n], c, sn)
	for i := range n {
		x, y := s.a[i*n+p], s.a[i*n+q]
		s.a[i*n+p], s.a[i*n+q] = c*x-sn*y, sn*x+c*y
	}
	s.set(p, q, 0)
}

func rotateRows(x, y []float64, c, s float64) {
	for i, a := range x {
		b := y[i]
		x[i], y[i] = c*a-s*b, s*a+c*b
	}
}
