package engine

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// integerKernels are those of the operators that the pass integers makes. Images
// have their channels last here.
func integerKernels() map[string]prepare {
	return map[string]prepare{
		"compactify." + int8Conv:    bindInt8Conv,
		"compactify." + int8MatMul:  bindInt8MatMul,
		"compactify." + int8Add:     bindInt8Add,
		"compactify." + int8MaxPool: bindInt8MaxPool,
		"compactify." + int8Mean:    bindInt8Mean,
		"compactify." + int8Flag:    bindInt8Flag,
		"compactify." + int8Flip:    bindInt8Flip,
		"MatMulInteger":             bindMatMulInteger,
		"ConvInteger":               bindConvInteger,
	}
}

// channelsSecond is the shape [N, C, spatial...] of an image [N, spatial..., C].
func channelsSecond(x []int) []int {
	last := len(x) - 1
	return append([]int{x[0], x[last]}, x[1:last]...)
}

// sumAttribute writes a sum's constants into a node, and sumOf reads them.
func sumAttribute(s *kernel.Int8Sum) graph.Attr {
	return graph.Floats("sum", s.ScaleA, s.ScaleB, s.ScaleY, float32(s.ZeroB), float32(s.ZeroY), s.Lo, s.Hi)
}

func sumOf(at graph.Attributes) kernel.Int8Sum {
	f := at.Floats("sum")
	return kernel.Int8Sum{ScaleA: f[0], ScaleB: f[1], ScaleY: f[2], ZeroB: uint8(f[3]), ZeroY: uint8(f[4]), Lo: f[5], Hi: f[6]}
}

func bindInt8Conv(s *site) (func() error, error) {
	w, _ := s.node.Attrs.Get("weights")
	x, y := channelsSecond(s.inShape(0)), channelsSecond(s.outShape(0))
	win, err := graph.ConvGeometry(s.node, x, w.T.Shape())
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	f, ok := flat(&win, x, y)
	if !ok {
		return nil, s.unsupported("shape", x)
	}
	return s.int8Product(f.shape, tensor.Data[int8](w.T)), nil
}

func bindInt8MatMul(s *site) (func() error, error) {
	w, _ := s.node.Attrs.Get("weights")
	shape := w.T.Shape()
	return s.int8Product(matMulShape(elements(s.inShape(0))/shape[1], shape), tensor.Data[int8](w.T)), nil
}

// int8Product prepares a convolution or a product with constant weights.
func (s *site) int8Product(shape kernel.ConvShape, w []int8) func() error {
	at := s.node.Attrs
	bounds := at.Floats("bounds")
	o := kernel.Int8Output{Mul: at.Floats("mul"), Add: at.Floats("add"), Lo: bounds[0], Hi: bounds[1],
		Real: s.node.Out[0].Type.DType == tensor.Float32, Zero: uint8(at.Int("result", 0))}
	if at.Has("sum") {
		sum := sumOf(at)
		o.Sum = &sum
	}
	c := kernel.NewInt8Conv(s.pool, shape, uint8(at.Int("zero", 0)), w, o)
	memory := s.scratch(c.Workspace())
	return func() error {
		var other, y []uint8
		var reals []float32
		if s.hasIn(1) {
			other = s.in[1].Raw()
		}
		if o.Real {
			reals = s.out[0].Float32s()
		} else {
			y = s.out[0].Raw()
		}
		c.Run(s.in[0].Raw(), other, y, reals, memory.raw)
		return nil
	}
}

func bindInt8Add(s *site) (func() error, error) {
	sum, zero := sumOf(s.node.Attrs), uint8(s.node.Attrs.Int("zero", 0))
	return func() error {
		kernel.Int8Add(s.pool, s.out[0].Raw(), s.in[0].Raw(), s.in[1].Raw(), zero, &sum)
		return nil
	}, nil
}

func bindInt8MaxPool(s *site) (func() error, error) {
	shape, ok := flatPoolOf(s.node, channelsSecond(s.inShape(0)))
	if !ok {
		return nil, s.unsupported("shape", s.inShape(0))
	}
	m := kernel.NewInt8MaxPool(s.pool, shape)
	memory := s.scratch(m.Workspace())
	return func() error {
		m.Run(s.in[0].Raw(), s.out[0].Raw(), memory.raw)
		return nil
	}, nil
}

func bindInt8Mean(s *site) (func() error, error) {
	x := s.inShape(0)
	scale, zero := float32(s.node.Attrs.Float("scale", 1)), uint8(s.node.Attrs.Int("zero", 0))
	last := len(x) - 1
	return func() error {
		kernel.Int8Mean(s.out[0].Float32s(), s.in[0].Raw(), x[0], elements(x[1:last]), x[last], scale, zero)
		return nil
	}, nil
}

func bindInt8Flip(s *site) (func() error, error) {
	return func() error {
		kernel.Int8Flip(s.pool, s.out[0].Raw(), s.in[0].Raw())
		return nil
	}, nil
}

func bindInt8Flag(s *site) (func() error, error) {
	no, yes := uint8(s.node.Attrs.Int("no", 0)), uint8(s.node.Attrs.Int("yes", 0))
	var table [256]uint8
	for i := range table {
		table[i] = yes
	}
	table[0] = no
	return s.parallel(elements(s.outShape(0)), elementGrain, func(_, lo, hi int) {
		y := s.out[0].Raw()[lo:hi]
		for i, v := range s.in[0].Raw()[lo:hi] {
			y[i] = table[v]
		}
	}), nil
}
