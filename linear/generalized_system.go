package linear

import (
	"slices"

	"github.com/compactify/compactify/internal/algebra"
)

// piece is the interval on which the penalty of a coefficient is smooth, with the
// slope of its ℓ1 part and the curvature of its quadratic one.
type piece struct{ lo, hi, slope, curve float64 }

// piece is the one that t lies in, or would move into if its correlation is c; moves
// says that it is not held at 0 or a bound. The way it is drawn is c − slope − curve·t.
func (h term) piece(t, c float64) (moves bool, p piece) {
	p = piece{lo: h.lower, hi: h.upper, curve: h.b}
	if h.a > 0 {
		switch {
		case t > 0 || t == 0 && c > h.a:
			p.lo, p.slope = 0, h.a
		case t < 0 || t == 0 && c < -h.a:
			p.hi, p.slope = 0, -h.a
		default:
			return false, piece{curve: h.b}
		}
	}
	r := c - p.slope - p.curve*t
	return !(t >= p.hi && r >= 0 || t <= p.lo && r <= 0), p
}

// block is what moves of one class, in the order of the factor of an earlier
// XᵀDX + B, D diagonal. Column −1 is the intercept.
type block struct {
	cols   []int32
	spare  []int32 // would move, but depend on cols
	where  []int32 // position + 1 of every column
	h      []float64
	factor algebra.Factor
}

func newBlock(t *task) block {
	return block{where: make([]int32, t.cols), factor: algebra.Factor{Set: t.set}}
}

// sync makes cols the wanted columns; fresh are the new interceptColumn.
func (b *block) sync(g *generalized, wanted func(j int32) bool, fresh []int32) {
	kept := 0
	for at := 0; at < len(b.cols); at++ {
		j := b.cols[at]
		if wanted(j) {
			b.cols[kept] = j
			if j >= 0 {
				b.where[j] = int32(kept + 1)
			}
			kept++
			continue
		}
		if j >= 0 {
			b.where[j] = 0
		}
		b.factor.Delete(kept)
	}
	b.cols = b.cols[:kept]
	b.grow(g, fresh)
}

// grow appends columns to the factor. Those that depend on the ones before them
// become spare.
func (b *block) grow(g *generalized, fresh []int32) {
	b.spare = b.spare[:0]
	if len(fresh) == 0 {
		return
	}
	from := len(b.cols)
	b.cols = append(b.cols, fresh...)
	rows := make([][]float64, len(fresh))
	taken := make([]bool, len(fresh))
	for i := range rows {
		rows[i] = g.factorRow(b, from+i)
	}
	b.factor.AppendBlock(rows, taken)
	b.cols = b.cols[:from]
	for i, j := range fresh {
		if !taken[i] {
			b.spare = append(b.spare, j)
			continue
		}
		b.cols = append(b.cols, j)
		if j >= 0 {
			b.where[j] = int32(len(b.cols))
		}
	}
}

// factorRow is the part of row at of XᵀDX + B up to the diagonal.
func (g *generalized) factorRow(b *block, at int) []float64 {
	z := g.product[:g.rows]
	j := b.cols[at]
	sum := 0.0
	if j == interceptColumn {
		copy(z, b.h)
		for _, h := range z {
			sum += h
		}
	} else {
		clear(z)
		shift := g.axpy(int(j), 1, z)
		for i, h := range b.h {
			z[i] = (z[i] + shift) * h
			sum += z[i]
		}
	}
	row := b.factor.Row(at + 1)
	cols := b.cols[:at+1]
	from := 0
	if cols[0] == interceptColumn {
		row[0], from = sum, 1
	}
	if from <= at {
		g.correlate([][]float64{row[from:]}, cols[from:], [][]float64{z}, []float64{sum})
	}
	if j >= 0 {
		row[at] += g.term(int(j), g.lambda).b
	}
	return row
}

// refresh factors anew, at the present D.
func (b *block) refresh(g *generalized, h []float64) {
	b.h = append(b.h[:0], h...)
	cols := slices.Clone(b.cols)
	for _, j := range cols {
		if j >= 0 {
			b.where[j] = 0
		}
	}
	b.cols = b.cols[:0]
	b.factor.Reset()
	b.grow(g, cols)
}

// system is (XᵀDX + B) d = r on some coordinates, ordered by class.
type system struct {
	g            *generalized
	cols         [][]int32 // [K]
	curve        []float64 // B
	precondition func(z []float64)
}

func (s *system) size() int {
	n := 0
	for _, c := range s.cols {
		n += len(c)
	}
	return n
}

// expand sets u to X·d.
func (s *system) expand(u, d []float64) {
	n, at := s.g.rows, 0
	for k, cols := range s.cols {
		s.g.combine(u[k*n:(k+1)*n], cols, d[at:at+len(cols)])
		at += len(cols)
	}
}

// combine sets u to Σ_i d[i] x̃_{cols[i]}.
func (g *generalized) combine(u []float64, cols []int32, d []float64) {
	clear(u)
	shift := 0.0
	for i, j := range cols {
		if j == interceptColumn {
			shift += d[i]
		} else if d[i] != 0 {
			shift += g.axpy(int(j), d[i], u)
		}
	}
	if shift != 0 {
		for i := range u {
			u[i] += shift
		}
	}
}

// collect sets c to Xᵀv.
func (s *system) collect(c, v []float64) {
	n, at := s.g.rows, 0
	for k, cols := range s.cols {
		part := v[k*n : (k+1)*n]
		sum := 0.0
		for _, x := range part {
			sum += x
		}
		dst := c[at : at+len(cols)]
		at += len(cols)
		if len(cols) > 0 && cols[0] == interceptColumn {
			dst[0] = sum
			dst, cols = dst[1:], cols[1:]
		}
		if len(cols) > 0 { // nil columns would mean all
			s.g.correlate([][]float64{dst}, cols, [][]float64{part}, []float64{sum})
		}
	}
}

// solve returns d and u = X·d, where the preconditioned residual is at most share of
// r's, after at most most iterations of conjugate gradients.
func (s *system) solve(r []float64, share float64, most int) (d, u []float64, iterations int) {
	m := len(r)
	d, u = make([]float64, m), make([]float64, len(s.g.eta))
	s.g.solving = grown(s.g.solving, 4*m+2*len(u))
	work := s.g.solving
	z, p, hp := work[:m], work[m:2*m], work[2*m:3*m]
	rest, work := work[3*m:4*m], work[4*m:]
	xp, dxp := work[:len(u)], work[len(u):]
	copy(rest, r)
	copy(z, rest)
	s.precondition(z)
	copy(p, z)
	rz := product(rest, z)
	first := rz
	for iterations < most && rz > share*share*first && rz > 0 {
		s.expand(xp, p)
		s.g.like.curve(dxp, xp)
		s.collect(hp, dxp)
		for i, b := range s.curve {
			hp[i] += b * p[i]
		}
		php := product(p, hp)
		if !(php > 0) {
			break
		}
		iterations++
		a := rz / php
		for i := range d {
			d[i] += a * p[i]
			rest[i] -= a * hp[i]
		}
		for i := range u {
			u[i] += a * xp[i]
		}
		copy(z, rest)
		s.precondition(z)
		next := product(rest, z)
		for i := range p {
			p[i] = z[i] + next/rz*p[i]
		}
		rz = next
	}
	return d, u, iterations
}

func product(a, b []float64) float64 {
	sum := 0.0
	for i, x := range a {
		sum += x * b[i]
	}
	return sum
}
