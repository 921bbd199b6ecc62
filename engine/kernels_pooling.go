package engine

import (
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func poolingKernels() map[string]prepare {
	return map[string]prepare{
		"MaxPool": variants{tensor.Float32: bindFloatMaxPool[float32], tensor.Float64: bindFloatMaxPool[float64],
			tensor.Int8: bindMaxPool[int8], tensor.Uint8: bindMaxPool[uint8]}.by(0),
		"AveragePool":                  variants{tensor.Float32: bindAveragePool[float32], tensor.Float64: bindAveragePool[float64]}.by(0),
		"LpPool":                       variants{tensor.Float32: bindLpPool[float32], tensor.Float64: bindLpPool[float64]}.by(0),
		"GlobalLpPool":                 variants{tensor.Float32: bindGlobalLpPool[float32], tensor.Float64: bindGlobalLpPool[float64]}.by(0),
		"MaxUnpool":                    variants{tensor.Float32: bindMaxUnpool[float32], tensor.Float64: bindMaxUnpool[float64]}.by(0),
		"compactify.MaxPoolScatter":    variants{tensor.Float32: bindMaxPoolScatter[float32], tensor.Float64: bindMaxPoolScatter[float64]}.by(0),
		"compactify.MaxPoolGather":     variants{tensor.Float32: bindMaxPoolGather[float32], tensor.Float64: bindMaxPoolGather[float64]}.by(0),
		"compactify." + maxPool2x2:     variants{tensor.Float32: bindMaxPool2x2[float32], tensor.Float64: bindMaxPool2x2[float64]}.by(0),
		"compactify." + maxPool2x2Grad: variants{tensor.Float32: bindMaxPool2x2Grad[float32], tensor.Float64: bindMaxPool2x2Grad[float64]}.by(0),
		"compactify.AveragePoolGrad":   variants{tensor.Float32: bindAveragePoolGrad[float32], tensor.Float64: bindAveragePoolGrad[float64]}.by(0),
	}
}

// pooling is a window over planes [N·C, in...].
type pooling struct {
	win     graph.Window
	planes  int
	in, out int // elements of a plane
	taps    []tap
}

// pooling resolves the window over x.
func (s *site) pooling(x []int) (*pooling, error) {
	win, err := graph.PoolGeometry(s.node, x)
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	taps, err := s.taps(&win, x[2:], win.Out)
	if err != nil {
		return nil, err
	}
	return &pooling{win, x[0] * x[1], elements(x[2:]), elements(win.Out), taps}, nil
}

func (p *pooling) grain() int { return 1 + elementGrain/max(1, p.out*len(p.taps)) }

// flatPool describes a pooling over one or two axes to the fast kernels. It
// reports false for three axes and more, and for what those do not take.
func (s *site) flatPool(x []int) (kernel.PoolShape, bool) { return flatPoolOf(s.node, x) }

func flatPoolOf(n *graph.Node, x []int) (kernel.PoolShape, bool) {
	w, err := graph.PoolGeometry(n, x)
	if err != nil || len(x) > 4 {
		return kernel.PoolShape{}, false
	}
	p := kernel.PoolShape{N: x[0], C: x[1], H: 1, KH: 1, SH: 1, DH: 1, OH: 1}
	last := len(x) - 3
	p.W, p.KW, p.SW, p.DW, p.OW = x[2+last], w.Kernel[last], w.Strides[last], w.Dilations[last], w.Out[last]
	p.PL, p.PR = w.Pads[last], w.Pads[2*last+1]
	if last == 1 {
		p.H, p.KH, p.SH, p.DH, p.OH = x[2], w.Kernel[0], w.Strides[0], w.Dilations[0], w.Out[0]
		p.PT, p.PB = w.Pads[0], w.Pads[2]
	}
	return p, p.Validate() == nil
}

func bindFloatMaxPool[T float](s *site) (func() error, error) {
	p, ok := s.flatPool(s.inShape(0))
	if !ok || s.node.Attrs.Int("storage_order", 0) != 0 {
		return bindMaxPool[T](s)
	}
	return func() error {
		var index []int64
		if s.hasOut(1) {
			index = tensor.Data[int64](*s.out[1])
		}
		kernel.MaxPool(s.pool, p, tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0]), index)
		return nil
	}, nil
}

func bindMaxPool2x2[T float](s *site) (func() error, error) {
	x := s.inShape(0)
	var unread *scratch
	if !s.hasOut(1) {
		unread = s.scratch(elements(s.outShape(0)))
	}
	return func() error {
		var pick []byte
		if unread != nil {
			pick = unread.raw
		} else {
			pick = s.out[1].Raw()
		}
		kernel.MaxPool2x2(s.pool, x[0]*x[1], x[2], x[3], tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0]), pick)
		return nil
	}, nil
}

func bindMaxPool2x2Grad[T float](s *site) (func() error, error) {
	x := s.outShape(0)
	return func() error {
		kernel.MaxPool2x2Grad(s.pool, x[0]*x[1], x[2], x[3], tensor.Data[T](*s.in[0]), s.in[1].Raw(), tensor.Data[T](*s.out[0]))
		return nil
	}, nil
}

// bindMaxPool takes the first of equal maxima, in the order of the taps.
func bindMaxPool[T number](s *site) (func() error, error) {
	x := s.inShape(0)
	p, err := s.pooling(x)
	if err != nil {
		return nil, err
	}
	columns := s.node.Attrs.Int("storage_order", 0) == 1
	spatial := x[2:]
	var memory *scratch // positions in the plane
	if s.hasOut(1) {
		memory = s.scratch(4 * s.pool.Threads() * p.out)
	}
	return s.parallel(p.planes, p.grain(), func(worker, lo, hi int) {
		x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
		for i := lo; i < hi; i++ {
			plane, out := x[i*p.in:][:p.in], y[i*p.out:][:p.out]
			if memory == nil {
				maxima(p, out, plane)
				continue
			}
			at := scratchOf[int32](memory)[worker*p.out:][:p.out]
			maximaAt(p, out, at, plane)
			index := tensor.Data[int64](*s.out[1])[i*p.out:][:p.out]
			for j, k := range at {
				index[j] = noElement
				if k >= 0 {
					index[j] = int64(i*p.in) + flatIndex(int(k), spatial, columns)
				}
			}
		}
	}), nil
}

// flatIndex is the index of position k of a plane, counted along columns first
// if asked for.
func flatIndex(k int, spatial []int, columns bool) int64 {
	if !columns {
		return int64(k)
	}
	flat := 0
	for a := len(spatial) - 1; a >= 0; a-- {
		step := 1
		for _, d := range spatial[:a] {
			step *= d
		}
		flat += k % spatial[a] * step
		k /= spatial[a]
	}
	return int64(flat)
}

// maxima takes the maximum over each window of a plane; a NaN wins.
func maxima[T number](p *pooling, y, x []T) {
	fill(y, lowest[T]())
	for j := range p.taps {
		t := &p.taps[j]
		step, stride := t.n.step(0), t.n.step(1)
		for w := t.n.from(0, t.n.size); w.next(); {
			d, s := t.y+w.off[0], t.x+w.off[1]
			for range w.len {
				y[d] = max(y[d], x[s])
				d += step
				s += stride
			}
		}
	}
}

// maximaAt is maxima with the places where they were found.
func maximaAt[T number](p *pooling, y []T, at []int32, x []T) {
	fill(y, lowest[T]())
	fill(at, -1)
	for j := range p.taps {
		t := &p.taps[j]
		step, stride := t.n.step(0), t.n.step(1)
		for w := t.n.from(0, t.n.size); w.next(); {
			d, s := t.y+w.off[0], t.x+w.off[1]
			for range w.len {
				if v := x[s]; at[d] < 0 || v > y[d] || v != v && y[d] == y[d] {
					y[d], at[d] = v, int32(s)
				}
				d += step
				s += stride
			}
		}
	}
}

// lowest is the identity of max.
func lowest[T number]() T {
	zero := T(0)
	if T(1)/2 != zero { // a float
		return T(math.Inf(-1))
	}
	if zero-1 > zero { // unsigned
		return zero
	}
	v := zero - 1
	for v*2 < v {
		v *= 2
	}
	return v
}

// sums adds up f of each window of a plane.
func sums[T float](p *pooling, y []float64, x []T, f func(float64) float64) {
	clear(y)
	for j := range p.taps {
		t := &p.taps[j]
		step, stride := t.n.step(0), t.n.step(1)
		for w := t.n.from(0, t.n.size); w.next(); {
			d, s := t.y+w.off[0], t.x+w.off[1]
			for range w.len {
				if f == nil {
					y[d] += float64(x[s])
				} else {
					y[d] += f(float64(x[s]))
				}
				d += step
				s += stride
			}
		}
	}
}

// shares is 1 over the elements of each window: those inside the image, or with
// count_include_pad also those in its padding.
func (p *pooling) shares(in []int, includePad bool) []float64 {
	share := []float64{1}
	axes := len(in)
	for a := range in {
		var next []float64
		first, end := 0, in[a]
		if includePad {
			first, end = -p.win.Pads[a], in[a]+p.win.Pads[axes+a]
		}
		for _, s := range share {
			for o := range p.win.Out[a] {
				at, gap, taps := o*p.win.Strides[a]-p.win.Pads[a], p.win.Dilations[a], p.win.Kernel[a]
				below := min(taps, ceilDiv(max(0, first-at), gap))
				count := max(0, min(taps, ceilDiv(max(0, end-at), gap))-below)
				next = append(next, s/float64(count))
			}
		}
		share = next
	}
	return share
}

// ceilDiv is a/b rounded up, for a ≥ 0.
func ceilDiv(a, b int) int { return (a + b - 1) / b }

func (s *site) averaging(x []int) (*pooling, []float64, error) {
	p, err := s.pooling(x)
	if err != nil {
		return nil, nil, err
	}
	return p, p.shares(x[2:], s.node.Attrs.Int("count_include_pad", 0) != 0), nil
}

func bindAveragePool[T float](s *site) (func() error, error) {
	if p, ok := s.flatPool(s.inShape(0)); ok {
		includePad := s.node.Attrs.Int("count_include_pad", 0) != 0
		return func() error {
			kernel.AveragePool(s.pool, p, tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0]), includePad)
			return nil
		}, nil
	}
	p, share, err := s.averaging(s.inShape(0))
	if err != nil {
		return nil, err
	}
	memory := s.scratch(8 * s.pool.Threads() * p.out)
	return s.parallel(p.planes, p.grain(), func(worker, lo, hi int) {
		x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
		sum := scratchOf[float64](memory)[worker*p.out:][:p.out]
		for i := lo; i < hi; i++ {
			sums(p, sum, x[i*p.in:][:p.in], nil)
			for j, v := range sum {
				y[i*p.out+j] = T(v * share[j])
			}
		}
	}), nil
}

// bindAveragePoolGrad: the adjoint of AveragePool, which is linear.
func bindAveragePoolGrad[T float](s *site) (func() error, error) {
	if p, ok := s.flatPool(s.outShape(0)); ok {
		includePad := s.node.Attrs.Int("count_include_pad", 0) != 0
		return func() error {
			kernel.AveragePoolGrad(s.pool, p, tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0]), includePad)
			return nil
		}, nil
	}
	p, share, err := s.averaging(s.outShape(0))
	if err != nil {
		return nil, err
	}
	return s.parallel(p.planes, p.grain(), func(_, lo, hi int) {
		dy, dx := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
		for i := lo; i < hi; i++ {
			from, to := dy[i*p.out:][:p.out], dx[i*p.in:][:p.in]
			clear(to)
			for j := range p.taps {
				spreadShares(&p.taps[j], to, from, share)
			}
		}
	}), nil
}

func spreadShares[T float](t *tap, dx, dy []T, share []float64) {
	step, stride := t.n.step(0), t.n.step(1)
	for w := t.n.from(0, t.n.size); w.next(); {
		d, s := t.y+w.off[0], t.x+w.off[1]
		for range w.len {
			dx[s] += T(float64(dy[d]) * share[d])
			d += step
			s += stride
		}
	}
}

// power is |x|^p, and root its inverse.
func powerAndRoot(p int) (power, root func(float64) float64) {
	switch p {
	case 1:
		return math.Abs, func(x float64) float64 { return x }
	case 2:
		return func(x float64) float64 { return x * x }, math.Sqrt
	}
	return func(x float64) float64 { return math.Pow(math.Abs(x), float64(p)) },
		func(x float64) float64 { return math.Pow(x, 1/float64(p)) }
}

func bindLpPool[T float](s *site) (func() error, error) {
	p, err := s.pooling(s.inShape(0))
	if err != nil {
		return nil, err
	}
	power, root := powerAndRoot(s.node.Attrs.Int("p", 2))
	memory := s.scratch(8 * s.pool.Threads() * p.out)
	return s.parallel(p.planes, p.grain(), func(worker, lo, hi int) {
		x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
		sum := scratchOf[float64](memory)[worker*p.out:][:p.out]
		for i := lo; i < hi; i++ {
			sums(p, sum, x[i*p.in:][:p.in], power)
			for j, v := range sum {
				y[i*p.out+j] = T(root(v))
			}
		}
	}), nil
}

func bindGlobalLpPool[T float](s *site) (func() error, error) {
	in := s.inShape(0)
	size := elements(in[2:])
	power, root := powerAndRoot(s.node.Attrs.Int("p", 2))
	return s.parallel(in[0]*in[1], 1+elementGrain/max(1, size), func(_, lo, hi int) {
		x, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.out[0])
		for i := lo; i < hi; i++ {
			sum := 0.0
			for _, v := range x[i*size:][:size] {
				sum += power(float64(v))
			}
			y[i] = T(root(sum))
		}
	}), nil
}

// bindMaxUnpool puts each element where its index says, the last one winning.
// Indices count in the shape that the window gives, even if output_shape asks
// for a larger one.
func bindMaxUnpool[T float](s *site) (func() error, error) {
	x, out := s.inShape(0), s.outShape(0)
	counted := out
	if s.hasIn(2) {
		win, err := graph.UnpoolGeometry(s.node, x)
		if err != nil {
			return nil, s.errorf("%w", err)
		}
		counted = append([]int{x[0], x[1]}, win.Out...)
		for a, n := range counted {
			if out[a] < n {
				return nil, s.errorf("input 2: got shape %v, want at least %v, which the window gives", out, counted)
			}
		}
	}
	own, limit := strides(out), int64(elements(counted))
	return func() error {
		x, index, y := tensor.Data[T](*s.in[0]), tensor.Data[int64](*s.in[1]), tensor.Data[T](*s.out[0])
		clear(y)
		for i, v := range x {
			k := index[i]
			if k < 0 || k >= limit {
				return s.errorf("index %d: got %d, want 0 to %d", i, k, limit-1)
			}
			at, rest := 0, int(k)
			for a := len(counted) - 1; a >= 0; a-- {
				at += rest % counted[a] * own[a]
				rest /= counted[a]
			}
			y[at] = v
		}
		return nil
	}, nil
}

// noElement is MaxPool's index for a window wholly in the padding.
const noElement = -1

// bindMaxPoolScatter adds dy at the indices, which for each plane of dy lie in
// the same plane of x.
func bindMaxPoolScatter[T float](s *site) (func() error, error) {
	dy, dx := s.inShape(0), s.outShape(0)
	planes := dx[0] * dx[1]
	out, in := elements(dy[2:]), elements(dx[2:])
	return s.parallel(planes, 1+elementGrain/max(1, in), func(_, lo, hi int) {
		dy, index, dx := tensor.Data[T](*s.in[0]), tensor.Data[int64](*s.in[1]), tensor.Data[T](*s.out[0])
		for i := lo; i < hi; i++ {
			plane := dx[i*in:][:in]
			clear(plane)
			for j := i * out; j < (i+1)*out; j++ {
				if index[j] != noElement {
					plane[int(index[j])-i*in] += dy[j]
				}
			}
		}
	}), nil
}

func bindMaxPoolGather[T float](s *site) (func() error, error) {
	return s.parallel(elements(s.outShape(0)), elementGrain, func(_, lo, hi int) {
		x, index, y := tensor.Data[T](*s.in[0]), tensor.Data[int64](*s.in[1]), tensor.Data[T](*s.out[0])
		for i := lo; i < hi; i++ {
			y[i] = 0
			if index[i] != noElement {
				y[i] = x[index[i]]
			}
		}
	}), nil
}
