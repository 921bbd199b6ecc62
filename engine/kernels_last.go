package engine

import (
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// lastKernels compute on tensors whose channels lie last, see channelsLast.
func lastKernels() map[string]prepare {
	return map[string]prepare{
		lastKind(convLast): bindConvLast,
		lastKind(maxPoolLast): bindPoolLast(func(_ *graph.Node, p *kernel.Pool, s kernel.PoolShape) *kernel.LastWindow {
			return kernel.NewLastMaxPool(p, s)
		}),
		lastKind(averagePoolLast): bindPoolLast(func(n *graph.Node, p *kernel.Pool, s kernel.PoolShape) *kernel.LastWindow {
			return kernel.NewLastAveragePool(p, s, n.Attrs.Int("count_include_pad", 0) != 0)
		}),
	}
}

// channelsFirst is the shape [N, C, spatial...] of one with channels last.
func channelsFirst(shape []int) []int {
	first := append([]int{shape[0], shape[len(shape)-1]}, shape[1:]...)
	return first[:len(shape)]
}

// bindConvLast packs the weights, which are constant.
func bindConvLast(s *site) (func() error, error) {
	x, y := channelsFirst(s.inShape(0)), channelsFirst(s.outShape(0))
	w, ok := s.constant(1)
	if !ok {
		return nil, s.errorf("weights: not known")
	}
	win, err := graph.ConvGeometry(s.node, x, w.Shape())
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	f, ok := flat(&win, x, y)
	if !ok {
		return nil, s.errorf("shape %v: not for this kernel", x)
	}
	layAside(&f.shape)
	var bias []float32
	if b, ok := s.constant(2); ok {
		bias = tensor.Data[float32](b)
	}
	low := float32(s.node.Attrs.Float("low", math.Inf(-1)))
	high := float32(s.node.Attrs.Float("high", math.Inf(1)))
	if f.shape.Depthwise() {
		c := kernel.NewLastDepthwise(s.pool, f.shape, tensor.Data[float32](w), bias, low, high)
		return s.window(c), nil
	}
	if err := reserve(4 * kernel.LastWeights(f.shape)); err != nil {
		return nil, s.errorf("packed weights: %w", err)
	}
	c := kernel.NewLast(s.pool, f.shape, tensor.Data[float32](w), bias, low, high)
	memory := s.scratch(4 * c.Workspace())
	return func() error {
		var residual []float32
		if s.hasIn(3) {
			residual = tensor.Data[float32](*s.in[3])
		}
		return c.Run(tensor.Data[float32](*s.in[0]), residual, tensor.Data[float32](*s.out[0]), scratchOf[float32](memory))
	}, nil
}

// layAside turns an image one pixel wide into one that is one pixel high, which
// with channels last is the same memory: kernels work along rows.
func layAside(s *kernel.ConvShape) {
	if s.W != 1 || s.OW != 1 || s.KW != 1 || s.PL != 0 || s.PR != 0 {
		return
	}
	s.W, s.OW, s.KW, s.SW, s.DW, s.PL, s.PR = s.H, s.OH, s.KH, s.SH, s.DH, s.PT, s.PB
	s.H, s.OH, s.KH, s.SH, s.DH, s.PT, s.PB = 1, 1, 1, 1, 1, 0, 0
}

func bindPoolLast(make func(*graph.Node, *kernel.Pool, kernel.PoolShape) *kernel.LastWindow) prepare {
	return func(s *site) (func() error, error) {
		x := channelsFirst(s.inShape(0))
		shape, ok := s.flatPool(x)
		if !ok {
			return nil, s.errorf("shape %v: not for this kernel", x)
		}
		return s.window(make(s.node, s.pool, shape)), nil
	}
}

// window is the step of a window that keeps channels apart.
func (s *site) window(c *kernel.LastWindow) func() error {
	return func() error { return c.Run(tensor.Data[float32](*s.in[0]), tensor.Data[float32](*s.out[0])) }
}
