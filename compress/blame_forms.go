package compress

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/paths"
	"github.com/compactify/compactify/tensor"
)

// dequantized returns a copy of a graph in which every stored integer weight is
// the floating-point weight it stands for, and how those weights, by name, were
// stored.
func dequantized(g *graph.Graph) (*graph.Graph, map[string]form) {
	c, _ := g.Clone()
	forms := make(map[string]form)
	for _, w := range c.EffectiveWeights() {
		if w.Reader == nil {
			continue
		}
		f := form{scheme: schemeOf(c, w.Reader), bytes: w.Param.StoredBytes(), data: tensor.New(tensor.Float32, w.Param.Data.Shape()...)}
		for _, v := range w.Reader.In[1:] {
			if p := c.Param(v); p != nil {
				f.bytes += p.StoredBytes()
			}
		}
		for i, x := 0, tensor.Data[float32](f.data); i < len(x); i++ {
			x[i] = float32(w.At(i))
		}
		v := w.Reader.Out[0]
		c.Remove(w.Reader)
		for _, n := range c.Consumers()[v] {
			if n.Kind() == "Transpose" && f.data.Rank() == 2 {
				c.Remove(n)
				store(c, forms, n.Out[0], f.transposed())
			}
		}
		store(c, forms, v, f)
	}
	return c, forms
}

func store(g *graph.Graph, forms map[string]form, v *graph.Value, f form) {
	v.Type = f.data.Type()
	g.Params = append(g.Params, &graph.Param{Value: v, Data: f.data})
	forms[v.Name] = f
}

// schemeOf reads from a DequantizeLinear how its weight is stored.
func schemeOf(g *graph.Graph, n *graph.Node) paths.Scheme {
	s := paths.Scheme{Bits: n.In[0].Type.DType.Bits(), Asymmetric: n.Input(2) != nil}
	switch scale := g.Param(n.In[1]).Data; {
	case scale.Len() == 1:
		s.Block = paths.PerTensor
	case scale.Rank() > 1:
		s.Block = n.Attrs.Int("block_size", 0)
	}
	return s
}

// describeScheme says in words how a weight is stored, but not how its range was
// chosen: a file does not tell.
func describeScheme(s paths.Scheme) string {
	words, _, _ := strings.Cut(s.String(), ",")
	return words
}

// pairLayers finds the layer of a compressed model that belongs to each of the
// original's: by name where all names are kept, otherwise by their order.
func pairLayers(original, compact []graph.Layer) ([]graph.Layer, error) {
	named := make(map[string]graph.Layer)
	for _, l := range compact {
		named[l.Name()] = l
	}
	pairs := make([]graph.Layer, len(original))
	found := 0
	for i, l := range original {
		if m, ok := named[l.Name()]; ok {
			pairs[i] = m
			found++
		}
	}
	switch {
	case found == len(original):
		return pairs, nil
	case len(original) == len(compact):
		return compact, nil
	}
	return nil, fmt.Errorf("compare with the original: layers: got %d, want %d: the compressed model is not of the original's structure", len(compact), len(original))
}

// like brings the weights of a layer of a compressed model into the form of the
// original's layer l.
func (f form) like(l, compact graph.Layer) (form, error) {
	if l.Param.Data.Rank() == 2 && f.data.Rank() == 2 && l.Axis != compact.Axis {
		f = f.transposed()
	}
	if got, want := f.data.Shape(), l.Param.Data.Shape(); !slices.Equal(got, want) {
		return f, fmt.Errorf("layer %q is not compared: shape in the compressed model: got %v, want %v", l.Name(), got, want)
	}
	return f, nil
}

// transposed is the form of a matrix that is stored as its transpose.
func (f form) transposed() form {
	rows, columns := f.data.Shape()[0], f.data.Shape()[1]
	x, y := tensor.Data[float32](f.data), make([]float32, rows*columns)
	for i := range rows {
		for j := range columns {
			y[j*rows+i] = x[i*columns+j]
		}
	}
	f.data = tensor.Of(y, columns, rows)
	return f
}
