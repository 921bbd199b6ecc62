package linear

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/compactify/compactify"
)

// solver chooses how to fit the task.
func (t *task) solver() (solver, error) {
	switch {
	case t.group != nil && t.family == Gaussian:
		return newGroupwise(t)
	case t.group != nil:
		return nil, fmt.Errorf("fit %v: groups: want a gaussian problem", t.family)
	case t.family == Gaussian && t.alpha == 0 && t.lower == nil && t.upper == nil:
		return newRidge(t)
	case t.family == Gaussian:
		return newQuadratic(t)
	}
	return newGeneralized(t)
}

// fit follows the path from its boundary inwards.
func (t *task) fit(ctx context.Context) (*Path, error) {
	s, err := t.solver()
	if err != nil {
		return nil, err
	}
	null, steepest, err := s.null()
	if err != nil {
		return nil, fmt.Errorf("fit %v: the model without penalised columns: %w", t.family, err)
	}
	arrival := 0.0
	if steepest > 0 {
		arrival = steepest / t.alpha
	}
	path := &Path{Family: t.family, Features: t.cols, Responses: t.classes, LambdaMax: arrival,
		Center: t.center, Scale: t.scale, Constant: t.constant}
	lambdas := t.grid(steepest)
	inside := slices.IndexFunc(lambdas, func(l float64) bool { return l < arrival })
	if inside < 0 {
		inside = len(lambdas)
	}
	for _, l := range lambdas[:inside] {
		f := null
		f.lambda = l
		path.Points = append(path.Points, t.point(f, null.loss))
	}
	check := func() error { return ctx.Err() }
	err = s.path(lambdas[inside:], check, func(f fitted) {
		path.Points = append(path.Points, t.point(f, null.loss))
	})
	if err != nil {
		return nil, fmt.Errorf("fit %v: %w", t.family, err)
	}
	path.Checks = checkPath(path.Points)
	return path, nil
}

// ridgeShare takes the place of α in the grid's first λ where there is no finite
// λ_max: glmnet's convention, so that grids agree.
//
// Source: glmnet, vignette "An Introduction to glmnet", section on lambda.min.ratio.
const ridgeShare = 1e-3

// grid is what was asked for, or geometric from the arrival down.
func (t *task) grid(steepest float64) []float64 {
	if t.lambdas != nil {
		return t.lambdas
	}
	top := steepest / t.alpha
	if t.alpha == 0 {
		top = steepest / ridgeShare
	}
	if steepest == 0 {
		return []float64{0}
	}
	out := make([]float64, t.count)
	for i := range out {
		share := 0.0
		if i > 0 {
			share = float64(i) / float64(t.count-1)
		}
		out[i] = top * math.Pow(t.ratio, share)
	}
	return out
}

// point brings a solution to the columns as they were given.
func (t *task) point(f fitted, nullLoss float64) Point {
	p := Point{Lambda: f.lambda, Loss: f.loss, Penalty: f.penalty, Objective: f.objective(), Gap: f.relativeGap(), KKT: f.kkt,
		Intercept: slices.Clone(f.intercept), Index: f.index, Value: make([]float64, len(f.value))}
	for i, at := range f.index {
		k, j := at/t.cols, at%t.cols
		p.Value[i] = f.value[i] / t.scale[j]
		if t.intercept {
			p.Intercept[k] -= p.Value[i] * t.center[j]
		}
	}
	p.Converged = p.Gap <= t.gap
	if null := nullLoss - t.saturated(); null > 0 {
		p.Explained = (nullLoss - f.loss) / null
	}
	return p
}

// saturated is the loss of a model that has a parameter for every example.
func (t *task) saturated() float64 {
	if t.family != Poisson {
		return 0
	}
	loss := 0.0
	for i, y := range t.y {
		if y > 0 {
			loss += t.weights[i] * (y - y*math.Log(y))
		}
	}
	return loss
}

// checkPath holds all points against each other. A point claims to be within its gap
// of the minimum; one without a finite gap claims nothing.
func checkPath(points []Point) compactify.Minimality {
	list := make([]compactify.Minimiser, len(points))
	for i, p := range points {
		within := p.Gap * math.Abs(p.Objective)
		list[i] = compactify.Minimiser{Lambda: p.Lambda, Loss: p.Loss, Penalty: p.Penalty, Within: within, Given: math.IsNaN(within) || math.IsInf(within, 1)}
	}
	return compactify.CheckMinimality(list, rounding)
}

// rounding is the relative error of losses that are sums of many terms.
const rounding = 1e-13

func norms(v []float64) (norm1, norm2 float64) {
	largest := 0.0
	for _, x := range v {
		norm1 += math.Abs(x)
		largest = max(largest, math.Abs(x))
	}
	if largest == 0 {
		return 0, 0
	}
	for _, x := range v {
		norm2 += x / largest * (x / largest)
	}
	return norm1, largest * math.Sqrt(norm2)
}

func sortedKeys(m map[int]bool) []int { return slices.Sorted(maps.Keys(m)) }
