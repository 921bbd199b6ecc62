package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

// randomRules types the operators that draw at random, so that models holding
// them can be read and rewritten.
func randomRules() map[string]*Rule {
	return map[string]*Rule{
		"RandomNormal":      {Since: []int{1}, MinIn: 0, MaxIn: 0, Infer: inferRandom},
		"RandomUniform":     {Since: []int{1}, MinIn: 0, MaxIn: 0, Infer: inferRandom},
		"RandomNormalLike":  {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferLike},
		"RandomUniformLike": {Since: []int{1}, MinIn: 1, MaxIn: 1, Infer: inferLike},
		"Bernoulli":         {Since: []int{15}, MinIn: 1, MaxIn: 1, Infer: inferLike},
		"Multinomial":       {Since: []int{7}, MinIn: 1, MaxIn: 1, Infer: inferMultinomial},
	}
}

// CheckRepeatable reports the first node, of the graph or of a body in it, that draws
// at random: such a model answers differently each time, and nothing measured of it
// can be trusted.
func (g *Graph) CheckRepeatable() error {
	random := randomRules()
	var err error
	g.eachNode(func(n *Node) {
		if _, draws := random[n.Kind()]; draws && err == nil {
			err = fmt.Errorf("%v: draws at random, want a model that gives equal answers for equal inputs", n)
		}
	})
	return err
}

func inferRandom(c *Inference) error {
	out := tensor.Type{DType: tensor.DType(c.Attrs.Int("dtype", int(tensor.Float32))), Shape: []tensor.Dim{}}
	for _, n := range c.Attrs.Ints("shape") {
		if n < 0 {
			return c.Errorf("attribute shape: got %v, want sizes of 0 or more", c.Attrs.Ints("shape"))
		}
		out.Shape = append(out.Shape, tensor.Fixed(n))
	}
	c.Set(0, out)
	return nil
}

// inferLike: the input's shape and the number type asked for, or the input's.
func inferLike(c *Inference) error {
	x := c.In(0)
	if d := c.Attrs.Int("dtype", 0); d != 0 {
		x.DType = tensor.DType(d)
	}
	c.Set(0, x)
	return nil
}

func inferMultinomial(c *Inference) error {
	if err := c.rank(0, 2); err != nil {
		return err
	}
	shape := unknownDims(2)
	if x := c.In(0); x.Ranked() {
		shape[0] = x.Shape[0]
	}
	shape[1] = tensor.Fixed(c.Attrs.Int("sample_size", 1))
	c.Set(0, tensor.Type{DType: tensor.DType(c.Attrs.Int("dtype", int(tensor.Int32))), Shape: shape})
	return nil
}
