package onnx

import (
	"encoding/binary"
	"io"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// message is a protobuf message under construction. Small fields are copied
// together, large ones are kept as pieces, so that weights are written from
// where they are and never copied.
type message struct {
	pieces [][]byte
	tail   []byte // what follows the pieces
	size   int
}

// minPiece is the length from which a field is referred to instead of copied.
const minPiece = 1024

func (m *message) tag(num protowire.Number, typ protowire.Type) {
	m.tail = protowire.AppendTag(m.tail, num, typ)
	m.size += protowire.SizeTag(num)
}

func (m *message) varint(num protowire.Number, v uint64) {
	m.tag(num, protowire.VarintType)
	m.tail = protowire.AppendVarint(m.tail, v)
	m.size += protowire.SizeVarint(v)
}

func (m *message) float(num protowire.Number, v float32) {
	m.tag(num, protowire.Fixed32Type)
	m.tail = binary.LittleEndian.AppendUint32(m.tail, math.Float32bits(v))
	m.size += 4
}

func (m *message) double(num protowire.Number, bits uint64) {
	m.tag(num, protowire.Fixed64Type)
	m.tail = binary.LittleEndian.AppendUint64(m.tail, bits)
	m.size += 8
}

func (m *message) header(num protowire.Number, length int) {
	m.tag(num, protowire.BytesType)
	m.tail = protowire.AppendVarint(m.tail, uint64(length))
	m.size += protowire.SizeVarint(uint64(length))
}

// bytes appends a length-delimited field; b must not change until the message
// is written.
func (m *message) bytes(num protowire.Number, b []byte) {
	m.header(num, len(b))
	m.append(b)
}

// append appends finished fields.
func (m *message) append(b []byte) {
	m.size += len(b)
	if len(b) < minPiece {
		m.tail = append(m.tail, b...)
		return
	}
	m.pieces = append(m.pieces, m.tail, b)
	m.tail = nil
}

// text appends a string; an empty one is the default and left out.
func (m *message) text(num protowire.Number, s string) {
	if s != "" {
		m.element(num, s)
	}
}

// element appends a member of a repeated string, which may be empty.
func (m *message) element(num protowire.Number, s string) {
	m.header(num, len(s))
	m.tail = append(m.tail, s...)
	m.size += len(s)
}

// child appends a message as a field.
func (m *message) child(num protowire.Number, c *message) {
	m.header(num, c.size)
	if len(c.pieces) > 0 {
		m.pieces = append(append(m.pieces, m.tail), c.pieces...)
		m.tail = nil
	}
	if m.tail == nil {
		m.tail = c.tail[:len(c.tail):len(c.tail)]
	} else {
		m.tail = append(m.tail, c.tail...)
	}
	m.size += c.size
}

// writeTo writes the message.
func (m *message) writeTo(w io.Writer) error {
	for _, b := range append(m.pieces, m.tail) {
		if _, err := w.Write(b); err != nil {
			return err
		}
	}
	return nil
}

// packed appends integers as one field.
func (m *message) packed(num protowire.Number, list []int64) {
	size := 0
	for _, v := range list {
		size += protowire.SizeVarint(uint64(v))
	}
	m.header(num, size)
	for _, v := range list {
		m.tail = protowire.AppendVarint(m.tail, uint64(v))
	}
	m.size += size
}

// ints appends a repeated integer field, one field per member as proto2 has it,
// or packed where that is smaller and allowed. Every parser reads both forms.
func (m *message) ints(num protowire.Number, list []int64, mayPack bool) {
	if mayPack && len(list) > 2 {
		m.packed(num, list)
		return
	}
	for _, v := range list {
		m.varint(num, uint64(v))
	}
}
