package linear

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/internal/rational"
)

// rawLasso is a small problem in the numbers of its statement, as fractions: an
// implementation of the objective that shares nothing with the one under test.
type rawLasso struct {
	x         [][]*big.Rat // [n][p]
	y, w      []*big.Rat   // targets less offsets; weights, of sum 1
	bound     []*big.Rat   // [p]: penalty factor times scale; nil for a column that stays out
	intercept bool
}

func raw(t testing.TB, p Problem, pen Penalty, o Options) *rawLasso {
	t.Helper()
	task, err := prepare(p, pen, o)
	if err != nil {
		t.Fatal(err)
	}
	r := &rawLasso{intercept: o.Intercept}
	sum := new(big.Rat)
	for i := range p.Y {
		y, w := exactly(p.Y[i]), big.NewRat(1, 1)
		if p.Offset != nil {
			y.Sub(y, exactly(p.Offset[i]))
		}
		if p.Weights != nil {
			w = exactly(p.Weights[i])
		}
		sum.Add(sum, w)
		row := make([]*big.Rat, p.X.cols)
		for j := range row {
			row[j] = exactly(element(p.X, i, j))
		}
		r.x, r.y, r.w = append(r.x, row), append(r.y, y), append(r.w, w)
	}
	for _, w := range r.w {
		w.Quo(w, sum)
	}
	for j := range p.X.cols {
		f := big.NewRat(1, 1)
		if pen.Factors != nil {
			f = exactly(pen.Factors[j])
		}
		r.bound = append(r.bound, f.Mul(f, exactly(task.scale[j])))
		if task.squares[j] == 0 {
			r.bound[j] = nil
		}
	}
	return r
}

func element(m *Matrix, i, j int) float64 {
	if m.dense != nil {
		return m.column(j)[i]
	}
	row, value := m.entries(j)
	if k := slices.Index(row, int32(i)); k >= 0 {
		return value[k]
	}
	return 0
}

// residual is y − b − Xθ.
func (r *rawLasso) residual(theta []*big.Rat, b *big.Rat) []*big.Rat {
	out := make([]*big.Rat, len(r.y))
	for i := range out {
		out[i] = new(big.Rat).Sub(r.y[i], b)
		for j, v := range theta {
			out[i].Sub(out[i], new(big.Rat).Mul(r.x[i][j], v))
		}
	}
	return out
}

// optimal says which condition θ and b fail at λ; none if it is empty.
func (r *rawLasso) optimal(theta []*big.Rat, b, lambda *big.Rat) string {
	rest := r.residual(theta, b)
	sum := new(big.Rat)
	for i := range rest {
		sum.Add(sum, new(big.Rat).Mul(r.w[i], rest[i]))
	}
	if r.intercept && sum.Sign() != 0 || !r.intercept && b.Sign() != 0 {
		return "intercept"
	}
	for j := range r.bound {
		c := new(big.Rat)
		for i := range rest {
			c.Add(c, new(big.Rat).Mul(new(big.Rat).Mul(r.w[i], r.x[i][j]), rest[i]))
		}
		if r.bound[j] == nil {
			if theta[j].Sign() != 0 {
				return fmt.Sprintf("column %d stays out", j)
			}
			continue
		}
		most := new(big.Rat).Mul(lambda, r.bound[j])
		s := theta[j].Sign()
		if magnitude(c).Cmp(most) > 0 || s != 0 && c.Cmp(new(big.Rat).Mul(most, big.NewRat(int64(s), 1))) != 0 {
			return fmt.Sprintf("column %d: c = %v, λf = %v, θ = %v", j, c, most, theta[j])
		}
	}
	return ""
}

func (r *rawLasso) objective(theta []*big.Rat, b, lambda *big.Rat) *big.Rat {
	sum := new(big.Rat)
	for i, v := range r.residual(theta, b) {
		sum.Add(sum, new(big.Rat).Mul(r.w[i], new(big.Rat).Mul(v, v)))
	}
	sum.Quo(sum, big.NewRat(2, 1))
	for j, v := range theta {
		if r.bound[j] != nil {
			sum.Add(sum, new(big.Rat).Mul(new(big.Rat).Mul(lambda, r.bound[j]), magnitude(v)))
		}
	}
	return sum
}

// brute tries all sign patterns: for each it solves for the intercept and the
// coefficients, and takes the first solution that is optimal.
func (r *rawLasso) brute(t testing.TB, lambda *big.Rat) (theta []*big.Rat, b *big.Rat) {
	t.Helper()
	p := len(r.bound)
	signs := make([]int64, p)
	for pattern := 0; ; pattern++ {
		rest := pattern
		for j := range signs {
			signs[j] = int64(rest%3) - 1
			rest /= 3
		}
		if rest > 0 {
			t.Fatalf("brute force at λ = %v: no sign pattern will do", lambda)
		}
		theta, b = r.stationary(signs, lambda)
		if theta == nil || r.optimal(theta, b, lambda) != "" {
			continue
		}
		return theta, b
	}
}

// stationary solves the normal equations of a sign pattern; nil if they have no solution.
func (r *rawLasso) stationary(signs []int64, lambda *big.Rat) (theta []*big.Rat, b *big.Rat) {
	var in []int
	for j, s := range signs {
		if r.bound[j] == nil && s != 0 {
			return nil, nil
		}
		if s != 0 {
			in = append(in, j)
		}
	}
	column := func(k, i int) *big.Rat {
		if k == len(in) {
			return big.NewRat(1, 1)
		}
		return r.x[i][in[k]]
	}
	size := len(in)
	if r.intercept {
		size++
	}
	var a []*big.Int
	right := make([]*big.Int, size)
	for k := range size {
		row := make([]*big.Rat, size+1)
		for l := range row {
			row[l] = new(big.Rat)
		}
		for i := range r.y {
			wx := new(big.Rat).Mul(r.w[i], column(k, i))
			for l := range size {
				row[l].Add(row[l], new(big.Rat).Mul(wx, column(l, i)))
			}
			row[size].Add(row[size], new(big.Rat).Mul(wx, r.y[i]))
		}
		if k < len(in) {
			force := new(big.Rat).Mul(lambda, r.bound[in[k]])
			row[size].Sub(row[size], force.Mul(force, big.NewRat(signs[in[k]], 1)))
		}
		f := rational.FromRats(row)
		a, right[k] = append(a, f.Num[:size]...), f.Num[size]
	}
	m, err := rational.NewMatrix(size, size, a)
	if err != nil {
		panic(err)
	}
	x, _, err := rational.Solve(m, right, rational.Limit{})
	if err != nil {
		return nil, nil
	}
	theta, b = zeroRats(len(signs)), new(big.Rat)
	for k, j := range in {
		theta[j] = x.Rat(k)
	}
	if r.intercept {
		b = x.Rat(len(in))
	}
	return theta, b
}

func zeroRats(n int) []*big.Rat {
	out := make([]*big.Rat, n)
	for i := range out {
		out[i] = new(big.Rat)
	}
	return out
}

// exactAt is the path's own solution at a rational λ.
func (b *Breakpoints) exactAt(lambda *big.Rat) (theta []*big.Rat, intercept *big.Rat) {
	for i, l := range b.lines {
		e := l.(*exactLine)
		mu := new(big.Rat).Quo(lambda, e.m.unit)
		if mu.Cmp(e.low) < 0 && i+1 < len(b.lines) {
			continue
		}
		x := e.model(mu)
		values, intercept := x.coefficients()
		theta = zeroRats(b.Features)
		for k, a := range e.members {
			if x.gamma[k].Sign() != 0 {
				theta[a.column], values = values[0], values[1:]
			}
		}
		return theta, intercept
	}
	return nil, nil
}

// holdAgainst checks an exact path at its breakpoints, between them and above the first:
// every model is optimal by the conditions as the textbook has them, its objective is
// that of brute force if there are 5 columns at most, supports are what was said, and λ
// descends.
func holdAgainst(t *testing.T, p Problem, pen Penalty, o Options) {
	t.Helper()
	b, err := Homotopy(context.Background(), p, pen, HomotopyOptions{Options: o, Exact: true})
	if err != nil {
		t.Fatal(err)
	}
	r := raw(t, p, pen, o)
	var at []*big.Rat
	top := b.Points[0].Fraction()
	at = append(at, new(big.Rat).Add(top, big.NewRat(1, 1)), new(big.Rat).Mul(top, big.NewRat(5, 4)))
	for i := range b.Points {
		lambda := b.Points[i].Fraction()
		at = append(at, lambda)
		if i+1 == len(b.Points) {
			break
		}
		next := b.Points[i+1].Fraction()
		if next.Cmp(lambda) >= 0 {
			t.Fatalf("λ = %v after %v", next, lambda)
		}
		middle := new(big.Rat).Add(lambda, next)
		middle.Quo(middle, big.NewRat(2, 1))
		at = append(at, middle)
		theta, _ := b.exactAt(middle)
		for j, v := range theta {
			k, in := slices.BinarySearch(b.Points[i].Support, j)
			if in && b.Points[i].Signs[k] != 0 && v.Sign() != b.Points[i].Signs[k] || !in && v.Sign() != 0 {
				t.Fatalf("between λ = %v and %v: got θ = %v, support %v with signs %v", lambda, next, theta, b.Points[i].Support, b.Points[i].Signs)
			}
		}
	}
	if last := b.Points[len(b.Points)-1]; last.Lambda != 0 {
		t.Errorf("the path ends at λ = %v", last.Lambda)
	}
	for _, lambda := range at {
		theta, intercept := b.exactAt(lambda)
		if why := r.optimal(theta, intercept, lambda); why != "" {
			t.Fatalf("λ = %v: not optimal: %s", lambda, why)
		}
		got := r.objective(theta, intercept, lambda)
		want, wantIntercept := theta, intercept
		if len(theta) <= 5 {
			want, wantIntercept = r.brute(t, lambda)
		}
		if got.Cmp(r.objective(want, wantIntercept, lambda)) != 0 {
			t.Fatalf("λ = %v: got objective %v, brute force %v", lambda, got, r.objective(want, wantIntercept, lambda))
		}
		f, _ := lambda.Float64()
		point, err := b.At(f)
		if err != nil {
			t.Fatal(err)
		}
		if g, _ := got.Float64(); math.Abs(point.Objective-g) > 1e-14*g+1e-300 {
			t.Errorf("λ = %v: got objective %v as a float64, want %v", lambda, point.Objective, g)
		}
	}
	if !b.Checks.Monotone || !b.Checks.Concave {
		t.Errorf("monotone %v, concave %v", b.Checks.Monotone, b.Checks.Concave)
	}
	compareFloat(t, b, p, pen, o)
}

// compareFloat holds the path in double precision against the exact one: as many
// breakpoints at the same places with the same supports, or at least the same objective
// where standard deviations that were rounded keep equal columns from being so.
func compareFloat(t *testing.T, exact *Breakpoints, p Problem, pen Penalty, o Options) {
	t.Helper()
	b, err := Homotopy(context.Background(), p, pen, HomotopyOptions{Options: o, Verify: true})
	if err != nil {
		t.Fatalf("in double precision: %v", err)
	}
	for i := range exact.Points {
		want := exact.Points[i].Point
		got, err := b.At(want.Lambda)
		if err != nil || math.Abs(got.Objective-want.Objective) > 1e-12*exact.null.Loss+1e-26 { // targets are small integers
			t.Errorf("λ = %v in double precision: got objective %v, want %v, error %v", want.Lambda, got.Objective, want.Objective, err)
		}
	}
	if o.Standardize {
		return
	}
	if len(b.Points) != len(exact.Points) {
		t.Fatalf("in double precision: got %d breakpoints, want %d: %v and %v", len(b.Points), len(exact.Points), lambdas(b), lambdas(exact))
	}
	for i := range b.Points {
		got, want := &b.Points[i], &exact.Points[i]
		if math.Abs(got.Lambda-want.Lambda) > 1e-10*exact.LambdaMax || !slices.Equal(got.Support, want.Support) || !slices.Equal(got.Signs, want.Signs) {
			t.Errorf("breakpoint %d in double precision: got λ = %v, support %v, want %v, %v", i, got.Lambda, got.Support, want.Lambda, want.Support)
		}
		if got.Gap > 1e-10 || got.Verdict != "verified" {
			t.Errorf("breakpoint %d in double precision: gap %v, %v: %s", i, got.Gap, got.Verdict, b.Reason)
		}
	}
}

func lambdas(b *Breakpoints) (out []string) {
	for i := range b.Points {
		out = append(out, fmt.Sprint(b.Points[i].String(), b.Points[i].Support))
	}
	return out
}

// small makes a problem of small integers, where ties abound: n, p ≤ 5.
func small(t *testing.T, next func(n int) int) (Problem, Penalty, Options) {
	return integers(t, next, 5, 5)
}

// integers makes a problem of small integers with at most so many examples and columns.
func integers(t *testing.T, next func(n int) int, examples, columns int) (Problem, Penalty, Options) {
	n, p := 1+next(examples), 1+next(columns)
	x := make([]float64, n*p)
	size := 1 + next(4)
	for k := range x {
		x[k] = float64(next(2*size+1) - size)
	}
	for j := 1; j < p; j++ {
		// Copies, opposites and sums of other columns.
		switch a, b := next(j), next(j); next(8) {
		case 0:
			copy(x[j*n:], x[a*n:(a+1)*n])
		case 1:
			for i := range n {
				x[j*n+i] = -x[a*n+i]
			}
		case 2:
			for i := range n {
				x[j*n+i] = x[a*n+i] + x[b*n+i]
			}
		}
	}
	problem := Problem{X: &Matrix{rows: n, cols: p, dense: x}}
	if next(3) == 0 {
		problem.X = compressed(t, problem.X)
	}
	for range n {
		problem.Y = append(problem.Y, float64(next(9)-4))
	}
	if next(3) == 0 {
		problem.Weights = make([]float64, n)
		for i := range problem.Weights {
			problem.Weights[i] = float64(next(3))
		}
		problem.Weights[next(n)]++
	}
	if next(4) == 0 {
		problem.Offset = make([]float64, n)
		for i := range problem.Offset {
			problem.Offset[i] = float64(next(3)) / 2
		}
	}
	penalty := Penalty{Alpha: 1}
	if next(3) == 0 {
		penalty.Factors = make([]float64, p)
		for j := range penalty.Factors {
			penalty.Factors[j] = float64(next(4)) / 2
		}
	}
	return problem, penalty, Options{Intercept: next(2) == 0, Standardize: next(4) == 0}
}

func TestHomotopyBruteForce(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 12))
	for k := range 200 {
		p, pen, o := small(t, r.IntN)
		t.Run(fmt.Sprint(k), func(t *testing.T) { holdAgainst(t, p, pen, o) })
	}
}

// TestHomotopyManyTies: more columns, against the optimality conditions only.
func TestHomotopyManyTies(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for k := range 60 {
		p, pen, o := integers(t, r.IntN, 9, 24)
		t.Run(fmt.Sprint(k), func(t *testing.T) { holdAgainst(t, p, pen, o) })
	}
}

func FuzzHomotopy(f *testing.F) {
	f.Add([]byte{2, 2, 1, 7, 6, 5, 4, 3, 2, 1, 0})
	f.Add([]byte{4, 4, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 0, 0, 0, 1, 1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		p, pen, o := small(t, func(n int) int {
			if len(data) == 0 {
				return 0
			}
			v := int(data[0]) % n
			data = data[1:]
			return v
		})
		holdAgainst(t, p, pen, o)
	})
}
