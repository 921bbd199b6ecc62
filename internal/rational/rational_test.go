package rational

import (
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

func ints(x ...int64) []*big.Int {
	out := make([]*big.Int, len(x))
	for i, v := range x {
		out[i] = big.NewInt(v)
	}
	return out
}

func matrix(t testing.TB, rows, cols int, x ...int64) *Matrix {
	t.Helper()
	m, err := NewMatrix(rows, cols, ints(x...))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func random(r *rand.Rand, bits int) *big.Int {
	x := new(big.Int)
	for x.BitLen() < bits {
		x.Lsh(x, 62).Add(x, big.NewInt(r.Int64N(1<<62)))
	}
	x.Rsh(x, uint(x.BitLen()-bits))
	if r.IntN(2) == 0 {
		x.Neg(x)
	}
	return x
}

func randomMatrix(r *rand.Rand, rows, cols, bits int) *Matrix {
	m := &Matrix{rows, cols, make([]*big.Int, rows*cols)}
	for i := range m.a {
		m.a[i] = random(r, r.IntN(bits+1))
	}
	return m
}

func TestIntegers(t *testing.T) {
	tiny := math.SmallestNonzeroFloat64
	for _, x := range [][]float64{{}, {0, 0}, {1, -3, 0.5}, {6, -12}, {0.1, 1e300}, {0x1p-61, -1}, {0x1p-62, 1}, {0.3, 2.5e3, -17}, {tiny, 2 * tiny, -math.MaxFloat64}} {
		num, exp, err := Integers(x)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range x {
			want, _ := FromFloat(v)
			if got := Scale(new(big.Rat).SetInt(num[i]), exp); got.Cmp(want) != 0 {
				t.Errorf("%v: number %d: got %v·2^%d", x, i, num[i], exp)
			}
		}
		fits := true
		for _, v := range num {
			fits = fits && v.BitLen() <= 62
		}
		short, e, ok := Short(x)
		if ok != fits || ok && e != exp {
			t.Errorf("%v: short: got %v, exponent %d, want %v, %d", x, ok, e, fits, exp)
		}
		for i, v := range short {
			if v != num[i].Int64() {
				t.Errorf("%v: short number %d: got %d, want %v", x, i, v, num[i])
			}
		}
	}
	if num, exp, _ := Integers([]float64{6, -12}); num[0].Int64() != 3 || num[1].Int64() != -6 || exp != 1 {
		t.Errorf("6, -12: got %v·2^%d, want 3, -6 and 2^1", num, exp)
	}
	for _, x := range []float64{math.NaN(), math.Inf(1)} {
		if _, _, err := Integers([]float64{1, x}); !errors.Is(err, ErrNotFinite) {
			t.Errorf("%v: got error %v", x, err)
		}
	}
}

// TestQuotient compares with big.Rat, on ties between two floats and next to them too.
func TestQuotient(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	check := func(a, b *big.Int) {
		want, _ := new(big.Rat).SetFrac(a, b).Float64()
		if got := Quotient(a, b); got != want {
			t.Errorf("%v/%v: got %v, want %v", a, b, got, want)
		}
	}
	for range 2000 {
		check(random(r, r.IntN(300)), random(r, 1+r.IntN(300)))
	}
	tie := new(big.Int).Lsh(big.NewInt(1<<53+1), 200)
	for _, d := range []int64{-1, 0, 1} {
		a := new(big.Int).Add(tie, big.NewInt(d))
		check(a, big.NewInt(1))
		check(a, new(big.Int).Lsh(big.NewInt(3), 100))
		check(new(big.Int).Mul(a, big.NewInt(7)), big.NewInt(7))
		check(a, new(big.Int).Lsh(big.NewInt(-1), 1300)) // denormal
	}
}

func TestUp(t *testing.T) {
	third := big.NewRat(1, 3)
	if up, down := Up(third), Down(third); up != math.Nextafter(down, 1) || down > 1.0/3 || up < 1.0/3 {
		t.Errorf("1/3: got [%v, %v]", down, up)
	}
	if half := big.NewRat(1, 2); Up(half) != 0.5 || Down(half) != 0.5 {
		t.Error("1/2 is a float64 of its own")
	}
}

func TestSolve(t *testing.T) {
	tests := []struct {
		name       string
		rows, cols int
		a, b       []int64
		want       []string // nil: no solution
	}{
		{"none", 0, 0, nil, nil, []string{}},
		{"one", 1, 1, []int64{-3}, []int64{2}, []string{"-2/3"}},
		{"2x2", 2, 2, []int64{2, 1, 1, 3}, []int64{1, 0}, []string{"3/5", "-1/5"}},
		{"singular, consistent", 2, 2, []int64{1, 2, 2, 4}, []int64{3, 6}, []string{"3", "0"}},
		{"singular, inconsistent", 2, 2, []int64{1, 2, 2, 4}, []int64{3, 7}, nil},
		{"zero rows", 2, 2, []int64{0, 0, 0, 0}, []int64{0, 1}, nil},
		{"tall", 3, 2, []int64{1, 0, 0, 1, 1, 1}, []int64{1, 2, 3}, []string{"1", "2"}},
		{"tall, inconsistent", 3, 2, []int64{1, 0, 0, 1, 1, 1}, []int64{1, 2, 4}, nil},
		{"wide", 1, 3, []int64{0, 4, 5}, []int64{6}, []string{"0", "3/2", "0"}},
	}
	for _, tc := range tests {
		a := matrix(t, tc.rows, tc.cols, tc.a...)
		x, witness, err := Solve(a, ints(tc.b...), Limit{})
		if tc.want == nil {
			if !errors.Is(err, ErrInconsistent) {
				t.Errorf("%s: got error %v", tc.name, err)
				continue
			}
			if !a.Transpose().Solves(witness, zeros(tc.cols).Num) || DotInts(witness.Num, ints(tc.b...)).Sign() == 0 {
				t.Errorf("%s: %v proves nothing", tc.name, witness)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for i, want := range tc.want {
			if got := x.Rat(i).RatString(); got != want {
				t.Errorf("%s: unknown %d: got %s, want %s", tc.name, i+1, got, want)
			}
		}
	}
}

// TestSolveRandom puts the solution back in, over all lengths of numbers and with
// right-hand sides much shorter and longer than the coefficients.
func TestSolveRandom(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for n := 1; n <= 12; n++ {
		for _, bits := range []int{1, 30, 63, 64, 65, 127, 128, 300} {
			a := randomMatrix(r, n, n, bits)
			b := randomMatrix(r, n, 1, 1+r.IntN(500)).a
			det, err := Determinant(a, Limit{})
			if err != nil {
				t.Fatal(err)
			}
			s, err := NewSolver(a, Limit{})
			if errors.Is(err, ErrSingular) != (det.Sign() == 0) {
				t.Fatalf("n = %d, %d bits: determinant %v, error %v", n, bits, det, err)
			}
			if err != nil {
				continue
			}
			x, err := s.Solve(b)
			if err != nil || !a.Solves(x, b) {
				t.Errorf("n = %d, %d bits: %v does not solve: error %v", n, bits, x, err)
			}
			if new(big.Int).Rem(det, x.Den).Sign() != 0 {
				t.Errorf("n = %d, %d bits: denominator %v does not divide the determinant %v", n, bits, x.Den, det)
			}
		}
	}
}

// TestUnluckyPrime: matrices that are singular modulo the primes used but not over the
// rationals.
func TestUnluckyPrime(t *testing.T) {
	p := new(big.Int).SetUint64(primes(1)[0])
	a := &Matrix{2, 2, []*big.Int{p, big.NewInt(0), big.NewInt(0), big.NewInt(1)}}
	x, witness, err := Solve(a, ints(1, 1), Limit{})
	if err != nil || !a.Solves(x, ints(1, 1)) || witness.Den != nil {
		t.Errorf("one unlucky prime: got %v, witness %v, error %v", x, witness, err)
	}
	if r, err := Rank(&Matrix{1, 1, a.a[:1]}, Limit{}); r != 1 || err != nil {
		t.Errorf("rank of a prime: got %d, error %v", r, err)
	}
	product := big.NewInt(1)
	for _, q := range primes(attempts) {
		product.Mul(product, new(big.Int).SetUint64(q))
	}
	_, err = NewSolver(&Matrix{1, 1, []*big.Int{product}}, Limit{})
	if err == nil || errors.Is(err, ErrSingular) {
		t.Errorf("all primes unlucky: got error %v, want one that does not say singular", err)
	}
}

func TestRankDeterminant(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 60 {
		rows, cols, rank := 1+r.IntN(7), 1+r.IntN(7), r.IntN(5)
		rank = min(rank, rows, cols)
		a := product(randomMatrix(r, rows, rank, 70), randomMatrix(r, rank, cols, 70))
		got, err := Rank(a, Limit{})
		if err != nil || got > rank {
			t.Fatalf("[%d, %d]: got rank %d, error %v, want at most %d", rows, cols, got, err, rank)
		}
		if back, err := Rank(a.Transpose(), Limit{}); err != nil || back != got {
			t.Errorf("[%d, %d]: rank %d of the transpose, %d of the matrix, error %v", rows, cols, back, got, err)
		}
		if rows == cols {
			det, err := Determinant(a, Limit{})
			if err != nil || (det.Sign() != 0) != (got == rows) {
				t.Errorf("[%d, %d]: rank %d, determinant %v, error %v", rows, cols, got, det, err)
			}
		}
	}
	for _, tc := range []struct {
		a    *Matrix
		want string // by hand
	}{
		{matrix(t, 2, 2, 0, 1, 1, 0), "-1"},
		{matrix(t, 3, 3, 0, 1, 0, 0, 0, 1, 1, 0, 0), "1"},
		{matrix(t, 3, 3, 2, 0, 1, 1, 3, 2, 1, 1, 4), "18"},
		{matrix(t, 2, 2, 1<<62, 1, 3, 1<<62), "21267647932558653966460912964485513213"},
	} {
		det, err := Determinant(tc.a, Limit{})
		if err != nil || det.String() != tc.want {
			t.Errorf("determinant of %v: got %v, error %v, want %s", tc.a.a, det, err, tc.want)
		}
	}
}

func product(a, b *Matrix) *Matrix {
	out := &Matrix{a.rows, b.cols, nil}
	t := b.Transpose()
	for i := range a.rows {
		for j := range b.cols {
			out.a = append(out.a, DotInts(a.Row(i), t.Row(j)))
		}
	}
	return out
}

func TestSolveFloats(t *testing.T) {
	a := []float64{0.1, 0.2, 1e-30, -3e10}
	b := []float64{0.3, 1}
	x, _, err := SolveFloats(2, 2, a, b, Limit{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 2 {
		got, err := Dot(a[2*i:2*i+2], x)
		want, _ := FromFloat(b[i])
		if err != nil || got.Cmp(want) != 0 {
			t.Errorf("row %d: got %v, error %v, want %v", i+1, got, err, want)
		}
	}
	a, b = []float64{0.25, 0.5, 2, 4}, []float64{1, 9}
	_, witness, err := SolveFloats(2, 2, a, b, Limit{})
	if !errors.Is(err, ErrInconsistent) {
		t.Fatal(err)
	}
	for j := range 2 {
		if v, _ := Dot([]float64{a[j], a[2+j]}, witness); v.Sign() != 0 {
			t.Errorf("witness times column %d: got %v", j+1, v)
		}
	}
	if v, _ := Dot(b, witness); v.Sign() == 0 {
		t.Error("witness times b: got 0")
	}
}

func TestLimit(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	a := randomMatrix(r, 30, 30, 100)
	if _, err := NewSolver(a, Limit{Work: 1e3}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("work: got error %v", err)
	}
	stop := errors.New("stop")
	if _, err := NewSolver(a, Limit{Check: func() error { return stop }}); !errors.Is(err, stop) {
		t.Errorf("check: got error %v", err)
	}
}

func BenchmarkSolve(b *testing.B) {
	for _, n := range []int{10, 30, 72, 150} {
		r := rand.New(rand.NewPCG(9, 10))
		x := randomMatrix(r, n, n, 55)
		a := product(x.Transpose(), x)
		rhs := randomMatrix(r, n, 1, 110).a
		b.Run(string(rune('0'+n/100))+string(rune('0'+n/10%10))+string(rune('0'+n%10)), func(b *testing.B) {
			for b.Loop() {
				s, err := NewSolver(a, Limit{})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := s.Solve(rhs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(SolveWork(n, a.Bits())/(b.Elapsed().Seconds()/float64(b.N)), "work/s")
		})
	}
}
