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

// Rule 1 of sparse forms. Costs are times relative to the dense product, as
// BenchmarkForms of package kernel measured them on Zen 5 with one thread at
// n = k = 256, 1024 and 4096 and 1 to 256 rows, each at the size where the form
// does worst, so that a form that the rule takes is faster at every size tried:
//
//	blocks  1.3 times the share of blocks stored, 1.7 for one row or two
//	2:4     0.6 up to 32 rows; as long as the dense product beyond
//	rows    5 times the share of weights stored from 16 rows on; a weight costs the
//	        same with one row as with sixteen
//	one bit 0.5 up to 64 rows
//
// A form is taken below margin. Small matrices stay dense.
const (
	costElement = 5
	margin      = 0.9
	minWeights  = 4096
	minOutputs  = 16
)

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
	s := countStored(w, a)
	best, form := margin, ""
	offer := func(name string, cost float64) {
		if cost < best {
			best, form = cost, name
		}
	}
	if a.m <= 2 {
		offer(blockForm, 1.7*s.blocks)
	} else {
		offer(blockForm, 1.3*s.blocks)
	}
	if s.twoOfFour && a.m <= 32 {
		offer(fourForm, 0.6)
	}
	offer(rowForm, costElement*s.elements*max(1, 16/float64(a.m)))
	return form
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
