package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// typeSince is the oldest opset in which a number type may appear.
var typeSince = map[tensor.DType]int{
	tensor.BFloat16:       13,
	tensor.Float8E4M3FN:   19,
	tensor.Float8E4M3FNUZ: 19,
	tensor.Float8E5M2:     19,
	tensor.Float8E5M2FNUZ: 19,
	tensor.Uint4:          21,
	tensor.Int4:           21,
	tensor.Float4E2M1:     23,
	tensor.Float8E8M0:     24,
	tensor.Uint2:          25,
	tensor.Int2:           25,
}

// grew dates optional parts of operators that came later without changing the
// rest: attributes by name, inputs and outputs as "input 3", "output 1". They
// count where a node uses them.
var grew = map[string]map[string]int{
	"ArgMax":             {"select_last_index": 12},
	"Attention":          {"input 6": 24, "left_window_size": 25, "right_window_size": 25},
	"ArgMin":             {"select_last_index": 12},
	"AveragePool":        {"count_include_pad": 7, "ceil_mode": 10, "dilations": 19},
	"BatchNormalization": {"training_mode": 14, "output 1": 14},
	"Cast":               {"saturate": 19, "round_mode": 24},
	"CastLike":           {"saturate": 19, "round_mode": 24},
	"Constant": {"sparse_value": 11, "value_float": 12, "value_floats": 12, "value_int": 12, "value_ints": 12,
		"value_string": 12, "value_strings": 12},
	"DepthToSpace":    {"mode": 11},
	"GatherND":        {"batch_dims": 12},
	"GRU":             {"layout": 14},
	"LpPool":          {"ceil_mode": 18, "dilations": 18},
	"LSTM":            {"layout": 14},
	"MaxPool":         {"storage_order": 8, "output 1": 8, "ceil_mode": 10, "dilations": 10},
	"Pad":             {"input 3": 18},
	"Reshape":         {"allowzero": 14},
	"Resize":          {"antialias": 18, "axes": 18, "keep_aspect_ratio_policy": 18},
	"RNN":             {"layout": 14},
	"ScatterElements": {"reduction": 16},
	"ScatterND":       {"reduction": 16},
	"Shape":           {"start": 15, "end": 15},
	"TopK":            {"largest": 11, "sorted": 11},
}

// MinOpset is the oldest opset in which the graph, once in the newest form, may
// be written: no operator younger than it, no form younger than it, no number
// type younger than it.
func (g *Graph) MinOpset() int {
	oldest := 7
	constants := NewFacts(g)
	g.eachNode(func(n *Node) {
		if r := n.Rule(); r != nil && n.Kind() == n.Op && len(r.Since) > 0 {
			oldest = max(oldest, n.since(r), n.typeOpset(), n.axisOpset(constants))
		}
	})
	g.eachValue(func(v *Value) { oldest = max(oldest, typeSince[v.Type.DType]) })
	return oldest
}

// TypeOpset is the oldest opset that has the number types of the graph's values
// and constants, whatever form its nodes are in.
func (g *Graph) TypeOpset() int {
	oldest := 0
	g.eachValue(func(v *Value) { oldest = max(oldest, typeSince[v.Type.DType]) })
	g.eachNode(func(n *Node) {
		for _, a := range n.Attrs {
			oldest = max(oldest, typeSince[a.T.DType()])
		}
	})
	return oldest
}

// since is the oldest opset that has the node's present form. Forms that an
// operator grew by optional attributes or inputs count only where used.
func (n *Node) since(r *Rule) int {
	oldest := r.Since[len(r.Since)-1]
	switch n.Op {
	case "QuantizeLinear", "DequantizeLinear":
		return n.sinceQuantize()
	case "Gemm":
		if n.Input(2) == nil {
			oldest = 11
		}
	case "Resize":
		if n.Input(1) == nil || n.Input(2) == nil {
			oldest = 13
		}
	case "MaxPool", "AveragePool", "LpPool":
		if n.dropsWindow() {
			oldest = 22
		}
	}
	for part, opset := range grew[n.Op] {
		if n.uses(part) {
			oldest = max(oldest, opset)
		}
	}
	return oldest
}

// uses reports whether the node has an optional part as [grew] names it.
func (n *Node) uses(part string) bool {
	var i int
	if _, err := fmt.Sscanf(part, "input %d", &i); err == nil {
		return n.Input(i) != nil
	}
	if _, err := fmt.Sscanf(part, "output %d", &i); err == nil {
		return n.Output(i) != nil
	}
	return n.Attrs.Has(part)
}

// sinceQuantize dates the two quantisation operators: per tensor 10, per axis
// 13, 8-bit floats 19, blocks or 16- and 4-bit integers 21, an output type
// chosen apart from the scale's 23.
func (n *Node) sinceQuantize() int {
	oldest := 10
	if scale := n.Input(1); scale != nil && scale.Type.Rank() != 0 {
		oldest = 13
	}
	for _, v := range append(slices.Clone(n.In), n.Out...) {
		if v == nil {
			continue
		}
		switch v.Type.DType {
		case tensor.Float16, tensor.BFloat16:
			oldest = max(oldest, 19)
		case tensor.Int16, tensor.Uint16:
			oldest = max(oldest, 21)
		}
	}
	if n.Attrs.Int("block_size", 0) != 0 || n.Attrs.Has("output_dtype") && n.Op == "QuantizeLinear" {
		oldest = max(oldest, 21)
	}
	if n.Attrs.Has("precision") || n.Attrs.Has("output_dtype") && n.Op == "DequantizeLinear" {
		oldest = max(oldest, 23)
	}
	return oldest
}

// MinIR is the oldest IR version that goes with an opset.
func MinIR(opset int) int {
	switch {
	case opset >= 25:
		return 13
	case opset >= 24:
		return 12
	case opset >= 23:
		return 11
	case opset >= 21:
		return 10
	case opset >= 19:
		return 9
	case opset >= 15:
		return 8
	case opset >= 12:
		return 7
	case opset >= 11:
		return 6
	case opset >= 10:
		return 5
	case opset >= 9:
		return 4
	}
	return 3
}

// Groups of number types that operators came to accept together.
var (
	brainFloat = []tensor.DType{tensor.BFloat16}
	byteFloats = []tensor.DType{tensor.Float8E4M3FN, tensor.Float8E4M3FNUZ, tensor.Float8E5M2, tensor.Float8E5M2FNUZ}
	shortInts  = []tensor.DType{tensor.Int8, tensor.Int16, tensor.Uint8, tensor.Uint16}
	longInts   = []tensor.DType{tensor.Int32, tensor.Int64, tensor.Uint32, tensor.Uint64}
	allInts    = slices.Concat(shortInts, longInts)
	halfFloat  = []tensor.DType{tensor.Float16}
	ieeeFloats = []tensor.DType{tensor.Float16, tensor.Float32, tensor.Float64}
	stringType = []tensor.DType{tensor.String}
	boolType   = []tensor.DType{tensor.Bool}
	otherTypes = []tensor.DType{tensor.Bool, tensor.String, tensor.Complex64, tensor.Complex128}
)

// typeDate says in which opset an operator's first input (its first output, if
// it has no input) came to accept number types.
type typeDate struct {
	opset int
	types []tensor.DType
}

// typeDates lists what typeSince and the operators' own age do not say already.
// Source: the type constraints of ONNX's operator schemas.
var typeDates = map[string][]typeDate{
	"Add": {{14, shortInts}}, "Sub": {{14, shortInts}}, "Mul": {{14, shortInts}}, "Div": {{14, shortInts}},
	"Max": {{12, allInts}}, "Min": {{12, allInts}}, "Clip": {{12, allInts}}, "Pow": {{12, longInts}},
	"Equal":   {{11, slices.Concat(ieeeFloats, shortInts, longInts[2:])}, {19, stringType}},
	"Greater": {{9, allInts}}, "Less": {{9, allInts}}, "GreaterOrEqual": {{16, brainFloat}}, "LessOrEqual": {{16, brainFloat}},
	"MatMul": {{9, longInts}}, "Gemm": {{9, longInts}}, "PRelu": {{9, longInts}, {16, brainFloat}}, "LeakyRelu": {{16, brainFloat}},
	"Relu": {{14, allInts}}, "TopK": {{11, allInts}, {24, brainFloat}}, "MaxPool": {{12, shortInts}, {22, brainFloat}},
	"Constant": {{9, allInts}, {9, otherTypes}}, "Cast": {{9, stringType}},
	"Flatten": {{9, allInts}, {9, otherTypes}, {21, byteFloats}},
	"Pad":     {{13, otherTypes}, {21, byteFloats}},
	"Squeeze": {{21, byteFloats}}, "Unsqueeze": {{21, byteFloats}}, "Transpose": {{21, byteFloats}}, "Dropout": {{22, byteFloats}},
	"IsInf": {{20, brainFloat}, {20, byteFloats}, {20, halfFloat}}, "IsNaN": {{20, byteFloats}},
	"ReduceMax": {{20, boolType}}, "ReduceMin": {{20, boolType}},
	"CumSum": {{14, brainFloat}, {14, halfFloat}}, "BatchNormalization": {{14, brainFloat}}, "QLinearMatMul": {{21, byteFloats}},
	"Acos": {{22, brainFloat}}, "Acosh": {{22, brainFloat}}, "Asin": {{22, brainFloat}}, "Asinh": {{22, brainFloat}},
	"Atan": {{22, brainFloat}}, "Atanh": {{22, brainFloat}}, "Cos": {{22, brainFloat}}, "Cosh": {{22, brainFloat}},
	"Sin": {{22, brainFloat}}, "Sinh": {{22, brainFloat}}, "Tan": {{22, brainFloat}}, "Round": {{22, brainFloat}}, "Det": {{22, brainFloat}},
	"Elu": {{22, brainFloat}}, "Selu": {{22, brainFloat}}, "HardSigmoid": {{22, brainFloat}}, "HardSwish": {{22, brainFloat}},
	"Softplus": {{22, brainFloat}}, "Softsign": {{22, brainFloat}}, "ThresholdedRelu": {{22, brainFloat}}, "Mish": {{22, brainFloat}},
	"Conv": {{22, brainFloat}}, "ConvTranspose": {{22, brainFloat}}, "DeformConv": {{22, brainFloat}}, "AveragePool": {{22, brainFloat}},
	"GlobalAveragePool": {{22, brainFloat}}, "GlobalMaxPool": {{22, brainFloat}}, "GlobalLpPool": {{22, brainFloat}},
	"LpPool": {{22, brainFloat}}, "MaxUnpool": {{22, brainFloat}}, "MaxRoiPool": {{22, brainFloat}}, "RoiAlign": {{22, brainFloat}},
	"GridSample": {{22, brainFloat}}, "InstanceNormalization": {{22, brainFloat}}, "LpNormalization": {{22, brainFloat}},
	"NegativeLogLikelihoodLoss": {{22, brainFloat}}, "EyeLike": {{22, brainFloat}}, "Bernoulli": {{22, brainFloat}},
	"Multinomial": {{22, brainFloat}}, "RandomNormal": {{22, brainFloat}}, "RandomUniform": {{22, brainFloat}},
	"RandomNormalLike": {{22, brainFloat}}, "RandomUniformLike": {{22, brainFloat}},
	"LSTM": {{22, brainFloat}}, "GRU": {{22, brainFloat}}, "RNN": {{22, brainFloat}}, "Scan": {{16, brainFloat}},
}

// typeOpset is the oldest opset in which the operator takes the node's number
// types.
func (n *Node) typeOpset() int {
	v := n.Input(0)
	if v == nil {
		v = n.Output(0)
	}
	if v == nil {
		return 0
	}
	oldest := 0
	for _, d := range typeDates[n.Op] {
		if slices.Contains(d.types, v.Type.DType) {
			oldest = max(oldest, d.opset)
		}
	}
	other := n.Input(1)
	switch {
	case other == nil:
	case n.Op == "Pow" && other.Type.DType != v.Type.DType:
		oldest = max(oldest, 12)
	case n.Op == "QLinearMatMul" && other.Type.DType != tensor.Float32:
		oldest = max(oldest, 21)
	}
	return oldest
}

// axisOpset: counting axes from the end came with opset 11.
func (n *Node) axisOpset(constants *Facts) int {
	axes := append(n.Attrs.Ints("axes"), n.Attrs.Int("axis", 0))
	if n.Op == "Slice" && n.Input(3) != nil {
		if t, ok := constants.Data(n.In[3]); ok {
			for i := range t.Len() {
				axes = append(axes, int(t.At(i)))
			}
		}
	}
	if slices.Min(axes) < 0 {
		return 11
	}
	return 0
}

// dropsWindow reports whether ceil_mode would count a window that starts in the
// right padding, which opset 22 ruled out.
func (n *Node) dropsWindow() bool {
	x := n.Input(0)
	if x == nil || n.Attrs.Int("ceil_mode", 0) == 0 {
		return false
	}
	sizes, ok := x.Type.Static()
	if !ok {
		return false
	}
	w, err := PoolGeometry(n, sizes)
	if err != nil {
		return false
	}
	for i, out := range w.Out {
		rest := sizes[2+i] + w.Pads[i] + w.Pads[len(w.Out)+i] - w.reach(i)
		if (rest+w.Strides[i]-1)/w.Strides[i]+1 > out {
			return true
		}
	}
	return false
}
