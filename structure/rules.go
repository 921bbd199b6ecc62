package structure

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/graph"
)

// nodeRule is what the analysis keeps of a node. Nil functions have nothing to
// do.
type nodeRule struct {
	zero   func(z zeros)                              // says where the outputs are zero: see zero.go
	adjust func(r *removal, copied *graph.Node) error // corrects what the node says of sizes, in the smaller graph
}

// relation ties the slots of one node.
type relation func(x *axes, n *graph.Node) nodeRule

// relate ties the slots of a node by the table, or fixes all it touches.
func (x *axes) relate(n *graph.Node) (rule nodeRule) {
	// Foreign files hold nodes that no test thought of: what one that trips a rule
	// up touches stays as it is.
	defer func() {
		if p := recover(); p != nil {
			x.foreign = append(x.foreign, n)
			x.fixNode(n, fmt.Sprintf("is not understood: %v", p))
			rule = nodeRule{}
		}
	}()
	tie := relations[n.Kind()]
	why := ""
	switch {
	case hasBody(n):
		why = "computes with it in a body of its own"
	case tie == nil:
		why = "is an operator whose channels are not understood"
	case !ranked(n.In) || !ranked(n.Out):
		why = "has a value of unknown rank"
	default:
		return tie(x, n)
	}
	x.foreign = append(x.foreign, n)
	x.fixNode(n, why)
	return nodeRule{}
}

func ranked(list []*graph.Value) bool {
	return !slices.ContainsFunc(list, func(v *graph.Value) bool { return v != nil && !v.Type.Ranked() })
}

// relations is the table: one row per operator.
var relations = merged(elementwiseRelations(), weightRelations(), normRelations(), reduceRelations(), layoutRelations(),
	shapeRelations(), recurrentRelations(), attentionRelations())

func merged(families ...map[string]relation) map[string]relation {
	all := make(map[string]relation)
	for _, family := range families {
		for op, r := range family {
			all[op] = r
		}
	}
	return all
}

// hasBody reports whether a node has a subgraph, as If, Loop and Scan do.
func hasBody(n *graph.Node) bool {
	return slices.ContainsFunc(n.Attrs, func(a graph.Attr) bool { return len(a.Subgraphs()) > 0 })
}
