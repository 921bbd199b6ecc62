package engine

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/internal/kernel"
	"github.com/compactify/compactify/tensor"
)

// Program is a graph ready to run for one set of input shapes. It is not safe
// for concurrent use: its intermediate tensors live in one arena.
type Program struct {
	graph   *graph.Graph
	inputs  []port
	outputs []port
	steps   []step
	arena   []byte
	running *running

	recomputed Recomputation
}

// running is what the nodes of a program know of the run under way: loops stop
// when its context ends.
type running struct{ ctx context.Context }

// context is never nil: folding runs nodes outside any run.
func (r *running) context() context.Context {
	if r == nil || r.ctx == nil {
		return context.Background()
	}
	return r.ctx
}

// port is an input or output of the program.
type port struct {
	value *graph.Value
	slot  *tensor.Tensor
}

// step is one node with its bound kernel. A late step is bound when it is
// reached, because its shapes depend on data.
type step struct {
	node *graph.Node
	run  func() error
	late *site
}

// Inputs returns the types Run expects, in order.
func (p *Program) Inputs() []tensor.Type { return portTypes(p.inputs) }

// Outputs returns the types Run produces, in order.
func (p *Program) Outputs() []tensor.Type { return portTypes(p.outputs) }

func portTypes(ports []port) []tensor.Type {
	types := make([]tensor.Type, len(ports))
	for i, q := range ports {
		types[i] = q.value.Type
	}
	return types
}

// Memory is the bytes of the arena: all intermediate tensors and scratch.
func (p *Program) Memory() int { return len(p.arena) }

// Steps is the number of kernels one run calls.
func (p *Program) Steps() int { return len(p.steps) }

// Recomputed is what the program computes twice because it would not have fitted
// in memory otherwise.
func (p *Program) Recomputed() Recomputation { return p.recomputed }

// Run computes the outputs. in holds one tensor per input, of the types
// [Program.Inputs] gives; out receives one tensor per output, views that stay
// valid until the next Run. It stops between two steps when ctx ends.
//
// Errors name the node.
func (p *Program) Run(ctx context.Context, in, out []tensor.Tensor) error {
	if len(in) != len(p.inputs) || len(out) != len(p.outputs) {
		return fmt.Errorf("run graph %q: got %d inputs and %d outputs, want %d and %d",
			p.graph.Name, len(in), len(out), len(p.inputs), len(p.outputs))
	}
	for i, q := range p.inputs {
		if err := q.accepts(in[i]); err != nil {
			return fmt.Errorf("run graph %q: %w", p.graph.Name, err)
		}
		*q.slot = in[i]
	}
	around := p.running.ctx // of the program that this one is a subgraph of
	p.running.ctx = ctx
	defer func() { p.running.ctx = around }()
	for i := range p.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.steps[i].do(); err != nil {
			return fmt.Errorf("run graph %q: %w", p.graph.Name, err)
		}
	}
	for i, q := range p.outputs {
		out[i] = *q.slot
	}
	return nil
}

func (q port) accepts(t tensor.Tensor) error {
	want := q.value.Type
	ok := t.DType() == want.DType
	if want.Ranked() {
		ok = ok && t.Rank() == len(want.Shape)
		for i := 0; ok && i < t.Rank(); i++ {
			ok = !want.Shape[i].Known() || want.Shape[i].Size == t.Shape()[i]
		}
	}
	if !ok {
		return fmt.Errorf("input %q: got %v, want %v", q.value.Name, t, want)
	}
	return nil
}

func (st *step) do() (err error) {
	defer recoverNode(st.node, &err)
	if st.late == nil {
		err = st.run()
	} else {
		err = st.late.runLate()
	}
	if err != nil {
		return nameNode(st.node, err)
	}
	return nil
}

// nameNode adds the node to an error of a pool's worker, which does not know it.
func nameNode(n *graph.Node, err error) error {
	var p *kernel.PanicError
	if errors.As(err, &p) {
		return fmt.Errorf("%s: internal error: %w", n, err)
	}
	return err
}

// runLate infers the node from the tensors that are there now, then binds and
// runs it.
func (s *site) runLate() error {
	for i, v := range s.node.In {
		if v == nil {
			continue
		}
		v.Type = s.in[i].Type()
		s.facts.SetData(v, *s.in[i])
	}
	for _, v := range s.node.Out {
		if v != nil {
			v.Type.Shape = nil
		}
	}
	if err := s.facts.Infer(s.node); err != nil {
		return err
	}
	s.buffers = s.buffers[:0]
	return s.runOnce()
}

// assemble binds every node and places the tensors.
func (c *compiler) assemble() (*Program, error) {
	p, plan, err := c.place()
	if err != nil {
		return nil, err
	}
	p.arena = plan.allocate()
	return p, nil
}

// place binds every node and finds places for the tensors. Where they need more
// memory than there is, some are computed twice.
func (c *compiler) place() (*Program, *plan, error) {
	least, err := c.leastMemory()
	if err != nil {
		return nil, nil, err
	}
	refused := reserve(least)
	if refused == nil {
		p, plan, err := c.arranged()
		if err != nil {
			return nil, nil, err
		}
		if refused = reserve(plan.total); refused == nil {
			return p, plan, nil
		}
	}
	p, plan, err := c.shrink(refused)
	if err != nil {
		return nil, nil, fmt.Errorf("intermediate tensors: %w", err)
	}
	return p, plan, nil
}

// leastMemory is what the tensors need however well they are placed, scratch not
// counted.
func (c *compiler) leastMemory() (int, error) {
	plan := newPlan(c.g)
	for i, n := range c.g.Nodes {
		if !isStatic(n) || !c.bindable(n) {
			continue
		}
		for k, v := range n.Out {
			if v == nil {
				continue
			}
			sizes, _ := v.Type.Static()
			if _, err := tensorBytes(v.Type.DType, sizes); err != nil {
				return 0, fmt.Errorf("%s: output %d: %w", n, k, err)
			}
			if !views[n.Kind()] {
				plan.define(v, i, plan.reusable(n, k))
			}
		}
	}
	return plan.peak(), nil
}

// arranged binds every node and gives the tensors their offsets.
func (c *compiler) arranged() (*Program, *plan, error) {
	p, plan, err := c.bindAll()
	if err == nil {
		err = plan.arrange()
	}
	return p, plan, err
}

// bindAll binds every node; the tensors have no memory yet.
func (c *compiler) bindAll() (*Program, *plan, error) {
	if c.running == nil {
		c.running = new(running)
	}
	p := &Program{graph: c.g, running: c.running}
	slots := maps.Clone(c.outer)
	if slots == nil {
		slots = make(map[*graph.Value]*tensor.Tensor)
	}
	for _, v := range c.g.Inputs {
		slots[v] = new(tensor.Tensor)
		p.inputs = append(p.inputs, port{v, slots[v]})
	}
	for _, prm := range c.g.Params {
		t := prm.Data
		slots[prm.Value] = &t
	}
	c.addFolded(slots)
	plan := newPlan(c.g)
	plan.slots = slots
	for i, n := range c.g.Nodes {
		site := newSite(n, c.o.Pool, c.facts, slots)
		site.running = c.running
		st, err := c.step(site, plan, i)
		if err != nil {
			return nil, nil, err
		}
		p.steps = append(p.steps, st)
	}
	for _, v := range c.g.Outputs {
		if slots[v] == nil {
			return nil, nil, fmt.Errorf("output %q: nothing produces it", v.Name)
		}
		p.outputs = append(p.outputs, port{v, slots[v]})
	}
	return p, plan, nil
}

// addFolded gives constants that folding made their slots.
func (c *compiler) addFolded(slots map[*graph.Value]*tensor.Tensor) {
	need := func(v *graph.Value) {
		if v == nil || slots[v] != nil {
			return
		}
		if t, ok := c.facts.Data(v); ok {
			slots[v] = &t
		}
	}
	for _, n := range c.g.Nodes {
		for _, v := range n.Reads() {
			need(v)
		}
	}
	for _, v := range c.g.Outputs {
		need(v)
	}
}

// step binds a node and places what it makes.
func (c *compiler) step(s *site, plan *plan, i int) (step, error) {
	n := s.node
	if !isStatic(n) || !c.bindable(n) {
		return step{node: n, late: s}, nil
	}
	if err := s.reserveOutputs(); err != nil {
		return step{}, err
	}
	run, err := s.bindSafely()
	if err != nil {
		return step{}, err
	}
	if !views[n.Kind()] {
		for k, v := range n.Out {
			if v != nil {
				plan.define(v, i, plan.reusable(n, k))
			}
		}
	}
	for _, b := range s.buffers {
		plan.scratch(b, i)
	}
	return step{node: n, run: run}, nil
}

func (s *site) bindSafely() (run func() error, err error) {
	defer recoverNode(s.node, &err)
	return s.bind()
}

// isStatic reports whether all shapes around the node are known.
func isStatic(n *graph.Node) bool {
	for _, list := range [][]*graph.Value{n.In, n.Out} {
		for _, v := range list {
			if v == nil {
				continue
			}
			if _, ok := v.Type.Static(); !ok || v.Type.DType.Bits() == 0 {
				return false
			}
		}
	}
	return !dynamicOnly[n.Kind()]
}

// bindable reports whether all data that the kernel reads when it is bound is
// known.
func (c *compiler) bindable(n *graph.Node) bool {
	for _, i := range readsAtBind[n.Kind()] {
		if v := n.Input(i); v != nil {
			if _, ok := c.facts.Data(v); !ok {
				return false
			}
		}
	}
	return true
}

// reusable lists the inputs whose memory output k may take over, should they
// end their life at this node.
func (p *plan) reusable(n *graph.Node, k int) []*graph.Value {
	chained := n.Kind() == chainKind
	if !chained && (k != 0 || !inPlace[n.Kind()]) {
		return nil
	}
	out := n.Out[k].Type
	var list []*graph.Value
	for i, v := range n.In {
		if v == nil || !v.Type.Equal(out) || slices.Contains(list, v) {
			continue
		}
		if chained && (!chainCodeOf(n).overwrites(len(n.In), k, i) || p.shared(n, i)) {
			continue
		}
		list = append(list, v)
	}
	return list
}

// shared reports whether input i lives in the memory of another input.
func (p *plan) shared(n *graph.Node, i int) bool {
	for j, v := range n.In {
		if j != i && v != nil && p.rootOf(v) == p.rootOf(n.In[i]) {
			return true
		}
	}
	return false
}
