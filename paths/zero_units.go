package paths

import (
	"fmt"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/structure"
)

// CutZeros cuts out the channels and units whose incoming weights and biases are all
// zero, as l1 and group leave them, but for one of a layer; cut counts them. The model
// answers the same where zero stays zero on its way to the readers, as through ReLU, but
// not through a sigmoid: the caller is to compare. With nothing to cut, or where the
// graph does not allow it, it is g itself.
func CutZeros(g *graph.Graph) (_ *graph.Graph, cut int, err error) {
	a, err := structure.Analyze(g)
	if err != nil {
		return g, 0, fmt.Errorf("cut zeros out of graph %q: %w", g.Name, err)
	}
	made := make(map[string]int) // the axis of the outputs of each layer's weight
	for _, l := range g.Layers() {
		made[l.Name()] = l.Axis
	}
	var dead []structure.Channel
	for _, group := range a.Groups {
		for c, zero := range zeroChannels(group, made) {
			if zero {
				dead = append(dead, structure.Channel{Group: group.ID, Index: c})
			}
		}
	}
	if dead = a.Removable(dead); len(dead) == 0 {
		return g, 0, nil
	}
	smaller, err := a.Remove(structure.Selection(dead))
	if err != nil {
		return g, 0, fmt.Errorf("cut zeros out of graph %q: %w", g.Name, err)
	}
	return smaller, len(dead), nil
}

// zeroChannels says of each channel whether all that makes it is zero: the weights of
// layers whose outputs it is, and vectors such as biases.
func zeroChannels(group *structure.Group, made map[string]int) []bool {
	if group.Kind == structure.Block {
		return nil
	}
	sums, makers := make([]float64, group.Channels), 0
	for _, tie := range group.Ties {
		axis, layer := made[tie.Param.Name]
		if layer && axis != tie.Axis || !tie.Param.Data.DType().IsFloat() {
			continue // a reader
		}
		if layer {
			makers++
		}
		for c, x := range sliceSums(tie, energies(tie.Param.Data, nil)) {
			sums[c] += x
		}
	}
	zero := make([]bool, group.Channels)
	for c, x := range sums {
		zero[c] = x == 0 && makers > 0
	}
	return zero
}
