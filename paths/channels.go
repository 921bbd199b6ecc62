package paths

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/structure"
	"github.com/compactify/compactify/tensor"
)

// PruneChannels is the path that cuts out whole channels, heads and units, of
// least importance first: at t the first ⌊t·n⌋ of the n that can go are gone,
// with everything that depends on them, and the graph is really smaller. At t=1
// every layer that can lose channels has as few as it can, one as a rule.
type PruneChannels struct {
	kind     string
	g        *graph.Graph
	analysis *structure.Analysis
	order    []structure.Channel // in which they go
	boundary string
	tune     Tune
}

// Boundaries of the structured paths, in words.
const (
	leastChannels = "no layer can lose another channel"
	noBlocks      = "all removable blocks gone"
)

// NewPruneChannels makes the path. Channels are ranked over the whole network,
// or each group by itself.
func NewPruneChannels(g *graph.Graph, o Options) (*PruneChannels, error) {
	p := &PruneChannels{kind: "prune-channels", boundary: leastChannels}
	return p, p.prepare(g, o, func(k structure.Kind) bool { return k != structure.Block })
}

// PruneBlocks is the path that removes residual blocks, x + f(x) → x, one at a
// time, the one with the smallest weights in its last layer first. At t=1 all
// are gone.
type PruneBlocks struct{ PruneChannels }

// NewPruneBlocks makes the path.
func NewPruneBlocks(g *graph.Graph, o Options) (*PruneBlocks, error) {
	p := &PruneBlocks{PruneChannels{kind: "prune-blocks", boundary: noBlocks}}
	return p, p.prepare(g, o, func(k structure.Kind) bool { return k == structure.Block })
}

// Steps are the t at which a block goes.
func (p *PruneBlocks) Steps() []float64 {
	steps := make([]float64, len(p.order)+1)
	for i := range steps {
		steps[i] = float64(i) / float64(len(p.order))
	}
	return steps
}

func (p *PruneChannels) prepare(g *graph.Graph, o Options, wanted func(structure.Kind) bool) error {
	if _, err := layersOf(p.kind, g); err != nil {
		return err
	}
	a, err := structure.Analyze(g)
	if err != nil {
		return fmt.Errorf("path %s: %w", p.kind, err)
	}
	p.g, p.analysis, p.tune = g, a, o.Tune
	p.order = a.Removable(rankChannels(a, wanted, o))
	if len(p.order) == 0 {
		return &NothingError{Kind: p.kind, Graph: g.Name, Analysis: a}
	}
	return nil
}

// NothingError says that a model has nothing that a structured path could cut
// out. [NewPruneChannels] and [NewPruneBlocks] return it.
type NothingError struct {
	Kind, Graph string
	Analysis    *structure.Analysis // with all that is refused, and why
}

func (e *NothingError) Error() string {
	why := "it has no sum x + f(x) in which f ends in a layer of its own"
	if e.Kind == "prune-channels" {
		why = "no layer has more than one output channel"
		if len(e.Analysis.Refused) > 0 {
			why = fmt.Sprintf("weight %q: %s", e.Analysis.Refused[0].Name, e.Analysis.Refused[0].Reason)
		}
	}
	return fmt.Sprintf("path %s: graph %q: nothing can be removed: %s", e.Kind, e.Graph, why)
}

// Analysis is what the path knows of the graph: its groups and what it refuses.
func (p *PruneChannels) Analysis() *structure.Analysis { return p.analysis }

// Removed lists the channels that are gone at t, in the order in which they
// went.
func (p *PruneChannels) Removed(t float64) []structure.Channel {
	return p.order[:removed(t, len(p.order))]
}

// Param is the fraction removed, t itself.
func (p *PruneChannels) Param(t float64) float64 { return t }

// Boundary is the smallest network of the same layers.
func (p *PruneChannels) Boundary() compactify.Boundary {
	return compactify.Boundary{Kind: compactify.Stratum, Name: p.boundary}
}

// At returns the model without the fraction t of its removable channels.
func (p *PruneChannels) At(ctx context.Context, t float64) (*graph.Graph, error) {
	if err := checkT(p.kind, t); err != nil {
		return nil, err
	}
	gone := p.Removed(t)
	if len(gone) == 0 {
		return p.g, nil
	}
	g, err := p.analysis.Remove(structure.Selection(gone))
	if err != nil {
		return nil, fmt.Errorf("path %s: %w", p.kind, err)
	}
	if p.tune == nil || t == 1 {
		return g, nil
	}
	return p.tune(ctx, g, nil, nil)
}

// ranked is a channel with its importance.
type ranked struct {
	structure.Channel
	score float64
}

// rankChannels orders the channels of the wanted groups by importance, least
// first; of equal ones those of earlier groups and lower indices. Group by group,
// the orders are merged so that all groups lose channels evenly.
func rankChannels(a *structure.Analysis, wanted func(structure.Kind) bool, o Options) []structure.Channel {
	var all []ranked
	for _, g := range a.Groups {
		if !wanted(g.Kind) {
			continue
		}
		scores := Importance(g, o.Gradients)
		group := make([]ranked, g.Channels)
		for i, s := range scores {
			group[i] = ranked{structure.Channel{Group: g.ID, Index: i}, s}
		}
		if o.PerLayer {
			slices.SortStableFunc(group, func(x, y ranked) int { return cmp.Compare(x.score, y.score) })
			for i := range group {
				group[i].score = float64(i+1) / float64(len(group))
			}
		}
		all = append(all, group...)
	}
	slices.SortStableFunc(all, func(x, y ranked) int { return cmp.Compare(x.score, y.score) })
	order := make([]structure.Channel, len(all))
	for i, r := range all {
		order[i] = r.Channel
	}
	return order
}

// Importance scores the channels of a group by the size of all that would go with
// them. Each parameter counts in units of its channels' mean, so that every layer
// that makes or reads the channels has the same say, and the group in units of
// its own mean, so that groups compare:
//
//	I(c) ∝ √ Σ_θ ‖θ_c‖² / mean over c of ‖θ_c‖²
//
// with θ_c the slice of parameter θ that channel c is tied to. A block has one
// channel; its score is the root mean square of the last layer's weights.
//
// With gradients, as [Options] has them, the score estimates what removal does to
// the loss of a batch, in nats, √ Σ (θ·g)² over all that would go, and needs no
// units.
//
// Sources: G. Fang et al., "DepGraph: towards any structural pruning", CVPR 2023,
// section 3.3, group-level importance; the units are ours. P. Molchanov et al.,
// "Importance estimation for neural network pruning", CVPR 2019, equation 8.
func Importance(g *structure.Group, gradients map[string][]float32) []float64 {
	if gradients != nil {
		return expectedLoss(g, gradients)
	}
	scores := make([]float64, g.Channels)
	if g.Kind == structure.Block {
		scores[0] = lastLayerSize(g)
		return scores
	}
	for _, tie := range g.Ties {
		if !tie.Param.Data.DType().IsFloat() {
			continue
		}
		norms := sliceSums(tie, energies(tie.Param.Data, nil))
		if mean := meanOf(norms); mean > 0 {
			for c, x := range norms {
				scores[c] += x / mean
			}
		}
	}
	for c, x := range scores {
		scores[c] = math.Sqrt(x)
	}
	if mean := meanOf(scores); mean > 0 {
		for c := range scores {
			scores[c] /= mean
		}
	}
	return scores
}

// expectedLoss is √ Σ (θ·g)² over what goes with each channel. Parameters that have no
// gradient, as they are not trained, do not count.
func expectedLoss(g *structure.Group, gradients map[string][]float32) []float64 {
	scores := make([]float64, g.Channels)
	for _, tie := range g.Ties {
		slope := gradients[tie.Param.Name]
		if len(slope) != tie.Param.Data.Len() {
			continue
		}
		for c, x := range sliceSums(tie, energies(tie.Param.Data, slope)) {
			scores[c] += x
		}
	}
	for c, x := range scores {
		scores[c] = math.Sqrt(x)
	}
	return scores
}

func meanOf(list []float64) float64 {
	sum := 0.0
	for _, x := range list {
		sum += x
	}
	return sum / float64(max(1, len(list)))
}

// lastLayerSize is the root mean square of the weights that a block ends in.
func lastLayerSize(g *structure.Group) float64 {
	sum, n := 0.0, 0
	for _, tie := range g.Ties {
		sum += sliceSums(tie, energies(tie.Param.Data, nil))[0]
		n += tie.Param.Data.Len()
	}
	return math.Sqrt(sum / float64(max(1, n)))
}

// energies are the squares of a tensor's elements, times a slope if one is given.
func energies(t tensor.Tensor, slope []float32) []float64 {
	list := t.Float64s()
	for i, x := range list {
		if slope != nil {
			x *= float64(slope[i])
		}
		list[i] = x * x
	}
	return list
}

// sliceSums adds up what a tie takes for each channel.
func sliceSums(tie structure.Tie, of []float64) []float64 {
	if tie.Axis < 0 {
		sum := 0.0
		for _, x := range of {
			sum += x
		}
		return []float64{sum}
	}
	shape := tie.Param.Data.Shape()
	inner, _ := tensor.Size(shape[tie.Axis+1:])
	sums := make([]float64, shape[tie.Axis])
	for i, x := range of {
		sums[i/inner%len(sums)] += x
	}
	list := make([]float64, len(tie.Index))
	for c, indices := range tie.Index {
		for _, i := range indices {
			list[c] += sums[i]
		}
	}
	return list
}
