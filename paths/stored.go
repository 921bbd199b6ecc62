package paths

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// How quantised weights are stored: integers of the narrowest ONNX type that
// holds the grid, unsigned ones if there is a zero point, and a DequantizeLinear
// with one scale for the tensor, for each output channel or for each block. This file alone decides the form, so that no path writes one
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
// is no zero point, or scales and zero points are those of blocks. [transposed]
// layers are stored in one of those forms: with zero points, in one block as long
// as the row.

// storedType is the narrowest ONNX integer type that holds a scheme's grid.
func storedType(s Scheme) tensor.DType {
	types := [...]tensor.DType{tensor.Int2, tensor.Int4, tensor.Int8}
	if s.Asymmetric {
		types = [...]tensor.DType{tensor.Uint2, tensor.Uint4, tensor.Uint8}
	}
	switch {
	case s.Bits <= 2:
		return types[0]
	case s.Bits <= 4:
		return types[1]
	}
	return types[2]
}

// StoredBits is the width at which a grid of the given bits is stored: 2, 4 or
// 8, and 32 for float32.
func StoredBits(bits int) int {
	if bits > 8 {
		return floatBits
	}
	return storedType(Scheme{Bits: bits}).Bits()
}

// transposed reports whether a layer's weight [K, N] is stored as [N, K]: at 2
// bits where a row of N integers does not fill whole bytes. It costs no bytes
// for a Gemm, which gets transB = 1, and one node for a MatMul; 4 bits would cost
// K·N/4 bytes.
func transposed(l graph.Layer, s Scheme) bool {
	shape := l.Param.Data.Shape()
	return storedType(s).Bits() == 2 && len(shape) == 2 && l.Axis == 1 && shape[1]%4 != 0
}

// Stored is a weight as a graph holds it that [QuantizeWeights] or [Harden] made.
type Stored struct {
	Params []*graph.Param      // integers, scales and zero points
	At     func(i int) float64 // the weight at row-major index i of the original
}

// Bytes is what the weight takes in a file.
func (s Stored) Bytes() int {
	n := 0
	for _, p := range s.Params {
		n += p.StoredBytes()
	}
	return n
}

// StoredWeight finds what became of a layer's weight; false if it is not stored
// as integers of the scheme.
func StoredWeight(after *graph.Graph, l graph.Layer, s Scheme) (Stored, bool) {
	var out Stored
	for _, suffix := range []string{"_q", "_s", "_z"} {
		for _, p := range after.Params {
			if p.Name == l.Name()+suffix {
				out.Params = append(out.Params, p)
			}
		}
	}
	if len(out.Params) == 0 {
		return out, false
	}
	index := storedIndex(l, s)
	for _, w := range after.EffectiveWeights() {
		if w.Param == out.Params[0] && w.Reader != nil {
			out.At = func(i int) float64 { return w.At(index(i)) }
			return out, true
		}
	}
	return out, false
}

// storedIndex maps a row-major index of a layer's weight to that of the integer
// stored for it.
func storedIndex(l graph.Layer, s Scheme) func(i int) int {
	if !transposed(l, s) {
		return func(i int) int { return i }
	}
	rows, columns := l.Param.Data.Shape()[0], l.Param.Data.Shape()[1]
	return func(i int) int { return i%columns*rows + i/columns }
}

// dequantize replaces the layer's parameter by integers, scales, zero points if
// the grid is asymmetric, and a DequantizeLinear in front of the first reader.
func dequantize(p *kernel.Pool, g *graph.Graph, b *graph.Builder, l graph.Layer, r *rounded) {
	shape, scaleShape, axis, block := l.Param.Data.Shape(), r.groups.shape, r.groups.axis, max(0, r.scheme.Block)
	codes, scales, zeros := r.codes, r.scales, r.zeros
	turn := transposed(l, r.scheme)
	if turn {
		codes = turned(codes, shape)
		if len(scaleShape) == 2 {
			scales, zeros = turned(scales, scaleShape), turned(zeros, scaleShape)
			scaleShape = []int{scaleShape[1], scaleShape[0]}
		}
		shape, axis = []int{shape[1], shape[0]}, 1-axis
		if zeros != nil && block == 0 {
			scales, zeros = repeated(scales, shape[0]), repeated(zeros, shape[0])
			scaleShape, axis, block = []int{shape[0], 1}, 1, shape[1]
		}
	}
	d := storedType(r.scheme)
	in := []*graph.Value{b.Param(l.Name()+"_q", packed(p, d, codes, shape)), b.Param(l.Name()+"_s", tensor.Of(scales, scaleShape...))}
	if zeros != nil {
		in = append(in, b.Param(l.Name()+"_z", packed(p, d, zeros, scaleShape)))
	}
	var attrs graph.Attributes
	if len(scaleShape) > 0 {
		attrs = append(attrs, graph.Int("axis", axis))
	}
	if block > 0 {
		attrs = append(attrs, graph.Int("block_size", block))
	}
	w := insertBefore(g, b, l.Nodes[0], "DequantizeLinear", attrs, in...)
	if turn {
		readTransposed(g, b, l, w)
	}
	g.Replace(l.Param.Value, w)
	g.RemoveParams(func(p *graph.Param) bool { return p == l.Param })
}

// repeated is x itself if it has n elements, otherwise its one element n times.
func repeated[T any](x []T, n int) []T {
	if len(x) == n {
		return x
	}
	return slices.Repeat(x, n)
}

// turned is the transpose of x [shape[0], shape[1]].
func turned[T any](x []T, shape []int) []T {
	if x == nil {
		return nil
	}
	y := make([]T, len(x))
	for i, v := range x {
		y[i%shape[1]*shape[0]+i/shape[1]] = v
	}
	return y
}

// packed makes a tensor of bytes whose low bits are the integers.
func packed(p *kernel.Pool, d tensor.DType, codes []byte, shape []int) tensor.Tensor {
	if d.Bits() < 8 {
		codes = pack(p, codes, d.Bits())
	}
	t, err := tensor.FromRaw(d, shape, codes)
	if err != nil {
		panic(err) // the shape is that of a weight of as many elements
	}
	return t
}

// pack puts the low bits of 8/bits codes into each byte, the first lowest.
func pack(p *kernel.Pool, codes []byte, bits int) []byte {
	per := 8 / bits
	out := tensor.Bytes((len(codes) + per - 1) / per)
	err := orSerial(p).For(len(codes)/per, groupGrain, func(_, lo, hi int) {
		in, bytes := codes[lo*per:hi*per], out[lo:hi]
		if bits == 4 {
			for i := range bytes {
				c := in[2*i : 2*i+2 : 2*i+2]
				bytes[i] = c[0]&15 | c[1]<<4
			}
			return
		}
		for i := range bytes {
			c := in[4*i : 4*i+4 : 4*i+4]
			bytes[i] = c[0]&3 | c[1]&3<<2 | c[2]&3<<4 | c[3]<<6
		}
	})
	if err != nil {
		panic(err) // as in each
	}
	for i := len(codes) / per * per; i < len(codes); i++ {
		out[i/per] |= codes[i] & (1<<bits - 1) << (i % per * bits)
	}
	return out
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
