package engine

import (
	"math"
	"slices"

	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func reductionKernels() map[string]prepare {
	return map[string]prepare{
		"ReduceSum": sumKernel(false), "ReduceMean": sumKernel(true), "ReduceProd": prodKernel(),
		"ReduceMax": extremeKernel(false), "ReduceMin": extremeKernel(true),
	}
}

// reducedAxes is the axes a reduction runs over, in order; all of them if none
// is named, unless noop_with_empty_axes says none.
func (s *site) reducedAxes() ([]int, error) {
	rank := len(s.inShape(0))
	var axes []int
	if s.hasIn(1) && elements(s.inShape(1)) > 0 {
		list, ok := s.constantInts(1)
		if !ok {
			return nil, s.errorf("axes: not known")
		}
		for _, a := range list {
			axes = append(axes, axisOf(a, rank))
		}
		slices.Sort(axes)
		return axes, nil
	}
	for a := range rank {
		if s.node.Attrs.Int("noop_with_empty_axes", 0) == 0 {
			axes = append(axes, a)
		}
	}
	return axes, nil
}

// reduction is the loops of a reduction: kept axes outside, reduced ones inside,
// except that kept axes behind the last reduced one form rows that are reduced
// together.
type reduction struct {
	count   int   // elements that one output is made of
	outputs int   // outputs
	row     int   // neighbouring outputs whose inputs are neighbours too
	starts  *nest // first input of each row of outputs
	within  *nest // offsets of one output's inputs; the last axis is dense if row is 1
}

func (s *site) reduction() (*reduction, error) {
	axes, err := s.reducedAxes()
	if err != nil {
		return nil, err
	}
	shape := s.inShape(0)
	own := strides(shape)
	r := &reduction{count: 1, outputs: 1, row: 1}
	var keptDims, keptStrides, dims, steps []int
	for a, d := range shape {
		switch {
		case slices.Contains(axes, a):
			r.count *= d
			dims, steps = append(dims, d), append(steps, own[a])
		case len(axes) == 0 || a < axes[len(axes)-1]:
			r.outputs *= d
			keptDims, keptStrides = append(keptDims, d), append(keptStrides, own[a])
		default:
			r.outputs *= d
			r.row *= d
		}
	}
	if r.within, err = newNest(dims, steps); err != nil {
		return nil, s.errorf("%w", err)
	}
	if r.starts, err = newNest(keptDims, keptStrides); err != nil {
		return nil, s.errorf("%w", err)
	}
	return r, nil
}

// start is the first input of output i.
func (r *reduction) start(i int) int {
	row := i / r.row
	w := r.starts.from(row, row+1)
	w.next()
	return w.off[0] + i%r.row
}

// grain is the outputs worth a thread.
func (r *reduction) grain() int { return 1 + elementGrain/max(1, r.count) }

// blockOutputs is how many neighbouring outputs are reduced together.
const blockOutputs = 128

// fold reduces rows in blocks with accumulators of type A: add takes the
// elements at the same place of each output's inputs, line neighbours among those
// of one output, and all, if there is one, all of its inputs, in dense stretches.
type fold[T number, A number] struct {
	first  A
	add    func(acc []A, x []T)
	line   func(acc A, x []T) A
	all    func(w walk, x []T) A
	finish func(acc A, count int) T
}

func bindFold[T, A number](f fold[T, A]) prepare {
	return func(s *site) (func() error, error) {
		r, err := s.reduction()
		if err != nil {
			return nil, err
		}
		memory := s.scratch(8 * blockOutputs * s.pool.Threads())
		return s.parallel(r.outputs, r.grain(), func(worker, lo, hi int) {
			x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
			acc := tensor.View[A](memory.raw[8*blockOutputs*worker:])
			for i := lo; i < hi; {
				n := min(r.row-i%r.row, hi-i, blockOutputs)
				fill(acc[:n], f.first)
				if r.count > 0 {
					reduceBlock(r, &f, acc[:n], x[r.start(i):])
				}
				for j, a := range acc[:n] {
					y[i+j] = f.finish(a, r.count)
				}
				i += n
			}
		}), nil
	}
}

// reduceBlock reduces the inputs of neighbouring outputs, of which x is the
// first.
func reduceBlock[T, A number](r *reduction, f *fold[T, A], acc []A, x []T) {
	step := r.within.step(0)
	if step == 1 && len(acc) == 1 && f.all != nil {
		acc[0] = f.all(r.within.from(0, r.within.size), x)
		return
	}
	for w := r.within.from(0, r.within.size); w.next(); {
		if step == 1 && len(acc) == 1 {
			acc[0] = f.line(acc[0], x[w.off[0]:][:w.len])
			continue
		}
		for i := range w.len {
			f.add(acc, x[w.off[0]+i*step:][:len(acc)])
		}
	}
}

// bindSumFloats adds in float64.
func bindSumFloats[T float](mean bool) prepare {
	return func(s *site) (func() error, error) { return bindFold(sumFloats[T](s.pool.Set(), mean))(s) }
}

func sumFloats[T float](set kernel.Set, mean bool) fold[T, float64] {
	return fold[T, float64]{
		add:  func(acc []float64, x []T) { kernel.AddWide(set, acc, x) },
		line: sumLine[T],
		all: func(w walk, x []T) float64 {
			if w.n.size < wideSum {
				sum := 0.0
				for w.next() {
					sum = sumLine(sum, x[w.off[0]:][:w.len])
				}
				return sum
			}
			var lanes kernel.Lanes
			for w.next() {
				kernel.AddLanes(set, &lanes, x[w.off[0]:][:w.len])
			}
			return lanes.Sum()
		},
		finish: func(acc float64, count int) T {
			if mean {
				acc /= float64(count)
			}
			return T(acc)
		},
	}
}

// wideSum is the number of terms from which vectors pay.
const wideSum = 32

func sumLine[T float](acc float64, x []T) float64 {
	for _, v := range x {
		acc += float64(v)
	}
	return acc
}

func sumIntegers[T integer](mean bool) fold[T, T] {
	return fold[T, T]{
		add: func(acc, x []T) {
			for i, v := range x {
				acc[i] += v
			}
		},
		line: func(acc T, x []T) T {
			for _, v := range x {
				acc += v
			}
			return acc
		},
		finish: func(acc T, count int) T {
			if mean && count > 0 {
				acc = T(int64(acc) / int64(count))
			}
			return acc
		},
	}
}

func productOf[T, A number]() fold[T, A] {
	return fold[T, A]{first: 1,
		add: func(acc []A, x []T) {
			for i, v := range x {
				acc[i] *= A(v)
			}
		},
		line: func(acc A, x []T) A {
			for _, v := range x {
				acc *= A(v)
			}
			return acc
		},
		finish: func(acc A, _ int) T { return T(acc) },
	}
}

// extreme takes maxima or minima; a NaN wins.
func extreme[T number](least bool) fold[T, T] {
	if least {
		return fold[T, T]{first: highest[T](),
			add: func(acc, x []T) {
				for i, v := range x {
					acc[i] = min(acc[i], v)
				}
			},
			line: func(acc T, x []T) T {
				for _, v := range x {
					acc = min(acc, v)
				}
				return acc
			},
			finish: func(acc T, _ int) T { return acc }}
	}
	return fold[T, T]{first: lowest[T](),
		add: func(acc, x []T) {
			for i, v := range x {
				acc[i] = max(acc[i], v)
			}
		},
		line: func(acc T, x []T) T {
			for _, v := range x {
				acc = max(acc, v)
			}
			return acc
		},
		finish: func(acc T, _ int) T { return acc }}
}

// bindExtremeFloats reduces dense rows, and rows of outputs, with vectors.
func bindExtremeFloats[T float](least bool) prepare {
	return func(s *site) (func() error, error) {
		r, err := s.reduction()
		if err != nil {
			return nil, err
		}
		e, set := kernel.NewExtremes[T](least), s.pool.Set()
		if !r.dense() {
			f := extreme[T](least)
			f.add = func(acc, x []T) { e.Into(set, acc, x) }
			return bindFold(f)(s)
		}
		return s.parallel(r.outputs, r.grain(), func(_, lo, hi int) {
			x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
			e.Rows(set, y[lo:hi], x[lo*r.count:hi*r.count], r.count)
		}), nil
	}
}

// dense reports whether the inputs are the rows of a matrix, one for each output.
func (r *reduction) dense() bool {
	return r.count > 0 && r.row == 1 && len(r.within.dims) == 1 && r.within.step(0) == 1 &&
		(r.outputs == 1 || len(r.starts.dims) == 1 && r.starts.step(0) == r.count)
}

// highest is the identity of min.
func highest[T number]() T {
	if T(1)/2 != 0 {
		return T(math.Inf(1))
	}
	zero := T(0)
	return zero - 1 - lowest[T]()
}

func foldSumInteger[T integer](mean bool) prepare { return bindFold(sumIntegers[T](mean)) }

func sumKernel(mean bool) prepare {
	return variants{
		tensor.Float32: bindSumFloats[float32](mean), tensor.Float64: bindSumFloats[float64](mean),
		tensor.Int8: foldSumInteger[int8](mean), tensor.Uint8: foldSumInteger[uint8](mean),
		tensor.Int16: foldSumInteger[int16](mean), tensor.Uint16: foldSumInteger[uint16](mean),
		tensor.Int32: foldSumInteger[int32](mean), tensor.Uint32: foldSumInteger[uint32](mean),
		tensor.Int64: foldSumInteger[int64](mean), tensor.Uint64: foldSumInteger[uint64](mean),
	}.by(0)
}

func prodKernel() prepare {
	return variants{
		tensor.Float32: bindFold(productOf[float32, float64]()), tensor.Float64: bindFold(productOf[float64, float64]()),
		tensor.Int8: bindFold(productOf[int8, int8]()), tensor.Uint8: bindFold(productOf[uint8, uint8]()),
		tensor.Int16: bindFold(productOf[int16, int16]()), tensor.Uint16: bindFold(productOf[uint16, uint16]()),
		tensor.Int32: bindFold(productOf[int32, int32]()), tensor.Uint32: bindFold(productOf[uint32, uint32]()),
		tensor.Int64: bindFold(productOf[int64, int64]()), tensor.Uint64: bindFold(productOf[uint64, uint64]()),
	}.by(0)
}

func extremeKernel(least bool) prepare {
	truth := extreme[uint8](least)
	if least {
		truth.first = 1
	}
	return variants{
		tensor.Float32: bindExtremeFloats[float32](least), tensor.Float64: bindExtremeFloats[float64](least),
		tensor.Int8: bindFold(extreme[int8](least)), tensor.Uint8: bindFold(extreme[uint8](least)),
		tensor.Int16: bindFold(extreme[int16](least)), tensor.Uint16: bindFold(extreme[uint16](least)),
		tensor.Int32: bindFold(extreme[int32](least)), tensor.Uint32: bindFold(extreme[uint32](least)),
		tensor.Int64: bindFold(extreme[int64](least)), tensor.Uint64: bindFold(extreme[uint64](least)),
		tensor.Bool: bindFold(truth),
	}.by(0)
}
