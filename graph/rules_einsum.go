package graph

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compactify/compactify/tensor"
)

// einsum is a parsed equation: one label per axis of each operand and of the
// output. Letters stand for themselves; the axes of an ellipsis have negative
// labels, the last being -1, so that they broadcast from the right.
type einsum struct {
	in  [][]int
	out []int
}

// parseEinsum reads an equation for operands of the given ranks. Without "->"
// the output has the ellipsis and then, in alphabetical order, the letters that
// occur once.
func parseEinsum(equation string, ranks []int) (einsum, error) {
	left, right, explicit := strings.Cut(strings.ReplaceAll(equation, " ", ""), "->")
	terms := strings.Split(left, ",")
	if len(terms) != len(ranks) {
		return einsum{}, fmt.Errorf("%d operands, want %d as the node has inputs", len(terms), len(ranks))
	}
	var e einsum
	count := make(map[int]int)
	dots := 0
	for i, term := range terms {
		labels, err := einsumLabels(term, ranks[i])
		if err != nil {
			return einsum{}, err
		}
		e.in = append(e.in, labels)
		for _, l := range labels {
			count[l]++
			dots = max(dots, -l)
		}
	}
	if explicit {
		letters := len(strings.ReplaceAll(right, "...", ""))
		labels, err := einsumLabels(right, letters+dots)
		e.out = labels
		if err != nil && dots > 0 { // the output leaves the ellipsis out, so it is summed
			e.out, err = einsumLabels(right, letters)
		}
		if err != nil {
			return einsum{}, err
		}
	} else {
		for l := -dots; l < 0; l++ {
			e.out = append(e.out, l)
		}
		for l := int('A'); l <= 'z'; l++ {
			if count[l] == 1 {
				e.out = append(e.out, l)
			}
		}
	}
	for i, l := range e.out {
		if count[l] == 0 || slices.Contains(e.out[:i], l) {
			return einsum{}, fmt.Errorf("output label %q: repeated, or in no operand", rune(l))
		}
	}
	return e, nil
}

// einsumLabels labels the axes of one term.
func einsumLabels(term string, rank int) ([]int, error) {
	before, after, dotted := strings.Cut(term, "...")
	var labels []int
	for _, r := range before {
		labels = append(labels, int(r))
	}
	if dotted {
		for i := rank - len(before) - len(after); i > 0; i-- {
			labels = append(labels, -i)
		}
		for _, r := range after {
			labels = append(labels, int(r))
		}
	}
	for _, l := range labels {
		if l > 0 && !('a' <= l && l <= 'z' || 'A' <= l && l <= 'Z') {
			return nil, fmt.Errorf("term %q: character %q, want a letter", term, rune(l))
		}
	}
	if len(labels) != rank {
		return nil, fmt.Errorf("term %q: got %d labels for rank %d", term, len(labels), rank)
	}
	return labels, nil
}

// sizes merges the sizes that each label has in the operands.
func (e einsum) sizes(shapes [][]tensor.Dim) (map[int]tensor.Dim, error) {
	size := make(map[int]tensor.Dim)
	for i, labels := range e.in {
		for k, l := range labels {
			d := shapes[i][k]
			old, seen := size[l]
			switch {
			case !seen || old.Size == 1:
				size[l] = d
			case d.Size == 1: // broadcasts
			default:
				m, ok := mergeDims(old, d)
				if !ok {
					return nil, fmt.Errorf("operand %d, axis %d: got size %v, want %v", i, k, d, old)
				}
				size[l] = m
			}
		}
	}
	return size, nil
}

// inferEinsum: the equation names the axes.
func inferEinsum(c *Inference) error {
	all := axisRange(0, len(c.Node.In))
	d, err := c.same(all...)
	if err != nil {
		return err
	}
	if err := c.want(numbers, 0); err != nil {
		return err
	}
	out := tensor.Type{DType: d}
	ranks, shapes := make([]int, len(all)), make([][]tensor.Dim, len(all))
	for i := range all {
		if !c.In(i).Ranked() {
			c.Set(0, out)
			return nil
		}
		ranks[i], shapes[i] = c.In(i).Rank(), c.In(i).Shape
	}
	e, err := parseEinsum(c.Attrs.Text("equation", ""), ranks)
	if err != nil {
		return c.Errorf("attribute equation %q: %w", c.Attrs.Text("equation", ""), err)
	}
	size, err := e.sizes(shapes)
	if err != nil {
		return c.Errorf("attribute equation %q: %w", c.Attrs.Text("equation", ""), err)
	}
	out.Shape = []tensor.Dim{}
	for _, l := range e.out {
		out.Shape = append(out.Shape, size[l])
	}
	c.Set(0, out)
	return nil
}

// term is an operand on its way through a lowering: a value and its labels, all
// different.
type term struct {
	v      *Value
	labels []int
}

// lowerEinsum contracts the operands one after the other. A label is summed as
// soon as no later operand and not the output has it.
func lowerEinsum(b *Builder, n *Node) []*Value {
	ranks := make([]int, len(n.In))
	for i, v := range n.In {
		if v == nil {
			b.Fail(fmt.Errorf("%s: input %d: omitted, but required", n, i))
			return []*Value{b.Value(tensor.Type{})}
		}
		if ranks[i] = v.Type.Rank(); ranks[i] < 0 {
			b.failRank(v)
			return []*Value{b.Value(tensor.Type{})}
		}
	}
	e, err := parseEinsum(n.Attrs.Text("equation", ""), ranks)
	if err != nil {
		b.Fail(fmt.Errorf("%s: %w", n, err))
		return []*Value{b.Value(tensor.Type{})}
	}
	var acc term
	for i, v := range n.In {
		next := b.diagonals(term{v, e.in[i]})
		needed := slices.Clone(e.out)
		for _, later := range e.in[i+1:] {
			needed = append(needed, later...)
		}
		if i == 0 {
			acc = b.sumBut(next, needed)
			continue
		}
		acc = b.contract(acc, b.sumBut(next, append(slices.Clone(needed), acc.labels...)), needed)
	}
	return []*Value{b.arrange(acc, e.out)}
}

// diagonals keeps, of axes with one label, the elements on their diagonal.
func (b *Builder) diagonals(t term) term {
	for k := 0; k < len(t.labels); k++ {
		first := slices.Index(t.labels, t.labels[k])
		if first == k {
			continue
		}
		d := t.v.Type.Shape[k]
		if !d.Known() {
			b.Fail(fmt.Errorf("einsum: diagonal of %v: size of axis %d unknown", t.v.Type, k))
			return t
		}
		// A mask of the diagonal, shaped for axes first and k.
		shape := repeat(1, len(t.labels))
		shape[first], shape[k] = d.Size, d.Size
		eye := make([]bool, d.Size*d.Size)
		for i := range d.Size {
			eye[i*d.Size+i] = true
		}
		t.v = b.sum(b.mask(b.Const(tensor.Of(eye, shape...)), t.v), false, k)
		t.labels = slices.Delete(slices.Clone(t.labels), k, k+1)
		k--
	}
	return t
}

// sumBut sums over the labels that are not needed.
func (b *Builder) sumBut(t term, needed []int) term {
	var axes, kept []int
	for i, l := range t.labels {
		if slices.Contains(needed, l) {
			kept = append(kept, l)
		} else {
			axes = append(axes, i)
		}
	}
	if len(axes) == 0 {
		return t
	}
	return term{b.sum(t.v, false, axes...), kept}
}

// arrange brings a term's axes into the given order; labels it lacks become
// axes of size 1.
func (b *Builder) arrange(t term, order []int) *Value {
	var perm, missing []int
	for i, l := range order {
		if k := slices.Index(t.labels, l); k >= 0 {
			perm = append(perm, k)
		} else {
			missing = append(missing, i)
		}
	}
	v := t.v
	if !slices.IsSorted(perm) {
		v = b.With("Transpose", Attributes{Ints("perm", perm...)}, v)
	}
	if len(missing) > 0 {
		v = b.Op("Unsqueeze", v, b.Const(tensor.Ints(missing...)))
	}
	return v
}

// contract multiplies two terms and sums over the labels not needed. With one
// label or none to sum, and one or none that only either side has, that is a
// matrix product over the shared labels; else a broadcast product and a sum.
func (b *Builder) contract(x, y term, needed []int) term {
	var batch, left, right, inner []int
	for _, l := range x.labels {
		switch {
		case !slices.Contains(y.labels, l):
			left = append(left, l)
		case slices.Contains(needed, l):
			batch = append(batch, l)
		default:
			inner = append(inner, l)
		}
	}
	for _, l := range y.labels {
		if !slices.Contains(x.labels, l) {
			right = append(right, l)
		}
	}
	if len(inner) != 1 || len(left) > 1 || len(right) > 1 || x.sizeOf(inner[0]) != y.sizeOf(inner[0]) {
		all := slices.Concat(batch, left, right, inner)
		return b.sumBut(term{b.mul(b.arrange(x, all), b.arrange(y, all)), all}, needed)
	}
	// A placeholder stands for the side that has no label of its own.
	const none = 0
	l, r := append(slices.Clone(left), none)[0], append(slices.Clone(right), none)[0]
	v := b.Op("MatMul", b.arrange(x, slices.Concat(batch, []int{l}, inner)), b.arrange(y, slices.Concat(batch, inner, []int{r})))
	labels := slices.Clone(batch)
	var drop []int
	for i, side := range []int{l, r} {
		if side == none {
			drop = append(drop, len(batch)+i)
		} else {
			labels = append(labels, side)
		}
	}
	if len(drop) > 0 {
		v = b.Op("Squeeze", v, b.Const(tensor.Ints(drop...)))
	}
	return term{v, labels}
}

// sizeOf is the size of the axis with a label.
func (t term) sizeOf(label int) tensor.Dim {
	if k := slices.Index(t.labels, label); k >= 0 && k < t.v.Type.Rank() {
		return t.v.Type.Shape[k]
	}
	return tensor.Unknown()
}
