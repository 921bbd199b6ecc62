package main

import (
	. "github.com/mmcloughlin/avo/build"
	"github.com/mmcloughlin/avo/reg"
)

// Places in the factors of fake quantisation.
const (
	gridScale, gridLow, gridHigh, gridRounder, gridMagnitude = 0, 1, 2, 3, 4
)

// clamped is v held to the grid's range; a NaN stays.
func (l *vectorLoop) clamped(v reg.VecVirtual) reg.VecVirtual {
	return l.min(l.scalar(gridHigh), l.max(l.scalar(gridLow), v))
}

// rounded is the nearest integer, ties to even.
func (l *vectorLoop) rounded(v reg.VecVirtual) reg.VecVirtual {
	return l.sub(l.add(v, l.scalar(gridRounder)), l.scalar(gridRounder))
}

// fakeQuantize has x at x.
func fakeQuantize(l *vectorLoop) {
	v := l.div(l.load(l.x), l.scalar(gridScale))
	l.store(l.mul(l.scalar(gridScale), l.rounded(l.clamped(v))), l.dst)
}

// fakeQuantizeGrad has x at x and dy at y; it writes dx to z and adds dy·∂y/∂s
// to the lanes.
func fakeQuantizeGrad(l *vectorLoop, lane reg.VecVirtual) {
	v := l.div(l.load(l.x), l.scalar(gridScale))
	c := l.clamped(v)
	beyond := l.and(l.scalar(gridMagnitude), l.sub(v, c)) // as an integer, 0 inside
	outside := l.smear(l.subInt(l.zero(), beyond), 31)
	dy := l.load(l.y)
	l.store(l.clear(outside, dy), l.z)
	slope := l.sub(l.rounded(c), l.clear(outside, v))
	VADDPS(l.mul(dy, slope), lane, lane)
}
