package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// copyPanel emits the packing of a panel whose rows of so many bytes lie in one
// piece in the source as well.
func copyPanel(bytes int) {
	name := fmt.Sprintf("copyPanel%d", bytes)
	TEXT(name, NOSPLIT, "func(k int, dst, src *byte, stride int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s copies k ≥ 1 rows of %d bytes, stride bytes apart in src, one after the other to dst.", name, bytes))
	k, dst, src, stride := GP64(), GP64(), GP64(), GP64()
	Load(Param("k"), k)
	Load(Param("dst"), dst)
	Load(Param("src"), src)
	Load(Param("stride"), stride)
	Label("loop")
	for at := 0; at < bytes; {
		from, to := operand.Mem{Base: src, Disp: at}, operand.Mem{Base: dst, Disp: at}
		switch left := bytes - at; {
		case left >= 64 && bytes > 64: // AVX-512's panels only
			x := ZMM()
			VMOVUPS(from, x)
			VMOVUPS(x, to)
			at += 64
		case left >= 32:
			x := YMM()
			VMOVUPS(from, x)
			VMOVUPS(x, to)
			at += 32
		case left >= 16:
			x := XMM()
			VMOVUPS(from, x)
			VMOVUPS(x, to)
			at += 16
		default:
			x := GP64()
			MOVQ(from, x)
			MOVQ(x, to)
			at += 8
		}
	}
	ADDQ(stride, src)
	ADDQ(operand.U32(uint32(bytes)), dst)
	DECQ(k)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// transposePanel emits the packing of as many source rows as a 32-byte vector
// has elements, a square block at a time. Vector j of a half block holds row j
// in its low and row j + half in its high 16 bytes; unpacking within 16 bytes
// then brings all elements of a column together.
func transposePanel(t number) {
	width := 32 / t.bytes
	half := 16 / t.bytes
	name := t.prefix + "transposeAVX2"
	TEXT(name, NOSPLIT, fmt.Sprintf("func(k int, dst *%[1]s, ldd int, src *%[1]s, lds int)", t.name))
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets dst[p·ldd+i] to src[i·lds+p] for i < %d and p < k, a positive multiple of %d.", name, width, width))
	k, dst, ldd, src, lds, lds3, high := GP64(), GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	Load(Param("k"), k)
	Load(Param("dst"), dst)
	Load(Param("ldd"), ldd)
	SHLQ(operand.U8(t.shift), ldd)
	Load(Param("src"), src)
	Load(Param("lds"), lds)
	SHLQ(operand.U8(t.shift), lds)
	LEAQ(operand.Mem{Base: lds, Index: lds, Scale: 2}, lds3)
	LEAQ(operand.Mem{Base: src, Index: lds, Scale: uint8(half)}, high)
	row := func(base reg.GPVirtual, j, disp int) operand.Mem {
		switch j {
		case 0:
			return operand.Mem{Base: base, Disp: disp}
		case 3:
			return operand.Mem{Base: base, Index: lds3, Scale: 1, Disp: disp}
		default:
			return operand.Mem{Base: base, Index: lds, Scale: uint8(j), Disp: disp}
		}
	}

	Label("loop")
	for c := 0; c < width; c += half {
		rows := make([]reg.VecVirtual, half)
		for j := range rows {
			rows[j] = YMM()
			VMOVUPS(row(src, j, c*t.bytes), rows[j].AsX())
			VINSERTF128(operand.U8(1), row(high, j, c*t.bytes), rows[j], rows[j])
		}
		for _, column := range transposeHalf(t, rows) {
			VMOVUPS(column, operand.Mem{Base: dst})
			ADDQ(ldd, dst)
		}
	}
	ADDQ(operand.U8(32), src)
	ADDQ(operand.U8(32), high)
	SUBQ(operand.U8(uint8(width)), k)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// transposeHalf transposes within the low and the high 16 bytes of vectors.
func transposeHalf(t number, r []reg.VecVirtual) []reg.VecVirtual {
	pair := func(op func(ops ...operand.Op), a, b reg.VecVirtual) reg.VecVirtual {
		d := YMM()
		op(b, a, d)
		return d
	}
	if t.bytes == 8 {
		return []reg.VecVirtual{pair(VUNPCKLPD, r[0], r[1]), pair(VUNPCKHPD, r[0], r[1])}
	}
	low01, low23 := pair(VUNPCKLPS, r[0], r[1]), pair(VUNPCKLPS, r[2], r[3])
	high01, high23 := pair(VUNPCKHPS, r[0], r[1]), pair(VUNPCKHPS, r[2], r[3])
	return []reg.VecVirtual{
		pair(VUNPCKLPD, low01, low23), pair(VUNPCKHPD, low01, low23),
		pair(VUNPCKLPD, high01, high23), pair(VUNPCKHPD, high01, high23),
	}
}
