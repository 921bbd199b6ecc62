package engine

import "github.com/compactify/compactify/tensor"

func bindCompare[T number](op string) prepare {
	return func(s *site) (func() error, error) { return bindBinary(s, compareLoops[T](op)) }
}

// compareKernel compares numbers, and for Equal also Booleans and strings.
func compareKernel(op string) prepare {
	numbers := variants{
		tensor.Float32: bindCompare[float32](op), tensor.Float64: bindCompare[float64](op),
		tensor.Int8: bindCompare[int8](op), tensor.Uint8: bindCompare[uint8](op),
		tensor.Int16: bindCompare[int16](op), tensor.Uint16: bindCompare[uint16](op),
		tensor.Int32: bindCompare[int32](op), tensor.Uint32: bindCompare[uint32](op),
		tensor.Int64: bindCompare[int64](op), tensor.Uint64: bindCompare[uint64](op),
	}.by(0)
	if op != "Equal" {
		return numbers
	}
	truth := prepareLogic("Equal")
	return func(s *site) (func() error, error) {
		switch s.inDType(0) {
		case tensor.Bool:
			return truth(s)
		case tensor.String:
			return prepareEqualStrings(s)
		}
		return numbers(s)
	}
}

// compareLoops are written out: a call for each element would take longer than
// the comparison.
func compareLoops[T number](op string) loops[T, bool] {
	switch op {
	case "Equal":
		return equalLoops[T]()
	case "Less":
		return lessLoops[T]()
	case "LessOrEqual":
		return atMostLoops[T]()
	case "Greater":
		return lessLoops[T]().swapped()
	}
	return atMostLoops[T]().swapped()
}

// swapped is the operator with its operands the other way round.
func (l loops[T, R]) swapped() loops[T, R] {
	return loops[T, R]{
		vv: func(z []R, x, y []T) { l.vv(z, y, x) },
		vs: func(z []R, x []T, y T) { l.sv(z, y, x) },
		sv: func(z []R, x T, y []T) { l.vs(z, y, x) },
	}
}

func equalLoops[T number]() loops[T, bool] {
	vs := func(z []bool, x []T, y T) {
		x = x[:len(z)]
		for i := range z {
			z[i] = x[i] == y
		}
	}
	return loops[T, bool]{vs: vs,
		sv: func(z []bool, x T, y []T) { vs(z, y, x) },
		vv: func(z []bool, x, y []T) {
			x, y = x[:len(z)], y[:len(z)]
			for i := range z {
				z[i] = x[i] == y[i]
			}
		}}
}

func lessLoops[T number]() loops[T, bool] {
	return loops[T, bool]{
		vs: func(z []bool, x []T, y T) {
			x = x[:len(z)]
			for i := range z {
				z[i] = x[i] < y
			}
		},
		sv: func(z []bool, x T, y []T) {
			y = y[:len(z)]
			for i := range z {
				z[i] = x < y[i]
			}
		},
		vv: func(z []bool, x, y []T) {
			x, y = x[:len(z)], y[:len(z)]
			for i := range z {
				z[i] = x[i] < y[i]
			}
		}}
}

func atMostLoops[T number]() loops[T, bool] {
	return loops[T, bool]{
		vs: func(z []bool, x []T, y T) {
			x = x[:len(z)]
			for i := range z {
				z[i] = x[i] <= y
			}
		},
		sv: func(z []bool, x T, y []T) {
			y = y[:len(z)]
			for i := range z {
				z[i] = x <= y[i]
			}
		},
		vv: func(z []bool, x, y []T) {
			x, y = x[:len(z)], y[:len(z)]
			for i := range z {
				z[i] = x[i] <= y[i]
			}
		}}
}

func prepareEqualStrings(s *site) (func() error, error) {
	out := s.outShape(0)
	n, err := newNest(out, broadcastStrides(s.inShape(0), out), broadcastStrides(s.inShape(1), out))
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	return func() error {
		x, y, z := s.in[0].Strings(), s.in[1].Strings(), tensor.Data[bool](*s.out[0])
		for w := n.from(0, n.size); w.next(); {
			for i := range w.len {
				z[w.pos+i] = x[w.off[0]+i*n.step(0)] == y[w.off[1]+i*n.step(1)]
			}
		}
		return nil
	}, nil
}
