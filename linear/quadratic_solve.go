package linear

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
)

// staleRidge is how far the quadratic penalty may fall below the one in the factor
// before the factor is made anew: conjugate gradients that it preconditions have a
// condition number of at most this.
const staleRidge = 1.5

// refresh makes the factor anew if its quadratic penalty is too far from the one of λ.
func (s *quadratic) refresh() {
	ridge := s.quadraticPart()
	if len(s.moving) > 0 && ridge <= s.ridge && s.ridge <= staleRidge*ridge {
		return
	}
	same := s.ridge == ridge
	s.ridge = ridge
	if same || len(s.moving) == 0 {
		return
	}
	columns := append([]int32(nil), s.moving...)
	s.moving = s.moving[:0]
	s.root.Reset()
	for _, j := range columns {
		s.status[j] = resting
	}
	all := columns
	for len(columns) > 0 {
		part := columns[:min(appendBlock, len(columns))]
		columns = columns[len(part):]
		s.enterBlock(part)
	}
	for _, j := range all {
		if s.status[j] == resting { // does not fit any more
			s.theta[j] = 0
		}
	}
}

// quadraticPart is λ(1−α).
func (s *quadratic) quadraticPart() float64 {
	if s.alpha == 1 || math.IsInf(s.lambda, 1) {
		return 0
	}
	return s.lambda * (1 - s.alpha)
}

// solve returns the coefficients that make the gradient vanish for the moving columns
// with their kinks, in the factor's order.
func (s *quadratic) solve() []float64 {
	n := len(s.moving)
	s.rhs = grown(s.rhs, n)
	for i, j := range s.moving {
		s.rhs[i] = s.direct[j]
		if s.kink[j] != 0 {
			s.rhs[i] -= s.lambda * s.task.factor[j] * s.alpha * s.kink[j]
		}
	}
	if len(s.held) > 0 {
		v, product := s.bySlot(0), s.bySlot(1)
		for _, j := range s.held {
			v[s.gram.slot[j]] = s.theta[j]
		}
		s.gram.times(product, v)
		for i, j := range s.moving {
			s.rhs[i] -= product[s.gram.slot[j]]
		}
	}
	s.x = grown(s.x, n)
	if ridge := s.quadraticPart(); ridge != s.ridge {
		s.conjugate(ridge)
		return s.x
	}
	copy(s.x, s.rhs)
	s.root.Solve(s.x)
	return s.x
}

// refine corrects the moving coefficients by what the residual, computed anew, says
// that their correlations are off by, as long as that helps.
//
// Source: N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., 12.1.
func (s *quadratic) refine(work []int32) {
	const rounds = 5
	before := math.Inf(1)
	for range rounds {
		s.work = grown(s.work, len(s.moving))
		defect, most := s.work, 0.0
		for i, j := range s.moving {
			f := s.task.factor[j]
			d := s.pivots.correlation[j]
			if f > 0 {
				d -= s.lambda * f * (s.alpha*s.kink[j] + (1-s.alpha)*s.theta[j])
			}
			defect[i] = d
			most = max(most, math.Abs(d)/s.tolerance(j))
		}
		if s.alpha < 1 {
			most *= toleranceShare * s.gap / conjugateShare
		}
		if most <= 1 || most > before/2 {
			return
		}
		before = most
		s.root.Solve(defect)
		for i, j := range s.moving {
			s.theta[j] = s.nearest(j, s.theta[j]+defect[i])
		}
		s.look(work)
	}
}

// conjugate solves for x by conjugate gradients from the coefficients that there are,
// preconditioned by the factor, which has a larger ridge.
func (s *quadratic) conjugate(ridge float64) {
	n := len(s.moving)
	s.work = grown(s.work, 4*n)
	r, z, d, ad := s.work[:n], s.work[n:2*n], s.work[2*n:3*n], s.work[3*n:4*n]
	for i, j := range s.moving {
		s.x[i] = s.theta[j]
	}
	s.product(r, s.x, ridge)
	for i := range r {
		r[i] = s.rhs[i] - r[i]
	}
	enough := max(conjugateShare*s.lambda, 1e-15*math.Sqrt(s.power)*s.widest)
	last := 0.0
	for range conjugateRounds {
		if largest(r) <= enough {
			return
		}
		copy(z, r)
		s.root.Solve(z)
		now := kernel.Dot64(s.set, r, z)
		if last == 0 {
			copy(d, z)
		} else {
			for i := range d {
				d[i] = z[i] + now/last*d[i]
			}
		}
		last = now
		s.product(ad, d, ridge)
		step := now / kernel.Dot64(s.set, d, ad)
		if math.IsNaN(step) {
			return
		}
		for i := range d {
			s.x[i] += step * d[i]
			r[i] -= step * ad[i]
		}
	}
}

// The error of a correlation counts by its square in the gap of an elastic net.
const (
	conjugateShare  = 1e-10
	conjugateRounds = 40
)

// product sets dst to the matrix of the moving columns, plus a ridge, times x.
func (s *quadratic) product(dst, x []float64, ridge float64) {
	v, out := s.bySlot(0), s.bySlot(1)
	for i, j := range s.moving {
		v[s.gram.slot[j]] = x[i]
	}
	s.gram.times(out, v)
	for i, j := range s.moving {
		dst[i] = out[s.gram.slot[j]] + ridge*s.task.factor[j]*x[i]
	}
}

func largest(x []float64) float64 {
	out := 0.0
	for _, v := range x {
		out = max(out, math.Abs(v))
	}
	return out
}
