package linear

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"sort"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/rational"
)

// HomotopyOptions say how the breakpoints of a lasso path are found. Of Options only
// Intercept, Standardize and Pool count: there is no grid.
type HomotopyOptions struct {
	Options
	// Exact does all arithmetic in rational numbers. The problem solved is the one
	// given, to the last bit of every number in it; only the standard deviations of
	// columns that are standardised are rounded, to float64, before they are taken to
	// be exact.
	Exact bool
	// Verify checks the breakpoints found in floating point by the optimality
	// conditions in rational numbers; exact ones need no check.
	Verify bool
	// MinLambda is where to stop, ≥ 0.
	MinLambda float64
	// MaxSteps is how many breakpoints are allowed; 0 means 1000 + 100·min(n, p). Paths
	// with (3^p+1)/2 exist.
	MaxSteps int
	// Work bounds exact arithmetic, in products of 64-bit words, of which a core does
	// about 5e8 in a second; 0 means 3e10.
	Work float64
}

// Breakpoints is a lasso path as the piecewise linear curve that it is: between two
// neighbours every coefficient is a linear function of λ.
type Breakpoints struct {
	Features  int
	Exact     bool
	LambdaMax float64
	// Points are the breakpoints in descending λ: the first is the boundary λ_max
	// unless it is 0, the last the end of the path at λ = 0 or MinLambda, where
	// Support and Signs are those of the model itself.
	Points []Breakpoint
	// Verdict is Verified if every segment of the path is: by construction of an exact
	// path, by the check of one in floating point; Supported if in one a column has a
	// correlation larger than λ allows by 1e-11 of λ at most, as happens where columns
	// are equal but for the rounding of their standard deviations; Inconclusive if not
	// all could be checked; Refuted if one was found wrong. It is empty if there was no
	// check.
	Verdict compactify.Verdict
	// Reason says what the verdict rests on, or what was in the way.
	Reason string
	// Checks hold all breakpoints against each other, for an exact path in rational
	// numbers and so with a slack of 0.
	Checks compactify.Minimality
	// Constant are the columns without variation, counted from 0, which take no part
	// if there is an intercept or standardisation.
	Constant []int
	// Scale is what the columns were divided by.
	Scale []float64

	lines []line
	null  Point // the model above the first breakpoint; Lambda is +Inf
}

// Breakpoint is the model at a λ at which the support changes, coefficients of the
// columns as given, and how it changes.
type Breakpoint struct {
	Point
	// Entered and Left are columns counted from 0, ascending: the support below the
	// breakpoint against the one above.
	Entered, Left []int
	// Support are the columns with a coefficient other than 0 between this breakpoint
	// and the next, counted from 0, ascending; Signs theirs. Columns without a penalty
	// are always among them, with sign 0.
	Support []int
	Signs   []int
	// Verdict is on Support and Signs: whether they are optimal between this
	// breakpoint and the next.
	Verdict compactify.Verdict

	exact *exactModel
}

// Fraction is λ exactly, or nil if the path is in floating point.
func (b *Breakpoint) Fraction() *big.Rat {
	if b.exact == nil {
		return nil
	}
	return b.exact.lambda()
}

// String is λ: a fraction such as 54/13, which may be long, or the shortest decimal
// for a float64.
func (b *Breakpoint) String() string {
	if b.exact == nil {
		return fmt.Sprint(b.Lambda)
	}
	return b.exact.lambda().RatString()
}

// Coefficients are the exact values beside Point.Value, and the exact intercept; nil
// if the path is in floating point.
func (b *Breakpoint) Coefficients() (value []*big.Rat, intercept *big.Rat) {
	if b.exact == nil {
		return nil, nil
	}
	return b.exact.coefficients()
}

// ErrDegenerate is a tie that rounding keeps from being decided; exact arithmetic can.
var ErrDegenerate = errors.New("degenerate in floating point")

// Homotopy finds all breakpoints of a lasso path, from λ_max down: the columns with
// the largest correlation are the support, along whose direction all their
// correlations fall as quickly as λ, until another column has as large a one or a
// coefficient is 0 again. Where several columns tie, the direction is the solution of
// a linear complementarity problem, and the columns of lowest index that will do are
// taken; so of equal columns the first one enters.
//
// The problem must be gaussian, with α = 1, without groups and bounds. The error wraps
// [ErrDegenerate], or rational.ErrTooLarge with an estimate if exact arithmetic was
// asked for and would take more than the work allowed.
//
// Source: M. R. Osborne, B. Presnell and B. A. Turlach, "A new approach to variable
// selection in least squares problems", IMA J. Numerical Analysis 20 (2000), 389–403;
// B. Efron, T. Hastie, I. Johnstone and R. Tibshirani, "Least angle regression",
// Annals of Statistics 32 (2004), 407–499, section 3.1; R. J. Tibshirani, "The lasso
// problem and uniqueness", Electronic J. Statistics 7 (2013), 1456–1490, section 3.1,
// for columns that depend on each other.
func Homotopy(ctx context.Context, problem Problem, penalty Penalty, o HomotopyOptions) (*Breakpoints, error) {
	t, err := prepareHomotopy(problem, penalty, o)
	if err != nil {
		return nil, err
	}
	steps := o.MaxSteps
	if steps == 0 {
		steps = 1000 + 100*min(t.rows, t.cols)
	}
	f := follower{check: ctx.Err, steps: steps}
	b := &Breakpoints{Features: t.cols, Exact: o.Exact, Constant: t.constant, Scale: t.scale}
	rough, err := f.follow(newFloatLasso(t, o.MinLambda))
	switch {
	case o.Exact:
		err = b.followExact(&f, t, problem, o, rough)
	case err == nil:
		err = b.followFloat(rough, t, problem, o, ctx.Err)
	}
	if err != nil {
		return nil, fmt.Errorf("lasso homotopy: %w", err)
	}
	return b, nil
}

// followFloat makes the path of lines in double precision, and checks it if asked to.
func (b *Breakpoints) followFloat(lines []line, t *task, problem Problem, o HomotopyOptions, check func() error) error {
	b.finish(lines)
	points := make([]Point, len(b.Points))
	for i := range points {
		points[i] = b.Points[i].Point
	}
	b.Checks = checkPath(points)
	if !o.Verify {
		return nil
	}
	return b.verify(t, problem, o, check)
}

// followExact finds the path in rational numbers. A path in double precision, if there
// is one, tells beforehand how much work that is.
func (b *Breakpoints) followExact(f *follower, t *task, problem Problem, o HomotopyOptions, rough []line) error {
	m, err := newIntegerLasso(t, problem, o, f.check)
	if err != nil {
		return err
	}
	if work := m.estimate(rough); work > m.rule.Work {
		return fmt.Errorf("[%d, %d] values, %d segments: %w: it takes about %.2g products of words, and %.2g are allowed",
			t.rows, t.cols, len(rough), rational.ErrTooLarge, work, m.rule.Work)
	}
	lines, err := f.follow(m)
	if err != nil {
		return err
	}
	b.finish(lines)
	b.Checks = checkExact(b.Points)
	b.Verdict, b.Reason = compactify.Verified, "every segment was computed and compared in rational numbers"
	return nil
}

// finish makes the result of the lines.
func (b *Breakpoints) finish(lines []line) {
	b.record(lines)
	b.null = lines[0].at(b.LambdaMax)
	b.null.Lambda = math.Inf(1)
}

func prepareHomotopy(problem Problem, penalty Penalty, o HomotopyOptions) (*task, error) {
	switch {
	case problem.Family != Gaussian:
		return nil, fmt.Errorf("lasso homotopy: family: got %v, want gaussian: the path of no other is piecewise linear", problem.Family)
	case penalty.Alpha != 1:
		return nil, fmt.Errorf("lasso homotopy: alpha: got %v, want 1: with a ridge term the path is not piecewise linear in λ", penalty.Alpha)
	case penalty.Groups != nil:
		return nil, errors.New("lasso homotopy: groups: the path is not piecewise linear with them")
	case penalty.Lower != nil || penalty.Upper != nil:
		return nil, errors.New("lasso homotopy: bounds of coefficients do not go with it")
	case !(o.MinLambda >= 0) || math.IsInf(o.MinLambda, 1):
		return nil, fmt.Errorf("lasso homotopy: least λ: got %v, want a finite number ≥ 0", o.MinLambda)
	case o.MaxSteps < 0 || !(o.Work >= 0):
		return nil, fmt.Errorf("lasso homotopy: most breakpoints and work: got %d and %v, want numbers ≥ 0", o.MaxSteps, o.Work)
	}
	o.Lambdas, o.Count, o.MinRatio, o.Gap = nil, 0, 0, 0
	t, err := prepare(problem, penalty, o.Options)
	if err != nil {
		return nil, fmt.Errorf("lasso homotopy: %w", err)
	}
	return t, nil
}

// At is the model at any λ of the path: linear between its neighbours, exact before it
// is rounded if the path is. λ must not be below the end of the path.
func (b *Breakpoints) At(lambda float64) (Point, error) {
	last := b.Points[len(b.Points)-1].Lambda
	if !(lambda >= last) {
		return Point{}, fmt.Errorf("lasso homotopy at λ = %v: want at least %v, where the path ends", lambda, last)
	}
	if math.IsInf(lambda, 1) {
		return b.null, nil
	}
	// Line i ends at breakpoint i.
	i := sort.Search(len(b.lines)-1, func(i int) bool { return b.lines[i].reaches(lambda) })
	return b.lines[i].at(lambda), nil
}
