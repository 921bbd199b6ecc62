package linear

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/separation"
)

// Limit is what a logistic path does as λ → 0. On separable data it has no end among
// the models: the norm of the coefficients grows like log(1/λ)/γ, γ the largest margin
// in that norm, and for ridge their direction tends to that of the largest margin. All
// norms, margins and angles are those of the coefficients that are penalised, which are
// of standardised columns if the fit standardises, times their penalty factors.
//
// Sources: S. Rosset, J. Zhu and T. Hastie, "Boosting as a regularized path to a
// maximum margin classifier", JMLR 5 (2004), theorem 3; D. Soudry, E. Hoffer, M. S.
// Nacson, S. Gunasekar and N. Srebro, "The implicit bias of gradient descent on
// separable data", JMLR 19 (2018), theorem 3, for the slow convergence.
type Limit struct {
	// Verdict is that of the statement "‖θ_λ‖ grows like log(1/λ)/γ": supported if the
	// slope measured is the predicted one, not applicable unless the data are separable.
	Verdict   compactify.Verdict `json:"verdict"`
	Statement string             `json:"statement"`
	Norm      int                `json:"norm"` // 2 for ridge, 1 for the lasso
	Margin    [2]float64         `json:"margin"`
	// Predicted is 1/γ, between bounds; Slope is what was measured: that of ‖θ_λ‖ over
	// log(1/λ), or for ridge over log(1/λ) − log‖θ_λ‖, which has the same limit and
	// comes near it sooner.
	Predicted [2]float64   `json:"predicted"`
	Slope     float64      `json:"slope"`
	Points    []LimitPoint `json:"points,omitempty"` // in descending λ
	Note      string       `json:"note,omitempty"`
}

// LimitPoint is the path at one λ, seen from its limit.
type LimitPoint struct {
	Lambda float64 `json:"lambda"`
	Norm   float64 `json:"norm"`
	// Angle to the direction of the largest margin, in radians. For the lasso several
	// directions may have it, and the angle to one of them need not vanish.
	Angle float64 `json:"angle"`
	// Reached is the margin of the direction as a share of the largest, which tends to 1.
	Reached float64 `json:"reached"`
	Loss    float64 `json:"loss"`
	// LossRatio is the loss over what λ says it is in the limit, λ‖θ‖/γ for ridge and
	// λ/γ for the lasso; it tends to 1.
	LossRatio float64 `json:"loss_ratio"`
	Gap       float64 `json:"gap"`
}

// The grid that a limit is measured on, in units of the steepest correlation of the
// null model: from limitTop down to limitBottom, limitCount values.
const (
	limitTop, limitBottom = 1e-2, 1e-10
	limitCount            = 17
)

// MeasureLimit follows the path of a binomial problem towards λ = 0, for ridge (α = 0)
// or the lasso (α = 1), on o.Lambdas or from 1e-2 to 1e-10 of where the lasso begins.
// In between the two, ridge decides the limit, but only for λ far beyond reach.
func MeasureLimit(ctx context.Context, p Problem, pen Penalty, o Options) (*Limit, error) {
	l, err := measureLimit(ctx, p, pen, o)
	if err != nil {
		return nil, fmt.Errorf("limit for λ → 0: %w", err)
	}
	return l, nil
}

func measureLimit(ctx context.Context, p Problem, pen Penalty, o Options) (*Limit, error) {
	switch {
	case p.Family != Binomial:
		return nil, fmt.Errorf("got a %v problem, want a binomial one", p.Family)
	case pen.Alpha != 0 && pen.Alpha != 1:
		return nil, fmt.Errorf("alpha: got %v, want 0 (ridge) or 1 (lasso)", pen.Alpha)
	case pen.Groups != nil || pen.Lower != nil || pen.Upper != nil || slices.Contains(pen.Factors, 0):
		return nil, errors.New("groups, bounds and coefficients without a penalty have limits of their own")
	}
	t, err := prepare(p, pen, o)
	if err != nil {
		return nil, err
	}
	l := &Limit{Statement: "‖θ_λ‖ grows like log(1/λ)/γ as λ → 0", Norm: 2 - int(pen.Alpha)}
	s, err := Separate(ctx, p, o)
	if err != nil {
		return nil, err
	}
	if s.Verdict != compactify.Verified {
		l.Verdict = compactify.NotApplicable
		l.Note = "the data are not known to be separable: " + s.Note
		return l, nil
	}
	m, err := t.margin(ctx)
	if errors.Is(err, separation.ErrNotSeparated) || errors.Is(err, separation.ErrTooLarge) {
		l.Verdict = compactify.Inconclusive
		l.Note = err.Error()
		return l, nil
	}
	if err != nil {
		return nil, err
	}
	l.Margin = [2]float64{m.Low, m.High}
	l.Predicted = [2]float64{1 / m.High, 1 / m.Low}
	if o.Lambdas == nil {
		if o.Lambdas, err = t.limitGrid(); err != nil {
			return nil, err
		}
	}
	path, err := Fit(ctx, p, pen, o)
	if err != nil {
		return nil, err
	}
	l.read(t, path, m)
	return l, nil
}

func (t *task) limitGrid() ([]float64, error) {
	s, err := t.solver()
	if err != nil {
		return nil, err
	}
	_, steepest, err := s.null()
	if err != nil {
		return nil, err
	}
	out := make([]float64, limitCount)
	for i := range out {
		share := float64(i) / (limitCount - 1)
		out[i] = steepest * limitTop * math.Pow(limitBottom/limitTop, share)
	}
	return out, nil
}

// unit is what a column is divided by so that the penalty is the plain norm.
func (t *task) unit(j int) float64 {
	if t.alpha == 0 {
		return t.scale[j] * math.Sqrt(t.factor[j])
	}
	return t.scale[j] * t.factor[j]
}

// margin is the largest one in the norm that the penalty measures.
func (t *task) margin(ctx context.Context) (*separation.Margin, error) {
	s := &separated{Problem: Problem{X: t.Matrix, Y: t.y, Family: Binomial, Weights: t.weights}, intercept: t.intercept, classes: 2}
	for i, w := range t.weights {
		if w > 0 {
			s.examples = append(s.examples, i)
		}
	}
	for j := range t.cols {
		if !math.IsInf(t.factor[j], 1) {
			s.columns = append(s.columns, j)
		}
	}
	p := s.points()
	for _, row := range p.Rows {
		for k := range row.Value {
			c := k
			if row.Index != nil {
				c = int(row.Index[k])
			}
			row.Value[k] /= t.unit(s.columns[c])
		}
	}
	find := separation.MaxMargin
	if t.alpha == 1 {
		find = separation.MaxMarginL1
	}
	m, err := find(ctx, p)
	if err != nil {
		return nil, err
	}
	spread := make([]float64, t.cols)
	for c, j := range s.columns {
		spread[j] = m.Direction[c]
	}
	m.Direction = spread
	return m, nil
}

// read measures the points of a path.
func (l *Limit) read(t *task, path *Path, m *separation.Margin) {
	gamma := (m.Low + m.High) / 2
	_, length := norms(m.Direction)
	left := 0
	for _, p := range path.Points {
		if len(p.Value) == 0 || p.Lambda == 0 {
			continue
		}
		if !p.Converged {
			left++
			continue
		}
		x := LimitPoint{Lambda: p.Lambda, Loss: p.Loss, Gap: p.Gap}
		scaled := make([]float64, len(p.Value))
		for k, j := range p.Index {
			scaled[k] = p.Value[k] * t.unit(j)
		}
		norm1, norm2 := norms(scaled)
		x.Norm, x.LossRatio = norm2, p.Loss*gamma/(p.Lambda*norm2)
		if l.Norm == 1 {
			x.Norm, x.LossRatio = norm1, p.Loss*gamma/p.Lambda
		}
		x.Angle = angle(scaled, p.Index, m.Direction, norm2, length)
		x.Reached = t.reached(&p) / (x.Norm * gamma)
		l.Points = append(l.Points, x)
	}
	l.judge()
	if left > 0 {
		l.Note += fmt.Sprintf("; %d points whose duality gap is too large are left out", left)
	}
}

// angle is that between a sparse and a dense vector, accurate also where it is small.
func angle(value []float64, index []int, direction []float64, norm, length float64) float64 {
	difference, sum := slices.Clone(direction), slices.Clone(direction)
	for j := range direction {
		difference[j] /= length
		sum[j] /= length
	}
	for k, j := range index {
		difference[j] -= value[k] / norm
		sum[j] += value[k] / norm
	}
	_, a := norms(difference)
	_, b := norms(sum)
	return 2 * math.Atan2(a, b)
}

// reached is the margin of a point with the best intercept, its norm not divided out.
func (t *task) reached(p *Point) float64 {
	eta := make([]float64, t.rows)
	for k, j := range p.Index {
		if t.dense != nil {
			for i, x := range t.column(j) {
				eta[i] += p.Value[k] * x
			}
			continue
		}
		row, value := t.entries(j)
		for e, i := range row {
			eta[i] += p.Value[k] * value[e]
		}
	}
	plus, minus := math.Inf(1), math.Inf(1)
	for i, y := range t.y {
		if t.weights[i] == 0 {
			continue
		}
		if y == 1 {
			plus = min(plus, eta[i])
		} else {
			minus = min(minus, -eta[i])
		}
	}
	if t.intercept {
		return (plus + minus) / 2
	}
	return min(plus, minus)
}

// slopeTolerance is how far a slope may be from the predicted one and support it: what
// is left falls like 1/log(1/λ).
const slopeTolerance = 0.05

// judge fits the slope to the half of the points with the smaller λ. For ridge the
// penalty's derivative is λ‖θ‖ and that of the loss e^{−γ‖θ‖} up to a factor, so that
// γ‖θ‖ + log‖θ‖ = log(1/λ) + constant; for the lasso it is λ, and the logarithm of the
// norm is not there.
func (l *Limit) judge() {
	half := l.Points[len(l.Points)/2:]
	if len(half) < 2 {
		l.Verdict = compactify.Inconclusive
		l.Note = "too few points: a slope takes four"
		return
	}
	var x, y []float64
	for _, p := range half {
		at := -math.Log(p.Lambda)
		if l.Norm == 2 {
			at -= math.Log(p.Norm)
		}
		x, y = append(x, at), append(y, p.Norm)
	}
	l.Slope = regression(x, y)
	first, last := half[0], half[len(half)-1]
	l.Verdict = compactify.Inconclusive
	if near := l.Slope > l.Predicted[0]*(1-slopeTolerance) && l.Slope < l.Predicted[1]*(1+slopeTolerance); near && last.Reached >= first.Reached {
		l.Verdict = compactify.Supported
	}
	l.Note = fmt.Sprintf("from λ = %.3g to %.3g the slope is %.4g times the predicted one; the margin reaches %.4g of the largest at the end, and convergence is in 1/log(1/λ)", first.Lambda, last.Lambda, 2*l.Slope/(l.Predicted[0]+l.Predicted[1]), last.Reached)
}

// regression is the slope of the least-squares line.
func regression(x, y []float64) float64 {
	n, sx, sy := float64(len(x)), 0.0, 0.0
	for i := range x {
		sx += x[i] / n
		sy += y[i] / n
	}
	top, bottom := 0.0, 0.0
	for i := range x {
		top += (x[i] - sx) * (y[i] - sy)
		bottom += (x[i] - sx) * (x[i] - sx)
	}
	return top / bottom
}
