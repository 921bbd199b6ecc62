package kernel

import (
	"math"
	"unsafe"
)

// int8Lanes is the number of filters whose weights lie side by side.
const int8Lanes = 16

// int8Kernels are the micro-kernels of an instruction set.
type int8Kernels struct {
	// rows is the most pixels of a tile of so many vectors of filters; 0: none.
	rows [5]int

	// dot computes a tile: acc[i][16·vectors] ← Σ x[off[i] + k]·w over the segments,
	// each from segs[2j] to segs[2j+1]. Blocks of weights are panel apart.
	dot func(rows, vectors int, x []uint8, off []int, w []int8, panel int, segs []int, acc []int32)

	// depthwise computes acc[i][64] ← Σ_t x[i·step + taps[t] + c]·w for up to 64
	// channels; see packDepthwise for w.
	depthwise func(n int, x []uint8, step int, taps []int, w []int8, channels int, acc []int32)

	// What becomes of sums; see [Int8Output].
	requantize func(r *int8Row, y []uint8)
	real       func(r *int8Row, y []float32)
	sum        func(r *int8Row, y, other []uint8)

	// maxima computes y[i·ldy + c] ← max_t x[i·step + taps[t] + c].
	maxima func(n int, x []uint8, step int, taps []int, channels int, y []uint8, ldy int)

	// Elements side by side; they handle all of them.
	quantize   func(y []uint8, x []float32, s *int8Scalars)
	dequantize func(y []float32, x []uint8, s *int8Scalars)
	add        func(y, a, b []uint8, s *int8Scalars)
}

// int8Row is sums of n pixels and up to 16 filters, on their way to outputs.
type int8Row struct {
	n        int
	acc      []int32
	lda, ldy int
	sub      []int32
	mul, add []float32
	filters  int
	scalars  *int8Scalars
}

var portableInt8 = int8Kernels{
	rows: [5]int{1: 4, 2: 4}, dot: dotInt8, depthwise: depthwiseInt8,
	requantize: requantizeInt8, real: realInt8, sum: sumInt8, maxima: maximaInt8,
	quantize: quantizeInt8, dequantize: dequantizeInt8, add: addInt8,
}

func integerBits(v uint8) float32 { return math.Float32frombits(uint32(v)) }

func integerOf(v float32) int32 { return int32(math.Float32bits(v)) }

// int32sOf views bytes that begin at a multiple of four.
func int32sOf(b []byte) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}

func dotInt8(rows, vectors int, x []uint8, off []int, w []int8, panel int, segs []int, acc []int32) {
	for v := range vectors {
		for i := range rows {
			sums := (*[int8Lanes]int32)(acc[(i*vectors+v)*int8Lanes:])
			*sums = [int8Lanes]int32{}
			weights := w[v*panel:]
			for j := 0; j < len(segs); j += 2 {
				for k := segs[j]; k < segs[j+1]; k += 4 {
					quad := (*[4]uint8)(x[off[i]+k:])
					a, b, c, d := int32(quad[0]), int32(quad[1]), int32(quad[2]), int32(quad[3])
					for f, q := 0, (*[4 * int8Lanes]int8)(weights); f < int8Lanes; f++ {
						sums[f] += a*int32(q[4*f]) + b*int32(q[4*f+1]) + c*int32(q[4*f+2]) + d*int32(q[4*f+3])
					}
					weights = weights[4*int8Lanes:]
				}
			}
		}
	}
}

// real is the first step of an output: each operation is rounded by itself.
func (r *int8Row) real(i, f int) float32 {
	v := float32(r.acc[i*r.lda+f] + r.sub[f])
	return float32(v*r.mul[f]) + r.add[f]
}

// clampRound rounds to the nearest integer in [lo, hi], lo for a NaN.
func clampRound(v, lo, hi float32) float32 {
	if !(v > lo) {
		v = lo
	}
	if v > hi {
		v = hi
	}
	return float32(v+toInteger) - toInteger
}

func requantizeInt8(r *int8Row, y []uint8) {
	lo, hi, zero := r.scalars[0], r.scalars[1], integerOf(r.scalars[2])
	for i := range r.n {
		for f := range r.filters {
			y[i*r.ldy+f] = uint8(int32(clampRound(r.real(i, f), lo, hi)) + zero)
		}
	}
}

func realInt8(r *int8Row, y []float32) {
	lo, hi := r.scalars[0], r.scalars[1]
	for i := range r.n {
		for f := range r.filters {
			v := r.real(i, f)
			if v < lo {
				v = lo
			}
			if v > hi {
				v = hi
			}
			y[i*r.ldy+f] = v
		}
	}
}

func integersInt8(r *int8Row, y []int32, adds bool) {
	for i := range r.n {
		acc, out := r.acc[i*r.lda:][:r.filters], y[i*r.ldy:][:r.filters]
		for f, v := range acc {
			v += r.sub[f]
			if adds {
				v += out[f]
			}
			out[f] = v
		}
	}
}

func sumInt8(r *int8Row, y, other []uint8) {
	lo, hi := r.scalars[0], r.scalars[1]
	rest := (*[7]float32)(r.scalars[3:])
	for i := range r.n {
		for f := range r.filters {
			at := i*r.ldy + f
			y[at] = addOther(float32(clampRound(r.real(i, f), lo, hi)*rest[0]), other[at], rest)
		}
	}
}

// addOther adds a byte, with its zero point and scale, to a real number and
// rounds: the constants are those of [Int8Sum] from b's zero point on, after a's
// scale.
func addOther(a float32, b uint8, s *[7]float32) uint8 {
	v := a + float32(float32(int32(b)-integerOf(s[1]))*s[2])
	return uint8(int32(clampRound(v/s[3], s[4], s[5])) + integerOf(s[6]))
}

func quantizeInt8(y []uint8, x []float32, s *int8Scalars) {
	scale, lo, hi, zero := s[0], s[1], s[2], integerOf(s[3])
	for i, v := range x {
		y[i] = uint8(int32(clampRound(v/scale, lo, hi)) + zero)
	}
}

func dequantizeInt8(y []float32, x []uint8, s *int8Scalars) {
	scale, zero := s[0], integerOf(s[1])
	for i, v := range x {
		y[i] = float32(int32(v)-zero) * scale
	}
}

func addInt8(y, a, b []uint8, s *int8Scalars) {
	zero, rest := integerOf(s[0]), (*[7]float32)(s[1:])
	for i := range y {
		y[i] = addOther(float32(float32(int32(a[i])-zero)*rest[0]), b[i], rest)
	}
}

func maximaInt8(n int, x []uint8, step int, taps []int, channels int, y []uint8, ldy int) {
	for i := range n {
		out := y[i*ldy:][:channels]
		clear(out)
		for _, t := range taps {
			for c, v := range x[i*step+t:][:channels] {
				out[c] = max(out[c], v)
			}
		}
	}
}
