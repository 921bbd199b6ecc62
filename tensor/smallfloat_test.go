package tensor

import (
	"math"
	"testing"
)

// packedTypes are the floating-point formats that have no Go type.
var packedTypes = []DType{Float16, BFloat16, Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float4E2M1, Float8E8M0}

// Reference values of the formats' own specifications: IEEE 754-2019 (binary16,
// the top half of binary32), OCP OFP8 1.0 tables 1 and 2, ONNX's note on
// FNUZ, OCP MX 1.0 tables 5 and 7.
func TestDecodeSmallFloats(t *testing.T) {
	inf, nan := math.Inf(1), math.NaN()
	for _, tc := range []struct {
		d    DType
		code uint16
		want float64
	}{
		{Float16, 0x0001, 0x1p-24}, {Float16, 0x03ff, 0x3ffp-24}, {Float16, 0x0400, 0x1p-14}, {Float16, 0x3c00, 1},
		{Float16, 0x3555, 0.333251953125}, {Float16, 0x7bff, 65504}, {Float16, 0x7c00, inf}, {Float16, 0xfc00, -inf}, {Float16, 0x7e00, nan},
		{BFloat16, 0x0001, 0x1p-133}, {BFloat16, 0x3f80, 1}, {BFloat16, 0x4049, 3.140625}, {BFloat16, 0x7f7f, 0x1.fep127}, {BFloat16, 0x7f80, inf}, {BFloat16, 0xffc0, nan},
		{Float8E4M3FN, 0x01, 0x1p-9}, {Float8E4M3FN, 0x07, 0x7p-9}, {Float8E4M3FN, 0x08, 0x1p-6}, {Float8E4M3FN, 0x38, 1}, {Float8E4M3FN, 0x7e, 448}, {Float8E4M3FN, 0x7f, nan}, {Float8E4M3FN, 0xff, nan}, {Float8E4M3FN, 0xb8, -1},
		{Float8E4M3FNUZ, 0x01, 0x1p-10}, {Float8E4M3FNUZ, 0x40, 1}, {Float8E4M3FNUZ, 0x7f, 240}, {Float8E4M3FNUZ, 0x80, nan}, {Float8E4M3FNUZ, 0xff, -240},
		{Float8E5M2, 0x01, 0x1p-16}, {Float8E5M2, 0x3c, 1}, {Float8E5M2, 0x7b, 57344}, {Float8E5M2, 0x7c, inf}, {Float8E5M2, 0xfc, -inf}, {Float8E5M2, 0x7d, nan}, {Float8E5M2, 0x7f, nan},
		{Float8E5M2FNUZ, 0x01, 0x1p-17}, {Float8E5M2FNUZ, 0x40, 1}, {Float8E5M2FNUZ, 0x7f, 57344}, {Float8E5M2FNUZ, 0x80, nan},
		{Float4E2M1, 0x1, 0.5}, {Float4E2M1, 0x2, 1}, {Float4E2M1, 0x3, 1.5}, {Float4E2M1, 0x4, 2}, {Float4E2M1, 0x5, 3}, {Float4E2M1, 0x6, 4}, {Float4E2M1, 0x7, 6}, {Float4E2M1, 0xf, -6},
		{Float8E8M0, 0x00, 0x1p-127}, {Float8E8M0, 0x7f, 1}, {Float8E8M0, 0xfe, 0x1p127}, {Float8E8M0, 0xff, nan},
	} {
		if got := decodeSmall(tc.d, tc.code); got != tc.want && !(got != got && tc.want != tc.want) {
			t.Errorf("%v %#x: got %v, want %v", tc.d, tc.code, got, tc.want)
		}
	}
}

// Every code that is not NaN decodes to a value that encodes to the same code.
func TestSmallFloatsRoundTrip(t *testing.T) {
	for _, d := range packedTypes {
		nans := 0
		for code := range 1 << d.Bits() {
			v := decodeSmall(d, uint16(code))
			if v != v {
				nans++
				if again := decodeSmall(d, encodeSmall(d, v)); again == again {
					t.Errorf("%v: NaN %#x encodes to %v", d, code, again)
				}
				continue
			}
			// Beyond the largest finite value Cast saturates the 8-bit formats.
			want := uint16(code)
			if d == Float8E5M2 && math.IsInf(v, 0) {
				want = uint16(code)&0x80 | 0x7b
			}
			if got := encodeSmall(d, v); got != want {
				t.Errorf("%v %#x = %v: encodes to %#x", d, code, v, got)
			}
		}
		// 2·(2^mantissa − 1) codes in IEEE-like formats, 2 in E4M3FN, 1 in FNUZ
		// and E8M0, none in E2M1.
		want := map[DType]int{Float16: 2046, BFloat16: 254, Float8E4M3FN: 2, Float8E4M3FNUZ: 1, Float8E5M2: 6, Float8E5M2FNUZ: 1, Float8E8M0: 1}[d]
		if nans != want {
			t.Errorf("%v: got %d codes of NaN, want %d", d, nans, want)
		}
	}
}

// Encoding picks the nearer of the two neighbours, and the even one of two
// equally near.
func TestSmallFloatsRoundToNearestEven(t *testing.T) {
	for _, d := range packedTypes {
		if d == Float8E8M0 {
			continue // powers of two: halfway is a matter of definition, tested below
		}
		codes := 1 << (d.Bits() - 1)
		for code := 0; code+1 < codes; code++ {
			lo, hi := decodeSmall(d, uint16(code)), decodeSmall(d, uint16(code+1))
			if lo != lo || hi != hi || math.IsInf(hi, 0) {
				continue
			}
			middle := lo + (hi-lo)/2
			even := uint16(code + code&1)
			for _, tc := range []struct {
				v    float64
				want uint16
			}{{middle, even}, {math.Nextafter(middle, 0), uint16(code)}, {math.Nextafter(middle, math.Inf(1)), uint16(code + 1)}} {
				if got := encodeSmall(d, tc.v); got != tc.want {
					t.Errorf("%v: %v between %v and %v: got %#x, want %#x", d, tc.v, lo, hi, got, tc.want)
				}
				sign := uint16(codes)
				if want := tc.want | sign; encodeSmall(d, -tc.v) != want && !(smallFormats[d].noNegativeZero && tc.want == 0) {
					t.Errorf("%v: %v: got %#x, want %#x", d, -tc.v, encodeSmall(d, -tc.v), want)
				}
			}
		}
	}
}

func TestEncodeSmallFloatsBeyondRange(t *testing.T) {
	inf := math.Inf(1)
	for _, tc := range []struct {
		d    DType
		v    float64
		want float64
	}{
		{Float16, 65519, 65504}, {Float16, 65520, inf}, {Float16, -1e9, -inf}, // 65520 lies halfway to 2^16
		{BFloat16, math.MaxFloat32, inf},
		{Float8E4M3FN, 1e9, 448}, {Float8E4M3FN, inf, 448}, {Float8E4M3FN, -inf, -448},
		{Float8E4M3FNUZ, 1e9, 240}, {Float8E5M2, 1e9, 57344}, {Float8E5M2, inf, 57344}, {Float8E5M2FNUZ, -1e9, -57344},
		{Float4E2M1, 100, 6}, {Float4E2M1, -inf, -6},
		{Float8E8M0, 0, 0x1p-127}, {Float8E8M0, 1e300, 0x1p127}, {Float8E8M0, 3, 2}, {Float8E8M0, 3.1, 4},
	} {
		if got := decodeSmall(tc.d, encodeSmall(tc.d, tc.v)); got != tc.want {
			t.Errorf("%v of %v: got %v, want %v", tc.d, tc.v, got, tc.want)
		}
	}
	for _, d := range []DType{Float8E4M3FNUZ, Float8E5M2FNUZ} {
		if got := encodeSmall(d, math.Copysign(0, -1)); got != 0 {
			t.Errorf("%v: -0 has no code: got %#x, want 0", d, got)
		}
	}
}
