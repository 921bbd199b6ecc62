package data

import (
	"math"
	"runtime"
	"testing"

	"github.com/compactify/compactify/internal/stream"
)

func mustOpen(t testing.TB, spec string, o Options) Source {
	t.Helper()
	src, err := Open(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestGlyphsShapeAndBalance(t *testing.T) {
	src := mustOpen(t, "glyphs", Options{Seed: 1})
	for _, c := range []struct {
		set *Set
		n   int
	}{{src.Train, 12000}, {src.Test, 2000}} {
		if c.set.Len() != c.n || c.set.Classes() != 10 {
			t.Fatalf("%s: %d examples in %d classes, want %d in 10", c.set.Name(), c.set.Len(), c.set.Classes(), c.n)
		}
		var count [10]int
		for i := range c.set.Len() {
			count[c.set.Label(i)]++
		}
		for d, n := range count {
			if n != c.n/10 {
				t.Errorf("%s: digit %d: %d examples, want %d", c.set.Name(), d, n, c.n/10)
			}
		}
	}
	x := make([]float32, src.Train.Size())
	seen := map[float32]bool{}
	for i := range 100 {
		src.Train.Fill(x, i)
		for _, v := range x {
			if v < 0 || v > 1 {
				t.Fatalf("example %d: value %v, want 0 to 1", i, v)
			}
			seen[v] = true
		}
	}
	if len(seen) < 200 {
		t.Errorf("100 examples hold %d grey levels, want most of 256", len(seen))
	}
}

// The data must not depend on threads, and must depend on the seed.
func TestGlyphsAreDeterministic(t *testing.T) {
	old := runtime.GOMAXPROCS(1)
	one := mustOpen(t, "glyphs", Options{Seed: 5})
	runtime.GOMAXPROCS(3)
	three := mustOpen(t, "glyphs", Options{Seed: 5})
	runtime.GOMAXPROCS(old)
	if one.Train.Hash() != three.Train.Hash() || one.Test.Hash() != three.Test.Hash() {
		t.Error("glyphs differ between 1 and 3 threads")
	}
	// A different hash means different data: every figure measured on glyphs is void.
	const golden = "fa6440760cac28465c038d98170417452f2f20c690fac81a232e189b380e54b7"
	if got := one.Test.Hash(); runtime.GOARCH == "amd64" && got != golden {
		t.Errorf("hash of the test set: got %s, want %s", got, golden)
	}
	other := mustOpen(t, "glyphs", Options{Seed: 6})
	if one.Train.Hash() == other.Train.Hash() {
		t.Error("glyphs are equal for seeds 5 and 6")
	}
}

// The built-in data must tell a linear model from a convolutional one. Early
// stopping only helps a linear model here (trained to convergence it fits the
// training set and falls to 71 % on the test set), so the best test accuracy
// after any epoch bounds what it can do. The other side, 98 % or more for a
// LeNet-5, is checked where networks are trained.
func TestGlyphsDefeatLinearModels(t *testing.T) {
	if testing.Short() {
		t.Skip("trains a model: a second, ten under the race detector")
	}
	const limit, learns = 0.90, 0.70
	src := mustOpen(t, "glyphs", Options{Seed: 1})
	best := bestSoftmaxAccuracy(src.Train, src.Test)
	t.Logf("best test accuracy of a linear model: %.3f", best)
	if best >= limit {
		t.Errorf("test accuracy of a linear model: got %.3f, want less than %.2f", best, limit)
	}
	if best < learns {
		t.Errorf("test accuracy of a linear model: got %.3f, want at least %.2f: it did not learn", best, learns)
	}
}

// bestSoftmaxAccuracy trains multinomial logistic regression by stochastic
// gradient descent with a falling rate and returns the best test accuracy after
// any epoch, of the last iterate or of the mean of all.
func bestSoftmaxAccuracy(train, test *Set) float64 {
	const epochs, rate = 4, 0.02
	d := train.Size() + 1 // the last input is 1
	w, mean := make([]float32, 10*d), make([]float32, 10*d)
	x := make([]float32, d)
	load := func(s *Set, i int) {
		s.Fill(x, i)
		x[d-1] = 1
	}
	accuracy := func(w []float32) float64 {
		right := 0
		for i := range test.Len() {
			load(test, i)
			z := softmaxScores(w, x)
			best := 0
			for k := range z {
				if z[k] > z[best] {
					best = k
				}
			}
			if best == test.Label(i) {
				right++
			}
		}
		return float64(right) / float64(test.Len())
	}
	best := 0.0
	for epoch := range epochs {
		eta := rate / float64(1+epoch)
		for _, i := range stream.New(1, "test/order", uint64(epoch)).Perm(train.Len()) {
			load(train, i)
			z := softmaxScores(w, x)
			sum := 0.0
			for k := range z {
				z[k] = math.Exp(z[k])
				sum += z[k]
			}
			for k := range z {
				g := z[k] / sum
				if k == train.Label(i) {
					g--
				}
				step, row := float32(eta*g), w[k*d:(k+1)*d]
				for j, v := range x {
					row[j] -= step * v
				}
			}
		}
		for j, v := range w {
			mean[j] += v
		}
		best = max(best, accuracy(w), accuracy(mean))
	}
	return best
}

func softmaxScores(w, x []float32) (z [10]float64) {
	d := len(x)
	for k := range z {
		row := w[k*d : (k+1)*d]
		var a, b, c, e float32 // four sums: the compiler does not split one
		j := 0
		for ; j+3 < d; j += 4 {
			a += row[j] * x[j]
			b += row[j+1] * x[j+1]
			c += row[j+2] * x[j+2]
			e += row[j+3] * x[j+3]
		}
		for ; j < d; j++ {
			a += row[j] * x[j]
		}
		z[k] = float64(a + b + c + e)
	}
	return z
}
