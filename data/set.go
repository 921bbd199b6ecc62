package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math"
	"slices"
)

// Set is a sequence of examples, with class labels, numeric targets or neither.
//
// A Set is immutable and safe for concurrent use. Sets derived from it by
// [Set.Subset], [Set.Adapt] or [Split] share its storage.
type Set struct {
	name        string
	rows        store
	index       []int32 // rows[index[i]] is example i; nil means all rows in order
	shape       []int   // as presented
	storedShape []int   // as stored
	layout      layout  // from stored to presented order
	scale       scaling
	vary        *varying    // nil: as stored
	augment     *augmenting // nil: as stored or varied
	labels      labels
	features    []string // names of the columns of a table, if it has them

	parts []*part // the inputs of a model that has several; rows is nil then
	count int     // of examples in the parts
}

// labels describes what is known of each stored row.
type labels struct {
	class   []int32   // class index per row; nil unless the labels are classes
	target  []float64 // numeric label per row; nil when labels are text or absent
	names   []string  // name of each class
	mapping string    // how file labels became class indices; "" when they are the indices
	note    string
}

// Name describes the origin of the set, for messages.
func (s *Set) Name() string { return s.name }

// Len is the number of examples.
func (s *Set) Len() int {
	switch {
	case s.index != nil:
		return len(s.index)
	case s.parts != nil:
		return s.count
	}
	return s.rows.len()
}

// Shape is the shape of one example as [Set.Fill] writes it: [1, 28, 28] for a
// grey image, [3, 32, 32] for a colour image, [features] for a table row. It is nil
// if the examples have arrays for several inputs: they are written by [Set.Stack].
func (s *Set) Shape() []int { return slices.Clone(s.shape) }

// StoredBytes is the memory that the stored examples take, those that the set does
// not show included.
func (s *Set) StoredBytes() int {
	stored := 0
	for _, p := range s.parts {
		stored += len(p.data.Raw())
	}
	if s.rows != nil {
		stored = s.rows.bytes()
	}
	return stored + 4*(len(s.index)+len(s.labels.class)) + 8*len(s.labels.target)
}

// SharesStorage reports whether two sets show parts of the same stored examples.
func (s *Set) SharesStorage(t *Set) bool {
	if s.parts != nil || t.parts != nil {
		return s.parts != nil && t.parts != nil && s.parts[0] == t.parts[0]
	}
	return s.rows.same(t.rows)
}

// Size is the number of values in one example, the product of Shape.
func (s *Set) Size() int { return product(s.shape) }

// Labeled reports whether examples have a class or a target.
func (s *Set) Labeled() bool { return s.labels.class != nil || s.labels.target != nil }

// Classes is the number of classes, and 0 for regression and unlabelled sets.
func (s *Set) Classes() int {
	if s.labels.class == nil {
		return 0
	}
	return len(s.labels.names)
}

// ClassNames names the classes in label order.
func (s *Set) ClassNames() []string { return slices.Clone(s.labels.names) }

// FeatureNames names the values of an example, or is nil if the source has no names.
func (s *Set) FeatureNames() []string { return slices.Clone(s.features) }

// Label is the class of example i, in [0, Classes()), and −1 without classes.
func (s *Set) Label(i int) int {
	if s.labels.class == nil {
		return -1
	}
	return int(s.labels.class[s.row(i)])
}

// Target is the numeric label of example i as the file has it. Where labels are
// text it is the class index, and without labels it is NaN.
func (s *Set) Target(i int) float64 {
	switch {
	case s.labels.target != nil:
		return s.labels.target[s.row(i)]
	case s.labels.class != nil:
		return float64(s.labels.class[s.row(i)])
	}
	return math.NaN()
}

// Fill writes example i, scaled, in Shape order. dst holds at least Size values.
func (s *Set) Fill(dst []float32, i int) {
	switch {
	case s.augment != nil:
		s.augment.fill(s, dst, i)
		return
	case s.vary != nil:
		s.vary.fill(s, dst, i)
		return
	}
	s.rows.fill32(dst[:s.Size()], s.row(i), s.layout, &s.scale)
}

// Fill64 is [Set.Fill] in double precision: tables and integer features keep
// every digit.
func (s *Set) Fill64(dst []float64, i int) {
	s.rows.fill64(dst[:s.Size()], s.row(i), s.layout, &s.scale)
}

func (s *Set) row(i int) int {
	if s.index != nil {
		return int(s.index[i])
	}
	return i
}

// Subset is the examples idx of s, in that order; an index may repeat. It shares
// the storage of s and panics if an index is outside [0, Len()).
func (s *Set) Subset(idx []int) *Set {
	t := *s
	n := s.Len()
	t.index = make([]int32, len(idx))
	for k, i := range idx {
		if i < 0 || i >= n {
			panic(fmt.Sprintf("data: subset of %q: index %d, want 0 to %d", s.name, i, n-1))
		}
		t.index[k] = int32(s.row(i))
	}
	return &t
}

// Unlabeled is s without its labels.
func (s *Set) Unlabeled() *Set {
	t := *s
	t.labels = labels{}
	return &t
}

// Hash is the SHA-256, in hexadecimal, of everything a model can see of the set:
// stored values, labels, class names, shape and normalisation. Names and paths do not count.
func (s *Set) Hash() string {
	h := sha256.New()
	if s.parts != nil {
		return s.hashParts(h)
	}
	fmt.Fprintf(h, "set v1\nelements %s\nshape %v\nlayout %v\nscale %v\nclasses %q\nexamples %d\n",
		s.rows.kind(), s.shape, s.layout, s.scale, s.labels.names, s.Len())
	if s.vary != nil {
		fmt.Fprintf(h, "vary %+v\n", *s.vary)
	}
	if v := s.augment; v != nil {
		fmt.Fprintf(h, "augment %d %q %+v\n", v.seed, v.purpose, v.a)
	}
	for i := range s.Len() {
		s.rows.hashRow(h, s.row(i))
	}
	s.hashLabels(h)
	return hex.EncodeToString(h.Sum(nil))
}

// hashParts is [Set.Hash] of a set of several inputs.
func (s *Set) hashParts(h hash.Hash) string {
	fmt.Fprintf(h, "inputs v1\nclasses %q\nexamples %d\n", s.labels.names, s.Len())
	for _, p := range s.parts {
		fmt.Fprintf(h, "input %q\ntype %v\nshape %v\naxis %d\n", p.Name, p.data.DType(), p.shape, p.axis)
		each := len(p.data.Raw()) / p.data.Shape()[0]
		for i := range s.Len() {
			h.Write(p.data.Raw()[p.row(s, i)*each:][:each])
		}
	}
	s.hashLabels(h)
	return hex.EncodeToString(h.Sum(nil))
}

func (s *Set) hashLabels(h hash.Hash) {
	if !s.Labeled() {
		return
	}
	for i := range s.Len() {
		hashNumber(h, math.Float64bits(s.Target(i)))
		hashNumber(h, uint64(s.Label(i)))
	}
}

func hashNumber(w io.Writer, v uint64) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], v)
	w.Write(b[:])
}

func product(shape []int) int {
	n := 1
	for _, d := range shape {
		n *= d
	}
	return n
}
