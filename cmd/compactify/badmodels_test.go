package main

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/encoding/protowire"
)

// Models that no exporter writes, byte by byte. Field numbers are those of
// onnx.proto.

// msg is a protobuf message under construction.
type msg []byte

func (m msg) varint(field protowire.Number, v int64) msg {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
}

func (m msg) bytes(field protowire.Number, b []byte) msg {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), b)
}

func (m msg) text(field protowire.Number, s string) msg { return m.bytes(field, []byte(s)) }

// node is a NodeProto with attributes.
func node(op, domain string, in, out []string, attrs ...msg) msg {
	var m msg
	for _, s := range in {
		m = m.text(1, s)
	}
	for _, s := range out {
		m = m.text(2, s)
	}
	m = m.text(3, "the_"+op).text(4, op)
	for _, a := range attrs {
		m = m.bytes(5, a)
	}
	return m.text(7, domain)
}

const float, int64Type, float16 = 1, 7, 10

// value is a ValueInfoProto; the sizes -1 and -2 are the symbols N and M.
func value(name string, dtype int64, sizes ...int64) msg {
	var shape msg
	for _, n := range sizes {
		if n < 0 {
			shape = shape.bytes(1, msg(nil).text(2, string(rune('O'+n))))
		} else {
			shape = shape.bytes(1, msg(nil).varint(1, n))
		}
	}
	return msg(nil).text(1, name).bytes(2, msg(nil).bytes(1, msg(nil).varint(1, dtype).bytes(2, shape)))
}

// floats is a TensorProto of raw float32 data.
func floats(name string, sizes []int64, x ...float32) msg {
	m := msg(nil)
	for _, n := range sizes {
		m = m.varint(1, n)
	}
	var raw []byte
	for _, v := range x {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return m.varint(2, float).text(8, name).bytes(9, raw)
}

// halves is a TensorProto of float16 ones.
func halves(name string, rows, columns int64) msg {
	var raw []byte
	for range rows * columns {
		raw = binary.LittleEndian.AppendUint16(raw, 0x3c00)
	}
	return msg(nil).varint(1, rows).varint(1, columns).varint(2, float16).text(8, name).bytes(9, raw)
}

// indices is a TensorProto of raw int64 data.
func indices(name string, x ...int64) msg {
	var raw []byte
	for _, v := range x {
		raw = binary.LittleEndian.AppendUint64(raw, uint64(v))
	}
	return msg(nil).varint(1, int64(len(x))).varint(2, int64Type).text(8, name).bytes(9, raw)
}

// elsewhere is a float TensorProto W of shape [4, 3] whose data are in a file.
func elsewhere(location string) msg {
	return msg(nil).varint(1, 4).varint(1, 3).varint(2, float).text(8, "W").
		bytes(13, msg(nil).text(1, "location").text(2, location)).varint(14, 1)
}

// model is a ModelProto of opset 17 unless another is given.
func model(nodes, params, inputs, outputs []msg, opset ...int64) msg {
	g := msg(nil)
	for _, list := range []struct {
		field protowire.Number
		msgs  []msg
	}{{1, nodes}, {5, params}, {11, inputs}, {12, outputs}} {
		for _, m := range list.msgs {
			g = g.bytes(list.field, m)
		}
	}
	version := int64(17)
	if len(opset) > 0 {
		version = opset[0]
	}
	return msg(nil).varint(1, 8).bytes(7, g.text(2, "g")).bytes(8, msg(nil).varint(2, version))
}

// writeBad writes models that are wrong in one way each, and a few that are only
// unusual, into a folder.
func writeBad(dir string) error {
	w := floats("W", []int64{4, 3}, 1, -2, 3, 0.5, 1, 2, -1, 0.25, 4, 1, 1, -3)
	matmul := node("MatMul", "", []string{"x", "W"}, []string{"y"})
	x, y := value("x", float, -1, 4), value("y", float, -1, 3)
	one := func(n, p, in, out msg, opset ...int64) msg {
		return model([]msg{n}, []msg{p}, []msg{in}, []msg{out}, opset...)
	}
	sized := func(op string, sizes ...int64) msg { // a shape that a few bytes declare
		return model([]msg{node(op, "", []string{"s"}, []string{"c"}), node("ReduceSum", "", []string{"c"}, []string{"r"}, keepNone()),
			node("Add", "", []string{"x", "r"}, []string{"y"})}, []msg{indices("s", sizes...)}, []msg{x}, []msg{y})
	}
	good := one(matmul, w, x, y)
	nan := floats("W", []int64{4, 3}, 1, 2, 3, float32(math.NaN()), 5, 6, 7, 8, 9, 10, 11, 12)
	for name, m := range map[string]msg{
		"good": good, "cut": good[:len(good)/2], "empty": nil, "garbage": []byte("this is no model at all\n"),
		"cycle":    model([]msg{node("Add", "", []string{"x", "z"}, []string{"y"}), node("Relu", "", []string{"y"}, []string{"z"})}, nil, []msg{x}, []msg{y}),
		"missing":  model([]msg{matmul}, nil, []msg{x}, []msg{y}),
		"mistyped": one(matmul, indices("W", 1, 2, 3, 4), x, y),
		"shapes":   one(matmul, floats("W", []int64{3, 4}, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12), x, y),
		"short":    one(matmul, floats("W", []int64{4, 3}, 1, 2), x, y), "vast": one(matmul, floats("W", []int64{1 << 40, 1 << 20}), x, y),
		"nan": one(matmul, nan, x, y), "dotdot": one(matmul, elsewhere("../w.bin"), x, y), "absolute": one(matmul, elsewhere(filepath.Join(dir, "w.bin")), x, y),
		"linked": one(matmul, elsewhere("link.bin"), x, y), "absent": one(matmul, elsewhere("nowhere.bin"), x, y), "tooshort": one(matmul, elsewhere("w.bin"), x, y),
		"opset6": one(matmul, w, x, y, 6), "opset99": one(matmul, w, x, y, 99),
		"unknown":   one(node("Frobnicate", "com.example", []string{"x", "W"}, []string{"y"}), w, x, y),
		"inputs2":   model([]msg{node("Sum", "", []string{"x", "z"}, []string{"s"}), node("MatMul", "", []string{"s", "W"}, []string{"y"})}, []msg{w}, []msg{x, value("z", float, -1, 4)}, []msg{y}),
		"inputs0":   model([]msg{node("Identity", "", []string{"W"}, []string{"y"})}, []msg{w}, nil, []msg{value("y", float, 4, 3)}),
		"outputs0":  model([]msg{matmul}, []msg{w}, []msg{x}, nil),
		"weights0":  model([]msg{node("Relu", "", []string{"x"}, []string{"y"})}, nil, []msg{x}, []msg{value("y", float, -1, 4)}),
		"symbols":   one(matmul, w, value("x", float, -1, -1), y),
		"unranked":  one(matmul, w, msg(nil).text(1, "x").bytes(2, msg(nil).bytes(1, msg(nil).varint(1, float))), y),
		"random":    model([]msg{node("RandomNormalLike", "", []string{"x"}, []string{"n"}), node("Add", "", []string{"x", "n"}, []string{"s"}), node("MatMul", "", []string{"s", "W"}, []string{"y"})}, []msg{w}, []msg{x}, []msg{y}),
		"half":      one(matmul, halves("W", 4, 3), value("x", float16, -1, 4), value("y", float16, -1, 3)),
		"quantised": model([]msg{node("DequantizeLinear", "", []string{"q", "s"}, []string{"W"}), matmul}, []msg{msg(nil).varint(1, 4).varint(1, 3).varint(2, 3).text(8, "q").bytes(9, make([]byte, 12)), floats("s", nil, 0.5)}, []msg{x}, []msg{y}),
		"columns":   model([]msg{matmul, node("MatMul", "", []string{"y", "V"}, []string{"z"})}, []msg{w, floats("V", []int64{3, 3}, 1, 2, 3, -1, 0, 1, 4, 2, -3)}, []msg{value("x", float, -1, -2)}, []msg{value("z", float, -1, 3)}),
		"batch1":    one(matmul, w, value("x", float, 1, 4), value("y", float, 1, 3)),
		"batch7":    one(matmul, w, value("x", float, 7, 4), value("y", float, 7, 3)),
		"hugeinput": model([]msg{node("Relu", "", []string{"x"}, []string{"y"})}, nil, []msg{value("x", float, 1, 1<<40)}, []msg{value("y", float, 1, 1<<40)}),
		"hugeshape": sized("ConstantOfShape", 1<<20, 1<<20), "deep": nested(2000),
	} {
		if err := os.WriteFile(filepath.Join(dir, name+".onnx"), m, 0o666); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "w.bin"), make([]byte, 8), 0o666); err != nil {
		return err
	}
	return os.Symlink("w.bin", filepath.Join(dir, "link.bin"))
}

func keepNone() msg { return msg(nil).text(1, "keepdims").varint(3, 0).varint(20, 2) }

// nested is a model of If operators inside one another.
func nested(depth int) msg {
	g := msg(nil).bytes(1, node("Identity", "", []string{"c"}, []string{"b"})).bytes(12, value("b", 9))
	for range depth {
		branch := func(name string) msg { return msg(nil).text(1, name).bytes(6, g).varint(20, 5) }
		inner := node("If", "", []string{"c"}, []string{"b"}, branch("then_branch"))
		g = msg(nil).bytes(1, inner).bytes(12, value("b", 9))
	}
	return msg(nil).varint(1, 8).bytes(7, g.text(2, "g").bytes(11, value("c", 9))).bytes(8, msg(nil).varint(2, 17))
}
