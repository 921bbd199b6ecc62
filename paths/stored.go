package paths

import (
	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// How quantised weights are stored: integers of the narrowest ONNX type that
// holds the grid, one scale per output channel, no zero point, and a
// DequantizeLinear. This file alone decides the form, so that no path writes one
// that the reference runtime, ONNX Runtime, gets wrong. Its version 1.30, and
// 1.32 as well, computes at each level of optimisation what the file says, except
// that from level "extended" on
//
//	int2 w [K, N] → DequantizeLinear → MatMul, or Gemm with transB = 0
//
// becomes MatMulNBits with wrong weights wherever N is not a multiple of 4, for
// every K and number of scales: errors as large as the output. 4 and 8 bits, Gemm
// with transB = 1, Conv, ConvTranspose and MatMul of higher rank are right, and
// so is a Transpose between the DequantizeLinear and the MatMul, as long as there
// is no zero point. [transposed] layers are stored in one of those forms.

// storedType is the narrowest ONNX integer type that holds a grid of the given
// bits.
func storedType(bits int) tensor.DType {
	switch {
	case bits <= 2:
		return tensor.Int2
	case bits <= 4:
		return tensor.Int4
	}
	return tensor.Int8
}

// StoredBits is the width at which a grid of the given bits is stored: 2, 4 or
// 8, and 32 for float32.
func StoredBits(bits int) int {
	if bits > 8 {
		return floatBits
	}
	return storedType(bits).Bits()
}

// transposed reports whether a layer's weight [K, N] is stored as [N, K]: at 2
// bits where a row of N integers does not fill whole bytes. It costs no bytes
// for a Gemm, which gets transB = 1, and one node for a MatMul; 4 bits would cost
// K·N/4 bytes.
func transposed(l graph.Layer, bits int) bool {
	shape := l.Param.Data.Shape()
	return storedType(bits) == tensor.Int2 && len(shape) == 2 && l.Axis == 1 && shape[1]%4 != 0
}

// StoredIndex maps a row-major index of a layer's weight to that of the integer
// stored for it.
func StoredIndex(l graph.Layer, s Scheme) func(i int) int {
	if !transposed(l, s.Bits) {
		return func(i int) int { return i }
	}
	rows, columns := l.Param.Data.Shape()[0], l.Param.Data.Shape()[1]
	return func(i int) int { return i%columns*rows + i/columns }
}

// dequantize replaces the layer's parameter by integers, scales and a
// DequantizeLinear in front of the first reader. rows holds the weights by
// output channel.
func dequantize(g *graph.Graph, b *graph.Builder, l graph.Layer, s Scheme, rows [][]float32, scales []float32) {
	shape, axis := l.Param.Data.Shape(), l.Axis
	turn := transposed(l, s.Bits)
	if turn {
		shape, axis = []int{shape[1], shape[0]}, 0
	}
	integers := tensor.New(storedType(s.Bits), shape...)
	at := channelIndex(shape, axis)
	for c, row := range rows {
		q := make([]int8, len(row))
		Grid{s.Bits}.Round(q, row, scales[c])
		for k, v := range q {
			integers.Set(at(c, k), float64(v))
		}
	}
	weights := b.Param(l.Name()+"_q", integers)
	scale := b.Param(l.Name()+"_s", tensor.Of(scales, len(scales)))
	w := insertBefore(g, b, l.Nodes[0], "DequantizeLinear", graph.Attributes{graph.Int("axis", axis)}, weights, scale)
	if turn {
		readTransposed(g, b, l, w)
	}
	g.Replace(l.Param.Value, w)
	g.RemoveParams(func(p *graph.Param) bool { return p == l.Param })
}

// insertBefore puts a node in front of another and returns its output.
func insertBefore(g *graph.Graph, b *graph.Builder, before *graph.Node, op string, attrs graph.Attributes, in ...*graph.Value) *graph.Value {
	n := &graph.Node{Op: op, Attrs: attrs, In: in, Out: []*graph.Value{b.Value(tensor.Type{})}}
	if err := b.Facts().Infer(n); err != nil {
		b.Fail(err)
	}
	g.InsertBefore(before, n)
	return n.Out[0]
}

// readTransposed lets the readers of a layer [K, N] read w [N, K]: a Gemm by its
// attribute, all others through a Transpose that they share.
func readTransposed(g *graph.Graph, b *graph.Builder, l graph.Layer, w *graph.Value) {
	var straight *graph.Value
	for _, n := range l.Nodes {
		if n.Kind() == "Gemm" && n.In[1] == l.Param.Value {
			n.Attrs = n.Attrs.With(graph.Int("transB", 1))
			n.In[1] = w
			continue
		}
		if straight == nil {
			straight = insertBefore(g, b, l.Nodes[0], "Transpose", graph.Attributes{graph.Ints("perm", 1, 0)}, w)
		}
		for i, v := range n.In {
			if v == l.Param.Value {
				n.In[i] = straight
			}
		}
	}
}
