package engine

import (
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// trainingKernels are the program's own operators, which gradients and
// quantisation-aware training are made of.
func trainingKernels() map[string]prepare {
	return map[string]prepare{
		"compactify.ReluGrad":                variants{tensor.Float32: bindReluGrad[float32], tensor.Float64: bindReluGrad[float64]}.by(0),
		"compactify.FakeQuantize":            variants{tensor.Float32: bindFakeQuantize[float32], tensor.Float64: bindFakeQuantize[float64]}.by(0),
		"compactify.FakeQuantizeGrad":        variants{tensor.Float32: bindFakeQuantizeGrad[float32], tensor.Float64: bindFakeQuantizeGrad[float64]}.by(0),
		"compactify.SoftmaxCrossEntropy":     variants{tensor.Float32: bindCrossEntropy[float32], tensor.Float64: bindCrossEntropy[float64]}.by(0),
		"compactify.SoftmaxCrossEntropyGrad": variants{tensor.Float32: bindCrossEntropyGrad[float32], tensor.Float64: bindCrossEntropyGrad[float64]}.by(0),
	}
}

func bindReluGrad[T kernel.Float](s *site) (func() error, error) {
	return func() error {
		kernel.ReluGrad(s.pool, tensor.Data[T](*s.out[0]), tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]))
		return nil
	}, nil
}

// gridRows sees an operand as rows that share a step; the steps repeat with the
// rows.
func (s *site) gridRows(x, scale int) (cols int) {
	shape := s.inShape(x)
	if elements(s.inShape(scale)) == 1 {
		return max(1, elements(shape))
	}
	return max(1, elements(shape[axisOf(s.node.Attrs.Int("axis", 1), len(shape))+1:]))
}

// bindFakeQuantize rounds to the grid of one scale, or of one per entry of the
// axis. A zero point and wide grids are handled by the lowering.
func bindFakeQuantize[T float](s *site) (func() error, error) {
	lo, hi := graph.FakeQuantizeRange(s.node)
	cols := s.gridRows(0, 1)
	return func() error {
		kernel.FakeQuantize(s.pool, tensor.Data[T](*s.out[0]), tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), cols, T(lo), T(hi))
		return nil
	}, nil
}

func bindFakeQuantizeGrad[T float](s *site) (func() error, error) {
	lo, hi := graph.FakeQuantizeRange(s.node)
	cols := s.gridRows(1, 2)
	unwanted := s.scratch(0)
	if !s.hasOut(1) {
		unwanted = s.scratch(elementBytes[T]() * elements(s.inShape(2)))
	}
	return func() error {
		dscale := scratchOf[T](unwanted)
		if s.hasOut(1) {
			dscale = tensor.Data[T](*s.out[1])
		}
		kernel.FakeQuantizeGrad(s.pool, tensor.Data[T](*s.out[0]), dscale, tensor.Data[T](*s.in[0]),
			tensor.Data[T](*s.in[1]), tensor.Data[T](*s.in[2]), cols, T(lo), T(hi))
		return nil
	}, nil
}

// exponentials computes e^(z − max z) of rows [lo, hi) of a matrix into the same
// rows of e.
func exponentials[T float](s *site, e, z []T, cols, lo, hi int) {
	for r := lo; r < hi; r++ {
		row := z[r*cols:][:cols]
		top := row[0]
		for _, v := range row {
			top = max(top, v)
		}
		for k, v := range row {
			e[r*cols+k] = v - top
		}
	}
	kernel.Exp(s.pool, e[lo*cols:hi*cols], e[lo*cols:hi*cols])
}

// bindCrossEntropy is −(1/N)·Σ target·logsoftmax(logits). A row's sums, and the
// rows' losses in order, are added in float64.
func bindCrossEntropy[T float](s *site) (func() error, error) {
	rows, cols := s.inShape(0)[0], s.inShape(0)[1]
	memory, exps := s.scratch(8*rows), s.scratch(elementBytes[T]()*rows*cols)
	body := func(_, from, to int) {
		z, t, e := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), scratchOf[T](exps)
		losses := scratchOf[float64](memory)
		exponentials(s, e, z, cols, from, to)
		for r := from; r < to; r++ {
			losses[r] = crossEntropy(z[r*cols:][:cols], t[r*cols:][:cols], e[r*cols:][:cols])
		}
	}
	return func() error {
		if err := s.pool.For(rows, 64, body); err != nil {
			return err
		}
		sum := 0.0
		for _, loss := range scratchOf[float64](memory)[:rows] {
			sum += loss
		}
		tensor.Data[T](*s.out[0])[0] = T(sum / float64(max(1, rows)))
		return nil
	}, nil
}

// crossEntropy is the loss of one row, e being its exponentials.
func crossEntropy[T float](z, target, e []T) float64 {
	top := z[0]
	for _, v := range z {
		top = max(top, v)
	}
	sum, dot, mass := 0.0, 0.0, 0.0
	for k, v := range z {
		sum += float64(e[k])
		dot += float64(target[k]) * float64(v-top)
		mass += float64(target[k])
	}
	return mass*math.Log(sum) - dot
}

// bindCrossEntropyGrad is dloss/N·(softmax·Σtarget − target).
func bindCrossEntropyGrad[T float](s *site) (func() error, error) {
	rows, cols := s.inShape(0)[0], s.inShape(0)[1]
	return s.parallel(rows, 64, func(_, from, to int) {
		z, t, dz := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), tensor.Data[T](*s.out[0])
		factor := float64(tensor.Data[T](*s.in[2])[0]) / float64(max(1, rows))
		exponentials(s, dz, z, cols, from, to)
		for r := from; r < to; r++ {
			crossEntropyGrad(dz[r*cols:][:cols], t[r*cols:][:cols], factor)
		}
	}), nil
}

// crossEntropyGrad turns the exponentials of one row into its gradient.
func crossEntropyGrad[T float](dz, target []T, factor float64) {
	sum, mass := 0.0, 0.0
	for k, e := range dz {
		sum += float64(e)
		mass += float64(target[k])
	}
	scale := factor * mass / sum
	for k, e := range dz {
		dz[k] = T(scale*float64(e) - factor*float64(target[k]))
	}
}
