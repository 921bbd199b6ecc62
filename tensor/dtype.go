// Package tensor holds n-dimensional arrays and the number types of ONNX.
//
// A [Tensor] is a number type, a shape and bytes: row-major, little-endian,
// 4-bit and 2-bit elements packed low bits first, exactly as ONNX stores
// raw_data. A model's weights therefore stay where the file was read, and a
// typed view ([Data]) costs nothing.
package tensor

import (
	"fmt"
	"math"
)

// DType is the type of one element. The values are those of ONNX's
// TensorProto.DataType.
type DType uint8

// The number types, by their ONNX codes.
const (
	Undefined      DType = 0
	Float32        DType = 1
	Uint8          DType = 2
	Int8           DType = 3
	Uint16         DType = 4
	Int16          DType = 5
	Int32          DType = 6
	Int64          DType = 7
	String         DType = 8
	Bool           DType = 9
	Float16        DType = 10
	Float64        DType = 11
	Uint32         DType = 12
	Uint64         DType = 13
	Complex64      DType = 14
	Complex128     DType = 15
	BFloat16       DType = 16
	Float8E4M3FN   DType = 17
	Float8E4M3FNUZ DType = 18
	Float8E5M2     DType = 19
	Float8E5M2FNUZ DType = 20
	Uint4          DType = 21
	Int4           DType = 22
	Float4E2M1     DType = 23
	Float8E8M0     DType = 24
	Uint2          DType = 25
	Int2           DType = 26
)

type kind uint8

const (
	other kind = iota
	signed
	unsigned
	float
	complexKind
)

type dtypeInfo struct {
	name string
	bits int
	kind kind
}

var dtypes = [...]dtypeInfo{
	Undefined:      {"undefined", 0, other},
	Float32:        {"float32", 32, float},
	Uint8:          {"uint8", 8, unsigned},
	Int8:           {"int8", 8, signed},
	Uint16:         {"uint16", 16, unsigned},
	Int16:          {"int16", 16, signed},
	Int32:          {"int32", 32, signed},
	Int64:          {"int64", 64, signed},
	String:         {"string", 0, other},
	Bool:           {"bool", 8, other},
	Float16:        {"float16", 16, float},
	Float64:        {"float64", 64, float},
	Uint32:         {"uint32", 32, unsigned},
	Uint64:         {"uint64", 64, unsigned},
	Complex64:      {"complex64", 64, complexKind},
	Complex128:     {"complex128", 128, complexKind},
	BFloat16:       {"bfloat16", 16, float},
	Float8E4M3FN:   {"float8e4m3fn", 8, float},
	Float8E4M3FNUZ: {"float8e4m3fnuz", 8, float},
	Float8E5M2:     {"float8e5m2", 8, float},
	Float8E5M2FNUZ: {"float8e5m2fnuz", 8, float},
	Uint4:          {"uint4", 4, unsigned},
	Int4:           {"int4", 4, signed},
	Float4E2M1:     {"float4e2m1", 4, float},
	Float8E8M0:     {"float8e8m0", 8, float},
	Uint2:          {"uint2", 2, unsigned},
	Int2:           {"int2", 2, signed},
}

// Valid reports whether d is a defined element type.
func (d DType) Valid() bool { return d != Undefined && int(d) < len(dtypes) }

func (d DType) String() string {
	if int(d) < len(dtypes) {
		return dtypes[d].name
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// Bits is the stored width of one element; 0 for strings and [Undefined].
func (d DType) Bits() int {
	if int(d) < len(dtypes) {
		return dtypes[d].bits
	}
	return 0
}

// IsFloat reports whether d is a real floating-point type of any width.
func (d DType) IsFloat() bool { return d.Valid() && dtypes[d].kind == float }

// IsInteger reports whether d is a signed or unsigned integer (not Bool).
func (d DType) IsInteger() bool {
	return d.Valid() && (dtypes[d].kind == signed || dtypes[d].kind == unsigned)
}

// IsSigned reports whether d is a signed integer.
func (d DType) IsSigned() bool { return d.Valid() && dtypes[d].kind == signed }

// IsComplex reports whether d is a complex type.
func (d DType) IsComplex() bool { return d.Valid() && dtypes[d].kind == complexKind }

// IntRange returns the smallest and largest value of an integer type of at
// most 32 bits, and (0, 0) for every other type.
func (d DType) IntRange() (lo, hi int64) {
	if !d.IsInteger() || d.Bits() > 32 {
		return 0, 0
	}
	if d.IsSigned() {
		half := int64(1) << (d.Bits() - 1)
		return -half, half - 1
	}
	return 0, int64(1)<<d.Bits() - 1
}

// ByteSize returns the bytes that n elements of d take, packed elements
// rounded up to whole bytes. It reports false if the count is negative or the
// size overflows an int.
func (d DType) ByteSize(n int) (int, bool) {
	bits := d.Bits()
	if n < 0 || (bits > 0 && n > (math.MaxInt-7)/bits) {
		return 0, false
	}
	return (n*bits + 7) / 8, true
}

// ParseDType returns the type with the given lower-case name.
func ParseDType(name string) (DType, error) {
	for d, info := range dtypes {
		if info.name == name && d != 0 {
			return DType(d), nil
		}
	}
	return Undefined, fmt.Errorf("parse number type %q: unknown name", name)
}
