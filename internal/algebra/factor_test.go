package algebra

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/compactify/compactify/internal/kernel"
)

// columns are random vectors of length m, the source of Gram matrices.
func columns(count, m int, seed uint64) [][]float64 {
	r := rand.New(rand.NewPCG(3, seed))
	out := make([][]float64, count)
	for j := range out {
		out[j] = make([]float64, m)
		for i := range out[j] {
			out[j][i] = r.NormFloat64()
		}
	}
	return out
}

func inner(a, b []float64) float64 {
	s := 0.0
	for i, x := range a {
		s += x * b[i]
	}
	return s
}

// products of x with the columns of a list, then itself.
func products(list [][]float64, x []float64) []float64 {
	var out []float64
	for _, c := range list {
		out = append(out, inner(c, x))
	}
	return append(out, inner(x, x))
}

// checkFactor compares L·Lᵀ with the Gram matrix of a list.
func checkFactor(t *testing.T, f *Factor, list [][]float64, scale float64) {
	t.Helper()
	if f.Order() != len(list) {
		t.Fatalf("order: got %d, want %d", f.Order(), len(list))
	}
	for i, a := range list {
		for j, b := range list[:i+1] {
			got, want := inner(f.row(j), f.row(i)), inner(a, b)
			if !(math.Abs(got-want) <= 1e-12*scale) {
				t.Fatalf("element (%d, %d) of %d: got %v, want %v", i, j, len(list), got, want)
			}
		}
	}
	if len(list) == 0 {
		return
	}
	x := columns(1, len(list), 9)[0]
	rhs := make([]float64, len(x))
	for i, a := range list {
		for j, b := range list {
			rhs[i] += inner(a, b) * x[j]
		}
	}
	f.Solve(rhs, rhs)
	for i := range x {
		if !(math.Abs(rhs[i]-x[i]) <= 1e-8) {
			t.Fatalf("solution %d of %d: got %v, want %v", i, len(list), rhs[i], x[i])
		}
	}
}

// TestFactor appends and deletes at random and compares with the matrix after every
// step, at ordinary, tiny and huge scales and in every set.
func TestFactor(t *testing.T) {
	for set := kernel.Portable; set <= kernel.Best(); set++ {
		for _, scale := range []float64{1, 1e-140, 1e140} {
			t.Run(fmt.Sprintf("%v/%v", set, scale), func(t *testing.T) { randomSteps(t, &Factor{Set: set}, scale) })
		}
	}
}

func randomSteps(t *testing.T, f *Factor, scale float64) {
	all := columns(400, 80, 1)
	for _, c := range all {
		for i := range c {
			c[i] *= scale
		}
	}
	r := rand.New(rand.NewPCG(4, 4))
	var list [][]float64
	next := 0
	take := func() []float64 { next++; return all[next] }
	for range 120 {
		switch k := r.IntN(10); {
		case k < 4 && len(list) > 0:
			i := r.IntN(len(list))
			f.Delete(i)
			list = slices.Delete(list, i, i+1)
		case k < 7 && len(list) < 30:
			x := take()
			if !f.Append(products(list, x)) {
				t.Fatal("append: got a dependent row, want an independent one")
			}
			list = append(list, x)
		case len(list) < 30:
			var block [][]float64
			with := slices.Clone(list)
			for range 1 + r.IntN(6) {
				x := take()
				block = append(block, products(with, x))
				with = append(with, x)
			}
			taken := make([]bool, len(block))
			f.AppendBlock(block, taken)
			if slices.Contains(taken, false) {
				t.Fatalf("append a block: got %v, want all taken", taken)
			}
			list = with
		}
		checkFactor(t, f, list, 80*scale*scale)
	}
	f.Reset()
	checkFactor(t, f, nil, 1)
}

// TestFactorDependent: dependent rows are left out, wherever they are in a block.
func TestFactorDependent(t *testing.T) {
	c := columns(5, 20, 2)
	sum := make([]float64, 20)
	for i := range sum {
		sum[i] = c[0][i] - 3*c[2][i]
	}
	var f Factor
	zero := make([]float64, 20)
	for i, x := range [][]float64{c[0], c[1]} {
		if !f.Append(products(c[:i], x)) {
			t.Fatalf("row %d: got dependent", i)
		}
	}
	candidates := [][]float64{c[1], c[2], sum, zero, c[3], c[3], c[4]}
	with := [][]float64{c[0], c[1]}
	var block [][]float64
	for _, x := range candidates {
		block = append(block, products(with, x))
		with = append(with, x)
	}
	taken := make([]bool, len(block))
	f.AppendBlock(block, taken)
	if want := []bool{false, true, false, false, true, false, true}; !slices.Equal(taken, want) {
		t.Errorf("taken: got %v, want %v", taken, want)
	}
	checkFactor(t, &f, c, 20)
	if f.Append([]float64{0, 0, 0, 0, 0, math.NaN()}) || f.Append([]float64{math.NaN(), 0, 0, 0, 0, 1}) || f.Append([]float64{0, 0, 0, 0, 0, math.Inf(1)}) {
		t.Error("a row that is not finite: got taken")
	}
	checkFactor(t, &f, c, 20)
}

// TestFactorSame: all sets give the same bits.
func TestFactorSame(t *testing.T) {
	c := columns(40, 50, 5)
	var want []float64
	for set := kernel.Portable; set <= kernel.Best(); set++ {
		f := Factor{Set: set}
		for i, x := range c {
			f.Append(products(c[:i], x))
		}
		f.Delete(7)
		got := slices.Clone(c[0][:f.Order()])
		f.Solve(got, got)
		if want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			t.Errorf("%v: got other bits than in portable Go", set)
		}
	}
}

// TestCholesky compares L·Lᵀ with the matrix at orders around the width of a panel.
func TestCholesky(t *testing.T) {
	pool := kernel.NewPool(2, kernel.Best())
	defer pool.Close()
	for _, n := range []int{0, 1, 2, 63, 64, 65, 130, 200} {
		for _, scale := range []float64{1, 1e-120, 1e120} {
			testCholesky(t, pool, n, scale)
		}
	}
}

func testCholesky(t *testing.T, pool *kernel.Pool, n int, scale float64) {
	stride := n + 3
	x := columns(n, n+40, uint64(n))
	a := make([]float64, n*stride)
	for i := range n {
		for j := range n {
			a[i*stride+j] = scale * inner(x[i], x[j])
		}
	}
	k := slices.Clone(a)
	if err := Cholesky(pool, n, a, stride); err != nil {
		t.Fatalf("order %d: %v", n, err)
	}
	for i := range n {
		for j := range i + 1 {
			got := inner(a[j*stride:j*stride+j+1], a[i*stride:i*stride+j+1])
			if !(math.Abs(got-k[i*stride+j]) <= 1e-12*scale*float64(n+40)) {
				t.Fatalf("order %d, element (%d, %d): got %v, want %v", n, i, j, got, k[i*stride+j])
			}
		}
	}
	const count = 3
	want := columns(1, count*max(n, 1), 8)[0]
	b := make([]float64, count*n)
	for s := range count {
		for i := range n {
			for j := range n {
				b[s*n+i] += k[i*stride+j] * want[s*n+j]
			}
		}
	}
	if err := SolveCholesky(pool, n, a, stride, count, b, n); err != nil {
		t.Fatal(err)
	}
	for i := range b {
		if !(math.Abs(b[i]-want[i]) <= 1e-8) {
			t.Fatalf("order %d, solution %d: got %v, want %v", n, i, b[i], want[i])
		}
	}
}

// TestCholeskyFails names the row where a matrix ceases to be positive definite.
func TestCholeskyFails(t *testing.T) {
	pool := kernel.NewPool(1, kernel.Best())
	const n = 150
	for _, row := range []int{0, 1, 63, 64, 100, 149} {
		for name, bad := range map[string]float64{"zero": 0, "negative": -1, "NaN": math.NaN(), "infinite": math.Inf(1)} {
			a := make([]float64, n*n)
			for i := range n {
				a[i*n+i] = 2
			}
			a[row*n+row] = bad
			var pivot *PivotError
			if err := Cholesky(pool, n, a, n); !errors.As(err, &pivot) || pivot.Row != row {
				t.Errorf("%s in row %d: got error %v", name, row, err)
			}
		}
	}
}

// TestHilbert: the Hilbert matrix of order 13 has condition 1e18 and so no factor in
// double precision; of order 8, 1.5e10, it has one, and its solutions are good to
// condition times rounding.
//
// Source: G. Golub and C. Van Loan, "Matrix Computations", 4th ed., problem 3.5.
func TestHilbert(t *testing.T) {
	pool := kernel.NewPool(1, kernel.Best())
	for _, c := range []struct {
		n  int
		ok bool
	}{{8, true}, {13, false}} {
		a := make([]float64, c.n*c.n)
		b := make([]float64, c.n)
		for i := range c.n {
			for j := range c.n {
				a[i*c.n+j] = 1 / float64(i+j+1)
				b[i] += a[i*c.n+j]
			}
		}
		if err := Cholesky(pool, c.n, a, c.n); (err == nil) != c.ok {
			t.Errorf("order %d: got error %v", c.n, err)
			continue
		}
		if !c.ok {
			continue
		}
		if err := SolveCholesky(pool, c.n, a, c.n, 1, b, c.n); err != nil {
			t.Fatal(err)
		}
		for i, x := range b {
			if math.Abs(x-1) > 1e-5 {
				t.Errorf("order %d, solution %d: got %v, want 1", c.n, i, x)
			}
		}
	}
}

func BenchmarkCholesky(b *testing.B) {
	pool := kernel.NewPool(1, kernel.Best())
	for _, n := range []int{200, 1000, 2000} {
		x := columns(1, n*n, 1)[0]
		k := make([]float64, n*n)
		kernel.DGEMM(pool, false, true, n, n, n, 1, x, n, x, n, 0, k, n)
		for i := range n {
			k[i*n+i] += float64(n)
		}
		a := slices.Clone(k)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			for b.Loop() {
				copy(a, k)
				if err := Cholesky(pool, n, a, n); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFactor works on the matrix of ones plus the identity, whose rows are all
// alike.
func BenchmarkFactor(b *testing.B) {
	const n = 500
	f := Factor{Set: kernel.Best()}
	last := func(order int) []float64 {
		column := slices.Repeat([]float64{1}, order)
		column[order-1] = 2
		return column
	}
	for i := range n {
		f.Append(last(i + 1))
	}
	column := last(n)
	b.Run("delete", func(b *testing.B) {
		for b.Loop() {
			f.Delete(0)
			f.Append(column)
		}
	})
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			f.Delete(n - 1)
			f.Append(column)
		}
	})
	b.Run("solve", func(b *testing.B) {
		for b.Loop() {
			f.Solve(column, column)
		}
	})
}
