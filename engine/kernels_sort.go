package engine

import (
	"cmp"
	"slices"

	"github.com/compactify/compactify/tensor"
)

func sortKernels() map[string]prepare {
	return map[string]prepare{"TopK": topKKernel(), "Unique": prepareUnique}
}

func topKKernel() prepare {
	return variants{
		tensor.Float32: bindTopK[float32], tensor.Float64: bindTopK[float64],
		tensor.Int8: bindTopK[int8], tensor.Uint8: bindTopK[uint8], tensor.Int16: bindTopK[int16], tensor.Uint16: bindTopK[uint16],
		tensor.Int32: bindTopK[int32], tensor.Uint32: bindTopK[uint32], tensor.Int64: bindTopK[int64], tensor.Uint64: bindTopK[uint64],
	}.by(0)
}

// bindTopK sorts each line; of equal elements the one with the lower index
// comes first.
func bindTopK[T number](s *site) (func() error, error) {
	axis := s.node.Attrs.Int("axis", -1)
	in, out := linesOf(s.inShape(0), axis), linesOf(s.outShape(0), axis)
	largest := s.node.Attrs.Int("largest", 1) != 0
	memory := s.scratch(4 * in.n * s.pool.Threads())
	return s.parallel(in.count(), in.grain(), func(worker, lo, hi int) {
		x, y, index := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0]), tensor.Data[int64](*s.out[1])
		order := scratchOf[int32](memory)[worker*in.n:][:in.n]
		for i := lo; i < hi; i++ {
			x := x[in.first(i):]
			for k := range order {
				order[k] = int32(k)
			}
			slices.SortFunc(order, func(a, b int32) int {
				d := cmp.Compare(x[int(a)*in.inner], x[int(b)*in.inner])
				if largest {
					d = -d
				}
				return cmp.Or(d, int(a-b))
			})
			for k, at := range order[:out.n] {
				y[out.first(i)+k*out.inner] = x[int(at)*in.inner]
				index[out.first(i)+k*out.inner] = int64(at)
			}
		}
	}), nil
}

// prepareUnique finds the distinct elements, or slices along an axis, sorted or
// in order of appearance; how many is known only when it runs.
func prepareUnique(s *site) (func() error, error) {
	shape := s.inShape(0)
	l := lines{1, elements(shape), 1}
	axis, along := 0, s.node.Attrs.Has("axis")
	if along {
		axis = axisOf(s.node.Attrs.Int("axis", 0), len(shape))
		l = linesOf(shape, axis)
	}
	sorted := s.node.Attrs.Int("sorted", 1) != 0
	return func() error {
		x := *s.in[0]
		first, inverse := distinct(l.n, sorted, func(a, b int) int { return compareSlices(x, l, a, b) })
		out := []int{len(first)}
		if along {
			out = slices.Concat(shape[:axis], out, shape[axis+1:])
		}
		y := tensor.New(x.DType(), out...)
		for o := range l.outer {
			for i, k := range first {
				copyRun(y, (o*len(first)+i)*l.inner, x, (o*l.n+k)*l.inner, l.inner)
			}
		}
		*s.out[0] = y
		s.setInts(1, first)
		s.setInts(2, inverse)
		counts := make([]int, len(first))
		for _, group := range inverse {
			counts[group]++
		}
		s.setInts(3, counts)
		return nil
	}, nil
}

// setInts stores a vector in output i, if wanted.
func (s *site) setInts(i int, v []int) {
	if s.hasOut(i) {
		*s.out[i] = tensor.Ints(v...)
	}
}

// distinct groups items [0, n) that compare equal. It returns the first item of
// each group, and each item's group.
func distinct(n int, sorted bool, compare func(a, b int) int) (first, inverse []int) {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Or(compare(a, b), a-b) })
	inverse = make([]int, n)
	for k, i := range order {
		if k == 0 || compare(order[k-1], i) != 0 {
			first = append(first, i)
		}
		inverse[i] = len(first) - 1
	}
	if sorted {
		return first, inverse
	}
	rank := make([]int, len(first)) // old group to new
	for i := range rank {
		rank[i] = i
	}
	slices.SortFunc(rank, func(a, b int) int { return first[a] - first[b] })
	place := make([]int, len(first))
	for now, old := range rank {
		place[old] = now
	}
	for i := range inverse {
		inverse[i] = place[inverse[i]]
	}
	slices.Sort(first)
	return first, inverse
}

// compareSlices orders slices a and b along the axis, element by element.
func compareSlices(x tensor.Tensor, l lines, a, b int) int {
	for o := range l.outer {
		for i := range l.inner {
			p, q := (o*l.n+a)*l.inner+i, (o*l.n+b)*l.inner+i
			if d := compareElements(x, p, q); d != 0 {
				return d
			}
		}
	}
	return 0
}

func compareElements(x tensor.Tensor, p, q int) int {
	switch x.DType() {
	case tensor.String:
		return cmp.Compare(x.Strings()[p], x.Strings()[q])
	case tensor.Int64:
		v := tensor.Data[int64](x)
		return cmp.Compare(v[p], v[q])
	case tensor.Uint64:
		v := tensor.Data[uint64](x)
		return cmp.Compare(v[p], v[q])
	}
	return cmp.Compare(x.At(p), x.At(q))
}
