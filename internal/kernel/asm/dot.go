package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// dotTile emits four inner products at once. Their lanes, 64 bytes each, are
// summed in the same order in all sets: halves until 32 bytes remain, then
// neighbours.
func dotTile(v isa, t number) {
	name := fmt.Sprintf("%sdot%s", t.prefix, v.name)
	TEXT(name, NOSPLIT, fmt.Sprintf("func(k int, a, b *%[1]s, ldb int, out *%[1]s)", t.name))
	Pragma("noescape")
	Doc(fmt.Sprintf("%s sets out[j] to Σ_p a[p]·b[j·ldb+p] for j < 4 and p < k, a positive multiple of %d.", name, 64/t.bytes))
	k, a, b, ldb, ldb3, out := GP64(), GP64(), GP64(), GP64(), GP64(), GP64()
	Load(Param("k"), k)
	Load(Param("a"), a)
	Load(Param("b"), b)
	Load(Param("ldb"), ldb)
	SHLQ(operand.U8(t.shift), ldb)
	LEAQ(operand.Mem{Base: ldb, Index: ldb, Scale: 2}, ldb3)
	rows := [4]operand.Mem{{Base: b}, {Base: b, Index: ldb, Scale: 1}, {Base: b, Index: ldb, Scale: 2}, {Base: b, Index: ldb3, Scale: 1}}

	parts := 64 / v.bytes
	sums := make([]reg.VecVirtual, len(rows)*parts)
	for i := range sums {
		sums[i] = v.register()
		VXORPS(sums[i], sums[i], sums[i])
	}
	Label("loop")
	for i := range parts {
		x := v.register()
		t.load(operand.Mem{Base: a, Disp: i * v.bytes}, x)
		for j, row := range rows {
			row.Disp = i * v.bytes
			t.fma231(row, x, sums[j*parts+i])
		}
	}
	ADDQ(operand.U8(64), a)
	ADDQ(operand.U8(64), b)
	SUBQ(operand.U8(uint8(64/t.bytes)), k)
	JNZ(operand.LabelRef("loop"))

	var r [4]reg.VecVirtual
	for j := range r {
		if parts == 2 {
			r[j] = sums[2*j]
			t.add(sums[2*j+1], r[j], r[j])
			continue
		}
		high := YMM()
		VEXTRACTF64X4(operand.U8(1), sums[j], high)
		r[j] = YMM()
		t.add(high, sums[j].AsY(), r[j])
	}
	Load(Param("out"), out)
	if t.bytes == 4 {
		VHADDPS(r[1], r[0], r[0])
		VHADDPS(r[3], r[2], r[2])
		VHADDPS(r[2], r[0], r[0])
		VEXTRACTF128(operand.U8(1), r[0], r[1].AsX())
		VADDPS(r[1].AsX(), r[0].AsX(), r[0].AsX())
		VMOVUPS(r[0].AsX(), operand.Mem{Base: out})
	} else {
		VHADDPD(r[1], r[0], r[0])
		VHADDPD(r[3], r[2], r[2])
		VPERM2F128(operand.U8(0x31), r[2], r[0], r[1])
		VPERM2F128(operand.U8(0x20), r[2], r[0], r[0])
		VADDPD(r[1], r[0], r[0])
		VMOVUPD(r[0], operand.Mem{Base: out})
	}
	VZEROUPPER()
	RET()
}
