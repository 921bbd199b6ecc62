package kernel

import (
	"fmt"
	"math/bits"
)

// ConvShape is the shape of a two-dimensional convolution in NCHW layout:
//
//	x [N, C, H, W],  w [M, C/Groups, KH, KW],  bias [M],  y [N, M, OH, OW]
//
// S are strides, D dilations and P the pads at top, left, bottom and right. A
// one-dimensional convolution has H, KH, SH, DH and OH of 1.
type ConvShape struct {
	N, C, H, W     int
	M, KH, KW      int
	SH, SW         int
	DH, DW         int
	PT, PL, PB, PR int
	Groups         int
	OH, OW         int
}

// Validate reports the first inconsistency: a size out of range, groups that do
// not divide the channels, an OH or OW other than
//
//	⌊(H + PT + PB − DH·(KH−1) − 1)/SH⌋ + 1
//
// tensors of more elements than an int counts, or planes that are next to
// nothing but pads. The kernels trust a shape that passes.
func (s ConvShape) Validate() error {
	if err := s.window().validate("convolution"); err != nil {
		return err
	}
	switch {
	case s.M < 1:
		return fmt.Errorf("convolution: output channels: got %d, want at least 1", s.M)
	case s.Groups < 1 || s.C%s.Groups != 0 || s.M%s.Groups != 0:
		return fmt.Errorf("convolution: groups: got %d, want a divisor of %d and %d channels", s.Groups, s.C, s.M)
	}
	if oh := outSize(s.H, s.KH, s.SH, s.DH, s.PT+s.PB); oh != s.OH {
		return fmt.Errorf("convolution: output height: got %d, want %d", s.OH, oh)
	}
	if ow := outSize(s.W, s.KW, s.SW, s.DW, s.PL+s.PR); ow != s.OW {
		return fmt.Errorf("convolution: output width: got %d, want %d", s.OW, ow)
	}
	if !countable(s.N, s.M, s.OH, s.OW) || !countable(s.M, s.C/s.Groups, s.KH, s.KW) {
		return fmt.Errorf("convolution: %+v: more elements than an int counts", s)
	}
	in, grad := s.inputPlanes(), s.gradPlanes()
	limit := (s.H*s.W+s.OH*s.OW)*paddingFactor + paddingFloor
	if size := max(in.size(), grad.size()); size > limit {
		return fmt.Errorf("convolution: %+v: padded plane: got %d elements, want at most %d", s, size, limit)
	}
	return nil
}

// The kernels copy planes with their pads. A small image with huge pads and
// dilations must not make them ask for more memory than the tensors justify.
const (
	paddingFactor = 64
	paddingFloor  = 1 << 20
)

func (s ConvShape) window() PoolShape {
	return PoolShape{s.N, s.C, s.H, s.W, s.KH, s.KW, s.SH, s.SW, s.DH, s.DW, s.PT, s.PL, s.PB, s.PR, s.OH, s.OW}
}

// groupIn and groupOut are the channels of one group; taps is the length of one
// output's sum.
func (s *ConvShape) groupIn() int  { return s.C / s.Groups }
func (s *ConvShape) groupOut() int { return s.M / s.Groups }
func (s *ConvShape) taps() int     { return s.groupIn() * s.KH * s.KW }

func (s *ConvShape) check(op string, x, w, y int) {
	checkLen(op, "x", x, s.N*s.C*s.H*s.W)
	checkLen(op, "w", w, s.M*s.taps())
	checkLen(op, "y", y, s.N*s.M*s.OH*s.OW)
}

func checkLen(op, name string, have, want int) {
	if have < want {
		panic(fmt.Sprintf("%s: %s: got %d elements, want %d", op, name, have, want))
	}
}

// outSize is the number of windows along one axis, or 0.
func outSize(in, k, stride, dilation, pad int) int {
	free := in + pad - dilation*(k-1) - 1
	if free < 0 {
		return 0
	}
	return free/stride + 1
}

// maxElements bounds the elements of any one tensor, so that sums of a few
// sizes and eight-byte elements cannot overflow.
const maxElements = 1 << (bits.UintSize - 9)

// countable reports whether the product of sizes, none negative, is at most
// [maxElements].
func countable(sizes ...int) bool {
	n := uint(1)
	for _, d := range sizes {
		if d == 0 {
			return true
		}
		hi, lo := bits.Mul(n, uint(d))
		if hi != 0 || lo > maxElements {
			return false
		}
		n = lo
	}
	return true
}

// Activation is a function applied to each output as it is stored.
type Activation uint8

// Activations.
const (
	ActNone Activation = iota
	ActRelu            // max(v, 0); NaN and −0 stay
)
