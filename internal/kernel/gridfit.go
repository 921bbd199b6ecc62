package kernel

import (
	"math"
	"unsafe"
)

//go:generate go run ./asm -family grids -out grids_kernels_amd64.s -stubs grids_kernels_amd64.go -pkg kernel

// fitLanes is the number of partial sums in the reductions that choose a grid:
// element i goes to number i mod 16.
const fitLanes = 16

// MinMax returns the least and the largest element of x, and whether all are
// finite; lo and hi are of use only then. x must not be empty.
func MinMax(set Set, x []float32) (lo, hi float32, finite bool) {
	lo, hi = x[0], x[0]
	top := uint32(0) // the largest magnitude as an integer: those of Inf and NaN are above all others
	if n := len(x) &^ (stride - 1); n > 0 && set != Portable {
		var lanes [3][fitLanes]float32
		for i := range fitLanes {
			lanes[0][i], lanes[1][i] = lo, hi
		}
		minMaxBulk(set, x[:n], &lanes)
		for i := range fitLanes {
			lo, hi, top = min(lo, lanes[0][i]), max(hi, lanes[1][i]), max(top, math.Float32bits(lanes[2][i]))
		}
		x = x[n:]
	}
	for _, v := range x {
		if v < lo {
			lo = v
		}
		if v > hi {
			hi = v
		}
		top = max(top, magnitudeBits(v))
	}
	return lo, hi, top < infinityBits
}

const (
	magnitudeMask = 1<<31 - 1
	infinityBits  = 0xff << 23
)

// magnitudeBits are the bits of |x|, which order as the number does.
func magnitudeBits(x float32) uint32 { return math.Float32bits(x) & magnitudeMask }

// QuantizeRow rounds x to the integers of a grid, half to even:
//
//	dst[i] ← clamp(roundHalfToEven(x[i]/scale), lo, hi) + zero
//
// as ONNX QuantizeLinear with saturation to [lo + zero, hi + zero], which must lie
// in the range of int8 or of uint8: dst holds bytes of either.
func QuantizeRow(set Set, dst []byte, x []float32, scale float32, lo, hi, zero int) {
	checkLength("dst", len(dst), len(x))
	if set == AVX2 && (lo < math.MinInt8 || hi > math.MaxInt8) {
		set = Portable // its packing saturates
	}
	q := unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(dst))), len(dst))
	n := quantizeBulk(set, q, x, scale, float32(lo), float32(hi))
	quantizeRow(q[n:], x[n:], scale, float32(lo), float32(hi))
	if zero == 0 {
		return
	}
	for i := range dst {
		dst[i] += byte(zero)
	}
}

// fitBlock is how many elements [GridError] adds in float32.
const fitBlock = 1024

// GridError measures the grid of the given scale and integers on x: with
// q = clamp(round(x/s), lo, hi),
//
//	e = Σ (x − s·q)²,   xq = Σ x·q,   qq = Σ q²
//
// x/s is x·(1/s) in float32, which may round to the other neighbour where x lies
// halfway. Sums of up to 1024 elements are in float32 by lanes, those of lanes and
// blocks in float64. It stops as soon as e exceeds limit: the true e is
// then not less, and xq and qq are of no use.
func GridError(set Set, x []float32, scale float32, lo, hi int, limit float64) (e, xq, qq float64) {
	s := [...]float32{1 / scale, float32(lo), float32(hi), toInteger, scale}
	for len(x) > 0 && !(e > limit) {
		var lanes [3][fitLanes]float32
		block, n := x[:min(fitBlock, len(x))], 0
		if set != Portable {
			n = len(block) &^ (stride - 1)
		}
		if n > 0 {
			gridErrorBulk(set, block[:n], &lanes, &s)
		}
		for i, v := range block[n:] {
			gridErrorAt(&lanes, i%fitLanes, v, &s)
		}
		e += wideSum(&lanes[0])
		xq += wideSum(&lanes[1])
		qq += wideSum(&lanes[2])
		x = x[len(block):]
	}
	return e, xq, qq
}

func gridErrorAt(lanes *[3][fitLanes]float32, l int, x float32, s *[5]float32) {
	v := x * s[0]
	if !(v > s[1]) {
		v = s[1]
	}
	if v > s[2] {
		v = s[2]
	}
	q := float32(v+s[3]) - s[3]
	d := x - float32(s[4]*q)
	lanes[0][l] += float32(d * d)
	lanes[1][l] += float32(x * q)
	lanes[2][l] += float32(q * q)
}

// wideSum adds lanes in four chains.
func wideSum(lanes *[fitLanes]float32) float64 {
	var a, b, c, d float64
	for i := 0; i < fitLanes; i += 4 {
		a, b, c, d = a+float64(lanes[i]), b+float64(lanes[i+1]), c+float64(lanes[i+2]), d+float64(lanes[i+3])
	}
	return (a + b) + (c + d)
}
