package train

import (
	"fmt"
	"math"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/stream"
	"github.com/compactify/compactify/tensor"
)

// Dropout says what is set to zero at random in every step of training: values of
// the input, values that dense layers read, or weights. What stays is divided by the
// probability of staying, so that the model needs no other scale afterwards. Each
// field is the probability of dropping, in [0, 1).
//
// Values are drawn for every example, weights once for a whole batch.
//
// Sources: N. Srivastava et al., "Dropout", JMLR 15 (2014), section 10 for the scale;
// L. Wan et al., "Regularization of neural networks using DropConnect", ICML 2013,
// whose masks of weights differ for every example.
type Dropout struct {
	Input   float64 // of the values of the model's input
	Hidden  float64 // of the values that matrix products read, the input's apart
	Weights float64 // of the weights of convolutions and matrix products
}

func (d Dropout) none() bool { return d == Dropout{} }

func (d Dropout) check() error {
	for _, p := range []struct {
		name string
		p    float64
	}{{"input", d.Input}, {"hidden", d.Hidden}, {"weights", d.Weights}} {
		if !(p.p >= 0 && p.p < 1) {
			return fmt.Errorf("dropout of %s: got probability %v, want a number in [0, 1)", p.name, p.p)
		}
	}
	return nil
}

// dropped is an input of the training graph that holds a mask: 0, or the inverse of
// the probability of staying.
type dropped struct {
	input int    // which input of the program
	below uint16 // a draw of 16 bits below it drops
	keep  float32
}

// maskTo multiplies what nodes read by a mask, an input of the graph.
type maskTo struct {
	t    *trainer
	g    *graph.Graph
	b    *graph.Builder
	done map[*graph.Value]*graph.Value // masked values
}

// drop inserts the masks into the training graph.
func (t *trainer) drop(g *graph.Graph, b *graph.Builder) error {
	d := t.o.Dropout
	if d.none() {
		return nil
	}
	m := maskTo{t, g, b, make(map[*graph.Value]*graph.Value)}
	input, weights := g.Inputs[0], make(map[*graph.Value]bool)
	for _, l := range g.Layers() {
		weights[l.Param.Value] = true
	}
	for _, n := range append([]*graph.Node(nil), g.Nodes...) {
		for i, v := range n.In {
			var p float64
			switch {
			case v == input:
				p = d.Input
			case weights[v]:
				p = d.Weights
			case i == 0 && len(n.In) > 1 && weights[n.In[1]] && (n.Kind() == "Gemm" || n.Kind() == "MatMul") && !m.onlyShaped(v):
				p = d.Hidden
			}
			if p > 0 {
				n.In[i] = m.masked(v, p)
			}
		}
	}
	if len(m.done) == 0 {
		return fmt.Errorf("dropout: no dense layer reads anything but the input, want something to drop")
	}
	return g.Sort()
}

// onlyShaped reports whether v is the graph's input in another shape: its values are
// dropped as the input's.
func (m *maskTo) onlyShaped(v *graph.Value) bool {
	producer := m.g.Producers()
	for n := producer[v]; n != nil; n = producer[v] {
		switch n.Kind() {
		case "Flatten", "Reshape", "Identity", "Squeeze", "Unsqueeze", "Transpose":
			v = n.In[0]
			continue
		case "Mul": // by a mask, which stands there already
			if m.done[n.In[0]] == v {
				v = n.In[0]
				continue
			}
		}
		return false
	}
	return v == m.g.Inputs[0]
}

// masked is v times a mask that drops with probability p.
func (m *maskTo) masked(v *graph.Value, p float64) *graph.Value {
	if known := m.done[v]; known != nil {
		return known
	}
	mask := m.b.Input(fmt.Sprintf("mask_%d", len(m.done)), v.Type)
	below := uint16(min(math.Round(p*(1<<16)), 1<<16-1))
	m.t.masks = append(m.t.masks, dropped{input: len(m.g.Inputs) - 1, below: below, keep: float32((1 << 16) / (float64(1<<16) - float64(below)))})
	out := m.b.Op("Mul", v, mask)
	m.done[v] = out
	return out
}

// drawMasks draws all masks of a step.
func (t *trainer) drawMasks() error {
	for k, m := range t.masks {
		t.mask = tensor.Data[float32](t.in[m.input])
		t.maskOf, t.maskKey = m, stream.New(t.o.Seed, t.maskNames[k], uint64(t.done)).Uint64()
		if err := t.o.Pool.For((len(t.mask)+3)/4, 1<<12, t.maskPart); err != nil {
			return err
		}
	}
	return nil
}

// splitMix is word i of the generator SplitMix64 with the given key: words do not
// depend on their order, so that the split among workers does not matter.
//
// Source: G. Steele, D. Lea and C. Flood, "Fast splittable pseudorandom number
// generators", OOPSLA 2014, figure 17 and variant 13 of its mixing function.
func splitMix(key, i uint64) uint64 {
	z := key + (i+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// maskRange fills places 4·lo to 4·hi of the mask, four from each word of 64 bits.
func (t *trainer) maskRange(_, lo, hi int) {
	below, keep := t.maskOf.below, math.Float32bits(t.maskOf.keep)
	mask := t.mask[4*lo : min(4*hi, len(t.mask))]
	for i := 0; i < len(mask); i += 4 {
		z := splitMix(t.maskKey, uint64(lo+i/4))
		for k := i; k < min(i+4, len(mask)); k++ {
			bits := keep
			if uint16(z) < below {
				bits = 0
			}
			mask[k] = math.Float32frombits(bits)
			z >>= 16
		}
	}
}
