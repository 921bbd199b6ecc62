package train

import (
	"fmt"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// widen turns a graph's float32 into float64: inputs, parameters, constants and
// casts. The graph becomes one that computes the same function with less rounding;
// where an operator takes float32 alone the error names it. g is modified and
// must be in the newest opset; tensors are not.
func widen(g *graph.Graph) error {
	if err := widenTypes(g); err != nil {
		return err
	}
	if err := g.Infer(); err != nil {
		return fmt.Errorf("in float64: %w", err)
	}
	return nil
}

func widenTypes(g *graph.Graph) error {
	for _, v := range g.Inputs {
		widenValue(v)
	}
	for _, p := range g.Params {
		if p.Data.DType() != tensor.Float32 {
			continue
		}
		wide, err := p.Data.Convert(tensor.Float64)
		if err != nil {
			return fmt.Errorf("parameter %q: %w", p.Name, err)
		}
		p.Data = wide
		widenValue(p.Value)
	}
	for _, n := range g.Nodes {
		for _, v := range n.Out {
			widenValue(v)
		}
		for i, a := range n.Attrs {
			wide, err := widenAttr(n, a)
			if err != nil {
				return fmt.Errorf("%s: %w", n, err)
			}
			n.Attrs[i] = wide
		}
	}
	return nil
}

// widenValue lets inference find the type anew.
func widenValue(v *graph.Value) {
	if v != nil && v.Type.DType == tensor.Float32 {
		v.Type.DType = tensor.Float64
	}
}

func widenAttr(n *graph.Node, a graph.Attr) (graph.Attr, error) {
	var err error
	switch {
	case a.Kind == graph.AttrTensor && a.T.DType() == tensor.Float32:
		a.T, err = a.T.Convert(tensor.Float64)
	case n.Kind() == "Constant" && a.Kind == graph.AttrFloat:
		return graph.TensorOf("value", tensor.Scalar(float64(a.F))), nil
	case n.Kind() == "Constant" && a.Kind == graph.AttrFloats:
		list := make([]float64, len(a.Floats))
		for i, x := range a.Floats {
			list[i] = float64(x)
		}
		return graph.TensorOf("value", tensor.Of(list, len(list))), nil
	case a.Kind == graph.AttrInt && (a.Name == "to" || a.Name == "dtype") && tensor.DType(a.I) == tensor.Float32:
		return graph.Int(a.Name, int(tensor.Float64)), nil
	case a.Kind == graph.AttrGraph:
		err = widenTypes(a.G)
	case a.Kind == graph.AttrGraphs:
		for _, sub := range a.Graphs {
			if err == nil {
				err = widenTypes(sub)
			}
		}
	}
	return a, err
}
