package data

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
)

// augmented is s.Augment, which has to be possible.
func augmented(t testing.TB, s *Set, seed uint64, text string) *Set {
	t.Helper()
	a, err := ParseAugmentation(text)
	if err != nil {
		t.Fatal(err)
	}
	v, err := s.Augment(seed, "test", a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// shifted is an image [H, W, C] moved by (dy, dx) over a background, by definition.
func shifted(x []float32, h, w, c, dy, dx int, outside float32, mirror bool) []float32 {
	out := make([]float32, len(x))
	for i := range out {
		out[i] = outside
	}
	for y := range h {
		for k := range w {
			for p := range c {
				from := k
				if mirror {
					from = w - 1 - k
				}
				if ty, tx := y+dy, k+dx; ty >= 0 && ty < h && tx >= 0 && tx < w {
					out[(ty*w+tx)*c+p] = x[(y*w+from)*c+p]
				}
			}
		}
	}
	return out
}

// lastToFirst reorders [H, W, C] to [C, H, W].
func lastToFirst(x []float32, h, w, c int) []float32 {
	out := make([]float32, len(x))
	for i, v := range x {
		out[i%c*h*w+i/c] = v
	}
	return out
}

// TestAugmentShifts: every example is one of the shifts and mirrorings, exactly, all
// of them occur equally often, and channels move together in either layout.
func TestAugmentShifts(t *testing.T) {
	const h, w, n = 5, 7, 1800
	for _, c := range []int{1, 3} {
		for _, normalize := range []string{"", "0.5,0.25"} {
			set := counting(t, 1, []int{h, w, c}, true, Options{Normalize: normalize}).Subset(make([]int, n))
			first, err := set.Adapt([]int{c, h, w})
			if err != nil {
				t.Fatal(err)
			}
			outside := float32(0)
			if normalize != "" {
				outside = -2 // (0 − ½)/¼
			}
			x, seen := fill(set, 0), make(map[string]int)
			moves := make(map[string]string)
			for dy := -1; dy <= 1; dy++ {
				for dx := -1; dx <= 1; dx++ {
					for _, mirror := range []bool{false, true} {
						moves[fmt.Sprint(shifted(x, h, w, c, dy, dx, outside, mirror))] = fmt.Sprint(dy, dx, mirror)
					}
				}
			}
			a, b := augmented(t, set, 4, "shift:1,flip"), augmented(t, first, 4, "shift:1,flip")
			for i := range n {
				got := fill(a, i)
				name, ok := moves[fmt.Sprint(got)]
				if !ok {
					t.Fatalf("%d channels: example %d is not a shift: %v", c, i, got)
				}
				seen[name]++
				if !slices.Equal(fill(b, i), lastToFirst(got, h, w, c)) {
					t.Fatalf("%d channels: example %d: channels first give another image", c, i)
				}
			}
			for name, got := range seen { // n/18 = 100 ± 9.7
				if got < 55 || got > 145 {
					t.Errorf("%s: got %d times of %d, want about %d", name, got, n, n/18)
				}
			}
			if len(seen) != 18 {
				t.Errorf("got %d different images, want 18", len(seen))
			}
		}
	}
}

// TestAugmentFlat: a flat row of a stored image moves as the image does.
func TestAugmentFlat(t *testing.T) {
	set := counting(t, 6, []int{4, 9}, true, Options{})
	flat, err := set.Adapt([]int{36})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 6 {
		if a, b := fill(augmented(t, set, 1, "shift:2,elastic:8"), i), fill(augmented(t, flat, 1, "shift:2,elastic:8"), i); !slices.Equal(a, b) {
			t.Fatalf("example %d: got %v, want %v", i, b, a)
		}
	}
}

// TestElastic: a constant image stays but at the border, a ramp moves by what the
// field says, and the displacement has the size that smoothing uniform noise leaves:
// standard deviation α·√(1/3)/(2σ√π) far from the border.
func TestElastic(t *testing.T) {
	const side, sigma, alpha = 64, 2.0, 3.0
	raw := make([]byte, side*side)
	for i := range raw {
		raw[i] = byte(i % side) // the column
	}
	l := labels{class: []int32{0}}
	l.nameIndices(1)
	ramp, err := newSet("ramp", dense[uint8]{raw, len(raw)}, []int{side, side}, true, l, Options{Raw: true})
	if err != nil {
		t.Fatal(err)
	}
	many := augmented(t, ramp.Subset(make([]int, 40)), 2, "elastic:3:2")
	sum, squares, n := 0.0, 0.0, 0
	for i := range many.Len() {
		got := fill(many, i)
		for y := 16; y < 48; y++ {
			for x := 16; x < 48; x++ {
				d := float64(got[y*side+x]) - float64(x)
				sum, squares, n = sum+d, squares+d*d, n+1
			}
		}
	}
	want := alpha * math.Sqrt(1.0/3) / (2 * sigma * math.Sqrt(math.Pi))
	// 40·32² values, of which about 40·32²/(4πσ²) = 815 are independent: 2.5 %.
	if got := math.Sqrt(squares / float64(n)); math.Abs(got/want-1) > 0.1 || math.Abs(sum/float64(n)) > 4*want/28 {
		t.Errorf("displacement: got %v ± %v pixels, want 0 ± %v", sum/float64(n), got, want)
	}
}

func TestAugmentNothing(t *testing.T) {
	set := counting(t, 3, []int{1, 4, 4}, true, Options{})
	same, err := set.Augment(1, "test", Augmentation{})
	if err != nil || same != set {
		t.Errorf("no augmentation: got another set, error %v", err)
	}
	table := counting(t, 3, []int{5}, false, Options{})
	if _, err := table.Augment(1, "test", Augmentation{}); err != nil {
		t.Errorf("a table without augmentation: %v", err)
	}
	// A displacement below half a unit in the last place of a pixel's position.
	got, want := fill(augmented(t, set, 1, "elastic:1e-20"), 1), fill(set, 1)
	if !slices.Equal(got, want) {
		t.Errorf("a displacement of nothing: got %v, want %v", got, want)
	}
}

// TestAugmentRepeats: an example is the same in any order and on any thread, another
// one for another seed or purpose, and the set's hash tells.
func TestAugmentRepeats(t *testing.T) {
	set := counting(t, 32, []int{3, 8, 6}, true, Options{})
	const text = "shift:2,flip,elastic:10:3"
	v := augmented(t, set, 9, text)
	var group sync.WaitGroup
	got := make([][]float32, v.Len())
	for i := range got {
		group.Add(1)
		go func() {
			defer group.Done()
			got[len(got)-1-i] = fill(v, len(got)-1-i)
		}()
	}
	group.Wait()
	other, differs := augmented(t, set, 10, text), 0
	for i := range got {
		if !slices.Equal(got[i], fill(augmented(t, set, 9, text), i)) {
			t.Errorf("example %d differs between threads", i)
		}
		if !slices.Equal(got[i], fill(other, i)) {
			differs++
		}
		if v.Label(i) != set.Label(i) {
			t.Errorf("example %d: label changed", i)
		}
	}
	if differs < 30 {
		t.Errorf("another seed changes %d of 32 examples, want nearly all", differs)
	}
	if h := v.Hash(); h == set.Hash() || h == other.Hash() || h != augmented(t, set, 9, text).Hash() {
		t.Error("the hash does not tell augmentations apart")
	}
}

func TestParseAugmentation(t *testing.T) {
	for text, want := range map[string]Augmentation{
		"":                         {},
		"shift:2":                  {Shift: 2},
		"shift:2,flip,elastic:34":  {Shift: 2, Flip: true, Elastic: 34},
		"elastic:8.5:3,flip":       {Flip: true, Elastic: 8.5, Sigma: 3},
		"shift:1,elastic:0.5:0.25": {Shift: 1, Elastic: 0.5, Sigma: 0.25},
	} {
		got, err := ParseAugmentation(text)
		if err != nil || got != want {
			t.Errorf("%q: got %+v, error %v, want %+v", text, got, err, want)
		}
		if again, err := ParseAugmentation(got.String()); err != nil || again != want {
			t.Errorf("%q: written as %q, read as %+v, error %v", text, got, again, err)
		}
	}
	for text, says := range map[string]string{
		"shift":            `got "shift", want shift:PIXELS`,
		"shift:-1":         `shift: got "-1", want a number of pixels`,
		"shift:9999999":    "shift: got 9999999, want 0 to 4096",
		"flip:1":           `got "flip:1", want`,
		"flip,flip":        "flip is there twice",
		"elastic:0":        `alpha: got "0"`,
		"elastic:NaN":      `alpha: got "NaN"`,
		"elastic:Inf":      "alpha: got +Inf, want 0 to 10000",
		"elastic:8:-2":     `sigma: got "-2"`,
		"elastic:8:1000":   "sigma: got 1000, want 0 to 100",
		"rotate:3":         `got "rotate:3", want shift:PIXELS, flip or elastic:ALPHA[:SIGMA]`,
		"shift:1,,flip":    "want shift:PIXELS",
		"shift:1, elastic": "want shift:PIXELS",
	} {
		if a, err := ParseAugmentation(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %+v, error %v, want one that says %q", text, a, err, says)
		}
	}
}

func TestAugmentRefuses(t *testing.T) {
	_, err := counting(t, 3, []int{12}, false, Options{}).Augment(1, "test", Augmentation{Shift: 1})
	wantError(t, "a table", err, "got examples of shape [12], want images [channels, height, width]")
	_, err = counting(t, 3, []int{2, 2, 2, 2}, false, Options{}).Augment(1, "test", Augmentation{Shift: 1})
	wantError(t, "four axes", err, "got examples of shape [2 2 2 2], want images")
	_, err = counting(t, 3, []int{1, 2, 2}, true, Options{}).Augment(1, "test", Augmentation{Shift: -1})
	wantError(t, "a negative shift", err, "shift: got -1")
}

func BenchmarkAugment(b *testing.B) {
	for _, text := range []string{"shift:2,flip", "elastic:34"} {
		b.Run(text, func(b *testing.B) {
			v, x := augmented(b, counting(b, 64, []int{1, 28, 28}, true, Options{}), 1, text), make([]float32, 784)
			for i := 0; b.Loop(); i++ {
				v.Fill(x, i%64)
			}
		})
	}
}
