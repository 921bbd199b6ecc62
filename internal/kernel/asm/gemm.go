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
		prefetchTile(v, t, r, k, rows, b)
		Load(Param("b"), b)
		gemmRows(v, t, r, a, csa, b, rsb, k, odd)
	}
}

// prefetchDepth is the depth from which on C is fetched ahead: of fewer terms the
// tile is done before it would be there.
const prefetchDepth = 64

// prefetchTile asks for r rows of C while their sums are computed: in a large
// matrix they are far away, a page each, and a tile's stores would wait for all of
// them at once. row and ldc are scratch.
func prefetchTile(v isa, t number, r int, k, row, ldc reg.GPPhysical) {
	skip := fmt.Sprintf("near%d", r)
	CMPQ(k, operand.U8(prefetchDepth))
	JL(operand.LabelRef(skip))
	Load(Param("c"), row)
	loadStride(t, "ldc", ldc)
	for i := range r {
		for at := 0; at < tileVectors*v.bytes; at += 64 {
			PREFETCHT0(operand.Mem{Base: row, Disp: at})
		}
		if i+1 < r {
			ADDQ(ldc, row)
		}
	}
	Label(skip)
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

	gemmStore(v, t, r, tileVectors, a, csa, b)
}

// gemmStore emits c ← alpha·sum + beta·c for rows of so many vectors, and returns.
// Sums lie in the first registers, row after row; scratch is free.
func gemmStore(v isa, t number, r, vectors int, c, ldc, scratch reg.GPPhysical) {
	suffix := fmt.Sprint(r)
	Load(Param("c"), c)
	loadStride(t, "ldc", ldc)
	factor := v.vector(v.tileRows * tileVectors)
	t.broadcast(paramMem("alpha"), factor)
	for i := range r * vectors {
		t.mul(v.vector(i), factor, v.vector(i))
	}
	// beta is zero if nothing is left of it without its sign.
	if t.bytes == 4 {
		MOVL(paramMem("beta"), scratch.As32())
		ADDL(scratch.As32(), scratch.As32())
	} else {
		MOVQ(paramMem("beta"), scratch)
		ADDQ(scratch, scratch)
	}
	JZ(operand.LabelRef("overwrite" + suffix))
	t.broadcast(paramMem("beta"), factor)
	for i := range r * vectors {
		t.fma231(gemmOut(v, c, ldc, i, vectors), factor, v.vector(i))
		t.load(v.vector(i), operand.Mem{Base: c, Disp: i % vectors * v.bytes})
	}
	VZEROUPPER()
	RET()

	Label("overwrite" + suffix)
	for i := range r * vectors {
		t.load(v.vector(i), gemmOut(v, c, ldc, i, vectors))
	}
	VZEROUPPER()
	RET()
}

// gemmOut is where sum i goes; it steps c when a row begins.
func gemmOut(v isa, c, ldc reg.GPPhysical, i, vectors int) operand.Mem {
	if i > 0 && i%vectors == 0 {
		ADDQ(ldc, c)
	}
	return operand.Mem{Base: c, Disp: i % vectors * v.bytes}
}

// wideVectors is the width of the kernel for a single row: enough sums to hide
// the latency of the multiplier, and long runs of B, which is read in place.
const wideVectors = 8

// gemmWide emits that kernel.
func gemmWide(v isa, t number) {
	name := fmt.Sprintf("%srow%s", t.prefix, v.name)
	TEXT(name, NOSPLIT, fmt.Sprintf("func(k int, a *%[1]s, csa int, b *%[1]s, rsb int, c *%[1]s, ldc int, alpha, beta %[1]s)", t.name))
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is the micro-kernel of one row and %d columns; ldc is not used.", name, wideVectors*v.bytes/t.bytes))
	a, csa, b, rsb, k := reg.RAX, reg.RDX, reg.RBX, reg.RSI, reg.RCX
	Load(Param("a"), a)
	Load(Param("b"), b)
	Load(Param("k"), k)
	loadStride(t, "csa", csa)
	loadStride(t, "rsb", rsb)
	x := v.vector(wideVectors)
	for i := range wideVectors {
		VXORPS(v.vector(i), v.vector(i), v.vector(i))
	}
	Label("loop")
	t.broadcast(operand.Mem{Base: a}, x)
	for i := range wideVectors {
		t.fma231(operand.Mem{Base: b, Disp: i * v.bytes}, x, v.vector(i))
	}
	ADDQ(csa, a)
	ADDQ(rsb, b)
	DECQ(k)
	JNZ(operand.LabelRef("loop"))
	gemmStore(v, t, 1, wideVectors, a, csa, b)
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
