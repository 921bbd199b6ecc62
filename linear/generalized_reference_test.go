package linear

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// drawn is a problem with every second column sparse, targets drawn from a model.
func drawn(r *rand.Rand, family Family, n, p int) Problem {
	x := make([]float64, n*p)
	for i := range x {
		if j := i / n; j%2 == 0 || r.IntN(4) == 0 {
			x[i] = r.NormFloat64() * float64(1+j%3)
		}
	}
	m, err := NewDense(n, p, x)
	if err != nil {
		panic(err)
	}
	problem := Problem{X: m, Family: family, Y: make([]float64, n)}
	if family == Multinomial {
		problem.Classes = 3
	}
	for i := range problem.Y {
		eta := 0.0
		for j := range min(p, 3) {
			eta += x[j*n+i] * float64(1-2*(j%2)) / 2
		}
		switch family {
		case Binomial:
			if r.Float64() < 1/(1+math.Exp(-eta)) {
				problem.Y[i] = 1
			}
		case Multinomial:
			problem.Y[i] = float64(r.IntN(3))
			if eta > 0.7 {
				problem.Y[i] = 2
			}
		case Poisson:
			for limit := math.Exp(-math.Exp(min(2, eta))); ; problem.Y[i]++ {
				if limit /= r.Float64(); limit >= 1 {
					break
				}
			}
		}
	}
	copy(problem.Y, []float64{0, 1}) // all classes
	if family == Multinomial {
		problem.Y[2] = 2
	}
	return problem
}

// thinned is the problem with a compressed matrix.
func thinned(p Problem) Problem {
	start := []int{0}
	var row []int32
	var value []float64
	for j := range p.X.cols {
		for i, x := range p.X.column(j) {
			if x != 0 {
				row, value = append(row, int32(i)), append(value, x)
			}
		}
		start = append(start, len(row))
	}
	m, err := NewSparse(p.X.rows, p.X.cols, start, row, value)
	if err != nil {
		panic(err)
	}
	p.X = m
	return p
}

// naive is a problem written out: standardised columns in rows of examples, and all
// that follows from them by the textbook's formulas.
type naive struct {
	Problem
	pen       Penalty
	x         [][]float64 // [n][p]
	w         []float64
	k         int
	intercept bool
	theta     [][]float64 // [K][p]
	bias      []float64
	lambda    float64
}

func spell(p Problem, pen Penalty, o Options, path *Path, pt Point) *naive {
	s := &naive{Problem: p, pen: pen, k: path.Responses, intercept: o.Intercept, lambda: pt.Lambda}
	n, cols := p.X.rows, p.X.cols
	s.w = make([]float64, n)
	sum := 0.0
	for i := range s.w {
		s.w[i] = 1
		if p.Weights != nil {
			s.w[i] = p.Weights[i]
		}
		sum += s.w[i]
	}
	for i := range n {
		s.w[i] /= sum
		s.x = append(s.x, make([]float64, cols))
		for j := range cols {
			s.x[i][j] = -path.Center[j] / path.Scale[j]
		}
	}
	for j := range cols {
		if p.X.dense != nil {
			for i, v := range p.X.column(j) {
				s.x[i][j] += v / path.Scale[j]
			}
			continue
		}
		row, value := p.X.entries(j)
		for e, i := range row {
			s.x[i][j] += value[e] / path.Scale[j]
		}
	}
	s.bias = slices.Clone(pt.Intercept)
	for range s.k {
		s.theta = append(s.theta, make([]float64, cols))
	}
	for i, at := range pt.Index {
		k, j := at/cols, at%cols
		s.theta[k][j] = pt.Value[i] * path.Scale[j]
		if o.Intercept {
			s.bias[k] += pt.Value[i] * path.Center[j]
		}
	}
	return s
}

func (s *naive) term(j int) term {
	h := term{lower: math.Inf(-1), upper: math.Inf(1)}
	f := 1.0
	if s.pen.Factors != nil {
		f = s.pen.Factors[j]
	}
	h.a, h.b = s.lambda*f*s.pen.Alpha, s.lambda*f*(1-s.pen.Alpha)
	return h
}

// cells are the expected values, loss the example's loss at η.
func (s *naive) cells(i int) (cell []float64, loss float64) {
	eta := make([]float64, s.k)
	for k := range eta {
		eta[k] = s.bias[k]
		if s.Offset != nil {
			eta[k] += s.Offset[k*len(s.Y)+i]
		}
		for j, x := range s.x[i] {
			eta[k] += x * s.theta[k][j]
		}
	}
	y := s.Y[i]
	switch s.Family {
	case Binomial:
		return []float64{1 / (1 + math.Exp(-eta[0]))}, softplus(eta[0]) - y*eta[0]
	case Poisson:
		return []float64{math.Exp(eta[0])}, math.Exp(eta[0]) - y*eta[0]
	}
	sum := 0.0
	for _, e := range eta {
		sum += math.Exp(e)
	}
	for k, e := range eta {
		cell = append(cell, math.Exp(e)/sum)
		_ = k
	}
	return cell, math.Log(sum) - eta[int(y)]
}

func (s *naive) objective() float64 {
	total := 0.0
	for i := range s.Y {
		_, loss := s.cells(i)
		total += s.w[i] * loss
	}
	for k := range s.theta {
		for j, t := range s.theta[k] {
			h := s.term(j)
			total += h.value(t)
		}
	}
	return total
}

// observed is what cells are compared with.
func (s *naive) observed(i, k int) float64 {
	if s.Family != Multinomial {
		return s.Y[i]
	}
	if int(s.Y[i]) == k {
		return 1
	}
	return 0
}

// negativeConjugate is −ℓ*(−ν/w) of an example whose dual cells are u.
func (s *naive) negativeConjugate(i int, u []float64) float64 {
	entropy := func(u float64) float64 {
		if u <= 0 {
			return 0
		}
		return -u * math.Log(u)
	}
	switch s.Family {
	case Binomial:
		return entropy(u[0]) + entropy(1-u[0])
	case Poisson:
		return entropy(u[0]) + u[0]
	}
	sum := 0.0
	for _, u := range u {
		sum += entropy(u)
	}
	return sum
}

// dual is the dual objective at a point made from the primal one: residuals, moved by
// a D-weighted projection so that their sum vanishes, shrunk into the constraints.
// Equalities of unpenalised columns are checked, not enforced.
func (s *naive) dual(t *testing.T) float64 {
	n := len(s.Y)
	v := make([][]float64, s.k)
	for k := range v {
		v[k] = make([]float64, n)
	}
	for i := range n {
		cell, _ := s.cells(i)
		for k := range v {
			v[k][i] = s.w[i] * (s.observed(i, k) - cell[k])
		}
	}
	if s.intercept {
		for k := range v { // at the minimum this is rounding
			sum, mass := 0.0, 0.0
			for i := range n {
				sum += v[k][i]
				mass += math.Abs(v[k][i])
			}
			if math.Abs(sum) > 1e-9 {
				t.Errorf("residuals of response %d: sum %v", k, sum)
			}
			for i := range n {
				v[k][i] -= sum * math.Abs(v[k][i]) / mass
			}
		}
	}
	corr := make([][]float64, s.k)
	shrink := 1.0
	for k := range corr {
		corr[k] = make([]float64, len(s.x[0]))
		for j := range corr[k] {
			for i := range n {
				corr[k][j] += s.x[i][j] * v[k][i]
			}
			h := s.term(j)
			if h.b == 0 && h.a > 0 && (corr[k][j] > h.a && s.upper(j) == math.Inf(1) || corr[k][j] < -h.a && s.lower(j) == math.Inf(-1)) {
				shrink = min(shrink, h.a/math.Abs(corr[k][j]))
			}
		}
	}
	total := 0.0
	for i := range n {
		if s.w[i] == 0 {
			continue
		}
		u := make([]float64, s.k)
		for k := range u {
			u[k] = s.observed(i, k) - shrink*v[k][i]/s.w[i]
			if u[k] < -1e-12 {
				t.Errorf("example %d: dual cell %v", i, u[k])
			}
			if s.Offset != nil {
				total -= shrink * v[k][i] * s.Offset[k*n+i]
			}
		}
		total += s.w[i] * s.negativeConjugate(i, u)
	}
	for k := range corr {
		for j, c := range corr[k] {
			h := s.term(j)
			h.lower, h.upper = s.lower(j), s.upper(j)
			if h.a == 0 && h.b == 0 && math.Abs(c) < 1e-9 {
				total -= math.Abs(c * s.theta[k][j])
				continue
			}
			total -= h.conjugate(shrink * c)
		}
	}
	return total
}

// bounds of θ; the scale is 1 in tests that have them.
func (s *naive) lower(j int) float64 {
	if s.pen.Lower == nil {
		return math.Inf(-1)
	}
	return s.pen.Lower[j]
}

func (s *naive) upper(j int) float64 {
	if s.pen.Upper == nil {
		return math.Inf(1)
	}
	return s.pen.Upper[j]
}

// descent is plain proximal gradient descent, the slowest and simplest reference.
func (s *naive) descent(steps int) {
	n := len(s.Y)
	objective := s.objective()
	for rate := 1.0; steps > 0; steps-- {
		grad := make([][]float64, s.k)
		gradBias := make([]float64, s.k)
		for k := range grad {
			grad[k] = make([]float64, len(s.x[0]))
		}
		for i := range n {
			cell, _ := s.cells(i)
			for k := range grad {
				v := s.w[i] * (cell[k] - s.observed(i, k))
				gradBias[k] += v
				for j, x := range s.x[i] {
					grad[k][j] += x * v
				}
			}
		}
		theta, bias := make([][]float64, s.k), slices.Clone(s.bias)
		for k := range theta {
			theta[k] = slices.Clone(s.theta[k])
		}
		for {
			for k := range theta {
				if s.intercept {
					s.bias[k] = bias[k] - rate*gradBias[k]
				}
				for j := range theta[k] {
					h := s.term(j)
					h.lower, h.upper = s.lower(j), s.upper(j)
					s.theta[k][j] = h.step(1/rate, (theta[k][j]-rate*grad[k][j])/rate)
				}
			}
			if after := s.objective(); after <= objective {
				objective = after
				break
			}
			if rate /= 2; rate < 1e-6 {
				return
			}
		}
	}
}
