package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Places in package kernel's coefficients, to which s points.
const (
	expLow, expHigh, log2e, rounder, ln2High, ln2Low = 0, 1, 2, 3, 4, 5

	expPoly, expPolyEnd = 6, 12
	one, two            = 12, 13
	tanhSplit           = 14

	tanhPoly, tanhPolyEnd             = 15, 20
	erfHigh                           = 20
	erfPoly, erfPolyEnd               = 21, 28
	logErfcPoly, logErfcPolyEnd       = 28, 37
	signBit, exponentBias             = 37, 38
	mantissaBits                uint8 = 23
)

// horner evaluates the polynomial at places [from, to), highest power first.
func (l *vectorLoop) horner(x reg.VecVirtual, from, to int) reg.VecVirtual {
	sum := l.scalar(from)
	for i := from + 1; i < to; i++ {
		sum = l.add(l.mul(sum, x), l.scalar(i))
	}
	return sum
}

// exp follows exp32 step by step.
func (l *vectorLoop) exp(x reg.VecVirtual) reg.VecVirtual {
	x = l.max(l.scalar(expLow), x)
	x = l.min(l.scalar(expHigh), x)
	shifted := l.add(l.mul(x, l.scalar(log2e)), l.scalar(rounder))
	n := l.sub(shifted, l.scalar(rounder))
	r := l.sub(x, l.mul(n, l.scalar(ln2High)))
	r = l.sub(r, l.mul(n, l.scalar(ln2Low)))
	y := l.add(l.mul(l.horner(r, expPoly, expPolyEnd), l.mul(r, r)), r)
	y = l.add(y, l.scalar(one))
	i := l.subInt(shifted, l.scalar(rounder))
	half := l.smear(i, 1)
	return l.mul(l.mul(y, l.powerOfTwo(half)), l.powerOfTwo(l.subInt(i, half)))
}

func (l *vectorLoop) powerOfTwo(n reg.VecVirtual) reg.VecVirtual {
	d := l.addInt(n, l.scalar(exponentBias))
	VPSLLD(operand.U8(mantissaBits), d, d)
	return d
}

func (l *vectorLoop) sigmoid(x reg.VecVirtual) reg.VecVirtual {
	e := l.exp(l.or(x, l.scalar(signBit)))
	num := l.pick(l.smear(x, 31), e, l.scalar(one))
	return l.div(num, l.add(l.scalar(one), e))
}

func (l *vectorLoop) tanh(x reg.VecVirtual) reg.VecVirtual {
	z := l.clear(l.scalar(signBit), x)
	s := l.mul(z, z)
	small := l.add(l.mul(l.mul(l.horner(s, tanhPoly, tanhPolyEnd), s), z), z)
	large := l.sub(l.scalar(one), l.div(l.scalar(two), l.add(l.exp(l.add(z, z)), l.scalar(one))))
	below := l.smear(l.sub(z, l.scalar(tanhSplit)), 31)
	return l.withSign(l.pick(below, small, large), x)
}

func (l *vectorLoop) erf(x reg.VecVirtual) reg.VecVirtual {
	z := l.min(l.scalar(erfHigh), l.clear(l.scalar(signBit), x))
	small := l.add(l.mul(l.horner(l.mul(z, z), erfPoly, erfPolyEnd), z), z)
	large := l.sub(l.scalar(one), l.exp(l.horner(z, logErfcPoly, logErfcPolyEnd)))
	below := l.smear(l.sub(z, l.scalar(one)), 31)
	return l.withSign(l.pick(below, small, large), x)
}

// withSign gives y the sign of x.
func (l *vectorLoop) withSign(y, x reg.VecVirtual) reg.VecVirtual {
	return l.or(y, l.and(x, l.scalar(signBit)))
}
