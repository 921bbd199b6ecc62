package data

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"regexp"
	"strings"
)

// idxArray is an n-d array of the IDX format: two zero bytes, the element type,
// the number of dimensions, each dimension as a big-endian uint32, the elements
// in C order, big-endian.
//
// Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of
// handwritten digits", section "The IDX file format".
type idxArray struct {
	elem byte
	dims []int
	raw  []byte // product(dims) elements
}

var idxSize = map[byte]int{0x08: 1, 0x09: 1, 0x0b: 2, 0x0c: 4, 0x0d: 4, 0x0e: 8}

// readIDX reads one array and requires the input to end with it.
func readIDX(r io.Reader) (idxArray, error) {
	var head [4]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		return idxArray{}, short(err, int64(n), 4)
	}
	a := idxArray{elem: head[2]}
	size, ok := idxSize[a.elem]
	if head[0] != 0 || head[1] != 0 || !ok {
		return idxArray{}, fmt.Errorf("magic number: got %#08x, want 0x0000TTDD with element type TT 08, 09, 0b, 0c, 0d or 0e",
			binary.BigEndian.Uint32(head[:]))
	}
	const maxRank = 8
	rank := int(head[3])
	if rank < 1 || rank > maxRank {
		return idxArray{}, fmt.Errorf("dimensions: got %d, want 1 to %d", rank, maxRank)
	}
	count := int64(size)
	for d := range rank {
		var b [4]byte
		if n, err := io.ReadFull(r, b[:]); err != nil {
			return idxArray{}, fmt.Errorf("dimension %d: %w", d+1, short(err, int64(n), 4))
		}
		dim := int64(binary.BigEndian.Uint32(b[:]))
		if dim == 0 {
			return idxArray{}, fmt.Errorf("dimension %d: got 0, want at least 1", d+1)
		}
		if count > math.MaxInt64/dim {
			return idxArray{}, fmt.Errorf("dimension %d: got %d, product overflows", d+1, dim)
		}
		a.dims = append(a.dims, int(dim))
		count *= dim
	}
	var err error
	if a.raw, err = readAll(r, count); err != nil {
		return idxArray{}, fmt.Errorf("elements of shape %v: %w", a.dims, err)
	}
	if n, _ := io.ReadFull(r, head[:1]); n > 0 {
		return idxArray{}, fmt.Errorf("elements of shape %v: data goes on after %d bytes", a.dims, count)
	}
	return a, nil
}

// rows is the array as a store with one row per first index.
func (a idxArray) rows() store {
	size := product(a.dims[1:])
	switch be := binary.BigEndian; a.elem {
	case 0x08:
		return dense[uint8]{a.raw, size}
	case 0x09:
		return dense[int8]{decode(a.raw, 1, func(b []byte) int8 { return int8(b[0]) }), size}
	case 0x0b:
		return dense[int16]{decode(a.raw, 2, func(b []byte) int16 { return int16(be.Uint16(b)) }), size}
	case 0x0c:
		return dense[int32]{decode(a.raw, 4, func(b []byte) int32 { return int32(be.Uint32(b)) }), size}
	case 0x0d:
		return dense[float32]{decode(a.raw, 4, func(b []byte) float32 { return math.Float32frombits(be.Uint32(b)) }), size}
	default: // readIDX admits no other type than 0x0e
		return dense[float64]{decode(a.raw, 8, func(b []byte) float64 { return math.Float64frombits(be.Uint64(b)) }), size}
	}
}

// decode converts raw, elements of the given size in bytes, one by one.
func decode[T number](raw []byte, size int, elem func([]byte) T) []T {
	out := make([]T, len(raw)/size)
	for i := range out {
		out[i] = elem(raw[i*size:])
	}
	return out
}

// idxPair is the files of one split; labels is empty if there are none.
type idxPair struct{ images, labels string }

var idxImages = regexp.MustCompile(`^(.*)-images[-.]idx\d-ubyte(\.gz)?$`)

// findIDX finds the image files among names and their label files, keyed
// "train" and "test". MNIST calls its test split t10k.
func findIDX(names []string) (map[string]idxPair, error) {
	pairs := map[string]idxPair{}
	for _, name := range names {
		m := idxImages.FindStringSubmatch(name)
		if m == nil {
			continue
		}
		split := "train"
		if strings.Contains(m[1], "t10k") || strings.Contains(m[1], "test") {
			split = "test"
		}
		if old, ok := pairs[split]; ok {
			if strings.TrimSuffix(old.images, ".gz") == strings.TrimSuffix(name, ".gz") {
				continue // names are sorted: the plain file comes before the compressed one
			}
			return nil, fmt.Errorf("two %s image files: %q and %q", split, old.images, name)
		}
		label := regexp.MustCompile(`^` + regexp.QuoteMeta(m[1]) + `-labels[-.]idx\d-ubyte(\.gz)?$`)
		pair := idxPair{images: name}
		for _, n := range names {
			if pair.labels == "" && label.MatchString(n) {
				pair.labels = n
			}
		}
		pairs[split] = pair
	}
	return pairs, nil
}

// openIDX reads the splits of a folder.
func openIDX(dir string, files map[string]idxPair, o Options, unlabeled bool) (Source, error) {
	sets := map[string]*Set{}
	for _, split := range []string{"train", "test"} {
		pair, ok := files[split]
		if !ok {
			continue
		}
		set, err := readIDXPair(dir, split, pair, o, unlabeled)
		if err != nil {
			return Source{}, err
		}
		sets[split] = set
	}
	return pairSource(sets["train"], sets["test"])
}

// readIDXPair reads one split: [N, H, W] bytes become examples [1, H, W].
func readIDXPair(dir, split string, pair idxPair, o Options, unlabeled bool) (*Set, error) {
	images, err := readIDXFile(filepath.Join(dir, pair.images), o)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, pair.images)
	if len(images.dims) < 2 {
		return nil, fmt.Errorf("read idx %q: dimensions: got %v, want examples of at least one dimension", path, images.dims)
	}
	var l labels
	if !unlabeled {
		if pair.labels == "" {
			return nil, fmt.Errorf("read idx %q: no label file beside it; use %s%s to do without", path, unlabeledPrefix, dir)
		}
		if l, err = readIDXLabels(filepath.Join(dir, pair.labels), images.dims[0], o); err != nil {
			return nil, err
		}
	}
	shape := images.dims[1:]
	if len(shape) == 2 {
		shape = []int{1, shape[0], shape[1]}
	}
	rows := images.rows()
	if err := checkFinite(rows); err != nil {
		return nil, fmt.Errorf("read idx %q: %w", path, err)
	}
	isImage := images.elem == 0x08 && len(shape) >= 2
	return newSet(dir+" "+split, rows, shape, isImage, l, o)
}

func readIDXLabels(path string, count int, o Options) (labels, error) {
	a, err := readIDXFile(path, o)
	if err != nil {
		return labels{}, err
	}
	if product(a.dims) != a.dims[0] || a.elem >= 0x0d {
		return labels{}, fmt.Errorf("read idx %q: labels: got element type %#02x and shape %v, want one integer per example", path, a.elem, a.dims)
	}
	if a.dims[0] != count {
		return labels{}, fmt.Errorf("read idx %q: count: got %d labels, want %d", path, a.dims[0], count)
	}
	values := make([]int64, count)
	rows, cell := a.rows(), make([]float64, 1)
	for i := range values {
		rows.fill64(cell, i, layout{Major: 1, Minor: 1, StepB: 1}, &scaling{Div: 1})
		values[i] = int64(cell[0])
	}
	l, err := indexLabels(values)
	if err == nil {
		err = l.checkNames(o)
	}
	if err != nil {
		return labels{}, fmt.Errorf("read idx %q: %w", path, err)
	}
	return l, nil
}

func readIDXFile(path string, o Options) (idxArray, error) {
	in, err := openInput(path, o.maxBytes())
	if err != nil {
		return idxArray{}, err
	}
	defer in.Close()
	a, err := readIDX(in)
	if err != nil {
		return idxArray{}, fmt.Errorf("read idx %q: %w", path, err)
	}
	return a, nil
}

// pairSource joins the two splits of a source; one may be missing. Both get the
// classes of either.
func pairSource(train, test *Set) (Source, error) {
	switch {
	case train == nil:
		return Source{Train: test}, nil
	case test == nil:
		return Source{Train: train}, nil
	}
	if got, want := fmt.Sprint(test.shape), fmt.Sprint(train.shape); got != want {
		return Source{}, fmt.Errorf("open data %q: shape of an example: got %v, want %v as in %q", test.name, got, want, train.name)
	}
	joinClasses(&train.labels, &test.labels)
	return Source{Train: train, Test: test}, nil
}
