package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// windows emits the kernels of convolution and pooling.
func windows() {
	for _, v := range []isa{avx2, avx512} {
		convTile(v)
		convWeightTile(v)
	}
	addRows()
	for _, lanes := range []int{4, 8} {
		maxPool(lanes, 1)
		maxPool(lanes, 2)
		pool2x2(lanes)
		spread2x2(lanes)
	}
}

// convLanes is the length of a segment of pixels: half a vector of AVX512, a
// whole one of AVX2.
const convLanes = 8

// halves is the number of segments in a vector.
func (v isa) halves() int { return v.bytes / 4 / convLanes }

// loadSegments fills a vector with one segment per address.
func (v isa) loadSegments(x reg.VecPhysical, at ...operand.Mem) {
	if v.halves() == 1 {
		VMOVUPS(at[0], x)
		return
	}
	VMOVUPS(at[0], x.AsY())
	VINSERTF32X8(operand.U8(1), at[1], x, x)
}

// storeSegments is the converse of loadSegments.
func (v isa) storeSegments(x reg.VecPhysical, at ...operand.Mem) {
	if v.halves() == 1 {
		VMOVUPS(x, at[0])
		return
	}
	VMOVUPS(x.AsY(), at[0])
	VEXTRACTF32X8(operand.U8(1), x, at[1])
}

// convTile emits the convolution micro-kernel: the matrix micro-kernel with
// each row of B found through a table, and its columns in separate segments.
func convTile(v isa) {
	name := "sconv" + v.name
	segments := tileVectors * v.halves()
	TEXT(name, NOSPLIT, "func(rows, k int, a *float32, lda int, x *float32, off, segs *int, y *float32, ldy int, bias *float32, relu int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is the convolution micro-kernel of up to %d rows and %d segments of %d; see convTile. rows and k are at least 1.", name, v.tileRows, segments, convLanes))

	rows := reg.R15
	Load(Param("rows"), rows)
	for r := v.tileRows; r > 1; r-- {
		CMPQ(rows, operand.U8(uint8(r)))
		JE(operand.LabelRef(fmt.Sprintf("rows%d", r)))
	}
	for r := 1; r <= v.tileRows; r++ {
		Label(fmt.Sprintf("rows%d", r))
		convRows(v, r, segments)
	}
}

// convRows emits the loop and the store for r rows. Rows of A are reached from
// two pointers, half a tile apart, with odd multiples of the stride.
func convRows(v isa, r, segments int) {
	half := v.tileRows / 2
	a := [2]reg.GPPhysical{reg.RAX, reg.RDX}
	odd := []reg.GPPhysical{1: reg.RDI, 3: reg.R8, 5: reg.R9}
	off, at, k := reg.RBX, reg.RSI, reg.RCX
	x := []reg.GPPhysical{reg.R10, reg.R11, reg.R12, reg.R13}[:segments]
	sum := func(i, j int) reg.VecPhysical { return v.vector(i*tileVectors + j) }
	bs := [tileVectors]reg.VecPhysical{v.vector(v.tileRows * tileVectors), v.vector(v.tileRows*tileVectors + 1)}
	w := v.vector(v.tileRows*tileVectors + 2)

	Load(Param("a"), a[0])
	loadStride(float32s, "lda", odd[1])
	LEAQ(operand.Mem{Base: odd[1], Index: odd[1], Scale: 2}, odd[3])
	LEAQ(operand.Mem{Base: odd[1], Index: odd[1], Scale: 4}, odd[5])
	switch half {
	case 7:
		LEAQ(operand.Mem{Base: a[0], Index: odd[3], Scale: 2}, a[1])
		ADDQ(odd[1], a[1])
	case 3:
		LEAQ(operand.Mem{Base: a[0], Index: odd[3], Scale: 1}, a[1])
	default:
		panic("tile height not provided for")
	}
	convBases("x", 0, x, off)
	Load(Param("off"), off)
	Load(Param("k"), k)
	for i := range r * tileVectors {
		VXORPS(v.vector(i), v.vector(i), v.vector(i))
	}

	loop := fmt.Sprintf("loop%d", r)
	Label(loop)
	MOVQ(operand.Mem{Base: off}, at)
	for j := range bs {
		var from []operand.Mem
		for h := range v.halves() {
			from = append(from, operand.Mem{Base: x[j*v.halves()+h], Index: at, Scale: 4})
		}
		v.loadSegments(bs[j], from...)
	}
	for i := range r {
		VBROADCASTSS(rowOf(a[i/half], odd, i%half), w)
		for j := range bs {
			VFMADD231PS(w, bs[j], sum(i, j))
		}
	}
	ADDQ(operand.Imm(4), a[0])
	if r > half {
		ADDQ(operand.Imm(4), a[1])
	}
	ADDQ(operand.Imm(8), off)
	DECQ(k)
	JNZ(operand.LabelRef(loop))
	convStore(v, r, x)
}

// convBases points registers at the segments: param + 4·segs[2i+field].
func convBases(param string, field int, to []reg.GPPhysical, tmp reg.GPPhysical) {
	Load(Param("segs"), tmp)
	for i := range to {
		MOVQ(operand.Mem{Base: tmp, Disp: 16*i + 8*field}, to[i])
	}
	Load(Param(param), tmp)
	for i := range to {
		LEAQ(operand.Mem{Base: tmp, Index: to[i], Scale: 4}, to[i])
	}
}

// convStore adds the bias, rectifies and stores r rows.
func convStore(v isa, r int, y []reg.GPPhysical) {
	tmp := v.vector(v.tileRows * tileVectors)
	bias, relu, ldy := reg.RBX, reg.RCX, reg.RDI
	convBases("y", 1, y, reg.RSI)
	loadStride(float32s, "ldy", ldy)
	Load(Param("bias"), bias)
	Load(Param("relu"), relu)

	plain := fmt.Sprintf("plain%d", r)
	TESTQ(bias, bias)
	JZ(operand.LabelRef(plain))
	for i := range r {
		VBROADCASTSS(operand.Mem{Base: bias, Disp: 4 * i}, tmp)
		for j := range tileVectors {
			acc := v.vector(i*tileVectors + j)
			VADDPS(tmp, acc, acc)
		}
	}
	Label(plain)
	linear := fmt.Sprintf("linear%d", r)
	TESTQ(relu, relu)
	JZ(operand.LabelRef(linear))
	VXORPS(tmp, tmp, tmp)
	for i := range r * tileVectors {
		VMAXPS(v.vector(i), tmp, v.vector(i)) // of a NaN and zero, the NaN
	}
	Label(linear)
	for i := range r {
		for j := range tileVectors {
			var to []operand.Mem
			for h := range v.halves() {
				to = append(to, operand.Mem{Base: y[j*v.halves()+h]})
			}
			v.storeSegments(v.vector(i*tileVectors+j), to...)
		}
		if i < r-1 {
			for _, p := range y {
				ADDQ(ldy, p)
			}
		}
	}
	VZEROUPPER()
	RET()
}

// weightTile is the shape of the weight gradient's micro-kernel.
func (v isa) weightTile() (rows, taps int) {
	if v.bytes == 64 {
		return 4, 6
	}
	return 3, 4
}

// convWeightTile emits the micro-kernel of the weight gradient: dot products
// along the pixels between rows of dy and the same number of pixels of x under
// each tap of the kernel.
func convWeightTile(v isa) {
	rows, taps := v.weightTile()
	name := "sconvWeight" + v.name
	TEXT(name, NOSPLIT, "func(rows, steps, images int, dy *float32, lddy, dyImage int, x *float32, xImage int, off, segs *int, sums *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is the weight gradient's micro-kernel of up to %d rows and exactly %d taps; see convTile. rows, steps and images are at least 1.", name, rows, taps))
	Load(Param("rows"), reg.RCX)
	for r := rows; r > 1; r-- {
		CMPQ(reg.RCX, operand.U8(uint8(r)))
		JE(operand.LabelRef(fmt.Sprintf("rows%d", r)))
	}
	for r := 1; r <= rows; r++ {
		Label(fmt.Sprintf("rows%d", r))
		convWeightRows(v, r, taps)
	}
}

func convWeightRows(v isa, r, taps int) {
	dy, ld, ld3 := reg.RAX, reg.RDI, reg.R8
	segs, steps := reg.RBX, reg.RCX
	at := [2]reg.GPPhysical{reg.RSI, reg.RDX}
	x := []reg.GPPhysical{reg.R9, reg.R10, reg.R11, reg.R12, reg.R13, reg.R15}[:taps]
	sum := func(i, j int) reg.VecPhysical { return v.vector(i*taps + j) }
	ys := func(i int) reg.VecPhysical { return v.vector(r*taps + i) }
	xs := v.vector(r*taps + r)

	loadStride(float32s, "lddy", ld)
	LEAQ(operand.Mem{Base: ld, Index: ld, Scale: 2}, ld3)
	Load(Param("off"), segs)
	for i := range x {
		MOVQ(operand.Mem{Base: segs, Disp: 8 * i}, x[i])
	}
	Load(Param("x"), segs)
	for i := range x {
		LEAQ(operand.Mem{Base: segs, Index: x[i], Scale: 4}, x[i])
	}
	SHLQ(operand.U8(2), paramMem("dyImage"))
	SHLQ(operand.U8(2), paramMem("xImage"))
	for i := range r * taps {
		VXORPS(v.vector(i), v.vector(i), v.vector(i))
	}

	image := fmt.Sprintf("image%d", r)
	Label(image)
	Load(Param("dy"), dy)
	Load(Param("segs"), segs)
	Load(Param("steps"), steps)
	loop := fmt.Sprintf("loop%d", r)
	Label(loop)
	for h := range v.halves() {
		MOVQ(operand.Mem{Base: segs, Disp: 16 * h}, at[h])
	}
	rowsAt := []operand.Mem{{Base: dy}, {Base: dy, Index: ld, Scale: 1}, {Base: dy, Index: ld, Scale: 2}, {Base: dy, Index: ld3, Scale: 1}}
	for i := range r {
		VMOVUPS(rowsAt[i], ys(i))
	}
	for j := range taps {
		var from []operand.Mem
		for h := range v.halves() {
			from = append(from, operand.Mem{Base: x[j], Index: at[h], Scale: 4})
		}
		v.loadSegments(xs, from...)
		for i := range r {
			VFMADD231PS(xs, ys(i), sum(i, j))
		}
	}
	ADDQ(operand.Imm(uint64(v.bytes)), dy)
	ADDQ(operand.Imm(uint64(16*v.halves())), segs)
	DECQ(steps)
	JNZ(operand.LabelRef(loop))

	Load(Param("dyImage"), dy)
	ADDQ(dy, paramMem("dy"))
	Load(Param("xImage"), segs)
	for i := range x {
		ADDQ(segs, x[i])
	}
	DECQ(paramMem("images"))
	JNZ(operand.LabelRef(image))

	Load(Param("sums"), dy)
	for i := range r {
		for j := range taps {
			lanesSum(v, sum(i, j), xs, ys(0))
			VMOVSS(xs.AsX(), operand.Mem{Base: dy, Disp: 4 * (i*taps + j)})
		}
	}
	VZEROUPPER()
	RET()
}

// lanesSum adds the lanes of x pairwise into the first lane of to.
func lanesSum(v isa, x, to, tmp reg.VecPhysical) {
	if v.bytes == 64 {
		VEXTRACTF32X8(operand.U8(1), x, to.AsY())
		VADDPS(x.AsY(), to.AsY(), to.AsY())
		VEXTRACTF32X4(operand.U8(1), to.AsY(), tmp.AsX())
		VADDPS(to.AsX(), tmp.AsX(), to.AsX())
	} else {
		VEXTRACTF128(operand.U8(1), x, to.AsX())
		VADDPS(x.AsX(), to.AsX(), to.AsX())
	}
	VPERMILPS(operand.U8(0b1110), to.AsX(), tmp.AsX())
	VADDPS(to.AsX(), tmp.AsX(), to.AsX())
	VPERMILPS(operand.U8(0b0001), to.AsX(), tmp.AsX())
	VADDSS(to.AsX(), tmp.AsX(), to.AsX())
}

// addRows emits dst[i·ldd+j] += src[i·lds+j] for a few short rows.
func addRows() {
	TEXT("saddRowsAVX2", NOSPLIT, "func(rows, n int, dst *float32, ldd int, src *float32, lds int)")
	Pragma("noescape")
	Doc("saddRowsAVX2 adds rows of n floats of src to those of dst. rows and n are at least 1.")
	dst, src, rows, n := reg.RDI, reg.RSI, reg.RCX, reg.RBX
	ldd, lds, i, last := reg.R8, reg.R9, reg.RAX, reg.RDX
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	Load(Param("rows"), rows)
	Load(Param("n"), n)
	loadStride(float32s, "ldd", ldd)
	loadStride(float32s, "lds", lds)
	MOVQ(n, last)
	SUBQ(operand.Imm(convLanes), last) // last start of a whole vector

	to := operand.Mem{Base: dst, Index: i, Scale: 4}
	from := operand.Mem{Base: src, Index: i, Scale: 4}
	Label("row")
	XORQ(i, i)
	JMP(operand.LabelRef("more"))
	Label("vector")
	VMOVUPS(from, reg.Y0)
	VADDPS(to, reg.Y0, reg.Y0)
	VMOVUPS(reg.Y0, to)
	ADDQ(operand.Imm(convLanes), i)
	Label("more")
	CMPQ(i, last)
	JLE(operand.LabelRef("vector"))
	JMP(operand.LabelRef("rest"))
	Label("one")
	VMOVSS(from, reg.X0)
	VADDSS(to, reg.X0, reg.X0)
	VMOVSS(reg.X0, to)
	INCQ(i)
	Label("rest")
	CMPQ(i, n)
	JLT(operand.LabelRef("one"))
	ADDQ(ldd, dst)
	ADDQ(lds, src)
	DECQ(rows)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}
