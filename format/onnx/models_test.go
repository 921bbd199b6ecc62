package onnx

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/compactify/compactify/graph"
)

// sharedData is the folder of test data beside the checkout. Tests that need it
// are skipped where it is missing.
func sharedData(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if filepath.Dir(dir) == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	data := filepath.Join(dir, "..", "shared", "data")
	if _, err := os.Stat(data); err != nil {
		t.Skipf("no test data: %v", err)
	}
	return data
}

// modelFiles lists the real models.
func modelFiles(t testing.TB) []string {
	t.Helper()
	var list []string
	root := filepath.Join(sharedData(t), "models")
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if filepath.Ext(path) == ".onnx" {
			list = append(list, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatalf("no model under %s", root)
	}
	return list
}

func TestModelsRoundTrip(t *testing.T) {
	for _, path := range modelFiles(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			g, err := Read(path)
			if err != nil {
				t.Fatal(err)
			}
			plain, err := Encode(g, Options{})
			if err != nil {
				t.Fatal(err)
			}
			back, err := Decode(plain, "")
			if err != nil {
				t.Fatal(err)
			}
			if err := graph.Equal(g, back); err != nil {
				t.Errorf("round trip: %v", err)
			}
			compact, err := Encode(g, Options{Compact: true})
			if err != nil {
				t.Fatal(err)
			}
			if back, err = Decode(compact, ""); err != nil {
				t.Fatal(err)
			}
			if err := graph.Isomorphic(g, back); err != nil {
				t.Errorf("compact round trip: %v", err)
			}
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if len(compact) > len(plain) || int64(len(compact)) > info.Size() {
				t.Errorf("compact: got %d bytes, want at most %d (plain) and %d (file)", len(compact), len(plain), info.Size())
			}
			again, err := Encode(back, Options{Compact: true})
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(again, compact) {
				t.Error("a compact model, read and written again, has other bytes")
			}
			t.Logf("file %d bytes, plain %d, compact %d", info.Size(), len(plain), len(compact))
		})
	}
}

// conformance visits the files of ONNX's node tests.
func conformance(t *testing.T, visit func(name string, data []byte)) {
	t.Helper()
	f, err := os.Open(filepath.Join(sharedData(t), "conformance", "onnx-v1.21.0-node.tar.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		visit(strings.TrimPrefix(h.Name, "onnx/backend/test/data/node/"), data)
	}
}

// Every node test decodes and survives a round trip, or is refused for one of
// the reasons counted here.
func TestConformanceModels(t *testing.T) {
	read, refused := 0, map[string]int{}
	conformance(t, func(name string, data []byte) {
		if filepath.Base(name) != "model.onnx" {
			return
		}
		g, err := Decode(data, "")
		switch {
		case errors.Is(err, ErrNotTensor):
			refused["not a tensor"]++
			return
		case err != nil && strings.Contains(err.Error(), "opset: got 1, want 7 to 26"):
			refused["opset 1"]++
			return
		case err != nil:
			t.Errorf("%s: %v", name, err)
			return
		}
		read++
		for _, o := range []Options{{}, {Compact: true}} {
			encoded, err := Encode(g, o)
			if err != nil {
				t.Errorf("%s: %+v: %v", name, o, err)
				return
			}
			back, err := Decode(encoded, "")
			if err != nil {
				t.Errorf("%s: %+v: %v", name, o, err)
				return
			}
			same := graph.Equal
			if o.Compact {
				same = graph.Isomorphic
			}
			if err := same(g, back); err != nil {
				t.Errorf("%s: %+v: %v", name, o, err)
			}
		}
	})
	// 1,678 cases in all, by the archive's own list.
	if total := read + refused["not a tensor"] + refused["opset 1"]; total != 1678 && !t.Failed() {
		t.Errorf("models: got %d, want 1678", total)
	}
	t.Logf("read %d, refused %v", read, refused)
}
