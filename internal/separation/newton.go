package separation

import (
	"math"
	"slices"
)

// normal are Newton's equations
//
//	dw − Θ Zᵀdα + δ dτ = h      Z dw + y db − dt + S dα = right
//	(ΣΘ + q/τ) dτ − δᵀZᵀdα = corner      y·dα = −y·α      Σdα = 1 − Σα
//
// with diagonal Θ and S, reduced to α and factored, or to w, b and t if these are fewer.
type normal struct {
	*interior
	up, down []float64 // u/(τ − Zᵀα) and v/(τ + Zᵀα): Θ is their sum, δ their difference
	diagonal []float64 // S
	l        []float64 // Cholesky factor, by rows
	size     int
	wide     bool // reduced to α

	border [3][]float64 // columns of τ, b, t; of τ alone if reduced to w, b and t
	solved [3][]float64 // K⁻¹ border
}

func (p *interior) factor() *normal {
	n := &normal{interior: p, up: make([]float64, p.Dim), down: make([]float64, p.Dim), diagonal: make([]float64, len(p.s)), wide: len(p.s) <= p.Dim}
	for j := range n.up {
		n.up[j], n.down[j] = p.u[j]/(p.tau-p.product[j]), p.v[j]/(p.tau+p.product[j])
	}
	for i := range n.diagonal {
		n.diagonal[i] = p.s[i] / p.alpha[i]
	}
	if n.wide {
		n.outer()
	} else {
		n.inner()
	}
	if !cholesky(n.l, n.size) {
		return nil
	}
	for k, b := range n.border {
		if b != nil {
			n.solved[k] = n.inverse(b)
		}
	}
	return n
}

func (n *normal) inverse(r []float64) []float64 {
	x := slices.Clone(r)
	substitute(n.l, n.size, x)
	return x
}

// solve sets the step in α, τ, b and t.
func (n *normal) solve(m *motion, right, h []float64, corner float64) {
	sides, sum := 0.0, -1.0 // y·α and Σα − 1
	for i, a := range n.alpha {
		sides += n.side(i) * a
		sum += a
	}
	if n.wide {
		n.solveWide(m, right, h, [3]float64{corner, -sides, sum})
	} else {
		n.solveTall(m, right, h, corner, sides, sum)
	}
}

// solveWide solves ZΘZᵀ + S with a border of three, whose right-hand sides are last.
func (n *normal) solveWide(m *motion, right, h []float64, last [3]float64) {
	r := slices.Clone(right)
	for i, row := range n.rows {
		r[i] -= product(row, h)
	}
	m.alpha = n.inverse(r)
	// The Schur complement, 3 × 3, negated.
	var a [3][4]float64
	for k := range a {
		for c := range 3 {
			a[k][c] = dot(n.border[k], n.solved[c])
		}
		a[k][3] = dot(n.border[k], m.alpha) - last[k]
	}
	a[0][0] -= n.q / n.tau
	for j := range n.up {
		a[0][0] -= n.up[j] + n.down[j]
	}
	if !n.Intercept {
		a[1] = [4]float64{0, 1, 0, 0}
	}
	x := gauss(a)
	for k := range x {
		axpy(-x[k], n.solved[k], m.alpha)
	}
	m.tau, m.b, m.t = x[0], x[1], x[2]
}

// solveTall solves Θ⁻¹ + ZᵀS⁻¹Z, with columns for b and t, and a border for τ.
func (n *normal) solveTall(m *motion, right, h []float64, corner, sides, sum float64) {
	scaled := make([]float64, len(right))
	for i, x := range right {
		scaled[i] = x / n.diagonal[i]
	}
	r := n.extended(scaled)
	// ΣΘ − Σδ²/Θ, as a sum of terms ≥ 0
	diagonal, last := n.q/n.tau, -corner
	for j := range h {
		theta := n.up[j] + n.down[j]
		r[j] += h[j] / theta
		diagonal += 4 * n.up[j] * n.down[j] / theta
		last += (n.up[j] - n.down[j]) * h[j] / theta
	}
	r[n.Dim] -= sum
	if n.Intercept {
		r[n.Dim+1] += sides
	}
	x := n.inverse(r)
	m.tau = (dot(n.border[0], x) - last) / (dot(n.border[0], n.solved[0]) + diagonal)
	axpy(-m.tau, n.solved[0], x)
	m.t = x[n.Dim]
	if n.Intercept {
		m.b = x[n.Dim+1]
	}
	m.alpha = make([]float64, len(right))
	for i, row := range n.rows {
		m.alpha[i] = (right[i] - product(row, x) - n.side(i)*m.b + m.t) / n.diagonal[i]
	}
}

// extended is (Zᵀa, −Σa, y·a), without the last one if there is no intercept.
func (n *normal) extended(a []float64) []float64 {
	sum, sides := 0.0, 0.0
	for i, x := range a {
		sum += x
		sides += n.side(i) * x
	}
	out := append(n.transposed(a), -sum)
	if n.Intercept {
		out = append(out, sides)
	}
	return out
}

// gauss solves a system of three equations.
func gauss(a [3][4]float64) (x [3]float64) {
	for c := range 3 {
		pivot := c
		for r := c; r < 3; r++ {
			if math.Abs(a[r][c]) > math.Abs(a[pivot][c]) {
				pivot = r
			}
		}
		a[c], a[pivot] = a[pivot], a[c]
		for r := range 3 {
			if r != c {
				f := a[r][c] / a[c][c]
				for k := c; k < 4; k++ {
					a[r][k] -= f * a[c][k]
				}
			}
		}
	}
	for c := range x {
		x[c] = a[c][3] / a[c][c]
	}
	return x
}

// outer sets the factor to Z Θ Zᵀ + S.
func (n *normal) outer() {
	n.size = len(n.rows)
	n.l = make([]float64, n.size*n.size)
	tilt, column := make([]float64, n.Dim), make([]float64, n.Dim)
	for j := range tilt {
		tilt[j] = n.down[j] - n.up[j]
	}
	for k := range n.border {
		n.border[k] = make([]float64, n.size)
	}
	for i, row := range n.rows {
		clear(column)
		entries(row, func(j int, x float64) { column[j] = x * (n.up[j] + n.down[j]) })
		for k := range i + 1 {
			n.l[i*n.size+k] = product(n.rows[k], column)
		}
		n.l[i*n.size+i] += n.diagonal[i]
		n.border[0][i], n.border[1][i], n.border[2][i] = product(row, tilt), n.side(i), -1
	}
}

func entries(row Vector, f func(j int, x float64)) {
	for k, x := range row.Value {
		if row.Index == nil {
			f(k, x)
		} else {
			f(int(row.Index[k]), x)
		}
	}
}

// inner sets the factor to Θ⁻¹ + ZᵀS⁻¹Z, Z having the columns −1 and y, too.
func (n *normal) inner() {
	n.size = n.Dim + 1
	if n.Intercept {
		n.size++
	}
	n.l = make([]float64, n.size*n.size)
	n.border[0] = make([]float64, n.size)
	for i, row := range n.rows {
		at, value := row.Index, row.Value
		if at == nil {
			at = n.all()
		}
		at, value = append(slices.Clip(at), int32(n.Dim)), append(slices.Clip(value), -1)
		if n.Intercept {
			at, value = append(at, int32(n.Dim+1)), append(value, n.side(i))
		}
		for k, a := range at {
			x, line := value[k]/n.diagonal[i], n.l[int(a)*n.size:]
			for c, b := range at[:k+1] {
				line[b] += x * value[c]
			}
		}
	}
	for j := range n.Dim {
		theta := n.up[j] + n.down[j]
		n.l[j*n.size+j] += 1 / theta
		n.border[0][j] = (n.up[j] - n.down[j]) / theta
	}
}

// all are the numbers of the coordinates.
func (n *normal) all() []int32 {
	out := make([]int32, n.Dim, n.Dim+2)
	for j := range out {
		out[j] = int32(j)
	}
	return out
}

// cholesky factors the lower triangle of a [n, n], positive definite up to rounding, in
// place; it reports false if there are numbers that are not finite.
func cholesky(a []float64, n int) bool {
	for i := range n {
		row := a[i*n : i*n+i+1]
		for k := range i {
			row[k] = (row[k] - dot(row[:k], a[k*n:k*n+k])) / a[k*n+k]
		}
		d := row[i] - dot(row[:i], row[:i])
		if math.IsNaN(d) || math.IsInf(d, 0) {
			return false
		}
		if d <= 1e-15*row[i] { // singular up to rounding: leave this direction out
			d = math.MaxFloat64 / 4
		}
		row[i] = math.Sqrt(d)
	}
	return true
}

// substitute solves L Lᵀ x = r in place.
func substitute(l []float64, n int, x []float64) {
	for i := range n {
		x[i] = (x[i] - dot(l[i*n:i*n+i], x[:i])) / l[i*n+i]
	}
	for i := n - 1; i >= 0; i-- {
		x[i] /= l[i*n+i]
		axpy(-x[i], l[i*n:i*n+i], x[:i])
	}
}
