package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
)

// fuse rewrites the specialised graph into fewer, larger steps. It comes after
// all derivatives, so that rules never see what it makes; outputs stay the same
// but for rounding and the sign of zeros. Where numbers are not finite they may
// differ: Winograd's transform spreads a NaN, an infinity or a number near the
// largest over its tile, a NaN is rounded to a byte before a pooling that it would
// have won, and a row looked up in a table is all that is read of it.
func (c *compiler) fuse() error {
	c.mergeEqual()
	c.integers()
	if err := c.compactForms(); err != nil {
		return err
	}
	c.mergeEqual()
	c.lookUp()
	c.dropMoves()
	c.dropExpands()
	c.findSoftmax()
	c.findStandardize()
	c.channelsLast()
	c.dropMoves()
	c.findGelu()
	c.sparsePoints()
	c.products()
	c.poolBeforeRelu()
	c.shortenIndices()
	c.absorbRelu()
	if err := c.fuseChains(); err != nil {
		return err
	}
	c.chainsIntoProducts()
	return nil
}

// readers tells who reads each value.
type readers struct {
	of      map[*graph.Value][]*graph.Node
	outputs []*graph.Value
}

func (c *compiler) readers() readers { return readers{c.g.Consumers(), c.g.Outputs} }

// only reports whether n alone reads v, once, and v is no output of the graph.
func (r readers) only(v *graph.Value, n *graph.Node) bool {
	return len(r.of[v]) == 1 && r.of[v][0] == n && !slices.Contains(r.outputs, v)
}

func (r readers) isOutput(v *graph.Value) bool { return slices.Contains(r.outputs, v) }
