package engine

import (
	"math"

	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

func quantizationKernels() map[string]prepare {
	return map[string]prepare{
		"QuantizeLinear":   bindQuantize,
		"DequantizeLinear": bindDequantize,
	}
}

// granularity maps an element of a tensor to its scale: one for the tensor, one
// per entry of an axis, or one per block of entries along it.
type granularity struct {
	size, inner, axis, block, blocks int
}

func (s *site) granularity() granularity {
	x, scale := s.inShape(0), s.inShape(1)
	g := granularity{size: elements(x), inner: max(1, elements(x)), axis: 1, block: 1, blocks: 1}
	if elements(scale) <= 1 && len(scale) <= 1 && s.node.Attrs.Int("block_size", 0) == 0 {
		return g
	}
	axis := axisOf(s.node.Attrs.Int("axis", 1), len(x))
	g.axis, g.inner = x[axis], elements(x[axis+1:])
	g.block = max(1, s.node.Attrs.Int("block_size", 1))
	g.blocks = (g.axis + g.block - 1) / g.block
	return g
}

// rows is the number of stretches of equal scale, each of inner elements.
func (g granularity) rows() int { return g.size / max(1, g.inner) }

// scale is the index of the first scale of row r. With blocks, each element of
// the row has a scale of its own, next to one another; without, the row shares
// one.
func (g granularity) scale(r int) int {
	outer, at := r/g.axis, r%g.axis
	if g.block == 1 {
		return at
	}
	return (outer*g.blocks + at/g.block) * g.inner
}

// stride is the distance between the scales of neighbours in a row.
func (g granularity) stride() int {
	if g.block == 1 {
		return 0
	}
	return 1
}

// bindDequantize computes (x − zero)·scale for every stored type. Weights are
// constant, so this mostly runs once, when the program is compiled.
func bindDequantize(s *site) (func() error, error) {
	g, stride := s.granularity(), s.granularity().stride()
	if d := s.inDType(0); s.bytewise(g, d) && s.node.Out[0].Type.DType == tensor.Float32 {
		if d == tensor.Uint8 {
			return func() error { return s.dequantizeBytes(s.in[0].Raw(), 0) }, nil
		}
		memory := s.scratch(g.size)
		return func() error {
			kernel.Int8Flip(s.pool, memory.raw, s.in[0].Raw())
			return s.dequantizeBytes(memory.raw, 128)
		}, nil
	}
	return s.parallel(g.rows(), 1+elementGrain/max(1, g.inner), func(_, lo, hi int) {
		x, scale, y := *s.in[0], *s.in[1], *s.out[0]
		zero := s.zeroPoint()
		for r := lo; r < hi; r++ {
			k := g.scale(r)
			for i := r * g.inner; i < (r+1)*g.inner; i++ {
				y.Set(i, (x.At(i)-zero(k))*scale.At(k))
				k += stride
			}
		}
	}), nil
}

// zeroPoint reads the optional third input.
func (s *site) zeroPoint() func(k int) float64 {
	if !s.hasIn(2) {
		return func(int) float64 { return 0 }
	}
	return s.in[2].At
}

// bindQuantize computes saturate(round(x/scale) + zero), halves to even.
func bindQuantize(s *site) (func() error, error) {
	g, stride := s.granularity(), s.granularity().stride()
	if d := s.node.Out[0].Type.DType; s.bytewise(g, d) && s.inDType(0) == tensor.Float32 {
		return func() error { return s.quantizeBytes(d) }, nil
	}
	integer := s.node.Out[0].Type.DType.IsInteger()
	single := s.inDType(0) == tensor.Float32
	// Packed elements share bytes: a thread's rows must begin at a whole byte.
	grain := 1 + elementGrain/max(1, g.inner)
	if s.node.Out[0].Type.DType.Bits() < 8 {
		grain = g.rows()
	}
	return s.parallel(g.rows(), grain, func(_, lo, hi int) {
		x, scale, y := *s.in[0], *s.in[1], *s.out[0]
		zero := s.zeroPoint()
		for r := lo; r < hi; r++ {
			k := g.scale(r)
			for i := r * g.inner; i < (r+1)*g.inner; i++ {
				v := x.At(i) / scale.At(k)
				if single {
					v = float64(float32(x.At(i)) / float32(scale.At(k)))
				}
				if integer {
					v = math.RoundToEven(v) + zero(k)
				}
				y.Set(i, v)
				k += stride
			}
		}
	}), nil
}

// bytewise reports whether a tensor is converted as a whole to or from bytes of
// type d, for which there are fast loops.
func (s *site) bytewise(g granularity, d tensor.DType) bool {
	return (d == tensor.Uint8 || d == tensor.Int8) && g.rows() == 1 && g.stride() == 0 && s.inDType(1) == tensor.Float32 && g.size > 0
}

// quantizeBytes rounds to bytes; signed ones are unsigned ones less 128.
func (s *site) quantizeBytes(d tensor.DType) error {
	y, zero := s.out[0].Raw(), s.zeroPoint()(0)
	if d == tensor.Int8 {
		zero += 128
	}
	kernel.Int8Quantize(s.pool, y, s.in[0].Float32s(), float32(s.in[1].At(0)), uint8(zero))
	if d == tensor.Int8 {
		kernel.Int8Flip(s.pool, y, y)
	}
	return nil
}

// dequantizeBytes converts bytes that are more by offset than the integers they
// stand for.
func (s *site) dequantizeBytes(q []uint8, offset float64) error {
	kernel.Int8Dequantize(s.pool, s.out[0].Float32s(), q, float32(s.in[1].At(0)), uint8(s.zeroPoint()(0)+offset))
	return nil
}
