package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// quarter is the registers of the two loops over 2×2 windows: rows of n outputs,
// lanes at a time, of which the last are moved back to end with their row.
type quarter struct {
	lanes                       int
	x, y, pick, width, n, j, at reg.GPVirtual
}

func (q *quarter) register() reg.VecVirtual {
	if q.lanes == 4 {
		return XMM()
	}
	return YMM()
}

func beginQuarter(name, what string, lanes int) *quarter {
	name = fmt.Sprintf("%s%d", name, lanes)
	TEXT(name, NOSPLIT, "func(rows, n int, x *float32, width int, y *float32, pick *byte)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s %s, for rows of n ≥ %d windows; width is that of x.", name, what, lanes))
	q := &quarter{lanes: lanes, x: GP64(), y: GP64(), pick: GP64(), width: GP64(), n: GP64(), j: GP64(), at: GP64()}
	Load(Param("x"), q.x)
	Load(Param("y"), q.y)
	Load(Param("pick"), q.pick)
	Load(Param("n"), q.n)
	Load(Param("width"), q.width)
	SHLQ(operand.U8(2), q.width) // in bytes
	return q
}

// loop emits the rows and columns around a body, for which at points to the upper
// left element of the first window.
func (q *quarter) loop(body func()) {
	Label("row")
	XORQ(q.j, q.j)
	Label("column")
	LEAQ(operand.Mem{Base: q.x, Index: q.j, Scale: 8}, q.at)
	body()
	last := GP64()
	MOVQ(q.n, last)
	SUBQ(operand.Imm(uint64(q.lanes)), last)
	CMPQ(q.j, last)
	JEQ(operand.LabelRef("rowEnd"))
	ADDQ(operand.Imm(uint64(q.lanes)), q.j)
	CMPQ(q.j, last)
	JLE(operand.LabelRef("column"))
	MOVQ(last, q.j)
	JMP(operand.LabelRef("column"))
	Label("rowEnd")
	LEAQ(operand.Mem{Base: q.x, Index: q.width, Scale: 2}, q.x)
	LEAQ(operand.Mem{Base: q.y, Index: q.n, Scale: 4}, q.y)
	ADDQ(q.n, q.pick)
	DECQ(paramMem("rows"))
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}

// numbers are 1, 2 and 3 in every lane.
func (q *quarter) numbers() (one, two, three reg.VecVirtual) {
	one, two, three = q.register(), q.register(), q.register()
	VPCMPEQD(three, three, three)
	VPSRLD(operand.U8(31), three, one)
	VPADDD(one, one, two)
	VPSRLD(operand.U8(30), three, three)
	return one, two, three
}

// windowRow is one row of the two, from its first byte at mem.
func (q *quarter) windowRow(second bool, half int) operand.Mem {
	m := operand.Mem{Base: q.at, Disp: 4 * q.lanes * half}
	if second {
		m.Index, m.Scale = q.width, 1
	}
	return m
}

// pool2x2 emits the maximum of each window and which of the four it was.
func pool2x2(lanes int) {
	q := beginQuarter("smaxPick", "is max-pooling over windows of 2×2; see pickRow", lanes)
	one, two, three := q.numbers()
	q.loop(func() {
		best, at := q.register(), q.register()
		VPXOR(at, at, at)
		for i, number := range []reg.VecVirtual{nil, one, two, three} {
			if i%2 == 0 {
				continue
			}
			low, high, even, odd := q.register(), q.register(), q.register(), q.register()
			VMOVUPS(q.windowRow(i == 3, 0), low)
			VMOVUPS(q.windowRow(i == 3, 1), high)
			VSHUFPS(operand.U8(0x88), high, low, even)
			VSHUFPS(operand.U8(0xdd), high, low, odd)
			if i == 1 {
				VMOVUPS(even, best)
			} else {
				q.better(even, two, best, at)
			}
			q.better(odd, number, best, at)
		}
		if lanes == 8 { // VSHUFPS works within halves
			VPERMPD(operand.U8(0xd8), best, best)
			VPERMPD(operand.U8(0xd8), at, at)
		}
		VMOVUPS(best, operand.Mem{Base: q.y, Index: q.j, Scale: 4})
		bytes := XMM()
		if lanes == 8 {
			VEXTRACTI128(operand.U8(1), at, bytes)
			VPACKSSDW(bytes, at.AsX(), bytes)
		} else {
			VPACKSSDW(at, at, bytes)
		}
		VPACKUSWB(bytes, bytes, bytes)
		if lanes == 8 {
			VMOVQ(bytes, operand.Mem{Base: q.pick, Index: q.j, Scale: 1})
		} else {
			VMOVD(bytes, operand.Mem{Base: q.pick, Index: q.j, Scale: 1})
		}
	})
}

// better takes v where it is greater than best, or not a number.
func (q *quarter) better(v, number, best, at reg.VecVirtual) {
	greater, nan := q.register(), q.register()
	VCMPPS(operand.U8(30), best, v, greater)
	VCMPPS(operand.U8(3), v, v, nan)
	VORPS(nan, greater, greater)
	VBLENDVPS(greater, v, best, best)
	VBLENDVPS(greater, number, at, at)
}

// spread2x2 emits the adjoint: y at the element that was picked, zero at the
// other three.
func spread2x2(lanes int) {
	q := beginQuarter("smaxSpread", "writes y where pick says, and zeros beside it; see spreadRow", lanes)
	one, two, three := q.numbers()
	zero := q.register()
	VPXOR(zero, zero, zero)
	q.loop(func() {
		dy, pick := q.register(), q.register()
		VMOVUPS(operand.Mem{Base: q.y, Index: q.j, Scale: 4}, dy)
		VPMOVZXBD(operand.Mem{Base: q.pick, Index: q.j, Scale: 1}, pick)
		for i, pair := range [][2]reg.VecVirtual{{zero, one}, {two, three}} {
			even, odd, low, high := q.register(), q.register(), q.register(), q.register()
			VPCMPEQD(pair[0], pick, even)
			VPAND(dy, even, even)
			VPCMPEQD(pair[1], pick, odd)
			VPAND(dy, odd, odd)
			VUNPCKLPS(odd, even, low)
			VUNPCKHPS(odd, even, high)
			if lanes == 8 {
				a, b := q.register(), q.register()
				VPERM2F128(operand.U8(0x20), high, low, a)
				VPERM2F128(operand.U8(0x31), high, low, b)
				low, high = a, b
			}
			VMOVUPS(low, q.windowRow(i == 1, 0))
			VMOVUPS(high, q.windowRow(i == 1, 1))
		}
	})
}
