package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sumWide emits the addition of float32 elements into stride lanes of float64.
func sumWide(v isa) {
	n, acc, x := beginWide(v, "sumWide", "adds elements i, i + 32, i + 64 … to acc[i]")
	var lanes []reg.VecVirtual
	for at := 0; at < 8*stride; at += v.bytes {
		lane := v.register()
		VMOVUPD(operand.Mem{Base: acc, Disp: at}, lane)
		lanes = append(lanes, lane)
	}
	Label("loop")
	for i, lane := range lanes {
		wide := v.register()
		VCVTPS2PD(operand.Mem{Base: x, Disp: i * v.bytes / 2}, wide)
		VADDPD(wide, lane, lane)
	}
	ADDQ(operand.U32(4*stride), x)
	SUBQ(operand.U8(stride), n)
	JNZ(operand.LabelRef("loop"))
	for i, lane := range lanes {
		VMOVUPD(lane, operand.Mem{Base: acc, Disp: i * v.bytes})
	}
	VZEROUPPER()
	RET()
}

// addWide emits acc[i] ← acc[i] + x[i] for float64 sums of float32 elements.
func addWide(v isa) {
	n, acc, x := beginWide(v, "addWide", "adds x[i] to acc[i]")
	Label("loop")
	for at := 0; at < 8*stride; at += v.bytes {
		sum := v.register()
		VCVTPS2PD(operand.Mem{Base: x, Disp: at / 2}, sum)
		VADDPD(operand.Mem{Base: acc, Disp: at}, sum, sum)
		VMOVUPD(sum, operand.Mem{Base: acc, Disp: at})
	}
	ADDQ(operand.U32(4*stride), x)
	ADDQ(operand.U32(8*stride), acc)
	SUBQ(operand.U8(stride), n)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

func beginWide(v isa, op, what string) (n, acc, x reg.GPVirtual) {
	name := op + v.name
	TEXT(name, NOSPLIT, "func(n int, acc *float64, x *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s %s, for n elements, a positive multiple of %d.", name, what, stride))
	n, acc, x = GP64(), GP64(), GP64()
	Load(Param("n"), n)
	Load(Param("acc"), acc)
	Load(Param("x"), x)
	return n, acc, x
}
