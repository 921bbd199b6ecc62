package linear

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// generalized solves binomial, multinomial and Poisson problems by Newton's method
// on the coefficients that move.
//
// A path is followed with nested sets of columns. Columns that the strong rule keeps
// form the working set; of these, coefficients that are not 0, or that the optimality
// conditions push away from 0, move. As long as none of them changes its sign the
// problem is smooth: a Newton step solves (XᵀDX + B) d = r by conjugate gradients,
// with the Cholesky factor of an earlier XᵀDX as preconditioner. Steps are cut where
// coefficients reach 0 or a bound, and searched along until the objective falls; where
// that needs short steps, as it does if columns are nearly collinear, an active-set
// method takes the whole of the quadratic model to its minimum (model). All columns
// are looked at only to certify a point.
//
// Sources: J. Friedman, T. Hastie and R. Tibshirani, "Regularization paths for
// generalized linear models via coordinate descent", J. Stat. Softw. 33 (2010);
// J. Lee, Y. Sun and M. Saunders, "Proximal Newton-type methods for minimizing
// composite functions", SIAM J. Optim. 24 (2014); R. Tibshirani et al., "Strong rules
// for discarding predictors in lasso-type problems", JRSS B 74 (2012).
type generalized struct {
	*task
	like   likelihood
	lambda float64
	iterate
	v    []float64 // −w∘∂ℓ/∂η at eta: [K, n]
	loss float64

	working []int32     // the working set: columns, ascending
	inSet   []bool      // of every column
	corr    [][]float64 // [K][len(set)]: correlations of its columns with v
	full    [][]float64 // [K][p]: correlations of all columns when last looked at ...
	fullAt  float64     // ... and the λ of then
	arrival float64     // λ from which on no penalised column moves
	blocks  []block

	last    iterate // the solution before, at lastAt
	lastAt  float64
	stale   bool      // the factors are to be made anew
	excess  float64   // products spent on iterations that a new factor would save
	product []float64 // scratch: [K, n] ...
	drawn   []float64 // ... and [p]
	pieces  []piece
	move    movement  // the Newton step under way
	solving []float64 // scratch of conjugate gradients
}

// iterate is a point and its η.
type iterate struct {
	beta []float64 // [K, p]
	bias []float64 // [K]
	eta  []float64 // [K, n]
}

func (x *iterate) clone() iterate {
	return iterate{slices.Clone(x.beta), slices.Clone(x.bias), slices.Clone(x.eta)}
}

func (x *iterate) copy(y *iterate) {
	copy(x.beta, y.beta)
	copy(x.bias, y.bias)
	copy(x.eta, y.eta)
}

func newGeneralized(t *task) (solver, error) {
	k, p, n := t.classes, t.cols, t.rows
	g := &generalized{task: t, like: t.likelihood(), working: []int32{}, inSet: make([]bool, p), v: make([]float64, k*n), product: make([]float64, k*n),
		drawn: make([]float64, p), pieces: make([]piece, p)}
	g.iterate = iterate{make([]float64, k*p), make([]float64, k), make([]float64, k*n)}
	for range k {
		g.full = append(g.full, make([]float64, p))
		g.corr = append(g.corr, nil)
		g.blocks = append(g.blocks, newBlock(t))
	}
	return g, nil
}

// ErrNoMinimiser is a problem whose infimum no model attains.
var ErrNoMinimiser = errors.New("the loss has no finite minimiser")

// null fits the intercept and the columns that are not penalised.
func (g *generalized) null() (fitted, float64, error) {
	if g.intercept {
		start := g.like.start()
		for k, b := range start {
			if math.IsInf(b, 0) || math.IsNaN(b) {
				return fitted{}, 0, fmt.Errorf("intercept: got targets whose mean is at an end of its range: %w", ErrNoMinimiser)
			}
			g.bias[k] = b
		}
	}
	g.settle()
	if math.IsInf(g.loss, 1) {
		return fitted{}, 0, errors.New("offsets: so large that the loss overflows")
	}
	for j, f := range g.factor {
		if f == 0 {
			g.inSet[j] = true
			g.working = append(g.working, int32(j))
		}
	}
	g.lambda = 0
	g.resize()
	var point dualCheck
	for range maxRounds {
		g.descend(g.gap * math.Abs(g.loss) / 16)
		g.polish()
		g.settle()
		if point = g.certify(g.working); point.gap <= g.gap*math.Abs(g.loss) {
			break
		}
	}
	if !(point.gap <= g.gap*math.Abs(g.loss)) {
		return fitted{}, 0, fmt.Errorf("columns without a penalty: gap %v after %d rounds: %w, or it is too far away", point.gap, maxRounds, ErrNoMinimiser)
	}
	point.correlateAll(g)
	steepest := 0.0
	for _, row := range g.full {
		for j, c := range row {
			h := g.term(j, 1)
			if f := g.factor[j]; f > 0 && !math.IsInf(f, 1) && (c > 0 && h.upper > 0 || c < 0 && h.lower < 0) {
				steepest = max(steepest, math.Abs(c)/f)
			}
		}
	}
	if steepest < rounding*g.mass() {
		steepest = 0
	}
	g.arrival = steepest / g.alpha
	g.fullAt = g.arrival
	g.last, g.lastAt = g.iterate.clone(), math.NaN()
	f := g.fitted(point)
	if f.gap < rounding*rounding {
		f.gap = 0
	}
	return f, steepest, nil
}

// mass is what a correlation of a column of variance 1 can be at most.
func (g *generalized) mass() float64 {
	sum := 0.0
	for _, v := range g.v {
		sum += math.Abs(v)
	}
	return sum
}

const (
	maxRounds = 12  // in which columns are added to a working set, or accuracy is asked for again
	leap      = 0.5 // of λ, over which an intermediate point is put
	roughGap  = 1e-3
)

// path follows the solution to each λ, over points between them where they are far
// apart.
func (g *generalized) path(lambdas []float64, check func() error, emit func(fitted)) error {
	for _, lambda := range lambdas {
		for from := g.fullAt; ; {
			if err := check(); err != nil {
				return err
			}
			next, done := g.waypoint(from, lambda)
			if done {
				break
			}
			g.reach(next, roughGap)
			from = next
		}
		emit(g.fitted(g.reach(lambda, g.gap)))
	}
	return nil
}

// waypoint is where to stop on the way to lambda.
func (g *generalized) waypoint(from, lambda float64) (next float64, done bool) {
	const least = 1e-8 // of the arrival: from there on λ = 0 is near
	next = from * leap
	switch {
	case g.alpha == 0 || math.IsInf(from, 1) || from == 0:
		return 0, true
	case next <= lambda:
		return 0, true
	case lambda == 0 && next < least*g.arrival:
		return 0, true
	}
	return next, false
}

// reach moves to the solution at lambda.
func (g *generalized) reach(lambda, gap float64) dualCheck {
	g.lambda = lambda
	g.screen()
	g.extrapolate()
	var point dualCheck
	target := gap / 2
	for range maxRounds {
		stalled := !g.descend(target * g.magnitude())
		g.polish()
		g.settle()
		point = g.certify(nil)
		if stalled && len(point.missing) == 0 && point.gap > gap*g.magnitude() {
			point = g.sharpen(point)
		}
		if point.gap <= gap*g.magnitude() {
			break
		}
		if added := g.add(point.missing); !added {
			if stalled {
				break
			}
			target /= 8
		}
	}
	g.fullAt = lambda
	return point
}

// magnitude is what gaps are relative to.
func (g *generalized) magnitude() float64 { return math.Abs(g.loss + g.penalty(&g.iterate)) }

// screen keeps the columns that the sequential strong rule does not discard, and
// those with coefficients.
func (g *generalized) screen() {
	g.working = g.working[:0]
	kink := g.alpha * (2*g.lambda - g.fullAt)
	if math.IsInf(g.fullAt, 1) || math.IsNaN(g.fullAt) {
		kink = 0
	}
	for j, f := range g.factor {
		keep := f == 0
		for k := range g.blocks {
			keep = keep || g.beta[k*g.cols+j] != 0 || math.Abs(g.full[k][j]) >= max(0, kink*f)
		}
		if keep {
			h := g.term(j, g.lambda)
			keep = h.lower < h.upper
		}
		g.inSet[j] = keep
		if keep {
			g.working = append(g.working, int32(j))
		}
	}
	g.resize()
}

// add puts columns into the working set.
func (g *generalized) add(cols []int32) bool {
	for _, j := range cols {
		g.inSet[j] = true
	}
	g.working = append(g.working, cols...)
	slices.Sort(g.working)
	g.resize()
	return len(cols) > 0
}

func (g *generalized) resize() {
	for k := range g.corr {
		g.corr[k] = slices.Grow(g.corr[k][:0], len(g.working))[:len(g.working)]
	}
}

// settle computes η and all that hangs on it afresh from the coefficients.
func (g *generalized) settle() {
	g.level()
	n := g.rows
	for k := range g.blocks {
		eta := g.eta[k*n : (k+1)*n]
		if g.offset != nil {
			copy(eta, g.offset[k*n:])
		} else {
			clear(eta)
		}
		shift := g.bias[k]
		for j, b := range g.beta[k*g.cols : (k+1)*g.cols] {
			if b != 0 {
				shift += g.axpy(j, b, eta)
			}
		}
		for i := range eta {
			eta[i] += shift
		}
	}
	g.loss = g.like.at(g.eta, g.v)
}

// level gives coefficients that are determined but for a constant, the same for
// all classes, the mean 0.
func (g *generalized) level() {
	if g.family != Multinomial {
		return
	}
	center := func(at func(k int) *float64) {
		mean := 0.0
		for k := range g.blocks {
			mean += *at(k) / float64(g.classes)
		}
		for k := range g.blocks {
			*at(k) -= mean
		}
	}
	if g.intercept {
		center(func(k int) *float64 { return &g.bias[k] })
	}
	for _, j := range g.working {
		if g.term(int(j), g.lambda).free() {
			center(func(k int) *float64 { return &g.beta[k*g.cols+int(j)] })
		}
	}
}

// penalty is λR.
func (g *generalized) penalty(x *iterate) float64 {
	sum := 0.0
	for k := range g.blocks {
		for _, j := range g.working {
			if t := x.beta[k*g.cols+int(j)]; t != 0 {
				h := g.term(int(j), g.lambda)
				sum += h.a*math.Abs(t) + h.b/2*t*t
			}
		}
	}
	return sum
}

// extrapolate continues the line through the last two solutions, if that is better
// than where it ends.
func (g *generalized) extrapolate() {
	here := g.iterate.clone()
	if share := (g.lambda - g.fullAt) / (g.fullAt - g.lastAt); share > 0 && share < 4 {
		before := g.loss + g.penalty(&g.iterate)
		for i, b := range g.bias {
			g.bias[i] = b + share*(b-g.last.bias[i])
		}
		for i, e := range g.eta {
			g.eta[i] = e + share*(e-g.last.eta[i])
		}
		for at, b := range g.beta {
			if b != g.last.beta[at] {
				j := at % g.cols
				want := b + share*(b-g.last.beta[at])
				_, p := g.term(j, g.lambda).piece(b, 0)
				g.beta[at] = min(p.hi, max(p.lo, want))
				g.shift(at/g.cols, j, g.beta[at]-want, g.eta)
			}
		}
		if g.loss = g.like.at(g.eta, g.v); !(g.loss+g.penalty(&g.iterate) <= before) {
			g.iterate.copy(&here)
			g.loss = g.like.at(g.eta, g.v)
		}
	}
	g.last, g.lastAt = here, g.fullAt
}

// shift adds a·x̃_j to class k of eta.
func (g *generalized) shift(k, j int, a float64, eta []float64) {
	if a == 0 {
		return
	}
	part := eta[k*g.rows : (k+1)*g.rows]
	if shift := g.axpy(j, a, part); shift != 0 {
		for i := range part {
			part[i] += shift
		}
	}
}

// fitted is the present point.
func (g *generalized) fitted(point dualCheck) fitted {
	f := fitted{lambda: g.lambda, intercept: slices.Clone(g.bias), loss: g.loss, gap: point.gap, kkt: point.kkt}
	for at, b := range g.beta {
		if b != 0 {
			f.index = append(f.index, at)
			f.value = append(f.value, b)
			if w := g.factor[at%g.cols]; w > 0 {
				f.penalty += w * (g.alpha*math.Abs(b) + (1-g.alpha)/2*b*b)
			}
		}
	}
	return f
}
