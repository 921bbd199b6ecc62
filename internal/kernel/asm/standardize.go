package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// A row is summed in units of unitLanes elements that take turns on rowUnits
// accumulators.
const (
	unitLanes = 16
	rowUnits  = 4
)

// rowWalk emits loops over the rows' elements: vectors that a unit takes, and the
// mask of its last elements.
type rowWalk struct {
	v     isa
	n     reg.GPVirtual // elements not yet read
	off   reg.GPVirtual // bytes read
	mask  []reg.VecVirtual
	maskK reg.OpmaskVirtual
}

// over calls body for each vector: its number among the accumulators, where its
// elements lie behind a pointer, and the half of the mask that holds for it, −1
// if all elements do.
func (w *rowWalk) over(name string, body func(i, disp, masked int)) {
	per := unitLanes * 4 / w.v.bytes // vectors of a unit
	unit := func(k, disp int, masked bool) {
		for i := range per {
			half := -1
			if masked {
				half = i
			}
			body(k*per+i, disp+i*w.v.bytes, half)
		}
	}
	label := func(what string, k int) string { return fmt.Sprintf("%s%s%d", name, what, k) }
	Load(Param("n"), w.n)
	XORQ(w.off, w.off)
	Label(name + "loop")
	CMPQ(w.n, operand.U32(rowUnits*unitLanes))
	JLT(operand.LabelRef(label("rest", 0)))
	for k := range rowUnits {
		unit(k, k*unitLanes*4, false)
	}
	ADDQ(operand.U32(4*rowUnits*unitLanes), w.off)
	SUBQ(operand.U32(rowUnits*unitLanes), w.n)
	JMP(operand.LabelRef(name + "loop"))
	for k := range rowUnits {
		Label(label("rest", k))
		if k == rowUnits-1 {
			break
		}
		CMPQ(w.n, operand.U32(unitLanes))
		JLT(operand.LabelRef(label("tail", k)))
		unit(k, 0, false)
		ADDQ(operand.U32(4*unitLanes), w.off)
		SUBQ(operand.U32(unitLanes), w.n)
	}
	for k := rowUnits - 1; k >= 0; k-- {
		Label(label("tail", k))
		TESTQ(w.n, w.n)
		JZ(operand.LabelRef(name + "done"))
		unit(k, 0, true)
		if k > 0 {
			JMP(operand.LabelRef(name + "done"))
		}
	}
	Label(name + "done")
}

// read loads a vector, with zeros where the mask is.
func (w *rowWalk) read(base reg.GPVirtual, disp, masked int) reg.VecVirtual {
	at, x := operand.Mem{Base: base, Index: w.off, Scale: 1, Disp: disp}, w.v.register()
	switch {
	case masked < 0:
		VMOVUPS(at, x)
	case w.v.bytes == 64:
		VMOVUPS_Z(at, w.maskK, x)
	default:
		VMASKMOVPS(at, w.mask[masked], x)
	}
	return x
}

// subtract sets x to x − y, and to 0 where the mask is.
func (w *rowWalk) subtract(y, x reg.VecVirtual, masked int) {
	if masked >= 0 && w.v.bytes == 64 {
		VSUBPS_Z(y, x, w.maskK, x)
		return
	}
	VSUBPS(y, x, x)
	if masked >= 0 {
		VANDPS(w.mask[masked], x, x)
	}
}

func (w *rowWalk) write(x reg.VecVirtual, base reg.GPVirtual, disp, masked int) {
	at := operand.Mem{Base: base, Index: w.off, Scale: 1, Disp: disp}
	switch {
	case masked < 0:
		VMOVUPS(x, at)
	case w.v.bytes == 64:
		VMOVUPS(x, w.maskK, at)
	default:
		VMASKMOVPS(x, w.mask[masked], at)
	}
}

// loadMask reads the mask of the last unit.
func (w *rowWalk) loadMask() {
	p := GP64()
	Load(Param("mask"), p)
	for i := range unitLanes * 4 / w.v.bytes {
		m := w.v.register()
		VMOVUPS(operand.Mem{Base: p, Disp: i * w.v.bytes}, m)
		w.mask = append(w.mask, m)
	}
	if w.v.bytes == 64 {
		w.maskK = K()
		VPTESTMD(w.mask[0], w.mask[0], w.maskK)
	}
}

// standardize emits rows of (x − mean)/√(variance + epsilon)·scale + bias, or
// with 0 for the mean.
func standardize(v isa) {
	name := "standardize" + v.name
	TEXT(name, NOSPLIT, "func(rows, n, centred int, mask *int32, x, dst, scale, bias *float32, count, epsilon, one float32)")
	Pragma("noescape")
	Doc(name + " normalises rows of n elements; mask is of those that no whole unit holds.")
	w := &rowWalk{v: v, n: GP64(), off: GP64()}
	rows, x, dst, scale, bias := GP64(), GP64(), GP64(), GP64(), GP64()
	Load(Param("rows"), rows)
	Load(Param("x"), x)
	Load(Param("dst"), dst)
	Load(Param("scale"), scale)
	Load(Param("bias"), bias)
	w.loadMask()
	acc := make([]reg.VecVirtual, rowUnits*unitLanes*4/v.bytes)
	for i := range acc {
		acc[i] = v.register()
	}
	clearAll := func() {
		for _, a := range acc {
			VXORPS(a, a, a)
		}
	}
	mean, inverse := v.register(), v.register()

	Label("row")
	VXORPS(mean, mean, mean)
	centred := GP64()
	Load(Param("centred"), centred)
	TESTQ(centred, centred)
	JZ(operand.LabelRef("spread"))
	clearAll()
	w.over("mean", func(i, disp, masked int) {
		VADDPS(w.read(x, disp, masked), acc[i], acc[i])
	})
	total := foldLanes(v, VADDPS, acc)
	VDIVSS(paramMem("count"), total.AsX(), total.AsX())
	VBROADCASTSS(total.AsX(), mean)

	Label("spread")
	clearAll()
	w.over("square", func(i, disp, masked int) {
		element := w.read(x, disp, masked)
		w.subtract(mean, element, masked)
		VMULPS(element, element, element)
		VADDPS(element, acc[i], acc[i])
	})
	spread := foldLanes(v, VADDPS, acc).AsX()
	VDIVSS(paramMem("count"), spread, spread)
	VADDSS(paramMem("epsilon"), spread, spread)
	VSQRTSS(spread, spread, spread)
	one := XMM()
	VMOVSS(paramMem("one"), one)
	VDIVSS(spread, one, one)
	VBROADCASTSS(one, inverse)

	w.over("write", func(_, disp, masked int) {
		element := w.read(x, disp, masked)
		VSUBPS(mean, element, element)
		VMULPS(inverse, element, element)
		VMULPS(w.read(scale, disp, masked), element, element)
		VADDPS(w.read(bias, disp, masked), element, element)
		w.write(element, dst, disp, masked)
	})
	Load(Param("n"), w.n)
	LEAQ(operand.Mem{Base: x, Index: w.n, Scale: 4}, x)
	LEAQ(operand.Mem{Base: dst, Index: w.n, Scale: 4}, dst)
	DECQ(rows)
	JNZ(operand.LabelRef("row"))
	VZEROUPPER()
	RET()
}
