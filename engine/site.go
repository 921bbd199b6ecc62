package engine

import (
	"fmt"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// prepare binds an operator's kernel to one node: it checks the types, computes
// tables, asks for scratch memory and returns the loop to run. The loop reads
// the tensors behind site.in and site.out each time it runs and allocates
// nothing.
//
// An output whose static type is unknown (its shape depends on data) has no
// memory; the loop stores a new tensor in the slot.
type prepare func(s *site) (func() error, error)

// kernels is the table of operators with kernels, assembled from one file per
// family.
var kernels map[string]prepare

func init() {
	kernels = make(map[string]prepare)
	for _, family := range kernelFamilies() {
		for op, k := range family {
			if kernels[op] != nil {
				panic(fmt.Sprintf("engine: two kernels for operator %s", op))
			}
			kernels[op] = k
		}
	}
}

// site is one node on its way to a step of the program.
type site struct {
	node    *graph.Node
	facts   *graph.Facts
	pool    *kernel.Pool
	in, out []*tensor.Tensor // slots, nil where omitted
	slots   map[*graph.Value]*tensor.Tensor
	buffers []*scratch
	known   map[*graph.Value]tensor.Tensor // constants that subgraphs capture
	bodies  map[string]*body               // subgraphs by attribute
	runs    uint64                         // of a node that draws at random
	running *running                       // the run under way; nil when folding
}

// scratch is memory a kernel uses during its own step only.
type scratch struct {
	size int
	raw  []byte
}

func newSite(n *graph.Node, pool *kernel.Pool, facts *graph.Facts, slots map[*graph.Value]*tensor.Tensor) *site {
	s := &site{node: n, facts: facts, pool: pool, slots: slots, known: constants(n, facts)}
	slot := func(v *graph.Value) *tensor.Tensor {
		if v == nil {
			return nil
		}
		if slots[v] == nil {
			slots[v] = new(tensor.Tensor)
		}
		return slots[v]
	}
	for _, v := range n.In {
		s.in = append(s.in, slot(v))
	}
	for _, v := range n.Out {
		s.out = append(s.out, slot(v))
	}
	return s
}

// hasIn reports whether input i is present.
func (s *site) hasIn(i int) bool { return i < len(s.in) && s.in[i] != nil }

// hasOut reports whether output i is wanted.
func (s *site) hasOut(i int) bool { return i < len(s.out) && s.out[i] != nil }

// inDType is the number type of input i, Undefined if it is omitted.
func (s *site) inDType(i int) tensor.DType {
	if v := s.node.Input(i); v != nil {
		return v.Type.DType
	}
	return tensor.Undefined
}

// inShape is the shape of input i, which is known when a kernel is bound.
func (s *site) inShape(i int) []int {
	if v := s.node.Input(i); v != nil {
		sizes, _ := v.Type.Static()
		return sizes
	}
	return nil
}

// outShape is the shape of output i; nil if it depends on data.
func (s *site) outShape(i int) []int {
	if v := s.node.Output(i); v != nil {
		sizes, _ := v.Type.Static()
		return sizes
	}
	return nil
}

// constant returns the data of input i if it is known when the kernel is bound.
func (s *site) constant(i int) (tensor.Tensor, bool) {
	if v := s.node.Input(i); v != nil {
		return s.facts.Data(v)
	}
	return tensor.Tensor{}, false
}

// constantInts returns input i as integers if known when the kernel is bound.
func (s *site) constantInts(i int) ([]int, bool) {
	return (&graph.Inference{Node: s.node, Facts: s.facts}).ConstInts(i)
}

// scratch asks for memory during the step; its slice is filled before the step
// first runs.
func (s *site) scratch(bytes int) *scratch {
	b := &scratch{size: bytes}
	s.buffers = append(s.buffers, b)
	return b
}

// scratchOf views scratch memory.
func scratchOf[T tensor.Element](b *scratch) []T { return tensor.View[T](b.raw) }

// parallel is a step that splits [0, n) over the pool. The closure is made once,
// here, so that running it allocates nothing; the body looks its tensors up in
// the slots every time.
func (s *site) parallel(n, grain int, body func(worker, lo, hi int)) func() error {
	return func() error { return s.pool.For(n, grain, body) }
}

// elements is the size of a shape the engine has checked.
func elements(shape []int) int {
	n, _ := tensor.Size(shape)
	return n
}

// unsupported says that the kernel exists but not for this case of it.
func (s *site) unsupported(what string, got any) error {
	return &UnsupportedError{Node: s.node.String(), Op: s.node.Kind(), Detail: fmt.Sprintf("%s %v", what, got)}
}

// errorf builds an error about the node.
func (s *site) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", s.node, fmt.Errorf(format, args...))
}

// bind prepares the kernel; the inputs' shapes must be known.
func (s *site) bind() (func() error, error) {
	for i := range s.in {
		if s.in[i] == nil {
			continue
		}
		if _, ok := s.node.In[i].Type.Static(); !ok {
			return nil, s.errorf("input %d %q: shape unknown", i, s.node.In[i].Name)
		}
	}
	if s.empty() {
		return func() error { return nil }, nil
	}
	k, ok := kernels[s.node.Kind()]
	if !ok {
		return nil, &UnsupportedError{Node: s.node.String(), Op: s.node.Kind()}
	}
	return k(s)
}

// empty reports whether all outputs are known to have no elements, so that there
// is nothing to compute.
func (s *site) empty() bool {
	if views[s.node.Kind()] { // whose slots are to be set
		return false
	}
	for _, v := range s.node.Out {
		if v == nil {
			continue
		}
		if sizes, ok := v.Type.Static(); !ok || elements(sizes) > 0 || v.Type.DType == tensor.Undefined {
			return false
		}
	}
	return len(s.node.Out) > 0
}

// runOnce allocates the outputs and scratch, binds and runs: the way of nodes
// that are folded, or whose shapes depend on data.
func (s *site) runOnce() (err error) {
	defer recoverNode(s.node, &err)
	if err := s.reserveOutputs(); err != nil {
		return err
	}
	for i, v := range s.node.Out {
		if v == nil {
			continue
		}
		if sizes, ok := v.Type.Static(); ok && v.Type.DType.Valid() {
			*s.out[i] = tensor.New(v.Type.DType, sizes...)
		}
	}
	run, err := s.bind()
	if err != nil {
		return err
	}
	for _, b := range s.buffers {
		if err := reserve(b.size); err != nil {
			return s.errorf("scratch: %w", err)
		}
		b.raw = make([]byte, b.size)
	}
	return nameNode(s.node, run())
}

// reserveOutputs checks that the outputs of known shape find room. It comes
// before binding, for kernels make tables as long as the axes.
func (s *site) reserveOutputs() error {
	for i, v := range s.node.Out {
		if v == nil || views[s.node.Kind()] {
			continue
		}
		if sizes, ok := v.Type.Static(); ok && v.Type.DType.Valid() {
			if err := reserveTensor(v.Type.DType, sizes); err != nil {
				return s.errorf("output %d: %w", i, err)
			}
		}
	}
	return nil
}

// maxElements bounds one tensor at 2^33 elements.
const maxElements = 1 << 33

// recoverNode turns a panic into an error that names the node.
func recoverNode(n *graph.Node, err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%s: internal error: %v", n, r)
	}
}
