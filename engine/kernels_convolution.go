package engine

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func convolutionKernels() map[string]prepare {
	return map[string]prepare{
		"Conv":                   variants{tensor.Float32: bindConv[float32], tensor.Float64: bindConv[float64]}.by(0),
		"compactify." + convRelu: variants{tensor.Float32: bindConv[float32], tensor.Float64: bindConv[float64]}.by(0),
		"ConvTranspose":          variants{tensor.Float32: bindConvTranspose[float32], tensor.Float64: bindConvTranspose[float64]}.by(0),
		"compactify.ConvGradX":   variants{tensor.Float32: bindConvGradX[float32], tensor.Float64: bindConvGradX[float64]}.by(0),
		"compactify.ConvGradW":   variants{tensor.Float32: bindConvGradW[float32], tensor.Float64: bindConvGradW[float64]}.by(0),
	}
}

// convolution is the shape of x [N, C, in...], w [M, C/group, kernel...] and
// y [N, M, out...], for any number of spatial axes, with the taps of its window.
type convolution struct {
	batch, channels, filters, group int
	in, out, kernel                 int // elements of a plane, and of the window
	taps                            []tap
}

func (s *site) convolution(win *graph.Window, x, y []int) (*convolution, error) {
	taps, err := s.taps(win, x[2:], y[2:])
	if err != nil {
		return nil, err
	}
	return &convolution{batch: x[0], channels: x[1], filters: y[1], group: win.Group,
		in: elements(x[2:]), out: elements(y[2:]), kernel: len(taps), taps: taps}, nil
}

// perGroup is the channels and filters of one group.
func (c *convolution) perGroup() (channels, filters int) {
	return c.channels / c.group, c.filters / c.group
}

// grain is the planes worth a thread of their own when each costs terms
// products per pixel.
func (c *convolution) grain(pixels, terms int) int {
	return 1 + elementGrain/max(1, pixels*terms)
}

// flatConv is a convolution over one or two axes, for which there are fast
// kernels.
type flatConv struct {
	shape  kernel.ConvShape
	memory *scratch
}

// flat describes a convolution from x to y to the fast kernels. It reports false
// for three axes and more, and for what those kernels do not take.
func flat(w *graph.Window, x, y []int) (*flatConv, bool) {
	s := kernel.ConvShape{N: x[0], C: x[1], M: y[1], Groups: w.Group,
		H: 1, KH: 1, SH: 1, DH: 1, OH: 1}
	last := len(x) - 3 // spatial axis of the width
	s.W, s.KW, s.SW, s.DW, s.OW = x[2+last], w.Kernel[last], w.Strides[last], w.Dilations[last], y[2+last]
	s.PL, s.PR = w.Pads[last], w.Pads[2*last+1]
	if last == 1 {
		s.H, s.KH, s.SH, s.DH, s.OH = x[2], w.Kernel[0], w.Strides[0], w.Dilations[0], y[2]
		s.PT, s.PB = w.Pads[0], w.Pads[2]
	}
	return &flatConv{shape: s}, last <= 1 && s.Validate() == nil
}

// flatStep asks for the scratch memory and makes the step.
func (s *site) flatStep(f *flatConv, body func(f *flatConv), width int) (func() error, error) {
	f.memory = s.scratch(width * kernel.ConvWorkspace(f.shape, s.pool.Threads()))
	return func() error { body(f); return nil }, nil
}

// addBias adds one number to each plane.
func addBias[T float](y, bias []T, plane int) {
	for i := 0; len(y) > 0; i++ {
		b := bias[i%len(bias)]
		for j := range y[:plane] {
			y[j] += b
		}
		y = y[plane:]
	}
}

func bindConv[T float](s *site) (func() error, error) {
	x, w := s.inShape(0), s.inShape(1)
	win, err := graph.ConvGeometry(s.node, x, w)
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	act := kernel.ActNone
	if s.node.Op == convRelu {
		act = kernel.ActRelu
	}
	if f, ok := flat(&win, x, s.outShape(0)); ok {
		return s.flatStep(f, func(f *flatConv) {
			var bias []T
			if s.hasIn(2) {
				bias = tensor.Data[T](*s.in[2])
			}
			kernel.Conv(s.pool, f.shape, tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), bias,
				tensor.Data[T](*s.out[0]), act, scratchOf[T](f.memory))
		}, elementBytes[T]())
	}
	c, err := s.convolution(&win, x, s.outShape(0))
	if err != nil {
		return nil, err
	}
	return s.parallel(c.batch*c.filters, c.grain(c.out, w[1]*c.kernel), func(_, lo, hi int) {
		x, w, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), tensor.Data[T](*s.out[0])
		for i := lo; i < hi; i++ {
			plane, first := y[i*c.out:][:c.out], T(0)
			if s.hasIn(2) {
				first = tensor.Data[T](*s.in[2])[i%c.filters]
			}
			fill(plane, first)
			correlate(c, i, plane, x, w)
			if act == kernel.ActRelu {
				rectify(plane)
			}
		}
	}), nil
}

// rectify computes y ← max(y, 0); NaN and −0 stay.
func rectify[T float](y []T) {
	for i, v := range y {
		if v < 0 {
			y[i] = 0
		}
	}
}

// correlate adds the convolution's output plane i: batch i/filters, filter
// i%filters.
func correlate[T float](c *convolution, i int, y, x, w []T) {
	channels, filters := c.perGroup()
	n, m := i/c.filters, i%c.filters
	for k := range channels {
		plane := x[(n*c.channels+m/filters*channels+k)*c.in:][:c.in]
		weights := w[(m*channels+k)*c.kernel:][:c.kernel]
		for j := range c.taps {
			t := &c.taps[j]
			addTap(t, weights[j], y, t.y, 0, plane, t.x, 1)
		}
	}
}

// addTap computes dst ← dst + weight·src over the tap's nest; to and from are
// the operands that dst and src are.
func addTap[T float](t *tap, weight T, dst []T, d0, to int, src []T, s0, from int) {
	step, stride := t.n.step(to), t.n.step(from)
	for w := t.n.from(0, t.n.size); w.next(); {
		d, s := d0+w.off[to], s0+w.off[from]
		if step == 1 && stride == 1 {
			out, in := dst[d:d+w.len], src[s:s+w.len]
			for i, v := range in {
				out[i] += T(weight * v)
			}
			continue
		}
		for range w.len {
			dst[d] += T(weight * src[s])
			d += step
			s += stride
		}
	}
}

// bindConvGradX: the adjoint of x ↦ w ∗ x, inputs w, dy.
func bindConvGradX[T float](s *site) (func() error, error) {
	x, w := s.outShape(0), s.inShape(0)
	win, err := graph.ConvGeometry(s.node, x, w)
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	if f, ok := flat(&win, x, s.inShape(1)); ok {
		return s.flatStep(f, func(f *flatConv) {
			kernel.ConvGradX(s.pool, f.shape, tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]),
				tensor.Data[T](*s.out[0]), scratchOf[T](f.memory))
		}, elementBytes[T]())
	}
	c, err := s.convolution(&win, x, s.inShape(1))
	if err != nil {
		return nil, err
	}
	return s.parallel(c.batch*c.channels, c.grain(c.out, w[0]/c.group*c.kernel), func(_, lo, hi int) {
		w, dy, dx := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), tensor.Data[T](*s.out[0])
		for i := lo; i < hi; i++ {
			plane := dx[i*c.in:][:c.in]
			clear(plane)
			spread(c, i, plane, dy, w)
		}
	}), nil
}

// spread adds the adjoint's plane i: batch i/channels, channel i%channels.
func spread[T float](c *convolution, i int, dx, dy, w []T) {
	channels, filters := c.perGroup()
	n, k := i/c.channels, i%c.channels
	first := k / channels * filters
	for m := first; m < first+filters; m++ {
		plane := dy[(n*c.filters+m)*c.out:][:c.out]
		weights := w[(m*channels+k%channels)*c.kernel:][:c.kernel]
		for j := range c.taps {
			t := &c.taps[j]
			addTap(t, weights[j], dx, t.x, 1, plane, t.y, 0)
		}
	}
}

// bindConvTranspose is the adjoint of a convolution from the output's shape to
// the input's, plus bias.
func bindConvTranspose[T float](s *site) (func() error, error) {
	x, w, y := s.inShape(0), s.inShape(1), s.outShape(0)
	win, err := graph.ConvTransposeGeometry(s.node, x, w)
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	if f, ok := flat(&win, y, x); ok {
		return s.flatStep(f, func(f *flatConv) {
			out := tensor.Data[T](*s.out[0])
			kernel.ConvGradX(s.pool, f.shape, tensor.Data[T](*s.in[1]), tensor.Data[T](*s.in[0]), out, scratchOf[T](f.memory))
			if s.hasIn(2) {
				addBias(out, tensor.Data[T](*s.in[2]), f.shape.H*f.shape.W)
			}
		}, elementBytes[T]())
	}
	c, err := s.convolution(&win, y, x)
	if err != nil {
		return nil, err
	}
	return s.parallel(c.batch*c.channels, c.grain(c.out, w[0]/c.group*c.kernel), func(_, lo, hi int) {
		x, w, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), tensor.Data[T](*s.out[0])
		for i := lo; i < hi; i++ {
			plane, first := y[i*c.in:][:c.in], T(0)
			if s.hasIn(2) {
				first = tensor.Data[T](*s.in[2])[i%c.channels]
			}
			fill(plane, first)
			spread(c, i, plane, x, w)
		}
	}), nil
}

// bindConvGradW: the adjoint of w ↦ w ∗ x, inputs x, dy. Sums run over the batch
// in order, in float64.
func bindConvGradW[T float](s *site) (func() error, error) {
	x, dy, w := s.inShape(0), s.inShape(1), s.outShape(0)
	win, err := graph.ConvGeometry(s.node, x, w)
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	if f, ok := flat(&win, x, dy); ok {
		return s.flatStep(f, func(f *flatConv) {
			kernel.ConvGradW(s.pool, f.shape, tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]),
				tensor.Data[T](*s.out[0]), scratchOf[T](f.memory))
		}, elementBytes[T]())
	}
	c, err := s.convolution(&win, x, dy)
	if err != nil {
		return nil, err
	}
	return s.parallel(w[0]*w[1], c.grain(c.out, c.batch*c.kernel), func(_, lo, hi int) {
		x, dy, dw := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), tensor.Data[T](*s.out[0])
		for i := lo; i < hi; i++ {
			for j := range c.taps {
				dw[i*c.kernel+j] = T(weightGrad(c, i, &c.taps[j], x, dy))
			}
		}
	}), nil
}

// weightGrad sums dy·x over the batch for one tap of the weights of channel
// i%channels of filter i/channels.
func weightGrad[T float](c *convolution, i int, t *tap, x, dy []T) float64 {
	channels, filters := c.perGroup()
	m, k := i/channels, i%channels
	k += m / filters * channels
	step, stride := t.n.step(0), t.n.step(1)
	sum := 0.0
	for n := range c.batch {
		dy, x := dy[(n*c.filters+m)*c.out:], x[(n*c.channels+k)*c.in:]
		for w := t.n.from(0, t.n.size); w.next(); {
			d, s := t.y+w.off[0], t.x+w.off[1]
			for range w.len {
				sum += float64(dy[d]) * float64(x[s])
				d += step
				s += stride
			}
		}
	}
	return sum
}
