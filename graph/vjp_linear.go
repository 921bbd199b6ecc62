package graph

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/tensor"
)

func linearVJPs() map[string]vjpFunc {
	return map[string]vjpFunc{
		"MatMul":               vjpMatMul,
		"Gemm":                 vjpGemm,
		"Conv":                 vjpConv,
		"ConvTranspose":        vjpConvTranspose,
		"compactify.ConvGradX": vjpConvGradX,
		"compactify.ConvGradW": vjpConvGradW,
	}
}

// transposeLast exchanges the last two axes.
func (b *Builder) transposeLast(x *Value) *Value {
	r := x.Type.Rank()
	if r < 2 {
		b.failRank(x)
		return x
	}
	perm := make([]int, r)
	for i := range perm {
		perm[i] = i
	}
	perm[r-1], perm[r-2] = r-2, r-1
	return b.With("Transpose", Attributes{Ints("perm", perm...)}, x)
}

// vjpMatMul: Y = A·B gives dA = dY·Bᵀ and dB = Aᵀ·dY, batched and broadcast.
// Vectors are treated as the matrices they stand for.
func vjpMatMul(b *Builder, n *Node, dy []*Value) []*Value {
	x, w, d := n.In[0], n.In[1], dy[0]
	if x.Type.Rank() < 1 || w.Type.Rank() < 1 {
		b.failRank(x)
		return []*Value{nil, nil}
	}
	mx, mw := x, w
	if w.Type.Rank() == 1 {
		mw, d = b.unsqueeze(mw, -1), b.unsqueeze(d, -1)
	}
	if x.Type.Rank() == 1 {
		mx, d = b.unsqueeze(mx, 0), b.unsqueeze(d, -2)
	}
	out := make([]*Value, 2)
	if b.active(x) {
		out[0] = b.shapeLike(b.unbroadcast(b.Op("MatMul", d, b.transposeLast(mw)), mx), x)
	}
	if b.active(w) {
		out[1] = b.shapeLike(b.matMulWeightGrad(mx, d, mw), w)
	}
	return out
}

// matMulWeightGrad is Aᵀ·dY summed over the batch. When B is one matrix, the
// batch is folded into the rows first: one product instead of many and a sum.
func (b *Builder) matMulWeightGrad(x, d, w *Value) *Value {
	if w.Type.Rank() == 2 && x.Type.Rank() > 2 {
		x = b.flattenRows(x, w.Type.Shape[0])
		d = b.flattenRows(d, w.Type.Shape[1])
	}
	return b.unbroadcast(b.Op("MatMul", b.transposeLast(x), d), w)
}

func (b *Builder) flattenRows(x *Value, columns tensor.Dim) *Value {
	if columns.Known() {
		return b.Op("Reshape", x, b.Const(tensor.Ints(-1, columns.Size)))
	}
	return b.With("Flatten", Attributes{Int("axis", x.Type.Rank()-1)}, x)
}

func (b *Builder) unsqueeze(x *Value, axis int) *Value {
	return b.Op("Unsqueeze", x, b.Const(tensor.Ints(axis)))
}

// vjpGemm: Y = α·A'·B' + β·C.
func vjpGemm(b *Builder, n *Node, dy []*Value) []*Value {
	alpha, beta := n.Attrs.Float("alpha", 1), n.Attrs.Float("beta", 1)
	ta, tb := n.Attrs.Int("transA", 0), n.Attrs.Int("transB", 0)
	product := func(x, y *Value, tx, ty int) *Value {
		return b.With("Gemm", Attributes{Float("alpha", float32(alpha)), Int("transA", tx), Int("transB", ty)}, x, y)
	}
	d, x, w := dy[0], n.In[0], n.In[1]
	out := make([]*Value, len(n.In))
	if b.active(x) {
		if ta == 0 {
			out[0] = product(d, w, 0, 1-tb)
		} else {
			out[0] = product(w, d, tb, 1)
		}
	}
	if b.active(w) {
		if tb == 0 {
			out[1] = product(x, d, 1-ta, 0)
		} else {
			out[1] = product(d, x, 1, ta)
		}
	}
	if c := n.Input(2); b.active(c) {
		if beta != 1 {
			d = b.scale(d, beta)
		}
		out[2] = b.unbroadcast(d, c)
	}
	return out
}

// convAttrs keeps what the gradient operators need of a convolution: its
// geometry with the pads made explicit.
func (b *Builder) convAttrs(n *Node, x, w *Value) Attributes {
	attrs := n.Attrs.Without("auto_pad", "output_padding", "output_shape")
	if !attrs.Has("kernel_shape") {
		attrs = attrs.With(Ints("kernel_shape", b.staticSizes(w, 2)...))
	}
	if auto := n.Attrs.Text("auto_pad", "NOTSET"); auto != "NOTSET" {
		g, err := ConvGeometry(n, append([]int{1, 1}, b.staticSizes(x, 2)...), b.staticSizes(w, 0))
		if err != nil {
			b.Fail(err)
			return attrs
		}
		attrs = attrs.With(Ints("pads", g.Pads...))
	}
	return attrs
}

// staticSizes returns the sizes of v's axes from the given one on.
func (b *Builder) staticSizes(v *Value, from int) []int {
	sizes, ok := tensor.Type{Shape: v.Type.Shape[min(from, len(v.Type.Shape)):]}.Static()
	if !ok {
		b.failRank(v)
	}
	return sizes
}

// vjpConv: convolution is bilinear, and ConvGradX and ConvGradW are its two
// adjoints; the three are closed under differentiation.
func vjpConv(b *Builder, n *Node, dy []*Value) []*Value {
	x, w, d := n.In[0], n.In[1], dy[0]
	attrs := b.convAttrs(n, x, w)
	out := make([]*Value, len(n.In))
	if b.active(x) {
		out[0] = b.With("compactify.ConvGradX", attrs, w, d, b.Op("Shape", x))
	}
	if b.active(w) {
		out[1] = b.With("compactify.ConvGradW", attrs, x, d)
	}
	if bias := n.Input(2); b.active(bias) {
		out[2] = b.sumOverBatchAndSpace(d)
	}
	return out
}

// sumOverBatchAndSpace reduces [N, C, ...] to [C].
func (b *Builder) sumOverBatchAndSpace(d *Value) *Value {
	axes := []int{0}
	for i := 2; i < d.Type.Rank(); i++ {
		axes = append(axes, i)
	}
	return b.sum(d, false, axes...)
}

// vjpConvGradX: dX = GradX(w, d), linear in each.
func vjpConvGradX(b *Builder, n *Node, dy []*Value) []*Value {
	w, d, dd := n.In[0], n.In[1], dy[0]
	out := make([]*Value, len(n.In))
	if b.active(w) {
		out[0] = b.With("compactify.ConvGradW", n.Attrs, dd, d)
	}
	if b.active(d) {
		out[1] = b.With("Conv", n.Attrs, dd, w)
	}
	return out
}

// vjpConvGradW: dW = GradW(x, d), linear in each.
func vjpConvGradW(b *Builder, n *Node, dy []*Value) []*Value {
	x, d, dw := n.In[0], n.In[1], dy[0]
	out := make([]*Value, 2)
	if b.active(x) {
		out[0] = b.With("compactify.ConvGradX", n.Attrs, dw, d, b.Op("Shape", x))
	}
	if b.active(d) {
		out[1] = b.With("Conv", n.Attrs, x, dw)
	}
	return out
}

// vjpConvTranspose: its forward is ConvGradX(w, x), so its adjoints are Conv and
// ConvGradW.
func vjpConvTranspose(b *Builder, n *Node, dy []*Value) []*Value {
	x, w, d := n.In[0], n.In[1], dy[0]
	out := make([]*Value, len(n.In))
	if bias := n.Input(2); b.active(bias) {
		out[2] = b.sumOverBatchAndSpace(d)
	}
	win, err := b.transposeWindow(n)
	if err != nil {
		b.Fail(fmt.Errorf("gradient of %s: %w", n, err))
		return out
	}
	attrs := n.Attrs.Without("auto_pad", "output_padding", "output_shape").
		With(Ints("pads", win.Pads...)).With(Ints("kernel_shape", win.Kernel...))
	d = b.pad(d, win.uncovered(b, x, d))
	if b.active(x) {
		out[0] = b.With("Conv", attrs, d, w)
	}
	if b.active(w) {
		out[1] = b.With("compactify.ConvGradW", attrs, d, x)
	}
	return out
}

// transposeWindow is the window of a ConvTranspose. The spatial sizes matter, and
// must be known, only if the pads follow from them.
func (b *Builder) transposeWindow(n *Node) (Window, error) {
	x, w := n.In[0], n.In[1]
	if n.Attrs.Text("auto_pad", "NOTSET") == "NOTSET" && !n.Attrs.Has("output_shape") {
		return newWindow(n, x.Type.Rank()-2, b.staticSizes(w, 2))
	}
	return ConvTransposeGeometry(n, append([]int{1, 1}, b.staticSizes(x, 2)...), b.staticSizes(w, 0))
}

// uncovered is the padding that cuts off the end of a transposed convolution's
// output (with cotangent d) where it is bias alone and reaches so far beyond the
// last window that a convolution would fit another one.
func (w *Window) uncovered(b *Builder, x, d *Value) []int {
	axes := len(w.Out)
	pads := make([]int, 2*(axes+2))
	for i := range axes {
		rest := w.resizing[i]
		if w.outShape != nil || w.mode != "NOTSET" {
			n := b.staticSizes(x, 2)[i]
			rest = b.staticSizes(d, 2)[i] + w.Pads[i] + w.Pads[axes+i] - w.Strides[i]*(n-1) - w.reach(i)
		}
		if rest >= w.Strides[i] {
			pads[axes+4+i] = -rest
		}
	}
	return pads
}

// pad pads with zeros, and cuts off where a count is negative. pads are the
// counts at the beginning of every axis, then those at the end.
func (b *Builder) pad(x *Value, pads []int) *Value {
	if !slices.ContainsFunc(pads, func(p int) bool { return p != 0 }) {
		return x
	}
	return b.Op("Pad", x, b.Const(tensor.Ints(pads...)))
}
