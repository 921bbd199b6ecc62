package engine

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func unaryKernels() map[string]prepare {
	k := map[string]prepare{
		"Relu":       reluKernel(),
		"Exp":        vectorKernel(kernel.Exp[float32], kernel.Exp[float64]),
		"Sigmoid":    vectorKernel(kernel.Sigmoid[float32], kernel.Sigmoid[float64]),
		"Tanh":       vectorKernel(kernel.Tanh[float32], kernel.Tanh[float64]),
		"Erf":        vectorKernel(kernel.Erf[float32], kernel.Erf[float64]),
		"Log":        vectorKernel(kernel.Log[float32], kernel.Log[float64]),
		"Sqrt":       vectorKernel(kernel.Sqrt[float32], kernel.Sqrt[float64]),
		"Reciprocal": vectorKernel(kernel.Reciprocal[float32], kernel.Reciprocal[float64]),
		"Gelu":       geluKernel(),
		"Not":        bindUnary(notLoop),
		"IsNaN":      variants{tensor.Float32: bindUnary(isNaNLoop[float32]), tensor.Float64: bindUnary(isNaNLoop[float64])}.by(0),
		"IsInf":      variants{tensor.Float32: prepareIsInf[float32], tensor.Float64: prepareIsInf[float64]}.by(0),
		"Clip":       clipKernel(),
		"PRelu":      preluKernel(),
		"Elu":        scaledKernel("alpha", 1, elu),
		"LeakyRelu":  variants{tensor.Float32: bindLeaky[float32], tensor.Float64: bindLeaky[float64]}.by(0),
		"BitwiseNot": bitwiseNotKernel(),
	}
	k["Selu"] = preparePair("alpha", 1.67326319217681884765625, "gamma", 1.05070102214813232421875,
		func(x, alpha, gamma float64) float64 {
			return gamma * elu(x, alpha)
		})
	k["HardSigmoid"] = preparePair("alpha", 0.2, "beta", 0.5, func(x, alpha, beta float64) float64 {
		return max(0, min(1, alpha*x+beta))
	})
	for op, f := range floatFunctions {
		k[op] = functionKernel(f)
	}
	for _, op := range []string{"Abs", "Neg", "Sign"} {
		k[op] = signKernel(op)
	}
	return k
}

// floatFunctions are computed in float64 and rounded once.
var floatFunctions = map[string]func(float64) float64{
	"Floor": math.Floor, "Ceil": math.Ceil, "Round": math.RoundToEven,
	"Sin": math.Sin, "Cos": math.Cos, "Tan": math.Tan, "Asin": math.Asin, "Acos": math.Acos, "Atan": math.Atan,
	"Sinh": math.Sinh, "Cosh": math.Cosh,
	"Asinh": math.Asinh, "Acosh": math.Acosh, "Atanh": math.Atanh,
	"Softplus": softplus,
	"Softsign": func(x float64) float64 { return x / (1 + math.Abs(x)) },
}

// softplus is ln(1+eˣ) without overflow.
func softplus(x float64) float64 {
	return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x)))
}

func elu(x, alpha float64) float64 {
	if x < 0 {
		return alpha * math.Expm1(x)
	}
	return x
}

func leaky(x, alpha float64) float64 {
	if x < 0 {
		return alpha * x
	}
	return x
}

// leakySlope is the default of LeakyRelu, a float32 as all attributes.
const leakySlope = float32(0.01)

func bindLeaky[T float](s *site) (func() error, error) {
	alpha := T(s.node.Attrs.Float("alpha", float64(leakySlope)))
	return func() error {
		kernel.Leaky(s.pool, tensor.Data[T](*s.out[0]), tensor.Data[T](*s.in[0]), alpha)
		return nil
	}, nil
}

// bindUnary runs a loop over slices of equal length.
func bindUnary[T, R tensor.Element](loop func(z []R, x []T)) prepare {
	return func(s *site) (func() error, error) {
		return s.parallel(elements(s.outShape(0)), elementGrain/4, func(_, lo, hi int) {
			loop(tensor.Data[R](*s.out[0])[lo:hi], tensor.Data[T](*s.in[0])[lo:hi])
		}), nil
	}
}

func mapLoop[T float](f func(float64) float64) func(z, x []T) {
	return func(z, x []T) {
		for i := range z {
			z[i] = T(f(float64(x[i])))
		}
	}
}

// functionKernel applies a function of a real number.
func functionKernel(f func(float64) float64) prepare {
	return variants{
		tensor.Float32: bindUnary(mapLoop[float32](f)),
		tensor.Float64: bindUnary(mapLoop[float64](f)),
	}.by(0)
}

// scaledKernel applies a function with one attribute.
func scaledKernel(name string, def float64, f func(x, a float64) float64) prepare {
	return func(s *site) (func() error, error) {
		a := s.node.Attrs.Float(name, def)
		return functionKernel(func(x float64) float64 { return f(x, a) })(s)
	}
}

// preparePair applies a function with two attributes.
func preparePair(name1 string, def1 float64, name2 string, def2 float64, f func(x, a, b float64) float64) prepare {
	return func(s *site) (func() error, error) {
		a, b := s.node.Attrs.Float(name1, def1), s.node.Attrs.Float(name2, def2)
		return functionKernel(func(x float64) float64 { return f(x, a, b) })(s)
	}
}

func reluLoop[T number](z, x []T) {
	x = x[:len(z)]
	for i := range z {
		z[i] = max(x[i], 0)
	}
}

func reluKernel() prepare {
	return variants{
		tensor.Float32: vectorUnary(kernel.Relu[float32]), tensor.Float64: vectorUnary(kernel.Relu[float64]),
		tensor.Int8: bindUnary(reluLoop[int8]), tensor.Int16: bindUnary(reluLoop[int16]),
		tensor.Int32: bindUnary(reluLoop[int32]), tensor.Int64: bindUnary(reluLoop[int64]),
	}.by(0)
}

// geluKernel: with the normal distribution, or the tanh that approximates it.
func geluKernel() prepare {
	exact := vectorKernel(kernel.Gelu[float32], kernel.Gelu[float64])
	near := vectorKernel(kernel.GeluTanh[float32], kernel.GeluTanh[float64])
	return func(s *site) (func() error, error) {
		if s.node.Attrs.Text("approximate", "none") == "tanh" {
			return near(s)
		}
		return exact(s)
	}
}

func notLoop(z []bool, x []uint8) {
	for i := range z {
		z[i] = x[i] == 0
	}
}

func isNaNLoop[T float](z []bool, x []T) {
	for i := range z {
		z[i] = x[i] != x[i]
	}
}

func prepareIsInf[T float](s *site) (func() error, error) {
	plus, minus := s.node.Attrs.Int("detect_positive", 1) != 0, s.node.Attrs.Int("detect_negative", 1) != 0
	return bindUnary(func(z []bool, x []T) {
		for i := range z {
			z[i] = plus && math.IsInf(float64(x[i]), 1) || minus && math.IsInf(float64(x[i]), -1)
		}
	})(s)
}

func signLoop[T number](op string) func(z, x []T) {
	switch op {
	case "Abs":
		return absLoop[T]
	case "Neg":
		return func(z, x []T) {
			for i := range z {
				z[i] = -x[i]
			}
		}
	}
	return func(z, x []T) {
		for i, v := range x {
			switch {
			case v > 0:
				z[i] = 1
			case v < 0:
				v = 0
				z[i] = v - 1
			default:
				z[i] = v // 0, or NaN
			}
		}
	}
}

// absLoop clears the sign of zero as well.
func absLoop[T number](z, x []T) {
	for i, v := range x {
		if v <= 0 {
			v = 0 - v
		}
		z[i] = v
	}
}

func negate[T float](p *kernel.Pool, dst, x []T) { kernel.MulScalar(p, dst, x, -1) }

func signKernel(op string) prepare {
	float32s, float64s := bindUnary(signLoop[float32](op)), bindUnary(signLoop[float64](op))
	switch op {
	case "Neg":
		float32s, float64s = vectorUnary(negate[float32]), vectorUnary(negate[float64])
	case "Abs":
		float32s, float64s = vectorUnary(kernel.Abs[float32]), vectorUnary(kernel.Abs[float64])
	}
	return variants{
		tensor.Float32: float32s, tensor.Float64: float64s,
		tensor.Int8: bindUnary(signLoop[int8](op)), tensor.Uint8: bindUnary(signLoop[uint8](op)),
		tensor.Int16: bindUnary(signLoop[int16](op)), tensor.Uint16: bindUnary(signLoop[uint16](op)),
		tensor.Int32: bindUnary(signLoop[int32](op)), tensor.Uint32: bindUnary(signLoop[uint32](op)),
		tensor.Int64: bindUnary(signLoop[int64](op)), tensor.Uint64: bindUnary(signLoop[uint64](op)),
	}.by(0)
}

func bitwiseNotLoop[T integer](z, x []T) {
	for i := range z {
		z[i] = ^x[i]
	}
}

// bitwiseNotKernel: the sign does not matter to the bits.
func bitwiseNotKernel() prepare {
	return variants{
		tensor.Int8: bindUnary(bitwiseNotLoop[uint8]), tensor.Uint8: bindUnary(bitwiseNotLoop[uint8]),
		tensor.Int16: bindUnary(bitwiseNotLoop[uint16]), tensor.Uint16: bindUnary(bitwiseNotLoop[uint16]),
		tensor.Int32: bindUnary(bitwiseNotLoop[uint32]), tensor.Uint32: bindUnary(bitwiseNotLoop[uint32]),
		tensor.Int64: bindUnary(bitwiseNotLoop[uint64]), tensor.Uint64: bindUnary(bitwiseNotLoop[uint64]),
	}.by(0)
}

func clipKernel() prepare {
	return variants{
		tensor.Float32: prepareClip[float32], tensor.Float64: prepareClip[float64],
		tensor.Int8: prepareClip[int8], tensor.Uint8: prepareClip[uint8], tensor.Int16: prepareClip[int16], tensor.Uint16: prepareClip[uint16],
		tensor.Int32: prepareClip[int32], tensor.Uint32: prepareClip[uint32], tensor.Int64: prepareClip[int64], tensor.Uint64: prepareClip[uint64],
	}.by(0)
}

// prepareClip reads its bounds when it runs: they may be computed. Where min
// exceeds max, max wins; NaN stays.
func prepareClip[T number](s *site) (func() error, error) {
	return s.parallel(elements(s.outShape(0)), elementGrain, func(_, lo, hi int) {
		x, z := tensor.Data[T](*s.in[0])[lo:hi], tensor.Data[T](*s.out[0])[lo:hi]
		if s.hasIn(1) {
			raise(z, x, tensor.Data[T](*s.in[1])[0])
			x = z
		}
		if s.hasIn(2) {
			lower(z, x, tensor.Data[T](*s.in[2])[0])
			x = z
		}
		copy(z, x)
	}), nil
}

func raise[T number](z, x []T, bound T) {
	for i, v := range x {
		if v < bound {
			v = bound
		}
		z[i] = v
	}
}

func lower[T number](z, x []T, bound T) {
	for i, v := range x {
		if v > bound {
			v = bound
		}
		z[i] = v
	}
}

func preluKernel() prepare {
	return variants{
		tensor.Float32: bindPRelu[float32], tensor.Float64: bindPRelu[float64],
		tensor.Int32: bindPRelu[int32], tensor.Int64: bindPRelu[int64],
		tensor.Uint32: bindPRelu[uint32], tensor.Uint64: bindPRelu[uint64],
	}.by(0)
}

func bindPRelu[T number](s *site) (func() error, error) {
	return bindBinary(s, loopsOf(func(x, slope T) T {
		if x < 0 {
			return x * slope
		}
		return x
	}))
}
