package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/ir"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// integers emits the kernels of 8-bit integers.
func integers() {
	int8DotVNNI()
	int8DotAVX2()
	int8DepthwiseVNNI()
	int8Stores()
	int8Elements()
	int8Maxima()
	int8AVX2()
	int8WindowsAVX2()
}

// dotRows is the most pixels a tile holds, by vectors of filters: as many as
// there are registers for pointers and sums.
var dotRows = map[int]int{1: 10, 2: 10, 4: 6}

// int8DotVNNI emits the micro-kernel of products of bytes: for each of a few
// pixels and 16, 32 or 64 filters the sum over quads of channels.
func int8DotVNNI() {
	TEXT("int8DotVNNI", NOSPLIT, "func(rows, vectors int, x *uint8, off *int, w *int8, panel int, segs *int, count int, acc *int32)")
	Pragma("noescape")
	Doc("int8DotVNNI is the micro-kernel of up to 10 pixels and 1, 2 or (up to 6 pixels) 4 vectors of 16 filters; see int8Tile. count is at least 1.")
	Load(Param("vectors"), reg.RCX)
	Load(Param("rows"), reg.RBX)
	for _, v := range []int{1, 2, 4} {
		if v < 4 {
			CMPQ(reg.RCX, operand.U8(uint8(v)))
			JNE(operand.LabelRef(fmt.Sprintf("beyond%d", v)))
		}
		for r := dotRows[v]; r > 1; r-- {
			CMPQ(reg.RBX, operand.U8(uint8(r)))
			JE(operand.LabelRef(fmt.Sprintf("tile%dx%d", r, v)))
		}
		for r := 1; r <= dotRows[v]; r++ {
			Label(fmt.Sprintf("tile%dx%d", r, v))
			int8DotTile(r, v)
		}
		if v < 4 {
			Label(fmt.Sprintf("beyond%d", v))
		}
	}
}

// int8Pointers are the registers that hold the addresses of a tile's pixels.
var int8Pointers = []reg.GPPhysical{reg.RAX, reg.RBX, reg.RDX, reg.RSI, reg.RDI, reg.R8, reg.R9, reg.R10, reg.R11, reg.R12}

func int8DotTile(rows, vectors int) {
	at, w, panel, panel3 := reg.RCX, reg.R13, reg.R15, reg.R12
	sum := func(i, j int) reg.VecPhysical { return zmm[i*vectors+j] }
	weights := func(j int) reg.VecPhysical { return zmm[rows*vectors+j] }
	pixel := func(i int) reg.VecPhysical { return zmm[rows*vectors+vectors+i%2] }
	int8LoadPointers(rows, at, w)
	if vectors > 1 {
		Load(Param("panel"), panel)
	}
	if vectors == 4 {
		LEAQ(operand.Mem{Base: panel, Index: panel, Scale: 2}, panel3)
	}
	Load(Param("w"), w)
	for i := range rows * vectors {
		VPXORD(zmm[i], zmm[i], zmm[i])
	}
	name := fmt.Sprintf("%dx%d", rows, vectors)
	int8Segments(name, at, func() {
		from := []operand.Mem{{Base: w}, {Base: w, Index: panel, Scale: 1}, {Base: w, Index: panel, Scale: 2}, {Base: w, Index: panel3, Scale: 1}}
		for j := range vectors {
			VMOVDQU32(from[j], weights(j))
		}
		for i := range rows {
			VPBROADCASTD(operand.Mem{Base: int8Pointers[i], Index: at, Scale: 1}, pixel(i))
			for j := range vectors {
				productOfBytes(weights(j), pixel(i), sum(i, j))
			}
		}
		ADDQ(operand.U8(64), w)
	})
	Load(Param("acc"), w)
	for i := range rows * vectors {
		VMOVDQU32(zmm[i], operand.Mem{Base: w, Disp: 64 * i})
	}
	VZEROUPPER()
	RET()
}

// int8LoadPointers fills the pointers to the pixels: x + off[i].
func int8LoadPointers(rows int, table, x reg.GPPhysical) {
	Load(Param("off"), table)
	Load(Param("x"), x)
	for i := range rows {
		MOVQ(operand.Mem{Base: table, Disp: 8 * i}, int8Pointers[i])
		ADDQ(x, int8Pointers[i])
	}
}

// int8Segments emits the loop over the segments of a sum, pairs of where one
// begins and ends, and over the quads of each. The parameters' own memory holds
// what there is no register for.
func int8Segments(name string, at reg.GPPhysical, body func()) {
	segs, end := paramMem("segs"), paramMem("rows")
	Label("segment" + name)
	MOVQ(segs, at)
	MOVQ(operand.Mem{Base: at, Disp: 8}, at)
	MOVQ(at, end)
	MOVQ(segs, at)
	ADDQ(operand.U8(16), segs)
	MOVQ(operand.Mem{Base: at}, at)
	Label("quad" + name)
	body()
	ADDQ(operand.U8(4), at)
	CMPQ(at, end)
	JNE(operand.LabelRef("quad" + name))
	DECQ(paramMem("count"))
	JNZ(operand.LabelRef("segment" + name))
}

// int8DotAVX2 emits the micro-kernel for machines without VNNI: bytes are
// widened to 16 bits, whose pairs of products fit 32 bits exactly. (The product
// of bytes that AVX2 has saturates at 16 bits.)
func int8DotAVX2() {
	TEXT("int8DotAVX2", NOSPLIT, "func(rows, vectors int, x *uint8, off *int, w *int8, panel int, segs *int, count int, acc *int32)")
	Pragma("noescape")
	Doc("int8DotAVX2 is the micro-kernel of 1 or 2 pixels and 1 vector of 16 filters; see int8Tile. count is at least 1.")
	Load(Param("rows"), reg.RBX)
	CMPQ(reg.RBX, operand.U8(2))
	JE(operand.LabelRef("rows2"))
	for rows := 1; rows <= 2; rows++ {
		Label(fmt.Sprintf("rows%d", rows))
		int8DotRows(rows)
	}
}

func int8DotRows(rows int) {
	at, w := reg.RCX, reg.R13
	sum := func(i, j int) reg.VecPhysical { return ymm[4*i+j] }
	pixel := func(i int) reg.VecPhysical { return ymm[8+i] }
	weights, product := ymm[10], func(i int) reg.VecPhysical { return ymm[11+i] }
	int8LoadPointers(rows, at, w)
	Load(Param("w"), w)
	for i := range 4 * rows {
		VPXOR(ymm[i], ymm[i], ymm[i])
	}
	int8Segments(fmt.Sprint(rows), at, func() {
		for i := range rows {
			VPBROADCASTD(operand.Mem{Base: int8Pointers[i], Index: at, Scale: 1}, pixel(i).AsX())
			VPMOVZXBW(pixel(i).AsX(), pixel(i))
		}
		for j := range 4 {
			VPMOVSXBW(operand.Mem{Base: w, Disp: 16 * j}, weights)
			for i := range rows {
				VPMADDWD(weights, pixel(i), product(i))
				VPADDD(product(i), sum(i, j), sum(i, j))
			}
		}
		ADDQ(operand.U8(64), w)
	})
	Load(Param("acc"), w)
	for i := range rows {
		for j := 0; j < 4; j += 2 { // neighbours are the halves of one filter's sum
			VPHADDD(sum(i, j+1), sum(i, j), sum(i, j))
			VPERMQ(operand.U8(0b11_01_10_00), sum(i, j), sum(i, j))
			VMOVDQU(sum(i, j), operand.Mem{Base: w, Disp: 64*i + 16*j})
		}
	}
	VZEROUPPER()
	RET()
}

// int8DepthwiseVNNI emits the convolution of each channel by itself for up to 64
// channels: the bytes of four taps are interleaved, so that one product of bytes
// serves four taps of 16 channels.
func int8DepthwiseVNNI() {
	TEXT("int8DepthwiseVNNI", NOSPLIT, "func(n int, x *uint8, step int, off *int, groups int, w *int8, acc *int32, mask uint64)")
	Pragma("noescape")
	Doc("int8DepthwiseVNNI sums the taps of n pixels, step bytes apart, and of the up to 64 channels that mask says; see depthwiseTile. n and groups are at least 1.")
	n, x, step, off, groups, w, acc := reg.RCX, reg.RSI, reg.R8, reg.RBX, reg.RDX, reg.RDI, reg.R9
	at := []reg.GPPhysical{reg.RAX, reg.R10, reg.R11, reg.R12}
	Load(Param("n"), n)
	Load(Param("x"), x)
	Load(Param("step"), step)
	Load(Param("acc"), acc)
	KMOVQ(paramMem("mask"), reg.K1)
	Label("pixel")
	Load(Param("off"), off)
	Load(Param("groups"), groups)
	Load(Param("w"), w)
	for j := range 4 {
		VPXORD(zmm[j], zmm[j], zmm[j])
	}
	Label("taps")
	for t := range 4 {
		MOVQ(operand.Mem{Base: off, Disp: 8 * t}, at[t])
		VMOVDQU8_Z(operand.Mem{Base: x, Index: at[t], Scale: 1}, reg.K1, zmm[4+t])
	}
	VPUNPCKLBW(zmm[5], zmm[4], zmm[8])
	VPUNPCKHBW(zmm[5], zmm[4], zmm[9])
	VPUNPCKLBW(zmm[7], zmm[6], zmm[10])
	VPUNPCKHBW(zmm[7], zmm[6], zmm[11])
	VPUNPCKLWD(zmm[10], zmm[8], zmm[12])
	VPUNPCKHWD(zmm[10], zmm[8], zmm[13])
	VPUNPCKLWD(zmm[11], zmm[9], zmm[14])
	VPUNPCKHWD(zmm[11], zmm[9], zmm[15])
	for j := range 4 {
		productOfBytes(operand.Mem{Base: w, Disp: 64 * j}, zmm[12+j], zmm[j])
	}
	ADDQ(operand.U32(256), w)
	ADDQ(operand.U8(32), off)
	DECQ(groups)
	JNZ(operand.LabelRef("taps"))
	transposeLanes()
	for j := range 4 {
		VMOVDQU32(zmm[j], operand.Mem{Base: acc, Disp: 64 * j})
	}
	ADDQ(operand.U32(256), acc)
	ADDQ(step, x)
	DECQ(n)
	JNZ(operand.LabelRef("pixel"))
	VZEROUPPER()
	RET()
}

// transposeLanes makes vector i of the first four hold lane i of each, a lane
// being 16 bytes.
func transposeLanes() {
	const even, odd = 0b10_00_10_00, 0b11_01_11_01
	VSHUFI32X4(operand.U8(0b01_00_01_00), zmm[1], zmm[0], zmm[4]) // lanes 0, 1 of vectors 0, 1
	VSHUFI32X4(operand.U8(0b11_10_11_10), zmm[1], zmm[0], zmm[5])
	VSHUFI32X4(operand.U8(0b01_00_01_00), zmm[3], zmm[2], zmm[6])
	VSHUFI32X4(operand.U8(0b11_10_11_10), zmm[3], zmm[2], zmm[7])
	VSHUFI32X4(operand.U8(even), zmm[6], zmm[4], zmm[0])
	VSHUFI32X4(operand.U8(odd), zmm[6], zmm[4], zmm[1])
	VSHUFI32X4(operand.U8(even), zmm[7], zmm[5], zmm[2])
	VSHUFI32X4(operand.U8(odd), zmm[7], zmm[5], zmm[3])
}

// productOfBytes emits VPDPBUSD, which this version of avo lacks: it adds to each
// 32-bit sum four products of unsigned bytes u with signed bytes s.
func productOfBytes(s operand.Op, u, sum reg.VecPhysical) {
	Instruction(&ir.Instruction{
		Opcode: "VPDPBUSD", Operands: []operand.Op{s, u, sum},
		Inputs: []operand.Op{s, u, sum}, Outputs: []operand.Op{sum},
		ISA: []string{"AVX512F", "AVX512VNNI"},
	})
}
