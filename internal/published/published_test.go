package published

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compactify/compactify/data"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/train"
)

// small is a source of a few built-in images.
func small(t *testing.T) data.Source {
	t.Helper()
	src, err := data.Open("glyphs", data.Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	first := func(s *data.Set, n int) *data.Set {
		idx := make([]int, n)
		for i := range idx {
			idx[i] = i
		}
		return s.Subset(idx)
	}
	src.Train, src.Test = first(src.Train, 300), first(src.Test, 100)
	return src
}

// tiny is an experiment of a row without and one with validation.
func tiny() Experiment {
	recipe := func(l Length) (train.Architecture, train.Options) {
		o := train.Options{Epochs: 6, Batch: 25, Rate: 3e-3}
		if l == Quick {
			o.Epochs = 1
		}
		return train.Architecture{Name: "mlp:784-20-10"}, o
	}
	binary := func(l Length) (train.Architecture, train.Options) {
		a, o := recipe(l)
		a.BatchNorm, o.Loss, o.Binary.Mode = true, train.SquaredHinge, train.Deterministic
		return a, o
	}
	return Experiment{Name: "tiny", Rows: []Row{{"real", 100, 0, recipe, false}, {"binary", 0, 0, binary, true}}, Seeds: map[Length]int{Short: 2}}
}

func run(t *testing.T, e Experiment, s Setting) []Result {
	t.Helper()
	var list []Result
	s.Pool = kernel.NewPool(2, kernel.Best())
	s.Done = func(r Result) error { list = append(list, r); return nil }
	if err := e.Run(context.Background(), small(t), e.Rows, s); err != nil {
		t.Fatal(err)
	}
	return list
}

func TestRun(t *testing.T) {
	last := 0.0
	list := run(t, tiny(), Setting{Length: Short, Seed: 3, Progress: func(_ string, done float64) {
		if done < last {
			t.Errorf("progress fell from %v to %v", last, done)
		}
		last = done
	}})
	if len(list) != 2 || last != 1 {
		t.Fatalf("got %d results, progress %v", len(list), last)
	}
	for _, r := range list {
		if len(r.Runs) != 2 || r.Runs[0].Seed != 3 || r.Runs[1].Seed != 4 || len(r.Right) != 200 || r.Examples != 100 {
			t.Fatalf("%s: got %+v of %d examples", r.Row.Name, r.Runs, r.Examples)
		}
		percent, lo, hi := r.Error()
		if mean := (r.Runs[0].Error + r.Runs[1].Error) / 2; math.Abs(percent-mean) > 1e-9 || !(lo < percent && percent < hi) {
			t.Errorf("%s: error: got %v [%v, %v], want %v", r.Row.Name, percent, lo, hi, mean)
		}
	}
	if x := list[1].Runs[0]; x.Epochs != 6 || x.Epoch < 1 || x.Valid <= 0 {
		t.Errorf("with validation: got %+v", x)
	}
	if x := list[0].Runs[0]; x.Epoch != 6 || x.Valid != 0 {
		t.Errorf("without validation: got %+v", x)
	}
	if !list[0].OK() || list[1].OK() { // published are 100 % and 0 %
		t.Errorf("got ok %v and %v, want true and false", list[0].OK(), list[1].OK())
	}
	points, lo, hi := list[0].Less(list[1])
	a, _, _ := list[0].Error()
	b, _, _ := list[1].Error()
	if math.Abs(points-(b-a)) > 1e-9 || !(lo < points && points < hi) {
		t.Errorf("less: got %v [%v, %v], want %v", points, lo, hi, b-a)
	}
	again := run(t, tiny(), Setting{Length: Short, Seed: 3})
	if !slices.Equal(again[1].Right, list[1].Right) {
		t.Error("the same seeds give other answers")
	}
}

// TestErrorInterval: one network of k wrong answers has the interval of Agresti and
// Coull, equation 2 with z² ≈ 4 as in their section 3; copies of it tell nothing new.
func TestErrorInterval(t *testing.T) {
	for _, c := range []struct{ n, wrong int }{{10000, 160}, {100, 0}, {100, 100}, {10, 3}} {
		right := slices.Repeat([]float64{1}, c.n)
		for i := range c.wrong {
			right[i] = 0
		}
		n := float64(c.n) + 4
		p := (float64(c.wrong) + 2) / n
		half := 1.959963984540054 * math.Sqrt(p*(1-p)/n)
		for copies := 1; copies <= 3; copies++ {
			got, lo, hi := errorInterval(c.n, slices.Repeat(right, copies))
			if want := 100 * float64(c.wrong) / float64(c.n); math.Abs(got-want) > 1e-9 ||
				math.Abs(lo-100*max(0, p-half)) > 1e-9 || math.Abs(hi-100*min(1, p+half)) > 1e-9 {
				t.Errorf("%+v, %d copies: got %v [%v, %v], want %v [%v, %v]", c, copies, got, lo, hi, want, 100*(p-half), 100*(p+half))
			}
		}
	}
}

// TestRecipes: what the papers and THEORY, section 7, say of the published lengths.
func TestRecipes(t *testing.T) {
	for _, r := range dropout.Rows {
		_, o := r.Recipe(Full)
		if steps := o.Epochs * mnistTrains / o.Batch; steps < 999000 || steps > 1000000 || o.Momentum != 0.95 {
			t.Errorf("%s: got %d steps with momentum %v, want 1,000,000 with 0.95", r.Name, steps, o.Momentum)
		}
		if dropped := o.Dropout != (train.Dropout{}); dropped != strings.HasPrefix(r.Name, "dropout") {
			t.Errorf("%s: got dropout %+v", r.Name, o.Dropout)
		}
	}
	for _, r := range binaryConnect.Rows {
		a, o := r.Recipe(Full)
		if first, last := o.Rates.Ends(o.Epochs); first != 0.3 || last != 0.01 || o.Epochs != 1000 || o.Batch != 200 || a.NormEpsilon != 1e-4 || !a.NormOutput || o.Momentum != 0 || o.Binary.Statistics != 0 {
			t.Errorf("%s: got %+v, %+v", r.Name, a, o)
		}
	}
	for _, e := range Experiments {
		for _, r := range e.Rows {
			_, quick := r.Recipe(Quick)
			_, short := r.Recipe(Short)
			if _, full := r.Recipe(Full); !(quick.Epochs < short.Epochs && short.Epochs < full.Epochs) {
				t.Errorf("%s: %s: epochs %d, %d and %d do not rise", e.Name, r.Name, quick.Epochs, short.Epochs, full.Epochs)
			}
		}
	}
}

func TestRunRefuses(t *testing.T) {
	src := small(t)
	src.Test = nil
	err := tiny().Run(context.Background(), src, tiny().Rows, Setting{Pool: kernel.NewPool(1, kernel.Best())})
	if err == nil || !strings.Contains(err.Error(), "reproduce tiny: want training and test examples") {
		t.Errorf("without test examples: got %v", err)
	}
}

// TestOnMNIST trains a smaller network by the recipe of deterministic BinaryConnect for
// five epochs on a sixth of the real digits: an error below 9 %, by binary weights.
func TestOnMNIST(t *testing.T) {
	folder := filepath.Join("..", "..", "..", "shared", "data", "datasets", "mnist")
	if _, err := os.Stat(folder); err != nil {
		t.Skipf("no real digits: %v", err)
	}
	src, err := data.Open(folder, data.Options{})
	if err != nil {
		t.Fatal(err)
	}
	idx := make([]int, 12000)
	for i := range idx {
		idx[i] = i
	}
	src.Train, src.Test = src.Train.Subset(idx), src.Test.Subset(idx[:2000])
	row := binaryConnect.Rows[1]
	recipe := row.Recipe
	row.Recipe = func(l Length) (train.Architecture, train.Options) {
		a, o := recipe(l)
		a.Name, o.Epochs = "mlp:784-128-128-10", 5
		return a, o
	}
	var r Result
	s := Setting{Length: Quick, Seed: 1, Pool: kernel.NewPool(2, kernel.Best()), Done: func(x Result) error { r = x; return nil }}
	if err := binaryConnect.Run(context.Background(), src, []Row{row}, s); err != nil {
		t.Fatal(err)
	}
	if percent, _, _ := r.Error(); percent > 9 {
		t.Errorf("error: got %v %%, want less than 9 %%", percent)
	} else {
		t.Logf("error %.2f %%", percent)
	}
}
