package kernel

// Micro-kernels by set.
var sConvTiles = [...]convTile[float32]{
	Portable: portableConvTile[float32](),
	AVX2: {
		lanes: 8, group: 2, rows: 6, weightRows: 3, weightTaps: 4, step: 1,
		forward: sConvAVX2, weight: sConvWeightAVX2, add: sAddRows,
	},
	AVX512: {
		lanes: 8, group: 4, rows: 14, weightRows: 4, weightTaps: 6, step: 2,
		forward: sConvAVX512, weight: sConvWeightAVX512, add: sAddRows,
	},
}

// The assembly trusts its arguments; these check what it will touch of the
// outputs. What it reads lies inside by construction of [planes] and [lattice],
// and the tables are short slices of theirs.

func sConvAVX2(r, k int, a []float32, lda int, x []float32, off []int, segs []segment, y []float32, ldy int, bias []float32, act Activation) {
	_, _, _ = a[(r-1)*lda+k-1], off[k-1], y[(r-1)*ldy+max(segs[0].out, segs[1].out)+7]
	sconvAVX2(r, k, &a[0], lda, &x[0], &off[0], &segs[0].in, &y[0], ldy, first(bias, r), int(act))
}

func sConvAVX512(r, k int, a []float32, lda int, x []float32, off []int, segs []segment, y []float32, ldy int, bias []float32, act Activation) {
	_, _, _ = a[(r-1)*lda+k-1], off[k-1], y[(r-1)*ldy+max(segs[0].out, segs[1].out, segs[2].out, segs[3].out)+7]
	sconvAVX512(r, k, &a[0], lda, &x[0], &off[0], &segs[0].in, &y[0], ldy, first(bias, r), int(act))
}

// first points at r biases, or nowhere if there are none.
func first(bias []float32, r int) *float32 {
	if bias == nil {
		return nil
	}
	return &bias[:r][0]
}

func sConvWeightAVX2(r, images int, dy []float32, lddy, dyImage int, x []float32, xImage int, off []int, segs []segment, sums []float32) {
	_, _, _ = dy[(images-1)*dyImage+(r-1)*lddy+len(segs)*8-1], off[3], sums[r*4-1]
	sconvWeightAVX2(r, len(segs), images, &dy[0], lddy, dyImage, &x[0], xImage, &off[0], &segs[0].in, &sums[0])
}

func sConvWeightAVX512(r, images int, dy []float32, lddy, dyImage int, x []float32, xImage int, off []int, segs []segment, sums []float32) {
	_, _, _ = dy[(images-1)*dyImage+(r-1)*lddy+len(segs)*8-1], off[5], sums[r*6-1]
	sconvWeightAVX512(r, len(segs)/2, images, &dy[0], lddy, dyImage, &x[0], xImage, &off[0], &segs[0].in, &sums[0])
}

func sAddRows(rows, n int, dst []float32, ldd int, src []float32, lds int) {
	_, _ = dst[(rows-1)*ldd+n-1], src[(rows-1)*lds+n-1]
	saddRowsAVX2(rows, n, &dst[0], ldd, &src[0], lds)
}
