package separation

import (
	"bufio"
	"compress/gzip"
	"context"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compactify/compactify/internal/testkit"
)

// lines reads a file of the test data.
func lines(t testing.TB, name string) []string {
	f, err := os.Open(testkit.Shared(t, "tabular/"+name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(name, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	var out []string
	s := bufio.NewScanner(r)
	s.Buffer(nil, 1<<20)
	for s.Scan() {
		if strings.TrimSpace(s.Text()) != "" {
			out = append(out, s.Text())
		}
	}
	return out
}

// svm reads a LIBSVM file; positive is the label of the one class.
func svm(t testing.TB, name, positive string) Points {
	p := Points{Intercept: true}
	for _, line := range lines(t, name) {
		fields := strings.Fields(line)
		v := Vector{Index: []int32{}}
		for _, f := range fields[1:] {
			at, text, _ := strings.Cut(f, ":")
			j, err1 := strconv.Atoi(at)
			x, err2 := strconv.ParseFloat(text, 64)
			if err1 != nil || err2 != nil {
				t.Fatalf("%s: %q", name, f)
			}
			v.Index, v.Value = append(v.Index, int32(j-1)), append(v.Value, x)
			p.Dim = max(p.Dim, j)
		}
		p.Rows, p.Sign = append(p.Rows, v), append(p.Sign, signOf(fields[0] == positive))
	}
	return p
}

func signOf(positive bool) int8 {
	if positive {
		return 1
	}
	return -1
}

// csv reads a table without a header whose label is in column at (from the end if
// negative); classes are those kept, the first against the others, nil meaning all.
func csv(t testing.TB, name string, at int, positive string, others ...string) Points {
	p := Points{Intercept: true}
	for _, line := range lines(t, name) {
		fields := strings.Split(line, ",")
		k := at
		if k < 0 {
			k += len(fields)
		}
		label := fields[k]
		if len(others) > 0 && label != positive && !slices.Contains(others, label) {
			continue
		}
		var v Vector
		for _, f := range slices.Delete(fields, k, k+1) {
			x, err := strconv.ParseFloat(strings.TrimSpace(f), 64)
			if err != nil {
				t.Fatalf("%s: %q", name, f)
			}
			v.Value = append(v.Value, x)
		}
		p.Dim = len(v.Value)
		p.Rows, p.Sign = append(p.Rows, v), append(p.Sign, signOf(label == positive))
	}
	return p
}

// realSets are data sets of the literature, and what they are.
var realSets = []struct {
	name string
	load func(t testing.TB) Points
	want Kind
}{
	{"heart", func(t testing.TB) Points { return svm(t, "libsvm/heart_scale", "+1") }, Overlapping},
	{"wdbc", func(t testing.TB) Points { return csv(t, "wdbc/wdbc.csv", -1, "1") }, Separable},
	{"golub", func(t testing.TB) Points { return csv(t, "microarray/golub.csv.gz", 0, "1") }, Separable},
	{"alon", func(t testing.TB) Points { return csv(t, "microarray/alon.csv.gz", 0, "1") }, Separable},
	{"a9a", func(t testing.TB) Points { return svm(t, "libsvm/a9a.gz", "+1") }, QuasiSeparable},
	{"agaricus", func(t testing.TB) Points { return svm(t, "libsvm/agaricus.txt.train.gz", "1") }, Separable},
	{"ionosphere", func(t testing.TB) Points { return csv(t, "jbrownlee/ionosphere.csv", -1, "g") }, QuasiSeparable},
	{"banknote", func(t testing.TB) Points { return csv(t, "jbrownlee/banknote_authentication.csv", -1, "1") }, Overlapping},
	{"iris setosa versicolor", func(t testing.TB) Points {
		return csv(t, "iris/iris.csv", -1, "Iris-setosa", "Iris-versicolor")
	}, Separable},
	{"iris versicolor virginica", func(t testing.TB) Points {
		return csv(t, "iris/iris.csv", -1, "Iris-versicolor", "Iris-virginica")
	}, Overlapping},
	{"digits 1 7", func(t testing.TB) Points {
		return csv(t, "optdigits/optdigits.tra", -1, "1", "7")
	}, Separable},
}

// TestRealData decides them, and checks the proof by its definition.
func TestRealData(t *testing.T) {
	for _, c := range realSets {
		t.Run(c.name, func(t *testing.T) {
			p := c.load(t)
			start := time.Now()
			r, err := Decide(context.Background(), p, Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("[%d, %d]: %v, %d tied, %d extra weights, in %v %s", len(p.Rows), p.Dim, r.Kind, len(r.Tied), len(r.Extra), time.Since(start).Round(time.Millisecond), r.Reached)
			if r.Kind != c.want {
				t.Errorf("got %v, want %v", r.Kind, c.want)
			}
			holds(t, p, r)
		})
	}
}
