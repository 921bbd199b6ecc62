package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// The operands of the products of signs, see signArgs of package kernel.
const (
	signRows = iota
	signWords
	signData
	signX
	signMask
	signXStep
	signY
	signYStep
)

// signsAVX512 emits the count of differing signs with the population count of
// AVX-512 VPOPCNTDQ: sixteen outputs for each of up to four rows.
func signsAVX512() {
	args := beginForm("signsAVX512", "counts differing signs of up to four rows; see signArgs. It needs VPOPCNTDQ.")
	for r := 4; r >= 1; r-- {
		next := fmt.Sprintf("not%d", r)
		CMPQ(field(args, signRows), operand.U8(uint8(r)))
		JNE(operand.LabelRef(next))
		words, data, step := loadField(args, signWords), loadField(args, signData), loadField(args, signXStep)
		x, mask, step3 := loadField(args, signX), loadField(args, signMask), GP64()
		LEAQ(operand.Mem{Base: step, Index: step, Scale: 2}, step3)
		row := func(base reg.Register, i int) operand.Mem {
			return [4]operand.Mem{{Base: base}, {Base: base, Index: step, Scale: 1}, {Base: base, Index: step, Scale: 2}, {Base: base, Index: step3, Scale: 1}}[i]
		}
		var acc []reg.VecVirtual
		for range r {
			a := ZMM()
			VPXORD(a, a, a)
			acc = append(acc, a)
		}
		loop := fmt.Sprintf("loop%d", r)
		Label(loop)
		w := ZMM()
		VMOVDQU32(operand.Mem{Base: data}, w)
		for i, a := range acc {
			t := ZMM()
			VPBROADCASTD(row(x, i), t)
			VPTERNLOGD_BCST(operand.U8(0x28), row(mask, i), w, t) // (x xor w) and mask
			VPOPCNTD(t, t)
			VPADDD(t, a, a)
		}
		ADDQ(operand.U8(4*blockLanes), data)
		ADDQ(operand.U8(4), x)
		ADDQ(operand.U8(4), mask)
		DECQ(words)
		JNZ(operand.LabelRef(loop))
		y := loadField(args, signY)
		for i, a := range acc {
			VMOVDQU32(a, operand.Mem{Base: y})
			if i < r-1 {
				ADDQ(field(args, signYStep), y)
			}
		}
		VZEROUPPER()
		RET()
		Label(next)
	}
	VZEROUPPER()
	RET()
}

// byteRounds is how many counts of a byte's bits, at most 8, a byte holds.
const byteRounds = 31

// signsAVX2 emits the same count for one row: bits of half bytes from a table,
// summed in bytes for up to 31 words and then in double words. Source: W. Muła,
// N. Kurz and D. Lemire, "Faster population counts using AVX2 instructions", The
// Computer Journal 61(1), 2018, section 3.1.
func signsAVX2() {
	args := beginForm("signsAVX2", "counts differing signs of one row; see signArgs.")
	words, data := loadField(args, signWords), loadField(args, signData)
	x, mask, round := loadField(args, signX), loadField(args, signMask), GP64()
	table := GLOBL("nibbleBits", 8|16)
	for i := range 32 {
		n := 0
		for b := i & 15; b > 0; b &= b - 1 {
			n++
		}
		DATA(i, operand.U8(uint8(n)))
	}
	counts, low := YMM(), YMM()
	VMOVDQU(table, counts)
	VPBROADCASTD(bitConstant("lowNibbles", 0x0f0f0f0f), low)
	var total, bytes [2]reg.VecVirtual
	for p := range total {
		total[p], bytes[p] = YMM(), YMM()
		VPXOR(total[p], total[p], total[p])
	}
	Label("block")
	MOVQ(operand.U32(byteRounds), round)
	CMPQ(words, round)
	CMOVQLT(words, round)
	SUBQ(round, words)
	for _, b := range bytes {
		VPXOR(b, b, b)
	}
	Label("loop")
	xs, ms := YMM(), YMM()
	VPBROADCASTD(operand.Mem{Base: x}, xs)
	VPBROADCASTD(operand.Mem{Base: mask}, ms)
	for p, b := range bytes {
		t, high := YMM(), YMM()
		VPXOR(operand.Mem{Base: data, Disp: 32 * p}, xs, t)
		VPAND(ms, t, t)
		VPSRLD(operand.U8(4), t, high)
		VPAND(low, t, t)
		VPAND(low, high, high)
		VPSHUFB(t, counts, t)
		VPSHUFB(high, counts, high)
		VPADDB(t, b, b)
		VPADDB(high, b, b)
	}
	ADDQ(operand.U8(4*blockLanes), data)
	ADDQ(operand.U8(4), x)
	ADDQ(operand.U8(4), mask)
	DECQ(round)
	JNZ(operand.LabelRef("loop"))
	ones, wide := YMM(), YMM()
	VPBROADCASTD(bitConstant("byteOnes", 0x01010101), ones)
	VPBROADCASTD(bitConstant("wordOnes", 0x00010001), wide)
	for p, b := range bytes {
		VPMADDUBSW(ones, b, b)
		VPMADDWD(wide, b, b)
		VPADDD(b, total[p], total[p])
	}
	TESTQ(words, words)
	JNZ(operand.LabelRef("block"))
	y := loadField(args, signY)
	for p, t := range total {
		VMOVDQU(t, operand.Mem{Base: y, Disp: 32 * p})
	}
	VZEROUPPER()
	RET()
}

// The operands of packSigns, see packArgs of package kernel.
const (
	packWords = iota
	packX
	packSign
	packMask
)

// packSigns emits the signs of numbers, and which of them are not zero, as bits.
func packSigns() {
	args := beginForm("packSignsAVX2", "packs the signs of 32 numbers into each word; see packArgs.")
	words, x := loadField(args, packWords), loadField(args, packX)
	signs, masks := loadField(args, packSign), loadField(args, packMask)
	zero := YMM()
	VXORPS(zero, zero, zero)
	Label("loop")
	sign, mask := GP64(), GP64()
	for i := range 4 {
		v := YMM()
		VMOVUPS(operand.Mem{Base: x, Disp: 32 * i}, v)
		s, m := GP64(), GP64()
		VMOVMSKPS(v, s.As32())
		VCMPPS(operand.U8(4), zero, v, v) // not equal, or not a number
		VMOVMSKPS(v, m.As32())
		if i == 0 {
			MOVQ(s, sign)
			MOVQ(m, mask)
			continue
		}
		SHLQ(operand.U8(uint8(8*i)), s)
		SHLQ(operand.U8(uint8(8*i)), m)
		ORQ(s, sign)
		ORQ(m, mask)
	}
	MOVL(sign.As32(), operand.Mem{Base: signs})
	MOVL(mask.As32(), operand.Mem{Base: masks})
	ADDQ(operand.U32(128), x)
	ADDQ(operand.U8(4), signs)
	ADDQ(operand.U8(4), masks)
	DECQ(words)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}
