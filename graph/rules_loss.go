package graph

import (
	"slices"

	"github.com/compactify/compactify/tensor"
)

func lossRules() map[string]*Rule {
	return map[string]*Rule{
		"NegativeLogLikelihoodLoss": {Since: []int{12}, MinIn: 2, MaxIn: 3, Infer: inferLoss, Lower: lowerNLL},
		"SoftmaxCrossEntropyLoss":   {Since: []int{12}, MinIn: 2, MaxIn: 3, MinOut: 1, MaxOut: 2, Infer: inferLoss, Lower: lowerSoftmaxLoss},
	}
}

// inferLoss: scores [N, C, d...], labels [N, d...], class weights [C] → a
// scalar, or labels' shape if reduction is none; SoftmaxCrossEntropyLoss also
// gives the logarithms of the probabilities.
func inferLoss(c *Inference) error {
	x, labels := c.In(0), c.In(1)
	if err := c.want(floats, 0, 2); err != nil {
		return err
	}
	if err := c.want(indices, 1); err != nil {
		return err
	}
	if err := c.rankAtLeast(0, 2); err != nil {
		return err
	}
	var each []tensor.Dim
	if x.Ranked() {
		each = slices.Delete(slices.Clone(x.Shape), 1, 2)
		if err := c.channels(2, x.Shape[1]); err != nil {
			return err
		}
		if labels.Ranked() && labels.Rank() != len(each) {
			return c.Errorf("input 1: got %v, want %v without its axis 1", labels, x)
		}
		for i := range labels.Shape {
			m, ok := mergeDims(each[i], labels.Shape[i])
			if !ok {
				return c.Errorf("input 1: got %v, want %v without its axis 1", labels, x)
			}
			each[i] = m
		}
	}
	switch r := c.Attrs.Text("reduction", "mean"); r {
	case "none":
		c.Set(0, tensor.Type{DType: x.DType, Shape: each})
	case "mean", "sum":
		c.Set(0, tensor.TypeOf(x.DType))
	default:
		return c.Errorf("attribute reduction: got %q, want none, sum or mean", r)
	}
	c.Set(1, x)
	return nil
}

// lowerSoftmaxLoss: NegativeLogLikelihoodLoss of LogSoftmax along axis 1.
func lowerSoftmaxLoss(b *Builder, n *Node) []*Value {
	logs := b.With("LogSoftmax", Attributes{Int("axis", 1)}, n.In[0])
	in := append([]*Value{logs}, n.In[1:]...)
	return []*Value{b.With("NegativeLogLikelihoodLoss", n.Attrs, in...), logs}
}
