package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// rowKernels emits the kernels of whole rows.
func rowKernels() {
	for _, v := range []isa{avx2, avx512} {
		rowExtremes(v, "Max", VMAXPS)
		rowExtremes(v, "Min", VMINPS)
		standardize(v)
	}
}

// extremeLanes is the number of vectors a row is taken in.
const extremeLanes = 4

// rowExtremes emits the extreme elements of rows of n elements, at least a vector
// of them. The last vector of a row overlaps the one before: an element may be
// taken twice. The instruction forgets NaNs, so that all elements are added up
// beside: the sum is no number if one of them is none.
func rowExtremes(v isa, name string, take func(ops ...operand.Op)) {
	name = "row" + name + v.name
	lanes := v.bytes / 4
	TEXT(name, NOSPLIT, "func(rows, n int, x, dst, check *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s takes rows of n ≥ %d elements; check becomes NaN if an element is.", name, lanes))
	rows, n, x, dst, end := GP64(), GP64(), GP64(), GP64(), GP64()
	Load(Param("rows"), rows)
	Load(Param("x"), x)
	Load(Param("dst"), dst)
	acc, sums := make([]reg.VecVirtual, extremeLanes), make([]reg.VecVirtual, extremeLanes)
	for i := range acc {
		acc[i], sums[i] = v.register(), v.register()
		VXORPS(sums[i].AsX(), sums[i].AsX(), sums[i].AsX())
	}
	read := func(i int, at operand.Mem) {
		element := v.register()
		VMOVUPS(at, element)
		take(element, acc[i], acc[i])
		VADDPS(element, sums[i], sums[i])
	}

	Label("row")
	Load(Param("n"), n)
	VMOVUPS(operand.Mem{Base: x}, acc[0])
	for _, a := range acc[1:] {
		VMOVUPS(acc[0], a)
	}
	Label("four")
	CMPQ(n, operand.U32(uint32(extremeLanes*lanes)))
	JLT(operand.LabelRef("one"))
	for i := range acc {
		read(i, operand.Mem{Base: x, Disp: v.bytes * i})
	}
	ADDQ(operand.U32(uint32(extremeLanes*v.bytes)), x)
	SUBQ(operand.U32(uint32(extremeLanes*lanes)), n)
	JMP(operand.LabelRef("four"))
	Label("one")
	CMPQ(n, operand.U32(uint32(lanes)))
	JLT(operand.LabelRef("last"))
	read(0, operand.Mem{Base: x})
	ADDQ(operand.U32(uint32(v.bytes)), x)
	SUBQ(operand.U32(uint32(lanes)), n)
	JMP(operand.LabelRef("one"))
	Label("last")
	TESTQ(n, n)
	JZ(operand.LabelRef("fold"))
	LEAQ(operand.Mem{Base: x, Index: n, Scale: 4}, end)
	read(1, operand.Mem{Base: end, Disp: -v.bytes})
	MOVQ(end, x)
	Label("fold")
	VMOVSS(foldLanes(v, take, acc), operand.Mem{Base: dst})
	ADDQ(operand.U8(4), dst)
	DECQ(rows)
	JNZ(operand.LabelRef("row"))

	check := GP64()
	Load(Param("check"), check)
	VMOVSS(foldLanes(v, VADDPS, sums), operand.Mem{Base: check})
	VZEROUPPER()
	RET()
}

// foldLanes emits the folding of vectors, and of the halves of the last one, into
// one element.
func foldLanes(v isa, op func(ops ...operand.Op), vectors []reg.VecVirtual) reg.VecVirtual {
	for half := len(vectors) / 2; half > 0; half /= 2 {
		for i := range half {
			op(vectors[i+half], vectors[i], vectors[i])
		}
	}
	quarter := YMM()
	if v.bytes == 64 {
		VEXTRACTF64X4(operand.U8(1), vectors[0], quarter)
		op(vectors[0].AsY(), quarter, quarter)
	} else {
		VMOVUPS(vectors[0], quarter)
	}
	x, moved := XMM(), XMM()
	VEXTRACTF128(operand.U8(1), quarter, x)
	op(quarter.AsX(), x, x)
	VPERMILPS(operand.U8(0b1110), x, moved)
	op(moved, x, x)
	VPERMILPS(operand.U8(1), x, moved)
	op(moved, x, x)
	return x
}
