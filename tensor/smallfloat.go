package tensor

import "math"

// smallFormat describes a floating-point format of at most 16 bits. Sources:
// IEEE 754-2019 (binary16); OCP 8-bit Floating Point Specification 1.0
// (E4M3FN, E5M2); ONNX technical note "Float stored in 8 bits" (FNUZ); OCP
// Microscaling Formats 1.0 (E2M1, E8M0).
type smallFormat struct {
	exponent, mantissa int
	bias               int
	infinity           bool   // the top exponent holds ±Inf and NaN, as in IEEE
	nan                uint16 // the code written for NaN
	noNegativeZero     bool   // FNUZ: the code of -0 is NaN
	max                float64
}

var smallFormats = map[DType]smallFormat{
	Float16:        {5, 10, 15, true, 0x7e00, false, 65504},
	BFloat16:       {8, 7, 127, true, 0x7fc0, false, 0x1.fep127},
	Float8E4M3FN:   {4, 3, 7, false, 0x7f, false, 448},
	Float8E4M3FNUZ: {4, 3, 8, false, 0x80, true, 240},
	Float8E5M2:     {5, 2, 15, true, 0x7f, false, 57344},
	Float8E5M2FNUZ: {5, 2, 16, false, 0x80, true, 57344},
	Float4E2M1:     {2, 1, 1, false, 0, false, 6},
}

func decodeSmall(d DType, code uint16) float64 {
	if d == Float8E8M0 {
		if code == 0xff {
			return math.NaN()
		}
		return math.Ldexp(1, int(code)-127)
	}
	f := smallFormats[d]
	sign := 1.0
	if code>>(f.exponent+f.mantissa)&1 == 1 {
		sign = -1
	}
	if f.noNegativeZero && code == f.nan || d == Float8E4M3FN && code&0x7f == 0x7f {
		return math.NaN()
	}
	e := int(code>>f.mantissa) & (1<<f.exponent - 1)
	m := int(code) & (1<<f.mantissa - 1)
	switch {
	case f.infinity && e == 1<<f.exponent-1 && m == 0:
		return math.Inf(int(sign))
	case f.infinity && e == 1<<f.exponent-1:
		return math.NaN()
	case e == 0:
		return sign * math.Ldexp(float64(m), 1-f.bias-f.mantissa)
	}
	return sign * math.Ldexp(float64(m+1<<f.mantissa), e-f.bias-f.mantissa)
}

// encodeSmall rounds v to the nearest value of the format, ties to even.
// Values beyond the largest finite one become ±Inf in the IEEE-like 16-bit
// formats and saturate in the others, as ONNX's Cast does by default.
func encodeSmall(d DType, v float64) uint16 {
	if d == Float8E8M0 {
		return encodeE8M0(v)
	}
	f := smallFormats[d]
	if v != v {
		return f.nan
	}
	var sign uint16
	if math.Signbit(v) {
		sign = 1 << (f.exponent + f.mantissa)
		v = -v
	}
	_, e := math.Frexp(v) // v = x·2^e with x in [½, 1)
	e = max(e-1, 1-f.bias)
	unit := math.Ldexp(1, e-f.mantissa)
	r := math.RoundToEven(v/unit) * unit
	if r > f.max {
		return sign | f.overflow(d)
	}
	if r == 0 {
		if f.noNegativeZero {
			return 0
		}
		return sign
	}
	return sign | f.code(r)
}

// overflow is the code (without sign) of a magnitude beyond the largest.
func (f smallFormat) overflow(d DType) uint16 {
	if d.Bits() == 16 {
		return uint16(1<<f.exponent-1) << f.mantissa
	}
	return f.code(f.max)
}

// code returns the bits of a positive value the format represents exactly.
func (f smallFormat) code(r float64) uint16 {
	_, e := math.Frexp(r)
	e--
	if e < 1-f.bias {
		return uint16(math.Ldexp(r, f.bias-1+f.mantissa))
	}
	m := uint16(math.Ldexp(r, f.mantissa-e)) - 1<<f.mantissa
	return uint16(e+f.bias)<<f.mantissa | m
}

// encodeE8M0 rounds a positive value to the nearest power of two.
func encodeE8M0(v float64) uint16 {
	if v != v || v < 0 {
		return 0xff
	}
	if v == 0 {
		return 0
	}
	x, e := math.Frexp(v)
	if x > 0.75 {
		e++
	}
	return uint16(max(0, min(254, e-1+127)))
}
