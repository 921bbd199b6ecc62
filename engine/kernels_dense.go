package engine

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func denseKernels() map[string]prepare {
	return map[string]prepare{lastKind(dense): bindDense}
}

// bindDense packs the right operand, which is constant, and the bias with it.
func bindDense(s *site) (func() error, error) {
	p, ok := denseShape(s.node)
	w, known := s.constant(1)
	if !ok || !known {
		return nil, s.errorf("right operand: want one known matrix")
	}
	if err := reserve(4 * kernel.DenseWeights(p.n, p.k)); err != nil {
		return nil, s.errorf("packed weights: %w", err)
	}
	var bias []float32
	if b, ok := s.constant(2); ok {
		bias = tensor.Data[float32](b)
	}
	at := s.node.Attrs
	d := kernel.NewDense(s.pool, p.m, p.n, p.k, tensor.Data[float32](w), at.Int("transB", 0) != 0, bias,
		float32(at.Float("low", math.Inf(-1))), float32(at.Float("high", math.Inf(1))))
	return func() error {
		var residual []float32
		if s.hasIn(3) {
			residual = tensor.Data[float32](*s.in[3])
		}
		return d.Run(tensor.Data[float32](*s.in[0]), residual, tensor.Data[float32](*s.out[0]))
	}, nil
}
