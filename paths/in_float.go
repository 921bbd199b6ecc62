package paths

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// RoundedValue is an activation that flows as 8-bit integers, with what they span.
type RoundedValue struct {
	Name  string
	Range Range
}

// RoundedValues lists the activations of g that are rounded, in its order.
func RoundedValues(g *graph.Graph) []RoundedValue {
	params := g.ParamsByValue()
	var list []RoundedValue
	for _, n := range g.Nodes {
		if n.Kind() != "QuantizeLinear" || params[n.Input(1)] == nil || params[n.Input(2)] == nil || params[n.In[2]].Data.DType() != tensor.Uint8 ||
			params[n.In[1]].Data.Len() != 1 {
			continue
		}
		s, z := params[n.In[1]].Data.At(0), params[n.In[2]].Data.At(0)
		list = append(list, RoundedValue{n.In[0].Name, Range{-z * s, (255 - z) * s}})
	}
	return list
}

// InFloat is an operator that computes in floating point between rounded ones.
type InFloat struct {
	Node   *graph.Node
	Reason string
}

// integerKernels are the operators that ONNX Runtime computes on integers when a
// DequantizeLinear is in front of them and a QuantizeLinear behind.
var integerKernels = map[string]bool{"Conv": true, "Gemm": true, "MatMul": true, "Add": true, "Mul": true, "Concat": true,
	"AveragePool": true, "GlobalAveragePool": true, "LeakyRelu": true, "Sigmoid": true, "Softmax": true, "Where": true, "Resize": true,
	"Split": true, "Gather": true}

// LeftInFloat lists the operators of a graph with 8-bit activations that compute in
// floating point all the same, with the reason, in the order of the graph.
// Activations that clamp count with the layer they follow: runtimes fuse them.
// Operators that only move elements, or compute shapes, are no arithmetic.
func LeftInFloat(g *graph.Graph) []InFloat {
	producer, params := g.Producers(), g.ParamsByValue()
	low, constant := twoBits(g), constants(g)
	var list []InFloat
	for _, n := range g.Nodes {
		if n.Kind() == "QuantizeLinear" || n.Kind() == "DequantizeLinear" || movesElements[n.Kind()] || len(n.Out) == 0 || n.Out[0] == nil ||
			!n.Out[0].Type.DType.IsFloat() || constant[n.Out[0]] {
			continue
		}
		if reason := whyFloat(n, producer, params, low); reason != "" {
			list = append(list, InFloat{n, reason})
		}
	}
	return list
}

// whyFloat is the reason for which a node computes in floating point, "" if it
// does not.
func whyFloat(n *graph.Node, producer map[*graph.Value]*graph.Node, params map[*graph.Value]*graph.Param, low map[*graph.Node]bool) string {
	integers := func(v *graph.Value) bool { return producer[v] != nil && producer[v].Kind() == "DequantizeLinear" }
	real := slices.IndexFunc(n.In, func(v *graph.Value) bool { return v != nil && v.Type.DType.IsFloat() && !integers(v) })
	switch k := n.Kind(); {
	case k == "Relu" || k == "Clip":
		from := producer[n.In[0]]
		if from != nil && (integerKernels[from.Kind()] || from.Kind() == "DequantizeLinear") {
			return ""
		}
		return "its input is not rounded"
	case len(n.Attrs) > 0 && slices.ContainsFunc(n.Attrs, func(a graph.Attr) bool { return len(a.Subgraphs()) > 0 }):
		return "it runs graphs of its own, which are left in floating point"
	case low[n]:
		return "its weight has 2 bits: ONNX Runtime has no integer kernel for that"
	case !integerKernels[k]:
		return fmt.Sprintf("ONNX Runtime has no integer kernel for %s", k)
	case k == "Conv" || k == "Gemm" || k == "MatMul":
		switch {
		case integers(n.In[1]) && producer[n.In[1]].In[0].Type.DType.Bits() == 4:
			return "its weight has 4 bits: ONNX Runtime unpacks it to floats at every run; 8 bits are faster there"
		case integers(n.In[0]) && integers(n.In[1]):
			return ""
		case params[n.In[1]] != nil:
			return "its weight stays in floating point"
		case !integers(n.In[1]):
			return "both of its operands are activations"
		}
		return "its input is not rounded"
	case real >= 0:
		return fmt.Sprintf("its input %q is not rounded: integers would save no time between operators that need floats", n.In[real].Name)
	}
	return ""
}

// constants are the values that depend on parameters alone.
func constants(g *graph.Graph) map[*graph.Value]bool {
	known := make(map[*graph.Value]bool)
	for _, p := range g.Params {
		known[p.Value] = true
	}
	for _, n := range g.Nodes {
		if !slices.ContainsFunc(n.Reads(), func(v *graph.Value) bool { return !known[v] }) {
			for _, v := range n.Out {
				known[v] = true
			}
		}
	}
	return known
}
