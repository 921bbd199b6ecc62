package kernel

import "fmt"

// PoolShape is the shape of a two-dimensional pooling in NCHW layout:
//
//	x [N, C, H, W],  y [N, C, OH, OW]
//
// with windows of KH·KW elements; S are strides, D dilations and P the pads at
// top, left, bottom and right.
type PoolShape struct {
	N, C, H, W     int
	KH, KW         int
	SH, SW         int
	DH, DW         int
	PT, PL, PB, PR int
	OH, OW         int
}

// PoolSize is the number of windows along an axis of the given size, pad being
// the sum of its two pads and before the first of them. With ceil a window may
// reach past the end, but not start in the pad there.
//
// Source: ONNX operators MaxPool and AveragePool, opset 22.
func PoolSize(in, k, stride, dilation, before, pad int, ceil bool) int {
	out := outSize(in, k, stride, dilation, pad)
	free := in + pad - dilation*(k-1) - 1
	if ceil && free >= 0 && free%stride != 0 && out*stride < in+before {
		out++
	}
	return out
}

// Validate reports the first inconsistency: a size out of range, an OH or OW
// that [PoolSize] gives neither with ceil nor without, or tensors of more
// elements than an int counts.
func (s PoolShape) Validate() error {
	if err := s.validate("pooling"); err != nil {
		return err
	}
	lo := PoolSize(s.H, s.KH, s.SH, s.DH, s.PT, s.PT+s.PB, false)
	if hi := PoolSize(s.H, s.KH, s.SH, s.DH, s.PT, s.PT+s.PB, true); s.OH != lo && s.OH != hi {
		return fmt.Errorf("pooling: output height: got %d, want %d or, rounded up, %d", s.OH, lo, hi)
	}
	lo = PoolSize(s.W, s.KW, s.SW, s.DW, s.PL, s.PL+s.PR, false)
	if hi := PoolSize(s.W, s.KW, s.SW, s.DW, s.PL, s.PL+s.PR, true); s.OW != lo && s.OW != hi {
		return fmt.Errorf("pooling: output width: got %d, want %d or, rounded up, %d", s.OW, lo, hi)
	}
	return nil
}

// validate checks everything but the outputs' sizes against the windows.
func (s PoolShape) validate(op string) error {
	for _, f := range []struct {
		name     string
		got, low int
	}{
		{"batch", s.N, 0}, {"channels", s.C, 1}, {"height", s.H, 1}, {"width", s.W, 1},
		{"kernel height", s.KH, 1}, {"kernel width", s.KW, 1}, {"vertical stride", s.SH, 1}, {"horizontal stride", s.SW, 1},
		{"vertical dilation", s.DH, 1}, {"horizontal dilation", s.DW, 1},
		{"top pad", s.PT, 0}, {"left pad", s.PL, 0}, {"bottom pad", s.PB, 0}, {"right pad", s.PR, 0},
		{"output height", s.OH, 1}, {"output width", s.OW, 1},
	} {
		if f.got < f.low || f.got > maxElements {
			return fmt.Errorf("%s: %s: got %d, want %d to %d", op, f.name, f.got, f.low, maxElements)
		}
	}
	ok := countable(s.N, s.C, s.H, s.W) && countable(s.N, s.C, s.OH, s.OW) &&
		countable(s.SH, s.OH) && countable(s.SW, s.OW) && countable(s.DH, s.KH) && countable(s.DW, s.KW) &&
		countable(s.C, s.H+s.PT+s.PB+s.SH, s.W+s.PL+s.PR+s.SW)
	if !ok {
		return fmt.Errorf("%s: %+v: more elements than an int counts", op, s)
	}
	return nil
}

func (s *PoolShape) check(op string, x, y int) {
	checkLen(op, "x", x, s.N*s.C*s.H*s.W)
	checkLen(op, "y", y, s.N*s.C*s.OH*s.OW)
}
