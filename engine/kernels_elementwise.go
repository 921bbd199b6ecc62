package engine

import (
	"math"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// elementGrain is the least number of elements worth a thread of their own in a
// loop of few operations.
const elementGrain = 1 << 13

func elementwiseKernels() map[string]prepare {
	k := map[string]prepare{"Pow": preparePow(), "Mod": modKernel(), "Where": movement(prepareWhere)}
	for _, op := range []string{"Add", "Sub", "Mul", "Div", "Max", "Min"} {
		k[op] = arithmeticKernel(op)
	}
	for _, op := range []string{"Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"} {
		k[op] = compareKernel(op)
	}
	for _, op := range []string{"And", "Or", "Xor"} {
		k[op] = prepareLogic(op)
	}
	for _, op := range []string{"BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitShift"} {
		k[op] = bitsKernel(op)
	}
	return k
}

// loops is a binary operator as loops over slices of equal length. Results may
// overwrite an operand.
type loops[T, R any] struct {
	vv func(z []R, x, y []T)
	vs func(z []R, x []T, y T)
	sv func(z []R, x T, y []T)
}

// loopsOf makes loops of a function of two elements, called for each.
func loopsOf[T, R any](f func(x, y T) R) loops[T, R] {
	return loops[T, R]{
		vv: func(z []R, x, y []T) {
			for i := range z {
				z[i] = f(x[i], y[i])
			}
		},
		vs: func(z []R, x []T, y T) {
			for i := range z {
				z[i] = f(x[i], y)
			}
		},
		sv: func(z []R, x T, y []T) {
			for i := range z {
				z[i] = f(x, y[i])
			}
		},
	}
}

// bindBinary runs loops over two broadcast operands.
func bindBinary[T, R tensor.Element](s *site, f loops[T, R]) (func() error, error) {
	out := s.outShape(0)
	n, err := newNest(out, broadcastStrides(s.inShape(0), out), broadcastStrides(s.inShape(1), out))
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	xStep, yStep := n.step(0), n.step(1)
	return s.parallel(n.size, elementGrain, func(_, lo, hi int) {
		x, y, z := tensor.Data[T](*s.in[0]), tensor.Data[T](*s.in[1]), tensor.Data[R](*s.out[0])
		for w := n.from(lo, hi); w.next(); {
			z, xs, ys := z[w.pos:][:w.len], x[w.off[0]:], y[w.off[1]:]
			switch {
			case yStep == 0:
				f.vs(z, cut(xs, xStep, w.len), ys[0])
			case xStep == 0:
				f.sv(z, xs[0], ys[:w.len])
			default:
				f.vv(z, xs[:w.len], ys[:w.len])
			}
		}
	}), nil
}

// cut is the stretch of an operand in the inner loop: n elements, or for two
// repeated operands the one that there is.
func cut[T any](x []T, step, n int) []T {
	if step == 0 {
		return x[:1]
	}
	return x[:n]
}

func bindArithmetic[T integer](op string) prepare {
	return func(s *site) (func() error, error) {
		run, err := bindBinary(s, arithmeticLoops[T](op))
		if op != "Div" || err != nil {
			return run, err
		}
		return divisible[T](s, run), nil
	}
}

// divisible checks before an integer division that no divisor is 0.
func divisible[T integer](s *site, run func() error) func() error {
	return func() error {
		if i := slices.Index(tensor.Data[T](*s.in[1]), 0); i >= 0 {
			return s.errorf("input 1: element %d: got 0, want another divisor", i)
		}
		return run()
	}
}

func arithmeticKernel(op string) prepare {
	return variants{
		tensor.Float32: bindFloatArithmetic[float32](op), tensor.Float64: bindFloatArithmetic[float64](op),
		tensor.Int8: bindArithmetic[int8](op), tensor.Uint8: bindArithmetic[uint8](op),
		tensor.Int16: bindArithmetic[int16](op), tensor.Uint16: bindArithmetic[uint16](op),
		tensor.Int32: bindArithmetic[int32](op), tensor.Uint32: bindArithmetic[uint32](op),
		tensor.Int64: bindArithmetic[int64](op), tensor.Uint64: bindArithmetic[uint64](op),
	}.by(0)
}

// arithmeticLoops has the loops of the commonest operators written out, which
// the compiler turns into straight code; the rest call a function.
func arithmeticLoops[T number](op string) loops[T, T] {
	switch op {
	case "Add":
		return addLoops[T]()
	case "Sub":
		return subLoops[T]()
	case "Mul":
		return mulLoops[T]()
	case "Div":
		return divLoops[T]()
	case "Max":
		return loopsOf(func(x, y T) T { return max(x, y) })
	}
	return loopsOf(func(x, y T) T { return min(x, y) })
}

func addLoops[T number]() loops[T, T] {
	vs := func(z, x []T, y T) {
		x = x[:len(z)]
		for i := range z {
			z[i] = x[i] + y
		}
	}
	return loops[T, T]{vs: vs,
		sv: func(z []T, x T, y []T) { vs(z, y, x) },
		vv: func(z, x, y []T) {
			x, y = x[:len(z)], y[:len(z)]
			for i := range z {
				z[i] = x[i] + y[i]
			}
		}}
}

func subLoops[T number]() loops[T, T] {
	return loops[T, T]{
		vs: func(z, x []T, y T) {
			x = x[:len(z)]
			for i := range z {
				z[i] = x[i] - y
			}
		},
		sv: func(z []T, x T, y []T) {
			y = y[:len(z)]
			for i := range z {
				z[i] = x - y[i]
			}
		},
		vv: func(z, x, y []T) {
			x, y = x[:len(z)], y[:len(z)]
			for i := range z {
				z[i] = x[i] - y[i]
			}
		}}
}

func mulLoops[T number]() loops[T, T] {
	vs := func(z, x []T, y T) {
		x = x[:len(z)]
		for i := range z {
			z[i] = x[i] * y
		}
	}
	return loops[T, T]{vs: vs,
		sv: func(z []T, x T, y []T) { vs(z, y, x) },
		vv: func(z, x, y []T) {
			x, y = x[:len(z)], y[:len(z)]
			for i := range z {
				z[i] = x[i] * y[i]
			}
		}}
}

// divLoops: integers are truncated, as ONNX says; division by an integer zero
// is an error of the run.
func divLoops[T number]() loops[T, T] {
	return loops[T, T]{
		vs: func(z, x []T, y T) {
			x = x[:len(z)]
			for i := range z {
				z[i] = x[i] / y
			}
		},
		sv: func(z []T, x T, y []T) {
			y = y[:len(z)]
			for i := range z {
				z[i] = x / y[i]
			}
		},
		vv: func(z, x, y []T) {
			x, y = x[:len(z)], y[:len(z)]
			for i := range z {
				z[i] = x[i] / y[i]
			}
		}}
}

// prepareLogic sees Booleans as bytes, of which a file may hold any: all but 0
// are true.
func prepareLogic(op string) prepare {
	f := map[string]func(x, y bool) bool{
		"And":   func(x, y bool) bool { return x && y },
		"Or":    func(x, y bool) bool { return x || y },
		"Xor":   func(x, y bool) bool { return x != y },
		"Equal": func(x, y bool) bool { return x == y },
	}[op]
	return func(s *site) (func() error, error) {
		return bindBinary(s, loopsOf(func(x, y uint8) bool { return f(x != 0, y != 0) }))
	}
}

func bindBits[T integer](op string) prepare {
	return func(s *site) (func() error, error) {
		f := func(x, y T) T { return x & y }
		switch {
		case op == "BitwiseOr":
			f = func(x, y T) T { return x | y }
		case op == "BitwiseXor":
			f = func(x, y T) T { return x ^ y }
		case op == "BitShift" && s.node.Attrs.Text("direction", "") == "LEFT":
			f = func(x, y T) T { return x << y }
		case op == "BitShift":
			f = func(x, y T) T { return x >> y }
		}
		return bindBinary(s, loopsOf(f))
	}
}

func bitsKernel(op string) prepare {
	return variants{
		tensor.Int8: bindBits[int8](op), tensor.Uint8: bindBits[uint8](op),
		tensor.Int16: bindBits[int16](op), tensor.Uint16: bindBits[uint16](op),
		tensor.Int32: bindBits[int32](op), tensor.Uint32: bindBits[uint32](op),
		tensor.Int64: bindBits[int64](op), tensor.Uint64: bindBits[uint64](op),
	}.by(0)
}

func modKernel() prepare {
	return variants{
		tensor.Float32: bindFloatMod[float32], tensor.Float64: bindFloatMod[float64],
		tensor.Int8: bindMod[int8], tensor.Uint8: bindMod[uint8], tensor.Int16: bindMod[int16], tensor.Uint16: bindMod[uint16],
		tensor.Int32: bindMod[int32], tensor.Uint32: bindMod[uint32], tensor.Int64: bindMod[int64], tensor.Uint64: bindMod[uint64],
	}.by(0)
}

// bindMod: the remainder has the divisor's sign, or with fmod the dividend's.
func bindMod[T integer](s *site) (func() error, error) {
	remainder := func(x, y T) T { return x % y }
	if s.node.Attrs.Int("fmod", 0) == 0 {
		remainder = func(x, y T) T {
			r := x % y
			if r != 0 && (r < 0) != (y < 0) {
				r += y
			}
			return r
		}
	}
	run, err := bindBinary(s, loopsOf(remainder))
	return divisible[T](s, run), err
}

func bindFloatMod[T float](s *site) (func() error, error) {
	if s.node.Attrs.Int("fmod", 0) != 0 {
		return bindBinary(s, loopsOf(func(x, y T) T { return T(math.Mod(float64(x), float64(y))) }))
	}
	return bindBinary(s, loopsOf(func(x, y T) T {
		r := math.Mod(float64(x), float64(y))
		if r != 0 && (r < 0) != (y < 0) {
			r += float64(y)
		}
		return T(r)
	}))
}

func preparePow() prepare {
	return variants{
		tensor.Float32: bindPow(powFloat[float32]), tensor.Float64: bindPow(powFloat[float64]),
		tensor.Int8: bindPow(powInteger[int8]), tensor.Uint8: bindPow(powInteger[uint8]),
		tensor.Int16: bindPow(powInteger[int16]), tensor.Uint16: bindPow(powInteger[uint16]),
		tensor.Int32: bindPow(powInteger[int32]), tensor.Uint32: bindPow(powInteger[uint32]),
		tensor.Int64: bindPow(powInteger[int64]), tensor.Uint64: bindPow(powInteger[uint64]),
	}.by(0)
}

// bindPow lets the exponent have a type of its own: it is read as float64.
func bindPow[T number](pow func(x T, y float64) T) prepare {
	return func(s *site) (func() error, error) {
		out := s.outShape(0)
		n, err := newNest(out, broadcastStrides(s.inShape(0), out), broadcastStrides(s.inShape(1), out))
		if err != nil {
			return nil, s.errorf("%w", err)
		}
		return s.parallel(n.size, elementGrain/8, func(_, lo, hi int) {
			x, y, z := tensor.Data[T](*s.in[0]), *s.in[1], tensor.Data[T](*s.out[0])
			for w := n.from(lo, hi); w.next(); {
				exponent, repeated := y.At(w.off[1]), n.step(1) == 0
				for i := range w.len {
					if !repeated {
						exponent = y.At(w.off[1] + i)
					}
					z[w.pos+i] = pow(x[w.off[0]+i*n.step(0)], exponent)
				}
			}
		}), nil
	}
}

func powFloat[T float](x T, y float64) T {
	switch y {
	case 1:
		return x
	case 2:
		return x * x
	case 0.5:
		return T(math.Sqrt(float64(x)))
	}
	return T(math.Pow(float64(x), y))
}

// powInteger multiplies by repeated squaring, modulo the type's range, where
// the exponent is a whole number.
func powInteger[T integer](x T, y float64) T {
	if y < 0 || y != math.Trunc(y) || y >= 1<<63 {
		return T(math.Pow(float64(x), y))
	}
	z := T(1)
	for n := uint64(y); n > 0; n >>= 1 {
		if n&1 == 1 {
			z *= x
		}
		x *= x
	}
	return z
}

// prepareWhere moves elements of one of two operands.
func prepareWhere(s *site) (func() error, error) {
	out := s.outShape(0)
	n, err := newNest(out, broadcastStrides(s.inShape(0), out), broadcastStrides(s.inShape(1), out),
		broadcastStrides(s.inShape(2), out))
	if err != nil {
		return nil, s.errorf("%w", err)
	}
	return s.parallel(n.size, elementGrain, func(_, lo, hi int) {
		cond, x, y, z := s.in[0].Raw(), *s.in[1], *s.in[2], *s.out[0]
		switch z.DType().Bits() {
		case 8:
			choose(n, lo, hi, cond, x.Raw(), y.Raw(), z.Raw())
		case 16:
			choose(n, lo, hi, cond, tensor.Data[uint16](x), tensor.Data[uint16](y), tensor.Data[uint16](z))
		case 32:
			choose(n, lo, hi, cond, tensor.Data[uint32](x), tensor.Data[uint32](y), tensor.Data[uint32](z))
		case 64:
			choose(n, lo, hi, cond, tensor.Data[uint64](x), tensor.Data[uint64](y), tensor.Data[uint64](z))
		case 128:
			choose(n, lo, hi, cond, tensor.Data[complex128](x), tensor.Data[complex128](y), tensor.Data[complex128](z))
		default:
			choose(n, lo, hi, cond, x.Strings(), y.Strings(), z.Strings())
		}
	}), nil
}

func choose[T any](n *nest, lo, hi int, cond []byte, x, y, z []T) {
	for w := n.from(lo, hi); w.next(); {
		for i := range w.len {
			if cond[w.off[0]+i*n.step(0)] != 0 {
				z[w.pos+i] = x[w.off[1]+i*n.step(1)]
			} else {
				z[w.pos+i] = y[w.off[2]+i*n.step(2)]
			}
		}
	}
}
