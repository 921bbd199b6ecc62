package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Matrix products with constant weights in compact forms, see [kernel.Form]:
// operators of this package, which no graph outside of a program holds.
//
// lowBitProduct reads x, the integers, their scales, perhaps zero points, and
// perhaps a bias, as DequantizeLinear and the product behind it had them.
// formProduct reads x, the weights in float32, perhaps a bias, and perhaps a
// residual that is added to the result; it is bounded to [low, high].
// The attributes are "outputs", the axis of the weights that counts output
// channels, and of formProduct the "form".
const (
	lowBitProduct = "LowBitProduct"
	formProduct   = "FormProduct"
)

// keepLowBits finds the DequantizeLinear nodes whose matrices may stay packed:
// integers of less than 8 bits that matrix products alone read, straight or
// through a Transpose. Folding leaves them alone until [compiler.compactForms] has
// chosen.
func (c *compiler) keepLowBits() {
	c.kept = make(map[*graph.Node]bool)
	if c.o.Unfused {
		return
	}
	read := c.readers()
	for _, n := range c.g.Nodes {
		if c.storesLowBits(n) && onlyWeight(read, n.Out[0]) {
			c.kept[n] = true
		}
	}
}

// onlyWeight reports whether matrix products alone read v, as their second
// operand.
func onlyWeight(read readers, v *graph.Value) bool {
	if slices.Contains(read.outputs, v) {
		return false
	}
	return !slices.ContainsFunc(read.of[v], func(n *graph.Node) bool {
		switch n.Kind() {
		case "MatMul", "Gemm":
			return n.In[1] != v || n.In[0] == v || n.Input(2) == v
		case "Transpose", "Identity":
			return !onlyWeight(read, n.Out[0])
		}
		return true
	})
}

// storesLowBits reports whether n makes float32 of a constant matrix of 2 or 4
// bits, with scales that [kernel.LowBit] has too: one, one for each row or
// column, or one for each block of them.
func (c *compiler) storesLowBits(n *graph.Node) bool {
	if n.Kind() != "DequantizeLinear" {
		return false
	}
	q, ok := c.facts.Data(n.In[0])
	if d := q.DType(); !ok || q.Rank() != 2 || q.Len() == 0 || !d.IsInteger() || d.Bits() >= 8 {
		return false
	}
	scale, ok := c.facts.Data(n.In[1])
	if !ok || scale.DType() != tensor.Float32 || tensor.DType(n.Attrs.Int("output_dtype", int(tensor.Float32))) != tensor.Float32 && n.Attrs.Int("output_dtype", 0) != 0 {
		return false
	}
	if n.Input(2) == nil {
		return true
	}
	_, ok = c.facts.Data(n.In[2])
	return ok
}

// compactForms lets products with constant weights run on a compact form where
// that takes less time, or less memory and no more time.
func (c *compiler) compactForms() error {
	producer := c.g.Producers()
	for _, n := range c.g.Nodes {
		switch {
		case !isStatic(n) || n.Output(0) == nil || n.Out[0].Type.DType != tensor.Float32:
		case n.Kind() == "MatMul" || n.Kind() == "Gemm":
			if !c.keepPacked(n, producer) {
				c.makeSparse(n, producer)
			}
		}
	}
	return c.foldKept()
}

// foldKept computes the weights that stay as they were after all.
func (c *compiler) foldKept() error {
	if len(c.kept) == 0 {
		return nil
	}
	c.g.RemoveDead()
	c.kept = nil
	rest := c.g.Nodes[:0]
	for _, n := range c.g.Nodes {
		folded, err := c.fold(n)
		if err != nil {
			return err
		}
		if !folded {
			rest = append(rest, n)
		}
	}
	c.g.Nodes = rest
	return nil
}

// affine is a product x·W + bias: what a MatMul or Gemm computes if its weights
// are a matrix and nothing else is asked.
type affine struct {
	x, w, bias *graph.Value
	outputs    int // the axis of w that counts output channels
	m, n, k    int
}

// newAffine reports false for other products.
func newAffine(n *graph.Node) (affine, bool) {
	x, w := n.In[0].Type.Shape, n.In[1].Type.Shape
	if len(w) != 2 || len(x) < 2 {
		return affine{}, false
	}
	a := affine{x: n.In[0], w: n.In[1], outputs: 1}
	if n.Kind() == "Gemm" {
		if n.Attrs.Int("transA", 0) != 0 || n.Attrs.Float("alpha", 1) != 1 {
			return affine{}, false
		}
		if n.Attrs.Int("transB", 0) != 0 {
			a.outputs = 0
		}
		a.bias = n.Input(2)
	}
	a.n, a.k = w[a.outputs].Size, w[1-a.outputs].Size
	size := elements(staticSizes(a.x))
	if a.n == 0 || size == 0 || a.k != x[len(x)-1].Size {
		return affine{}, false
	}
	a.m = size / a.k
	if b := a.bias; b != nil && (n.Attrs.Float("beta", 1) != 1 || elements(staticSizes(b)) != a.n || b.Type.Rank() < 1 || b.Type.Shape[len(b.Type.Shape)-1].Size != a.n) {
		return affine{}, false
	}
	return a, true
}

func staticSizes(v *graph.Value) []int {
	sizes, _ := v.Type.Static()
	return sizes
}

// keepPacked replaces a product of weights that [compiler.keepLowBits] found.
func (c *compiler) keepPacked(n *graph.Node, producer map[*graph.Value]*graph.Node) bool {
	a, ok := newAffine(n)
	if !ok {
		return false
	}
	from, outputs := producer[a.w], a.outputs
	for from != nil && (from.Kind() == "Transpose" || from.Kind() == "Identity") {
		if from.Kind() == "Transpose" && !slices.Equal(from.Attrs.Ints("perm"), []int{0, 1}) {
			outputs = 1 - outputs
		}
		from = producer[from.In[0]]
	}
	if from == nil || !c.kept[from] || !packed(from, outputs) || !lowBitPays(c.o.Pool.Set(), a.m) {
		return false
	}
	attrs := graph.Attributes{graph.Int("outputs", outputs)}
	if block := from.Attrs.Int("block_size", 0); block != 0 && block < a.k && elements(staticSizes(from.In[1])) > 1 {
		attrs = append(attrs, graph.Int("block_size", block))
	}
	n.Domain, n.Op, n.Attrs = graph.DomainInternal, lowBitProduct, attrs
	n.In = []*graph.Value{a.x, from.In[0], from.In[1], from.Input(2), a.bias}
	return true
}

// packed reports whether the scales are one for all, one for each output
// channel, or one for each block along the others: of eight or a multiple, or as
// long as the axis.
func packed(n *graph.Node, outputs int) bool {
	if elements(staticSizes(n.In[1])) == 1 {
		return true
	}
	axis := axisOf(n.Attrs.Int("axis", 1), 2)
	if block := n.Attrs.Int("block_size", 0); block != 0 {
		return axis != outputs && (block%8 == 0 || block >= staticSizes(n.In[0])[axis])
	}
	return axis == outputs
}

// lowBitPays reports whether products with m rows stay on packed integers. Rule
// 1, measured with BenchmarkForms of package kernel on Zen 5 (n = k = 256, 1024
// and 4096): with assembly they take from a seventh (one row, weights beyond the
// cache) to the same time (64 rows and more), and always an eighth of the memory.
// Portable code decodes as long as it multiplies: with more than a few rows it
// is better done once.
func lowBitPays(set kernel.Set, m int) bool { return set != kernel.Portable || m <= 8 }

// makeSparse replaces a product of float32 weights of which many are zero, or all
// of one magnitude for each output channel.
func (c *compiler) makeSparse(n *graph.Node, producer map[*graph.Value]*graph.Node) {
	a, ok := newAffine(n)
	if !ok {
		return
	}
	t, ok := c.facts.Data(a.w)
	if !ok {
		return
	}
	form := chooseForm(t, a)
	if form == "" {
		return
	}
	if from := producer[a.x]; form == oneBit && from != nil && from.Kind() == "Sign" {
		form = bothSigns
	}
	n.Domain, n.Op, n.In = graph.DomainInternal, formProduct, []*graph.Value{a.x, a.w, a.bias}
	n.Attrs = graph.Attributes{graph.Int("outputs", a.outputs), graph.Text("form", form)}
}

// pointRows bounds the points that meet weights of one bit: the dense kernel for
// more has its weights packed already and takes less time.
const pointRows = 16

// sparsePoints lets convolutions of kernel 1 with channels last, which are
// products with a matrix, run on sparse forms. Larger kernels stay dense.
func (c *compiler) sparsePoints() {
	for _, n := range c.g.Nodes {
		if n.Kind() != lastKind(convLast) || !isStatic(n) || !isPoint(n) {
			continue
		}
		t, ok := c.facts.Data(n.In[1])
		if !ok || c.mutable[n.In[1]] {
			continue
		}
		out, w := staticSizes(n.Out[0]), t.Shape()
		a := affine{outputs: 0, m: elements(out) / w[0], n: w[0], k: w[1]}
		form := chooseForm(t, a)
		if form == "" || form == oneBit && a.m > pointRows {
			continue
		}
		attrs := graph.Attributes{graph.Int("outputs", 0), graph.Text("form", form)}
		for _, name := range []string{"low", "high"} {
			if a, ok := n.Attrs.Get(name); ok {
				attrs = append(attrs, a)
			}
		}
		n.Op, n.Attrs = formProduct, attrs
	}
}

// isPoint reports whether a convolution with channels last reads each point by
// itself, all channels of it.
func isPoint(n *graph.Node) bool {
	w := staticSizes(n.In[1])
	return elements(w[2:]) == 1 && n.Attrs.Int("group", 1) == 1 && n.Attrs.Text("auto_pad", "NOTSET") == "NOTSET" &&
		!slices.ContainsFunc(n.Attrs.Ints("strides"), func(s int) bool { return s != 1 }) &&
		!slices.ContainsFunc(n.Attrs.Ints("pads"), func(p int) bool { return p != 0 })
}
