package linear

import (
	"math"
	"slices"

	"github.com/compactify/compactify/internal/algebra"
	"github.com/compactify/compactify/internal/kernel"
)

// quadratic solves a gaussian problem with a penalty on single coefficients.
//
// Three nested sets of columns keep the work small. Nearly all columns stay out of
// the working set, which the correlations and their slopes at earlier λ suggest;
// nearly all of the working set rests at 0; what moves is found by block principal
// pivoting ([quadratic.within]), which solves for it exactly. One pass over all
// columns then checks several λ at once, and gives each its certificate; a column
// that should have been in the working set joins it, and the λ is solved again.
//
// Sources: R. Tibshirani et al., "Strong rules for discarding predictors in
// lasso-type problems", J. R. Stat. Soc. B 74 (2012), 245–266; M. Massias, A.
// Gramfort, J. Salmon, "Celer: a fast solver for the lasso with dual
// extrapolation", ICML 2018, for working sets under a certificate.
type quadratic struct {
	*task
	mean   float64   // of y − o if there is an intercept
	target []float64 // y − o − mean
	power  float64   // Σ w target²
	direct []float64 // Σ w x̃_j target: the correlations at θ = 0
	plain  bool      // all columns that can move have factor 1 and no bounds
	widest float64   // the largest √squares

	unpenalised bool // some factor is 0

	pivots
	residual []float64   // y − o − mean − X̃θ where it was needed last
	forces   [][]float64 // w∘residual, one for each λ of a batch
	force    []float64   // the one of the present λ
	loss     float64     // ½ Σ w residual²
	total    float64     // Σ w residual while coordinates descend
}

// pivots is the state of block principal pivoting.
type pivots struct {
	lambda      float64
	theta       []float64
	status      []status
	kink        []float64 // sign that a moving coefficient's |θ| is taken with; 0 without
	moving      []int32   // columns in the factor's order
	held        []int32   // columns at a bound that is not 0
	blocked     map[int32]bool
	correlation []float64      // of the columns last looked at
	slope       []float64      // of the correlations by λ
	root        algebra.Factor // of the moving columns' products, plus ridge on the diagonal
	ridge       float64        // λ(1−α) that the factor was made with
	gram        *gramian
	inGram      bool    // all columns have slots: correlations come from there
	exact       float64 // the least λ for which that is exact enough
	descending  bool    // too many columns move for a factor
	x, rhs      []float64
	work        []float64
	columns     []int32
	slots       [3][]float64
}

type status uint8

const (
	resting status = iota // at 0, where the kink of the penalty or a bound holds it
	moving
	held // at a bound that is not 0
)

func newQuadratic(t *task) (solver, error) {
	s := &quadratic{task: t, target: make([]float64, t.rows), residual: make([]float64, t.rows)}
	copy(s.target, s.y)
	for i, o := range s.offset {
		s.target[i] -= o
	}
	if s.intercept {
		s.mean, _, _, _ = denseMoments(s.set, s.target, s.weights) // exact for equal targets
	}
	for i, w := range s.weights {
		s.target[i] -= s.mean
		s.power += w * s.target[i] * s.target[i]
	}
	s.plain = s.lower == nil && s.upper == nil
	for j, f := range s.task.factor {
		s.plain = s.plain && (f == 1 || math.IsInf(f, 1))
		s.unpenalised = s.unpenalised || f == 0
		s.widest = max(s.widest, math.Sqrt(s.squares[j]))
	}
	s.pivots = pivots{theta: make([]float64, t.cols), status: make([]status, t.cols), kink: make([]float64, t.cols),
		slope: make([]float64, t.cols), blocked: map[int32]bool{}, gram: newGramian(t.cols, t.set)}
	s.root.Set = t.set
	s.direct = make([]float64, t.cols)
	s.force = s.forceOf(0)
	copy(s.residual, s.target)
	s.correlate([][]float64{s.direct}, nil, [][]float64{s.force}, []float64{s.weigh()})
	for j, q := range s.squares {
		if q == 0 {
			s.direct[j] = 0
		}
	}
	s.pivots.correlation = slices.Clone(s.direct)
	s.inGram = t.cols*gramShare <= t.rows
	if s.inGram {
		s.gram.admitAll(t.design)
		s.exact = exactShare * largest(s.direct)
	}
	return s, nil
}

// exactShare is the share of the largest correlation at θ = 0 down to which λ are
// solved for with correlations from products of columns, whose rounding is then 1e-10
// of λ at most. Below it they come from the residual.
const exactShare = 1e-5

// gramShare is how many times more rows than columns there are at least where the
// products of all columns with each other are worth their pass: they take at most
// 1/gramShare of the memory of the data, and each λ is then independent of the rows.
const gramShare = 8

// forceOf is the vector of λ number i of a batch.
func (s *quadratic) forceOf(i int) []float64 {
	for len(s.forces) <= i {
		s.forces = append(s.forces, make([]float64, s.rows))
	}
	return s.forces[i]
}

// weigh sets the force and the loss from the residual and returns the force's sum.
func (s *quadratic) weigh() float64 {
	sum, squares := 0.0, 0.0
	for i, w := range s.weights {
		r := s.residual[i]
		s.force[i] = w * r
		sum += w * r
		squares += w * r * r
	}
	s.loss = squares / 2
	return sum
}

// null fits the columns that are not penalised.
func (s *quadratic) null() (fitted, float64, error) {
	var free []int32
	for j, f := range s.task.factor {
		if f == 0 {
			free = append(free, int32(j))
		}
	}
	s.lambda, s.loss = math.Inf(1), s.power/2
	if len(free) > 0 {
		s.within(math.Inf(1), free)
		s.look(nil)
	}
	steepest := 0.0
	for j, f := range s.task.factor {
		if f == 0 || math.IsInf(f, 1) {
			continue
		}
		c := s.pivots.correlation[j]
		if s.upper != nil && c > 0 && s.upper[j] == 0 || s.lower != nil && c < 0 && s.lower[j] == 0 {
			continue
		}
		steepest = max(steepest, math.Abs(c)/f)
	}
	top := steepest / s.alpha
	if steepest == 0 || s.alpha == 0 {
		top = 0
	}
	f := s.solution(top)
	if s.alpha > 0 || steepest == 0 {
		s.certify(&f, s.pivots.correlation)
	}
	if s.alpha > 0 {
		s.lambda = top
	}
	return f, steepest, nil
}

// look brings the correlations of the columns of work, nil meaning all, up to date.
func (s *quadratic) look(work []int32) {
	if s.inGram {
		v, dst := s.bySlot(0), s.bySlot(1)
		for _, j := range s.moving {
			v[j] = s.theta[j]
		}
		for _, j := range s.held {
			v[j] = s.theta[j]
		}
		s.gram.times(dst, v)
		twice := s.power
		for j, q := range s.direct {
			s.pivots.correlation[j] = q - dst[j]
			twice -= s.theta[j] * (q + s.pivots.correlation[j])
		}
		s.loss = twice / 2
		if twice < cancelled*s.power {
			s.remainder()
			s.weigh()
		}
		return
	}
	s.remainder()
	sum := s.weigh()
	if work == nil {
		s.correlate([][]float64{s.pivots.correlation}, nil, [][]float64{s.force}, []float64{sum})
	} else {
		s.slots[2] = grown(s.slots[2], len(work))
		s.correlate([][]float64{s.slots[2]}, work, [][]float64{s.force}, []float64{sum})
		for i, j := range work {
			s.pivots.correlation[j] = s.slots[2][i]
		}
	}
}

// cancelled is the share of the null model's loss below which a loss that is computed
// from products of columns loses too many digits.
const cancelled = 1e-3

// remainder sets the residual to target − X̃θ.
func (s *quadratic) remainder() {
	copy(s.residual, s.target)
	shift := 0.0
	if len(s.moving)+len(s.held) == 0 {
		return
	}
	if s.dense != nil {
		s.columns = append(append(s.columns[:0], s.moving...), s.held...)
		columns := s.columns
		s.rhs = grown(s.rhs, len(columns))
		a := s.rhs
		for i, j := range columns {
			a[i] = -s.theta[j] / s.scale[j]
			shift -= a[i] * s.center[j]
		}
		kernel.Axpys64(s.set, s.residual, a, &kernel.Columns64{Data: s.dense, Rows: s.rows, Stride: s.rows, Cols: columns})
	} else {
		for _, j := range s.moving {
			shift += s.axpy(int(j), -s.theta[j], s.residual)
		}
		for _, j := range s.held {
			shift += s.axpy(int(j), -s.theta[j], s.residual)
		}
	}
	if shift != 0 {
		for i := range s.residual {
			s.residual[i] += shift
		}
	}
}

// bySlot is scratch with a zero for every slot.
func (s *quadratic) bySlot(i int) []float64 {
	s.slots[i] = grown(s.slots[i], len(s.gram.rows))
	clear(s.slots[i])
	return s.slots[i]
}

func grown(x []float64, n int) []float64 {
	if cap(x) < n {
		return make([]float64, n, n+n/2)
	}
	return x[:n]
}

// solution is the present state without loss and certificate.
func (s *quadratic) solution(lambda float64) fitted {
	f := fitted{lambda: lambda, loss: s.loss, intercept: []float64{s.mean}, index: make([]int, 0, len(s.moving)+len(s.held))}
	for _, list := range [][]int32{s.moving, s.held} {
		for _, j := range list {
			if s.theta[j] != 0 {
				f.index = append(f.index, int(j))
			}
		}
	}
	slices.Sort(f.index)
	f.value = make([]float64, len(f.index))
	for i, j := range f.index {
		x := s.theta[j]
		f.value[i] = x
		if p := s.task.factor[j]; p > 0 {
			f.penalty += p * (s.alpha*math.Abs(x) + (1-s.alpha)/2*x*x)
		}
	}
	return f
}
