package linear

import (
	"math"
	"slices"
)

// stop is a λ to solve at; those between distant ones are not shown.
type stop struct {
	lambda float64
	shown  bool
}

// stops adds λ where the next one is so far that the columns which move would hardly
// be the same.
func stops(from float64, lambdas []float64) []stop {
	const far, pace, end = 0.5, 0.7, 1e-4
	least := end * from
	var out []stop
	for _, l := range lambdas {
		for !math.IsInf(from, 1) && l < far*from && pace*from > max(least, l) {
			from *= pace
			out = append(out, stop{from, false})
		}
		out = append(out, stop{l, true})
		from = l
	}
	return out
}

// path solves for descending λ in batches, each with one working set and one pass over
// all columns.
func (s *quadratic) path(lambdas []float64, check func() error, emit func(fitted)) error {
	list := stops(s.lambda, lambdas)
	b := batch{limit: batchLimit, listed: make([]bool, s.cols)}
	for len(list) > 0 {
		if err := check(); err != nil {
			return err
		}
		list = list[s.advance(&b, list, emit):]
	}
	return nil
}

// batch is what λ solved together share.
type batch struct {
	limit  int         // how many λ at most
	work   []int32     // the working set
	listed []bool      // of every column: whether it is in work
	extra  []int32     // columns that were found missing
	sloped bool        // slopes are known
	before []float64   // correlations where the batch began
	old    []float64   // those of work at the λ before
	full   [][]float64 // correlations of all columns at each λ
	sums   []float64
}

const (
	batchLimit = 8
	// slopeMargin is by how much correlations may change beyond their slopes, in units
	// of the change of λ, for a column to be left out of a working set. 1, without
	// slopes, is the strong rule.
	slopeMargin = 0.5
)

// advance solves the next λ together and returns how many were.
func (s *quadratic) advance(b *batch, list []stop, emit func(fitted)) int {
	if s.inGram = s.inGram && list[0].lambda >= s.exact; s.inGram {
		return s.advanceInGram(b, list, emit)
	}
	start := s.lambda
	count := s.ahead(b, list)
	b.before = append(b.before[:0], s.pivots.correlation...)
	found := make([]fitted, count)
	b.sums = b.sums[:0]
	for i := range found {
		s.force = s.forceOf(i)
		s.solveOne(b, list[i].lambda)
		found[i] = s.solution(list[i].lambda)
		sum := 0.0
		for _, v := range s.force {
			sum += v
		}
		b.sums = append(b.sums, sum)
	}
	for len(b.full) < count {
		b.full = append(b.full, make([]float64, s.cols))
	}
	s.correlate(b.full[:count], nil, s.forces[:count], b.sums)
	for i := range found {
		c := b.full[i]
		s.silence(c)
		if missing := s.missing(b, list[i].lambda, c); len(missing) > 0 {
			copy(s.pivots.correlation, c)
			s.lambda = list[i].lambda
			b.limit = max(1, i)
			if i > 0 {
				b.extra = b.extra[:0]
			}
			b.extra = append(b.extra, missing...)
			return i
		}
		if list[i].shown {
			s.certify(&found[i], c)
			emit(found[i])
		}
	}
	s.setSlopes(b, start, list[:count])
	b.extra, b.limit = b.extra[:0], min(batchLimit, 2*b.limit)
	return count
}

// silence takes rounding from the correlations of columns that must stay out.
func (s *quadratic) silence(c []float64) {
	for j, q := range s.squares {
		if q == 0 {
			c[j] = 0
		}
	}
}

// solveOne solves for one λ and notes the slopes of the working set's correlations.
func (s *quadratic) solveOne(b *batch, lambda float64) {
	from := s.lambda
	b.old = grown(b.old, len(b.work))
	for i, j := range b.work {
		b.old[i] = s.pivots.correlation[j]
	}
	s.within(lambda, b.work)
	if lambda < from && !math.IsInf(from, 1) {
		for i, j := range b.work {
			s.slope[j] = (s.pivots.correlation[j] - b.old[i]) / (lambda - from)
		}
	}
}

// setSlopes takes the slopes of all correlations over the last step of a batch.
func (s *quadratic) setSlopes(b *batch, start float64, done []stop) {
	last := len(done) - 1
	from, before := start, b.before
	if last > 0 {
		from, before = done[last-1].lambda, b.full[last-1]
	}
	step := done[last].lambda - from
	if step < 0 && !math.IsInf(from, 1) {
		b.sloped = true
		for j, c := range b.full[last] {
			s.slope[j] = (c - before[j]) / step
		}
	}
	copy(s.pivots.correlation, b.full[last])
}

// missing are the columns outside the working set that should be in it.
func (s *quadratic) missing(b *batch, lambda float64, c []float64) []int32 {
	now := s.lambda
	s.lambda = lambda
	defer func() { s.lambda = now }()
	var out []int32
	a := lambda * s.alpha
	for j, x := range c {
		if s.plain && math.Abs(x) <= a || b.listed[j] {
			continue
		}
		if s.wrong(int32(j), x) {
			out = append(out, int32(j))
		}
	}
	return out
}

// ahead sets the working set for as many λ as promise the least work, and returns
// their number.
func (s *quadratic) ahead(b *batch, list []stop) int {
	const looks = 2.5 // passes over the working set that a λ takes
	best, count := math.Inf(1), 1
	for m := 1; m <= min(b.limit, len(list)); m++ {
		in := 0
		if m > 1 || b.limit > 1 {
			in = s.choose(b, list[m-1].lambda, nil)
		}
		if cost := looks*float64(in) + float64(s.cols)/float64(m); cost < best {
			best, count = cost, m
		}
	}
	for _, j := range b.work {
		b.listed[j] = false
	}
	b.work = b.work[:0]
	s.choose(b, list[count-1].lambda, &b.work)
	for _, j := range b.work {
		b.listed[j] = true
	}
	for _, j := range b.extra {
		if !b.listed[j] {
			b.listed[j] = true
			b.work = append(b.work, j)
		}
	}
	slices.Sort(b.work)
	return count
}

// choose counts the columns that may matter down to a λ, and lists them if a list is
// given.
func (s *quadratic) choose(b *batch, lambda float64, list *[]int32) int {
	step := lambda - s.lambda
	hold := s.alpha * (lambda + step)
	if b.sloped {
		hold = s.alpha * (lambda + slopeMargin*step)
	} else if math.IsInf(step, -1) {
		step, hold = 0, -1
	}
	n := 0
	for j, c := range s.pivots.correlation {
		x := math.Abs(c + s.slope[j]*step)
		most := hold
		if !s.plain {
			most *= s.task.factor[j]
		}
		if s.squares[j] == 0 || x < most && s.status[j] == resting {
			continue
		}
		n++
		if list != nil {
			*list = append(*list, int32(j))
		}
	}
	return n
}

// advanceInGram solves for one λ where correlations do not cost a pass. They are off
// by some 1e-15 of what they are at θ = 0; see exactShare.
func (s *quadratic) advanceInGram(b *batch, list []stop, emit func(fitted)) int {
	if len(b.work) == 0 {
		for j, q := range s.squares {
			if q > 0 {
				b.work = append(b.work, int32(j))
			}
		}
	}
	s.solveOne(b, list[0].lambda)
	f := s.solution(list[0].lambda)
	c := s.pivots.correlation
	if len(list) == 1 { // the last one is checked without products of columns
		s.remainder()
		c = make([]float64, s.cols)
		s.force = s.forceOf(0)
		s.correlate([][]float64{c}, nil, [][]float64{s.force}, []float64{s.weigh()})
		s.silence(c)
		f.loss = s.loss
	}
	if list[0].shown {
		s.certify(&f, c)
		emit(f)
	}
	return 1
}
