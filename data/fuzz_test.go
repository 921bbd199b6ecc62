package data

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"
)

// What a parser accepts must be consistent: as many values as the shape says.

func FuzzIDX(f *testing.F) {
	good := idxBytes(0x0b, []uint32{2, 3}, []int16{1, 2, 3, 4, 5, 6})
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(idxBytes(0x08, []uint32{1 << 31, 1 << 31, 4}, []byte{1}))
	f.Add(idxBytes(0x0e, []uint32{1}, []float64{1}))
	f.Add([]byte("\x00\x00\x08\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := readIDX(bytes.NewReader(in))
		if err != nil {
			return
		}
		if got, want := len(a.raw), product(a.dims)*idxSize[a.elem]; got != want || got > len(in) {
			t.Errorf("accepted %v with %d bytes, want %d", a.dims, got, want)
		}
		if got := a.rows().len(); got != a.dims[0] {
			t.Errorf("shape %v: got %d rows", a.dims, got)
		}
	})
}

func FuzzNPY(f *testing.F) {
	le := binary.LittleEndian
	good := npyBytes(1, "<f4", false, "(2, 3)", le, []float32{1, 2, 3, 4, 5, 6})
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add(npyBytes(2, ">i8", true, "(2, 1, 3)", binary.BigEndian, []int64{1, 2, 3, 4, 5, 6}))
	f.Add(npyBytes(3, "|b1", false, "()", le, []byte{1}))
	f.Add(npyBytes(1, "<u8", false, "(99999999, 99999999, 99999999)", le, []byte{}))
	f.Add(npyBytes(1, "<u2", true, "(0, 70000000000000)", le, []byte{}))
	f.Fuzz(func(t *testing.T, in []byte) {
		a, err := readNPY(bytes.NewReader(in), false, 0)
		if err != nil {
			return
		}
		if got, want := len(a.raw), product(a.dims)*a.size; got != want || got > len(in) {
			t.Errorf("accepted %v with %d bytes, want %d", a.dims, got, want)
		}
		if len(a.dims) > 0 && len(a.raw) > 0 {
			size := product(a.dims[1:])
			if rows, err := a.rows(size); err == nil && rows.len() != a.dims[0] {
				t.Errorf("shape %v: got %d rows", a.dims, rows.len())
			}
		}
	})
}

func FuzzCSV(f *testing.F) {
	f.Add("1,2,0\n3,4,1\n", "", false)
	f.Add("a,b,y\n1,2,0\n", "y", false)
	f.Add("1;2\n3;x\n", "1", true)
	f.Add("\ufeff\"a\"\t\"y\"\r\n1\t0\r\n", "", false)
	f.Add("1,2\n3\n", "3", false)
	f.Add("1,\n", "", false)
	f.Fuzz(func(t *testing.T, text, label string, unlabeled bool) {
		const limit = 1 << 20
		tab, err := readCSV(strings.NewReader(text), label, unlabeled, limit, 0, 0)
		if err != nil {
			return
		}
		if len(tab.values)%tab.width != 0 {
			t.Fatalf("accepted %d values in rows of %d", len(tab.values), tab.width)
		}
		n := len(tab.values) / tab.width
		if len(tab.features) != 0 && len(tab.features) != tab.width {
			t.Errorf("accepted %d names for %d columns", len(tab.features), tab.width)
		}
		if unlabeled {
			return
		}
		if len(tab.cells) != n {
			t.Fatalf("accepted %d labels for %d rows", len(tab.cells), n)
		}
		checkLabels(t, tab.cells)
	})
}

func FuzzLIBSVM(f *testing.F) {
	f.Add("+1 1:0.5 3:2 # comment\n-1 2:1e3\n", false)
	f.Add("1:2 3:4\n", true)
	f.Add("1 16777216:1\n", false)
	f.Add("1 3:1 2:1\n", false)
	f.Add("1 0:1\n", false)
	f.Fuzz(func(t *testing.T, text string, unlabeled bool) {
		rows, cells, width, err := readLIBSVM(strings.NewReader(text), unlabeled)
		if err != nil {
			return
		}
		if rows.len() != len(cells) || width < 1 || width > maxLIBSVMIndex {
			t.Fatalf("accepted %d rows, %d labels, %d features", rows.len(), len(cells), width)
		}
		for r := range rows.len() {
			previous := int32(-1)
			for _, c := range rows.col[rows.start[r]:rows.start[r+1]] {
				if c <= previous || int(c) >= width {
					t.Fatalf("row %d: accepted column %d after %d, of %d", r, c, previous, width)
				}
				previous = c
			}
		}
		if !unlabeled {
			checkLabels(t, cells)
		}
	})
}

// checkLabels requires accepted labels to lie in the range of the classes.
func checkLabels(t *testing.T, cells []string) {
	for _, task := range []Task{Auto, Classify, Regress} {
		l, err := textLabels(cells, Options{Task: task})
		if err != nil {
			continue
		}
		for i, c := range l.class {
			if c < 0 || int(c) >= len(l.names) {
				t.Errorf("label of example %d: got class %d of %d", i, c, len(l.names))
			}
		}
	}
}
