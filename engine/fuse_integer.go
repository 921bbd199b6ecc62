package engine

import (
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Operators of this package that compute with unsigned bytes. Those over images
// are written as if channels came second; channelsLast gives them the layout that
// their kernels read.
//
//	Int8Conv(x, other?)     a convolution with constant weights, see kernel.Int8Conv
//	Int8MatMul(x, other?)   x [..., K] with constant weights [N, K]
//	Int8Add(a, b)           the sum of two quantised tensors, see kernel.Int8Sum
//	Int8MaxPool(x)          MaxPool's attributes
//	Int8Mean(x)             the mean over all spatial axes, in float32
//	Int8Flag(x)             bytes for the truth values x: "yes" or "no"
//	Int8Flip(x)             between int8 and the uint8 that is 128 more
const (
	int8Conv    = "Int8Conv"
	int8MatMul  = "Int8MatMul"
	int8Add     = "Int8Add"
	int8MaxPool = "Int8MaxPool"
	int8Mean    = "Int8Mean"
	int8Flag    = "Int8Flag"
	int8Flip    = "Int8Flip"
)

// integers lets a quantised graph compute with its integers: convolutions and
// products of dequantised data with dequantised constant weights, sums of
// dequantised data, and what passes data on, together with the activation and the
// QuantizeLinear behind them.
//
// A product of integers is exact, and rounded once to float32; the graph as
// written rounds each product and each sum. So a real result differs by rounding
// errors of float32 alone, and one that is quantised again by at most one step,
// where the real result lies that close to the middle between two steps.
func (c *compiler) integers() {
	if !slices.ContainsFunc(c.g.Nodes, func(n *graph.Node) bool { return n.Kind() == "QuantizeLinear" || n.Kind() == "DequantizeLinear" }) {
		return
	}
	c.quantizeEarly()
	p := &integerPass{c: c, read: c.readers(), producer: c.g.Producers(), unsigned: make(map[*graph.Value]*graph.Value), done: make(map[*graph.Node]bool)}
	for _, n := range c.g.Nodes {
		if !p.done[n] && !(isStatic(n) && p.rewrite(n)) {
			p.nodes = append(p.nodes, n)
		}
	}
	c.g.Nodes = p.nodes
	c.dropDead()
	c.addResiduals()
}

// dropDead removes nodes whose outputs nothing reads.
func (c *compiler) dropDead() {
	used := make(map[*graph.Value]bool)
	for _, v := range c.g.Outputs {
		used[v] = true
	}
	for i := len(c.g.Nodes) - 1; i >= 0; i-- {
		n := c.g.Nodes[i]
		if len(n.Out) > 0 && !slices.ContainsFunc(n.Out, func(v *graph.Value) bool { return v != nil && used[v] }) {
			c.g.Nodes[i] = nil
			continue
		}
		for _, v := range n.Reads() {
			used[v] = true
		}
	}
	c.g.Nodes = slices.DeleteFunc(c.g.Nodes, func(n *graph.Node) bool { return n == nil })
}

// integerPass is the rewriting in progress. Values are those of the graph as it
// was; nodes is the graph as it becomes.
type integerPass struct {
	c        *compiler
	read     readers
	producer map[*graph.Value]*graph.Node
	nodes    []*graph.Node
	done     map[*graph.Node]bool          // part of an earlier node now
	unsigned map[*graph.Value]*graph.Value // by int8 value, the uint8 that is 128 more
}

// rewrite replaces a node, and those behind it that it takes in. It reports false,
// having done nothing, if it cannot.
func (p *integerPass) rewrite(n *graph.Node) bool {
	switch n.Kind() {
	case "Conv":
		return p.conv(n)
	case "MatMul", "Gemm":
		return p.product(n)
	case "Add":
		return p.add(n)
	case "MaxPool":
		return p.maxPool(n)
	case "AveragePool", "ReduceMean", "GlobalAveragePool":
		return p.mean(n)
	case "QuantizeLinear":
		return p.flag(n)
	}
	return false
}

// integer is what a DequantizeLinear makes v of: bytes q on a grid.
func (p *integerPass) integer(v *graph.Value) (q *graph.Value, g grid, ok bool) {
	n := p.producer[v]
	if n == nil || n.Kind() != "DequantizeLinear" || v.Type.DType != tensor.Float32 || !isStatic(n) {
		return nil, grid{}, false
	}
	g, ok = p.c.gridOf(n, n.In[0].Type.DType)
	sizes, _ := v.Type.Static()
	return n.In[0], g, ok && elements(sizes) > 0
}

// bytes is q as unsigned bytes.
func (p *integerPass) bytes(q *graph.Value) *graph.Value {
	if q.Type.DType == tensor.Uint8 {
		return q
	}
	if p.unsigned[q] == nil {
		p.unsigned[q] = &graph.Value{Name: q.Name + ".unsigned", Type: q.Type.With(tensor.Uint8)}
		p.emit(int8Flip, nil, p.unsigned[q], q)
	}
	return p.unsigned[q]
}

func (p *integerPass) emit(op string, attrs graph.Attributes, out *graph.Value, in ...*graph.Value) {
	p.nodes = append(p.nodes, &graph.Node{Name: out.Name, Domain: graph.DomainInternal, Op: op, Attrs: attrs, In: in, Out: []*graph.Value{out}})
}

// emitBytes adds a node that makes the quantised value q.
func (p *integerPass) emitBytes(op string, attrs graph.Attributes, q *graph.Value, in ...*graph.Value) {
	if q.Type.DType == tensor.Uint8 {
		p.emit(op, attrs, q, in...)
		return
	}
	u := &graph.Value{Name: q.Name + ".unsigned", Type: q.Type.With(tensor.Uint8)}
	p.unsigned[q] = u
	p.emit(op, attrs, u, in...)
	p.emit(int8Flip, nil, q, u)
}

// tail is what follows a value that nothing else reads: functions that clamp, then
// perhaps a rounding.
type tail struct {
	nodes  []*graph.Node
	out    *graph.Value
	lo, hi float32 // real bounds
	grid   *grid   // nil: the result is real
}

// follow finds the tail of v.
func (p *integerPass) follow(v *graph.Value) tail {
	inf := float32(math.Inf(1))
	t := tail{out: v, lo: -inf, hi: inf}
	for {
		if len(p.read.of[t.out]) != 1 || !p.read.only(t.out, p.read.of[t.out][0]) {
			return t
		}
		n := p.read.of[t.out][0]
		if !isStatic(n) || n.In[0] != t.out {
			return t
		}
		if g, ok := p.c.rounding(n); ok {
			t.grid = &g
		} else if lo, hi, ok := p.c.clamps(n); ok {
			t.lo, t.hi = min(max(t.lo, lo), hi), min(max(t.hi, lo), hi)
		} else {
			return t
		}
		t.nodes, t.out = append(t.nodes, n), n.Out[0]
		if t.grid != nil {
			return t
		}
	}
}

// take marks the tail's nodes as part of the node before them.
func (p *integerPass) take(t *tail) {
	for _, n := range t.nodes {
		p.done[n] = true
	}
}

// bounds are the tail's bounds as its grid counts, without the zero point.
func (t *tail) bounds() (lo, hi float32) {
	zero := float32(t.grid.zero)
	at := func(v float32) float32 {
		return float32(math.RoundToEven(float64(min(max(v/t.grid.scale, -zero), 255-zero))))
	}
	return at(t.lo), at(t.hi)
}

// output describes what becomes of sums of products of x on a grid with weights.
func (t *tail) output(x grid, w *integerWeights, bias []float32) kernel.Int8Output {
	o := kernel.Int8Output{Mul: make([]float32, len(bias)), Add: make([]float32, len(bias))}
	unit := 1.0
	if t.grid == nil {
		o.Real, o.Lo, o.Hi = true, t.lo, t.hi
	} else {
		unit, o.Zero = float64(t.grid.scale), t.grid.zero
		o.Lo, o.Hi = t.bounds()
	}
	for i, b := range bias {
		o.Mul[i] = float32(float64(x.scale) * float64(w.scales[i]) / unit)
		o.Add[i] = float32(float64(b) / unit)
	}
	return o
}

// emitProduct adds a convolution or a product with everything its tail says.
func (p *integerPass) emitProduct(op string, attrs graph.Attributes, x *graph.Value, g grid, w *integerWeights, o kernel.Int8Output, t *tail) {
	attrs = append(slices.Clone(attrs), graph.TensorOf("weights", tensor.Of(w.ints, w.shape...)), graph.Int("zero", int(g.zero)),
		graph.Floats("mul", o.Mul...), graph.Floats("add", o.Add...), graph.Floats("bounds", o.Lo, o.Hi))
	in := p.bytes(x)
	p.take(t)
	if o.Real {
		p.emit(op, attrs, t.out, in)
		return
	}
	p.emitBytes(op, append(attrs, graph.Int("result", int(o.Zero))), t.out, in)
}

func (p *integerPass) conv(n *graph.Node) bool {
	q, g, ok := p.integer(n.In[0])
	if !ok || !spatialRank(n.In[0]) {
		return false
	}
	w, ok := p.storedWeights(n.In[1], 0)
	if !ok {
		return false
	}
	bias, ok := p.bias(n.Input(2), len(w.scales))
	x, _ := n.In[0].Type.Static()
	y, _ := n.Out[0].Type.Static()
	win, err := graph.ConvGeometry(n, x, w.shape)
	if !ok || err != nil {
		return false
	}
	f, ok := flat(&win, x, y)
	if !ok || kernel.Int8Reach(f.shape, w.ints, nil) > math.MaxInt32 {
		return false
	}
	t := p.follow(n.Out[0])
	p.emitProduct(int8Conv, n.Attrs, q, g, w, t.output(g, w, bias), &t)
	return true
}

func spatialRank(v *graph.Value) bool { return v.Type.Rank() == 3 || v.Type.Rank() == 4 }

// product rewrites a matrix product, with the bias that an Add behind a MatMul is.
func (p *integerPass) product(n *graph.Node) bool {
	at := n.Attrs
	if at.Int("transA", 0) != 0 || at.Float("alpha", 1) != 1 || n.Input(2) != nil && at.Float("beta", 1) != 1 || n.In[0].Type.Rank() < 2 {
		return false
	}
	q, g, ok := p.integer(n.In[0])
	if !ok {
		return false
	}
	axis := 1
	if at.Int("transB", 0) != 0 {
		axis = 0
	}
	w, ok := p.storedWeights(n.In[1], axis)
	if !ok || len(w.shape) != 2 {
		return false
	}
	bias, ok := p.bias(n.Input(2), len(w.scales))
	if !ok || kernel.Int8Reach(matMulShape(1, w.shape), w.ints, nil) > math.MaxInt32 {
		return false
	}
	out, read := n.Out[0], p.read.of[n.Out[0]]
	if n.Kind() == "MatMul" && len(read) == 1 && read[0].Kind() == "Add" && p.read.only(out, read[0]) && isStatic(read[0]) && read[0].Out[0].Type.Equal(out.Type) {
		other := read[0].In[0]
		if other == out {
			other = read[0].In[1]
		}
		if b, ok := p.bias(other, len(w.scales)); ok && other != out {
			bias, out = b, read[0].Out[0]
			p.done[read[0]] = true
		}
	}
	t := p.follow(out)
	p.emitProduct(int8MatMul, nil, q, g, w, t.output(g, w, bias), &t)
	return true
}

// matMulShape is a matrix product of so many rows as a convolution that looks at
// one pixel at a time; w is [filters, channels].
func matMulShape(rows int, w []int) kernel.ConvShape {
	return kernel.ConvShape{N: 1, C: w[1], H: rows, W: 1, M: w[0], KH: 1, KW: 1, SH: 1, SW: 1, DH: 1, DW: 1, Groups: 1, OH: rows, OW: 1}
}

// add rewrites a sum of two dequantised tensors of one shape that is quantised
// again.
func (p *integerPass) add(n *graph.Node) bool {
	a, ga, ok := p.integer(n.In[0])
	b, gb, also := p.integer(n.In[1])
	t := p.follow(n.Out[0])
	if !ok || !also || t.grid == nil || !a.Type.With(tensor.Uint8).Equal(b.Type.With(tensor.Uint8)) {
		return false
	}
	lo, hi := t.bounds()
	in := []*graph.Value{p.bytes(a), p.bytes(b)}
	p.take(&t)
	p.emitBytes(int8Add, graph.Attributes{graph.Int("zero", int(ga.zero)),
		sumAttribute(&kernel.Int8Sum{ScaleA: ga.scale, ScaleB: gb.scale, ScaleY: t.grid.scale, ZeroB: gb.zero, ZeroY: t.grid.zero, Lo: lo, Hi: hi})}, t.out, in...)
	return true
}

// maxPool rewrites a pooling of bytes. QuantizeLinear behind a pooling of reals has
// been moved before it.
func (p *integerPass) maxPool(n *graph.Node) bool {
	x := n.In[0]
	if n.Output(1) != nil || x.Type.DType != tensor.Uint8 && x.Type.DType != tensor.Int8 || !spatialRank(x) {
		return false
	}
	sizes, _ := x.Type.Static()
	if s, ok := flatPoolOf(n, sizes); !ok || elements(sizes) == 0 || !coversImage(s) {
		return false
	}
	p.emitBytes(int8MaxPool, n.Attrs, n.Out[0], p.bytes(x))
	return true
}

// coversImage reports whether every window holds a pixel of the image.
func coversImage(s kernel.PoolShape) bool {
	axis := func(in, k, stride, dilation, before, out int) bool {
		return before < (k-1)*dilation+1 && (out-1)*stride-before < in && dilation <= max(1, in-before)
	}
	return axis(s.H, s.KH, s.SH, s.DH, s.PT, s.OH) && axis(s.W, s.KW, s.SW, s.DW, s.PL, s.OW)
}

// mean rewrites an average over all spatial axes of a dequantised tensor.
func (p *integerPass) mean(n *graph.Node) bool {
	q, g, ok := p.integer(n.In[0])
	if !ok || !spatialRank(n.In[0]) {
		return false
	}
	x, _ := n.In[0].Type.Static()
	y, _ := n.Out[0].Type.Static()
	if elements(y) != x[0]*x[1] {
		return false
	}
	switch n.Kind() {
	case "AveragePool":
		win, err := graph.PoolGeometry(n, x)
		if err != nil || !slices.Equal(win.Kernel, x[2:]) || elements(win.Dilations) != 1 || slices.Max(win.Pads) > 0 {
			return false
		}
	case "ReduceMean":
		axes, ok := (&graph.Inference{Node: n, Facts: p.c.facts}).ConstInts(1)
		if !ok || len(axes) != len(x)-2 || slices.ContainsFunc(axes, func(a int) bool { return axisOf(a, len(x)) < 2 }) {
			return false
		}
	}
	p.emit(int8Mean, graph.Attributes{graph.Float("scale", g.scale), graph.Int("zero", int(g.zero))}, n.Out[0], p.bytes(q))
	return true
}

// flag rewrites the rounding of truth values that were cast to reals, as of one-hot
// vectors: there are two results.
func (p *integerPass) flag(n *graph.Node) bool {
	g, ok := p.c.rounding(n)
	cast := p.producer[n.In[0]]
	if !ok || cast == nil || cast.Kind() != "Cast" || cast.In[0].Type.DType != tensor.Bool || !isStatic(cast) {
		return false
	}
	t := tail{lo: 0, hi: 1, grid: &g}
	no, yes := t.bounds()
	p.emitBytes(int8Flag, graph.Attributes{graph.Int("no", int(no)+int(g.zero)), graph.Int("yes", int(yes)+int(g.zero))}, n.Out[0], cast.In[0])
	return true
}
