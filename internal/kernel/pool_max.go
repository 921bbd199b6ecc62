package kernel

import (
	"fmt"
	"math"
	"unsafe"
)

// MaxPool computes the maximum of each window, without its pads, and, if index
// is not nil, where it lies: the flat index into the whole of x, as ONNX defines
// it. Of equal maxima the first counts. A NaN is greater than any number, so
// that it is not lost; of several the last counts. The maximum of no element is
// −∞, and its index −1. s must be valid. It panics if a slice is too short, or I
// too narrow for x.
func MaxPool[T Float, I Index](p *Pool, s PoolShape, x, y []T, index []I) {
	r := newPoolRun("max pool", p, &s, x, y)
	r.setIndex("max pool", any(index))
	r.run(r.maxBody)
}

// MaxPoolGrad computes the gradient of [MaxPool]'s input from that of its
// output: dx is overwritten with zeros, and dy[i] added at index[i]. It panics
// at an index outside its own plane of dx, except that of no element.
func MaxPoolGrad[T Float, I Index](p *Pool, s PoolShape, dy []T, index []I, dx []T) {
	r := newPoolRun("max pool gradient", p, &s, dx, dy)
	r.setIndex("max pool gradient", any(index))
	r.run(r.maxGradBody)
}

func (r *poolRun[T]) setIndex(op string, index any) {
	switch v := index.(type) {
	case []int32:
		r.index32 = v
		if v != nil {
			checkLen(op, "index", len(v), len(r.y))
			if len(r.x) > math.MaxInt32 {
				panic(fmt.Sprintf("%s: x: got %d elements, want at most %d for indices of 32 bits", op, len(r.x), math.MaxInt32))
			}
		}
	case []int64:
		r.index64 = v
		if v != nil {
			checkLen(op, "index", len(v), len(r.y))
		}
	}
}

func (r *poolRun[T]) maxPlanes(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		if r.index64 != nil {
			maxPlane(r, i, r.index64)
		} else {
			maxPlane(r, i, r.index32)
		}
	}
}

// maxPlane pools plane i: in assembly the windows that lie inside it, if there
// is any, and the rest one by one.
func maxPlane[T Float, I Index](r *poolRun[T], i int, index []I) {
	s := &r.shape
	x, y := r.plane(i)
	base := i * len(x)
	if index != nil {
		index = index[i*len(y):][:len(y)]
	}
	i0, i1, j0, j1 := 0, 0, 0, 0
	if xs, ok := any(r.x[base:]).([]float32); ok && r.pool.set >= AVX2 {
		i0, i1 = wholeWindows(s.H, s.KH, s.SH, s.DH, s.PT, s.OH)
		j0, j1 = wholeWindows(s.W, s.KW, s.SW, s.DW, s.PL, s.OW)
		i1 = maxWhole(s, i0, i1, j0, j1, xs, any(y).([]float32), index, base)
	}
	for a := range s.OH {
		if a < i0 || a >= i1 {
			maxRow(s, a, 0, s.OW, x, y, index, base)
			continue
		}
		maxRow(s, a, 0, j0, x, y, index, base)
		maxRow(s, a, j1, s.OW, x, y, index, base)
	}
}

// maxRow pools outputs [j0, j1) of row i.
func maxRow[T Float, I Index](s *PoolShape, i, j0, j1 int, x, y []T, index []I, base int) {
	if j0 >= j1 {
		return
	}
	top, kh0, kh1 := s.rows(i)
	whole0, whole1 := wholeWindows(s.W, s.KW, s.SW, s.DW, s.PL, s.OW)
	width, rowStep, step := s.W, s.DH, s.DW
	for j := j0; j < j1; j++ {
		left, kw0, kw1 := j*s.SW-s.PL, 0, s.KW
		if j < whole0 || j >= whole1 {
			left, kw0, kw1 = s.cols(j)
		}
		best, at := T(math.Inf(-1)), (top+kh0*s.DH)*s.W+left+kw0*s.DW
		if kh0 == kh1 || kw0 == kw1 {
			at = -1 - base
		}
		for kh := kh0; kh < kh1; kh++ {
			for at0, end := (top+kh*rowStep)*width+left+kw0*step, (top+kh*rowStep)*width+left+kw1*step; at0 < end; at0 += step {
				// Most are not greater: one comparison, which NaNs pass too.
				if v := x[at0]; !(v <= best) && (v > best || v != v) {
					best, at = v, at0
				}
			}
		}
		y[i*s.OW+j] = best
		if index != nil {
			index[i*s.OW+j] = I(base + at)
		}
	}
}

// maxWhole pools rows [i0, i1) and columns [j0, j1), whose windows lie inside
// the plane that x begins with, and returns the row that it stopped before: i0
// if it has no kernel for the shape. x goes on to the end of the tensor: with a
// stride of 2 the kernel reads one element too far.
func maxWhole[I Index](s *PoolShape, i0, i1, j0, j1 int, x, y []float32, index []I, base int) int {
	n := j1 - j0
	if s.SW > 2 || n < 4 || i0 >= i1 || s.H*s.W > math.MaxInt32 {
		return i0
	}
	last := (s.KH-1)*s.DH*s.W + (j1-1)*s.SW - s.PL + (s.KW-1)*s.DW + s.SW - 1
	for i1 > i0 && ((i1-1)*s.SH-s.PT)*s.W+last >= len(x) {
		i1--
	}
	if i1 == i0 {
		return i0
	}
	from, to := (i0*s.SH-s.PT)*s.W+j0*s.SW-s.PL, i0*s.OW+j0
	_ = y[(i1-1)*s.OW+j1-1]
	var at *byte
	if index != nil {
		_ = index[(i1-1)*s.OW+j1-1]
		at = (*byte)(unsafe.Pointer(&index[to]))
	}
	wide := 0
	if unsafe.Sizeof(I(0)) == 8 {
		wide = 1
	}
	maxPoolRows(s, i1-i0, n, x[from:], y[to:], at, base+from, wide)
	return i1
}

func (r *poolRun[T]) maxGradPlanes(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		if r.index64 != nil {
			maxGradPlane(r, i, r.index64)
		} else {
			maxGradPlane(r, i, r.index32)
		}
	}
}

func maxGradPlane[T Float, I Index](r *poolRun[T], i int, index []I) {
	dx, dy := r.plane(i)
	clear(dx)
	base := i * len(dx)
	index = index[i*len(dy):][:len(dy)]
	for j, at := range index {
		if at >= 0 {
			dx[int(at)-base] += dy[j]
		}
	}
}
