package tensor_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/compactify/compactify/format/onnx"
	"github.com/compactify/compactify/tensor"
)

var castCase = regexp.MustCompile(`/(test_cast_[A-Z0-9]+_to_[A-Z0-9]+)/test_data_set_0/(input|output)_0\.pb$`)

// TestConvertAgreesWithONNXCast converts the input of every Cast case of ONNX's
// backend test suite and compares the bits with the output it expects. Cases of
// the same name with a suffix (no_saturate, rounding modes) ask for something
// else than Convert does.
func TestConvertAgreesWithONNXCast(t *testing.T) {
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(filepath.Join(dir, "..", "..", "shared", "data", "conformance", "onnx-v1.21.0-node.tar.gz"))
	if err != nil {
		t.Skipf("no test data: %v", err)
	}
	defer f.Close()
	zip, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	cases := make(map[string]map[string]tensor.Tensor)
	for archive := tar.NewReader(zip); ; {
		h, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		m := castCase.FindStringSubmatch(h.Name)
		if m == nil {
			continue
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		x, _, err := onnx.DecodeTensor(data)
		if err != nil {
			t.Errorf("%s: %v", h.Name, err)
			continue
		}
		if cases[m[1]] == nil {
			cases[m[1]] = make(map[string]tensor.Tensor)
		}
		cases[m[1]][m[2]] = x
	}
	compared := 0
	for name, c := range cases {
		in, want := c["input"], c["output"]
		if in.DType() == tensor.String || want.DType() == tensor.String {
			continue
		}
		got, err := in.Convert(want.DType())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		compared++
		lo, hi := want.DType().IntRange()
		for i := range want.Len() {
			if v := in.At(i); want.DType().IsInteger() && (v < float64(lo) || v > float64(hi)) {
				continue // Cast wraps around, Convert saturates
			}
			if a, b := got.At(i), want.At(i); a != b && (a == a || b == b) {
				t.Errorf("%s: element %d: %v: got %v, want %v", name, i, in.At(i), a, b)
			}
		}
	}
	if want := 45; compared < want {
		t.Errorf("compared %d cases, want at least %d", compared, want)
	}
}
