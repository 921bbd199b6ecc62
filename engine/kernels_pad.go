package engine

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// preparePad fills the border with a constant and copies the middle, or reads
// every element through a table of positions per axis.
func preparePad(s *site) (func() error, error) {
	in, out := s.inShape(0), s.outShape(0)
	before, err := s.padsBefore(len(in))
	if err != nil {
		return nil, err
	}
	mode := s.node.Attrs.Text("mode", "constant")
	if mode == "constant" {
		return s.padConstant(in, out, before)
	}
	tables := make([][]int, len(in))
	own := strides(in)
	for a := range in {
		tables[a] = make([]int, out[a])
		for i := range tables[a] {
			tables[a][i] = graph.PadSource(mode, i-before[a], in[a]) * own[a]
		}
	}
	return s.tableMove(tables, out), nil
}

// prepareCenterCropPad pads or crops evenly, the odd element behind.
func prepareCenterCropPad(s *site) (func() error, error) {
	in, out := s.inShape(0), s.outShape(0)
	before := make([]int, len(in))
	for a := range in {
		if out[a] >= in[a] {
			before[a] = (out[a] - in[a]) / 2
		} else {
			before[a] = -((in[a] - out[a]) / 2)
		}
	}
	return s.padConstant(in, out, before)
}

// padsBefore is the elements added in front of each axis; negative ones crop.
func (s *site) padsBefore(rank int) ([]int, error) {
	pads, ok := s.constantInts(1)
	if !ok {
		return nil, s.errorf("pads: not known")
	}
	axes, ok := s.constantInts(3)
	if !ok {
		for i := range rank {
			axes = append(axes, i)
		}
	}
	before := make([]int, rank)
	for i, a := range axes {
		before[axisOf(a, rank)] = pads[i]
	}
	return before, nil
}

func (s *site) padConstant(in, out, before []int) (func() error, error) {
	dims, to, from := make([]int, len(in)), 0, 0
	outStrides, inStrides := strides(out), strides(in)
	for a := range in {
		start := max(0, -before[a]) // of the input, where it is cropped
		at := max(0, before[a])
		dims[a] = max(0, min(in[a]-start, out[a]-at))
		to += at * outStrides[a]
		from += start * inStrides[a]
	}
	middle, err := s.newGather(dims, to, from, outStrides, inStrides)
	if err != nil {
		return nil, err
	}
	zero := tensor.New(s.inDType(0), 1)
	border, err := s.newGather(out, 0, 0, outStrides, make([]int, len(out)))
	if err != nil {
		return nil, err
	}
	return func() error {
		value := zero
		if s.hasIn(2) && s.node.Op == "Pad" {
			value = *s.in[2]
		}
		border.copy(0, border.n.size, *s.out[0], value)
		middle.copy(0, middle.n.size, *s.out[0], *s.in[0])
		return nil
	}, nil
}

// tableMove reads element i of each axis at tables[axis][i], offsets that add
// up.
func (s *site) tableMove(tables [][]int, out []int) func() error {
	rank := len(out)
	if rank == 0 {
		return func() error { copyRun(*s.out[0], 0, *s.in[0], 0, 1); return nil }
	}
	inner := out[rank-1]
	rows := elements(out[:rank-1])
	return s.parallel(rows, 1+elementGrain/max(1, inner), func(_, lo, hi int) {
		for r := lo; r < hi; r++ {
			base, rest := 0, r
			for a := rank - 2; a >= 0; a-- {
				base += tables[a][rest%out[a]]
				rest /= out[a]
			}
			pick(*s.out[0], r*inner, *s.in[0], base, tables[rank-1])
		}
	})
}

// pick copies dst[to+i] ← src[base+table[i]].
func pick(dst tensor.Tensor, to int, src tensor.Tensor, base int, table []int) {
	switch dst.DType().Bits() {
	case 8:
		pickFrom(dst.Raw()[to:], src.Raw()[base:], table)
	case 16:
		pickFrom(tensor.Data[uint16](dst)[to:], tensor.Data[uint16](src)[base:], table)
	case 32:
		pickFrom(tensor.Data[uint32](dst)[to:], tensor.Data[uint32](src)[base:], table)
	case 64:
		pickFrom(tensor.Data[uint64](dst)[to:], tensor.Data[uint64](src)[base:], table)
	case 128:
		pickFrom(tensor.Data[complex128](dst)[to:], tensor.Data[complex128](src)[base:], table)
	default:
		pickFrom(dst.Strings()[to:], src.Strings()[base:], table)
	}
}

func pickFrom[T any](dst, src []T, table []int) {
	for i, at := range table {
		dst[i] = src[at]
	}
}
