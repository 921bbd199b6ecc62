// Package structure makes a network smaller in its structure: it finds what of
// the weights can only go together (the channels of a layer, the heads of an
// attention, the units of a recurrent layer, whole residual blocks) and cuts it
// out, leaving an ordinary, smaller graph without masks.
//
// # Slots and classes
//
// Every index of every axis of every value is a slot. Each operator says which
// slots can only be removed together: the filter of a convolution with the
// channel it computes, that channel with the column of weights that reads it,
// summand i with summand i of a residual sum, channel c with the h·w features
// that a Flatten makes of it. Slots that are tied form a class, kept by
// union–find; a class is one removable thing, and the slots of parameters in it
// are what is cut from the file.
//
//	Conv w₁ [8, 3, 5, 5] ──▶ [N, 8, 28, 28] ──Relu──▶ … ──Flatten──▶ [N, 6272] ──▶ Gemm w₂ [10, 6272]
//	     axis 0, index c  =   axis 1, index c      =  axis 1, indices c·784 …  =   axis 1, the same
//
// An operator that cannot do without some slot fixes it and says why: inputs
// and outputs of the model, the pixels a convolution slides over, a softmax or a
// normalisation over the channels, an operator that this package does not know.
// A class with one fixed slot is fixed, for the first of its reasons.
//
// Where a Reshape splits or joins axes, removing an index of one factor (the
// channel) removes a run of indices of the product. Which factor counts is
// clear once all others are fixed, as the pixels beside a channel are. If two
// are left, the outer one is taken and the inner one fixed: the heads of
// [N, T, heads·size], and not the entries of a head.
//
// # Groups
//
// Classes that cut the same axes of the same parameters equally often form a
// [Group], whose classes are its channels. A channel that runs through three
// stages of a residual network and one that lives in the last stage alone are of
// different groups, so that all channels of a group free equally many bytes.
//
// # What removal means
//
// [Remove] gives the model that the original is when all slices of the removed
// channels are zero, up to the rounding of sums: filters, biases, scales and
// shifts, and the rows of weights that read the channel. Operators for which
// that would not hold, such as a mean over the channels, refuse. What a channel
// contributed while it was there, a constant included, is gone: fine-tuning or
// a bias correction makes up for it.
package structure

import (
	"fmt"

	"github.com/compactify/compactify/graph"
)

// Kind says what a group's channels are.
type Kind string

// The kinds of groups.
const (
	Channels Kind = "channels" // of convolutions and matrix products
	Heads    Kind = "heads"    // of an attention
	Units    Kind = "units"    // of a recurrent layer
	Block    Kind = "block"    // f of x + f(x), whole
)

// Analysis is what can be removed from a graph, and what cannot.
type Analysis struct {
	Groups  []*Group // in the order of the graph
	Refused []Refusal

	graph *graph.Graph
	axes  *axes
	byID  map[string]*Group
}

// Group is a set of channels that are cut from the same parameters.
type Group struct {
	ID       string // the parameter that makes the channels; with #2, #3… if it has several groups
	Kind     Kind
	Channels int
	Ties     []Tie
	Bytes    int // of the parameters, that one channel frees by itself

	classes []int32     // by channel
	sum     *graph.Node // of a block: the Add it ends in
	keep    int         // the input of it that stays
}

// Tie is what a group takes from one axis of one parameter that holds weights.
// Constants of sizes and indices change with them and are not listed.
type Tie struct {
	Param *graph.Param
	Axis  int     // −1: the whole parameter
	Index [][]int // by channel: indices of the axis, ascending
}

// Refusal is a weight whose output channels cannot be removed.
type Refusal struct {
	Name     string // of the parameter
	Channels int    // how many of them
	Reason   string // naming the node and its operator
}

// Group returns the group with the given ID, nil if there is none.
func (a *Analysis) Group(id string) *Group { return a.byID[id] }

// Analyze finds the groups of a graph. It must be in the newest opset with
// inferred types, as [graph.Graph.Upgrade] and [graph.Graph.Infer] leave it.
func Analyze(g *graph.Graph) (*Analysis, error) {
	if v := g.Opset[graph.DomainONNX]; v != graph.LatestOpset && len(g.Nodes) > 0 {
		return nil, fmt.Errorf("structure of graph %q: opset: got %d, want %d: upgrade it", g.Name, v, graph.LatestOpset)
	}
	x := newAxes(g)
	a := &Analysis{graph: g, axes: x, byID: make(map[string]*Group)}
	x.fixInterface()
	for _, n := range g.Nodes {
		x.nodes = append(x.nodes, x.relate(n))
	}
	x.settle()
	for x.fixContractions() {
		x.settle()
	}
	x.flatten()
	a.Groups = append(x.groups(), blocks(x)...)
	for _, group := range a.Groups {
		group.ID = a.unused(group.ID)
		a.byID[group.ID] = group
	}
	a.Refused = x.refusals()
	return a, nil
}

// unused makes an ID unique.
func (a *Analysis) unused(id string) string {
	for i, unique := 2, id; ; i++ {
		if a.byID[unique] == nil {
			return unique
		}
		unique = fmt.Sprintf("%s#%d", id, i)
	}
}
