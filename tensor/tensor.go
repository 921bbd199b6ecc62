package tensor

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"unsafe"
)

// Tensor is an n-dimensional array. Copying the struct shares the elements.
// The zero Tensor stands for "no tensor": it has type [Undefined].
type Tensor struct {
	dtype DType
	shape []int
	raw   []byte
	text  []string
}

// Element is a Go type that can view a tensor's bytes directly.
type Element interface {
	~float32 | ~float64 | ~int8 | ~int16 | ~int32 | ~int64 |
		~uint8 | ~uint16 | ~uint32 | ~uint64 | ~bool | ~complex64 | ~complex128
}

// Size is the number of elements of a shape. It reports false for a negative
// size and for a product that overflows.
func Size(shape []int) (int, bool) {
	n := 1
	for _, d := range shape {
		if d < 0 {
			return 0, false
		}
		if d != 0 && n > math.MaxInt/d {
			return 0, false
		}
		n *= d
	}
	return n, true
}

// New returns a tensor of zeros (false, or empty strings). It panics if the
// shape is negative or its size overflows: check foreign shapes with [Size].
func New(d DType, shape ...int) Tensor {
	n, ok := Size(shape)
	size, fits := d.ByteSize(n)
	if !ok || !fits {
		panic(fmt.Sprintf("tensor: new %v%v: size out of range", d, shape))
	}
	t := Tensor{dtype: d, shape: slices.Clone(shape)}
	if d == String {
		t.text = make([]string, n)
		return t
	}
	t.raw = Bytes(size)
	return t
}

// Bytes allocates zeroed memory whose address is a multiple of 64: a cache line,
// and the widest vector.
func Bytes(size int) []byte {
	const line = 64
	raw := make([]byte, size+line)
	adviseHuge(raw)
	skip := -int(uintptr(unsafe.Pointer(&raw[0]))) & (line - 1)
	return raw[skip : skip+size : skip+size]
}

// FromRaw makes a tensor of bytes already in ONNX's raw layout, without a
// copy. The error says what size was expected. Only Booleans with bytes other
// than 0 and 1 are copied, to make them 1: a Go bool must be one of the two.
func FromRaw(d DType, shape []int, raw []byte) (Tensor, error) {
	if !d.Valid() || d == String {
		return Tensor{}, fmt.Errorf("tensor %v%v: no raw layout for this number type", d, shape)
	}
	n, ok := Size(shape)
	size, fits := d.ByteSize(n)
	if !ok || !fits {
		return Tensor{}, fmt.Errorf("tensor %v%v: shape is negative or too large", d, shape)
	}
	if len(raw) != size {
		return Tensor{}, fmt.Errorf("tensor %v%v: data: got %d bytes, want %d", d, shape, len(raw), size)
	}
	t := Tensor{dtype: d, shape: slices.Clone(shape), raw: raw}
	if d == Bool && slices.ContainsFunc(raw, func(b byte) bool { return b > 1 }) {
		t = t.Clone()
		for i, b := range t.raw {
			t.raw[i] = min(b, 1)
		}
	}
	return t, nil
}

// FromStrings makes a string tensor.
func FromStrings(shape []int, text []string) (Tensor, error) {
	n, ok := Size(shape)
	if !ok || n != len(text) {
		return Tensor{}, fmt.Errorf("tensor string%v: got %d strings, want %d", shape, len(text), n)
	}
	return Tensor{dtype: String, shape: slices.Clone(shape), text: text}, nil
}

// Of makes a tensor over data, shared and not copied; the shape's size must be
// len(data), or it panics.
func Of[T Element](data []T, shape ...int) Tensor {
	if n, ok := Size(shape); !ok || n != len(data) {
		panic(fmt.Sprintf("tensor: shape %v does not hold %d elements", shape, len(data)))
	}
	var zero T
	t := Tensor{dtype: dtypeOf[T](), shape: slices.Clone(shape), raw: []byte{}}
	if len(data) > 0 {
		t.raw = unsafe.Slice((*byte)(unsafe.Pointer(&data[0])), len(data)*int(unsafe.Sizeof(zero)))
	}
	return t
}

// Scalar makes a tensor of rank 0.
func Scalar[T Element](v T) Tensor { return Of([]T{v}) }

// Ints makes an int64 vector, the form in which ONNX passes shapes and axes.
func Ints(v ...int) Tensor {
	data := make([]int64, len(v))
	for i, x := range v {
		data[i] = int64(x)
	}
	return Of(data, len(data))
}

func dtypeOf[T Element]() DType {
	var zero T
	switch any(zero).(type) {
	case float32:
		return Float32
	case float64:
		return Float64
	case int8:
		return Int8
	case int16:
		return Int16
	case int32:
		return Int32
	case int64:
		return Int64
	case uint8:
		return Uint8
	case uint16:
		return Uint16
	case uint32:
		return Uint32
	case uint64:
		return Uint64
	case bool:
		return Bool
	case complex64:
		return Complex64
	case complex128:
		return Complex128
	}
	panic(fmt.Sprintf("tensor: no number type for %T", zero))
}

// Data views the elements as a slice of T without a copy. It panics if an
// element's width differs from T's: a caller switches on [Tensor.DType] first.
// Types without a Go counterpart are viewed by width, float16 as uint16.
func Data[T Element](t Tensor) []T {
	var zero T
	if t.dtype.Bits() != 8*int(unsafe.Sizeof(zero)) {
		panic(fmt.Sprintf("tensor: view of %v as %T", t.dtype, zero))
	}
	return View[T](t.raw)
}

// View sees bytes as elements of T; a rest too short for one element is left out.
func View[T Element](raw []byte) []T {
	var zero T
	n := len(raw) / int(unsafe.Sizeof(zero))
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&raw[0])), n)
}

// DType is the element type.
func (t Tensor) DType() DType { return t.dtype }

// Shape is the sizes of the axes; the caller must not modify it.
func (t Tensor) Shape() []int { return t.shape }

// Rank is the number of axes.
func (t Tensor) Rank() int { return len(t.shape) }

// Len is the number of elements.
func (t Tensor) Len() int {
	n := 1
	for _, d := range t.shape {
		n *= d
	}
	return n
}

// Raw is the elements' bytes in ONNX's raw layout (nil for strings), shared.
func (t Tensor) Raw() []byte { return t.raw }

// Strings is the elements of a string tensor, shared.
func (t Tensor) Strings() []string { return t.text }

// IsZero reports whether t is the zero Tensor, which stands for an omitted one.
func (t Tensor) IsZero() bool { return t.dtype == Undefined }

// Type is the tensor's static type.
func (t Tensor) Type() Type { return TypeOf(t.dtype, t.shape...) }

// Reshape views the same elements in another shape of the same size.
func (t Tensor) Reshape(shape ...int) (Tensor, error) {
	if n, ok := Size(shape); !ok || n != t.Len() {
		return Tensor{}, fmt.Errorf("reshape %v: got %v, want a shape of %d elements", t.Type(), shape, t.Len())
	}
	t.shape = slices.Clone(shape)
	return t, nil
}

// As views the same elements in a shape of the same size, which is shared and
// not checked: the engine binds shapes once and reshapes without allocating.
func (t Tensor) As(shape []int) Tensor {
	t.shape = shape
	return t
}

// Clone copies the elements.
func (t Tensor) Clone() Tensor {
	c := t
	c.shape = slices.Clone(t.shape)
	if t.dtype == String {
		c.text = slices.Clone(t.text)
		return c
	}
	c.raw = Bytes(len(t.raw))
	copy(c.raw, t.raw)
	return c
}

// Equal reports whether type, shape and every byte agree; NaN equals the same
// NaN.
func (t Tensor) Equal(u Tensor) bool {
	return t.dtype == u.dtype && slices.Equal(t.shape, u.shape) &&
		bytes.Equal(t.raw, u.raw) && slices.Equal(t.text, u.text)
}

func (t Tensor) String() string { return t.Type().String() }
