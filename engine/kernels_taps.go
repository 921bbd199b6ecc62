package engine

import "github.com/compactify/compactify/graph"

// tap is one element of a sliding window: the outputs it contributes to and
// the inputs it reads for them, one plane of each at a time.
type tap struct {
	n    *nest // over outputs; operand 0 is the output plane, 1 the input plane
	y, x int   // where the first ones lie
}

// taps lists the elements of a window over planes of the given spatial sizes,
// last axis fastest. Elements that never leave the padding have empty nests.
func (s *site) taps(w *graph.Window, in, out []int) ([]tap, error) {
	const each = 256 // bytes of a tap with its nest
	if err := reserve(each * elements(w.Kernel)); err != nil {
		return nil, s.errorf("window %v: %w", w.Kernel, err)
	}
	index := make([]int, len(in))
	list := make([]tap, 0, elements(w.Kernel))
	for range elements(w.Kernel) {
		t, err := newTap(w, in, out, index)
		if err != nil {
			return nil, s.errorf("%w", err)
		}
		list = append(list, t)
		for a := len(index) - 1; a >= 0; a-- {
			if index[a]++; index[a] < w.Kernel[a] {
				break
			}
			index[a] = 0
		}
	}
	return list, nil
}

func newTap(w *graph.Window, in, out, index []int) (tap, error) {
	own, from := strides(out), strides(in)
	t := tap{}
	dims := make([]int, len(in))
	for a, k := range index {
		shift := k*w.Dilations[a] - w.Pads[a]
		lo, hi := validRange(shift, w.Strides[a], in[a], out[a])
		dims[a] = hi - lo
		t.y += lo * own[a]
		t.x += (lo*w.Strides[a] + shift) * from[a]
		from[a] *= w.Strides[a]
	}
	var err error
	t.n, err = newNest(dims, own, from)
	return t, err
}

// validRange is the outputs o in [0, out) with 0 ≤ o·stride + shift < in.
func validRange(shift, stride, in, out int) (lo, hi int) {
	if shift < 0 {
		lo = (-shift + stride - 1) / stride
	}
	if last := in - 1 - shift; last >= 0 {
		hi = min(out, last/stride+1)
	}
	return min(lo, hi), hi
}
