package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Places in package kernel's coefficients64, to which s points.
const (
	expLow64, expHigh64, log2e64, rounder64, ln2High64, ln2Low64 = 0, 1, 2, 3, 4, 5

	half64, one64, signBit64 = 6, 7, 8

	expPoly64, expPolyEnd64 = 9, 21
	logPoly64, logPolyEnd64 = 21, 32
	two64                   = 32
)

// functions64 emits elementary functions of float64.
func functions64() {
	for _, v := range []isa{avx2, avx512} {
		function64(v, "exp64", func(f *function64Loop, x reg.VecVirtual) reg.VecVirtual { return f.exp(x) })
		function64(v, "expMinusAbs64", func(f *function64Loop, x reg.VecVirtual) reg.VecVirtual {
			return f.exp(f.binary(VORPD, x, f.scalar(signBit64)))
		})
		function64(v, "logOnePlus64", func(f *function64Loop, x reg.VecVirtual) reg.VecVirtual { return f.logOnePlus(x) })
	}
}

// function64Loop has methods that emit an operation on one vector each and return the
// result, so that a body reads like the Go beside it.
type function64Loop struct {
	columnLoop
	s reg.GPVirtual
}

func function64(v isa, op string, body func(f *function64Loop, x reg.VecVirtual) reg.VecVirtual) {
	name := op + v.name
	TEXT(name, NOSPLIT, "func(n int, dst, x, s *float64)")
	Pragma("noescape")
	Doc(fmt.Sprintf("%s computes n elements with coefficients at s.", name))
	p := pointers("dst", "x", "s")
	f := &function64Loop{columnLoop: columnLoop{isa: v}, s: p[2]}
	f.run(func(int) { f.store(body(f, f.load(p[1])), p[0]) })
	VZEROUPPER()
	RET()
}

func (f *function64Loop) scalar(i int) reg.VecVirtual {
	d := f.register()
	VBROADCASTSD(operand.Mem{Base: f.s, Disp: 8 * i}, d)
	return d
}

func (f *function64Loop) binary(op func(ops ...operand.Op), a, b reg.VecVirtual) reg.VecVirtual {
	d := f.register()
	op(b, a, d)
	return d
}

func (f *function64Loop) add(a, b reg.VecVirtual) reg.VecVirtual { return f.binary(VADDPD, a, b) }
func (f *function64Loop) sub(a, b reg.VecVirtual) reg.VecVirtual { return f.binary(VSUBPD, a, b) }
func (f *function64Loop) mul(a, b reg.VecVirtual) reg.VecVirtual { return f.binary(VMULPD, a, b) }
func (f *function64Loop) div(a, b reg.VecVirtual) reg.VecVirtual { return f.binary(VDIVPD, a, b) }

// horner evaluates the polynomial at places [from, to), highest power first.
func (f *function64Loop) horner(x reg.VecVirtual, from, to int) reg.VecVirtual {
	sum := f.scalar(from)
	for i := from + 1; i < to; i++ {
		sum = f.add(f.mul(sum, x), f.scalar(i))
	}
	return sum
}

// exp follows exp64 step by step.
func (f *function64Loop) exp(x reg.VecVirtual) reg.VecVirtual {
	x = f.binary(VMAXPD, f.scalar(expLow64), x)
	x = f.binary(VMINPD, f.scalar(expHigh64), x)
	k := f.sub(f.add(f.mul(x, f.scalar(log2e64)), f.scalar(rounder64)), f.scalar(rounder64))
	r := f.sub(x, f.mul(k, f.scalar(ln2High64)))
	r = f.sub(r, f.mul(k, f.scalar(ln2Low64)))
	y := f.add(f.mul(f.horner(r, expPoly64, expPolyEnd64), f.mul(r, r)), r)
	y = f.add(y, f.scalar(one64))
	first := f.add(f.mul(k, f.scalar(half64)), f.scalar(rounder64))
	second := f.add(f.sub(k, f.sub(first, f.scalar(rounder64))), f.scalar(rounder64))
	return f.mul(f.mul(y, f.powerOfTwo(first)), f.powerOfTwo(second))
}

// powerOfTwo is 2ⁿ of n + rounder.
func (f *function64Loop) powerOfTwo(n reg.VecVirtual) reg.VecVirtual {
	d := f.register()
	VPSLLQ(operand.U8(52), n, d)
	return f.binary(VPADDQ, d, f.scalar(one64))
}

// logOnePlus follows logOnePlus64 step by step.
func (f *function64Loop) logOnePlus(x reg.VecVirtual) reg.VecVirtual {
	k := f.sub(f.add(x, f.scalar(rounder64)), f.scalar(rounder64))
	t := f.mul(f.sub(x, k), f.sub(f.scalar(one64), f.mul(k, f.scalar(half64))))
	square := f.mul(f.mul(t, t), f.scalar(half64))
	s := f.div(t, f.add(t, f.scalar(two64)))
	z := f.mul(s, s)
	rest := f.mul(f.horner(z, logPoly64, logPolyEnd64), z)
	low := f.add(f.mul(s, f.add(square, rest)), f.mul(k, f.scalar(ln2Low64)))
	return f.sub(f.mul(k, f.scalar(ln2High64)), f.sub(f.sub(square, low), t))
}
