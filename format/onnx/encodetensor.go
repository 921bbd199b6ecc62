package onnx

import (
	"encoding/binary"
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// tensor is a TensorProto. Its data may go to the second file if it is a
// parameter's.
func (e *encoder) tensor(name, doc string, t tensor.Tensor, isParam bool) *message {
	var m message
	dims := make([]int64, t.Rank())
	for i, n := range t.Shape() {
		dims[i] = int64(n)
	}
	m.ints(tensorDims, dims, e.compact)
	m.varint(tensorDType, uint64(t.DType()))
	m.text(tensorName, name)
	m.text(tensorDoc, doc)
	switch {
	case t.DType() == tensor.String:
		for _, s := range t.Strings() {
			m.element(tensorStrings, s)
		}
	case isParam && e.external != nil && len(t.Raw()) >= minExternal:
		offset := e.external.add(t.Raw())
		m.child(tensorExternal, entry("location", e.external.location))
		m.child(tensorExternal, entry("offset", strconv.Itoa(offset)))
		m.child(tensorExternal, entry("length", strconv.Itoa(len(t.Raw()))))
		m.varint(tensorLocation, 1)
	case e.compact:
		compactData(&m, t)
	default:
		m.bytes(tensorRaw, t.Raw())
	}
	return &m
}

// sparse is a SparseTensorProto: the values that are not zero, named after the
// parameter, and their linear indices.
func (e *encoder) sparse(p *graph.Param) *message {
	at := nonzero(p.Data)
	values := tensor.New(p.Data.DType(), len(at))
	for k, i := range at {
		copyElement(values, k, p.Data, int(i))
	}
	var m message
	m.child(sparseValues, e.tensor(e.name(p.Value), e.doc(p.Doc), values, false))
	m.child(sparseIndices, e.tensor("", "", tensor.Of(at, len(at)), false))
	dims := make([]int64, p.Data.Rank())
	for i, n := range p.Data.Shape() {
		dims[i] = int64(n)
	}
	m.ints(sparseDims, dims, e.compact)
	return &m
}

// floats appends the floats attribute, packed where that is smaller.
func (e *encoder) floats(m *message, list []float32) {
	if e.compact && len(list) > 1 {
		b := make([]byte, 0, 4*len(list))
		for _, v := range list {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
		m.bytes(attrFloats, b)
		return
	}
	for _, v := range list {
		m.float(attrFloats, v)
	}
}

// compactData appends a tensor's elements in the smallest of the forms that
// TensorProto has: raw bytes, or integers of variable length, which take less
// for shapes, axes and small codes; a single element needs no length.
func compactData(m *message, t tensor.Tensor) {
	if t.Len() == 1 && compactScalar(m, t) {
		return
	}
	num, width := typedField(t.DType())
	if t.Len() > 0 && t.DType().IsInteger() && width > 1 {
		size := 0
		for i := range t.Len() {
			size += protowire.SizeVarint(entryBits(t, i, width))
		}
		if size < len(t.Raw()) {
			b := make([]byte, 0, size)
			for i := range t.Len() {
				b = protowire.AppendVarint(b, entryBits(t, i, width))
			}
			m.bytes(num, b)
			return
		}
	}
	if len(t.Raw()) > 0 {
		m.bytes(tensorRaw, t.Raw())
	}
}

// compactScalar appends a single element as an unpacked field, if that is
// smaller than raw bytes. Only types whose typed field every runtime reads are
// written so.
func compactScalar(m *message, t tensor.Tensor) bool {
	num, width := typedField(t.DType())
	switch d := t.DType(); {
	case d == tensor.Float32:
		m.float(num, tensor.Data[float32](t)[0])
	case d == tensor.Float64:
		m.double(num, tensor.Data[uint64](t)[0])
	case d == tensor.Bool, d.IsInteger() && d.Bits() >= 8:
		v := entryBits(t, 0, width)
		if protowire.SizeVarint(v) >= 1+width {
			return false
		}
		m.varint(num, v)
	default:
		return false
	}
	return true
}

// entryBits is element i as the typed field's varint: sign-extended if the type
// is signed.
func entryBits(t tensor.Tensor, i, width int) uint64 {
	var v uint64
	for k := range width {
		v |= uint64(t.Raw()[i*width+k]) << (8 * k)
	}
	if t.DType().IsSigned() {
		shift := 64 - 8*width
		return uint64(int64(v<<shift) >> shift)
	}
	return v
}
