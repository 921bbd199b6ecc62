package engine

import (
	"fmt"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

func controlKernels() map[string]prepare {
	return map[string]prepare{"If": prepareIf, "Loop": prepareLoop, "Scan": prepareScan}
}

// body is a subgraph of a node. It is compiled when it is first reached, and
// anew for every other set of shapes that reach it.
type body struct {
	site     *site
	graph    *graph.Graph
	captured []*graph.Value
	programs map[string]*Program // by the types of inputs and captured values
	out      []tensor.Tensor
}

// maxPrograms bounds the programs kept of one subgraph: one whose shapes grow
// from run to run would fill the memory.
const maxPrograms = 16

// body finds the subgraph in an attribute; the site keeps its programs.
func (s *site) body(name string) *body {
	if b := s.bodies[name]; b != nil {
		return b
	}
	a, _ := s.node.Attrs.Get(name)
	b := &body{site: s, graph: a.G, captured: a.G.Captures(), programs: make(map[string]*Program),
		out: make([]tensor.Tensor, len(a.G.Outputs))}
	if s.bodies == nil {
		s.bodies = make(map[string]*body)
	}
	s.bodies[name] = b
	return b
}

// constants is the captured data of a node's subgraphs that does not change
// from run to run.
func constants(n *graph.Node, facts *graph.Facts) map[*graph.Value]tensor.Tensor {
	var known map[*graph.Value]tensor.Tensor
	for _, a := range n.Attrs {
		for _, sub := range a.Subgraphs() {
			for _, v := range sub.Captures() {
				if t, ok := facts.Data(v); ok {
					if known == nil {
						known = make(map[*graph.Value]tensor.Tensor)
					}
					known[v] = t
				}
			}
		}
	}
	return known
}

// run computes the subgraph's outputs, which stay valid until it runs again.
func (b *body) run(in []tensor.Tensor) ([]tensor.Tensor, error) {
	key := ""
	for _, t := range in {
		key += t.String()
	}
	for _, v := range b.captured {
		slot, ok := b.site.capturedSlot(v)
		if !ok {
			return nil, b.site.errorf("captured value %q: nothing produces it", v.Name)
		}
		key += slot.String()
	}
	p := b.programs[key]
	if p == nil {
		var err error
		if p, err = b.compile(in); err != nil {
			return nil, b.site.errorf("%w", err)
		}
		if len(b.programs) == maxPrograms {
			clear(b.programs)
		}
		b.programs[key] = p
	}
	if err := p.Run(b.site.running.context(), in, b.out); err != nil {
		return nil, err
	}
	return b.out, nil
}

// capturedSlot is where a captured value's tensor is.
func (s *site) capturedSlot(v *graph.Value) (*tensor.Tensor, bool) {
	if slot := s.slots[v]; slot != nil && !slot.IsZero() {
		return slot, true
	}
	t, ok := s.known[v]
	return &t, ok
}

// compile makes a program of the subgraph for the tensors at hand.
func (b *body) compile(in []tensor.Tensor) (*Program, error) {
	clone, copyOf := b.graph.Clone()
	c := &compiler{g: clone, o: Options{Pool: b.site.pool}, running: b.site.running, mutable: make(map[*graph.Value]bool),
		outer: make(map[*graph.Value]*tensor.Tensor), known: make(map[*graph.Value]tensor.Tensor)}
	for _, v := range b.captured {
		slot, _ := b.site.capturedSlot(v)
		copyOf[v].Type = slot.Type()
		c.outer[copyOf[v]] = slot
		if t, ok := b.site.known[v]; ok {
			c.known[copyOf[v]] = t
		}
	}
	if len(in) != len(clone.Inputs) {
		return nil, fmt.Errorf("body: got %d inputs, want %d", len(in), len(clone.Inputs))
	}
	for i, v := range clone.Inputs {
		v.Type = in[i].Type()
	}
	if err := c.bindShapes(); err != nil {
		return nil, err
	}
	return c.program()
}

// deliver copies a result to output i: into its memory, or, if its shape was
// not known, into a tensor of its own.
func (s *site) deliver(i int, t tensor.Tensor) error {
	if !s.hasOut(i) {
		return nil
	}
	if s.outShape(i) == nil && t.Rank() > 0 || s.out[i].IsZero() {
		kept, err := cloneTensor(t)
		if err != nil {
			return s.errorf("output %d: %w", i, err)
		}
		*s.out[i] = kept
		return nil
	}
	if s.out[i].DType() != t.DType() || !slices.Equal(s.out[i].Shape(), t.Shape()) {
		return s.errorf("output %d: got %v, want %v", i, t, *s.out[i])
	}
	copy(s.out[i].Raw(), t.Raw())
	copy(s.out[i].Strings(), t.Strings())
	return nil
}

func prepareIf(s *site) (func() error, error) {
	yes, no := s.body("then_branch"), s.body("else_branch")
	return func() error {
		branch := no
		if s.in[0].Raw()[0] != 0 {
			branch = yes
		}
		out, err := branch.run(nil)
		if err != nil {
			return err
		}
		for i, t := range out {
			if err := s.deliver(i, t); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

// prepareLoop: inputs trip count, condition, carried values; body inputs
// iteration, condition, carried values; body outputs condition, carried values,
// values to stack.
func prepareLoop(s *site) (func() error, error) {
	b := s.body("body")
	carried := len(s.in) - 2
	return func() error {
		state := make([]tensor.Tensor, carried)
		for i := range state {
			state[i] = s.in[2+i].Clone()
		}
		stacks := make([][]tensor.Tensor, len(b.graph.Outputs)-1-carried)
		var grown growth
		going := !s.hasIn(1) || s.in[1].Raw()[0] != 0
		for i := 0; going && (!s.hasIn(0) || int64(i) < tensor.Data[int64](*s.in[0])[0]); i++ {
			in := append([]tensor.Tensor{tensor.Scalar(int64(i)), tensor.Scalar(going)}, state...)
			out, err := b.run(in)
			if err != nil {
				return err
			}
			going = out[0].Raw()[0] != 0
			if state, err = cloneAll(out[1 : 1+carried]); err != nil {
				return s.errorf("iteration %d: %w", i, err)
			}
			for k := range stacks {
				stacks[k] = append(stacks[k], out[1+carried+k].Clone())
			}
			if err := grown.add(out[1+carried:]); err != nil {
				return s.errorf("iteration %d: %w", i, err)
			}
		}
		for i, t := range state {
			if err := s.deliver(i, t); err != nil {
				return err
			}
		}
		return s.deliverStacks(carried, stacks, b)
	}, nil
}

// growth is the bytes a loop has gathered since it last asked for memory.
type growth int

// add counts tensors that the loop keeps.
func (n *growth) add(kept []tensor.Tensor) error {
	for _, t := range kept {
		*n += growth(len(t.Raw()))
	}
	if *n <= freely {
		return nil
	}
	asked := int(*n)
	*n = 0
	return reserve(asked)
}

func cloneAll(list []tensor.Tensor) ([]tensor.Tensor, error) {
	out := make([]tensor.Tensor, len(list))
	for i, t := range list {
		var err error
		if out[i], err = cloneTensor(t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// deliverStacks stacks the values of all iterations along the axes that
// scan_output_axes names, the first if it is absent.
func (s *site) deliverStacks(first int, stacks [][]tensor.Tensor, b *body) error {
	axes, backward := s.node.Attrs.Ints("scan_output_axes"), s.node.Attrs.Ints("scan_output_directions")
	for k, list := range stacks {
		if k < len(backward) && backward[k] == 1 {
			slices.Reverse(list)
		}
		axis := 0
		if k < len(axes) {
			axis = axes[k]
		}
		t := tensor.Tensor{}
		if len(list) == 0 {
			v := b.graph.Outputs[len(b.graph.Outputs)-len(stacks)+k]
			shape := []int{0}
			for _, d := range v.Type.Shape {
				shape = append(shape, max(0, d.Size))
			}
			if known := s.outShape(first + k); known != nil {
				shape = known
			}
			var err error
			if t, err = NewTensor(v.Type.DType, shape...); err != nil {
				return s.errorf("output %d: %w", first+k, err)
			}
		} else {
			var err error
			if t, err = stack(list, axis); err != nil {
				return s.errorf("output %d: %w", first+k, err)
			}
		}
		if err := s.deliver(first+k, t); err != nil {
			return err
		}
	}
	return nil
}

// stack joins equally shaped tensors along a new axis.
func stack(list []tensor.Tensor, axis int) (tensor.Tensor, error) {
	one := list[0]
	axis = axisOf(axis, one.Rank()+1)
	shape := slices.Insert(slices.Clone(one.Shape()), axis, len(list))
	out, err := NewTensor(one.DType(), shape...)
	if err != nil {
		return out, err
	}
	l := linesOf(shape, axis)
	for i, t := range list {
		if t.DType() != one.DType() || !slices.Equal(t.Shape(), one.Shape()) {
			return out, fmt.Errorf("iteration %d: got %v, want %v", i, t, one)
		}
		for o := range l.outer {
			copyRun(out, (o*l.n+i)*l.inner, t, o*l.inner, l.inner)
		}
	}
	return out, nil
}

// slice is entry i of an axis, without the axis.
func slice(t tensor.Tensor, axis, i int) tensor.Tensor {
	l := linesOf(t.Shape(), axis)
	out := tensor.New(t.DType(), slices.Delete(slices.Clone(t.Shape()), axis, axis+1)...)
	for o := range l.outer {
		copyRun(out, o*l.inner, t, (o*l.n+i)*l.inner, l.inner)
	}
	return out
}

// prepareScan: states and sequences in; the body maps states and one entry of
// each sequence to states and values to stack.
func prepareScan(s *site) (func() error, error) {
	b := s.body("body")
	scans := s.node.Attrs.Int("num_scan_inputs", 0)
	states := len(s.in) - scans
	axes, backward := s.node.Attrs.Ints("scan_input_axes"), s.node.Attrs.Ints("scan_input_directions")
	axisAt := func(k int) int {
		if k < len(axes) {
			return axisOf(axes[k], s.in[states+k].Rank())
		}
		return 0
	}
	return func() error {
		state := make([]tensor.Tensor, states)
		for i := range state {
			state[i] = s.in[i].Clone()
		}
		stacks := make([][]tensor.Tensor, len(b.graph.Outputs)-states)
		var grown growth
		steps := s.in[states].Shape()[axisAt(0)]
		for i := range steps {
			in := slices.Clone(state)
			for k := range scans {
				at := i
				if k < len(backward) && backward[k] == 1 {
					at = steps - 1 - i
				}
				in = append(in, slice(*s.in[states+k], axisAt(k), at))
			}
			out, err := b.run(in)
			if err != nil {
				return err
			}
			if state, err = cloneAll(out[:states]); err != nil {
				return s.errorf("iteration %d: %w", i, err)
			}
			for k := range stacks {
				stacks[k] = append(stacks[k], out[states+k].Clone())
			}
			if err := grown.add(out[states:]); err != nil {
				return s.errorf("iteration %d: %w", i, err)
			}
		}
		for i, t := range state {
			if err := s.deliver(i, t); err != nil {
				return err
			}
		}
		return s.deliverStacks(states, stacks, b)
	}, nil
}
