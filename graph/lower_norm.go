package graph

import "github.com/compactify/compactify/tensor"

// lowerBatchNorm expresses batch normalisation by arithmetic, which gives it
// derivatives of every order. In training mode the statistics are those of the
// batch, and the running ones move by running·momentum + batch·(1−momentum);
// the variance is the biased one, as ONNX defines it.
//
// Source: S. Ioffe and C. Szegedy, "Batch normalization", ICML 2015,
// algorithm 1.
func lowerBatchNorm(b *Builder, n *Node) []*Value {
	mean, variance := n.In[3], n.In[4]
	of := mean.Type.DType // which may be wider than that of x
	x, scale, bias := b.as(of, n.In[0]), b.as(of, n.In[1]), b.as(of, n.In[2])
	if x.Type.Rank() < 2 {
		b.failRank(x)
		return make([]*Value, len(n.Out))
	}
	out := make([]*Value, len(n.Out))
	if n.Attrs.Int("training_mode", 0) != 0 {
		mean, variance = b.batchStatistics(x)
		momentum := n.Attrs.Float("momentum", 0.9)
		for i, batch := range []*Value{mean, variance} {
			if n.Output(i+1) != nil {
				out[i+1] = b.add(b.scale(n.In[3+i], momentum), b.scale(batch, 1-momentum))
			}
		}
	}
	epsilon := b.ConstLike(variance, n.Attrs.Float("epsilon", 1e-5))
	factor := b.div(scale, b.Op("Sqrt", b.add(variance, epsilon)))
	centred := b.sub(x, b.perChannel(mean, x))
	out[0] = b.as(n.In[0].Type.DType, b.add(b.mul(centred, b.perChannel(factor, x)), b.perChannel(bias, x)))
	return out
}

// batchStatistics are the mean and biased variance of each channel, as vectors.
func (b *Builder) batchStatistics(x *Value) (mean, variance *Value) {
	axes := []int{0}
	for i := 2; i < x.Type.Rank(); i++ {
		axes = append(axes, i)
	}
	average := func(v *Value) *Value {
		return b.With("ReduceMean", Attributes{Int("keepdims", 0)}, v, b.Const(tensor.Ints(axes...)))
	}
	mean = average(x)
	centred := b.sub(x, b.perChannel(mean, x))
	return mean, average(b.mul(centred, centred))
}

// perChannel shapes a vector of channels so that it broadcasts against x
// [N, C, ...].
func (b *Builder) perChannel(v, x *Value) *Value {
	shape := []int{-1}
	for i := 2; i < x.Type.Rank(); i++ {
		shape = append(shape, 1)
	}
	return b.Op("Reshape", v, b.Const(tensor.Ints(shape...)))
}

// axesFrom lists the axes of x from axis on, as a constant.
func (b *Builder) axesFrom(axis int, x *Value) *Value {
	if !x.Type.Ranked() {
		b.failRank(x)
		return b.Const(tensor.Ints(axis))
	}
	return b.Const(tensor.Ints(axisRange(axis, x.Type.Rank())...))
}

// standardize is (x − mean) / sqrt(variance + epsilon) over axes, with the mean
// and 1/sqrt(...) used.
func (b *Builder) standardize(x, axes *Value, epsilon float64) (y, mean, inverse *Value) {
	mean = b.Op("ReduceMean", x, axes)
	centred := b.sub(x, mean)
	variance := b.Op("ReduceMean", b.mul(centred, centred), axes)
	inverse = b.Op("Reciprocal", b.Op("Sqrt", b.add(variance, b.ConstLike(x, epsilon))))
	return b.mul(centred, inverse), mean, inverse
}

// stash converts x to the number type in which a normalisation computes its
// statistics, attribute stash_type, float32 if absent.
func (b *Builder) stash(n *Node, x *Value) *Value {
	return b.as(tensor.DType(n.Attrs.Int("stash_type", int(tensor.Float32))), x)
}

// as converts x to a number type, if it has another one.
func (b *Builder) as(d tensor.DType, x *Value) *Value {
	if x.Type.DType == d {
		return x
	}
	return b.With("Cast", castTo(d), x)
}

// normalizedFrom is the first axis over which LayerNormalization and
// RMSNormalization work.
func (b *Builder) normalizedFrom(n *Node) int {
	rank, err := n.inputRank(0)
	if err != nil {
		b.Fail(err)
		return 0
	}
	axis, err := normAxis(n.Attrs.Int("axis", -1), rank)
	if err != nil {
		b.Fail(err)
	}
	return axis
}

// lowerLayerNorm: scale·(x − mean)/deviation + bias over the axes from axis on.
//
// Source: J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer normalization",
// arXiv:1607.06450, equation 4.
func lowerLayerNorm(b *Builder, n *Node) []*Value {
	axes := b.axesFrom(b.normalizedFrom(n), n.In[0])
	y, mean, inverse := b.standardize(b.stash(n, n.In[0]), axes, n.Attrs.Float("epsilon", 1e-5))
	y = b.mul(b.as(n.In[0].Type.DType, y), n.In[1])
	if bias := n.Input(2); bias != nil {
		y = b.add(y, bias)
	}
	return []*Value{y, mean, inverse}[:len(n.Out)]
}

// lowerRMSNorm: scale·x/sqrt(mean(x²) + epsilon) over the axes from axis on.
//
// Source: B. Zhang and R. Sennrich, "Root mean square layer normalization",
// NeurIPS 2019, equation 4.
func lowerRMSNorm(b *Builder, n *Node) []*Value {
	x := b.stash(n, n.In[0])
	square := b.Op("ReduceMean", b.mul(x, x), b.axesFrom(b.normalizedFrom(n), x))
	inverse := b.Op("Reciprocal", b.Op("Sqrt", b.add(square, b.ConstLike(x, n.Attrs.Float("epsilon", 1e-5)))))
	return []*Value{b.mul(b.as(n.In[1].Type.DType, b.mul(x, inverse)), n.In[1])}
}

// lowerInstanceNorm standardises every channel of every example.
func lowerInstanceNorm(b *Builder, n *Node) []*Value {
	x := n.In[0]
	y, _, _ := b.standardize(x, b.axesFrom(2, x), n.Attrs.Float("epsilon", 1e-5))
	return []*Value{b.add(b.mul(y, b.perChannel(n.In[1], x)), b.perChannel(n.In[2], x))}
}

// lowerGroupNorm standardises every group of channels of every example.
//
// Source: Y. Wu and K. He, "Group normalization", ECCV 2018, equations 1-7.
func lowerGroupNorm(b *Builder, n *Node) []*Value {
	x := n.In[0]
	groups := b.Op("Reshape", b.stash(n, x), b.Const(tensor.Ints(0, n.Attrs.Int("num_groups", 1), -1)))
	y, _, _ := b.standardize(groups, b.Const(tensor.Ints(2)), n.Attrs.Float("epsilon", 1e-5))
	y = b.as(x.Type.DType, b.shapeLike(y, x))
	return []*Value{b.add(b.mul(y, b.perChannel(n.In[1], x)), b.perChannel(n.In[2], x))}
}

// lowerLpNorm divides by the p-norm along axis; where that is 0, so is x.
func lowerLpNorm(b *Builder, n *Node) []*Value {
	x := n.In[0]
	op := "ReduceL2"
	if n.Attrs.Int("p", 2) == 1 {
		op = "ReduceL1"
	}
	norm := b.Op(op, x, b.Const(tensor.Ints(n.Attrs.Int("axis", -1))))
	safe := b.Op("Where", b.Op("Equal", norm, b.zeros(norm)), b.ConstLike(norm, 1), norm)
	return []*Value{b.div(x, safe)}
}

// lowerLRN: x / (bias + alpha/size · Σ x² over size neighbouring channels)^beta.
// The mean over neighbours is an average pooling with the channels as a spatial
// axis; its padding counts, so that the divisor is always size.
func lowerLRN(b *Builder, n *Node) []*Value {
	x, size := n.In[0], n.Attrs.Int("size", 1)
	image := b.Op("Reshape", b.mul(x, x), b.Const(tensor.Ints(0, 1, x.channels(), -1)))
	below := (size - 1) / 2
	mean := b.With("AveragePool", Attributes{Ints("kernel_shape", size, 1), Ints("pads", below, 0, size-1-below, 0),
		Int("count_include_pad", 1)}, image)
	base := b.add(b.scale(b.shapeLike(mean, x), n.Attrs.Float("alpha", 1e-4)), b.ConstLike(x, n.Attrs.Float("bias", 1)))
	return []*Value{b.div(x, b.Op("Pow", base, b.ConstLike(x, n.Attrs.Float("beta", 0.75))))}
}

// channels is the size of axis 1 for a Reshape target, -1 if it is not known.
func (v *Value) channels() int {
	if v.Type.Rank() < 2 || !v.Type.Shape[1].Known() {
		return -1
	}
	return v.Type.Shape[1].Size
}
