package train

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Mask holds parts of a parameter at zero.
type Mask struct {
	Keep []bool // one per element, row-major; false holds it at zero
}

// Remask is asked before every step, of which done are behind, for new masks of
// the parameters that [Options].Masks names; nil means that they stay. The model
// as it is then is for reading alone. Weights that a new mask removes are zero from
// that step on, and the optimiser forgets what it knew of them.
type Remask func(done, steps int, model *graph.Graph) map[string]*Mask

// applyMasks sets the masked places of parameters to zero, in tensors of their
// own. It refuses masks that fit no parameter.
func applyMasks(model *graph.Graph, masks map[string]*Mask) error {
	found := 0
	for _, p := range model.Params {
		m := masks[p.Name]
		if m == nil {
			continue
		}
		found++
		if p.Data.DType() != tensor.Float32 || p.Data.Len() != len(m.Keep) {
			return fmt.Errorf("mask of %d places: parameter %q: got %v, want float32 of that size", len(m.Keep), p.Name, p.Data)
		}
		p.Data = p.Data.Clone()
		m.apply(tensor.Data[float32](p.Data))
	}
	if found != len(masks) {
		return fmt.Errorf("masks: got %d, want each to name a parameter; %d do", len(masks), found)
	}
	return nil
}

// apply sets the masked places of w to zero. A nil mask has none. Choosing
// between integers compiles to a move without a branch, which on a random mask
// would often be mispredicted.
func (m *Mask) apply(w []float32) {
	if m == nil {
		return
	}
	w = w[:len(m.Keep)]
	for i, keep := range m.Keep {
		bits := math.Float32bits(w[i])
		if !keep {
			bits = 0
		}
		w[i] = math.Float32frombits(bits)
	}
}

// remask asks for new masks and puts them on.
func (t *trainer) remask() error {
	if t.o.Remask == nil {
		return nil
	}
	masks := t.o.Remask(t.done, t.steps, t.model)
	for _, p := range t.model.Params {
		m := masks[p.Name]
		if m == nil {
			continue
		}
		if t.o.Masks[p.Name] == nil || len(m.Keep) != p.Data.Len() {
			return fmt.Errorf("new mask of parameter %q: got %d places, want %d and a mask from the start", p.Name, len(m.Keep), p.Data.Len())
		}
		m.apply(tensor.Data[float32](p.Data))
	}
	for _, w := range t.weights {
		if m := masks[w.param.Name]; m != nil {
			w.mask = m
			m.apply(w.m)
			if w.v != nil {
				m.apply(w.v)
			}
		}
	}
	return nil
}
