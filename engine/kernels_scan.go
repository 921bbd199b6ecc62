package engine

import "github.com/compactify/compactify/tensor"

// scanKernels go along one axis, element by element.
func scanKernels() map[string]prepare {
	return map[string]prepare{
		"ArgMax": argKernel(false), "ArgMin": argKernel(true),
		"CumSum": cumulativeKernel(false), "CumProd": cumulativeKernel(true),
	}
}

// lines is a tensor seen as [outer, n, inner], n being one axis.
type lines struct{ outer, n, inner int }

func linesOf(shape []int, axis int) lines {
	if len(shape) == 0 {
		return lines{1, 1, 1}
	}
	axis = axisOf(axis, len(shape))
	return lines{elements(shape[:axis]), shape[axis], elements(shape[axis+1:])}
}

// count is the number of lines; line i starts at first(i), in steps of inner.
func (l lines) count() int      { return l.outer * l.inner }
func (l lines) first(i int) int { return i/l.inner*l.n*l.inner + i%l.inner }
func (l lines) grain() int      { return 1 + elementGrain/max(1, l.n) }

func argKernel(least bool) prepare {
	return variants{
		tensor.Float32: bindArg[float32](least), tensor.Float64: bindArg[float64](least),
		tensor.Int8: bindArg[int8](least), tensor.Uint8: bindArg[uint8](least),
		tensor.Int16: bindArg[int16](least), tensor.Uint16: bindArg[uint16](least),
		tensor.Int32: bindArg[int32](least), tensor.Uint32: bindArg[uint32](least),
		tensor.Int64: bindArg[int64](least), tensor.Uint64: bindArg[uint64](least),
	}.by(0)
}

// bindArg: the first of equal extremes, or with select_last_index the last.
func bindArg[T number](least bool) prepare {
	return func(s *site) (func() error, error) {
		l := linesOf(s.inShape(0), s.node.Attrs.Int("axis", 0))
		last := s.node.Attrs.Int("select_last_index", 0) != 0
		if l.n == 0 && l.count() > 0 {
			return nil, s.errorf("axis: size 0 has no extreme")
		}
		return s.parallel(l.count(), l.grain(), func(_, lo, hi int) {
			x, y := tensor.Data[T](*s.in[0]), tensor.Data[int64](*s.out[0])
			for i := lo; i < hi; i++ {
				x := x[l.first(i):]
				best := 0
				for k := 1; k < l.n; k++ {
					v, b := x[k*l.inner], x[best*l.inner]
					if v == b && last || v > b && !least || v < b && least {
						best = k
					}
				}
				y[i] = int64(best)
			}
		}), nil
	}
}

func cumulativeKernel(product bool) prepare {
	return variants{
		tensor.Float32: bindCumulative[float32, float64](product), tensor.Float64: bindCumulative[float64, float64](product),
		tensor.Int32: bindCumulative[int32, int32](product), tensor.Uint32: bindCumulative[uint32, uint32](product),
		tensor.Int64: bindCumulative[int64, int64](product), tensor.Uint64: bindCumulative[uint64, uint64](product),
	}.by(0)
}

// bindCumulative runs sums or products in A along an axis that is known when it
// is bound.
func bindCumulative[T, A number](product bool) prepare {
	return func(s *site) (func() error, error) {
		axis, ok := s.constantInts(1)
		if !ok || len(axis) != 1 {
			return nil, s.errorf("axis: not known")
		}
		l := linesOf(s.inShape(0), axis[0])
		exclusive := s.node.Attrs.Int("exclusive", 0) != 0
		step, start := l.inner, 0
		if s.node.Attrs.Int("reverse", 0) != 0 {
			step, start = -l.inner, (l.n-1)*l.inner
		}
		return s.parallel(l.count(), l.grain(), func(_, lo, hi int) {
			x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
			for i := lo; i < hi; i++ {
				at, acc := l.first(i)+start, A(0)
				if product {
					acc = 1
				}
				for range l.n {
					v := A(x[at])
					if exclusive {
						y[at] = T(acc)
					}
					if product {
						acc *= v
					} else {
						acc += v
					}
					if !exclusive {
						y[at] = T(acc)
					}
					at += step
				}
			}
		}), nil
	}
}
