package kernel

import "unsafe"

// lastTiles are a set's micro-kernels on tensors whose channels lie side by
// side.
type lastTiles struct {
	lanes  int   // channels in a vector
	pixels []int // the most pixels of a tile, by its vectors of output channels

	// conv computes a tile of 1 to pixels[vectors] pixels by vectors·lanes
	// channels: from the bias, or from Partial, it adds the products of the runs
	// with the weights in order, then the residual, and bounds the result.
	conv func(vectors, pixels int, a *lastArgs)

	// The windows run over channels of their own, for 1 to windowPixels pixels:
	// products with weights bounded as in conv, the sum times Low, the maximum
	// from Low on.
	multiply, sum, max func(pixels int, a *lastArgs)

	// depth are the depthwise convolutions with windows of Runs rows of three
	// pixels, by stride less 1 and by whether the first output's window begins one
	// pixel before X and the last output's ends one behind it. nil if there are
	// none.
	depth [2][4]func(pixels int, a *lastArgs)
}

// windowPixels is the number of pixels that a window's kernel takes at a time.
const windowPixels = 6

// lastArgs are what a micro-kernel works on; the assembly knows the order of the
// fields. Pointers that a tile does not need are nil.
type lastArgs struct {
	X        *float32
	Offsets  *int // of runs from X, in elements; of windows' taps in pairs, from X and W
	Runs     int  // or taps
	Length   int  // elements of a run, at least 1
	Stride   int  // bytes between pixels of X
	W        *float32
	Y        *float32
	StrideY  int // bytes between pixels of Y, Partial and Residual
	Bias     *float32
	Partial  *float32
	Residual *float32
	Mask     *laneMask // of the last vector; nil if all of its lanes lie in Y
	Low      float32
	High     float32
	Channels int // of a window
	Row      int // bytes between rows of X under a depthwise window three wide
	Tap      int // bytes between its weights
}

// laneMask says which lanes of a vector lie in memory.
type laneMask struct {
	bits  uint32
	lanes [8]int32
}

// newLaneMask names the first n lanes; nil if there are no more.
func newLaneMask(n, lanes int) *laneMask {
	if n == lanes {
		return nil
	}
	m := &laneMask{bits: 1<<n - 1}
	for i := range min(n, len(m.lanes)) {
		m.lanes[i] = -1
	}
	return m
}

// valid is the number of channels in a tile or vector of n.
func (m *laneMask) valid(n, lanes int) int {
	if m == nil {
		return n
	}
	set := 0
	for b := m.bits; b != 0; b &= b - 1 {
		set++
	}
	return n - lanes + set
}

// portableLast is the Go twin: vectors of four channels, so that the sums of two
// pixels stay in registers.
var portableLast = lastTiles{
	lanes: 4, pixels: []int{0, 2},
	conv:     lastConvGo,
	multiply: windowMultiplyGo, sum: windowSumGo, max: windowMaxGo,
}

// at is element i behind p.
func at[T any](p *T, i int) *T {
	return (*T)(unsafe.Add(unsafe.Pointer(p), i*int(unsafe.Sizeof(*p))))
}

// row is n elements, i bytes behind p.
func row(p *float32, i, n int) []float32 {
	return unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(p), i)), n)
}

func lastConvGo(_, pixels int, a *lastArgs) {
	channels := a.Mask.valid(4, 4)
	for p := range pixels {
		var sums [4]float32
		if a.Partial != nil {
			copy(sums[:], row(a.Partial, p*a.StrideY, channels))
		} else {
			copy(sums[:], unsafe.Slice(a.Bias, 4))
		}
		s0, s1, s2, s3 := sums[0], sums[1], sums[2], sums[3]
		w := unsafe.Slice(a.W, 4*a.Runs*a.Length)
		for _, off := range unsafe.Slice(a.Offsets, a.Runs) {
			x := unsafe.Slice(at(at(a.X, off), p*a.Stride/4), a.Length)
			for _, v := range x {
				s0 += float32(v * w[0])
				s1 += float32(v * w[1])
				s2 += float32(v * w[2])
				s3 += float32(v * w[3])
				w = w[4:]
			}
		}
		sums = [4]float32{s0, s1, s2, s3}
		y := row(a.Y, p*a.StrideY, channels)
		for j := range y {
			v := sums[j]
			if a.Residual != nil {
				v += row(a.Residual, p*a.StrideY, channels)[j]
			}
			y[j] = bound(v, a.Low, a.High)
		}
	}
}

// bound is v between low and high; NaN stays.
func bound(v, low, high float32) float32 {
	if v < low {
		return low
	}
	if v > high {
		return high
	}
	return v
}

func windowMultiplyGo(pixels int, a *lastArgs) {
	bias := unsafe.Slice(a.Bias, a.Channels)
	for p := range pixels {
		y := row(a.Y, p*a.StrideY, a.Channels)
		copy(y, bias)
		for t := range a.Runs {
			x := row(at(a.X, *at(a.Offsets, 2*t)), p*a.Stride, len(y))
			w := unsafe.Slice(at(a.W, *at(a.Offsets, 2*t+1)), len(y))
			for c, v := range x {
				y[c] += float32(v * w[c])
			}
		}
		for c, v := range y {
			y[c] = bound(v, a.Low, a.High)
		}
	}
}

func windowSumGo(pixels int, a *lastArgs) {
	for p := range pixels {
		y := row(a.Y, p*a.StrideY, a.Channels)
		clear(y)
		for t := range a.Runs {
			for c, v := range row(at(a.X, *at(a.Offsets, 2*t)), p*a.Stride, len(y)) {
				y[c] += v
			}
		}
		for c := range y {
			y[c] *= a.Low
		}
	}
}

func windowMaxGo(pixels int, a *lastArgs) {
	for p := range pixels {
		y := row(a.Y, p*a.StrideY, a.Channels)
		for c := range y {
			y[c] = a.Low
		}
		for t := range a.Runs {
			for c, v := range row(at(a.X, *at(a.Offsets, 2*t)), p*a.Stride, len(y)) {
				y[c] = max(y[c], v)
			}
		}
	}
}
