package linear

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/internal/testkit"
)

// classed is a problem of rows (x…, class).
func classed(t testing.TB, f Family, rows ...[]float64) Problem {
	t.Helper()
	n, p := len(rows), len(rows[0])-1
	x, y := make([]float64, n*p), make([]float64, n)
	for i, r := range rows {
		for j, v := range r[:p] {
			x[j*n+i] = v
		}
		y[i] = r[p]
	}
	m, err := NewDense(n, p, x)
	if err != nil {
		t.Fatal(err)
	}
	classes := 0
	for _, c := range y {
		classes = max(classes, int(c)+1)
	}
	return Problem{X: m, Y: y, Family: f, Classes: classes}
}

func separated1(t testing.TB, p Problem, o Options) *Separability {
	t.Helper()
	s, err := Separate(context.Background(), p, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSeparable: the kinds, with the statements of each.
func TestSeparable(t *testing.T) {
	for _, c := range []struct {
		name      string
		p         Problem
		o         Options
		verdict   compactify.Verdict
		kind      string
		separated int
		finite    bool
	}{
		{"oracle 8", classed(t, Binomial, []float64{1, 2, 1}, []float64{-3, 1, 0}), Options{}, compactify.Verified, "separable", 2, false},
		{"oracle 30", classed(t, Binomial, []float64{1, 0, 1}, []float64{0, 1, 1}, []float64{1, 1, 0}), Options{}, compactify.Refuted, "overlapping", 0, true},
		{"touching", classed(t, Binomial, []float64{0, 0}, []float64{1, 0}, []float64{1, 1}, []float64{2, 1}), Options{Intercept: true}, compactify.Refuted, "quasi-separable", 2, false},
		{"no columns that vary", classed(t, Binomial, []float64{3, 0}, []float64{3, 1}), Options{Intercept: true}, compactify.Refuted, "overlapping", 0, true},
		{"a constant column as intercept", classed(t, Binomial, []float64{1, 1, 0}, []float64{1, 2, 1}), Options{}, compactify.Verified, "separable", 2, false},
		{"which standardising takes out", classed(t, Binomial, []float64{1, 1, 0}, []float64{1, 2, 1}), Options{Standardize: true}, compactify.Refuted, "overlapping", 0, true},
		{"three in a row", classed(t, Multinomial, []float64{0, 0}, []float64{1, 1}, []float64{2, 2}), Options{Intercept: true}, compactify.Verified, "separable", 3, false},
		{"two alike of three", classed(t, Multinomial, []float64{0, 0}, []float64{1, 1}, []float64{1, 2}), Options{Intercept: true}, compactify.Refuted, "quasi-separable", 1, false},
		{"all alike", classed(t, Multinomial, []float64{1, 0}, []float64{1, 1}, []float64{1, 2}), Options{Intercept: true}, compactify.Refuted, "overlapping", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := separated1(t, c.p, c.o)
			if s.Verdict != c.verdict || s.Kind != c.kind || s.Separated != c.separated || s.FiniteMinimiser != c.finite {
				t.Fatalf("got %+v", s)
			}
			if s.Separated+s.Tied != c.p.X.Rows() || (s.Tied > 0) != (s.Certificate != nil) || (s.Direction == nil) != (s.Kind == "overlapping") {
				t.Errorf("got %+v", s)
			}
		})
	}
}

// TestSeparableJSON: the keys that scripts rely on.
func TestSeparableJSON(t *testing.T) {
	text, err := json.Marshal(separated1(t, classed(t, Binomial, []float64{1, 2, 1}, []float64{-3, 1, 0}, []float64{9, 9, 1}), Options{}))
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Verdict   string
		Direction []float64
		Margin    [2]float64
		Support   []int `json:"support_vectors"`
	}
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := 7 / math.Sqrt(13) // oracle 8
	if got.Verdict != "verified" || len(got.Direction) != 2 || math.Abs(got.Margin[0]-want) > 1e-14 || !slices.Equal(got.Support, []int{1, 2}) {
		t.Errorf("got %s", text)
	}
	if x := got.Direction; math.Abs(x[0]*2-x[1]*3) > 1e-14 {
		t.Errorf("direction %v, want that of (3, 2)", x)
	}
}

// TestSeparableWeights: an example of weight 0 takes no part, and rows keep their
// numbers.
func TestSeparableWeights(t *testing.T) {
	p := classed(t, Binomial, []float64{5, 1}, []float64{0, 0}, []float64{5, 0}, []float64{4, 1})
	p.Weights = []float64{0, 1, 0, 3}
	s := separated1(t, p, DefaultOptions())
	if s.Kind != "separable" || !slices.Equal(s.SupportVectors, []int{2, 4}) || s.Separated != 2 {
		t.Errorf("got %+v", s)
	}
}

// TestSeparableSparse: compressed columns say the same as dense ones.
func TestSeparableSparse(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 50 {
		var rows [][]float64
		for i := range 12 {
			row := make([]float64, 5)
			for j := range 4 {
				row[j] = float64(max(0, r.IntN(5)-2))
			}
			row[4] = float64((i + r.IntN(2)) % 2)
			rows = append(rows, row)
		}
		rows[0][4], rows[1][4], rows[2][4] = 0, 1, 2
		binary := slices.Clone(rows)
		binary[2] = []float64{1, 0, 0, 0, 1}
		for _, p := range []Problem{classed(t, Multinomial, rows...), classed(t, Binomial, binary...)} {
			q := p
			q.X = inColumns(t, p.X)
			a, b := separated1(t, p, DefaultOptions()), separated1(t, q, DefaultOptions())
			if a.Kind != b.Kind || a.Separated != b.Separated {
				t.Fatalf("dense %+v, sparse %+v", a, b)
			}
		}
	}
}

func inColumns(t testing.TB, m *Matrix) *Matrix {
	t.Helper()
	start, row, value := []int{0}, []int32{}, []float64{}
	for j := range m.cols {
		for i, x := range m.column(j) {
			if x != 0 {
				row, value = append(row, int32(i)), append(value, x)
			}
		}
		start = append(start, len(row))
	}
	out, err := NewSparse(m.rows, m.cols, start, row, value)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestSeparableTwoClasses: as a multinomial problem of two classes a binomial one is
// the same.
func TestSeparableTwoClasses(t *testing.T) {
	r := rand.New(rand.NewPCG(2, 2))
	for range 200 {
		var rows [][]float64
		for i := range 2 + r.IntN(7) {
			rows = append(rows, []float64{float64(r.IntN(4)), float64(r.IntN(4)), float64(i % 2)})
		}
		o := Options{Intercept: r.IntN(2) == 0}
		a, b := separated1(t, classed(t, Binomial, rows...), o), separated1(t, classed(t, Multinomial, rows...), o)
		if a.Kind != b.Kind || a.Separated != b.Separated {
			t.Fatalf("%v: binomial %+v, multinomial %+v", rows, a, b)
		}
	}
}

// TestSeparableInput: other families are not applicable, and errors name the cause.
func TestSeparableInput(t *testing.T) {
	p := classed(t, Poisson, []float64{1, 0}, []float64{2, 1})
	if s := separated1(t, p, Options{}); s.Verdict != compactify.NotApplicable || s.Note == "" {
		t.Errorf("poisson: got %+v", s)
	}
	p = classed(t, Binomial, []float64{1, 0}, []float64{math.NaN(), 1})
	if _, err := Separate(context.Background(), p, Options{}); !errors.Is(err, ErrNotFinite) || !strings.Contains(err.Error(), "column 1: row 2") {
		t.Errorf("not a number: got %v", err)
	}
	p = classed(t, Binomial, []float64{1, 1}, []float64{2, 1})
	if _, err := Separate(context.Background(), p, Options{}); err == nil {
		t.Error("one class: got no error")
	}
	if _, err := Separate(context.Background(), Problem{Family: Binomial}, Options{}); err == nil {
		t.Error("no matrix: got no error")
	}
}

// classTable reads a CSV file of numbers whose last column are classes.
func classTable(t testing.TB, name string) Problem {
	t.Helper()
	f, err := os.Open(testkit.Shared(t, name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := strconv.ParseFloat(records[0][0], 64); err != nil {
		records = records[1:]
	}
	classes := map[string]float64{}
	var rows [][]float64
	for _, record := range records {
		row := make([]float64, len(record))
		for j, text := range record[:len(record)-1] {
			if row[j], err = strconv.ParseFloat(text, 64); err != nil {
				t.Fatal(err)
			}
		}
		label := record[len(record)-1]
		if _, known := classes[label]; !known {
			classes[label] = float64(len(classes))
		}
		row[len(row)-1] = classes[label]
		rows = append(rows, row)
	}
	return classed(t, Multinomial, rows...)
}

// TestSeparableRealClasses: problems of three and ten classes.
func TestSeparableRealClasses(t *testing.T) {
	for _, c := range []struct {
		file, kind string
		separated  int
	}{
		{"tabular/iris/iris.csv", "quasi-separable", 50}, // setosa, from both others
		{"tabular/jbrownlee/wine.csv", "separable", 178},
	} {
		p := classTable(t, c.file)
		start := time.Now()
		s := separated1(t, p, DefaultOptions())
		t.Logf("%s: %s, %d separated, in %v", c.file, s.Kind, s.Separated, time.Since(start).Round(time.Millisecond))
		if s.Kind != c.kind || s.Separated != c.separated {
			t.Errorf("%s: got %s with %d separated", c.file, s.Kind, s.Separated)
		}
	}
}
