package engine

import (
	"math"

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
