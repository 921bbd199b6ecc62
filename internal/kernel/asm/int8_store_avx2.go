package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// halves are 16 numbers of 32 bits in two vectors of AVX2.
type halves [2]reg.VecVirtual

func newHalves() halves { return halves{YMM(), YMM()} }

// each runs an instruction on both halves.
func (h halves) each(do func(i int, v reg.VecVirtual)) {
	for i, v := range h {
		do(i, v)
	}
}

// int8AVX2 emits the twins of int8Stores and int8Elements for AVX2. They take 16
// filters or elements at a time and no fewer.
func int8AVX2() {
	storingAVX2("int8RequantizeAVX2", "uint8", "scalars *float32", func() func(v halves, y operand.Mem) {
		lo, hi, zero := scalarAVX2(0), scalarAVX2(1), scalarAVX2(2)
		return func(v halves, y operand.Mem) {
			roundAVX2(v, lo, hi, zero)
			storeBytes(v, y)
		}
	})
	storingAVX2("int8RealAVX2", "float32", "scalars *float32", func() func(v halves, y operand.Mem) {
		lo, hi := scalarAVX2(0), scalarAVX2(1)
		return func(v halves, y operand.Mem) {
			v.each(func(i int, v reg.VecVirtual) {
				VMAXPS(v, lo, v) // a NaN stays
				VMINPS(v, hi, v)
				VMOVUPS(v, y.Offset(32*i))
			})
		}
	})
	storingAVX2("int8SumAVX2", "uint8", "scalars *float32, other *uint8", func() func(v halves, y operand.Mem) {
		lo, hi := scalarAVX2(0), scalarAVX2(1)
		s := sumScalarsAVX2(3)
		other := reg.R10
		Load(Param("other"), other)
		SUBQ(reg.RDI, other) // relative to y, which moves by the same steps
		return func(v halves, y operand.Mem) {
			v.each(func(_ int, v reg.VecVirtual) {
				VMAXPS(lo, v, v)
				VMINPS(hi, v, v)
				VROUNDPS(operand.U8(0), v, v)
				VMULPS(s.scaleA, v, v)
			})
			s.addOtherAVX2(v, operand.Mem{Base: reg.RDI, Index: other, Scale: 1})
			storeBytes(v, y)
		}
	})
	y, x, b := operand.Mem{Base: reg.RDI}, operand.Mem{Base: reg.RSI}, operand.Mem{Base: reg.RBX}
	elementsAVX2("int8QuantizeAVX2", "n int, y *uint8, x *float32, scalars *float32", func() func() {
		Load(Param("y"), reg.RDI)
		Load(Param("x"), reg.RSI)
		scale, lo, hi, zero := scalarAVX2(0), scalarAVX2(1), scalarAVX2(2), scalarAVX2(3)
		return func() {
			v := newHalves()
			v.each(func(i int, v reg.VecVirtual) {
				VMOVUPS(x.Offset(32*i), v)
				VDIVPS(scale, v, v)
			})
			roundAVX2(v, lo, hi, zero)
			storeBytes(v, y)
			ADDQ(operand.U8(64), reg.RSI)
			ADDQ(operand.U8(16), reg.RDI)
		}
	})
	elementsAVX2("int8DequantizeAVX2", "n int, y *float32, x *uint8, scalars *float32", func() func() {
		Load(Param("y"), reg.RDI)
		Load(Param("x"), reg.RSI)
		scale, zero := scalarAVX2(0), scalarAVX2(1)
		return func() {
			v := newHalves()
			loadBytes(v, x, zero, scale)
			v.each(func(i int, v reg.VecVirtual) { VMOVUPS(v, y.Offset(32*i)) })
			ADDQ(operand.U8(16), reg.RSI)
			ADDQ(operand.U8(64), reg.RDI)
		}
	})
	elementsAVX2("int8AddAVX2", "n int, y, a, b *uint8, scalars *float32", func() func() {
		Load(Param("y"), reg.RDI)
		Load(Param("a"), reg.RSI)
		Load(Param("b"), reg.RBX)
		zeroA, s := scalarAVX2(0), sumScalarsAVX2(1)
		return func() {
			v := newHalves()
			loadBytes(v, x, zeroA, s.scaleA)
			s.addOtherAVX2(v, b)
			storeBytes(v, y)
			for _, p := range []reg.GPPhysical{reg.RDI, reg.RSI, reg.RBX} {
				ADDQ(operand.U8(16), p)
			}
		}
	})
}

func scalarAVX2(i int) reg.VecVirtual {
	v := YMM()
	VPBROADCASTD(operand.Mem{Base: reg.RAX, Disp: 4 * i}, v)
	return v
}

func sumScalarsAVX2(first int) summing {
	return summing{scalarAVX2(first), scalarAVX2(first + 1), scalarAVX2(first + 2), scalarAVX2(first + 3), scalarAVX2(first + 4), scalarAVX2(first + 5), scalarAVX2(first + 6)}
}

// roundAVX2 clamps, lo for a NaN, rounds and adds the zero point.
func roundAVX2(v halves, lo, hi, zero reg.VecVirtual) {
	v.each(func(_ int, v reg.VecVirtual) {
		VMAXPS(lo, v, v)
		VMINPS(hi, v, v)
		VCVTPS2DQ(v, v)
		VPADDD(zero, v, v)
	})
}

// loadBytes computes (bytes − zero)·scale.
func loadBytes(v halves, at operand.Mem, zero, scale reg.VecVirtual) {
	v.each(func(i int, v reg.VecVirtual) {
		VPMOVZXBD(at.Offset(8*i), v)
		VPSUBD(zero, v, v)
		VCVTDQ2PS(v, v)
		VMULPS(scale, v, v)
	})
}

// storeBytes packs integers from 0 to 255, which destroys them.
func storeBytes(v halves, y operand.Mem) {
	VPACKUSDW(v[1], v[0], v[0])
	VPERMQ(operand.U8(0b11_01_10_00), v[0], v[0]) // packing works within 16 bytes
	VEXTRACTI128(operand.U8(1), v[0], v[1].AsX())
	VPACKUSWB(v[1].AsX(), v[0].AsX(), v[0].AsX())
	VMOVDQU(v[0].AsX(), y)
}

// addOtherAVX2 is addOther for the bytes at some place.
func (s summing) addOtherAVX2(v halves, at operand.Mem) {
	for i := range v {
		b := YMM()
		VPMOVZXBD(at.Offset(8*i), b)
		VPSUBD(s.zeroB, b, b)
		VCVTDQ2PS(b, b)
		VMULPS(s.scaleB, b, b)
		VADDPS(b, v[i], v[i])
		VDIVPS(s.scaleY, v[i], v[i])
	}
	roundAVX2(v, s.lo, s.hi, s.zeroY)
}

// storingAVX2 is storing for AVX2.
func storingAVX2(name, result, params string, prepare func() func(v halves, y operand.Mem)) {
	TEXT(name, NOSPLIT, "func(n int, acc *int32, lda int, y *"+result+", ldy int, sub *int32, mul, add *float32, "+params+")")
	Pragma("noescape")
	Doc(name + " is the twin of the kernel for AVX-512, for 16 filters and no fewer.")
	n, acc, lda, y, ldy, sub, mul, add := reg.RCX, reg.RSI, reg.R8, reg.RDI, reg.R9, reg.R11, reg.R12, reg.R13
	Load(Param("n"), n)
	Load(Param("acc"), acc)
	Load(Param("lda"), lda)
	Load(Param("y"), y)
	Load(Param("ldy"), ldy)
	Load(Param("sub"), sub)
	Load(Param("mul"), mul)
	Load(Param("add"), add)
	Load(Param("scalars"), reg.RAX)
	finish := prepare()
	Label("pixel")
	v := newHalves()
	v.each(func(i int, v reg.VecVirtual) {
		VMOVDQU(operand.Mem{Base: acc, Disp: 32 * i}, v)
		VPADDD(operand.Mem{Base: sub, Disp: 32 * i}, v, v)
		VCVTDQ2PS(v, v)
		VMULPS(operand.Mem{Base: mul, Disp: 32 * i}, v, v)
		VADDPS(operand.Mem{Base: add, Disp: 32 * i}, v, v)
	})
	finish(v, operand.Mem{Base: y})
	ADDQ(lda, acc)
	ADDQ(ldy, y)
	DECQ(n)
	JNZ(operand.LabelRef("pixel"))
	VZEROUPPER()
	RET()
}

// elementsAVX2 is elementwise for AVX2.
func elementsAVX2(name, params string, prepare func() func()) {
	TEXT(name, NOSPLIT, "func("+params+")")
	Pragma("noescape")
	Doc(name + " is the twin of the kernel for AVX-512. n is a multiple of 16 and not 0.")
	n := reg.RCX
	Load(Param("n"), n)
	Load(Param("scalars"), reg.RAX)
	body := prepare()
	Label("loop")
	body()
	SUBQ(operand.U8(16), n)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// int8WindowsAVX2 emits the depthwise convolution and the maximum of 16 channels.
func int8WindowsAVX2() {
	int8DepthwiseAVX2()
	TEXT("int8MaxAVX2", NOSPLIT, "func(n int, x *uint8, step int, off *int, taps int, y *uint8, ldy int)")
	Pragma("noescape")
	Doc("int8MaxAVX2 is the twin of int8MaxAVX512 for 16 channels and no fewer.")
	n, x, step, off, taps, y, ldy, at := reg.RCX, reg.RSI, reg.R8, reg.RBX, reg.RDX, reg.RDI, reg.R9, reg.RAX
	Load(Param("n"), n)
	Load(Param("x"), x)
	Load(Param("step"), step)
	Load(Param("y"), y)
	Load(Param("ldy"), ldy)
	most := XMM()
	Label("pixel")
	Load(Param("off"), off)
	Load(Param("taps"), taps)
	VPXOR(most, most, most)
	Label("tap")
	MOVQ(operand.Mem{Base: off}, at)
	VPMAXUB(operand.Mem{Base: x, Index: at, Scale: 1}, most, most)
	ADDQ(operand.U8(8), off)
	DECQ(taps)
	JNZ(operand.LabelRef("tap"))
	VMOVDQU(most, operand.Mem{Base: y})
	ADDQ(step, x)
	ADDQ(ldy, y)
	DECQ(n)
	JNZ(operand.LabelRef("pixel"))
	VZEROUPPER()
	RET()
}

// int8DepthwiseAVX2 emits the convolution of each of 16 channels by itself: bytes
// of four taps are interleaved, widened, and their products added in pairs. The
// weights are those of lane l of 64 channels: 16 bytes, 64 apart.
func int8DepthwiseAVX2() {
	TEXT("int8DepthwiseAVX2", NOSPLIT, "func(n int, x *uint8, step int, off *int, groups int, w *int8, acc *int32)")
	Pragma("noescape")
	Doc("int8DepthwiseAVX2 is the twin of int8DepthwiseVNNI for 16 of its 64 channels and no fewer; sums of pixels are 64 apart.")
	n, x, step, off, groups, w, acc := reg.RCX, reg.RSI, reg.R8, reg.RBX, reg.RDX, reg.RDI, reg.R9
	at := []reg.GPPhysical{reg.RAX, reg.R10, reg.R11, reg.R12}
	Load(Param("n"), n)
	Load(Param("x"), x)
	Load(Param("step"), step)
	Load(Param("acc"), acc)
	Label("pixel")
	Load(Param("off"), off)
	Load(Param("groups"), groups)
	Load(Param("w"), w)
	for j := range 4 {
		VPXOR(ymm[j], ymm[j], ymm[j])
	}
	Label("taps")
	for t := range 4 {
		MOVQ(operand.Mem{Base: off, Disp: 8 * t}, at[t])
		VMOVDQU(operand.Mem{Base: x, Index: at[t], Scale: 1}, ymm[4+t].AsX())
	}
	X := func(i int) reg.VecPhysical { return ymm[i].AsX().(reg.VecPhysical) }
	VPUNPCKLBW(X(5), X(4), X(8))
	VPUNPCKHBW(X(5), X(4), X(9))
	VPUNPCKLBW(X(7), X(6), X(10))
	VPUNPCKHBW(X(7), X(6), X(11))
	VPUNPCKLWD(X(10), X(8), X(12))
	VPUNPCKHWD(X(10), X(8), X(13))
	VPUNPCKLWD(X(11), X(9), X(14))
	VPUNPCKHWD(X(11), X(9), X(15))
	for j := range 4 {
		VPMOVZXBW(X(12+j), ymm[12+j])
		VPMOVSXBW(operand.Mem{Base: w, Disp: 64 * j}, ymm[4])
		VPMADDWD(ymm[4], ymm[12+j], ymm[12+j])
		VPADDD(ymm[12+j], ymm[j], ymm[j])
	}
	ADDQ(operand.U32(256), w)
	ADDQ(operand.U8(32), off)
	DECQ(groups)
	JNZ(operand.LabelRef("taps"))
	for j := 0; j < 4; j += 2 { // neighbours are the halves of one channel's sum
		VPHADDD(ymm[j+1], ymm[j], ymm[j])
		VPERMQ(operand.U8(0b11_01_10_00), ymm[j], ymm[j])
		VMOVDQU(ymm[j], operand.Mem{Base: acc, Disp: 16 * j})
	}
	ADDQ(operand.U32(256), acc)
	ADDQ(step, x)
	DECQ(n)
	JNZ(operand.LabelRef("pixel"))
	VZEROUPPER()
	RET()
}
