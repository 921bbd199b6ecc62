package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// Further places in package kernel's coefficients.
const (
	logPoly, logPolyEnd = 39, 48
	oneHalf             = 48
	leastNormal         = 49
	shift23, times23    = 50, 51 // 2²³ and 23
	rootOffset          = 52     // 1 − √½, as integers, as are those below
	mantissaMask        = 53
	rootHalf            = 54
	infinity            = 55
	integerOne          = 56
	minusInfinity       = 57
	rootHalfFloat       = 58
	geluLinear          = 59 // 2·√(2/π)
	geluCubic           = 60 // and that times 0.044715
)

// functions emits the kernels of kernel/functions.go.
func functions() {
	for _, v := range []isa{avx2, avx512} {
		rowSums(v)
		vectorKernel(v, "log", func(l *vectorLoop) { l.store(l.log(l.load(l.x)), l.dst) })
		vectorKernel(v, "gelu", func(l *vectorLoop) { l.store(l.gelu(l.load(l.x)), l.dst) })
		vectorKernel(v, "geluTanh", func(l *vectorLoop) { l.store(l.geluTanh(l.load(l.x)), l.dst) })
		vectorKernel(v, "div", func(l *vectorLoop) { l.store(l.div(l.load(l.x), l.load(l.y)), l.dst) })
		vectorKernel(v, "max", func(l *vectorLoop) { l.store(l.extreme(l.max, l.load(l.x), l.load(l.y)), l.dst) })
		vectorKernel(v, "min", func(l *vectorLoop) { l.store(l.extreme(l.min, l.load(l.x), l.load(l.y)), l.dst) })
		vectorKernel(v, "fill", func(l *vectorLoop) { l.store(l.scalar(0), l.dst) })
		vectorKernel(v, "sqrt", func(l *vectorLoop) { l.store(l.sqrt(l.load(l.x)), l.dst) })
		vectorKernel(v, "reciprocal", func(l *vectorLoop) { l.store(l.div(l.scalar(one), l.load(l.x)), l.dst) })
		vectorKernel(v, "abs", func(l *vectorLoop) { l.store(l.clear(l.scalar(signBit), l.load(l.x)), l.dst) })
		vectorKernel(v, "clip", func(l *vectorLoop) {
			l.store(l.min(l.scalar(1), l.max(l.scalar(0), l.load(l.x))), l.dst)
		})
		vectorKernel(v, "leaky", func(l *vectorLoop) {
			x := l.load(l.x)
			l.store(l.pick(l.smear(x, 31), l.mul(x, l.scalar(0)), x), l.dst)
		})
	}
}

// extreme is the greater or the lesser of two, NaN if either is.
func (l *vectorLoop) extreme(op func(a, b reg.VecVirtual) reg.VecVirtual, x, y reg.VecVirtual) reg.VecVirtual {
	return l.or(op(x, y), op(y, x))
}

// log follows log32 step by step; special numbers are picked at the end.
func (l *vectorLoop) log(x reg.VecVirtual) reg.VecVirtual {
	small := l.smear(l.sub(x, l.scalar(leastNormal)), 31)
	scaled := l.pick(small, l.mul(x, l.scalar(shift23)), x)
	i := l.addInt(scaled, l.scalar(rootOffset))
	exponent, e := l.subInt(l.smear(i, mantissaBits), l.scalar(exponentBias)), l.register()
	VCVTDQ2PS(exponent, e)
	e = l.sub(e, l.and(small, l.scalar(times23)))
	m := l.addInt(l.and(i, l.scalar(mantissaMask)), l.scalar(rootHalf))
	f := l.sub(m, l.scalar(one))
	z := l.mul(f, f)
	y := l.mul(l.mul(l.horner(f, logPoly, logPolyEnd), f), z)
	y = l.add(y, l.mul(e, l.scalar(ln2Low)))
	y = l.sub(y, l.mul(z, l.scalar(oneHalf)))
	y = l.add(f, y)
	y = l.add(y, l.mul(e, l.scalar(ln2High)))

	size := l.clear(l.scalar(signBit), x)
	finite := l.smear(l.subInt(size, l.scalar(infinity)), 31)
	negative := l.smear(x, 31) // all bits set are a NaN
	zero := l.smear(l.subInt(size, l.scalar(integerOne)), 31)
	y = l.or(l.pick(finite, y, x), negative)
	return l.pick(zero, l.scalar(minusInfinity), y)
}

// gelu follows gelu32: x·Φ(x), with erfc of |x|/√2 as erf takes it.
func (l *vectorLoop) gelu(x reg.VecVirtual) reg.VecVirtual {
	whole := l.mul(l.clear(l.scalar(signBit), x), l.scalar(rootHalfFloat))
	z := l.min(l.scalar(erfHigh), whole)
	small := l.add(l.mul(l.horner(l.mul(z, z), erfPoly, erfPolyEnd), z), z)
	large := l.exp(l.horner(z, logErfcPoly, logErfcPolyEnd))
	tail := l.pick(l.smear(l.sub(z, l.scalar(one)), 31), l.sub(l.scalar(one), small), large)
	tail = l.mul(tail, l.scalar(oneHalf))
	tail = l.and(tail, l.smear(l.sub(whole, l.scalar(erfHigh)), 31))
	return l.mul(x, l.pick(l.smear(x, 31), tail, l.sub(l.scalar(one), tail)))
}

// geluTanh is x·σ(2·√(2/π)·(x + 0.044715·x³)).
func (l *vectorLoop) geluTanh(x reg.VecVirtual) reg.VecVirtual {
	slope := l.add(l.mul(l.mul(x, x), l.scalar(geluCubic)), l.scalar(geluLinear))
	return l.mul(x, l.sigmoid(l.mul(x, slope)))
}
