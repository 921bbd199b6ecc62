package certify

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
	"github.com/compactify/compactify/train"
)

// withWeights is the subject's model with the weights of a rise, after its step or
// before.
func withWeights(s *Subject, rise *train.Rise, after bool) (*graph.Graph, error) {
	g, _ := s.Model.Clone()
	list := rise.Before
	if after {
		list = rise.After
	}
	for _, w := range list {
		i := slices.IndexFunc(g.Params, func(p *graph.Param) bool { return p.Name == w.Name })
		if i < 0 || g.Params[i].Data.DType() != tensor.Float32 || g.Params[i].Data.Len() != len(w.Data) {
			return nil, fmt.Errorf("%w: weight %q of %d values: the model has none", ErrWitness, w.Name, len(w.Data))
		}
		g.Params[i].Data = tensor.Of(w.Data, g.Params[i].Data.Shape()...)
	}
	return g, nil
}
