package kernel

import "math"

//go:generate go run ./asm -family functions64 -out functions64_kernels_amd64.s -stubs functions64_kernels_amd64.go -pkg kernel

// Exp64 computes dst ← eˣ, element by element, with an error below 1.5 ulp: +Inf
// where that overflows. Like [Dot64] it takes no pool, and its bits are the same in
// every set. dst may be x. It panics if dst is shorter than x.
func Exp64(set Set, dst, x []float64) {
	checkLeast("dst", len(dst), len(x))
	if len(x) > 0 {
		expPart(set, dst[:len(x)], x)
	}
}

// Softplus64 computes what logistic functions of x are made of, each with an error
// below 1.5 ulp of its own value for the number that it is given:
//
//	e ← exp(−|x|),   l ← log(1 + e)
//
// so that log(1 + eˣ) = max(x, 0) + l and 1/(1 + eˣ) is e/(1 + e) for x ≥ 0, else
// 1/(1 + e). e may be x. It panics if e or l is shorter than x.
func Softplus64(set Set, e, l, x []float64) {
	checkLeast("e", len(e), len(x))
	checkLeast("l", len(l), len(x))
	for len(x) > 0 {
		n := min(len(x), productRows)
		softplusPart(set, e[:n], l[:n], x[:n])
		e, l, x = e[n:], l[n:], x[n:]
	}
}

// coefficients64 are shared with the assembly, which knows their places.
var coefficients64 = [...]float64{
	-746, 710, math.Log2E, 3 << 51, ln2High64, math.Ln2 - ln2High64,
	0.5, 1, math.Copysign(0, -1),
	// (eˣ − 1 − x)/x² by its Taylor series, the error of which is 4e-18 up to ln 2/2.
	1.0 / 6227020800, 1.0 / 479001600, 1.0 / 39916800, 1.0 / 3628800, 1.0 / 362880, 1.0 / 40320, 1.0 / 5040, 1.0 / 720, 1.0 / 120, 1.0 / 24, 1.0 / 6, 1.0 / 2,
	// (2·artanh(√z)/√z − 2)/z by its Taylor series.
	2.0 / 23, 2.0 / 21, 2.0 / 19, 2.0 / 17, 2.0 / 15, 2.0 / 13, 2.0 / 11, 2.0 / 9, 2.0 / 7, 2.0 / 5, 2.0 / 3,
	2,
}

// ln2High64 is ln 2 up to 2⁻³⁰, so that multiples by an exponent are exact.
const ln2High64 = 0x2c5c85fdp-30

func horner64(x float64, c []float64) float64 {
	sum := c[0]
	for _, v := range c[1:] {
		sum = float64(sum*x) + v
	}
	return sum
}

// exp64 is 2ᵏ·eʳ with |r| ≤ ln 2/2. 2ᵏ is two factors, so that it may overflow and
// underflow by degrees.
//
// Source: W. Cody and W. Waite, "Software Manual for the Elementary Functions", 1980,
// chapter 6, for the reduction.
func exp64(x float64) float64 {
	c := &coefficients64
	if x < c[0] {
		x = c[0]
	}
	if x > c[1] {
		x = c[1]
	}
	k := float64(float64(x*c[2])+c[3]) - c[3]
	r := float64(x-float64(k*c[4])) - float64(k*c[5])
	y := float64(float64(horner64(r, c[9:21])*float64(r*r))+r) + c[7]
	first := float64(k*c[6]) + c[3]
	second := float64(k-float64(first-c[3])) + c[3]
	return float64(y*powerOfTwo64(first)) * powerOfTwo64(second)
}

// powerOfTwo64 is 2ⁿ of n + 3·2⁵¹, whose last bits are n.
func powerOfTwo64(n float64) float64 {
	return math.Float64frombits(math.Float64bits(n)<<52 + math.Float64bits(1))
}

// logOnePlus64 is log(1 + x) for 0 ≤ x ≤ 1: k ln 2 + log(1 + t), k being 1 above ½.
// With s = t/(2+t), log(1 + t) = 2 artanh s = t − t²/2 + s·(t²/2 + 2s²/3 + 2s⁴/5 + …),
// of which t is exact and the rest is small.
func logOnePlus64(x float64) float64 {
	c := &coefficients64
	k := float64(x+c[3]) - c[3]
	t := float64(x-k) * float64(c[7]-float64(k*c[6]))
	square := float64(t*t) * c[6]
	s := t / float64(t+c[32])
	z := float64(s * s)
	rest := float64(horner64(z, c[21:32]) * z)
	low := float64(s*float64(square+rest)) + float64(k*c[5])
	return float64(k*c[4]) - float64(float64(square-low)-t)
}

func expPortable(dst, x []float64) {
	for i, v := range x {
		dst[i] = exp64(v)
	}
}

func softplusPortable(e, l, x []float64) {
	for i, v := range x {
		e[i] = exp64(-math.Abs(v))
		l[i] = logOnePlus64(e[i])
	}
}
