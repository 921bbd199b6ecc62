package paths

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/compactify/compactify/internal/kernel"
)

// sqError is Σ(w − s·(q − z))² of the weights as they are rounded.
func (q grid) sqError(w []float32, at level) float64 {
	codes := make([]byte, len(w))
	q.round(kernel.Portable, codes, w, at)
	sum := 0.0
	for i, x := range w {
		d := float64(x) - float64(at.scale)*float64(q.integer(codes[i])-at.zero)
		sum += d * d
	}
	return sum
}

// bitGrid and bestScale are those of the plain scheme.
func bitGrid(bits int) grid { return Scheme{Bits: bits}.grid() }

func bestScale(bits int, w []float32) float32 {
	return newFitter(Scheme{Bits: bits}, kernel.Best()).level(w).scale
}

func squares(w []float32) (l1, l2 float64) {
	for _, x := range w {
		l1 += math.Abs(float64(x))
		l2 += float64(x) * float64(x)
	}
	return l1, l2
}

func maxAbs(w []float32) float64 {
	top := 0.0
	for _, x := range w {
		top = max(top, math.Abs(float64(x)))
	}
	return top
}

var distributions = []struct {
	name string
	draw func(r *rand.Rand) float64
}{
	{"normal", (*rand.Rand).NormFloat64},
	{"uniform", func(r *rand.Rand) float64 { return 2*r.Float64() - 1 }},
	{"laplace", func(r *rand.Rand) float64 { return r.ExpFloat64() * float64(2*r.IntN(2)-1) }},
	{"outliers", func(r *rand.Rand) float64 { return r.NormFloat64() / math.Sqrt(r.ExpFloat64()) }},
	{"mostly zeros", func(r *rand.Rand) float64 { return r.NormFloat64() * float64(r.IntN(10)/9) }},
}

func sample(r *rand.Rand, n int, draw func(*rand.Rand) float64) []float32 {
	w := make([]float32, n)
	for i := range w {
		w[i] = float32(draw(r))
	}
	return w
}

func TestGridRanges(t *testing.T) {
	for _, c := range []struct{ bits, lo, hi int }{{1, -1, 1}, {2, -2, 1}, {3, -4, 3}, {4, -8, 7}, {8, -128, 127}} {
		if q := bitGrid(c.bits); q.lo != c.lo || q.hi != c.hi {
			t.Errorf("%d bits: got [%d, %d], want [%d, %d]", c.bits, q.lo, q.hi, c.lo, c.hi)
		}
	}
}

// TestRound: halves to even, saturation at both ends, and for one bit the sign,
// that of zero being +1.
func TestRound(t *testing.T) {
	w := []float32{-9, -1.5, -0.5, -0.3, float32(math.Copysign(0, -1)), 0, 0.3, 0.5, 1.5, 2.5, 9}
	for _, c := range []struct {
		bits int
		want []int8
	}{
		{1, []int8{-1, -1, -1, -1, 1, 1, 1, 1, 1, 1, 1}},
		{2, []int8{-2, -2, 0, 0, 0, 0, 0, 0, 1, 1, 1}},
		{4, []int8{-8, -2, 0, 0, 0, 0, 0, 0, 2, 2, 7}},
		{8, []int8{-9, -2, 0, 0, 0, 0, 0, 0, 2, 2, 9}},
	} {
		got := make([]byte, len(w))
		bitGrid(c.bits).round(kernel.Best(), got, w, level{scale: 1})
		for i := range w {
			if int8(got[i]) != c.want[i] {
				t.Errorf("%d bits: %v: got %d, want %d", c.bits, w[i], int8(got[i]), c.want[i])
			}
		}
	}
}

// TestOneBitError: section 3 of the theory, squared error ‖θ‖² − ‖θ‖₁²/d at
// α = mean|θ|, which is the least of all scales.
func TestOneBitError(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	q := bitGrid(1)
	for _, d := range distributions {
		w := sample(r, 1000, d.draw)
		l1, l2 := squares(w)
		alpha := bestScale(1, w)
		if want := l1 / 1000; math.Abs(float64(alpha)-want) > 1e-6*want {
			t.Errorf("%s: α: got %v, want mean|θ| = %v", d.name, alpha, want)
		}
		if got, want := q.sqError(w, level{scale: alpha}), l2-l1*l1/1000; math.Abs(got-want) > 1e-6*l2 {
			t.Errorf("%s: squared error: got %v, want ‖θ‖² − ‖θ‖₁²/d = %v", d.name, got, want)
		}
		for _, factor := range []float32{0.9, 0.99, 1.01, 1.1} {
			if q.sqError(w, level{scale: factor * alpha}) < q.sqError(w, level{scale: alpha}) {
				t.Errorf("%s: %v·α has a smaller error than α", d.name, factor)
			}
		}
	}
}

// TestOneBitGaussian: oracle 23, relative squared error 1 − 2/π. The standard
// error of the ratio over a million weights is below 0.001.
func TestOneBitGaussian(t *testing.T) {
	w := sample(rand.New(rand.NewPCG(9, 10)), 1_000_000, (*rand.Rand).NormFloat64)
	_, l2 := squares(w)
	got, want := bitGrid(1).sqError(w, level{scale: bestScale(1, w)})/l2, 1-2/math.Pi
	if math.Abs(got-want) > 0.003 {
		t.Errorf("relative squared error: got %v, want 1 − 2/π = %v", got, want)
	}
}

// TestUniformQuantiserVariance: oracle 22, the error of a fine grid has variance
// Δ²/12.
func TestUniformQuantiserVariance(t *testing.T) {
	w := sample(rand.New(rand.NewPCG(11, 12)), 100_000, distributions[1].draw)
	const step = 1.0 / 127
	got, want := bitGrid(8).sqError(w, level{scale: step})/100_000, step*step/12
	if math.Abs(got/want-1) > 0.02 {
		t.Errorf("error variance: got %v, want Δ²/12 = %v", got, want)
	}
}

// TestBestScale: never worse than the scale at which the largest weight is at
// the end of the range, and within 5 % of the best of 2,000 scales where there
// are many weights.
func TestBestScale(t *testing.T) {
	const slack = 1.05
	r := rand.New(rand.NewPCG(13, 14))
	for _, d := range distributions {
		for _, bits := range []int{2, 3, 4, 8} {
			q := bitGrid(bits)
			for _, n := range []int{1, 9, 300, 2000} {
				w := sample(r, n, d.draw)
				if maxAbs(w) == 0 {
					continue
				}
				got := q.sqError(w, level{scale: bestScale(bits, w)})
				plain := q.sqError(w, level{scale: float32(maxAbs(w) / float64(q.hi))})
				if got > plain*(1+1e-6)+1e-12 {
					t.Errorf("%s, %d weights at %d bits: squared error: got %v, want at most %v, that of the plain scale", d.name, n, bits, got, plain)
				}
				if n < 300 {
					continue
				}
				best := math.Inf(1)
				for k := 1; k <= 2000; k++ {
					e := q.sqError(w, level{scale: float32(1.1 * maxAbs(w) / float64(q.hi) * float64(k) / 2000)})
					best = min(best, e)
				}
				if got > slack*best && bits < 8 || got > 1.5*best {
					t.Errorf("%s, %d weights at %d bits: squared error: got %v, want near the best of many scales, %v", d.name, n, bits, got, best)
				}
			}
		}
	}
}

// TestBestScaleOfAGrid: weights on a grid come back exactly.
func TestBestScaleOfAGrid(t *testing.T) {
	for _, bits := range []int{2, 3, 4, 5, 8} {
		q := bitGrid(bits)
		var w []float32
		for v := q.lo; v <= q.hi; v++ {
			w = append(w, 0.0078125*float32(v))
		}
		s := bestScale(bits, w)
		if e := q.sqError(w, level{scale: s}); e > 1e-12 {
			t.Errorf("%d bits: the grid itself at scale %v: squared error %v, want 0", bits, s, e)
		}
	}
}

// TestBestScaleAtTheEdges: zeros stay zeros, and the smallest and largest
// numbers give a scale that divides.
func TestBestScaleAtTheEdges(t *testing.T) {
	for _, c := range []struct {
		name string
		w    []float32
	}{
		{"nothing", nil},
		{"zeros", []float32{0, 0, 0}},
		{"a subnormal", []float32{math.SmallestNonzeroFloat32, 0}},
		{"the largest", []float32{math.MaxFloat32, -math.MaxFloat32}},
	} {
		for bits := 1; bits <= 8; bits++ {
			q := bitGrid(bits)
			s := bestScale(bits, c.w)
			if bits > 1 && !(s > 0) || math.IsInf(float64(s), 0) || s != s {
				t.Errorf("%s at %d bits: scale: got %v, want a positive number", c.name, bits, s)
			}
			codes := make([]byte, len(c.w))
			q.round(kernel.Best(), codes, c.w, level{scale: s})
			for i, code := range codes {
				v := q.integer(code)
				if v < q.lo || v > q.hi {
					t.Errorf("%s at %d bits: got the integer %d, want one of the grid", c.name, bits, v)
				}
				if c.w[i] == 0 && float32(v)*s != 0 && maxAbs(c.w) == 0 {
					t.Errorf("%s at %d bits: zero became %v", c.name, bits, float32(v)*s)
				}
			}
		}
	}
}
