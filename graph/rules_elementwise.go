package graph

import (
	"fmt"

	"github.com/compactify/compactify/tensor"
)

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
