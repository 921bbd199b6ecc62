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
		rows: [5]int{1: 2}, dot: dotInt8AVX2, depthwise: depthwiseInt8,
		requantize: requantizeInt8, real: realInt8, sum: sumInt8, maxima: maximaInt8,
		quantize: quantizeInt8, dequantize: dequantizeInt8, add: addInt8,
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
