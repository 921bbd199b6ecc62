package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

// Upgrade converts the graph to a newer version of the default operator set:
// every node whose form changed in between is rewritten, step by step, by its
// rule. Nodes of unknown operators are kept; they fail when the engine meets
// them. The number alone is never raised.
func (g *Graph) Upgrade(to int) error {
	from := g.Opset[DomainONNX]
	if from == 0 {
		from = 1
	}
	if to > LatestOpset {
		return fmt.Errorf("upgrade graph %q: opset %d: newest known is %d", g.Name, to, LatestOpset)
	}
	if from >= to {
		return nil
	}
	b := NewBuilder(g, "up_")
	if err := g.upgradeNodes(b, from, to); err != nil {
		return fmt.Errorf("upgrade graph %q from opset %d to %d: %w", g.Name, from, to, err)
	}
	g.Opset[DomainONNX] = to
	return nil
}

// upgradeNodes rewrites the nodes of g and, with constants of their own, of its
// subgraphs. A rule may replace a node by several: it appends them with the
// builder, and they move to where the node was.
func (g *Graph) upgradeNodes(b *Builder, from, to int) error {
	nodes := g.Nodes
	g.Nodes = make([]*Node, 0, len(nodes))
	for _, n := range nodes {
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				inner := &Builder{g: sub, facts: b.facts, used: b.used, stem: b.stem, next: b.next}
				inner.facts.AddParams(sub)
				if err := sub.upgradeNodes(inner, from, to); err != nil {
					return err
				}
				b.next = inner.next
			}
		}
		if err := upgradeNode(b, n, from, to); err != nil {
			return err
		}
	}
	return b.err
}

func upgradeNode(b *Builder, n *Node, from, to int) error {
	if r := n.Rule(); r != nil && opKey(n.Domain, n.Op) == n.Op {
		versions := make([]int, 0, len(r.Upgrade))
		for v := range r.Upgrade {
			if v > from && v <= to {
				versions = append(versions, v)
			}
		}
		slices.Sort(versions)
		for _, v := range versions {
			if err := r.Upgrade[v](b, n); err != nil {
				return fmt.Errorf("%s: to opset %d: %w", n, v, err)
			}
			if n.Op == "" { // the rule replaced the node altogether
				return nil
			}
		}
	}
	// Nodes a rule appended feed n, so n comes behind them. Types are inferred
	// as far as they go: a rule of a later node may ask for a rank.
	b.g.Nodes = append(b.g.Nodes, n)
	if r := n.Rule(); r != nil {
		if err := b.facts.Infer(n); err != nil {
			return err
		}
	}
	return nil
}

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
	g.eachNode(func(n *Node) {
		if r := n.Rule(); r != nil && n.Kind() == n.Op && len(r.Since) > 0 {
			oldest = max(oldest, n.since(r))
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

func (g *Graph) eachNode(visit func(*Node)) {
	for _, n := range g.Nodes {
		visit(n)
		for _, a := range n.Attrs {
			for _, sub := range a.Subgraphs() {
				sub.eachNode(visit)
			}
		}
	}
}
