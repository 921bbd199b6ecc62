package engine

import (
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// grid is the scale and zero point of a tensor quantised to bytes as a whole. The
// zero point is that of the unsigned form.
type grid struct {
	scale  float32
	zero   uint8
	signed bool
}

// gridOf reads the scale and zero point of a QuantizeLinear or DequantizeLinear
// whose integers have type d.
func (c *compiler) gridOf(n *graph.Node, d tensor.DType) (grid, bool) {
	if d != tensor.Uint8 && d != tensor.Int8 {
		return grid{}, false
	}
	scale, ok := c.single(n.Input(1))
	g := grid{scale: float32(scale), signed: d == tensor.Int8}
	if !ok || !(g.scale > 0) || math.IsInf(scale, 0) || n.In[1].Type.DType != tensor.Float32 || n.Attrs.Int("block_size", 0) != 0 {
		return g, false
	}
	zero := 0.0
	if n.Input(2) != nil {
		if zero, ok = c.single(n.In[2]); !ok {
			return g, false
		}
	}
	if g.signed {
		zero += 128
	}
	g.zero = uint8(zero)
	return g, true
}

// single is the element of a constant that has one.
func (c *compiler) single(v *graph.Value) (float64, bool) {
	if v == nil || c.mutable[v] {
		return 0, false
	}
	t, ok := c.facts.Data(v)
	if !ok || t.Len() != 1 || t.Rank() > 1 {
		return 0, false
	}
	return t.At(0), true
}

// rounding is the grid of a QuantizeLinear to bytes.
func (c *compiler) rounding(n *graph.Node) (grid, bool) {
	if n == nil || n.Kind() != "QuantizeLinear" || n.In[0].Type.DType != tensor.Float32 {
		return grid{}, false
	}
	return c.gridOf(n, n.Out[0].Type.DType)
}

// clamps is the bounds of a Relu or a Clip with constant bounds.
func (c *compiler) clamps(n *graph.Node) (lo, hi float32, ok bool) {
	lo, hi = float32(math.Inf(-1)), float32(math.Inf(1))
	if n.Kind() == "Relu" {
		return 0, hi, true
	}
	if n.Kind() != "Clip" {
		return 0, 0, false
	}
	for i, b := range []*float32{&lo, &hi} {
		if n.Input(i+1) == nil {
			continue
		}
		v, known := c.single(n.In[i+1])
		if !known || math.IsNaN(v) {
			return 0, 0, false
		}
		*b = float32(v)
	}
	return lo, hi, true
}

// integerWeights are the constant integers of a layer, filters first, and their scales
// by filter.
type integerWeights struct {
	ints   []int8
	shape  []int
	scales []float32
}

// storedWeights reads what a DequantizeLinear of constants makes v of; axis is
// that of the filters.
func (p *integerPass) storedWeights(v *graph.Value, axis int) (*integerWeights, bool) {
	n := p.c.stored[v]
	if n == nil {
		n = p.producer[v]
	}
	if n == nil || n.Kind() != "DequantizeLinear" || v.Type.DType != tensor.Float32 || n.Attrs.Int("block_size", 0) != 0 {
		return nil, false
	}
	q, ok := p.c.facts.Data(n.In[0])
	scale, known := p.c.facts.Data(n.In[1])
	if !ok || !known || !q.DType().IsInteger() || q.DType().Bits() > 8 || scale.DType() != tensor.Float32 ||
		p.c.mutable[n.In[0]] || p.c.mutable[n.In[1]] || q.Rank() < 2 {
		return nil, false
	}
	filters := q.Shape()[axis]
	along := axisOf(n.Attrs.Int("axis", 1), q.Rank())
	if scale.Len() != 1 && (along != axis || scale.Len() != filters) {
		return nil, false
	}
	zero := func(int) float64 { return 0 }
	if n.Input(2) != nil {
		z, ok := p.c.facts.Data(n.In[2])
		if !ok || z.Len() != scale.Len() || p.c.mutable[n.In[2]] {
			return nil, false
		}
		zero = z.At
	}
	return readWeights(q, axis, scale.Float32s(), zero)
}

// readWeights moves the filters first and takes the zero points off. It reports
// false if the integers leave int8 thereby.
func readWeights(q tensor.Tensor, axis int, scales []float32, zero func(int) float64) (*integerWeights, bool) {
	shape := q.Shape()
	filters, inner, size := shape[axis], elements(shape[axis+1:]), q.Len()
	w := &integerWeights{ints: make([]int8, size), shape: append([]int{filters}, slices.Delete(slices.Clone(shape), axis, axis+1)...), scales: make([]float32, filters)}
	for f := range filters {
		w.scales[f] = scales[f%len(scales)]
		if !(w.scales[f] > 0) || math.IsInf(float64(w.scales[f]), 0) {
			return nil, false
		}
	}
	if filters == 0 || size == 0 {
		return nil, false
	}
	per := size / filters
	for i := range size {
		f := i / inner % filters
		v := q.At(i) - zero(f%len(scales))
		if v < math.MinInt8 || v > math.MaxInt8 {
			return nil, false
		}
		w.ints[f*per+i/(inner*filters)*inner+i%inner] = int8(v)
	}
	return w, true
}

// bias reads a constant with one finite number per filter, or one for all. A NaN
// or an infinity has no place among integers: the layer stays one of reals.
func (p *integerPass) bias(v *graph.Value, filters int) ([]float32, bool) {
	b := make([]float32, filters)
	if v == nil {
		return b, true
	}
	t, ok := p.c.facts.Data(v)
	if !ok || p.c.mutable[v] || t.DType() != tensor.Float32 || t.Len() != 1 && (t.Len() != filters || t.Rank() == 0 || t.Shape()[t.Rank()-1] != filters) {
		return nil, false
	}
	for i := range b {
		b[i] = t.Float32s()[i%t.Len()]
		if f := float64(b[i]); math.IsNaN(f) || math.IsInf(f, 0) {
			return nil, false
		}
	}
	return b, true
}
