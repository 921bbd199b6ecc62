package linear

import (
	"context"
	"math"
	"testing"

	"github.com/compactify/compactify"
)

// oracle9 are the margin vectors (1, 2) and (3, −1), one of each class.
func oracle9(t testing.TB) Problem {
	return classed(t, Binomial, []float64{1, 2, 1}, []float64{-3, 1, 0})
}

// newton minimises the mean logistic loss + λ/2 ‖θ‖² of two columns without an
// intercept by Newton's method, independently of the solvers.
func newton(p Problem, lambda float64, start [2]float64) (theta [2]float64, loss float64) {
	theta = start
	n := float64(p.X.rows)
	for range 200 {
		g := [2]float64{lambda * theta[0], lambda * theta[1]}
		h := [2][2]float64{{lambda, 0}, {0, lambda}}
		loss = 0
		for i, y := range p.Y {
			s := 2*y - 1
			x := [2]float64{s * p.X.dense[i], s * p.X.dense[p.X.rows+i]}
			m := x[0]*theta[0] + x[1]*theta[1]
			loss += math.Log1p(math.Exp(-m)) / n
			q := 1 / (1 + math.Exp(m))
			for a := range 2 {
				g[a] -= q * x[a] / n
				for b := range 2 {
					h[a][b] += q * (1 - q) * x[a] * x[b] / n
				}
			}
		}
		det := h[0][0]*h[1][1] - h[0][1]*h[1][0]
		d := [2]float64{(h[1][1]*g[0] - h[0][1]*g[1]) / det, (h[0][0]*g[1] - h[1][0]*g[0]) / det}
		size := math.Hypot(d[0], d[1])
		short := min(1, 0.5/size) // far away the quadratic model is wrong
		theta[0] -= short * d[0]
		theta[1] -= short * d[1]
		if size < 1e-15 {
			break
		}
	}
	return theta, loss
}

// TestOracle9: the sum of both losses + λ‖w‖² is twice the mean + λ/2 ‖w‖².
func TestOracle9(t *testing.T) {
	p := oracle9(t)
	lambdas := []float64{1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10}
	path := &Path{}
	var theta [2]float64
	for _, lambda := range lambdas {
		var loss float64
		theta, loss = newton(p, lambda, theta)
		path.Points = append(path.Points, Point{Lambda: lambda, Loss: loss, Converged: true, Index: []int{0, 1}, Value: []float64{theta[0], theta[1]}})
	}
	for i, want := range map[int][2]float64{0: {0.4813754, 0.1873801}, 5: {5.4862774, 3.4133296}} {
		for j, x := range path.Points[i].Value {
			if math.Abs(x-want[j]) > 1e-7 {
				t.Errorf("w(%v): got %v, want %v", lambdas[i], path.Points[i].Value, want)
			}
		}
	}
	task, err := prepare(p, Penalty{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	m, err := task.margin(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	l := &Limit{Norm: 2, Predicted: [2]float64{1 / m.High, 1 / m.Low}}
	l.read(task, path, m)
	checkOracle9(t, l)
	if got := l.Points[5].Angle; math.Abs(got-0.03145) > 5e-6 {
		t.Errorf("angle at 1e-6: got %v, want 0.03145", got)
	}
}

// checkOracle9 holds for a limit of those data.
func checkOracle9(t *testing.T, l *Limit) {
	t.Helper()
	if want := math.Sqrt(13) / 7; math.Abs(l.Slope-want) > 0.01*want {
		t.Errorf("slope: got %v, want %v", l.Slope, want)
	}
	if l.Verdict != compactify.Supported {
		t.Errorf("got %v: %s", l.Verdict, l.Note)
	}
	last := l.Points[len(l.Points)-1]
	for k, p := range l.Points[1:] {
		if before := l.Points[k]; !(p.Angle < before.Angle && p.Reached > before.Reached && p.Norm > before.Norm) {
			t.Errorf("λ = %v: %+v after %+v", p.Lambda, p, before)
		}
	}
	if math.Abs(last.LossRatio-1) > 0.05 || last.Reached < 0.985 {
		t.Errorf("at the end: got %+v", last)
	}
}

// TestLimitInput: what has another limit is refused, and what is not separable is not
// applicable.
func TestLimitInput(t *testing.T) {
	for _, c := range []struct {
		name string
		p    Problem
		pen  Penalty
	}{
		{"poisson", classed(t, Poisson, []float64{1, 0}, []float64{2, 1}), Penalty{}},
		{"between", oracle9(t), Penalty{Alpha: 0.5}},
		{"a free column", oracle9(t), Penalty{Factors: []float64{1, 0}}},
		{"bounds", oracle9(t), Penalty{Lower: []float64{0, 0}}},
	} {
		if _, err := MeasureLimit(context.Background(), c.p, c.pen, Options{}); err == nil {
			t.Errorf("%s: got no error", c.name)
		}
	}
	overlapping := classed(t, Binomial, []float64{0, 0}, []float64{2, 0}, []float64{1, 1}, []float64{3, 1})
	l, err := MeasureLimit(context.Background(), overlapping, Penalty{}, DefaultOptions())
	if err != nil || l.Verdict != compactify.NotApplicable || l.Note == "" {
		t.Errorf("overlapping: got %+v, %v", l, err)
	}
}

// TestMeasureLimit: oracle 9 by the solver, and ridge and lasso on real data.
func TestMeasureLimit(t *testing.T) {
	o := Options{Lambdas: []float64{1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-9, 1e-10}}
	l, err := MeasureLimit(context.Background(), oracle9(t), Penalty{}, o)
	if err != nil {
		t.Fatal(err)
	}
	checkOracle9(t, l)
	if got := l.Points[4].Angle; math.Abs(got-0.03145) > 5e-6 {
		t.Errorf("angle at 1e-6: got %v, want 0.03145", got)
	}
	iris := classTable(t, "tabular/iris/iris.csv")
	iris.Family = Binomial
	for i, class := range iris.Y {
		iris.Y[i] = min(class, 1) // setosa and the others
	}
	for _, alpha := range []float64{0, 1} {
		l, err := MeasureLimit(context.Background(), iris, Penalty{Alpha: alpha}, DefaultOptions())
		if err != nil {
			t.Fatal(err)
		}
		if l.Verdict != compactify.Supported || len(l.Points) != limitCount {
			t.Errorf("α = %v: %v, %d points: %s", alpha, l.Verdict, len(l.Points), l.Note)
		}
		if last := l.Points[len(l.Points)-1]; last.Reached < 0.95 || math.Abs(last.LossRatio-1) > 0.05 {
			t.Errorf("α = %v: at the end: got %+v", alpha, last)
		}
	}
}
