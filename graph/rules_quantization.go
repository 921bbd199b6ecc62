package graph

import (
	"github.com/compactify/compactify/tensor"
)

func quantizationRules() map[string]*Rule {
	return map[string]*Rule{
		"QuantizeLinear":        {Since: []int{10}, MinIn: 2, MaxIn: 3, Infer: inferQuantize},
		"DequantizeLinear":      {Since: []int{10}, MinIn: 2, MaxIn: 3, Infer: inferDequantize},
		"DynamicQuantizeLinear": {Since: []int{11}, MinIn: 1, MaxIn: 1, MinOut: 1, MaxOut: 3, Infer: inferDynamicQuantize, Lower: lowerDynamicQuantize},
		"QLinearMatMul":         {Since: []int{10}, MinIn: 8, MaxIn: 8, Infer: inferQLinearMatMul, Lower: lowerQLinearMatMul},
		"QLinearConv":           {Since: []int{10}, MinIn: 8, MaxIn: 9, Infer: inferQLinearConv, Lower: lowerQLinearConv},
		"MatMulInteger":         {Since: []int{10}, MinIn: 2, MaxIn: 4, Infer: inferMatMulInteger, Lower: lowerMatMulInteger},
		"ConvInteger":           {Since: []int{10}, MinIn: 2, MaxIn: 4, Infer: inferConvInteger, Lower: lowerConvInteger},
	}
}

// inferQuantize: the output's number type is the zero point's, else
// output_dtype, else uint8.
func inferQuantize(c *Inference) error {
	x := c.In(0)
	if x.DType != tensor.Int32 {
		if err := c.want(floats, 0); err != nil {
			return err
		}
	}
	if err := c.want(floats, 1); err != nil {
		return err
	}
	asked := tensor.DType(c.Attrs.Int("output_dtype", 0))
	out := asked
	if zero := c.In(2).DType; zero != tensor.Undefined {
		if asked != tensor.Undefined && asked != zero {
			return c.Errorf("attribute output_dtype: got %v, want %v as the zero point has", asked, zero)
		}
		out = zero
	} else if out == tensor.Undefined && !c.HasIn(2) {
		out = tensor.Uint8
	}
	if err := c.granularity(); err != nil {
		return err
	}
	c.Set(0, x.With(out))
	return nil
}

// inferDequantize: the output's number type is output_dtype, else the scale's.
func inferDequantize(c *Inference) error {
	if _, err := c.same(0, 2); err != nil {
		return err
	}
	if err := c.want(floats, 1); err != nil {
		return err
	}
	if d := c.In(0).DType; d != tensor.Undefined && (d.Bits() > 8 && d.IsFloat() || !d.IsInteger() && !d.IsFloat()) {
		return c.Errorf("input 0: number type: got %v, want an integer or an 8- or 4-bit float", d)
	}
	out := tensor.DType(c.Attrs.Int("output_dtype", 0))
	if out == tensor.Undefined {
		out = c.In(1).DType
	}
	if err := c.granularity(); err != nil {
		return err
	}
	c.Set(0, c.In(0).With(out))
	return nil
}

// granularity checks the shapes of scale and zero point: one element for the
// whole tensor, a vector along axis, or a block_size-th of x along axis.
func (c *Inference) granularity() error {
	x, scale, zero := c.In(0), c.In(1), c.In(2)
	single := func(t tensor.Type) bool {
		return t.Rank() == 0 || t.Rank() == 1 && (t.Shape[0].Size == 1 || !t.Shape[0].Known())
	}
	if scale.Ranked() && zero.Ranked() && !(single(scale) && single(zero)) {
		if c.shapeIs(2, scale.Shape) != nil {
			return c.Errorf("input 2: got zero point %v, want the shape of scale %v", zero, scale)
		}
	}
	block := c.Attrs.Int("block_size", 0)
	if block < 0 {
		return c.Errorf("attribute block_size: got %d, want 0 or more", block)
	}
	if !x.Ranked() || !scale.Ranked() || block == 0 && single(scale) {
		return nil
	}
	axis, err := c.axis("axis", 1, x.Rank())
	if err != nil {
		return err
	}
	if block == 0 {
		return c.channels(1, x.Shape[axis])
	}
	if scale.Rank() != x.Rank() {
		return c.Errorf("input 1: got scale %v, want rank %d as %v in blocks of %d", scale, x.Rank(), x, block)
	}
	for i, d := range x.Shape {
		want := d
		if i == axis {
			want = tensor.Unknown()
			if d.Known() {
				want = tensor.Fixed((d.Size + block - 1) / block)
			}
		}
		if _, ok := mergeDims(want, scale.Shape[i]); !ok {
			return c.Errorf("input 1: got scale %v, want %v on axis %d of %v in blocks of %d", scale, want, i, x, block)
		}
	}
	return nil
}

func inferDynamicQuantize(c *Inference) error {
	if err := c.want(floats, 0); err != nil {
		return err
	}
	c.Set(0, c.In(0).With(tensor.Uint8))
	c.Set(1, tensor.TypeOf(tensor.Float32))
	c.Set(2, tensor.TypeOf(tensor.Uint8))
	return nil
}

// lowerDynamicQuantize follows the operator's definition: the range, widened to
// hold 0, is divided into 255 steps.
func lowerDynamicQuantize(b *Builder, n *Node) []*Value {
	x := n.In[0]
	zero, top := b.ConstLike(x, 0), b.ConstLike(x, 255)
	all := Attributes{Int("keepdims", 0)}
	low := b.Op("Min", b.With("ReduceMin", all, x), zero)
	high := b.Op("Max", b.With("ReduceMax", all, x), zero)
	scale := b.Op("Div", b.Op("Sub", high, low), top)
	point := b.Op("Round", b.Op("Clip", b.Op("Sub", zero, b.Op("Div", low, scale)), zero, top))
	point = b.With("Cast", castTo(tensor.Uint8), point)
	return []*Value{b.Op("QuantizeLinear", x, scale, point), scale, point}
}

func castTo(d tensor.DType) Attributes { return Attributes{Int("to", int(d))} }

// inferQLinearMatMul: (a, scale, zero point), (b, scale, zero point), (y's
// scale, zero point).
func inferQLinearMatMul(c *Inference) error {
	shape, err := matMulShape(c.In(0).Shape, c.In(3).Shape)
	if err != nil {
		return c.Errorf("%w", err)
	}
	if err := c.quantizedPairs(); err != nil {
		return err
	}
	c.Set(0, tensor.Type{DType: c.In(7).DType, Shape: shape})
	return nil
}

// quantizedPairs checks that data and zero points agree in number type and that
// scales are floats.
func (c *Inference) quantizedPairs() error {
	for _, i := range []int{0, 3} {
		if _, err := c.same(i, i+2); err != nil {
			return err
		}
	}
	return c.want(floats, 1, 4, 6)
}

// lowerQLinearMatMul multiplies the dequantised matrices.
func lowerQLinearMatMul(b *Builder, n *Node) []*Value {
	a := b.dequantizeRows(n.In[0], n.In[1], n.In[2])
	w := b.dequantize(n.In[3], n.In[4], n.In[5])
	return []*Value{b.Op("QuantizeLinear", b.Op("MatMul", a, w), n.In[6], n.In[7])}
}

// dequantize is (q - zero)·scale with scale and zero broadcast from the last
// axis. One scale, or one for each entry of that axis, is what DequantizeLinear
// knows, which compilers recognise.
func (b *Builder) dequantize(q, scale, zero *Value) *Value {
	if scale.Type.Ranked() && scale.Type.Rank() <= 1 && zero.Type.Ranked() && zero.Type.Rank() == scale.Type.Rank() {
		return b.With("DequantizeLinear", Attributes{Int("axis", -1)}, q, scale, zero)
	}
	to := castTo(scale.Type.DType)
	return b.Op("Mul", b.Op("Sub", b.With("Cast", to, q), b.With("Cast", to, zero)), scale)
}

// dequantizeRows takes vectors of scales and zero points as one entry per row.
func (b *Builder) dequantizeRows(q, scale, zero *Value) *Value {
	return b.dequantize(q, b.perRow(scale), b.perRow(zero))
}

// perRow makes a vector a column; anything else broadcasts as it is.
func (b *Builder) perRow(v *Value) *Value {
	if v.Type.Rank() != 1 || v.Type.Shape[0].Size == 1 {
		return v
	}
	return b.Op("Unsqueeze", v, b.Const(tensor.Ints(1)))
}

// inferQLinearConv: (x, scale, zero point), (w, scale, zero point), (y's scale,
// zero point), int32 bias of scale x's times w's.
func inferQLinearConv(c *Inference) error {
	shape, err := c.convShape(0, 3)
	if err != nil {
		return err
	}
	if err := c.quantizedPairs(); err != nil {
		return err
	}
	if d := c.In(8).DType; d != tensor.Undefined && d != tensor.Int32 {
		return c.Errorf("input 8: number type: got %v, want int32", d)
	}
	c.Set(0, tensor.Type{DType: c.In(7).DType, Shape: shape})
	return nil
}

// lowerQLinearConv convolves the dequantised tensors.
func lowerQLinearConv(b *Builder, n *Node) []*Value {
	perFilter := Attributes{Int("axis", 0)}
	in := []*Value{
		b.Op("DequantizeLinear", n.In[0], n.In[1], n.In[2]),
		b.With("DequantizeLinear", perFilter, n.In[3], n.In[4], n.In[5]),
	}
	if bias := n.Input(8); bias != nil {
		scale := b.Op("Mul", n.In[1], n.In[4])
		in = append(in, b.Op("Mul", b.With("Cast", castTo(scale.Type.DType), bias), scale))
	}
	return []*Value{b.Op("QuantizeLinear", b.With("Conv", n.Attrs, in...), n.In[6], n.In[7])}
}

func inferMatMulInteger(c *Inference) error {
	shape, err := matMulShape(c.In(0).Shape, c.In(1).Shape)
	if err != nil {
		return c.Errorf("%w", err)
	}
	if err := c.integerPairs(); err != nil {
		return err
	}
	c.Set(0, tensor.Type{DType: tensor.Int32, Shape: shape})
	return nil
}

// integerPairs checks that inputs 0 and 1 are integers, as their zero points 2
// and 3.
func (c *Inference) integerPairs() error {
	for i := range 2 {
		if _, err := c.same(i, i+2); err != nil {
			return err
		}
	}
	return c.want(integers, 0, 1)
}

// lowerMatMulInteger computes in float64, which holds every sum of products of
// 8-bit integers that an int32 holds.
func lowerMatMulInteger(b *Builder, n *Node) []*Value {
	zero := n.Input(2)
	if zero != nil {
		zero = b.perRow(zero)
	}
	y := b.Op("MatMul", b.centred(n.In[0], zero), b.centred(n.In[1], n.Input(3)))
	return []*Value{b.With("Cast", castTo(tensor.Int32), y)}
}

// centred is q - zero in float64; zero may be omitted.
func (b *Builder) centred(q, zero *Value) *Value {
	wide := castTo(tensor.Float64)
	q = b.With("Cast", wide, q)
	if zero == nil {
		return q
	}
	return b.Op("Sub", q, b.With("Cast", wide, zero))
}

func inferConvInteger(c *Inference) error {
	shape, err := c.convShape(0, 1)
	if err != nil {
		return err
	}
	if err := c.integerPairs(); err != nil {
		return err
	}
	c.Set(0, tensor.Type{DType: tensor.Int32, Shape: shape})
	return nil
}

// lowerConvInteger computes in float64, as lowerMatMulInteger does. A vector of
// w's zero points has one entry per filter.
func lowerConvInteger(b *Builder, n *Node) []*Value {
	zero := n.Input(3)
	if zero != nil && zero.Type.Rank() == 1 && zero.Type.Shape[0].Size != 1 {
		rank, err := n.inputRank(1)
		if err != nil {
			b.Fail(err)
		}
		zero = b.Op("Unsqueeze", zero, b.Const(tensor.Ints(axisRange(1, rank)...)))
	}
	y := b.With("Conv", n.Attrs, b.centred(n.In[0], n.Input(2)), b.centred(n.In[1], zero))
	return []*Value{b.With("Cast", castTo(tensor.Int32), y)}
}
