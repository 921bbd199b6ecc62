package paths

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// Prune is the path that removes weights by score: at t the ⌊t·n⌋ lowest of the n
// weights in layers, or of their blocks, are zero. Of equal scores, those in earlier
// layers and at lower indices go first. Biases stay. With a pattern N:M, in every
// group of M successive inputs the ⌊t·M⌋ lowest go, so that N:M stands at t = 1−N/M.
//
// The score is the magnitude |θ|, or |θ·g| where [Options].Gradients are given, of
// a block the root mean square.
//
// The model is a step function of t, and where one threshold τ rules all weights it
// is one of τ: it jumps only where τ passes some score, is right-continuous there,
// and at t=1, τ = max|θ_i|, exactly the zero stratum is reached. (THEORY row 12.)
type Prune struct {
	g         *graph.Graph
	layers    []graph.Layer
	gradients map[string][]float32 // nil: scores are magnitudes
	pattern   Pattern
	groups    []ranking // layers ranking together
	fitting   fitting
	pool      *kernel.Pool
}

// ranking are layers whose blocks are ranking together.
type ranking struct {
	layers []int       // indices
	scores [][]float32 // by layer: of its blocks; nil for a pattern N:M
	total  int         // blocks
	keys   []uint32    // of all scores, ascending; made when first needed
}

// NewPrune makes the path. Weights are ranking over the whole network, or in
// each layer by itself.
func NewPrune(g *graph.Graph, o Options) (*Prune, error) {
	layers, err := layersOf("prune", g)
	if err != nil {
		return nil, err
	}
	p := &Prune{g: g, layers: layers, gradients: o.Gradients, pattern: o.Pattern, pool: o.Pool,
		fitting: fitting{tune: o.Tune, schedule: o.Schedule, rewind: o.Rewind}}
	if err := p.check(); err != nil {
		return nil, fmt.Errorf("path prune: %w", err)
	}
	if o.PerLayer {
		for i := range layers {
			p.groups = append(p.groups, ranking{layers: []int{i}})
		}
	} else {
		p.groups = []ranking{{layers: make([]int, len(layers))}}
		for i := range layers {
			p.groups[0].layers[i] = i
		}
	}
	if p.pattern.Of > 0 {
		return p, nil
	}
	for i := range p.groups {
		r := &p.groups[i]
		for _, k := range r.layers {
			s := p.pattern.blockScores(layers[k], p.scores(layers[k]))
			r.scores, r.total = append(r.scores, s), r.total+len(s)
		}
	}
	return p, nil
}

// check refuses weights that cannot be ranking and gradients that fit none.
func (p *Prune) check() error {
	for _, l := range p.layers {
		w := tensor.Data[float32](l.Param.Data)
		if i := firstNotFinite(p.pool, w); i >= 0 {
			return fmt.Errorf("weight %q: element %d: got %v, want a finite number", l.Name(), i, w[i])
		}
		if p.gradients == nil {
			continue
		}
		d := p.gradients[l.Name()]
		if len(d) != len(w) {
			return fmt.Errorf("weight %q: gradients: got %d, want %d, one per element", l.Name(), len(d), len(w))
		}
		if i := firstNotFinite(p.pool, d); i >= 0 {
			return fmt.Errorf("weight %q: gradient of element %d: got %v, want a finite number", l.Name(), i, d[i])
		}
	}
	return nil
}

// firstNotFinite is the index of the first number that is not finite, -1 if all
// are.
func firstNotFinite(p *kernel.Pool, x []float32) int {
	var bad atomic.Bool
	set := orSerial(p).Set()
	split(p, len(x), func(_, lo, hi int) {
		if _, _, finite := kernel.MinMax(set, x[lo:hi]); !finite {
			bad.Store(true)
		}
	})
	if !bad.Load() {
		return -1
	}
	return slices.IndexFunc(x, func(v float32) bool { return v-v != 0 })
}

// scores are those of a layer's weights as the path found them.
func (p *Prune) scores(l graph.Layer) []float32 {
	w := tensor.Data[float32](l.Param.Data)
	if p.gradients == nil {
		return w // keyOf looks at the size alone
	}
	return taylor(w, p.gradients[l.Name()])
}

// taylor are the sizes of θ·g.
func taylor(w, gradients []float32) []float32 {
	s := make([]float32, len(w))
	for i := range s {
		s[i] = min(math.MaxFloat32, abs32(w[i]*gradients[i]))
	}
	return s
}

// Param is the fraction removed, t itself.
func (p *Prune) Param(t float64) float64 { return t }

// Boundary is the zero stratum.
func (p *Prune) Boundary() compactify.Boundary {
	return compactify.Boundary{Kind: compactify.Stratum, Name: "all weights of convolutions and matrix products zero"}
}

// At returns the model with the fraction t of its weights removed, fine-tuned if
// the path was given a way to and t is below 1.
func (p *Prune) At(ctx context.Context, t float64) (*graph.Graph, error) {
	if err := checkT("prune", t); err != nil {
		return nil, err
	}
	switch {
	case t == 0:
		return p.g, nil
	case (t == 1 || p.fitting.tune == nil) && p.gradients == nil && p.pattern.Of == 0 && p.pattern.single():
		return p.withoutSmallest(t), nil
	case t == 1 || p.fitting.tune == nil:
		return Masked(p.g, p.Masks(t)), nil
	}
	return p.fitted(ctx, t)
}

// Masks says which weights are left at t, by parameter.
func (p *Prune) Masks(t float64) map[string]*train.Mask {
	masks := make(map[string]*train.Mask, len(p.layers))
	for i := range p.groups {
		r := &p.groups[i]
		if p.pattern.Of > 0 {
			for _, k := range r.layers {
				l := p.layers[k]
				masks[l.Name()] = &train.Mask{Keep: p.pattern.keepMost(l, p.scores(l), p.most(t))}
			}
			continue
		}
		p.mark(masks, r.layers, keepLargest(p.pool, r.scores, removed(t, r.total)))
	}
	return masks
}

// mark writes what is kept of the layers' blocks into masks.
func (p *Prune) mark(masks map[string]*train.Mask, layers []int, keeps [][]bool) {
	for i, k := range layers {
		l := p.layers[k]
		masks[l.Name()] = &train.Mask{Keep: p.pattern.spread(l, keeps[i])}
	}
}

// most is how many weights of a full group of the pattern N:M are left at t.
func (p *Prune) most(t float64) int { return p.pattern.Of - removed(t, p.pattern.Of) }

// Threshold is τ(t): the largest score among the blocks removed at t, 0 if none
// is. With layers ranking apart it is the largest over the layers; for a pattern
// N:M, where none rules, NaN.
func (p *Prune) Threshold(t float64) float64 {
	if p.pattern.Of > 0 {
		return math.NaN()
	}
	tau := 0.0
	for i := range p.groups {
		r := &p.groups[i]
		if k := removed(t, r.total); k > 0 {
			tau = max(tau, float64(math.Float32frombits(r.sorted()[k-1])))
		}
	}
	return tau
}

// Removed counts the weights that are removed at t.
func (p *Prune) Removed(t float64) int {
	if p.pattern.single() {
		n := 0
		for _, r := range p.groups {
			n += removed(t, r.total)
		}
		return n
	}
	n := 0
	for _, m := range p.Masks(t) {
		for _, keep := range m.Keep {
			if !keep {
				n++
			}
		}
	}
	return n
}

// Jumps implements [compactify.Jumping]: with one threshold for all weights, the
// last place at or before t that the threshold rules, all scores up to it removed,
// and the first behind t. Equal scores go at once there; At goes through them one
// by one in between. Otherwise the places are those where a weight is removed.
func (p *Prune) Jumps(t float64) (at, next float64) {
	if p.pattern.Of == 0 && len(p.groups) == 1 {
		return p.groups[0].levels(t, p.gradients == nil)
	}
	return p.removals(t)
}

// removals are the last place at or before t where At removes something, and the
// first behind it.
func (p *Prune) removals(t float64) (at, next float64) {
	if p.pattern.Of > 0 {
		return around(removed(t, p.pattern.Of), p.pattern.Of)
	}
	at, next = 0, 1
	for i := range p.groups {
		n := p.groups[i].total
		a, b := around(removed(t, n), n)
		at, next = max(at, a), min(next, b)
	}
	return at, next
}

// around are the shares k/n and (k+1)/n.
func around(k, n int) (at, next float64) {
	if n == 0 {
		return 0, 1
	}
	return float64(k) / float64(n), min(1, float64(k+1)/float64(n))
}

// levels are the shares removed by the last threshold that removes no more than t,
// and by the next one. Where scores are magnitudes, those of 0 remove nothing.
func (r *ranking) levels(t float64, magnitudes bool) (at, next float64) {
	keys, k := r.sorted(), removed(t, r.total)
	if r.total == 0 {
		return 0, 1
	}
	below := func(key uint32) int { i, _ := slices.BinarySearch(keys, key); return i }
	if k < r.total { // those equal to the first that stays go with it, or stay
		k = below(keys[k])
	}
	zeros := 0
	if magnitudes {
		zeros = below(1)
	}
	if zeros == r.total {
		return 0, 1
	}
	share := func(k int) float64 { return float64(k) / float64(r.total) }
	if k <= zeros {
		return 0, share(below(keys[zeros] + 1))
	}
	if k == r.total {
		return 1, 1
	}
	return share(k), share(below(keys[k] + 1))
}

// sorted are the keys of all scores, ascending.
func (r *ranking) sorted() []uint32 {
	if r.keys == nil {
		r.keys = make([]uint32, 0, r.total)
		for _, s := range r.scores {
			for _, x := range s {
				r.keys = append(r.keys, keyOf(x))
			}
		}
		slices.SortFunc(r.keys, cmp.Compare[uint32])
	}
	return r.keys
}

// Arrival is the threshold at which the zero model is reached: the largest score.
func (p *Prune) Arrival() float64 { return p.Threshold(1) }

func abs32(x float32) float32 { return math.Float32frombits(keyOf(x)) }

// removed is ⌊t·n⌋, robust against t = k/n having been rounded down.
func removed(t float64, n int) int {
	return min(n, int(math.Floor(t*float64(n)*(1+1e-12))))
}

// Masked sets masked weights to zero in a copy of the graph, which shares the
// tensors that lose nothing. Masks are by parameter.
func Masked(g *graph.Graph, masks map[string]*train.Mask) *graph.Graph {
	c, _ := g.Clone()
	for _, p := range c.Params {
		m := masks[p.Name]
		if m == nil || !slices.Contains(m.Keep, false) {
			continue
		}
		p.Data = p.Data.Clone()
		w := tensor.Data[float32](p.Data)
		for i, keep := range m.Keep {
			if !keep {
				w[i] = 0
			}
		}
	}
	return c
}
