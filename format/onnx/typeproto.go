package onnx

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/tensor"
)

// Field numbers of ValueInfoProto, TypeProto, TypeProto.Tensor, TensorShapeProto
// and its Dimension.
const (
	valueName = 1
	valueType = 2
	valueDoc  = 3

	typeTensor = 1

	tensorTypeElem  = 1
	tensorTypeShape = 2

	shapeDim = 1

	dimValue = 1
	dimParam = 2
)

// otherTypes are the members of TypeProto that are not tensors.
var otherTypes = map[int]string{
	4: "a sequence", 5: "a map", 7: "an opaque value", 8: "a sparse tensor", 9: "an optional",
}

// parseValue reads a ValueInfoProto.
func parseValue(f field) (valueProto, error) {
	var v valueProto
	msg, err := f.bytes()
	if err != nil {
		return v, err
	}
	err = eachField(msg, func(f field) (err error) {
		switch f.num {
		case valueName:
			v.name, err = f.text()
		case valueType:
			var b []byte
			if b, err = f.bytes(); err == nil {
				v.typ, v.other, err = parseType(b)
			}
		case valueDoc:
			v.doc, err = f.text()
		}
		return err
	})
	if err != nil {
		return v, fmt.Errorf("value %q: %w", v.name, err)
	}
	return v, nil
}

// parseType reads a TypeProto; other says what it is if it is not a tensor.
func parseType(msg []byte) (t tensor.Type, other string, err error) {
	err = eachField(msg, func(f field) error {
		if name := otherTypes[int(f.num)]; name != "" {
			other = name
		}
		if f.num != typeTensor {
			return nil
		}
		b, err := f.bytes()
		if err != nil {
			return err
		}
		t, err = parseTensorType(b)
		return err
	})
	return t, other, err
}

func parseTensorType(msg []byte) (tensor.Type, error) {
	var t tensor.Type
	err := eachField(msg, func(f field) error {
		switch f.num {
		case tensorTypeElem:
			n, err := f.int()
			if err != nil {
				return err
			}
			t.DType = tensor.DType(n)
			if n < 0 || n > math.MaxUint8 || n != 0 && !t.DType.Valid() {
				return fmt.Errorf("number type: got code %d, want 1 to %d", n, tensor.Int2)
			}
		case tensorTypeShape:
			b, err := f.bytes()
			if err != nil {
				return err
			}
			t.Shape, err = parseShape(b)
			return err
		}
		return nil
	})
	return t, err
}

func parseShape(msg []byte) ([]tensor.Dim, error) {
	shape := []tensor.Dim{}
	err := eachField(msg, func(f field) error {
		if f.num != shapeDim {
			return nil
		}
		b, err := f.bytes()
		if err != nil {
			return err
		}
		d, err := parseDim(b)
		shape = append(shape, d)
		return err
	})
	return shape, err
}

// parseDim reads a Dimension. A negative size, which some exporters write for a
// free one, is unknown.
func parseDim(msg []byte) (tensor.Dim, error) {
	d := tensor.Unknown()
	err := eachField(msg, func(f field) error {
		switch f.num {
		case dimValue:
			n, err := f.int()
			if err != nil {
				return err
			}
			d = tensor.Unknown()
			if n >= 0 {
				d = tensor.Fixed(int(n))
			}
		case dimParam:
			name, err := f.text()
			d = tensor.Symbol(name)
			return err
		}
		return nil
	})
	return d, err
}

// typeMessage is the TypeProto of a tensor; nil if nothing is known of it.
func typeMessage(t tensor.Type) *message {
	if t.DType == tensor.Undefined && !t.Ranked() {
		return nil
	}
	var tt, typ message
	if t.DType != tensor.Undefined {
		tt.varint(tensorTypeElem, uint64(t.DType))
	}
	if t.Ranked() {
		var shape message
		for _, d := range t.Shape {
			var dim message
			switch {
			case d.Known():
				dim.varint(dimValue, uint64(d.Size))
			case d.Name != "":
				dim.text(dimParam, d.Name)
			}
			shape.child(shapeDim, &dim)
		}
		tt.child(tensorTypeShape, &shape)
	}
	typ.child(typeTensor, &tt)
	return &typ
}
