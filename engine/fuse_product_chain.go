package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// maxDenseOps bounds the operations that a product takes in: each has a row of
// scratch, and they should stay in the first-level cache.
const maxDenseOps = 8

// chainsIntoProducts lets packed products run the chain, or the one elementwise
// node, that alone reads them, on rows that are still in the cache:
//
//	Gelu(Dense(A, B, bias)) = Dense(A, B, bias) with the operation Gelu
//
// Whatever else such a chain reads must be constant numbers. Attributes ops, args
// and factors of the Dense are then those of chainCode, with the product as value
// 0 and the numbers, inputs from denseNumbers on, behind it.
func (c *compiler) chainsIntoProducts() {
	read, producer := c.readers(), c.g.Producers()
	var gone []*graph.Node
	for _, n := range c.g.Nodes {
		code, inputs, ok := elementwiseCode(n)
		if !ok {
			continue
		}
		at := slices.IndexFunc(inputs, func(v *graph.Value) bool {
			p := producer[v]
			return p != nil && p.Kind() == lastKind(dense) && !p.Attrs.Has("ops") && read.only(v, n) && v.Type.Equal(n.Out[0].Type)
		})
		if at < 0 {
			continue
		}
		numbers := slices.Delete(slices.Clone(inputs), at, at+1)
		if slices.ContainsFunc(numbers, func(v *graph.Value) bool { return !c.isNumber(v) }) {
			continue
		}
		p := producer[inputs[at]]
		for i, v := range code.args { // the product comes first
			switch {
			case v == at:
				code.args[i] = 0
			case v >= 0 && v < at:
				code.args[i] = v + 1
			}
		}
		p.In = append(p.In[:denseNumbers:denseNumbers], numbers...)
		p.Attrs = p.Attrs.With(graph.Strings("ops", code.ops...)).With(graph.Ints("args", code.args...)).With(graph.Floats("factors", code.factors...))
		p.Out = n.Out
		producer[n.Out[0]] = p
		gone = append(gone, n)
	}
	c.g.Remove(gone...)
}

// elementwiseCode is what a chain or an elementwise node with one result computes,
// and what it reads; ok if its last operation is the result. The code may be
// changed.
func elementwiseCode(n *graph.Node) (code *chainCode, inputs []*graph.Value, ok bool) {
	switch {
	case len(n.Out) != 1 || !isStatic(n) || n.Out[0].Type.DType != tensor.Float32:
		return nil, nil, false
	case n.Kind() == chainKind:
		code, inputs = chainCodeOf(n), n.In
		code.args = slices.Clone(code.args)
	case joinsChains(n):
		b := &chainBuilder{value: make(map[*graph.Value]int)}
		for _, v := range n.In {
			if v != nil {
				b.input(v)
			}
		}
		b.emit(n)
		b.code.outputs = []int{b.value[n.Out[0]]}
		b.number(len(b.inputs))
		code, inputs = &b.code, b.inputs
	default:
		return nil, nil, false
	}
	ok = len(code.ops) <= maxDenseOps && len(code.outputs) == 1 && code.outputs[0] == len(inputs)+len(code.ops)-1
	return code, inputs, ok
}

// isNumber reports whether v is a constant of one element.
func (c *compiler) isNumber(v *graph.Value) bool {
	t, known := c.facts.Data(v)
	return known && !c.mutable[v] && t.Len() == 1
}
