package linear

import (
	"errors"
	"fmt"
	"math"
	"slices"
)

// task is a problem that was checked, in the scale that is penalised.
type task struct {
	*design
	family    Family
	classes   int       // K: how many η an example has
	y         []float64 // [n]
	offset    []float64 // [K, n]; nil means 0
	intercept bool

	alpha        float64
	factor       []float64 // of every column, ≥ 0; +Inf keeps a column out
	lower, upper []float64 // of the coefficients of x̃; nil if nothing is bounded
	group        []int     // of every column; nil without groups
	groupFactor  []float64 // w_g, sizes included

	lambdas []float64 // asked for, descending; nil means a grid of count
	count   int
	ratio   float64
	gap     float64
}

// fitted is a solution at one λ, in the scale that is penalised.
type fitted struct {
	lambda    float64
	intercept []float64 // [K], of the centred columns
	index     []int     // k·p + j, ascending
	value     []float64
	loss      float64
	penalty   float64
	gap       float64 // absolute
	kkt       float64
}

func (f *fitted) objective() float64 {
	if f.penalty == 0 {
		return f.loss
	}
	return f.loss + f.lambda*f.penalty
}

// relativeGap is the gap in units of the objective; 0 if there is none.
func (f *fitted) relativeGap() float64 {
	if f.gap == 0 {
		return 0
	}
	return f.gap / math.Abs(f.objective())
}

// solver fits one kind of task.
type solver interface {
	// null fits what is not penalised. steepest is the largest |c_j|/f_j there, over
	// columns that could move, c the correlations of the columns with the weighted
	// residuals; with groups the largest ‖c_g‖/w_g. From λ = steepest/α on nothing
	// moves.
	null() (f fitted, steepest float64, err error)
	// path solves for descending λ < steepest/α and hands each solution on. check is
	// to be called now and then; its error ends the work.
	path(lambdas []float64, check func() error, emit func(fitted)) error
}

func prepare(p Problem, pen Penalty, o Options) (*task, error) {
	if p.X == nil {
		return nil, errors.New("fit: got no design matrix")
	}
	weights, err := normalized(p.Weights, p.X.rows)
	if err != nil {
		return nil, fmt.Errorf("fit: weights: %w", err)
	}
	if err := checkTargets(p); err != nil {
		return nil, fmt.Errorf("fit %v: %w", p.Family, err)
	}
	if err := checkPenalty(pen, p.X.cols); err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	d, err := newDesign(p.X, weights, o)
	if err != nil {
		return nil, fmt.Errorf("fit: %w", err)
	}
	t := &task{design: d, family: p.Family, classes: 1, y: p.Y, offset: p.Offset, intercept: o.Intercept, alpha: pen.Alpha,
		group: pen.Groups, count: o.Count, ratio: o.MinRatio, gap: o.Gap}
	if p.Family == Multinomial {
		t.classes = p.Classes
	}
	t.setPenalty(pen)
	return t, t.setGrid(o)
}

// normalized are weights with sum 1.
func normalized(w []float64, n int) ([]float64, error) {
	out := make([]float64, n)
	if w == nil {
		for i := range out {
			out[i] = 1 / float64(n)
		}
		return out, nil
	}
	if len(w) != n {
		return nil, fmt.Errorf("got %d, want %d", len(w), n)
	}
	sum := 0.0
	for i, v := range w {
		if !(v >= 0) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("example %d: got %v, want a finite number ≥ 0", i+1, v)
		}
		sum += v
	}
	if !(sum > 0) || math.IsInf(sum, 0) {
		return nil, fmt.Errorf("sum: got %v, want a positive number", sum)
	}
	for i, v := range w {
		out[i] = v / sum
	}
	return out, nil
}

// largestTarget leaves room for sums of squares, and for their products with others.
const largestTarget = 1e140

// classCount is the number of classes of a problem, 0 for targets that are no classes.
func (f Family) classCount(classes int) int {
	switch f {
	case Binomial:
		return 2
	case Multinomial:
		return classes
	}
	return 0
}

// checkTarget says what is wrong with the target of example i, counted from 0.
func (f Family) checkTarget(i int, v float64, classes int) error {
	last := float64(f.classCount(classes) - 1)
	switch {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return fmt.Errorf("target of example %d: got %v: %w", i+1, v, ErrNotFinite)
	case math.Abs(v) > largestTarget:
		return fmt.Errorf("target of example %d: got %v, want at most %v in magnitude, or squares overflow", i+1, v, largestTarget)
	case f == Poisson && v < 0:
		return fmt.Errorf("target of example %d: got %v, want a count, which is not negative", i+1, v)
	case last >= 0 && (v < 0 || v > last || v != math.Trunc(v)):
		return fmt.Errorf("target of example %d: got %v, want a class from 0 to %v", i+1, v, last)
	}
	return nil
}

func checkTargets(p Problem) error {
	if len(p.Y) != p.X.rows {
		return fmt.Errorf("targets: got %d, want %d, one per row", len(p.Y), p.X.rows)
	}
	if p.Family == Multinomial && p.Classes < 2 {
		return fmt.Errorf("classes: got %d, want at least 2", p.Classes)
	}
	seen := map[float64]bool{}
	classes := p.Family.classCount(p.Classes)
	for i, v := range p.Y {
		if err := p.Family.checkTarget(i, v, p.Classes); err != nil {
			return err
		}
		if classes > 0 && (p.Weights == nil || p.Weights[i] > 0) {
			seen[v] = true
		}
	}
	if len(seen) != classes {
		return fmt.Errorf("classes: got examples of %d, want examples of all %d", len(seen), classes)
	}
	return checkOffsets(p)
}

func checkOffsets(p Problem) error {
	n := p.X.rows
	want := n
	if p.Family == Multinomial {
		want *= p.Classes
	}
	if p.Offset != nil && len(p.Offset) != want {
		return fmt.Errorf("offsets: got %d, want %d", len(p.Offset), want)
	}
	for i, v := range p.Offset {
		if !(math.Abs(v) <= largestTarget) {
			return fmt.Errorf("offset of example %d: got %v, want a number of at most %v in magnitude", i%n+1, v, largestTarget)
		}
	}
	return nil
}

func checkPenalty(pen Penalty, cols int) error {
	if !(pen.Alpha >= 0 && pen.Alpha <= 1) {
		return fmt.Errorf("alpha: got %v, want 0 to 1", pen.Alpha)
	}
	lists := []struct {
		name   string
		list   []float64
		lo, hi float64
	}{
		{"penalty factor", pen.Factors, 0, math.MaxFloat64},
		{"lower bound", pen.Lower, math.Inf(-1), 0},
		{"upper bound", pen.Upper, 0, math.Inf(1)},
	}
	for _, l := range lists {
		if l.list != nil && len(l.list) != cols {
			return fmt.Errorf("%ss: got %d, want %d, one per column", l.name, len(l.list), cols)
		}
		for j, v := range l.list {
			if !(v >= l.lo && v <= l.hi) {
				return fmt.Errorf("%s of column %d: got %v, want %v to %v", l.name, j+1, v, l.lo, l.hi)
			}
		}
	}
	return checkGroups(pen, cols)
}

func checkGroups(pen Penalty, cols int) error {
	if pen.Groups == nil {
		return nil
	}
	if len(pen.Groups) != cols {
		return fmt.Errorf("groups: got %d, want %d, one per column", len(pen.Groups), cols)
	}
	if pen.Lower != nil || pen.Upper != nil {
		return errors.New("groups: bounds of single coefficients do not go with them")
	}
	if pen.Factors != nil {
		return errors.New("groups: penalty factors of single columns do not go with them; use factors of groups")
	}
	most := 0
	for j, g := range pen.Groups {
		if g < 0 || g >= cols {
			return fmt.Errorf("group of column %d: got %d, want 0 to %d", j+1, g, cols-1)
		}
		most = max(most, g)
	}
	if pen.GroupFactors != nil && len(pen.GroupFactors) != most+1 {
		return fmt.Errorf("group factors: got %d, want %d", len(pen.GroupFactors), most+1)
	}
	for g, v := range pen.GroupFactors {
		if !(v >= 0) || math.IsInf(v, 0) {
			return fmt.Errorf("factor of group %d: got %v, want a finite number ≥ 0", g, v)
		}
	}
	return nil
}

// setPenalty brings factors and bounds to the scale that is penalised.
func (t *task) setPenalty(pen Penalty) {
	t.factor = make([]float64, t.cols)
	for j := range t.factor {
		t.factor[j] = 1
		if pen.Factors != nil {
			t.factor[j] = pen.Factors[j]
		}
		if t.squares[j] == 0 {
			t.factor[j] = math.Inf(1)
		}
	}
	scaled := func(bounds []float64) []float64 {
		if bounds == nil {
			return nil
		}
		out := slices.Clone(bounds)
		for j := range out {
			out[j] *= t.scale[j]
		}
		return out
	}
	t.lower, t.upper = scaled(pen.Lower), scaled(pen.Upper)
	if t.group == nil {
		return
	}
	t.groupFactor = make([]float64, slices.Max(t.group)+1)
	for _, g := range t.group {
		t.groupFactor[g]++
	}
	for g, size := range t.groupFactor {
		t.groupFactor[g] = math.Sqrt(size)
		if pen.GroupFactors != nil {
			t.groupFactor[g] *= pen.GroupFactors[g]
		}
	}
}

const maxLambdas = 1 << 20

func (t *task) setGrid(o Options) error {
	if t.count == 0 {
		t.count = defaultCount
	}
	if t.count < 1 || t.count > maxLambdas || len(o.Lambdas) > maxLambdas {
		return fmt.Errorf("fit: number of λ: got %d, want 1 to %d", max(t.count, len(o.Lambdas)), maxLambdas)
	}
	if t.ratio == 0 {
		t.ratio = 1e-4
		if t.rows <= t.cols {
			t.ratio = 1e-2
		}
	}
	if !(t.ratio > 0 && t.ratio < 1) {
		return fmt.Errorf("fit: least λ as a share of the largest: got %v, want more than 0 and less than 1", t.ratio)
	}
	if t.gap == 0 {
		t.gap = defaultGap
	}
	if !(t.gap > 0 && t.gap < 1) {
		return fmt.Errorf("fit: relative gap: got %v, want more than 0 and less than 1", t.gap)
	}
	for _, l := range o.Lambdas {
		if !(l >= 0) || math.IsInf(l, 0) {
			return fmt.Errorf("fit: λ: got %v, want finite numbers ≥ 0", l)
		}
	}
	if o.Lambdas != nil {
		t.lambdas = slices.Clone(o.Lambdas)
		slices.Sort(t.lambdas)
		slices.Reverse(t.lambdas)
		t.lambdas = slices.Compact(t.lambdas)
	}
	return nil
}
