package data

import (
	"math"
	"runtime"
	"testing"
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
	other := mustOpen(t, "glyphs", Options{Seed: 6})
	if one.Train.Hash() == other.Train.Hash() {
		t.Error("glyphs are equal for seeds 5 and 6")
	}
}

// softmaxRegression trains multinomial logistic regression by full-batch
// Nesterov gradient descent and returns the test accuracy. Pixels are centred,
// which only conditions the problem.
func softmaxRegression(train, test *Set, steps int, rate float64) float64 {
	const classes = 10
	d := train.Size()
	load := func(s *Set) []float32 {
		x := make([]float32, s.Len()*d)
		for i := range s.Len() {
			s.Fill(x[i*d:(i+1)*d], i)
		}
		return x
	}
	xtr, xte := load(train), load(test)
	mean := make([]float32, d)
	for i, v := range xtr {
		mean[i%d] += v / float32(train.Len())
	}
	for i := range xtr {
		xtr[i] -= mean[i%d]
	}
	for i := range xte {
		xte[i] -= mean[i%d]
	}
	w, v, bias := make([]float32, classes*d), make([]float32, classes*d), make([]float32, classes)
	scores := func(x []float32, w []float32) [classes]float64 {
		var z [classes]float64
		for k := range classes {
			var s0, s1, s2, s3 float32
			row := w[k*d : (k+1)*d]
			for j := 0; j+3 < d; j += 4 {
				s0 += row[j] * x[j]
				s1 += row[j+1] * x[j+1]
				s2 += row[j+2] * x[j+2]
				s3 += row[j+3] * x[j+3]
			}
			z[k] = float64(s0+s1+s2+s3) + float64(bias[k])
		}
		return z
	}
	grad := make([]float32, classes*d)
	for step := range steps {
		momentum := float32(step) / float32(step+3)
		for j := range w {
			w[j], v[j] = w[j]+momentum*v[j], w[j]+momentum*v[j]-w[j]
		}
		clear(grad)
		var gb [classes]float64
		for i := range train.Len() {
			x := xtr[i*d : (i+1)*d]
			z := scores(x, w)
			top := z[0]
			for _, s := range z {
				top = math.Max(top, s)
			}
			sum := 0.0
			for k := range z {
				z[k] = math.Exp(z[k] - top)
				sum += z[k]
			}
			for k := range z {
				g := z[k] / sum
				if k == train.Label(i) {
					g--
				}
				gb[k] += g
				row, g32 := grad[k*d:(k+1)*d], float32(g)
				for j, xv := range x {
					row[j] += g32 * xv
				}
			}
		}
		scale := float32(rate / float64(train.Len()))
		for j := range w {
			w[j] -= scale * grad[j]
			v[j] -= scale * grad[j]
		}
		for k := range bias {
			bias[k] -= scale * float32(gb[k])
		}
	}
	right := 0
	for i := range test.Len() {
		z := scores(xte[i*d:(i+1)*d], w)
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
