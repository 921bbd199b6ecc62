package engine

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

func shapeKernels() map[string]prepare {
	return map[string]prepare{
		"Shape": prepareShape, "Size": prepareSize, "Constant": prepareConstant,
		"ConstantOfShape": movement(prepareConstantOfShape), "EyeLike": prepareEyeLike, "Range": rangeKernel(),
	}
}

// prepareShape needs the input's type only.
func prepareShape(s *site) (func() error, error) {
	shape := s.inShape(0)
	rank := len(shape)
	from := min(max(axisOf(s.node.Attrs.Int("start", 0), rank), 0), rank)
	to := min(max(axisOf(s.node.Attrs.Int("end", rank), rank), from), rank)
	return func() error {
		y := tensor.Data[int64](*s.out[0])
		for i, d := range shape[from:to] {
			y[i] = int64(d)
		}
		return nil
	}, nil
}

func prepareSize(s *site) (func() error, error) {
	n := int64(elements(s.inShape(0)))
	return func() error {
		tensor.Data[int64](*s.out[0])[0] = n
		return nil
	}, nil
}

func prepareConstant(s *site) (func() error, error) {
	t, err := graph.ConstantData(s.node)
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	return func() error {
		copy(s.out[0].Raw(), t.Raw())
		copy(s.out[0].Strings(), t.Strings())
		return nil
	}, nil
}

func prepareConstantOfShape(s *site) (func() error, error) {
	value := tensor.New(tensor.Float32, 1)
	if a, ok := s.node.Attrs.Get("value"); ok {
		value = a.T
	}
	if wide := s.node.Out[0].Type.DType; wide != value.DType() { // 4-bit elements, widened
		value, _ = value.Convert(wide)
	}
	n := elements(s.outShape(0))
	border, err := s.newGather([]int{n}, 0, 0, []int{1}, []int{0})
	if err != nil {
		return nil, err
	}
	return func() error {
		border.copy(0, n, *s.out[0], value)
		return nil
	}, nil
}

func prepareEyeLike(s *site) (func() error, error) {
	shape, k := s.outShape(0), s.node.Attrs.Int("k", 0)
	return func() error {
		clear(s.out[0].Raw())
		for r := range shape[0] {
			if c := r + k; c >= 0 && c < shape[1] {
				s.out[0].Set(r*shape[1]+c, 1)
			}
		}
		return nil
	}, nil
}

func rangeKernel() prepare {
	return variants{
		tensor.Float32: bindRange[float32], tensor.Float64: bindRange[float64],
		tensor.Int16: bindRange[int16], tensor.Int32: bindRange[int32], tensor.Int64: bindRange[int64],
	}.by(0)
}

func bindRange[T number](s *site) (func() error, error) {
	return func() error {
		start, delta := tensor.Data[T](*s.in[0])[0], tensor.Data[T](*s.in[2])[0]
		y := tensor.Data[T](*s.out[0])
		for i := range y {
			y[i] = start + T(i)*delta
		}
		return nil
	}, nil
}
