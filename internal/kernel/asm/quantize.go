package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quantize emits the rounding of a row to int8; see quantizeRow.
func quantize(v isa) {
	name := "quantize" + v.name
	TEXT(name, NOSPLIT, "func(n int, q *int8, x *float32, scale, lo, hi, rounder float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s rounds n elements, a positive multiple of %d.", name, stride))
	n, q, l := GP64(), GP64(), &vectorLoop{isa: v, x: GP64()}
	Load(Param("n"), n)
	Load(Param("q"), q)
	Load(Param("x"), l.x)
	var scale, lo, hi, rounder reg.VecVirtual
	for _, p := range []struct {
		name string
		to   *reg.VecVirtual
	}{{"scale", &scale}, {"lo", &lo}, {"hi", &hi}, {"rounder", &rounder}} {
		*p.to = v.register()
		VBROADCASTSS(paramMem(p.name), *p.to)
	}
	order := YMM()
	if v.bytes == 32 {
		VMOVDQU(unshuffled(), order)
	}

	Label("loop")
	var whole []reg.VecVirtual
	for l.offset = 0; l.offset < 4*stride; l.offset += v.bytes {
		x := l.min(hi, l.max(l.div(l.load(l.x), scale), lo))
		x = l.subInt(l.add(x, rounder), rounder)
		if v.bytes == 64 {
			VPMOVDB(x, operand.Mem{Base: q, Disp: l.offset / 4})
		}
		whole = append(whole, x)
	}
	if v.bytes == 32 {
		VPACKSSDW(whole[1], whole[0], whole[0])
		VPACKSSDW(whole[3], whole[2], whole[2])
		VPACKSSWB(whole[2], whole[0], whole[0])
		VPERMD(whole[0], order, whole[0])
		VMOVDQU(whole[0], operand.Mem{Base: q})
	}
	ADDQ(operand.U32(4*stride), l.x)
	ADDQ(operand.U8(stride), q)
	SUBQ(operand.U8(stride), n)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// unshuffled is the order of double words that undoes packing, which works
// within 16 bytes.
func unshuffled() operand.Mem {
	table := GLOBL("packedOrder", 8|16) // RODATA | NOPTR
	for i, from := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		DATA(4*i, operand.U32(from))
	}
	return table
}

// dequantize emits x[i] ← scale·q[i].
func dequantize(v isa) {
	name := "dequantize" + v.name
	TEXT(name, NOSPLIT, "func(n int, x *float32, q *int8, scale float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s scales n elements, a positive multiple of %d.", name, stride))
	n, x, q, scale := GP64(), GP64(), GP64(), v.register()
	Load(Param("n"), n)
	Load(Param("x"), x)
	Load(Param("q"), q)
	VBROADCASTSS(paramMem("scale"), scale)
	Label("loop")
	for offset := 0; offset < 4*stride; offset += v.bytes {
		d := v.register()
		VPMOVSXBD(operand.Mem{Base: q, Disp: offset / 4}, d)
		VCVTDQ2PS(d, d)
		VMULPS(scale, d, d)
		VMOVUPS(d, operand.Mem{Base: x, Disp: offset})
	}
	ADDQ(operand.U32(4*stride), x)
	ADDQ(operand.U8(stride), q)
	SUBQ(operand.U8(stride), n)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}
