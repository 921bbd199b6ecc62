package compress

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/train"
)

// Plan is one point of the joint path: how each layer is stored, how many of its
// weights are held at zero, and how many channels each group has lost. The zero
// value is the original.
type Plan struct {
	Schemes map[string]paths.Scheme // by layer; a layer not named stays in floating point
	Zeros   map[string]float64      // by layer: this share of its weights, least magnitude first, is zero
	Removed map[string]int          // by group: so many of its channels, least important first, are gone
}

// clone copies a plan, so that the copy can be changed.
func (p Plan) clone() Plan {
	c := Plan{Schemes: maps.Clone(p.Schemes), Zeros: maps.Clone(p.Zeros), Removed: maps.Clone(p.Removed)}
	if c.Schemes == nil {
		c.Schemes = make(map[string]paths.Scheme)
	}
	if c.Zeros == nil {
		c.Zeros = make(map[string]float64)
	}
	if c.Removed == nil {
		c.Removed = make(map[string]int)
	}
	return c
}

// key is a text that equal plans share, and no others.
func (p Plan) key() string {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(p.Schemes)) {
		fmt.Fprintf(&b, "%q%+v;", name, p.Schemes[name])
	}
	for _, name := range slices.Sorted(maps.Keys(p.Zeros)) {
		if share := p.Zeros[name]; share > 0 {
			fmt.Fprintf(&b, "%q=%v;", name, share)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.Removed)) {
		if n := p.Removed[id]; n > 0 {
			fmt.Fprintf(&b, "%q-%d;", id, n)
		}
	}
	return b.String()
}

// bits is how many bits a layer's weights have.
func (p Plan) bits(layer string) int {
	if s, ok := p.Schemes[layer]; ok {
		return s.Bits
	}
	return 32
}

// meanBits is the average width of the weights of a model's layers.
func (p Plan) meanBits(g *graph.Graph) float64 {
	total, weights := 0.0, 0.0
	for _, l := range g.Layers() {
		n := float64(l.Param.Data.Len())
		total += n * float64(p.bits(l.Name()))
		weights += n
	}
	return total / max(1, weights)
}

// sparsity is the share of the weights of a model's layers that are held at zero.
func (p Plan) sparsity(g *graph.Graph) float64 {
	zeros, weights := 0.0, 0.0
	for _, l := range g.Layers() {
		n := float64(l.Param.Data.Len())
		zeros += n * p.Zeros[l.Name()]
		weights += n
	}
	return zeros / max(1, weights)
}

// masks say which weights of a model stay, by layer; nil if none is removed.
func (p Plan) masks(g *graph.Graph) (map[string]*train.Mask, error) {
	if len(p.Zeros) == 0 {
		return nil, nil
	}
	each, err := paths.NewPrune(g, paths.Options{PerLayer: true})
	if err != nil {
		return nil, err
	}
	masks := make(map[string]*train.Mask)
	for _, l := range g.Layers() {
		if share := p.Zeros[l.Name()]; share > 0 {
			masks[l.Name()] = each.Masks(share)[l.Name()]
		}
	}
	return masks, nil
}

// sparse is the plan that holds a share of all weights at zero, the smallest of
// the whole network: how many that are of each layer.
func sparse(g *graph.Graph, share float64) (Plan, error) {
	p := Plan{}.clone()
	overall, err := paths.NewPrune(g, paths.Options{})
	if err != nil {
		return p, err
	}
	for name, m := range overall.Masks(share) {
		zeros := 0
		for _, keep := range m.Keep {
			if !keep {
				zeros++
			}
		}
		p.Zeros[name] = float64(zeros) / float64(max(1, len(m.Keep)))
	}
	return p, nil
}

// holds reports whether a plan keeps at least what another keeps: no layer is
// narrower or has more zeros, and no group has fewer channels.
func (p Plan) holds(smaller Plan) bool {
	for name := range p.Schemes {
		if p.bits(name) < smaller.bits(name) {
			return false
		}
	}
	for name, share := range p.Zeros {
		if share > smaller.Zeros[name] {
			return false
		}
	}
	for id, n := range p.Removed {
		if n > smaller.Removed[id] {
			return false
		}
	}
	return true
}

// channels is how many channels a plan removes in all.
func (p Plan) channels() int {
	total := 0
	for _, n := range p.Removed {
		total += n
	}
	return total
}
