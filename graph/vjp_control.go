package graph

import "github.com/compactify/compactify/tensor"

func controlVJPs() map[string]vjpFunc {
	return map[string]vjpFunc{
		"If":   vjpIf,
		"Scan": func(b *Builder, n *Node, dy []*Value) []*Value { return vjpIteration(b, n, dy, 0, 0) },
		"Loop": func(b *Builder, n *Node, dy []*Value) []*Value { return vjpIteration(b, n, dy, 2, 1) },
	}
}

// inner is a builder for a subgraph, which knows what this one knows. Its error
// is passed on by finish.
func (b *Builder) inner(g *Graph) *Builder {
	c := *b
	c.g, c.wanted = g, nil
	return &c
}

// finish ends the work on a subgraph.
func (b *Builder) finish(c *Builder) {
	c.g.RemoveDead()
	b.Fail(c.err)
}

// body is the subgraph an attribute of the node holds.
func (n *Node) body(name string) *Graph {
	a, _ := n.Attrs.Get(name)
	return a.G
}

// cloneInside copies a subgraph that stays within the same graph: what it
// captures is not copied, and inputs become what inputs maps them to.
func (g *Graph) cloneInside(inputs map[*Value]*Value) *Graph {
	for _, v := range g.Captures() {
		inputs[v] = v
	}
	return g.cloneInto(inputs)
}

// wantedCaptures lists, each once, the captured values whose cotangents are
// wanted.
func (b *Builder) wantedCaptures(n *Node) []*Value {
	var list []*Value
	seen := make(map[*Value]bool)
	for _, v := range n.operands()[len(n.In):] {
		if !seen[v] && b.active(v) && v.continuous() {
			seen[v] = true
			list = append(list, v)
		}
	}
	return list
}

// placeCaptures puts the cotangents of captured values where the rule's result
// has them.
func placeCaptures(n *Node, out, captured, cotangents []*Value) {
	operands := n.operands()
	for i, v := range captured {
		for k := len(n.In); k < len(operands); k++ {
			if operands[k] == v {
				out[k] = cotangents[i]
				break
			}
		}
	}
}

// vjpIf is an If on the same condition, each branch of which computes what the
// forward branch does and pulls the cotangents back to what it captures.
func vjpIf(b *Builder, n *Node, dy []*Value) []*Value {
	out := make([]*Value, len(n.operands()))
	captured := b.wantedCaptures(n)
	var attrs Attributes
	for _, name := range []string{"then_branch", "else_branch"} {
		branch := n.body(name).cloneInside(make(map[*Value]*Value))
		c := b.inner(branch)
		c.facts.AddParams(branch)
		c.Fail(c.facts.InferGraph(branch))
		cotangents := c.Pullback(branch.Outputs, dy, captured)
		branch.Inputs, branch.Outputs = nil, make([]*Value, len(captured))
		for i, d := range cotangents {
			if branch.Outputs[i] = d; d == nil {
				branch.Outputs[i] = c.zerosLike(captured[i])
			}
		}
		b.finish(c)
		attrs = append(attrs, Subgraph(name, branch))
	}
	placeCaptures(n, out, captured, b.Multi("If", attrs, len(captured), n.In[0]))
	return out
}

// iteration is a Scan or a Loop under differentiation.
//
// Its derivative is a Scan that runs from the last iteration to the first. A
// step takes what the iteration started from, computes the iteration anew and
// pulls cotangents back through it: one evaluation per step and one tensor kept
// per state and step, of which those are dropped that the step does not read.
//
// Source: P. Werbos, "Backpropagation through time", Proc. IEEE 78 (1990);
// A. Griewank and A. Walther, "Evaluating derivatives", section 12.1, for what is
// kept and what computed anew.
type iteration struct {
	b        *Builder
	n        *Node
	body     *Graph
	first    int // of the states among the inputs of node and body: behind the Loop's count and condition
	firstOut int // of the states among the outputs of the body
	states   int

	step     *Graph   // the Scan's body
	c        *Builder // that appends to it
	forward  []*Value // the body's inputs, inside the step
	captured []*Value

	carried [][2]*Value // of the Scan: what each state starts with, and its value in the step
	next    []*Value    // their values after the step
	scanned []stacked   // of the Scan
	emitted []stacked   // what it stacks: cotangents of scanned inputs
}

// stacked is a tensor and its slices: one per iteration, along axis, from the
// end if backward. A nil tensor is one that the forward node has yet to keep:
// the values of the body's input from.
type stacked struct {
	all, slice *Value
	axis       int
	backward   bool
	from       int
}

func vjpIteration(b *Builder, n *Node, dy []*Value, first, firstOut int) []*Value {
	it := &iteration{b: b, n: n, body: n.body("body"), first: first, firstOut: firstOut}
	it.states = len(n.In) - first - n.Attrs.Int("num_scan_inputs", 0)
	out := make([]*Value, len(n.operands()))
	it.captured = b.wantedCaptures(n)
	it.replay()
	cotangents := it.pull(dy)
	it.keep()
	results := it.emit()
	at := 0
	for i := range it.states {
		if it.cotangentOf(i) {
			out[first+i] = results[at]
			at++
		}
	}
	captures := make([]*Value, len(it.captured))
	for i := range it.captured {
		if cotangents[i] != nil {
			captures[i] = results[at]
			at++
		}
	}
	for _, s := range it.emitted {
		out[s.from] = results[at]
		at++
	}
	placeCaptures(n, out, it.captured, captures)
	return out
}

// cotangentOf reports whether state i has a cotangent.
func (it *iteration) cotangentOf(i int) bool { return it.body.Inputs[it.first+i].continuous() }

// replay starts the step with a copy of the body that reads slices.
func (it *iteration) replay() {
	inputs := make(map[*Value]*Value)
	axes, directions := it.n.Attrs.Ints("scan_input_axes"), it.n.Attrs.Ints("scan_input_directions")
	for i, v := range it.body.Inputs {
		slice := it.b.Value(v.Type)
		inputs[v] = slice
		it.forward = append(it.forward, slice)
		s := stacked{slice: slice, from: i, backward: true}
		if k := i - it.first - it.states; k >= 0 {
			s.all, s.axis, s.backward = it.n.In[i], entry(axes, k), entry(directions, k) == 0
		}
		it.scanned = append(it.scanned, s)
	}
	it.step = it.body.cloneInside(inputs)
	it.c = it.b.inner(it.step)
	it.c.facts.AddParams(it.step)
	it.c.Fail(it.c.facts.InferGraph(it.step))
}

func entry(list []int, i int) int {
	if i < len(list) {
		return list[i]
	}
	return 0
}

// pull appends the pullback to the step, with its states and what it emits. It
// returns the cotangents of captured values within one step, nil where there are
// none.
func (it *iteration) pull(dy []*Value) []*Value {
	b, c := it.b, it.c
	of, cotangents := it.step.Outputs, make([]*Value, len(it.step.Outputs))
	for i := range it.states {
		if it.cotangentOf(i) {
			start := b.zerosLike(it.n.In[it.first+i])
			if i < len(dy) && dy[i] != nil {
				start = dy[i]
			}
			cotangents[it.firstOut+i] = it.carry(start)
		}
	}
	axes, directions := it.n.Attrs.Ints("scan_output_axes"), it.n.Attrs.Ints("scan_output_directions")
	for i := it.states; i < len(dy); i++ {
		if dy[i] == nil {
			continue
		}
		k := i - it.states
		slice := b.Value(of[it.firstOut+i].Type)
		cotangents[it.firstOut+i] = slice
		it.scanned = append(it.scanned, stacked{all: dy[i], slice: slice, axis: entry(axes, k), backward: entry(directions, k) == 0})
	}
	var wrt []*Value
	for i := range it.states {
		if it.cotangentOf(i) {
			wrt = append(wrt, it.forward[it.first+i])
		}
	}
	states := len(wrt)
	wrt = append(wrt, it.captured...)
	var sources []stacked
	for _, s := range it.scanned[it.first+it.states : len(it.body.Inputs)] {
		if b.active(it.n.In[s.from]) && s.slice.continuous() {
			sources = append(sources, s)
			wrt = append(wrt, s.slice)
		}
	}
	result := c.Pullback(of, cotangents, wrt)
	for i, d := range result[:states] {
		if d == nil {
			d = c.zerosLike(it.carried[i][1])
		}
		it.next = append(it.next, d)
	}
	captures := result[states : states+len(it.captured)]
	for i, d := range captures {
		if d != nil {
			it.next = append(it.next, c.add(it.carry(b.zerosLike(it.captured[i])), d))
		}
	}
	for i, d := range result[states+len(it.captured):] {
		if d != nil {
			s := sources[i]
			it.emitted = append(it.emitted, stacked{slice: d, axis: s.axis, backward: s.backward, from: s.from})
		}
	}
	return captures
}

// carry adds a state to the step.
func (it *iteration) carry(start *Value) *Value {
	v := it.b.Value(start.Type)
	it.carried = append(it.carried, [2]*Value{start, v})
	return v
}

// keep drops the slices that the step does not read, and lets the forward node
// stack those it has not kept so far.
func (it *iteration) keep() {
	it.step.Outputs = append([]*Value(nil), it.next...)
	for _, s := range it.emitted {
		it.step.Outputs = append(it.step.Outputs, s.slice)
	}
	it.b.finish(it.c)
	read := make(map[*Value]bool)
	for _, n := range it.step.Nodes {
		for _, v := range n.Reads() {
			read[v] = true
		}
	}
	for _, v := range it.step.Outputs {
		read[v] = true
	}
	var kept []stacked
	spare := it.scanned[len(it.scanned)-1] // a Scan has the length of what it scans
	for _, s := range it.scanned {
		if s.all != nil {
			spare = s
		}
		if read[s.slice] {
			kept = append(kept, s)
		}
	}
	if len(kept) == 0 {
		kept = []stacked{spare}
	}
	for i, s := range kept {
		if s.all == nil {
			kept[i].all = it.stack(s.from)
		}
	}
	it.b.Fail(it.b.facts.Infer(it.n))
	it.scanned = kept
}

// stack lets the forward node stack an input of its body.
func (it *iteration) stack(i int) *Value {
	for len(it.n.Out) < len(it.body.Outputs)-it.firstOut {
		it.n.Out = append(it.n.Out, nil)
	}
	v := it.b.Value(it.body.Inputs[i].Type)
	it.body.Nodes = append(it.body.Nodes, &Node{Op: "Identity", In: []*Value{it.body.Inputs[i]}, Out: []*Value{v}})
	it.body.Outputs = append(it.body.Outputs, v)
	all := it.b.Value(tensor.Type{DType: v.Type.DType})
	it.n.Out = append(it.n.Out, all)
	return all
}

// emit appends the Scan.
func (it *iteration) emit() []*Value {
	it.step.Inputs = nil
	var in []*Value
	for _, s := range it.carried {
		in, it.step.Inputs = append(in, s[0]), append(it.step.Inputs, s[1])
	}
	var inAxes, inDirections, outAxes, outDirections []int
	for _, s := range it.scanned {
		in, it.step.Inputs = append(in, s.all), append(it.step.Inputs, s.slice)
		inAxes, inDirections = append(inAxes, s.axis), append(inDirections, truth(s.backward))
	}
	for _, s := range it.emitted {
		outAxes, outDirections = append(outAxes, s.axis), append(outDirections, truth(s.backward))
	}
	attrs := Attributes{Subgraph("body", it.step), Int("num_scan_inputs", len(it.scanned)),
		Ints("scan_input_axes", inAxes...), Ints("scan_input_directions", inDirections...),
		Ints("scan_output_axes", outAxes...), Ints("scan_output_directions", outDirections...)}
	return it.b.Multi("Scan", attrs, len(it.step.Outputs), in...)
}

func truth(b bool) int {
	if b {
		return 1
	}
	return 0
}
