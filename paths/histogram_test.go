package paths

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// observed counts data in batches of a few.
func observed(t testing.TB, data []float32, batch int) *Histogram {
	t.Helper()
	h := new(Histogram)
	for part := range slices.Chunk(data, batch) {
		if err := h.Add(part); err != nil {
			t.Fatal(err)
		}
	}
	return h
}

func draws(n int, draw func(r *rand.Rand) float64) []float32 {
	r := rand.New(rand.NewPCG(7, 8))
	data := make([]float32, n)
	for i := range data {
		data[i] = float32(draw(r))
	}
	return data
}

// TestHistogramIsOrderFree: however elements are ordered and batched, the same is
// kept of them, although the bound doubles on the way.
func TestHistogramIsOrderFree(t *testing.T) {
	data := draws(5000, func(r *rand.Rand) float64 { return math.Round(1024*r.NormFloat64()) / 64 }) // exact sums
	data[4000], data[4500] = 300, -1e-3
	want := observed(t, data, len(data))
	shuffled := slices.Clone(data)
	rand.New(rand.NewPCG(1, 1)).Shuffle(len(data), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	for _, batch := range []int{1, 7, 640} {
		got := observed(t, shuffled, batch)
		if !reflect.DeepEqual(got.bins, want.bins) || got.Span() != want.Span() || got.zeros != want.zeros {
			t.Errorf("batches of %d in another order: the histogram differs", batch)
		}
	}
	if want.Span() != (Range{float64(slices.Min(data)), 300}) || want.Count() != 5000 {
		t.Errorf("got %d elements over %v", want.Count(), want.Span())
	}
}

// TestHistogramCounts: every element is in its bin; and what is kept does not grow.
func TestHistogramCounts(t *testing.T) {
	h := observed(t, []float32{0, 0, 0.5, 1, 3, 7.9, -2, -8}, 3)
	// The bound is 16, the least power of two above 8; bins are 16/4096 wide.
	for x, n := range map[float64]uint64{0.5: 1, 1: 1, 3: 1, 7.9: 1} {
		if got := h.bins[4096+int(x*4096/16)]; got != n {
			t.Errorf("bin of %v: got %d, want %d", x, got, n)
		}
	}
	if h.bins[4096-2*256] != 1 || h.bins[4096-8*256] != 1 || h.zeros != 2 {
		t.Errorf("negative bins or zeros are wrong: %d zeros", h.zeros)
	}
	if got, want := h.Mean(), (0.5+1+3+7.9-2-8)/8; math.Abs(got-want) > 1e-6 {
		t.Errorf("mean: got %v, want %v", got, want)
	}
	if got := h.Outside(Range{-8, 7.9}); got != 0 {
		t.Errorf("outside of the span: got %v, want 0", got)
	}
	if got := h.Outside(Range{-4, 2}); got != 3.0/8 { // 3, 7.9 and −8
		t.Errorf("outside of [-4, 2]: got %v, want 3/8", got)
	}
	small := h.Bytes()
	if err := h.Add(draws(100000, (*rand.Rand).NormFloat64)); err != nil || h.Bytes() != small || small > HistogramBytes {
		t.Errorf("bytes: %d after 8 elements, %d after 100,008; error %v", small, h.Bytes(), err)
	}
}

// TestHistogramRefusesWhatIsNotFinite and says how much of it there is.
func TestHistogramRefusesWhatIsNotFinite(t *testing.T) {
	h := new(Histogram)
	bad := []float32{1, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), -2}
	if err := h.Add(bad); err == nil || err.Error() != "got 3 of 5 elements that are NaN or infinite, want finite numbers" {
		t.Errorf("got error %v", err)
	}
	if h.Count() != 0 {
		t.Errorf("got %d elements counted, want none", h.Count())
	}
	var extreme Histogram
	if err := extreme.Add([]float32{math.MaxFloat32, math.SmallestNonzeroFloat32, -math.MaxFloat32}); err != nil || extreme.Count() != 3 {
		t.Errorf("extremes of float32: %d counted, error %v", extreme.Count(), err)
	}
	var empty, zero Histogram
	if err := zero.Add(make([]float32, 9)); err != nil {
		t.Error(err)
	}
	for _, f := range []Fit{FitMSE, FitMinMax, FitPercentile, FitEntropy} {
		if empty.Range(f) != (Range{}) || zero.Range(f) != (Range{}) {
			t.Errorf("%v of nothing, of zeros: got %v, %v, want 0 to 0", f, empty.Range(f), zero.Range(f))
		}
	}
}

// rounds is the mean squared error of data on the grid of a range.
func rounds(data []float32, r Range) float64 {
	scale, zero := r.grid()
	total := 0.0
	for _, x := range data {
		q := min(255, max(0, math.RoundToEven(float64(x)/float64(scale))+float64(zero)))
		d := float64(x) - (q-float64(zero))*float64(scale)
		total += d * d
	}
	return total / float64(len(data))
}

// TestRangeOfLeastError: against a fine search over the elements themselves.
func TestRangeOfLeastError(t *testing.T) {
	for name, draw := range map[string]func(r *rand.Rand) float64{
		"normal":    (*rand.Rand).NormFloat64,
		"rectified": func(r *rand.Rand) float64 { return max(0, r.NormFloat64()) },
		"laplace":   func(r *rand.Rand) float64 { return r.ExpFloat64() * float64(2*r.IntN(2)-1) },
		"uniform":   func(r *rand.Rand) float64 { return r.Float64() },
		"heavy":     func(r *rand.Rand) float64 { x := r.NormFloat64(); return x * x * x },
	} {
		data := draws(20000, draw)
		h := observed(t, data, 512)
		whole := h.Range(FitMinMax)
		if whole.Lo != min(0, float64(slices.Min(data))) || whole.Hi != float64(slices.Max(data)) {
			t.Errorf("%s: minmax: got %v", name, whole)
		}
		best := math.Inf(1)
		top := max(whole.Hi, -whole.Lo)
		for i := range 400 {
			c := top * float64(i+1) / 400
			best = min(best, rounds(data, Range{max(whole.Lo, -c), min(whole.Hi, c)}))
		}
		if got := rounds(data, h.Range(FitMSE)); got > 1.02*best {
			t.Errorf("%s: squared error: got %v, want at most that of a direct search, %v, and 2 %%", name, got, best)
		}
	}
}

// TestPercentile: 100,000 elements lose five at each end.
func TestPercentile(t *testing.T) {
	data := draws(99990, func(r *rand.Rand) float64 { return 2*r.Float64() - 1 })
	for i := range 5 {
		data = append(data, 100+float32(i), -200-float32(i))
	}
	r := observed(t, data, 999).Range(FitPercentile)
	width := 256.0 / 4096
	if r.Hi < 1-width || r.Hi > 1+width || r.Lo < -1-width || r.Lo > -1+width {
		t.Errorf("got %v, want −1 to 1 within a bin of %v", r, width)
	}
}

// TestEntropyClipsOutliers: ten outliers in a hundred thousand are not worth most
// levels of the grid; a uniform distribution loses nothing.
func TestEntropyClipsOutliers(t *testing.T) {
	data := draws(100000, func(r *rand.Rand) float64 { return max(0, r.NormFloat64()) })
	for i := range 10 {
		data[i] = 40
	}
	if r := observed(t, data, 1000).Range(FitEntropy); r.Lo != 0 || r.Hi < 2.5 || r.Hi > 20 {
		t.Errorf("half normal with outliers at 40: got %v, want an end between 2.5 and 20", r)
	}
	even := draws(200000, func(r *rand.Rand) float64 { return r.Float64() })
	if r := observed(t, even, 1000).Range(FitEntropy); r.Hi < 0.98 {
		t.Errorf("uniform on 0 to 1: got %v, want all of it", r)
	}
}

func BenchmarkHistogramAdd(b *testing.B) {
	data := draws(1<<16, func(r *rand.Rand) float64 { return max(0, r.NormFloat64()) })
	h := new(Histogram)
	b.SetBytes(int64(4 * len(data)))
	for b.Loop() {
		if err := h.Add(data); err != nil {
			b.Fatal(err)
		}
	}
}
