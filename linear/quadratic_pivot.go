package linear

import (
	"math"
	"slices"
)

// within minimises over the columns of work, all others being 0, from the state that
// the λ before left.
//
// Given which coefficients move and with which signs, their values solve a linear
// system. Those whose sign or bound it breaks come to rest; of those at rest the ones
// whose correlation the penalty does not hold start to move; all of them at once.
// Should the number of the wrong ones not fall for a while, one at a time does:
// coefficients go towards the solution only until the first comes to rest, and only
// the worst starts to move, so that the objective falls with every step and no set
// comes twice.
//
// Sources: J. J. Júdice and F. M. Pires, "A block principal pivoting algorithm for
// large-scale strictly monotone linear complementarity problems", Computers & Oper.
// Res. 21 (1994), 587–596; M. R. Osborne, B. Presnell, B. A. Turlach, "A new approach
// to variable selection in least squares problems", IMA J. Numer. Anal. 20 (2000),
// 389–403, for the steps one at a time.
func (s *quadratic) within(lambda float64, work []int32) {
	before := s.lambda
	s.lambda = lambda
	clear(s.blocked)
	if s.descending {
		s.descend(work)
		return
	}
	s.refresh()
	s.enter(s.foreseen(before, work))
	least, patience := math.MaxInt, pivotPatience
	for range pivotRounds {
		s.settle(patience == 0)
		s.look(work)
		s.refine(work)
		wrong := s.violators(work)
		if len(wrong) == 0 || s.descending {
			break
		}
		if len(wrong) < least && patience > 0 {
			least, patience = len(wrong), pivotPatience
		} else if patience > 0 {
			patience--
		}
		if patience == 0 {
			wrong = []int32{s.worst(wrong)}
		}
		if s.enter(wrong) == 0 {
			patience = 0
			s.exchange(s.worst(wrong))
		}
	}
	if s.descending {
		s.descend(work)
	}
}

const (
	pivotPatience = 4
	pivotRounds   = 4000
)

// foreseen are the columns that would start to move if correlations went on along
// their slopes, with their kinks set.
func (s *quadratic) foreseen(before float64, work []int32) []int32 {
	var out []int32
	step := 0.0
	if !math.IsInf(before, 1) {
		step = s.lambda - before
	}
	for _, j := range work {
		if s.status[j] != resting {
			continue
		}
		c := s.pivots.correlation[j] + s.slope[j]*step
		if s.wrong(j, c) {
			s.kink[j] = c
			out = append(out, j)
		}
	}
	return out
}

// wrong says that a coefficient does not belong where it is if its correlation is c.
func (s *quadratic) wrong(j int32, c float64) bool {
	if s.plain {
		over := math.Abs(c) - s.lambda*s.alpha
		return over > 0 && over > s.tolerance(j) && s.squares[j] != 0 && !s.blocked[j]
	}
	h := s.term(int(j), s.lambda)
	return h.violation(s.theta[j], c) > s.tolerance(j) && !s.blocked[j]
}

// tolerance is what correlations may be off by: a part of the gap allowed, but not
// less than rounding.
func (s *quadratic) tolerance(j int32) float64 {
	share := 0.0
	if f := s.task.factor[j]; f > 0 && !math.IsInf(s.lambda, 1) {
		share = toleranceShare * s.gap * s.lambda * f
	}
	return max(share, s.noise(int(j)))
}

const toleranceShare = 0.05

// violators are the columns of work that do not move and should, with their kinks set.
func (s *quadratic) violators(work []int32) []int32 {
	var out []int32
	for _, j := range work {
		if s.status[j] == moving {
			continue
		}
		if c := s.pivots.correlation[j]; s.wrong(j, c) {
			s.kink[j] = c
			out = append(out, j)
		}
	}
	return out
}

func (s *quadratic) worst(list []int32) int32 {
	best, at := math.Inf(-1), list[0]
	for _, j := range list {
		h := s.term(int(j), s.lambda)
		if v := h.violation(s.theta[j], s.pivots.correlation[j]); v > best {
			best, at = v, j
		}
	}
	return at
}

// settle solves for the moving coefficients until none of them breaks its sign or a
// bound; those that do come to rest there.
func (s *quadratic) settle(careful bool) {
	for {
		x := s.solve()
		step, first := 1.0, -1
		var out []int
		for i, j := range s.moving {
			limit := s.nearest(j, x[i])
			if limit == x[i] {
				continue
			}
			out = append(out, i)
			if t := max(0, (limit-s.theta[j])/(x[i]-s.theta[j])); t < step || first < 0 {
				step, first = t, i
			}
		}
		if len(out) == 0 {
			for i, j := range s.moving {
				s.theta[j] = x[i]
			}
			return
		}
		if careful {
			if j := s.moving[first]; step == 0 && s.theta[j] == 0 {
				s.blocked[j] = true // entered the wrong way: rounding
			}
			for i, j := range s.moving {
				s.theta[j] += step * (x[i] - s.theta[j])
			}
			out = append(out[:0], first)
		}
		slices.Reverse(out)
		for _, i := range out {
			s.leave(i, s.nearest(s.moving[i], x[i]))
		}
	}
}

// nearest is what the sign and the bounds of a moving coefficient leave of x.
func (s *quadratic) nearest(j int32, x float64) float64 {
	if s.kink[j]*x < 0 {
		x = 0
	}
	return s.clamped(j, x)
}

// leave takes position i out of the factor, its coefficient at a limit.
func (s *quadratic) leave(i int, limit float64) {
	j := s.moving[i]
	s.root.Delete(i)
	s.moving = slices.Delete(s.moving, i, i+1)
	s.put(j, limit)
}

// put lets a coefficient rest at 0 or a bound.
func (s *quadratic) put(j int32, limit float64) {
	s.status[j], s.theta[j], s.kink[j] = resting, limit, 0
	if limit != 0 {
		s.status[j] = held
		s.held = append(s.held, j)
	}
}

// appendBlock is how many rows of the factor are made in one pass over it.
const appendBlock = 16

// enter lets columns move, and returns how many could: those that depend on others
// cannot. Their kinks are taken from the signs in kink.
func (s *quadratic) enter(columns []int32) int {
	if len(columns) == 0 {
		return 0
	}
	if s.tooMany(columns) {
		s.descending = true
		return 0
	}
	s.gram.admit(s.design, columns)
	entered := 0
	for len(columns) > 0 {
		part := columns[:min(appendBlock, len(columns))]
		columns = columns[len(part):]
		entered += s.enterBlock(part)
	}
	return entered
}

func (s *quadratic) enterBlock(part []int32) int {
	block := make([][]float64, len(part))
	for e, j := range part {
		z := s.root.Row(len(s.moving) + e + 1)
		for i, k := range s.moving {
			z[i] = s.gram.at(j, k)
		}
		for i, k := range part[:e+1] {
			z[len(s.moving)+i] = s.gram.at(j, k)
		}
		z[len(z)-1] += s.task.factor[j] * s.ridge
		block[e] = z
	}
	taken := make([]bool, len(part))
	s.root.AppendBlock(block, taken)
	entered := 0
	for e, j := range part {
		if !taken[e] {
			s.kink[j] = 0
			continue
		}
		entered++
		if s.status[j] == held {
			s.held = slices.DeleteFunc(s.held, func(k int32) bool { return k == j })
			s.kink[j] = s.theta[j]
		}
		s.status[j] = moving
		s.moving = append(s.moving, j)
		if h := s.term(int(j), s.lambda); h.a == 0 {
			s.kink[j] = 0
		} else {
			s.kink[j] = sign(s.kink[j])
		}
	}
	return entered
}

// gramBytes is the least memory that the products and their factor may take; beyond
// it they may take an eighth of the data's.
const gramBytes = 64 << 20

// tooMany says that more columns would have slots than memory allows, both matrices
// being triangular, or that many would move, twice as many as there are rows, so that
// single steps cost less than a factor. (Without a quadratic penalty no more can.)
func (s *quadratic) tooMany(columns []int32) bool {
	if s.inGram {
		return false
	}
	if s.alpha < 1 && len(s.moving)+len(columns) > max(crowd, 2*s.rows) {
		return true
	}
	n := len(s.gram.column)
	for _, j := range columns {
		if s.gram.slot[j] < 0 {
			n++
		}
	}
	stored := 8 * len(s.dense)
	if s.dense == nil {
		stored = 12 * len(s.value)
	}
	return 8*n*n > max(gramBytes, stored/8)
}

// crowd is how many columns may move whatever the number of rows.
const crowd = 1000

// exchange lets column j, which depends on the moving ones, go as far as it and they
// can while they keep the fit as it is: the penalty falls on the way. What comes to
// rest first makes room for it.
func (s *quadratic) exchange(j int32) {
	if s.descending || s.status[j] == moving {
		return
	}
	direction := sign(s.pivots.correlation[j])
	if s.status[j] == held {
		direction = -sign(s.theta[j]) // away from its bound
		s.kink[j] = s.theta[j]
	} else {
		s.kink[j] = direction
	}
	z := grown(s.rhs, len(s.moving))
	s.rhs = z
	for i, k := range s.moving {
		z[i] = s.gram.at(j, k)
	}
	s.root.Solve(z)
	end := s.limit(j, direction)
	step, first := math.Abs(end-s.theta[j]), -1
	for i, k := range s.moving {
		d := -direction * z[i]
		if t := (s.limit(k, d) - s.theta[k]) / d; d != 0 && t < step {
			step, first, end = max(0, t), i, s.limit(k, d)
		}
	}
	s.blocked[j] = true
	if math.IsInf(step, 1) {
		return
	}
	for i, k := range s.moving {
		s.theta[k] -= step * direction * z[i]
	}
	from := s.theta[j]
	if first < 0 { // j itself, from 0 to a bound or back
		s.held = slices.DeleteFunc(s.held, func(k int32) bool { return k == j })
		s.put(j, end)
		return
	}
	s.leave(first, end)
	s.theta[j] = from + step*direction
	if s.enterBlock([]int32{j}) == 1 {
		delete(s.blocked, j)
	} else {
		s.theta[j] = from
	}
}

// limit is how far a coefficient can go in a direction with its kink.
func (s *quadratic) limit(j int32, direction float64) float64 {
	limit := math.Copysign(math.Inf(1), direction)
	if s.kink[j]*direction < 0 {
		limit = 0
	}
	return s.clamped(j, limit)
}

// clamped is the nearest value within the bounds.
func (s *quadratic) clamped(j int32, x float64) float64 {
	if s.lower != nil {
		x = max(x, s.lower[j])
	}
	if s.upper != nil {
		x = min(x, s.upper[j])
	}
	return x
}
