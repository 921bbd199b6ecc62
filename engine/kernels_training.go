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

// bindFakeQuantize rounds to the grid of one scale, or of one per entry of the
// axis. A zero point is handled by the lowering.
func bindFakeQuantize[T float](s *site) (func() error, error) {
	if s.hasIn(2) {
		return nil, s.unsupported("input", "zero point")
	}
	lo, hi := graph.FakeQuantizeRange(s.node)
	shape := s.inShape(0)
	run, channels := max(1, elements(shape)), 1
	if n := elements(s.inShape(1)); n > 1 {
		axis := axisOf(s.node.Attrs.Int("axis", 1), len(shape))
		channels, run = n, elements(shape[axis+1:])
	}
	return s.parallel(elements(shape)/max(1, run), 1+1024/max(1, run), func(_, from, to int) {
		x, scale, y := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), tensor.Data[T](*s.out[0])
		for r := from; r < to; r++ {
			fakeQuantize(y[r*run:(r+1)*run], x[r*run:(r+1)*run], scale[r%channels], T(lo), T(hi))
		}
	}), nil
}

func fakeQuantize[T float](dst, x []T, scale, lo, hi T) {
	for i, v := range x {
		q := T(math.RoundToEven(float64(v / scale)))
		dst[i] = scale * max(lo, min(hi, q))
	}
}

// bindCrossEntropy is −(1/N)·Σ target·logsoftmax(logits). The rows' losses are
// added in order, in float64.
func bindCrossEntropy[T float](s *site) (func() error, error) {
	rows, cols := s.inShape(0)[0], s.inShape(0)[1]
	memory := s.scratch(8 * rows)
	body := func(_, from, to int) {
		z, t, losses := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), scratchOf[float64](memory)
		for r := from; r < to; r++ {
			losses[r] = crossEntropy(z[r*cols:(r+1)*cols], t[r*cols:(r+1)*cols])
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

func crossEntropy[T float](z, target []T) float64 {
	top := z[0]
	for _, v := range z {
		top = max(top, v)
	}
	sum, dot, mass := 0.0, 0.0, 0.0
	for k, v := range z {
		sum += math.Exp(float64(v - top))
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
		for r := from; r < to; r++ {
			crossEntropyGrad(dz[r*cols:(r+1)*cols], z[r*cols:(r+1)*cols], t[r*cols:(r+1)*cols], factor)
		}
	}), nil
}

func crossEntropyGrad[T float](dz, z, target []T, factor float64) {
	top := z[0]
	for _, v := range z {
		top = max(top, v)
	}
	sum, mass := 0.0, 0.0
	for k, v := range z {
		e := math.Exp(float64(v - top))
		dz[k] = T(e)
		sum += e
		mass += float64(target[k])
	}
	for k := range z {
		dz[k] = T(factor * (float64(dz[k])*mass/sum - float64(target[k])))
	}
}
