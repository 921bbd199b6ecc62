package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

func elementwiseRules() map[string]*Rule {
	return map[string]*Rule{
		"Add": {Since: []int{7}, MinIn: 2, MaxIn: 2, Infer: inferBroadcast, VJP: vjpAdd},
	}
}

// inferBroadcast gives the one output the inputs' number type and the shape
// they broadcast to.
func inferBroadcast(c *Inference) error {
	shape, err := broadcastTypes(c, 0, len(c.Node.In))
	if err != nil {
		return err
	}
	c.Set(0, tensor.Type{DType: c.In(0).DType, Shape: shape})
	return nil
}

// broadcastTypes merges the shapes of inputs [from, to) by ONNX's
// multidirectional broadcasting.
func broadcastTypes(c *Inference, from, to int) ([]tensor.Dim, error) {
	shape := []tensor.Dim{}
	for i := from; i < to; i++ {
		t := c.In(i)
		if !t.Ranked() {
			return nil, nil
		}
		var err error
		if shape, err = broadcast(shape, t.Shape); err != nil {
			return nil, c.Errorf("input %d: %w", i, err)
		}
	}
	return shape, nil
}

func broadcast(a, b []tensor.Dim) ([]tensor.Dim, error) {
	out := make([]tensor.Dim, max(len(a), len(b)))
	for i := range out {
		x, y := tensor.Fixed(1), tensor.Fixed(1)
		if k := i - (len(out) - len(a)); k >= 0 {
			x = a[k]
		}
		if k := i - (len(out) - len(b)); k >= 0 {
			y = b[k]
		}
		switch {
		case x.Same(y) || y.Size == 1:
			out[i] = x
		case x.Size == 1:
			out[i] = y
		case x.Known() && y.Known():
			return nil, fmt.Errorf("shapes %v and %v do not broadcast: axis %d has %d and %d",
				tensor.Type{Shape: a}, tensor.Type{Shape: b}, i, x.Size, y.Size)
		case x.Known(): // a symbol against a size other than 1 can only be that size or 1
			out[i] = x
		case y.Known():
			out[i] = y
		default:
			out[i] = tensor.Unknown()
		}
	}
	return out, nil
}

func vjpAdd(b *Builder, n *Node, dy []*Value) []*Value {
	return []*Value{b.unbroadcast(dy[0], n.In[0]), b.unbroadcast(dy[0], n.In[1])}
}

// unbroadcast sums a cotangent over the axes along which v was broadcast.
func (b *Builder) unbroadcast(d, v *Value) *Value {
	from, to := d.Type.Shape, v.Type.Shape
	if from == nil || to == nil {
		b.Fail(fmt.Errorf("gradient of %q: rank unknown", v.Name))
		return d
	}
	lead := len(from) - len(to)
	var axes []int
	for i := range from {
		if i < lead || (to[i-lead].Size == 1 && from[i].Size != 1) {
			axes = append(axes, i)
		}
	}
	if len(axes) == 0 {
		return d
	}
	d = b.With("ReduceSum", Attributes{Int("keepdims", 1)}, d, b.Const(tensor.Ints(axes...)))
	if lead > 0 {
		drop := make([]int, lead)
		for i := range drop {
			drop[i] = i
		}
		d = b.Op("Squeeze", d, b.Const(tensor.Ints(drop...)))
	}
	return d
}
