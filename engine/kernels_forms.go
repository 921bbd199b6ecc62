package engine

import (
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// formKernels are the operators that [compiler.compactForms] makes.
func formKernels() map[string]prepare {
	return map[string]prepare{
		graph.DomainInternal + "." + lowBitProduct: bindLowBit,
		graph.DomainInternal + "." + formProduct:   bindFormProduct,
		graph.DomainInternal + "." + formConv:      bindFormConv,
	}
}

// bindLowBit packs the integers anew for the kernel: x·Wᵀ + bias.
func bindLowBit(s *site) (func() error, error) {
	q, _ := s.constant(1)
	scale, _ := s.constant(2)
	if err := reserve(len(q.Raw()) + scale.Len()*8); err != nil {
		return nil, s.errorf("%w", err)
	}
	w, err := kernel.NewLowBit(s.lowBitSource(q, scale))
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	return s.product(w, 4)
}

// lowBitSource reads levels, scales and zero points by output channel.
func (s *site) lowBitSource(q, scale tensor.Tensor) kernel.LowBitSource {
	outputs := s.node.Attrs.Int("outputs", 0)
	shape := q.Shape()
	src := kernel.LowBitSource{N: shape[outputs], K: shape[1-outputs], Bits: q.DType().Bits(), Block: s.node.Attrs.Int("block_size", 0)}
	blocks := 1
	if src.Block > 0 {
		blocks = (src.K + src.Block - 1) / src.Block
	}
	at := func(j, b int) int {
		switch {
		case scale.Len() == 1:
			return 0
		case outputs == 0:
			return j*blocks + b
		}
		return b*src.N + j
	}
	// Unsigned levels are stored around the middle of their range.
	middle := 0
	if !q.DType().IsSigned() {
		middle = 1 << (src.Bits - 1)
	}
	src.Level = func(j, p int) int {
		if outputs == 0 {
			return int(q.At(j*src.K+p)) - middle
		}
		return int(q.At(p*src.N+j)) - middle
	}
	src.Scale = func(j, b int) float32 { return float32(scale.At(at(j, b))) }
	zero, ok := s.constant(3)
	if level := func(j, b int) float64 { // of zero
		if !ok {
			return 0
		}
		return zero.At(at(j, b))
	}; zeroOtherThan(level, middle, src.N, blocks) {
		src.Zero = func(j, b int) float32 { return float32(level(j, b) - float64(middle)) }
	}
	if src.Zero == nil && plusMinusOne(q, middle) {
		src.Bits = 1
	}
	return src
}

// zeroOtherThan reports whether some zero point is not in the middle.
func zeroOtherThan(zero func(j, b int) float64, middle, n, blocks int) bool {
	for j := range n {
		for b := range blocks {
			if zero(j, b) != float64(middle) {
				return true
			}
		}
	}
	return false
}

// plusMinusOne reports whether one bit holds each level.
func plusMinusOne(q tensor.Tensor, middle int) bool {
	for i := range q.Len() {
		if v := q.At(i) - float64(middle); v != 1 && v != -1 {
			return false
		}
	}
	return true
}

// product binds a form to x, input 0, and a bias if the node has that input.
func (s *site) product(f kernel.Form, bias int) (func() error, error) {
	n := s.outShape(0)
	run := f.Product(s.pool, elements(n)/n[len(n)-1])
	return func() error {
		var b []float32
		if s.hasIn(bias) {
			b = tensor.Data[float32](*s.in[bias])
		}
		run(tensor.Data[float32](*s.in[0]), b, tensor.Data[float32](*s.out[0]))
		return nil
	}, nil
}

// bindFormProduct stores the weights in the form that the pass chose.
func bindFormProduct(s *site) (func() error, error) {
	t, _ := s.constant(1)
	if err := reserve(len(t.Raw())); err != nil {
		return nil, s.errorf("%w", err)
	}
	w, outputs := tensor.Data[float32](t), s.node.Attrs.Int("outputs", 0)
	a := affine{outputs: outputs, n: t.Shape()[outputs], k: t.Shape()[1-outputs]}
	sj, sp := a.strides()
	switch form := s.node.Attrs.Text("form", ""); form {
	case blockForm:
		return s.product(kernel.NewBlockSparse(a.n, a.k, w, sj, sp), 2)
	case fourForm:
		f, ok := kernel.NewTwoOfFour(a.n, a.k, w, sj, sp)
		if !ok {
			return nil, s.errorf("weights: more than two of four are not zero")
		}
		return s.product(f, 2)
	case rowForm:
		return s.product(kernel.NewSparseRows(a.n, a.k, w, sj, sp), 2)
	case bothSigns:
		alpha := make([]float32, a.n)
		for j := range alpha {
			alpha[j] = float32(math.Abs(float64(w[j*sj])))
		}
		return s.product(kernel.NewSigns(a.n, a.k, w, sj, sp, alpha), 2)
	case oneBit:
		f, err := kernel.NewLowBit(kernel.LowBitSource{N: a.n, K: a.k, Bits: 1,
			Level: func(j, p int) int { return 1 - 2*int(math.Float32bits(w[j*sj+p*sp])>>31) },
			Scale: func(j, _ int) float32 { return float32(math.Abs(float64(w[j*sj]))) }})
		if err != nil {
			return nil, s.errorf("%w", err)
		}
		return s.product(f, 2)
	default:
		return nil, s.errorf("form %q: unknown", form)
	}
}

// bindFormConv multiplies the sparse matrix of a convolution of kernel 1 with the
// channels [c, pixels] of each image.
func bindFormConv(s *site) (func() error, error) {
	t, _ := s.constant(1)
	x, out := s.inShape(0), s.outShape(0)
	n, k, pixels := t.Shape()[0], t.Shape()[1], x[2]*x[3]
	run := kernel.NewSparseRows(n, k, tensor.Data[float32](t), k, 1).Columns(s.pool, pixels)
	return func() error {
		var bias []float32
		if s.hasIn(2) {
			bias = tensor.Data[float32](*s.in[2])
		}
		from, to := tensor.Data[float32](*s.in[0]), tensor.Data[float32](*s.out[0])
		for i := range out[0] {
			run(from[i*k*pixels:][:k*pixels], bias, to[i*n*pixels:][:n*pixels])
		}
		return nil
	}, nil
}
