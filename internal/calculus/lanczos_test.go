package calculus

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"

	"github.com/compactify/compactify/internal/stream"
)

// dense is a symmetric matrix Q·diag(values)·Qᵀ with a random orthogonal Q made
// of reflections.
func dense(values []float64, seed uint64) *symmetric {
	n := len(values)
	s := newSymmetric(n)
	for i, x := range values {
		s.set(i, i, x)
	}
	r := stream.New(seed, "calculus/test", 0)
	u := make([]float64, n)
	for range 3 {
		for i := range u {
			u[i] = r.NormFloat64()
		}
		scale(u, 1/norm(u))
		for _, transposed := range []bool{false, true} { // (I−2uuᵀ)·S, then the same from the right
			for j := range n {
				d := 0.0
				for i := range n {
					d += u[i] * s.entry(i, j, transposed)
				}
				for i := range n {
					s.add(i, j, transposed, -2*d*u[i])
				}
			}
		}
	}
	for i := range n {
		for j := range i {
			s.set(i, j, (s.at(i, j)+s.at(j, i))/2)
		}
	}
	return s
}

func (s *symmetric) entry(i, j int, transposed bool) float64 {
	if transposed {
		i, j = j, i
	}
	return s.at(i, j)
}

func (s *symmetric) add(i, j int, transposed bool, x float64) {
	if transposed {
		i, j = j, i
	}
	s.a[i*s.n+j] += x
}

func (s *symmetric) product(_ context.Context, v, av []float64) error {
	for i := range av {
		av[i] = dot(s.a[i*s.n:(i+1)*s.n], v)
	}
	return nil
}

func diagonal(values []float64) Product {
	return func(_ context.Context, v, av []float64) error {
		for i := range v {
			av[i] = values[i] * v[i]
		}
		return nil
	}
}

// laplacian is the second difference with zero ends; its eigenvalues are
// 2 − 2cos(kπ/(n+1)), k = 1…n.
func laplacian(_ context.Context, v, av []float64) error {
	n := len(v)
	for i := range v {
		av[i] = 2 * v[i]
		if i > 0 {
			av[i] -= v[i-1]
		}
		if i < n-1 {
			av[i] -= v[i+1]
		}
	}
	return nil
}

func spread(n int, f func(i int) float64) []float64 {
	x := make([]float64, n)
	for i := range x {
		x[i] = f(i)
	}
	return x
}

func TestLanczos(t *testing.T) {
	with := func(values []float64, at ...float64) []float64 { return append(at, values...) }
	even := spread(200, func(i int) float64 { return float64(i) / 200 })
	for _, c := range []struct {
		name   string
		values []float64
		o      LanczosOptions
	}{
		{"one", []float64{-3}, LanczosOptions{Largest: 1, Smallest: 1}},
		{"two", []float64{2, 7}, LanczosOptions{Largest: 2, Smallest: 2}},
		{"few, more asked for than there are", []float64{3, -1, 4, -1, 5}, LanczosOptions{Largest: 9, Smallest: 9}},
		{"zero", make([]float64, 50), LanczosOptions{Largest: 3, Smallest: 2}},
		{"identity", spread(60, func(int) float64 { return 1 }), LanczosOptions{Largest: 4}},
		{"rank two", with(make([]float64, 100), 5, -2), LanczosOptions{Largest: 3, Smallest: 3}},
		{"even", even, LanczosOptions{Largest: 3, Smallest: 3}},
		{"outliers", with(even, 10, 30, -20), LanczosOptions{Largest: 2, Smallest: 1}},
		{"triple at the top", with(even, 2, 2, 2, 1.5), LanczosOptions{Largest: 4, Smallest: 1}},
		{"pairs at both ends", with(even, 3, 3, -3, -3, 2.5, 2.5), LanczosOptions{Largest: 4, Smallest: 2}},
		{"clustered top", with(even, 2, 2-1e-4, 2-2e-4, 2-3e-4), LanczosOptions{Largest: 3}},
		{"scale 1e12", with(spread(200, func(i int) float64 { return 1e10 * float64(i) }), 8e12), LanczosOptions{Largest: 1, Smallest: 1}},
		{"scale 1e-30", with(spread(200, func(i int) float64 { return 1e-32 * float64(i) }), 8e-30), LanczosOptions{Largest: 1}},
		{"geometric", spread(150, func(i int) float64 { return math.Pow(0.9, float64(i)) }), LanczosOptions{Largest: 5}},
		{"small basis", with(even, 10, 30, -20), LanczosOptions{Largest: 2, Smallest: 2, Basis: 8}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.o.Vectors, c.o.Products = true, 3000
			m := dense(c.values, 1)
			s, err := Lanczos(context.Background(), len(c.values), m.product, c.o)
			if err != nil {
				t.Fatal(err)
			}
			if !s.Converged {
				t.Errorf("not converged after %d products", s.Products)
			}
			t.Logf("%d products", s.Products)
			want := slices.Sorted(slices.Values(c.values))
			checkEnd(t, m, "smallest", s.Smallest, want[:min(len(want), c.o.Smallest)])
			slices.Reverse(want)
			checkEnd(t, m, "largest", s.Largest, want[:min(len(want), c.o.Largest)])
		})
	}
}

// checkEnd compares with the exact eigenvalues, and bounds and vectors with what
// they claim.
func checkEnd(t *testing.T, m *symmetric, end string, got []Eigenpair, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: got %d values, want %d", end, len(got), len(want))
	}
	top := 0.0
	for i := range m.n {
		top = max(top, norm(m.a[i*m.n:(i+1)*m.n]))
	}
	av := make([]float64, m.n)
	for i, p := range got {
		if off := math.Abs(p.Value - want[i]); off > p.Bound+1e-13*top || p.Bound > 3e-6*top {
			t.Errorf("%s %d: got %v ± %v, want %v", end, i, p.Value, p.Bound, want[i])
		}
		if off := norm(p.Vector) - 1; math.Abs(off) > 1e-14 {
			t.Errorf("%s %d: vector: length 1%+.2g", end, i, off)
		}
		_ = m.product(context.Background(), p.Vector, av)
		addScaled(av, -p.Value, p.Vector)
		if r := norm(av); math.Abs(r-p.Bound) > 1e-13*top {
			t.Errorf("%s %d: bound %v, residual %v", end, i, p.Bound, r)
		}
		for j, q := range got[:i] {
			if d := dot(p.Vector, q.Vector); math.Abs(d) > 1e-9 {
				t.Errorf("%s %d and %d: vectors not orthogonal: %v", end, i, j, d)
			}
		}
	}
}

// TestLanczosLaplacian: ends that crowd together, 2 − 2cos(kπ/(n+1)), and a
// basis much smaller than the number of products that they take.
func TestLanczosLaplacian(t *testing.T) {
	const n = 200
	s, err := Lanczos(context.Background(), n, laplacian, LanczosOptions{Largest: 3, Smallest: 3, Products: 5000, Basis: 60})
	if err != nil || !s.Converged {
		t.Fatalf("got %+v, error %v", s, err)
	}
	t.Logf("%d products", s.Products)
	for k := range 3 {
		angle := math.Pi * float64(k+1) / (n + 1)
		if got, want := s.Smallest[k].Value, 2-2*math.Cos(angle); math.Abs(got-want) > s.Smallest[k].Bound {
			t.Errorf("smallest %d: got %v, want %v", k, got, want)
		}
		if got, want := s.Largest[k].Value, 2+2*math.Cos(angle); math.Abs(got-want) > s.Largest[k].Bound {
			t.Errorf("largest %d: got %v, want %v", k, got, want)
		}
	}
}

// TestLanczosSpeed: an outlier takes few products, and one value of an end no
// second search.
func TestLanczosSpeed(t *testing.T) {
	values := append(spread(20000, func(i int) float64 { return float64(i) / 20000 }), 50, -10)
	s, err := Lanczos(context.Background(), len(values), diagonal(values), LanczosOptions{Largest: 1, Smallest: 1})
	if err != nil || !s.Converged || s.Products > 20 {
		t.Fatalf("got %+v, error %v, want at most 20 products", s, err)
	}
	if s.Largest[0].Vector != nil {
		t.Error("a vector that nobody asked for")
	}
}

func TestLanczosRepeats(t *testing.T) {
	values := spread(500, func(i int) float64 { return math.Sin(float64(i)) })
	run := func(seed uint64) Eigenpair {
		s, err := Lanczos(context.Background(), 500, diagonal(values), LanczosOptions{Largest: 1, Seed: seed})
		if err != nil {
			t.Fatal(err)
		}
		return s.Largest[0]
	}
	if a, b := run(1), run(1); a.Value != b.Value || a.Bound != b.Bound {
		t.Errorf("the same seed: %v and %v", a, b)
	}
	if a, b := run(1), run(2); a.Bound == b.Bound {
		t.Errorf("two seeds: %v twice", a)
	}
}

// TestLanczosBudget: bounds hold when the products run out.
func TestLanczosBudget(t *testing.T) {
	values := spread(1000, func(i int) float64 { return float64(i) })
	for _, products := range []int{1, 2, 7, 31, 32, 33, 40} {
		s, err := Lanczos(context.Background(), 1000, diagonal(values), LanczosOptions{Largest: 2, Smallest: 1, Products: products})
		if err != nil || s.Converged || s.Products > products+3 {
			t.Fatalf("%d products: got %+v, error %v", products, s, err)
		}
		for _, p := range append(s.Largest, s.Smallest...) {
			if off := math.Abs(p.Value - math.Round(p.Value)); off > p.Bound {
				t.Errorf("%d products: %+v, the nearest eigenvalue is %v", products, p, math.Round(p.Value))
			}
		}
	}
}

func TestLanczosFails(t *testing.T) {
	o := LanczosOptions{Largest: 1}
	nan := func(_ context.Context, v, av []float64) error { av[0] = math.NaN(); return nil }
	if _, err := Lanczos(context.Background(), 3, nan, o); !errors.Is(err, ErrNotFinite) {
		t.Errorf("NaN: got %v", err)
	}
	boom := errors.New("boom")
	if _, err := Lanczos(context.Background(), 3, func(context.Context, []float64, []float64) error { return boom }, o); !errors.Is(err, boom) {
		t.Errorf("a failing product: got %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Lanczos(ctx, 3, laplacian, o); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: got %v", err)
	}
	for _, o := range []LanczosOptions{{Largest: -1}, {Smallest: -1}, {Tolerance: -1}, {Tolerance: math.NaN()}} {
		if _, err := Lanczos(context.Background(), 3, laplacian, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	if s, err := Lanczos(context.Background(), 3, nan, LanczosOptions{}); err != nil || !s.Converged || s.Products != 0 {
		t.Errorf("nothing asked for: got %+v, %v", s, err)
	}
}

func TestSymmetricEigen(t *testing.T) {
	want := []float64{-7, -1, -1, -1, 0, 1e-9, 2, 2.5, 1000}
	s := dense(want, 5)
	values, vectors := s.leading(len(want)).eigen()
	av := make([]float64, len(want))
	for k := range want {
		if math.Abs(values[k]-want[k]) > 1e-11 { // a few last bits of 1000
			t.Errorf("value %d: got %v, want %v", k, values[k], want[k])
		}
		_ = s.product(context.Background(), vectors[k], av)
		addScaled(av, -values[k], vectors[k])
		if r := norm(av); r > 1e-11 {
			t.Errorf("vector %d: residual %v", k, r)
		}
	}
}
