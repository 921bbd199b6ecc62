package engine

import (
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Operators of this package on tensors whose channels lie last, [N, spatial...,
// C]; their attributes are those of the operator they stand for.
const (
	// convLast reads x, the weights [M, C/group, kernel...] as they were, and if
	// there are any a bias and a residual, which is added to the result. It is
	// bounded to [low, high].
	convLast = "ConvLast"

	maxPoolLast     = "MaxPoolLast"
	averagePoolLast = "AveragePoolLast"
)

// lastKind is the full name of an operator of this package.
func lastKind(op string) string { return graph.DomainInternal + "." + op }

// channelsLast lets convolutions with constant weights, and what follows them,
// compute on tensors whose channels lie last, where a kernel reads and writes
// whole vectors of them:
//
//	Conv(x, w) = Transpose(ConvLast(Transpose(x), w))
//
// Transposes are not made before something needs them, so that those of a chain
// of operators that know the layout never come to be. Graphs that hold gradients
// of convolutions keep their layout: those read the same values.
func (c *compiler) channelsLast() {
	for _, n := range c.g.Nodes {
		if k := n.Kind(); k == "compactify.ConvGradX" || k == "compactify.ConvGradW" {
			return
		}
	}
	l := &layout{c: c, read: c.readers(), last: make(map[*graph.Value]*graph.Value),
		first: make(map[*graph.Value]bool), flat: make(map[*graph.Value]*flattened)}
	for _, v := range c.g.Inputs {
		l.first[v] = true
	}
	nodes := c.g.Nodes
	for _, n := range nodes {
		if isStatic(n) && l.rewrite(n) {
			continue
		}
		for _, v := range n.Reads() {
			l.needFirst(v)
		}
		l.keep(n)
	}
	for _, v := range c.g.Outputs {
		l.needFirst(v)
	}
	c.g.Nodes = l.nodes
	c.absorbIntoLast()
}

// layout is the rewriting in progress. Values are those of the graph as it was;
// last leads to what holds the same elements with channels last.
type layout struct {
	c     *compiler
	read  readers
	nodes []*graph.Node
	last  map[*graph.Value]*graph.Value
	first map[*graph.Value]bool // made as they were
	flat  map[*graph.Value]*flattened
}

// layoutRule rewrites a node to read and write channels last; it reports false,
// having done nothing, if it cannot.
type layoutRule func(l *layout, n *graph.Node) bool

// layoutRules are the operators that know the layout.
var layoutRules map[string]layoutRule

func init() {
	layoutRules = map[string]layoutRule{
		"Conv": (*layout).conv, "MaxPool": (*layout).maxPool, "AveragePool": (*layout).averagePool,
		"BatchNormalization": (*layout).normalize,
		"Pad":                (*layout).pad, "Slice": (*layout).slice, "Concat": (*layout).concat, "Transpose": (*layout).transpose,
		"Reshape": (*layout).reshape, "Flatten": (*layout).reshape, "Squeeze": (*layout).reshape, "Unsqueeze": (*layout).reshape,
		"Gemm": (*layout).product, "MatMul": (*layout).product,
		"ReduceMean": (*layout).reduce, "ReduceMax": (*layout).reduce,
	}
	for _, op := range []string{
		"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "PRelu",
		"Relu", "LeakyRelu", "Elu", "Selu", "Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Softsign", "Clip",
		"Abs", "Neg", "Sign", "Floor", "Ceil", "Round", "Sqrt", "Reciprocal", "Exp", "Log", "Erf", "Gelu", "Identity",
	} {
		layoutRules[op] = (*layout).elementwise
	}
	for op, rule := range integerLayoutRules() {
		layoutRules[op] = rule
	}
}

func (l *layout) rewrite(n *graph.Node) bool {
	rule := layoutRules[n.Kind()]
	return rule != nil && n.Input(0) != nil && n.Output(0) != nil && rule(l, n)
}

// keep leaves a node as it is.
func (l *layout) keep(n *graph.Node) {
	l.nodes = append(l.nodes, n)
	for _, v := range n.Out {
		if v != nil {
			l.first[v] = true
		}
	}
}

// hasLast reports whether v is there with channels last.
func (l *layout) hasLast(v *graph.Value) bool { return v != nil && l.last[v] != nil }

// needFirst makes v as the graph had it, if it is not there yet.
func (l *layout) needFirst(v *graph.Value) {
	if f := l.flat[v]; f != nil && !l.first[v] {
		l.needFirst(f.node.In[0])
		l.keep(f.node)
		return
	}
	if l.last[v] == nil || l.first[v] {
		return
	}
	l.first[v] = true
	l.nodes = append(l.nodes, l.move(l.last[v], v, firstOrder(v.Type.Rank())))
}

// needLast is v with channels last.
func (l *layout) needLast(v *graph.Value) *graph.Value {
	if l.last[v] != nil {
		return l.last[v]
	}
	l.needFirst(v)
	order := lastOrder(v.Type.Rank())
	if t, ok := l.c.facts.Data(v); ok && !l.c.mutable[v] {
		l.last[v] = l.constant(v.Name, reorderedData(t, order))
		return l.last[v]
	}
	l.last[v] = l.valueLast(v)
	l.nodes = append(l.nodes, l.move(v, l.last[v], order))
	return l.last[v]
}

// valueLast is a new value of v's type with channels last.
func (l *layout) valueLast(v *graph.Value) *graph.Value {
	return &graph.Value{Name: v.Name + ".last", Type: reordered(v.Type, lastOrder(v.Type.Rank()))}
}

// constant is a new value whose data is known.
func (l *layout) constant(name string, t tensor.Tensor) *graph.Value {
	v := &graph.Value{Name: name + ".last", Type: t.Type()}
	l.c.facts.SetData(v, t)
	return v
}

// move is a Transpose, or a Reshape where no element changes its place.
func (l *layout) move(from, to *graph.Value, order []int) *graph.Node {
	n := &graph.Node{Name: to.Name, Op: "Transpose", In: []*graph.Value{from}, Out: []*graph.Value{to},
		Attrs: graph.Attributes{graph.Ints("perm", order...)}}
	if sizes, _ := from.Type.Static(); keepsOrder(sizes, order) {
		shape, _ := to.Type.Static()
		n.Op, n.Attrs = "Reshape", graph.Attributes{graph.Int("allowzero", 1)}
		n.In = append(n.In, l.constant(to.Name+".shape", tensor.Ints(shape...)))
	}
	return n
}

// makes adds a node whose only output is v with channels last.
func (l *layout) makes(v *graph.Value, n *graph.Node) {
	l.last[v] = l.valueLast(v)
	n.Out = []*graph.Value{l.last[v]}
	l.nodes = append(l.nodes, n)
}

// lastOrder and firstOrder are the permutations of axes that move the channels
// last, and back.
func lastOrder(rank int) []int {
	order := []int{0}
	for a := 2; a < rank; a++ {
		order = append(order, a)
	}
	return append(order, 1)
}

func firstOrder(rank int) []int {
	order := []int{0, rank - 1}
	for a := 1; a < rank-1; a++ {
		order = append(order, a)
	}
	return order
}

// lastAxis is where an axis goes.
func lastAxis(axis, rank int) int {
	return slices.Index(lastOrder(rank), axisOf(axis, rank))
}

// keepsOrder reports whether a permutation of axes leaves all elements where
// they are in memory: the axes longer than 1 stay in order.
func keepsOrder(sizes, order []int) bool {
	before := -1
	for _, a := range order {
		if sizes[a] == 1 {
			continue
		}
		if a < before {
			return false
		}
		before = a
	}
	return true
}

func reordered(t tensor.Type, order []int) tensor.Type {
	shape := make([]tensor.Dim, len(order))
	for i, a := range order {
		shape[i] = t.Shape[a]
	}
	return tensor.Type{DType: t.DType, Shape: shape}
}

// reorderedData is a copy of t with its axes in another order.
func reorderedData(t tensor.Tensor, order []int) tensor.Tensor {
	shape, from := make([]int, len(order)), make([]int, len(order))
	own := strides(t.Shape())
	for i, a := range order {
		shape[i], from[i] = t.Shape()[a], own[a]
	}
	y := tensor.New(t.DType(), shape...)
	n, err := newNest(shape, strides(shape), from)
	if err != nil { // no tensor has so many axes
		panic(err)
	}
	g := gather{n: n}
	g.copy(0, n.size, y, t)
	return y
}

// spatial reports whether v may be seen as channels over one or two axes.
func spatial(v *graph.Value) bool {
	return v != nil && (v.Type.Rank() == 3 || v.Type.Rank() == 4)
}

// worthMoving is how many multiplications per element that has to be moved make a
// convolution worth moving its input and output for: moving one costs about as
// much as 16 multiplications with vectors. Version 1.
const worthMoving = 16

// moving is the elements of x and y to move for a node between them.
func (l *layout) moving(x, y *graph.Value) int {
	in, _ := x.Type.Static()
	out, _ := y.Type.Static()
	n := 0
	if !l.hasLast(x) && !keepsOrder(in, lastOrder(len(in))) {
		n += elements(in)
	}
	follows := func(r *graph.Node) bool { return layoutRules[r.Kind()] != nil }
	if l.read.isOutput(y) || len(l.read.of[y]) == 0 || !follows(l.read.of[y][0]) {
		n += elements(out)
	}
	return n
}

func (l *layout) conv(n *graph.Node) bool {
	x, y := n.In[0], n.Out[0]
	if !spatial(x) || x.Type.DType != tensor.Float32 {
		return false
	}
	for i := 1; i < len(n.In); i++ {
		if v := n.In[i]; v != nil {
			if _, ok := l.c.facts.Data(v); !ok || l.c.mutable[v] {
				return false
			}
		}
	}
	in, _ := x.Type.Static()
	w, _ := n.In[1].Type.Static()
	out, _ := y.Type.Static()
	win, err := graph.ConvGeometry(n, in, w)
	if err != nil {
		return false
	}
	if _, ok := flat(&win, in, out); !ok || elements(in) == 0 || elements(out) == 0 {
		return false
	}
	if work := elements(out) * elements(w[1:]); !l.hasLast(x) && work < worthMoving*l.moving(x, y) {
		return false
	}
	l.makes(y, &graph.Node{Name: n.Name, Domain: graph.DomainInternal, Op: convLast, Attrs: n.Attrs,
		In: append([]*graph.Value{l.needLast(x)}, n.In[1:]...)})
	return true
}

// constantInput returns the data of an input that no run changes.
func (l *layout) constantInput(n *graph.Node, i int) (tensor.Tensor, bool) {
	v := n.Input(i)
	if v == nil || l.c.mutable[v] {
		return tensor.Tensor{}, false
	}
	return l.c.facts.Data(v)
}

// normalize folds a batch normalisation into the convolution before it.
func (l *layout) normalize(n *graph.Node) bool {
	x := n.In[0]
	if !l.hasLast(x) || !l.read.only(x, n) || n.Attrs.Int("training_mode", 0) != 0 {
		return false
	}
	i := slices.IndexFunc(l.nodes, func(m *graph.Node) bool { return m.Output(0) == l.last[x] })
	if i < 0 { // moved as it came
		return false
	}
	conv := l.nodes[i]
	if conv.Kind() != lastKind(convLast) {
		return false
	}
	var stats [5]tensor.Tensor
	for i := 1; i < len(stats); i++ {
		t, known := l.constantInput(n, i)
		if !known || t.DType() != tensor.Float32 {
			return false
		}
		stats[i] = t
	}
	t, _ := l.c.facts.Data(conv.In[1])
	w := t.Clone()
	data, bias := tensor.Data[float32](w), make([]float32, w.Shape()[0])
	for c := range bias {
		factor := stats[1].At(c) / math.Sqrt(stats[4].At(c)+n.Attrs.Float("epsilon", 1e-5))
		sum := stats[2].At(c) - factor*stats[3].At(c)
		if b, ok := l.constantInput(conv, 2); ok {
			sum += factor * b.At(c)
		}
		bias[c] = float32(sum)
		for j := range data[c*len(data)/len(bias) : (c+1)*len(data)/len(bias)] {
			at := c*len(data)/len(bias) + j
			data[at] = float32(float64(data[at]) * factor)
		}
	}
	conv.In = []*graph.Value{conv.In[0], l.constant(conv.In[1].Name, w), l.constant(n.In[2].Name, tensor.Of(bias, len(bias)))}
	l.last[n.Out[0]] = conv.Out[0]
	return true
}

// pool moves a pooling of a value that has channels last.
func (l *layout) pool(n *graph.Node, op string) bool {
	x := n.In[0]
	if !spatial(x) || !l.hasLast(x) || x.Type.DType != tensor.Float32 {
		return false
	}
	in, _ := x.Type.Static()
	shape, ok := flatPoolOf(n, in)
	if !ok || !kernel.FitsLastWindow(shape) || elements(in) == 0 {
		return false
	}
	l.makes(n.Out[0], &graph.Node{Name: n.Name, Domain: graph.DomainInternal, Op: op, Attrs: n.Attrs, In: []*graph.Value{l.last[x]}})
	return true
}

func (l *layout) maxPool(n *graph.Node) bool {
	return n.Output(1) == nil && l.pool(n, maxPoolLast)
}

func (l *layout) averagePool(n *graph.Node) bool { return l.pool(n, averagePoolLast) }

// reduce turns the mean or maximum over all spatial axes into a pooling.
func (l *layout) reduce(n *graph.Node) bool {
	x, y := n.In[0], n.Out[0]
	if !spatial(x) || !l.hasLast(x) || x.Type.DType != tensor.Float32 {
		return false
	}
	in, _ := x.Type.Static()
	axes, ok := (&graph.Inference{Node: n, Facts: l.c.facts}).ConstInts(1)
	if !ok || len(axes) != len(in)-2 {
		return false
	}
	for a := 2; a < len(in); a++ {
		if !slices.ContainsFunc(axes, func(b int) bool { return axisOf(b, len(in)) == a }) {
			return false
		}
	}
	op := averagePoolLast
	if n.Op == "ReduceMax" {
		op = maxPoolLast
	}
	pool := &graph.Node{Name: n.Name, Domain: graph.DomainInternal, Op: op, In: []*graph.Value{l.last[x]},
		Attrs: graph.Attributes{graph.Ints("kernel_shape", in[2:]...)}}
	if shape, ok := flatPoolOf(pool, in); !ok || !kernel.FitsLastWindow(shape) {
		return false
	}
	if n.Attrs.Int("keepdims", 1) != 0 {
		l.makes(y, pool)
		return true
	}
	mean := &graph.Value{Name: y.Name + ".pooled", Type: tensor.TypeOf(x.Type.DType, in[0], 1, 1, in[1])}
	if len(in) == 3 {
		mean.Type = tensor.TypeOf(x.Type.DType, in[0], 1, in[1])
	}
	pool.Out = []*graph.Value{mean}
	l.nodes = append(l.nodes, pool)
	l.keep(l.view(mean, y))
	return true
}

// view gives the elements of a value another shape.
func (l *layout) view(from, to *graph.Value) *graph.Node {
	shape, _ := to.Type.Static()
	return &graph.Node{Name: to.Name, Op: "Reshape", Attrs: graph.Attributes{graph.Int("allowzero", 1)},
		In: []*graph.Value{from, l.constant(to.Name+".shape", tensor.Ints(shape...))}, Out: []*graph.Value{to}}
}

// elementwise moves an operator that treats all elements alike, if one of its
// operands has channels last already. Operands that broadcast are moved with it.
func (l *layout) elementwise(n *graph.Node) bool {
	y := n.Out[0]
	rank := y.Type.Rank()
	if !spatial(y) || !slices.ContainsFunc(n.In, l.hasLast) {
		return false
	}
	for _, v := range n.In {
		if v == nil {
			continue
		}
		_, known := l.c.facts.Data(v)
		if v.Type.Rank() != rank && !single(v) && (!known || l.c.mutable[v]) {
			return false
		}
	}
	moved := &graph.Node{Name: n.Name, Domain: n.Domain, Op: n.Op, Attrs: n.Attrs}
	for _, v := range n.In {
		switch {
		case v == nil:
			moved.In = append(moved.In, v)
		case v.Type.Rank() == rank:
			moved.In = append(moved.In, l.needLast(v))
		case single(v):
			l.needFirst(v)
			moved.In = append(moved.In, v)
		default: // a constant with fewer axes
			t, _ := l.c.facts.Data(v)
			shape := append(slices.Repeat([]int{1}, rank-t.Rank()), t.Shape()...)
			moved.In = append(moved.In, l.constant(v.Name, reorderedData(t.As(shape), lastOrder(rank))))
		}
	}
	l.makes(y, moved)
	return true
}

// single reports whether v has one element, which needs no axes of its own.
func single(v *graph.Value) bool {
	sizes, ok := v.Type.Static()
	return ok && len(sizes) <= 1 && elements(sizes) == 1
}
