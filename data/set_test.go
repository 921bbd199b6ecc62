package data

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
)

// counting is n examples of the given shape whose stored values count up from 0.
func counting(t testing.TB, n int, shape []int, image bool, o Options) *Set {
	t.Helper()
	raw := make([]byte, n*product(shape))
	l := labels{class: make([]int32, n)}
	l.nameIndices(3)
	for i := range raw {
		raw[i] = byte(i)
	}
	for i := range n {
		l.class[i] = int32(i % 3)
	}
	s, err := newSet("counting", dense[uint8]{raw, product(shape)}, shape, image, l, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func fill(s *Set, i int) []float32 {
	x := make([]float32, s.Size())
	s.Fill(x, i)
	return x
}

func TestFillScales(t *testing.T) {
	cases := []struct {
		name  string
		shape []int
		image bool
		o     Options
		want  []float64
	}{
		{"image", []int{1, 1, 3}, true, Options{}, []float64{0, 1. / 255, 2. / 255}},
		{"raw image", []int{1, 1, 3}, true, Options{Raw: true}, []float64{0, 1, 2}},
		{"numbers", []int{3}, false, Options{}, []float64{0, 1, 2}},
		{"normalised image", []int{1, 1, 2}, true, Options{Normalize: "0.5,0.25"}, []float64{-2, (1./255 - 0.5) / 0.25}},
		{"normalised numbers", []int{2}, false, Options{Normalize: "1,2"}, []float64{-0.5, 0}},
		{"per column", []int{3}, false, Options{Normalize: "0:1:0,1:1:4"}, []float64{0, 0, 0.5}},
		{"channels first", []int{3, 1, 2}, true, Options{Normalize: "0:1:2,1:2:4"},
			[]float64{0, 1. / 255, (2./255 - 1) / 2, (3./255 - 1) / 2, (4./255 - 2) / 4, (5./255 - 2) / 4}},
		{"channels last", []int{2, 1, 3}, true, Options{Normalize: "0:1:2,1:2:4"},
			[]float64{0, (1./255 - 1) / 2, (2./255 - 2) / 4, 3. / 255, (4./255 - 1) / 2, (5./255 - 2) / 4}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := counting(t, 1, c.shape, c.image, c.o)
			got, got64 := fill(s, 0), make([]float64, s.Size())
			s.Fill64(got64, 0)
			for j, want := range c.want {
				const roundoff = 1e-15 // want is exact, the set rounds three times
				if got[j] != float32(got64[j]) || math.Abs(got64[j]-want) > roundoff {
					t.Errorf("value %d: got %v and %v, want %v", j, got[j], got64[j], want)
				}
			}
		})
	}
}

func TestScalingErrors(t *testing.T) {
	cases := []struct{ normalize, want string }{
		{"0.5", `parse normalization "0.5": want "mean,std"`},
		{"0.5,1,2", `want "mean,std"`},
		{"a,1", `mean: got "a", want a finite number`},
		{"0,NaN", `std: got "NaN", want a finite number`},
		{"0,0", `standard deviation 0, want more than 0`},
		{"0:0,1", `got 2 means and 1 standard deviations`},
		{"0:0,1:1", `got 2 channels, want 1 or 3 for examples of shape [3 2 2]`},
	}
	for _, c := range cases {
		s := &Set{name: "x", rows: dense[uint8]{make([]byte, 12), 12}, shape: []int{3, 2, 2}}
		wantError(t, c.normalize, s.setScaling(true, Options{Normalize: c.normalize}), c.want)
	}
	s := &Set{name: "x", rows: dense[uint8]{make([]byte, 12), 12}, shape: []int{3, 2, 2}}
	wantError(t, "raw", s.setScaling(true, Options{Raw: true, Normalize: "0,1"}), "exclude each other")
}

func wantError(t *testing.T, name string, err error, want string) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: no error, want %q", name, want)
	} else if !strings.Contains(err.Error(), want) {
		t.Errorf("%s: error %q, want %q in it", name, err, want)
	}
}

func TestAdapt(t *testing.T) {
	same := []float32{0, 1, 2, 3, 4, 5}
	moved := []float32{0, 2, 4, 1, 3, 5} // [3,1,2] → [1,2,3]: pixel by pixel
	cases := []struct {
		stored, want []int
		values       []float32 // nil: an error
	}{
		{[]int{1, 2, 3}, []int{1, 2, 3}, same},
		{[]int{1, 2, 3}, []int{2, 3}, same},
		{[]int{1, 2, 3}, []int{2, 3, 1}, same},
		{[]int{2, 3}, []int{1, 2, 3}, same},
		{[]int{2, 3}, []int{2, 3, 1}, same},
		{[]int{2, 3, 1}, []int{1, 2, 3}, same},
		{[]int{1, 2, 3}, []int{6}, same},
		{[]int{6}, []int{1, 2, 3}, same},
		{[]int{3, 1, 2}, []int{6}, same},
		{[]int{3, 1, 2}, []int{1, 2, 3}, moved},
		{[]int{2, 1, 3}, []int{3, 2, 1}, []float32{0, 3, 1, 4, 2, 5}},
		{[]int{1, 2, 3}, []int{1, 0, -1}, same},
		{[]int{1, 2, 3}, []int{1, 3, 2}, nil},
		{[]int{1, 2, 3}, []int{3, 3}, nil},
		{[]int{6}, []int{7}, nil},
		{[]int{6}, []int{-2, -3}, nil},
		{[]int{1, 2, 3}, []int{}, nil},
	}
	for _, c := range cases {
		t.Run(fmt.Sprint(c.stored, " to ", c.want), func(t *testing.T) {
			s := counting(t, 2, c.stored, true, Options{Raw: true})
			a, err := s.Adapt(c.want)
			if c.values == nil {
				wantError(t, "adapt", err, fmt.Sprintf(`adapt "counting": shape of an example: got %v, want %v`, c.stored, c.want))
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := fill(a, 0); !slices.Equal(got, c.values) {
				t.Errorf("values: got %v, want %v", got, c.values)
			}
			if got := fill(a, 1); got[0] != 6 {
				t.Errorf("second example begins with %v, want 6", got[0])
			}
			back, err := a.Adapt(c.stored)
			if err != nil {
				t.Fatal(err)
			}
			if got := fill(back, 0); !slices.Equal(got, same) || back.Hash() != s.Hash() {
				t.Errorf("there and back: got %v, want %v and an equal hash", got, same)
			}
		})
	}
}

// Normalisation follows the channel of a value wherever it moves.
func TestAdaptKeepsNormalization(t *testing.T) {
	s := counting(t, 1, []int{3, 4, 5}, true, Options{Normalize: "0.1:0.2:0.3,1:2:3"})
	a, err := s.Adapt([]int{4, 5, 3})
	if err != nil {
		t.Fatal(err)
	}
	chw, hwc := fill(s, 0), fill(a, 0)
	for c := range 3 {
		for p := range 20 {
			if chw[c*20+p] != hwc[p*3+c] {
				t.Fatalf("channel %d, pixel %d: got %v, want %v", c, p, hwc[p*3+c], chw[c*20+p])
			}
		}
	}
}

func TestAdaptPadsSparse(t *testing.T) {
	rows, _, width, err := readLIBSVM(strings.NewReader("1 1:5 3:7\n0 2:6\n"), false)
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSet("sparse", rows, []int{width}, false, labels{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	a, err := s.Adapt([]int{5})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fill(a, 0), []float32{5, 0, 7, 0, 0}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	_, err = s.Adapt([]int{2})
	wantError(t, "narrower", err, "got [3], want [2]")
}

func TestSubset(t *testing.T) {
	s := counting(t, 9, []int{1, 1, 2}, true, Options{Raw: true})
	sub := s.Subset([]int{4, 2, 4}).Subset([]int{1, 2})
	if got, want := fill(sub, 0)[0], float32(4); got != want { // example 2 begins at byte 4
		t.Errorf("first value: got %v, want %v", got, want)
	}
	if got := sub.Label(1); got != 1 { // example 4 has class 4 mod 3
		t.Errorf("label: got %d, want 1", got)
	}
	if sub.Unlabeled().Labeled() || !math.IsNaN(sub.Unlabeled().Target(0)) || sub.Unlabeled().Label(0) != -1 {
		t.Error("unlabelled set has labels")
	}
	defer func() {
		if recover() == nil {
			t.Error("index outside the set: no panic")
		}
	}()
	s.Subset([]int{9})
}

// The hash must notice every thing a model could see, and nothing else.
func TestHash(t *testing.T) {
	base := counting(t, 9, []int{1, 2, 2}, true, Options{})
	renamed := counting(t, 9, []int{1, 2, 2}, true, Options{})
	renamed.name = "other"
	if base.Hash() != renamed.Hash() {
		t.Error("hash depends on the name")
	}
	if base.Hash() != base.Subset([]int{0, 1, 2, 3, 4, 5, 6, 7, 8}).Hash() {
		t.Error("hash differs for the subset of all")
	}
	flat, err := base.Adapt([]int{4})
	if err != nil {
		t.Fatal(err)
	}
	relabelled := counting(t, 9, []int{1, 2, 2}, true, Options{})
	relabelled.labels.class[8] = 0
	changed := counting(t, 9, []int{1, 2, 2}, true, Options{})
	changed.rows.(dense[uint8]).data[35]++
	seen := map[string]string{base.Hash(): "base"}
	for name, s := range map[string]*Set{
		"raw":        counting(t, 9, []int{1, 2, 2}, true, Options{Raw: true}),
		"normalised": counting(t, 9, []int{1, 2, 2}, true, Options{Normalize: "0,2"}),
		"fewer":      base.Subset([]int{0, 1, 2}),
		"reordered":  base.Subset([]int{1, 0, 2, 3, 4, 5, 6, 7, 8}),
		"unlabelled": base.Unlabeled(),
		"flat":       flat,
		"relabelled": relabelled,
		"changed":    changed,
	} {
		if old, ok := seen[s.Hash()]; ok {
			t.Errorf("%s and %s have one hash", name, old)
		}
		seen[s.Hash()] = name
	}
}

func TestSplit(t *testing.T) {
	// 100 examples of class 0, 30 of class 1, 7 of class 2.
	l := labels{class: slices.Concat(slices.Repeat([]int32{0}, 100), slices.Repeat([]int32{1}, 30), slices.Repeat([]int32{2}, 7))}
	l.nameIndices(3)
	s, err := newSet("s", dense[float64]{make([]float64, 137), 1}, []int{1}, false, l, Options{})
	if err != nil {
		t.Fatal(err)
	}
	counts := []int{100, 30, 7}
	fractions := []float64{0.2, 0.5, 0.3}
	for seed := range uint64(20) {
		parts := Split(s, fractions, seed, "test")
		seen := map[int32]bool{}
		for k, p := range parts {
			for _, i := range p.index {
				if seen[i] {
					t.Fatalf("seed %d: example %d is in two parts", seed, i)
				}
				seen[i] = true
			}
			if want := fractions[k] * 137; math.Abs(float64(p.Len())-want) > 1 {
				t.Errorf("seed %d, part %d: got %d examples, want %.1f", seed, k, p.Len(), want)
			}
			for class, n := range classCounts(p) {
				if want := fractions[k] * float64(counts[class]); math.Abs(float64(n)-want) > 2 {
					t.Errorf("seed %d, part %d, class %d: got %d examples, want %.1f", seed, k, class, n, want)
				}
			}
		}
		if len(seen) != 137 {
			t.Errorf("seed %d: parts hold %d examples, want 137", seed, len(seen))
		}
	}
	a, b := Split(s, fractions, 1, "test"), Split(s, fractions, 1, "test")
	other, purpose := Split(s, fractions, 2, "test"), Split(s, fractions, 1, "else")
	if !slices.Equal(a[0].index, b[0].index) {
		t.Error("two splits with one seed differ")
	}
	if slices.Equal(a[0].index, other[0].index) || slices.Equal(a[0].index, purpose[0].index) {
		t.Error("seed or purpose does not matter")
	}
	if got := Split(s.Subset([]int{0, 1}), []float64{0.2, 0.8}, 1, "test"); got[0].Len() != 1 || got[1].Len() != 1 {
		t.Errorf("split of two: got %d and %d, want 1 and 1", got[0].Len(), got[1].Len())
	}
}

func BenchmarkFillImage(b *testing.B) {
	s := counting(b, 1, []int{1, 28, 28}, true, Options{Normalize: "0.1307,0.3081"})
	x := make([]float32, s.Size())
	b.SetBytes(int64(len(x)))
	for b.Loop() {
		s.Fill(x, 0)
	}
}

func BenchmarkGlyphs(b *testing.B) {
	for b.Loop() {
		mustOpen(b, "glyphs", Options{Seed: 1})
	}
}

// TestVarySome: the part of the examples that is asked for is changed, the others
// are what they were, and Varied tells which.
func TestVarySome(t *testing.T) {
	src, err := Open("glyphs", Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	set := src.Train.Subset(make([]int, 1000)) // one image, a thousand times
	plain, changed := make([]float32, set.Size()), make([]float32, set.Size())
	set.Fill(plain, 0)
	for _, part := range []float64{0, 0.1, 0.5, 1} {
		some, n := set.VarySome(3, "test", 0.5, part), 0
		for i := range set.Len() {
			if some.Varied(i) {
				n++
				continue
			}
			if some.Fill(changed, i); !slices.Equal(plain, changed) {
				t.Fatalf("a part of %v: example %d is not said to be changed, but is", part, i)
			}
		}
		if want := part * 1000; math.Abs(float64(n)-want) > 5*math.Sqrt(want*(1-part)) { // five standard deviations
			t.Errorf("a part of %v: got %d of 1000 changed", part, n)
		}
	}
	if set.Varied(0) {
		t.Error("a set that is not varied says it is")
	}
}
