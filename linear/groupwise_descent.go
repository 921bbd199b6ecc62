package linear

import (
	"math"
	"slices"

	"github.com/compactify/compactify/internal/kernel"
)

// basis is an orthonormal basis v_i of what coefficients of a group can do, with the
// squares σ_i² of the norms of √w ∘ X̃_g v_i, which are orthogonal: the singular value
// decomposition without what is rounding.
type basis struct {
	v      [][]float64
	square []float64
}

func (s *groupwise) newBasis(g group, check func() error) (*basis, error) {
	d, err := s.decompose(g.cols, check)
	if err != nil {
		return nil, err
	}
	b := &basis{square: d.square}
	for i, m := range d.m {
		sigma := math.Sqrt(d.square[i])
		v := make([]float64, len(g.cols))
		if d.wide { // m is over rows: v = Aᵀm/σ²
			dual := slices.Clone(m)
			s.free.remove(dual)
			sum := s.multiplyRoot(dual)
			for k, j := range g.cols {
				v[k] = s.dot(int(j), dual, sum) / d.square[i]
			}
		} else {
			for k, x := range m {
				v[k] = x / sigma
			}
		}
		b.v = append(b.v, v)
	}
	return b, nil
}

// step is argmin_u Σ σ_i²/2 u_i² − c_i u_i + a‖u‖ + d/2‖u‖², in place of c. With ν = ‖u‖
// it is u_i = c_i ν/((σ_i²+d)ν + a) where the norm of that over ν is 1, found by Newton's
// method on the reciprocal of that norm, which is concave, so that the iterates ascend.
//
// Source: J. Moré and D. Sorensen, "Computing a trust region step", SIAM J. Sci. Stat.
// Comput. 4 (1983), 553–572.
func (b *basis) step(c []float64, a, d float64) {
	_, size := norms(c)
	if size <= a {
		clear(c)
		return
	}
	if a == 0 {
		for i, square := range b.square {
			c[i] /= square + d
		}
		return
	}
	nu := 0.0
	const most = 100
	for range most {
		psi, slope := 0.0, 0.0
		for i, square := range b.square {
			q := c[i] / ((square+d)*nu + a)
			psi += q * q
			slope += q * q * (square + d) / ((square+d)*nu + a)
		}
		move := psi * (math.Sqrt(psi) - 1) / slope
		nu += move
		if move <= 2*epsilon*nu {
			break
		}
	}
	for i, square := range b.square {
		c[i] *= nu / ((square+d)*nu + a)
	}
}

// descend moves the groups of a working set in turn until the gap over them is small
// enough.
func (s *groupwise) descend(lambda float64, work []int32, gap float64, check func() error) error {
	const passes, most = 5, 2000 // between two looks at the gap; looks
	history := newExtrapolation(s.set, passes)
	for range most {
		history.begin(s.gather(work))
		for range passes {
			if err := check(); err != nil {
				return err
			}
			for _, at := range work {
				if err := s.move(&s.groups[at], lambda, check); err != nil {
					return err
				}
			}
			history.add(s.gather(work))
		}
		c := s.certify(lambda, work)
		if c.gap <= gap*c.objective {
			return nil
		}
		if theta := history.limit(); theta != nil {
			s.accept(lambda, work, theta, c.objective)
		}
		if s.stalled(history) {
			return nil
		}
	}
	return nil
}

// stalled says that the last pass changed nothing.
func (s *groupwise) stalled(e *extrapolation) bool {
	return slices.Equal(e.points[len(e.points)-1], e.points[len(e.points)-2])
}

// gather are the coefficients of a working set.
func (s *groupwise) gather(work []int32) []float64 {
	var out []float64
	for _, at := range work {
		for _, j := range s.groups[at].cols {
			out = append(out, s.theta[j])
		}
	}
	return out
}

// scatter is the inverse of gather.
func (s *groupwise) scatter(work []int32, theta []float64) {
	for _, at := range work {
		for _, j := range s.groups[at].cols {
			s.theta[j], theta = theta[0], theta[1:]
		}
	}
}

// accept takes extrapolated coefficients if the objective is smaller there.
func (s *groupwise) accept(lambda float64, work []int32, theta []float64, objective float64) {
	before, rest := s.gather(work), s.rest
	s.scatter(work, theta)
	s.refresh()
	value := lambda * s.penalty()
	for _, r := range s.rest {
		value += r * r / 2
	}
	if !(value < objective) {
		s.scatter(work, before)
		s.rest = rest
	}
	s.setDual()
}

// move puts a group where it is best given the others. dual is up to date before and
// after.
func (s *groupwise) move(g *group, lambda float64, check func() error) error {
	sum := 0.0
	for _, v := range s.dual {
		sum += v
	}
	c := s.correlations(*g, sum)
	a, d := s.strengths(*g, lambda)
	norm := s.norm(*g)
	if _, size := norms(c); norm == 0 && size <= a {
		return nil
	}
	if g.basis == nil {
		var err error
		if g.basis, err = s.newBasis(*g, check); err != nil {
			return err
		}
	}
	theta := make([]float64, len(g.cols))
	for i, j := range g.cols {
		theta[i] = s.theta[j]
	}
	u := make([]float64, len(g.basis.v))
	for i, v := range g.basis.v {
		u[i] = kernel.Dot64(s.set, v, c) + g.basis.square[i]*kernel.Dot64(s.set, v, theta)
	}
	g.basis.step(u, a, d)
	after := make([]float64, len(theta))
	for i, v := range g.basis.v {
		kernel.Axpy64(s.set, after, u[i], v)
	}
	s.shift(g, theta, after)
	return nil
}

// shift moves a group's coefficients and brings rest and dual up to date.
func (s *groupwise) shift(g *group, before, after []float64) {
	clear(s.delta)
	constant, changed := 0.0, false
	for i, j := range g.cols {
		s.theta[j] = after[i]
		if d := after[i] - before[i]; d != 0 {
			constant += s.axpy(int(j), d, s.delta)
			changed = true
		}
	}
	if !changed {
		return
	}
	for i, d := range s.delta {
		s.rest[i] -= s.root[i] * (d + constant)
	}
	if s.freeColumns { // what moved is centred, so that the intercept stays
		s.free.remove(s.rest)
	}
	s.setDual()
}

// extrapolation guesses the limit of iterates from the last few.
//
// Source: Q. Bertrand and M. Massias, "Anderson acceleration of coordinate descent",
// AISTATS 2021, algorithm 1.
type extrapolation struct {
	set    kernel.Set
	depth  int
	points [][]float64
}

func newExtrapolation(set kernel.Set, depth int) *extrapolation {
	return &extrapolation{set: set, depth: depth}
}

func (e *extrapolation) begin(x []float64) { e.points = append(e.points[:0], x) }

func (e *extrapolation) add(x []float64) { e.points = append(e.points, x) }

// limit is the combination of the points with weights of sum 1 whose steps combine to
// the shortest; nil if the steps are too much alike to tell.
func (e *extrapolation) limit() []float64 {
	steps := make([][]float64, e.depth)
	for k := range steps {
		steps[k] = make([]float64, len(e.points[k]))
		for i := range steps[k] {
			steps[k][i] = e.points[k+1][i] - e.points[k][i]
		}
	}
	weights := shortest(e.set, steps)
	if weights == nil {
		return nil
	}
	out := make([]float64, len(e.points[0]))
	for k, w := range weights {
		for i, x := range e.points[k+1] {
			out[i] += w * x
		}
	}
	return out
}

// shortest are weights of sum 1 that minimise the norm of Σ w_k x_k: the solution of
// XᵀX w = 1, scaled; nil if that is singular.
func shortest(set kernel.Set, x [][]float64) []float64 {
	k := len(x)
	gram := make([][]float64, k)
	trace := 0.0
	for i := range gram {
		gram[i] = make([]float64, k+1)
		for j := range k {
			gram[i][j] = kernel.Dot64(set, x[i], x[j])
		}
		gram[i][k] = 1
		trace += gram[i][i]
	}
	for i := range k { // Gauss–Jordan elimination; the matrix is symmetric positive
		const ridge = 1e-15
		if gram[i][i] += ridge * trace; !(gram[i][i] > 0) {
			return nil
		}
		for l := range k {
			if l == i {
				continue
			}
			f := gram[l][i] / gram[i][i]
			for j := i; j <= k; j++ {
				gram[l][j] -= f * gram[i][j]
			}
		}
	}
	weights, sum := make([]float64, k), 0.0
	for i := range weights {
		weights[i] = gram[i][k] / gram[i][i]
		sum += weights[i]
	}
	if sum == 0 || math.IsNaN(sum) || math.IsInf(sum, 0) {
		return nil
	}
	for i := range weights {
		weights[i] /= sum
	}
	return weights
}
