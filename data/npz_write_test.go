package data

import (
	"archive/zip"
	"bytes"
	"io"
	"slices"
	"testing"

	"github.com/compactify/compactify/tensor"
)

// What is written is read again, and the numbers are aligned as NumPy aligns them.
func TestWriteNPZ(t *testing.T) {
	values := []float64{1, -2.5, 1e-300, 4, 5, 6}
	var b bytes.Buffer
	err := WriteNPZ(&b, []Array{{"lambda", []int{2}, Values(values[:2])}, {"coef", []int{2, 3}, Values(values)}, {"none", []int{0, 3}, nil}})
	if err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	shapes := [][]int{{2}, {2, 3}, {0, 3}}
	for i, f := range z.File {
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(in)
		if err != nil {
			t.Fatal(err)
		}
		a, err := readNPY(bytes.NewReader(text), false, 0)
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		n := product(shapes[i])
		if !slices.Equal(a.dims, shapes[i]) || n > 0 && !slices.Equal(tensor.Data[float64](a.tensor()), values[:n]) {
			t.Errorf("%s: got %v %v, want %v %v", f.Name, a.dims, a.raw, shapes[i], values[:n])
		}
		if at := len(text) - 8*n; at%64 != 0 {
			t.Errorf("%s: numbers begin at %d, want a multiple of 64", f.Name, at)
		}
	}
}
