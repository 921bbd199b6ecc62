package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

func normalizationRules() map[string]*Rule {
	return map[string]*Rule{
		"Softmax":    {Since: []int{1, 13}, MinIn: 1, MaxIn: 1, Infer: inferSoftmax, Upgrade: map[int]step{13: softmaxPerAxis}},
		"LogSoftmax": {Since: []int{1, 13}, MinIn: 1, MaxIn: 1, Infer: inferSoftmax, Upgrade: map[int]step{13: softmaxPerAxis}},
		"Hardmax":    {Since: []int{1, 13}, MinIn: 1, MaxIn: 1, Infer: inferSoftmax, Upgrade: map[int]step{13: softmaxPerAxis}},
		"BatchNormalization": {Since: []int{1, 6, 7, 9}, MinIn: 5, MaxIn: 5, MinOut: 1, MaxOut: 3, Infer: inferBatchNorm,
			Lower: lowerBatchNorm, Upgrade: map[int]step{9: batchNormSpatial, 14: batchNormTraining}},
		"InstanceNormalization":     {Since: []int{1, 6}, MinIn: 3, MaxIn: 3, Infer: inferInstanceNorm, Lower: lowerInstanceNorm},
		"GroupNormalization":        {Since: []int{18, 21}, MinIn: 3, MaxIn: 3, Infer: inferGroupNorm, Lower: lowerGroupNorm, Upgrade: map[int]step{21: groupNormPerChannel}},
		"LayerNormalization":        {Since: []int{17}, MinIn: 2, MaxIn: 3, MinOut: 1, MaxOut: 3, Infer: inferLayerNorm, Lower: lowerLayerNorm},
		"RMSNormalization":          {Since: []int{23}, MinIn: 2, MaxIn: 2, Infer: inferLayerNorm, Lower: lowerRMSNorm},
		"LpNormalization":           {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferSoftmax, Lower: lowerLpNorm},
		"LRN":                       {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferLRN, Lower: lowerLRN},
		"MeanVarianceNormalization": {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats), Lower: lowerMeanVariance},
	}
}

// inferSoftmax: an operator along one axis that keeps the type.
func inferSoftmax(c *Inference) error {
	if t := c.In(0); t.Ranked() {
		if _, err := c.axis("axis", -1, max(1, t.Rank())); err != nil {
			return err
		}
	}
	return inferUnary(floats)(c)
}

// softmaxPerAxis: before opset 13 the operator worked on x flattened to a
// matrix at axis (default 1).
func softmaxPerAxis(b *Builder, n *Node) error {
	x := n.In[0]
	rank, err := n.inputRank(0)
	if err != nil {
		return err
	}
	axis, err := normAxis(n.Attrs.Int("axis", 1), rank)
	if err != nil {
		return fmt.Errorf("attribute axis: %w", err)
	}
	// Axes of size 1 do not matter: with one other axis left it is that one.
	wide := axis
	count := 0
	for i := axis; i < rank; i++ {
		if x.Type.Shape[i] != tensor.Fixed(1) {
			wide = i
			count++
		}
	}
	if count <= 1 {
		n.Attrs = n.Attrs.With(Int("axis", wide))
		return nil
	}
	flat := b.With("Flatten", Attributes{Int("axis", axis)}, x)
	y := b.With(n.Op, Attributes{Int("axis", 1)}, flat)
	b.Append(&Node{Name: n.Name, Op: "Reshape", In: []*Value{y, b.Op("Shape", x)}, Out: n.Out})
	n.finish()
	return nil
}

// inferBatchNorm: x [N, C, ...] and vectors of C; in training_mode the running
// mean and variance come out as well.
func inferBatchNorm(c *Inference) error {
	if err := c.want(floats, 0, 1, 2, 3, 4); err != nil {
		return err
	}
	x := c.In(0)
	channels := tensor.Unknown()
	switch {
	case x.Rank() == 0:
		return c.Errorf("input 0: got %v, want rank 1 or more", x)
	case x.Rank() == 1:
		channels = tensor.Fixed(1)
	case x.Ranked():
		channels = x.Shape[1]
	}
	for i := 1; i < 5; i++ {
		if err := c.channels(i, channels); err != nil {
			return err
		}
		if t := c.In(i); t.Ranked() {
			channels, _ = mergeDims(channels, t.Shape[0])
		}
	}
	if sizes, ok := x.Static(); ok && c.Attrs.Int("training_mode", 0) != 0 && slices.Contains(sizes, 0) {
		return c.Errorf("input 0: got %v, want elements to take the mean of", x)
	}
	if c.Attrs.Int("training_mode", 0) == 0 && (c.Output(1) != nil || c.Output(2) != nil) {
		return c.Errorf("outputs 1 and 2: present, but training_mode is 0")
	}
	c.Set(0, x)
	stats := tensor.Type{DType: c.In(3).DType, Shape: []tensor.Dim{channels}}
	c.Set(1, stats)
	c.Set(2, stats)
	return nil
}

func batchNormSpatial(_ *Builder, n *Node) error {
	if n.Attrs.Int("spatial", 1) == 0 {
		return fmt.Errorf("attribute spatial: got 0, which no newer opset has")
	}
	n.Attrs = n.Attrs.Without("spatial")
	return nil
}

func batchNormTraining(_ *Builder, n *Node) error {
	for i := 1; i < len(n.Out); i++ {
		if n.Out[i] != nil {
			return fmt.Errorf("output %d: the training form before opset 14 saved other statistics", i)
		}
	}
	n.Out = n.Out[:1]
	return nil
}

// inferInstanceNorm: x [N, C, ...], scale and bias [C].
func inferInstanceNorm(c *Inference) error {
	d, err := c.same(0, 1, 2)
	if err != nil {
		return err
	}
	if err := c.rankAtLeast(0, 3); err != nil {
		return err
	}
	return c.perChannel(d)
}

// perChannel checks scale and bias (inputs 1 and 2) of a normalisation of
// x [N, C, ...] and gives the output x's shape.
func (c *Inference) perChannel(d tensor.DType) error {
	x := c.In(0)
	if err := c.want(floats, 0, 1, 2); err != nil {
		return err
	}
	if x.Ranked() {
		for _, i := range []int{1, 2} {
			if err := c.channels(i, x.Shape[1]); err != nil {
				return err
			}
		}
	}
	c.Set(0, x.With(d))
	return nil
}

// inferGroupNorm: x [N, C, ...] in num_groups groups of channels, scale and
// bias [C].
func inferGroupNorm(c *Inference) error {
	d, err := c.same(0, 1, 2)
	if err != nil {
		return err
	}
	if err := c.rankAtLeast(0, 2); err != nil {
		return err
	}
	groups := c.Attrs.Int("num_groups", 0)
	if groups < 1 {
		return c.Errorf("attribute num_groups: got %d, want 1 or more", groups)
	}
	if x := c.In(0); x.Ranked() && x.Shape[1].Known() && x.Shape[1].Size%groups != 0 {
		return c.Errorf("input 0: got %v, want channels a multiple of num_groups %d", x, groups)
	}
	return c.perChannel(d)
}

// groupNormPerChannel: before opset 21 scale and bias had one entry per group.
func groupNormPerChannel(b *Builder, n *Node) error {
	x := n.In[0].Type
	groups := n.Attrs.Int("num_groups", 0)
	if x.Rank() < 2 || !x.Shape[1].Known() || groups < 1 || x.Shape[1].Size%groups != 0 {
		return fmt.Errorf("input 0: got %v in %d groups, want a known number of channels, a multiple of it", x, groups)
	}
	per := x.Shape[1].Size / groups
	for i := 1; i <= 2; i++ {
		column := b.Op("Unsqueeze", n.In[i], b.Const(tensor.Ints(1)))
		wide := b.Op("Expand", column, b.Const(tensor.Ints(groups, per)))
		n.In[i] = b.Op("Reshape", wide, b.Const(tensor.Ints(-1)))
	}
	return nil
}

// inferLayerNorm normalises over the axes from axis on; scale and bias
// broadcast to x. Mean and inverse deviation have the normalised axes as 1.
func inferLayerNorm(c *Inference) error {
	x := c.In(0)
	if err := c.want(floats, 0, 1, 2); err != nil {
		return err
	}
	stats := tensor.Type{DType: tensor.DType(c.Attrs.Int("stash_type", int(tensor.Float32)))}
	if x.Ranked() {
		axis, err := c.axis("axis", -1, x.Rank())
		if err != nil {
			return err
		}
		for i := 1; i <= 2; i++ {
			t := c.In(i)
			if !t.Ranked() {
				continue
			}
			if both, err := broadcast(x.Shape, t.Shape); err != nil {
				return c.Errorf("input %d: %w", i, err)
			} else if len(both) != x.Rank() {
				return c.Errorf("input %d: got %v, want a shape that broadcasts to %v", i, t, x)
			}
		}
		stats.Shape = slices.Clone(x.Shape)
		for i := axis; i < len(stats.Shape); i++ {
			stats.Shape[i] = tensor.Fixed(1)
		}
	}
	out := x
	if n := c.Op; n == "RMSNormalization" && c.In(1).DType != tensor.Undefined {
		out.DType = c.In(1).DType
	}
	c.Set(0, out)
	c.Set(1, stats)
	c.Set(2, stats)
	return nil
}

func inferLRN(c *Inference) error {
	if c.Attrs.Int("size", 0) < 1 {
		return c.Errorf("attribute size: got %d, want 1 or more", c.Attrs.Int("size", 0))
	}
	if err := c.rankAtLeast(0, 2); err != nil {
		return err
	}
	return inferUnary(floats)(c)
}

// lowerMeanVariance: (x - E x) / sqrt(E x² - (E x)² + 1e-9) over axes, as the
// operator's function body has it.
func lowerMeanVariance(b *Builder, n *Node) []*Value {
	x := n.In[0]
	axes := n.Attrs.Ints("axes")
	if axes == nil {
		axes = []int{0, 2, 3}
	}
	list := b.Const(tensor.Ints(axes...))
	mean := b.Op("ReduceMean", x, list)
	variance := b.Op("Sub", b.Op("ReduceMean", b.Op("Mul", x, x), list), b.Op("Mul", mean, mean))
	deviation := b.Op("Add", b.Op("Sqrt", variance), b.ConstLike(x, 1e-9))
	return []*Value{b.Op("Div", b.Op("Sub", x, mean), deviation)}
}
