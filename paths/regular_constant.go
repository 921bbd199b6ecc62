package paths

import (
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/train"
)

// constant is θ of the model that gives the best constant answer to all training
// examples: zero but for the bias of the last layer, which holds the logarithms of the
// shares of the classes, or the mean of the targets. A class without examples has
// probability 2^−126 instead of 0. What all columns have in common does not change the
// answers: it is taken off, which leaves the shortest such bias. Without a last bias all
// is zero.
//
// Cross-entropy: the mean of −log q over labels is Σ share·(−log q), least for q =
// share. Squared error: least for the mean.
func (l *ladder) constant() []float64 {
	theta := make([]float64, l.f.Dim())
	bias := lastBias(l.base, l.o.Output)
	for _, b := range l.f.Blocks() {
		if bias != nil && b.Name == bias.Name {
			copy(theta[b.At:b.At+b.Len], l.bestConstant(b.Len))
		}
	}
	return theta
}

// bestConstant is the answer of n numbers with the least mean loss.
func (l *ladder) bestConstant(n int) []float64 {
	best, set := make([]float64, n), l.o.Set
	if set.Classes() == 0 {
		sum := 0.0
		for i := range set.Len() {
			sum += set.Target(i)
		}
		best[0] = sum / float64(set.Len())
		return best
	}
	for i := range set.Len() {
		best[set.Label(i)]++
	}
	mean := 0.0
	for k, count := range best {
		best[k] = math.Log(max(count/float64(set.Len()), leastScale))
		mean += best[k] / float64(n)
	}
	for k := range best {
		best[k] -= mean
	}
	return best
}

// lastBias is the parameter that is added to each column of the logits last, nil if
// there is none that can be told.
func lastBias(g *graph.Graph, output string) *graph.Param {
	head, err := train.FindHead(g, output)
	if err != nil {
		return nil
	}
	producer, v := g.Producers(), head.Logits
	for n := producer[v]; n != nil; n = producer[v] {
		switch n.Kind() {
		case "Identity", "Flatten", "Reshape", "Squeeze":
			v = n.In[0]
			continue
		case "Gemm":
			return g.Param(n.Input(2))
		case "Add":
			for i, in := range n.In {
				if p := g.Param(in); p != nil && producer[n.In[1-i]] != nil && producer[n.In[1-i]].Kind() == "MatMul" {
					return p
				}
			}
		}
		return nil
	}
	return nil
}
