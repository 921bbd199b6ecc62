package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// fitLanes is the number of lanes of the reductions that choose a grid.
const fitLanes = 16

// grids emits the kernels that choose the grid of a row of weights.
func grids() {
	for _, v := range []isa{avx2, avx512} {
		minMax(v)
		gridError(v)
		maskSmall(v)
		rangeMasks(v)
	}
}

// beginFit begins a kernel over x that keeps so many sums of fitLanes lanes each,
// which it loads from lanes.
func beginFit(v isa, op, what string, sums int) (l *vectorLoop, n reg.GPVirtual, lanes [][]reg.VecVirtual) {
	name := op + v.name
	TEXT(name, NOSPLIT, "func(n int, x, lanes, s *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s %s, for n elements, a positive multiple of %d.", name, what, stride))
	l, n = &vectorLoop{isa: v, x: GP64(), dst: GP64(), s: GP64()}, GP64()
	Load(Param("n"), n)
	Load(Param("x"), l.x)
	Load(Param("lanes"), l.dst)
	Load(Param("s"), l.s)
	lanes = make([][]reg.VecVirtual, sums)
	for i := range lanes {
		for at := 0; at < 4*fitLanes; at += v.bytes {
			lane := v.register()
			VMOVUPS(operand.Mem{Base: l.dst, Disp: 4*fitLanes*i + at}, lane)
			lanes[i] = append(lanes[i], lane)
		}
	}
	return l, n, lanes
}

// endFit closes the loop and stores the lanes.
func endFit(l *vectorLoop, n reg.GPVirtual, lanes [][]reg.VecVirtual) {
	ADDQ(operand.U32(4*stride), l.x)
	SUBQ(operand.U8(stride), n)
	JNZ(operand.LabelRef("loop"))
	for i, sum := range lanes {
		for k, lane := range sum {
			VMOVUPS(lane, operand.Mem{Base: l.dst, Disp: 4*fitLanes*i + k*l.bytes})
		}
	}
	VZEROUPPER()
	RET()
}

// minMax emits the search for the least and largest element and the largest
// magnitude, which is compared as an integer.
func minMax(v isa) {
	l, n, lanes := beginFit(v, "minMax", "finds the least and largest elements, and magnitudes as integers, by lane", 3)
	magnitude := l.scalar(0)
	Label("loop")
	for l.offset = 0; l.offset < 4*stride; l.offset += v.bytes {
		k := l.offset / v.bytes % len(lanes[0])
		x := l.load(l.x)
		VMINPS(lanes[0][k], x, lanes[0][k])
		VMAXPS(lanes[1][k], x, lanes[1][k])
		VPMAXSD(l.and(magnitude, x), lanes[2][k], lanes[2][k])
	}
	endFit(l, n, lanes)
}

// gridError emits the sums of gridErrorAt.
func gridError(v isa) {
	l, n, lanes := beginFit(v, "gridError", "adds the error and the products of a grid, by lane", 3)
	var s []reg.VecVirtual
	for i := range 5 {
		s = append(s, l.scalar(i))
	}
	Label("loop")
	for l.offset = 0; l.offset < 4*stride; l.offset += v.bytes {
		k := l.offset / v.bytes % len(lanes[0])
		x := l.load(l.x)
		q := l.min(l.max(l.mul(x, s[0]), s[1]), s[2])
		q = l.sub(l.add(q, s[3]), s[3])
		d := l.sub(x, l.mul(s[4], q))
		VADDPS(l.mul(d, d), lanes[0][k], lanes[0][k])
		VADDPS(l.mul(x, q), lanes[1][k], lanes[1][k])
		VADDPS(l.mul(q, q), lanes[2][k], lanes[2][k])
	}
	endFit(l, n, lanes)
}

// maskSmall emits dst[i] ← x[i] where the bits of its magnitude exceed a
// threshold, else 0.
func maskSmall(v isa) {
	name := "maskSmall" + v.name
	TEXT(name, NOSPLIT, "func(n int, dst, x, s *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s clears elements whose magnitude, as an integer, is at most s[1]; n is a positive multiple of %d.", name, stride))
	n, l := GP64(), &vectorLoop{isa: v, x: GP64(), dst: GP64(), s: GP64()}
	Load(Param("n"), n)
	Load(Param("dst"), l.dst)
	Load(Param("x"), l.x)
	Load(Param("s"), l.s)
	magnitude, threshold := l.scalar(0), l.scalar(1)
	Label("loop")
	for l.offset = 0; l.offset < 4*stride; l.offset += v.bytes {
		x := l.load(l.x)
		above := l.smear(l.subInt(threshold, l.and(magnitude, x)), 31)
		l.store(l.and(above, x), l.dst)
	}
	ADDQ(operand.U32(4*stride), l.x)
	ADDQ(operand.U32(4*stride), l.dst)
	SUBQ(operand.U8(stride), n)
	JNZ(operand.LabelRef("loop"))
	VZEROUPPER()
	RET()
}

// rangeMasks emits, for every 32 elements, a bit each that says whether its
// magnitude, as an integer, lies in [s[1], s[2]], and adds the number of those
// below to lanes of integers.
func rangeMasks(v isa) {
	name := "rangeMasks" + v.name
	TEXT(name, NOSPLIT, "func(n int, masks *uint32, x, lanes, s *float32)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s marks the magnitudes in a range and counts those below; n is a positive multiple of %d.", name, stride))
	n, masks, l := GP64(), GP64(), &vectorLoop{isa: v, x: GP64(), dst: GP64(), s: GP64()}
	Load(Param("n"), n)
	Load(Param("masks"), masks)
	Load(Param("x"), l.x)
	Load(Param("lanes"), l.dst)
	Load(Param("s"), l.s)
	magnitude, lo, hi := l.scalar(0), l.scalar(1), l.scalar(2)
	var counts []reg.VecVirtual
	for at := 0; at < 4*fitLanes; at += v.bytes {
		count := v.register()
		VMOVUPS(operand.Mem{Base: l.dst, Disp: at}, count)
		counts = append(counts, count)
	}
	Label("loop")
	bits := GP32()
	XORL(bits, bits)
	for l.offset = 0; l.offset < 4*stride; l.offset += v.bytes {
		m := l.and(magnitude, l.load(l.x))
		below := l.smear(l.subInt(m, lo), 31)
		k := l.offset / v.bytes % len(counts)
		VPSUBD(below, counts[k], counts[k])
		outside := l.or(below, l.subInt(hi, m)) // its sign
		some := GP32()
		if v.bytes == 64 {
			mask := K()
			VPMOVD2M(outside, mask)
			KMOVW(mask, some)
		} else {
			VMOVMSKPS(outside, some)
		}
		if l.offset > 0 {
			SHLL(operand.U8(l.offset/4), some)
		}
		ORL(some, bits)
	}
	NOTL(bits)
	MOVL(bits, operand.Mem{Base: masks})
	ADDQ(operand.U32(4*stride), l.x)
	ADDQ(operand.U8(4), masks)
	SUBQ(operand.U8(stride), n)
	JNZ(operand.LabelRef("loop"))
	for i, count := range counts {
		VMOVUPS(count, operand.Mem{Base: l.dst, Disp: i * v.bytes})
	}
	VZEROUPPER()
	RET()
}
