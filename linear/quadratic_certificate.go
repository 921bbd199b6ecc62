package linear

import (
	"math"

	"github.com/compactify/compactify/internal/algebra"
	"github.com/compactify/compactify/internal/kernel"
)

// certify adds gap and KKT residual to a solution with its loss: c are the correlations
// of all columns with the weighted residual.
//
// The dual point is the weighted residual, times a share ≤ 1 where the ℓ1 norm alone
// must hold correlations, less its projection on the columns that nothing holds. The
// gap is the Fenchel–Young sum of that point:
//
//	½ Σ w (r − ν/w)² + Σ_j h_j(θ_j) + h_j*(x̃_jᵀν) − θ_j x̃_jᵀν
//
// in which every term is ≥ 0. Of the two ends of the range of shares the better one
// counts.
func (s *quadratic) certify(f *fitted, c []float64) {
	projected := s.projection(f, c)
	share := s.feasible(f.lambda, c, projected)
	gap := s.gapAt(f, c, share, projected)
	if share < 1 && s.alpha < 1 {
		gap = min(gap, s.gapAt(f, c, 1, projected))
	}
	f.gap = gap
	f.kkt = s.distance(f, c)
}

// loose says that the penalty does not hold a correlation c.
func (s *quadratic) loose(h term, c float64) bool {
	return h.a == 0 && h.b == 0 && (c > 0 && math.IsInf(h.upper, 1) || c < 0 && math.IsInf(h.lower, -1))
}

// noise is the rounding of a correlation.
func (s *quadratic) noise(j int) float64 {
	return 1e-14 * math.Sqrt(s.power*s.squares[j])
}

// projection is the weighted norm of the part of the residual that columns without
// any penalty or bound still explain; +Inf if there is one that the solution did not
// let move.
func (s *quadratic) projection(f *fitted, c []float64) float64 {
	if f.lambda > 0 && !s.unpenalised {
		return 0
	}
	var block [][]float64
	var z []float64
	var columns []int32
	at := 0
	for j, x := range c {
		theta := 0.0
		if at < len(f.index) && f.index[at] == j {
			theta = f.value[at]
			at++
		}
		h := s.term(j, f.lambda)
		switch {
		case h.a != 0 || h.b != 0:
		case theta > h.lower && theta < h.upper && theta != 0 && s.gram.slot[j] >= 0:
			columns, z = append(columns, int32(j)), append(z, x)
		case s.loose(h, x) && math.Abs(x) > s.noise(j):
			return math.Inf(1)
		}
	}
	for e, j := range columns {
		row := make([]float64, e+1)
		for i, k := range columns[:e+1] {
			row[i] = s.gram.at(j, k)
		}
		block = append(block, row)
	}
	root, taken := algebra.Factor{Set: s.set}, make([]bool, len(block))
	root.AppendBlock(block, taken)
	rest := z[:0]
	for e, ok := range taken {
		if ok {
			rest = append(rest, z[e])
		}
	}
	root.Forward(rest)
	return math.Sqrt(kernel.Dot64(s.set, rest, rest))
}

// below1 keeps a product with a share from rounding up.
const below1 = 1 - 4e-16

// feasible is the largest share ≤ 1 of the residual that the ℓ1 norms allow, after a
// projection of the given norm.
func (s *quadratic) feasible(lambda float64, c []float64, projected float64) float64 {
	share := 1.0
	a := lambda * s.alpha
	if s.plain && projected == 0 && a > 0 {
		most := largest(c)
		if most > a {
			share = a / most * below1
		}
		return share
	}
	for j, x := range c {
		h := s.term(j, lambda)
		if h.a == 0 || x > 0 && !math.IsInf(h.upper, 1) || x < 0 && !math.IsInf(h.lower, -1) {
			continue
		}
		if most := math.Abs(x) + projected*math.Sqrt(s.squares[j]); most > h.a {
			share = min(share, h.a/most*below1)
		}
	}
	return share
}

// gapAt is the gap for a share of the residual.
func (s *quadratic) gapAt(f *fitted, c []float64, share, projected float64) float64 {
	rest := 1 - share
	gap := rest*rest*f.loss + share*projected*projected*(rest+share/2)
	at := 0
	a := f.lambda * s.alpha
	for j, x := range c {
		theta := 0.0
		if at < len(f.index) && f.index[at] == j {
			theta = f.value[at]
			at++
		} else if s.plain && math.Abs(share*x) <= a {
			continue
		}
		h := s.term(j, f.lambda)
		if s.loose(h, x) {
			continue // projected
		}
		gap += h.excess(theta, share*x) + math.Abs(theta)*projected*math.Sqrt(s.squares[j])
	}
	return gap
}

// distance is the largest violation of the conditions of optimality, in units of λ if
// that is not 0.
func (s *quadratic) distance(f *fitted, c []float64) float64 {
	most, at := 0.0, 0
	a := f.lambda * s.alpha
	for j, x := range c {
		theta := 0.0
		if at < len(f.index) && f.index[at] == j {
			theta = f.value[at]
			at++
		} else if s.plain && math.Abs(x) <= a {
			continue
		}
		h := s.term(j, f.lambda)
		most = max(most, h.violation(theta, x))
	}
	if f.lambda > 0 {
		most /= f.lambda
	}
	return most
}
