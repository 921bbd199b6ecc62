package onnx

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/compactify/compactify/tensor"
)

// Field numbers of TensorProto.
const (
	tensorDims     = 1
	tensorDType    = 2
	tensorSegment  = 3
	tensorFloats   = 4
	tensorInt32s   = 5
	tensorStrings  = 6
	tensorInt64s   = 7
	tensorName     = 8
	tensorRaw      = 9
	tensorDoubles  = 10
	tensorUint64s  = 11
	tensorDoc      = 12
	tensorExternal = 13
	tensorLocation = 14
)

// tensorProto is a TensorProto whose data is still in the file's encoding.
type tensorProto struct {
	name, doc  string
	dims       []int64
	dtype      int64
	raw        []byte
	typed      []field // pieces of the one typed field
	isExternal bool
	external   externalRef
}

func parseTensor(msg []byte) (tensorProto, error) {
	var p tensorProto
	err := eachField(msg, func(f field) (err error) {
		var n int64
		switch f.num {
		case tensorDims:
			p.dims, err = f.appendInts(p.dims)
		case tensorDType:
			p.dtype, err = f.int()
		case tensorSegment:
			err = errors.New("a segmented tensor, sequence or optional: want a whole TensorProto")
		case tensorFloats, tensorInt32s, tensorStrings, tensorInt64s, tensorDoubles, tensorUint64s:
			if len(p.typed) > 0 && p.typed[0].num != f.num {
				return fmt.Errorf("data is in fields %d and %d, want one", p.typed[0].num, f.num)
			}
			if f.typ != protowire.BytesType || f.num == tensorStrings || len(f.b) > 0 {
				p.typed = append(p.typed, f)
			}
		case tensorName:
			p.name, err = f.text()
		case tensorRaw:
			p.raw, err = f.bytes()
		case tensorDoc:
			p.doc, err = f.text()
		case tensorExternal:
			if err = f.want(protowire.BytesType); err == nil {
				err = p.external.parse(f.b)
			}
		case tensorLocation:
			n, err = f.int()
			p.isExternal = n == 1
		}
		return err
	})
	return p, err
}

// shape checks the number type and the sizes.
func (p *tensorProto) shape() (tensor.DType, []int, error) {
	d := tensor.DType(p.dtype)
	if p.dtype < 0 || p.dtype > math.MaxUint8 || !d.Valid() {
		return 0, nil, fmt.Errorf("number type: got code %d, want 1 to %d", p.dtype, tensor.Int2)
	}
	shape, err := sizes(p.dims)
	if err != nil {
		return 0, nil, err
	}
	return d, shape, nil
}

// sizes checks that a shape is neither negative nor too large to count.
func sizes(dims []int64) ([]int, error) {
	shape := make([]int, len(dims))
	for i, n := range dims {
		if n < 0 || n > math.MaxInt {
			return nil, fmt.Errorf("shape %v: axis %d: got %d, want a size", dims, i, n)
		}
		shape[i] = int(n)
	}
	if _, ok := tensor.Size(shape); !ok {
		return nil, fmt.Errorf("shape %v: too large", dims)
	}
	return shape, nil
}

// tensor decodes the data, in place where it can. A nil folder forbids external
// data.
func (p *tensorProto) tensor(dir *folder) (tensor.Tensor, error) {
	d, shape, err := p.shape()
	if err != nil {
		return tensor.Tensor{}, err
	}
	if len(p.raw) > 0 && len(p.typed) > 0 {
		return tensor.Tensor{}, fmt.Errorf("data is in raw_data and in field %d, want one", p.typed[0].num)
	}
	if d == tensor.String {
		return p.strings(shape)
	}
	raw := p.raw
	switch {
	case p.isExternal:
		raw, err = dir.load(p.external)
	case len(p.typed) > 0:
		raw, err = p.untype(d, shape)
	}
	if err != nil {
		return tensor.Tensor{}, err
	}
	if raw == nil {
		raw = []byte{}
	}
	return tensor.FromRaw(d, shape, raw)
}

func (p *tensorProto) strings(shape []int) (tensor.Tensor, error) {
	if p.isExternal || len(p.raw) > 0 {
		return tensor.Tensor{}, errors.New("strings: data is raw or external, want string_data")
	}
	text := make([]string, len(p.typed))
	for i, f := range p.typed {
		if f.num != tensorStrings {
			return tensor.Tensor{}, fmt.Errorf("strings: data is in field %d, want %d", f.num, tensorStrings)
		}
		s, err := f.text()
		if err != nil {
			return tensor.Tensor{}, err
		}
		text[i] = s
	}
	return tensor.FromStrings(shape, text)
}

// typedField is the field that holds a number type's elements when raw_data does
// not, and the bytes of one entry of it. Elements narrower than a byte share an
// entry as they share a byte; complex numbers take two entries.
func typedField(d tensor.DType) (num protowire.Number, width int) {
	switch d {
	case tensor.Float32, tensor.Complex64:
		return tensorFloats, 4
	case tensor.Float64, tensor.Complex128:
		return tensorDoubles, 8
	case tensor.Int64:
		return tensorInt64s, 8
	case tensor.Uint32:
		return tensorUint64s, 4
	case tensor.Uint64:
		return tensorUint64s, 8
	case tensor.String:
		return tensorStrings, 0
	}
	return tensorInt32s, max(1, d.Bits()/8)
}

// untype brings the entries of a typed field into the layout of raw_data.
func (p *tensorProto) untype(d tensor.DType, shape []int) ([]byte, error) {
	num, width := typedField(d)
	if got := p.typed[0].num; got != num {
		return nil, fmt.Errorf("%v%v: data is in field %d, want %d", d, shape, got, num)
	}
	n, _ := tensor.Size(shape)
	size, ok := d.ByteSize(n)
	if !ok {
		return nil, fmt.Errorf("%v%v: too large", d, shape)
	}
	if got := p.typedBytes(width); got != size {
		return nil, fmt.Errorf("%v%v: data: got %d entries, want %d", d, shape, got/width, size/width)
	}
	fixed := num == tensorFloats || num == tensorDoubles
	if fixed && len(p.typed) == 1 && p.typed[0].typ == protowire.BytesType {
		return p.typed[0].b, nil // packed little-endian words are raw data
	}
	out := make([]byte, 0, size)
	for _, f := range p.typed {
		var err error
		if out, err = f.appendEntries(out, d, fixed, width); err != nil {
			return nil, fmt.Errorf("%v%v: %w", d, shape, err)
		}
	}
	if len(out) != size {
		return nil, fmt.Errorf("%v%v: data: got %d bytes, want %d", d, shape, len(out), size)
	}
	return out, nil
}

// typedBytes is how many bytes the entries take once unpacked.
func (p *tensorProto) typedBytes(width int) int {
	size := 0
	for _, f := range p.typed {
		switch {
		case f.typ != protowire.BytesType:
			size += width
		case f.num == tensorFloats || f.num == tensorDoubles:
			size += len(f.b)
		default:
			size += width * countVarints(f.b)
		}
	}
	return size
}

func (f field) appendEntries(out []byte, d tensor.DType, fixed bool, width int) ([]byte, error) {
	if fixed {
		switch {
		case f.typ == protowire.BytesType:
			return append(out, f.b...), nil
		case width == 4 && f.typ == protowire.Fixed32Type:
			return binary.LittleEndian.AppendUint32(out, uint32(f.bits)), nil
		case width == 8 && f.typ == protowire.Fixed64Type:
			return binary.LittleEndian.AppendUint64(out, f.bits), nil
		}
		return out, fmt.Errorf("field %d: wire type %d does not hold %d-byte floats", f.num, f.typ, width)
	}
	add := func(v uint64) error {
		if d == tensor.Bool && v != 0 {
			v = 1
		}
		if limit := int64(1) << (8*width - 1); width < 8 && (int64(v) < -limit || int64(v) >= 2*limit) {
			return fmt.Errorf("entry %d: got %d, which does not fit %d bytes", len(out)/width, int64(v), width)
		}
		for i := range width {
			out = append(out, byte(v>>(8*i)))
		}
		return nil
	}
	if f.typ == protowire.VarintType {
		err := add(f.bits)
		return out, err
	}
	if err := f.want(protowire.BytesType); err != nil {
		return out, err
	}
	err := eachVarint(f.b, add)
	return out, err
}
