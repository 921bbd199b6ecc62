package paths

import (
	"context"
	"math"
	"slices"

	"github.com/compactify/compactify"
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// Tune changes a model that a path made before it is measured, as fine-tuning
// does. Masked weights must stay zero. It must be deterministic, so that equal t
// still gives equal models.
type Tune func(ctx context.Context, g *graph.Graph, masks map[string]*train.Mask) (*graph.Graph, error)

// Prune is the path that removes weights by magnitude: at t the ⌊t·n⌋ smallest
// of the n weights in convolutions and matrix products are zero. Of equal
// magnitudes, those in earlier layers and at lower indices go first. Biases stay.
//
// The profile is a step function of the threshold τ that jumps only where τ
// passes some |θ_i|, and at t=1, τ = max|θ_i|, exactly the zero stratum is
// reached. (THEORY row 12.)
type Prune struct {
	g      *graph.Graph
	layers []graph.Layer
	groups [][]int // layers ranked together
	tune   Tune
}

// NewPrune makes the path. Weights are ranked over the whole network, or in
// each layer by itself.
func NewPrune(g *graph.Graph, o Options) (*Prune, error) {
	layers, err := layersOf("prune", g)
	if err != nil {
		return nil, err
	}
	p := &Prune{g: g, layers: layers, tune: o.Tune}
	if o.PerLayer {
		for i := range layers {
			p.groups = append(p.groups, []int{i})
		}
		return p, nil
	}
	all := make([]int, len(layers))
	for i := range all {
		all[i] = i
	}
	p.groups = [][]int{all}
	return p, nil
}

// Param is the fraction removed, t itself.
func (p *Prune) Param(t float64) float64 { return t }

// Boundary is the zero stratum.
func (p *Prune) Boundary() compactify.Boundary {
	return compactify.Boundary{Kind: compactify.Stratum, Name: "all weights of convolutions and matrix products zero"}
}

// At returns the model with the fraction t of its weights removed.
func (p *Prune) At(ctx context.Context, t float64) (*graph.Graph, error) {
	if err := checkT("prune", t); err != nil {
		return nil, err
	}
	if t == 0 {
		return p.g, nil
	}
	masks := p.Masks(t)
	g := Masked(p.g, masks)
	if p.tune == nil || t == 1 {
		return g, nil
	}
	return p.tune(ctx, g, masks)
}

// Masks says which weights are left at t, by parameter.
func (p *Prune) Masks(t float64) map[string]*train.Mask {
	masks := make(map[string]*train.Mask, len(p.layers))
	for _, group := range p.groups {
		var data [][]float32
		total := 0
		for _, i := range group {
			w := tensor.Data[float32](p.layers[i].Param.Data)
			data = append(data, w)
			total += len(w)
		}
		keeps := keepLargest(data, removed(t, total))
		for k, i := range group {
			masks[p.layers[i].Name()] = &train.Mask{Keep: keeps[k]}
		}
	}
	return masks
}

// Threshold is τ(t): the largest magnitude among the weights removed at t, 0 if
// none is. With layers ranked apart it is the largest over the layers.
func (p *Prune) Threshold(t float64) float64 {
	tau := float32(0)
	masks := p.Masks(t)
	for _, l := range p.layers {
		keep := masks[l.Name()].Keep
		for i, w := range tensor.Data[float32](l.Param.Data) {
			if !keep[i] {
				tau = max(tau, abs32(w))
			}
		}
	}
	return float64(tau)
}

func abs32(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// removed is ⌊t·n⌋, robust against t = k/n having been rounded down.
func removed(t float64, n int) int {
	return min(n, int(math.Floor(t*float64(n)*(1+1e-12))))
}

// keepLargest marks all but the k weights of least magnitude. The bits of a
// non-negative float order as the number does, so the k-th magnitude is found
// exactly by counting on the upper 16 bits and then, among those that share
// them, on the lower.
func keepLargest(data [][]float32, k int) [][]bool {
	threshold, ties := kthMagnitude(data, k)
	keeps := make([][]bool, len(data))
	for i, w := range data {
		keeps[i] = make([]bool, len(w))
		for j, x := range w {
			m := math.Float32bits(x) &^ (1 << 31)
			switch {
			case m > threshold:
				keeps[i][j] = true
			case m == threshold:
				keeps[i][j] = ties <= 0
				ties--
			}
		}
	}
	return keeps
}

// kthMagnitude returns the bits of the k-th smallest magnitude and how many
// weights of exactly that magnitude are among the k.
func kthMagnitude(data [][]float32, k int) (threshold uint32, ties int) {
	if k == 0 {
		return 0, 0
	}
	high := make([]int, 1<<15)
	for _, w := range data {
		for _, x := range w {
			high[math.Float32bits(x)&^(1<<31)>>16]++
		}
	}
	top, below := rank(high, k)
	low := make([]int, 1<<16)
	for _, w := range data {
		for _, x := range w {
			if m := math.Float32bits(x) &^ (1 << 31); int(m>>16) == top {
				low[m&0xffff]++
			}
		}
	}
	bottom, under := rank(low, k-below)
	return uint32(top)<<16 | uint32(bottom), k - below - under
}

// rank finds the bucket that holds the k-th entry (from 1) and how many entries
// lie in the buckets before it.
func rank(counts []int, k int) (bucket, before int) {
	for i, c := range counts {
		if before+c >= k {
			return i, before
		}
		before += c
	}
	return len(counts) - 1, before
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
