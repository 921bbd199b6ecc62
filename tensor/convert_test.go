package tensor

import (
	"math"
	"strings"
	"testing"
)

var realTypes = []DType{Float32, Float64, Float16, BFloat16, Float8E4M3FN, Float8E4M3FNUZ, Float8E5M2, Float8E5M2FNUZ, Float4E2M1,
	Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64, Int4, Uint4, Int2, Uint2, Bool}

// Small integers survive a trip through every type that holds them, and
// packed elements do not touch their neighbours.
func TestSetAndAt(t *testing.T) {
	for _, d := range realTypes {
		x := New(d, 9)
		for i := range 9 {
			x.Set(i, float64(i%2))
		}
		x.Set(4, 1)
		x.Set(4, 0)
		for i := range 9 {
			if got := x.At(i); got != float64(i%2) {
				t.Errorf("%v: element %d: got %v, want %d", d, i, got, i%2)
			}
		}
	}
}

// Every value of a packed integer type, in every position of a byte.
func TestPackedIntegers(t *testing.T) {
	for _, d := range []DType{Int4, Uint4, Int2, Uint2} {
		lo, hi := d.IntRange()
		for shift := range 4 {
			x := New(d, int(hi-lo)+1+shift)
			for v := lo; v <= hi; v++ {
				x.Set(int(v-lo)+shift, float64(v))
			}
			for v := lo; v <= hi; v++ {
				if got := x.At(int(v-lo) + shift); got != float64(v) {
					t.Errorf("%v: got %v, want %d", d, got, v)
				}
			}
		}
	}
	// ONNX packs the first element into the low bits.
	x := New(Int4, 3)
	for i, v := range []float64{1, -1, 7} {
		x.Set(i, v)
	}
	if raw := x.Raw(); raw[0] != 0xf1 || raw[1] != 0x07 {
		t.Errorf("int4 [1 -1 7]: got %x, want f107", raw)
	}
	y := New(Uint2, 5)
	for i, v := range []float64{1, 2, 3, 0, 2} {
		y.Set(i, v)
	}
	if raw := y.Raw(); raw[0] != 0b00_11_10_01 || raw[1] != 0b10 {
		t.Errorf("uint2 [1 2 3 0 2]: got %x, want 3902", raw)
	}
}

func TestSetRoundsAndSaturates(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, tc := range []struct {
		d    DType
		v    float64
		want float64
	}{
		{Int8, 2.5, 2}, {Int8, 3.5, 4}, {Int8, -2.5, -2}, {Int8, 1000, 127}, {Int8, -inf, -128}, {Int8, nan, 0},
		{Uint8, -1, 0}, {Uint8, 255.5, 255}, {Int4, 9, 7}, {Int4, -9, -8}, {Uint4, 99, 15}, {Int2, 5, 1}, {Int2, -5, -2}, {Uint2, 5, 3},
		{Int32, 1e10, math.MaxInt32}, {Uint32, 1e10, math.MaxUint32}, {Int16, -1e5, -32768}, {Uint16, 0.5, 0}, {Uint16, 1.5, 2},
		{Int64, inf, math.MaxInt64}, {Int64, -inf, math.MinInt64}, {Int64, nan, 0}, {Uint64, -5, 0}, {Uint64, inf, math.MaxUint64}, {Uint64, nan, 0},
		{Bool, 0.1, 1}, {Bool, nan, 1}, {Float32, 1e300, inf},
	} {
		x := New(tc.d, 1)
		x.Set(0, tc.v)
		if got := x.At(0); got != tc.want {
			t.Errorf("%v of %v: got %v, want %v", tc.d, tc.v, got, tc.want)
		}
	}
}

// 64-bit integers convert among themselves without passing through a float64.
func TestConvertWideIntegers(t *testing.T) {
	x := Of([]int64{math.MaxInt64, math.MaxInt64 - 1, 1<<53 + 1, -1}, 4)
	u, err := x.Convert(Uint64)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []uint64{math.MaxInt64, math.MaxInt64 - 1, 1<<53 + 1, 0} {
		if got := Data[uint64](u)[i]; got != want {
			t.Errorf("element %d: got %d, want %d", i, got, want)
		}
	}
	y := Of([]uint64{math.MaxUint64, 1<<53 + 1}, 2)
	s, err := y.Convert(Int64)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int64{math.MaxInt64, 1<<53 + 1} {
		if got := Data[int64](s)[i]; got != want {
			t.Errorf("element %d: got %d, want %d", i, got, want)
		}
	}
}

func TestConvertErrors(t *testing.T) {
	text, err := FromStrings([]int{1}, []string{"1"})
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		x  Tensor
		to DType
	}{{text, Float32}, {New(Complex64, 1), Float32}, {New(Float32, 1), String}, {New(Float32, 1), Undefined}} {
		if _, err := tc.x.Convert(tc.to); err == nil || !strings.Contains(err.Error(), "not a real number type") {
			t.Errorf("%v to %v: got error %v", tc.x, tc.to, err)
		}
	}
	if _, err := New(Float32, 1).Int64s(); err == nil {
		t.Error("integers of a float32 tensor: no error")
	}
	x := New(Float32, 3)
	if same, err := x.Convert(Float32); err != nil || &Data[float32](same)[0] != &Data[float32](x)[0] {
		t.Error("conversion to the same type: want the tensor itself")
	}
}

// Conversion is idempotent: what one type has rounded it rounds to itself.
func TestConvertIsIdempotent(t *testing.T) {
	values := []float64{0, 1, -1, 0.1, -0.3, 3.7, 100, -1000, 1e-6, 65504, 1e20, -1e-30}
	x := Of(values, len(values))
	for _, d := range append(realTypes, Float8E8M0) {
		once, err := x.Convert(d)
		if err != nil {
			t.Fatal(err)
		}
		wide, err := once.Convert(Float64)
		if err != nil {
			t.Fatal(err)
		}
		twice, err := wide.Convert(d)
		if err != nil {
			t.Fatal(err)
		}
		if !once.Equal(twice) {
			t.Errorf("%v: got %v, then %v", d, once.Float64s(), twice.Float64s())
		}
	}
}

func TestTypeNames(t *testing.T) {
	for d := Float32; d <= Int2; d++ {
		got, err := ParseDType(d.String())
		if err != nil || got != d {
			t.Errorf("%v: parsed back as %v, %v", d, got, err)
		}
		if d.IsInteger() && d.Bits() <= 32 {
			lo, hi := d.IntRange()
			if hi-lo+1 != 1<<d.Bits() || d.IsSigned() == (lo == 0) {
				t.Errorf("%v: range [%d, %d]", d, lo, hi)
			}
		}
	}
	if _, err := ParseDType("float12"); err == nil {
		t.Error("float12: no error")
	}
	if _, ok := Int4.ByteSize(-1); ok {
		t.Error("negative count: want false")
	}
}
