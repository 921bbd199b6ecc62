package engine

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

func signalKernels() map[string]prepare {
	return map[string]prepare{
		"Col2Im":          variants{tensor.Float32: bindCol2Im[float32], tensor.Float64: bindCol2Im[float64], tensor.Int32: bindCol2Im[int32], tensor.Int64: bindCol2Im[int64]}.by(0),
		"DFT":             variants{tensor.Float32: bindDFT[float32], tensor.Float64: bindDFT[float64]}.by(0),
		"MelWeightMatrix": prepareMelWeights,
	}
}

// bindCol2Im adds column [c, tap, place] of x [N, C·taps, places] to the pixel of
// channel c where the tap lies in the block at that place.
func bindCol2Im[T number](s *site) (func() error, error) {
	x, out := s.inShape(0), s.outShape(0)
	block, ok := s.constantInts(2)
	if !ok {
		return nil, s.errorf("block sizes: not known")
	}
	image := out[2:]
	win, err := graph.BlockGeometry(s.node, tensor.TypeOf(tensor.Int64, image...).Shape, block)
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	taps, err := s.taps(&win, image, win.Out)
	if err != nil {
		return nil, err
	}
	places, pixels := x[2], elements(image)
	return s.parallel(out[0]*out[1], 1+elementGrain/max(1, pixels*len(taps)), func(_, lo, hi int) {
		x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
		for c := lo; c < hi; c++ {
			plane := y[c*pixels:][:pixels]
			clear(plane)
			for k := range taps {
				addColumn(&taps[k], plane, x[(c*len(taps)+k)*places:][:places])
			}
		}
	}), nil
}

// addColumn adds one tap's column to the image.
func addColumn[T number](t *tap, plane, column []T) {
	step, stride := t.n.step(0), t.n.step(1)
	for w := t.n.from(0, t.n.size); w.next(); {
		from, to := t.y+w.off[0], t.x+w.off[1]
		for range w.len {
			plane[to] += column[from]
			from += step
			to += stride
		}
	}
}
