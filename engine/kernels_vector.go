package engine

import (
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// vectorLoops are the fast kernels of a binary operator; each may be missing.
type vectorLoops[T float] struct {
	both   func(p *kernel.Pool, dst, x, y []T)              // equal shapes
	scalar func(p *kernel.Pool, dst, x []T, y T)            // one number on the right
	row    func(p *kernel.Pool, dst, x, y []T, rows int)    // a row added to each of x's
	column func(p *kernel.Pool, dst, x, y []T, columns int) // a number for each row of x, over and over
	swaps  bool                                             // x and y may change places
}

func vectorLoopsOf[T float](op string) vectorLoops[T] {
	switch op {
	case "Add":
		return vectorLoops[T]{kernel.Add[T], kernel.AddScalar[T], kernel.AddRow[T], kernel.AddColumn[T], true}
	case "Sub":
		return vectorLoops[T]{both: kernel.Sub[T], column: kernel.SubColumn[T],
			scalar: func(p *kernel.Pool, dst, x []T, y T) { kernel.AddScalar(p, dst, x, -y) }}
	case "Mul":
		return vectorLoops[T]{both: kernel.Mul[T], scalar: kernel.MulScalar[T], column: kernel.MulColumn[T], swaps: true}
	case "Div":
		return vectorLoops[T]{both: kernel.Div[T]}
	case "Max":
		return vectorLoops[T]{both: kernel.Maximum[T], swaps: true}
	case "Min":
		return vectorLoops[T]{both: kernel.Minimum[T], swaps: true}
	}
	return vectorLoops[T]{}
}

// bindFloatArithmetic uses the fast kernels where the shapes allow it.
func bindFloatArithmetic[T float](op string) prepare {
	return func(s *site) (func() error, error) {
		out, f := s.outShape(0), vectorLoopsOf[T](op)
		x, y := s.in[0], s.in[1]
		n, err := newNest(out, broadcastStrides(s.inShape(0), out), broadcastStrides(s.inShape(1), out))
		if err != nil {
			return nil, s.errorf("%w", err)
		}
		if n.size == 0 {
			return func() error { return nil }, nil
		}
		large, small := n.strides[0], n.strides[1]
		if f.swaps && elements(s.inShape(0)) < elements(s.inShape(1)) {
			x, y, large, small = y, x, small, large
		}
		if run := vectorStep(s, f, n, large, small, x, y); run != nil {
			return run, nil
		}
		return bindBinary(s, arithmeticLoops[T](op))
	}
}

// vectorStep is the fast kernel for an operand of the output's shape and
// another one that repeats; nil if there is none.
func vectorStep[T float](s *site, f vectorLoops[T], n *nest, large, small []int, xs, ys *tensor.Tensor) func() error {
	last := len(n.dims) - 1
	inner := n.inner
	switch {
	case large[last] != 1 && n.size > 1:
		return nil
	case last == 0 && small[0] == 1 && f.both != nil:
		return func() error {
			f.both(s.pool, tensor.Data[T](*s.out[0]), tensor.Data[T](*xs), tensor.Data[T](*ys))
			return nil
		}
	case last == 0 && small[0] == 0 && f.scalar != nil:
		return func() error {
			f.scalar(s.pool, tensor.Data[T](*s.out[0]), tensor.Data[T](*xs), tensor.Data[T](*ys)[0])
			return nil
		}
	case last == 1 && large[0] == inner && small[0] == 0 && small[1] == 1 && f.row != nil:
		return func() error {
			f.row(s.pool, tensor.Data[T](*s.out[0]), tensor.Data[T](*xs), tensor.Data[T](*ys), n.dims[0])
			return nil
		}
	case f.column != nil && perRow(n, large, small):
		return func() error {
			f.column(s.pool, tensor.Data[T](*s.out[0]), tensor.Data[T](*xs), tensor.Data[T](*ys), inner)
			return nil
		}
	}
	return nil
}

// perRow reports whether the large operand is dense rows and the small one has a
// number for each of them, or with channels first for each row of an image.
func perRow(n *nest, large, small []int) bool {
	last := len(n.dims) - 1
	if last < 1 || last > 2 || large[last-1] != n.inner || small[last-1] != 1 || small[last] != 0 {
		return false
	}
	return last == 1 || large[0] == n.inner*n.dims[1] && small[0] == 0
}

// vectorUnary runs a fast kernel over the whole tensor.
func vectorUnary[T float](f func(p *kernel.Pool, dst, x []T)) prepare {
	return func(s *site) (func() error, error) {
		return func() error {
			f(s.pool, tensor.Data[T](*s.out[0]), tensor.Data[T](*s.in[0]))
			return nil
		}, nil
	}
}

// vectorKernel is a function of a real number with fast kernels.
func vectorKernel(f32 func(p *kernel.Pool, dst, x []float32), f64 func(p *kernel.Pool, dst, x []float64)) prepare {
	return variants{tensor.Float32: vectorUnary(f32), tensor.Float64: vectorUnary(f64)}.by(0)
}
