package tensor

import (
	"fmt"
	"math"
)

// At decodes element i (row-major) of a real or Boolean tensor. 64-bit integers
// beyond 2^53 lose their low bits; use [Data] for those.
func (t Tensor) At(i int) float64 {
	switch t.dtype {
	case Float32:
		return float64(Data[float32](t)[i])
	case Float64:
		return Data[float64](t)[i]
	case Float16, BFloat16:
		return decodeSmall(t.dtype, Data[uint16](t)[i])
	case Int32:
		return float64(Data[int32](t)[i])
	case Int64:
		return float64(Data[int64](t)[i])
	case Int16:
		return float64(Data[int16](t)[i])
	case Uint16:
		return float64(Data[uint16](t)[i])
	case Uint32:
		return float64(Data[uint32](t)[i])
	case Uint64:
		return float64(Data[uint64](t)[i])
	case Int8:
		return float64(int8(t.raw[i]))
	case Uint8:
		return float64(t.raw[i])
	case Bool:
		if t.raw[i] != 0 {
			return 1
		}
		return 0
	}
	if t.dtype.IsInteger() {
		return float64(t.packed(i))
	}
	if t.dtype == Float4E2M1 {
		return decodeSmall(t.dtype, uint16(t.raw[i/2]>>(4*(i%2))&15))
	}
	return decodeSmall(t.dtype, uint16(t.raw[i]))
}

// packed decodes element i of a 2- or 4-bit integer tensor, low bits first.
func (t Tensor) packed(i int) int {
	bits := t.dtype.Bits()
	per := 8 / bits
	v := int(t.raw[i/per]>>(bits*(i%per))) & (1<<bits - 1)
	if t.dtype.IsSigned() && v >= 1<<(bits-1) {
		v -= 1 << bits
	}
	return v
}

// Set encodes v into element i: integers round half to even and saturate,
// floats round to the nearest representable value.
func (t Tensor) Set(i int, v float64) {
	switch t.dtype {
	case Float32:
		Data[float32](t)[i] = float32(v)
	case Float64:
		Data[float64](t)[i] = v
	case Float16, BFloat16:
		Data[uint16](t)[i] = encodeSmall(t.dtype, v)
	case Int64:
		Data[int64](t)[i] = saturateInt64(v)
	case Uint64:
		Data[uint64](t)[i] = saturateUint64(v)
	case Bool:
		t.raw[i] = 0
		if v != 0 {
			t.raw[i] = 1
		}
	case Float4E2M1:
		t.setBits(i, 4, byte(encodeSmall(t.dtype, v)))
	default:
		if t.dtype.IsInteger() {
			t.setInteger(i, v)
			return
		}
		t.raw[i] = byte(encodeSmall(t.dtype, v))
	}
}

func (t Tensor) setInteger(i int, v float64) {
	lo, hi := t.dtype.IntRange()
	n := int64(max(float64(lo), min(float64(hi), math.RoundToEven(v))))
	if v != v {
		n = 0
	}
	switch t.dtype.Bits() {
	case 32:
		Data[uint32](t)[i] = uint32(n)
	case 16:
		Data[uint16](t)[i] = uint16(n)
	case 8:
		t.raw[i] = byte(n)
	default:
		t.setBits(i, t.dtype.Bits(), byte(n))
	}
}

func (t Tensor) setBits(i, bits int, v byte) {
	per := 8 / bits
	shift := bits * (i % per)
	mask := byte(1<<bits-1) << shift
	t.raw[i/per] = t.raw[i/per]&^mask | v<<shift&mask
}

func saturateInt64(v float64) int64 {
	switch {
	case v != v:
		return 0
	case v >= 1<<63:
		return math.MaxInt64
	case v <= -1<<63:
		return math.MinInt64
	}
	return int64(math.RoundToEven(v))
}

func saturateUint64(v float64) uint64 {
	switch {
	case !(v > 0):
		return 0
	case v >= 1<<64:
		return math.MaxUint64
	}
	return uint64(math.RoundToEven(v))
}

// Float64s decodes every element of a real or Boolean tensor.
func (t Tensor) Float64s() []float64 {
	out := make([]float64, t.Len())
	for i := range out {
		out[i] = t.At(i)
	}
	return out
}

// Float32s decodes every element; a float32 tensor is viewed, not copied.
func (t Tensor) Float32s() []float32 {
	if t.dtype == Float32 {
		return Data[float32](t)
	}
	out := make([]float32, t.Len())
	for i := range out {
		out[i] = float32(t.At(i))
	}
	return out
}

// Int64s decodes an integer or Boolean tensor. The error names the type found.
func (t Tensor) Int64s() ([]int64, error) {
	if !t.dtype.IsInteger() && t.dtype != Bool {
		return nil, fmt.Errorf("integers of tensor %v: got %v, want an integer type", t, t.dtype)
	}
	if t.dtype == Int64 {
		return Data[int64](t), nil
	}
	out := make([]int64, t.Len())
	for i := range out {
		out[i] = int64(t.At(i))
	}
	return out, nil
}

// Convert returns the elements in another real number type: integers round half
// to even and saturate, floats round to nearest. The same type is returned as
// it is, shared.
func (t Tensor) Convert(d DType) (Tensor, error) {
	if d == t.dtype {
		return t, nil
	}
	if !convertible(t.dtype) || !convertible(d) {
		return Tensor{}, fmt.Errorf("convert tensor %v to %v: not a real number type", t, d)
	}
	out := New(d, t.shape...)
	if t.dtype.IsInteger() && d.IsInteger() && t.dtype.Bits() == 64 {
		return out, t.convertWide(out)
	}
	for i, n := 0, t.Len(); i < n; i++ {
		out.Set(i, t.At(i))
	}
	return out, nil
}

// convertWide saturates 64-bit integers without a detour through float64.
func (t Tensor) convertWide(out Tensor) error {
	for i, n := 0, t.Len(); i < n; i++ {
		switch {
		case t.dtype == Int64 && out.dtype == Uint64:
			Data[uint64](out)[i] = uint64(max(0, Data[int64](t)[i]))
		case t.dtype == Uint64 && out.dtype == Int64:
			Data[int64](out)[i] = int64(min(math.MaxInt64, Data[uint64](t)[i]))
		default:
			out.Set(i, t.At(i))
		}
	}
	return nil
}

func convertible(d DType) bool { return d == Bool || d.IsFloat() || d.IsInteger() }
