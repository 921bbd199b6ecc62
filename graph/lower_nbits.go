package graph

import "github.com/compactify/compactify/tensor"

// nbits is the constant weights of a MatMulNBits.
type nbits struct{ outs, k, bits, block int }

func (w nbits) blocks() int { return (w.k + w.block - 1) / w.block }

// packed makes constant weights of 2 or 4 bits a DequantizeLinear of as many bits,
// w [N, K] in float32: an engine then reads them as they are. It returns nil where
// that does not say the same.
func (w nbits) packed(b *Builder, n *Node) *Value {
	d := tensor.Uint4
	if w.bits == 2 {
		d = tensor.Uint2
	}
	levels, known := b.facts.Data(n.In[1])
	scales, scaled := b.facts.Data(n.In[2])
	if w.bits == 8 || !known || !scaled || scales.DType() != tensor.Float32 || n.In[0].Type.DType != tensor.Float32 || scales.Len() != w.outs*w.blocks() {
		return nil
	}
	zeros := middle(d, w.outs, w.blocks())
	if v := n.Input(3); v != nil {
		z, ok := b.facts.Data(v)
		if !ok || z.DType() != tensor.Uint8 {
			return nil
		}
		if zeros, ok = cutRows(d, z.Raw(), w.outs, w.blocks(), (w.blocks()*w.bits+7)/8*8/w.bits); !ok {
			return nil
		}
	}
	q, ok := cutRows(d, levels.Raw(), w.outs, w.k, w.blocks()*w.block)
	if !ok {
		return nil
	}
	scales, err := scales.Reshape(w.outs, w.blocks())
	if err != nil {
		return nil
	}
	at := Attributes{Int("axis", 1), Int("block_size", w.block)}
	return b.With("DequantizeLinear", at, b.Const(q), b.Const(scales), b.Const(zeros))
}

// cutRows reads packed rows of the given stride, of which columns elements count.
// Whole rows are shared, not copied. It reports false if there are not as many.
func cutRows(d tensor.DType, raw []byte, rows, columns, stride int) (tensor.Tensor, bool) {
	all, err := tensor.FromRaw(d, []int{rows, stride}, raw)
	if err != nil || stride == columns {
		return all, err == nil
	}
	t := tensor.New(d, rows, columns)
	for i := range t.Len() {
		t.Set(i, all.At(i/columns*stride+i%columns))
	}
	return t, true
}

// middle is the zero points of levels without any.
func middle(d tensor.DType, shape ...int) tensor.Tensor {
	t := tensor.New(d, shape...)
	for i := range t.Len() {
		t.Set(i, float64(int(1)<<(d.Bits()-1)))
	}
	return t
}
