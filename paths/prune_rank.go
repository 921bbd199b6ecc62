package paths

import (
	"bytes"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// rankGrain is how many scores are worth a thread of their own.
const rankGrain = 1 << 16

// keyOf is the size of a score as bits that order like it.
func keyOf(x float32) uint32 { return math.Float32bits(x) &^ (1 << 31) }

// keepLargest marks all but the k scores of least size. Of equal ones those in
// earlier slices and at lower indices go first. A nil pool is one thread.
func keepLargest(pool *kernel.Pool, scores [][]float32, k int) [][]bool {
	edge := kernel.Rank{Equal: 1} // below all
	if k > 0 {
		edge = kernel.KthMagnitude(orSerial(pool), scores, k)
	}
	keepTies := edge.Ties < edge.Equal
	keeps := make([][]bool, len(scores))
	for i, s := range scores {
		keep := make([]bool, len(s))
		keeps[i] = keep
		split(pool, len(s), func(_, lo, hi int) {
			for j, x := range s[lo:hi] {
				m := keyOf(x)
				keep[lo+j] = m > edge.Bits || m == edge.Bits && keepTies
			}
		})
	}
	if keepTies {
		eachTie(pool, scores, edge, func(i, j int, kept bool) { keeps[i][j] = kept })
	}
	return keeps
}

// eachTie visits the scores of just the size at the edge, in order, and says
// whether they are kept: the first of them go.
func eachTie(pool *kernel.Pool, scores [][]float32, edge kernel.Rank, visit func(i, j int, kept bool)) {
	seen := 0
	for i, s := range scores {
		kernel.EachMagnitude(orSerial(pool).Set(), s, edge.Bits, func(j int) {
			visit(i, j, seen >= edge.Ties)
			seen++
		})
	}
}

// withoutSmallest is g with the fraction t of the weights of each ranking zero:
// what Masked makes of Masks, without the masks.
func (p *Prune) withoutSmallest(t float64) *graph.Graph {
	c, _ := p.g.Clone()
	pool := orSerial(p.pool)
	params := make(map[string]*graph.Param)
	for _, q := range c.Params {
		params[q.Name] = q
	}
	for _, r := range p.groups {
		k := removed(t, r.total)
		if k == 0 {
			continue
		}
		edge := kernel.KthMagnitude(pool, r.scores, k)
		kept := make([]tensor.Tensor, len(r.scores))
		for i, w := range r.scores {
			kept[i] = tensor.New(tensor.Float32, p.layers[r.layers[i]].Param.Data.Shape()...)
			kernel.KeepAbove(pool, tensor.Data[float32](kept[i]), w, edge.Bits)
		}
		if edge.Ties < edge.Equal {
			eachTie(pool, r.scores, edge, func(i, j int, keep bool) {
				if keep {
					tensor.Data[float32](kept[i])[j] = r.scores[i][j]
				}
			})
		}
		for i, k := range r.layers {
			if q := params[p.layers[k].Name()]; !bytes.Equal(q.Data.Raw(), kept[i].Raw()) { // what loses nothing is shared
				q.Data = kept[i]
			}
		}
	}
	return c
}

// split runs the body on parts of [0, n).
func split(pool *kernel.Pool, n int, body func(worker, lo, hi int)) {
	if err := orSerial(pool).For(n, rankGrain, body); err != nil {
		panic(err) // a panic of the body's own
	}
}
