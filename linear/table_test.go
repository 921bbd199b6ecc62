package linear

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestReadTable(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	table := file("t.csv", "a,y,w,b\n1,0,2,5\n3,2,4,6\n7,2,1,8\n")
	got, err := ReadTable(table, Binomial, TableOptions{Label: "y", Take: []string{"w"}})
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.X.dense, []float64{1, 3, 7, 5, 6, 8}) || !slices.Equal(got.Y, []float64{0, 1, 1}) ||
		!slices.Equal(got.Classes, []string{"0", "2"}) || !slices.Equal(got.Features, []string{"a", "b"}) || !slices.Equal(got.Taken[0], []float64{2, 4, 1}) {
		t.Errorf("table: got %v, %v, %q, %q, %v", got.X.dense, got.Y, got.Classes, got.Features, got.Taken)
	}
	// Columns are counted as they are in the file, whatever else is taken.
	if got, err = ReadTable(table, Gaussian, TableOptions{Label: "y", Take: []string{"1", "4", "4"}}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got.X.dense, []float64{2, 4, 1}) || !slices.Equal(got.Taken[2], []float64{5, 6, 8}) || got.Y[1] != 2 {
		t.Errorf("taken by number: got %v, %v", got.X.dense, got.Taken)
	}
	sparse, err := ReadTable(file("t", "1 2:3\n-1 1:4 3:5\n"), Binomial, TableOptions{Columns: 5})
	if err != nil {
		t.Fatal(err)
	}
	if !sparse.X.Sparse() || sparse.X.Cols() != 5 || sparse.FeatureName(2) != "x3" || !slices.Equal(sparse.Y, []float64{1, 0}) {
		t.Errorf("sparse: got %+v, %v", sparse.X, sparse.Y)
	}
}

func TestReadTableRefuses(t *testing.T) {
	dir := t.TempDir()
	cases := []struct {
		text   string
		family Family
		o      TableOptions
		want   string
	}{
		{"1,a\n2,b\n3,c\n", Binomial, TableOptions{}, `number of classes: got 3 (["a" "b" "c"]), want 2`},
		{"1,a\n2,a\n", Multinomial, TableOptions{}, `number of classes: got 1 (["a"]), want at least 2`},
		{"1,a\n2,b\n", Gaussian, TableOptions{}, `got "a", want a number`},
		{"1,2,3\n", Gaussian, TableOptions{Take: []string{"3"}}, "column 3: it is the label"},
		{"1,2,3\n", Gaussian, TableOptions{Take: []string{"4"}}, "column 4: want 1 to 3"},
		{"1,2,3\n", Gaussian, TableOptions{Take: []string{"w"}}, `column "w": no such name`},
		{"1,2\n", Gaussian, TableOptions{Take: []string{"1"}}, "it is the only predictor"},
		{"1,2,c\n", Binomial, TableOptions{Classes: []string{"a", "b"}}, `got "c", want one of ["a" "b"]`},
	}
	for i, c := range cases {
		path := filepath.Join(dir, "t.csv")
		if err := os.WriteFile(path, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := ReadTable(path, c.family, c.o)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("case %d: got %v, want %q", i, err, c.want)
		}
		if i < 2 && !errors.Is(err, ErrClasses) {
			t.Errorf("case %d: got %v, want ErrClasses", i, err)
		}
	}
}
