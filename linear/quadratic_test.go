package linear

import (
	"compress/gzip"
	"context"
	"encoding/csv"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/internal/testkit"
)

// bare is a problem as it was given, for checks that share no code with solvers: its
// columns standardised by hand, bounds and factors in the scale that is penalised.
type bare struct {
	x             [][]float64 // columns
	y, w          []float64
	factor        []float64
	lower, upper  []float64
	alpha         float64
	center, scale []float64
}

func bareOf(problem Problem, penalty Penalty, o Options) *bare {
	n, p := problem.X.rows, problem.X.cols
	b := &bare{y: slices.Clone(problem.Y), w: make([]float64, n), alpha: penalty.Alpha}
	total := 0.0
	for i := range n {
		b.w[i] = 1
		if problem.Weights != nil {
			b.w[i] = problem.Weights[i]
		}
		if problem.Offset != nil {
			b.y[i] -= problem.Offset[i]
		}
		total += b.w[i]
	}
	for i := range b.w {
		b.w[i] /= total
	}
	mean := func(x []float64) (m, v float64) {
		for i, w := range b.w {
			m += w * x[i]
		}
		for i, w := range b.w {
			v += w * (x[i] - m) * (x[i] - m)
		}
		return m, v
	}
	m, _ := mean(b.y)
	for i := range b.y {
		if o.Intercept {
			b.y[i] -= m
		}
	}
	for j := range p {
		column := make([]float64, n)
		if problem.X.dense != nil {
			copy(column, problem.X.column(j))
		} else {
			row, value := problem.X.entries(j)
			for k, i := range row {
				column[i] = value[k]
			}
		}
		m, v := mean(column)
		center, scale := 0.0, 1.0
		if o.Intercept {
			center = m
		}
		if o.Standardize && v > 1e-20 {
			scale = math.Sqrt(v)
		}
		for i := range column {
			column[i] = (column[i] - center) / scale
		}
		lo, hi, f := math.Inf(-1), math.Inf(1), 1.0
		if penalty.Lower != nil {
			lo = penalty.Lower[j] * scale
		}
		if penalty.Upper != nil {
			hi = penalty.Upper[j] * scale
		}
		if penalty.Factors != nil {
			f = penalty.Factors[j]
		}
		b.x, b.center, b.scale = append(b.x, column), append(b.center, center), append(b.scale, scale)
		b.factor, b.lower, b.upper = append(b.factor, f), append(b.lower, lo), append(b.upper, hi)
	}
	return b
}

// correlations are Σ w x̃ (y − X̃θ), and the objective.
func (b *bare) correlations(lambda float64, theta []float64) (c []float64, objective float64) {
	r := slices.Clone(b.y)
	for j, t := range theta {
		for i, x := range b.x[j] {
			r[i] -= t * x
		}
		objective += lambda * b.factor[j] * (b.alpha*math.Abs(t) + (1-b.alpha)/2*t*t)
	}
	c = make([]float64, len(theta))
	for j := range c {
		for i, x := range b.x[j] {
			c[j] += b.w[i] * x * r[i]
		}
	}
	for i, w := range b.w {
		objective += w * r[i] * r[i] / 2
	}
	return c, objective
}

// broken is the largest violation of the conditions of optimality, by definition.
func (b *bare) broken(lambda float64, theta []float64) float64 {
	c, _ := b.correlations(lambda, theta)
	worst := 0.0
	for j, t := range theta {
		a, g := lambda*b.factor[j]*b.alpha, c[j]-lambda*b.factor[j]*(1-b.alpha)*t
		if t < b.lower[j]-1e-12 || t > b.upper[j]+1e-12 {
			return math.Inf(1)
		}
		up, down := t < b.upper[j]-1e-12, t > b.lower[j]+1e-12 // where it may go
		switch {
		case t > 0 && up, t == 0 && up:
			worst = max(worst, g-a)
		case t < 0 && up:
			worst = max(worst, g+a)
		}
		switch {
		case t < 0 && down, t == 0 && down:
			worst = max(worst, -g-a)
		case t > 0 && down:
			worst = max(worst, a-g)
		}
	}
	return worst
}

// checkOptimal holds every point of a path against the definitions.
func checkOptimal(t *testing.T, problem Problem, penalty Penalty, o Options, path *Path) {
	t.Helper()
	b := bareOf(problem, penalty, o)
	_, null := b.correlations(0, make([]float64, len(b.x)))
	size := 1e-13 * math.Sqrt(null)
	for _, column := range b.x {
		s := 0.0
		for i, x := range column {
			s += b.w[i] * x * x
		}
		size = max(size, 1e-11*math.Sqrt(null*s))
	}
	for i, p := range path.Points {
		theta := path.dense(i)
		for j := range theta {
			theta[j] *= b.scale[j]
		}
		_, objective := b.correlations(p.Lambda, theta)
		if v := b.broken(p.Lambda, theta); v > size+1e-8*p.Lambda {
			t.Errorf("λ = %v: optimality violated by %v", p.Lambda, v)
		}
		if !p.Converged || p.Gap > 1e-10 {
			t.Errorf("λ = %v: gap %v", p.Lambda, p.Gap)
		}
		if math.Abs(p.Objective-objective) > 1e-10*(objective+1e-3*null) {
			t.Errorf("λ = %v: objective: got %v, want %v", p.Lambda, p.Objective, objective)
		}
	}
	if !path.Checks.Monotone || !path.Checks.Concave || len(path.Checks.Beaten) > 0 {
		t.Errorf("checks of the path: %+v", path.Checks)
	}
}

// TestLassoOracle is THEORY oracles 3 and 2: ours divides λ by n.
func TestLassoOracle(t *testing.T) {
	x, _ := NewDense(3, 3, []float64{3, 0, 1, 0, -3, 0, 3, -1, 0})
	problem := Problem{X: x, Y: []float64{3, 3, -1}}
	o := Options{Lambdas: []float64{10. / 3, 9. / 3, 8.5 / 3, 6. / 3, 3.5 / 3, 2. / 3, 0.2 / 3}}
	path := fit(t, problem, Penalty{Alpha: 1}, o)
	if math.Abs(path.LambdaMax-3) > 1e-15 {
		t.Errorf("λ_max: got %v, want 3", path.LambdaMax)
	}
	for i, want := range [][]int{{}, {}, {1}, {0, 1}, {0, 1, 2}, {1, 2}, {0, 1, 2}} {
		if got := path.Points[i].Index; !slices.Equal(got, want) {
			t.Errorf("support at λ = %v: got %v, want %v", 3*o.Lambdas[i], got, want)
		}
	}
	for i := range 2 {
		if path.Points[i].Gap != 0 {
			t.Errorf("gap at λ ≥ λ_max: got %v, want 0", path.Points[i].Gap)
		}
	}
	if got := path.dense(3); !near(got, []float64{0.2, -1. / 3, 0}, 1e-15) {
		t.Errorf("θ(6): got %v, want [0.2 -1/3 0]", got)
	}
	// Orthonormal columns: the soft threshold.
	x, _ = NewDense(2, 2, []float64{0.6, 0.8, -0.8, 0.6})
	path = fit(t, Problem{X: x, Y: []float64{1, 2}}, Penalty{Alpha: 1}, Options{Lambdas: []float64{0.25}})
	if got := path.dense(0); !near(got, []float64{2.2 - 0.5, 0}, 1e-15) {
		t.Errorf("soft threshold: got %v", got)
	}
}

// TestQuadraticOptions: optimal by definition for all combinations of what can be
// asked for, tall, square and wide, and compressed the same.
func TestQuadraticOptions(t *testing.T) {
	for seed, shape := range [][2]int{{40, 5}, {12, 12}, {15, 60}, {90, 8}} {
		for combination := range 64 {
			bit := func(i int) bool { return combination>>i&1 == 1 }
			problem := random(uint64(seed), shape[0], shape[1], bit(0))
			r := rand.New(rand.NewPCG(uint64(combination), 2))
			penalty := Penalty{Alpha: 1}
			if bit(1) {
				penalty.Alpha = 0.4
			}
			if bit(2) {
				penalty.Factors = make([]float64, shape[1])
				for j := range penalty.Factors {
					penalty.Factors[j] = float64(r.IntN(6)) / 2
					if j > 3 {
						penalty.Factors[j]++
					}
				}
			}
			if bit(3) {
				penalty.Lower, penalty.Upper = make([]float64, shape[1]), make([]float64, shape[1])
				for j := range penalty.Lower {
					penalty.Lower[j] = []float64{0, -0.1, math.Inf(-1)}[r.IntN(3)]
					penalty.Upper[j] = []float64{0, 0.05, math.Inf(1)}[r.IntN(3)]
				}
			}
			o := Options{Intercept: bit(4), Standardize: bit(5), Count: 20}
			t.Run(fmt.Sprint(shape, combination), func(t *testing.T) {
				path := fit(t, problem, penalty, o)
				checkOptimal(t, problem, penalty, o, path)
				problem.X = compressed(t, problem.X)
				o.Lambdas = lambdasOf(path)
				same := fit(t, problem, penalty, o)
				for i := range path.Points {
					if a, b := path.dense(i), same.dense(i); !near(a, b, 1e-6*(1+largest(a))) {
						t.Fatalf("point %d: dense and compressed differ by %v", i, apart(a, b))
					}
				}
			})
		}
	}
}

func apart(a, b []float64) float64 {
	worst := 0.0
	for i, v := range a {
		worst = max(worst, math.Abs(v-b[i]))
	}
	return worst
}

func lambdasOf(path *Path) []float64 {
	var out []float64
	for _, p := range path.Points {
		out = append(out, p.Lambda)
	}
	return out
}

// TestQuadraticBruteForce: no sign pattern has a better objective.
func TestQuadraticBruteForce(t *testing.T) {
	for seed := range uint64(20) {
		n, p := 8+int(seed%5), 2+int(seed%4)
		problem := random(seed, n, p, seed%3 == 0)
		penalty := Penalty{Alpha: []float64{1, 0.7}[seed%2]}
		o := Options{Intercept: seed%2 == 0, Standardize: true, Count: 7}
		path := fit(t, problem, penalty, o)
		b := bareOf(problem, penalty, o)
		for _, point := range path.Points {
			if best := b.enumerate(point.Lambda); math.Abs(point.Objective-best) > 1e-12*best {
				t.Errorf("seed %d, λ = %v: objective %v, of all sign patterns %v", seed, point.Lambda, point.Objective, best)
			}
		}
	}
}

// enumerate solves the equations of every sign pattern and returns the least objective
// of those whose solution has the signs.
func (b *bare) enumerate(lambda float64) float64 {
	best := math.Inf(1)
	patterns := int(math.Pow(3, float64(len(b.x))))
	for pattern := range patterns {
		var columns []int
		var signs []float64
		for j, rest := 0, pattern; j < len(b.x); j, rest = j+1, rest/3 {
			if rest%3 > 0 {
				columns, signs = append(columns, j), append(signs, float64(rest%3)*2-3)
			}
		}
		theta := make([]float64, len(b.x))
		system := make([][]float64, len(columns))
		for e, j := range columns {
			row := make([]float64, len(columns)+1)
			for f, k := range columns {
				for i, w := range b.w {
					row[f] += w * b.x[j][i] * b.x[k][i]
				}
			}
			row[e] += lambda * (1 - b.alpha)
			for i, w := range b.w {
				row[len(columns)] += w * b.x[j][i] * b.y[i]
			}
			row[len(columns)] -= lambda * b.alpha * signs[e]
			system[e] = row
		}
		fits := true
		for e, v := range eliminated(system) {
			theta[columns[e]] = v
			fits = fits && v*signs[e] >= 0
		}
		if fits {
			_, objective := b.correlations(lambda, theta)
			best = min(best, objective)
		}
	}
	return best
}

// eliminated solves a system by Gauss's elimination with pivots.
func eliminated(a [][]float64) []float64 {
	n := len(a)
	for k := range n {
		at := k
		for i := k; i < n; i++ {
			if math.Abs(a[i][k]) > math.Abs(a[at][k]) {
				at = i
			}
		}
		a[k], a[at] = a[at], a[k]
		for i := k + 1; i < n; i++ {
			f := a[i][k] / a[k][k]
			for c := k; c <= n; c++ {
				a[i][c] -= f * a[k][c]
			}
		}
	}
	x := make([]float64, n)
	for i := n - 1; i >= 0; i-- {
		x[i] = a[i][n]
		for c := i + 1; c < n; c++ {
			x[i] -= a[i][c] * x[c]
		}
		x[i] /= a[i][i]
	}
	return x
}

// TestQuadraticSymmetries: what must not change a solution, or change it in a known
// way.
func TestQuadraticSymmetries(t *testing.T) {
	const n, p = 30, 50
	problem := random(4, n, p, false)
	o := Options{Intercept: true, Standardize: true, Count: 15}
	for _, alpha := range []float64{1, 0.5} {
		path := fit(t, problem, Penalty{Alpha: alpha}, o)
		o.Lambdas = lambdasOf(path)
		compare := func(name string, other *Path, map1 func([]float64) []float64) {
			t.Helper()
			for i := range path.Points {
				a, b := path.dense(i), map1(other.dense(i))
				if !near(b, a, 1e-9*(1+largest(a))) {
					t.Errorf("α = %v, %s: point %d is off by %v", alpha, name, i, apart(a, b))
					return
				}
			}
		}
		same := func(x []float64) []float64 { return x }

		order := rand.New(rand.NewPCG(1, 1)).Perm(p)
		x := make([]float64, 0, n*p)
		for _, j := range order {
			x = append(x, problem.X.column(j)...)
		}
		m, _ := NewDense(n, p, x)
		compare("columns permuted", fit(t, Problem{X: m, Y: problem.Y}, Penalty{Alpha: alpha}, o), func(v []float64) []float64 {
			out := make([]float64, p)
			for i, j := range order {
				out[j] = v[i]
			}
			return out
		})

		x = slices.Clone(problem.X.dense)
		for j := range p {
			for i := range n {
				x[j*n+i] *= math.Ldexp(1, j%5-2)
			}
		}
		m, _ = NewDense(n, p, x)
		compare("columns scaled", fit(t, Problem{X: m, Y: problem.Y}, Penalty{Alpha: alpha}, o), func(v []float64) []float64 {
			for j := range v {
				v[j] *= math.Ldexp(1, j%5-2)
			}
			return v
		})

		x, y := make([]float64, n*p), make([]float64, n)
		for i, k := range rand.New(rand.NewPCG(2, 1)).Perm(n) {
			y[i] = problem.Y[k]
			for j := range p {
				x[j*n+i] = problem.X.dense[j*n+k]
			}
		}
		m, _ = NewDense(n, p, x)
		compare("rows permuted", fit(t, Problem{X: m, Y: y}, Penalty{Alpha: alpha}, o), same)

		weighted := problem
		weighted.Weights = make([]float64, n)
		var rows []int
		for i := range n {
			weighted.Weights[i] = float64(i % 3)
			for range i % 3 {
				rows = append(rows, i)
			}
		}
		x, y = nil, nil
		for j := range p {
			for _, i := range rows {
				x = append(x, problem.X.dense[j*n+i])
			}
		}
		for _, i := range rows {
			y = append(y, problem.Y[i])
		}
		m, _ = NewDense(len(rows), p, x)
		path = fit(t, weighted, Penalty{Alpha: alpha}, o)
		compare("rows repeated", fit(t, Problem{X: m, Y: y}, Penalty{Alpha: alpha}, o), same)
		o.Lambdas = nil
	}
}

// TestQuadraticThreads: two threads give the same bits as one.
func TestQuadraticThreads(t *testing.T) {
	pool := kernel.NewPool(2, kernel.Best())
	defer pool.Close()
	for _, shape := range [][2]int{{60, 300}, {500, 20}} {
		problem := random(9, shape[0], shape[1], false)
		one := fit(t, problem, Penalty{Alpha: 1}, DefaultOptions())
		o := DefaultOptions()
		o.Pool = pool
		two := fit(t, problem, Penalty{Alpha: 1}, o)
		for i := range one.Points {
			if !slices.Equal(one.Points[i].Value, two.Points[i].Value) || one.Points[i].Gap != two.Points[i].Gap {
				t.Fatalf("point %d: one thread %+v, two %+v", i, one.Points[i], two.Points[i])
			}
		}
	}
}

// TestQuadraticDuplicates: each column three times, one of them negated, and small
// integers, so that columns depend on each other exactly.
func TestQuadraticDuplicates(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for trial := range 20 {
		n, p := 6+trial%4, 4+trial%7
		var x []float64
		for range p {
			column := make([]float64, n)
			for i := range column {
				column[i] = float64(r.IntN(5) - 2)
			}
			for _, f := range []float64{1, 1, -1} {
				for _, v := range column {
					x = append(x, f*v)
				}
			}
		}
		y := make([]float64, n)
		for i := range y {
			y[i] = float64(r.IntN(9) - 4)
		}
		m, _ := NewDense(n, 3*p, x)
		for _, alpha := range []float64{1, 0.5} {
			for _, ratio := range []float64{1e-2, 1e-4} {
				problem, o := Problem{X: m, Y: y}, Options{Intercept: trial%2 == 0, Count: 30, MinRatio: ratio}
				path := fit(t, problem, Penalty{Alpha: alpha}, o)
				checkOptimal(t, problem, Penalty{Alpha: alpha}, o, path)
			}
		}
	}
}

// TestQuadraticDegenerate: defined answers at the edges.
func TestQuadraticDegenerate(t *testing.T) {
	constant, _ := NewDense(4, 2, []float64{2, 2, 2, 2, 1, 2, 3, 5})
	path := fit(t, Problem{X: constant, Y: []float64{0.1, 0.1, 0.1, 0.1}}, Penalty{Alpha: 1}, DefaultOptions())
	if p := path.Points[0]; path.LambdaMax != 0 || p.Loss != 0 || p.Gap != 0 || p.Intercept[0] != 0.1 {
		t.Errorf("equal targets: λ_max %v, %+v", path.LambdaMax, p)
	}
	path = fit(t, Problem{X: constant, Y: []float64{1, 2, 3, 6}}, Penalty{Alpha: 1}, DefaultOptions())
	if !slices.Equal(path.Constant, []int{0}) {
		t.Errorf("constant columns: got %v", path.Constant)
	}
	for i := range path.Points {
		if path.dense(i)[0] != 0 || !path.Points[i].Converged {
			t.Errorf("constant column: %+v", path.Points[i])
		}
	}
	single, _ := NewDense(1, 2, []float64{1, 2})
	path = fit(t, Problem{X: single, Y: []float64{3}}, Penalty{Alpha: 1}, DefaultOptions())
	if path.LambdaMax != 0 || path.Points[0].Intercept[0] != 3 {
		t.Errorf("n = 1: %+v", path)
	}
	path = fit(t, Problem{X: single, Y: []float64{3}}, Penalty{Alpha: 1}, Options{Lambdas: []float64{2}})
	if got := path.dense(0); path.LambdaMax != 6 || !near(got, []float64{0, 1}, 1e-15) {
		t.Errorf("n = 1 without intercept: λ_max %v, θ %v", path.LambdaMax, got)
	}
	// λ = 0, tall: least squares.
	problem := random(1, 30, 4, true)
	o := Options{Intercept: true, Lambdas: []float64{0}}
	checkOptimal(t, problem, Penalty{Alpha: 1}, o, fit(t, problem, Penalty{Alpha: 1}, o))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Fit(ctx, problem, Penalty{Alpha: 1}, DefaultOptions()); err == nil {
		t.Error("got no error from a context that has ended")
	}
}

// TestQuadraticDescent: coordinate descent alone, which takes over where too many
// columns move for a factor.
func TestQuadraticDescent(t *testing.T) {
	for _, alpha := range []float64{1, 0.5} {
		problem := random(6, 40, 60, alpha == 1)
		o := Options{Intercept: true, Standardize: true, Count: 10, MinRatio: 0.05}
		task, err := prepare(problem, Penalty{Alpha: alpha}, o)
		if err != nil {
			t.Fatal(err)
		}
		s, err := newQuadratic(task)
		if err != nil {
			t.Fatal(err)
		}
		q := s.(*quadratic)
		_, steepest, _ := q.null()
		q.descending = true
		err = q.path(task.grid(steepest)[1:], func() error { return nil }, func(f fitted) {
			if f.relativeGap() > 1e-10 {
				t.Errorf("α = %v, λ = %v: gap %v", alpha, f.lambda, f.relativeGap())
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestQuadraticEdges: ridge with bounds, which is no longer linear in the targets, far
// more columns moving than rows, λ far below λ_max, and λ = 0 with bounds.
func TestQuadraticEdges(t *testing.T) {
	const n, p = 25, 120
	problem := random(8, n, p, false)
	zero, most := make([]float64, p), make([]float64, p)
	for j := range most {
		most[j] = math.Inf(1)
		if j%3 == 0 {
			most[j] = 0.01
		}
	}
	tall := random(2, 200, 30, true)
	for name, c := range map[string]struct {
		problem Problem
		penalty Penalty
		o       Options
	}{
		"ridge with bounds": {problem, Penalty{Lower: zero, Upper: most}, Options{Intercept: true, Count: 10}},
		"nearly ridge":      {problem, Penalty{Alpha: 0.02}, Options{Intercept: true, Standardize: true, Count: 10}},
		"distant λ":         {problem, Penalty{Alpha: 1}, Options{Intercept: true, Standardize: true, Lambdas: []float64{10, 1e-2}}},
		"small λ":           {tall, Penalty{Alpha: 1}, Options{Intercept: true, Standardize: true, MinRatio: 1e-7}},
		"least squares ≥ 0": {tall, Penalty{Alpha: 1, Lower: zero[:30]}, Options{Intercept: true, Standardize: true, Lambdas: []float64{1, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			checkOptimal(t, c.problem, c.penalty, c.o, fit(t, c.problem, c.penalty, c.o))
		})
	}
}

// TestMicroarrays: many more columns than rows, in real data.
func TestMicroarrays(t *testing.T) {
	for _, name := range []string{"golub", "alon"} {
		problem := microarray(t, "tabular/microarray/"+name+".csv.gz")
		for _, alpha := range []float64{1, 0.5} {
			path := fit(t, problem, Penalty{Alpha: alpha}, DefaultOptions())
			for _, p := range path.Points {
				if !p.Converged {
					t.Errorf("%s, α = %v, λ = %v: gap %v", name, alpha, p.Lambda, p.Gap)
				}
			}
			if c := path.Checks; !c.Monotone || !c.Concave || len(c.Beaten) > 0 {
				t.Errorf("%s: %+v", name, c)
			}
		}
	}
}

// microarray reads labels from the first column and expressions from the others.
func microarray(t testing.TB, name string) Problem {
	t.Helper()
	f, err := os.Open(testkit.Shared(t, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	records, err := csv.NewReader(z).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	n, p := len(records), len(records[0])-1
	x, y := make([]float64, n*p), make([]float64, n)
	first := records[0][0]
	for i, record := range records {
		if record[0] == first {
			y[i] = 1
		}
		for j, text := range record[1:] {
			if x[j*n+i], err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
		}
	}
	m, err := NewDense(n, p, x)
	if err != nil {
		t.Fatal(err)
	}
	return Problem{X: m, Y: y}
}
