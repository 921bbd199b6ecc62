package kernel

//go:generate go run ./asm -family int8 -out int8_kernels_amd64.s -stubs int8_kernels_amd64.go -pkg kernel

import "golang.org/x/sys/cpu"

// Kernels for AVX-512 with VNNI, and for AVX2, which serve AVX-512 without.
var (
	vnniInt8 = int8Kernels{
		rows: [5]int{1: 10, 2: 10, 4: 6}, dot: dotInt8VNNI, depthwise: depthwiseInt8VNNI,
		requantize: requantizeInt8AVX512, real: realInt8AVX512, sum: sumInt8AVX512, maxima: maximaInt8AVX512,
		quantize: quantizeInt8AVX512, dequantize: dequantizeInt8AVX512, add: addInt8AVX512,
	}
	avx2Int8 = int8Kernels{
		rows: [5]int{1: 2}, dot: dotInt8AVX2, depthwise: depthwiseInt8AVX2,
		requantize: requantizeInt8AVX2, real: realInt8AVX2, sum: sumInt8AVX2, maxima: maximaInt8AVX2,
		quantize: quantizeInt8AVX2, dequantize: dequantizeInt8AVX2, add: addInt8AVX2,
	}
)

// int8KernelsOf chooses the micro-kernels of a set. All give the same bits.
func int8KernelsOf(set Set) *int8Kernels {
	switch {
	case set == AVX512 && cpu.X86.HasAVX512VNNI:
		return &vnniInt8
	case set >= AVX2:
		return &avx2Int8
	}
	return &portableInt8
}

// The assembly trusts its arguments; these check what it touches of the outputs.
// What it reads lies inside by construction of the strips and tables.

func dotInt8VNNI(rows, vectors int, x []uint8, off []int, w []int8, panel int, segs []int, acc []int32) {
	_, _, _ = off[rows-1], w[vectors*panel-1], acc[rows*vectors*int8Lanes-1]
	int8DotVNNI(rows, vectors, &x[0], &off[0], &w[0], panel, &segs[0], len(segs)/2, &acc[0])
}

func dotInt8AVX2(rows, vectors int, x []uint8, off []int, w []int8, panel int, segs []int, acc []int32) {
	_, _, _ = off[rows-1], w[vectors*panel-1], acc[rows*vectors*int8Lanes-1]
	int8DotAVX2(rows, vectors, &x[0], &off[0], &w[0], panel, &segs[0], len(segs)/2, &acc[0])
}

func depthwiseInt8VNNI(n int, x []uint8, step int, taps []int, w []int8, channels int, acc []int32) {
	_, _ = w[len(taps)*depthwiseLanes-1], acc[n*depthwiseLanes-1]
	int8DepthwiseVNNI(n, &x[0], step, &taps[0], len(taps)/4, &w[0], &acc[0], channelMask(channels))
}

// channelMask has the lowest 1 to 64 bits set.
func channelMask(channels int) uint64 { return ^uint64(0) >> (depthwiseLanes - channels) }

func (r *int8Row) check(y int) (mask uint16) {
	_, _, _, _ = r.acc[(r.n-1)*r.lda+int8Lanes-1], r.sub[int8Lanes-1], r.mul[int8Lanes-1], r.add[int8Lanes-1]
	if y < (r.n-1)*r.ldy+r.filters {
		panic("kernel: outputs of an int8 convolution: too short")
	}
	return uint16(channelMask(r.filters))
}

func requantizeInt8AVX512(r *int8Row, y []uint8) {
	mask := r.check(len(y))
	int8RequantizeAVX512(r.n, &r.acc[0], 4*r.lda, &y[0], r.ldy, &r.sub[0], &r.mul[0], &r.add[0], mask, &r.scalars[0])
}

func realInt8AVX512(r *int8Row, y []float32) {
	mask := r.check(len(y))
	int8RealAVX512(r.n, &r.acc[0], 4*r.lda, &y[0], 4*r.ldy, &r.sub[0], &r.mul[0], &r.add[0], mask, &r.scalars[0])
}

func sumInt8AVX512(r *int8Row, y, other []uint8) {
	mask := r.check(min(len(y), len(other)))
	int8SumAVX512(r.n, &r.acc[0], 4*r.lda, &y[0], r.ldy, &r.sub[0], &r.mul[0], &r.add[0], mask, &r.scalars[0], &other[0])
}

func maximaInt8AVX512(n int, x []uint8, step int, taps []int, channels int, y []uint8, ldy int) {
	_ = y[(n-1)*ldy+channels-1]
	int8MaxAVX512(n, &x[0], step, &taps[0], len(taps), &y[0], ldy, channelMask(channels))
}

func quantizeInt8AVX512(y []uint8, x []float32, s *int8Scalars) {
	if len(x) > 0 {
		_ = y[len(x)-1]
		int8QuantizeAVX512(len(x), &y[0], &x[0], &s[0])
	}
}

func dequantizeInt8AVX512(y []float32, x []uint8, s *int8Scalars) {
	if len(x) > 0 {
		_ = y[len(x)-1]
		int8DequantizeAVX512(len(x), &y[0], &x[0], &s[0])
	}
}

func addInt8AVX512(y, a, b []uint8, s *int8Scalars) {
	if len(y) > 0 {
		_, _ = a[len(y)-1], b[len(y)-1]
		int8AddAVX512(len(y), &y[0], &a[0], &b[0], &s[0])
	}
}

// The kernels for AVX2 take 16 channels or elements; portable code does the rest.

func depthwiseInt8AVX2(n int, x []uint8, step int, taps []int, w []int8, channels int, acc []int32) {
	_, _, _ = w[len(taps)*depthwiseLanes-1], acc[n*depthwiseLanes-1], x[(n-1)*step+channels-1]
	first := 0
	for ; first+int8Lanes <= channels; first += int8Lanes {
		int8DepthwiseAVX2(n, &x[first], step, &taps[0], len(taps)/4, &w[first], &acc[first])
	}
	if first < channels {
		depthwiseFrom(first, n, x, step, taps, w, channels, acc)
	}
}

func requantizeInt8AVX2(r *int8Row, y []uint8) {
	if r.check(len(y)); r.filters < int8Lanes {
		requantizeInt8(r, y)
		return
	}
	int8RequantizeAVX2(r.n, &r.acc[0], 4*r.lda, &y[0], r.ldy, &r.sub[0], &r.mul[0], &r.add[0], &r.scalars[0])
}

func realInt8AVX2(r *int8Row, y []float32) {
	if r.check(len(y)); r.filters < int8Lanes {
		realInt8(r, y)
		return
	}
	int8RealAVX2(r.n, &r.acc[0], 4*r.lda, &y[0], 4*r.ldy, &r.sub[0], &r.mul[0], &r.add[0], &r.scalars[0])
}

func sumInt8AVX2(r *int8Row, y, other []uint8) {
	if r.check(min(len(y), len(other))); r.filters < int8Lanes {
		sumInt8(r, y, other)
		return
	}
	int8SumAVX2(r.n, &r.acc[0], 4*r.lda, &y[0], r.ldy, &r.sub[0], &r.mul[0], &r.add[0], &r.scalars[0], &other[0])
}

func maximaInt8AVX2(n int, x []uint8, step int, taps []int, channels int, y []uint8, ldy int) {
	_ = y[(n-1)*ldy+channels-1]
	first := 0
	for ; first+int8Lanes <= channels; first += int8Lanes {
		int8MaxAVX2(n, &x[first], step, &taps[0], len(taps), &y[first], ldy)
	}
	if first < channels {
		maximaInt8(n, x[first:], step, taps, channels-first, y[first:], ldy)
	}
}

// whole is the longest length up to n that fills vectors.
func whole(n int) int { return n &^ (int8Lanes - 1) }

func quantizeInt8AVX2(y []uint8, x []float32, s *int8Scalars) {
	n := whole(len(x))
	if n > 0 {
		_ = y[n-1]
		int8QuantizeAVX2(n, &y[0], &x[0], &s[0])
	}
	quantizeInt8(y[n:], x[n:], s)
}

func dequantizeInt8AVX2(y []float32, x []uint8, s *int8Scalars) {
	n := whole(len(x))
	if n > 0 {
		_ = y[n-1]
		int8DequantizeAVX2(n, &y[0], &x[0], &s[0])
	}
	dequantizeInt8(y[n:], x[n:], s)
}

func addInt8AVX2(y, a, b []uint8, s *int8Scalars) {
	n := whole(len(y))
	if n > 0 {
		_, _ = a[n-1], b[n-1]
		int8AddAVX2(n, &y[0], &a[0], &b[0], &s[0])
	}
	addInt8(y[n:], a[n:], b[n:], s)
}
