package graph

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/tensor"
)

func activationRules() map[string]*Rule {
	return map[string]*Rule{
		"Relu":            {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(signeds)},
		"LeakyRelu":       {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"PRelu":           {Since: []int{1, 7}, MinIn: 2, MaxIn: 2, Infer: inferPRelu},
		"ThresholdedRelu": {Since: []int{10}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats), Lower: lowerThresholdedRelu},
		"Elu":             {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Selu":            {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Celu":            {Since: []int{12}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats), Lower: lowerCelu},
		"Sigmoid":         {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"HardSigmoid":     {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"HardSwish":       {Since: []int{14}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats), Lower: lowerHardSwish},
		"Swish":           {Since: []int{24}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats), Lower: lowerSwish},
		"Tanh":            {Since: []int{1, 6}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Softplus":        {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats)},
		"Softsign":        {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats), Lower: lowerSoftsign},
		"Mish":            {Since: []int{18}, MinIn: 1, MaxIn: 1, Infer: inferUnary(floats), Lower: lowerMish},
		"Gelu":            {Since: []int{20}, MinIn: 1, MaxIn: 1, Infer: inferGelu, Lower: lowerGelu},
		"Shrink":          {Since: []int{9}, MinIn: 1, MaxIn: 1, Infer: inferUnary(numbers), Lower: lowerShrink},
		"Clip": {Since: []int{1, 6, 11}, MinIn: 1, MaxIn: 3, Infer: inferClip, Upgrade: map[int]step{
			11: steps(floatToInput("min", 1), floatToInput("max", 2))}},
		"Dropout": {Since: []int{1, 6, 7, 12}, MinIn: 1, MaxIn: 3, MinOut: 1, MaxOut: 2, Infer: inferDropout, Lower: lowerDropout, Upgrade: map[int]step{
			12: floatToInput("ratio", 1)}},
	}
}

// inferPRelu: the slope broadcasts to the input, not the other way round.
func inferPRelu(c *Inference) error {
	d, err := c.same(0, 1)
	if err != nil {
		return err
	}
	if err := c.want(numbers, 0); err != nil {
		return err
	}
	x, slope := c.In(0), c.In(1)
	if x.Ranked() && slope.Ranked() {
		shape, err := broadcast(x.Shape, slope.Shape)
		if err != nil {
			return c.Errorf("input 1: %w", err)
		}
		if both, ok := (tensor.Type{Shape: shape}).Static(); ok && len(both) != x.Rank() {
			return c.Errorf("input 1: got %v, want a shape that broadcasts to %v", slope, x)
		}
	}
	c.Set(0, x.With(d))
	return nil
}

func inferGelu(c *Inference) error {
	if a := c.Attrs.Text("approximate", "none"); a != "none" && a != "tanh" {
		return c.Errorf("attribute approximate: got %q, want none or tanh", a)
	}
	return inferUnary(floats)(c)
}

// inferClip checks that the bounds are scalars of the input's number type.
func inferClip(c *Inference) error {
	if _, err := c.same(0, 1, 2); err != nil {
		return err
	}
	for _, i := range []int{1, 2} {
		if c.HasIn(i) {
			if err := c.scalar(i); err != nil {
				return err
			}
		}
	}
	return inferUnary(numbers)(c)
}

// scalar checks that input i holds one element; one axis of size 1 is let pass,
// as exporters write it.
func (c *Inference) scalar(i int) error {
	t := c.In(i)
	if t.Rank() > 1 || (t.Rank() == 1 && t.Shape[0].Known() && t.Shape[0].Size != 1) {
		return c.Errorf("input %d: got %v, want a scalar", i, t)
	}
	return nil
}

// inferDropout: output 1 is the mask of what was kept.
func inferDropout(c *Inference) error {
	if err := c.want(floats, 0, 1); err != nil {
		return err
	}
	if err := c.want(booleans, 2); err != nil {
		return err
	}
	for _, i := range []int{1, 2} {
		if err := c.scalar(i); err != nil {
			return err
		}
	}
	c.Set(0, c.In(0))
	c.Set(1, c.In(0).With(tensor.Bool))
	return nil
}

// lowerDropout keeps everything: what the operator does outside training, and
// inside with a ratio of 0. Dropping at random cannot be expressed.
func lowerDropout(b *Builder, n *Node) []*Value {
	if b.mayBeNonzero(n.Input(2), 0) && b.mayBeNonzero(n.Input(1), 0.5) {
		b.Fail(fmt.Errorf("%s: training_mode is set or not constant: dropping at random is not supported", n))
	}
	out := []*Value{b.Op("Identity", n.In[0]), nil}
	if n.Output(1) != nil {
		out[1] = b.Op("Expand", b.Const(tensor.Scalar(true)), b.Op("Shape", n.In[0]))
	}
	return out[:len(n.Out)]
}

// mayBeNonzero reports whether a scalar may be other than 0; omitted it has its
// default.
func (b *Builder) mayBeNonzero(v *Value, def float64) bool {
	if v == nil {
		return def != 0
	}
	t, ok := b.facts.Data(v)
	return !ok || t.Len() != 1 || t.At(0) != 0
}

// lowerThresholdedRelu: x where x > alpha, else 0.
func lowerThresholdedRelu(b *Builder, n *Node) []*Value {
	x := n.In[0]
	above := b.Op("Greater", x, b.ConstLike(x, n.Attrs.Float("alpha", 1)))
	return []*Value{b.Op("Where", above, x, b.ConstLike(x, 0))}
}

// lowerCelu: alpha · Elu(x/alpha) with slope 1.
func lowerCelu(b *Builder, n *Node) []*Value {
	x := n.In[0]
	alpha := b.ConstLike(x, n.Attrs.Float("alpha", 1))
	return []*Value{b.Op("Mul", alpha, b.Op("Elu", b.Op("Div", x, alpha)))}
}

// lowerHardSwish: x · HardSigmoid(x) with slope 1/6.
func lowerHardSwish(b *Builder, n *Node) []*Value {
	gate := b.With("HardSigmoid", Attributes{Float("alpha", 1.0/6), Float("beta", 0.5)}, n.In[0])
	return []*Value{b.Op("Mul", n.In[0], gate)}
}

// lowerSwish: x · sigmoid(alpha·x).
func lowerSwish(b *Builder, n *Node) []*Value {
	x, z := n.In[0], n.In[0]
	if alpha := n.Attrs.Float("alpha", 1); alpha != 1 {
		z = b.Op("Mul", x, b.ConstLike(x, alpha))
	}
	return []*Value{b.Op("Mul", x, b.Op("Sigmoid", z))}
}

// lowerSoftsign: x / (1 + |x|).
func lowerSoftsign(b *Builder, n *Node) []*Value {
	x := n.In[0]
	return []*Value{b.Op("Div", x, b.Op("Add", b.ConstLike(x, 1), b.Op("Abs", x)))}
}

// lowerMish: x · tanh(softplus(x)).
func lowerMish(b *Builder, n *Node) []*Value {
	return []*Value{b.Op("Mul", n.In[0], b.Op("Tanh", b.Op("Softplus", n.In[0])))}
}

// lowerGelu: ½x(1 + erf(x/√2)), or with tanh(√(2/π)(x + 0.044715x³)) for erf.
// Source: D. Hendrycks and K. Gimpel, "Gaussian Error Linear Units (GELUs)",
// arXiv:1606.08415, section 2.
func lowerGelu(b *Builder, n *Node) []*Value {
	x := n.In[0]
	var phi *Value
	if n.Attrs.Text("approximate", "none") == "tanh" {
		cube := b.Op("Mul", x, b.Op("Mul", x, x))
		inner := b.Op("Add", x, b.Op("Mul", b.ConstLike(x, 0.044715), cube))
		phi = b.Op("Tanh", b.Op("Mul", b.ConstLike(x, math.Sqrt(2/math.Pi)), inner))
	} else {
		phi = b.Op("Erf", b.Op("Mul", x, b.ConstLike(x, math.Sqrt2/2)))
	}
	half := b.Op("Mul", x, b.ConstLike(x, 0.5))
	return []*Value{b.Op("Mul", half, b.Op("Add", phi, b.ConstLike(x, 1)))}
}

// lowerShrink: x + bias below -lambd, x - bias above lambd, 0 between.
func lowerShrink(b *Builder, n *Node) []*Value {
	x := n.In[0]
	lambda, bias := n.Attrs.Float("lambd", 0.5), b.ConstLike(x, n.Attrs.Float("bias", 0))
	above := b.Op("Greater", x, b.ConstLike(x, lambda))
	below := b.Op("Less", x, b.ConstLike(x, -lambda))
	rest := b.Op("Where", above, b.Op("Sub", x, bias), b.ConstLike(x, 0))
	return []*Value{b.Op("Where", below, b.Op("Add", x, bias), rest)}
}
