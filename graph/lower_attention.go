package graph

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/tensor"
)

// lowerAttention: softmax(q·kᵀ·scale + bias)·v for each head, where several
// heads of q may share one of k and v. Keys that the mask, causality, the window
// or the count of keys rules out have a bias of -∞; a query without any key
// gives zeros.
//
// Source: A. Vaswani et al., "Attention is all you need", 2017, equation 1; the
// operator's definition for the order of its steps.
func lowerAttention(b *Builder, n *Node) []*Value {
	out := make([]*Value, 4)
	a := attention{Builder: b, n: n}
	q, k, v := a.split(0, "q_num_heads"), a.split(1, "kv_num_heads"), a.split(2, "kv_num_heads")
	if past := n.Input(4); past != nil {
		along := Attributes{Int("axis", 2)}
		k, v = b.With("Concat", along, past, k), b.With("Concat", along, n.In[5], v)
	}
	out[1], out[2] = k, v
	if b.err != nil {
		return out[:len(n.Out)]
	}
	size := q.Type.Shape[3]
	if !size.Known() || !q.Type.Shape[1].Known() || !k.Type.Shape[1].Known() {
		b.Fail(fmt.Errorf("%s: got q %v and k %v, want known heads and head sizes", n, q.Type, k.Type))
		return out[:len(n.Out)]
	}
	root := math.Sqrt(n.Attrs.Float("scale", 1/math.Sqrt(float64(size.Size))))
	scores := a.scores(b.scale(q, root), b.scale(k, root))
	stages := []*Value{scores}
	if limit := n.Attrs.Float("softcap", 0); limit > 0 {
		scores = b.scale(b.Op("Tanh", b.scale(scores, 1/limit)), limit)
	}
	stages = append(stages, scores)
	probabilities := a.softmax(&scores, a.bias(q, k))
	stages = append(stages, scores, probabilities)
	out[0] = a.merge(a.weighted(probabilities, b.as(q.Type.DType, v)))
	out[3] = stages[n.Attrs.Int("qk_matmul_output_mode", 0)]
	return out[:len(n.Out)]
}

// attention is one node under lowering.
type attention struct {
	*Builder
	n *Node
}

// split makes input i [N, heads, steps, size].
func (a attention) split(i int, heads string) *Value {
	x := a.n.In[i]
	if x.Type.Rank() != 3 {
		if x.Type.Rank() != 4 {
			a.failRank(x)
		}
		return x
	}
	x = a.Op("Reshape", x, a.Const(tensor.Ints(0, 0, a.n.Attrs.Int(heads, 1), -1)))
	return a.With("Transpose", Attributes{Ints("perm", 0, 2, 1, 3)}, x)
}

// merge undoes split for the output.
func (a attention) merge(y *Value) *Value {
	if a.n.In[0].Type.Rank() != 3 {
		return y
	}
	y = a.With("Transpose", Attributes{Ints("perm", 0, 2, 1, 3)}, y)
	return a.Op("Reshape", y, a.Const(tensor.Ints(0, 0, -1)))
}

// sizes is the sizes from one axis to another, as an int64 vector.
func (a attention) sizes(x *Value, from, to int) *Value {
	return a.With("Shape", Attributes{Int("start", from), Int("end", to)}, x)
}

// grouped gives x [N, heads, ...] an axis for the heads that share one of k's.
func (a attention) grouped(x *Value, groups int) *Value {
	if x.Type.Rank() != 4 {
		a.failRank(x)
		return x
	}
	heads := x.Type.Shape[1].Size
	shape := a.With("Concat", Attributes{Int("axis", 0)}, a.sizes(x, 0, 1), a.Const(tensor.Ints(groups, heads/groups)), a.sizes(x, 2, 4))
	return a.reshaped(x, shape)
}

// reshaped gives x the sizes in shape, 0 among them.
func (a attention) reshaped(x, shape *Value) *Value {
	return a.With("Reshape", Attributes{Int("allowzero", 1)}, x, shape)
}

// scores is q·kᵀ [N, heads, S, T].
func (a attention) scores(q, k *Value) *Value {
	heads, groups := q.Type.Shape[1].Size, k.Type.Shape[1].Size
	if heads == groups {
		return a.Op("MatMul", q, a.transposeLast(k))
	}
	shape := a.With("Concat", Attributes{Int("axis", 0)}, a.sizes(q, 0, 3), a.sizes(k, 2, 3))
	return a.reshaped(a.Op("MatMul", a.grouped(q, groups), a.unsqueeze(a.transposeLast(k), 2)), shape)
}

// weighted is p·v [N, heads, S, E].
func (a attention) weighted(p, v *Value) *Value {
	heads, groups := a.n.In[0].Type.Shape[1].Size, v.Type.Shape[1].Size
	if a.n.In[0].Type.Rank() == 3 {
		heads = a.n.Attrs.Int("q_num_heads", 1)
	}
	if heads == groups {
		return a.Op("MatMul", p, v)
	}
	shape := a.With("Concat", Attributes{Int("axis", 0)}, a.sizes(p, 0, 3), a.sizes(v, 3, 4))
	return a.reshaped(a.Op("MatMul", a.grouped(p, groups), a.unsqueeze(v, 2)), shape)
}

// softmax adds the bias to the scores and normalises; rows of which no key is
// left become zeros, without a NaN on the way there or back.
func (a attention) softmax(scores **Value, bias *Value) *Value {
	of := (*scores).Type.DType
	precision := tensor.DType(a.n.Attrs.Int("softmax_precision", int(of)))
	if precision == tensor.Undefined {
		precision = of
	}
	last := Attributes{Int("axis", -1)}
	if bias == nil {
		return a.as(of, a.With("Softmax", last, a.as(precision, *scores)))
	}
	*scores = a.add(*scores, bias)
	most := a.Op("ReduceMax", bias, a.Const(tensor.Ints(-1)))
	none := a.Op("Equal", most, a.ConstLike(bias, math.Inf(-1)))
	safe := a.as(precision, a.Op("Where", none, a.zeros(bias), *scores))
	p := a.as(of, a.With("Softmax", last, safe))
	return a.Op("Where", none, a.zeros(p), p)
}

// bias is what is added to the scores, broadcast to [N, heads, S, T]; nil if
// nothing is.
func (a attention) bias(q, k *Value) *Value {
	mask := a.wholeMask(k)
	var allowed *Value
	both := func(cond *Value) {
		if allowed == nil {
			allowed = cond
		} else {
			allowed = a.Op("And", allowed, cond)
		}
	}
	if mask != nil && mask.Type.DType == tensor.Bool {
		both(mask)
		mask = nil
	}
	causal := a.n.Attrs.Int("is_causal", 0) != 0
	left, right := a.n.Attrs.Int("left_window_size", -1), a.n.Attrs.Int("right_window_size", -1)
	if causal || left >= 0 || right >= 0 {
		ahead := a.distance(q, k)
		if causal {
			both(a.Op("LessOrEqual", ahead, a.Const(tensor.Scalar(int64(0)))))
		}
		if left >= 0 {
			both(a.Op("GreaterOrEqual", ahead, a.Const(tensor.Scalar(int64(-left)))))
		}
		if right >= 0 {
			both(a.Op("LessOrEqual", ahead, a.Const(tensor.Scalar(int64(right)))))
		}
	}
	if count := a.n.Input(6); count != nil {
		column := a.Op("Unsqueeze", count, a.Const(tensor.Ints(1, 2, 3)))
		both(a.Op("Less", a.upTo(k), column))
	}
	if allowed == nil {
		return mask
	}
	bias := a.Op("Where", allowed, a.ConstLike(q, 0), a.ConstLike(q, math.Inf(-1)))
	if mask != nil {
		bias = a.add(bias, mask)
	}
	return bias
}

// upTo counts 0, 1, ... along axis 2 of x.
func (a attention) upTo(x *Value) *Value {
	zero, one := a.Const(tensor.Scalar(int64(0))), a.Const(tensor.Scalar(int64(1)))
	return a.Op("Range", zero, a.Op("Squeeze", a.sizes(x, 2, 3), a.Const(tensor.Ints(0))), one)
}

// distance is how far each key is ahead of each query: [S, T], or [N, 1, S, T]
// where every example has its own count of keys.
func (a attention) distance(q, k *Value) *Value {
	at := a.unsqueeze(a.upTo(q), 1)
	if past := a.n.Input(4); past != nil {
		at = a.add(at, a.sizes(past, 2, 3))
	} else if count := a.n.Input(6); count != nil {
		first := a.sub(count, a.sizes(q, 2, 3))
		at = a.add(at, a.Op("Unsqueeze", first, a.Const(tensor.Ints(1, 2, 3))))
	}
	return a.sub(a.upTo(k), at)
}

// wholeMask is the mask with its last axis as long as there are keys; the keys
// it lacks are ruled out.
func (a attention) wholeMask(k *Value) *Value {
	mask := a.n.Input(3)
	if mask == nil {
		return nil
	}
	rank := mask.Type.Rank()
	if rank < 1 {
		a.failRank(mask)
		return mask
	}
	if d, keys := mask.Type.Shape[rank-1], k.Type.Shape[2]; d.Same(keys) {
		return mask
	}
	missing := a.sub(a.sizes(k, 2, 3), a.sizes(mask, rank-1, rank))
	pads := a.With("Concat", Attributes{Int("axis", 0)}, a.Const(tensor.Ints(make([]int, 2*rank-1)...)), missing)
	out := a.Const(tensor.Scalar(false))
	if mask.Type.DType != tensor.Bool {
		out = a.ConstLike(mask, math.Inf(-1))
	}
	return a.Op("Pad", mask, pads, out)
}

// lowerRotary turns pairs of entries of each head by an angle for each step: the
// first half of them against the second, or neighbours if interleaved.
//
// Source: J. Su et al., "RoFormer: enhanced transformer with rotary position
// embedding", arXiv:2104.09864, equation 34.
func lowerRotary(b *Builder, n *Node) []*Value {
	x := n.In[0]
	heads, size := n.Attrs.Int("num_heads", 0), tensor.Unknown()
	rank := x.Type.Rank()
	if rank == 3 {
		x = b.Op("Reshape", x, b.Const(tensor.Ints(0, 0, heads, -1))) // [N, S, heads, D]
	}
	if b.err == nil && x.Type.Rank() == 4 {
		size = x.Type.Shape[3]
	}
	if !size.Known() {
		b.Fail(fmt.Errorf("%s: input 0: got %v, want a known head size", n, n.In[0].Type))
		return []*Value{x}
	}
	turned := n.Attrs.Int("rotary_embedding_dim", 0)
	if turned == 0 {
		turned = size.Size
	}
	rest := x
	parts := []*Value{nil}
	if turned < size.Size {
		both := b.splitLast(x, turned, size.Size-turned)
		rest, parts = both[0], []*Value{nil, both[1]}
	}
	headAxis := 1
	if rank == 3 {
		headAxis = 2
	}
	parts[0] = b.turn(n, rest, headAxis, turned)
	y := parts[0]
	if len(parts) > 1 {
		y = b.With("Concat", Attributes{Int("axis", -1)}, parts...)
	}
	if rank == 3 {
		y = b.Op("Reshape", y, b.Const(tensor.Ints(0, 0, -1)))
	}
	return []*Value{y}
}

// splitLast splits the last axis.
func (b *Builder) splitLast(x *Value, sizes ...int) []*Value {
	return b.Multi("Split", Attributes{Int("axis", -1)}, len(sizes), x, b.Const(tensor.Ints(sizes...)))
}

// turn rotates x [.., turned], whose heads are on the given axis.
func (b *Builder) turn(n *Node, x *Value, headAxis, turned int) *Value {
	table := func(i int) *Value {
		t := n.In[i]
		if ids := n.Input(3); ids != nil {
			t = b.Op("Gather", t, ids)
		}
		return b.unsqueeze(t, headAxis)
	}
	cos, sin := table(1), table(2)
	half := turned / 2
	interleaved := n.Attrs.Int("interleaved", 0) != 0
	var pair []*Value
	if interleaved {
		x = b.Op("Reshape", x, b.Const(tensor.Ints(0, 0, 0, half, 2)))
		for _, v := range b.splitLast(x, 1, 1) {
			pair = append(pair, b.Op("Squeeze", v, b.Const(tensor.Ints(-1))))
		}
	} else {
		pair = b.splitLast(x, half, half)
	}
	u, v := pair[0], pair[1]
	re := b.sub(b.mul(cos, u), b.mul(sin, v))
	im := b.add(b.mul(sin, u), b.mul(cos, v))
	if !interleaved {
		return b.With("Concat", Attributes{Int("axis", -1)}, re, im)
	}
	y := b.With("Concat", Attributes{Int("axis", -1)}, b.unsqueeze(re, 4), b.unsqueeze(im, 4))
	return b.Op("Reshape", y, b.Const(tensor.Ints(0, 0, 0, turned)))
}
