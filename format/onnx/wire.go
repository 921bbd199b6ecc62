package onnx

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"
)

// field is one field of a protobuf message. The value is in bits or, when it is
// length-delimited, in b, a view of the message.
type field struct {
	num  protowire.Number
	typ  protowire.Type
	bits uint64
	b    []byte
}

// errWire is wrapped by the errors for bytes that are no protobuf message, or one of
// another schema.
var errWire = errors.New("malformed")

// eachField visits the fields of a message in file order.
func eachField(msg []byte, visit func(field) error) error {
	for rest := msg; len(rest) > 0; {
		f, n := consumeField(rest)
		if n < 0 {
			return fmt.Errorf("%w: byte %d of %d of the message: %w", errWire, len(msg)-len(rest), len(msg), protowire.ParseError(n))
		}
		rest = rest[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// consumeField returns the length of the field, or a protowire error code.
func consumeField(msg []byte) (field, int) {
	num, typ, tag := protowire.ConsumeTag(msg)
	if tag < 0 {
		return field{}, tag
	}
	f, rest, n := field{num: num, typ: typ}, msg[tag:], 0
	switch typ {
	case protowire.VarintType:
		f.bits, n = protowire.ConsumeVarint(rest)
	case protowire.Fixed64Type:
		f.bits, n = protowire.ConsumeFixed64(rest)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(rest)
		f.bits = uint64(v)
	case protowire.BytesType:
		f.b, n = protowire.ConsumeBytes(rest)
	default: // groups: no ONNX message has one, so they are unknown fields
		n = protowire.ConsumeFieldValue(num, typ, rest)
	}
	if n < 0 {
		return field{}, n
	}
	return f, tag + n
}

func (f field) want(typ protowire.Type) error {
	if f.typ != typ {
		return fmt.Errorf("%w: field %d: wire type: got %d, want %d", errWire, f.num, f.typ, typ)
	}
	return nil
}

func (f field) bytes() ([]byte, error) { return f.b, f.want(protowire.BytesType) }

func (f field) text() (string, error) { return string(f.b), f.want(protowire.BytesType) }

func (f field) int() (int64, error) { return int64(f.bits), f.want(protowire.VarintType) }

func (f field) float() (float32, error) {
	return math.Float32frombits(uint32(f.bits)), f.want(protowire.Fixed32Type)
}

// appendInts appends the values of a repeated integer field, packed or not.
func (f field) appendInts(list []int64) ([]int64, error) {
	if f.typ == protowire.VarintType {
		return append(list, int64(f.bits)), nil
	}
	if err := f.want(protowire.BytesType); err != nil {
		return list, err
	}
	err := eachVarint(f.b, func(v uint64) error {
		list = append(list, int64(v))
		return nil
	})
	return list, err
}

// appendFloats appends the values of a repeated float field, packed or not.
func (f field) appendFloats(list []float32) ([]float32, error) {
	if f.typ == protowire.Fixed32Type {
		return append(list, math.Float32frombits(uint32(f.bits))), nil
	}
	if err := f.want(protowire.BytesType); err != nil {
		return list, err
	}
	if len(f.b)%4 != 0 {
		return list, fmt.Errorf("field %d: packed floats: got %d bytes, want a multiple of 4", f.num, len(f.b))
	}
	for b := f.b; len(b) > 0; b = b[4:] {
		v, _ := protowire.ConsumeFixed32(b)
		list = append(list, math.Float32frombits(v))
	}
	return list, nil
}

func eachVarint(b []byte, visit func(uint64) error) error {
	for len(b) > 0 {
		v, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return fmt.Errorf("packed integers: %w", protowire.ParseError(n))
		}
		b = b[n:]
		if err := visit(v); err != nil {
			return err
		}
	}
	return nil
}

// countVarints counts the integers of a packed field; a truncated last one is
// left to [eachVarint].
func countVarints(b []byte) int {
	n := 0
	for _, c := range b {
		if c < 0x80 {
			n++
		}
	}
	return n
}
