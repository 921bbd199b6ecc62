package graph

import (
	"math"

	"github.com/compactify/compactify/tensor"
)

// internalRules are operators of the program's own, which gradients and
// training insert. None is ever written to a file.
//
//	ConvGradX(w, dy, xShape) → dx          cotangent of Conv's x; Conv's attributes, pads explicit
//	ConvGradW(x, dy) → dw                  cotangent of Conv's w; as above, with kernel_shape
//	MaxPoolScatter(dy, indices, xShape)    dy added into zeros at MaxPool's indices
//	MaxPoolGather(d, indices)              d's elements at MaxPool's indices
//	AveragePoolGrad(dy, xShape) → dx       cotangent of AveragePool's x; its attributes
//	FakeQuantize(x, scale, zero?) → y      scale·(clip(round(x/scale) + zero) - zero)
//	FakeQuantizeGrad(dy, x, scale) → dx, dscale   its cotangents, without zero; its attributes
//	SliceGrad(dy, xShape, starts, ends…)   adjoint of Slice, whose other inputs follow
//	ResizeGrad(dy, xShape, roi, scales…)   adjoint of Resize, whose other inputs follow
//	ReluGrad(dy, x)                        dy where x > 0, else 0
//	SoftmaxCrossEntropy(z, p) → loss       mean over n of -Σ_k p[n,k]·log softmax(z)[n,k]
//	SoftmaxCrossEntropyGrad(z, p, dloss)   its cotangent of z
func internalRules() map[string]*Rule {
	return map[string]*Rule{
		"compactify.ConvGradX":               {MinIn: 3, MaxIn: 3, Infer: inferConvGradX},
		"compactify.ConvGradW":               {MinIn: 2, MaxIn: 2, Infer: inferConvGradW},
		"compactify.MaxPoolScatter":          {MinIn: 3, MaxIn: 3, Infer: inferMaxPoolScatter, Lower: lowerMaxPoolScatter},
		"compactify.MaxPoolGather":           {MinIn: 2, MaxIn: 2, Infer: inferMaxPoolGather, Lower: lowerMaxPoolGather},
		"compactify.AveragePoolGrad":         {MinIn: 2, MaxIn: 2, Infer: inferAveragePoolGrad},
		"compactify.SliceGrad":               {MinIn: 4, MaxIn: 6, Infer: inferSliceGrad},
		"compactify.ResizeGrad":              {MinIn: 2, MaxIn: 5, Infer: inferResizeGrad},
		"compactify.FakeQuantize":            {MinIn: 2, MaxIn: 3, Infer: inferFakeQuantize, Lower: lowerFakeQuantize},
		"compactify.FakeQuantizeGrad":        {MinIn: 3, MaxIn: 3, MaxOut: 2, Infer: inferFakeQuantizeGrad, Lower: lowerFakeQuantizeGrad},
		"compactify.ReluGrad":                {MinIn: 2, MaxIn: 2, Infer: inferReluGrad, Lower: lowerReluGrad},
		"compactify.SoftmaxCrossEntropy":     {MinIn: 2, MaxIn: 2, Infer: inferCrossEntropy, Lower: lowerCrossEntropy},
		"compactify.SoftmaxCrossEntropyGrad": {MinIn: 3, MaxIn: 3, Infer: inferCrossEntropyGrad, Lower: lowerCrossEntropyGrad},
	}
}

// shapeInput is a type of the number type d whose shape is the entries of input
// i.
func (c *Inference) shapeInput(d tensor.DType, i int) tensor.Type {
	t := tensor.Type{DType: d}
	if dims, ok := c.sizes(i); ok {
		t.Shape = dims
	} else if n := c.vectorLen(i); n >= 0 {
		t.Shape = unknownDims(n)
	}
	return t
}

func inferConvGradX(c *Inference) error {
	d, err := c.same(0, 1)
	if err != nil {
		return err
	}
	out := c.shapeInput(d, 2)
	w, dy := c.In(0), c.In(1)
	if w.Ranked() && out.Ranked() && w.Rank() != out.Rank() || w.Ranked() && dy.Ranked() && w.Rank() != dy.Rank() {
		return c.Errorf("inputs: got w %v, dy %v and x of rank %d, want equal ranks", w, dy, out.Rank())
	}
	if err := c.convGrad(out, w, dy); err != nil {
		return err
	}
	c.Set(0, out)
	return nil
}

// inferSliceGrad: the cotangent of Slice's input, of the shape input 1 gives.
func inferSliceGrad(c *Inference) error {
	if err := c.want(indices, 1, 2, 3, 4, 5); err != nil {
		return err
	}
	c.Set(0, c.shapeInput(c.In(0).DType, 1))
	return nil
}

// inferResizeGrad: the cotangent of Resize's input, of the shape input 1 gives.
func inferResizeGrad(c *Inference) error {
	if err := c.want(indices, 1); err != nil {
		return err
	}
	c.Set(0, c.shapeInput(c.In(0).DType, 1))
	return nil
}

// convGrad checks that dy has the shape of Conv(x, w) where all are known.
func (c *Inference) convGrad(x, w, dy tensor.Type) error {
	xs, ok := x.Static()
	ws, okW := w.Static()
	ds, okD := dy.Static()
	if !ok || !okW || !okD {
		return nil
	}
	win, err := ConvGeometry(c.Node, xs, ws)
	if err != nil {
		return c.Errorf("%w", err)
	}
	want := append([]int{xs[0], ws[0]}, win.Out...)
	for i, n := range want {
		if ds[i] != n {
			return c.Errorf("cotangent: got %v, want %v for x %v and w %v", dy, want, x, w)
		}
	}
	return nil
}

func inferConvGradW(c *Inference) error {
	d, err := c.same(0, 1)
	if err != nil {
		return err
	}
	x, dy := c.In(0), c.In(1)
	kernel := c.Attrs.Ints("kernel_shape")
	if kernel == nil {
		return c.Errorf("attribute kernel_shape: missing")
	}
	out := tensor.Type{DType: d, Shape: unknownDims(2)}
	for _, k := range kernel {
		out.Shape = append(out.Shape, tensor.Fixed(k))
	}
	group := c.Attrs.Int("group", 1)
	if x.Ranked() && dy.Ranked() {
		if x.Rank() != len(kernel)+2 || dy.Rank() != x.Rank() {
			return c.Errorf("inputs: got x %v and dy %v, want rank %d", x, dy, len(kernel)+2)
		}
		if group < 1 || x.Shape[1].Known() && x.Shape[1].Size%group != 0 {
			return c.Errorf("attribute group: got %d, want a divisor of the channels of %v", group, x)
		}
		out.Shape[0] = dy.Shape[1]
		out.Shape[1] = divDims(x.Shape[1], tensor.Fixed(group))
		if err := c.convGrad(x, out, dy); err != nil {
			return err
		}
	}
	c.Set(0, out)
	return nil
}

func inferMaxPoolScatter(c *Inference) error {
	if err := c.samePicked(0, 1); err != nil {
		return err
	}
	c.Set(0, c.shapeInput(c.In(0).DType, 2))
	return nil
}

// samePicked checks that indices (input i) have the shape of the data they
// belong to (input d).
func (c *Inference) samePicked(d, i int) error {
	if err := c.want(indices, i); err != nil {
		return err
	}
	data, ind := c.In(d), c.In(i)
	if !data.Ranked() || !ind.Ranked() {
		return nil
	}
	if data.Rank() != ind.Rank() {
		return c.Errorf("input %d: got indices %v, want the shape of %v", i, ind, data)
	}
	for k := range data.Shape {
		if _, ok := mergeDims(data.Shape[k], ind.Shape[k]); !ok {
			return c.Errorf("input %d: got indices %v, want the shape of %v", i, ind, data)
		}
	}
	return nil
}

// lowerMaxPoolScatter adds dy into a flat tensor of zeros.
func lowerMaxPoolScatter(b *Builder, n *Node) []*Value {
	dy, ind, shape := n.In[0], n.In[1], n.In[2]
	flat := b.Const(tensor.Ints(-1))
	zero := tensor.New(dy.Type.DType, 1)
	zeros := b.Op("Reshape", b.With("ConstantOfShape", Attributes{TensorOf("value", zero)}, shape), flat)
	sum := b.With("ScatterElements", Attributes{Int("axis", 0), Text("reduction", "add")},
		zeros, b.Op("Reshape", ind, flat), b.Op("Reshape", dy, flat))
	return []*Value{b.Op("Reshape", sum, shape)}
}

func inferMaxPoolGather(c *Inference) error {
	if err := c.want(indices, 1); err != nil {
		return err
	}
	c.Set(0, c.In(1).With(c.In(0).DType))
	return nil
}

func lowerMaxPoolGather(b *Builder, n *Node) []*Value {
	return []*Value{b.Op("Gather", b.Op("Reshape", n.In[0], b.Const(tensor.Ints(-1))), n.In[1])}
}

func inferAveragePoolGrad(c *Inference) error {
	out := c.shapeInput(c.In(0).DType, 1)
	dy := c.In(0)
	if sizes, ok := out.Static(); ok && dy.Ranked() {
		win, err := PoolGeometry(c.Node, sizes)
		if err != nil {
			return c.Errorf("%w", err)
		}
		want := append([]int{sizes[0], sizes[1]}, win.Out...)
		for i, n := range want {
			if len(want) != dy.Rank() || dy.Shape[i].Known() && dy.Shape[i].Size != n {
				return c.Errorf("input 0: got %v, want %v for x %v", dy, want, out)
			}
		}
	}
	c.Set(0, out)
	return nil
}

// inferFakeQuantize: scale (and zero) is a scalar or a vector along axis.
func inferFakeQuantize(c *Inference) error {
	d, err := c.same(0, 1, 2)
	if err != nil {
		return err
	}
	if err := c.want(floats, 0); err != nil {
		return err
	}
	if bits := c.Attrs.Int("bits", 8); bits < 1 || bits > 24 {
		return c.Errorf("attribute bits: got %d, want 1 to 24", bits)
	}
	if err := c.granularity(); err != nil {
		return err
	}
	c.Set(0, c.In(0).With(d))
	return nil
}

// inferFakeQuantizeGrad: dx is like x, dscale like the scale.
func inferFakeQuantizeGrad(c *Inference) error {
	if _, err := c.same(0, 1, 2); err != nil {
		return err
	}
	if err := c.want(floats, 1); err != nil {
		return err
	}
	c.Set(0, c.In(1))
	c.Set(1, c.In(2))
	return nil
}

// FakeQuantizeRange is the integer range of a FakeQuantize node: bits wide
// (8 by default), signed (the default) or not, and without the lowest negative
// number if narrow.
func FakeQuantizeRange(n *Node) (lo, hi float64) {
	levels := math.Ldexp(1, n.Attrs.Int("bits", 8))
	if n.Attrs.Int("signed", 1) == 0 {
		return 0, levels - 1
	}
	lo, hi = -levels/2, levels/2-1
	if n.Attrs.Int("narrow", 0) != 0 {
		lo++
	}
	return lo, hi
}

func lowerFakeQuantize(b *Builder, n *Node) []*Value {
	x := n.In[0]
	spread, _ := b.gridSteps(n)
	scale := spread(n.In[1])
	q := b.Op("Round", b.Op("Div", x, scale))
	lo, hi := FakeQuantizeRange(n)
	var zero *Value
	if n.Input(2) != nil {
		zero = spread(n.In[2])
		q = b.Op("Add", q, zero)
	}
	q = b.Op("Clip", q, b.ConstLike(x, lo), b.ConstLike(x, hi))
	if zero != nil {
		q = b.Op("Sub", q, zero)
	}
	return []*Value{b.Op("Mul", q, scale)}
}

// spreadAlong gives a vector the axes behind it that make it broadcast along the
// node's axis.
func (b *Builder) spreadAlong(n *Node, v *Value) *Value {
	if v.Type.Rank() != 1 || v.Type.Shape[0].Size == 1 {
		return v
	}
	rank, err := n.inputRank(0)
	if err != nil {
		b.Fail(err)
		return v
	}
	axis, err := normAxis(n.Attrs.Int("axis", 1), rank)
	if err != nil {
		b.Fail(err)
	}
	if axis+1 == rank {
		return v
	}
	return b.Op("Unsqueeze", v, b.Const(tensor.Ints(axisRange(1, rank-axis)...)))
}

func inferReluGrad(c *Inference) error {
	if err := c.want(signeds, 0); err != nil {
		return err
	}
	return inferBroadcastOf(signeds)(c)
}

func lowerReluGrad(b *Builder, n *Node) []*Value {
	dy, x := n.In[0], n.In[1]
	return []*Value{b.Op("Where", b.Op("Greater", x, b.ConstLike(x, 0)), dy, b.ConstLike(dy, 0))}
}

// inferCrossEntropy: z and p [N, K] → scalar.
func inferCrossEntropy(c *Inference) error {
	d, err := c.crossEntropyPair()
	if err != nil {
		return err
	}
	c.Set(0, tensor.TypeOf(d))
	return nil
}

func (c *Inference) crossEntropyPair() (tensor.DType, error) {
	if err := c.want(floats, 0, 1); err != nil {
		return 0, err
	}
	d, err := c.same(0, 1)
	if err != nil {
		return 0, err
	}
	z, p := c.In(0), c.In(1)
	for i := range 2 {
		if err := c.rank(i, 2); err != nil {
			return 0, err
		}
	}
	if z.Ranked() && p.Ranked() {
		for i := range 2 {
			if _, ok := mergeDims(z.Shape[i], p.Shape[i]); !ok {
				return 0, c.Errorf("input 1: got %v, want the shape of %v", p, z)
			}
		}
	}
	return d, nil
}

func lowerCrossEntropy(b *Builder, n *Node) []*Value {
	logs := b.With("LogSoftmax", Attributes{Int("axis", 1)}, n.In[0])
	each := b.With("ReduceSum", Attributes{Int("keepdims", 0)}, b.Op("Mul", n.In[1], logs), b.Const(tensor.Ints(1)))
	mean := b.With("ReduceMean", Attributes{Int("keepdims", 0)}, each, b.Const(tensor.Ints(0)))
	return []*Value{b.Op("Neg", mean)}
}

func inferCrossEntropyGrad(c *Inference) error {
	d, err := c.crossEntropyPair()
	if err != nil {
		return err
	}
	if err := c.scalar(2); err != nil {
		return err
	}
	c.Set(0, c.In(0).With(d))
	return nil
}

// lowerCrossEntropyGrad: dloss/N · (softmax(z)·Σ_k p - p); the sum is 1 for
// probabilities, and written out so that p has the right derivative too.
func lowerCrossEntropyGrad(b *Builder, n *Node) []*Value {
	z, p, dloss := n.In[0], n.In[1], n.In[2]
	soft := b.With("Softmax", Attributes{Int("axis", 1)}, z)
	mass := b.With("ReduceSum", Attributes{Int("keepdims", 1)}, p, b.Const(tensor.Ints(1)))
	rows := b.With("Shape", Attributes{Int("start", 0), Int("end", 1)}, z)
	count := b.With("Cast", castTo(z.Type.DType), b.Op("Squeeze", rows, b.Const(tensor.Ints(0))))
	return []*Value{b.Op("Mul", b.Op("Sub", b.Op("Mul", soft, mass), p), b.Op("Div", dloss, count))}
}
