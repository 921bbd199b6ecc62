package compactify

import (
	"context"
	"fmt"
	"math"
)

// Steps says where a walk measures. The zero value works.
type Steps struct {
	// Grid is the number of equal steps from 0 to 1; 0 means 16. A [Stepped]
	// path is measured at its own steps instead.
	Grid int

	// Approach is the number of points t = 1 − 2^−k/Grid, k = 1, 2, …, beyond the
	// grid's last, by which the left limit at t=1 is judged; 0 means 4, negative
	// none.
	Approach int

	// Refine is the number of bisections around the edge of the budget; 0 means
	// 6, negative none.
	Refine int

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
// by bisection around the edge of the budget. When the context ends, or a model
// cannot be made or measured, it returns what it has with the error.
func Walk(ctx context.Context, kind string, p Path, e Evaluator, s Steps) (Profile, error) {
	w := walker{path: p, eval: e, steps: s.withDefaults(), profile: Profile{Kind: kind}}
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
	eval    Evaluator
	steps   Steps
	profile Profile
}

// schedule lists the first t's: the path's own steps, or the grid and the
// approach.
func (w *walker) schedule() []float64 {
	if s, ok := w.path.(Stepped); ok {
		return s.Steps()
	}
	var list []float64
	for i := range w.steps.Grid {
		list = append(list, float64(i)/float64(w.steps.Grid))
	}
	gap := 1 / float64(w.steps.Grid)
	for range w.steps.Approach {
		gap /= 2
		list = append(list, 1-gap)
	}
	return append(list, 1)
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
// not feasible. Paths with steps of their own have nothing in between.
func (w *walker) refine(ctx context.Context) error {
	if _, ok := w.path.(Stepped); ok {
		return nil
	}
	for range w.steps.Refine {
		_, bracket, ok := w.profile.Furthest(w.steps.Budget)
		if !ok || bracket[0] == 1 {
			return nil
		}
		if err := w.measure(ctx, (bracket[0]+bracket[1])/2); err != nil {
			return err
		}
	}
	return nil
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
// of finitely many steps that jumps, otherwise open, as it is where a loss is not
// a number.
func (w *walker) continuity(l Limit) Verdict {
	jump := math.Abs(l.Left - l.At)
	_, stepped := w.path.(Stepped)
	switch {
	case jump <= w.steps.Tolerance:
		return Supported
	case stepped && jump > w.steps.Tolerance:
		return Refuted
	}
	return Inconclusive
}
