package graph

import (
	"slices"

	"github.com/compactify/compactify/tensor"
)

func linearBatches() map[string]batchFunc {
	rules := map[string]batchFunc{
		"MatMul": batchMatMul, "Gemm": batchGemm, "Conv": batchConv, "ConvTranspose": batchConv,
		"compactify.ConvGradX": batchConvGradX, "compactify.ConvGradW": batchConvGradW,
		"MaxPool": batchMaxPool, "compactify.MaxPoolScatter": batchMaxPoolScatter, "compactify.MaxPoolGather": batchMaxPoolGather,
		"compactify.AveragePoolGrad": batchAveragePoolGrad,
	}
	for _, op := range []string{"AveragePool", "LpPool", "GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"} {
		rules[op] = batchFold
	}
	return rules
}

// elementwiseBatches are operators of elements, with broadcasting.
func elementwiseBatches() map[string]batchFunc {
	rules := map[string]batchFunc{"Clip": batchClip, "PRelu": batchPRelu, "Dropout": batchFirst, "CastLike": batchFirst, "compactify.ReluGrad": batchReluGrad}
	for _, op := range []string{
		"Add", "Sub", "Mul", "Div", "Pow", "Mod", "Max", "Min", "Sum", "Mean", "Where", "And", "Or", "Xor", "Not",
		"Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "BitShift", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot",
		"Neg", "Abs", "Exp", "Log", "Sqrt", "Reciprocal", "Sin", "Cos", "Tan", "Sinh", "Cosh", "Asin", "Acos", "Atan", "Asinh", "Acosh", "Atanh",
		"Sign", "Floor", "Ceil", "Round", "Erf", "IsNaN", "IsInf", "Tanh", "Sigmoid", "Softplus", "Relu", "LeakyRelu", "Elu", "Selu",
		"HardSigmoid", "Cast", "Identity", "RandomNormalLike", "RandomUniformLike", "Bernoulli",
	} {
		rules[op] = batchElementwise
	}
	return rules
}

func batchElementwise(b *Batching, n *Node) bool {
	if !ranked(n) {
		return false
	}
	var in []*Value
	for _, v := range n.In {
		in = append(in, b.aligned(v, n.Out[0].Type.Rank()))
	}
	b.again(n, n.Attrs, in...)
	return true
}

// batchFirst: only the first input is worked on.
func batchFirst(b *Batching, n *Node) bool {
	if n.Op != "CastLike" && !b.onlyDiffers(n, 0) {
		return false
	}
	b.again(n, n.Attrs, append([]*Value{b.get(n.In[0])}, n.In[1:]...)...)
	return true
}

// batchClip: bounds that differ are no scalars any more.
func batchClip(b *Batching, n *Node) bool {
	if b.onlyDiffers(n, 0) {
		return batchFirst(b, n)
	}
	rank := n.In[0].Type.Rank()
	if rank < 0 {
		return false
	}
	y := b.full(n.In[0])
	if n.has(1) {
		y = b.Op("Max", y, b.aligned(n.In[1], rank))
	}
	if n.has(2) {
		y = b.Op("Min", y, b.aligned(n.In[2], rank))
	}
	b.of[n.Out[0]] = y
	return true
}

// batchPRelu: the slope broadcasts to the input, not the other way round.
func batchPRelu(b *Batching, n *Node) bool {
	if !ranked(n) {
		return false
	}
	b.again(n, n.Attrs, b.full(n.In[0]), b.aligned(n.In[1], n.In[0].Type.Rank()))
	return true
}

// batchReluGrad: its operands have one shape.
func batchReluGrad(b *Batching, n *Node) bool {
	b.again(n, n.Attrs, b.full(n.In[0]), b.full(n.In[1]))
	return true
}

func batchMatMul(b *Batching, n *Node) bool {
	x, w := n.In[0], n.In[1]
	if !ranked(n) {
		return false
	}
	if !b.differs(w) && w.Type.Rank() <= 2 {
		b.again(n, n.Attrs, b.get(x), w)
		return true
	}
	b.of[n.Out[0]] = b.product(x, w, b.get(x), b.get(w))
	return true
}

// product is the matrix product of two values, given as they are for all
// examples.
func (b *Batching) product(x, w, allX, allW *Value) *Value {
	rx, rw := x.Type.Rank(), w.Type.Rank()
	var gone []int
	if rx == 1 {
		allX, gone = b.unsqueeze(allX, -2), append(gone, -2)
	}
	if rw == 1 {
		allW, gone = b.unsqueeze(allW, -1), append(gone, -1)
	}
	rank := max(rx, rw, 2)
	widen := func(v, all *Value, own int) *Value {
		if extra := rank - max(own, 2); b.differs(v) && extra > 0 {
			return b.Op("Unsqueeze", all, b.Const(tensor.Ints(axisRange(1, 1+extra)...)))
		}
		return all
	}
	y := b.Op("MatMul", widen(x, allX, rx), widen(w, allW, rw))
	if len(gone) > 0 {
		y = b.Op("Squeeze", y, b.Const(tensor.Ints(gone...)))
	}
	return y
}

// batchGemm folds the examples into the rows where the other operands are
// shared.
func batchGemm(b *Batching, n *Node) bool {
	x, w, c := n.In[0], n.In[1], n.Input(2)
	if !ranked(n) {
		return false
	}
	rowwise := c == nil || c.Type.Rank() < 2 || c.Type.Shape[0].Known() && c.Type.Shape[0].Size == 1
	if n.Attrs.Int("transA", 0) == 0 && b.onlyDiffers(n, 0) && rowwise {
		b.folded(n, n.Attrs, append([]*Value{b.fold(b.get(x))}, n.In[1:]...)...)
		return true
	}
	turned := func(v *Value, trans string) *Value {
		if n.Attrs.Int(trans, 0) != 0 {
			return b.transposeLast(b.get(v))
		}
		return b.get(v)
	}
	y := b.product(x, w, turned(x, "transA"), turned(w, "transB"))
	if alpha := n.Attrs.Float("alpha", 1); alpha != 1 {
		y = b.scale(y, alpha)
	}
	if c != nil {
		extra := b.aligned(c, 2)
		if beta := n.Attrs.Float("beta", 1); beta != 1 {
			extra = b.scale(extra, beta)
		}
		y = b.add(y, extra)
	}
	b.of[n.Out[0]] = y
	return true
}

// batchFold: operators that work example by example already.
func batchFold(b *Batching, n *Node) bool {
	b.folded(n, n.Attrs, b.fold(b.get(n.In[0])))
	return true
}

// batchConv folds the examples into the batch where the filters are shared, and
// else into the channels, as groups.
func batchConv(b *Batching, n *Node) bool {
	x, w, bias := n.In[0], n.In[1], n.Input(2)
	if !ranked(n) {
		return false
	}
	if b.onlyDiffers(n, 0) {
		b.folded(n, n.Attrs, append([]*Value{b.fold(b.get(x))}, n.In[1:]...)...)
		return true
	}
	if !b.size.Known() {
		return false
	}
	in := []*Value{b.channels(x), b.fold(b.full(w))}
	if bias != nil {
		in = append(in, b.Op("Reshape", b.full(bias), b.Const(tensor.Ints(-1))))
	}
	b.again(n, b.grouped(n), in...)
	b.of[n.Out[0]] = b.examples(b.of[n.Out[0]])
	return true
}

// grouped is the attributes of a convolution with groups for every example.
func (b *Batching) grouped(n *Node) Attributes {
	return n.Attrs.With(Int("group", n.Attrs.Int("group", 1)*b.size.Size))
}

// channels folds the examples into the channels: [N, B, C, ...] → [B, N·C, ...].
func (b *Batching) channels(v *Value) *Value {
	all := b.full(v)
	perm := upTo(all.Type.Rank())
	perm[0], perm[1] = 1, 0
	all = b.permute(all, perm)
	shape := b.concat(b.Const(tensor.Ints(0, -1)), b.With("Shape", Attributes{Int("start", 3)}, all))
	return b.Op("Reshape", all, shape)
}

// examples is the inverse of channels.
func (b *Batching) examples(v *Value) *Value {
	shape := b.concat(b.Const(tensor.Ints(0)), b.count, b.Const(tensor.Ints(-1)), b.With("Shape", Attributes{Int("start", 2)}, v))
	v = b.Op("Reshape", v, shape)
	perm := upTo(v.Type.Rank())
	perm[0], perm[1] = 1, 0
	return b.permute(v, perm)
}

// part is entries [from, to) of a vector.
func (b *Builder) part(v *Value, from, to int) *Value { return b.slice(v, 0, from, to) }

const toEnd = 1 << 30

func batchConvGradX(b *Batching, n *Node) bool {
	w, d, shape := n.In[0], n.In[1], n.In[2]
	if !ranked(n) {
		return false
	}
	if b.onlyDiffers(n, 1) {
		all := b.fold(b.get(d))
		b.folded(n, n.Attrs, w, all, b.concat(b.With("Shape", Attributes{Int("end", 1)}, all), b.part(shape, 1, toEnd)))
		return true
	}
	if !b.size.Known() {
		return false
	}
	wide := b.concat(b.part(shape, 0, 1), b.mul(b.part(shape, 1, 2), b.count), b.part(shape, 2, toEnd))
	b.again(n, b.grouped(n), b.fold(b.full(w)), b.channels(d), wide)
	b.of[n.Out[0]] = b.examples(b.of[n.Out[0]])
	return true
}

func batchConvGradW(b *Batching, n *Node) bool {
	if !ranked(n) || !b.size.Known() {
		return false
	}
	b.folded(n, b.grouped(n), b.channels(n.In[0]), b.channels(n.In[1]))
	return true
}

// batchMaxPool: its indices count within each example; those within all are kept
// for the operators that read them.
func batchMaxPool(b *Batching, n *Node) bool {
	b.folded(n, n.Attrs, b.fold(b.get(n.In[0])))
	if at := n.Output(1); at != nil {
		all := b.of[at]
		b.flat[at] = b.fold(all)
		b.of[at] = b.sub(all, b.offsets(b.of[n.In[0]], all))
	}
	return true
}

// offsets is where each example begins in a flat tensor of all, in a shape that
// broadcasts against like.
func (b *Batching) offsets(all, like *Value) *Value {
	shape := b.With("Shape", Attributes{Int("start", 1)}, all)
	return b.offsetsBy(b.With("ReduceProd", Attributes{Int("keepdims", 0)}, shape), like)
}

func (b *Batching) offsetsBy(size, like *Value) *Value {
	count := b.Op("Squeeze", b.count, b.Const(tensor.Ints(0)))
	starts := b.mul(b.Op("Range", b.Const(tensor.Scalar(int64(0))), count, b.Const(tensor.Scalar(int64(1)))), size)
	return b.Op("Reshape", starts, b.Const(tensor.Ints(append([]int{-1}, slices.Repeat([]int{1}, like.Type.Rank()-1)...)...)))
}

// flatIndex is folded indices into all examples; size is the elements of one.
func (b *Batching) flatIndex(v, size *Value) *Value {
	if b.flat[v] == nil {
		all := b.full(v)
		b.flat[v] = b.fold(b.add(all, b.offsetsBy(size, all)))
	}
	return b.flat[v]
}

func batchMaxPoolScatter(b *Batching, n *Node) bool {
	d, at, shape := n.In[0], n.In[1], n.In[2]
	if !ranked(n) || b.differs(shape) {
		return false
	}
	all := b.fold(b.full(d))
	index := b.flatIndex(at, b.With("ReduceProd", Attributes{Int("keepdims", 0)}, shape))
	b.folded(n, n.Attrs, all, index, b.concat(b.With("Shape", Attributes{Int("end", 1)}, all), b.part(shape, 1, toEnd)))
	return true
}

func batchMaxPoolGather(b *Batching, n *Node) bool {
	if !ranked(n) {
		return false
	}
	x := b.full(n.In[0])
	size := b.With("ReduceProd", Attributes{Int("keepdims", 0)}, b.With("Shape", Attributes{Int("start", 1)}, x))
	b.folded(n, n.Attrs, b.fold(x), b.flatIndex(n.In[1], size))
	return true
}

func batchAveragePoolGrad(b *Batching, n *Node) bool {
	if !b.onlyDiffers(n, 0) {
		return false
	}
	all := b.fold(b.get(n.In[0]))
	b.folded(n, n.Attrs, all, b.concat(b.With("Shape", Attributes{Int("end", 1)}, all), b.part(n.In[1], 1, toEnd)))
	return true
}
