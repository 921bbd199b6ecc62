package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// channelsLast emits the kernels on tensors whose channels lie side by side.
func channelsLast() {
	for _, v := range []isa{avx2, avx512} {
		for vectors, pixels := range v.lastTiles() {
			if pixels > 0 {
				lastTile(v, vectors, pixels)
			}
		}
		lastWindow(v, "Mul")
		lastWindow(v, "Add")
		lastWindow(v, "Max")
	}
}

// lastTiles is the largest number of pixels of a tile by its number of vectors
// of output channels; see sLastTiles in package kernel.
func (v isa) lastTiles() []int {
	if v.bytes == 64 {
		return []int{0, 12, 12, 8, 6}
	}
	return []int{0, 12, 6}
}

// Fields of package kernel's lastArgs, in bytes.
const (
	argX        = 8 * iota
	argOffsets  // of runs, in elements from X
	argRuns     //
	argLength   // elements of a run
	argStride   // bytes between pixels of X
	argW        //
	argY        //
	argStrideY  // bytes between pixels of Y, Partial and Residual
	argBias     // or nil
	argPartial  // or nil
	argResidual // or nil
	argMask     // lanes of the last vector, or nil if all count
	argBounds   // low and high
	argChannels // of lastWindow
	argRow      // bytes between rows of X under a window of depthKernel
	argTap      // bytes between its weights
)

// registers of the tiles, shared by their parts.
var (
	lastArgs  = reg.RDI
	lastX     = [2]reg.GPPhysical{reg.RAX, reg.RDX}
	lastOdd   = []reg.GPPhysical{1: reg.R8, 3: reg.R9, 5: reg.R10}
	lastBegin = reg.R12
)

func argument(field int) operand.Mem { return operand.Mem{Base: lastArgs, Disp: field} }

// lastPixel is where pixel p lies: six are reached from each of two pointers.
func lastPixel(p int) operand.Mem { return rowOf(lastX[p/6], lastOdd, p%6) }

// multiples computes the odd multiples of a stride by which rowOf reaches rows.
func multiples(field int) {
	MOVQ(argument(field), lastOdd[1])
	LEAQ(operand.Mem{Base: lastOdd[1], Index: lastOdd[1], Scale: 2}, lastOdd[3])
	LEAQ(operand.Mem{Base: lastOdd[1], Index: lastOdd[1], Scale: 4}, lastOdd[5])
}

// second points the second pointer six pixels behind the first.
func second(p int) {
	if p > 6 {
		LEAQ(operand.Mem{Base: lastX[0], Index: lastOdd[3], Scale: 2}, lastX[1])
	}
}

// lastTile emits the micro-kernel of a convolution over channels that lie side
// by side: pixels 1 to most times vectors of output channels. Each element of x
// is broadcast and multiplied with vectors of weights.
func lastTile(v isa, vectors, most int) {
	name := fmt.Sprintf("slast%d%s", vectors, v.name)
	TEXT(name, NOSPLIT, "func(pixels int, args *int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is the channels-last convolution of 1 to %d pixels and %d vectors of channels; see lastArgs.", name, most, vectors))
	Load(Param("pixels"), reg.RCX)
	Load(Param("args"), lastArgs)
	for p := most; p > 1; p-- {
		CMPQ(reg.RCX, operand.U8(uint8(p)))
		JE(operand.LabelRef(fmt.Sprintf("pixels%d", p)))
	}
	for p := 1; p <= most; p++ {
		Label(fmt.Sprintf("pixels%d", p))
		lastPixels(v, vectors, p)
	}
}

func lastPixels(v isa, vectors, pixels int) {
	sum := func(p, j int) reg.VecPhysical { return v.vector(p*vectors + j) }
	free := pixels * vectors
	weight := func(j int) reg.VecPhysical { return v.vector(free + j) }
	off, w, runs, length := reg.RSI, reg.RBX, reg.R11, reg.RCX
	label := func(what string) string { return fmt.Sprintf("%s%d", what, pixels) }

	lastStart(v, vectors, pixels)
	multiples(argStride)
	MOVQ(argument(argX), lastBegin)
	MOVQ(argument(argOffsets), off)
	MOVQ(argument(argW), w)
	MOVQ(argument(argRuns), runs)
	TESTQ(runs, runs)
	JZ(operand.LabelRef(label("store")))
	Label(label("run"))
	MOVQ(operand.Mem{Base: off}, lastX[0])
	LEAQ(operand.Mem{Base: lastBegin, Index: lastX[0], Scale: 4}, lastX[0])
	second(pixels)
	MOVQ(argument(argLength), length)
	Label(label("element"))
	for j := range vectors {
		VMOVUPS(operand.Mem{Base: w, Disp: j * v.bytes}, weight(j))
	}
	for p := range pixels {
		if vectors == 1 && v.bytes == 64 {
			VFMADD231PS_BCST(lastPixel(p), weight(0), sum(p, 0))
			continue
		}
		x := v.vector(free + vectors)
		if v.bytes == 64 { // two in turn: renaming does the rest
			x = v.vector(free + vectors + p%2)
		}
		VBROADCASTSS(lastPixel(p), x)
		for j := range vectors {
			VFMADD231PS(x, weight(j), sum(p, j))
		}
	}
	ADDQ(operand.U32(vectors*v.bytes), w)
	ADDQ(operand.Imm(4), lastX[0])
	if pixels > 6 {
		ADDQ(operand.Imm(4), lastX[1])
	}
	DECQ(length)
	JNZ(operand.LabelRef(label("element")))
	ADDQ(operand.Imm(8), off)
	DECQ(runs)
	JNZ(operand.LabelRef(label("run")))
	Label(label("store"))
	lastStore(v, vectors, pixels)
}

// lastMask reads the mask of the last vector; it needs one vector of AVX2.
func lastMask(v isa, tmp reg.GPPhysical, mask reg.VecPhysical) {
	MOVQ(argument(argMask), tmp)
	if v.bytes == 64 {
		KMOVW(operand.Mem{Base: tmp}, reg.K1)
		return
	}
	VMOVUPS(operand.Mem{Base: tmp, Disp: 4}, mask)
}

// loadLanes reads a vector, of which only those lanes that the mask names lie in
// memory if it is the last.
func loadLanes(v isa, masked bool, at operand.Mem, mask, to reg.VecPhysical) {
	switch {
	case !masked:
		VMOVUPS(at, to)
	case v.bytes == 64:
		VMOVUPS_Z(at, reg.K1, to)
	default:
		VMASKMOVPS(at, mask, to)
	}
}

func storeLanes(v isa, masked bool, from, mask reg.VecPhysical, at operand.Mem) {
	switch {
	case !masked:
		VMOVUPS(from, at)
	case v.bytes == 64:
		VMOVUPS(from, reg.K1, at)
	default:
		VMASKMOVPS(from, mask, at)
	}
}

// lastStart fills the sums with the bias or with what an earlier call stored.
func lastStart(v isa, vectors, pixels int) {
	sum := func(p, j int) reg.VecPhysical { return v.vector(p*vectors + j) }
	label := func(what string) operand.LabelRef { return operand.LabelRef(fmt.Sprintf("%s%d", what, pixels)) }
	at, mask := reg.RAX, v.vector(pixels*vectors)
	MOVQ(argument(argPartial), at)
	TESTQ(at, at)
	JNZ(label("partial"))
	MOVQ(argument(argBias), at)
	for j := range vectors {
		VMOVUPS(operand.Mem{Base: at, Disp: j * v.bytes}, sum(0, j))
		for p := 1; p < pixels; p++ {
			VMOVAPS(sum(0, j), sum(p, j))
		}
	}
	JMP(label("started"))
	Label(string(label("partial")))
	MOVQ(argument(argStrideY), reg.R8)
	CMPQ(argument(argMask), operand.Imm(0))
	JNE(label("partialLanes"))
	load := func(masked bool) {
		for p := range pixels {
			for j := range vectors {
				loadLanes(v, masked && j == vectors-1, operand.Mem{Base: at, Disp: j * v.bytes}, mask, sum(p, j))
			}
			ADDQ(reg.R8, at)
		}
	}
	load(false)
	JMP(label("started"))
	Label(string(label("partialLanes")))
	lastMask(v, reg.RCX, mask)
	load(true)
	Label(string(label("started")))
}

// lastStore adds the residual, bounds the sums and stores them.
func lastStore(v isa, vectors, pixels int) {
	sum := func(p, j int) reg.VecPhysical { return v.vector(p*vectors + j) }
	label := func(what string) operand.LabelRef { return operand.LabelRef(fmt.Sprintf("%s%d", what, pixels)) }
	free := pixels * vectors
	low, high, mask := v.vector(free), v.vector(free), v.vector(free+1)
	tmp := v.vector(free + 2)
	y, residual, stride := reg.RAX, reg.RDX, reg.R8
	MOVQ(argument(argY), y)
	MOVQ(argument(argStrideY), stride)
	MOVQ(argument(argResidual), residual)

	parts := func(masked bool, suffix string) {
		if masked {
			lastMask(v, reg.RCX, mask)
		}
		TESTQ(residual, residual)
		JZ(label("alone" + suffix))
		for p := range pixels {
			for j := range vectors {
				loadLanes(v, masked && j == vectors-1, operand.Mem{Base: residual, Disp: j * v.bytes}, mask, tmp)
				VADDPS(tmp, sum(p, j), sum(p, j))
			}
			ADDQ(stride, residual)
		}
		Label(string(label("alone" + suffix)))
		VBROADCASTSS(argument(argBounds), low)
		for i := range free {
			VMAXPS(v.vector(i), low, v.vector(i)) // of a NaN and a bound, the NaN
		}
		VBROADCASTSS(argument(argBounds+4), high)
		for p := range pixels {
			for j := range vectors {
				VMINPS(sum(p, j), high, sum(p, j))
				storeLanes(v, masked && j == vectors-1, sum(p, j), mask, operand.Mem{Base: y, Disp: j * v.bytes})
			}
			ADDQ(stride, y)
		}
		VZEROUPPER()
		RET()
	}
	CMPQ(argument(argMask), operand.Imm(0))
	JNE(label("lanes"))
	parts(false, "All")
	Label(string(label("lanes")))
	parts(true, "Lanes")
}

// windowBias is the bias of the channels at hand.
var windowBias = reg.R15

// windowPixels is the number of pixels that lastWindow takes at a time.
const windowPixels = 6

// lastWindow emits a loop over windows that keeps channels apart: the sum of
// products with weights (a depthwise convolution), the sum, or the maximum. One
// call does one to six neighbouring pixels and all channels; Runs counts the
// taps, whose offsets lie in pairs, in x and in the weights.
func lastWindow(v isa, op string) {
	name := "slastWindow" + op + v.name
	TEXT(name, NOSPLIT, "func(pixels int, args *int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is a window over channels of their own, for 1 to %d pixels; see lastArgs.", name, windowPixels))
	Load(Param("pixels"), reg.RCX)
	Load(Param("args"), lastArgs)
	for p := windowPixels; p > 1; p-- {
		CMPQ(reg.RCX, operand.U8(uint8(p)))
		JE(operand.LabelRef(fmt.Sprintf("pixels%d", p)))
	}
	for p := 1; p <= windowPixels; p++ {
		Label(fmt.Sprintf("pixels%d", p))
		windowOf(v, op, p)
	}
}

func windowOf(v isa, op string, pixels int) {
	label := func(what string) operand.LabelRef { return operand.LabelRef(fmt.Sprintf("%s%d", what, pixels)) }
	off, taps, begin, w, y, channels := reg.RSI, reg.R11, lastBegin, reg.RBX, reg.R13, reg.RCX
	tmp, scale, mask, weight := v.vector(pixels), v.vector(pixels+1), v.vector(pixels+2), v.vector(pixels+3)
	bounds := v.vector(pixels + 4)
	x := lastX[0]

	multiples(argStride)
	MOVQ(argument(argX), begin)
	MOVQ(argument(argY), y)
	MOVQ(argument(argW), w)
	MOVQ(argument(argChannels), channels)
	MOVQ(argument(argBias), windowBias)
	if op == "Add" {
		VBROADCASTSS(argument(argBounds), scale)
	}

	tap := func(masked bool) {
		MOVQ(operand.Mem{Base: off}, x)
		LEAQ(operand.Mem{Base: begin, Index: x, Scale: 4}, x)
		if op == "Mul" {
			MOVQ(operand.Mem{Base: off, Disp: 8}, lastX[1])
			VMOVUPS(operand.Mem{Base: w, Index: lastX[1], Scale: 4}, weight)
		}
		for p := range pixels {
			loadLanes(v, masked, lastPixel(p), mask, tmp)
			switch op {
			case "Mul":
				VFMADD231PS(tmp, weight, v.vector(p))
			case "Add":
				VADDPS(tmp, v.vector(p), v.vector(p))
			default:
				windowMax(v, tmp, v.vector(p), weight)
			}
		}
		ADDQ(operand.Imm(16), off)
		DECQ(taps)
	}
	body := func(masked bool, suffix string) {
		windowStart(v, op, pixels)
		MOVQ(argument(argOffsets), off)
		MOVQ(argument(argRuns), taps)
		TESTQ(taps, taps)
		JZ(label("finish" + suffix))
		Label(string(label("tap" + suffix)))
		tap(masked)
		JNZ(label("tap" + suffix))
		Label(string(label("finish" + suffix)))
		if op == "Mul" {
			for at, bound := range []func(p int){
				func(p int) { VMAXPS(v.vector(p), bounds, v.vector(p)) },
				func(p int) { VMINPS(v.vector(p), bounds, v.vector(p)) },
			} {
				VBROADCASTSS(argument(argBounds+4*at), bounds)
				for p := range pixels {
					bound(p)
				}
			}
		}
		MOVQ(y, x)
		for p := range pixels {
			if op == "Add" {
				VMULPS(scale, v.vector(p), v.vector(p))
			}
			storeLanes(v, masked, v.vector(p), mask, operand.Mem{Base: x})
			if p < pixels-1 {
				ADDQ(argument(argStrideY), x)
			}
		}
	}

	SUBQ(operand.Imm(uint64(v.bytes/4)), channels)
	JL(label("rest"))
	Label(string(label("vector")))
	body(false, "All")
	for _, p := range []reg.GPPhysical{begin, y, w} {
		ADDQ(operand.Imm(uint64(v.bytes)), p)
	}
	if op == "Mul" {
		ADDQ(operand.Imm(uint64(v.bytes)), windowBias)
	}
	SUBQ(operand.Imm(uint64(v.bytes/4)), channels)
	JGE(label("vector"))
	Label(string(label("rest")))
	ADDQ(operand.Imm(uint64(v.bytes/4)), channels)
	JZ(label("done"))
	lastMask(v, lastX[0], mask)
	body(true, "Lanes")
	Label(string(label("done")))
	VZEROUPPER()
	RET()
}

// windowStart fills the sums with the bias, or with what changes nothing.
func windowStart(v isa, op string, pixels int) {
	first := v.vector(0)
	switch op {
	case "Mul":
		VMOVUPS(operand.Mem{Base: windowBias}, first)
	case "Add":
		VXORPS(first, first, first)
	default:
		VBROADCASTSS(argument(argBounds), first)
	}
	for p := 1; p < pixels; p++ {
		VMOVAPS(first, v.vector(p))
	}
}

// windowMax computes best ← max(x, best), in which a NaN stays a NaN.
func windowMax(v isa, x, best, tmp reg.VecPhysical) {
	if v.bytes == 64 {
		VCMPPS(operand.U8(3), x, x, reg.K2) // where x is a NaN
		VMAXPS(best, x, best)               // best if either is a NaN
		VMOVAPS(x, reg.K2, best)
		return
	}
	VCMPPS(operand.U8(3), x, x, tmp)
	VMAXPS(best, x, best)
	VBLENDVPS(tmp, x, best, best)
}
