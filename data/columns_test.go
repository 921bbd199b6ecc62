package data

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// fortranOrder is dense row-major data by columns.
func fortranOrder(a []float64, rows, cols int) []float64 {
	out := make([]float64, 0, len(a))
	for j := range cols {
		for i := range rows {
			out = append(out, a[i*cols+j])
		}
	}
	return out
}

func TestTransposeInPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for range 200 {
		rows, cols := 1+r.IntN(40), 1+r.IntN(40)
		a := make([]float64, rows*cols)
		for i := range a {
			a[i] = float64(i)
		}
		want := fortranOrder(a, rows, cols)
		transpose(a, rows, cols)
		if !slices.Equal(a, want) {
			t.Fatalf("[%d, %d]: got %v, want %v", rows, cols, a, want)
		}
	}
}

// Whatever the source, its columns hold what its examples do.
func TestOpenColumns(t *testing.T) {
	le := binary.LittleEndian
	dir := t.TempDir()
	write := func(name string, contents []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, contents, 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	x := make([]float64, 11*3)
	var csv, svm strings.Builder
	csv.WriteString("a,y,b,c\n")
	for i := range 11 {
		fmt.Fprintf(&svm, "%d", i%2)
		for j := range 3 {
			if (i+j)%3 > 0 {
				x[i*3+j] = float64(i) + float64(j)/8
				fmt.Fprintf(&svm, " %d:%v", j+1, x[i*3+j])
			}
		}
		svm.WriteString(" 4:0\n")
		fmt.Fprintf(&csv, "%v,%d,%v,%v\n", x[i*3], i%2, x[i*3+1], x[i*3+2])
	}
	y := npyBytes(1, "<i8", false, "(11,)", le, []int64{0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0})
	npz := func(name string, x []byte) string {
		return write(name, npzBytes(zip.Deflate, map[string][]byte{"x": x, "y": y}))
	}
	var single []float32
	for _, v := range x {
		single = append(single, float32(v))
	}
	cases := []struct {
		path, label string
		cols        int
	}{
		{write("d.csv", []byte(csv.String())), "y", 3},
		{write("d", []byte(svm.String())), "", 4},
		{npz("c.npz", npyBytes(1, "<f8", false, "(11, 3)", le, x)), "", 3},
		{npz("f.npz", npyBytes(1, "<f8", true, "(11, 3)", le, fortranOrder(x, 11, 3))), "", 3},
		{npz("big.npz", npyBytes(1, ">f8", true, "(11, 3)", binary.BigEndian, fortranOrder(x, 11, 3))), "", 3},
		{npz("s.npz", npyBytes(1, "<f4", false, "(11, 3)", le, single)), "", 3},
	}
	for _, c := range cases {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			got, err := OpenColumns(c.path, Options{Label: c.label})
			if err != nil {
				t.Fatal(err)
			}
			if got.Rows != 11 || got.Cols != c.cols || (got.Dense == nil) != (c.cols == 4) {
				t.Fatalf("got [%d, %d], dense %v, want [11, %d]", got.Rows, got.Cols, got.Dense != nil, c.cols)
			}
			for j := range 3 {
				column := got.Drop(0)
				for i, v := range column {
					if v != x[i*3+j] {
						t.Errorf("(%d, %d): got %v, want %v", i, j, v, x[i*3+j])
					}
				}
			}
			for i, k := range got.Class {
				if int(k) != i%2 {
					t.Errorf("class %d: got %d, want %d", i, k, i%2)
				}
			}
			if len(got.Value) != 0 || len(got.Dense) != 0 {
				t.Errorf("left: got %v and %v, want nothing: zeros are not stored", got.Value, got.Dense)
			}
		})
	}
	table, err := OpenColumns(cases[0].path, Options{Label: "y", Task: Regress})
	if err != nil {
		t.Fatal(err)
	}
	if table.Label != 2 || !slices.Equal(table.Features, []string{"a", "b", "c"}) || table.Class != nil || table.Target[1] != 1 {
		t.Errorf("table: got label %d, features %q, classes %v, target %v", table.Label, table.Features, table.Class, table.Target)
	}
}

// Images are numbers too, scaled as they are for models.
func TestColumnsOfImages(t *testing.T) {
	c, err := OpenColumns("glyphs", Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	src, err := Open("glyphs", Options{Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	want := make([]float64, 784)
	for _, i := range []int{0, 9, c.Rows - 1} {
		src.Train.Fill64(want, i)
		for j, v := range want {
			if got := c.Dense[j*c.Rows+i]; got != v {
				t.Fatalf("(%d, %d): got %v, want %v", i, j, got, v)
			}
		}
	}
	if c.Test != src.Test.Len() {
		t.Errorf("test examples: got %d, want %d", c.Test, src.Test.Len())
	}
	if _, err := OpenColumns("glyphs", Options{Seed: 1, MaxBytes: 1 << 20}); err == nil {
		t.Error("a limit of a megabyte: got no error")
	}
}

func TestColumnsNotFinite(t *testing.T) {
	nan := []float64{1, 2, 3, 4, math.NaN(), 6}
	x := npyBytes(1, "<f8", true, "(3, 2)", binary.LittleEndian, nan)
	y := npyBytes(1, "<i8", false, "(3,)", binary.LittleEndian, []int64{0, 1, 0})
	path := filepath.Join(t.TempDir(), "d.npz")
	if err := os.WriteFile(path, npzBytes(zip.Store, map[string][]byte{"x": x, "y": y}), 0o666); err != nil {
		t.Fatal(err)
	}
	_, err := OpenColumns(path, Options{})
	if err == nil || !strings.Contains(err.Error(), "x: value 2 of example 2: got NaN, want a finite number") {
		t.Errorf("got %v", err)
	}
}

func BenchmarkTranspose(b *testing.B) {
	a := make([]float64, 1000*5000)
	b.SetBytes(int64(8 * len(a)))
	for b.Loop() {
		transpose(a, 1000, 5000)
	}
}

// A table is allocated once, as large as it is, compressed or not; lines that are no
// rows do not make it larger than its text could be.
func TestTableAllocatedOnce(t *testing.T) {
	dir := t.TempDir()
	text := strings.Repeat("1,2,3,0\n", 1000)
	for _, c := range []struct {
		name string
		text []byte
		want int
	}{
		{"plain.csv", []byte(text), 3 * 1001},
		{"packed.csv.gz", gzipped([]byte(text)), 3 * 1001},
		{"blank.csv", []byte("1,2,3,4,5,6,7,8,9,0\n" + strings.Repeat("\n", 1000)), 1021 / 2},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, c.text, 0o666); err != nil {
			t.Fatal(err)
		}
		src, err := Open(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := cap(src.Train.rows.(dense[float64]).data); got < c.want || got > c.want+c.want/8 {
			t.Errorf("%s: room for %d numbers, want %d", c.name, got, c.want)
		}
	}
}
