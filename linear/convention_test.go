package linear

import (
	"math"
	"testing"
)

// minimal checks that an objective of the coefficients and the intercept, which are the
// last, does not fall by a step along any coordinate: as all objectives here are convex,
// and not smooth in single coordinates only, it is minimal then.
func minimal(t *testing.T, name string, at []float64, objective func(b []float64) float64) {
	t.Helper()
	here := objective(at)
	for j := range at {
		for _, step := range []float64{1e-3, -1e-3, 1e-4, -1e-4} {
			b := append([]float64(nil), at...)
			b[j] += step
			if there := objective(b); there < here-1e-10*math.Abs(here) {
				t.Errorf("%s: coordinate %d of %d: a step of %v takes the objective from %v to %v", name, j+1, len(at), step, here, there)
			}
		}
	}
}

// example is a small problem with correlated columns of several scales, and its rows.
func example(family Family) (Problem, [][]float64) {
	const n, p = 40, 5
	problem := random(21, n, p, false)
	rows := make([][]float64, n)
	for i := range rows {
		rows[i] = make([]float64, p)
	}
	d, _ := newDesign(problem.X, equalWeights(n), DefaultOptions())
	for j := range p {
		scale := []float64{1, 0.5, 2, 1, 1}[j]
		for i := range n {
			x := (problem.X.dense[j*n+i]-d.center[j])/d.scale[j]*scale + 0.3
			if j == 4 {
				x = (x + rows[i][0]) / 2
			}
			rows[i][j] = x
			problem.X.dense[j*n+i] = x
		}
	}
	for i := range problem.Y {
		eta := rows[i][0] - rows[i][1]
		switch family {
		case Binomial:
			problem.Y[i] = 0
			if eta+2*math.Sin(float64(7*i)) > 0 {
				problem.Y[i] = 1
			}
		case Poisson:
			problem.Y[i] = math.Round(math.Exp(0.5*eta + 0.5*math.Sin(float64(7*i))))
		default:
			problem.Y[i] = 3*eta + math.Sin(float64(7*i)) + 4
		}
	}
	problem.Family = family
	return problem, rows
}

func equalWeights(n int) []float64 {
	w, _ := normalized(nil, n)
	return w
}

func along(b, x []float64) float64 {
	s := 0.0
	for j, v := range x {
		s += b[j] * v
	}
	return s
}

func sumAbs(b []float64) float64 { n, _ := norms(b); return n }

func sumSquares(b []float64) float64 { _, n := norms(b); return n * n }

// solved are the coefficients at one λ, and the intercept.
func solved(t *testing.T, problem Problem, penalty Penalty, o Options, lambda float64) []float64 {
	t.Helper()
	o.Lambdas, o.Gap = []float64{lambda}, 1e-13
	path := fit(t, problem, penalty, o)
	return append(path.dense(0), path.Points[0].Intercept[0])
}

// TestConventions minimises the objective of another program, as its documentation
// writes it, by converting its penalty into ours.
func TestConventions(t *testing.T) {
	gaussian, rows := example(Gaussian)
	binomial, binomialRows := example(Binomial)
	poisson, poissonRows := example(Poisson)
	n, p := len(rows), len(rows[0])
	with := Options{Intercept: true}
	halfSquares := func(b []float64) float64 { // ½ RSS
		sum := 0.0
		for i, x := range rows {
			r := gaussian.Y[i] - along(b[:p], x) - b[p]
			sum += r * r / 2
		}
		return sum
	}
	logistic := func(b []float64) float64 { // Σ log(1 + e^{−yη}), y = ±1
		sum := 0.0
		for i, x := range binomialRows {
			sum += math.Log1p(math.Exp(-(2*binomial.Y[i] - 1) * (along(b[:p], x) + b[p])))
		}
		return sum
	}

	lambda, alpha := FromMeanLoss(0.3, 0.4)
	minimal(t, "ElasticNet(alpha=0.3, l1_ratio=0.4)", solved(t, gaussian, Penalty{Alpha: alpha}, with, lambda), func(b []float64) float64 {
		return halfSquares(b)/float64(n) + 0.3*0.4*sumAbs(b[:p]) + 0.5*0.3*0.6*sumSquares(b[:p])
	})
	minimal(t, "Lasso(alpha=0.3)", solved(t, gaussian, Penalty{Alpha: 1}, with, 0.3), func(b []float64) float64 {
		return halfSquares(b)/float64(n) + 0.3*sumAbs(b[:p])
	})
	minimal(t, "LARS", solved(t, gaussian, Penalty{Alpha: 1}, with, FromSumOfSquares(9, float64(n))), func(b []float64) float64 {
		return halfSquares(b) + 9*sumAbs(b[:p])
	})
	minimal(t, "Ridge(alpha=7)", solved(t, gaussian, Penalty{}, with, FromRidge(7, float64(n))), func(b []float64) float64 {
		return 2*halfSquares(b) + 7*sumSquares(b[:p])
	})
	minimal(t, "LogisticRegression(l2, C=0.7)", solved(t, binomial, Penalty{}, with, FromC(0.7, float64(n))), func(b []float64) float64 {
		return sumSquares(b[:p])/2 + 0.7*logistic(b)
	})
	minimal(t, "LogisticRegression(elasticnet, C=0.7, l1_ratio=0.3)", solved(t, binomial, Penalty{Alpha: 0.3}, with, FromC(0.7, float64(n))), func(b []float64) float64 {
		return 0.7*sumSquares(b[:p])/2 + 0.3*sumAbs(b[:p]) + 0.7*logistic(b)
	})
	minimal(t, "PoissonRegressor(alpha=0.2)", solved(t, poisson, Penalty{}, with, 0.2), func(b []float64) float64 {
		sum := 0.0
		for i, x := range poissonRows {
			eta := along(b[:p], x) + b[p]
			sum += math.Exp(eta) - poisson.Y[i]*eta // half the deviance but for a constant
		}
		return sum/float64(n) + 0.2/2*sumSquares(b[:p])
	})

	// LIBLINEAR: the bias is a column of B = 1, penalised.
	biased := binomial
	ones := append([]float64(nil), binomial.X.dense...)
	for range n {
		ones = append(ones, 1)
	}
	biased.X, _ = NewDense(n, p+1, ones)
	for _, kind := range []struct {
		name  string
		alpha float64
		r     func(b []float64) float64
	}{{"L1R_LR", 1, sumAbs}, {"L2R_LR", 0, func(b []float64) float64 { return sumSquares(b) / 2 }}} {
		b := solved(t, biased, Penalty{Alpha: kind.alpha}, Options{}, FromC(0.7, float64(n)))
		minimal(t, "LIBLINEAR "+kind.name, b[:p+1], func(b []float64) float64 { return kind.r(b) + 0.7*logistic(b) })
	}
}

// TestGlmnetConvention minimises what glmnet does: columns and gaussian targets of unit
// variance, factors that sum to p, weights that sum to 1; λ and coefficients are brought
// back by the targets' spread. bench/linear.sh compares with glmnet itself.
func TestGlmnetConvention(t *testing.T) {
	problem, rows := example(Gaussian)
	n, p := len(rows), len(rows[0])
	problem.Weights = make([]float64, n)
	for i := range problem.Weights {
		problem.Weights[i] = 1 + float64(i%3)
	}
	weights, _ := normalized(problem.Weights, n)
	factors := []float64{1, 2, 0.5, 0, 1}
	for _, intercept := range []bool{true, false} {
		spread, err := GlmnetSpread(problem, intercept)
		if err != nil {
			t.Fatal(err)
		}
		const theirLambda, theirAlpha = 0.4, 0.6
		lambda, alpha := FromGlmnet(theirLambda, theirAlpha, spread)
		if l, a := ToGlmnet(lambda, alpha, spread); math.Abs(l-theirLambda) > 1e-15 || math.Abs(a-theirAlpha) > 1e-15 {
			t.Errorf("back: got λ %v, α %v", l, a)
		}
		b := solved(t, problem, Penalty{Alpha: alpha, Factors: GlmnetFactors(factors)}, Options{Intercept: intercept, Standardize: true}, lambda)
		d, _ := newDesign(problem.X, weights, Options{Standardize: true})
		sd := d.scale
		if !intercept {
			b = b[:p]
		}
		for j := range p {
			b[j] *= sd[j] / spread
		}
		sum := 0.0
		for _, f := range factors {
			sum += f
		}
		minimal(t, "glmnet", b, func(b []float64) float64 {
			value := 0.0
			for i, x := range rows {
				r := problem.Y[i] / spread
				for j := range p {
					r -= x[j] / sd[j] * b[j]
				}
				if intercept {
					r -= b[p] / spread
				}
				value += weights[i] * r * r / 2
			}
			for j := range p {
				value += theirLambda / spread * factors[j] * float64(p) / sum * (theirAlpha*math.Abs(b[j]) + (1-theirAlpha)/2*b[j]*b[j])
			}
			return value
		})
	}
}

// TestConversionsInvert: C and λ are reciprocal.
func TestConversionsInvert(t *testing.T) {
	if c := ToC(FromC(0.25, 40), 40); c != 0.25 {
		t.Errorf("C: got %v, want 0.25", c)
	}
}
