package kernel

import "math"

// Exp computes dst ← eˣ. dst may be x. In float32 the error is at most 1 ulp
// where the result is normal and below half the least subnormal's size
// otherwise; in float64 it is that of package math, as for the three below.
func Exp[T Float](p *Pool, dst, x []T) { apply(p, opExp, dst, x, nil, 0) }

// Sigmoid computes dst ← 1/(1 + e⁻ˣ). dst may be x. In float32 the error is at
// most 2.5 ulp.
func Sigmoid[T Float](p *Pool, dst, x []T) { apply(p, opSigmoid, dst, x, nil, 0) }

// Tanh computes dst ← tanh x. dst may be x. In float32 the error is at most 2 ulp.
func Tanh[T Float](p *Pool, dst, x []T) { apply(p, opTanh, dst, x, nil, 0) }

// Erf computes dst ← erf x. dst may be x. In float32 the error is at most 2 ulp.
func Erf[T Float](p *Pool, dst, x []T) { apply(p, opErf, dst, x, nil, 0) }

// coefficients are the constants of the float32 functions, shared by Go and
// assembly: asm/math.go names the same places in the same order.
var coefficients = [...]float32{
	// exp: bounds beyond which the result is 0 or infinite, log₂e, the number
	// that rounds to an integer when added, ln 2 in two parts.
	-104, 89, math.Log2E, 0x1.8p23, 0.693359375, -2.12194440e-4,
	// (eʳ − 1 − r)/r², highest power first: S. Moshier, Cephes, expf.
	1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1,
	1, 2,
	// tanh: where the polynomial ends; (tanh x − x)/x³ in x²: Cephes, tanhf.
	0.625, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1,
	// erf: from 4 on it rounds to 1. Below 1, erf(x)/x − 1 in x²; above, log erfc(x)
	// in x: interpolated at Chebyshev nodes, errors 1.4e-9 and 5e-10.
	4, 7.875875050430342e-05, -0.0008016864283299621, 0.0051890874229765785, -0.02685421201037881, 0.11283594715154313, -0.3761262666671985, 0.1283791658483509,
	1.6371514158152428e-06, -4.6058042711855827e-05, 0.0005968056258390139, -0.004759596294040432, 0.026421136007691578, -0.11008008295209472, -0.6318260515559819, -1.1302334348436935, 0.00032013805006038084,
	// The bit patterns of a lone sign, and of the exponent's bias.
	signBit, exponentBias,
	// log: (log(1 + f) − f + f²/2)/f³ in f, highest power first: Cephes, logf. Then
	// what takes a number apart.
	7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1,
	0.5, leastNormal, 0x1p23, 23,
	math.Float32frombits(oneBits - rootHalfBits), math.Float32frombits(mantissaMask), math.Float32frombits(rootHalfBits),
	float32(math.Inf(1)), math.SmallestNonzeroFloat32, float32(math.Inf(-1)),
	// gelu: √½, 2·√(2/π), and that times 0.044715.
	math.Sqrt2 / 2, geluLinear, geluLinear * 0.044715,
}

const (
	leastNormal  = 0x1p-126
	oneBits      = 0x3f800000 // the bit pattern of 1
	rootHalfBits = 0x3f3504f3 // and of √½
	mantissaMask = 0x007fffff
	geluLinear   = 2 * math.Sqrt2 / (math.SqrtPi) // 2·√(2/π)
)

var (
	signBit      = float32(math.Copysign(0, -1))
	exponentBias = math.Float32frombits(127)
)

// horner evaluates a polynomial, highest power first. Products are rounded
// before they are added, here and in the assembly.
func horner(x float32, c []float32) float32 {
	s := c[0]
	for _, a := range c[1:] {
		s = float32(s*x) + a
	}
	return s
}

// exp32 is 2ⁿ·eʳ with |r| ≤ ln 2/2; 2ⁿ is applied in two halves, each a normal
// number, so that subnormal results are rounded once.
func exp32(x float32) float32 {
	c := &coefficients
	if c[0] > x {
		x = c[0]
	}
	if c[1] < x {
		x = c[1]
	}
	shifted := float32(x*c[2]) + c[3]
	n := shifted - c[3]
	r := x - float32(n*c[4])
	r -= float32(n * c[5])
	y := float32(horner(r, c[6:12])*float32(r*r)) + r + c[12]
	i := int32(math.Float32bits(shifted)) - int32(math.Float32bits(c[3]))
	half := i >> 1
	return float32(y*powerOfTwo(half)) * powerOfTwo(i-half)
}

func powerOfTwo(n int32) float32 { return math.Float32frombits(uint32(n+127) << 23) }

func sigmoid32(x float32) float32 {
	e := exp32(-abs32(x))
	num := float32(1)
	if x < 0 {
		num = e
	}
	return num / (1 + e)
}

func tanh32(x float32) float32 {
	c := &coefficients
	z := abs32(x)
	if z < c[14] {
		s := float32(z * z)
		y := float32(float32(horner(s, c[15:20])*s)*z) + z
		return withSign(y, x)
	}
	return withSign(1-2/(exp32(z+z)+1), x)
}

func erf32(x float32) float32 {
	c := &coefficients
	z := abs32(x)
	if c[20] < z {
		z = c[20]
	}
	if z < 1 {
		return withSign(float32(horner(float32(z*z), c[21:28])*z)+z, x)
	}
	return withSign(1-exp32(horner(z, c[28:37])), x)
}

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// withSign gives y ≥ 0 the sign of x.
func withSign(y, x float32) float32 {
	return math.Float32frombits(math.Float32bits(y) | math.Float32bits(x)&(1<<31))
}

// transcendental is the loop in Go of the functions above.
func transcendental[T Float](op opcode, dst, x []T) {
	if d, ok := any(dst).([]float32); ok {
		transcendental32(op, d, any(x).([]float32))
		return
	}
	for i, v := range x {
		w := float64(v)
		switch op {
		case opExp:
			w = math.Exp(w)
		case opSigmoid:
			w = sigmoid64(w)
		case opTanh:
			w = math.Tanh(w)
		case opErf:
			w = math.Erf(w)
		case opLog:
			w = math.Log(w)
		case opGelu:
			w = w / 2 * math.Erfc(-w/math.Sqrt2)
		case opGeluTanh:
			w *= sigmoid64(w * (geluLinear + geluLinear*0.044715*w*w))
		}
		dst[i] = T(w)
	}
}

func sigmoid64(x float64) float64 {
	e := math.Exp(-math.Abs(x))
	if x < 0 {
		return e / (1 + e)
	}
	return 1 / (1 + e)
}

func transcendental32(op opcode, dst, x []float32) {
	switch op {
	case opExp:
		for i, v := range x {
			dst[i] = exp32(v)
		}
	case opSigmoid:
		for i, v := range x {
			dst[i] = sigmoid32(v)
		}
	case opTanh:
		for i, v := range x {
			dst[i] = tanh32(v)
		}
	case opErf:
		for i, v := range x {
			dst[i] = erf32(v)
		}
	case opLog:
		for i, v := range x {
			dst[i] = log32(v)
		}
	case opGelu:
		for i, v := range x {
			dst[i] = gelu32(v)
		}
	case opGeluTanh:
		for i, v := range x {
			dst[i] = geluTanh32(v)
		}
	}
}
