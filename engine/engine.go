// Package engine runs graphs.
//
// [Compile] turns a graph into a [Program] for given input shapes: it converts
// the graph to the newest opset, fixes every shape it can, folds constants,
// lowers operators without a kernel to operators that have one, fuses
// ([Options.Unfused] turns that off), places every intermediate tensor in one
// arena, and binds a kernel to each node. [Program.Run] then allocates nothing.
// Nodes whose shapes depend on data are inferred, allocated and bound when they
// are reached.
//
// [Gradient], [JVP], [HessianVector] and their like turn a graph into one that
// computes its derivatives too, and [Batch] into one for many examples: all with
// the rules of package graph. The engine itself knows nothing of derivatives.
//
// Results are the same bits at any number of threads: kernels split work over
// outputs, never over sums.
package engine

import (
	"fmt"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Options says for which shapes and where a program runs.
type Options struct {
	// Dims gives symbolic dimensions their sizes, such as "N": 128.
	Dims map[string]int

	// Shapes gives inputs their whole shapes by name; it wins over Dims.
	Shapes map[string][]int

	// Pool runs the loops. Nil means one thread and the best kernels of this
	// CPU.
	Pool *kernel.Pool

	// Unfused leaves every node of the graph a step of its own.
	Unfused bool

	// Mutable lists parameters whose elements change between runs, as an
	// optimiser changes them: they are not folded into constants.
	Mutable []*graph.Param
}

// Compile makes a program of a graph. The graph is not modified; its parameters'
// tensors are shared.
func Compile(g *graph.Graph, o Options) (*Program, error) {
	c, err := newCompiler(g, o)
	if err != nil {
		return nil, fmt.Errorf("compile graph %q: %w", g.Name, err)
	}
	p, err := c.program()
	if err != nil {
		return nil, fmt.Errorf("compile graph %q: %w", g.Name, err)
	}
	return p, nil
}

// Estimate returns the bytes that a program of the graph will take for
// intermediate tensors and scratch, without taking them. The error wraps a
// [*MemoryError] if that is more than there is.
func Estimate(g *graph.Graph, o Options) (int, error) {
	c, err := newCompiler(g, o)
	if err == nil {
		err = c.rewrite()
	}
	if err == nil {
		var p *plan
		if _, p, err = c.place(); err == nil {
			return p.total, nil
		}
	}
	return 0, fmt.Errorf("estimate graph %q: %w", g.Name, err)
}

// foldLimit bounds the bytes of a constant that folding may create, so that a
// small file cannot unfold into a large program.
const foldLimit = 64 << 20

// compiler carries a graph through the stages of Compile.
type compiler struct {
	g       *graph.Graph
	o       Options
	facts   *graph.Facts
	mutable map[*graph.Value]bool
	kept    map[*graph.Node]bool // that folding leaves alone, see keepLowBits
	running *running
	stored  map[*graph.Value]*graph.Node // DequantizeLinear of constants that was folded, by its result

	// In a subgraph: the slots of captured values, and the data of those that are
	// constant.
	outer map[*graph.Value]*tensor.Tensor
	known map[*graph.Value]tensor.Tensor
}

func newCompiler(g *graph.Graph, o Options) (*compiler, error) {
	if o.Pool == nil {
		o.Pool = kernel.NewPool(1, kernel.Best())
	}
	clone, copyOf := g.Clone()
	c := &compiler{g: clone, o: o, mutable: make(map[*graph.Value]bool)}
	for _, p := range o.Mutable {
		if copyOf[p.Value] == nil {
			return nil, fmt.Errorf("mutable parameter %q is not in the graph", p.Name)
		}
		c.mutable[copyOf[p.Value]] = true
	}
	if err := clone.Upgrade(graph.LatestOpset); err != nil {
		return nil, err
	}
	if err := c.bindShapes(); err != nil {
		return nil, err
	}
	return c, nil
}

// bindShapes replaces symbolic input dimensions by their sizes and forgets the
// declared shapes of everything else, which may hold for another batch size.
func (c *compiler) bindShapes() error {
	for _, v := range c.g.Inputs {
		if sizes, ok := c.o.Shapes[v.Name]; ok {
			t := tensor.TypeOf(v.Type.DType, sizes...)
			if v.Type.Ranked() && v.Type.Rank() != t.Rank() {
				return fmt.Errorf("input %q: shape: got %v, want %v", v.Name, t, v.Type)
			}
			v.Type = t
			continue
		}
		shape := make([]tensor.Dim, len(v.Type.Shape))
		for i, d := range v.Type.Shape {
			if size, ok := c.o.Dims[d.Name]; ok && !d.Known() {
				d = tensor.Fixed(size)
			}
			shape[i] = d
		}
		if v.Type.Ranked() {
			v.Type.Shape = shape
		}
	}
	for _, n := range c.g.Nodes {
		if n.Rule() == nil {
			continue
		}
		for _, v := range n.Out {
			if v != nil {
				v.Type.Shape = nil
			}
		}
	}
	return nil
}

func (c *compiler) program() (*Program, error) {
	if err := c.rewrite(); err != nil {
		return nil, err
	}
	return c.assemble()
}

// rewrite makes the graph one of kernels.
func (c *compiler) rewrite() error {
	if err := c.lower(); err != nil {
		return err
	}
	c.facts = graph.NewFacts(c.g)
	c.addKnown(c.facts)
	for v := range c.mutable {
		c.facts.Forget(v)
	}
	c.keepLowBits()
	if err := c.specialize(); err != nil {
		return err
	}
	c.g.RemoveDead() // a value may have been read for its shape alone
	if c.o.Unfused {
		return nil
	}
	return c.fuse()
}

// addKnown tells of constants that a subgraph captures.
func (c *compiler) addKnown(facts *graph.Facts) {
	for v, t := range c.known {
		facts.SetData(v, t)
	}
}

// lower expands operators that have no kernel until all do.
func (c *compiler) lower() error {
	b := graph.NewBuilder(c.g, "low_")
	c.addKnown(b.Facts())
	todo := c.g.Nodes
	c.g.Nodes = nil
	return c.lowerNodes(b, todo, 0)
}

// maxLowering bounds how deep one operator may expand; rules are acyclic, so
// reaching it is a mistake in the table.
const maxLowering = 8

func (c *compiler) lowerNodes(b *graph.Builder, nodes []*graph.Node, depth int) error {
	for _, n := range nodes {
		if _, ok := kernels[n.Kind()]; ok && !declined(n) {
			b.Append(n)
			if err := b.Err(); err != nil {
				return err
			}
			continue
		}
		r := n.Rule()
		if r == nil || r.Lower == nil || depth == maxLowering {
			return &UnsupportedError{Node: n.String(), Op: n.Kind()}
		}
		if err := c.lowerNode(b, n, r, depth); err != nil {
			return err
		}
	}
	return nil
}

func (c *compiler) lowerNode(b *graph.Builder, n *graph.Node, r *graph.Rule, depth int) (err error) {
	defer recoverNode(n, &err)
	if err := b.Facts().Infer(n); err != nil { // lowerings take a correct node for granted
		return err
	}
	g := b.Graph()
	start := len(g.Nodes)
	outs := r.Lower(b, n)
	if err := b.Err(); err != nil {
		return fmt.Errorf("lower %s: %w", n, err)
	}
	made := append([]*graph.Node(nil), g.Nodes[start:]...)
	g.Nodes = g.Nodes[:start]
	if err := c.lowerNodes(b, made, depth+1); err != nil {
		return err
	}
	if len(n.Out) > len(outs) {
		return fmt.Errorf("%s: outputs: got %d, want at most %d", n, len(n.Out), len(outs))
	}
	for i, v := range n.Out {
		if v != nil && outs[i] != nil {
			b.Append(&graph.Node{Op: "Identity", In: []*graph.Value{outs[i]}, Out: []*graph.Value{v}})
		}
	}
	return b.Err()
}

// UnsupportedError says that the engine has neither a kernel nor a lowering for
// an operator, or none for its number types or form.
type UnsupportedError struct {
	Node   string // the node, as errors name it
	Op     string // the operator's full name
	Detail string // what of it is not supported; "" if nothing is
}

func (e *UnsupportedError) Error() string {
	return fmt.Sprintf("%s: %s is not supported by the engine", e.Node, e.What())
}

// What names the operator and the detail without the node.
func (e *UnsupportedError) What() string {
	if e.Detail == "" {
		return "operator " + e.Op
	}
	return fmt.Sprintf("operator %s with %s", e.Op, e.Detail)
}

// specialize infers the shapes node by node and computes what depends on
// constants alone.
func (c *compiler) specialize() error {
	kept := c.g.Nodes[:0]
	for _, n := range c.g.Nodes {
		if err := c.facts.Infer(n); err != nil {
			return err
		}
		folded, err := c.fold(n)
		if err != nil {
			return err
		}
		if !folded {
			kept = append(kept, n)
		}
	}
	c.g.Nodes = kept
	return nil
}

// fold computes a node whose inputs are constants (or only whose input's shape
// matters) and records its outputs as constants. It reports whether it did.
func (c *compiler) fold(n *graph.Node) (bool, error) {
	if impure[n.Kind()] || n.Kind() == "Loop" || c.kept[n] { // a loop may run for ever
		return false, nil
	}
	if n.Kind() == "Shape" || n.Kind() == "Size" {
		if _, ok := n.In[0].Type.Static(); !ok {
			return false, nil
		}
	} else {
		for _, v := range n.Reads() {
			if _, ok := c.facts.Data(v); !ok {
				return false, nil
			}
		}
	}
	for _, v := range n.Out {
		if v == nil {
			continue
		}
		sizes, ok := v.Type.Static()
		size, fits := tensor.Size(sizes)
		bytes, small := v.Type.DType.ByteSize(size)
		if !ok || !fits || !small || bytes > foldLimit {
			return false, nil
		}
	}
	s := newSite(n, c.o.Pool, c.facts, make(map[*graph.Value]*tensor.Tensor))
	for i, v := range n.In {
		if v == nil {
			continue
		}
		if t, ok := c.facts.Data(v); ok {
			*s.in[i] = t
		} else { // Shape of a value that is not constant: only its type is read
			*s.in[i] = tensor.Tensor{}
		}
	}
	if err := s.runOnce(); err != nil {
		return false, err
	}
	for i, v := range n.Out {
		if v != nil {
			c.facts.SetData(v, *s.out[i])
		}
	}
	if n.Kind() == "DequantizeLinear" {
		if c.stored == nil {
			c.stored = make(map[*graph.Value]*graph.Node)
		}
		c.stored[n.Out[0]] = n
	}
	return true, nil
}
