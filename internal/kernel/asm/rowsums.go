package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// sumStep is the number of float64 lanes of a row's sum.
const sumStep = 16

// rowSums emits sums of rows of n elements, a positive multiple of sumStep, that
// are step elements apart: lanes are folded by halves.
func rowSums(v isa) {
	name := "rowSums" + v.name
	TEXT(name, NOSPLIT, "func(rows, n, step int, x *float32, sums *float64)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sums rows of n elements, a positive multiple of %d.", name, sumStep))
	rows, n, step, x, sums := GP64(), GP64(), GP64(), GP64(), GP64()
	Load(Param("rows"), rows)
	Load(Param("step"), step)
	SHLQ(operand.U8(2), step)
	Load(Param("x"), x)
	Load(Param("sums"), sums)
	at := GP64()
	width := v.bytes / 8
	lanes := make([]reg.VecVirtual, sumStep/width)
	for i := range lanes {
		lanes[i] = v.register()
	}

	Label("row")
	Load(Param("n"), n)
	MOVQ(x, at)
	for _, l := range lanes {
		VXORPD(l, l, l)
	}
	Label("loop")
	for i, l := range lanes {
		wide := v.register()
		VCVTPS2PD(operand.Mem{Base: at, Disp: 4 * width * i}, wide)
		VADDPD(wide, l, l)
	}
	ADDQ(operand.U8(4*sumStep), at)
	SUBQ(operand.U8(sumStep), n)
	JNZ(operand.LabelRef("loop"))
	for half := len(lanes) / 2; half > 0; half /= 2 {
		for i := range half {
			VADDPD(lanes[i+half], lanes[i], lanes[i])
		}
	}
	quarter := YMM()
	if v.bytes == 64 {
		VEXTRACTF64X4(operand.U8(1), lanes[0], quarter)
		VADDPD(quarter, lanes[0].AsY(), quarter)
	} else {
		VMOVUPD(lanes[0], quarter)
	}
	pair := XMM()
	VEXTRACTF128(operand.U8(1), quarter, pair)
	VADDPD(pair, quarter.AsX(), pair)
	high := XMM()
	VUNPCKHPD(pair, pair, high)
	VADDSD(high, pair, pair)
	VMOVSD(pair, operand.Mem{Base: sums})
	ADDQ(step, x)
	ADDQ(operand.U8(8), sums)
	DECQ(rows)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}
