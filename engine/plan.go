package engine

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// alignment of every block in the arena, in bytes: a cache line, and the widest
// vector.
const alignment = 64

// plan places tensors in one arena so that those alive at the same time do not
// overlap.
type plan struct {
	root   map[*graph.Value]*graph.Value // the value whose memory a value lives in
	last   map[*graph.Value]int          // by root: the last step that reads it
	blocks []*block
	of     map[*graph.Value]*block // by root
	total  int                     // bytes of the arena, once arranged
	slots  map[*graph.Value]*tensor.Tensor
}

// block is a stretch of the arena with the steps through which it must last.
type block struct {
	size, from, to int
	offset         int
	value          *graph.Value // what lives there first, or
	buffer         *scratch     // whose scratch memory it is
}

// newPlan finds how long every value lives. Views share their input's memory.
// Outputs of the graph live to the end.
func newPlan(g *graph.Graph) *plan {
	p := &plan{root: make(map[*graph.Value]*graph.Value), last: make(map[*graph.Value]int), of: make(map[*graph.Value]*block)}
	for i, n := range g.Nodes {
		for _, v := range n.Reads() {
			p.last[p.rootOf(v)] = i
		}
		if views[n.Kind()] {
			p.root[n.Out[0]] = p.rootOf(n.In[0])
		}
	}
	for _, v := range g.Outputs {
		p.last[p.rootOf(v)] = len(g.Nodes)
	}
	return p
}

func (p *plan) rootOf(v *graph.Value) *graph.Value {
	for p.root[v] != nil {
		v = p.root[v]
	}
	return v
}

// define places v, made at step i, unless it is a view. If anything reads it, it
// takes over the memory of a candidate that nothing reads after this step.
func (p *plan) define(v *graph.Value, i int, candidates []*graph.Value) {
	for _, c := range candidates {
		r := p.rootOf(c)
		if b := p.of[r]; b != nil && p.last[r] == i && p.last[v] > i {
			b.to = p.last[v]
			p.last[r] = b.to
			p.root[v] = r
			return
		}
	}
	b := &block{size: typeBytes(v.Type), from: i, to: max(i, p.last[v]), value: v}
	p.of[v] = b
	p.blocks = append(p.blocks, b)
}

// scratch places memory that is used during step i only.
func (p *plan) scratch(s *scratch, i int) {
	p.blocks = append(p.blocks, &block{size: s.size, from: i, to: i, buffer: s})
}

func typeBytes(t tensor.Type) int {
	sizes, _ := t.Static()
	n, _ := tensor.Size(sizes)
	bytes, _ := t.DType.ByteSize(n)
	return bytes
}

// peak is the most bytes that are in use during one step.
func (p *plan) peak() int {
	change := make(map[int]int)
	for _, b := range p.blocks {
		change[b.from] += b.size
		change[b.to+1] -= b.size
	}
	used, most := 0, 0
	for _, step := range slices.Sorted(maps.Keys(change)) {
		used += change[step]
		most = max(most, used)
	}
	return most
}

// arrange chooses the offsets, largest block first at the lowest free place, and
// finds the bytes that the arena needs. Source: Y. Pisarchyk and J. Lee,
// "Efficient memory management for deep neural net inference", 2020, section 5
// (greedy by size).
func (p *plan) arrange() error {
	order := slices.Clone(p.blocks)
	slices.SortStableFunc(order, func(a, b *block) int { return cmp.Compare(b.size, a.size) })
	p.total = 0
	var placed []*block // by offset
	for _, b := range order {
		b.offset = lowestGap(placed, b)
		if b.size > math.MaxInt-alignment-b.offset {
			return fmt.Errorf("intermediate tensors: more than %d bytes", math.MaxInt)
		}
		p.total = max(p.total, b.offset+b.size)
		at, _ := slices.BinarySearchFunc(placed, b, func(x, y *block) int { return cmp.Compare(x.offset, y.offset) })
		placed = slices.Insert(placed, at, b)
	}
	return nil
}

// allocate takes the arena and hands out its memory.
func (p *plan) allocate() []byte {
	arena := tensor.Bytes(p.total)
	for _, b := range p.blocks {
		if b.buffer != nil {
			b.buffer.raw = arena[b.offset : b.offset+b.size : b.offset+b.size]
		}
	}
	for v, slot := range p.slots {
		if b := p.of[p.rootOf(v)]; b != nil {
			raw := arena[b.offset : b.offset+b.size : b.offset+b.size]
			sizes, _ := v.Type.Static()
			*slot, _ = tensor.FromRaw(v.Type.DType, sizes, raw)
		}
	}
	return arena
}

// lowestGap is the lowest aligned offset at which b overlaps no placed block
// that is alive at the same time.
func lowestGap(placed []*block, b *block) int {
	offset := 0
	for _, q := range placed {
		if q.from > b.to || q.to < b.from {
			continue
		}
		if offset+b.size <= q.offset {
			break
		}
		offset = max(offset, roundUp(q.offset+q.size))
	}
	return offset
}

func roundUp(n int) int { return (n + alignment - 1) &^ (alignment - 1) }
