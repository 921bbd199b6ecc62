package graph

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/tensor"
)

// Domains of other makers' operators that quantised and optimised models hold.
const (
	domainMicrosoft = "com.microsoft"           // ONNX Runtime's quantiser and optimiser
	domainBrevitas  = "onnx.brevitas"           // QONNX as Brevitas writes it
	domainQONNX     = "qonnx.custom_op.general" // QONNX
)

// contribRules are operators of other makers, all expressed by ONNX's own: their
// types follow from that expression, and so do their derivatives.
//
// Sources: the contrib operators' schemas of ONNX Runtime 1.32; the operator
// definitions of QONNX 0.4.
func contribRules() map[string]*Rule {
	rules := make(map[string]*Rule)
	add := func(op string, minIn, maxIn int, lower func(*Builder, *Node) []*Value) {
		rules[op] = &Rule{MinIn: minIn, MaxIn: maxIn, Infer: inferByLowering(lower), Lower: lower}
	}
	microsoft := func(op string, minIn, maxIn int, lower func(*Builder, *Node) []*Value) {
		add(domainMicrosoft+"."+op, minIn, maxIn, lower)
	}
	microsoft("MatMulNBits", 3, 6, lowerMatMulNBits)
	microsoft("QLinearAdd", 7, 8, lowerQLinearBinary("Add"))
	microsoft("QLinearMul", 7, 8, lowerQLinearBinary("Mul"))
	microsoft("QLinearSigmoid", 4, 5, lowerQLinearUnary(func(b *Builder, _ *Node, x *Value) *Value { return b.Op("Sigmoid", x) }))
	microsoft("QLinearLeakyRelu", 4, 5, lowerQLinearUnary(func(b *Builder, n *Node, x *Value) *Value {
		return b.With("LeakyRelu", Attributes{Float("alpha", float32(n.Attrs.Float("alpha", 0.01)))}, x)
	}))
	microsoft("QLinearSoftmax", 5, 5, lowerQLinearUnary(contribSoftmax))
	microsoft("QLinearGlobalAveragePool", 5, 5, lowerQLinearUnary(channelsFirst(func(b *Builder, _ *Node, x *Value) *Value {
		return b.Op("GlobalAveragePool", x)
	})))
	microsoft("QLinearAveragePool", 4, 5, lowerQLinearUnary(channelsFirst(func(b *Builder, n *Node, x *Value) *Value {
		return b.With("AveragePool", n.Attrs.Without("channels_last"), x)
	})))
	microsoft("QLinearConcat", 5, -1, lowerQLinearConcat)
	microsoft("QuantizeLinear", 2, 3, func(b *Builder, n *Node) []*Value { return []*Value{b.With("QuantizeLinear", n.Attrs, n.In...)} })
	microsoft("DequantizeLinear", 2, 3, func(b *Builder, n *Node) []*Value { return []*Value{b.With("DequantizeLinear", n.Attrs, n.In...)} })
	microsoft("DynamicQuantizeMatMul", 3, 5, lowerDynamicQuantizeMatMul)
	microsoft("MatMulIntegerToFloat", 4, 7, lowerMatMulIntegerToFloat)
	microsoft("FusedConv", 2, 4, lowerFusedConv)
	microsoft("FusedMatMul", 2, 2, lowerFusedMatMul)
	microsoft("FusedGemm", 2, 3, lowerFusedGemm)
	microsoft("Gelu", 1, 1, lowerBiasedGelu("none"))
	microsoft("BiasGelu", 2, 2, lowerBiasedGelu("none"))
	microsoft("FastGelu", 1, 2, lowerBiasedGelu("tanh"))
	microsoft("QuickGelu", 1, 1, func(b *Builder, n *Node) []*Value {
		return []*Value{b.With("Swish", Attributes{Float("alpha", float32(n.Attrs.Float("alpha", 1.702)))}, n.In[0])}
	})
	microsoft("SkipLayerNormalization", 3, 5, lowerSkipNorm)
	microsoft("SkipSimplifiedLayerNormalization", 3, 4, lowerSkipNorm)
	microsoft("EmbedLayerNormalization", 7, 9, lowerEmbedNorm)
	for _, op := range []string{"SkipLayerNormalization", "SkipSimplifiedLayerNormalization"} {
		r := rules[domainMicrosoft+"."+op]
		r.MinOut, r.MaxOut = 1, 4
	}
	embed := rules[domainMicrosoft+".EmbedLayerNormalization"]
	embed.MinOut, embed.MaxOut = 1, 3
	for _, domain := range []string{domainBrevitas, domainQONNX} {
		add(domain+".Quant", 4, 4, lowerQuant)
		add(domain+".BipolarQuant", 2, 2, lowerBipolarQuant)
		add(domain+".Trunc", 5, 5, lowerTrunc)
	}
	return rules
}

// inferByLowering takes the types that the operator's expression by others has.
func inferByLowering(lower func(*Builder, *Node) []*Value) func(*Inference) error {
	return func(c *Inference) error {
		for _, v := range c.Node.In {
			if v != nil && !v.Type.Ranked() {
				return nil // nothing follows yet
			}
		}
		b := &Builder{g: &Graph{}, facts: c.Facts, stem: "infer_", used: make(map[string]bool)}
		defer b.forget()
		out := lower(b, c.Node)
		if b.err != nil {
			return c.Errorf("%w", b.err)
		}
		for i := range min(len(out), len(c.Out)) {
			if out[i] == nil {
				continue
			}
			c.Set(i, out[i].Type)
		}
		if len(c.Out) > len(out) {
			return c.Errorf("outputs: got %d, want at most %d", len(c.Out), len(out))
		}
		return nil
	}
}

// forget drops what the builder's facts know of the builder's own values.
func (b *Builder) forget() {
	drop := func(v *Value) {
		delete(b.facts.data, v)
		delete(b.facts.dims, v)
	}
	for _, p := range b.g.Params {
		drop(p.Value)
	}
	for _, n := range b.g.Nodes {
		for _, v := range n.Out {
			drop(v)
		}
	}
}

// zeroPoint is input i or, where it is omitted, a zero of q's number type.
func (b *Builder) zeroPoint(n *Node, i int, q *Value) *Value {
	if v := n.Input(i); v != nil {
		return v
	}
	return b.Const(tensor.New(q.Type.DType))
}

// real is input i, dequantised with the scale and zero point behind it.
func (b *Builder) real(n *Node, i int) *Value {
	q := n.In[i]
	return b.Op("DequantizeLinear", q, n.In[i+1], b.zeroPoint(n, i+2, q))
}

// lowerQLinearBinary: (A, scale, zero), (B, scale, zero), (scale, zero) of the
// result.
func lowerQLinearBinary(op string) func(*Builder, *Node) []*Value {
	return func(b *Builder, n *Node) []*Value {
		y := b.Op(op, b.real(n, 0), b.real(n, 3))
		return []*Value{b.Op("QuantizeLinear", y, n.In[6], b.zeroPoint(n, 7, n.In[0]))}
	}
}

// lowerQLinearUnary: (X, scale, zero), (scale, zero) of the result.
func lowerQLinearUnary(f func(*Builder, *Node, *Value) *Value) func(*Builder, *Node) []*Value {
	return func(b *Builder, n *Node) []*Value {
		return []*Value{b.Op("QuantizeLinear", f(b, n, b.real(n, 0)), n.In[3], b.zeroPoint(n, 4, n.In[0]))}
	}
}

// channelsFirst refuses the other layout.
func channelsFirst(f func(*Builder, *Node, *Value) *Value) func(*Builder, *Node, *Value) *Value {
	return func(b *Builder, n *Node, x *Value) *Value {
		if n.Attrs.Int("channels_last", 0) != 0 {
			b.Fail(fmt.Errorf("attribute channels_last: got 1, want 0"))
		}
		return f(b, n, x)
	}
}

// contribSoftmax: the attribute opset says whose Softmax it is; before 13 all
// axes from the given one on were one.
func contribSoftmax(b *Builder, n *Node, x *Value) *Value {
	if n.Attrs.Int("opset", 13) >= 13 {
		return b.With("Softmax", Attributes{Int("axis", n.Attrs.Int("axis", -1))}, x)
	}
	axis := n.Attrs.Int("axis", 1)
	flat := b.With("Softmax", Attributes{Int("axis", 1)}, b.With("Flatten", Attributes{Int("axis", axis)}, x))
	return b.Op("Reshape", flat, b.Op("Shape", x))
}

// lowerQLinearConcat: (scale, zero) of the result, then (X, scale, zero) of each
// input.
func lowerQLinearConcat(b *Builder, n *Node) []*Value {
	if len(n.In)%3 != 2 {
		b.Fail(fmt.Errorf("inputs: got %d, want 2 and 3 for each tensor", len(n.In)))
		return []*Value{nil}
	}
	var parts []*Value
	for i := 2; i < len(n.In); i += 3 {
		parts = append(parts, b.real(n, i))
	}
	return []*Value{b.Op("QuantizeLinear", b.With("Concat", Attributes{Int("axis", n.Attrs.Int("axis", 0))}, parts...), n.In[0], n.In[1])}
}

// lowerDynamicQuantizeMatMul quantises A to 8 bits as a whole and multiplies the
// integers.
func lowerDynamicQuantizeMatMul(b *Builder, n *Node) []*Value {
	q := b.Multi("DynamicQuantizeLinear", nil, 3, n.In[0])
	y := b.integerProduct(q[0], n.In[1], q[2], n.Input(3), b.mul(q[1], n.In[2]))
	return []*Value{b.biased(y, n.Input(4))}
}

func lowerMatMulIntegerToFloat(b *Builder, n *Node) []*Value {
	y := b.integerProduct(n.In[0], n.In[1], n.Input(4), n.Input(5), b.mul(n.In[2], n.In[3]))
	return []*Value{b.biased(y, n.Input(6))}
}

// integerProduct is (a − zero)·(w − zero)·scale.
func (b *Builder) integerProduct(a, w, zeroA, zeroW, scale *Value) *Value {
	return b.mul(b.as(scale.Type.DType, b.Op("MatMulInteger", a, w, zeroA, zeroW)), scale)
}

func (b *Builder) biased(y, bias *Value) *Value {
	if bias == nil {
		return y
	}
	return b.add(y, bias)
}

// activated applies the activation that a fused operator names.
func (b *Builder) activated(n *Node, y *Value, parameters []float32) *Value {
	op := n.Attrs.Text("activation", "")
	names := map[string][]string{"": nil, "Relu": nil, "Tanh": nil, "Sigmoid": nil, "LeakyRelu": {"alpha"}, "HardSigmoid": {"alpha", "beta"}, "Clip": {"min", "max"}}
	list, ok := names[op]
	if !ok {
		b.Fail(fmt.Errorf("attribute activation: got %q, want Relu, Tanh, Sigmoid, LeakyRelu, HardSigmoid or Clip", op))
		return y
	}
	if len(parameters) > 0 && len(parameters) < len(list) || op == "Clip" && len(parameters) < 2 {
		b.Fail(fmt.Errorf("parameters of the activation: got %v, want %d", parameters, len(list)))
		return y
	}
	switch {
	case op == "":
		return y
	case op == "Clip":
		return b.Op("Clip", y, b.ConstLike(y, float64(parameters[0])), b.ConstLike(y, float64(parameters[1])))
	}
	var attrs Attributes
	for i, name := range list {
		if len(parameters) > 0 {
			attrs = append(attrs, Float(name, parameters[i]))
		}
	}
	return b.With(op, attrs, y)
}

// lowerFusedConv: Conv, plus Z, then an activation.
func lowerFusedConv(b *Builder, n *Node) []*Value {
	in := []*Value{n.In[0], n.In[1]}
	if bias := n.Input(2); bias != nil {
		in = append(in, bias)
	}
	y := b.biased(b.With("Conv", n.Attrs.Without("activation", "activation_params"), in...), n.Input(3))
	return []*Value{b.activated(n, y, n.Attrs.Floats("activation_params"))}
}

func lowerFusedGemm(b *Builder, n *Node) []*Value {
	var parameters []float32
	for _, name := range []string{"activation_alpha", "activation_beta"} {
		if n.Attrs.Has(name) {
			parameters = append(parameters, float32(n.Attrs.Float(name, 0)))
		}
	}
	y := b.With("Gemm", n.Attrs.Without("activation", "activation_alpha", "activation_beta", "activation_gamma"), n.In...)
	return []*Value{b.activated(n, y, parameters)}
}

// lowerFusedMatMul: alpha·A'·B', where ' may exchange the last two axes.
func lowerFusedMatMul(b *Builder, n *Node) []*Value {
	side := func(i int, trans, batch string) *Value {
		x := n.In[i]
		if n.Attrs.Int(batch, 0) != 0 {
			b.Fail(fmt.Errorf("attribute %s: got 1, want 0", batch))
		}
		if n.Attrs.Int(trans, 0) == 0 || x.Type.Rank() < 2 {
			return x
		}
		return b.transposeLast(x)
	}
	y := b.Op("MatMul", side(0, "transA", "transBatchA"), side(1, "transB", "transBatchB"))
	if alpha := n.Attrs.Float("alpha", 1); alpha != 1 {
		y = b.scale(y, alpha)
	}
	return []*Value{y}
}

func lowerBiasedGelu(form string) func(*Builder, *Node) []*Value {
	return func(b *Builder, n *Node) []*Value {
		return []*Value{b.With("Gelu", Attributes{Text("approximate", form)}, b.biased(n.In[0], n.Input(1)))}
	}
}

// lowerSkipNorm: the normalisation of input + skip + bias, which is the fourth
// output.
func lowerSkipNorm(b *Builder, n *Node) []*Value {
	epsilon := Float("epsilon", float32(n.Attrs.Float("epsilon", 1e-12)))
	sum, bias := b.add(n.In[0], n.In[1]), n.Input(4)
	if n.Op == "SkipSimplifiedLayerNormalization" {
		sum = b.biased(sum, n.Input(3))
		return []*Value{b.With("RMSNormalization", Attributes{epsilon}, sum, n.In[2]), nil, nil, sum}[:max(1, len(n.Out))]
	}
	sum = b.biased(sum, bias)
	in := []*Value{sum, n.In[2]}
	if n.Input(3) != nil {
		in = append(in, n.In[3])
	}
	y := b.Multi("LayerNormalization", Attributes{epsilon}, 3, in...)
	return append(y, sum)[:max(1, len(n.Out))]
}

// lowerEmbedNorm: the normalisation of the sum of the embeddings of words,
// positions and segments; then how many words the mask counts, and the sum.
func lowerEmbedNorm(b *Builder, n *Node) []*Value {
	ids := n.In[0]
	sum := b.Op("Gather", n.In[2], ids)
	positions := n.Input(8)
	if positions == nil {
		steps := b.Op("Squeeze", b.With("Shape", Attributes{Int("start", 1), Int("end", 2)}, ids), b.Const(tensor.Ints(0)))
		positions = b.Op("Range", b.Const(tensor.Scalar(int64(0))), steps, b.Const(tensor.Scalar(int64(1))))
	}
	sum = b.add(sum, b.Op("Gather", n.In[3], positions))
	if n.Input(1) != nil && n.Input(4) != nil {
		sum = b.add(sum, b.Op("Gather", n.In[4], n.In[1]))
	}
	y := b.With("LayerNormalization", Attributes{Float("epsilon", float32(n.Attrs.Float("epsilon", 1e-12)))}, sum, n.In[5], n.In[6])
	out := []*Value{y, nil, sum}
	if n.Output(1) != nil {
		rows := b.With("Shape", Attributes{Int("start", 0), Int("end", 1)}, ids)
		out[1] = b.With("ConstantOfShape", Attributes{TensorOf("value", tensor.New(tensor.Int32, 1))}, rows)
		if mask := n.Input(7); mask != nil {
			out[1] = b.With("ReduceSum", Attributes{Int("keepdims", 0)}, mask, b.Const(tensor.Ints(1)))
		}
	}
	return out[:len(n.Out)]
}

// lowerMatMulNBits: A [..., K] times weights of 2, 4 or 8 bits, packed low bits
// first into B [N, blocks, bytes], each block with a scale and a zero point, the
// middle of the range if there is none.
func lowerMatMulNBits(b *Builder, n *Node) []*Value {
	a, scales := n.In[0], n.In[2]
	k, outs := n.Attrs.Int("K", 0), n.Attrs.Int("N", 0)
	bits, block := n.Attrs.Int("bits", 4), n.Attrs.Int("block_size", 0)
	switch {
	case bits != 2 && bits != 4 && bits != 8:
		b.Fail(fmt.Errorf("attribute bits: got %d, want 2, 4 or 8", bits))
	case block < 1 || block > maxWindow || block*bits%8 != 0:
		b.Fail(fmt.Errorf("attribute block_size: got %d, want a number of %d-bit weights that fill bytes", block, bits))
	case k < 1 || k > maxWindow || outs < 1 || outs > maxWindow:
		b.Fail(fmt.Errorf("attributes K and N: got %d and %d, want 1 to %d", k, outs, maxWindow))
	case n.Input(4) != nil:
		b.Fail(fmt.Errorf("input 4: weights in another order are not supported"))
	case n.In[1].Type.DType != tensor.Uint8:
		b.Fail(fmt.Errorf("input 1: number type: got %v, want uint8", n.In[1].Type.DType))
	}
	if b.err != nil {
		return []*Value{nil}
	}
	turned := Attributes{Ints("perm", 1, 0)}
	if w := (nbits{outs, k, bits, block}).packed(b, n); w != nil {
		return []*Value{b.biased(b.Op("MatMul", a, b.With("Transpose", turned, w)), n.Input(5))}
	}
	blocks := (k + block - 1) / block
	q := b.unpacked(n.In[1], bits, outs, blocks*block)
	q = b.Op("Reshape", b.as(a.Type.DType, q), b.Const(tensor.Ints(outs, blocks, block)))
	zero := b.ConstLike(a, math.Ldexp(1, bits-1))
	if z := n.Input(3); z != nil {
		if z.Type.DType == tensor.Uint8 {
			z = b.unpacked(z, bits, outs, blocks)
		}
		zero = b.Op("Reshape", b.as(a.Type.DType, z), b.Const(tensor.Ints(outs, blocks, 1)))
	}
	w := b.mul(b.sub(q, zero), b.Op("Reshape", b.as(a.Type.DType, scales), b.Const(tensor.Ints(outs, blocks, 1))))
	w = b.slice(b.Op("Reshape", w, b.Const(tensor.Ints(outs, blocks*block))), 1, 0, k)
	y := b.Op("MatMul", a, b.With("Transpose", turned, w))
	return []*Value{b.biased(y, n.Input(5))}
}

// unpacked makes bytes a matrix of their parts, low bits first, with the padding
// behind each row cut off.
func (b *Builder) unpacked(v *Value, bits, rows, columns int) *Value {
	if bits == 8 {
		return b.Op("Reshape", v, b.Const(tensor.Ints(rows, columns)))
	}
	v = b.Op("Reshape", v, b.Const(tensor.Ints(rows, -1, 1)))
	mask := b.Const(tensor.Scalar(uint8(1<<bits - 1)))
	var parts []*Value
	for shift := 0; shift < 8; shift += bits {
		moved := b.With("BitShift", Attributes{Text("direction", "RIGHT")}, v, b.Const(tensor.Scalar(uint8(shift))))
		parts = append(parts, b.Op("BitwiseAnd", moved, mask))
	}
	all := b.Op("Reshape", b.With("Concat", Attributes{Int("axis", 2)}, parts...), b.Const(tensor.Ints(rows, -1)))
	return b.slice(all, 1, 0, columns)
}

// lowerQuant: (clip(round(x/scale + zero)) − zero)·scale, on integers of the
// given width. A grid that FakeQuantize knows becomes one, which passes
// gradients straight through.
func lowerQuant(b *Builder, n *Node) []*Value {
	x, scale, zero := n.In[0], n.In[1], n.In[2]
	width, ok := b.facts.Data(n.In[3])
	if !ok || width.Len() != 1 {
		b.Fail(fmt.Errorf("input 3: bit width: want one constant"))
		return []*Value{x}
	}
	bits := width.At(0)
	if !(bits >= 1 && bits <= 24) || bits != math.Trunc(bits) {
		b.Fail(fmt.Errorf("input 3: bit width: got %v, want 1 to 24", bits))
		return []*Value{x}
	}
	attrs := Attributes{Int("bits", int(bits)), Int("signed", n.Attrs.Int("signed", 1)), Int("narrow", n.Attrs.Int("narrow", 0))}
	z, known := b.facts.Data(zero)
	single := scale.Type.Rank() == 0 || scale.Type.Rank() == 1 && scale.Type.Shape[0].Size == 1
	if known && z.Len() == 1 && z.At(0) == 0 && single && n.Attrs.Text("rounding_mode", "ROUND") == "ROUND" {
		if n.Attrs.Int("signed", 1) != 0 || n.Attrs.Int("narrow", 0) == 0 {
			return []*Value{b.With("compactify.FakeQuantize", attrs, x, b.Op("Reshape", scale, b.Const(tensor.Ints())))}
		}
	}
	lo, hi := FakeQuantizeRange(&Node{Attrs: attrs})
	if n.Attrs.Int("signed", 1) == 0 && n.Attrs.Int("narrow", 0) != 0 {
		hi--
	}
	q := b.rounded(n, b.add(b.div(x, scale), zero))
	q = b.Op("Clip", q, b.ConstLike(x, lo), b.ConstLike(x, hi))
	return []*Value{b.mul(b.sub(q, zero), scale)}
}

// rounded rounds as the node's rounding_mode says.
func (b *Builder) rounded(n *Node, x *Value) *Value {
	switch mode := n.Attrs.Text("rounding_mode", "ROUND"); mode {
	case "ROUND", "HALF_EVEN":
		return b.Op("Round", x)
	case "CEIL":
		return b.Op("Ceil", x)
	case "FLOOR":
		return b.Op("Floor", x)
	case "DOWN", "ROUND_TO_ZERO":
		return b.mul(b.Op("Sign", x), b.Op("Floor", b.Op("Abs", x)))
	case "UP":
		return b.mul(b.Op("Sign", x), b.Op("Ceil", b.Op("Abs", x)))
	default:
		b.Fail(fmt.Errorf("attribute rounding_mode: got %q, want ROUND, CEIL, FLOOR, UP or DOWN", mode))
		return x
	}
}

// lowerBipolarQuant: scale where x ≥ 0, −scale elsewhere.
func lowerBipolarQuant(b *Builder, n *Node) []*Value {
	x, scale := n.In[0], n.In[1]
	return []*Value{b.Op("Where", b.Op("GreaterOrEqual", x, b.zeros(x)), scale, b.neg(scale))}
}

// lowerTrunc drops the lowest bits of integers x/scale + zero, from one width to
// another.
func lowerTrunc(b *Builder, n *Node) []*Value {
	x, scale, zero := n.In[0], n.In[1], n.In[2]
	step := b.Op("Pow", b.ConstLike(x, 2), b.sub(n.In[3], n.In[4]))
	q := b.div(b.Op("Round", b.add(b.div(x, scale), zero)), step)
	if !n.Attrs.Has("rounding_mode") {
		q = b.Op("Floor", q)
	} else {
		q = b.rounded(n, q)
	}
	return []*Value{b.mul(b.sub(q, zero), scale)}
}
