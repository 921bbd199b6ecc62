package linear

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/compactify/compactify/internal/stream"
)

// Folds say how examples are split for cross-validation.
type Folds struct {
	// Count is the number of folds, 2 to the number of examples with a weight; 0 means
	// 10, or as many as Assignment names.
	Count int
	// Seed draws the folds. They are balanced: two folds differ in size by at most one,
	// and so they do in the examples of any one class.
	Seed uint64
	// Assignment gives every example its fold, counted from 0, and takes the place of
	// the draw.
	Assignment []int
}

const defaultFolds = 10

// Validation is a path with what cross-validation says of it.
type Validation struct {
	Path *Path `json:"-"` // of all examples
	// Fold is the fold of every example, counted from 0.
	Fold   []int            `json:"-"`
	Count  int              `json:"folds"`
	Points []ValidatedPoint `json:"points"` // one for every point of the path
	// Best is the point with the least loss, of several the one with the largest λ;
	// Simplest the one with the largest λ whose loss is within a standard error of that.
	Best     int `json:"best"`
	Simplest int `json:"simplest"`
	// LambdaMin and Lambda1SE are λ of these points.
	LambdaMin float64 `json:"lambda_min"`
	Lambda1SE float64 `json:"lambda_1se"`
}

// ValidatedPoint is the loss at one λ of models that had not seen the examples.
type ValidatedPoint struct {
	Lambda float64 `json:"lambda"`
	// Loss is the mean of the folds' mean losses, each with the weight of its examples:
	// so the weighted mean over all examples.
	Loss float64 `json:"loss"`
	// StandardError of Loss: the root of the weighted mean of the folds' squared
	// deviations from it, divided by the number of folds less one.
	//
	// Source: J. Friedman, T. Hastie, R. Tibshirani, glmnet, cv.glmnet (cvsd, grouped).
	StandardError float64 `json:"standard_error"`
	// Metric is [Score].Metric of all held-out predictions together.
	Metric float64 `json:"metric"`
}

// CrossValidate fits the path of all examples, then, on the same λ, one path for every
// fold with the fold's examples at weight 0, and judges each on the examples it has not
// seen. Standardisation is by what a fit sees. The matrix is not copied.
//
// The one-standard-error rule is that of L. Breiman, J. Friedman, R. Olshen and C.
// Stone, "Classification and Regression Trees" (1984), section 3.4.3.
//
// It is an error if there are fewer examples than folds, if a fold has no example, or
// if all examples of a class are in one fold.
func CrossValidate(ctx context.Context, problem Problem, penalty Penalty, o Options, folds Folds) (*Validation, error) {
	path, err := Fit(ctx, problem, penalty, o)
	if err != nil {
		return nil, err
	}
	v := &Validation{Path: path}
	weights, err := normalized(problem.Weights, problem.X.rows)
	if err != nil {
		return nil, fmt.Errorf("cross-validate: weights: %w", err)
	}
	if v.Fold, v.Count, err = folds.assign(problem, weights); err != nil {
		return nil, fmt.Errorf("cross-validate: %w", err)
	}
	o.Lambdas = make([]float64, len(path.Points))
	for i, p := range path.Points {
		o.Lambdas[i] = p.Lambda
	}
	h := newHeldOut(path, problem, weights, v.Count)
	for fold := range v.Count {
		if err := h.judge(ctx, v.Fold, fold, penalty, o); err != nil {
			return nil, fmt.Errorf("cross-validate: fold %d: %w", fold+1, err)
		}
	}
	v.Points = h.points()
	v.choose()
	return v, nil
}

// choose applies both rules; the points are in descending λ.
func (v *Validation) choose() {
	for i, p := range v.Points {
		if p.Loss < v.Points[v.Best].Loss {
			v.Best = i
		}
	}
	best := v.Points[v.Best]
	v.Simplest = slices.IndexFunc(v.Points, func(p ValidatedPoint) bool { return p.Loss <= best.Loss+best.StandardError })
	if v.Simplest < 0 { // the least loss is NaN
		v.Simplest = v.Best
	}
	v.LambdaMin, v.Lambda1SE = best.Lambda, v.Points[v.Simplest].Lambda
}

// heldOut gathers, for every λ, what the models without a fold answer to the fold.
type heldOut struct {
	path    *Path
	problem Problem
	weights []float64   // of the examples, summing to 1
	losses  [][]float64 // of every λ and fold
	share   []float64   // of every fold: the weight of its examples
	metric  []metricSum // of every λ
}

// metricSum is Score.Metric's numerator over held-out examples.
type metricSum struct{ loss, hits float64 }

func newHeldOut(path *Path, problem Problem, weights []float64, folds int) *heldOut {
	h := &heldOut{path: path, problem: problem, weights: weights,
		losses: make([][]float64, len(path.Points)), share: make([]float64, folds), metric: make([]metricSum, len(path.Points))}
	for i := range h.losses {
		h.losses[i] = make([]float64, folds)
	}
	return h
}

// judge fits without a fold and judges every λ on it.
func (h *heldOut) judge(ctx context.Context, fold []int, k int, penalty Penalty, o Options) error {
	rest, own := slices.Clone(h.weights), slices.Clone(h.weights)
	for r, f := range fold {
		if f == k {
			rest[r] = 0
		} else {
			own[r] = 0
		}
		h.share[k] += own[r]
	}
	problem := h.problem
	problem.Weights = rest
	path, err := Fit(ctx, problem, penalty, o)
	if err != nil {
		return err
	}
	if len(path.Points) != len(h.losses) {
		return fmt.Errorf("points of its path: got %d, want %d", len(path.Points), len(h.losses))
	}
	for i := range path.Points {
		s := path.Family.score(h.problem.Y, path.predict(&path.Points[i], h.problem.X, h.problem.Offset), own)
		h.losses[i][k] = s.Loss
		h.metric[i].loss += h.share[k] * s.Loss
		h.metric[i].hits += h.share[k] * s.Metric
	}
	return nil
}

// points are the means over folds.
func (h *heldOut) points() []ValidatedPoint {
	f, y := h.path.Family, h.problem.Y
	mean := 0.0
	for r, w := range h.weights {
		mean += w * y[r]
	}
	null := f.excessLoss(y, h.weights, f.constantLoss(y, h.weights, mean))
	out := make([]ValidatedPoint, len(h.losses))
	for i, losses := range h.losses {
		p := &out[i]
		p.Lambda, p.Loss, p.Metric = h.path.Points[i].Lambda, h.metric[i].loss, h.metric[i].hits
		if f == Gaussian || f == Poisson {
			p.Metric = 1 - f.excessLoss(y, h.weights, p.Loss)/null
		}
		for k, loss := range losses {
			p.StandardError += h.share[k] * (loss - p.Loss) * (loss - p.Loss)
		}
		p.StandardError = math.Sqrt(p.StandardError / float64(len(losses)-1))
	}
	return out
}

// assign gives every example its fold.
func (f Folds) assign(p Problem, weights []float64) (fold []int, count int, err error) {
	examples := 0
	for _, w := range weights {
		if w > 0 {
			examples++
		}
	}
	if count = f.Count; f.Assignment != nil {
		fold, count, err = f.given(len(weights))
	} else if count == 0 {
		count = defaultFolds
	}
	if err != nil {
		return nil, 0, err
	}
	if count < 2 || count > examples {
		return nil, 0, fmt.Errorf("folds: got %d of %d examples, want 2 to %d", count, examples, examples)
	}
	if fold == nil {
		fold = draw(f.Seed, count, p, weights)
	}
	return fold, count, checkFolds(fold, count, p, weights)
}

// given takes the assignment.
func (f Folds) given(n int) ([]int, int, error) {
	if len(f.Assignment) != n {
		return nil, 0, fmt.Errorf("folds: got those of %d examples, want %d", len(f.Assignment), n)
	}
	count := f.Count
	if count == 0 {
		count = slices.Max(f.Assignment) + 1
	}
	for i, k := range f.Assignment {
		if k < 0 || k >= count {
			return nil, 0, fmt.Errorf("fold of example %d: got %d, want 0 to %d", i+1, k, count-1)
		}
	}
	return slices.Clone(f.Assignment), count, nil
}

// draw deals shuffled examples out, class after class; those without a weight last.
func draw(seed uint64, count int, p Problem, weights []float64) []int {
	order := stream.New(seed, "folds", 0).Perm(len(weights))
	slices.SortStableFunc(order, func(a, b int) int {
		if idle := cmp.Compare(zero(weights[a]), zero(weights[b])); idle != 0 || p.Family == Gaussian || p.Family == Poisson {
			return idle
		}
		return cmp.Compare(p.Y[a], p.Y[b])
	})
	fold := make([]int, len(order))
	for i, r := range order {
		fold[r] = i % count
	}
	return fold
}

func zero(w float64) int {
	if w == 0 {
		return 1
	}
	return 0
}

// checkFolds: every fold has an example, and its absence leaves one of every class.
func checkFolds(fold []int, count int, p Problem, weights []float64) error {
	inFold := make([]int, count)
	home := map[float64]int{} // the only fold with examples of a class, -1 if there are several
	for r, k := range fold {
		if weights[r] == 0 {
			continue
		}
		inFold[k]++
		if at, seen := home[p.Y[r]]; !seen {
			home[p.Y[r]] = k
		} else if at != k {
			home[p.Y[r]] = -1
		}
	}
	for k, n := range inFold {
		if n == 0 {
			return fmt.Errorf("fold %d: got no example with a weight, want at least one", k+1)
		}
	}
	if p.Family != Binomial && p.Family != Multinomial {
		return nil
	}
	for _, class := range slices.Sorted(maps.Keys(home)) {
		if k := home[class]; k >= 0 {
			return fmt.Errorf("fold %d: got all examples of class %v, want some outside it", k+1, class)
		}
	}
	return nil
}
