package structure

import (
	"slices"

	"github.com/compactify/compactify/graph"
)

// refactoring matches the axes of a value with those of the same elements in
// another shape: both are products of common factors, found from the last axis
// backwards.
type refactoring struct {
	x       *axes
	node    *graph.Node
	in, out side
	from    [][]part // by axis of the output: where its factors come from
	reason  int32
}

// part is a factor of an axis of the input.
type part struct {
	axis   int
	factor axis
}

// side is one of the two shapes on the way from its last axis to its first.
type side struct {
	axes    []axis
	first   int      // axes before it are matched
	next    int      // axes from first to before it are still to be read
	rest    int      // what is left of the axis under way; 1 if none is
	factors [][]axis // found so far, by axis, the outermost first
}

// open makes sure that an axis is under way and reports whether there is one.
func (s *side) open() bool {
	for s.rest == 1 && s.next > s.first && s.axes[s.next-1].size >= 1 {
		s.next--
		s.rest = s.axes[s.next].size
	}
	return s.rest > 1
}

// take divides a factor off the axis under way.
func (s *side) take(f axis) {
	s.rest /= f.size
	s.factors[s.next] = append([]axis{f}, s.factors[s.next]...)
}

// refactor ties the axes of a Reshape or Flatten.
func (x *axes) refactor(n *graph.Node) nodeRule {
	newSide := func(list []axis) side {
		return side{axes: list, next: len(list), rest: 1, factors: make([][]axis, len(list))}
	}
	r := &refactoring{x: x, node: n, in: newSide(x.at(n.In[0])), out: newSide(x.at(n.Out[0])),
		reason: x.because("%v mixes it with other axes", n)}
	r.from = make([][]part, len(r.out.axes))
	r.matchFronts()
	r.matchEnds()
	for r.in.open() && r.out.open() {
		size := min(r.in.rest, r.out.rest)
		if max(r.in.rest, r.out.rest)%size != 0 {
			break
		}
		f := axis{x.add(size), size}
		r.in.take(f)
		r.out.take(f)
		r.from[r.out.next] = append(r.from[r.out.next], part{r.in.next, f})
	}
	r.finish(&r.in)
	r.finish(&r.out)
	return nodeRule{zero: r.zero}
}

// matchFronts ties the first axes while they are the same, be it as a symbol.
func (r *refactoring) matchFronts() {
	in, out := r.node.In[0].Type.Shape, r.node.Out[0].Type.Shape
	k := 0
	for k < min(len(in), len(out)) && in[k].Same(out[k]) {
		r.x.tie(r.node, r.in.axes[k], r.out.axes[k])
		r.from[k] = []part{{k, r.in.axes[k]}}
		k++
	}
	r.in.first, r.out.first = k, k
}

// matchEnds ties the last axes while they are the same.
func (r *refactoring) matchEnds() {
	for r.in.next > r.in.first && r.out.next > r.out.first {
		a, b := r.in.axes[r.in.next-1], r.out.axes[r.out.next-1]
		if !a.known() || a.size != b.size {
			return
		}
		r.in.next--
		r.out.next--
		r.x.tie(r.node, a, b)
		r.from[r.out.next] = []part{{r.in.next, a}}
	}
}

// finish makes each axis the product of its factors, and fixes those that were
// not divided to the end.
func (r *refactoring) finish(s *side) {
	for i, factors := range s.factors {
		switch {
		case i == s.next && s.rest > 1:
			for _, f := range append(factors, s.axes[i]) {
				r.x.fix(f, r.reason)
			}
		case len(factors) > 0:
			r.x.multiply(r.node, s == &r.in, s.axes[i], factors...)
		case i >= s.first && i < s.next:
			r.x.fix(s.axes[i], r.reason)
		}
	}
}

// zero: an axis of the output is zero where all its factors that can go are.
func (r *refactoring) zero(z zeros) {
	in, out := r.node.In[0], r.node.Out[0]
	for k, parts := range r.from {
		live := slices.DeleteFunc(slices.Clone(parts), func(p part) bool { return r.x.allFixed(p.factor) })
		z.set(out, k, len(live) > 0 && !slices.ContainsFunc(live, func(p part) bool { return !z.at(in, p.axis) }))
	}
}
