package linear

import "math"

// ridge solves a gaussian problem with a quadratic penalty only, in closed form for
// all λ from one decomposition. With A = diag(√w) X̃ diag(1/√f) of the penalised
// columns, less what unpenalised ones and the intercept can do, and z the targets
// treated alike,
//
//	√f ∘ θ = Σ_i σ_i (u_iᵀz) / (σ_i² + λ) v_i,    A = Σ_i σ_i u_i v_iᵀ.
//
// λ = 0 is the limit λ → 0: of all minimisers of the loss the one with the smallest
// penalty. Beside the data there are min(n, p)² numbers and a block of rows or
// columns, so that memory stays within 1.3 times the data where one side is at least
// four times the other.
type ridge struct {
	*leastSquares
	penalised []int32 // columns
	spectrum  *spectrum
}

// ridgeSide is the largest min(n, p) that is decomposed; beyond it coordinate descent
// takes less memory.
const ridgeSide = 1 << 13

func newRidge(t *task) (solver, error) {
	var free, penalised []int32
	for j, f := range t.factor {
		switch {
		case f == 0:
			free = append(free, int32(j))
		case !math.IsInf(f, 1):
			penalised = append(penalised, int32(j))
		}
	}
	if min(len(penalised), t.rows) > ridgeSide {
		return newQuadratic(t)
	}
	return &ridge{leastSquares: newLeastSquares(t, free), penalised: penalised}, nil
}

func (s *ridge) null() (fitted, float64, error) {
	f, c, _ := s.at(math.Inf(1), nil)
	steepest := 0.0
	for _, j := range s.penalised {
		steepest = max(steepest, math.Abs(c[j])/s.factor[j])
	}
	return f, steepest, nil
}

func (s *ridge) path(lambdas []float64, check func() error, emit func(fitted)) error {
	if len(s.penalised) > 0 {
		var err error
		if s.spectrum, err = s.decompose(s.penalised, check); err != nil {
			return err
		}
	}
	for _, l := range lambdas {
		if err := check(); err != nil {
			return err
		}
		emit(s.solve(l))
	}
	return nil
}

// solve is the closed form, corrected at most twice by what rounding leaves of the
// normal equations if the gap is not small enough yet.
//
// Source: Å. Björck, "Numerical Methods for Least Squares Problems" (1996), section 6.6.5.
func (s *ridge) solve(lambda float64) fitted {
	if s.spectrum == nil {
		f, _, _ := s.at(lambda, nil)
		return f
	}
	v := s.spectrum.solve(lambda)
	f, c, rest := s.at(lambda, s.coefficients(v))
	for range 2 {
		if f.relativeGap() <= s.gap {
			break
		}
		g := s.gradient(c, rest)
		for i := range g {
			g[i] -= lambda * v[i]
		}
		for i, d := range s.spectrum.correct(g, lambda) {
			v[i] += d
		}
		var better fitted
		if better, c, rest = s.at(lambda, s.coefficients(v)); better.gap >= f.gap {
			break
		}
		f = better
	}
	return f
}

// coefficients are those of the penalised columns, from √f ∘ θ or, of a wide matrix,
// from v over rows with √f ∘ θ = Aᵀv.
func (s *ridge) coefficients(v []float64) []float64 {
	theta := append([]float64(nil), v...)
	if s.spectrum.wide {
		dual := theta
		s.free.remove(dual)
		sum := s.multiplyRoot(dual)
		theta = make([]float64, len(s.penalised))
		s.correlate([][]float64{theta}, s.penalised, [][]float64{dual}, []float64{sum})
		for i, j := range s.penalised {
			theta[i] /= s.factor[j]
		}
		return theta
	}
	for i, j := range s.penalised {
		theta[i] /= math.Sqrt(s.factor[j])
	}
	return theta
}

// at is the solution with these coefficients of the penalised columns, nil meaning
// zeros, and its certificate; the correlations of all columns, and √w ∘ residual less
// what unpenalised columns could still do.
func (s *ridge) at(lambda float64, theta []float64) (f fitted, c, rest []float64) {
	all := make([]float64, s.cols)
	for i, v := range theta {
		all[s.penalised[i]] = v
	}
	f, rest = s.complete(lambda, all)
	for _, j := range s.penalised {
		f.penalty += s.factor[j] / 2 * all[j] * all[j]
	}
	c = s.certify(&f, all, rest)
	return f, c, rest
}

// certify sets the gap of f to the dual point that is the residual less its parts along
// unpenalised columns, and the distance from the optimality conditions. It leaves the
// dual point in rest and returns its correlations. A residual that is no more than
// rounding where nothing else counts is a perfect fit: loss and gap are 0.
//
// Source: S. Boyd and L. Vandenberghe, "Convex Optimization" (2004), section 5.5.1,
// the gap written as a sum of Fenchel–Young terms.
func (s *ridge) certify(f *fitted, theta, rest []float64) []float64 {
	c := make([]float64, s.cols)
	if s.rounding(theta, rest) && (f.lambda == 0 || f.penalty == 0) {
		f.loss = 0
		return c
	}
	f.gap = s.free.remove(rest) / 2
	rooted := append([]float64(nil), rest...)
	sum := s.multiplyRoot(rooted)
	s.correlate([][]float64{c}, nil, [][]float64{rooted}, []float64{sum})
	if math.IsInf(f.lambda, 1) {
		return c
	}
	if f.lambda == 0 && s.spectrum != nil {
		f.gap += s.spectrum.within(s.gradient(c, rest)) / 2
	}
	for _, j := range s.penalised {
		h := s.term(int(j), f.lambda)
		f.kkt = max(f.kkt, h.violation(theta[j], c[j]))
		if f.lambda > 0 {
			f.gap += h.excess(theta[j], c[j])
		}
	}
	if f.lambda > 0 {
		f.kkt /= f.lambda
	}
	f.gap = min(f.gap, f.objective()) // of the dual point 0
	return c
}

// gradient is Aᵀrest, or a copy of rest if the matrix is wide.
func (s *ridge) gradient(c, rest []float64) []float64 {
	if s.spectrum.wide {
		return append([]float64(nil), rest...)
	}
	g := make([]float64, len(s.penalised))
	for i, j := range s.penalised {
		g[i] = c[j] / math.Sqrt(s.factor[j])
	}
	return g
}
