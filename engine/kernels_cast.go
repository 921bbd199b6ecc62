package engine

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/compactify/compactify/tensor"
)

func castKernels() map[string]prepare {
	return map[string]prepare{"Cast": prepareCast, "CastLike": prepareCast, "BitCast": prepareBitCast}
}

// prepareCast converts as ONNX defines it: floats are truncated to integers,
// integers keep their low bits, all but zero is true.
func prepareCast(s *site) (func() error, error) {
	from, to := s.inDType(0), s.node.Out[0].Type.DType
	switch {
	case from == to:
		return prepareBitCast(s)
	case from.IsComplex() || to.IsComplex():
		return nil, s.unsupported("number types", fmt.Sprintf("%v and %v", from, to))
	case from == tensor.String:
		return s.castFromStrings(to), nil
	case to == tensor.String:
		return s.castToStrings(), nil
	}
	if loop := castLoops[to][from]; loop != nil {
		return s.parallel(elements(s.outShape(0)), elementGrain, func(_, lo, hi int) {
			loop(*s.out[0], *s.in[0], lo, hi)
		}), nil
	}
	set := encoder(to, s.node.Attrs.Int("saturate", 1) != 0, s.node.Attrs.Text("round_mode", "up"))
	return func() error {
		x, y := *s.in[0], *s.out[0]
		for i, n := 0, x.Len(); i < n; i++ {
			set(y, i, x.At(i))
		}
		return nil
	}, nil
}

// prepareBitCast copies the bytes.
func prepareBitCast(s *site) (func() error, error) {
	return func() error {
		copy(s.out[0].Raw(), s.in[0].Raw())
		copy(s.out[0].Strings(), s.in[0].Strings())
		return nil
	}, nil
}

// castLoops converts between types with a Go counterpart, by target and source.
var castLoops = map[tensor.DType]map[tensor.DType]func(dst, src tensor.Tensor, lo, hi int){
	tensor.Float32: castsTo[float32](), tensor.Float64: castsTo[float64](),
	tensor.Int8: castsTo[int8](), tensor.Uint8: castsTo[uint8](), tensor.Int16: castsTo[int16](), tensor.Uint16: castsTo[uint16](),
	tensor.Int32: castsTo[int32](), tensor.Uint32: castsTo[uint32](), tensor.Int64: castsTo[int64](), tensor.Uint64: castsTo[uint64](),
}

func castsTo[D number]() map[tensor.DType]func(dst, src tensor.Tensor, lo, hi int) {
	return map[tensor.DType]func(dst, src tensor.Tensor, lo, hi int){
		tensor.Float32: castLoop[D, float32], tensor.Float64: castLoop[D, float64],
		tensor.Int8: castLoop[D, int8], tensor.Uint8: castLoop[D, uint8], tensor.Int16: castLoop[D, int16], tensor.Uint16: castLoop[D, uint16],
		tensor.Int32: castLoop[D, int32], tensor.Uint32: castLoop[D, uint32], tensor.Int64: castLoop[D, int64], tensor.Uint64: castLoop[D, uint64],
		tensor.Bool: castBools[D],
	}
}

// castBools looks numbers up by the byte of a truth value: all but zero is true.
func castBools[D number](dst, src tensor.Tensor, lo, hi int) {
	var numbers [256]D
	for i := range numbers[1:] {
		numbers[1+i] = 1
	}
	y := tensor.Data[D](dst)[lo:hi]
	for i, b := range src.Raw()[lo:hi] {
		y[i] = numbers[b]
	}
}

func castLoop[D, S number](dst, src tensor.Tensor, lo, hi int) {
	y, x := tensor.Data[D](dst)[lo:hi], tensor.Data[S](src)[lo:hi]
	if S(1)/2 == 0 || D(1)/2 != 0 { // not from a float to an integer
		for i, v := range x {
			y[i] = D(v)
		}
		return
	}
	for i, v := range x {
		if v := float64(v); v >= 1<<63 && v < 1<<64 {
			y[i] = D(uint64(v))
			continue
		}
		y[i] = D(truncate(float64(v)))
	}
}

// truncate drops the fraction. Go leaves the result open for numbers out of
// range; here they saturate on every machine, and NaN becomes 0.
func truncate(v float64) int64 {
	switch {
	case v != v:
		return 0
	case v >= 1<<63:
		return math.MaxInt64
	case v < -1<<63:
		return math.MinInt64
	}
	return int64(v)
}

// encoder stores a number as an element of any real type.
func encoder(to tensor.DType, saturate bool, roundMode string) func(t tensor.Tensor, i int, v float64) {
	switch {
	case to == tensor.Float8E8M0:
		return func(t tensor.Tensor, i int, v float64) { t.Raw()[i] = scaleCode(v, saturate, roundMode) }
	case to.IsFloat() && to.Bits() == 8 && !saturate:
		return setUnsaturated
	case to.IsInteger():
		bits := to.Bits()
		return func(t tensor.Tensor, i int, v float64) {
			n := truncate(v)
			if bits < 64 { // keep the low bits
				n &= 1<<bits - 1
				if to.IsSigned() && n >= 1<<(bits-1) {
					n -= 1 << bits
				}
			}
			t.Set(i, float64(n))
		}
	}
	return tensor.Tensor.Set
}

// overflow8 is, by 8-bit float format, the magnitude from which a number rounds
// to more than the largest finite one, the codes of which stand for it without
// saturation, and whether that magnitude itself still rounds down.
var overflow8 = map[tensor.DType]struct {
	limit  float64
	code   byte // with the sign bit clear
	signed bool
	below  bool
}{
	tensor.Float8E4M3FN:   {464, 0x7f, true, true},    // between 448, whose mantissa is even, and 480
	tensor.Float8E4M3FNUZ: {248, 0x80, false, false},  // between 240 and 256
	tensor.Float8E5M2:     {61440, 0x7c, true, false}, // between 57344 and 65536
	tensor.Float8E5M2FNUZ: {61440, 0x80, false, false},
}

// setUnsaturated stores an 8-bit float; what is too large becomes infinite, or
// NaN in formats without infinity.
func setUnsaturated(t tensor.Tensor, i int, v float64) {
	o := overflow8[t.DType()]
	magnitude := math.Abs(v)
	if !(magnitude > o.limit || magnitude == o.limit && !o.below) {
		t.Set(i, v)
		return
	}
	t.Raw()[i] = o.code
	if o.signed && v < 0 {
		t.Raw()[i] |= 0x80
	}
}

// scaleCode is the code of a power of two in float8e8m0, whose range is 2^-127
// to 2^127; 255 is NaN.
func scaleCode(v float64, saturate bool, roundMode string) byte {
	const nan = 255
	switch {
	case v != v:
		return nan
	case !(v > 0) && saturate:
		return 0
	case !(v > 0), math.IsInf(v, 1) && !saturate:
		return nan
	case math.IsInf(v, 1):
		return 254
	}
	x, e := math.Frexp(v) // v = x·2^e with x in [½, 1)
	e--
	if roundMode == "up" && x > 0.5 || roundMode == "nearest" && x >= 0.75 {
		e++
	}
	if !saturate && (e < -127 || e > 127) {
		return nan
	}
	return byte(max(0, min(254, e+127)))
}

func (s *site) castFromStrings(to tensor.DType) func() error {
	set := encoder(to, s.node.Attrs.Int("saturate", 1) != 0, s.node.Attrs.Text("round_mode", "up"))
	return func() error {
		y := *s.out[0]
		for i, text := range s.in[0].Strings() {
			text = strings.TrimSpace(text)
			if to == tensor.Int64 {
				if n, err := strconv.ParseInt(text, 10, 64); err == nil {
					tensor.Data[int64](y)[i] = n
					continue
				}
			}
			v, err := strconv.ParseFloat(text, 64)
			if err != nil && !math.IsInf(v, 0) {
				return s.errorf("element %d: %q is not a number", i, text)
			}
			set(y, i, v)
		}
		return nil
	}
}

func (s *site) castToStrings() func() error {
	return func() error {
		x, y := *s.in[0], s.out[0].Strings()
		for i := range y {
			y[i] = numberText(x, i)
		}
		return nil
	}
}

// numberText writes element i in the fewest digits that read back the same.
func numberText(x tensor.Tensor, i int) string {
	switch d := x.DType(); {
	case d == tensor.Int64:
		return strconv.FormatInt(tensor.Data[int64](x)[i], 10)
	case d == tensor.Uint64:
		return strconv.FormatUint(tensor.Data[uint64](x)[i], 10)
	case d.IsInteger():
		return strconv.FormatInt(int64(x.At(i)), 10)
	case d == tensor.Bool:
		return map[bool]string{false: "False", true: "True"}[x.At(i) != 0]
	}
	v, bits := x.At(i), 64
	if x.DType() != tensor.Float64 {
		bits = 32
	}
	switch magnitude := math.Abs(v); {
	case v != v:
		return "NaN"
	case math.IsInf(v, 1):
		return "INF"
	case math.IsInf(v, -1):
		return "-INF"
	case magnitude != 0 && (magnitude < 1e-4 || magnitude >= 1e16):
		return strconv.FormatFloat(v, 'e', -1, bits)
	}
	text := strconv.FormatFloat(v, 'f', -1, bits)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}
