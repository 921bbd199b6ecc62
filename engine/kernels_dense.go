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
	if err := s.finishDense(d); err != nil {
		return nil, err
	}
	return func() error {
		var residual []float32
		if s.hasIn(3) {
			residual = tensor.Data[float32](*s.in[3])
		}
		return d.Run(tensor.Data[float32](*s.in[0]), residual, tensor.Data[float32](*s.out[0]))
	}, nil
}

// finishDense binds the operations that finished stretches of rows go through:
// values are the stretch, the numbers repeated, and each operation's result, of
// which the last is the stretch again.
func (s *site) finishDense(d *kernel.Dense) error {
	if !s.node.Attrs.Has("ops") {
		return nil
	}
	code, inputs := chainCodeOf(s.node), 1+len(s.in)-denseNumbers
	links := make([]kernel.Link, len(code.ops))
	for i, op := range code.ops {
		links[i] = kernel.Link{Op: op, Dst: inputs + i, X: code.args[2*i], Y: code.args[2*i+1], Factor: float64(code.factors[i])}
	}
	links[len(links)-1].Dst = 0
	chain, err := kernel.NewChain[float32](links)
	if err != nil {
		return s.errorf("%w", err)
	}
	const stretch = kernel.DenseStretch
	rows := inputs - 1 + len(links) - 1
	memory := s.scratch(4 * stretch * rows * s.pool.Threads())
	values := make([][][]float32, s.pool.Threads())
	for w := range values {
		values[w] = make([][]float32, 1+rows)
	}
	d.Then(func(worker int, y []float32) {
		v, own := values[worker], scratchOf[float32](memory)[worker*rows*stretch:]
		v[0] = y
		for i := range rows {
			v[1+i] = own[i*stretch:][:len(y)]
		}
		for i := 1; i < inputs; i++ {
			fill(v[i], tensor.Data[float32](*s.in[denseNumbers+i-1])[0])
		}
		chain.Run(s.pool.Set(), v)
	})
	return nil
}
