package engine

import (
	"math"
	"unsafe"

	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func normalizationKernels() map[string]prepare {
	return map[string]prepare{
		"Softmax":             variants{tensor.Float32: bindAlong(kernel.Softmax[float32]), tensor.Float64: bindAlong(kernel.Softmax[float64])}.by(0),
		"LogSoftmax":          variants{tensor.Float32: bindAlong(kernel.LogSoftmax[float32]), tensor.Float64: bindAlong(kernel.LogSoftmax[float64])}.by(0),
		"Hardmax":             variants{tensor.Float32: bindAlong(hardmax[float32]), tensor.Float64: bindAlong(hardmax[float64])}.by(0),
		lastKind(standardize): variants{tensor.Float32: bindStandardize[float32], tensor.Float64: bindStandardize[float64]}.by(0),
		"BatchNormalization":  variants{tensor.Float32: bindBatchNorm[float32], tensor.Float64: bindBatchNorm[float64]}.by(0),
	}
}

// bindAlong runs a loop over rows [rows, cols] along any axis; one that is not
// the last is moved there and back.
func bindAlong[T float](rowsLoop func(p *kernel.Pool, dst, x []T, rows, cols int)) prepare {
	return func(s *site) (func() error, error) {
		shape := s.inShape(0)
		if len(shape) == 0 {
			shape = []int{1}
		}
		axis := axisOf(s.node.Attrs.Int("axis", -1), len(shape))
		outer, n, inner := elements(shape[:axis]), shape[axis], elements(shape[axis+1:])
		if inner == 1 {
			return func() error {
				rowsLoop(s.pool, tensor.Data[T](*s.out[0]), tensor.Data[T](*s.in[0]), outer, n)
				return nil
			}, nil
		}
		size := outer * n * inner
		memory := s.scratch(elementBytes[T]() * size)
		return func() error {
			moved := scratchOf[T](memory)[:size]
			x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
			for b := 0; b < size; b += n * inner {
				transposeTile(moved[b:], x[b:], 0, inner, inner, n)
			}
			rowsLoop(s.pool, moved, moved, outer*inner, n)
			for b := 0; b < size; b += n * inner {
				transposeTile(y[b:], moved[b:], 0, n, n, inner)
			}
			return nil
		}, nil
	}
}

// elementBytes is the width of T.
func elementBytes[T float]() int {
	var zero T
	return int(unsafe.Sizeof(zero))
}

// hardmax is 1 at the first maximum of each row, 0 elsewhere.
func hardmax[T float](_ *kernel.Pool, dst, x []T, rows, cols int) {
	for i := range rows {
		row := x[i*cols:][:cols]
		best := 0
		for j, v := range row {
			if v > row[best] {
				best = j
			}
		}
		out := dst[i*cols:][:cols]
		clear(out)
		if cols > 0 {
			out[best] = 1
		}
	}
}

// bindStandardize normalises rows, see [standardize].
func bindStandardize[T float](s *site) (func() error, error) {
	cols, centred := s.node.Attrs.Int("cols", 1), s.node.Attrs.Int("centred", 0) != 0
	plain := [2][]T{make([]T, cols), make([]T, cols)} // scale and bias where there are none
	fill(plain[0], 1)
	set := s.pool.Set()
	return s.parallel(elements(s.inShape(0))/cols, 1+elementGrain/cols, func(_, lo, hi int) {
		affine := plain
		for i := range affine {
			if s.hasIn(1 + i) {
				affine[i] = tensor.Data[T](*s.in[1+i])
			}
		}
		x, y := tensor.Data[T](*s.in[0])[lo*cols:hi*cols], tensor.Data[T](*s.out[0])[lo*cols:hi*cols]
		kernel.Standardize(set, y, x, affine[0], affine[1], tensor.Data[T](*s.in[3])[0], centred)
	}), nil
}

// bindBatchNorm: y = (x − mean)/√(var + ε)·scale + bias for each channel. In
// training mode mean and (biased) variance are those of the batch, and the
// running ones move towards them.
func bindBatchNorm[T float](s *site) (func() error, error) {
	shape := s.inShape(0)
	batch, channels, plane := shape[0], 1, 1
	if len(shape) > 1 {
		channels, plane = shape[1], elements(shape[2:])
	}
	eps := s.node.Attrs.Float("epsilon", 1e-5)
	training := s.node.Attrs.Int("training_mode", 0) != 0
	momentum := s.node.Attrs.Float("momentum", 0.9)
	memory := s.scratch(8 * 3 * channels)
	statistics := func(_, lo, hi int) {
		x := tensor.Data[T](*s.in[0])
		mean, variance := tensor.Data[T](*s.in[3]), tensor.Data[T](*s.in[4])
		for c := lo; c < hi; c++ {
			m, v := float64(mean[c]), float64(variance[c])
			if training {
				m, v = moments(x[c*plane:], batch, channels*plane, plane)
				follow[T](s, 1, c, float64(mean[c]), m, momentum)
				follow[T](s, 2, c, float64(variance[c]), v, momentum)
			}
			table := scratchOf[float64](memory)[3*c:][:3]
			table[0] = m
			table[1] = float64(tensor.Data[T](*s.in[1])[c]) / math.Sqrt(v+eps)
			table[2] = float64(tensor.Data[T](*s.in[2])[c])
		}
	}
	apply := func(_, lo, hi int) {
		x, y, table := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0]), scratchOf[float64](memory)
		for i := lo; i < hi; i++ {
			c := table[3*(i%channels):][:3]
			normalize(y[i*plane:][:plane], x[i*plane:][:plane], T(c[0]), T(c[1]), T(c[2]))
		}
	}
	return func() error {
		if err := s.pool.For(channels, 1+elementGrain/max(1, batch*plane), statistics); err != nil {
			return err
		}
		return s.pool.For(batch*channels, 1+elementGrain/max(1, plane), apply)
	}, nil
}

// follow writes running·momentum + batch·(1 − momentum) to output i, if wanted.
func follow[T float](s *site, i, c int, running, batch, momentum float64) {
	if s.hasOut(i) {
		tensor.Data[T](*s.out[i])[c] = T(running*momentum + batch*(1-momentum))
	}
}

// normalize computes y = (x − mean)·factor + bias.
func normalize[T float](y, x []T, mean, factor, bias T) {
	x = x[:len(y)]
	for i := range y {
		y[i] = T((x[i]-mean)*factor) + bias
	}
}

// moments is mean and biased variance of rows of n elements, stride apart. The
// variance is summed about the mean.
func moments[T float](x []T, rows, stride, n int) (mean, variance float64) {
	for r := range rows {
		for _, v := range x[r*stride:][:n] {
			mean += float64(v)
		}
	}
	mean /= float64(rows * n)
	for r := range rows {
		for _, v := range x[r*stride:][:n] {
			d := float64(v) - mean
			variance += d * d
		}
	}
	return mean, variance / float64(rows*n)
}
