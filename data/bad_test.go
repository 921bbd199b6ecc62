package data

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"image/color"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every bad input gives one error that says what is wrong and where.
func TestBadInput(t *testing.T) {
	le := binary.LittleEndian
	pixels := make([]byte, 8)
	images := idxBytes(0x08, []uint32{2, 2, 2}, pixels)
	idx := func(images, labels []byte) map[string][]byte {
		return map[string][]byte{"d/train-images-idx3-ubyte": images, "d/train-labels-idx1-ubyte": labels}
	}
	one := func(name string, contents []byte) map[string][]byte { return map[string][]byte{name: contents} }
	npz := func(x, y []byte) map[string][]byte {
		return one("d.npz", npzBytes(zip.Store, map[string][]byte{"x": x, "y": y}))
	}
	x := npyBytes(1, "<f4", false, "(2, 1)", le, []float32{1, 2})
	y := npyBytes(1, "<i8", false, "(2,)", le, []int64{0, 1})
	broken := npzBytes(zip.Store, map[string][]byte{"x": x})
	at := bytes.Index(broken, []byte("(2, 1)"))
	broken[at+20] ^= 1 // inside the array, so that its checksum is wrong
	csv := func(text string) map[string][]byte { return one("d.csv", []byte(text)) }
	svm := func(text string) map[string][]byte { return one("d", []byte(text)) }
	good := pngBytes(2, 1, color.Gray{7})
	tarFile := func(files ...[2]string) map[string][]byte { return one("d.tar", tarBytes(files)) }
	truncated := gzipped([]byte(strings.Repeat("1,2,0\n", 1000)))
	record := make([]byte, cifarRecord)
	wrongRecord := append([]byte{10}, record[1:]...)

	cases := []struct {
		name  string
		files map[string][]byte
		spec  string
		o     Options
		want  string
	}{
		{"missing file", nil, "nothing.csv", Options{}, "no such file"},
		{"unknown format", one("d.dat", []byte{0, 1, 2, 3}), "d.dat", Options{}, "unknown format"},
		{"plain text", one("d.txt", []byte("To be")), "d.txt", Options{}, "language models only"},
		{"empty file", one("d.dat", nil), "d.dat", Options{}, "data ends early"},

		{"idx magic", idx([]byte("\x00\x00\x07\x03abcdefgh"), nil), "d", Options{}, "magic number: got 0x00000703"},
		{"idx rank 0", idx([]byte("\x00\x00\x08\x00"), nil), "d", Options{}, "dimensions: got 0, want 1 to 8"},
		{"idx truncated head", idx(images[:9], nil), "d", Options{}, "dimension 2: data ends early: got 1 bytes, want 4"},
		{"idx truncated", idx(images[:len(images)-1], nil), "d", Options{}, "elements of shape [2 2 2]: data ends early: got 7 bytes, want 8"},
		{"idx longer", idx(append(images, 0), nil), "d", Options{}, "data goes on after 8 bytes"},
		{"idx false count", idx(idxBytes(0x08, []uint32{1 << 31, 1 << 16, 1}, pixels), nil), "d", Options{}, "data ends early: got 8 bytes"},
		{"idx overflow", idx(idxBytes(0x0e, []uint32{1 << 31, 1 << 31, 1 << 31}, pixels), nil), "d", Options{}, "product overflows"},
		{"idx empty", idx(idxBytes(0x08, []uint32{0, 2, 2}, []byte{}), nil), "d", Options{}, "dimension 1: got 0, want at least 1"},
		{"idx label count", idx(images, idxBytes(0x08, []uint32{3}, []byte{0, 1, 2})), "d", Options{}, "count: got 3 labels, want 2"},
		{"idx label type", idx(images, idxBytes(0x0d, []uint32{2}, []float32{0, 1})), "d", Options{}, "want one integer per example"},
		{"idx label range", idx(images, idxBytes(0x0c, []uint32{2}, []int32{-1, 0})), "d", Options{}, "label of example 1: out of range: got -1"},
		{"idx label beyond known", idx(images, idxBytes(0x08, []uint32{2}, []byte{0, 5})), "d", Options{ClassNames: []string{"a", "b"}}, "got label 5, want 0 to 1"},
		{"idx no labels", one("d/train-images-idx3-ubyte", images), "d", Options{}, "no label file beside it"},
		{"idx NaN", idx(idxBytes(0x0d, []uint32{2, 1}, []uint32{0, 0x7fc00000}), idxBytes(0x08, []uint32{2}, []byte{0, 1})), "d", Options{}, "value 1 of example 2: got NaN"},

		{"npz is no zip", one("d.npz", []byte("hello")), "d.npz", Options{}, "not a valid zip file"},
		{"npz checksum", one("d.npz", broken), "d.npz", Options{}, "x: "},
		{"npz without x", one("d.npz", npzBytes(zip.Store, map[string][]byte{"z": x})), "d.npz", Options{}, `arrays: got ["z"], want x`},
		{"npz without y", one("d.npz", npzBytes(zip.Store, map[string][]byte{"x": x})), "d.npz", Options{}, "y: no such array; use unlabeled:"},
		{"npy magic", npz([]byte("NUMPYNUMPY"), y), "d.npz", Options{}, "x: magic: got"},
		{"npy version", npz(npyBytes(9, "<f4", false, "(2, 1)", le, []byte{}), y), "d.npz", Options{}, "format version: got 9"},
		{"npy object", npz(npyBytes(1, "|O", false, "(2, 1)", le, []byte{}), y), "d.npz", Options{}, "descr: want a plain number type"},
		{"npy type", npz(npyBytes(1, "<c16", false, "(2, 1)", le, []byte{}), y), "d.npz", Options{}, `descr: got "c16"`},
		{"npy shape", npz(npyBytes(1, "<f4", false, "(2, -1)", le, []byte{}), y), "d.npz", Options{}, "shape: want a tuple"},
		{"npy truncated", npz(npyBytes(1, "<f4", false, "(9, 9)", le, []float32{1}), y), "d.npz", Options{}, "data ends early: got 4 bytes, want 324"},
		{"npy longer", npz(npyBytes(1, "<f4", false, "(1, 1)", le, []float32{1, 2}), y), "d.npz", Options{}, "data goes on after 4 bytes"},
		{"npy scalar", npz(npyBytes(1, "<f4", false, "()", le, []float32{1}), y), "d.npz", Options{}, "shape: got []"},
		{"npz count", npz(x, npyBytes(1, "<i8", false, "(3,)", le, []int64{0, 1, 2})), "d.npz", Options{}, "y: count: got 3 labels, want 2"},
		{"npz one-hot", npz(x, npyBytes(1, "<i8", false, "(2, 2)", le, []int64{0, 1, 1, 0})), "d.npz", Options{}, "y: shape: got [2 2], want [2]"},
		{"npz infinite", npz(npyBytes(1, "<f8", false, "(2, 1)", le, []uint64{0, 0x7ff0000000000000}), y), "d.npz", Options{}, "value 1 of example 2: got +Inf"},
		{"npz inexact", npz(npyBytes(1, "<i8", false, "(2, 1)", le, []int64{0, 1<<53 + 1}), y), "d.npz", Options{}, "got 9007199254740993, want at most 2^53"},
		{"npz label range", npz(x, npyBytes(1, "<i8", false, "(2,)", le, []int64{0, 1 << 20})), "d.npz", Options{}, "out of range: got 1048576"},

		{"csv empty", csv(""), "d.csv", Options{}, "got no rows"},
		{"csv header only", csv("a,b\n"), "d.csv", Options{}, "got a header and no rows"},
		{"csv ragged", csv("1,2,0\n3,1\n"), "d.csv", Options{}, "line 2: cells: got 2, want 3 as in row 1"},
		{"csv text", csv("1,2,0\n3,x,1\n"), "d.csv", Options{}, `line 2, column 2: got "x", want a finite number`},
		{"csv missing", csv("1,2,0\n3,,1\n"), "d.csv", Options{}, `line 2, column 2: got ""`},
		{"csv NaN", csv("1,2,0\nNaN,2,1\n"), "d.csv", Options{}, `line 2, column 1: got "NaN"`},
		{"csv Inf", csv("1,2,0\n1,-Inf,1\n"), "d.csv", Options{}, `line 2, column 2: got "-Inf"`},
		{"csv huge number", csv("1,2,0\n1,1e999,1\n"), "d.csv", Options{}, `got "1e999"`},
		{"csv mixed first row", csv("1,x,0\n3,4,1\n"), "d.csv", Options{}, `row 1: got 1 numbers and 1 other predictors such as "x"`},
		{"csv empty label", csv("1,2,\n3,4,1\n"), "d.csv", Options{}, "line 1, column 3: got an empty label"},
		{"csv infinite label", csv("1,2,Inf\n3,4,1\n"), "d.csv", Options{}, `label of example 1: got "Inf"`},
		{"csv one column", csv("1\n2\n"), "d.csv", Options{}, "columns: got 1, want a label and at least one predictor"},
		{"csv label name", csv("a,b\n1,2\n"), "d.csv", Options{Label: "c"}, `label: got "c", want a column number or one of the names ["a" "b"]`},
		{"csv label number", csv("1,2\n"), "d.csv", Options{Label: "3"}, "label: got column 3, want 1 to 2"},
		{"csv label number 0", csv("1,2\n"), "d.csv", Options{Label: "0"}, "label: got column 0, want 1 to 2"},
		{"csv quote", csv("1,2\n\"1,2\n"), "d.csv", Options{}, "line 2"},
		{"csv text for regression", csv("1,a\n2,b\n"), "d.csv", Options{Task: Regress}, `got "a", want a number for regression`},
		{"csv unknown class", csv("1,a\n2,c\n"), "d.csv", Options{ClassNames: []string{"a", "b"}}, `label of example 2: got "c", want one of ["a" "b"]`},
		{"csv normalisation", csv("1,2,0\n3,4,1\n"), "d.csv", Options{Normalize: "0:0:0,1:1:1"}, "got 3 channels, want 1 or 2"},

		{"libsvm text", svm("hello world\n"), "d", Options{}, `line 1: feature: got "world", want index:value`},
		{"libsvm no label", svm("1:2 3:4\n"), "d", Options{}, "line 1: label"},
		{"libsvm zero index", svm("1 0:2\n"), "d", Options{}, `index: got "0", want an integer from 1`},
		{"libsvm huge index", svm("1 4000000000:2\n"), "d", Options{}, `index: got "4000000000"`},
		{"libsvm descending", svm("1 1:2\n1 3:4 2:5\n"), "d", Options{}, "line 2: index: got 2 after 3"},
		{"libsvm repeated", svm("1 3:4 3:5\n"), "d", Options{}, "index: got 3 after 3"},
		{"libsvm NaN", svm("1 3:nan\n"), "d", Options{}, `value of index 3: got "nan"`},
		{"libsvm no features", svm("1\n2\n"), "d", Options{}, "got 2 examples of 0 features"},

		{"cifar empty", one("d.bin", nil), "d.bin", Options{}, "got no records"},
		{"cifar truncated", one("d.bin", record[:cifarRecord-1]), "d.bin", Options{}, "record 1: data ends early: got 3072 bytes, want 3073"},
		{"cifar label", one("d.bin", wrongRecord), "d.bin", Options{}, "label of record 1: out of range: got 10, want 0 to 9"},

		{"folder without images", one("d/readme.md", nil), "d", Options{}, "got no .jpg, .jpeg or .png files"},
		{"image without class", map[string][]byte{"d/a/1.png": good, "d/2.png": good}, "d", Options{}, `image "2.png": lies in no class folder`},
		{"image size", map[string][]byte{"d/a/1.png": good, "d/a/2.png": pngBytes(3, 1, color.Gray{7})}, "d", Options{}, `image "a/2.png": size: got 3×1, want 2×1 as "a/1.png"`},
		{"image corrupt", map[string][]byte{"d/a/1.png": good, "d/a/2.png": good[:len(good)-20]}, "d", Options{}, `image "a/2.png": png: invalid format`},
		{"jpeg corrupt", one("d/a/1.jpg", []byte("\xff\xd8\xff\xe0junk")), "d", Options{}, `image "a/1.jpg": `},
		{"image class", one("d/x/1.png", good), "d", Options{ClassNames: []string{"a"}}, `got "x", want one of ["a"]`},
		{"tar climbing", tarFile([2]string{"../a/1.png", string(good)}), "d.tar", Options{}, `entry "../a/1.png": path leaves the archive`},
		{"tar absolute", tarFile([2]string{"/a/1.png", string(good)}), "d.tar", Options{}, "path leaves the archive"},
		{"tar twice", tarFile([2]string{"a/1.png", string(good)}, [2]string{"./a/1.png", string(good)}), "d.tar", Options{}, "appears twice"},
		{"tar truncated", one("d.tar", tarBytes([][2]string{{"a/1.png", string(good)}})[:530]), "d.tar", Options{}, "data ends early"},
		{"tar empty", tarFile(), "d.tar", Options{}, "got no .jpg"},

		{"gzip truncated", one("d.csv.gz", truncated[:len(truncated)-9]), "d.csv.gz", Options{}, "gzip: compressed data ends early"},
		{"gzip corrupt", one("d.csv.gz", []byte("\x1f\x8bjunkjunkjunk")), "d.csv.gz", Options{}, "gzip: "},
		{"gzip bomb", one("d.csv.gz", gzipped(make([]byte, 1<<20))), "d.csv.gz", Options{MaxBytes: 1000}, "larger than the limit of 1000 bytes"},
		{"too many cells", csv(strings.Repeat("1,2\n", 100)), "d.csv", Options{MaxBytes: 500}, "larger than the limit"},
		{"too many pixels", one("d/a/1.png", pngBytes(100, 100, color.Gray{7})), "d", Options{MaxBytes: 5000}, "larger than the limit"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, contents := range c.files {
				writeFile(t, dir, name, contents)
			}
			_, err := Open(filepath.Join(dir, c.spec), c.o)
			wantError(t, c.name, err, c.want)
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("error has several lines: %q", err)
			}
		})
	}
}

func TestOpenEmptyFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "class"), 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := Open(dir, Options{})
	wantError(t, "empty folder", err, "got no .jpg")
}

// TestOrInputs: a message does not offer the same name twice.
func TestOrInputs(t *testing.T) {
	for name, want := range map[string]string{"x": "", "image": " or image"} {
		if got := orInputs([]Input{{Name: name}}); got != want {
			t.Errorf("input %q: got %q, want %q", name, got, want)
		}
	}
}
