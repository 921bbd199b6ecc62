package linear

import (
	"math"

	"github.com/compactify/compactify/internal/algebra"
	"github.com/compactify/compactify/internal/kernel"
)

// descend minimises over the columns of work by cyclic coordinate descent where more
// columns move than a factor has memory for. It stops when the gap among them is half
// the one allowed, or after a number of sweeps.
//
// Source: J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized
// linear models via coordinate descent", J. Stat. Software 33 (2010), no. 1.
func (s *quadratic) descend(work []int32) {
	s.gather(work)
	s.remainder()
	s.sum()
	terms := make([]term, len(work))
	for i, j := range work {
		terms[i] = s.term(int(j), s.lambda)
	}
	const most, between = 20000, 8
	active := make([]int, 0, len(work))
	for sweep := range most {
		if sweep%between == 0 {
			active = active[:0]
			for i, j := range work {
				s.update(j, terms[i])
				if s.theta[j] != 0 {
					active = append(active, i)
				}
			}
			s.gather(work)
			s.look(work)
			s.sum()
			if s.converged(work) {
				return
			}
			continue
		}
		for _, i := range active {
			s.update(work[i], terms[i])
		}
	}
	s.gather(work)
	s.look(work)
}

// update minimises over one coefficient and keeps the residual, but for a number that
// is the same for all rows and that centred columns do not feel, and its sum.
func (s *quadratic) update(j int32, h term) {
	q := s.squares[j]
	if q+h.b == 0 {
		return
	}
	old := s.theta[j]
	x := h.step(q, s.covariance(j)+q*old)
	if x != old {
		s.theta[j] = x
		s.axpy(int(j), old-x, s.residual)
		s.total += (old - x) * s.center[j] / s.scale[j]
	}
}

// covariance is Σ w x̃_j residual.
func (s *quadratic) covariance(j int32) float64 {
	sum := 0.0
	if s.dense != nil {
		sum = kernel.WeightedDot64(s.set, s.weights, s.column(int(j)), s.residual)
	} else {
		row, value := s.entries(int(j))
		for k, i := range row {
			sum += s.weights[i] * value[k] * s.residual[i]
		}
	}
	return (sum - s.center[j]*s.total) / s.scale[j]
}

// sum brings the weighted sum of the residual up to date.
func (s *quadratic) sum() {
	s.total = kernel.Dot64(s.set, s.weights, s.residual)
}

// gather makes the lists of what moves from the coefficients; there is no factor.
func (s *quadratic) gather(work []int32) {
	s.moving, s.held, s.root = s.moving[:0], s.held[:0], algebra.Factor{Set: s.set}
	for _, j := range work {
		s.status[j] = resting
		if s.theta[j] != 0 {
			s.status[j] = moving
			s.moving = append(s.moving, j)
		}
	}
}

// converged says whether the gap among the columns of work is small enough.
func (s *quadratic) converged(work []int32) bool {
	f := s.solution(s.lambda)
	c := make([]float64, s.cols)
	for _, j := range work {
		c[j] = s.pivots.correlation[j]
	}
	s.certify(&f, c)
	return f.gap <= s.gap/2*math.Abs(f.objective())
}
