package graph

import "slices"

// DropDefaults leaves out the attributes, in subgraphs too, that say what holds
// without them: see [Node.IsDefault]. The graph must be in newest form.
func (g *Graph) DropDefaults() {
	g.eachNode(func(n *Node) {
		n.Attrs = slices.DeleteFunc(slices.Clone(n.Attrs), n.IsDefault)
	})
}

// IsDefault reports whether leaving an attribute out would mean the same: in the
// newest opset, and in every older one that [Graph.MinOpset] allows a graph in
// newest form. It knows the attributes that exporters write out most; of others it
// says no.
//
// Source: the operators' pages of the ONNX specification, "Attributes".
func (n *Node) IsDefault(a Attr) bool {
	switch n.Kind() {
	case "Conv", "ConvTranspose":
		return windowDefault(a) || isInt(a, "group", 1) || a.Name == "kernel_shape" && n.hasKernel(a.Ints)
	case "MaxPool", "AveragePool", "LpPool":
		return windowDefault(a) || isInt(a, "ceil_mode", 0) || isInt(a, "storage_order", 0) || isInt(a, "count_include_pad", 0)
	case "Gemm":
		return isInt(a, "transA", 0) || isInt(a, "transB", 0) || isFloat(a, "alpha", 1) || isFloat(a, "beta", 1)
	case "QuantizeLinear", "DequantizeLinear":
		return isInt(a, "axis", 1) || isInt(a, "block_size", 0) || isInt(a, "saturate", 1) || isInt(a, "output_dtype", 0)
	case "BatchNormalization":
		return isFloat(a, "epsilon", 1e-5) || isFloat(a, "momentum", 0.9) || isInt(a, "training_mode", 0)
	case "Flatten":
		return isInt(a, "axis", 1)
	case "Softmax", "LogSoftmax":
		return isInt(a, "axis", -1)
	case "Gather":
		return isInt(a, "axis", 0)
	case "Reshape":
		return isInt(a, "allowzero", 0)
	case "ReduceMean", "ReduceMax", "ReduceMin", "ReduceSum", "ReduceProd", "ReduceL2", "ReduceL1":
		return isInt(a, "keepdims", 1) || isInt(a, "noop_with_empty_axes", 0)
	}
	return false
}

// hasKernel reports whether the weight of a convolution is known to have a kernel
// of a shape.
func (n *Node) hasKernel(shape []int64) bool {
	w := n.Input(1)
	if w == nil || w.Type.Rank() != len(shape)+2 {
		return false
	}
	for i, k := range shape {
		if d := w.Type.Shape[i+2]; !d.Known() || int64(d.Size) != k {
			return false
		}
	}
	return true
}

// windowDefault reports whether an attribute of a sliding window says what holds
// without it: steps of one, no padding.
func windowDefault(a Attr) bool {
	switch a.Name {
	case "strides", "dilations":
		return isAll(a, 1)
	case "pads", "output_padding":
		return isAll(a, 0)
	case "auto_pad":
		return a.Kind == AttrString && a.S == "NOTSET"
	}
	return false
}

func isInt(a Attr, name string, x int) bool {
	return a.Name == name && a.Kind == AttrInt && a.I == int64(x)
}

func isFloat(a Attr, name string, x float32) bool {
	return a.Name == name && a.Kind == AttrFloat && a.F == x
}

func isAll(a Attr, x int64) bool {
	return a.Kind == AttrInts && !slices.ContainsFunc(a.Ints, func(y int64) bool { return y != x })
}
