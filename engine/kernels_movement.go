package engine

import (
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func movementKernels() map[string]prepare {
	k := map[string]prepare{
		"Transpose": prepareTranspose, "Concat": prepareConcat, "Slice": prepareSlice, "compactify.SliceGrad": prepareSliceGrad, "Split": prepareSplit,
		"Expand": prepareExpand, "Tile": prepareTile, "Pad": preparePad, "CenterCropPad": prepareCenterCropPad,
		"DepthToSpace": prepareDepthToSpace, "SpaceToDepth": prepareSpaceToDepth,
	}
	for op, f := range k {
		k[op] = movement(f)
	}
	return k
}

// copyRun copies n consecutive elements.
func copyRun(dst tensor.Tensor, to int, src tensor.Tensor, from, n int) {
	if dst.DType() == tensor.String {
		copy(dst.Strings()[to:to+n], src.Strings()[from:from+n])
		return
	}
	width := dst.DType().Bits() / 8
	copy(dst.Raw()[to*width:(to+n)*width], src.Raw()[from*width:(from+n)*width])
}

// gather is a copy of elements of a tensor to strided places: for every index
// of a nest, dst[a + Σ i·s] ← src[b + Σ i·t].
type gather struct {
	n        *nest
	dst, src int // a and b
}

// newGather: strides may be negative and, of src, 0.
func (s *site) newGather(dims []int, dst, src int, dstStrides, srcStrides []int) (gather, error) {
	n, err := newNest(dims, dstStrides, srcStrides)
	if err != nil {
		return gather{}, s.errorf("%w", err)
	}
	return gather{n, dst, src}, nil
}

// copy runs iterations [lo, hi).
func (g *gather) copy(lo, hi int, dst, src tensor.Tensor) {
	switch dst.DType().Bits() {
	case 8:
		copyNest(g, lo, hi, dst.Raw(), src.Raw())
	case 16:
		copyNest(g, lo, hi, tensor.Data[uint16](dst), tensor.Data[uint16](src))
	case 32:
		copyNest(g, lo, hi, tensor.Data[uint32](dst), tensor.Data[uint32](src))
	case 64:
		copyNest(g, lo, hi, tensor.Data[uint64](dst), tensor.Data[uint64](src))
	case 128:
		copyNest(g, lo, hi, tensor.Data[complex128](dst), tensor.Data[complex128](src))
	default:
		copyNest(g, lo, hi, dst.Strings(), src.Strings())
	}
}

func copyNest[T any](g *gather, lo, hi int, dst, src []T) {
	n := g.n
	to, from := n.step(0), n.step(1)
	for w := n.from(lo, hi); w.next(); {
		d, s := g.dst+w.off[0], g.src+w.off[1]
		switch {
		case to == 1 && from == 1:
			copy(dst[d:d+w.len], src[s:s+w.len])
		case to == 1 && from == 0:
			fill(dst[d:d+w.len], src[s])
		default:
			for range w.len {
				dst[d] = src[s]
				d += to
				s += from
			}
		}
	}
}

func fill[T any](dst []T, v T) {
	for i := range dst {
		dst[i] = v
	}
}

// moves is a step that runs one gather from input 0 to output 0.
func (s *site) moves(g gather, err error) (func() error, error) {
	if err != nil {
		return nil, err
	}
	return s.parallel(g.n.size, elementGrain, func(_, lo, hi int) { g.copy(lo, hi, *s.out[0], *s.in[0]) }), nil
}

func prepareTranspose(s *site) (func() error, error) {
	in, out := s.inShape(0), s.outShape(0)
	perm := s.node.Attrs.Ints("perm")
	if perm == nil {
		for i := range in {
			perm = append(perm, len(in)-1-i)
		}
	}
	return s.permute(in, out, perm)
}

// permute copies in [in] to axes in the order perm.
func (s *site) permute(in, out, perm []int) (func() error, error) {
	if elements(out) == 0 {
		return func() error { return nil }, nil
	}
	own := strides(in)
	from := make([]int, len(perm))
	for i, p := range perm {
		from[i] = own[p]
	}
	if run := s.permuteTiled(out, from); run != nil {
		return run, nil
	}
	return s.moves(s.newGather(out, 0, 0, strides(out), from))
}

// permuteTiled handles a batch of matrices to transpose, such as NCHW ↔ NHWC,
// in square tiles that stay in the cache; nil for other permutations.
func (s *site) permuteTiled(out, from []int) func() error {
	n, err := newNest(out, strides(out), from)
	axes := len(n.dims)
	if err != nil || axes < 2 || axes > 3 || s.inDType(0) == tensor.String {
		return nil
	}
	rows, cols := n.dims[axes-2], n.dims[axes-1]
	batch, batchStride := 1, 0
	if axes == 3 {
		batch, batchStride = n.dims[0], n.strides[1][0]
	}
	if n.strides[1][axes-2] != 1 || n.strides[1][axes-1] != rows || axes == 3 && batchStride != rows*cols {
		return nil
	}
	const tile = 128
	tall := (rows + tile - 1) / tile
	return s.parallel(batch*tall, 1+elementGrain/(tile*cols), func(_, lo, hi int) {
		x, y := *s.in[0], *s.out[0]
		for i := lo; i < hi; i++ {
			b, r := i/tall*rows*cols, i%tall*tile
			end := min(r+tile, rows)
			switch y.DType().Bits() {
			case 8:
				transposeTile(y.Raw()[b:], x.Raw()[b:], r, end, rows, cols)
			case 16:
				transposeTile(tensor.Data[uint16](y)[b:], tensor.Data[uint16](x)[b:], r, end, rows, cols)
			case 32:
				kernel.TransposeRows(s.pool, tensor.View[float32](y.Raw())[b:], tensor.View[float32](x.Raw())[b:], r, end, rows, cols)
			case 64:
				transposeTile(tensor.Data[uint64](y)[b:], tensor.Data[uint64](x)[b:], r, end, rows, cols)
			default:
				transposeTile(tensor.Data[complex128](y)[b:], tensor.Data[complex128](x)[b:], r, end, rows, cols)
			}
		}
	})
}

// transposeTile computes rows [lo, hi) of dst [rows, cols] from src [cols, rows].
func transposeTile[T any](dst, src []T, lo, hi, rows, cols int) {
	const tile, few = 32, 8
	if cols < few { // such as the channels of a picture
		for c := range cols {
			at := lo*cols + c
			for _, v := range src[c*rows:][lo:hi] {
				dst[at] = v
				at += cols
			}
		}
		return
	}
	for c := 0; c < cols; c += tile {
		end := min(c+tile, cols)
		for r := lo; r < hi; r++ {
			out := dst[r*cols+c : r*cols+end]
			at := c*rows + r
			for j := range out {
				out[j] = src[at]
				at += rows
			}
		}
	}
}

// prepareConcat copies each input to its place: rows of one output row.
func prepareConcat(s *site) (func() error, error) {
	out := s.outShape(0)
	axis := axisOf(s.node.Attrs.Int("axis", 0), len(out))
	outer, inner := elements(out[:axis]), elements(out[axis+1:])
	row := out[axis] * inner
	type part struct{ in, at, size int }
	var parts []part
	at := 0
	for i := range s.in {
		size := s.inShape(i)[axis] * inner
		parts = append(parts, part{i, at, size})
		at += size
	}
	return s.parallel(outer, 1+elementGrain/max(1, row), func(_, lo, hi int) {
		for _, p := range parts {
			x := *s.in[p.in]
			for r := lo; r < hi; r++ {
				copyRun(*s.out[0], r*row+p.at, x, r*p.size, p.size)
			}
		}
	}), nil
}

// axisOf counts a negative axis from the end.
func axisOf(axis, rank int) int {
	if axis < 0 {
		axis += rank
	}
	return axis
}

func prepareSplit(s *site) (func() error, error) {
	in := s.inShape(0)
	axis := axisOf(s.node.Attrs.Int("axis", 0), len(in))
	outer, inner := elements(in[:axis]), elements(in[axis+1:])
	row := in[axis] * inner
	sizes, starts := make([]int, len(s.out)), make([]int, len(s.out))
	lengths, ok := s.constantInts(1)
	at := 0
	for i := range s.out {
		switch {
		case ok:
			sizes[i] = lengths[i] * inner
		case s.hasOut(i):
			sizes[i] = s.outShape(i)[axis] * inner
		default:
			sizes[i] = min((in[axis]+len(s.out)-1)/len(s.out)*inner, row-at)
		}
		starts[i] = at
		at += sizes[i]
	}
	return s.parallel(outer, 1+elementGrain/max(1, row), func(_, lo, hi int) {
		for i, y := range s.out {
			for r := lo; y != nil && r < hi; r++ {
				copyRun(*y, r*sizes[i], *s.in[0], r*row+starts[i], sizes[i])
			}
		}
	}), nil
}

// prepareSlice: starts, ends and steps are known when it is bound.
func prepareSlice(s *site) (func() error, error) {
	out := s.outShape(0)
	base, from, err := s.cut(s.inShape(0), 1)
	if err != nil {
		return nil, err
	}
	return s.moves(s.newGather(out, 0, base, strides(out), from))
}

// prepareSliceGrad puts the cotangent where Slice took its elements from, and
// zeros elsewhere.
func prepareSliceGrad(s *site) (func() error, error) {
	dy := s.inShape(0)
	base, to, err := s.cut(s.outShape(0), 2)
	if err != nil {
		return nil, err
	}
	move, err := s.moves(s.newGather(dy, base, 0, to, strides(dy)))
	return func() error {
		clear(s.out[0].Raw())
		return move()
	}, err
}

// cut resolves the starts, axes and steps of a slice of a tensor of shape in,
// which stand at inputs at, at+2 and at+3: the first element and the strides.
func (s *site) cut(in []int, at int) (base int, from []int, err error) {
	starts, ok := s.constantInts(at)
	if !ok {
		return 0, nil, s.errorf("starts: not known")
	}
	axes, ok := s.constantInts(at + 2)
	if !ok {
		for i := range starts {
			axes = append(axes, i)
		}
	}
	steps, _ := s.constantInts(at + 3)
	from = strides(in)
	for i, a := range axes {
		a = axisOf(a, len(in))
		start, step := starts[i], 1
		if steps != nil {
			step = steps[i]
		}
		if start < 0 {
			start += in[a]
		}
		if step > 0 {
			start = min(max(start, 0), in[a])
		} else {
			start = min(max(start, -1), in[a]-1)
		}
		base += start * from[a]
		from[a] *= step
	}
	return base, from, nil
}

func prepareExpand(s *site) (func() error, error) {
	out := s.outShape(0)
	return s.moves(s.newGather(out, 0, 0, strides(out), broadcastStrides(s.inShape(0), out)))
}

// prepareTile repeats by an axis of stride 0 in front of each axis.
func prepareTile(s *site) (func() error, error) {
	in, out := s.inShape(0), s.outShape(0)
	own := strides(in)
	var dims, from []int
	for i := range in {
		repeats := 0
		if in[i] > 0 {
			repeats = out[i] / in[i]
		}
		dims = append(dims, repeats, in[i])
		from = append(from, 0, own[i])
	}
	return s.moves(s.newGather(dims, 0, 0, strides(dims), from))
}

// prepareDepthToSpace: a channel index is split into block rows, block columns
// and depth (DCR), or depth first (CRD).
func prepareDepthToSpace(s *site) (func() error, error) {
	in, out := s.inShape(0), s.outShape(0)
	b := s.node.Attrs.Int("blocksize", 1)
	c := out[1]
	split, perm := []int{in[0], b, b, c, in[2], in[3]}, []int{0, 3, 4, 1, 5, 2}
	if s.node.Attrs.Text("mode", "DCR") == "CRD" {
		split, perm = []int{in[0], c, b, b, in[2], in[3]}, []int{0, 1, 4, 2, 5, 3}
	}
	return s.permute(split, permuted(split, perm), perm)
}

func prepareSpaceToDepth(s *site) (func() error, error) {
	in, out := s.inShape(0), s.outShape(0)
	b := s.node.Attrs.Int("blocksize", 1)
	split, perm := []int{in[0], in[1], out[2], b, out[3], b}, []int{0, 3, 5, 1, 2, 4}
	return s.permute(split, permuted(split, perm), perm)
}

func permuted(shape, perm []int) []int {
	out := make([]int, len(perm))
	for i, p := range perm {
		out[i] = shape[p]
	}
	return out
}
