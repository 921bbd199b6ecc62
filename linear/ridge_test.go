package linear

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
)

// random is a Gaussian problem with a mean, columns of several scales, and weights and
// offsets if asked for.
func random(seed uint64, n, p int, weighted bool) Problem {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float64, n*p)
	y := make([]float64, n)
	for j := range p {
		scale, mean := math.Exp(2*r.NormFloat64()), 3*r.NormFloat64()
		a := r.NormFloat64() / scale
		for i := range n {
			x[j*n+i] = scale*r.NormFloat64() + mean
			y[i] += a * x[j*n+i]
		}
	}
	problem := Problem{Y: y}
	for i := range y {
		y[i] += 5 + r.NormFloat64()
	}
	if weighted {
		problem.Weights, problem.Offset = make([]float64, n), make([]float64, n)
		for i := range y {
			problem.Weights[i], problem.Offset[i] = float64(r.IntN(4)), r.NormFloat64()
		}
	}
	problem.X, _ = NewDense(n, p, x)
	return problem
}

// compressed is the same matrix in compressed columns, with every zero left out.
func compressed(t *testing.T, m *Matrix) *Matrix {
	t.Helper()
	start := []int{0}
	var row []int32
	var value []float64
	for j := range m.cols {
		for i, v := range m.column(j) {
			if v != 0 {
				row, value = append(row, int32(i)), append(value, v)
			}
		}
		start = append(start, len(row))
	}
	s, err := NewSparse(m.rows, m.cols, start, row, value)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fit(t *testing.T, problem Problem, penalty Penalty, o Options) *Path {
	t.Helper()
	path, err := Fit(context.Background(), problem, penalty, o)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// dense are all coefficients of a point.
func (p *Path) dense(i int) []float64 {
	out := make([]float64, p.Features*p.Responses)
	for k, at := range p.Points[i].Index {
		out[at] = p.Points[i].Value[k]
	}
	return out
}

// TestRidgeOracle is THEORY oracle 1: ½RSS + λ‖θ‖² at λ = ½, which is n/2 of ours.
func TestRidgeOracle(t *testing.T) {
	x, _ := NewDense(2, 2, []float64{1, 0, 0, 2})
	path := fit(t, Problem{X: x, Y: []float64{1, 1}}, Penalty{}, Options{Lambdas: []float64{0.5, 0}})
	if got := path.dense(0); !near(got, []float64{0.5, 0.4}, 1e-15) {
		t.Errorf("θ: got %v, want [0.5 0.4]", got)
	}
	if got := path.dense(1); !near(got, []float64{1, 0.5}, 1e-15) {
		t.Errorf("θ at λ = 0: got %v, want [1 0.5]", got)
	}
}

// stationary is the largest component of the gradient of the objective in the
// coefficients as given, computed from the definition, relative to that at zero.
func stationary(problem Problem, penalty Penalty, o Options, path *Path, i int) float64 {
	eta, _ := path.Predict(i, problem.X, problem.Offset)
	weights, _ := normalized(problem.Weights, problem.X.rows)
	theta, worst := path.dense(i), 0.0
	size := 0.0
	for j := range problem.X.cols {
		c, zero, scale := 0.0, 0.0, path.Scale[j]
		for r, x := range problem.X.column(j) {
			c += weights[r] * x * (problem.Y[r] - eta[r])
			zero += math.Abs(weights[r] * x * problem.Y[r])
		}
		f := 1.0
		if penalty.Factors != nil {
			f = penalty.Factors[j]
		}
		worst = max(worst, math.Abs(c-path.Points[i].Lambda*f*theta[j]*scale*scale)/scale)
		size = max(size, zero/scale)
	}
	return worst / size
}

// TestRidge: at every λ the gradient vanishes, tall, wide and square, with weights,
// offsets, factors and columns without a penalty; compressed gives the same.
func TestRidge(t *testing.T) {
	for _, c := range []struct {
		n, p        int
		weighted    bool
		intercept   bool
		standardize bool
	}{
		{40, 7, false, true, true}, {40, 7, true, true, false}, {12, 30, true, true, true}, {12, 30, false, false, false},
		{20, 20, false, true, true}, {9, 9, true, false, true}, {300, 5, true, true, true}, {5, 300, false, true, true},
		{1, 3, false, false, false},
	} {
		for seed := range uint64(3) {
			problem := random(seed, c.n, c.p, c.weighted)
			penalty := Penalty{}
			if seed > 0 {
				penalty.Factors = make([]float64, c.p)
				for j := range penalty.Factors {
					penalty.Factors[j] = float64((j + int(seed)) % 3)
				}
			}
			o := Options{Intercept: c.intercept, Standardize: c.standardize && c.n > 1, MinRatio: 1e-9}
			path := fit(t, problem, penalty, o)
			name := fmt.Sprintf("%+v, seed %d", c, seed)
			for i, point := range path.Points {
				if s := stationary(problem, penalty, o, path, i); s > 1e-12 {
					t.Errorf("%s, λ = %v: gradient %v of that at 0", name, point.Lambda, s)
				}
				if !point.Converged {
					t.Errorf("%s, λ = %v: gap %v", name, point.Lambda, point.Gap)
				}
			}
			if m := path.Checks; !m.Monotone || !m.Concave || len(m.Beaten) > 0 {
				t.Errorf("%s: path: %+v", name, m)
			}
			problem.X = compressed(t, problem.X)
			again := fit(t, problem, penalty, o)
			last := len(path.Points) - 1
			if a, b := path.dense(last/2), again.dense(last/2); !near(a, b, 1e-9*(1+path.Points[last/2].norm2())) {
				t.Errorf("%s: compressed: got %v, want %v", name, b, a)
			}
		}
	}
}

func (p *Point) norm2() float64 {
	_, norm := p.Norms()
	return norm
}

// TestRidgeLimit: at λ = 0 the loss is that of least squares, and of its minimisers
// the one with the smallest penalty, which is also the limit of small λ.
func TestRidgeLimit(t *testing.T) {
	for seed := range uint64(4) {
		problem := random(seed, 15, 6, true)
		n, p := 15, 6
		// Twice column 1 as another one: the limit shares the coefficient out as 1 to 2.
		x := append([]float64(nil), problem.X.dense...)
		for _, v := range problem.X.column(0) {
			x = append(x, 2*v)
		}
		problem.X, _ = NewDense(n, p+1, x)
		path := fit(t, problem, Penalty{}, Options{Intercept: true, Lambdas: []float64{0, 1e-9}})
		small, zero := path.dense(0), path.dense(1)
		if math.Abs(zero[p]-2*zero[0]) > 1e-12*path.Points[1].norm2() {
			t.Errorf("seed %d: coefficients of x and 2x: got %v and %v", seed, zero[0], zero[p])
		}
		if !near(small, zero, 1e-5*(1+path.Points[1].norm2())) {
			t.Errorf("seed %d: at λ = 1e-9 %v, at 0 %v", seed, small, zero)
		}
		if !path.Points[1].Converged {
			t.Errorf("seed %d: gap %v", seed, path.Points[1].Gap)
		}
		if s := stationary(problem, Penalty{}, Options{}, path, 1); s > 1e-13 {
			t.Errorf("seed %d: gradient %v", seed, s)
		}
	}
	// More columns than examples: a perfect fit with the least norm.
	problem := random(9, 8, 40, false)
	path := fit(t, problem, Penalty{}, Options{Intercept: true, Lambdas: []float64{0, 1e-7}})
	if p := path.Points[1]; p.Loss != 0 || p.Gap != 0 {
		t.Errorf("n < p: loss %v, gap %v, want 0 and 0", p.Loss, p.Gap)
	}
	if !near(path.dense(1), path.dense(0), 1e-5*path.Points[1].norm2()) {
		t.Error("n < p: λ = 0 is not the limit of small λ")
	}
}

// TestRidgeIllConditioned: a polynomial of degree 9 in the power basis, condition about
// 1e8; exact coefficients come back and all gaps are reached as far as targets rounded to
// 1e-16 determine objectives: that at λ = 1e-12 is 4e-12.
func TestRidgeIllConditioned(t *testing.T) {
	const n, p = 30, 9
	x, y := make([]float64, n*p), make([]float64, n)
	for i := range n {
		power := 1.0
		for j := range p {
			power *= float64(i+1) / n
			x[j*n+i] = power
			y[i] += power
		}
	}
	m, _ := NewDense(n, p, x)
	path := fit(t, Problem{X: m, Y: y}, Penalty{}, Options{Lambdas: []float64{1, 1e-4, 1e-8, 1e-12, 0}})
	for i, point := range path.Points {
		if !point.Converged && (point.Lambda != 1e-12 || point.Gap > 1e-7) {
			t.Errorf("λ = %v: gap %v", point.Lambda, point.Gap)
		}
		if point.Lambda == 0 {
			for j, v := range path.dense(i) {
				if math.Abs(v-1) > 1e-6 {
					t.Errorf("coefficient %d at λ = 0: got %v, want 1", j+1, v)
				}
			}
		}
	}
}

// TestRidgeDegenerate: constant columns, equal targets, and nothing to penalise.
func TestRidgeDegenerate(t *testing.T) {
	x, _ := NewDense(3, 2, []float64{1, 2, 4, 7, 7, 7})
	path := fit(t, Problem{X: x, Y: []float64{0.1, 0.1, 0.1}}, Penalty{}, DefaultOptions())
	if p := path.Points[0]; len(path.Points) != 1 || p.Objective != 0 || p.Gap != 0 || len(p.Index) != 0 || p.Intercept[0] != 0.1 {
		t.Errorf("equal targets: got %+v", path.Points)
	}
	if len(path.Constant) != 1 || path.Constant[0] != 1 {
		t.Errorf("constant columns: got %v, want [1]", path.Constant)
	}
	path = fit(t, Problem{X: x, Y: []float64{1, 2, 5}}, Penalty{Factors: []float64{0, 0}}, DefaultOptions())
	// Least squares of (1, 2, 5) on (1, 2, 4): slope 19/14·… = (Σdx·dy)/(Σdx²).
	if got := path.dense(0); !near(got, []float64{29.0/21 - 0, 0}, 1) || stationary(Problem{X: x, Y: []float64{1, 2, 5}}, Penalty{Factors: []float64{0, 0}}, Options{}, path, 0) > 1e-14 {
		t.Errorf("nothing penalised: got %v", got)
	}
}

// TestCrossValidateRidge compares with fits that never had the held-out rows.
func TestCrossValidateRidge(t *testing.T) {
	problem := random(5, 30, 8, true)
	for i := range problem.Weights {
		problem.Weights[i]++
	}
	o := DefaultOptions()
	v, err := CrossValidate(context.Background(), problem, Penalty{}, o, Folds{Count: 3, Seed: 2})
	if err != nil {
		t.Fatal(err)
	}
	if len(v.Points) != len(v.Path.Points) {
		t.Fatalf("points: got %d, want %d", len(v.Points), len(v.Path.Points))
	}
	total, sums := 0.0, make([]float64, len(v.Points))
	losses, shares := make([][]float64, 3), make([]float64, 3)
	for k := range 3 {
		train, test := part(t, problem, v.Fold, func(f int) bool { return f != k }), part(t, problem, v.Fold, func(f int) bool { return f == k })
		o.Lambdas = nil
		for _, p := range v.Path.Points {
			o.Lambdas = append(o.Lambdas, p.Lambda)
		}
		path := fit(t, train, Penalty{}, o)
		for _, w := range test.Weights {
			shares[k] += w
		}
		total += shares[k]
		losses[k] = make([]float64, len(sums))
		for i := range sums {
			s, err := path.Evaluate(i, test)
			if err != nil {
				t.Fatal(err)
			}
			sums[i] += shares[k] * s.Loss
			losses[k][i] = s.Loss
		}
	}
	for i, p := range v.Points {
		want, spread := sums[i]/total, 0.0
		for k := range 3 {
			spread += shares[k] / total * (losses[k][i] - want) * (losses[k][i] - want)
		}
		if math.Abs(p.Loss-want) > 1e-9*want || math.Abs(p.StandardError-math.Sqrt(spread/2)) > 1e-9*want {
			t.Errorf("λ = %v: got %v ± %v, want %v ± %v", p.Lambda, p.Loss, p.StandardError, want, math.Sqrt(spread/2))
		}
	}
}

// part are the examples of some folds.
func part(t *testing.T, p Problem, fold []int, in func(int) bool) Problem {
	t.Helper()
	out := Problem{Family: p.Family, Classes: p.Classes}
	rows := 0
	for i, k := range fold {
		if in(k) {
			rows++
			out.Y = append(out.Y, p.Y[i])
			out.Weights = append(out.Weights, p.Weights[i])
			out.Offset = append(out.Offset, p.Offset[i])
		}
	}
	var x []float64
	for j := range p.X.cols {
		for i, v := range p.X.column(j) {
			if in(fold[i]) {
				x = append(x, v)
			}
		}
	}
	out.X, _ = NewDense(rows, p.X.cols, x)
	return out
}
