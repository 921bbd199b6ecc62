package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// int8Stores emits the kernels that make outputs of sums, for n pixels and the
// up to 16 filters of one vector: first real = float(acc + sub)·mul + add, with a
// rounding each, then what the kernel's name says.
func int8Stores() {
	storing("int8RequantizeAVX512", "uint8", "scalars *float32", "rounds to bytes, see requantized", func() func(real reg.VecVirtual, y operand.Mem) {
		lo, hi, zero := scalar(0), scalar(1), scalar(2)
		return func(v reg.VecVirtual, y operand.Mem) {
			VMAXPS(lo, v, v) // lo for a NaN
			VMINPS(hi, v, v)
			VCVTPS2DQ(v, v)
			VPADDD(zero, v, v)
			VPMOVDB(v, reg.K1, y)
		}
	})
	storing("int8RealAVX512", "float32", "scalars *float32", "bounds and stores floats, see Int8Bounds", func() func(real reg.VecVirtual, y operand.Mem) {
		lo, hi := scalar(0), scalar(1)
		return func(v reg.VecVirtual, y operand.Mem) {
			VMAXPS(v, lo, v) // a NaN stays
			VMINPS(v, hi, v)
			VMOVUPS(v, reg.K1, y)
		}
	})
	storing("int8SumAVX512", "uint8", "scalars *float32, other *uint8", "rounds to bytes, adds those of another tensor and rounds again, see Int8Sum", func() func(real reg.VecVirtual, y operand.Mem) {
		lo, hi := scalar(0), scalar(1)
		s := sumScalars(3)
		other := reg.R10
		Load(Param("other"), other)
		y := reg.RDI
		SUBQ(y, other) // relative to y, which moves by the same steps
		return func(v reg.VecVirtual, at operand.Mem) {
			VMAXPS(lo, v, v)
			VMINPS(hi, v, v)
			VRNDSCALEPS(operand.U8(0), v, v)
			VMULPS(s.scaleA, v, v)
			b := ZMM()
			VPMOVZXBD_Z(operand.Mem{Base: y, Index: other, Scale: 1}, reg.K1, b)
			s.addOther(v, b)
			VPMOVDB(v, reg.K1, at)
		}
	})
}

// storing emits one of them; prepare loads its constants and returns the body,
// which stores at y.
func storing(name, result, params, doc string, prepare func() func(real reg.VecVirtual, y operand.Mem)) {
	TEXT(name, NOSPLIT, "func(n int, acc *int32, lda int, y *"+result+", ldy int, sub *int32, mul, add *float32, mask uint16, "+params+")")
	Pragma("noescape")
	Doc(name + " " + doc + ". Strides are in bytes; n is at least 1.")
	n, acc, lda, y, ldy, p := reg.RCX, reg.RSI, reg.R8, reg.RDI, reg.R9, reg.RAX
	Load(Param("n"), n)
	Load(Param("acc"), acc)
	Load(Param("lda"), lda)
	Load(Param("y"), y)
	Load(Param("ldy"), ldy)
	sub, mul, add := ZMM(), ZMM(), ZMM()
	for _, l := range []struct {
		name string
		to   reg.VecVirtual
	}{{"sub", sub}, {"mul", mul}, {"add", add}} {
		Load(Param(l.name), p)
		VMOVUPS(operand.Mem{Base: p}, l.to)
	}
	KMOVW(paramMem("mask"), reg.K1)
	Load(Param("scalars"), p)
	finish := prepare()
	Label("pixel")
	v := ZMM()
	VPADDD(operand.Mem{Base: acc}, sub, v)
	VCVTDQ2PS(v, v)
	VMULPS(mul, v, v)
	VADDPS(add, v, v)
	finish(v, operand.Mem{Base: y})
	ADDQ(lda, acc)
	ADDQ(ldy, y)
	DECQ(n)
	JNZ(operand.LabelRef("pixel"))
	VZEROUPPER()
	RET()
}

// scalar spreads element i of the scalars, which RAX points at.
func scalar(i int) reg.VecVirtual {
	v := ZMM()
	VPBROADCASTD(operand.Mem{Base: reg.RAX, Disp: 4 * i}, v)
	return v
}

// summing holds the constants of a sum of two quantised tensors, see Int8Sum.
type summing struct{ scaleA, zeroB, scaleB, scaleY, lo, hi, zeroY reg.VecVirtual }

func sumScalars(first int) summing {
	return summing{scalar(first), scalar(first + 1), scalar(first + 2), scalar(first + 3), scalar(first + 4), scalar(first + 5), scalar(first + 6)}
}

// addOther makes of the real v and the bytes b, widened, the rounded sum.
func (s summing) addOther(v, b reg.VecVirtual) {
	VPSUBD(s.zeroB, b, b)
	VCVTDQ2PS(b, b)
	VMULPS(s.scaleB, b, b)
	VADDPS(b, v, v)
	VDIVPS(s.scaleY, v, v)
	VMAXPS(s.lo, v, v)
	VMINPS(s.hi, v, v)
	VCVTPS2DQ(v, v)
	VPADDD(s.zeroY, v, v)
}

// int8Elements emits the kernels over elements that lie side by side.
func int8Elements() {
	elementwise("int8QuantizeAVX512", "n int, y *uint8, x *float32, scalars *float32", "rounds floats to bytes, see Int8Quantize", func() func() {
		y, x := reg.RDI, reg.RSI
		Load(Param("y"), y)
		Load(Param("x"), x)
		scale, lo, hi, zero := scalar(0), scalar(1), scalar(2), scalar(3)
		return func() {
			v := ZMM()
			VMOVUPS_Z(operand.Mem{Base: x}, reg.K1, v)
			VDIVPS(scale, v, v)
			VMAXPS(lo, v, v)
			VMINPS(hi, v, v)
			VCVTPS2DQ(v, v)
			VPADDD(zero, v, v)
			VPMOVDB(v, reg.K1, operand.Mem{Base: y})
			ADDQ(operand.U8(64), x)
			ADDQ(operand.U8(16), y)
		}
	})
	elementwise("int8DequantizeAVX512", "n int, y *float32, x *uint8, scalars *float32", "computes (x − zero)·scale, see Int8Dequantize", func() func() {
		y, x := reg.RDI, reg.RSI
		Load(Param("y"), y)
		Load(Param("x"), x)
		scale, zero := scalar(0), scalar(1)
		return func() {
			v := ZMM()
			VPMOVZXBD_Z(operand.Mem{Base: x}, reg.K1, v)
			VPSUBD(zero, v, v)
			VCVTDQ2PS(v, v)
			VMULPS(scale, v, v)
			VMOVUPS(v, reg.K1, operand.Mem{Base: y})
			ADDQ(operand.U8(16), x)
			ADDQ(operand.U8(64), y)
		}
	})
	elementwise("int8AddAVX512", "n int, y, a, b *uint8, scalars *float32", "adds quantised tensors, see Int8Add", func() func() {
		y, a, b := reg.RDI, reg.RSI, reg.RBX
		Load(Param("y"), y)
		Load(Param("a"), a)
		Load(Param("b"), b)
		zeroA, s := scalar(0), sumScalars(1)
		return func() {
			v, w := ZMM(), ZMM()
			VPMOVZXBD_Z(operand.Mem{Base: a}, reg.K1, v)
			VPMOVZXBD_Z(operand.Mem{Base: b}, reg.K1, w)
			VPSUBD(zeroA, v, v)
			VCVTDQ2PS(v, v)
			VMULPS(s.scaleA, v, v)
			s.addOther(v, w)
			VPMOVDB(v, reg.K1, operand.Mem{Base: y})
			for _, p := range []reg.GPPhysical{y, a, b} {
				ADDQ(operand.U8(16), p)
			}
		}
	})
}

// elementwise emits a loop over n elements, 16 at a time, the last fewer; prepare
// loads constants and returns the body, which K1 says how many elements to work
// on.
func elementwise(name, params, doc string, prepare func() func()) {
	TEXT(name, NOSPLIT, "func("+params+")")
	Pragma("noescape")
	Doc(name + " " + doc + ". n is at least 1.")
	n := reg.RCX
	Load(Param("n"), n)
	Load(Param("scalars"), reg.RAX)
	body := prepare()
	MOVQ(operand.U32(0xffff), reg.RDX)
	KMOVW(reg.EDX, reg.K1)
	SUBQ(operand.U8(16), n)
	JL(operand.LabelRef("rest"))
	Label("whole")
	body()
	SUBQ(operand.U8(16), n)
	JGE(operand.LabelRef("whole"))
	Label("rest")
	ADDQ(operand.U8(16), n)
	JZ(operand.LabelRef("done"))
	MOVQ(operand.U32(1), reg.RDX)
	SHLQ(reg.CL, reg.RDX)
	DECQ(reg.RDX)
	KMOVW(reg.EDX, reg.K1)
	body()
	Label("done")
	VZEROUPPER()
	RET()
}

// int8Maxima emits the largest of several bytes for n pixels and up to 64
// channels.
func int8Maxima() {
	TEXT("int8MaxAVX512", NOSPLIT, "func(n int, x *uint8, step int, off *int, taps int, y *uint8, ldy int, mask uint64)")
	Pragma("noescape")
	Doc("int8MaxAVX512 takes the maximum of the bytes at some offsets for n pixels, step bytes apart, and the up to 64 channels that mask says. n and taps are at least 1.")
	n, x, step, off, taps, y, ldy, at := reg.RCX, reg.RSI, reg.R8, reg.RBX, reg.RDX, reg.RDI, reg.R9, reg.RAX
	Load(Param("n"), n)
	Load(Param("x"), x)
	Load(Param("step"), step)
	Load(Param("y"), y)
	Load(Param("ldy"), ldy)
	KMOVQ(paramMem("mask"), reg.K1)
	most, v := ZMM(), ZMM()
	Label("pixel")
	Load(Param("off"), off)
	Load(Param("taps"), taps)
	VPXORD(most, most, most)
	Label("tap")
	MOVQ(operand.Mem{Base: off}, at)
	VMOVDQU8_Z(operand.Mem{Base: x, Index: at, Scale: 1}, reg.K1, v)
	VPMAXUB(v, most, most)
	ADDQ(operand.U8(8), off)
	DECQ(taps)
	JNZ(operand.LabelRef("tap"))
	VMOVDQU8(most, reg.K1, operand.Mem{Base: y})
	ADDQ(step, x)
	ADDQ(ldy, y)
	DECQ(n)
	JNZ(operand.LabelRef("pixel"))
	VZEROUPPER()
	RET()
}
