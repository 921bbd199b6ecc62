package compress

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/structure"
	"github.com/compactify/compactify/tensor"
)

// channels is what the search knows of the groups of channels of the original.
type channels struct {
	analysis *structure.Analysis
	order    map[string][]int // by group: its channels, the least important first
}

// findChannels finds the groups of the model and orders their channels, by what
// removing them does to the loss of probed examples, to first order. Where the job
// does not go along that path, there are none.
func (w *work) findChannels(ctx context.Context) error {
	if !w.goes(removeChannels) && !w.goes(removeBlocks) {
		return nil
	}
	a, err := structure.Analyze(w.graph)
	if err != nil {
		return fmt.Errorf("groups of channels: %w", err)
	}
	w.channels = channels{a, make(map[string][]int)}
	if len(a.Groups) == 0 {
		return nil
	}
	gradients, err := Gradients(ctx, w.graph, w.probe, w.choosing.Evaluator, w.Seed, w.Pool, nil)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		w.notes = append(w.notes, fmt.Sprintf("channels are ranked by the size of their weights: %v", err))
	}
	for _, g := range a.Groups {
		w.channels.order[g.ID] = byImportance(g, gradients)
	}
	return nil
}

// groups are those that the paths of the job remove: channels, or whole blocks.
func (w *work) groups() []*structure.Group {
	if w.channels.analysis == nil {
		return nil
	}
	var list []*structure.Group
	for _, g := range w.channels.analysis.Groups {
		if g.Kind == structure.Block && w.goes(removeBlocks) || g.Kind != structure.Block && w.goes(removeChannels) {
			list = append(list, g)
		}
	}
	return list
}

// byImportance lists a group's channels, the least important first.
func byImportance(g *structure.Group, gradients map[string][]float32) []int {
	score := paths.Importance(g, gradients)
	order := make([]int, g.Channels)
	for c := range order {
		order[c] = c
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(score[a], score[b]) })
	return order
}

// selection is the channels that a plan removes, by group.
func (c channels) selection(p Plan) map[string][]int {
	list := make(map[string][]int)
	for id, n := range p.Removed {
		if n > 0 {
			list[id] = c.order[id][:n]
		}
	}
	return list
}

// narrowed is a graph of the original's shape without the channels that a plan
// removes.
func (c channels) narrowed(g *graph.Graph, p Plan) (*graph.Graph, error) {
	s := c.selection(p)
	if len(s) == 0 {
		return g, nil
	}
	return structure.Remove(g, s)
}

// widened puts the weights of a narrowed graph back among those of a graph of the
// original's shape: what the plan removed stays as it is there.
func (c channels) widened(wide, narrow *graph.Graph, p Plan) *graph.Graph {
	gone := c.gone(p)
	values := make(map[string]tensor.Tensor, len(narrow.Params))
	for _, q := range narrow.Params {
		values[q.Name] = q.Data
	}
	g, _ := wide.Clone()
	for _, q := range g.Params {
		small, ok := values[q.Name]
		if !ok || small.DType() != tensor.Float32 || q.Data.DType() != tensor.Float32 {
			continue
		}
		q.Data = scatter(q.Data, small, gone[q.Name])
	}
	return g
}

// gone lists, by parameter and axis, the indices that a plan removes.
func (c channels) gone(p Plan) map[string]map[int]map[int]bool {
	all := make(map[string]map[int]map[int]bool)
	for id, list := range c.selection(p) {
		for _, t := range c.analysis.Group(id).Ties {
			if t.Axis < 0 {
				continue
			}
			axes := all[t.Param.Name]
			if axes == nil {
				axes = make(map[int]map[int]bool)
				all[t.Param.Name] = axes
			}
			if axes[t.Axis] == nil {
				axes[t.Axis] = make(map[int]bool)
			}
			for _, channel := range list {
				for _, i := range t.Index[channel] {
					axes[t.Axis][i] = true
				}
			}
		}
	}
	return all
}

// scatter writes the elements of small, in order, over those of a copy of wide
// whose index is not gone on any axis.
func scatter(wide, small tensor.Tensor, gone map[int]map[int]bool) tensor.Tensor {
	if len(gone) == 0 {
		return small
	}
	out := wide.Clone()
	w, s := tensor.Data[float32](out), tensor.Data[float32](small)
	shape := wide.Shape()
	at := make([]int, len(shape))
	k := 0
	for i := range w {
		stays := true
		for axis, indices := range gone {
			stays = stays && !indices[at[axis]]
		}
		if stays && k < len(s) {
			w[i] = s[k]
			k++
		}
		for axis := len(shape) - 1; axis >= 0; axis-- {
			if at[axis]++; at[axis] < shape[axis] {
				break
			}
			at[axis] = 0
		}
	}
	return out
}

// share is how many of the channels of all groups a plan removes.
func (c channels) share(p Plan) float64 {
	if p.channels() == 0 {
		return 0
	}
	all := 0
	for _, g := range c.analysis.Groups {
		if g.Kind != structure.Block {
			all += g.Channels
		}
	}
	return float64(p.channels()) / float64(all)
}
