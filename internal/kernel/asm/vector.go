package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// stride is the number of elements in one round of a vector kernel's loop, and
// of lanes in a reduction, whatever the set.
const stride = 32

// vectorLoop is a float32 kernel in the making. Its methods emit an operation on
// one vector each and return the result, so that a body reads like the Go beside
// it. Products are never fused with sums: bits must match that Go.
type vectorLoop struct {
	isa
	dst, x, y, z, s reg.GPVirtual
	offset          int // of the current vector, in bytes
}

// vectorKernel emits a loop with one body per vector.
func vectorKernel(v isa, op string, body func(l *vectorLoop)) {
	l := &vectorLoop{isa: v}
	n := l.begin(op)
	Label("loop")
	for l.offset = 0; l.offset < 4*stride; l.offset += v.bytes {
		body(l)
	}
	l.next(n)
	VZEROUPPER()
	RET()
}

// laneKernel emits a reduction into the stride lanes at dst.
func laneKernel(v isa, op string, body func(l *vectorLoop, lane reg.VecVirtual)) {
	l := &vectorLoop{isa: v}
	n := l.begin(op)
	var lanes []reg.VecVirtual
	for at := 0; at < 4*stride; at += v.bytes {
		lane := v.register()
		VMOVUPS(operand.Mem{Base: l.dst, Disp: at}, lane)
		lanes = append(lanes, lane)
	}
	start := GP64()
	MOVQ(l.dst, start)
	Label("loop")
	for i, lane := range lanes {
		l.offset = i * v.bytes
		body(l, lane)
	}
	l.next(n)
	for i, lane := range lanes {
		VMOVUPS(lane, operand.Mem{Base: start, Disp: i * v.bytes})
	}
	VZEROUPPER()
	RET()
}

func (l *vectorLoop) begin(op string) (n reg.GPVirtual) {
	name := op + l.name
	TEXT(name, NOSPLIT, "func(n int, dst, x, y, z, s *float32)")
	Doc(fmt.Sprintf("%s is a vectorFunc.", name))
	n = GP64()
	Load(Param("n"), n)
	l.dst, l.x, l.y, l.z, l.s = GP64(), GP64(), GP64(), GP64(), GP64()
	Load(Param("dst"), l.dst)
	Load(Param("x"), l.x)
	Load(Param("y"), l.y)
	Load(Param("z"), l.z)
	Load(Param("s"), l.s)
	return n
}

func (l *vectorLoop) next(n reg.GPVirtual) {
	for _, p := range []reg.GPVirtual{l.dst, l.x, l.y, l.z} {
		ADDQ(operand.U32(4*stride), p)
	}
	SUBQ(operand.U8(stride), n)
	JNZ(operand.LabelRef("loop"))
}

func (l *vectorLoop) at(p reg.GPVirtual) operand.Mem {
	return operand.Mem{Base: p, Disp: l.offset}
}

func (l *vectorLoop) load(p reg.GPVirtual) reg.VecVirtual {
	d := l.register()
	VMOVUPS(l.at(p), d)
	return d
}

func (l *vectorLoop) store(x reg.VecVirtual, p reg.GPVirtual) { VMOVUPS(x, l.at(p)) }

// scalar is s[i] in every lane.
func (l *vectorLoop) scalar(i int) reg.VecVirtual {
	d := l.register()
	VBROADCASTSS(operand.Mem{Base: l.s, Disp: 4 * i}, d)
	return d
}

func (l *vectorLoop) zero() reg.VecVirtual {
	d := l.register()
	VXORPS(d, d, d)
	return d
}

func (l *vectorLoop) binary(op func(ops ...operand.Op), a, b reg.VecVirtual) reg.VecVirtual {
	d := l.register()
	op(b, a, d)
	return d
}

func (l *vectorLoop) add(a, b reg.VecVirtual) reg.VecVirtual { return l.binary(VADDPS, a, b) }
func (l *vectorLoop) sub(a, b reg.VecVirtual) reg.VecVirtual { return l.binary(VSUBPS, a, b) }
func (l *vectorLoop) mul(a, b reg.VecVirtual) reg.VecVirtual { return l.binary(VMULPS, a, b) }
func (l *vectorLoop) div(a, b reg.VecVirtual) reg.VecVirtual { return l.binary(VDIVPS, a, b) }
func (l *vectorLoop) and(a, b reg.VecVirtual) reg.VecVirtual { return l.binary(VANDPS, a, b) }
func (l *vectorLoop) or(a, b reg.VecVirtual) reg.VecVirtual  { return l.binary(VORPS, a, b) }

// max is a where a > b, else b; min is a where a < b, else b. So NaNs come from b.
func (l *vectorLoop) max(a, b reg.VecVirtual) reg.VecVirtual { return l.binary(VMAXPS, a, b) }
func (l *vectorLoop) min(a, b reg.VecVirtual) reg.VecVirtual { return l.binary(VMINPS, a, b) }

// clear is b without the bits of a.
func (l *vectorLoop) clear(a, b reg.VecVirtual) reg.VecVirtual { return l.binary(VANDNPS, a, b) }

func (l *vectorLoop) addInt(a, b reg.VecVirtual) reg.VecVirtual { return l.binary(VPADDD, a, b) }
func (l *vectorLoop) subInt(a, b reg.VecVirtual) reg.VecVirtual { return l.binary(VPSUBD, a, b) }

// smear shifts right by n with the sign; by 31 it makes a mask of the sign.
func (l *vectorLoop) smear(x reg.VecVirtual, n uint8) reg.VecVirtual {
	d := l.register()
	VPSRAD(operand.U8(n), x, d)
	return d
}

// pick is a where mask is set, else b.
func (l *vectorLoop) pick(mask, a, b reg.VecVirtual) reg.VecVirtual {
	return l.or(l.and(mask, a), l.clear(mask, b))
}

func (l *vectorLoop) sqrt(x reg.VecVirtual) reg.VecVirtual {
	d := l.register()
	VSQRTPS(x, d)
	return d
}

// vectorKernels emits all of a set's; see opcode for their meaning.
func vectorKernels(v isa) {
	vectorKernel(v, "add", func(l *vectorLoop) { l.store(l.add(l.load(l.x), l.load(l.y)), l.dst) })
	vectorKernel(v, "sub", func(l *vectorLoop) { l.store(l.sub(l.load(l.x), l.load(l.y)), l.dst) })
	vectorKernel(v, "mul", func(l *vectorLoop) { l.store(l.mul(l.load(l.x), l.load(l.y)), l.dst) })
	vectorKernel(v, "addScalar", func(l *vectorLoop) { l.store(l.add(l.load(l.x), l.scalar(0)), l.dst) })
	vectorKernel(v, "mulScalar", func(l *vectorLoop) { l.store(l.mul(l.load(l.x), l.scalar(0)), l.dst) })
	vectorKernel(v, "axpy", func(l *vectorLoop) {
		l.store(l.add(l.load(l.dst), l.mul(l.scalar(0), l.load(l.x))), l.dst)
	})
	vectorKernel(v, "relu", func(l *vectorLoop) { l.store(l.max(l.zero(), l.load(l.x)), l.dst) })
	vectorKernel(v, "reluGrad", func(l *vectorLoop) {
		positive := l.max(l.load(l.x), l.zero()) // as an integer too
		mask := l.smear(l.subInt(l.zero(), positive), 31)
		l.store(l.and(mask, l.load(l.y)), l.dst)
	})
	vectorKernel(v, "exp", func(l *vectorLoop) { l.store(l.exp(l.load(l.x)), l.dst) })
	vectorKernel(v, "sigmoid", func(l *vectorLoop) { l.store(l.sigmoid(l.load(l.x)), l.dst) })
	vectorKernel(v, "tanh", func(l *vectorLoop) { l.store(l.tanh(l.load(l.x)), l.dst) })
	vectorKernel(v, "erf", func(l *vectorLoop) { l.store(l.erf(l.load(l.x)), l.dst) })
	vectorKernel(v, "momentum", momentum)
	vectorKernel(v, "adam", adam)
	vectorKernel(v, "fakeQuantize", fakeQuantize)

	laneKernel(v, "sumLanes", func(l *vectorLoop, lane reg.VecVirtual) { VADDPS(l.at(l.x), lane, lane) })
	laneKernel(v, "dotLanes", func(l *vectorLoop, lane reg.VecVirtual) {
		VADDPS(l.mul(l.load(l.x), l.load(l.y)), lane, lane)
	})
	laneKernel(v, "fakeQuantizeGrad", fakeQuantizeGrad)
	laneKernel(v, "maxLanes", func(l *vectorLoop, lane reg.VecVirtual) { VMAXPS(lane, l.load(l.x), lane) })
}

// momentum has w at dst, g at x, v at y, and rate, momentum, decay at s.
func momentum(l *vectorLoop) {
	w := l.load(l.dst)
	g := l.add(l.load(l.x), l.mul(l.scalar(2), w))
	u := l.add(l.mul(l.scalar(1), l.load(l.y)), g)
	l.store(u, l.y)
	l.store(l.sub(w, l.mul(l.scalar(0), u)), l.dst)
}

// adam has w at dst, g at x, m at y, v at z; s is filled by Adam.
func adam(l *vectorLoop) {
	w := l.load(l.dst)
	g := l.add(l.load(l.x), l.mul(l.scalar(7), w))
	m := l.add(l.mul(l.scalar(1), l.load(l.y)), l.mul(l.scalar(2), g))
	l.store(m, l.y)
	v := l.add(l.mul(l.scalar(3), l.load(l.z)), l.mul(l.scalar(4), l.mul(g, g)))
	l.store(v, l.z)
	step := l.div(l.mul(l.scalar(0), m), l.add(l.mul(l.sqrt(v), l.scalar(5)), l.scalar(6)))
	l.store(l.sub(l.mul(l.scalar(8), w), step), l.dst)
}
