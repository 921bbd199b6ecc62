package data

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// writeFile writes a file below dir and returns its path.
func writeFile(t testing.TB, dir, name string, contents []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, contents, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func gzipped(contents []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(contents)
	w.Close()
	return b.Bytes()
}

// idxBytes is an IDX array; elements are written big-endian.
func idxBytes(elem byte, dims []uint32, elements any) []byte {
	var b bytes.Buffer
	b.Write([]byte{0, 0, elem, byte(len(dims))})
	binary.Write(&b, binary.BigEndian, dims)
	binary.Write(&b, binary.BigEndian, elements)
	return b.Bytes()
}

// npyBytes is a NumPy array as numpy.lib.format writes it.
func npyBytes(version byte, descr string, fortran bool, shape string, order binary.ByteOrder, elements any) []byte {
	f := "False"
	if fortran {
		f = "True"
	}
	header := fmt.Sprintf("{'descr': '%s', 'fortran_order': %s, 'shape': %s, }\n", descr, f, shape)
	var b bytes.Buffer
	b.WriteString("\x93NUMPY")
	b.Write([]byte{version, 0})
	if version == 1 {
		binary.Write(&b, binary.LittleEndian, uint16(len(header)))
	} else {
		binary.Write(&b, binary.LittleEndian, uint32(len(header)))
	}
	b.WriteString(header)
	binary.Write(&b, order, elements)
	return b.Bytes()
}

func npzBytes(method uint16, arrays map[string][]byte) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for name, a := range arrays {
		w, _ := z.CreateHeader(&zip.FileHeader{Name: name + ".npy", Method: method})
		w.Write(a)
	}
	z.Close()
	return b.Bytes()
}

func tarBytes(files [][2]string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		w.WriteHeader(&tar.Header{Name: f[0], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(f[1]))})
		w.Write([]byte(f[1]))
	}
	w.Close()
	return b.Bytes()
}

// pngBytes is a w×h image of one colour; grey colours make a grey file.
func pngBytes(w, h int, c color.Color) []byte {
	var img interface {
		image.Image
		Set(x, y int, c color.Color)
	} = image.NewNRGBA(image.Rect(0, 0, w, h))
	if _, grey := c.(color.Gray); grey {
		img = image.NewGray(image.Rect(0, 0, w, h))
	}
	for y := range h {
		for x := range w {
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	png.Encode(&b, img)
	return b.Bytes()
}

func fill64(s *Set, i int) []float64 {
	x := make([]float64, s.Size())
	s.Fill64(x, i)
	return x
}

func TestIDXElementTypes(t *testing.T) {
	want := []float64{1, 2, 3, 4, 5, 100}
	cases := []struct {
		elem     byte
		elements any
	}{
		{0x09, []int8{1, 2, 3, 4, 5, 100}},
		{0x0b, []int16{1, 2, 3, 4, 5, 100}},
		{0x0c, []int32{1, 2, 3, 4, 5, 100}},
		{0x0d, []float32{1, 2, 3, 4, 5, 100}},
		{0x0e, []float64{1, 2, 3, 4, 5, 100}},
		{0x08, []uint8{1, 2, 3, 4, 5, 100}},
	}
	for _, c := range cases {
		dir := t.TempDir()
		writeFile(t, dir, "train-images.idx2-ubyte.gz", gzipped(idxBytes(c.elem, []uint32{2, 3}, c.elements)))
		writeFile(t, dir, "train-labels.idx1-ubyte", idxBytes(0x08, []uint32{2}, []byte{1, 0}))
		src := mustOpen(t, dir, Options{})
		if got := append(fill64(src.Train, 0), fill64(src.Train, 1)...); !slices.Equal(got, want) {
			t.Errorf("element type %#x: got %v, want %v", c.elem, got, want)
		}
		if src.Train.Label(0) != 1 || src.Test != nil {
			t.Errorf("element type %#x: got label %d, test set %v, want 1 and none", c.elem, src.Train.Label(0), src.Test)
		}
	}
}

// Classes of a test split that lacks some are those of the training split.
func TestIDXSplitsShareClasses(t *testing.T) {
	dir := t.TempDir()
	pixels := make([]byte, 8)
	writeFile(t, dir, "train-images-idx3-ubyte", idxBytes(0x08, []uint32{2, 2, 2}, pixels))
	writeFile(t, dir, "train-labels-idx1-ubyte", idxBytes(0x08, []uint32{2}, []byte{0, 9}))
	writeFile(t, dir, "t10k-images-idx3-ubyte", idxBytes(0x08, []uint32{2, 2, 2}, pixels))
	writeFile(t, dir, "t10k-labels-idx1-ubyte", idxBytes(0x0c, []uint32{2}, []int32{3, 1}))
	src := mustOpen(t, dir, Options{})
	if src.Train.Classes() != 10 || src.Test.Classes() != 10 || src.Eval() != src.Test {
		t.Errorf("classes: got %d and %d, want 10", src.Train.Classes(), src.Test.Classes())
	}
	if s := mustOpen(t, unlabeledPrefix+dir, Options{}); s.Train.Labeled() || s.Test.Labeled() {
		t.Error("unlabelled source has labels")
	}
}

func TestNPY(t *testing.T) {
	le, be := binary.ByteOrder(binary.LittleEndian), binary.ByteOrder(binary.BigEndian)
	want := []float64{1, 2, 3, 4, 5, 6}
	// Rows (1 2 3) and (4 5 6); in Fortran order columns come first.
	cases := []struct {
		name    string
		version byte
		descr   string
		fortran bool
		order   binary.ByteOrder
		data    any
	}{
		{"f4", 1, "<f4", false, le, []float32{1, 2, 3, 4, 5, 6}},
		{"f8 big-endian", 2, ">f8", false, be, []float64{1, 2, 3, 4, 5, 6}},
		{"i1", 3, "|i1", false, le, []int8{1, 2, 3, 4, 5, 6}},
		{"i2", 1, "<i2", false, le, []int16{1, 2, 3, 4, 5, 6}},
		{"i4 Fortran", 1, "<i4", true, le, []int32{1, 4, 2, 5, 3, 6}},
		{"i8 big-endian Fortran", 1, ">i8", true, be, []int64{1, 4, 2, 5, 3, 6}},
		{"u1", 1, "|u1", false, le, []uint8{1, 2, 3, 4, 5, 6}},
		{"u2 big-endian", 1, ">u2", false, be, []uint16{1, 2, 3, 4, 5, 6}},
		{"u4", 1, "<u4", false, le, []uint32{1, 2, 3, 4, 5, 6}},
		{"u8", 1, "<u8", false, le, []uint64{1, 2, 3, 4, 5, 6}},
	}
	for _, method := range []uint16{zip.Store, zip.Deflate} {
		for _, c := range cases {
			path := writeFile(t, t.TempDir(), "d.npz", npzBytes(method, map[string][]byte{
				"x": npyBytes(c.version, c.descr, c.fortran, "(2, 3)", c.order, c.data),
				"y": npyBytes(1, "|b1", false, "(2, 1)", le, []byte{1, 0}),
			}))
			src := mustOpen(t, path, Options{})
			if got := append(fill64(src.Train, 0), fill64(src.Train, 1)...); !slices.Equal(got, want) {
				t.Errorf("%s: got %v, want %v", c.name, got, want)
			}
			if src.Train.Label(0) != 1 || src.Train.Label(1) != 0 {
				t.Errorf("%s: labels are wrong", c.name)
			}
		}
	}
}

// Three dimensions in Fortran order, against the definition: element (i, j, k)
// is at i + 2·(j + 3·k).
func TestNPYFortran3D(t *testing.T) {
	data := make([]float32, 24)
	for i := range 2 {
		for j := range 3 {
			for k := range 4 {
				data[i+2*(j+3*k)] = float32(100*i + 10*j + k)
			}
		}
	}
	a, err := readNPY(bytes.NewReader(npyBytes(1, "<f4", true, "(2, 3, 4)", binary.LittleEndian, data)), false, 0)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := a.rows(12)
	if err != nil {
		t.Fatal(err)
	}
	for n, got := range rows.(dense[float32]).data {
		if want := float32(100*(n/12) + 10*(n/4%3) + n%4); got != want {
			t.Errorf("element %d: got %v, want %v", n, got, want)
		}
	}
}

func TestNPZLabels(t *testing.T) {
	le := binary.LittleEndian
	x := npyBytes(1, "|u1", false, "(4, 2, 2)", le, make([]byte, 16))
	cases := []struct {
		name    string
		descr   string
		y       any
		o       Options
		classes int
		label   []int
		mapping string
	}{
		{"class indices with gaps", "<i8", []int64{3, 7, 3, 7}, Options{}, 8, []int{3, 7, 3, 7}, ""},
		{"signs", "<i8", []int64{-1, 1, 1, -1}, Options{}, 2, []int{0, 1, 1, 0}, "-1 → 0, 1 → 1"},
		{"float signs", "<f4", []float32{-1, 1, 1, -1}, Options{}, 2, []int{0, 1, 1, 0}, "-1 → 0, 1 → 1"},
		{"regression", "<f8", []float64{0.5, 1.5, 2.5, 3}, Options{}, 0, []int{-1, -1, -1, -1}, ""},
		{"forced regression", "<i4", []int32{0, 1, 2, 3}, Options{Task: Regress}, 0, []int{-1, -1, -1, -1}, ""},
		{"known names", "<i4", []int32{0, 1, 0, 0}, Options{ClassNames: []string{"a", "b", "c"}}, 3, []int{0, 1, 0, 0}, ""},
		{"more than were known", "<i4", []int32{0, 3, 1, 0}, Options{ClassNames: []string{"0", "1", "2"}}, 4, []int{0, 3, 1, 0}, ""},
	}
	for _, c := range cases {
		path := writeFile(t, t.TempDir(), "d.npz", npzBytes(zip.Deflate, map[string][]byte{
			"x": x, "y": npyBytes(1, c.descr, false, "(4,)", le, c.y),
		}))
		src := mustOpen(t, path, c.o)
		var got []int
		for i := range 4 {
			got = append(got, src.Train.Label(i))
		}
		if src.Train.Classes() != c.classes || !slices.Equal(got, c.label) || src.Mapping != c.mapping {
			t.Errorf("%s: got %d classes, labels %v, mapping %q, want %d, %v, %q",
				c.name, src.Train.Classes(), got, src.Mapping, c.classes, c.label, c.mapping)
		}
	}
}

func TestNPZWithTestSplit(t *testing.T) {
	le := binary.LittleEndian
	x := npyBytes(1, "<f4", false, "(2, 1)", le, []float32{1, 2})
	path := writeFile(t, t.TempDir(), "d.npz", npzBytes(zip.Deflate, map[string][]byte{
		"x_train": x, "y_train": npyBytes(1, "<f4", false, "(2,)", le, []float32{-1, 1}),
		"x_test": x, "y_test": npyBytes(1, "<f4", false, "(2,)", le, []float32{1, 1}),
	}))
	src := mustOpen(t, path, Options{})
	if src.Test == nil || src.Test.Label(0) != 1 || src.Test.Classes() != 2 {
		t.Errorf("test labels do not follow the training labels' mapping: %+v", src.Test)
	}
}

func TestCSV(t *testing.T) {
	cases := []struct {
		name     string
		text     string
		o        Options
		prefix   string
		first    []float64
		n        int
		classes  int
		labels   []int
		mapping  string
		features []string
	}{
		{name: "plain", text: "1,2,0\n3,4,1\n5,6,2\n", first: []float64{1, 2}, n: 3, classes: 3, labels: []int{0, 1, 2}},
		{name: "header", text: "a,b,y\n1,2,0\n3,4,1\n", first: []float64{1, 2}, n: 2, classes: 2, labels: []int{0, 1}, features: []string{"a", "b"}},
		{name: "text label is no header", text: "1,2,yes\n3,4,no\n", first: []float64{1, 2}, n: 2, classes: 2, labels: []int{1, 0}, mapping: "no → 0, yes → 1"},
		{name: "label by number", text: "7,1,2\n9,3,4\n", o: Options{Label: "1"}, first: []float64{1, 2}, n: 2, classes: 2, labels: []int{0, 1}, mapping: "7 → 0, 9 → 1"},
		{name: "label by name", text: "y,a,b\n7,1,2\n9,3,4\n", o: Options{Label: "y"}, first: []float64{1, 2}, n: 2, classes: 2, labels: []int{0, 1}, mapping: "7 → 0, 9 → 1", features: []string{"a", "b"}},
		{name: "two fractions are classes", text: "1,0.5\n2,1.5\n", first: []float64{1}, n: 2, classes: 2, labels: []int{0, 1}, mapping: "0.5 → 0, 1.5 → 1"},
		{name: "regression", text: "1,0.5\n2,1.5\n3,2.5\n", first: []float64{1}, n: 3},
		{name: "forced classes", text: "1,0.5\n2,1.5\n3,2.5\n", o: Options{Task: Classify}, first: []float64{1}, n: 3, classes: 3, labels: []int{0, 1, 2}, mapping: "0.5 → 0, 1.5 → 1, 2.5 → 2"},
		{name: "missing class index", text: "1,0\n2,1\n3,3\n", first: []float64{1}, n: 3, classes: 4, labels: []int{0, 1, 3}},
		{name: "known classes", text: "1,1.0\n2,+1\n", o: Options{ClassNames: []string{"-1", "1"}}, first: []float64{1}, n: 2, classes: 2, labels: []int{1, 1}, mapping: "-1 → 0, 1 → 1"},
		{name: "semicolons, quotes, byte order mark, CRLF", text: "\ufeff\"a\";\"y\"\r\n1;0\r\n2;1\r\n", first: []float64{1}, n: 2, classes: 2, labels: []int{0, 1}, features: []string{"a"}},
		{name: "unlabelled", text: "1,2\n3,4\n", prefix: unlabeledPrefix, first: []float64{1, 2}, n: 2},
		{name: "unlabelled but for a column", text: "1,2\n3,4\n", prefix: unlabeledPrefix, o: Options{Label: "1"}, first: []float64{2}, n: 2},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			src := mustOpen(t, c.prefix+writeFile(t, t.TempDir(), "d.csv.gz", gzipped([]byte(c.text))), c.o)
			s := src.Train
			if got := fill64(s, 0); !slices.Equal(got, c.first) || s.Len() != c.n || s.Classes() != c.classes {
				t.Errorf("got first %v, %d examples, %d classes, want %v, %d, %d", got, s.Len(), s.Classes(), c.first, c.n, c.classes)
			}
			for i, want := range c.labels {
				if got := s.Label(i); got != want {
					t.Errorf("label %d: got %d, want %d", i, got, want)
				}
			}
			if src.Mapping != c.mapping {
				t.Errorf("mapping: got %q, want %q", src.Mapping, c.mapping)
			}
			if got := s.FeatureNames(); !slices.Equal(got, c.features) {
				t.Errorf("features: got %q, want %q", got, c.features)
			}
		})
	}
}

func TestLIBSVM(t *testing.T) {
	text := "+1 2:0.5 4:-1 # a comment\n\n-1\n+1 1:3\n"
	src := mustOpen(t, writeFile(t, t.TempDir(), "d", []byte(text)), Options{})
	for i, want := range [][]float64{{0, 0.5, 0, -1}, {0, 0, 0, 0}, {3, 0, 0, 0}} {
		if got := fill64(src.Train, i); !slices.Equal(got, want) {
			t.Errorf("example %d: got %v, want %v", i, got, want)
		}
	}
	if got := src.Train.Target(1); got != -1 || src.Train.Label(1) != 0 {
		t.Errorf("second label: got %v, class %d, want -1, class 0", got, src.Train.Label(1))
	}
}

func TestImages(t *testing.T) {
	grey := func(v byte) []byte { return pngBytes(2, 1, color.Gray{v}) }
	red := pngBytes(2, 1, color.NRGBA{200, 10, 20, 255})
	t.Run("classes in alphabetical order", func(t *testing.T) {
		dir := t.TempDir()
		writeFile(t, dir, "zebra/1.png", grey(10))
		writeFile(t, dir, "ant/2.png", grey(30))
		writeFile(t, dir, "ant/1.PNG", grey(20))
		writeFile(t, dir, "ant/notes.md", []byte("not an image"))
		writeFile(t, dir, "ant/._1.png", []byte("a resource fork"))
		s := mustOpen(t, dir, Options{Raw: true}).Train
		if !slices.Equal(s.Shape(), []int{1, 1, 2}) || !slices.Equal(s.ClassNames(), []string{"ant", "zebra"}) {
			t.Fatalf("got shape %v, classes %q", s.Shape(), s.ClassNames())
		}
		for i, want := range []float64{20, 30, 10} {
			if got := fill64(s, i)[0]; got != want {
				t.Errorf("example %d: got %v, want %v", i, got, want)
			}
		}
	})
	t.Run("colour beside grey", func(t *testing.T) {
		dir := t.TempDir()
		writeFile(t, dir, "a/1.png", grey(9))
		writeFile(t, dir, "b/1.png", red)
		s := mustOpen(t, dir, Options{Raw: true}).Train
		if got, want := fill64(s, 0), []float64{9, 9, 9, 9, 9, 9}; !slices.Equal(got, want) {
			t.Errorf("grey: got %v, want %v", got, want)
		}
		if got, want := fill64(s, 1), []float64{200, 200, 10, 10, 20, 20}; !slices.Equal(got, want) {
			t.Errorf("red: got %v, want %v", got, want)
		}
	})
	t.Run("train and test", func(t *testing.T) {
		path := writeFile(t, t.TempDir(), "d.tar.gz", gzipped(tarBytes([][2]string{
			{"top/train/b/1.png", string(grey(1))}, {"top/train/a/1.png", string(grey(2))}, {"top/test/b/1.png", string(grey(3))},
		})))
		src := mustOpen(t, path, Options{})
		if src.Train.Len() != 2 || src.Test == nil || src.Test.Len() != 1 || src.Test.Label(0) != 1 {
			t.Errorf("got %d training and %d test examples", src.Train.Len(), testLen(src))
		}
	})
	t.Run("shared top folder", func(t *testing.T) {
		path := writeFile(t, t.TempDir(), "d.tar", tarBytes([][2]string{
			{"./test/b/1.png", string(grey(1))}, {"./test/a/1.png", string(grey(2))},
		}))
		src := mustOpen(t, path, Options{})
		if src.Test != nil || !slices.Equal(src.Train.ClassNames(), []string{"a", "b"}) {
			t.Errorf("got test set %v, classes %q", src.Test, src.Train.ClassNames())
		}
	})
	t.Run("unlabelled", func(t *testing.T) {
		dir := t.TempDir()
		writeFile(t, dir, "1.png", grey(1))
		if s := mustOpen(t, unlabeledPrefix+dir, Options{}).Train; s.Len() != 1 || s.Labeled() {
			t.Errorf("got %d examples, labelled %v, want 1 without labels", s.Len(), s.Labeled())
		}
	})
}

// The triangle filter by hand: a row of two chroma samples 0 and 160 becomes
// 0, 40, 120, 160 (3/4 of the nearer, 1/4 of the further; the border repeats),
// and no second row changes it.
func TestChromaUpsampling(t *testing.T) {
	img := image.NewYCbCr(image.Rect(0, 0, 4, 2), image.YCbCrSubsampleRatio420)
	img.Cb[0], img.Cb[1] = 0, 160
	got := make([]byte, 8)
	upsample(got, img.Cb, img, 4, 2)
	if want := []byte{0, 40, 120, 160, 0, 40, 120, 160}; !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	tall := image.NewYCbCr(image.Rect(0, 0, 2, 4), image.YCbCrSubsampleRatio420)
	tall.Cb[0], tall.Cb[1] = 0, 160
	upsample(got, tall.Cb, tall, 2, 4)
	if want := []byte{0, 0, 40, 40, 120, 120, 160, 160}; !bytes.Equal(got, want) {
		t.Errorf("vertically: got %v, want %v", got, want)
	}
}

// A JPEG of one colour comes back as that colour, whatever its odd size.
func TestJPEGColour(t *testing.T) {
	img := image.NewNRGBA(image.Rect(0, 0, 7, 5))
	for i := range 35 {
		img.Set(i%7, i/7, color.NRGBA{200, 100, 50, 255})
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 100}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeFile(t, dir, "a/1.jpg", b.Bytes())
	for j, got := range fill64(mustOpen(t, dir, Options{Raw: true}).Train, 0) {
		want := []float64{200, 100, 50}[j/35]
		if got < want-2 || got > want+2 {
			t.Fatalf("value %d: got %v, want %v to within 2", j, got, want)
		}
	}
}

func TestCIFARFolder(t *testing.T) {
	record := func(label, red byte) []byte {
		r := make([]byte, cifarRecord)
		r[0], r[1] = label, red
		return r
	}
	dir := t.TempDir()
	writeFile(t, dir, "data_batch_1.bin", record(3, 10))
	writeFile(t, dir, "data_batch_2.bin.gz", gzipped(append(record(4, 20), record(5, 30)...)))
	writeFile(t, dir, "test_batch.bin", record(9, 40))
	src := mustOpen(t, dir, Options{Raw: true})
	if src.Train.Len() != 3 || src.Train.Label(2) != 5 || fill64(src.Train, 2)[0] != 30 {
		t.Errorf("training set is wrong: %d examples", src.Train.Len())
	}
	if src.Test.Len() != 1 || src.Test.Label(0) != 9 || src.Test.ClassNames()[9] != "truck" {
		t.Errorf("test set is wrong: %d examples", src.Test.Len())
	}
}
