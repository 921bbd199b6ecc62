package linear

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/rational"
)

func columnsOf(t testing.TB, rows [][]float64) *Matrix {
	t.Helper()
	var x []float64
	for j := range rows[0] {
		for i := range rows {
			x = append(x, rows[i][j])
		}
	}
	m, err := NewDense(len(rows), len(rows[0]), x)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func homotopy(t testing.TB, p Problem, o HomotopyOptions) *Breakpoints {
	t.Helper()
	b, err := Homotopy(context.Background(), p, Penalty{Alpha: 1}, o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// oracle3 is THEORY oracle 3; its objective is a sum over the three examples, ours the
// mean.
func oracle3(t testing.TB) Problem {
	return Problem{X: columnsOf(t, [][]float64{{3, 0, 3}, {0, -3, -1}, {1, 0, 0}}), Y: []float64{3, 3, -1}}
}

func TestHomotopyOracle3(t *testing.T) {
	want := []struct {
		lambda                 string // a third of 9, 8, 54/13, 3, 3/7
		entered, left, support []int
	}{
		{"3", []int{1}, nil, []int{1}},
		{"8/3", []int{0}, nil, []int{0, 1}},
		{"18/13", []int{2}, nil, []int{0, 1, 2}},
		{"1", nil, []int{0}, []int{1, 2}},
		{"1/7", []int{0}, nil, []int{0, 1, 2}},
		{"0", nil, nil, []int{0, 1, 2}},
	}
	for _, exact := range []bool{true, false} {
		b := homotopy(t, oracle3(t), HomotopyOptions{Exact: exact})
		if len(b.Points) != len(want) {
			t.Fatalf("exact %v: got %d breakpoints, want %d: %v", exact, len(b.Points), len(want), b.Points)
		}
		for i, w := range want {
			p := b.Points[i]
			if exact && p.String() != w.lambda {
				t.Errorf("breakpoint %d: got λ = %v, want %v", i, p.String(), w.lambda)
			}
			var num, den float64 = 0, 1
			fmt.Sscanf(w.lambda, "%g/%g", &num, &den)
			if math.Abs(p.Lambda-num/den) > 1e-15 {
				t.Errorf("exact %v: breakpoint %d: got λ = %v, want %v", exact, i, p.Lambda, w.lambda)
			}
			if !slices.Equal(p.Entered, w.entered) || !slices.Equal(p.Left, w.left) || !slices.Equal(p.Support, w.support) {
				t.Errorf("exact %v: breakpoint %v: got %v in, %v out, support %v", exact, w.lambda, p.Entered, p.Left, p.Support)
			}
			if exact && p.Gap != 0 || p.Gap > 1e-14 {
				t.Errorf("exact %v: breakpoint %v: gap %v", exact, w.lambda, p.Gap)
			}
		}
		if !b.Checks.Monotone || !b.Checks.Concave {
			t.Errorf("exact %v: got %+v", exact, b.Checks)
		}
		p, err := b.At(2) // 6 as a sum
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range []float64{0.2, -1.0 / 3} {
			if p.Index[i] != i || math.Abs(p.Value[i]-v) > 1e-15 {
				t.Errorf("exact %v: θ at 6: got %v at %v", exact, p.Value, p.Index)
			}
		}
	}
}

// TestHomotopyOrthonormal is THEORY oracle 2: the soft threshold, here with columns of
// length √4 so that λ is that of the mean loss, and with ties.
func TestHomotopyOrthonormal(t *testing.T) {
	p := Problem{X: columnsOf(t, [][]float64{{1, 1, 1, 1}, {1, -1, 1, -1}, {1, 1, -1, -1}, {1, -1, -1, 1}})}
	c := []float64{3, -1.5, 3, 0.25} // correlations: y = Σ c_j x_j
	for i := range 4 {
		y := 0.0
		for j, v := range c {
			y += v * element(p.X, i, j)
		}
		p.Y = append(p.Y, y)
	}
	for _, exact := range []bool{true, false} {
		b := homotopy(t, p, HomotopyOptions{Exact: exact})
		var at []string
		for i := range b.Points {
			at = append(at, fmt.Sprint(b.Points[i].Lambda, b.Points[i].Entered))
		}
		if got, want := strings.Join(at, " "), "3 [0 2] 1.5 [1] 0.25 [3] 0 []"; got != want {
			t.Errorf("exact %v: got breakpoints %s, want %s", exact, got, want)
		}
		for _, lambda := range []float64{5, 3, 2, 1, 0.2, 0} {
			x, err := b.At(lambda)
			if err != nil {
				t.Fatal(err)
			}
			theta := make([]float64, 4)
			for i, j := range x.Index {
				theta[j] = x.Value[i]
			}
			for j := range c {
				if want := soft(c[j], lambda); math.Abs(theta[j]-want) > 1e-15 {
					t.Errorf("exact %v: λ = %v: θ_%d: got %v, want %v", exact, lambda, j, theta[j], want)
				}
			}
		}
	}
}

// TestHomotopyWorstCase: (3^p + 1)/2 linear segments, of which each of the inductive
// steps triples the number less one.
//
// Source: J. Mairal and B. Yu, "Complexity analysis of the lasso regularization path",
// ICML 2012, theorem 1 and proposition 2: from X and y to
//
//	(X 2αy; 0 αε) and (y; ε), for small α and any ε ≠ 0.
func TestHomotopyWorstCase(t *testing.T) {
	rows, y := [][]float64{{1}}, []float64{1}
	alpha, want := 1.0, 2
	for p := 1; p <= 6; p++ {
		if p > 1 {
			alpha /= 1 << 6
			for i := range rows {
				rows[i] = append(rows[i], 2*alpha*y[i])
			}
			last := make([]float64, p)
			last[p-1] = alpha
			rows, y = append(rows, last), append(y, 1)
			want = 3*want - 1
		}
		b := homotopy(t, Problem{X: columnsOf(t, rows), Y: y}, HomotopyOptions{Exact: true})
		if len(b.Points) != want {
			t.Errorf("p = %d: got %d segments, want %d", p, len(b.Points), want)
		}
		if !b.Checks.Monotone || !b.Checks.Concave {
			t.Errorf("p = %d: got %+v", p, b.Checks)
		}
	}
}

// TestHomotopyTies: all columns come in at once, and of equal ones the first; equal
// rows of data in the place of standardisation.
func TestHomotopyTies(t *testing.T) {
	const p = 12
	rows, y := make([][]float64, p), make([]float64, p)
	for i := range rows {
		rows[i], y[i] = make([]float64, 2*p), 1
		rows[i][i], rows[i][p+i] = 1, 1
	}
	for _, exact := range []bool{true, false} {
		b := homotopy(t, Problem{X: columnsOf(t, rows), Y: y}, HomotopyOptions{Exact: exact, Verify: true})
		if len(b.Points) != 2 || !slices.Equal(b.Points[0].Entered, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}) || b.Verdict != "verified" {
			t.Errorf("exact %v: got %v, %v: %s", exact, lambdas(b), b.Verdict, b.Reason)
		}
	}
}

// TestHomotopyWide follows random problems with more columns than examples, and with
// columns and examples alike, to saturation, both ways; the path does not depend on the
// order of the columns, and a column of twice the size and half the factor is the same.
func TestHomotopyWide(t *testing.T) {
	r := rand.New(rand.NewPCG(15, 16))
	for _, n := range []int{8, 20} {
		const p = 20
		x, y := make([]float64, n*p), make([]float64, n)
		for i := range x {
			x[i] = math.Round(r.NormFloat64()*1000) / 1000 // decimals, which are no short fractions
		}
		for i := range y {
			y[i] = x[i] - x[n+i] + r.NormFloat64()
		}
		for _, o := range []Options{{}, {Intercept: true}, DefaultOptions()} {
			problem := Problem{X: &Matrix{rows: n, cols: p, dense: x}, Y: y}
			exact := homotopy(t, problem, HomotopyOptions{Options: o, Exact: true})
			rank := min(n, p)
			if o.Intercept {
				rank = min(n-1, p)
			}
			if last := exact.Points[len(exact.Points)-1]; last.Lambda != 0 || len(last.Support) != rank {
				t.Errorf("n = %d, %+v: ends at λ = %v with %d columns, want 0 and %d", n, o, last.Lambda, len(last.Support), rank)
			}
			b := homotopy(t, problem, HomotopyOptions{Options: o, Verify: true})
			if b.Verdict != "verified" || len(b.Points) != len(exact.Points) {
				t.Fatalf("n = %d, %+v: %d breakpoints in double precision, %d in all: %v: %s", n, o, len(b.Points), len(exact.Points), b.Verdict, b.Reason)
			}
			backwards := slices.Clone(x)
			for j := range p {
				for i := range n {
					backwards[j*n+i] = 2 * x[(p-1-j)*n+i]
				}
			}
			pen := Penalty{Alpha: 1, Factors: slices.Repeat([]float64{2}, p)}
			if o.Standardize {
				pen.Factors = nil
			}
			other, err := Homotopy(context.Background(), Problem{X: &Matrix{rows: n, cols: p, dense: backwards}, Y: y}, pen, HomotopyOptions{Options: o, Exact: true})
			if err != nil {
				t.Fatal(err)
			}
			for i := range exact.Points {
				a, b := &exact.Points[i], &other.Points[i]
				if math.Abs(a.Lambda-b.Lambda) > 1e-12 || len(a.Support) != len(b.Support) || len(a.Support) > 0 && a.Support[0] != p-1-b.Support[len(b.Support)-1] {
					t.Errorf("n = %d, %+v: breakpoint %d: got %v in the given order, %v in another", n, o, i, lambdas(exact)[i], lambdas(other)[i])
				}
			}
		}
	}
}

func TestHomotopyNothingToDo(t *testing.T) {
	for _, exact := range []bool{true, false} {
		for name, p := range map[string]Problem{
			"y = 0":            {X: columnsOf(t, [][]float64{{1, 2}, {3, 5}}), Y: []float64{0, 0}},
			"y constant":       {X: columnsOf(t, [][]float64{{0.1, 2}, {0.3, 5}, {7, 0.7}}), Y: []float64{0.1, 0.1, 0.1}},
			"constant columns": {X: columnsOf(t, [][]float64{{1, 2}, {1, 2}}), Y: []float64{4, 5}},
			"n = 1":            {X: columnsOf(t, [][]float64{{1, 2}}), Y: []float64{4}},
		} {
			b := homotopy(t, p, HomotopyOptions{Options: DefaultOptions(), Exact: exact})
			if len(b.Points) != 1 || b.LambdaMax != 0 || len(b.Points[0].Index) != 0 {
				t.Errorf("%s, exact %v: got %v", name, exact, lambdas(b))
			}
		}
	}
}

// TestDotShort compares with big integers, at the ends of the range and its middle.
func TestDotShort(t *testing.T) {
	r := rand.New(rand.NewPCG(17, 18))
	ends := []int64{0, 1, -1, 1<<62 - 1, -(1<<62 - 1), 1 << 61, -1 << 32}
	for range 200 {
		a, b := make([]int64, 9), make([]int64, 9)
		want := new(big.Int)
		for i := range a {
			a[i], b[i] = ends[r.IntN(len(ends))], ends[r.IntN(len(ends))]
			if r.IntN(3) == 0 {
				a[i] = r.Int64N(1<<62) - 1<<61
			}
			want.Add(want, new(big.Int).Mul(big.NewInt(a[i]), big.NewInt(b[i])))
		}
		if got := dotShort(a, b); got.Cmp(want) != 0 {
			t.Fatalf("%v times %v: got %v, want %v", a, b, got, want)
		}
	}
}

func TestHomotopyErrors(t *testing.T) {
	good := oracle3(t)
	lasso := Penalty{Alpha: 1}
	bad := good
	bad.Family = Poisson
	nan := Problem{X: columnsOf(t, [][]float64{{1}, {math.NaN()}}), Y: []float64{1, 2}}
	tests := []struct {
		name    string
		problem Problem
		penalty Penalty
		o       HomotopyOptions
		want    string
	}{
		{"family", bad, lasso, HomotopyOptions{}, "family: got poisson"},
		{"elastic net", good, Penalty{Alpha: 0.5}, HomotopyOptions{}, "alpha: got 0.5, want 1"},
		{"groups", good, Penalty{Alpha: 1, Groups: []int{0, 0, 1}}, HomotopyOptions{}, "groups"},
		{"bounds", good, Penalty{Alpha: 1, Lower: []float64{0, 0, 0}}, HomotopyOptions{}, "bounds"},
		{"NaN", nan, lasso, HomotopyOptions{}, "not a finite number"},
		{"least λ", good, lasso, HomotopyOptions{MinLambda: -1}, "least λ: got -1"},
		{"steps", good, lasso, HomotopyOptions{MaxSteps: 3}, "at most 3"},
		{"exact steps", good, lasso, HomotopyOptions{MaxSteps: 3, Exact: true}, "at most 3"},
		{"work", good, lasso, HomotopyOptions{Exact: true, Work: 500}, "too large for exact arithmetic: it takes about"},
	}
	for _, tc := range tests {
		_, err := Homotopy(context.Background(), tc.problem, tc.penalty, tc.o)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got error %v, want one with %q", tc.name, err, tc.want)
		}
	}
	if _, err := Homotopy(context.Background(), good, lasso, HomotopyOptions{Exact: true, Work: 100}); !errors.Is(err, rational.ErrTooLarge) {
		t.Errorf("work: got error %v", err)
	}
	b := homotopy(t, good, HomotopyOptions{Verify: true, Work: 400})
	if b.Verdict != "inconclusive" || b.Points[len(b.Points)-1].Verdict != "inconclusive" {
		t.Errorf("check beyond the work allowed: got %v: %s", b.Verdict, b.Reason)
	}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	for _, exact := range []bool{true, false} {
		if _, err := Homotopy(stopped, good, lasso, HomotopyOptions{Exact: exact}); !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: got error %v", err)
		}
	}
}

// TestHomotopyLeast: a path that is to stop early ends there, and says so below.
func TestHomotopyLeast(t *testing.T) {
	for _, exact := range []bool{true, false} {
		b := homotopy(t, oracle3(t), HomotopyOptions{Exact: exact, MinLambda: 2, Verify: true})
		last := b.Points[len(b.Points)-1]
		if len(b.Points) != 3 || last.Lambda != 2 || !slices.Equal(last.Support, []int{0, 1}) || b.Verdict != "verified" {
			t.Errorf("exact %v: got %v, %v: %s", exact, lambdas(b), b.Verdict, b.Reason)
		}
		if _, err := b.At(1.9); err == nil {
			t.Errorf("exact %v: below the end: got no error", exact)
		}
		if x, err := b.At(math.Inf(1)); err != nil || len(x.Index) != 0 {
			t.Errorf("exact %v: at infinity: got %+v, error %v", exact, x, err)
		}
	}
}

// TestHomotopySupported: a second column that is longer than the first by a share of
// 2^-48 comes in before it, which double precision cannot tell from a tie.
func TestHomotopySupported(t *testing.T) {
	p := Problem{Y: []float64{7, 2, 7, 4, 3}}
	var rows [][]float64
	for _, x := range []float64{3, 4, 6, 5, 4} {
		rows = append(rows, []float64{x, x * (1 + 0x1p-48)})
	}
	p.X = columnsOf(t, rows)
	exact := homotopy(t, p, HomotopyOptions{Exact: true})
	b := homotopy(t, p, HomotopyOptions{Verify: true})
	if exact.Points[0].Support[0] != 1 || b.Points[0].Support[0] != 0 || b.Verdict != compactify.Supported {
		t.Errorf("column %d enters exactly, column %d in double precision: got %v: %s", exact.Points[0].Support[0], b.Points[0].Support[0], b.Verdict, b.Reason)
	}
}

// TestHomotopyRefuted: a support that is not the path's is found out.
func TestHomotopyRefuted(t *testing.T) {
	p := oracle3(t)
	for name, spoil := range map[string]func(b *Breakpoint){
		"sign":    func(b *Breakpoint) { b.Signs[1] = -b.Signs[1] },
		"missing": func(b *Breakpoint) { b.Support, b.Signs = b.Support[:1], b.Signs[:1] },
		"further": func(b *Breakpoint) { b.Support, b.Signs = append(b.Support, 2), append(b.Signs, 1) },
	} {
		b := homotopy(t, p, HomotopyOptions{})
		spoil(&b.Points[1])
		o := HomotopyOptions{}
		task, err := prepareHomotopy(p, Penalty{Alpha: 1}, o)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.verify(task, p, o, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		if b.Verdict != "refuted" || b.Points[1].Verdict != "refuted" || b.Points[2].Verdict != "verified" {
			t.Errorf("%s: got %v, %v: %s", name, b.Verdict, b.Points[1].Verdict, b.Reason)
		}
	}
}
