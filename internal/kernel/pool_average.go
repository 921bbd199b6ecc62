package kernel

// AveragePool computes the mean of each window. The mean is over the elements
// inside x or, with includePad, over those inside x and its pads; a window that
// reaches beyond the pads, as rounding the output's size up allows, does not
// count what lies there. Sums run over the window's rows in order. s must be
// valid. It panics if a slice is too short.
//
// Source: ONNX operator AveragePool, opset 22.
func AveragePool[T Float](p *Pool, s PoolShape, x, y []T, includePad bool) {
	r := newPoolRun("average pool", p, &s, x, y)
	r.includePad = includePad
	r.run(r.averageBody)
}

// AveragePoolGrad is the adjoint of [AveragePool]: it spreads each element of dy
// evenly over its window. dx is overwritten.
func AveragePoolGrad[T Float](p *Pool, s PoolShape, dy, dx []T, includePad bool) {
	r := newPoolRun("average pool gradient", p, &s, dx, dy)
	r.includePad = includePad
	r.run(r.averageGradBody)
}

// GlobalAveragePool computes the mean of each of several planes of size elements.
func GlobalAveragePool[T Float](p *Pool, planes, size int, x, y []T) {
	SumRows(p, y[:planes], x[:planes*size], size)
	MulScalar(p, y[:planes], y[:planes], 1/T(size))
}

// share is the weight of each element of window (i, j), of which rows × cols taps
// lie inside x, or 0 if none counts.
func (r *poolRun[T]) share(i, j, rows, cols int) T {
	s := &r.shape
	if r.includePad {
		rows = tapsBefore(i*s.SH-s.PT, s.DH, s.H+s.PB, s.KH)
		cols = tapsBefore(j*s.SW-s.PL, s.DW, s.W+s.PR, s.KW)
	}
	if rows*cols == 0 {
		return 0
	}
	return 1 / T(rows*cols)
}

// tapsBefore is the number of k taps, the first at at, that lie before end.
func tapsBefore(at, dilation, end, k int) int {
	return max(0, min(k, (end-at+dilation-1)/dilation))
}

func (r *poolRun[T]) averagePlanes(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		x, y := r.plane(i)
		r.averagePlane(x, y)
	}
}

func (r *poolRun[T]) averagePlane(x, y []T) {
	s := &r.shape
	for i := range s.OH {
		top, kh0, kh1 := s.rows(i)
		for j := range s.OW {
			left, kw0, kw1 := s.cols(j)
			var sum T
			for kh := kh0; kh < kh1; kh++ {
				row := (top+kh*s.DH)*s.W + left
				for kw := kw0; kw < kw1; kw++ {
					sum += x[row+kw*s.DW]
				}
			}
			y[i*s.OW+j] = sum * r.share(i, j, kh1-kh0, kw1-kw0)
		}
	}
}

func (r *poolRun[T]) averageGradPlanes(_, lo, hi int) {
	for i := lo; i < hi; i++ {
		dx, dy := r.plane(i)
		r.averageGradPlane(dx, dy)
	}
}

func (r *poolRun[T]) averageGradPlane(dx, dy []T) {
	s := &r.shape
	clear(dx)
	for i := range s.OH {
		top, kh0, kh1 := s.rows(i)
		for j := range s.OW {
			left, kw0, kw1 := s.cols(j)
			v := dy[i*s.OW+j] * r.share(i, j, kh1-kh0, kw1-kw0)
			for kh := kh0; kh < kh1; kh++ {
				row := (top+kh*s.DH)*s.W + left
				for kw := kw0; kw < kw1; kw++ {
					dx[row+kw*s.DW] += v
				}
			}
		}
	}
}
