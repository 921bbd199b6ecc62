package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// winograd emits the transforms of Winograd's convolution F(4×4, 3×3) over
// vectors of channels; see winogradArgs in package kernel for the points and the
// matrices.
func winograd() {
	for _, v := range []isa{avx2, avx512} {
		winogradInput(v)
		winogradOutput(v)
	}
}

// Fields of package kernel's winogradArgs, in bytes.
const (
	winoImage    = 8 * iota // of the tile: x, or y
	winoRow                 // bytes between its rows
	winoColumn              // bytes between its columns
	winoMatrix              // the transformed tile: 36 positions
	winoPosition            // bytes between them
	winoVectors
	winoTmp
	winoFactors
	winoResidual
	winoBias
	winoBounds
)

// Factors, each repeated over 64 bytes.
const (
	factorSum = iota // a² + b²
	factorA
	factorB
	factorA2
	factorB2
	factorA3
	factorB3
	winoFactorCount
)

var winoTable = reg.R11

// factor is a constant: in a register where there are enough, else in memory.
func (v isa) factor(i int) operand.Op {
	if v.bytes == 64 {
		return v.vector(25 + i)
	}
	return operand.Mem{Base: winoTable, Disp: 64 * i}
}

func (v isa) loadFactors() {
	MOVQ(argument(winoFactors), winoTable)
	for i := 0; v.bytes == 64 && i < winoFactorCount; i++ {
		VMOVUPS(operand.Mem{Base: winoTable, Disp: 64 * i}, v.vector(25+i))
	}
}

func winogradStart(v isa, name, doc string) {
	TEXT(name, NOSPLIT, "func(args *int)")
	Pragma("noescape")
	Doc(name + " " + doc)
	Load(Param("args"), lastArgs)
	v.loadFactors()
	MOVQ(argument(winoVectors), reg.RCX)
	MOVQ(argument(winoTmp), reg.RSI)
}

// stride computes the multiples of a stride, times scale, by which rowOf reaches
// six rows.
func winogradStride(field int, scale int) {
	MOVQ(argument(field), lastOdd[1])
	if scale == 6 {
		LEAQ(operand.Mem{Base: lastOdd[1], Index: lastOdd[1], Scale: 2}, lastOdd[1])
		ADDQ(lastOdd[1], lastOdd[1])
	}
	LEAQ(operand.Mem{Base: lastOdd[1], Index: lastOdd[1], Scale: 2}, lastOdd[3])
	LEAQ(operand.Mem{Base: lastOdd[1], Index: lastOdd[1], Scale: 4}, lastOdd[5])
}

// inputLine transforms the six vectors 0 to 5 and returns where the six results
// are.
func inputLine(v isa) []reg.VecPhysical {
	r := v.vector
	VADDPS(r(4), r(0), r(6))
	VFNMADD231PS(v.factor(factorSum), r(2), r(6))
	VADDPS(r(5), r(1), r(7))
	VFNMADD231PS(v.factor(factorSum), r(3), r(7))
	VMOVAPS(r(4), r(8))
	VFNMADD231PS(v.factor(factorB2), r(2), r(8))
	VMOVAPS(r(3), r(9))
	VFNMADD231PS(v.factor(factorB2), r(1), r(9))
	VMOVAPS(r(8), r(10))
	VFMADD231PS(v.factor(factorA), r(9), r(10))
	VFNMADD231PS(v.factor(factorA), r(9), r(8))
	VFNMADD231PS(v.factor(factorA2), r(2), r(4))
	VFNMADD231PS(v.factor(factorA2), r(1), r(3))
	VMOVAPS(r(4), r(11))
	VFMADD231PS(v.factor(factorB), r(3), r(11))
	VFNMADD231PS(v.factor(factorB), r(3), r(4))
	return []reg.VecPhysical{r(6), r(10), r(8), r(11), r(4), r(7)}
}

// outputLine transforms the six vectors 0 to 5 and returns where the four
// results are.
func outputLine(v isa) []reg.VecPhysical {
	r := v.vector
	VADDPS(r(2), r(1), r(6))
	VSUBPS(r(2), r(1), r(1))
	VADDPS(r(4), r(3), r(7))
	VSUBPS(r(4), r(3), r(3))
	VADDPS(r(6), r(0), r(0))
	VADDPS(r(7), r(0), r(0))
	VMULPS(v.factor(factorA), r(1), r(8))
	VFMADD231PS(v.factor(factorB), r(3), r(8))
	VMULPS(v.factor(factorA2), r(6), r(9))
	VFMADD231PS(v.factor(factorB2), r(7), r(9))
	VFMADD231PS(v.factor(factorA3), r(1), r(5))
	VFMADD231PS(v.factor(factorB3), r(3), r(5))
	return []reg.VecPhysical{r(0), r(8), r(9), r(5)}
}

func winogradInput(v isa) {
	winogradStart(v, "swinogradInput"+v.name, "transforms a tile of 6×6 pixels.")
	x, m, at, tmp := reg.RAX, reg.RBX, reg.RDX, reg.RSI
	winogradStride(winoRow, 1)
	MOVQ(argument(winoImage), x)
	MOVQ(argument(winoMatrix), m)
	Label("vector")
	MOVQ(x, at)
	for j := range 6 {
		for i := range 6 {
			VMOVUPS(rowOf(at, lastOdd, i), v.vector(i))
		}
		for i, r := range inputLine(v) {
			VMOVUPS(r, operand.Mem{Base: tmp, Disp: (i*6 + j) * v.bytes})
		}
		ADDQ(argument(winoColumn), at)
	}
	MOVQ(m, at)
	for i := range 6 {
		for j := range 6 {
			VMOVUPS(operand.Mem{Base: tmp, Disp: (i*6 + j) * v.bytes}, v.vector(j))
		}
		for _, r := range inputLine(v) {
			VMOVUPS(r, operand.Mem{Base: at})
			ADDQ(argument(winoPosition), at)
		}
	}
	ADDQ(operand.Imm(uint64(v.bytes)), x)
	ADDQ(operand.Imm(uint64(v.bytes)), m)
	DECQ(reg.RCX)
	JNZ(operand.LabelRef("vector"))
	VZEROUPPER()
	RET()
}

func winogradOutput(v isa) {
	winogradStart(v, "swinogradOutput"+v.name, "transforms a tile back to 4×4 pixels, adds bias and residual and bounds them.")
	y, m, at, tmp, residual, bias := reg.RAX, reg.RBX, reg.RDX, reg.RSI, reg.R12, reg.R13
	from := reg.R15
	extra, low, high := v.vector(10), v.vector(11), v.vector(12)
	MOVQ(argument(winoImage), y)
	MOVQ(argument(winoMatrix), m)
	MOVQ(argument(winoResidual), residual)
	MOVQ(argument(winoBias), bias)
	VBROADCASTSS(argument(winoBounds), low)
	VBROADCASTSS(argument(winoBounds+4), high)
	Label("vector")
	winogradStride(winoPosition, 6)
	MOVQ(m, at)
	for j := range 6 {
		for i := range 6 {
			VMOVUPS(rowOf(at, lastOdd, i), v.vector(i))
		}
		for i, r := range outputLine(v) {
			VMOVUPS(r, operand.Mem{Base: tmp, Disp: (i*6 + j) * v.bytes})
		}
		ADDQ(argument(winoPosition), at)
	}
	winogradStride(winoColumn, 1)
	MOVQ(y, at)
	MOVQ(residual, from)
	for i := range 4 {
		for j := range 6 {
			VMOVUPS(operand.Mem{Base: tmp, Disp: (i*6 + j) * v.bytes}, v.vector(j))
		}
		out := outputLine(v)
		VMOVUPS(operand.Mem{Base: bias}, extra)
		for _, r := range out {
			VADDPS(extra, r, r)
		}
		alone := fmt.Sprintf("alone%d", i)
		TESTQ(residual, residual)
		JZ(operand.LabelRef(alone))
		for j, r := range out {
			VADDPS(rowOf(from, lastOdd, j), r, r)
		}
		ADDQ(argument(winoRow), from)
		Label(alone)
		for j, r := range out {
			VMAXPS(r, low, r) // of a NaN and a bound, the NaN
			VMINPS(r, high, r)
			VMOVUPS(r, rowOf(at, lastOdd, j))
		}
		ADDQ(argument(winoRow), at)
	}
	for _, p := range []reg.GPPhysical{y, m, bias} {
		ADDQ(operand.Imm(uint64(v.bytes)), p)
	}
	TESTQ(residual, residual)
	JZ(operand.LabelRef("next"))
	ADDQ(operand.Imm(uint64(v.bytes)), residual)
	Label("next")
	DECQ(reg.RCX)
	JNZ(operand.LabelRef("vector"))
	VZEROUPPER()
	RET()
}
