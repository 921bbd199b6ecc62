package kernel

//go:generate go run ./asm -family conv -out conv_kernels_amd64.s -stubs conv_kernels_amd64.go -pkg kernel

// convTile is a family of convolution micro-kernels.
//
// forward computes, for i < r ≤ rows, q < group and l < lanes,
//
//	y[i·ldy + segs[q].out + l] ← act(bias[i] + Σ_p a[i·lda+p]·x[off[p] + segs[q].in + l])
//
// over 0 ≤ p < k in order; the bias is added last, and is none if nil.
//
// weight computes, for i < r ≤ weightRows and j < weightTaps,
//
//	sums[i·weightTaps+j] ← Σ_n Σ_q Σ_l dy[n·dyImage + i·lddy + q·lanes + l]·x[n·xImage + off[j] + segs[q].in + l]
//
// over images n, and as many segments q as segs has: a multiple of step.
//
// add adds rows of n elements: dst[i·ldd+j] += src[i·lds+j].
type convTile[T Float] struct {
	lanes, group, rows           int
	weightRows, weightTaps, step int

	forward func(r, k int, a []T, lda int, x []T, off []int, segs []segment, y []T, ldy int, bias []T, act Activation)
	weight  func(r, images int, dy []T, lddy, dyImage int, x []T, xImage int, off []int, segs []segment, sums []T)
	add     func(rows, n int, dst []T, ldd int, src []T, lds int)
}

// convTileOf returns the micro-kernels of a set for T.
func convTileOf[T Float](set Set) *convTile[T] {
	var zero T
	if _, ok := any(zero).(float32); ok {
		return any(&sConvTiles[set]).(*convTile[T])
	}
	return any(&dConvTile).(*convTile[T])
}

const portableLanes = 4

func portableConvTile[T Float]() convTile[T] {
	return convTile[T]{
		lanes: portableLanes, group: 1, rows: 2, weightRows: 2, weightTaps: 2, step: 1,
		forward: convForwardPortable[T], weight: convWeightPortable[T], add: addRowsPortable[T],
	}
}

var dConvTile = portableConvTile[float64]()

// As in microPortable, products are converted so that they are rounded.

func convForwardPortable[T Float](r, k int, a []T, lda int, x []T, off []int, segs []segment, y []T, ldy int, bias []T, act Activation) {
	var s00, s01, s02, s03, s10, s11, s12, s13 T
	second := (r - 1) * lda // a lone row is computed twice
	a0, a1 := a[:k], a[second:][:k]
	x = x[segs[0].in:]
	for p, o := range off[:k] {
		u, v := a0[p], a1[p]
		w := x[o:][:portableLanes:portableLanes]
		s00 += T(u * w[0])
		s01 += T(u * w[1])
		s02 += T(u * w[2])
		s03 += T(u * w[3])
		s10 += T(v * w[0])
		s11 += T(v * w[1])
		s12 += T(v * w[2])
		s13 += T(v * w[3])
	}
	sums := [2][portableLanes]T{{s00, s01, s02, s03}, {s10, s11, s12, s13}}
	for i := range r {
		out := y[i*ldy+segs[0].out:][:portableLanes]
		for l, s := range sums[i] {
			if bias != nil {
				s += bias[i]
			}
			if act == ActRelu && s < 0 {
				s = 0
			}
			out[l] = s
		}
	}
}

func convWeightPortable[T Float](r, images int, dy []T, lddy, dyImage int, x []T, xImage int, off []int, segs []segment, sums []T) {
	var s00, s01, s10, s11 T
	second := (r - 1) * lddy
	for n := range images {
		x0, x1 := x[n*xImage+off[0]:], x[n*xImage+off[1]:]
		for q, s := range segs {
			d0 := dy[n*dyImage+q*portableLanes:][:portableLanes]
			d1 := dy[n*dyImage+q*portableLanes+second:][:portableLanes]
			u, v := x0[s.in:][:portableLanes], x1[s.in:][:portableLanes]
			for l := range portableLanes {
				s00 += T(d0[l] * u[l])
				s01 += T(d0[l] * v[l])
				s10 += T(d1[l] * u[l])
				s11 += T(d1[l] * v[l])
			}
		}
	}
	sums[0], sums[1] = s00, s01
	if r == 2 {
		sums[2], sums[3] = s10, s11
	}
}

func addRowsPortable[T Float](rows, n int, dst []T, ldd int, src []T, lds int) {
	for i := range rows {
		to, from := dst[i*ldd:][:n], src[i*lds:][:n]
		for j, v := range from {
			to[j] += v
		}
	}
}
