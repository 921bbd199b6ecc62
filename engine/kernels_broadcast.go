package engine

import "fmt"

// maxAxes bounds the axes a kernel walks, adjacent ones merged where all
// operands allow it; maxOperands the tensors walked together.
const (
	maxAxes     = 16
	maxOperands = 4
)

// strides is the row-major distances, in elements, between neighbours along
// each axis.
func strides(shape []int) []int {
	out := make([]int, len(shape))
	step := 1
	for i := len(shape) - 1; i >= 0; i-- {
		out[i] = step
		step *= shape[i]
	}
	return out
}

// broadcastStrides is the strides of an operand of the given shape along the
// axes of the larger shape out, 0 where it is repeated.
func broadcastStrides(shape, out []int) []int {
	s := make([]int, len(out))
	own := strides(shape)
	lead := len(out) - len(shape)
	for i := range shape {
		if shape[i] != 1 {
			s[lead+i] = own[i]
		}
	}
	return s
}

// nest is a nest of loops over operands with strides of their own. The last
// axis is the inner loop.
type nest struct {
	size    int // iterations in all
	inner   int // iterations of the inner loop
	dims    []int
	strides [maxOperands][]int // by operand and axis
	count   int                // operands
}

// newNest merges what loops it can: axes of size 1 vanish, and neighbours
// become one where every operand steps through both evenly.
func newNest(dims []int, operands ...[]int) (*nest, error) {
	n := &nest{size: elements(dims), count: len(operands)}
	for i, d := range dims {
		if d == 1 {
			continue
		}
		last := len(n.dims) - 1
		if last >= 0 && mergeable(n, operands, last, i, d) {
			n.dims[last] *= d
			for k := range operands {
				n.strides[k][last] = operands[k][i]
			}
			continue
		}
		n.dims = append(n.dims, d)
		for k := range operands {
			n.strides[k] = append(n.strides[k], operands[k][i])
		}
	}
	if len(n.dims) == 0 {
		n.dims = []int{1}
		for k := range operands {
			n.strides[k] = []int{0}
		}
	}
	if len(n.dims) > maxAxes {
		return nil, fmt.Errorf("axes that cannot be merged: got %d, want at most %d", len(n.dims), maxAxes)
	}
	n.inner = n.dims[len(n.dims)-1]
	return n, nil
}

func mergeable(n *nest, operands [][]int, last, i, d int) bool {
	for k := range operands {
		if n.strides[k][last] != operands[k][i]*d {
			return false
		}
	}
	return true
}

// step is the stride of operand k in the inner loop.
func (n *nest) step(k int) int { return n.strides[k][len(n.dims)-1] }

// walk is an iteration over a range of a nest, one stretch of the inner loop
// at a time.
type walk struct {
	n      *nest
	at, hi int
	index  [maxAxes]int     // of the outer axes
	base   [maxOperands]int // offsets where the inner loop starts

	// The stretch in progress.
	pos int              // its first iteration, counted over the whole nest
	len int              // its iterations
	off [maxOperands]int // its first element in each operand
}

// from starts a walk over iterations [lo, hi).
func (n *nest) from(lo, hi int) walk {
	w := walk{n: n, at: lo, hi: hi}
	if lo >= hi {
		return w
	}
	row := lo / n.inner
	for a := len(n.dims) - 2; a >= 0; a-- {
		w.index[a] = row % n.dims[a]
		row /= n.dims[a]
		for k := range n.count {
			w.base[k] += w.index[a] * n.strides[k][a]
		}
	}
	return w
}

// next moves to the next stretch; false at the end.
func (w *walk) next() bool {
	if w.at >= w.hi {
		return false
	}
	n := w.n
	if w.len > 0 { // the stretch before ended its inner loop
		w.advance()
	}
	col := w.at % n.inner
	w.pos, w.len = w.at, min(n.inner-col, w.hi-w.at)
	for k := range n.count {
		w.off[k] = w.base[k] + col*n.strides[k][len(n.dims)-1]
	}
	w.at += w.len
	return true
}

// advance steps the outer axes like an odometer.
func (w *walk) advance() {
	n := w.n
	for a := len(n.dims) - 2; a >= 0; a-- {
		w.index[a]++
		for k := range n.count {
			w.base[k] += n.strides[k][a]
		}
		if w.index[a] < n.dims[a] {
			return
		}
		w.index[a] = 0
		for k := range n.count {
			w.base[k] -= n.dims[a] * n.strides[k][a]
		}
	}
}
