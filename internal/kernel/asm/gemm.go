package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// tileVectors is the width of a micro-kernel: two loads of B serve every row.
const tileVectors = 2

// gemmTile emits the matrix micro-kernel, with a loop of its own for each number
// of rows. Rows of A are addressed as base + stride·{1, 2, 4, 8} with odd
// multiples of the stride in registers, so that each step of k adds to two
// pointers only and A may lie anywhere.
func gemmTile(v isa, t number) {
	width := tileVectors * v.bytes / t.bytes
	name := fmt.Sprintf("%sgemm%s", t.prefix, v.name)
	TEXT(name, NOSPLIT, fmt.Sprintf("func(rows, k int, a *%[1]s, rsa, csa int, b *%[1]s, rsb int, c *%[1]s, ldc int, alpha, beta %[1]s)", t.name))
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is the micro-kernel of up to %d rows and %d columns; see tiles. rows and k are at least 1.", name, v.tileRows, width))

	a, csa := reg.RAX, reg.RDX
	b, rsb := reg.RBX, reg.RSI
	k := reg.RCX
	odd := []reg.GPPhysical{1: reg.RDI, 3: reg.R8, 5: reg.R9, 7: reg.R10, 9: reg.R11, 11: reg.R12, 13: reg.R13}
	rows := reg.R15

	Load(Param("a"), a)
	Load(Param("b"), b)
	Load(Param("k"), k)
	loadStride(t, "rsa", odd[1])
	loadStride(t, "csa", csa)
	loadStride(t, "rsb", rsb)
	for m := 3; m < v.tileRows; m += 2 {
		LEAQ(operand.Mem{Base: odd[m-2], Index: odd[1], Scale: 2}, odd[m])
	}
	Load(Param("rows"), rows)
	for r := v.tileRows; r > 1; r-- {
		CMPQ(rows, operand.U8(uint8(r)))
		JE(operand.LabelRef(fmt.Sprintf("rows%d", r)))
	}
	for r := 1; r <= v.tileRows; r++ {
		Label(fmt.Sprintf("rows%d", r))
		gemmRows(v, t, r, a, csa, b, rsb, k, odd)
	}
}

// gemmRows emits the loop and the store for r rows.
func gemmRows(v isa, t number, r int, a, csa, b, rsb, k reg.GPPhysical, odd []reg.GPPhysical) {
	sum := func(i, j int) reg.VecPhysical { return v.vector(i*tileVectors + j) }
	bs := [tileVectors]reg.VecPhysical{}
	for j := range bs {
		bs[j] = v.vector(v.tileRows*tileVectors + j)
	}
	x := v.vector(v.tileRows*tileVectors + tileVectors) // an element of A in every lane
	for i := range r * tileVectors {
		VXORPS(v.vector(i), v.vector(i), v.vector(i))
	}

	loop := fmt.Sprintf("loop%d", r)
	Label(loop)
	for j := range bs {
		t.load(operand.Mem{Base: b, Disp: j * v.bytes}, bs[j])
	}
	for i := range r {
		t.broadcast(rowOf(a, odd, i), x)
		for j := range bs {
			t.fma231(x, bs[j], sum(i, j))
		}
	}
	ADDQ(csa, a)
	ADDQ(rsb, b)
	DECQ(k)
	JNZ(operand.LabelRef(loop))

	c, ldc := a, csa
	Load(Param("c"), c)
	loadStride(t, "ldc", ldc)
	alpha, beta := bs[0], bs[1]
	t.broadcast(paramMem("alpha"), alpha)
	for i := range r * tileVectors {
		t.mul(v.vector(i), alpha, v.vector(i))
	}
	// beta is zero if nothing is left of it without its sign.
	overwrite := fmt.Sprintf("overwrite%d", r)
	if t.bytes == 4 {
		MOVL(paramMem("beta"), b.As32())
		ADDL(b.As32(), b.As32())
	} else {
		MOVQ(paramMem("beta"), b)
		ADDQ(b, b)
	}
	JZ(operand.LabelRef(overwrite))
	t.broadcast(paramMem("beta"), beta)
	for i := range r {
		for j := range tileVectors {
			at := operand.Mem{Base: c, Disp: j * v.bytes}
			t.fma231(at, beta, sum(i, j))
			t.load(sum(i, j), at)
		}
		ADDQ(ldc, c)
	}
	VZEROUPPER()
	RET()

	Label(overwrite)
	for i := range r {
		for j := range tileVectors {
			t.load(sum(i, j), operand.Mem{Base: c, Disp: j * v.bytes})
		}
		ADDQ(ldc, c)
	}
	VZEROUPPER()
	RET()
}

// loadStride loads a parameter that counts elements and turns it into bytes.
func loadStride(t number, param string, r reg.GPPhysical) {
	Load(Param(param), r)
	SHLQ(operand.U8(t.shift), r)
}

// rowOf is the address of row i: i is an odd number times a power of two.
func rowOf(a reg.GPPhysical, odd []reg.GPPhysical, i int) operand.Mem {
	if i == 0 {
		return operand.Mem{Base: a}
	}
	scale := i & -i
	return operand.Mem{Base: a, Index: odd[i/scale], Scale: uint8(scale)}
}
