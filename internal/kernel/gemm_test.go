package kernel

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// sets lists what this machine can run, so that each is tested on it.
func sets() []Set {
	var all []Set
	for s := Portable; s <= Best(); s++ {
		all = append(all, s)
	}
	return all
}

func newPool(tb testing.TB, threads int, set Set) *Pool {
	p := NewPool(threads, set)
	tb.Cleanup(p.Close)
	return p
}

func random[T Float](r *rand.Rand, n int) []T {
	x := make([]T, n)
	for i := range x {
		x[i] = T(2*r.Float64() - 1)
	}
	return x
}

// product is one matrix product with its operands.
type product[T Float] struct {
	transA, transB bool
	m, n, k        int
	alpha, beta    T
	a, b, c        []T
	lda, ldb, ldc  int
}

// newProduct draws operands whose rows are pad elements longer than needed.
func newProduct[T Float](r *rand.Rand, m, n, k int, transA, transB bool, alpha, beta T, pad int) product[T] {
	ra, ca, rb, cb := m, k, k, n
	if transA {
		ra, ca = ca, ra
	}
	if transB {
		rb, cb = cb, rb
	}
	q := product[T]{transA: transA, transB: transB, m: m, n: n, k: k, alpha: alpha, beta: beta}
	q.lda, q.ldb, q.ldc = max(1, ca)+pad, max(1, cb)+pad, max(1, n)+pad
	q.a, q.b, q.c = random[T](r, ra*q.lda), random[T](r, rb*q.ldb), random[T](r, m*q.ldc)
	return q
}

func (q *product[T]) String() string {
	return fmt.Sprintf("m %d n %d k %d transA %v transB %v alpha %v beta %v ldc %d", q.m, q.n, q.k, q.transA, q.transB, q.alpha, q.beta, q.ldc)
}

// run returns the C that pool p computes.
func (q *product[T]) run(p *Pool) []T {
	c := slices.Clone(q.c)
	switch a := any(q.a).(type) {
	case []float32:
		SGEMM(p, q.transA, q.transB, q.m, q.n, q.k, float32(q.alpha), a, q.lda, any(q.b).([]float32), q.ldb, float32(q.beta), any(c).([]float32), q.ldc)
	case []float64:
		DGEMM(p, q.transA, q.transB, q.m, q.n, q.k, float64(q.alpha), a, q.lda, any(q.b).([]float64), q.ldb, float64(q.beta), any(c).([]float64), q.ldc)
	}
	return c
}

// oracleBudget bounds the multiplications spent on one comparison: of a large
// product some elements are computed, and more of them in its last row and column.
const oracleBudget = 200_000

// check compares got with the definition, computed in float64. Each element may
// be off by (k+4)·eps·(|alpha|·Σ|a·b| + |beta·c|): a chain of k rounded sums,
// N. Higham, "Accuracy and Stability of Numerical Algorithms", 2002, eq. (3.5),
// plus the rounding of alpha, beta and the result. For T = float64 the oracle
// errs as much, hence the factor two.
func (q *product[T]) check(got []T) error {
	eps := 0x1p-24
	if T(1)+T(0x1p-40) != 1 {
		eps = 0x1p-52
	}
	at := func(x []T, ld, i, j int, trans bool) float64 {
		if trans {
			i, j = j, i
		}
		return float64(x[i*ld+j])
	}
	step := 1 + q.m*q.n*q.k/oracleBudget
	for i := range q.m {
		for j := range q.ldc {
			if border := i == q.m-1 || j >= q.n-1; (i*q.ldc+j)%step != 0 && (!border || (i+j)%(1+step/16) != 0) {
				continue
			}
			have := got[i*q.ldc+j]
			if j >= q.n {
				if have != q.c[i*q.ldc+j] {
					return fmt.Errorf("%v: c[%d, %d] lies between rows and was written", q, i, j)
				}
				continue
			}
			var sum, size float64
			if q.alpha != 0 {
				for p := range q.k {
					v := at(q.a, q.lda, i, p, q.transA) * at(q.b, q.ldb, p, j, q.transB)
					sum += v
					size += math.Abs(v)
				}
			}
			want, bound := float64(q.alpha)*sum, math.Abs(float64(q.alpha))*size
			if q.beta != 0 {
				v := float64(q.beta) * float64(q.c[i*q.ldc+j])
				want += v
				bound += math.Abs(v)
			}
			if !(math.Abs(float64(have)-want) <= float64(q.k+4)*eps*bound) {
				return fmt.Errorf("%v: c[%d, %d]: got %v, want %v within %v", q, i, j, have, want, float64(q.k+4)*eps*bound)
			}
		}
	}
	return nil
}

func TestGEMMSmallShapes(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 5, 7, 13, 14, 15, 17, 31, 33}
	if testing.Short() {
		sizes = []int{0, 1, 3, 15, 33}
	}
	for _, set := range sets() {
		p := newPool(t, 1, set)
		t.Run(set.String()+"/float32", func(t *testing.T) { testShapes[float32](t, p, sizes) })
		t.Run(set.String()+"/float64", func(t *testing.T) { testShapes[float64](t, p, sizes) })
	}
}

func testShapes[T Float](t *testing.T, p *Pool, sizes []int) {
	r := rand.New(rand.NewPCG(1, 2))
	factors := []T{0, 1, -0.75}
	for _, m := range sizes {
		for _, n := range sizes {
			for _, k := range sizes {
				for trans := range 4 {
					q := newProduct(r, m, n, k, trans&1 != 0, trans&2 != 0, factors[r.IntN(3)], factors[r.IntN(3)], r.IntN(4))
					if err := q.check(q.run(p)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
}

// Shapes that cross block borders and reach every choice of packing.
var largeShapes = [][3]int{
	{1, 300, 784}, {2, 100, 700}, {8, 70, 300}, {128, 300, 784}, {128, 10, 300}, {300, 128, 10}, {20, 576, 25}, {64, 576, 500},
	{29, 131, 257}, {61, 65, 513}, {3, 4100, 9}, {4100, 3, 9}, {4100, 40, 5}, {45, 4130, 5},
}

func TestGEMMLargeShapes(t *testing.T) {
	for _, set := range sets() {
		p := newPool(t, 2, set)
		t.Run(set.String(), func(t *testing.T) {
			r := rand.New(rand.NewPCG(3, 4))
			for _, s := range largeShapes {
				trans := r.IntN(4)
				q := newProduct[float32](r, s[0], s[1], s[2], trans&1 != 0, trans&2 != 0, 1, drawBeta(r), 1)
				if err := q.check(q.run(p)); err != nil {
					t.Error(err)
				}
				d := newProduct[float64](r, s[0], s[1], s[2], trans&2 != 0, trans&1 != 0, 1, 1, 0)
				if err := d.check(d.run(p)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func drawBeta(r *rand.Rand) float32 { return []float32{0, 1, 0.5}[r.IntN(3)] }

func TestGEMMBitsDoNotDependOnThreads(t *testing.T) {
	for _, set := range sets() {
		pools := []*Pool{newPool(t, 1, set), newPool(t, 2, set), newPool(t, 3, set)}
		r := rand.New(rand.NewPCG(5, 6))
		for _, s := range largeShapes {
			if set == Portable && s[0]*s[1]*s[2] > 1<<21 {
				continue // slow, above all under the race detector; the driver is the same
			}
			for trans := range 4 {
				q := newProduct[float32](r, s[0], s[1], s[2], trans&1 != 0, trans&2 != 0, 1.5, 0.5, 0)
				want := q.run(pools[0])
				for _, p := range pools[1:] {
					if got := q.run(p); !slices.Equal(got, want) {
						t.Errorf("%v: %v: %d threads differ from 1", set, &q, p.Threads())
					}
				}
			}
		}
	}
}

func TestGEMMBitsAgreeInAssembly(t *testing.T) {
	if Best() < AVX512 {
		t.Skip("this machine lacks AVX-512: nothing to compare AVX2 with")
	}
	a, b := newPool(t, 1, AVX2), newPool(t, 1, AVX512)
	r := rand.New(rand.NewPCG(5, 6))
	for _, s := range append(largeShapes, [3]int{3, 7, 100}, [3]int{1, 9, 31}) {
		for trans := range 4 {
			q := newProduct[float32](r, s[0], s[1], s[2], trans&1 != 0, trans&2 != 0, 1.5, 0.5, 0)
			if !slices.Equal(q.run(a), q.run(b)) {
				t.Errorf("%v: AVX2 and AVX-512 differ", &q)
			}
			d := newProduct[float64](r, s[0], s[1], s[2], trans&1 != 0, trans&2 != 0, 1.5, 0.5, 0)
			if !slices.Equal(d.run(a), d.run(b)) {
				t.Errorf("%v: AVX2 and AVX-512 differ in float64", &d)
			}
		}
	}
}

func TestGEMMOverwritesNaN(t *testing.T) {
	for _, set := range sets() {
		p := newPool(t, 1, set)
		for _, k := range []int{0, 3, 300} {
			q := newProduct[float32](rand.New(rand.NewPCG(7, 8)), 17, 35, k, false, false, 1, 0, 0)
			for i := range q.c {
				q.c[i] = float32(math.NaN())
			}
			if err := q.check(q.run(p)); err != nil {
				t.Errorf("%v: %v", set, err)
			}
		}
	}
}

func TestGEMMSpreadsNaN(t *testing.T) {
	for _, set := range sets() {
		p := newPool(t, 1, set)
		q := newProduct[float32](rand.New(rand.NewPCG(7, 8)), 17, 35, 20, false, false, 1, 0, 0)
		clear(q.b)
		q.a[3*q.lda+5] = float32(math.NaN())
		for i, v := range q.run(p) {
			if row := i / q.ldc; (row == 3) != (v != v) {
				t.Fatalf("%v: c[%d]: got %v, want NaN in row 3 alone", set, i, v)
			}
		}
	}
}

func TestSGEMMPacked(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for _, set := range sets() {
		for _, threads := range []int{1, 3} {
			p := newPool(t, threads, set)
			w := p.PanelWidth()
			for _, s := range append(largeShapes, [3]int{5, 7, 3}, [3]int{1, 1, 1}) {
				q := newProduct[float32](r, s[0], s[1], s[2], false, false, 1, 1, 0)
				got := slices.Clone(q.c)
				SGEMMPacked(p, false, q.m, q.n, q.k, 1, q.a, q.lda, func(dst []float32, k0, k1, n0, n1 int) {
					for j := n0; j < n1; j++ {
						for kk := k0; kk < k1; kk++ {
							dst[((j-n0)/w*(k1-k0)+kk-k0)*w+(j-n0)%w] = q.b[kk*q.ldb+j]
						}
					}
				}, 1, got, q.ldc)
				if err := q.check(got); err != nil {
					t.Errorf("%v, %d threads: %v", set, threads, err)
				}
			}
		}
	}
}

func TestGEMMPanicsOnShortSlices(t *testing.T) {
	p := newPool(t, 1, Best())
	x := make([]float32, 6)
	cases := []struct {
		name             string
		m, n, k          int
		lenA, lenB, lenC int
		lda, ldb, ldc    int
	}{
		{"a", 2, 3, 2, 3, 6, 6, 2, 3, 3},
		{"b", 2, 3, 2, 4, 5, 6, 2, 3, 3},
		{"c", 2, 3, 2, 4, 6, 5, 2, 3, 3},
		{"lda", 2, 3, 2, 4, 6, 6, 1, 3, 3},
		{"negative", -1, 3, 2, 4, 6, 6, 2, 3, 3},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic, want one")
				}
			}()
			SGEMM(p, false, false, c.m, c.n, c.k, 1, x[:c.lenA], c.lda, x[:c.lenB], c.ldb, 0, x[:c.lenC], c.ldc)
		})
	}
}

func TestGEMMDoesNotAllocate(t *testing.T) {
	for _, threads := range []int{1, 2} {
		p := newPool(t, threads, Best())
		for _, s := range [][3]int{{1, 300, 784}, {128, 300, 784}, {20, 576, 25}} {
			q := newProduct[float32](rand.New(rand.NewPCG(1, 1)), s[0], s[1], s[2], false, true, 1, 0, 0)
			c := slices.Clone(q.c)
			if n := testing.AllocsPerRun(20, func() {
				SGEMM(p, false, true, q.m, q.n, q.k, 1, q.a, q.lda, q.b, q.ldb, 0, c, q.ldc)
			}); n != 0 {
				t.Errorf("%v, %d threads: got %v allocations, want 0", &q, threads, n)
			}
		}
	}
}

func BenchmarkSGEMM(b *testing.B) {
	for _, threads := range []int{1, 2} {
		for _, s := range [][3]int{{1024, 1024, 1024}, {128, 300, 784}, {128, 100, 300}, {128, 10, 100}, {1, 300, 784}, {20, 576, 25}, {50, 576, 500}} {
			for trans := range 3 { // forward, then the gradients of B and of A
				b.Run(fmt.Sprintf("t%d/%dx%dx%d/%s", threads, s[0], s[1], s[2], []string{"NN", "TN", "NT"}[trans]), func(b *testing.B) {
					q := newProduct[float32](rand.New(rand.NewPCG(1, 1)), s[0], s[1], s[2], trans == 1, trans == 2, 1, 0, 0)
					p := newPool(b, threads, Best())
					for b.Loop() {
						SGEMM(p, q.transA, q.transB, q.m, q.n, q.k, 1, q.a, q.lda, q.b, q.ldb, 0, q.c, q.ldc)
					}
					b.ReportMetric(2*float64(q.m)*float64(q.n)*float64(q.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
				})
			}
		}
	}
}

func BenchmarkDGEMM(b *testing.B) {
	for _, threads := range []int{1, 2} {
		b.Run(fmt.Sprintf("t%d/1024", threads), func(b *testing.B) {
			q := newProduct[float64](rand.New(rand.NewPCG(1, 1)), 1024, 1024, 1024, false, false, 1, 0, 0)
			p := newPool(b, threads, Best())
			for b.Loop() {
				DGEMM(p, false, false, q.m, q.n, q.k, 1, q.a, q.lda, q.b, q.ldb, 0, q.c, q.ldc)
			}
			b.ReportMetric(2*0x1p30*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
		})
	}
}
