package separation

import "math"

// orthogonal holds linearly independent columns a_1 … a_k as Q·R, Q with orthonormal
// columns and R upper triangular, and follows columns that come and go. Gram and
// Schmidt's method, done twice, keeps Q orthogonal to rounding.
//
// Source: G. H. Golub and C. F. Van Loan, "Matrix Computations" (4th edition), sections
// 5.2.8 and 6.5.2.
type orthogonal struct {
	q [][]float64 // columns of Q
	r [][]float64 // columns of R: column j has j+1 numbers
}

// independent is how much of a column's length must be new.
const independent = 1e-12

// push appends a column; it reports false and appends nothing if the column is a
// combination of the others up to rounding.
func (o *orthogonal) push(a []float64) bool {
	k := len(o.q)
	v, column := append([]float64(nil), a...), make([]float64, k+1)
	before := length(v)
	for range 2 {
		for j, q := range o.q {
			c := dot(q, v)
			column[j] += c
			axpy(-c, q, v)
		}
	}
	after := length(v)
	if !(after > independent*before) {
		return false
	}
	column[k] = after
	for i := range v {
		v[i] /= after
	}
	o.q, o.r = append(o.q, v), append(o.r, column)
	return true
}

// drop takes column j out and rotates the rest back to triangular form.
func (o *orthogonal) drop(j int) {
	o.r = append(o.r[:j], o.r[j+1:]...)
	for c := j; c < len(o.r); c++ {
		x, y := o.r[c][c], o.r[c][c+1]
		h := math.Hypot(x, y)
		cos, sin := x/h, y/h
		for _, column := range o.r[c:] {
			a, b := column[c], column[c+1]
			column[c], column[c+1] = cos*a+sin*b, cos*b-sin*a
		}
		o.r[c] = o.r[c][:c+1]
		p, q := o.q[c], o.q[c+1]
		for i := range p {
			p[i], q[i] = cos*p[i]+sin*q[i], cos*q[i]-sin*p[i]
		}
	}
	o.q = o.q[:len(o.r)]
}

// solve is R⁻¹c, in place of c.
func (o *orthogonal) solve(c []float64) {
	for j := len(c) - 1; j >= 0; j-- {
		c[j] /= o.r[j][j]
		axpy(-c[j], o.r[j][:j], c[:j])
	}
}

// split is c = Qᵀb, and what is left of b.
func (o *orthogonal) split(b []float64) (c, rest []float64) {
	c, rest = make([]float64, len(o.q)), append([]float64(nil), b...)
	for range 2 {
		for j, q := range o.q {
			s := dot(q, rest)
			c[j] += s
			axpy(-s, q, rest)
		}
	}
	return c, rest
}

func dot(a, b []float64) float64 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float64
	i := 0
	for ; i+4 <= len(a); i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return (s0 + s1) + (s2 + s3)
}

func axpy(s float64, x, y []float64) {
	y = y[:len(x)]
	for i, v := range x {
		y[i] += s * v
	}
}

// length is ‖v‖₂ of numbers whose squares do not overflow.
func length(v []float64) float64 { return math.Sqrt(dot(v, v)) }
