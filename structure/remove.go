package structure

import (
	"fmt"
	"maps"
	"slices"

	"github.com/compactify/compactify/graph"
	"github.com/compactify/compactify/tensor"
)

// Remove returns a graph without some channels: selection gives, by ID of a
// group, the channels to remove; a block is channel 0 of its group. See
// [Analysis.Remove].
func Remove(g *graph.Graph, selection map[string][]int) (*graph.Graph, error) {
	a, err := Analyze(g)
	if err != nil {
		return nil, err
	}
	return a.Remove(selection)
}

// Remove returns the analysed graph without some channels, and shares the
// tensors that lose nothing. All types are inferred anew and compared with what
// the analysis says they must be; inputs and outputs keep theirs.
//
// It is an error to name a group or channel that does not exist, and to leave an
// axis empty.
func (a *Analysis) Remove(selection map[string][]int) (*graph.Graph, error) {
	g := a.graph
	fail := func(err error) (*graph.Graph, error) { return nil, fmt.Errorf("remove from graph %q: %w", g.Name, err) }
	r, sums, err := a.plan(selection)
	if err != nil {
		return fail(err)
	}
	r.g, r.copies = g.Clone()
	r.builder = graph.NewBuilder(r.g, "smaller")
	r.cutParams()
	r.setTypes()
	nodes := slices.Clone(r.g.Nodes)
	for i := range g.Nodes {
		if adjust := a.axes.nodes[i].adjust; adjust != nil {
			if err := adjust(r, nodes[i]); err != nil {
				return fail(err)
			}
		}
	}
	for _, group := range sums {
		// The copy of the node reads what is left of the blocks before it.
		sum := nodes[slices.Index(g.Nodes, group.sum)]
		r.g.Replace(sum.Out[0], sum.In[group.keep])
	}
	r.g.RemoveDead()
	if err := r.prove(); err != nil {
		return fail(err)
	}
	return r.g, nil
}

// removal is one call of Remove.
type removal struct {
	x       *axes
	gone    map[int32]bool // classes
	g       *graph.Graph
	copies  map[*graph.Value]*graph.Value
	builder *graph.Builder
}

// plan checks a selection and divides it into classes and blocks.
func (a *Analysis) plan(selection map[string][]int) (*removal, []*Group, error) {
	r := &removal{x: a.axes, gone: make(map[int32]bool)}
	var sums []*Group
	known := 0
	for _, g := range a.Groups {
		list, ok := selection[g.ID]
		if ok {
			known++
		}
		for _, c := range list {
			if c < 0 || c >= g.Channels {
				return nil, nil, fmt.Errorf("group %q: channel: got %d, want 0 to %d", g.ID, c, g.Channels-1)
			}
			if g.Kind == Block {
				sums = append(sums, g)
				break
			}
			r.gone[g.classes[c]] = true
		}
	}
	if known != len(selection) {
		for _, id := range slices.Sorted(maps.Keys(selection)) {
			if a.byID[id] == nil {
				return nil, nil, fmt.Errorf("group %q: there is none of this name", id)
			}
		}
	}
	for _, v := range a.axes.values {
		for k, axis := range a.axes.of[v] {
			if axis.size > 0 && r.size(axis) == 0 {
				return nil, nil, fmt.Errorf("value %q: axis %d: nothing is left of its %d channels", v.Name, k, axis.size)
			}
		}
	}
	return r, sums, nil
}

// stays reports whether a slot is not removed.
func (r *removal) stays(slot int32) bool { return !r.gone[r.x.find(slot)] }

// size is the length of an axis after the removal, −1 if it is not known.
func (r *removal) size(a axis) int {
	if !a.known() {
		return -1
	}
	n := 0
	for i := range a.size {
		if r.stays(a.slot(i)) {
			n++
		}
	}
	return n
}

// cutParams slices the parameters.
func (r *removal) cutParams() {
	for i, p := range r.x.graph.Params {
		for k, a := range r.x.at(p.Value) {
			if !a.known() || r.size(a) == a.size {
				continue
			}
			var keep []int
			for j := range a.size {
				if r.stays(a.slot(j)) {
					keep = append(keep, j)
				}
			}
			c := r.g.Params[i]
			c.Data = take(c.Data, k, keep)
			r.builder.Facts().SetData(c.Value, c.Data)
		}
	}
}

// take returns the named indices of an axis.
func take(t tensor.Tensor, axis int, keep []int) tensor.Tensor {
	shape := slices.Clone(t.Shape())
	size := shape[axis]
	shape[axis] = len(keep)
	out := tensor.New(t.DType(), shape...)
	outer, _ := tensor.Size(shape[:axis])
	inner, _ := tensor.Size(shape[axis+1:])
	whole := t.DType().Bits() >= 8
	run := inner * t.DType().Bits() / 8 // bytes
	for o := range outer {
		for k, i := range keep {
			to, from := o*len(keep)+k, o*size+i
			if whole {
				copy(out.Raw()[to*run:(to+1)*run], t.Raw()[from*run:])
				continue
			}
			for j := range inner {
				out.Set(to*inner+j, t.At(from*inner+j))
			}
		}
	}
	return out
}

// setTypes gives all values the types they must have.
func (r *removal) setTypes() {
	for _, v := range r.x.values {
		c := r.copies[v]
		if c == nil {
			continue
		}
		c.Type.Shape = slices.Clone(c.Type.Shape)
		for k, a := range r.x.of[v] {
			if a.known() {
				c.Type.Shape[k] = tensor.Fixed(r.size(a))
			}
		}
	}
}

// prove infers the types of the smaller graph from its inputs and parameters
// and compares them with those that the analysis expects.
func (r *removal) prove() error {
	if err := r.g.Validate(); err != nil {
		return err
	}
	want := make(map[*graph.Value]tensor.Type)
	for _, n := range r.g.Nodes {
		for _, v := range n.Out {
			if v != nil {
				want[v] = v.Type
			}
		}
	}
	if err := r.g.Infer(); err != nil {
		return err
	}
	for _, n := range r.g.Nodes {
		for i, v := range n.Out {
			if v != nil && !agree(v.Type, want[v]) {
				return fmt.Errorf("%v: output %d: shape: got %v, want %v", n, i, v.Type, want[v])
			}
		}
	}
	return nil
}

// agree reports whether two types have no two known sizes that differ.
func agree(a, b tensor.Type) bool {
	return a.DType == b.DType && (!a.Ranked() || !b.Ranked() || slices.EqualFunc(a.Shape, b.Shape, func(d, e tensor.Dim) bool {
		return !d.Known() || !e.Known() || d.Size == e.Size
	}))
}

// constant adds integers as a parameter, a vector unless a shape is given.
func (r *removal) constant(list []int, d tensor.DType, shape ...int) *graph.Value {
	if len(shape) == 0 {
		shape = []int{len(list)}
	}
	t := tensor.New(d, shape...)
	for i, n := range list {
		t.Set(i, float64(n))
	}
	return r.builder.Const(t)
}

// maxRewrite bounds the operators between a size and where it is written.
const maxRewrite = 32

// rewriteEntry returns a vector of sizes like v, of the smaller graph, with
// another constant as entry p. The operators between the constant and the reader
// are copied, as others may read them too.
func (r *removal) rewriteEntry(reader *graph.Node, v *graph.Value, p, size, depth int) (*graph.Value, error) {
	if t, ok := r.builder.Facts().Data(v); ok && p < t.Len() {
		t = t.Clone()
		t.Set(p, float64(size))
		return r.builder.Const(t), nil
	}
	n := r.g.Producers()[v]
	if n == nil || depth > maxRewrite {
		return nil, fmt.Errorf("%v: the size of axis %d cannot be rewritten", reader, p)
	}
	piece := 0
	switch n.Kind() {
	case "Constant":
		a, _ := n.Attrs.Get("value")
		if a.T.IsZero() || p >= a.T.Len() {
			return nil, fmt.Errorf("%v: the size of axis %d cannot be rewritten", reader, p)
		}
		t := a.T.Clone()
		t.Set(p, float64(size))
		return r.builder.Const(t), nil
	case "Concat":
		var ok bool
		if piece, p, ok = pieceOf(n, p); !ok {
			return nil, fmt.Errorf("%v: the size of axis %d cannot be rewritten", reader, p)
		}
	case "Cast", "Identity", "Squeeze", "Unsqueeze":
	default:
		return nil, fmt.Errorf("%v: the size of axis %d cannot be rewritten", reader, p)
	}
	in, err := r.rewriteEntry(n, n.In[piece], p, size, depth+1)
	if err != nil {
		return nil, err
	}
	c := &graph.Node{Domain: n.Domain, Op: n.Op, In: slices.Clone(n.In), Out: []*graph.Value{r.builder.Value(v.Type)}, Attrs: n.Attrs}
	c.In[piece] = in
	r.g.InsertBefore(reader, c)
	return c.Out[0], nil
}
