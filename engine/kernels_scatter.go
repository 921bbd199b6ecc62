package engine

import "github.com/compactify/compactify/tensor"

func scatterKernels() map[string]prepare {
	return map[string]prepare{
		"ScatterElements": reducing(prepareScatterElements), "ScatterND": reducing(prepareScatterND),
		"TensorScatter": movement(prepareTensorScatter),
	}
}

// combine writes or combines n elements of src into dst.
type combine func(dst tensor.Tensor, to int, src tensor.Tensor, from, n int)

// reducing chooses how a scatter combines what falls on one place: the last
// write wins, or all are reduced, in order.
func reducing(k func(s *site, put combine) (func() error, error)) prepare {
	return func(s *site) (func() error, error) {
		name := s.node.Attrs.Text("reduction", "none")
		if name == "none" {
			return movement(func(s *site) (func() error, error) { return k(s, copyRun) })(s)
		}
		op := map[string]string{"add": "Add", "mul": "Mul", "max": "Max", "min": "Min"}[name]
		with := func(put combine) prepare {
			return func(s *site) (func() error, error) { return k(s, put) }
		}
		return variants{
			tensor.Float32: with(combining[float32](op)), tensor.Float64: with(combining[float64](op)),
			tensor.Int8: with(combining[int8](op)), tensor.Uint8: with(combining[uint8](op)),
			tensor.Int16: with(combining[int16](op)), tensor.Uint16: with(combining[uint16](op)),
			tensor.Int32: with(combining[int32](op)), tensor.Uint32: with(combining[uint32](op)),
			tensor.Int64: with(combining[int64](op)), tensor.Uint64: with(combining[uint64](op)),
		}.by(0)(s)
	}
}

func combining[T number](op string) combine {
	f := arithmeticLoops[T](op).vv
	return func(dst tensor.Tensor, to int, src tensor.Tensor, from, n int) {
		z := tensor.Data[T](dst)[to : to+n]
		f(z, z, tensor.Data[T](src)[from:from+n])
	}
}

func prepareScatterElements(s *site, put combine) (func() error, error) {
	nest, step, n, err := s.elementwiseNest()
	if err != nil {
		return nil, err
	}
	size := elements(s.inShape(0))
	return func() error {
		index := positionsOf(*s.in[1])
		if err := s.within(index, n); err != nil {
			return err
		}
		copyRun(*s.out[0], 0, *s.in[0], 0, size)
		for w := nest.from(0, nest.size); w.next(); {
			for i := range w.len {
				put(*s.out[0], w.off[0]+i*nest.step(0)+index.at(w.pos+i, n)*step, *s.in[2], w.pos+i, 1)
			}
		}
		return nil
	}, nil
}

func prepareScatterND(s *site, put combine) (func() error, error) {
	t := newTuples(s.inShape(0), s.inShape(1), 0)
	size := elements(s.inShape(0))
	return func() error {
		index := tensor.Data[int64](*s.in[1])
		copyRun(*s.out[0], 0, *s.in[0], 0, size)
		for i := range t.count {
			at, ok := t.at(index, i)
			if !ok {
				return s.errorf("index tuple %d: out of range", i)
			}
			put(*s.out[0], at, *s.in[2], i*t.run, t.run)
		}
		return nil
	}, nil
}

// prepareTensorScatter writes a run of steps into a cache, from each batch
// entry's own position on, and round its end if it is circular.
func prepareTensorScatter(s *site) (func() error, error) {
	cache, update := s.inShape(0), s.inShape(1)
	axis := axisOf(s.node.Attrs.Int("axis", -2), len(cache))
	to, from := linesOf(cache, axis), linesOf(update, axis)
	circular := s.node.Attrs.Text("mode", "linear") == "circular"
	perBatch := to.outer / max(1, cache[0])
	return func() error {
		copyRun(*s.out[0], 0, *s.in[0], 0, elements(cache))
		for o := range to.outer {
			start := 0
			if s.hasIn(2) {
				start = positionsOf(*s.in[2]).at(o/perBatch, 0)
			}
			for k := range from.n {
				at := start + k
				if circular {
					at %= to.n
				}
				if at < 0 || at >= to.n {
					return s.errorf("write position %d: out of range of a cache of %d", at, to.n)
				}
				copyRun(*s.out[0], (o*to.n+at)*to.inner, *s.in[1], (o*from.n+k)*to.inner, to.inner)
			}
		}
		return nil
	}, nil
}
