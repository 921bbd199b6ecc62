package engine

import (
	"math"

	"github.com/compactify/compactify/tensor"
)

func samplingKernels() map[string]prepare {
	return map[string]prepare{
		"GridSample": variants{tensor.Float32: bindGridSample[float32], tensor.Float64: bindGridSample[float64]}.by(0),
		"AffineGrid": variants{tensor.Float32: bindAffineGrid[float32], tensor.Float64: bindAffineGrid[float64]}.by(0),
		"RoiAlign":   variants{tensor.Float32: bindRoiAlign[float32], tensor.Float64: bindRoiAlign[float64]}.by(0),
		"Det":        variants{tensor.Float32: bindDet[float32], tensor.Float64: bindDet[float64]}.by(0),
	}
}

// sampler reads an image between its pixels.
type sampler struct {
	dims    []int
	corners bool   // −1 and 1 are the centres of the outermost pixels, not their edges
	padding string // zeros, border or reflection
	weights func(ratio float64, w *[4]float64)
	first   int // the first pixel used, relative to the one left of the point
	taps    int
}

func (s *site) sampler(dims []int) sampler {
	p := sampler{dims: dims, corners: s.node.Attrs.Int("align_corners", 0) != 0, padding: s.node.Attrs.Text("padding_mode", "zeros")}
	switch s.node.Attrs.Text("mode", "linear") {
	case "nearest":
		p.taps, p.weights = 1, func(_ float64, w *[4]float64) { w[0] = 1 }
	case "cubic":
		p.taps, p.first, p.weights = 4, -1, cubicWeights
	default:
		p.taps, p.weights = 2, func(r float64, w *[4]float64) { w[0], w[1] = 1-r, r }
	}
	return p
}

// cubicWeights is R. Keys' kernel with a = −¾.
func cubicWeights(r float64, w *[4]float64) {
	const a = -0.75
	outer := func(d float64) float64 { return ((a*d-5*a)*d+8*a)*d - 4*a }
	inner := func(d float64) float64 { return ((a+2)*d-(a+3))*d*d + 1 }
	w[0], w[1], w[2], w[3] = outer(1+r), inner(r), inner(1-r), outer(2-r)
}

// samplePoint is the pixels of one axis that a point draws on; −1 stands for a
// zero outside.
type samplePoint struct {
	index  [4]int
	weight [4]float64
}

// locate resolves the normalised coordinate v on an axis.
func (p *sampler) locate(axis int, v float64) (at samplePoint) {
	n := p.dims[axis]
	x := ((v+1)*float64(n) - 1) / 2
	lo, hi := -0.5, float64(n)-0.5
	if p.corners {
		x, lo, hi = (v+1)/2*float64(n-1), 0, float64(n-1)
	}
	if p.taps == 1 {
		x = math.RoundToEven(x)
	}
	if x < lo || x > hi {
		switch p.padding {
		case "border":
			x = max(0, min(float64(n-1), x))
		case "reflection":
			x = reflect(x, lo, hi)
		}
	}
	left := math.Floor(x)
	p.weights(x-left, &at.weight)
	for k := range p.taps {
		at.index[k] = p.pixel(left+float64(p.first+k), n, lo, hi)
	}
	return at
}

// pixel is the pixel that stands for position i.
func (p *sampler) pixel(i float64, n int, lo, hi float64) int {
	switch {
	case i != i: // a grid that is not a number
		return -1
	case p.padding == "border":
		return int(max(0, min(float64(n-1), i)))
	case p.padding == "reflection":
		return min(max(int(reflect(i, lo, hi)), 0), n-1)
	case i >= 0 && i < float64(n):
		return int(i)
	}
	return -1
}

// reflect folds x into [lo, hi].
func reflect(x, lo, hi float64) float64 {
	span := hi - lo
	if !(span > 0) || math.IsInf(x, 0) || x != x {
		return lo
	}
	d := math.Mod(math.Abs(x-lo), 2*span)
	return lo + min(d, 2*span-d)
}

// bindGridSample: x [N, C, spatial...], grid [N, out..., axes] with the last
// axis in the order x, y, z.
func bindGridSample[T float](s *site) (func() error, error) {
	x, out := s.inShape(0), s.outShape(0)
	p := s.sampler(x[2:])
	axes, plane, points := len(x)-2, elements(x[2:]), elements(out[2:])
	own := strides(x[2:])
	if axes > 3 {
		return nil, s.unsupported("spatial axes", axes)
	}
	return s.parallel(x[0]*points, 1+elementGrain/(16*max(1, x[1])), func(_, lo, hi int) {
		image, grid, y := tensor.Data[T](*s.in[0]), *s.in[1], tensor.Data[T](*s.out[0])
		for i := lo; i < hi; i++ {
			var at [3]samplePoint
			for a := range axes {
				at[a] = p.locate(a, grid.At(i*axes+axes-1-a))
			}
			n, point := i/points, i%points
			for c := range x[1] {
				channel := n*x[1] + c
				y[channel*points+point] = T(blend(image[channel*plane:][:plane], at[:axes], own, p.taps, 0))
			}
		}
	}), nil
}

// blend sums the pixels that the points name, axis by axis.
func blend[T float](image []T, at []samplePoint, own []int, taps, offset int) float64 {
	if len(at) == 0 {
		return float64(image[offset])
	}
	sum := 0.0
	for k := range taps {
		if i, w := at[0].index[k], at[0].weight[k]; i >= 0 && w != 0 {
			sum += w * blend(image, at[1:], own[1:], taps, offset+i*own[0])
		}
	}
	return sum
}

// bindAffineGrid: theta [N, d, d+1] applied to the positions of an image's
// pixels, in [−1, 1], in the order x, y, z.
func bindAffineGrid[T float](s *site) (func() error, error) {
	out := s.outShape(0)
	axes := out[len(out)-1]
	dims := out[1 : len(out)-1]
	points := elements(dims)
	corners := s.node.Attrs.Int("align_corners", 0) != 0
	return s.parallel(out[0]*points, elementGrain/16, func(_, lo, hi int) {
		theta, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
		for i := lo; i < hi; i++ {
			var at [4]float64 // x, y, z, 1
			rest := i % points
			for a := len(dims) - 1; a >= 0; a-- {
				k, n := float64(rest%dims[a]), float64(dims[a])
				rest /= dims[a]
				if corners {
					at[len(dims)-1-a] = 2*k/(n-1) - 1
				} else {
					at[len(dims)-1-a] = (2*k+1)/n - 1
				}
			}
			at[axes] = 1
			for r := range axes {
				row := theta[(i/points*axes+r)*(axes+1):][:axes+1]
				sum := 0.0
				for k, v := range row {
					sum += float64(v) * at[k]
				}
				y[i*axes+r] = T(sum)
			}
		}
	}), nil
}

// bindRoiAlign: x [N, C, H, W], regions [R, 4] as x1, y1, x2, y2, and the image
// each lies in. Every cell of a region's grid takes the mean, or the maximum,
// of points between the pixels.
//
// Source: K. He et al., "Mask R-CNN", 2017, section 3.
func bindRoiAlign[T float](s *site) (func() error, error) {
	x, out := s.inShape(0), s.outShape(0)
	at := s.node.Attrs
	scale, ratio := at.Float("spatial_scale", 1), at.Int("sampling_ratio", 0)
	half := at.Text("coordinate_transformation_mode", "half_pixel") == "half_pixel"
	largest := at.Text("mode", "avg") == "max"
	cells := out[2] * out[3]
	run := s.checked(2, x[0], out[0]*cells, 16, func(_, lo, hi int) {
		image, y, batch := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0]), positionsOf(*s.in[2])
		for i := lo; i < hi; i++ {
			r := i / cells
			box := tensor.Data[T](*s.in[1])[4*r:][:4]
			row := cellRange(float64(box[1]), float64(box[3]), i%cells/out[3], out[2], ratio, scale, half)
			col := cellRange(float64(box[0]), float64(box[2]), i%out[3], out[3], ratio, scale, half)
			for c := range out[1] {
				plane := image[(batch.at(r, x[0])*x[1]+c)*x[2]*x[3]:][:x[2]*x[3]]
				y[(r*out[1]+c)*cells+i%cells] = T(poolCell(plane, x[2], x[3], row, col, largest))
			}
		}
	})
	return func() error {
		regions := tensor.Data[T](*s.in[1])
		for r := range out[0] {
			box := regions[4*r:][:4]
			high := cellRange(float64(box[1]), float64(box[3]), 0, out[2], ratio, scale, half).n
			wide := cellRange(float64(box[0]), float64(box[2]), 0, out[3], ratio, scale, half).n
			if high > maxPoints || wide > maxPoints || high*wide > maxPoints {
				return s.errorf("region %d: got %v, %d by %d points in each cell, want at most %d", r, box, high, wide, maxPoints)
			}
		}
		return run()
	}, nil
}

// maxPoints bounds the points that one cell of RoiAlign samples; regions that
// ask for more are larger than any image.
const maxPoints = 1 << 20

// cell is the points of one grid cell along one axis.
type cell struct {
	start, step float64
	n           int
}

func cellRange(from, to float64, i, cells, ratio int, scale float64, half bool) cell {
	from, to = from*scale, to*scale
	if half {
		from, to = from-0.5, to-0.5
	}
	length := to - from
	if !half {
		length = max(length, 1)
	}
	size := length / float64(cells)
	n := ratio
	if n <= 0 {
		n = int(max(0, min(2*maxPoints, math.Ceil(size))))
		if size != size {
			n = 0
		}
	}
	step := size / float64(n)
	return cell{from + float64(i)*size + step/2, step, n}
}

// poolCell combines the points of a cell. As the operator defines it, the
// maximum is taken over pixels times weights, not over interpolated points.
func poolCell[T float](plane []T, height, width int, row, col cell, largest bool) float64 {
	total, most := 0.0, math.Inf(-1)
	for j := range row.n {
		y0, y1, wy, okY := between(row.start+float64(j)*row.step, height)
		for k := range col.n {
			x0, x1, wx, okX := between(col.start+float64(k)*col.step, width)
			if !okY || !okX {
				most = max(most, 0)
				continue
			}
			a, b := (1-wy)*(1-wx)*float64(plane[y0*width+x0]), (1-wy)*wx*float64(plane[y0*width+x1])
			c, d := wy*(1-wx)*float64(plane[y1*width+x0]), wy*wx*float64(plane[y1*width+x1])
			total += a + b + c + d
			most = max(most, a, b, c, d)
		}
	}
	switch n := row.n * col.n; {
	case n == 0:
		return 0
	case largest:
		return most
	default:
		return total / float64(n)
	}
}

// between is the pixels around a position and the weight of the second; false
// if it lies more than a pixel outside.
func between(at float64, n int) (lo, hi int, weight float64, ok bool) {
	if !(at >= -1 && at <= float64(n)) {
		return 0, 0, 0, false
	}
	at = max(at, 0)
	lo = int(at)
	if lo >= n-1 {
		return n - 1, n - 1, 0, true
	}
	return lo, lo + 1, at - float64(lo), true
}

// bindDet eliminates with partial pivoting, in float64.
func bindDet[T float](s *site) (func() error, error) {
	shape := s.inShape(0)
	n := shape[len(shape)-1]
	memory := s.scratch(8 * n * n)
	return func() error {
		x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
		for i := range y {
			m := scratchOf[float64](memory)[:n*n]
			for k, v := range x[i*n*n:][:n*n] {
				m[k] = float64(v)
			}
			y[i] = T(determinant(m, n))
		}
		return nil
	}, nil
}

// determinant of m [n, n], which is overwritten.
func determinant(m []float64, n int) float64 {
	det := 1.0
	for c := range n {
		pivot := c
		for r := c + 1; r < n; r++ {
			if math.Abs(m[r*n+c]) > math.Abs(m[pivot*n+c]) {
				pivot = r
			}
		}
		if m[pivot*n+c] == 0 {
			return 0
		}
		if pivot != c {
			det = -det
			for k := range n {
				m[c*n+k], m[pivot*n+k] = m[pivot*n+k], m[c*n+k]
			}
		}
		det *= m[c*n+c]
		for r := c + 1; r < n; r++ {
			f := m[r*n+c] / m[c*n+c]
			for k := c; k < n; k++ {
				m[r*n+k] -= f * m[c*n+k]
			}
		}
	}
	return det
}
