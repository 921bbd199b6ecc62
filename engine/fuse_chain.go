package engine

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// chainable are the operators that a chain may hold; PRelu and other operators
// without a vector kernel stay steps of their own.
var chainable = setOf("Add", "Sub", "Mul", "Div", "Max", "Min", "Relu", "compactify.ReluGrad", "LeakyRelu", "Clip",
	"Abs", "Neg", "Exp", "Log", "Sqrt", "Reciprocal", "Sigmoid", "Tanh", "Erf", "Gelu")

// Bounds of one chain: its registers should stay in the cache.
const (
	maxChainInputs = 12
	maxChainNodes  = 24

	// More streams to memory at a time take longer than one after the other, unless
	// they stay in the second-level cache.
	maxChainOutputs = 2
	smallTensor     = 64 << 10
)

// group is a set of nodes that become one step: elementwise ones of one shape,
// or a single node of any kind.
type group struct {
	nodes   []*graph.Node
	shape   tensor.Type // of a chain; unranked for others
	kept    [2]int      // of a chain with sums: see chainCode
	reads   map[*group]bool
	visited int // the last search that came by
}

// chains groups elementwise nodes.
type chains struct {
	c        *compiler
	read     readers
	of       map[*graph.Node]*group
	producer map[*graph.Value]*graph.Node
	groups   []*group
	searches int
}

// fuseChains makes one step of elementwise nodes that feed each other: the chain
// runs over memory once, in blocks that stay in the cache, where each node alone
// would have gone through main memory. What others read becomes an output of the
// chain.
func (c *compiler) fuseChains() error {
	k := &chains{c: c, read: c.readers(), of: make(map[*graph.Node]*group), producer: c.g.Producers()}
	for _, n := range c.g.Nodes {
		k.add(n)
	}
	place := make(map[*graph.Node]int, len(c.g.Nodes))
	for i, n := range c.g.Nodes {
		place[n] = i
	}
	for _, g := range k.groups {
		if len(g.nodes) < 2 {
			continue
		}
		if k.trim(g, place); len(g.nodes) > 1 {
			k.replace(g)
		}
	}
	return c.g.Sort()
}

// add puts a node into the group of a producer, or into one of its own.
func (k *chains) add(n *graph.Node) {
	own := &group{nodes: []*graph.Node{n}, reads: make(map[*group]bool)}
	for _, v := range n.Reads() {
		if p := k.producer[v]; p != nil {
			own.reads[k.of[p]] = true
		}
	}
	k.of[n] = own
	k.groups = append(k.groups, own)
	switch kept, ok := summed(n, k.c.facts); {
	case joinsChains(n):
		own.shape = n.Out[0].Type
	case ok:
		own.shape, own.kept = n.In[0].Type, kept
	default:
		return
	}
	for _, v := range n.In {
		if p := k.producer[v]; p != nil && k.of[p] != own {
			own = k.merge(k.of[p], own)
		}
	}
}

// joinsChains reports whether a node may be part of a chain.
func joinsChains(n *graph.Node) bool {
	if !chainable[n.Kind()] || !isStatic(n) || n.Kind() == "Clip" && n.Input(1) == nil && n.Input(2) == nil {
		return false
	}
	d := n.Out[0].Type.DType
	other := func(v *graph.Value) bool { return v != nil && v.Type.DType != d }
	return (d == tensor.Float32 || d == tensor.Float64) && !slices.ContainsFunc(n.In, other)
}

// summed reports whether a node is a sum or mean that a chain can take along, and
// then B and C of its input as [A, B, C] when it sums over A and C. Rows of less
// than 16 do not pay.
func summed(n *graph.Node, facts *graph.Facts) (kept [2]int, ok bool) {
	if n.Kind() != "ReduceSum" && n.Kind() != "ReduceMean" || !isStatic(n) {
		return kept, false
	}
	if d := n.In[0].Type.DType; d != tensor.Float32 && d != tensor.Float64 {
		return kept, false
	}
	s := newSite(n, nil, facts, make(map[*graph.Value]*tensor.Tensor))
	axes, err := s.reducedAxes()
	if err != nil || len(axes) == 0 {
		return kept, false
	}
	kept = [2]int{1, 1}
	shape := s.inShape(0)
	i := len(shape) - 1
	for ; i >= 0 && (shape[i] == 1 || slices.Contains(axes, i)); i-- {
		kept[1] *= shape[i]
	}
	for ; i >= 0 && (shape[i] == 1 || !slices.Contains(axes, i)); i-- {
		kept[0] *= shape[i]
	}
	for ; i >= 0; i-- {
		if shape[i] != 1 && !slices.Contains(axes, i) {
			return kept, false
		}
	}
	return kept, kept[1] >= 16 && kept[0] > 0
}

// isSum reports whether a member of a group is one of its sums.
func isSum(n *graph.Node) bool { return !chainable[n.Kind()] }

// merge joins two groups and returns the result; b, if they must stay apart.
func (k *chains) merge(a, b *group) *group {
	if !a.shape.Ranked() || !a.shape.Equal(b.shape) || !k.sumsAgree(a, b) || len(a.nodes)+len(b.nodes) > maxChainNodes ||
		k.inputs(a, b) > maxChainInputs || k.between(a, b) || k.between(b, a) {
		return b
	}
	a.nodes = append(a.nodes, b.nodes...)
	if a.kept[1] == 0 {
		a.kept = b.kept
	}
	for r := range b.reads {
		a.reads[r] = true
	}
	for _, g := range k.groups {
		if g.reads[b] {
			delete(g.reads, b)
			g.reads[a] = true
		}
	}
	delete(a.reads, a)
	for _, n := range b.nodes {
		k.of[n] = a
	}
	b.nodes, b.reads = nil, nil
	return a
}

// operands is a node's inputs but for the axes of a sum.
func operands(n *graph.Node) []*graph.Value {
	if isSum(n) {
		return n.In[:1]
	}
	return n.In
}

// sumsAgree reports whether the sums of two groups are alike, and none is read in
// either: it is there only at the end of a chain.
func (k *chains) sumsAgree(a, b *group) bool {
	if a.kept[1] != 0 && b.kept[1] != 0 && a.kept != b.kept {
		return false
	}
	for _, pair := range [][2]*group{{a, b}, {b, a}} {
		for _, n := range pair[0].nodes {
			for _, v := range n.In {
				if p := k.producer[v]; p != nil && k.of[p] == pair[1] && isSum(p) {
					return false
				}
			}
		}
	}
	return true
}

// inputs counts what two groups read from outside.
func (k *chains) inputs(a, b *group) int {
	seen := make(map[*graph.Value]bool)
	for _, g := range []*group{a, b} {
		for _, n := range g.nodes {
			for _, v := range operands(n) {
				if v == nil {
					continue
				}
				if p := k.producer[v]; p == nil || k.of[p] != a && k.of[p] != b {
					seen[v] = true
				}
			}
		}
	}
	return len(seen)
}

// trim drops the last nodes of a group, in the graph's order, until what is left
// has few enough outputs; sums and small tensors do not count.
func (k *chains) trim(g *group, place map[*graph.Node]int) {
	slices.SortFunc(g.nodes, func(a, b *graph.Node) int { return place[a] - place[b] })
	if typeBytes(g.shape) <= smallTensor {
		return
	}
	for ; len(g.nodes) > 0 && k.outputs(g.nodes) > maxChainOutputs; g.nodes = g.nodes[:len(g.nodes)-1] {
		delete(k.of, g.nodes[len(g.nodes)-1])
	}
}

// outputs counts the nodes that others read, sums excepted.
func (k *chains) outputs(nodes []*graph.Node) int {
	members, count := setOfNodes(nodes), 0
	for _, n := range nodes {
		if !isSum(n) && k.read.leaves(n.Out[0], members) {
			count++
		}
	}
	return count
}

// between reports whether to depends on from by way of a third group.
func (k *chains) between(from, to *group) bool {
	k.searches++
	for r := range to.reads {
		if r != from && k.reaches(from, r) {
			return true
		}
	}
	return false
}

// reaches reports whether g depends on from.
func (k *chains) reaches(from, g *group) bool {
	if g == from {
		return true
	}
	if g.visited == k.searches {
		return false
	}
	g.visited = k.searches
	for r := range g.reads {
		if k.reaches(from, r) {
			return true
		}
	}
	return false
}

// replace puts one node in the place of a group's.
func (k *chains) replace(g *group) {
	b := &chainBuilder{value: make(map[*graph.Value]int)}
	members, order := setOfNodes(g.nodes), g.nodes
	for _, n := range order {
		for _, v := range operands(n) {
			if p := k.producer[v]; v != nil && (p == nil || !members[p]) {
				b.input(v)
			}
		}
	}
	for _, n := range order {
		if !isSum(n) {
			b.emit(n)
		}
	}
	sizes, _ := g.shape.Static()
	b.code.shape, b.code.kept = sizes, g.kept[:]
	made := &graph.Node{Name: order[0].Name, Domain: graph.DomainInternal, Op: chain, In: b.inputs}
	var sums []*graph.Value
	for _, n := range order {
		v := n.Out[0]
		switch {
		case isSum(n):
			mean := 0
			if n.Op == "ReduceMean" {
				mean = 1
			}
			b.code.sums, b.code.means = append(b.code.sums, b.value[n.In[0]]), append(b.code.means, mean)
			sums = append(sums, v)
		case k.read.leaves(v, members):
			b.code.outputs = append(b.code.outputs, b.value[v])
			made.Out = append(made.Out, v)
		}
	}
	made.Out = append(made.Out, sums...)
	b.number(len(b.inputs))
	made.Attrs = b.code.attributes()
	k.c.g.InsertAfter(order[len(order)-1], made)
	k.c.g.Remove(order...)
}

func setOfNodes(nodes []*graph.Node) map[*graph.Node]bool {
	m := make(map[*graph.Node]bool, len(nodes))
	for _, n := range nodes {
		m[n] = true
	}
	return m
}

// chainBuilder writes a group's code. Results count from resultBase until the
// number of inputs is known.
type chainBuilder struct {
	code   chainCode
	inputs []*graph.Value
	value  map[*graph.Value]int
}

const resultBase = 1 << 20

func (b *chainBuilder) input(v *graph.Value) {
	if _, ok := b.value[v]; !ok {
		b.value[v] = len(b.inputs)
		b.inputs = append(b.inputs, v)
	}
}

// emit writes a node's operations. Clip is one or two.
func (b *chainBuilder) emit(n *graph.Node) {
	x := b.value[n.In[0]]
	switch n.Kind() {
	case "Clip":
		for i, op := range []string{"Max", "Min"} {
			if bound := n.Input(i + 1); bound != nil {
				x = b.op(op, x, b.value[bound], 0)
			}
		}
		b.value[n.Out[0]] = x
		return
	case "Gelu":
		op := "Gelu"
		if n.Attrs.Text("approximate", "none") == "tanh" {
			op = "GeluTanh"
		}
		b.value[n.Out[0]] = b.op(op, x, -1, 0)
		return
	}
	y := -1
	if len(n.In) > 1 {
		y = b.value[n.In[1]]
	}
	b.value[n.Out[0]] = b.op(n.Op, x, y, float32(n.Attrs.Float("alpha", float64(leakySlope))))
}

func (b *chainBuilder) op(name string, x, y int, factor float32) int {
	b.code.ops = append(b.code.ops, name)
	b.code.args = append(b.code.args, x, y)
	b.code.factors = append(b.code.factors, factor)
	return resultBase + len(b.code.ops) - 1
}

// number puts the results behind the inputs.
func (b *chainBuilder) number(inputs int) {
	for _, list := range [][]int{b.code.args, b.code.outputs, b.code.sums} {
		for i, v := range list {
			if v >= resultBase {
				list[i] = v - resultBase + inputs
			}
		}
	}
}
