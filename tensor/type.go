package tensor

import (
	"fmt"
	"slices"
	"strings"
)

// Dim is one axis of a [Type]: a known size, or a symbol such as "N", or
// unknown altogether. The zero value is a known size of 0.
type Dim struct {
	Size int    // ≥ 0 when known, negative when not
	Name string // the symbol of an unknown size; "" if it has none
}

// Fixed is a dimension of known size.
func Fixed(n int) Dim { return Dim{Size: n} }

// Symbol is a dimension known by name only; two dimensions of one symbol are
// equal.
func Symbol(name string) Dim { return Dim{Size: -1, Name: name} }

// Unknown is a dimension of which nothing is known.
func Unknown() Dim { return Dim{Size: -1} }

// Known reports whether the size is known.
func (d Dim) Known() bool { return d.Size >= 0 }

// Same reports whether the two sizes are certainly equal.
func (d Dim) Same(e Dim) bool {
	if d.Known() || e.Known() {
		return d.Size == e.Size
	}
	return d.Name != "" && d.Name == e.Name
}

func (d Dim) String() string {
	switch {
	case d.Known():
		return fmt.Sprint(d.Size)
	case d.Name != "":
		return d.Name
	}
	return "?"
}

// Type is what is known of a tensor before it exists: its number type and its
// shape. A nil Shape means an unknown rank; an empty one a scalar.
type Type struct {
	DType DType
	Shape []Dim
}

// TypeOf builds a type of known sizes.
func TypeOf(d DType, shape ...int) Type {
	t := Type{DType: d, Shape: make([]Dim, len(shape))}
	for i, n := range shape {
		t.Shape[i] = Fixed(n)
	}
	return t
}

// Ranked reports whether the number of axes is known.
func (t Type) Ranked() bool { return t.Shape != nil }

// Rank is the number of axes; -1 when unknown.
func (t Type) Rank() int {
	if t.Shape == nil {
		return -1
	}
	return len(t.Shape)
}

// Static returns the sizes if all are known.
func (t Type) Static() ([]int, bool) {
	if t.Shape == nil {
		return nil, false
	}
	sizes := make([]int, len(t.Shape))
	for i, d := range t.Shape {
		if !d.Known() {
			return nil, false
		}
		sizes[i] = d.Size
	}
	return sizes, true
}

// With returns the type with another number type.
func (t Type) With(d DType) Type { return Type{DType: d, Shape: t.Shape} }

// Equal reports whether both types say exactly the same.
func (t Type) Equal(u Type) bool {
	return t.DType == u.DType && (t.Shape == nil) == (u.Shape == nil) && slices.Equal(t.Shape, u.Shape)
}

func (t Type) String() string {
	if t.Shape == nil {
		return t.DType.String() + "[...]"
	}
	parts := make([]string, len(t.Shape))
	for i, d := range t.Shape {
		parts[i] = d.String()
	}
	return t.DType.String() + "[" + strings.Join(parts, ",") + "]"
}
