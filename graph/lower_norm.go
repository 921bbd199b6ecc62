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
	x, scale, bias, mean, variance := n.In[0], n.In[1], n.In[2], n.In[3], n.In[4]
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
	out[0] = b.add(b.mul(centred, b.perChannel(factor, x)), b.perChannel(bias, x))
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
