package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// depthPixels is the number of outputs that a depthwise kernel of width 3 takes at
// a time.
const depthPixels = 6

// depthwise emits depthwise convolutions whose window is three pixels wide, for
// neighbouring outputs that share what they read: one kernel for each stride and
// for each of the edges that the first or last of them may reach over.
func depthwise() {
	for _, v := range []isa{avx2, avx512} {
		for _, stride := range []int{1, 2} {
			for edges := range 4 {
				depthKernel(v, stride, edges&1 != 0, edges&2 != 0)
			}
		}
	}
}

func depthKernel(v isa, stride int, left, right bool) {
	edges := ""
	if left {
		edges += "Left"
	}
	if right {
		edges += "Right"
	}
	name := fmt.Sprintf("sdepth%d%s%s", stride, edges, v.name)
	TEXT(name, NOSPLIT, "func(pixels int, args *int)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s is a depthwise convolution with windows three wide and stride %d, for 1 to %d outputs; see lastArgs.", name, stride, depthPixels))
	Load(Param("pixels"), reg.RCX)
	Load(Param("args"), lastArgs)
	for p := depthPixels; p > 1; p-- {
		CMPQ(reg.RCX, operand.U8(uint8(p)))
		JE(operand.LabelRef(fmt.Sprintf("pixels%d", p)))
	}
	for p := 1; p <= depthPixels; p++ {
		Label(fmt.Sprintf("pixels%d", p))
		depthOutputs(v, stride, p, left, right)
	}
}

func depthOutputs(v isa, stride, pixels int, left, right bool) {
	label := func(what string) operand.LabelRef { return operand.LabelRef(fmt.Sprintf("%s%d", what, pixels)) }
	begin, w, y, bias, channels := reg.R12, reg.RBX, reg.R13, reg.R15, reg.RCX
	row, weights, at, rows := reg.RSI, reg.RDX, reg.RAX, reg.R11
	column, tap := reg.R8, reg.R9
	weight := func(k int) reg.VecPhysical { return v.vector(pixels + k) }
	x, mask, bounds := v.vector(pixels+3), v.vector(pixels+4), v.vector(pixels+5)

	MOVQ(argument(argX), begin)
	MOVQ(argument(argW), w)
	MOVQ(argument(argY), y)
	MOVQ(argument(argBias), bias)
	MOVQ(argument(argChannels), channels)
	MOVQ(argument(argStride), column)
	MOVQ(argument(argTap), tap)

	body := func(masked bool, suffix string) {
		VMOVUPS(operand.Mem{Base: bias}, v.vector(0))
		for p := 1; p < pixels; p++ {
			VMOVAPS(v.vector(0), v.vector(p))
		}
		MOVQ(begin, row)
		MOVQ(w, weights)
		MOVQ(argument(argRuns), rows)
		TESTQ(rows, rows)
		JZ(label("finish" + suffix))
		Label(string(label("row" + suffix)))
		for k := range 3 {
			VMOVUPS(operand.Mem{Base: weights}, weight(k))
			ADDQ(tap, weights)
		}
		MOVQ(row, at)
		first, last := 0, stride*(pixels-1)+2
		if left {
			first++
		}
		if right {
			last--
		}
		for i := first; i <= last; i++ {
			loadLanes(v, masked, operand.Mem{Base: at}, mask, x)
			for p := range pixels {
				if k := i - stride*p; k >= 0 && k < 3 {
					VFMADD231PS(x, weight(k), v.vector(p))
				}
			}
			if i < last {
				ADDQ(column, at)
			}
		}
		ADDQ(argument(argRow), row)
		DECQ(rows)
		JNZ(label("row" + suffix))
		Label(string(label("finish" + suffix)))
		VBROADCASTSS(argument(argBounds), bounds)
		for p := range pixels {
			VMAXPS(v.vector(p), bounds, v.vector(p)) // of a NaN and a bound, the NaN
		}
		VBROADCASTSS(argument(argBounds+4), bounds)
		MOVQ(y, at)
		for p := range pixels {
			VMINPS(v.vector(p), bounds, v.vector(p))
			storeLanes(v, masked, v.vector(p), mask, operand.Mem{Base: at})
			if p < pixels-1 {
				ADDQ(argument(argStrideY), at)
			}
		}
	}

	SUBQ(operand.Imm(uint64(v.bytes/4)), channels)
	JL(label("rest"))
	Label(string(label("vector")))
	body(false, "All")
	for _, p := range []reg.GPPhysical{begin, y, w, bias} {
		ADDQ(operand.Imm(uint64(v.bytes)), p)
	}
	SUBQ(operand.Imm(uint64(v.bytes/4)), channels)
	JGE(label("vector"))
	Label(string(label("rest")))
	ADDQ(operand.Imm(uint64(v.bytes/4)), channels)
	JZ(label("done"))
	lastMask(v, at, mask)
	body(true, "Lanes")
	Label(string(label("done")))
	VZEROUPPER()
	RET()
}
