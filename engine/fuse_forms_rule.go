package engine

import (
	"math"

	"github.com/compactify/compactify/tensor"
)

// The forms of constant float32 weights.
const (
	blockForm = "blocks"    // columns of sixteen output channels
	fourForm  = "2:4"       // two of four successive inner indices
	rowForm   = "rows"      // any
	oneBit    = "one bit"   // ±α for each output channel
	bothSigns = "two signs" // of these and of activations
)

// Rule 1 of sparse forms. Costs are times relative to the dense product. They are
// fitted to minima of interleaved runs on Zen 5 with one thread: products with n =
// k = 256, 1024 and 4096 and 1 to 256 rows (BenchmarkForms of package kernel)
// beside SGEMM, and convolutions of kernel 1 with 24 to 960 inputs beside the
// channels-last kernel, so that the fit is above what was measured but for a few
// hundredths:
//
//	blocks  1.4·b + 24/k for a share b of blocks stored; 2·b where x [m, k] leaves
//	        the second-level cache: more than 16 rows of more than 2048
//	rows    4.5·d + 32/k for a share d of weights stored from 16 rows on; with m
//	        rows below that, 16/m times as much: a tile has room for sixteen
//	2:4     0.6 up to 8 rows; from 16 on what the dense product takes, or more
//	one bit 0.3 for one row to 1 for 64, in a thirty-second of the memory
//
// A form is taken below margin. Small matrices stay dense.
const (
	margin     = 0.9
	minWeights = 4096
	minOutputs = 16
)

// blockCost is that of a share of blocks.
func blockCost(b float64, a affine) float64 {
	each := 1.4
	if a.m > 16 && a.k > 2048 {
		each = 2
	}
	return each*b + 24/float64(a.k)
}

// rowCost is that of a share of weights.
func rowCost(d float64, a affine) float64 {
	return (4.5*d + 32/float64(a.k)) * max(1, 16/float64(a.m))
}

// stored says what shares of a matrix sparse forms would store.
type stored struct {
	elements, blocks float64
	twoOfFour        bool
}

// chooseForm returns the form of least cost for weights t, "" for the dense one.
func chooseForm(t tensor.Tensor, a affine) string {
	if a.n*a.k < minWeights || a.n < minOutputs || t.DType() != tensor.Float32 {
		return ""
	}
	w := tensor.Data[float32](t)
	if a.m <= 64 && oneMagnitude(w, a) {
		return oneBit
	}
	if !fewEnough(w) {
		return ""
	}
	s := countStored(w, a)
	best, form := margin, ""
	offer := func(name string, cost float64) {
		if cost < best {
			best, form = cost, name
		}
	}
	offer(blockForm, blockCost(s.blocks, a))
	if s.twoOfFour && a.m <= 8 {
		offer(fourForm, 0.6)
	}
	offer(rowForm, rowCost(s.elements, a))
	return form
}

// fewEnough reports whether the weights are not too many for every form: the share
// of blocks is at least that of weights. It reads them in order and stops soon.
func fewEnough(w []float32) bool {
	left := int(margin / 1.4 * float64(len(w)))
	for _, v := range w {
		if v != 0 {
			if left--; left < 0 {
				return false
			}
		}
	}
	return true
}

// strides of element (output, inner) of the weights.
func (a affine) strides() (outer, inner int) {
	if a.outputs == 0 {
		return a.k, 1
	}
	return 1, a.n
}

// countStored looks at every weight once.
func countStored(w []float32, a affine) stored {
	sj, sp := a.strides()
	s := stored{twoOfFour: true}
	elements, blocks := 0, 0
	some := make([]bool, a.k)
	for j := range a.n {
		four := 0
		for p := range a.k {
			if p%4 == 0 {
				four = 0
			}
			if w[j*sj+p*sp] != 0 {
				elements++
				four++
				some[p] = true
			}
			s.twoOfFour = s.twoOfFour && four <= 2
		}
		if j%16 == 15 || j == a.n-1 {
			for p, b := range some {
				if b {
					blocks++
				}
				some[p] = false
			}
		}
	}
	s.elements = float64(elements) / float64(a.n*a.k)
	s.blocks = float64(blocks) / float64((a.n+15)/16*a.k)
	return s
}

// oneMagnitude reports whether all weights of each output channel are ±α, α > 0.
func oneMagnitude(w []float32, a affine) bool {
	sj, sp := a.strides()
	for j := range a.n {
		alpha := float32(math.Abs(float64(w[j*sj])))
		for p := range a.k {
			if v := w[j*sj+p*sp]; v != alpha && v != -alpha || alpha == 0 {
				return false
			}
		}
	}
	return true
}
