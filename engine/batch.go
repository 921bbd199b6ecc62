package engine

import (
	"errors"
	"fmt"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Batch turns a graph that works on one example into one that works on size of
// them at once: the inputs and parameters listed differ from example to example
// and get a leading axis of that size, all others are shared. A parameter that
// differs becomes an input of its name, behind those there are. Every output
// gets the leading axis.
//
// Convolutions whose filters differ become one convolution in groups, if the
// size is known. What cannot be batched runs example by example, within the
// graph. The outputs must have the same shapes for all examples.
func Batch(g *graph.Graph, size tensor.Dim, batched []*graph.Value) (*graph.Graph, error) {
	d, err := newDerivation(g, batched, nil)
	if err == nil {
		err = d.batch(size, d.of)
	}
	if err != nil {
		return nil, fmt.Errorf("batch graph %q: %w", g.Name, err)
	}
	return d.g, nil
}

// batch makes the examples' inputs and rewrites the graph.
func (d *derivation) batch(size tensor.Dim, batched []*graph.Value) error {
	if len(batched) == 0 {
		return errors.New("values that differ from example to example: got none, want at least one")
	}
	all := make(map[*graph.Value]*graph.Value, len(batched))
	for _, v := range batched {
		t, err := graph.Batched(v.Type, size)
		if err != nil {
			return fmt.Errorf("value %q: %w", v.Name, err)
		}
		wide := &graph.Value{Name: v.Name, Type: t, Doc: v.Doc}
		all[v] = wide
		switch i := slices.Index(d.g.Inputs, v); {
		case i >= 0:
			d.g.Inputs[i] = wide
		case d.g.Param(v) != nil:
			d.g.RemoveParams(func(p *graph.Param) bool { return p.Value == v })
			d.g.Inputs = append(d.g.Inputs, wide)
		default:
			return fmt.Errorf("value %q: want an input or a parameter", v.Name)
		}
	}
	d.b.Batch(size, all)
	d.g.RemoveDead()
	return d.b.Err()
}
