package linear

import (
	"cmp"
	"math"
	"slices"
)

// groupwise solves a gaussian problem with the penalty
//
//	R = Σ_g w_g (α‖θ_g‖₂ + (1−α)/2 ‖θ_g‖₂²)
//
// by descent over whole groups, each moved to where it is best given the others. A
// group of weight 0 has no penalty at all, and groups of one column with w_g = f_j are
// the elastic net. At λ = 0 the solution is the one of least squares with the smallest
// ‖θ‖₂ over penalised groups.
//
// Only a working set is moved; it grows by the groups that are nearest to moving until
// the duality gap over all groups is small. Groups that provably stay at 0 at this λ
// are not looked at again.
//
// Source: M. Yuan and Y. Lin, "Model selection and estimation in regression with grouped
// variables", J. R. Stat. Soc. B 68 (2006), 49–67; E. Ndiaye, O. Fercoq, A. Gramfort and
// J. Salmon, "Gap safe screening rules for sparsity enforcing penalties", J. Mach. Learn.
// Res. 18 (2017), 128; M. Massias, A. Gramfort and J. Salmon, "Celer: a fast solver for
// the lasso with dual extrapolation", ICML 2018.
type groupwise struct {
	*leastSquares
	groups []group // those with a penalty and a column that varies
	theta  []float64
	rest   []float64 // √w ∘ residual, less what free columns explain
	dual   []float64 // √w ∘ rest
	delta  []float64 // scratch
	// freeColumns: more than the intercept is without a penalty.
	freeColumns bool
}

// group is one of the penalised groups.
type group struct {
	cols   []int32
	weight float64 // w_g
	reach  float64 // ≥ the largest singular value of its columns
	basis  *basis  // nil until the group moves
}

func newGroupwise(t *task) (solver, error) {
	if t.alpha == 0 {
		return newRidge(t.withGroupFactors())
	}
	var free []int32
	members := make([][]int32, len(t.groupFactor))
	for j, g := range t.group {
		switch {
		case math.IsInf(t.factor[j], 1):
		case t.groupFactor[g] == 0:
			free = append(free, int32(j))
		default:
			members[g] = append(members[g], int32(j))
		}
	}
	s := &groupwise{leastSquares: newLeastSquares(t, free), theta: make([]float64, t.cols),
		dual: make([]float64, t.rows), delta: make([]float64, t.rows), freeColumns: len(free) > 0}
	for g, cols := range members {
		if len(cols) == 0 {
			continue
		}
		square := 0.0
		for _, j := range cols {
			square += t.squares[j]
		}
		s.groups = append(s.groups, group{cols: cols, weight: t.groupFactor[g], reach: math.Sqrt(square)})
	}
	return s, nil
}

// withGroupFactors gives every column the weight of its group, which is the same
// penalty where it is quadratic.
func (t *task) withGroupFactors() *task {
	out := *t
	out.factor = slices.Clone(t.factor)
	for j, g := range t.group {
		if !math.IsInf(t.factor[j], 1) {
			out.factor[j] = t.groupFactor[g]
		}
	}
	return &out
}

func (s *groupwise) null() (fitted, float64, error) {
	clear(s.theta)
	f, rest := s.complete(math.Inf(1), slices.Clone(s.theta))
	if s.rounding(s.theta, rest) {
		f.loss = 0
		clear(rest)
	}
	s.rest = rest
	s.free.remove(s.rest)
	steepest := 0.0
	sum := s.setDual()
	for _, g := range s.groups {
		_, size := norms(s.correlations(g, sum))
		steepest = max(steepest, size/g.weight)
	}
	return f, steepest, nil
}

// setDual sets dual to √w ∘ rest and returns its sum.
func (s *groupwise) setDual() float64 {
	copy(s.dual, s.rest)
	return s.multiplyRoot(s.dual)
}

// correlations are those of a group's columns with dual.
func (s *groupwise) correlations(g group, sum float64) []float64 {
	c := make([]float64, len(g.cols))
	for i, j := range g.cols {
		c[i] = s.dot(int(j), s.dual, sum)
	}
	return c
}

func (s *groupwise) path(lambdas []float64, check func() error, emit func(fitted)) error {
	for _, l := range lambdas {
		f, err := s.solve(l, check)
		if err != nil {
			return err
		}
		emit(f)
	}
	return nil
}

// solve goes on from the last solution.
func (s *groupwise) solve(lambda float64, check func() error) (fitted, error) {
	if lambda == 0 {
		return s.unpenalised(check)
	}
	const rounds, share = 100, 0.3
	alive, size := s.all(), 0
	for range rounds {
		s.refresh()
		c := s.certify(lambda, alive)
		if c.gap <= s.gap*c.objective {
			if len(alive) == len(s.groups) {
				return s.fitted(lambda, c), nil
			}
			alive = s.all()
			continue
		}
		alive = s.screen(alive, &c)
		var work []int32
		work, size = s.workingSet(alive, &c, size)
		if err := s.descend(lambda, work, share*s.gap, check); err != nil {
			return fitted{}, err
		}
	}
	s.refresh()
	return s.fitted(lambda, s.certify(lambda, s.all())), nil
}

func (s *groupwise) all() []int32 {
	out := make([]int32, len(s.groups))
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

// fitted is theta, with what was certified of it.
func (s *groupwise) fitted(lambda float64, c certificate) fitted {
	theta := slices.Clone(s.theta)
	f, rest := s.complete(lambda, theta)
	f.penalty, f.gap, f.kkt = s.penalty(), c.gap+s.free.remove(rest)/2, c.kkt
	return f
}

// unpenalised is least squares with the smallest norm.
func (s *groupwise) unpenalised(check func() error) (fitted, error) {
	t := s.task.withGroupFactors()
	solver, err := newRidge(t)
	if err != nil {
		return fitted{}, err
	}
	if _, _, err := solver.null(); err != nil {
		return fitted{}, err
	}
	var out fitted
	err = solver.path([]float64{0}, check, func(f fitted) { out = f })
	clear(s.theta)
	for i, j := range out.index {
		if s.groupFactor[s.group[j]] > 0 {
			s.theta[j] = out.value[i]
		}
	}
	out.penalty = s.penalty()
	return out, err
}

// penalty is R at theta.
func (s *groupwise) penalty() float64 {
	sum := 0.0
	for _, g := range s.groups {
		norm := s.norm(g)
		sum += g.weight * (s.alpha*norm + (1-s.alpha)/2*norm*norm)
	}
	return sum
}

// norm is ‖θ_g‖₂.
func (s *groupwise) norm(g group) float64 {
	square := 0.0
	for _, j := range g.cols {
		square += s.theta[j] * s.theta[j]
	}
	return math.Sqrt(square)
}

// refresh computes rest anew, so that errors do not add up.
func (s *groupwise) refresh() {
	s.rest = s.residual(s.theta, 0)
	s.free.remove(s.rest)
}

// certificate is what theta and the dual point scale·rest say of each other.
type certificate struct {
	objective, gap, kkt float64
	// distance says of every group how far the dual point is from letting it move.
	distance []float64
}

// certify compares theta with the dual point scale·rest, scale ≤ 1 such that it is
// feasible, over some groups; others are at 0 and stay there.
func (s *groupwise) certify(lambda float64, some []int32) certificate {
	out := certificate{distance: make([]float64, len(some))}
	sum := s.setDual()
	sizes, products, off := make([]float64, len(some)), make([]float64, len(some)), make([]float64, len(some))
	s.each(len(some), func(i int) {
		g := s.groups[some[i]]
		c := s.correlations(g, sum)
		_, sizes[i] = norms(c)
		products[i], off[i] = s.compare(g, c, lambda)
	})
	scale := 1.0
	for i, at := range some {
		if a, b := s.strengths(s.groups[at], lambda); b == 0 && sizes[i] > a {
			scale = min(scale, a/sizes[i])
		}
		out.kkt = max(out.kkt, off[i]/lambda)
	}
	for _, r := range s.rest {
		out.objective += r * r / 2
		out.gap += (1 - scale) * (1 - scale) * r * r / 2
	}
	for i, at := range some {
		g := s.groups[at]
		a, b := s.strengths(g, lambda)
		norm := s.norm(g)
		out.objective += a*norm + b/2*norm*norm
		out.gap += groupExcess(a, b, norm, scale*sizes[i], scale*products[i])
		out.distance[i] = max(0, a-scale*sizes[i]) / g.reach
	}
	return out
}

// strengths are a and b of a‖θ_g‖ + b/2‖θ_g‖².
func (s *groupwise) strengths(g group, lambda float64) (a, b float64) {
	return lambda * g.weight * s.alpha, lambda * g.weight * (1 - s.alpha)
}

// compare is c·θ_g, and the distance of c from the subgradients at θ_g.
func (s *groupwise) compare(g group, c []float64, lambda float64) (product, violation float64) {
	a, b := s.strengths(g, lambda)
	norm := s.norm(g)
	if norm == 0 {
		_, size := norms(c)
		return 0, max(0, size-a)
	}
	off := make([]float64, len(c))
	for i, j := range g.cols {
		product += c[i] * s.theta[j]
		off[i] = c[i] - (a/norm+b)*s.theta[j]
	}
	_, violation = norms(off)
	return product, violation
}

// groupExcess is h(θ) + h*(c) − c·θ for h = a‖θ‖ + b/2‖θ‖², as a sum of terms that are
// not negative, from norm = ‖θ‖, size = ‖c‖ ≤ a if b = 0, and product = c·θ.
func groupExcess(a, b, norm, size, product float64) float64 {
	angle := max(0, size*norm-product)
	if b > 0 && size > a {
		u := (size - a) / b
		return angle + b/2*(norm-u)*(norm-u)
	}
	return angle + max(0, a-size)*norm + b/2*norm*norm
}

// screen drops the groups that are 0 in every solution: the dual solution is within
// √(2·gap) of the dual point, in the norm of rest.
func (s *groupwise) screen(some []int32, c *certificate) []int32 {
	radius := math.Sqrt(2 * c.gap)
	kept, distance := some[:0], c.distance[:0]
	for i, at := range some {
		if c.distance[i] <= radius {
			kept, distance = append(kept, at), append(distance, c.distance[i])
			continue
		}
		for _, j := range s.groups[at].cols {
			s.theta[j] = 0
		}
	}
	c.distance = distance
	return kept
}

// workingSet is what has moved and as many again that are nearest to moving; size is
// that of the last one, and no later one is smaller.
func (s *groupwise) workingSet(alive []int32, c *certificate, size int) ([]int32, int) {
	const least = 10
	order := make([]int, len(alive))
	moved := 0
	for i, at := range alive {
		order[i] = i
		if s.norm(s.groups[at]) > 0 {
			c.distance[i] = -1
			moved++
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(c.distance[a], c.distance[b]) })
	size = min(max(2*moved, least, size), len(alive))
	work := make([]int32, size)
	for i := range work {
		work[i] = alive[order[i]]
	}
	slices.Sort(work)
	return work, 2 * size
}
