package linear

import (
	"fmt"
	"math"
)

// Predict is η at point i of the path for the rows of x: [K, n], where η of response k
// and row r is at k·n + r. The offset is that of these rows, [n] or [K, n], and nil
// means 0. x has the columns that were fitted, dense or compressed.
func (p *Path) Predict(i int, x *Matrix, offset []float64) ([]float64, error) {
	switch {
	case i < 0 || i >= len(p.Points):
		return nil, fmt.Errorf("predict: point: got %d, want 0 to %d", i, len(p.Points)-1)
	case x.cols != p.Features:
		return nil, fmt.Errorf("predict: columns: got %d, want %d", x.cols, p.Features)
	case offset != nil && len(offset) != p.Responses*x.rows:
		return nil, fmt.Errorf("predict: offsets: got %d, want %d", len(offset), p.Responses*x.rows)
	}
	return p.predict(&p.Points[i], x, offset), nil
}

func (p *Path) predict(point *Point, x *Matrix, offset []float64) []float64 {
	n := x.rows
	eta := make([]float64, p.Responses*n)
	copy(eta, offset)
	for k, b := range point.Intercept {
		for r := range n {
			eta[k*n+r] += b
		}
	}
	for i, at := range point.Index {
		k, j := at/p.Features, at%p.Features
		x.addColumn(j, point.Value[i], eta[k*n:(k+1)*n])
	}
	return eta
}

// addColumn adds a·x_j to v.
func (m *Matrix) addColumn(j int, a float64, v []float64) {
	if m.dense != nil {
		for i, x := range m.column(j) {
			v[i] += a * x
		}
		return
	}
	row, value := m.entries(j)
	for k, i := range row {
		v[i] += a * value[k]
	}
}

// Mean is what the model expects of the target at η [K, n]: η itself for a gaussian
// model, the probability of class 1 for a binomial one, of every class for a
// multinomial one, the rate for a Poisson one.
func (p *Path) Mean(eta []float64) []float64 {
	out := make([]float64, len(eta))
	switch p.Family {
	case Gaussian:
		copy(out, eta)
	case Binomial:
		for i, e := range eta {
			out[i] = 1 / (1 + math.Exp(-e))
		}
	case Poisson:
		for i, e := range eta {
			out[i] = math.Exp(e)
		}
	case Multinomial:
		n := len(eta) / p.Responses
		for r := range n {
			total := logSum(eta, r, n)
			for i := r; i < len(eta); i += n {
				out[i] = math.Exp(eta[i] - total)
			}
		}
	}
	return out
}

// Classify is the likeliest class of every example at η [K, n]; of two that are equally
// likely the lower. It is nil for models that have no classes.
func (p *Path) Classify(eta []float64) []int {
	if p.Family != Binomial && p.Family != Multinomial {
		return nil
	}
	n := len(eta) / p.Responses
	out := make([]int, n)
	for r := range out {
		out[r] = p.Family.class(eta, r, n)
	}
	return out
}

// class is the likeliest class of example r of n.
func (f Family) class(eta []float64, r, n int) int {
	if f == Binomial {
		if eta[r] > 0 {
			return 1
		}
		return 0
	}
	best := 0
	for k := 1; k*n < len(eta); k++ {
		if eta[k*n+r] > eta[best*n+r] {
			best = k
		}
	}
	return best
}

// loss is ℓ(y, η) of example r of n, in the form that [Family] gives.
func (f Family) loss(y float64, eta []float64, r, n int) float64 {
	e := eta[r]
	switch f {
	case Binomial:
		return max(e, 0) + math.Log1p(math.Exp(-math.Abs(e))) - y*e
	case Multinomial:
		return logSum(eta, r, n) - eta[int(y)*n+r]
	case Poisson:
		return math.Exp(e) - y*e
	}
	return (y - e) * (y - e) / 2
}

// logSum is log Σ_k e^{η_k} of example r of n.
func logSum(eta []float64, r, n int) float64 {
	top := math.Inf(-1)
	for i := r; i < len(eta); i += n {
		top = max(top, eta[i])
	}
	sum := 0.0
	for i := r; i < len(eta); i += n {
		sum += math.Exp(eta[i] - top)
	}
	return top + math.Log(sum)
}

// Score is how good a model is on some examples.
type Score struct {
	// Loss is the weighted mean of ℓ, without the penalty.
	Loss float64 `json:"loss"`
	// Metric is the weighted share of examples whose likeliest class is theirs; for
	// models without classes the share of the deviance that is gone against the best
	// constant answer to these very examples, NaN if that has none: R² for a gaussian
	// model. See [Family.MetricName].
	Metric float64 `json:"metric"`
}

// MetricName says what [Score].Metric is.
func (f Family) MetricName() string {
	return [...]string{"R2", "accuracy", "accuracy", "D2"}[f]
}

// Evaluate judges point i on other examples: the problem's Family and Classes are those
// of the path, and not every class needs an example.
func (p *Path) Evaluate(i int, problem Problem) (Score, error) {
	if problem.X == nil {
		return Score{}, fmt.Errorf("evaluate: got no design matrix")
	}
	weights, err := normalized(problem.Weights, problem.X.rows)
	if err != nil {
		return Score{}, fmt.Errorf("evaluate: weights: %w", err)
	}
	if err := p.checkTargets(problem.Y, problem.X.rows); err != nil {
		return Score{}, fmt.Errorf("evaluate: %w", err)
	}
	eta, err := p.Predict(i, problem.X, problem.Offset)
	if err != nil {
		return Score{}, err
	}
	return p.Family.score(problem.Y, eta, weights), nil
}

// checkTargets is for targets that need not be of all classes.
func (p *Path) checkTargets(y []float64, n int) error {
	if len(y) != n {
		return fmt.Errorf("targets: got %d, want %d, one per row", len(y), n)
	}
	for i, v := range y {
		if err := p.Family.checkTarget(i, v, p.Responses); err != nil {
			return err
		}
	}
	return nil
}

// score judges η [K, n]; the weights are taken relative to their sum.
func (f Family) score(y, eta, weights []float64) Score {
	n := len(y)
	total, loss, hits, mean := 0.0, 0.0, 0.0, 0.0
	for r, w := range weights {
		if w == 0 {
			continue
		}
		total += w
		loss += w * f.loss(y[r], eta, r, n)
		mean += w * y[r]
		if (f == Binomial || f == Multinomial) && f.class(eta, r, n) == int(y[r]) {
			hits += w
		}
	}
	s := Score{Loss: loss / total, Metric: hits / total}
	if f == Gaussian || f == Poisson {
		s.Metric = 1 - f.excessLoss(y, weights, s.Loss)/f.excessLoss(y, weights, f.constantLoss(y, weights, mean/total))
	}
	return s
}

// constantLoss is the mean loss of answering with the mean.
func (f Family) constantLoss(y, weights []float64, mean float64) float64 {
	if f == Poisson {
		return mean - product0(mean, math.Log(mean))
	}
	total, loss := 0.0, 0.0
	for r, w := range weights {
		total += w
		loss += w * (y[r] - mean) * (y[r] - mean) / 2
	}
	return loss / total
}

// excessLoss is a mean loss less that of a model with a parameter for every example:
// half the deviance.
func (f Family) excessLoss(y, weights []float64, loss float64) float64 {
	if f != Poisson {
		return loss
	}
	total, best := 0.0, 0.0
	for r, w := range weights {
		total += w
		if y[r] > 0 {
			best += w * (y[r] - y[r]*math.Log(y[r]))
		}
	}
	return loss - best/total
}
