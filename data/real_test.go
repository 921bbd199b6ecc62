package data

import (
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// shared is the path of a file of the test data, or skips the test.
func shared(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if parent := filepath.Dir(dir); parent != dir {
			dir = parent
			continue
		}
		t.Fatal("no go.mod above the package")
	}
	path := filepath.Join(dir, "..", "shared", "data", filepath.FromSlash(name))
	if _, err := os.Stat(path); err != nil {
		t.Skipf("test data ../shared/data/%s is missing", name)
	}
	return path
}

// channelMoments is mean and standard deviation of each channel of [C, …].
func channelMoments(s *Set) (mean, std []float64) {
	c := s.Shape()[0]
	mean, std = make([]float64, c), make([]float64, c)
	x := make([]float32, s.Size())
	for i := range s.Len() {
		s.Fill(x, i)
		for j, v := range x {
			k := j * c / len(x)
			mean[k] += float64(v)
			std[k] += float64(v) * float64(v)
		}
	}
	n := float64(s.Len() * s.Size() / c)
	for k := range mean {
		mean[k] /= n
		std[k] = math.Sqrt(std[k]/n - mean[k]*mean[k])
	}
	return mean, std
}

func classCounts(s *Set) []int {
	if s.Classes() == 0 {
		return nil
	}
	n := make([]int, s.Classes())
	for i := range s.Len() {
		n[s.Label(i)]++
	}
	return n
}

func TestRealSources(t *testing.T) {
	cases := []struct {
		name         string
		spec         string
		o            Options
		train, test  int
		shape        []int
		classes      int
		counts       []int     // training examples per class
		mean         []float64 // of the training set, per channel
		mapping      string
		first        []float64 // leading values of the first example
		wantRegress  bool
		firstTargets []float64
	}{
		{
			name: "mnist", spec: "datasets/mnist", train: 60000, test: 10000, shape: []int{1, 28, 28}, classes: 10,
			counts: []int{5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949}, // LeCun's table
			mean:   []float64{0.1307},                                                 // the data's README
		},
		{
			name: "fashion", spec: "datasets/fashion-mnist", train: 60000, test: 10000, shape: []int{1, 28, 28}, classes: 10,
			counts: []int{6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000, 6000},
			mean:   []float64{0.2860}, // the data's README
		},
		{
			name: "cifar batch", spec: "datasets/cifar10/data_batch_1-first4000.bin.gz", train: 4000, shape: []int{3, 32, 32}, classes: 10,
			mean: []float64{0.491, 0.482, 0.446}, // of the whole training set; a sample of 4,000 agrees to 0.005
		},
		{
			name: "cifar jpeg", spec: "datasets/cifar10/test-jpeg75.tar.gz", train: 10000, shape: []int{3, 32, 32}, classes: 10,
			counts:  []int{1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000, 1000},
			mean:    []float64{0.494, 0.485, 0.450}, // of the lossless test set
			mapping: "airplane → 0, automobile → 1, bird → 2, cat → 3, deer → 4, dog → 5, frog → 6, horse → 7, ship → 8, truck → 9",
		},
		{
			name: "a9a", spec: "tabular/libsvm/a9a.gz", train: 32561, shape: []int{123}, classes: 2,
			counts: []int{24720, 7841}, mapping: "-1 → 0, 1 → 1", first: []float64{0, 0, 1, 0},
		},
		{
			name: "heart", spec: "tabular/libsvm/heart_scale", train: 270, shape: []int{13}, classes: 2,
			counts: []int{150, 120}, mapping: "-1 → 0, 1 → 1", first: []float64{0.708333, 1, 1, -0.320755},
		},
		{
			name: "housing", spec: "tabular/libsvm/housing_scale", train: 506, shape: []int{13},
			wantRegress: true, firstTargets: []float64{24, 21.6},
		},
		{
			name: "iris", spec: "tabular/iris/iris.csv", train: 150, shape: []int{4}, classes: 3, counts: []int{50, 50, 50},
			mapping: "Iris-setosa → 0, Iris-versicolor → 1, Iris-virginica → 2", first: []float64{5.1, 3.5, 1.4, 0.2},
		},
		{
			name: "wdbc", spec: "tabular/wdbc/wdbc.csv", train: 569, shape: []int{30}, classes: 2, first: []float64{17.99, 10.38},
		},
		{
			name: "golub", spec: "tabular/microarray/golub.csv.gz", o: Options{Label: "1"}, train: 72, shape: []int{7129}, classes: 2,
			counts: []int{47, 25}, first: []float64{-342, -200, 41, 328}, // 47 ALL and 25 AML: Golub et al., Science 286 (1999)
		},
		{
			name: "wine", spec: "tabular/jbrownlee/wine.csv", train: 178, shape: []int{13}, classes: 3,
			counts: []int{59, 71, 48}, mapping: "1 → 0, 2 → 1, 3 → 2",
		},
		{
			name: "optdigits", spec: "tabular/optdigits/optdigits.tra", train: 3823, shape: []int{64}, classes: 10,
		},
		{
			name: "diabetes", spec: "unlabeled:tabular/linfa/diabetes_data.csv.gz", train: 442, shape: []int{10},
		},
		{
			name: "kws", spec: "models/mlperf-tiny/keyword_spotting/eval/kws.npz", train: 1000, shape: []int{1, 49, 10}, classes: 12,
		},
		{
			name: "magika", spec: "models/magika/eval/samples.npz", train: 67, shape: []int{2048},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			prefix, path := "", c.spec
			if len(path) > len(unlabeledPrefix) && path[:len(unlabeledPrefix)] == unlabeledPrefix {
				prefix, path = unlabeledPrefix, path[len(unlabeledPrefix):]
			}
			src := mustOpen(t, prefix+shared(t, path), c.o)
			s := src.Train
			t.Logf("%d × %v, %d classes, mapping %q, note %q", s.Len(), s.Shape(), s.Classes(), src.Mapping, src.Note)
			if s.Len() != c.train || !slices.Equal(s.Shape(), c.shape) {
				t.Fatalf("training set: got %d × %v, want %d × %v", s.Len(), s.Shape(), c.train, c.shape)
			}
			if got := testLen(src); got != c.test {
				t.Errorf("test set: got %d examples, want %d", got, c.test)
			}
			if c.classes != 0 && s.Classes() != c.classes {
				t.Errorf("classes: got %d, want %d", s.Classes(), c.classes)
			}
			if got := classCounts(s); c.counts != nil && !slices.Equal(got, c.counts) {
				t.Errorf("examples per class: got %v, want %v", got, c.counts)
			}
			if src.Mapping != c.mapping {
				t.Errorf("mapping: got %q, want %q", src.Mapping, c.mapping)
			}
			if c.mean != nil {
				const sampling = 0.006
				mean, _ := channelMoments(s)
				for k, m := range mean {
					if math.Abs(m-c.mean[k]) > sampling {
						t.Errorf("mean of channel %d: got %.4f, want %.4f", k, m, c.mean[k])
					}
				}
			}
			x := make([]float64, s.Size())
			s.Fill64(x, 0)
			if got := x[:len(c.first)]; !slices.Equal(got, c.first) && c.first != nil {
				t.Errorf("first example: got %v, want %v", got, c.first)
			}
			if c.wantRegress && (s.Classes() != 0 || !s.Labeled()) {
				t.Errorf("classes: got %d, want regression", s.Classes())
			}
			for i, want := range c.firstTargets {
				if got := s.Target(i); got != want {
					t.Errorf("target %d: got %v, want %v", i, got, want)
				}
			}
		})
	}
}

func testLen(src Source) int {
	if src.Test == nil {
		return 0
	}
	return src.Test.Len()
}
