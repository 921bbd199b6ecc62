package structure

import (
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// layoutRelations are the operators that move elements.
func layoutRelations() map[string]relation {
	return map[string]relation{
		"Transpose":    relateTranspose,
		"Squeeze":      relateSqueeze,
		"Unsqueeze":    relateUnsqueeze,
		"Concat":       relateConcat,
		"Split":        relateSplit,
		"Slice":        relateSlice,
		"Gather":       relateGather,
		"Pad":          relatePad,
		"Tile":         relateTile,
		"Resize":       relateResize,
		"DepthToSpace": relateDepthToSpace,
		"SpaceToDepth": relateSpaceToDepth,
	}
}

// move ties each axis of the output to the axis of the input it is; from[k] is
// −1 for one that is new.
func (x *axes) move(n *graph.Node, from []int) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	for k, i := range from {
		if i >= 0 {
			x.tie(n, in[i], out[k])
		}
	}
	return nodeRule{zero: func(z zeros) {
		for k, i := range from {
			z.set(n.Out[0], k, i >= 0 && z.at(n.In[0], i))
		}
	}}
}

func relateTranspose(x *axes, n *graph.Node) nodeRule {
	perm := n.Attrs.Ints("perm")
	if perm == nil {
		for k := range x.at(n.In[0]) {
			perm = append([]int{k}, perm...)
		}
	}
	return x.move(n, perm)
}

// relateSqueeze: the axes of length 1 that go are the named ones, or all.
func relateSqueeze(x *axes, n *graph.Node) nodeRule {
	in := x.at(n.In[0])
	gone, ok := x.ints(n.Input(1))
	if n.Input(1) != nil && !ok {
		x.fixNode(n, "removes axes that are not known")
		return nodeRule{}
	}
	var from []int
	for k, a := range in {
		named := slices.Contains(gone, k) || slices.Contains(gone, k-len(in))
		if named || n.Input(1) == nil && a.size == 1 {
			continue
		}
		from = append(from, k)
	}
	if len(from) != len(x.at(n.Out[0])) {
		x.fixNode(n, "removes axes that are not known")
		return nodeRule{}
	}
	return x.move(n, from)
}

func relateUnsqueeze(x *axes, n *graph.Node) nodeRule {
	out := x.at(n.Out[0])
	added, ok := x.ints(n.Input(1))
	if !ok {
		x.fixNode(n, "adds axes that are not known")
		return nodeRule{}
	}
	from, next := make([]int, len(out)), 0
	for k := range out {
		from[k] = -1
		if !slices.Contains(added, k) && !slices.Contains(added, k-len(out)) {
			from[k] = next
			next++
		}
	}
	return x.move(n, from)
}

// relateConcat: the channels of the inputs follow one another.
func relateConcat(x *axes, n *graph.Node) nodeRule {
	out := x.at(n.Out[0])
	along, ok := normal(n.Attrs.Int("axis", 0), len(out))
	if !ok {
		x.fixNode(n, "has an axis that does not exist")
		return nodeRule{}
	}
	offset, whole := 0, out[along].known()
	for _, v := range n.In {
		whole = whole && x.at(v)[along].known()
	}
	for _, v := range n.In {
		in := x.at(v)
		for k := range in {
			if k != along {
				x.tie(n, in[k], out[k])
			}
		}
		if whole {
			x.tie(n, in[along], out[along].from(offset, in[along].size))
			offset += in[along].size
		} else {
			x.tie(n, in[along], axis{-1, -1})
		}
	}
	return nodeRule{zero: func(z zeros) {
		for k := range out {
			z.set(n.Out[0], k, !slices.ContainsFunc(n.In, func(v *graph.Value) bool { return !z.at(v, k) }))
		}
	}}
}

// relateSplit: the outputs are runs of the axis.
func relateSplit(x *axes, n *graph.Node) nodeRule {
	in := x.at(n.In[0])
	along, ok := normal(n.Attrs.Int("axis", 0), len(in))
	if !ok {
		x.fixNode(n, "has an axis that does not exist")
		return nodeRule{}
	}
	offset := 0
	for _, v := range n.Out {
		if v == nil {
			x.fixNode(n, "leaves out an output")
			return nodeRule{}
		}
		for k, out := range x.at(v) {
			switch {
			case k != along:
				x.tie(n, in[k], out)
			case !out.known() || !in[k].known() || offset+out.size > in[k].size:
				x.fix(in[k], x.because("%v divides it in parts of unknown size", n))
				x.fix(out, int32(len(x.reasons)))
			default:
				x.tie(n, in[k].from(offset, out.size), out)
				offset += out.size
			}
		}
	}
	return nodeRule{
		zero: func(z zeros) {
			for _, v := range n.Out {
				z.like(n.In[0], v)
			}
		},
		adjust: func(r *removal, c *graph.Node) error {
			if r.size(in[along]) == in[along].size {
				return nil
			}
			sizes := make([]int, len(n.Out))
			for i, v := range n.Out {
				sizes[i] = r.size(x.at(v)[along])
			}
			c.Attrs = c.Attrs.Without("num_outputs")
			c.In = []*graph.Value{c.In[0], r.constant(sizes, tensor.Int64)}
			return nil
		},
	}
}

// relateSlice: runs of consecutive indices can be followed.
func relateSlice(x *axes, n *graph.Node) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	starts, ok := x.ints(n.In[1])
	ends, okEnds := x.ints(n.In[2])
	over, okAxes := x.sliceAxes(n, len(starts), len(in))
	steps, okSteps := x.ints(n.Input(4))
	if !ok || !okEnds || !okAxes || n.Input(4) != nil && !okSteps || len(ends) != len(starts) {
		x.fixNode(n, "takes a part that is not constant")
		return nodeRule{}
	}
	runs := make(map[int][2]int) // by axis: start and end
	for i, k := range over {
		step := 1
		if okSteps {
			step = steps[i]
		}
		lo, hi := clamp(starts[i], in[k].size), clamp(ends[i], in[k].size)
		switch {
		case !in[k].known():
		case step == 1 && out[k].size == max(0, hi-lo):
			runs[k] = [2]int{lo, hi}
			x.tie(n, in[k].from(lo, out[k].size), out[k])
		default:
			x.fix(in[k], x.because("%v takes every %d. of it", n, step))
			x.fix(out[k], int32(len(x.reasons)))
		}
	}
	for k := range in {
		if !slices.Contains(over, k) {
			x.tie(n, in[k], out[k])
		}
	}
	return nodeRule{
		zero:   func(z zeros) { z.like(n.In[0], n.Out[0]) },
		adjust: func(r *removal, c *graph.Node) error { return r.reslice(n, c, over, starts, ends, runs) },
	}
}

// sliceAxes lists the axes of a Slice.
func (x *axes) sliceAxes(n *graph.Node, count, rank int) ([]int, bool) {
	over, ok := x.ints(n.Input(3))
	if n.Input(3) == nil {
		for k := range count {
			over = append(over, k)
		}
		ok = true
	}
	if !ok || len(over) != count {
		return nil, false
	}
	for i, k := range over {
		if over[i], ok = normal(k, rank); !ok {
			return nil, false
		}
	}
	return over, true
}

// reslice moves the ends of runs to where they are among the indices left.
func (r *removal) reslice(n, c *graph.Node, over, starts, ends []int, runs map[int][2]int) error {
	starts, ends = slices.Clone(starts), slices.Clone(ends)
	changed := false
	for i, k := range over {
		in := r.x.at(n.In[0])[k]
		run, ok := runs[k]
		if !ok || r.size(in) == in.size {
			continue
		}
		starts[i] = r.size(in.from(0, run[0]))
		ends[i] = starts[i] + r.size(in.from(run[0], max(0, run[1]-run[0])))
		changed = true
	}
	if changed {
		c.In[1], c.In[2] = r.constant(starts, n.In[1].Type.DType), r.constant(ends, n.In[2].Type.DType)
	}
	return nil
}

// relateGather: constant indices pick channels; computed ones look rows of a
// table up, all of which must stay.
func relateGather(x *axes, n *graph.Node) nodeRule {
	in, at, out := x.at(n.In[0]), x.at(n.In[1]), x.at(n.Out[0])
	along, ok := normal(n.Attrs.Int("axis", 0), len(in))
	if !ok || len(out) != len(in)-1+len(at) {
		x.fixNode(n, "has an axis that does not exist")
		return nodeRule{}
	}
	from := make([]int, len(out))
	for k := range out {
		switch {
		case k < along:
			from[k] = k
		case k < along+len(at):
			from[k] = -1
			x.tie(n, at[k-along], out[k])
		default:
			from[k] = k - len(at) + 1
		}
	}
	rule := x.move(n, from)
	x.output(n.In[0], len(in)-1)
	indices, known := x.ints(n.In[1])
	if !known || !in[along].known() || slices.ContainsFunc(indices, func(i int) bool { _, ok := normal(i, in[along].size); return !ok }) {
		x.fix(in[along], x.because("%v looks it up by index", n))
		return rule
	}
	if len(at) != 1 {
		reason := x.because("%v takes it out by its place", n)
		for _, i := range indices {
			i, _ := normal(i, in[along].size)
			x.classes.fix(in[along].slot(i), reason)
		}
		x.fixAll(n.In[1], reason)
	} else {
		for j, i := range indices {
			i, _ := normal(i, in[along].size)
			x.union(in[along].slot(i), out[along].slot(j))
		}
	}
	zero := rule.zero
	rule.zero = func(z zeros) {
		zero(z)
		if len(at) == 1 {
			z.set(n.Out[0], along, z.at(n.In[0], along))
		}
	}
	rule.adjust = func(r *removal, c *graph.Node) error {
		if r.size(in[along]) == in[along].size {
			return nil
		}
		var left []int
		for j, i := range indices {
			i, _ := normal(i, in[along].size)
			if len(at) != 1 || r.stays(out[along].slot(j)) {
				left = append(left, r.size(in[along].from(0, i)))
			}
		}
		shape := []int{len(left)}
		if len(at) != 1 {
			shape, _ = n.In[1].Type.Static()
		}
		c.In[1] = r.constant(left, n.In[1].Type.DType, shape...)
		return nil
	}
	return rule
}

// relatePad: new channels before and behind, of their own until something ties
// them.
func relatePad(x *axes, n *graph.Node) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	pads, ok := x.ints(n.In[1])
	over, okAxes := x.ints(n.Input(3))
	if n.Input(3) == nil {
		okAxes = true
		for k := range in {
			over = append(over, k)
		}
	}
	if !ok || !okAxes || len(pads) != 2*len(over) {
		x.fixNode(n, "pads by a width that is not constant")
		return nodeRule{}
	}
	width := make(map[int][2]int)
	for i, k := range over {
		if k, ok := normal(k, len(in)); ok {
			width[k] = [2]int{pads[i], pads[i+len(over)]}
		}
	}
	plain := n.Attrs.Text("mode", "constant") == "constant"
	for k := range in {
		w := width[k]
		switch {
		case w == [2]int{}:
			x.tie(n, in[k], out[k])
		case plain && w[0] >= 0 && w[1] >= 0 && in[k].known() && out[k].size == in[k].size+w[0]+w[1]:
			for i := range in[k].size {
				x.union(in[k].slot(i), out[k].slot(w[0]+i))
			}
		default:
			x.fix(in[k], x.because("%v pads it with its own entries, or crops it", n))
			x.fix(out[k], int32(len(x.reasons)))
		}
	}
	return nodeRule{
		zero: func(z zeros) {
			for k := range in {
				with := n.Input(2) == nil || z.zeroData(n.Input(2))
				z.set(n.Out[0], k, z.at(n.In[0], k) && (with || len(width) == 0))
			}
		},
		adjust: func(r *removal, c *graph.Node) error {
			left, changed := slices.Clone(pads), false
			for i, k := range over {
				k, _ := normal(k, len(in))
				if w := width[k]; w != [2]int{} && out[k].known() && r.size(out[k]) != out[k].size {
					left[i] = r.size(out[k].from(0, w[0]))
					left[i+len(over)] = r.size(out[k].from(w[0]+in[k].size, w[1]))
					changed = true
				}
			}
			if changed {
				c.In[1] = r.constant(left, n.In[1].Type.DType)
			}
			return nil
		},
	}
}

// relateTile: every copy of an index goes with it.
func relateTile(x *axes, n *graph.Node) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	times, ok := x.ints(n.In[1])
	if !ok || len(times) != len(in) {
		x.fixNode(n, "repeats a number of times that is not constant")
		return nodeRule{}
	}
	for k := range in {
		if times[k] == 1 || !in[k].known() || in[k].size == 0 || out[k].size != in[k].size*times[k] {
			x.tie(n, in[k], out[k])
			continue
		}
		x.tieGroups(times[k], out[k], in[k])
	}
	return nodeRule{zero: func(z zeros) { z.like(n.In[0], n.Out[0]) }}
}

// relateResize: an axis that keeps its length passes.
func relateResize(x *axes, n *graph.Node) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	if n.Attrs.Text("coordinate_transformation_mode", "") == "tf_crop_and_resize" || n.Attrs.Text("keep_aspect_ratio_policy", "stretch") != "stretch" {
		x.fixNode(n, "takes a part of the image")
		return nodeRule{}
	}
	reason := x.because("%v scales it", n)
	for _, v := range n.In[1:] {
		x.fixAll(v, reason)
	}
	sizes, ok := x.ints(n.Input(3))
	listed := n.Attrs.Ints("axes")
	for k := range in {
		if in[k].known() && in[k].size == out[k].size && (n.Input(3) == nil || ok) {
			x.tie(n, in[k], out[k])
			continue
		}
		x.fix(in[k], reason)
		x.fix(out[k], reason)
	}
	return nodeRule{
		zero: func(z zeros) {
			for k := range in {
				z.set(n.Out[0], k, z.at(n.In[0], k) && in[k].size == out[k].size)
			}
		},
		adjust: func(r *removal, c *graph.Node) error {
			left, changed := slices.Clone(sizes), false
			for i := range left {
				k := i
				if i < len(listed) {
					k, _ = normal(listed[i], len(in))
				}
				if out[k].known() && r.size(out[k]) != out[k].size {
					left[i], changed = r.size(out[k]), true
				}
			}
			if changed {
				c.In[3] = r.constant(left, n.In[3].Type.DType)
			}
			return nil
		},
	}
}

// relateDepthToSpace: b² channels make the pixels of one.
func relateDepthToSpace(x *axes, n *graph.Node) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	x.tie(n, in[0], out[0])
	x.slide(n, in[2:], out[2:])
	b := n.Attrs.Int("blocksize", 1)
	if in[1].size < 1 || b < 1 || in[1].size != out[1].size*b*b {
		x.fixNode(n, "has channels of unknown number")
		return nodeRule{}
	}
	if n.Attrs.Text("mode", "DCR") == "DCR" {
		x.tieGroups(b*b, in[1], out[1])
	} else {
		x.tieRuns(in[1], out[1])
	}
	return nodeRule{zero: func(z zeros) { z.set(n.Out[0], 1, z.at(n.In[0], 1)) }}
}

// relateSpaceToDepth: the pixels of one channel make b² channels.
func relateSpaceToDepth(x *axes, n *graph.Node) nodeRule {
	in, out := x.at(n.In[0]), x.at(n.Out[0])
	x.tie(n, in[0], out[0])
	x.slide(n, in[2:], out[2:])
	b := n.Attrs.Int("blocksize", 1)
	if in[1].size < 1 || b < 1 || out[1].size != in[1].size*b*b {
		x.fixNode(n, "has channels of unknown number")
		return nodeRule{}
	}
	x.tieGroups(b*b, out[1], in[1])
	return nodeRule{zero: func(z zeros) { z.set(n.Out[0], 1, z.at(n.In[0], 1)) }}
}
