package algebra

import (
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
			got, want := inner(f.rows[j], f.rows[i]), inner(a, b)
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
	f.Solve(rhs)
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
		f.Solve(got)
		if want == nil {
			want = got
		} else if !slices.Equal(got, want) {
			t.Errorf("%v: got other bits than in portable Go", set)
		}
	}
}

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
	again := func() { f.Append(append(f.Row(n)[:0], column...)) }
	b.Run("delete", func(b *testing.B) {
		for b.Loop() {
			f.Delete(0)
			again()
		}
	})
	b.Run("append", func(b *testing.B) {
		for b.Loop() {
			f.Delete(n - 1)
			again()
		}
	})
	b.Run("solve", func(b *testing.B) {
		for b.Loop() {
			f.Solve(column)
		}
	})
}
