package engine

import (
	"errors"
	"slices"

	"github.com/compactify/compactify/graph"
)

// Recomputation says what a program computes twice to fit in memory. The zero
// value is nothing.
type Recomputation struct {
	Steps int // of one run, views and copies included
	Saved int // bytes of intermediate tensors
}

// shrink binds the program with some tensors computed twice, as many as it takes
// to fit the memory that the error says there is. It returns that error, with the
// least need that was found, if nothing helps.
func (c *compiler) shrink(refused error) (*Program, *plan, error) {
	var short *MemoryError
	if !errors.As(refused, &short) {
		return nil, nil, refused
	}
	room, first, steps := short.Limit-short.Used, short.Need, len(c.g.Nodes)
	for need := short.Need; room > 0; {
		// Scratch memory and gaps between tensors keep the share they have.
		_, bytes := c.lives().peak()
		target := min(bytes/10*9, int(float64(bytes)*float64(room)/float64(need)))
		if !c.recompute(target) {
			break
		}
		var err error
		if need, err = c.leastMemory(); err != nil {
			return nil, nil, err
		}
		if need <= room {
			p, plan, err := c.arranged()
			if err != nil {
				return nil, nil, err
			}
			if plan.total <= room {
				p.recomputed = Recomputation{Steps: len(c.g.Nodes) - steps, Saved: first - plan.total}
				return p, plan, nil
			}
			need = plan.total
		}
		short.Need = min(short.Need, need)
	}
	return nil, nil, short
}

// recompute makes the graph need fewer bytes for intermediate tensors at once,
// at most about target, by computing some of them twice: before the step at
// which most memory is in use, and again before they are next read. Training
// keeps every activation for its gradient; most are cheap to make anew from one
// that is kept. Outputs stay the same bits. It reports whether it changed
// anything.
//
// At each peak the tensor is chosen that frees most bytes per operation it costs;
// a choice that does not bring the steps nearer to the target is taken back.
// Source: T. Chen et al., "Training deep nets with sublinear memory cost", 2016;
// choice by cost and benefit: M. Kirisame et al., "Dynamic tensor
// rematerialization", ICLR 2021, section 2.
func (c *compiler) recompute(target int) bool {
	changed := false
	longest := 4 * len(c.g.Nodes)
	banned := make(map[*graph.Value]bool)
	l := c.lives()
	for len(c.g.Nodes) < longest {
		peak, bytes := l.peak()
		if bytes <= target {
			break
		}
		best := l.cheapest(peak, banned)
		if best == nil {
			break
		}
		excess := l.excess(target)
		undo := c.repeat(best)
		if next := c.lives(); next.excess(target) < excess {
			l, changed = next, true
			continue
		}
		undo()
		banned[best.value] = true
	}
	return changed
}

// lives tells from when to when tensors are needed.
type lives struct {
	c        *compiler
	plan     *plan
	position map[*graph.Node]int
	producer map[*graph.Value]*graph.Node
	reads    map[*graph.Value][]int // by root: the steps that read it, in order
	made     map[*graph.Value]int   // by root: the step that makes it
	captured map[*graph.Value]bool  // by root: a subgraph reads it
}

func (c *compiler) lives() *lives {
	l := &lives{c: c, plan: newPlan(c.g), position: make(map[*graph.Node]int), producer: c.g.Producers(),
		reads: make(map[*graph.Value][]int), made: make(map[*graph.Value]int), captured: make(map[*graph.Value]bool)}
	for i, n := range c.g.Nodes {
		l.position[n] = i
		if views[n.Kind()] {
			continue
		}
		for _, v := range n.Reads() {
			r := l.plan.rootOf(v)
			l.reads[r] = append(l.reads[r], i)
			l.captured[r] = l.captured[r] || !slices.Contains(n.In, v)
		}
		for _, v := range n.Out {
			if v != nil {
				l.made[v] = i
			}
		}
	}
	for _, v := range c.g.Outputs {
		r := l.plan.rootOf(v)
		l.reads[r] = append(l.reads[r], len(c.g.Nodes))
	}
	return l
}

// last is the step at which v is read for the last time, or made if none reads
// it.
func (l *lives) last(v *graph.Value) int {
	if r := l.reads[v]; len(r) > 0 {
		return r[len(r)-1]
	}
	return l.made[v]
}

// inUse is the bytes in use during every step.
func (l *lives) inUse() []int {
	change := make([]int, len(l.c.g.Nodes)+2)
	for v, from := range l.made {
		if _, ok := v.Type.Static(); ok {
			size := typeBytes(v.Type)
			change[from] += size
			change[l.last(v)+1] -= size
		}
	}
	used := 0
	for i := range change {
		used += change[i]
		change[i] = used
	}
	return change
}

// peak finds the step during which most bytes are in use.
func (l *lives) peak() (step, bytes int) {
	for i, used := range l.inUse() {
		if used > bytes {
			step, bytes = i, used
		}
	}
	return step, bytes
}

// excess is by how much all steps together are above the target.
func (l *lives) excess(target int) int {
	sum := 0
	for _, used := range l.inUse() {
		sum += max(0, used-target)
	}
	return sum
}

// repetition is a tensor to be made a second time.
type repetition struct {
	value  *graph.Value
	nodes  []*graph.Node // that make it, in order, out of what is there anyway
	before int           // the step they are done before
	worth  float64       // bytes freed per operation
}

// cheapest chooses among the tensors that lie idle during the peak.
func (l *lives) cheapest(peak int, banned map[*graph.Value]bool) *repetition {
	var best *repetition
	for _, n := range l.c.g.Nodes[:min(peak, len(l.c.g.Nodes))] {
		for _, v := range n.Out {
			if v == nil || views[n.Kind()] || banned[v] {
				continue
			}
			r := l.repetition(v, peak)
			if r != nil && (best == nil || r.worth > best.worth) {
				best = r
			}
		}
	}
	return best
}

// repetition is how v would be made anew behind the peak; nil if v is not idle
// there or would cost as much memory as it frees.
func (l *lives) repetition(v *graph.Value, peak int) *repetition {
	if _, ok := v.Type.Static(); !ok {
		return nil
	}
	reads := l.reads[v]
	next, found := slices.BinarySearch(reads, peak)
	if found || next == len(reads) {
		return nil
	}
	if l.last(v) == len(l.c.g.Nodes) || l.captured[v] {
		return nil // an output, or the reader is inside a subgraph
	}
	r := &repetition{value: v, before: reads[next]}
	extended, work := l.collect(v, r, make(map[*graph.Value]bool), peak)
	freed := typeBytes(v.Type) - extended
	if work < 0 || freed <= 0 {
		return nil
	}
	slices.SortFunc(r.nodes, func(a, b *graph.Node) int { return l.position[a] - l.position[b] })
	r.worth = float64(freed) / float64(work)
	return r
}

// longestRepetition bounds how many steps are done again for one tensor.
const longestRepetition = 12

// collect gathers the steps that make v and returns the bytes they keep alive
// over the peak that would have been free, and their operations; negative
// operations say that it cannot be done.
func (l *lives) collect(v *graph.Value, r *repetition, seen map[*graph.Value]bool, peak int) (extended, work int) {
	v = l.plan.rootOf(v)
	n := l.producer[v]
	if seen[v] || n == nil { // an input or a constant
		return 0, 0
	}
	seen[v] = true
	if v != r.value && l.last(v) >= r.before {
		return 0, 0 // it is there
	}
	if v != r.value && l.isSmall(v, r.value) {
		if l.last(v) < peak {
			extended = typeBytes(v.Type)
		}
		return extended, 0
	}
	if slices.Contains(r.nodes, n) {
		return 0, 0
	}
	if impure[n.Kind()] || !isStatic(n) || len(r.nodes) == longestRepetition || len(n.Reads()) > len(n.In) {
		return 0, -1
	}
	r.nodes = append(r.nodes, n)
	work = operations(n)
	for _, in := range n.Reads() {
		e, w := l.collectView(in, r, seen, peak)
		if w < 0 {
			return 0, -1
		}
		extended, work = extended+e, work+w
	}
	return extended, work
}

// collectView collects what v views and the steps that view it.
func (l *lives) collectView(v *graph.Value, r *repetition, seen map[*graph.Value]bool, peak int) (extended, work int) {
	for n := l.producer[v]; n != nil && views[n.Kind()]; n = l.producer[v] {
		if !slices.Contains(r.nodes, n) {
			r.nodes = append(r.nodes, n)
		}
		v = n.In[0]
	}
	return l.collect(v, r, seen, peak)
}

// isSmall reports whether it costs little to keep v for the sake of w.
func (l *lives) isSmall(v, w *graph.Value) bool {
	const share = 16
	_, ok := v.Type.Static()
	return ok && typeBytes(v.Type) <= typeBytes(w.Type)/share
}

// operations estimates the work of a node of known shapes.
func operations(n *graph.Node) int {
	work := 1 + products(n)
	for _, list := range [][]*graph.Value{n.In, n.Out} {
		for _, v := range list {
			if v != nil {
				sizes, _ := v.Type.Static()
				work += elements(sizes)
			}
		}
	}
	return work
}

// repeat does a repetition: readers behind the peak get the twin of the tensor,
// or a twin of their view of it. The function it returns takes that back.
func (c *compiler) repeat(r *repetition) (undo func()) {
	before, behind := c.g.Nodes[:r.before:r.before], c.g.Nodes[r.before:]
	again := make(map[*graph.Value]*graph.Value)
	made := slices.Clone(before)
	for _, n := range r.nodes {
		made = append(made, twin(n, again))
	}
	for _, n := range before {
		if views[n.Kind()] && again[n.In[0]] != nil && again[n.Out[0]] == nil {
			made = append(made, twin(n, again))
		}
	}
	aliases := map[*graph.Value]*graph.Value{r.value: again[r.value]}
	for _, n := range before {
		if views[n.Kind()] && aliases[n.In[0]] != nil {
			aliases[n.Out[0]] = again[n.Out[0]]
		}
	}
	nodes, inputs := c.g.Nodes, make(map[*graph.Node][]*graph.Value)
	for _, n := range behind {
		if !slices.ContainsFunc(n.In, func(v *graph.Value) bool { return aliases[v] != nil }) {
			continue
		}
		inputs[n] = n.In
		n.In = slices.Clone(n.In)
		for i, v := range n.In {
			if aliases[v] != nil {
				n.In[i] = aliases[v]
			}
		}
	}
	c.g.Nodes = append(made, behind...)
	return func() {
		c.g.Nodes = nodes
		for n, in := range inputs {
			n.In = in
		}
	}
}

// twin copies a node to read what again holds in place of its inputs, and adds
// its own outputs.
func twin(n *graph.Node, again map[*graph.Value]*graph.Value) *graph.Node {
	t := *n
	t.In, t.Out = slices.Clone(n.In), make([]*graph.Value, len(n.Out))
	for i, v := range t.In {
		if again[v] != nil {
			t.In[i] = again[v]
		}
	}
	for i, v := range n.Out {
		if v != nil {
			again[v] = &graph.Value{Name: v.Name, Type: v.Type}
			t.Out[i] = again[v]
		}
	}
	return &t
}
