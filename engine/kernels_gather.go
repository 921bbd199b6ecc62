package engine

import (
	"github.com/compactify/compactify/tensor"
)

func gatherKernels() map[string]prepare {
	return map[string]prepare{
		"Gather": movement(prepareGather), "GatherElements": movement(prepareGatherElements), "GatherND": movement(prepareGatherND),
		"Compress": movement(prepareCompress), "ReverseSequence": movement(prepareReverseSequence),
		"Trilu": movement(prepareTrilu), "OneHot": movement(prepareOneHot), "NonZero": prepareNonZero,
		lastKind(lookup): movement(prepareLookup),
	}
}

// positions reads indices of either integer type.
type positions struct {
	wide   []int64
	narrow []int32
}

func positionsOf(t tensor.Tensor) positions {
	if t.DType() == tensor.Int32 {
		return positions{narrow: tensor.Data[int32](t)}
	}
	return positions{wide: tensor.Data[int64](t)}
}

// at is index i into an axis of size n, negative ones counted from its end.
func (p positions) at(i, n int) int {
	k := 0
	if p.wide != nil {
		k = int(p.wide[i])
	} else {
		k = int(p.narrow[i])
	}
	if k < 0 {
		k += n
	}
	return k
}

func (p positions) len() int { return len(p.wide) + len(p.narrow) }

// within checks that all indices fit an axis of size n.
func (s *site) within(p positions, n int) error {
	for i := range p.len() {
		if k := p.at(i, n); k < 0 || k >= n {
			return s.errorf("index %d: out of range of an axis of size %d", i, n)
		}
	}
	return nil
}

// checked is a step that checks the indices in input i before it splits its
// work.
func (s *site) checked(i, axis, n, grain int, body func(worker, lo, hi int)) func() error {
	return func() error {
		if err := s.within(positionsOf(*s.in[i]), axis); err != nil {
			return err
		}
		return s.pool.For(n, grain, body)
	}
}

// prepareGather copies the rows that indices name: y[o, i, :] = x[o, index[i], :].
func prepareGather(s *site) (func() error, error) {
	l := linesOf(s.inShape(0), s.node.Attrs.Int("axis", 0))
	count := elements(s.inShape(1))
	return s.checked(1, l.n, l.outer*count, 1+elementGrain/max(1, l.inner), func(_, lo, hi int) {
		x, y, index := *s.in[0], *s.out[0], positionsOf(*s.in[1])
		for r := lo; r < hi; r++ {
			copyRun(y, r*l.inner, x, (r/count*l.n+index.at(r%count, l.n))*l.inner, l.inner)
		}
	}), nil
}

// prepareLookup copies rows of a table, or clears the row of the output, see
// [lookup].
func prepareLookup(s *site) (func() error, error) {
	rows, n := s.inShape(0)[0], s.inShape(0)[1]
	return s.parallel(elements(s.inShape(1)), 1+elementGrain/max(1, n), func(_, lo, hi int) {
		table, out, index := s.in[0].Raw(), s.out[0].Raw(), positionsOf(*s.in[1])
		bytes := n * s.out[0].DType().Bits() / 8
		for i := lo; i < hi; i++ {
			to := out[i*bytes:][:bytes]
			if k := index.at(i, 0); k >= 0 && k < rows {
				copy(to, table[k*bytes:])
			} else {
				clear(to)
			}
		}
	}), nil
}

// elementwiseNest is a nest over the indices of GatherElements or
// ScatterElements; its operand is the tensor they point into, with the indexed
// axis standing still. step is that axis' stride, n its size.
func (s *site) elementwiseNest() (nest *nest, step, n int, err error) {
	x, index := s.inShape(0), s.inShape(1)
	axis := axisOf(s.node.Attrs.Int("axis", 0), len(x))
	own := strides(x)
	step, n = own[axis], x[axis]
	own[axis] = 0
	nest, err = newNest(index, own)
	if err != nil {
		err = s.errorf("%w", err)
	}
	return nest, step, n, err
}

func prepareGatherElements(s *site) (func() error, error) {
	nest, step, n, err := s.elementwiseNest()
	if err != nil {
		return nil, err
	}
	return s.checked(1, n, nest.size, elementGrain, func(_, lo, hi int) {
		x, y, index := *s.in[0], *s.out[0], positionsOf(*s.in[1])
		for w := nest.from(lo, hi); w.next(); {
			for i := range w.len {
				copyRun(y, w.pos+i, x, w.off[0]+i*nest.step(0)+index.at(w.pos+i, n)*step, 1)
			}
		}
	}), nil
}

// tuples resolves the index tuples of GatherND and ScatterND: tuple i names the
// slice of run elements at offset at(i) of x.
type tuples struct {
	count, width int   // tuples, and entries of each
	dims, steps  []int // of the axes that a tuple names
	run          int   // elements of a slice
	batch, perX  int   // tuples per batch entry, and elements of x per batch entry
}

func newTuples(x, index []int, batchDims int) tuples {
	width := index[len(index)-1]
	own := strides(x)
	t := tuples{width: width, dims: x[batchDims : batchDims+width], steps: own[batchDims : batchDims+width],
		count: elements(index[:len(index)-1]), run: elements(x[batchDims+width:]), perX: elements(x[batchDims:])}
	t.batch = t.count / max(1, elements(x[:batchDims]))
	return t
}

// at is where tuple i points; false if it is out of range.
func (t *tuples) at(index []int64, i int) (int, bool) {
	at := i / max(1, t.batch) * t.perX
	for k, v := range index[i*t.width:][:t.width] {
		if v < 0 {
			v += int64(t.dims[k])
		}
		if v < 0 || v >= int64(t.dims[k]) {
			return 0, false
		}
		at += int(v) * t.steps[k]
	}
	return at, true
}

func prepareGatherND(s *site) (func() error, error) {
	t := newTuples(s.inShape(0), s.inShape(1), s.node.Attrs.Int("batch_dims", 0))
	return func() error {
		index := tensor.Data[int64](*s.in[1])
		for i := range t.count {
			at, ok := t.at(index, i)
			if !ok {
				return s.errorf("index tuple %d: out of range", i)
			}
			copyRun(*s.out[0], i*t.run, *s.in[0], at, t.run)
		}
		return nil
	}, nil
}

// prepareCompress keeps the slices whose condition is true; how many is known
// only when it runs.
func prepareCompress(s *site) (func() error, error) {
	shape := s.inShape(0)
	l := lines{1, elements(shape), 1}
	axis, along := 0, s.node.Attrs.Has("axis")
	if along {
		axis = axisOf(s.node.Attrs.Int("axis", 0), len(shape))
		l = linesOf(shape, axis)
	}
	return func() error {
		var kept []int
		for i, c := range s.in[1].Raw() {
			if c != 0 && i < l.n {
				kept = append(kept, i)
			}
		}
		out := []int{len(kept)}
		if along {
			out = append(append(append([]int(nil), shape[:axis]...), len(kept)), shape[axis+1:]...)
		}
		y := tensor.New(s.in[0].DType(), out...)
		for o := range l.outer {
			for i, k := range kept {
				copyRun(y, (o*len(kept)+i)*l.inner, *s.in[0], (o*l.n+k)*l.inner, l.inner)
			}
		}
		*s.out[0] = y
		return nil
	}, nil
}

// prepareReverseSequence reverses the first sequence_lens[b] steps of batch
// entry b.
func prepareReverseSequence(s *site) (func() error, error) {
	shape := s.inShape(0)
	time, batch := axisOf(s.node.Attrs.Int("time_axis", 0), len(shape)), axisOf(s.node.Attrs.Int("batch_axis", 1), len(shape))
	steps, entries := shape[time], shape[batch]
	run := elements(shape[2:])
	return func() error {
		index := positionsOf(*s.in[1])
		for b := range entries {
			n := index.at(b, 0)
			if n < 0 || n > steps {
				return s.errorf("sequence length %d: got %d, want at most %d", b, n, steps)
			}
			for t := range steps {
				from := t
				if t < n {
					from = n - 1 - t
				}
				to := t*entries + b
				from = from*entries + b
				if time == 1 {
					to, from = b*steps+t, b*steps+(from-b)/entries
				}
				copyRun(*s.out[0], to*run, *s.in[0], from*run, run)
			}
		}
		return nil
	}, nil
}

// prepareTrilu keeps the upper or lower triangle of matrices.
func prepareTrilu(s *site) (func() error, error) {
	shape := s.inShape(0)
	rows, cols := shape[len(shape)-2], shape[len(shape)-1]
	upper := s.node.Attrs.Int("upper", 1) != 0
	return func() error {
		k := 0
		if s.hasIn(1) {
			k = int(tensor.Data[int64](*s.in[1])[0])
		}
		clear(s.out[0].Raw())
		for r := range elements(shape) / max(1, cols) {
			lo, hi := 0, min(max(r%rows+k+1, 0), cols)
			if upper {
				lo, hi = min(max(r%rows+k, 0), cols), cols
			}
			copyRun(*s.out[0], r*cols+lo, *s.in[0], r*cols+lo, hi-lo)
		}
		return nil
	}, nil
}

// prepareOneHot writes values[1] where the index points, values[0] elsewhere;
// an index out of range points nowhere.
func prepareOneHot(s *site) (func() error, error) {
	out := s.outShape(0)
	l := linesOf(out, s.node.Attrs.Int("axis", -1))
	off, err := s.newGather([]int{elements(out)}, 0, 0, []int{1}, []int{0})
	if err != nil {
		return nil, err
	}
	return func() error {
		off.copy(0, off.n.size, *s.out[0], *s.in[2])
		for i := range s.in[0].Len() {
			k := int(truncate(s.in[0].At(i)))
			if k < 0 {
				k += l.n
			}
			if k >= 0 && k < l.n {
				copyRun(*s.out[0], l.first(i)+k*l.inner, *s.in[2], 1, 1)
			}
		}
		return nil
	}, nil
}

// prepareNonZero lists the indices of elements other than zero, one column each.
func prepareNonZero(s *site) (func() error, error) {
	shape := s.inShape(0)
	return func() error {
		var found []int
		for i := range s.in[0].Len() {
			if s.in[0].DType() == tensor.String && s.in[0].Strings()[i] != "" || s.in[0].DType() != tensor.String && s.in[0].At(i) != 0 {
				found = append(found, i)
			}
		}
		y := tensor.New(tensor.Int64, len(shape), len(found))
		index := tensor.Data[int64](y)
		for k, i := range found {
			for a := len(shape) - 1; a >= 0; a-- {
				index[a*len(found)+k] = int64(i % shape[a])
				i /= shape[a]
			}
		}
		*s.out[0] = y
		return nil
	}, nil
}
