package engine

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// formKernels are the operators that [compiler.compactForms] makes.
func formKernels() map[string]prepare {
	return map[string]prepare{
		lastKind(lowBitProduct): bindLowBit,
		lastKind(formProduct):   bindFormProduct,
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

// bindFormProduct multiplies by the form that the pass chose, then adds the
// residual and bounds the result.
func bindFormProduct(s *site) (func() error, error) {
	f, err := s.form()
	if err != nil {
		return nil, err
	}
	run, err := s.product(f, 2)
	if err != nil || !s.hasIn(3) && !s.node.Attrs.Has("low") {
		return run, err
	}
	low, high := float32(s.node.Attrs.Float("low", math.Inf(-1))), float32(s.node.Attrs.Float("high", math.Inf(1)))
	finish := s.parallel(elements(s.outShape(0)), elementGrain, func(_, lo, hi int) {
		y := tensor.Data[float32](*s.out[0])[lo:hi]
		if s.hasIn(3) {
			for i, r := range tensor.Data[float32](*s.in[3])[lo:hi] {
				y[i] += r
			}
		}
		for i, v := range y {
			y[i] = min(max(v, low), high)
		}
	})
	return func() error {
		if err := run(); err != nil {
			return err
		}
		return finish()
	}, nil
}

// form stores the weights in the form that the pass chose.
func (s *site) form() (kernel.Form, error) {
	t, _ := s.constant(1)
	if err := reserve(len(t.Raw())); err != nil {
		return nil, s.errorf("%w", err)
	}
	w, outputs := tensor.Data[float32](t), s.node.Attrs.Int("outputs", 0)
	a := affine{outputs: outputs, n: t.Shape()[outputs], k: t.Shape()[1-outputs]}
	sj, sp := a.strides()
	switch form := s.node.Attrs.Text("form", ""); form {
	case blockForm:
		return kernel.NewBlockSparse(a.n, a.k, w, sj, sp), nil
	case fourForm:
		f, ok := kernel.NewTwoOfFour(a.n, a.k, w, sj, sp)
		if !ok {
			return nil, s.errorf("weights: more than two of four are not zero")
		}
		return f, nil
	case rowForm:
		return kernel.NewSparseRows(a.n, a.k, w, sj, sp), nil
	case bothSigns:
		alpha := make([]float32, a.n)
		for j := range alpha {
			alpha[j] = float32(math.Abs(float64(w[j*sj])))
		}
		return kernel.NewSigns(a.n, a.k, w, sj, sp, alpha), nil
	case oneBit:
		f, err := kernel.NewLowBit(kernel.LowBitSource{N: a.n, K: a.k, Bits: 1,
			Level: func(j, p int) int { return 1 - 2*int(math.Float32bits(w[j*sj+p*sp])>>31) },
			Scale: func(j, _ int) float32 { return float32(math.Abs(float64(w[j*sj]))) }})
		if err != nil {
			return nil, s.errorf("%w", err)
		}
		return f, nil
	default:
		return nil, s.errorf("form %q: unknown", form)
	}
}

// CompactSteps is how many steps run on weights in a compact form: few-bit
// integers or few weights, not float32 matrices.
func (p *Program) CompactSteps() int {
	n := 0
	for _, st := range p.steps {
		if k := st.node.Kind(); k == lastKind(lowBitProduct) || k == lastKind(formProduct) {
			n++
		}
	}
	return n
}
