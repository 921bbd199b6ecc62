package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// maxPool emits max-pooling over whole windows: rows of n outputs, lanes at a
// time, of which the last are moved back to end with their row. Columns are
// stride apart in x, rows xRow. index, if not nil, receives the place of each
// maximum counted from x, plus base, in eight bytes each if wide, else in four.
func maxPool(lanes, stride int) {
	name := fmt.Sprintf("smaxPool%dx%d", lanes, stride)
	TEXT(name, NOSPLIT, "func(rows, n, kh, kw int, x *float32, xRow, tapRow, tapCol int, y *float32, yRow int, index *byte, base, wide int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is max-pooling with horizontal stride %d of rows of n ≥ %d outputs, all of whose windows lie inside the plane; see maxWhole.", name, stride, lanes))

	x, y, index := reg.RDI, reg.RSI, reg.RDX
	j, last, tapRow, tapCol := reg.R8, reg.R9, reg.R10, reg.R11
	tap, row, kw, kh, tmp := reg.RAX, reg.RBX, reg.RCX, reg.R12, reg.R13
	v := func(i int) reg.VecPhysical {
		if lanes == 4 {
			return ymm[i].AsX().(reg.VecPhysical)
		}
		return ymm[i]
	}
	best, at, here, candidate, greater, nan := v(0), v(1), v(2), v(3), v(4), v(5)
	lowest, iota := v(6), v(7)

	Load(Param("x"), x)
	Load(Param("y"), y)
	Load(Param("index"), index)
	Load(Param("n"), last)
	SUBQ(operand.Imm(uint64(lanes)), last)
	loadStride(float32s, "tapRow", tapRow)
	loadStride(float32s, "tapCol", tapCol)
	SHLQ(operand.U8(2), paramMem("xRow"))
	lanesOf(name+"Lowest", lanes, func(int) uint32 { return 0xff800000 }, lowest)
	lanesOf(name+"Iota", lanes, func(i int) uint32 { return uint32(i * stride) }, iota)

	Label("row")
	XORQ(j, j)
	Label("column")
	VMOVUPS(lowest, best)
	LEAQ(operand.Mem{Base: x, Index: j, Scale: uint8(4 * stride)}, row)
	MOVQ(row, tmp)
	SUBQ(paramMem("x"), tmp)
	broadcastIndex(tmp, at)
	Load(Param("kh"), kh)
	Label("tapRow")
	MOVQ(row, tap)
	Load(Param("kw"), kw)
	Label("tap")
	VMOVUPS(operand.Mem{Base: tap}, here)
	if stride == 2 {
		VSHUFPS(operand.U8(0x88), operand.Mem{Base: tap, Disp: 4 * lanes}, here, here)
	}
	MOVQ(tap, tmp)
	SUBQ(paramMem("x"), tmp)
	broadcastIndex(tmp, candidate)
	VCMPPS(operand.U8(30), best, here, greater) // here > best
	VCMPPS(operand.U8(3), here, here, nan)
	VORPS(nan, greater, greater)
	VBLENDVPS(greater, here, best, best)
	VBLENDVPS(greater, candidate, at, at)
	ADDQ(tapCol, tap)
	DECQ(kw)
	JNZ(operand.LabelRef("tap"))
	ADDQ(tapRow, row)
	DECQ(kh)
	JNZ(operand.LabelRef("tapRow"))

	if stride == 2 && lanes == 8 { // VSHUFPS works within halves
		VPERMPD(operand.U8(0xd8), best, best)
		VPERMPD(operand.U8(0xd8), at, at)
	}
	VMOVUPS(best, operand.Mem{Base: y, Index: j, Scale: 4})
	TESTQ(index, index)
	JZ(operand.LabelRef("next"))
	VPADDD(iota, at, at)
	CMPQ(paramMem("wide"), operand.Imm(0))
	JNE(operand.LabelRef("wide"))
	VPBROADCASTD(paramMem("base"), here)
	VPADDD(here, at, at)
	VMOVDQU(at, operand.Mem{Base: index, Index: j, Scale: 4})
	JMP(operand.LabelRef("next"))
	Label("wide")
	VPBROADCASTQ(paramMem("base"), reg.Y2)
	VPMOVSXDQ(at.AsX(), reg.Y3)
	VPADDQ(reg.Y2, reg.Y3, reg.Y3)
	VMOVDQU(reg.Y3, operand.Mem{Base: index, Index: j, Scale: 8})
	if lanes == 8 {
		VEXTRACTI128(operand.U8(1), at, reg.X3)
		VPMOVSXDQ(reg.X3, reg.Y3)
		VPADDQ(reg.Y2, reg.Y3, reg.Y3)
		VMOVDQU(reg.Y3, operand.Mem{Base: index, Index: j, Scale: 8, Disp: 32})
	}

	Label("next")
	CMPQ(j, last)
	JEQ(operand.LabelRef("rowEnd"))
	ADDQ(operand.Imm(uint64(lanes)), j)
	CMPQ(j, last)
	JLE(operand.LabelRef("column"))
	MOVQ(last, j)
	JMP(operand.LabelRef("column"))

	Label("rowEnd")
	ADDQ(paramMem("xRow"), x)
	Load(Param("yRow"), tmp)
	LEAQ(operand.Mem{Base: y, Index: tmp, Scale: 4}, y)
	TESTQ(index, index)
	JZ(operand.LabelRef("counted"))
	LEAQ(operand.Mem{Base: index, Index: tmp, Scale: 4}, index)
	CMPQ(paramMem("wide"), operand.Imm(0))
	JEQ(operand.LabelRef("counted"))
	LEAQ(operand.Mem{Base: index, Index: tmp, Scale: 4}, index)
	Label("counted")
	DECQ(paramMem("rows"))
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}

// broadcastIndex turns a distance in bytes into one in floats, in every lane.
func broadcastIndex(bytes reg.GPPhysical, to reg.VecPhysical) {
	SHRQ(operand.U8(2), bytes)
	VMOVD(bytes.As32(), to.AsX())
	VPBROADCASTD(to.AsX(), to)
}

// lanesOf loads a constant vector.
func lanesOf(name string, lanes int, lane func(i int) uint32, to reg.VecPhysical) {
	m := GLOBL(name, RODATA|NOPTR)
	for i := range lanes {
		DATA(4*i, operand.U32(lane(i)))
	}
	VMOVUPS(m, to)
}
