package engine

import "github.com/compactify/compactify/tensor"

func elementwiseKernels() map[string]prepare {
	return map[string]prepare{"Add": prepareAdd}
}

func prepareAdd(s *site) (func() error, error) {
	if s.inDType(0) != tensor.Float32 {
		return nil, s.unsupported("number type", s.inDType(0))
	}
	return s.parallel(elements(s.outShape(0)), 4096, func(_, lo, hi int) {
		x, y, z := tensor.Data[float32](*s.in[0]), tensor.Data[float32](*s.in[1]), tensor.Data[float32](*s.out[0])
		for i := lo; i < hi; i++ {
			z[i] = x[i] + y[i]
		}
	}), nil
}
