package compactify

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Steps says where a walk measures. The zero value works.
type Steps struct {
	// Grid is the number of equal steps from 0 to 1; 0 means 16. A [Stepped]
	// path is measured at its own steps instead, a [Graded] one at steps that are
	// equal by its own measure.
	Grid int

	// Approach is the number of points t = 1 − 2^−k/Grid, k = 1, 2, …, beyond the
	// grid's last, each halfway to 1, by which the left limit at t=1 is judged; 0
	// means 4, negative none.
	Approach int

	// Refine is the number of bisections around the edge of the budget; 0 means
	// 6, on a [Jumping] path as many as it takes to find the very jump; negative
	// none.
	Refine int

	// Exact measures a [Jumping] path at every jump instead of on the grid.
	Exact bool

	// Budget is what the refinement looks for; the zero value means
	// [DefaultBudget].
	Budget Budget

	// Tolerance is the change of loss, in nats, up to which the profile counts
	// as continuous at t=1; 0 means 1e-3.
	Tolerance float64

	// Observe, if set, sees every point as it is measured, in order of
	// measurement.
	Observe func(Point)

	// Enough, if set, ends the walk early once it returns true; what was
	// measured is returned.
	Enough func(Profile) bool
}

// Walk measures a path: at the ends, on the grid, on the approach to t=1, and
// by bisection around the edge of the budget. A [Jumping] path is measured where
// it jumps, at or before these places, and at the last jump before t=1. When the context ends, or a model
// cannot be made or measured, it returns what it has with the error.
func Walk(ctx context.Context, kind string, p Path, e Evaluator, s Steps) (Profile, error) {
	w := walker{path: p, eval: e, steps: s, profile: Profile{Kind: kind}}
	w.jumping, _ = p.(Jumping)
	w.graded, _ = p.(Graded)
	if w.steps.Refine == 0 && w.jumping != nil {
		w.steps.Refine = math.MaxInt
	}
	w.steps = w.steps.withDefaults()
	for _, t := range w.schedule() {
		if err := w.measure(ctx, t); err != nil {
			return w.finish(), err
		}
	}
	if err := w.refine(ctx); err != nil {
		return w.finish(), err
	}
	return w.finish(), nil
}

func (s Steps) withDefaults() Steps {
	if s.Grid <= 0 {
		s.Grid = 16
	}
	if s.Approach == 0 {
		s.Approach = 4
	}
	if s.Refine == 0 {
		s.Refine = 6
	}
	if s.Budget == (Budget{}) {
		s.Budget = DefaultBudget
	}
	if s.Tolerance <= 0 {
		s.Tolerance = 1e-3
	}
	return s
}

type walker struct {
	path    Path
	jumping Jumping // the path if it is that, otherwise nil
	graded  Graded  // the same
	eval    Evaluator
	steps   Steps
	profile Profile
}

// schedule lists the first t's: the path's own steps, or the grid and the
// approach, on a jumping path the jumps there.
func (w *walker) schedule() []float64 {
	if s, ok := w.path.(Stepped); ok {
		return s.Steps()
	}
	if w.jumping == nil {
		return w.grid()
	}
	if w.steps.Exact {
		return w.jumps()
	}
	list := []float64{0}
	for _, t := range append(w.grid(), justBelow) {
		if t < 1 {
			t, _ = w.jumping.Jumps(t)
		}
		list = append(list, t)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// justBelow is so near to 1 that no path of fewer than ten thousand million
// weights jumps in between.
const justBelow = 1 - 0x1p-34

// jumps lists 0, every jump, and 1.
func (w *walker) jumps() []float64 {
	list := []float64{0}
	for t := 0.0; t < 1; {
		_, t = w.jumping.Jumps(t)
		list = append(list, t)
	}
	return list
}

// grid lists the grid's and the approach's places and 1.
func (w *walker) grid() []float64 {
	var list []float64
	if w.graded != nil {
		list = w.graded.Grid(w.steps.Grid)
		list = list[:len(list)-1]
	} else {
		for i := range w.steps.Grid {
			list = append(list, float64(i)/float64(w.steps.Grid))
		}
	}
	for range w.steps.Approach {
		last := list[len(list)-1]
		next := w.halfway(last, 1)
		if next == last {
			break
		}
		list = append(list, next)
	}
	return append(list, 1)
}

// halfway is between two places, by the path's own measure if it has one.
func (w *walker) halfway(a, b float64) float64 {
	if w.graded != nil {
		return w.graded.Between(a, b)
	}
	return (a + b) / 2
}

func (w *walker) measure(ctx context.Context, t float64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if w.steps.Enough != nil && len(w.profile.Points) > 0 && w.steps.Enough(w.profile) {
		return nil
	}
	g, err := w.path.At(ctx, t)
	if err != nil {
		return fmt.Errorf("path %s at t=%g: %w", w.profile.Kind, t, err)
	}
	m, err := w.eval.Evaluate(ctx, g)
	if err != nil {
		return fmt.Errorf("path %s at t=%g: evaluate: %w", w.profile.Kind, t, err)
	}
	q := Point{T: t, Param: math.NaN(), Digest: g.Digest(), Measure: m}
	if p, ok := w.path.(Parametrized); ok {
		q.Param = p.Param(t)
	}
	w.profile.insert(q)
	if w.steps.Observe != nil {
		w.steps.Observe(q)
	}
	return nil
}

// refine bisects between the furthest feasible point and the next one, which is
// not feasible. Paths with steps of their own have nothing in between, jumping ones
// only other jumps.
func (w *walker) refine(ctx context.Context) error {
	if _, ok := w.path.(Stepped); ok {
		return nil
	}
	for range w.steps.Refine {
		_, bracket, ok := w.profile.Furthest(w.steps.Budget)
		if !ok || bracket[0] == 1 {
			return nil
		}
		mid := w.halfway(bracket[0], bracket[1])
		if mid == bracket[0] {
			return nil
		}
		if w.jumping != nil {
			if mid = w.between(bracket); mid == bracket[1] {
				return nil
			}
		}
		n := len(w.profile.Points)
		if err := w.measure(ctx, mid); err != nil || len(w.profile.Points) == n {
			return err // or the walk has enough
		}
	}
	return nil
}

// between is the last jump in the lower half of a bracket, or else the first behind
// its beginning, which is its end if it holds none.
func (w *walker) between(bracket [2]float64) float64 {
	if at, _ := w.jumping.Jumps((bracket[0] + bracket[1]) / 2); at > bracket[0] {
		return at
	}
	_, next := w.jumping.Jumps(bracket[0])
	return next
}

// finish judges the limit at t=1.
func (w *walker) finish() Profile {
	l := Limit{Left: math.NaN(), LeftT: math.NaN(), At: math.NaN(), Verdict: Inconclusive}
	if b, ok := w.path.(Bounded); ok {
		l.Boundary = b.Boundary()
	}
	points := w.profile.Points
	n := len(points)
	if n > 0 && points[n-1].T == 1 {
		l.At = points[n-1].Loss
		if n > 1 {
			l.Left, l.LeftT = points[n-2].Loss, points[n-2].T
			l.Verdict = w.continuity(l)
		}
	}
	w.profile.Limit = l
	return w.profile
}

// continuity judges whether the loss tends to its value at t=1: supported when
// the last measured model before it is within the tolerance, refuted for a path
// of finitely many steps that jumps there, otherwise open, as it is where a loss is not
// a number.
func (w *walker) continuity(l Limit) Verdict {
	jump := math.Abs(l.Left - l.At)
	_, stepped := w.path.(Stepped)
	if w.jumping != nil { // then the loss on the left is exact if nothing lies in between
		_, next := w.jumping.Jumps(l.LeftT)
		stepped = next == 1
	}
	switch {
	case jump <= w.steps.Tolerance:
		return Supported
	case stepped && jump > w.steps.Tolerance:
		return Refuted
	}
	return Inconclusive
}
